"""What the ledger keeps so that the past is found without passing what was recorded since."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import rows, write_delivery
from conftest import RunsProgram
from panelcal.errors import PanelcalError
from panelcal.services.assign import assign, withdraw
from panelcal.services.modules import deliver
from panelcal.storage import migrate
from panelcal.storage.resolver import assigned_at
from panelcal.storage.store import OpenStore, open_database, open_store
from servers import copied_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PANELS = ("1-2-3", "1-2-4")
EPOCH = datetime(2018, 1, 1, tzinfo=UTC)

on_sqlite = pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("empty_store", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("latest") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            files = write_delivery(directory.parent / "files", 1)
            deliver(store, "M044", files, now=NOW, user="tester", reason="delivered")
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


def record(store: OpenStore, panel: str, day: int, now: datetime = NOW) -> None:
    start = EPOCH + timedelta(days=day)
    assign(store, panel, "M044", start, now=now, user="tester", reason="test")


def kept(directory: Path) -> list[tuple[int, ...]]:
    query = "SELECT panel_id, valid_from_us, recorded_at_us FROM latest_start"
    return sorted(rows(directory, query))


def expected(directory: Path) -> list[tuple[int, ...]]:
    """Walk the ledger as it was recorded and note each start later than all before it."""
    ledger = rows(
        directory, "SELECT panel_id, valid_from_us, recorded_at_us FROM assignment ORDER BY id"
    )
    latest: dict[int, int] = {}
    found = []
    for panel, start, recorded in ledger:
        if panel not in latest or start > latest[panel]:
            latest[panel] = start
            found.append((panel, start, recorded))
    return sorted(found)


CHANGES = st.lists(
    st.tuples(st.sampled_from(PANELS), st.integers(0, 6), st.booleans()), min_size=1, max_size=12
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=CHANGES)
def test_it_is_what_the_ledger_says_whatever_is_recorded_in_whatever_order(
    store: OpenStore, changes: list[tuple[str, int, bool]]
) -> None:
    for panel, day, withdrawn in changes:
        # The ledger refuses what changes nothing.
        with suppress(PanelcalError):
            if withdrawn:
                start = EPOCH + timedelta(days=day)
                withdraw(store, panel, start, now=NOW, user="tester", reason="test")
            else:
                record(store, panel, day)
    assert kept(store.directory) == expected(store.directory)


def test_an_upgrade_fills_it_from_the_ledger(store: OpenStore, panelcal: RunsProgram) -> None:
    for day in (3, 1, 5, 2, 9):
        record(store, PANELS[0], day)
    record(store, PANELS[1], 4)
    store.close()
    assert panelcal("db", "downgrade", "0003", "--yes").exit_code == 0
    assert panelcal("db", "upgrade").exit_code == 0
    assert kept(store.directory) == expected(store.directory)
    assert len(kept(store.directory)) == 3 + 1


def test_its_rows_cannot_be_changed(store: OpenStore) -> None:
    record(store, PANELS[0], 1)
    for statement in ("UPDATE latest_start SET recorded_at_us = 0", "DELETE FROM latest_start"):
        with (
            pytest.raises(Exception, match="latest_start is append-only"),
            store.database.writing() as connection,
        ):
            connection.exec_driver_sql(statement)


@on_sqlite
def test_its_rows_cannot_be_replaced(store: OpenStore) -> None:
    record(store, PANELS[0], 1)
    before = kept(store.directory)
    for columns, values in (
        ("panel_id, valid_from_us, recorded_at_us", f"1, {before[0][1]}, 0"),
        ("rowid, panel_id, valid_from_us, recorded_at_us", "1, 1, 7, 0"),
    ):
        with (
            pytest.raises(Exception, match="latest_start is append-only"),
            store.database.writing() as connection,
        ):
            connection.exec_driver_sql(
                f"INSERT OR REPLACE INTO latest_start ({columns}) VALUES ({values})"
            )
    assert kept(store.directory) == before


def steps(store: OpenStore, as_of: datetime | None) -> int:
    """Return how many steps SQLite's machine takes for a question at a late T."""
    taken = 0

    def step() -> int:
        nonlocal taken
        taken += 1
        return 0

    reader = store.database.reader
    late = EPOCH + timedelta(days=10_000)
    assigned_at(reader, PANELS, late, as_of)
    connection: Any = reader._idle[-1].connection
    connection.set_progress_handler(step, 1)
    assigned_at(reader, PANELS, late, as_of)
    connection.set_progress_handler(None, 1)
    return taken


@on_sqlite
def test_a_question_about_the_past_does_not_pass_what_was_recorded_since(
    store: OpenStore,
) -> None:
    for panel in PANELS:
        record(store, panel, 0)
    then = NOW + timedelta(minutes=1)
    few = steps(store, then)
    for day in range(1, 101):
        record(store, PANELS[0], day, NOW + timedelta(hours=day))
    assert steps(store, then) < 2 * few
    assert steps(store, None) < 2 * few


@on_sqlite
def test_resolving_walks_no_further_than_one_row_however_long_the_history(
    store: OpenStore,
) -> None:
    record(store, PANELS[0], 0)
    few = steps(store, None)
    for day in range(1, 101):
        record(store, PANELS[0], day)
    assert steps(store, None) < 2 * few


@on_postgresql
def test_an_upgrade_gives_the_rights_that_the_ledger_has(
    store: OpenStore, panelcal: RunsProgram
) -> None:
    record(store, PANELS[0], 1)
    location = store.database.location
    assert not isinstance(location, Path)
    store.close()
    assert panelcal("db", "downgrade", "0003", "--yes").exit_code == 0
    url = location.set(drivername="postgresql").render_as_string(hide_password=False)
    role = f"reader_{location.database}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role}".encode())
        connection.execute(f"GRANT SELECT, INSERT ON assignment TO {role}".encode())
    try:
        with open_database(store.directory) as database:
            migrate.upgrade(database)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET ROLE {role}".encode())
            assert connection.execute("SELECT count(*) FROM latest_start").fetchone() == (1,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("DELETE FROM latest_start")
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"DROP OWNED BY {role}".encode())
            connection.execute(f"DROP ROLE {role}".encode())


def test_the_past_is_answered_the_same_before_and_after_the_upgrade(
    store: OpenStore, panelcal: RunsProgram
) -> None:
    for day in (1, 5, 3):
        record(store, PANELS[0], day)
    store.close()

    def answers() -> list[str]:
        with open_store(store.directory) as opened:
            return [
                str(
                    assigned_at(
                        opened.database.reader, PANELS[:1], EPOCH + timedelta(at), NOW + wait
                    )
                )
                for at in (0, 1, 2, 4, 6)
                for wait in (*map(timedelta.resolution.__mul__, range(5)), timedelta(hours=1))
            ]

    before = answers()
    assert panelcal("db", "downgrade", "0003", "--yes").exit_code == 0
    assert panelcal("db", "upgrade").exit_code == 0
    assert answers() == before
    assert len(set(before)) == 1 + 3
