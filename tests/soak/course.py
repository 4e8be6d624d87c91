"""The course of a soak: workers are started, killed, started again, and judged."""

import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from panelcal.exporters.text_array import Environment
from panelcal.services.deploy_job import deploy_all
from panelcal.services.export import Writing
from panelcal.services.fsck import fsck
from panelcal.services.gc import collect_garbage
from panelcal.services.verify_deploy import verify_deploy
from panelcal.storage.store import open_store
from servers import own_database
from soak.judge import judge
from soak.scene import entries, journal_name, prepare
from soak.workers import work

CREW = ("writer", "writer", "writer", "reader", "reader", "deployer", "fsck", "gc", "backup")
NEEDED = ("assign", "deliver", "tree", "tag", "read", "deploy", "fsck", "gc", "backup")
"""What a soak that says anything has seen the end of; a slow machine is given longer."""

PATIENCE_S = 120


@dataclass(slots=True)
class Outcome:
    """What came of a soak.

    Parameters
    ----------
    engine : str
        ``sqlite`` or ``postgresql``.
    seconds : float
        How long workers worked.
    counts : Counter
        What was done, by name.
    faults : list of str
        Everything that is not as promised.
    """

    engine: str
    seconds: float
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "engine": self.engine,
            "seconds": self.seconds,
            "counts": dict(sorted(self.counts.items())),
            "faults": self.faults,
        }


@contextmanager
def soaking_store(place: Path, server: URL | None) -> Iterator[Path]:
    """Give a prepared store, on a database of its own where a server is named."""
    store, scratch = place / "store", place / "prepared"
    for name in ("journals", "scratch", "said", "calib"):
        (place / name).mkdir(parents=True)
    if server is None:
        prepare(store, scratch, None)
        yield store
        return
    with own_database(server) as url:
        prepare(store, scratch, url.render_as_string(hide_password=False))
        yield store


def soak(
    store: Path, place: Path, engine: str, seconds: float, kill_every: float, seed: int
) -> Outcome:
    """Let a crew work on a store for a time, kill one now and then, and judge the end.

    Parameters
    ----------
    kill_every : float
        Seconds between kills.
    """
    outcome = Outcome(engine, seconds)
    crew = _Crew(store, place, seed)
    chance = random.Random(seed)
    with crew:
        end = time.monotonic() + seconds
        next_kill = time.monotonic() + kill_every
        while time.monotonic() < end or (
            time.monotonic() < end + PATIENCE_S and _missing(place / "journals")
        ):
            time.sleep(0.05)
            outcome.faults += crew.replace_the_fallen()
            if time.monotonic() >= next_kill:
                next_kill += kill_every
                killed = crew.kill(chance)
                if killed is not None:
                    outcome.counts[f"kills of a {killed}"] += 1
        outcome.faults += crew.dismiss()
    verdict = judge(store, list(entries(place / "journals")))
    outcome.counts.update(verdict.counts)
    outcome.faults += verdict.faults
    outcome.faults += [f"there was no {name}" for name in _missing(place / "journals")]
    outcome.faults += _end_state(store, place / "calib")
    return outcome


def _missing(journals: Path) -> list[str]:
    done = {entry.do for entry in entries(journals) if entry.is_acknowledged}
    return [name for name in NEEDED if name not in done]


def _end_state(store: Path, calib: Path) -> Iterator[str]:
    """What killed workers left goes, and then all is in order and every run served."""
    with open_store(store) as opened:
        writing = Writing("legacy", Environment("soak", "here", "/"), datetime.now(UTC))
        deploy_all(opened, calib, experiment=None, writing=writing, clock=lambda: datetime.now(UTC))
        verified = verify_deploy(opened, calib)
        if verified.exit_code:
            yield f"verify-deploy: {verified.summary}"
        collect_garbage(opened, now=datetime.now(UTC), older_than=timedelta(0))
    left = [str(path) for path in calib.rglob(".panelcal-*")]
    if left:
        yield f"left in the calib root: {left}"
    for one in fsck(store, now=datetime.now(UTC), verify_data=True).findings:
        yield f"fsck at the end: {one.code} {one.subject}: {one.message}"


@dataclass(frozen=True, slots=True)
class _Living:
    role: str
    number: int
    process: ForkProcess


class _Crew:
    """The living workers, one for each place in the crew."""

    def __init__(self, store: Path, place: Path, seed: int) -> None:
        self._store, self._place, self._seed = store, place, seed
        self._started = 0
        self._killed: set[int] = set()
        self._living: list[_Living] = []

    def __enter__(self) -> "_Crew":
        self._living = [self._start(role) for role in CREW]
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._living:
            one.process.kill()
            one.process.join()

    def _start(self, role: str) -> _Living:
        self._started += 1
        # Forked: all that a worker imports is there already.
        process = get_context("fork").Process(
            target=work, args=(role, self._store, self._place, self._seed, self._started)
        )
        process.start()
        return _Living(role, self._started, process)

    def kill(self, chance: random.Random) -> str | None:
        """Kill one that has begun to work; return what it was, None if nobody has."""
        at_work = [one for one in self._living if self._journal_of(one).exists()]
        if not at_work:
            return None
        victim = chance.choice(at_work)
        self._killed.add(victim.number)
        victim.process.kill()
        return victim.role

    def _journal_of(self, worker: _Living) -> Path:
        return self._place / "journals" / journal_name(worker.number)

    def replace_the_fallen(self) -> list[str]:
        """Start those that were killed again; return the complaints of others that ended."""
        faults: list[str] = []
        for index, one in enumerate(self._living):
            if not one.process.is_alive():
                faults += self._complaints(one)
                self._living[index] = self._start(one.role)
        return faults

    def dismiss(self) -> list[str]:
        """Let all finish what they are at; return the complaints."""
        (self._place / "stop").touch()
        return [complaint for one in self._living for complaint in self._complaints(one)]

    def _complaints(self, one: _Living) -> list[str]:
        one.process.join(PATIENCE_S)
        code = one.process.exitcode
        if code is None:
            return [f"a {one.role} does not end"]
        told = (self._place / "said" / str(one.number)).read_text(encoding="utf-8")
        allowed = {0, -signal.SIGKILL} if one.number in self._killed else {0}
        return [f"a {one.role} ended with {code}: {told}"] if told or code not in allowed else []
