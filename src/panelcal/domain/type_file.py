"""A file that describes a detector type: what may be in it, and what is refused."""

import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from panelcal.domain.findings import Severity
from panelcal.domain.ids import MAX_TYPE
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.quality import Rule
from panelcal.domain.quality_names import CHECKS
from panelcal.domain.runs import nearest_names
from panelcal.domain.text import excerpt, one_line
from panelcal.errors import InvalidInputError

MAX_GAIN_RANGES = 64
MAX_SIDE = 65_536
MAX_VALUES = 2**28
"""Of a payload, which is read and written whole: 1 GiB of float32."""
MAX_KINDS = 32
MAX_UNIT = 32

_SIZES = {
    "gain_ranges": MAX_GAIN_RANGES,
    "panel_rows": MAX_SIDE,
    "panel_columns": MAX_SIDE,
}
_TYPE_KEYS = ("name", *_SIZES, "device", "calib_group", "kind", "rule")
_KIND_KEYS = ("name", "unit", "file_stem", "text_format")
_RULE_KEYS = ("check", "kind", "gain_range", "severity", "low", "high")

# Names begin LCLS2 detector ids, devices are found in sources, and groups, kinds and stems
# become names of files: none of them can lead out of a directory.
_NAME = re.compile(rf"[a-z][A-Za-z0-9]{{0,{MAX_TYPE - 1}}}\Z", re.ASCII)
_DEVICE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}\Z", re.ASCII)
_GROUP = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,50}::CalibV[0-9]{1,3}\Z", re.ASCII)
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}\Z", re.ASCII)
_STEM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,63}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class DescribedType:
    """What a file says of a detector type.

    Parameters
    ----------
    detector_type : DetectorType
        The type; it has row number 0, for it is in no database yet.
    rules : tuple of Rule
        Its quality rules, in the order of the file.
    """

    detector_type: DetectorType
    rules: tuple[Rule, ...]


