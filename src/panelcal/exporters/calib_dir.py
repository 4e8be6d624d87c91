"""The calib directory: which file serves a run.

``<calib>/<group>/<source>/<ctype>/<begin>-<end>.data`` (spec §8). The legacy
finder takes the file with the largest begin not after the run.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.runs import instrument_of
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError

LAST_RUN = 9999
"""The largest run number the legacy finder can look up; also what ``end`` means."""


@dataclass(frozen=True, slots=True)
class RunRange:
    """The runs a calib file is for, both ends included."""

    begin: int
    end: int


def file_name(run: int) -> str:
    """Return the name of a file that serves a run and all later ones.

    Raises
    ------
    InvalidInputError
        The legacy finder crashes on numbers above 9999.
    """
    if run > LAST_RUN:
        msg = f"run {run} cannot be deployed: the legacy finder crashes on numbers above {LAST_RUN}"
        raise InvalidInputError(msg)
    return f"{run}-end.data"


def parse_file_name(name: str) -> RunRange | None:
    """Return the runs a file is for, None if the finder passes it over.

    Raises
    ------
    IntegrityError
        The finder crashes on a directory that holds such a name (spec §8).
    """
    stem, dot, extension = name.rpartition(".")
    if not dot or extension != "data":
        return None
    fields = stem.split("-")
    if len(fields) != 2 or not _is_number(fields[0]):
        return None
    begin, end = int(fields[0]), fields[1]
    if begin > LAST_RUN or not (end == "end" or (_is_number(end) and int(end) <= LAST_RUN)):
        msg = f"{name} makes the legacy finder crash for every run"
        raise IntegrityError(msg, "remove or rename that file")
    last = LAST_RUN if end == "end" else int(end)
    return RunRange(begin, last) if begin <= last else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def choose_file(names: Iterable[str], run: int) -> str | None:
    """Return the file that the legacy finder picks for a run, None if there is none.

    The largest begin wins, then the smallest end.

    Raises
    ------
    IntegrityError
        A name makes the finder crash, or two names mean the same runs, so that
        the order of the directory would decide.
    """
    asked = min(run, LAST_RUN)
    covering = []
    for name in sorted(names):
        runs = parse_file_name(name)
        if runs is not None and runs.begin <= asked <= runs.end:
            covering.append((-runs.begin, runs.end, name))
    covering.sort()
    if len(covering) > 1 and covering[0][:2] == covering[1][:2]:
        both = f"{covering[0][2]} and {covering[1][2]}"
        msg = f"{both} are for the same runs: the directory's order decides"
        raise IntegrityError(msg, "remove one of them")
    return covering[0][2] if covering else None


def find_file(type_dir: Path, run: int) -> Path | None:
    """Return the file of a calibration type's directory that serves a run."""
    name = _choose_in(type_dir, run, set())
    return None if name is None else type_dir / name


def _choose_in(type_dir: Path, run: int, to_come: set[str]) -> str | None:
    """Choose among the files of a directory and those that are to come into it."""
    present = {path.name for path in type_dir.iterdir()} if type_dir.is_dir() else set()
    try:
        return choose_file(present | to_come, run)
    except IntegrityError as error:
        msg = f"{type_dir}: {error.message}"
        raise IntegrityError(msg, error.hint) from error


def type_directory(calib_dir: Path, group: str, source: str, ctype: str) -> Path:
    """Return where the files of a calibration type are."""
    return calib_dir / group / source / ctype


def calib_dir_of(root: Path, experiment: str) -> Path:
    """Return the calib directory of an experiment below a root (design §5)."""
    return root / instrument_of(experiment) / experiment / "calib"


def require_would_serve(type_dir: Path, run: int) -> Path:
    """Return the file to write for a run; refuse if the finder would not pick it.

    Raises
    ------
    InvalidInputError
        Something that is no directory, or no file, is in its place.
    ConflictError
        Another file would be picked for the run.
    IntegrityError
        A name in the directory makes the finder crash or its answer random.
    """
    name = file_name(run)
    require_directory_possible(type_dir)
    for place in (type_dir / name, type_dir / "HISTORY"):
        if place.exists() and not place.is_file():
            msg = f"{place} is not a regular file"
            raise InvalidInputError(msg, "remove or rename it")
    chosen = _choose_in(type_dir, run, {name})
    if chosen != name:
        msg = f"{type_dir / str(chosen)} would be read for run {run}, not {name}"
        raise ConflictError(msg, f"remove or rename {chosen}")
    return type_dir / name


def require_directory_possible(path: Path) -> None:
    """Refuse a path that is not, and cannot become, a directory.

    Raises
    ------
    InvalidInputError
        It, or something above it, exists and is no directory.
    """
    existing = next(place for place in (path, *path.absolute().parents) if os.path.lexists(place))
    if not existing.is_dir():
        msg = f"{existing} is not a directory"
        raise InvalidInputError(msg)
