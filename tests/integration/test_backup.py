"""Backups: a whole store as of one moment, taken while others write, and restored as it was."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import damage, fingerprint, rows
from bundle_material import (
    AUTUMN,
    BEGUN,
    F7,
    FB,
    Teller,
    answers,
    list_anew,
    moments_of_record,
)
from panelcal.domain.findings import Severity
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from panelcal.exporters.text_array import Environment
from panelcal.services.backup import back_up, update_backup
from panelcal.services.bundle_create import create_bundle
from panelcal.services.bundle_verify import verify_bundle
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.fsck import fsck
from panelcal.services.history import log
from panelcal.services.restore import restore
from panelcal.storage.bundle_writing import sync_file
from panelcal.storage.database import Database, parse_database_url
from panelcal.storage.reader import rows_of
from panelcal.storage.store import OpenStore, open_store
from servers import own_database

if TYPE_CHECKING:
    from sqlalchemy import URL

NOW = BEGUN + timedelta(days=30)
LATER = NOW + timedelta(days=1)


@pytest.fixture(params=["to a file", "to a server"])
def database_url(request: pytest.FixtureRequest) -> Iterator[str | None]:
    """Where the rows of a restored store are to be."""
    if request.param == "to a file":
        yield None
        return
    server: URL = request.getfixturevalue("server")
    with own_database(server) as url:
        yield url.render_as_string(hide_password=False)


def record_of(store: Path) -> dict[str, list[str]]:
    """Return every row of every table."""
    return fingerprint(store)[0]


def deploy_one(store: OpenStore, calib_dir: Path) -> None:
    """Put a deployment on record: it is part of a backup, and of no bundle."""
    answer = answer_for(store, "exp=xcsls3716:run=2", None)
    writing = Writing("legacy", Environment("eve", "host", "/here"), NOW)
    assert deploy(store, answer, calib_dir, writing=writing)


def test_a_restored_store_has_every_row_seal_and_payload_and_gives_every_answer(
    told: OpenStore, tmp_path: Path, database_url: str | None
) -> None:
    form = "backup.zip" if database_url is None else "backup"
    back_up(told, tmp_path / form, now=NOW)
    restore(tmp_path / form, tmp_path / "restored", database_url=database_url)
    assert record_of(tmp_path / "restored") == record_of(told.directory)
    assert fingerprint(tmp_path / "restored")[1] == fingerprint(told.directory)[1]
    with open_store(tmp_path / "restored") as restored:
        for moment in [None, *moments_of_record(told)[5::6]]:
            assert answers(restored, moment) == answers(told, moment)
    found = fsck(tmp_path / "restored", now=NOW, verify_data=True).findings
    assert [one for one in found if one.severity is Severity.ERROR] == []


def test_a_restored_store_goes_on_where_the_backup_ended(
    told: OpenStore, tmp_path: Path, database_url: str | None
) -> None:
    back_up(told, tmp_path / "backup", now=NOW)
    restore(tmp_path / "backup", tmp_path / "restored", database_url=database_url)
    with open_store(tmp_path / "restored") as restored:
        teller = Teller(restored, tmp_path, NOW)
        teller.deliver("M099", 9)
        teller.assign(F7, "M099", AUTUMN)
        teller.run(5, detector_id=F7)
        assert [event.recorded_at for event in log(restored)][-3:] == [
            NOW + timedelta(seconds=second) for second in (1, 2, 3)
        ]
    found = fsck(tmp_path / "restored", now=LATER, verify_data=True).findings
    assert [one for one in found if one.severity is Severity.ERROR] == []


def test_a_backup_is_a_store_to_ask_and_is_verified(told: OpenStore, tmp_path: Path) -> None:
    deploy_one(told, tmp_path / "calib")
    manifest = back_up(told, tmp_path / "backup.zip", now=NOW)
    assert manifest.holds == "everything"
    with open_store(tmp_path / "backup.zip") as backup:
        assert answers(backup, None) == answers(told, None)
        assert log(backup) == log(told)
    assert verify_bundle(tmp_path / "backup.zip", now=NOW).faults == ()
    assert any(event.what == "deploy" for event in log(told))


@pytest.mark.sqlite_only
def test_a_backup_of_a_backup_is_the_same_again(told: OpenStore, tmp_path: Path) -> None:
    first = back_up(told, tmp_path / "first", now=NOW)
    with open_store(tmp_path / "first") as backup:
        second = back_up(backup, tmp_path / "second", now=NOW)
    payloads = [one for one in first.members if one.name.startswith("payloads")]
    assert [one for one in second.members if one.name.startswith("payloads")] == payloads


# --- while others write ---------------------------------------------------------------

WRITER = """
import sys
from datetime import datetime, timedelta, UTC
from pathlib import Path
from bundle_material import FB, F7, Teller
from panelcal.storage.store import open_store
with open_store(Path(sys.argv[1])) as store:
    teller = Teller(store, Path(sys.argv[2]), datetime(2026, 3, 11, tzinfo=UTC))
    for number in range(100_000):
        module = f"M{200 + number}"
        teller.deliver(module, 1000 + number)
        teller.assign((FB, F7)[number % 2], module, None)
        print(number, flush=True)
