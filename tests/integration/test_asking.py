"""Questions outside a unit of work: what they cost, what they see, what they may do."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

import panelcal as package
from builders import write_delivery
from conftest import RunsProgram
from panelcal.domain.validity import Policy
from panelcal.errors import NoValidConstantsError, PanelcalError
from panelcal.services.assign import assign
from panelcal.services.modules import deliver
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store
from statements import statements

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = "171113-154920171025-3d00b0"
TWO = "171113-154920171025-3d00f7"
START = datetime(2018, 3, 6, tzinfo=UTC)
LATER = START + timedelta(days=30)
XCS = "XcsEndstation.0:Jungfrau.0"

on_sqlite = pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("empty_store", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store where two panels use M044."""
    directory = tmp_path_factory.mktemp("asking") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M068")):
                files = write_delivery(directory.parent / module, seed)
                deliver(store, module, files, now=NOW, user="tester", reason="delivered")
            for panel in (ONE, TWO):
                uses(store, panel, "M044")
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def opened(store_dir: Path) -> Iterator[package.Store]:
    with package.open_store(store_dir) as store:
        yield store


def uses(store: OpenStore, panel: str, module: str) -> None:
    assign(store, panel, module, START, now=NOW, user="tester", reason="test")


def modules(opened: package.Store, at: str | datetime = LATER) -> list[str]:
    return [panel.module for panel in opened.resolve(f"{ONE}_{TWO}", at).panels]


@contextmanager
def counted(opened: package.Store) -> Iterator[list[str]]:
    with statements(opened._store.database) as sent:
        yield sent


# --- what a question costs


@pytest.mark.parametrize("as_of", [None, NOW + timedelta(hours=1)])
def test_a_detector_is_resolved_in_one_statement_now_and_in_the_past(
    opened: package.Store, as_of: datetime | None
) -> None:
    with counted(opened) as sent:
        answer = opened.resolve("_".join([ONE, TWO] * 16), LATER, as_of=as_of)
    assert [panel.module for panel in answer.panels] == ["M044"] * 32
    assert len(sent) == 1


def test_a_question_asked_again_sends_nothing_but_what_tells_whether_anything_changed(
    opened: package.Store,
) -> None:
    with counted(opened) as sent:
        first, second, third, fourth = (opened.resolve(ONE, LATER) for _ in range(4))
    assert first == second
    assert second is third is fourth
    assert len(sent) == 2


HEAVY = ("sqlalchemy", "alembic", "zarr", "numpy", "rich", "psycopg", "h5py")


