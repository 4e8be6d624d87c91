"""Reading DCS HDF5 files, whichever program wrote them (spec §11).

``/<ctype>/<range>/<version>/data``: names of ranges and versions are not parsed
by legacy readers; the datasets ``begin``, ``end``, ``versdef`` and ``version``
count.
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.domain.text import printable
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError, PanelcalError
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

_RECORDS = ("_history", "_parameters")
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
        Those of the notices that make legacy readers fail on the whole file, or
        behave in a way nobody has seen.
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
        It is damaged.
    ConflictError
        Another program has it open for writing.
    """
    with opened(path) as root:
        look = _Look()
        look.at_root(root)
        detector = look.detector(root, path)
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


def require_h5py() -> Any:
    """Return the module h5py, which is an optional dependency.

    Raises
    ------
    InvalidInputError
        It is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        msg = "DCS files need h5py"
        raise InvalidInputError(msg, "pip install 'panelcal[dcs]'") from error
    return h5py


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Give the root group of a DCS file that is only read.

    Raises
    ------
    InvalidInputError, IntegrityError, ConflictError
        As `read_dcs_file`, wherever in the file the damage shows.
    """
    h5py = require_h5py()
    if not path.is_file():
        msg = f"{path} is not a file" if path.exists() else f"{path} does not exist"
        raise InvalidInputError(msg)
    try:
        with h5py.File(path, "r") as root:
            yield root
    except PanelcalError:
        raise
    except BlockingIOError as error:
        msg = f"{path} is open for writing in another program"
        raise ConflictError(msg, "try again when it has finished") from error
    except PermissionError as error:
        msg = f"cannot read {path}: permission denied"
        raise InvalidInputError(msg) from error
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        # What h5py raises on a damaged file depends on which byte is wrong.
        if not h5py.is_hdf5(path):
            msg = f"{path} is not an HDF5 file"
            raise InvalidInputError(msg) from error
        msg = f"{path} is damaged: {printable(error)}"
        raise IntegrityError(msg, "restore it from a backup") from error


class _Look:
    """What is met on the way through a file."""

    def __init__(self) -> None:
        self.versions: list[DcsVersion] = []
        self.empty_ranges: list[DcsRange] = []
        self.notices: list[str] = []
        self.faults: list[str] = []

    def at_root(self, root: Any) -> None:
        self._records(root, "dettype detid detname tscfile predecessor successor")
        for group in _groups(root):
            name = _name(group)
            if name not in ARRAY_CTYPES and name != TEXT_CTYPE:
                self._fault(group, "is no calibration type; legacy readers cannot read the file")
                continue
            self._records(group, "ctype")
            for span in _groups(group):
                self._at_range(name, span)

    def detector(self, root: Any, path: Path) -> str:
        """Return the detector id; Python 3 wrote some as the text ``None`` or ``b'..'``."""
        found = _text(self._value(root, "detid")) or "None"
        quoted = _WRITTEN_BY_PYTHON_3.match(found)
        detector = quoted[1] if quoted else found
        if detector and detector != "None":
            return detector
        stem = path.name.removesuffix(".h5")
        self.notices.append("detid is missing or unreadable; the file's name says which detector")
        return stem.partition("-")[2] or stem

    def _at_range(self, ctype: str, group: Any) -> None:
        import numpy as np

        name = _name(group)
        self._records(group, "range")
        begin = self._value(group, "begin")
        if not isinstance(begin, np.float64):
            self._notice(group, "has no begin of type float64; legacy readers ignore the range")
            return
        end = self._end(group)
        if not math.isfinite(begin) or math.isnan(end):
            self._fault(group, "has a begin or an end that is no time")
            return
        span = DcsRange(ctype, name, float(begin), None if end == math.inf else end)
        default = self._value(group, "versdef")
        if default is not None and not isinstance(default, np.integer):
            self._fault(group["versdef"], "is no integer")
            default = None
        found = [self._at_version(span, int(default or 0), version) for version in _groups(group)]
        if not any(found):
            self.empty_ranges.append(span)
            self._notice(group, "has no versions; legacy readers find nothing there")

    def _end(self, group: Any) -> float:
        """Return when a range ends, infinity for ``end``, NaN where it is no time."""
        import numpy as np

        end = self._value(group, "end")
        if isinstance(end, np.float64) and not math.isinf(end):
            return float(end)
        return math.inf if "end" not in group or _text(end) == "end" else math.nan

    def _at_version(self, span: DcsRange, default: int, group: Any) -> bool:
        """Note what a group below a range holds, and say whether it is a version."""
        import numpy as np

        named = VERSION_NAME.match(_name(group))
        recovered = "version" not in group and named is not None and "data" in group
        if "version" not in group and not recovered:
            self._notice(group, "is not known to readers; passed over")
            return False
        self._records(group, "tsprod")
        number = int(named[1]) if recovered and named else self._value(group, "version")
        data = group.get("data")
        if not isinstance(number, int | np.integer) or not _is_dataset(data):
            self._fault(group, "has no integer version, or no data")
        elif data.dtype.kind in "biuf" and data.shape:
            if recovered:
                self._notice(group, "has no version, so that legacy readers do not see it")
            self._add(span, int(number), default, recovered, group)
        elif span.ctype == TEXT_CTYPE:
            self._notice(group, "is text, passed over; with numpy 2.3 legacy readers fail on it")
        else:
            self._fault(group, "holds no array of numbers")
        return True

    def _add(self, span: DcsRange, number: int, default: int, recovered: bool, group: Any) -> None:
        import numpy as np

        data, produced = group["data"], self._value(group, "tsprod")
        self.versions.append(
            DcsVersion(
                span.ctype,
                span.range_name,
                span.begin,
                span.end,
                number,
                _name(group),
                not recovered and default != 0 and number == default,
                recovered,
                float(produced) if isinstance(produced, np.floating) else None,
                _provenance(group),
                tuple(data.shape),
                data.dtype.name,
            )
        )

    def _records(self, group: Any, names: str) -> None:
        """Note what legacy readers fail on: records that are not one value (spec §11)."""
        for name in names.split():
            self._value(group, name)
        for name in _RECORDS:
            if name in group and _is_dataset(group.get(name)):
                self._fault(group[name], "is a dataset, where a group of records belongs")
            elif name in group:
                for record in group[name]:
                    self._value(group[name], record)
        for key in group.get("_history", ()):
            if not _is_number(key):
                self._fault(group["_history"][key], "is not named by its time")

    def _value(self, group: Any, name: str) -> Any:
        """Return the one value of a dataset, None where there is none."""
        item = group.get(name)
        if not _is_dataset(item):
            return None
        if item.shape != (1,):
            self._fault(item, f"has the shape {item.shape}, where readers need (1,)")
            return None
        return item[0]

    def _notice(self, item: Any, what: str) -> None:
        notice = f"{printable(item.name)} {what}"
        if notice not in self.notices:
            self.notices.append(notice)

    def _fault(self, item: Any, what: str) -> None:
        self._notice(item, what)
        fault = f"{printable(item.name)} {what}"
        if fault not in self.faults:
            self.faults.append(fault)


def _groups(group: Any) -> list[Any]:
    """Return the groups below a group, those of records left out."""
    below = [group.get(name) for name in group if name not in _RECORDS]
    return [item for item in below if isinstance(item, require_h5py().Group)]


def _name(group: Any) -> str:
    return str(group.name).rpartition("/")[2]


def _is_dataset(item: Any) -> bool:
    return isinstance(item, require_h5py().Dataset)


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
