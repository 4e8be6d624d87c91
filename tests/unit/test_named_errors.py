"""Errors of the system name the file that they are about."""

import errno
from pathlib import Path

import pytest

from panelcal.named_errors import naming


def test_an_error_without_a_name_gets_that_of_the_file() -> None:
    with pytest.raises(OSError, match="No space left on device: '/a/b'") as caught:
        with naming(Path("/a/b")):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == "/a/b"


def test_an_error_keeps_its_kind() -> None:
    with pytest.raises(PermissionError), naming(Path("/a/b")):
        raise OSError(errno.EACCES, "Permission denied")


def test_an_error_that_names_another_file_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, naming(Path("/a/b")):
        (tmp_path / "missing").read_bytes()
    assert caught.value.filename == str(tmp_path / "missing")


def test_an_error_that_is_not_the_systems_is_left_alone() -> None:
    with pytest.raises(OSError, match=r"^of some library$"), naming(Path("/a/b")):
        raise OSError("of some library")  # noqa: EM101 - as libraries do
