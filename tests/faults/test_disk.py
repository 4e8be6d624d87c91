"""Real disks: a full one, one that may only be read, and what a killed writer left on it."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from builders import fingerprint, rows
from faults.forks import Forks
from faults.jobs import RUN
from faults.places import NEW_FB, Place, Prepared

BECAUSE = ("--reason", "r")
READING = (
    ("resolve", NEW_FB, "--at", "20180419000000"),
    ("resolve", RUN, "--explain"),
    ("history", NEW_FB),
    ("log",),
    ("run", "list"),
    ("tag", "list"),
    ("module", "show", "M044"),
    ("db", "check"),
    ("fsck", "--verify-data"),
)
NOBODY = 65534


def writing(place: Place) -> list[list[str]]:
    """Return one command of each kind that writes."""
    start = ("--from", "20190101000000")
    return [
        place.command("assign", NEW_FB, "M088", *start, *BECAUSE),
        place.command("withdraw", NEW_FB, *start, *BECAUSE),
        place.command("tag", "create", "spring", *BECAUSE),
        place.command("module", "add", "M099", place.delivery, *BECAUSE),
        place.command("import", "runs", place.directory / "more.csv"),
    ]


@pytest.fixture(scope="module")
def prepared(scratch: Path, forks: Forks) -> Iterator[Prepared]:
    """Places with SQLite."""
    found = Prepared(scratch / "disk", None, forks)
    yield found
    found.close()


@pytest.fixture
def place(prepared: Prepared, scratch: Path) -> Iterator[Place]:
    """A filled store."""
    with prepared.copied("filled", scratch / "on-disk") as found:
        yield found


@contextmanager
def mounted(*arguments: str | Path) -> Iterator[None]:
    """Mount something, where that is allowed."""
    directory = arguments[-1]
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


@contextmanager
def with_bytes_left(path: Path, left: int) -> Iterator[None]:
    """Fill the disk of a directory until so many bytes are left."""
    filler = path / "filler"
    free = os.statvfs(path)
    try:
        with filler.open("wb") as stream, suppress(OSError):
            os.posix_fallocate(stream.fileno(), 0, max(1, free.f_bavail * free.f_frsize - left))
        yield
    finally:
        filler.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize("left", [0, 12288])
def test_a_full_disk_is_told_with_the_file_and_changes_nothing(
    place: Place, forks: Forks, tmp_path: Path, left: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with mounted("-t", "tmpfs", "-o", "size=16m", "tmpfs", disk):
        small = Place(disk / "place")
        shutil.copytree(place.directory, small.directory, symlinks=True)
        for command in writing(small):
            before, _ = fingerprint(small.store)
            with with_bytes_left(disk, left):
                ended = forks([command], small.directory)
            assert "Traceback" not in ended.complained, ended.complained
            if ended.code == 0:
                # There was room for this one.
                continue
            assert ended.code == 1, ended.complained
            assert str(small.store) in ended.complained
            # Payloads may be there by then, which no row names.
            after, _ = fingerprint(small.store)
            assert after == before
            again = forks([command], small.directory)
            assert again.code == 0, again.complained


@pytest.mark.parametrize("limit", [250, 300])
def test_a_file_that_must_not_grow_is_named_and_nothing_is_recorded(
    place: Place, forks: Forks, limit: int
) -> None:
    before = fingerprint(place.store)
    command = place.command("module", "add", "M099", place.delivery, *BECAUSE)
    # The database is longer than that already: no command of SQL alone could tell.
    ended = forks([command], place.directory, file_bytes=limit)
    assert ended.code == 1
    assert f"error: {place.store}/payloads/incoming/" in ended.complained
    assert ": File too large" in ended.complained
    assert fingerprint(place.store) == before
    assert forks([command], place.directory).code == 0


def check_reading_works_and_writing_is_refused(
    run: Callable[[list[str]], "tuple[int, str]"], place: Place
) -> None:
    for arguments in READING:
        code, said = run(place.command(*arguments))
        assert code == 0, (arguments, said)
    for command in writing(place):
        code, said = run(command)
        assert code in {1, 2}, (command, code, said)
        assert "Traceback" not in said
        assert str(place.store) in said, said
        assert any(word in said for word in ("cannot be written", "Read-only", "denied")), said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a disk read-only")
def test_a_store_on_a_read_only_disk_is_read_and_refuses_to_be_written(
    place: Place, forks: Forks
) -> None:
    before = fingerprint(place.store)

    def run(command: list[str]) -> tuple[int, str]:
        ended = forks([command], place.directory)
        return ended.code, ended.complained

    with mounted("--bind", "-o", "ro", place.directory, place.directory):
        check_reading_works_and_writing_is_refused(run, place)
    assert fingerprint(place.store) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a child as somebody else")
def test_a_store_of_somebody_else_is_read_and_refuses_to_be_written(
    place: Place, forks: Forks
) -> None:
    for directory in (place.directory, place.directory.parent):
        directory.chmod(0o755)
    before = fingerprint(place.store)

    def run(command: list[str]) -> tuple[int, str]:
        ended = forks([command], place.directory, user=NOBODY)
        return ended.code, ended.complained

    check_reading_works_and_writing_is_refused(run, place)
    assert fingerprint(place.store) == before


def with_hot_journal(store: Path) -> None:
    """Leave a store as a writer that was killed in the middle of its commit."""
    path = store / "panelcal.db"
    other = store.with_name("writing.db")
    shutil.copy(path, other)
    connection = sqlite3.connect(other, isolation_level=None)
    connection.execute("PRAGMA cache_size = 1")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("CREATE TABLE half AS SELECT * FROM assignment")
    connection.executemany("INSERT INTO half (reason) VALUES (?)", [("x" * 4000,)] * 100)
    # More than the cache holds: it is in the file, and what was there in the journal.
    shutil.copy(other, path)
    shutil.copy(f"{other}-journal", f"{path}-journal")
    connection.close()


def test_what_a_killed_writer_left_half_done_is_undone_by_the_next_reader(
    place: Place, forks: Forks
) -> None:
    before = fingerprint(place.store)
    with_hot_journal(place.store)
    assert forks([place.command("log")], place.directory).code == 0
    assert not (place.store / "panelcal.db-journal").exists()
    assert fingerprint(place.store) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs a child as somebody else")
def test_who_may_not_undo_what_a_killed_writer_left_is_told_so_and_sees_no_half(
    place: Place, forks: Forks
) -> None:
    for directory in (place.directory, place.directory.parent):
        directory.chmod(0o755)
    with_hot_journal(place.store)
    ended = forks([place.command("log")], place.directory, user=NOBODY)
    assert ended.code == 1
    assert f"{place.store}/panelcal.db" in ended.complained
    assert "killed" in ended.complained
    assert forks([place.command("log")], place.directory).code == 0
    assert rows(place.store, "SELECT name FROM sqlite_master WHERE name = 'half'") == []
