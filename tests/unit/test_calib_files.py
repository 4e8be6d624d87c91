"""How files get into calib directories, and what is left if that is cut short."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from panelcal.errors import InvalidInputError
from panelcal.exporters.calib_files import (
    JOB_PREFIX,
    put_in_place,
    remove_stale_staging,
    require_open,
    staging,
    take_back,
)

STAMP = "2026-02-01T10:11:12"


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """A umask that leaves nothing to the group."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def put(target: Path, content: str) -> Path | None:
    with staging(target.parent) as directory:
        (directory / "new").write_text(content)
        return put_in_place(directory / "new", target, STAMP)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_first_file_gets_directories_and_modes(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "1-end.data"
    assert put(target, "new") is None
    assert [mode(path) for path in (target, target.parent, tmp_path / "a")] == [
        0o664,
        0o2775,
        0o2775,
    ]
    assert names(tmp_path) == ["a"]


def test_a_directory_never_appears_without_its_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = Path.rename

    def looked_at(self: Path, target: Path) -> Path:
        seen.append((target.name, mode(self)))
        return real(self, target)

    monkeypatch.setattr(Path, "rename", looked_at)
    put(tmp_path / "a" / "b" / "1-end.data", "new")
    assert seen == [("a", 0o2775), ("b", 0o2775)]


def test_a_directory_that_somebody_makes_at_the_same_moment_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.rename

    def too_late(self: Path, target: Path) -> Path:
        target.mkdir()
        (target / "theirs").touch()
        return real(self, target)

    monkeypatch.setattr(Path, "rename", too_late)
    put(tmp_path / "a" / "1-end.data", "new")
    assert names(tmp_path / "a") == ["1-end.data", "theirs"]


def test_a_replaced_file_is_kept_and_gives_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "1-end.data"
    target.write_text("old")
    target.chmod(0o640)
    kept = put(target, "new")
    assert kept == tmp_path / f"1-end.data-{STAMP}"
    assert (kept.read_text(), target.read_text(), mode(target)) == ("old", "new", 0o640)


def test_files_replaced_in_one_second_are_all_kept(tmp_path: Path) -> None:
    target = tmp_path / "1-end.data"
    for content in ("one", "two", "three", "four"):
        put(target, content)
    kept = {path.name: path.read_text() for path in tmp_path.glob("1-end.data-*")}
    assert kept == {
        f"1-end.data-{STAMP}": "one",
        f"1-end.data-{STAMP}.2": "two",
        f"1-end.data-{STAMP}.3": "three",
    }


def no_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_that_a_killed_process_kept_is_not_kept_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(Path, "hardlink_to", no_links)
    target = tmp_path / "1-end.data"
    target.write_text("old")
    with staging(tmp_path) as directory:
        (directory / "new").write_text("new")
        with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
            real = Path.replace

            def interrupted(self: Path, to: Path) -> Path:
                if to == target:
                    raise KeyboardInterrupt
                return real(self, to)

            killed.setattr(Path, "replace", interrupted)
            put_in_place(directory / "new", target, "2026-01-01T00:00:00")
    kept = tmp_path / "1-end.data-2026-01-01T00:00:00"
    assert put(target, "new") == kept
    assert names(tmp_path) == ["1-end.data", kept.name]
    assert (kept.read_text(), target.read_text()) == ("old", "new")


def test_without_hard_links_a_replaced_file_is_copied_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "hardlink_to", no_links)
    target = tmp_path / "1-end.data"
    target.write_text("old")

    def half(source: Path, to: Path) -> Path:
        to.write_text(source.read_text()[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", half)
    with pytest.raises(OSError, match="No space"):
        put(target, "new")
    assert names(tmp_path) == ["1-end.data"]
    assert target.read_text() == "old"


@pytest.mark.parametrize("is_there", [True, False])
def test_taking_back_leaves_what_was_there(tmp_path: Path, is_there: bool) -> None:
    target = tmp_path / "1-end.data"
    if is_there:
        target.write_text("old")
    take_back(target, put(target, "new"))
    assert names(tmp_path) == (["1-end.data"] if is_there else [])
    assert not is_there or target.read_text() == "old"


def test_only_what_jobs_left_below_the_root_is_removed(tmp_path: Path) -> None:
    target = tmp_path / "root" / "a" / "b"
    target.mkdir(parents=True)
    stale = [place / f"{JOB_PREFIX}x" for place in (target, target.parent, tmp_path / "root")]
    others = [tmp_path / f"{JOB_PREFIX}x", target / ".panelcal-x", tmp_path / "root" / "other"]
    for path in (*stale, *others):
        path.mkdir()
        (path / "file").touch()
    remove_stale_staging([target, target / "missing"], tmp_path / "root")
    assert not any(path.exists() for path in stale)
    assert all((path / "file").exists() for path in others)


def test_a_directory_that_may_not_be_looked_into_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "closed" / "b"
    target.mkdir(parents=True)
    stale = tmp_path / f"{JOB_PREFIX}x"
    stale.mkdir()
    real = Path.glob

    def glob(path: Path, pattern: str) -> Iterator[Path]:
        if path != tmp_path:
            raise PermissionError(13, "Permission denied", str(path))
        return iter(list(real(path, pattern)))

    monkeypatch.setattr(Path, "glob", glob)
    remove_stale_staging([target], tmp_path)
    assert not stale.exists()


def test_history_that_is_a_directory_is_refused(tmp_path: Path) -> None:
    require_open(tmp_path / "to" / "come")
    (tmp_path / "HISTORY").mkdir()
    with pytest.raises(InvalidInputError, match="HISTORY is not a regular file"):
        require_open(tmp_path)
