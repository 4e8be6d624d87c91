"""How a file gets into a calib directory: in one step, the former one kept."""

import filecmp
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from panelcal.errors import InvalidInputError
from panelcal.exporters.history_file import FILE_NAME as HISTORY_NAME
from panelcal.exporters.permissions import (
    LEGACY,
    Permissions,
    copy_permissions,
    missing_directories,
)
from panelcal.named_errors import naming
from panelcal.temporary import PREFIX, remove_abandoned, remove_tree, temporary_directory

JOB_PREFIX = f"{PREFIX}job-"

_LEVELS = 5
"""A directory of files, the three above it that a calib directory has, and where that is."""


@contextmanager
def staging(target_dir: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """Give a temporary directory on the file system of a directory to come."""
    remove_abandoned_staging(target_dir, prefix)
    with temporary_directory(nearest_existing(target_dir), prefix) as temporary:
        yield temporary


def remove_abandoned_staging(target_dir: Path, prefix: str = PREFIX) -> None:
    """Remove what killed processes left in a directory and above it."""
    # One may have made some of the directories, and have left its own above them.
    for place in (target_dir, *target_dir.parents)[:_LEVELS]:
        remove_abandoned(place, prefix)


def nearest_existing(directory: Path) -> Path:
    """Return a directory if it is there, else the first above it that is."""
    return next(path for path in (directory, *directory.parents) if path.is_dir())


def remove_stale_staging(target_dirs: Iterable[Path], root: Path) -> None:
    """Remove what killed deploy jobs left between a root and directories below it.

    The caller holds the root's lock, so that no living job works there.
    """
    places = {place for target in target_dirs for place in (target, *target.parents)}
    for directory in sorted(place for place in places if place.is_relative_to(root)):
        # What may not be looked into holds nothing of this user's jobs.
        with suppress(PermissionError):
            for path in directory.glob(f"{JOB_PREFIX}*"):
                remove_tree(path)


def require_open(type_dir: Path) -> None:
    """Refuse a directory that a file cannot be put into and put on record in.

    Raises
    ------
    InvalidInputError
        It, or where it would be made, or the HISTORY in it is not writable;
        HISTORY is no file.
    """
    place, history = nearest_existing(type_dir), type_dir / HISTORY_NAME
    is_open = os.access(place, os.W_OK | os.X_OK)
    if not is_open or (history.exists() and not os.access(history, os.W_OK)):
        msg = f"{history if is_open else place} cannot be written"
        raise InvalidInputError(msg, "check its permissions; nothing was deployed")
    if history.exists() and not history.is_file():
        msg = f"{history} is not a regular file"
        raise InvalidInputError(msg, "remove or rename it")


def put_in_place(
    temporary: Path, target: Path, stamp: str, permissions: Permissions = LEGACY
) -> Path | None:
    """Move a finished file to its name in one step, keeping what was there.

    A process that is killed in between leaves nothing that another call would
    not complete: directories appear with their permissions, and a file that
    has been kept already is not kept twice.

    Parameters
    ----------
    temporary : Path
        The file, in a directory from `staging`.
    stamp : str
        Local time ``YYYY-mm-ddTHH:MM:SS``; the file replaced is kept as
        ``<name>.data-<stamp>``, which the finder passes over.
    permissions : Permissions
        Of what is new; a file that replaces another gets those of that one.

    Returns
    -------
    Path or None
        Where the replaced file is kept, None if there was none.
    """
    for directory in missing_directories(target.parent):
        permissions.make_directory(directory, temporary.parent)
    is_replacing = target.exists()
    if is_replacing:
        copy_permissions(target, temporary)
    else:
        permissions.apply_to_file(temporary)
    with naming(target), temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    former = set(target.parent.glob(f"{target.name}-*"))
    kept = _keep(target, stamp, temporary.parent) if is_replacing else None
    try:
        temporary.replace(target)
    except OSError:
        if kept is not None and kept not in former:
            kept.unlink(missing_ok=True)
        raise
    return kept


def _keep(target: Path, stamp: str, staged: Path) -> Path:
    """Give a file that is to be replaced a further name, unless it has one already.

    It has if a process was killed before it replaced the file.
    """
    siblings = sorted(target.parent.glob(f"{target.name}-*"))
    if target.stat().st_nlink > 1:
        former = next((path for path in siblings if path.samefile(target)), None)
        if former is not None:
            return former
    kept = next(path for path in _names(target, stamp) if not os.path.lexists(path))
    try:
        kept.hardlink_to(target)
    except FileExistsError:
        raise
    except OSError:
        # A file system without hard links, or a file of somebody else.
        former = next((path for path in siblings if filecmp.cmp(path, target, shallow=False)), None)
        if former is not None:
            return former
        Path(shutil.copy2(target, staged / "kept")).replace(kept)
    return kept


def _names(target: Path, stamp: str) -> Iterator[Path]:
    yield target.with_name(f"{target.name}-{stamp}")
    for number in count(2):
        yield target.with_name(f"{target.name}-{stamp}.{number}")


def take_back(target: Path, kept: Path | None) -> None:
    """Undo `put_in_place`: bring back the file that was replaced, or remove the new one."""
    if kept is None:
        target.unlink()
    else:
        kept.replace(target)


def remove_empty(directories: Iterable[Path]) -> None:
    """Remove directories, the last one first, until one is gone or in use."""
    for directory in reversed(list(directories)):
        try:
            directory.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            # Somebody else has put something into it: it is not ours alone any more.
            return