"""


def test_a_backup_taken_while_a_writer_works_is_the_store_of_one_moment(
    told: OpenStore, tmp_path: Path
) -> None:
    here = str(Path(__file__).parent.parent)
    path = os.pathsep.join([here, *filter(None, sys.path)])
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, told.directory, tmp_path / "scratch"],
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as writer:
        try:
            assert writer.stdout is not None
            counted = [int(writer.stdout.readline())]
            for form in ("one", "two.zip"):
                back_up(told, tmp_path / form, now=NOW)
                counted.append(int(writer.stdout.readline()))
        finally:
            writer.kill()
    # It wrote before, meanwhile and after.
    assert counted == sorted(set(counted))
    for form in ("one", "two.zip"):
        assert verify_bundle(tmp_path / form, now=NOW).faults == ()
        restore(tmp_path / form, tmp_path / f"restored-{form}")
        with open_store(tmp_path / f"restored-{form}") as restored:
            moments = moments_of_record(restored)
            assert log(restored) == log(told)[: len(log(restored))]
            for moment in moments[-2:]:
                assert answers(restored, moment) == answers(told, moment)
            assert answers(restored, None) == answers(told, moments[-1])
            assert len(moments) > 18


# --- bringing it up to date -----------------------------------------------------------


def test_an_updated_backup_copies_only_what_is_new_and_restores_what_is_now(
    told: OpenStore, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    back_up(told, backup, now=NOW)
    before = {path: path.stat().st_mtime_ns for path in backup.rglob("payloads/*/*/zarr.json")}
    teller = Teller(told, tmp_path, NOW)
    teller.deliver("M099", 9)
    teller.assign(F7, "M099", AUTUMN)
    manifest = update_backup(told, backup, now=LATER)
    after = {path: path.stat().st_mtime_ns for path in backup.rglob("payloads/*/*/zarr.json")}
    assert before.items() < after.items()
    assert len(after) == len(before) + 2
    assert verify_bundle(backup, now=LATER).faults == ()
    assert sorted(path.name for path in backup.iterdir()) == [
        "bundle.json",
        manifest.database,
        "payloads",
    ]
    restore(backup, tmp_path / "restored")
    assert record_of(tmp_path / "restored") == record_of(told.directory)


@pytest.mark.sqlite_only
def test_an_update_without_news_changes_nothing_but_the_time(
    told: OpenStore, tmp_path: Path
) -> None:
    back_up(told, tmp_path / "backup", now=NOW)
    first = update_backup(told, tmp_path / "backup", now=NOW)
    second = update_backup(told, tmp_path / "backup", now=NOW)
    assert first == second
    assert verify_bundle(tmp_path / "backup", now=NOW).faults == ()


@pytest.mark.sqlite_only
def test_a_killed_update_leaves_the_former_backup_and_the_next_one_completes_it(
    told: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup"
    back_up(told, backup, now=NOW)
    former = answers(told, None)
    teller = Teller(told, tmp_path, NOW)
    teller.deliver("M099", 9)
    teller.assign(FB, "M099", None)
    with monkeypatch.context() as patch:
        # Everything is there but the new list.
        patch.setattr("panelcal.services.backup.sync_file", _die)
        with pytest.raises(KeyboardInterrupt):
            update_backup(told, backup, now=LATER)
    with open_store(backup) as opened:
        assert answers(opened, None) == former
    assert verify_bundle(backup, now=LATER).faults == ()
    update_backup(told, backup, now=LATER)
    with open_store(backup) as opened:
        assert answers(opened, None) == answers(told, None) != former


def _die(_: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.sqlite_only
def test_the_database_of_a_killed_update_goes_with_the_next_one(
    told: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup"
    back_up(told, backup, now=NOW)
    teller = Teller(told, tmp_path, NOW)
    teller.deliver("M099", 9)
    with monkeypatch.context() as patch:
        patch.setattr("panelcal.services.backup.sync_file", _die)
        with pytest.raises(KeyboardInterrupt):
            update_backup(told, backup, now=LATER)
    assert len(list(backup.glob("*.db"))) == 2
    # Not the same database again, under whose name the killed update's would be used.
    teller.deliver("M098", 8)
    manifest = update_backup(told, backup, now=LATER)
    assert [path.name for path in backup.glob("*.db")] == [manifest.database]
    assert verify_bundle(backup, now=LATER).faults == ()


@pytest.mark.sqlite_only
def test_a_backup_is_updated_by_one_process_at_a_time(
    told: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup"
    back_up(told, backup, now=NOW)
    Teller(told, tmp_path, NOW).deliver("M099", 9)
    seen: list[str] = []

    def update_beside(path: Path) -> None:
        # All is written, and the list about to name it.
        patch.setattr("panelcal.services.backup.sync_file", sync_file)
        sync_file(path)
        with pytest.raises(ConflictError, match="is being updated") as refused:
            update_backup(told, backup, now=LATER)
        seen.append(refused.value.message)

    with monkeypatch.context() as patch:
        patch.setattr("panelcal.services.backup.sync_file", update_beside)
        manifest = update_backup(told, backup, now=LATER)
    assert len(seen) == 1
    assert verify_bundle(backup, now=LATER).faults == ()
    assert update_backup(told, backup, now=LATER) == manifest


def test_the_backup_of_another_history_is_not_updated(
    told: OpenStore, store: OpenStore, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    back_up(told, backup, now=NOW)
    before = json.loads((backup / "bundle.json").read_text())
    with pytest.raises(ConflictError, match="has not"):
        update_backup(store, backup, now=LATER)
    assert json.loads((backup / "bundle.json").read_text()) == before
    assert verify_bundle(backup, now=LATER).faults == ()


# --- what cannot be done --------------------------------------------------------------


@pytest.mark.sqlite_only
def test_what_is_no_backup_is_refused(told: OpenStore, tmp_path: Path) -> None:
    create_bundle(told, tmp_path / "bundle.zip", tag="first", now=NOW)
    with pytest.raises(InvalidInputError, match="no backup"):
        restore(tmp_path / "bundle.zip", tmp_path / "restored")
    with pytest.raises(InvalidInputError, match="no backup"):
        update_backup(told, tmp_path / "bundle.zip", now=NOW)
    with pytest.raises(NotFoundError, match="no backup"):
        restore(tmp_path / "nowhere", tmp_path / "restored")
    back_up(told, tmp_path / "backup.zip", now=NOW)
    with pytest.raises(InvalidInputError, match="one file"):
        update_backup(told, tmp_path / "backup.zip", now=NOW)
    with pytest.raises(ConflictError, match="exists"):
        back_up(told, tmp_path / "backup.zip", now=NOW)
    assert not (tmp_path / "restored").exists()


@pytest.mark.sqlite_only
def test_a_store_is_not_restored_over_another(told: OpenStore, tmp_path: Path) -> None:
    back_up(told, tmp_path / "backup", now=NOW)
    before = record_of(told.directory)
    with pytest.raises(ConflictError, match="holds a store"):
        restore(tmp_path / "backup", told.directory)
    assert record_of(told.directory) == before


@pytest.mark.sqlite_only
def test_a_store_that_lost_a_payload_is_not_backed_up_as_if_it_were_whole(
    told: OpenStore, tmp_path: Path
) -> None:
    [(digest,)] = rows(told.directory, "SELECT min(digest) FROM payload")
    shutil.rmtree(told.payloads.path_of(digest))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError, match=digest):
        back_up(told, tmp_path / "backup", now=NOW)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.sqlite_only
def test_a_damaged_payload_of_the_store_fails_the_backup(told: OpenStore, tmp_path: Path) -> None:
    damage(told.directory, "M068", "pixel_gain")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IntegrityError, match="holds other values"):
        back_up(told, tmp_path / "backup.zip", now=NOW)
    assert sorted(tmp_path.iterdir()) == before


def test_a_damaged_backup_makes_no_store(
    told: OpenStore, tmp_path: Path, database_url: str | None
) -> None:
    back_up(told, tmp_path / "backup", now=NOW)
    chunk = next((tmp_path / "backup").rglob("payloads/*/*/c/0/0/0"))
    chunk.write_bytes(b"\1" + chunk.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="2 faults"):
        restore(tmp_path / "backup", tmp_path / "restored", database_url=database_url)
    assert not (tmp_path / "restored").exists()
    if database_url is not None:
        _require_empty(database_url)


@pytest.mark.sqlite_only
def test_rows_that_a_server_refuses_leave_its_database_empty(
    told: OpenStore, tmp_path: Path, server: "URL"
) -> None:
    # Longer than PostgreSQL's column, which SQLite does not mind.
    back_up(told, tmp_path / "backup", now=NOW)
    _forge(tmp_path / "backup" / "panelcal.db", "UPDATE run SET experiment = printf('%.40c', 'x')")
    list_anew(tmp_path / "backup")
    with own_database(server) as url:
        typed = url.render_as_string(hide_password=False)
        with pytest.raises(Exception, match="too long"):
            restore(tmp_path / "backup", tmp_path / "restored", database_url=typed)
        _require_empty(typed)
        assert not (tmp_path / "restored").exists()


def _forge(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER run_refuses_update")
        connection.execute(statement)


def _require_empty(url: str) -> None:
    with Database(parse_database_url(url)) as database:
        assert database.schema_revision() is None
        assert (
            rows_of(database.reader, "SELECT tablename FROM pg_tables WHERE tablename = 'run'")
            == []
        )
