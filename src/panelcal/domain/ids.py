"""Panel ids and detector ids of LCLS1 (spec §1) and LCLS2 (spec §15): text and back."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

FIELD_NAMES = ("moduleVersion", "firmwareVersion", "serialNumber")
MAX_PANELS = 1024
MAX_TYPE = 64
MAX_SEGMENT = 200
MAX_NAME = MAX_TYPE + 1 + MAX_SEGMENT
"""Characters of the longest id of one panel: what a column has to hold."""

KNOWN_PANELS = 4096
"""Ids that are read and written once only: a facility has fewer panels than that."""

_HEX = re.compile(r"[0-9a-f]+\Z", re.ASCII)
_STAMPED = re.compile(r"[^-]*-[^-]*-[^-]*-[0-9]+\Z", re.ASCII)
# A panel id of LCLS1 holds dashes, so its first field is never taken for a type.
_TYPED = re.compile(rf"(?P<type>[a-z][A-Za-z0-9]{{0,{MAX_TYPE - 1}}})_", re.ASCII)
# Printable ASCII. A path ends at '/', a segment at '_', and ':' and '=' tell a dataset
# from a detector id.
_NOT_IN_SEGMENT = re.compile(r"[^!-~]|[/_:=]")
_SHORT_NAME = re.compile(r"[0-9]{6}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PanelId:
    """One panel as its configuration object names it.

    The text form is ``<moduleVersion>-<firmwareVersion>-<serialNumber>`` in
    lower-case hexadecimal without ``0x`` and without leading zeros. Zero is
    written as an empty field, because the legacy writer strips it away
    (spec §1), so an id can begin with a dash.

    Parameters
    ----------
    module_version, firmware, serial : int
        Unsigned 64-bit integers. The serial is the physical panel; a firmware
        change makes a new panel id of the same serial.

    Raises
    ------
    InvalidInputError
        A number is negative or does not fit 64 bits.
    """

    module_version: int
    firmware: int
    serial: int

    def __post_init__(self) -> None:
        for name, value in zip(FIELD_NAMES, self._numbers(), strict=True):
            if not 0 <= value < 2**64:
                msg = f"{name} {value} is not an unsigned 64-bit integer"
                raise InvalidInputError(msg)

    def _numbers(self) -> tuple[int, int, int]:
        return self.module_version, self.firmware, self.serial

    def fields(self) -> tuple[str, str, str]:
        """Return the three text fields; zero is the empty string."""
        first, second, third = _panel_text(*self._numbers()).split("-")
        return first, second, third

    def __str__(self) -> str:
        return _panel_text(*self._numbers())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a panel id as people and the legacy tree write it.

        A trailing ``L``, which Python 2 left on large numbers, is accepted and
        dropped.

        Raises
        ------
        InvalidInputError
            The text is not a panel id; the message says which field is wrong
            and why.
        """
        fields = text.split("-")
        if len(fields) != 3:
            raise InvalidInputError(*_wrong_field_count(text, len(fields)))
        numbers = [
            _parse_field(text, name, field) for name, field in zip(FIELD_NAMES, fields, strict=True)
        ]
        return cls(*numbers)


@lru_cache(maxsize=KNOWN_PANELS)
def _panel_text(*numbers: int) -> str:
    return "-".join(f"{value:x}" if value else "" for value in numbers)


@lru_cache(maxsize=KNOWN_PANELS)
def _parse_panel_id(text: str) -> PanelId:
    return PanelId.parse(text)


def _wrong_field_count(text: str, found: int) -> tuple[str, str | None]:
    message = (
        f"{excerpt(text)} is not a panel id: {found} fields separated by '-' found, "
        f"three expected (moduleVersion-firmwareVersion-serialNumber)"
    )
    if _STAMPED.match(text):
        panel, _, stamp = text.rpartition("-")
        return message, f"{excerpt(panel)} looks like the panel, {excerpt(stamp)} like a stamp"
    if found > 3 and "_" in text:
        return message, "this looks like a detector id: panel ids joined by '_'"
    return message, None


