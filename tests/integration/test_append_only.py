"""Rows are only ever added: the database itself refuses anything else."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from builders import fingerprint, rows, write_delivery
from panelcal.cli import app
from panelcal.config import read_settings
from servers import copied_store

CHANGED = {
    "store": ("time_zone", "'UTC'"),
    "module": ("name", "'M999'"),
    "constant_set": ("reason", "'other'"),
    "payload": ("dtype", "'float64'"),
    "constant_set_payload": ("digest", "(SELECT max(digest) FROM payload)"),
    "panel": ("serial", "'beef'"),
    "assignment": ("reason", "'other'"),
    "run": ("note", "'other'"),
    "deployment": ("token", "'other'"),
    "deployment_panel": ("panel", "'other'"),
    "tag": ("reason", "'other'"),
    "quality_verdict": ("accepted", "'other'"),
    "quality_finding": ("value", "0.5"),
    "quality_plane": ("median", "0.5"),
    "approval_mode": ("required", "0"),
    "proposal": ("verb", "'other'"),
    "proposal_assignment": ("panel", "'other'"),
    "decision": ("verdict", "'rejected'"),
}
"""Every table whose rows are only added, and a change somebody might plant."""

KEYED_TWICE = ("module", "constant_set", "panel", "assignment", "run")
"""Tables in which an id and something else identify a row."""

WITHOUT_ID = {
    "payload": ("digest", f"'{'0' * 64}'"),
    "constant_set_payload": ("kind_id", "77"),
    "deployment_panel": ("segment", "77"),
    "tag": ("name", "'other'"),
    "quality_finding": ("number", "77"),
    "quality_plane": ("gain_range", "77"),
    "proposal_assignment": ("position", "77"),
}
"""Tables with a row number of SQLite's own, and a key that no row has."""

WARNS_OF_EVERYTHING = (
    "INSERT INTO quality_rule (detector_type_id, check_name, severity, high) "
    "SELECT id, 'finite_fraction', 'warning', 0 FROM detector_type"
)
"""So that a delivery has a finding."""

