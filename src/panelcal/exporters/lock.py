"""One writer a directory: a lock that ends with its process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from panelcal.errors import ConflictError, InvalidInputError
from panelcal.exporters.permissions import LEGACY, Permissions

LOCK_NAME = ".panelcal.lock"


@contextmanager
def locked(
    directory: Path, what: str, *, permissions: Permissions = LEGACY, seconds: float = 0
) -> Iterator[None]:
    """Hold a directory against other panelcal processes that write into it.

    The lock is the kernel's, so that a killed process locks nobody out. Its file
    stays: removed, it would let two processes lock two files of one name.

    Parameters
    ----------
    directory : Path
        It exists.
    what : str
        Who would hold the lock, for the message.
    permissions : Permissions
        Of the lock file; the next writer may be another user of the same group.
    seconds : float
        How long to wait for another process.

    Raises
    ------
    ConflictError
        Another process holds it.
    InvalidInputError
        The file cannot be made or opened, or the file system has no locks.
    """
    from filelock import FileLock, Timeout

    path = directory / LOCK_NAME
    # A lock that is a mere file would outlive a killed process.
    lock = FileLock(path, seconds, permissions.file_mode, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout as error:
        msg = f"{what} is already at work in {directory}"
        hint = f"try again when it has ended; it holds the lock on {LOCK_NAME} until then"
        raise ConflictError(msg, hint) from error
    except OSError as error:
        msg = f"{path} cannot be locked: {error.strerror or error}"
        raise InvalidInputError(msg, "check the permissions of that directory") from error
    try:
        if path.stat().st_uid == os.geteuid():
            permissions.apply_to_file(path)
        yield
    finally:
        lock.release()
