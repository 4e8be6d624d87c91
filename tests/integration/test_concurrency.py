"""Many processes on one store: nothing lost, nothing half seen, nobody told of locks."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from builders import GainsTree, fingerprint, rows
from panelcal.domain.moments import to_microseconds
from panelcal.errors import ConflictError
from panelcal.services.assign import assign
from panelcal.services.resolve import resolve
from panelcal.storage.ledger import NewAssignment, add_assignments, panels
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore, open_store

if TYPE_CHECKING:
    from conftest import RunsProgram

PAIR = ("171113-154920171025-3d00b0", "171113-154920171025-3d00f7")
DETECTOR = "_".join(PAIR)
FAR = datetime(2039, 1, 1, tzinfo=UTC)
FIRST = datetime(2020, 1, 1, tzinfo=UTC)

WRITERS, READERS, ROUNDS = 8, 2, 4
PATIENCE_S = 60


def child(function: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a function of this module in a process of its own."""
    call = f"import {Path(__file__).stem} as m; m.{function}{tuple(map(str, arguments))!r}"
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, "-c", call],
        env=os.environ | {"PYTHONPATH": path, "LOGNAME": "tester"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> list[str]:
    """Return the lines that a child printed, once it has ended well and silently."""
    printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, complaints) == (0, "")
    assert "locked" not in printed
    return printed.splitlines()


def assign_both(store: OpenStore, start: datetime, module: int) -> datetime:
    """Give both panels of the detector one constant set, in one unit of work."""
    with store.database.writing() as connection:
        at = recording_time(connection, datetime.now(UTC))
        pair = [panel for panel in panels(connection) if panel.name in PAIR]
        new = [NewAssignment(panel, start, module, "both") for panel in pair]
        add_assignments(connection, new, now=at, user="tester")
    return at


def assign_one(store: OpenStore, panel: str, start: datetime) -> datetime:
    """Assign through the service, again and again until it is acknowledged."""
    while True:
        now = datetime.now(UTC)
        try:
            done = assign(store, panel, "M044", start, now=now, user="tester", reason="one")
        except ConflictError as conflict:
            if "already so" in str(conflict):
                raise
            continue
        return done.assignment.recorded_at


def write(directory: str, number: str) -> None:
    """Assign distinct starts, and print each transaction time that was acknowledged."""
    with open_store(Path(directory)) as store:
        for step in range(ROUNDS):
            start = FIRST + timedelta(days=int(number) + WRITERS * step)
            alone = assign_one(store, f"171113-154920171025-{int(number) + 1}", start)
            both = assign_both(store, start, 1 + (int(number) + step) % 3)
            print(to_microseconds(alone), to_microseconds(both))  # noqa: T201 - the answer


def read(directory: str) -> None:
    """Resolve until standard input ends; print how often each answer was whole."""
    seen = 0
    with open_store(Path(directory)) as store:
        os.set_blocking(sys.stdin.fileno(), False)
        while input_is_open():
            first, second = resolve(store, DETECTOR, FAR, now=FAR).panels
            if first.valid_from is not None:
                assert (first.module, first.valid_from) == (second.module, second.valid_from)
                assert first.recorded_at == second.recorded_at
            seen += 1
    print(seen)  # noqa: T201 - the answer


def input_is_open() -> bool:
    """Say whether standard input is still open."""
    try:
        return os.read(sys.stdin.fileno(), 1) != b""
    except BlockingIOError:
        return True


def write_and_hang(directory: str) -> None:
    """Stop in the middle of a unit of work, to be killed."""
    with open_store(Path(directory)) as store, store.database.writing() as connection:
        at = recording_time(connection, datetime.now(UTC))
        new = [NewAssignment(panel, FAR, 1, "dead") for panel in panels(connection)]
        add_assignments(connection, new, now=at, user="dead")
        print("inside", flush=True)  # noqa: T201 - the answer
        time.sleep(PATIENCE_S)


@pytest.fixture
def page(panelcal: "RunsProgram", page_tree: GainsTree, store_dir: Path) -> Path:
    """The page's tree, imported."""
    done = panelcal("import", "gains-tree", page_tree.path)
    assert done.exit_code == 0, done.output
    return store_dir


def test_nothing_acknowledged_is_lost_and_nothing_is_seen_half(page: Path) -> None:
    before = len(rows(page, "SELECT id FROM assignment"))
    readers = [child("read", page) for _ in range(READERS)]
    writers = [child("write", page, number) for number in range(WRITERS)]
    answers = [[line.split() for line in finished(writer)] for writer in writers]
    looks = [finished(reader) for reader in readers]

    acknowledged = [[int(time) for pair in lines for time in pair] for lines in answers]
    assert all(len(times) == 2 * ROUNDS for times in acknowledged)
    assert all(sorted(set(times)) == times for times in acknowledged)
    alone = sorted(int(one) for lines in answers for one, _ in lines)
    both = sorted(int(pair) for lines in answers for _, pair in lines)
    assert len({*alone, *both}) == WRITERS * ROUNDS * 2
    found = rows(page, "SELECT recorded_at_us, reason FROM assignment ORDER BY id")[before:]
    assert [time for time, reason in found if reason == "one"] == alone
    assert [time for time, reason in found if reason == "both"] == sorted(both * 2)
    assert [time for time, _ in found] == sorted(time for time, _ in found)
    assert all(int(count) > 0 for (count,) in looks)


def test_every_start_that_was_acknowledged_resolves(page: Path) -> None:
    writers = [child("write", page, number) for number in range(2)]
    for writer in writers:
        finished(writer)
    with open_store(page) as store:
        for number in range(2):
            for step in range(ROUNDS):
                start = FIRST + timedelta(days=number + WRITERS * step)
                (found,) = resolve(
                    store, f"171113-154920171025-{number + 1}", start, now=FAR
                ).panels
                assert found.valid_from == start


def test_of_two_who_assign_the_same_one_wins_and_one_is_told(page: Path) -> None:
    command = ("assign", PAIR[0], "M044", "--from", "20200101000000", "--reason", "same")
    rivals = [
        subprocess.Popen(
            [sys.executable, "-m", "panelcal", "--store", str(page), *command],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [rival.communicate(timeout=PATIENCE_S)[1] for rival in rivals]
    assert sorted(rival.returncode for rival in rivals) == [0, 4], said
    assert sum("already so" in one for one in said) == 1
    assert not any("Traceback" in one or "locked" in one for one in said)
    assert rows(page, "SELECT count(*) FROM assignment WHERE reason = 'same'") == [(1,)]


def test_a_killed_writer_leaves_nothing_and_blocks_nobody(
    page: Path, panelcal: "RunsProgram"
) -> None:
    before = fingerprint(page)
    victim = child("write_and_hang", page)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "inside\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate(timeout=PATIENCE_S)
    assert fingerprint(page) == before
    done = panelcal("assign", PAIR[0], "M044", "--from", "20200101000000", "--reason", "next")
    assert done.exit_code == 0, done.output


def test_a_reader_is_not_kept_waiting_by_a_unit_of_work(
    page: Path, panelcal: "RunsProgram"
) -> None:
    busy = child("write_and_hang", page)
    assert busy.stdout is not None
    assert busy.stdout.readline() == "inside\n"
    try:
        found = panelcal("resolve", DETECTOR, "--at", "20380101000000", "--json")
        assert found.exit_code == 0, found.output
        assert '"M068"' in found.stdout
        assert busy.poll() is None
    finally:
        busy.kill()
        busy.communicate(timeout=PATIENCE_S)
