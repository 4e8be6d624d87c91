"""Temporary directories and files that are gone afterwards, also after Ctrl-C.

Each is named before it is made, and made where its removal is certain already: an
interrupt that arrives between the two would otherwise leave something that
nobody knows of.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


@contextmanager
def temporary_directory(parent: Path, prefix: str) -> Iterator[Path]:
    """Give a directory that only this user can look into, and remove it at the end."""
    path = parent / f"{prefix}{uuid4().hex}"
    try:
        path.mkdir(mode=0o700)
        yield path
    finally:
        remove_tree(path)


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
