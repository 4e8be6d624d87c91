"""Making and opening stores."""

import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from tempfile import gettempdir

import pytest
from sqlalchemy import text

from conftest import RunsProgram
from panelcal.domain.moments import time_zone
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.storage import migrate
from panelcal.storage.store import create_store, open_database, open_store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ZONE = time_zone("America/Los_Angeles")


def test_a_store_remembers_its_time_zone(tmp_path: Path) -> None:
    create_store(tmp_path / "s", time_zone("Europe/Zurich"), NOW)
    with open_store(tmp_path / "s") as store:
        assert store.zone.key == "Europe/Zurich"


def test_an_empty_directory_becomes_a_store(tmp_path: Path) -> None:
    create_store(tmp_path, ZONE, NOW)
    open_store(tmp_path).close()


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o2775)
    before = tmp_path.stat()
    create_store(tmp_path, ZONE, NOW)
    assert (tmp_path.stat().st_mode, tmp_path.stat().st_ino) == (before.st_mode, before.st_ino)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["panelcal.db", "payloads"]


@pytest.mark.parametrize("name", ["localtime", "posixrules"])
def test_a_zone_that_depends_on_the_machine_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="another one on every machine"):
        time_zone(name)


def test_many_threads_can_ask_one_open_store(store_dir: Path) -> None:
    def ask(_: int) -> int:
        with store.database.reading() as connection:
            return len(connection.execute(text("SELECT * FROM kind")).all())

    with open_store(store_dir) as store, ThreadPoolExecutor(24) as threads:
        assert set(threads.map(ask, range(400))) == {2}


def test_missing_parents_of_a_store_are_made(tmp_path: Path) -> None:
    create_store(tmp_path / "a" / "b", ZONE, NOW)
    open_store(tmp_path / "a" / "b").close()


def test_a_store_is_not_made_over_another(store_dir: Path) -> None:
    with pytest.raises(ConflictError, match="already holds a store"):
        create_store(store_dir, ZONE, NOW)


def test_a_store_is_not_made_among_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ConflictError, match="not an empty directory"):
        create_store(tmp_path, ZONE, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_failed_init_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> None:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(migrate, "create_database", fail)
    with pytest.raises(OSError, match="No space"):
        create_store(tmp_path / "s", ZONE, NOW)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_time_zone_is_refused(panelcal: RunsProgram, tmp_path: Path) -> None:
    result = panelcal("init", tmp_path / "s", "--time-zone", "Mars/Olympus")
    assert result.exit_code == InvalidInputError.exit_code
    assert "no time zone named 'Mars/Olympus'" in result.stderr
    assert not (tmp_path / "s").exists()


def test_a_directory_without_a_store_is_refused_with_the_command_to_type(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store in") as caught:
        open_store(tmp_path)
    assert caught.value.hint == f"panelcal init {tmp_path}"
    assert list(tmp_path.iterdir()) == []


def test_no_store_named_at_all_is_refused(
    panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PANELCAL_STORE")
    result = panelcal("run", "list")
    assert result.exit_code == 2
    assert "no store was named" in result.stderr


def test_a_store_can_be_named_before_or_after_the_command(
    panelcal: RunsProgram, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PANELCAL_STORE")
    assert panelcal("--store", store_dir, "module", "list").exit_code == 0
    assert panelcal("module", "list", "--store", store_dir).exit_code == 0


def test_a_store_that_is_typed_wins_over_the_environment(
    panelcal: RunsProgram, store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANELCAL_STORE", str(tmp_path / "elsewhere"))
    assert panelcal("run", "list").exit_code == 3
    assert panelcal("run", "list", "--store", store_dir).exit_code == 0
    assert panelcal("--store", store_dir, "run", "list").exit_code == 0


def test_a_store_with_odd_characters_in_its_path_works(tmp_path: Path) -> None:
    odd = tmp_path / "a b#c?d%41e"
    create_store(odd, ZONE, NOW)
    open_store(odd).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's file is made by dropping root")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.sqlite_only
def test_a_store_that_cannot_be_written_can_be_read(store_dir: Path) -> None:
    child = multiprocessing.get_context("fork").Process(target=_read_as_nobody, args=(store_dir,))
    store_dir.chmod(0o755)
    (store_dir / "panelcal.db").chmod(0o644)
    for parent in takewhile(lambda path: path != Path(gettempdir()), store_dir.parents):
        parent.chmod(0o755)
    child.start()
    child.join()
    assert child.exitcode == 0


def _read_as_nobody(directory: Path) -> None:
    os.setuid(65534)
    with open_store(directory) as store, store.database.reading() as connection:
        connection.execute(text("SELECT * FROM module")).all()


def _add_modules(directory: Path, first: int) -> None:
    with open_database(directory) as database:
        for number in range(first, first + 25):
            with database.writing() as connection:
                count = connection.execute(text("SELECT count(*) FROM module")).scalar()
                connection.execute(
                    text("INSERT INTO module (detector_type_id, name) VALUES (1, :name)"),
                    {"name": f"M{number}-{count}"},
                )


def test_writers_in_several_processes_wait_for_each_other(store_dir: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    writers = [
        spawn.Process(target=_add_modules, args=(store_dir, first)) for first in (0, 100, 200)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with open_store(store_dir) as store, store.database.reading() as connection:
        names = connection.execute(text("SELECT name FROM module")).scalars().all()
    # Each writer read the count inside its unit of work: no two saw the same.
    assert sorted(int(name.rpartition("-")[2]) for name in names) == list(range(75))


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "list", "--store", ""],
        ["import", "gains-tree", ""],
        ["init", ""],
        ["export", "exp=xcsls3716:run=631", "--calib-dir", "", "--deploy"],
    ],
    ids=" ".join,
)
def test_an_empty_path_does_not_mean_here(panelcal: RunsProgram, arguments: list[str]) -> None:
    refused = panelcal(*arguments)
    assert refused.exit_code == 2
    assert "a path is empty" in refused.stderr


@pytest.mark.sqlite_only
def test_a_damaged_database_is_an_integrity_error(panelcal: RunsProgram, store_dir: Path) -> None:
    path = store_dir / "panelcal.db"
    path.write_bytes(path.read_bytes()[:20000])
    refused = panelcal("run", "list")
    assert refused.exit_code == 5
    assert "restore it from a backup" in refused.stderr


def test_a_store_in_a_directory_that_is_no_utf_8_works(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"n\xff")
    create_store(odd, ZONE, NOW)
    open_store(odd).close()
