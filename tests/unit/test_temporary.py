"""Whatever moment an interrupt chooses, nothing temporary stays behind."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from panelcal import temporary
from panelcal.temporary import remove_tree, temporary_directory, temporary_file

PLACES: list[Callable[[Path], AbstractContextManager[Path]]] = [
    lambda parent: temporary_directory(parent, ".x-"),
    lambda parent: temporary_file(parent, ".x-", ".h5"),
]


def interrupted_at(number: int, files: tuple[str, ...], work: Callable[[], object]) -> bool:
    """Interrupt work at its n-th line in given source files; say whether it got that far."""
    steps = 0

    def step(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal steps
        if event == "line" and frame.f_code.co_filename in files:
            steps += 1
            if steps > number:
                sys.settrace(None)
                raise KeyboardInterrupt
        return step

    sys.settrace(step)
    try:
        work()
    except KeyboardInterrupt:
        return True
    except OSError as error:
        # What shutil makes of an interrupt between closing a directory and noting that.
        if isinstance(error.__context__, KeyboardInterrupt):
            return True
        raise
    finally:
        sys.settrace(None)
    return False


@pytest.mark.parametrize("make", PLACES, ids=["directory", "file"])
def test_an_interrupt_while_it_is_made_leaves_nothing(
    make: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    files = (str(temporary.__file__), str(Path.mkdir.__code__.co_filename))

    def enter() -> None:
        with make(tmp_path) as made:
            sys.settrace(None)
            assert made.exists()

    number = 0
    while interrupted_at(number, files, enter):
        assert list(tmp_path.iterdir()) == [], f"interrupted at step {number}"
        number += 1
    assert number > 4
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_while_it_is_removed_does_not_keep_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    number = 0
    while True:
        for name in ("a/b/c", "a/d"):
            (tree / name).mkdir(parents=True)
            (tree / name / "file").write_bytes(b"content")
        went_on = interrupted_at(number, (shutil.__file__,), lambda: remove_tree(tree))
        assert not tree.exists(), f"interrupted at step {number}"
        if not went_on:
            break
        number += 1
    assert number > 20


@pytest.mark.parametrize("make", PLACES, ids=["directory", "file"])
def test_what_was_moved_away_is_not_missed(
    make: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    with make(tmp_path) as made:
        kept = made.rename(tmp_path / "kept")
    assert kept.exists()
    assert list(tmp_path.iterdir()) == [kept]


def test_what_a_killed_process_left_goes_with_the_next(tmp_path: Path) -> None:
    killed = os.fork()
    if killed == 0:
        with temporary_directory(tmp_path, ".x-") as made:
            (made / "half").write_text("half", encoding="ascii")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(killed, 0)
    assert len(list(tmp_path.iterdir())) == 1
    with temporary_directory(tmp_path, ".x-") as made:
        assert list(tmp_path.iterdir()) == [made]


def test_what_a_living_process_uses_stays(tmp_path: Path) -> None:
    with temporary_directory(tmp_path, ".x-") as used:
        (used / "file").touch()
        with temporary_directory(tmp_path, ".x-"):
            assert (used / "file").exists()


@pytest.mark.parametrize("name", [".x-1", f".x-job-{'0' * 32}", f".x-{'0' * 32}.h5", "kept"])
def test_nothing_of_another_name_is_removed(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with temporary_directory(tmp_path, ".x-"):
        assert (tmp_path / name).is_dir()
