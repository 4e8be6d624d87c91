"""What a soak works on: names, times, constants, and the journal of each worker."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from builders import create_small_store, write_delivery
from panelcal.services.assign import assign
from panelcal.services.modules import deliver
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.store import open_store

MODULES = ("M001", "M002", "M003")
PANELS = tuple(f"171113-154920171025-{0x3D00B0 + index:x}" for index in range(6))
EXPERIMENT, SOURCE = "xppsoak26", "XppEndstation.0:Jungfrau.0"
FIRST_DAY = datetime(2018, 1, 1, tzinfo=UTC)
DAYS = 40


def day(number: int) -> datetime:
    """Return one of the moments at which assignments start and of which is asked."""
    return FIRST_DAY + timedelta(days=number)


def detector(chance: random.Random) -> str:
    """Return a detector of one to three panels."""
    return "_".join(chance.sample(PANELS, chance.randint(1, 3)))


def prepare(directory: Path, scratch: Path, url: str | None) -> None:
    """Make a store in which every panel has constants, and some runs are registered."""
    create_small_store(directory, url)
    with open_store(directory) as store:
        who: Any = {"user": "soak", "reason": "prepared"}
        for seed, module in enumerate(MODULES):
            files = write_delivery(scratch / module, seed)
            deliver(store, module, files, now=datetime.now(UTC), **who)
        for index, panel in enumerate(PANELS):
            module = MODULES[index % len(MODULES)]
            assign(store, panel, f"{module}@1", None, now=datetime.now(UTC), **who)
        for run in range(1, 4):
            fields = RunFields(
                EXPERIMENT,
                str(run),
                SOURCE,
                day(10 * run).isoformat(),
                f"{PANELS[run]}_{PANELS[run + 1]}",
            )
            add_run(store, fields, now=datetime.now(UTC), user="soak", supersede=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a worker began, and what became of it.

    Parameters
    ----------
    id : str
        Unique.
    do : str
        What was begun, such as ``assign``.
    began, ended : int, int or None
        Nanoseconds of a clock that all processes share; no end if the worker was killed.
    asked, answer : mapping, any
        With what; what was acknowledged or answered.
    refused : str
        Why the store said no, ``""`` if it did not.
    """

    id: str
    do: str
    began: int
    ended: int | None
    asked: dict[str, Any]
    answer: Any
    refused: str

    @property
    def is_acknowledged(self) -> bool:
        """Whether the worker was told that it is done."""
        return self.ended is not None and not self.refused


def journal_name(number: int) -> str:
    """Return the name of the journal of a worker."""
    return f"{number:05}.jsonl"


class Journal:
    """What a worker begins and ends, each a line that outlives its process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, do: str, **asked: Any) -> str:
        """Write down what is going to be tried; return its id."""
        entry_id = uuid4().hex
        self._write({"id": entry_id, "do": do, "began": time.monotonic_ns(), "asked": asked})
        return entry_id

    def end(self, entry_id: str, answer: Any = None, refused: str = "") -> None:
        """Write down what was answered."""
        ended = time.monotonic_ns()
        self._write({"id": entry_id, "ended": ended, "answer": answer, "refused": refused})

    def _write(self, line: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def entries(journals: Path) -> Iterator[Entry]:
    """Return what all workers wrote down."""
    for path in sorted(journals.glob("*.jsonl")):
        begun: dict[str, dict[str, Any]] = {}
        for text in path.read_text(encoding="utf-8").splitlines(keepends=True):
            # A worker was killed in the middle of a line: it had not got that far.
            if text.endswith("\n"):
                line = json.loads(text)
                begun.setdefault(line["id"], {}).update(line)
        for line in begun.values():
            yield Entry(
                line["id"],
                line["do"],
                line["began"],
                line.get("ended"),
                line["asked"],
                line.get("answer"),
                line.get("refused", ""),
            )