def parse_type_file(text: str) -> DescribedType:
    """Read the TOML that describes a detector type (docs/detector-types.md).

    Raises
    ------
    InvalidInputError
        It is no TOML, a key is missing, unknown or of another type, or
        `require_sound_type` refuses what it says.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        msg = f"it is no TOML: {error}"
        raise InvalidInputError(msg, "docs/detector-types.md has an example") from error
    _require_keys(document, _TYPE_KEYS, "the file", optional=("rule",))
    sizes = [_whole_number(document[key], key) for key in _SIZES]
    described = DetectorType(
        0,
        _text(document["name"], "name"),
        sizes[0],
        sizes[1],
        sizes[2],
        _text(document["device"], "device"),
        _text(document["calib_group"], "calib_group"),
        tuple(_kind(table) for table in _tables(document["kind"], "kind")),
    )
    require_sound_type(described)
    tables = _tables(document.get("rule", []), "rule")
    rules = tuple(_rule(table, described) for table in tables)
    about = [(rule.check, rule.kind, rule.gain_range, str(rule.severity)) for rule in rules]
    _require_unique("rules of the same check, kind, gain range and severity", about)
    return DescribedType(described, rules)


def require_sound_type(one: DetectorType) -> None:
    """Refuse a detector type that panelcal could not work with, wherever it comes from.

    Raises
    ------
    InvalidInputError
        A name is malformed or occurs twice, a size is not positive or beyond its
        bound, or there is no kind.
    """
    _require_form(one.name, "name", _NAME, "a lower-case letter, then letters and digits")
    _require_form(one.device, "device", _DEVICE, "as sources have it, such as Epix10ka")
    _require_form(one.calib_group, "calib_group", _GROUP, "such as Epix10ka::CalibV1")
    for (key, most), size in zip(_SIZES.items(), one.payload_shape, strict=True):
        if not 1 <= size <= most:
            msg = f"{key} is {size}, it has to be from 1 to {most}"
            raise InvalidInputError(msg)
    if math.prod(one.payload_shape) > MAX_VALUES:
        told = " x ".join(map(str, one.payload_shape))
        msg = f"{told} values are more than a payload can have, {MAX_VALUES}"
        raise InvalidInputError(msg)
    if not 1 <= len(one.kinds) <= MAX_KINDS:
        msg = f"{len(one.kinds)} kinds are described, 1 to {MAX_KINDS} are possible"
        raise InvalidInputError(msg, "each [[kind]] has name, unit, file_stem and text_format")
    for kind in one.kinds:
        _require_form(kind.name, "name of a kind", _KIND, "such as pixel_gain")
        _require_form(kind.file_stem, "file_stem", _STEM, "gain, for files g0_gain.npy")
        if one_line(kind.unit, "unit") != kind.unit or len(kind.unit) > MAX_UNIT:
            msg = f"the unit {excerpt(kind.unit)} is not one word of at most {MAX_UNIT} characters"
            raise InvalidInputError(msg, "such as ADU/keV")
    _require_unique("kinds of the same name", [kind.name for kind in one.kinds])
    # Two names that differ in case only are one file on some file systems.
    _require_unique("kinds of the same file_stem", [kind.file_stem.lower() for kind in one.kinds])


def _kind(table: Mapping[str, Any]) -> Kind:
    _require_keys(table, _KIND_KEYS, "a [[kind]]")
    return Kind(*(_text(table[key], f"{key} of a kind") for key in _KIND_KEYS))


def _rule(table: Mapping[str, Any], of: DetectorType) -> Rule:
    optional = ("kind", "gain_range", "low", "high")
    _require_keys(table, _RULE_KEYS, "a [[rule]]", optional=optional)
    check, severity = _text(table["check"], "check"), _text(table["severity"], "severity")
    if check not in CHECKS:
        near = nearest_names(check, CHECKS)
        msg = f"there is no check {excerpt(check)}"
        hint = f"did you mean {near[0]}?" if near else "docs/quality.md has every check"
        raise InvalidInputError(msg, hint)
    if severity not in set(Severity):
        msg = f"rule {check}: {excerpt(severity)} is no severity"
        raise InvalidInputError(msg, f"one of {', '.join(Severity)}")
    kind = None if "kind" not in table else _text(table["kind"], "kind of a rule")
    known = [one.name for one in of.kinds]
    if kind is not None and kind not in known:
        msg = f"rule {check}: there is no kind {excerpt(kind)}"
        raise InvalidInputError(msg, f"one of {', '.join(known)}")
    gain_range = None
    if "gain_range" in table:
        gain_range = _whole_number(table["gain_range"], "gain_range")
        if not 0 <= gain_range < of.gain_ranges:
            msg = f"rule {check}: gain_range is {gain_range}, they are 0 to {of.gain_ranges - 1}"
            raise InvalidInputError(msg)
    low, high = (_bound(table, key, check) for key in ("low", "high"))
    if low is None and high is None:
        msg = f"rule {check}: it has neither low nor high, and would find nothing"
        raise InvalidInputError(msg)
    if low is not None and high is not None and low > high:
        msg = f"rule {check}: low is {low}, above high, {high}"
        raise InvalidInputError(msg)
    return Rule(check, kind, gain_range, Severity(severity), low, high)


def _bound(table: Mapping[str, Any], key: str, check: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        msg = f"rule {check}: {key} is {excerpt(str(value))}, a finite number expected"
        raise InvalidInputError(msg)
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _require_keys(
    table: Mapping[str, Any],
    known: Collection[str],
    what: str,
    optional: Collection[str] = (),
) -> None:
    for key in table:
        if key not in known:
            near = nearest_names(key, known)
            msg = f"{what} has {excerpt(key)}, which means nothing here"
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
            raise InvalidInputError(msg, hint)
    missing = [key for key in known if key not in table and key not in optional]
    if missing:
        msg = f"{what} lacks {', '.join(missing)}"
        raise InvalidInputError(msg, "docs/detector-types.md has an example")


def _tables(value: object, key: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        msg = f"{key} is no list of tables"
        raise InvalidInputError(msg, f"write [[{key}]] before each")
    return value


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        msg = f"{key} is {excerpt(str(value))}, a text in quotes expected"
        raise InvalidInputError(msg)
    return value


def _whole_number(value: object, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        msg = f"{key} is {excerpt(str(value))}, a whole number expected"
        raise InvalidInputError(msg)
    return value


def _require_form(text: str, what: str, form: re.Pattern[str], hint: str) -> None:
    if not form.match(text):
        msg = f"the {what} {excerpt(text)} is malformed"
        raise InvalidInputError(msg, hint)


def _require_unique(what: str, values: Iterable[object]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            msg = f"there are two {what}: {excerpt(str(value))}"
            raise InvalidInputError(msg)
        seen.add(value)
