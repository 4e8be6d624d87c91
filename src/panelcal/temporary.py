"""Temporary directories and files that are gone afterwards, also after Ctrl-C.

Each is named before it is made, and made where its removal is certain already: an
interrupt that arrives between the two would otherwise leave something that
nobody knows of.
"""

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

PREFIX = ".panelcal-"
"""With which names of temporary things begin, so that whoever meets one knows whose it is."""


@contextmanager
def temporary_directory(parent: Path, prefix: str, mode: int = 0o700) -> Iterator[Path]:
    """Give a directory that only this user can look into, and remove it at the end.

    Those that killed processes left there under the same prefix go first. A process
    holds the kernel's lock on its own for as long as it lives, however it ends.

    Parameters
    ----------
    mode : int
        For others to look into it as well.
    """
    remove_abandoned(parent, prefix)
    path = parent / f"{prefix}{uuid4().hex}"
    handles: list[int] = []
    try:
        make_held(path, handles, mode)
        yield path
    finally:
        remove_held(path, handles)


def make_held(path: Path, handles: list[int], mode: int = 0o700) -> None:
    """Make a directory that other processes can tell to be in use.

    Parameters
    ----------
    handles : list of int
        Gets the descriptors that hold it, for `remove_held`; known to the caller
        before there is anything to remove.

    Raises
    ------
    OSError
        It cannot be made.
    """
    while not handles:
        path.mkdir(mode=mode)
        # Another process may take it for abandoned, and remove it, until it is held.
        handles += _held(path, fcntl.LOCK_EX)


def remove_held(path: Path, handles: list[int]) -> None:
    """Remove a directory that was made by `make_held`, or was to be."""
    remove_tree(path)
    while handles:
        os.close(handles.pop())


def remove_abandoned(parent: Path, prefix: str) -> None:
    """Remove what `temporary_directory` made for processes that are no more."""
    try:
        found = named_as_temporary(parent, prefix)
    except OSError:
        # What cannot be looked into cannot be tidied; whether it can be used is asked next.
        return
    for path in found:
        try:
            handles = _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # In use, somebody else's, or on a file system without locks.
            continue
        remove_tree(path)
        for handle in handles:
            os.close(handle)


def named_as_temporary(parent: Path, prefix: str) -> list[Path]:
    """Return what is called as `temporary_directory` calls what it makes.

    Raises
    ------
    OSError
        The directory cannot be looked into.
    """
    own = re.compile(re.escape(prefix) + "[0-9a-f]{32}", re.ASCII)
    return [path for path in parent.iterdir() if own.fullmatch(path.name)]


def is_in_use(path: Path) -> bool:
    """Say whether a living process holds a directory, as `temporary_directory` does its own."""
    try:
        handles = _held(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        # No directory, somebody else's, or on a file system without locks: nothing tells.
        return False
    for handle in handles:
        os.close(handle)
    return False


def _held(path: Path, operation: int) -> list[int]:
    """Lock a directory until its descriptor, which is returned, is closed; none if it is gone."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return []
    is_held = False
    try:
        try:
            fcntl.flock(handle, operation)
        except OSError:
            # Without locks nobody takes it for abandoned either.
            if operation & fcntl.LOCK_NB:
                raise
        is_held = path.exists() and os.path.samestat(path.stat(), os.fstat(handle))
    finally:
        if not is_held:
            os.close(handle)
    return [handle] if is_held else []


@contextmanager
def temporary_file(parent: Path, prefix: str, suffix: str) -> Iterator[Path]:
    """Give an empty file of this user's alone; at the end it is removed if still there."""
    path = parent / f"{prefix}{uuid4().hex}{suffix}"
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        yield path
    finally:
        path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a directory as far as it can be; an interrupt meanwhile waits until it is gone."""
    try:
        shutil.rmtree(path, ignore_errors=True)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
