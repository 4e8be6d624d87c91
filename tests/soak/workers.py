"""What the processes of a soak do."""

import os
import random
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from builders import GainsTree, write_delivery
from panelcal.api import Store
from panelcal.domain.digest import digest_of
from panelcal.domain.findings import Severity
from panelcal.domain.moments import to_microseconds
from panelcal.errors import NoValidConstantsError, PanelcalError
from panelcal.exporters.text_array import Environment
from panelcal.services.assign import assign, withdraw
from panelcal.services.backup import back_up
from panelcal.services.deploy_job import deploy_all
from panelcal.services.export import Writing
from panelcal.services.fsck import fsck
from panelcal.services.gc import collect_garbage
from panelcal.services.impact import preview
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.services.modules import deliver
from panelcal.services.planning import Planner, assigning, withdrawing
from panelcal.services.runs import RunFields, add_run
from panelcal.services.tags import create_tag, list_tags
from panelcal.storage.recording import latest_record
from panelcal.storage.store import open_store
from soak.scene import (
    DAYS,
    EXPERIMENT,
    MODULES,
    PANELS,
    SOURCE,
    Journal,
    day,
    detector,
    journal_name,
)

GARBAGE_AGE = timedelta(seconds=5)
"""Much less than gc's own: a writer that lives may be about to rely on what goes."""


class Worker:
    """Does one thing after another to a store, and writes down what it was told.

    Parameters
    ----------
    store, place : Path
        The store; where journals, deliveries, backups and the calib root are.
    chance : Random
        Decides.
    number : int
        Of the process, unique in a soak.
    """

    def __init__(self, store: Path, place: Path, chance: random.Random, number: int) -> None:
        self.directory = store
        self.place = place
        self.chance = chance
        self.number = number
        self.journal = Journal(place / "journals" / journal_name(number))
        self.scratch = place / "scratch" / str(number)
        self.scratch.mkdir(parents=True)
        self.store = open_store(store)
        self.python = Store(store)
        self.count = 0

    def noted(self, do: str, act: Callable[[str], Any], **asked: Any) -> None:
        """Do something, with its beginning and its end written down."""
        entry = self.journal.begin(do, **asked)
        try:
            answer = act(entry)
        except PanelcalError as error:
            self.journal.end(entry, refused=f"{type(error).__name__}: {error}")
        else:
            self.journal.end(entry, answer)

    # --- writers

    def write(self) -> None:
        """Change something."""
        work = self.chance.choices(
            (self.assign, self.withdraw, self.deliver, self.tag, self.run, self.tree),
            (10, 2, 3, 2, 2, 1),
        )[0]
        self.count += 1
        work()

    def assign(self) -> None:
        """Assign a module's first revision to a panel."""
        panel, start = self.chance.choice(PANELS), self.chance.randrange(DAYS)
        uses = f"{self.chance.choice(MODULES)}@1"

        def act(entry: str) -> int:
            meant = self._affected(assigning(panel, uses, day(start), "soak"))
            who = self._who(entry)
            done = assign(self.store, panel, uses, day(start), **who, confirm_affects=meant)
            return to_microseconds(done.assignment.recorded_at)

        self.noted("assign", act, panel=panel, uses=uses, start=to_microseconds(day(start)))

    def withdraw(self) -> None:
        """Record a gap."""
        panel, start = self.chance.choice(PANELS), self.chance.randrange(DAYS)

        def act(entry: str) -> int:
            meant = self._affected(withdrawing(panel, day(start), "soak"))
            who = self._who(entry)
            done = withdraw(self.store, panel, day(start), **who, confirm_affects=meant)
            return to_microseconds(done.assignment.recorded_at)

        self.noted("assign", act, panel=panel, uses=None, start=to_microseconds(day(start)))

    def _affected(self, planner: Planner) -> int:
        """Return how many deployed answers a change alters; a deployment may come between."""
        return preview(self.store, planner)[1].affects

    def deliver(self) -> None:
        """Deliver a revision that nobody else delivers."""
        module = self.chance.choice(MODULES)
        files = write_delivery(self.scratch / "delivery", self._seed())

        def act(entry: str) -> Any:
            made, _ = deliver(self.store, module, files, **self._who(entry))
            return [made.revision, dict(made.digests), to_microseconds(made.recorded_at)]

        self.noted("deliver", act, module=module)

    def tag(self) -> None:
        """Freeze what the ledger says now."""
        name = f"t{self.number}-{self.count}"

        def act(entry: str) -> int:
            made = create_tag(self.store, name, **self._who(entry))
            return to_microseconds(made.as_of)

        self.noted("tag", act, name=name)

    def run(self) -> None:
        """Register a run that nobody else registers."""
        run = 10 + (self.number * 97 + self.count) % 9000
        fields = RunFields(
            EXPERIMENT,
            str(run),
            SOURCE,
            day(self.chance.randrange(DAYS)).isoformat(),
            detector(self.chance),
        )

        def act(_entry: str) -> None:
            add_run(self.store, fields, now=datetime.now(UTC), user="soak", supersede=False)

        self.noted("run", act, run=run, detector=fields.detector_id)

    def tree(self) -> None:
        """Import two modules and three entries that go together."""
        tree = GainsTree(self.scratch / f"tree{self.count}")
        names = [f"N{self.number}{self.count:04}{letter}" for letter in "AB"]
        for name in names:
            tree.module(name, self._seed())
        for index in range(3):
            panel = f"a-b-{0x100000 * self.number + 16 * self.count + index:x}"
            tree.link(panel, names[index % 2])

        def act(_entry: str) -> None:
            now = datetime.now(UTC)
            import_gains_tree(self.store, tree.path, now=now, user="soak").raise_if_refused()

        self.noted("tree", act, path=str(tree.path))
        shutil.rmtree(tree.path)

    def _who(self, entry: str) -> dict[str, Any]:
        return {"now": datetime.now(UTC), "user": "soak", "reason": entry}

    def _seed(self) -> int:
        return 1_000_000 + self.number * 10_000 + 10 * self.count + self.chance.randrange(10)

    # --- readers

    def read(self) -> None:
        """Ask what holds, or what a tag says; look at the arrays now and then."""
        panels, at = detector(self.chance), self.chance.randrange(DAYS)
        names = [tag.name for tag in list_tags(self.store)] if self.chance.random() < 0.5 else []
        tag = self.chance.choice(names) if names else None
        look = self.chance.random() < 0.3

        def act(_entry: str) -> Any:
            return answered(self.python, panels, day(at), tag, look=look)

        self.noted("read", act, panels=panels.split("_"), at=to_microseconds(day(at)), tag=tag)

    # --- jobs

    def deploy(self) -> None:
        """Bring a calib root to what the store says."""
        writing = Writing("legacy", Environment("soak", "here", "/"), datetime.now(UTC))

        def act(_entry: str) -> Any:
            report = deploy_all(
                self.store,
                self.place / "calib",
                experiment=None,
                writing=writing,
                clock=lambda: datetime.now(UTC),
            )
            return {str(status): count for status, count in report.counts.items()}

        self.noted("deploy", act)

    def check(self) -> None:
        """Look for faults, at every byte."""

        def act(_entry: str) -> list[str]:
            report = fsck(self.directory, now=datetime.now(UTC), verify_data=True)
            errors = [one for one in report.findings if one.severity is Severity.ERROR]
            return [f"{one.code} {one.subject}: {one.message}" for one in errors]

        self.noted("fsck", act)

    def collect(self) -> None:
        """Remove what no row names."""

        def act(_entry: str) -> int:
            done = collect_garbage(self.store, now=datetime.now(UTC), older_than=GARBAGE_AGE)
            return len(done.garbage)

        self.noted("gc", act)
        time.sleep(0.5)

    def keep(self) -> None:
        """Back the store up, and ask the backup."""
        backup = self.scratch / f"backup{self.count}{self.chance.choice(('', '.zip'))}"
        self.count += 1

        def act(_entry: str) -> Any:
            back_up(self.store, backup, now=datetime.now(UTC))
            return self._asked_of(backup)

        self.noted("backup", act)
        if backup.is_dir():
            shutil.rmtree(backup)
        else:
            backup.unlink(missing_ok=True)

    def _asked_of(self, backup: Path) -> Any:
        """Return of when a backup is, and what it answers."""
        with open_store(backup) as opened:
            latest = latest_record(opened.database.reader)
        asked = []
        with Store(backup) as python:
            for panel in PANELS:
                at = self.chance.randrange(DAYS)
                found = answered(python, panel, day(at), None, look=True)
                asked.append([panel, to_microseconds(day(at)), found])
        return [None if latest is None else to_microseconds(latest), asked]