def _parse_field(text: str, name: str, field: str) -> int:
    digits = field.removesuffix("L")
    if not digits:
        return 0
    if not _HEX.match(digits):
        raise InvalidInputError(*_not_hex(text, name, field, digits))
    if digits.startswith("0"):
        msg = f"{excerpt(text)} is not a panel id: {name} {excerpt(field)} has a leading zero"
        raise InvalidInputError(msg, "zero itself is written as an empty field")
    if len(digits) > 16:
        msg = (
            f"{excerpt(text)} is not a panel id: {name} has {len(digits)} "
            f"hexadecimal digits, 64 bits are at most 16"
        )
        raise InvalidInputError(msg)
    return int(digits, 16)


def _not_hex(text: str, name: str, field: str, digits: str) -> tuple[str, str | None]:
    message = f"{excerpt(text)} is not a panel id: {name} {excerpt(field)}"
    if _HEX.match(digits.lower()):
        return (
            (
                f"{message} has upper-case letters; ids are compared letter by letter "
                f"and written in lower case"
            ),
            f"did you mean {excerpt(text.lower())}?",
        )
    if digits.startswith("0x"):
        return f"{message} begins with 0x, which ids leave out", None
    wrong = next(char for char in digits if char not in "0123456789abcdefABCDEF")
    return f"{message} holds {wrong!a}, which is no hexadecimal digit", None


@dataclass(frozen=True, slots=True)
class SegmentId:
    """One panel as LCLS2 names it, where that name is no panel id (spec §15).

    The text form is ``<detector type>_<segment>``, ``jungfrau_8-0-3d00fb``: a
    detector id of that one segment, so that what is printed can be typed again.
    The segment is compared letter by letter and never taken apart: LCLS2 writes
    zero as ``0``, and an emulator writes long strings that are no numbers.

    Parameters
    ----------
    detector_type : str
        ``jungfrau``: a lower-case letter, then letters and digits.
    text : str
        The segment as the LCLS2 id has it: 1 to 200 characters of printable
        ASCII without blanks and without ``_``, ``/``, ``:`` and ``=``.

    Raises
    ------
    InvalidInputError
        The detector type or the segment is not of that form.
    """

    detector_type: str
    text: str

    def __post_init__(self) -> None:
        if not _TYPED.fullmatch(f"{self.detector_type}_"):
            msg = f"{excerpt(self.detector_type)} is not the name of a detector type"
            raise InvalidInputError(msg, "a lower-case letter, then letters and digits: jungfrau")
        if not self.text:
            msg = "the segment id is empty"
            raise InvalidInputError(msg, "segment ids are joined by single '_'")
        if len(self.text) > MAX_SEGMENT:
            msg = f"{excerpt(self.text)} is not a segment id: at most {MAX_SEGMENT} are kept"
            raise InvalidInputError(msg)
        wrong = _NOT_IN_SEGMENT.search(self.text)
        if wrong:
            msg = f"{excerpt(self.text)} is not a segment id: it holds {wrong[0]!a}"
            hint = "printable ASCII without blanks, '_', '/', ':' and '='"
            raise InvalidInputError(msg, hint)

    def fields(self) -> tuple[str, str, str]:
        """Return the fields that a panel id has: only a serial, which is the whole id.

        Nothing is known of another name of the same physical panel. The ``_`` in
        it keeps it apart from every serial that is a number.
        """
        return "", "", str(self)

    def __str__(self) -> str:
        return f"{self.detector_type}_{self.text}"


@dataclass(frozen=True, slots=True)
class DetectorId:
    """The panels of a detector in segment order, as its id names them.

    Parameters
    ----------
    prefix : str
        The detector type where the id is one of LCLS2, ``jungfrau_<segment>_...``;
        empty where it is one of LCLS1, panel ids joined by ``_``.
    panels : tuple of PanelId or SegmentId
        In segment order; the same panel may occur twice.
    """

    prefix: str
    panels: tuple[PanelId | SegmentId, ...]

    def __str__(self) -> str:
        segments = [
            panel.text if isinstance(panel, SegmentId) else str(panel) for panel in self.panels
        ]
        return "_".join([self.prefix, *segments] if self.prefix else segments)

    def require_type(self, detector_types: Collection[str]) -> None:
        """Refuse an id that names a detector type that the store has not.

        Parameters
        ----------
        detector_types : collection of str
            The names of those that it has.

        Raises
        ------
        InvalidInputError
            It does; the message names them all.
        """
        if self.prefix and self.prefix not in detector_types:
            known = ", ".join(map(repr, detector_types))
            msg = (
                f"{excerpt(str(self))} names the detector type {self.prefix!r}; "
                f"this store holds constants of {known}"
            )
            hint = "name the store of that detector type with --store, or panelcal type add"
            raise InvalidInputError(msg, hint)


