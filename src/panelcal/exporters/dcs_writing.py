"""Adding constants to a DCS HDF5 file, as the legacy ``dcs add`` lays it out (spec §11).

A file is never changed in place: a copy is added to, compared with the original,
and put in its place in one step.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from panelcal.domain.digest import digest_of
from panelcal.domain.moments import aware_utc, to_microseconds
from panelcal.domain.text import excerpt
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError
from panelcal.exporters.dcs_constants import (
    DcsConstants,
    count_panels,
    require_addable,
    require_own_name,
)
from panelcal.exporters.dcs_copy import LIBRARIES, replacing
from panelcal.exporters.dcs_file import DcsFile, load_version, read_dcs_file
from panelcal.exporters.dcs_open import require_h5py
from panelcal.exporters.dcs_versions import PROVENANCE, VERSION_NAME, DcsVersion, choose_version
from panelcal.exporters.lock import locked
from panelcal.exporters.permissions import LEGACY, Permissions

LAST_NUMBER = 9999
"""Readers take the last name in alphabetical order, and v10000 sorts before v9999."""

PATIENCE_SECONDS = 60.0
"""How long to wait for another writer of the same directory."""

_WRITER = "another writer of DCS files"
_ROOM_EACH = 2**20
"""Bytes for groups, records and attributes of one version: more than they take."""


@dataclass(frozen=True, slots=True)
class AddedVersion:
    """Where in a file constants are.

    Parameters
    ----------
    ctype, range_name, name : str
        The groups.
    number : int
        What ``version`` says.
    status : {'added', 'unchanged'}
        ``unchanged`` where readers took these constants already.
    """

    ctype: str
    range_name: str
    name: str
    number: int
    status: Literal["added", "unchanged"]


def add_constants(
    path: Path,
    detector: str,
    additions: Sequence[DcsConstants],
    *,
    device: str,
    now: datetime,
    permissions: Permissions = LEGACY,
) -> list[AddedVersion]:
    """Add constants to a DCS file, all of them or none; make the file where there is none.

    What is in the file stays bit by bit as it is. Constants that readers
    already take from the same range are not added again.

    Parameters
    ----------
    path : Path
        ``<device>-<detector id>.h5``, or a name that psana does not look for; a
        link is followed.
    device : str
        ``jungfrau``: what the names of its DCS files begin with.
    now : datetime
        The time of production, aware.
    permissions : Permissions
        Of a new file. One that exists keeps its mode and group.

    Returns
    -------
    list of AddedVersion
        One for each addition, in their order.

    Raises
    ------
    InvalidInputError
        Something to be added, or the file's name, is malformed; the path is no
        HDF5 file or may not be written; h5py is not installed.
    ConflictError
        The file is another detector's; readers would take something else than
        what is added; other programs are writing.
    IntegrityError
        The file is damaged, or legacy readers fail on it, or what was written
        reads back differently.
    OSError
        There is no room, or the file system fails.
    """
    require_h5py()
    require_own_name(path, device, detector)
    require_addable(additions, count_panels(detector))
    now_us = to_microseconds(aware_utc(now))
    target = path.resolve()
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        msg = f"{path} is not a file that can be written"
        raise InvalidInputError(msg, "check its permissions; nothing was changed")
    permissions.make_directories(target.parent)
    with locked(target.parent, _WRITER, permissions=permissions, seconds=PATIENCE_SECONDS):
        present = _present(path, detector) if target.exists() else None
        found = [_unchanged(present, one) for one in additions]
        missing = [one for one, there in zip(additions, found, strict=True) if there is None]
        if not missing:
            return [there for there in found if there is not None]
        room = sum(one.array.nbytes + _ROOM_EACH for one in missing)
        with replacing(target, room, permissions) as copy:
            added = _write(copy, device, detector, missing, now_us)
            _require_taken(path, copy, list(zip(missing, added, strict=True)))
    written = iter(added)
    return [next(written) if there is None else there for there in found]


def _present(path: Path, detector: str) -> DcsFile:
    """Read the file that is there; refuse one that must not be added to."""
    present = read_dcs_file(path)
    if present.detector != detector:
        msg = f"{path} says that it is the file of detector {excerpt(present.detector)}"
        raise ConflictError(msg, "move it away; nothing was changed")
    if present.faults:
        msg = f"legacy readers fail on {path}: {present.faults[0]}"
        raise IntegrityError(msg, "repair the file, or move it away; nothing was changed")
    return present


def _unchanged(present: DcsFile | None, one: DcsConstants) -> AddedVersion | None:
    """Return where in the file constants are already, None if they are to be added.

    An earlier range with the same values does not count: whoever changes that
    one later would change these constants, too.
    """
    if present is None:
        return None
    taken = choose_version(
        present.versions, one.ctype, one.begin, empty_ranges=present.empty_ranges
    )
    if taken is None or (taken.begin, taken.end) != (one.begin, None):
        return None
    if digest_of(load_version(present, taken)) != digest_of(one.array):
        return None
    return AddedVersion(taken.ctype, taken.range_name, taken.name, taken.number, "unchanged")


def _write(
    path: Path, device: str, detector: str, additions: Sequence[DcsConstants], now_us: int
) -> list[AddedVersion]:
    try:
        with require_h5py().File(path, "r+", libver=LIBRARIES) as root:
            if not len(root):
                _text(root, "dettype", device)
                _text(root, "detid", detector)
                _text(root, "detname", f"{device}-{detector}")
                # Its name notwithstanding, the begin of what was added first.
                _number(root, "tscfile", "f8", additions[0].begin)
            return [_add(root, one, now_us) for one in additions]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # What h5py raises where damage shows only in writing, or the disk fails.
        msg = f"the copy of the file cannot be added to: {error}"
        raise IntegrityError(msg, "restore the file from a backup; nothing was changed") from error


def _add(root: Any, one: DcsConstants, now_us: int) -> AddedVersion:
    """Add a version, and around it what is missing; what is there is left alone."""
    import numpy as np

    if one.ctype not in root:
        _text(root.create_group(one.ctype), "ctype", one.ctype)
        _record(root, f"add ctype {one.ctype}: ", now_us)
    ctype = root[one.ctype]
    if one.range_name not in ctype:
        _add_range(ctype, one)
        _record(ctype, f"add range {one.range_name}: exp={one.experiment}:run={one.run}", now_us)
    span = ctype[one.range_name]
    present = [int(found[1]) for found in map(VERSION_NAME.match, span) if found]
    number = max(present, default=0) + 1
    if number > LAST_NUMBER:
        msg = f"{one.ctype}/{one.range_name} has version {number - 1}; readers take no higher one"
        raise ConflictError(msg, "delete versions of the range, or move the file away")
    version = span.create_group(f"v{number:04d}")
    _number(version, "version", "i8", number)
    _number(version, "tsprod", "f8", now_us / 1e6)
    version.create_dataset("data", data=one.array)
    for name, value in one.provenance.items():
        version.attrs[f"{PROVENANCE}{name}"] = np.bytes_(value)
    _record(span, f"add version {number}: {one.comment}", now_us)
    return AddedVersion(one.ctype, one.range_name, f"v{number:04d}", number, "added")


def _add_range(ctype: Any, one: DcsConstants) -> None:
    span = ctype.create_group(one.range_name)
    _number(span, "begin", "f8", one.begin)
    _text(span, "end", "end")
    _text(span, "range", one.range_name)
    _number(span, "versdef", "i8", 0)
    parameters = span.create_group("_parameters")
    _text(parameters, "experiment", one.experiment)
    _text(parameters, "run", one.run)


def _record(group: Any, text: str, now_us: int) -> None:
    """Add to a history, under the first microsecond from now that is free."""
    history = group.require_group("_history")
    while (key := f"{now_us // 10**6}.{now_us % 10**6:06d}") in history:
        now_us += 1
    _text(history, key, text)


def _text(group: Any, name: str, text: str) -> None:
    import numpy as np

    group.create_dataset(name, data=np.array([text.encode("ascii")]))


def _number(group: Any, name: str, dtype: str, value: float) -> None:
    import numpy as np

    group.create_dataset(name, data=np.array([value], dtype))


def _require_taken(
    path: Path, copy: Path, pairs: Sequence[tuple[DcsConstants, AddedVersion]]
) -> None:
    """Refuse a copy in which readers would not find just what was added."""
    file = read_dcs_file(copy)
    if file.faults:
        msg = f"what was written makes legacy readers fail: {file.faults[0]}"
        raise IntegrityError(msg)
    for one, added in pairs:
        place = (added.ctype, added.range_name, added.name)
        own = next((found for found in file.versions if _place(found) == place), None)
        if own is None or (own.begin, own.end) != (one.begin, None):
            msg = f"{path} has a range {'/'.join(place[:2])} that is not from {one.begin} s on"
            raise ConflictError(msg, "delete that range, or move the file away")
        _require_first(path, file, own)
        if digest_of(load_version(file, own)) != digest_of(one.array):
            msg = f"what was written to {'/'.join(place)} reads back differently"
            raise IntegrityError(msg, "check the disk; nothing was changed")


def _require_first(path: Path, file: DcsFile, own: DcsVersion) -> None:
    """Refuse a version that readers do not take at its begin and a second later.

    Only a range that begins at that second may take over there.
    """
    for time in (own.begin, own.begin + 1):
        taken = choose_version(file.versions, own.ctype, time, empty_ranges=file.empty_ranges)
        if taken == own or (taken is not None and taken.begin == own.begin + 1):
            continue
        why, hint = _why_not(own, taken)
        msg = f"{path}: readers would not take {'/'.join(_place(own))} for {time:.0f} s: {why}"
        raise ConflictError(msg, f"{hint}, or move the file away; nothing was changed")


def _why_not(own: DcsVersion, taken: DcsVersion | None) -> tuple[str, str]:
    if taken is None:
        return "a range without versions hides it", "delete that range"
    found = f"they would take {taken.range_name}/{taken.name}"
    if taken.range_name != own.range_name:
        return f"{found}, a narrower or later range", "delete that range"
    if taken.is_default:
        return f"{found}, which versdef names", "set versdef to 0"
    return f"{found}, the last in alphabetical order", "rename that group"


def _place(version: DcsVersion) -> tuple[str, str, str]:
    return version.ctype, version.range_name, version.name
