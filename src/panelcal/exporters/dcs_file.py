"""Reading DCS HDF5 files, whichever program wrote them (spec §11).

``/<ctype>/<range>/<version>/data``: names of ranges and versions are not parsed
by legacy readers; the datasets ``begin``, ``end``, ``versdef`` and ``version``
count.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from panelcal.domain.text import excerpt, printable
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.dcs_constants import count_panels
from panelcal.exporters.dcs_open import opened, require_h5py
from panelcal.exporters.dcs_versions import (
    ARRAY_CTYPES,
    PROVENANCE,
    TEXT_CTYPE,
    VERSION_NAME,
    DcsRange,
    DcsVersion,
)

if TYPE_CHECKING:
    import numpy as np

_RESTORE = "restore it from a backup"
_RECORDS = ("_history", "_parameters")
_LARGEST_RECORD = 2**16
"""Bytes of one value beside the arrays; a file can state gigabytes that it does not hold."""
_WRITTEN_BY_PYTHON_3 = re.compile(r"b'([^']*)'\Z")


@dataclass(frozen=True, slots=True)
class DcsFile:
    """What is in a DCS file; no arrays.

    Parameters
    ----------
    path : Path
        The file.
    detector : str
        Detector id, from the file or, where that is unreadable, from its name.
    versions : tuple of DcsVersion
        In the order of the groups.
    empty_ranges : tuple of DcsRange
        Ranges that legacy readers take and find no version in.
    notices : tuple of str
        What was passed over, recovered, or is wrong.
    faults : tuple of str
        Those of the notices that make legacy readers fail on the whole file,
        behave in a way nobody has seen, or take it for another detector's.
    """

    path: Path
    detector: str
    versions: tuple[DcsVersion, ...]
    empty_ranges: tuple[DcsRange, ...]
    notices: tuple[str, ...]
    faults: tuple[str, ...]


def read_dcs_file(path: Path) -> DcsFile:
    """Read what is in a DCS file, whichever program wrote it. No arrays are loaded.

    Raises
    ------
    InvalidInputError
        There is no such file, it is no HDF5 file, or h5py is not installed.
    IntegrityError
        It is damaged. What holds a name that cannot be opened is never taken for
        something without that name: an older version would become the answer.
    ConflictError
        Another program has it open for writing.
    """
    with opened(path) as file:
        look = _Look(path)
        root = look.group("", file)
        look.at_root(root)
        detector = look.detector(root)
        notices = tuple(f"{path}: {notice}" for notice in look.notices)
        return DcsFile(
            path,
            detector,
            tuple(look.versions),
            tuple(look.empty_ranges),
            notices,
            tuple(look.faults),
        )


def load_version(source: Path | DcsFile, version: DcsVersion) -> "np.ndarray[Any, Any]":
    """Load the array of a version, as stored.

    Returns
    -------
    ndarray
        For jungfrau (gain range, panel, row, column), in the kind's unit.

    Raises
    ------
    InvalidInputError, ConflictError
        As `read_dcs_file`.
    IntegrityError
        The file is damaged, or no longer holds the version.
    """
    path = source if isinstance(source, Path) else source.path
    group = (version.ctype, version.range_name, version.name)
    with opened(path) as root:
        dataset = root["/".join(group)]["data"]
        if (dataset.shape, dataset.dtype.name) != (version.shape, version.dtype):
            msg = f"{path}: {'/'.join(group)} is not what it was when the file was read"
            raise IntegrityError(msg, "read the file again")
        array: np.ndarray[Any, Any] = dataset[()]
    return array


@dataclass(frozen=True, slots=True)
class _Group:
    """A group, and all that is in it by name.

    Only names on the way from the root are used: an object that is met through
    a link may call itself by its name in another file.
    """

    place: str
    item: Any
    members: dict[str, Any]

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


class _Look:
    """What is met on the way through a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.versions: list[DcsVersion] = []
        self.empty_ranges: list[DcsRange] = []
        self.notices: list[str] = []
        self.faults: list[str] = []

    def group(self, place: str, item: Any) -> _Group:
        """Open whatever is in a group; a name that cannot be opened is told.

        h5py's own `get` and `items` say None there, as for a name that is missing.
        """
        members: dict[str, Any] = {}
        for name in item:
            if name in members:
                self._damaged(f"{place}/{name}", "is there twice")
            try:
                members[name] = item[name]
            except (KeyError, OSError, RuntimeError, ValueError) as error:
                if not _is_link(item, name):
                    self._damaged(f"{place}/{name}", f"cannot be opened: {error}")
                self._fault(f"{place}/{name}", "is a link that leads nowhere")
        return _Group(place, item, members)

    def at_root(self, root: _Group) -> None:
        self._records(root, "dettype detid detname tscfile predecessor successor")
        for group in self._below(root):
            if group.name not in ARRAY_CTYPES and group.name != TEXT_CTYPE:
                what = "is no calibration type; legacy readers cannot read the file"
                self._fault(group.place, what)
                continue
            self._records(group, "ctype")
            for span in self._below(group):
                self._at_range(group.name, span)

    def detector(self, root: _Group) -> str:
        """Return the detector id; Python 3 wrote some as the text ``None`` or ``b'..'``."""
        found = _text(self._value(root, "detid")) or "None"
        quoted = _WRITTEN_BY_PYTHON_3.match(found)
        detector = quoted[1] if quoted else found
        stem = self.path.name.removesuffix(".h5")
        named = stem.partition("-")[2]
        if detector and detector != "None":
            self._compare_with_name(detector, named)
            return detector
        self.notices.append("detid is missing or unreadable; the file's name says which detector")
        return named or stem

    def _compare_with_name(self, detector: str, named: str) -> None:
        """Say where psana, which goes by the names of files (spec §9), looks for another."""
        if named == detector and self.path.suffix == ".h5":
            return
        if self.path.suffix == ".h5" and _is_detector_id(named):
            what = f"is {excerpt(detector)}, the file's name says {excerpt(named)}"
            self._fault("/detid", f"{what}: psana would read it for the latter")
            return
        name = printable(self.path.name)
        self.notices.append(f"psana will not find it under this name, {name}")

    def _at_range(self, ctype: str, group: _Group) -> None:
        import numpy as np

        self._records(group, "range")
        begin = self._value(group, "begin")
        if not isinstance(begin, np.float64):
            what = "has no begin of type float64; legacy readers ignore the range"
            self._notice(group.place, what)
            return
        end = self._end(group)
        if not math.isfinite(begin) or math.isnan(end):
            self._fault(group.place, "has a begin or an end that is no time")
            return
        span = DcsRange(ctype, group.name, float(begin), None if end == math.inf else end)
        default = self._value(group, "versdef")
        if default is not None and not isinstance(default, np.integer):
            self._fault(f"{group.place}/versdef", "is no integer")
            default = None
        versions = self._below(group)
        found = [self._at_version(span, int(default or 0), version) for version in versions]
        if not any(found):
            self.empty_ranges.append(span)
            self._notice(group.place, "has no versions; legacy readers find nothing there")

    def _end(self, group: _Group) -> float:
        """Return when a range ends, infinity for ``end``, NaN where it is no time."""
        import numpy as np

        end = self._value(group, "end")
        if isinstance(end, np.float64) and not math.isinf(end):
            return float(end)
        return math.inf if "end" not in group.members or _text(end) == "end" else math.nan

    def _at_version(self, span: DcsRange, default: int, group: _Group) -> bool:
        """Note what a group below a range holds, and say whether it is a version."""
        import numpy as np

        named = VERSION_NAME.match(group.name)
        is_seen = "version" in group.members
        data: Any = group.members.get("data")
        recovered = not is_seen and named is not None and data is not None
        if not is_seen and not recovered:
            self._notice(group.place, "is not known to readers; passed over")
            return False
        self._records(group, "tsprod")
        number = int(named[1]) if recovered and named else self._value(group, "version")
        if not isinstance(number, int | np.integer) or not _is_dataset(data):
            self._fault(group.place, "has no integer version, or no data")
        elif data.dtype.kind in "biuf" and data.shape:
            if recovered:
                self._notice(group.place, "has no version, so that legacy readers do not see it")
            self._add(span, int(number), default, recovered, group)
        elif span.ctype == TEXT_CTYPE:
            what = "is text, passed over; with numpy 2.3 legacy readers fail on it"
            self._notice(group.place, what)
        else:
            self._fault(group.place, "holds no array of numbers")
        return True

    def _add(
        self, span: DcsRange, number: int, default: int, recovered: bool, group: _Group
    ) -> None:
        import numpy as np

        data, produced = group.members["data"], self._value(group, "tsprod")
        self.versions.append(
            DcsVersion(
                span.ctype,
                span.range_name,
                span.begin,
                span.end,
                number,
                group.name,
                not recovered and default != 0 and number == default,
                recovered,
                float(produced) if isinstance(produced, np.floating) else None,
                _provenance(group.item),
                tuple(data.shape),
                data.dtype.name,
            )
        )

    def _records(self, group: _Group, names: str) -> None:
        """Note what legacy readers fail on: records that are not one value (spec §11)."""
        for name in names.split():
            self._value(group, name)
        for name in _RECORDS:
            item, place = group.members.get(name), f"{group.place}/{name}"
            if _is_dataset(item):
                self._fault(place, "is a dataset, where a group of records belongs")
            elif _is_group(item):
                records = self.group(place, item)
                for key in records.members:
                    self._value(records, key)
                    if name == "_history" and not _is_number(key):
                        self._fault(f"{place}/{key}", "is not named by its time")

    def _below(self, group: _Group) -> list[_Group]:
        """Return the groups below a group, those of records left out."""
        return [
            self.group(f"{group.place}/{name}", item)
            for name, item in group.members.items()
            if name not in _RECORDS and _is_group(item)
        ]

    def _value(self, group: _Group, name: str) -> Any:
        """Return the one value of a dataset, None where there is none."""
        item: Any = group.members.get(name)
        if not _is_dataset(item):
            return None
        if item.shape != (1,):
            what = f"has the shape {item.shape}, where readers need (1,)"
            self._fault(f"{group.place}/{name}", what)
            return None
        if item.dtype.itemsize > _LARGEST_RECORD:
            what = f"takes {item.dtype.itemsize} bytes, which no record of readers does"
            self._fault(f"{group.place}/{name}", what)
            return None
        return item[0]

    def _notice(self, place: str, what: str) -> None:
        notice = f"{printable(place)} {what}"
        if notice not in self.notices:
            self.notices.append(notice)

    def _fault(self, place: str, what: str) -> None:
        self._notice(place, what)
        fault = f"{printable(place)} {what}"
        if fault not in self.faults:
            self.faults.append(fault)

    def _damaged(self, place: str, what: str) -> NoReturn:
        msg = f"{self.path} is damaged: {printable(place)} {printable(what)}"
        raise IntegrityError(msg, _RESTORE)


def _is_link(group: Any, name: str) -> bool:
    """Return whether a name is a link to somewhere else, and not the object itself."""
    h5py = require_h5py()
    return isinstance(group.get(name, getlink=True), h5py.SoftLink | h5py.ExternalLink)


def _is_group(item: Any) -> bool:
    return isinstance(item, require_h5py().Group)


def _is_dataset(item: Any) -> bool:
    return isinstance(item, require_h5py().Dataset)


def _is_detector_id(text: str) -> bool:
    """Return whether a text is a detector id of LCLS1, the only ones DCS files have."""
    try:
        count_panels(text)
    except InvalidInputError:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _text(value: Any) -> str | None:
    """Return a text of the file, None where it is none, or holds more than ASCII."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return value if isinstance(value, str) and value.isascii() else None


def _provenance(group: Any) -> dict[str, str]:
    found = {
        name.removeprefix(PROVENANCE): _text(group.attrs[name])
        for name in group.attrs
        if name.startswith(PROVENANCE)
    }
    return {name: text for name, text in found.items() if text is not None}