PANEL = "171113-154920171025-3d00b0"
DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with rows in every table, which no test manages to change."""
    place = tmp_path_factory.mktemp("filled")
    with copied_store(empty_store, place / "store") as directory:
        plant(directory, WARNS_OF_EVERYTHING)
        commands: list[list[str | Path]] = [
            ["module", "add", "M068", write_delivery(place / "M068", 1), "--reason", "first"],
            ["assign", PANEL, "M068", "--from-beginning", "--reason", "first"],
            ["run", "add", DATASET, "-s", SOURCE, "--begin", "20171205161400"],
            ["export", DATASET, "--calib-dir", place / "calib", "--deploy"],
            ["tag", "create", "first", "--reason", "first"],
            ["propose", "withdraw", PANEL, "--from", "20200101000000", "--reason", "first"],
            ["approve", "1", "--reason", "first"],
            ["approval", "require", "--reason", "first"],
        ]
        commands[2] += ["--detector-id", PANEL]
        for command in commands:
            arguments = [str(part) for part in ("--store", directory, *command)]
            # Whoever approves is not who proposed.
            done = CliRunner().invoke(app, arguments, env={"LOGNAME": str(command[0])})
            assert done.exit_code == 0, done.output
        yield directory


def plant(store: Path, statement: str) -> None:
    """Run a statement past panelcal, as somebody with the plainest client would."""
    url = read_settings(store).database_url
    if url is None:
        connection = sqlite3.connect(store / "panelcal.db")
        try:
            with connection:
                connection.execute(statement)
        finally:
            connection.close()
        return
    with psycopg.connect(url) as server:
        server.execute(statement.encode())


def assert_refused(store: Path, statement: str, said: str = "append-only") -> None:
    before = fingerprint(store)
    with pytest.raises((sqlite3.Error, psycopg.Error), match=said):
        plant(store, statement)
    assert fingerprint(store) == before


def columns(store: Path, table: str) -> list[str]:
    return [name for (name,) in rows(store, f"SELECT name FROM pragma_table_info('{table}')")]


def copied_row(store: Path, table: str, column: str, value: str) -> str:
    """Return what selects a row of a table with another value in one column."""
    chosen = [value if name == column else name for name in columns(store, table)]
    return f"SELECT {', '.join(chosen)} FROM {table} LIMIT 1"


def test_every_protected_table_has_rows_to_lose(filled: Path) -> None:
    counts = {table: rows(filled, f"SELECT count(*) FROM {table}")[0][0] for table in CHANGED}
    assert all(counts.values()), counts


@pytest.mark.parametrize("table", CHANGED)
def test_an_update_is_refused(filled: Path, table: str) -> None:
    column, value = CHANGED[table]
    assert_refused(filled, f"UPDATE {table} SET {column} = {value}")


@pytest.mark.parametrize("table", CHANGED)
def test_an_update_that_changes_no_value_is_refused(filled: Path, table: str) -> None:
    column, _ = CHANGED[table]
    assert_refused(filled, f"UPDATE {table} SET {column} = {column}")


@pytest.mark.parametrize("table", CHANGED)
def test_a_delete_is_refused(filled: Path, table: str) -> None:
    assert_refused(filled, f"DELETE FROM {table}")


def test_an_upsert_is_refused(filled: Path) -> None:
    assert_refused(
        filled,
        "INSERT INTO tag SELECT * FROM tag WHERE true "
        "ON CONFLICT (name) DO UPDATE SET reason = 'other'",
    )


@pytest.mark.parametrize("table", CHANGED)
def test_truncate_is_refused(filled: Path, table: str) -> None:
    # SQLite does not know the word.
    assert_refused(filled, f"TRUNCATE {table} CASCADE", "append-only|syntax error")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE"])
@pytest.mark.parametrize("table", CHANGED)
def test_replacing_a_row_by_its_key_is_refused(filled: Path, table: str, verb: str) -> None:
    other = copied_row(filled, table, *CHANGED[table])
    assert_refused(filled, f"{verb} INTO {table} {other}")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("table", KEYED_TWICE)
def test_replacing_a_row_under_another_id_is_refused(filled: Path, table: str) -> None:
    other = copied_row(filled, table, "id", "1000000")
    assert_refused(filled, f"INSERT OR REPLACE INTO {table} {other}")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("table", WITHOUT_ID)
def test_replacing_a_row_by_the_row_number_of_sqlite_is_refused(filled: Path, table: str) -> None:
    names = ", ".join(["rowid", *columns(filled, table)])
    other = copied_row(filled, table, *WITHOUT_ID[table]).replace("SELECT", "SELECT rowid,", 1)
    assert_refused(filled, f"INSERT OR REPLACE INTO {table} ({names}) {other}")


@pytest.mark.sqlite_only
@pytest.mark.parametrize("table", CHANGED)
def test_an_update_that_would_replace_is_refused(filled: Path, table: str) -> None:
    column, value = CHANGED[table]
    assert_refused(filled, f"UPDATE OR REPLACE {table} SET {column} = {value}")


def assignment(recorded: str, start: int) -> str:
    return (
        "INSERT INTO assignment "
        "(panel_id, valid_from_us, constant_set_id, recorded_at_us, recorded_by, reason) "
        f"SELECT panel_id, {start}, constant_set_id, {recorded}, 'u', 'planted' "
        "FROM assignment ORDER BY recorded_at_us DESC LIMIT 1"
    )


def minutes_from_now(store: Path, minutes: int) -> str:
    clock = "strftime('%s', 'now')"
    if read_settings(store).database_url is not None:
        clock = "floor(extract(epoch FROM clock_timestamp()))"
    return f"(CAST({clock} AS BIGINT) + 60 * {minutes}) * 1000000"


def test_an_assignment_recorded_earlier_than_the_last_is_refused(filled: Path) -> None:
    statement = assignment("recorded_at_us - 1", start=0)
    assert_refused(filled, statement, "recorded earlier than the last")


def test_an_assignment_recorded_in_the_future_is_refused(filled: Path) -> None:
    statement = assignment(minutes_from_now(filled, 6), start=0)
    assert_refused(filled, statement, "in the future")


def test_rows_of_one_unit_of_work_have_one_transaction_time(filled: Path, tmp_path: Path) -> None:
    times = "SELECT DISTINCT recorded_at_us FROM assignment ORDER BY 1"
    with copied_store(filled, tmp_path / "own") as store:
        before = rows(store, times)
        plant(store, assignment("recorded_at_us", start=1_000_000))
        assert rows(store, times) == before


def test_a_clock_that_is_a_few_minutes_ahead_is_let_pass(filled: Path, tmp_path: Path) -> None:
    with copied_store(filled, tmp_path / "own") as store:
        plant(store, assignment(minutes_from_now(store, 4), start=1_000_000))
        assert rows(store, "SELECT count(*) FROM assignment WHERE reason = 'planted'") == [(1,)]
