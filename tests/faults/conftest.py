"""Fixtures of the tests that kill: a program ready to run, and room in memory for its stores."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.forks import Forks


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A directory in memory, if there is one: a hundred stores are made in it."""
    memory = Path("/dev/shm")
    directory = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def forks(scratch: Path) -> Iterator[Forks]:
    """The program, ready to run."""
    with Forks(scratch / "notes") as found:
        yield found
