"""Errors of the system name the file that they are about.

An operation on a descriptor, such as a write that finds the disk full, fails without
saying on what: whoever reads the message is to know which disk to look at.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name a file in errors of the system that name none.

    Parameters
    ----------
    path : Path
        What is read or written inside.

    Raises
    ------
    OSError
        What was raised, with its name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