def answered(store: Store, panels: str, at: datetime, tag: str | None, *, look: bool) -> Any:
    """Return for each panel what it uses, since when and as recorded when; None for none."""
    try:
        found = store.resolve(panels, at, tag=tag)
    except NoValidConstantsError:
        return None
    if look:
        for kind, array in found.arrays().items():
            for panel in found.panels:
                if digest_of(array[:, panel.index]) != panel.digests[kind]:
                    msg = f"{panel.panel}: {kind} is not {panel.digests[kind]}"
                    raise AssertionError(msg)
    return [
        [
            f"{panel.module}@{panel.revision}",
            to_microseconds(panel.valid_from),
            to_microseconds(panel.recorded_at),
        ]
        for panel in found.panels
    ]


ROLES: dict[str, Callable[[Worker], None]] = {
    "writer": Worker.write,
    "reader": Worker.read,
    "deployer": Worker.deploy,
    "fsck": Worker.check,
    "gc": Worker.collect,
    "backup": Worker.keep,
}


def work(role: str, store: Path, place: Path, seed: int, number: int) -> None:
    """Be a worker until there is a file ``stop``; what is said goes to a file of its own."""
    with (place / "said" / str(number)).open("w", encoding="utf-8") as said:
        os.dup2(said.fileno(), 1)
        os.dup2(said.fileno(), 2)
    worker = Worker(store, place, random.Random(f"{seed} {number}"), number)
    while not (place / "stop").exists():
        ROLES[role](worker)