@on_sqlite
@pytest.mark.parametrize(
    "arguments",
    [
        (ONE, "--at", "20180501000000"),
        (ONE, "--at", "20180501000000", "--json"),
        (ONE, "--at", "20180501000000", "--policy", "legacy"),
        ("exp=xcsls3716:run=631",),
    ],
)
def test_resolve_loads_nothing_that_it_does_not_need(
    store_dir: Path, panelcal: RunsProgram, arguments: tuple[str, ...]
) -> None:
    run = ("run", "add", "exp=xcsls3716:run=631", "-s", XCS, "--detector-id", ONE)
    assert panelcal(*run, "--begin", "20180419000000").exit_code == 0
    program = (
        "import sys; from panelcal.programs import panelcal\n"
        "try: panelcal()\n"
        f"finally: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "--store", str(store_dir), "resolve", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "M044" in done.stdout
    assert done.stderr.split() == []


# --- what it sees


def test_a_change_of_another_process_is_seen_at_once(opened: package.Store) -> None:
    assert modules(opened) == modules(opened) == modules(opened) == ["M044", "M044"]
    program = [sys.executable, "-m", "panelcal", "--store", str(opened._store.directory)]
    change = ["assign", TWO, "M068", "--from", "20180306000000", "--reason", "test"]
    subprocess.run([*program, *change], check=True, capture_output=True)
    assert modules(opened) == ["M044", "M068"]


def test_a_change_of_this_process_is_seen_at_once(opened: package.Store) -> None:
    assert modules(opened) == modules(opened) == modules(opened) == ["M044", "M044"]
    uses(opened._store, ONE, "M068")
    assert modules(opened) == ["M068", "M044"]


def test_every_thread_sees_a_change_at_once(opened: package.Store) -> None:
    seen: list[list[str]] = []
    asked, changed = threading.Event(), threading.Event()

    def ask() -> None:
        seen.extend(modules(opened) for _ in range(3))
        asked.set()
        changed.wait(30)
        seen.append(modules(opened))

    thread = threading.Thread(target=ask)
    thread.start()
    assert asked.wait(30)
    uses(opened._store, ONE, "M068")
    changed.set()
    thread.join()
    assert seen == [["M044", "M044"]] * 3 + [["M068", "M044"]]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_asks_on_a_connection_of_its_own(opened: package.Store) -> None:
    for _ in range(3):
        assert modules(opened) == ["M044", "M044"]
    child = os.fork()
    if child == 0:
        told = 1
        try:
            with package.open_store(opened._store.directory) as other:
                uses(other._store, ONE, "M068")
            seen = modules(opened) == ["M068", "M044"]
            own = opened._store.database.reader._idle[-1].process == os.getpid()
            told = 0 if seen and own else 2
        finally:
            os._exit(told)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert modules(opened) == ["M068", "M044"]


def test_equal_times_of_two_folds_are_two_questions(opened: package.Store) -> None:
    zone = ZoneInfo("America/Los_Angeles")
    first = datetime(2018, 11, 4, 1, 30, tzinfo=zone)
    second = first.replace(fold=1)
    assert first == second
    between = datetime(2018, 11, 4, 9, tzinfo=UTC)
    assign(opened._store, ONE, "M068", between, now=NOW, user="tester", reason="test")
    for _ in range(3):
        assert [modules(opened, at)[0] for at in (first, second)] == ["M044", "M068"]


def test_an_error_is_not_remembered(opened: package.Store) -> None:
    unknown = "1-2-3"
    for _ in range(3):
        with pytest.raises(NoValidConstantsError):
            opened.resolve(unknown, LATER)
    uses(opened._store, unknown, "M068")
    assert opened.resolve(unknown, LATER).panels[0].module == "M068"


def test_without_a_time_a_detector_is_resolved_at_another_time_each_time(
    opened: package.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Clock:
        moment = LATER

        @classmethod
        def now(cls, _zone: object) -> datetime:
            cls.moment += timedelta(seconds=1)
            return cls.moment

    monkeypatch.setattr("panelcal.api.datetime", Clock)
    assert opened.resolve(ONE).at != opened.resolve(ONE).at


def test_many_questions_do_not_fill_the_memory(
    opened: package.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panelcal.services.remember.MOST_QUESTIONS", 4)
    for day in range(20):
        modules(opened, LATER + timedelta(days=day))
        assert len(opened._memory._answers) <= 4


@on_postgresql
def test_a_snapshot_sees_nothing_that_is_committed_meanwhile(store: OpenStore) -> None:
    reader, count = store.database.reader, "SELECT count(*) FROM assignment"
    with reader.snapshot() as snapshot:
        assert snapshot.rows(count, {})[0][0] == 2
        uses(store, ONE, "M068")
        assert snapshot.rows(count, {})[0][0] == 2
    assert reader.rows(count, {})[0][0] == 3


# --- what it may do


def test_a_question_cannot_change_anything(store: OpenStore) -> None:
    statement = "INSERT INTO module (detector_type_id, name) VALUES (1, 'M999')"
    with pytest.raises(PanelcalError, match="cannot be written"):
        store.database.reader.rows(statement, {})
    with store.database.reader.snapshot() as reader, pytest.raises(PanelcalError):
        reader.rows(statement, {})


def test_after_an_error_the_next_question_is_answered(store: OpenStore) -> None:
    reader = store.database.reader
    with pytest.raises(PanelcalError), reader.snapshot() as snapshot:
        snapshot.rows("SELECT * FROM nowhere", {})
    assert reader.rows("SELECT count(*) FROM assignment", {})[0][0] == 2


@on_postgresql
def test_a_connection_that_the_server_ended_is_replaced(opened: package.Store) -> None:
    assert modules(opened) == ["M044", "M044"]
    end_all_others(opened._store)
    assert modules(opened) == ["M044", "M044"]


@on_postgresql
def test_a_snapshot_is_not_continued_on_another_connection(opened: package.Store) -> None:
    reader = opened._store.database.reader
    with pytest.raises(PanelcalError, match="terminat"), reader.snapshot() as snapshot:
        end_all_others(opened._store)
        snapshot.rows("SELECT count(*) FROM assignment", {})
    assert modules(opened) == ["M044", "M044"]


class Interrupting:
    """A driver's connection on which Ctrl-C is pressed after some statement."""

    def __init__(self, connection: Any, after: str) -> None:
        self._connection = connection
        self._after = after

    def execute(self, statement: str, *parameters: Any) -> Any:
        found = self._connection.execute(statement, *parameters)
        if self._after in statement:
            raise KeyboardInterrupt
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        ("strict", "assignment"),
        ("legacy", "BEGIN"),
        ("legacy", "assignment"),
        ("legacy", "ROLLBACK"),
    ],
)
def test_ctrl_c_in_a_question_leaves_the_store_usable_and_nothing_stale(
    opened: package.Store, policy: Policy, after: str
) -> None:
    reader = opened._store.database.reader
    reader.close()
    usual = reader._driver
    reader._driver = replace(usual, connect=lambda: Interrupting(usual.connect(), after))
    with pytest.raises(KeyboardInterrupt):
        opened.resolve(ONE, LATER, policy=policy)
    reader._driver = usual
    assert reader._idle == []
    uses(opened._store, ONE, "M068")
    assert modules(opened) == ["M068", "M044"]
    assert opened.resolve(ONE, LATER, policy="legacy").panels[0].module == "M068"


def test_threads_that_have_ended_leave_no_connections(opened: package.Store) -> None:
    for _ in range(20):
        thread = threading.Thread(target=modules, args=(opened,))
        thread.start()
        thread.join()
    assert len(opened._store.database.reader._idle) == 1


def test_many_threads_ask_at_once(opened: package.Store) -> None:
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: modules(opened), range(200)))
    assert found == [["M044", "M044"]] * 200


def end_all_others(store: OpenStore) -> None:
    url = store.database.location
    assert not isinstance(url, Path)
    own = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_closed_store_can_be_closed_again(store_dir: Path) -> None:
    store = package.open_store(store_dir)
    modules(store)
    store.close()
    store.close()