@lru_cache(maxsize=KNOWN_PANELS)
def parse_detector_id(text: str) -> DetectorId:
    """Read a detector id of LCLS1 or of LCLS2.

    LCLS1: panel ids joined by ``_``, in segment order (spec §1). LCLS2: the
    detector type, then segment ids, all joined by ``_``; what psana calls
    ``_uniqueid`` (spec §15). A segment that is a well-formed panel id is that
    panel. The order matters and the same panel may occur twice.

    Raises
    ------
    InvalidInputError
        The text is empty, has an empty part, too many panels, a malformed panel
        id or segment, or is a short name of the LCLS2 calibration database; the
        message says which part is wrong.
    """
    if not text:
        msg = "the detector id is empty"
        raise InvalidInputError(msg, "panel ids joined by '_'")
    found = _TYPED.match(text)
    prefix = found["type"] if found else ""
    parts = (text[found.end() :] if found else text).split("_")
    if len(parts) > MAX_PANELS:
        msg = f"{excerpt(text)} names {len(parts)} panels; at most {MAX_PANELS} are read"
        raise InvalidInputError(msg)
    if prefix and len(parts) == 1 and _SHORT_NAME.match(parts[0]):
        msg = f"{text} is a short name of the LCLS2 calibration database and names no panels"
        raise InvalidInputError(msg, f"type the long name, {prefix}_<segment>_...: _uniqueid")
    for index, part in enumerate(parts):
        if not part:
            msg = f"{excerpt(text)} is not a detector id: panel {index} is empty"
            joined = "segment ids are" if prefix else "panel ids are"
            raise InvalidInputError(msg, f"{joined} joined by single '_'")
    return DetectorId(
        prefix, tuple(_parse_part(prefix, parts, index) for index in range(len(parts)))
    )


def _parse_part(prefix: str, parts: list[str], index: int) -> PanelId | SegmentId:
    try:
        return _parse_segment(prefix, parts[index]) if prefix else _parse_panel_id(parts[index])
    except InvalidInputError as error:
        if len(parts) == 1 and not prefix:
            raise
        noun = "segment" if prefix else "panel"
        msg = f"{noun} {index} of the detector id: {error.message}"
        raise InvalidInputError(msg, error.hint) from error


def _parse_segment(detector_type: str, text: str) -> PanelId | SegmentId:
    try:
        return PanelId.parse(text)
    except InvalidInputError:
        return SegmentId(detector_type, text)


def parse_panel(text: str, detector_types: Collection[str]) -> PanelId | SegmentId:
    """Read the id of one panel as people type it.

    Parameters
    ----------
    text : str
        A panel id, or an LCLS2 id of one segment: ``jungfrau_8-0-3d00fb``.
    detector_types : collection of str
        Names of the store's detector types.

    Raises
    ------
    InvalidInputError
        It is neither, or names a detector type that the store has not.
    """
    return parse_typed_panel(text, detector_types)[0]


def parse_typed_panel(
    text: str, detector_types: Collection[str]
) -> tuple[PanelId | SegmentId, str | None]:
    """Read the id of one panel, and the detector type that it names.

    Returns
    -------
    panel : PanelId or SegmentId
        As `parse_panel`.
    detector_type : str or None
        What the id begins with; None where it is a panel id alone.

    Raises
    ------
    InvalidInputError
        As `parse_panel`.
    """
    if not _TYPED.match(text):
        return PanelId.parse(text), None
    named = parse_detector_id(text)
    named.require_type(detector_types)
    if len(named.panels) > 1:
        msg = f"{excerpt(text)} names {len(named.panels)} panels, one is expected"
        raise InvalidInputError(msg, f"the first of them is {named.panels[0]}")
    return named.panels[0], named.prefix
