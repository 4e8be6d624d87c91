"""The deploy job of an experiment against the sum of the text writes it amounts to."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import material, text
from bench.material import Array
from bench.rounds import Contender, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace
from legacy_oracle import load_txt
from panelcal.exporters.text_array import require_reads_back
from panelcal.services.deploy_job import deploy_all
from panelcal.services.export import Writing
from panelcal.storage.store import DATABASE_NAME, OpenStore, open_store

TOPIC = "deploy"
TARGET = Target("<=", 1.2)
AGAINST = "every file written, synced and read back on its own"

ANSWERS = 8
"""Deliveries that were in use in the course of an experiment."""
_YEAR = 365.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Which of the answers the runs of an experiment have.

    Parameters
    ----------
    name, told : str
        Of its store, and in the table.
    answer : callable
        Number of the answer of a run, of so many runs; both from 0.
    shrunk : int
        Panels have so many times fewer rows, where there are many files.
    """

    name: str
    told: str
    answer: Callable[[int, int], int]
    shrunk: int = 1


WORKLOADS = (
    Workload("periods", "8 answers, one after the other", lambda run, runs: run * ANSWERS // runs),
    Workload("same", "the same answer", lambda _, __: 0),
    Workload("turns", "8 answers, taking turns", lambda run, _: run % ANSWERS, shrunk=8),
)
"""The last has a file for every run and kind, each content many times over."""


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure every workload, each round into an empty calib root."""
    for workload in WORKLOADS:
        yield _measured(workplace, workload)


def _measured(workplace: Workplace, workload: Workload) -> Row:
    scale = workplace.scale
    shape = (max(1, scale.rows // workload.shrunk), scale.columns)
    site = _Site(workplace.directory(f"deploy-{workload.name}"))
    numbers = [workload.answer(run, scale.runs) for run in range(scale.runs)]
    site.fill(numbers, shape)
    site.renew()
    site.deploy()
    arrays = site.deployed()
    site.clear()
    alone = site.place / "alone"
    times = measure(
        [
            Contender("deploy", site.deploy, site.renew, site.clear),
            *(
                Contender(
                    name,
                    partial(_write_all, alone, arrays, as_exported=as_exported),
                    alone.mkdir,
                    partial(shutil.rmtree, alone),
                )
                for name, as_exported in (("text writes", True), ("alone", False))
            ),
        ],
        scale.rounds,
        warm_up=False,
    )
    shutil.rmtree(site.place)
    return compared(
        times,
        "deploy",
        "text writes",
        topic=TOPIC,
        what=f"deploy {scale.runs} runs, {workload.told}: {len(arrays)} files",
        against=AGAINST,
        target=TARGET,
        figures={"of formatting and writing alone": times.ratio("deploy", "alone").value},
    )


def _write_all(directory: Path, arrays: Sequence[tuple[str, Array]], *, as_exported: bool) -> None:
    """Write every file, as `panelcal export` does or without looking at it again."""
    for number, (stem, array) in enumerate(arrays):
        path = directory / str(number)
        text.write(path, array, stem)
        if as_exported:
            with path.open("rb+") as stream:
                os.fsync(stream.fileno())
            require_reads_back(path, array, material.FORMATS[stem])


class _Site:
    """A store with runs, and a calib root that is empty each time.

    Parameters
    ----------
    place : Path
        A directory of its own.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self._store_dir = place / "store"
        self._root = place / "calib-root"
        self._opened: OpenStore | None = None

    def fill(self, numbers: Sequence[int], shape: tuple[int, int]) -> None:
        """Make the store: deliveries begin a year after each other; runs are in those years."""
        panel = material.panel_id(0)
        links = {
            f"{panel}-{material.stamp(material.later(number * _YEAR))}": number
            for number in range(ANSWERS)
        }
        runs = [
            (material.later(number * _YEAR + 1 + run / 10), panel)
            for run, number in enumerate(numbers)
        ]
        material.make_store(self._store_dir, ANSWERS, shape, links, runs)
        shutil.copy(self._store_dir / DATABASE_NAME, self.place / "pristine.db")

    def renew(self) -> None:
        """Let nothing have been deployed yet."""
        shutil.copy(self.place / "pristine.db", self._store_dir / DATABASE_NAME)
        self._root.mkdir()
        self._opened = open_store(self._store_dir)

    def deploy(self) -> None:
        """Run the job; every run must be served."""
        if self._opened is None:
            msg = "the site was not renewed"
            raise RuntimeError(msg)
        now = datetime.now(UTC)
        report = deploy_all(
            self._opened,
            self._root,
            experiment=material.EXPERIMENT,
            writing=Writing("legacy", material.ENVIRONMENT, now),
            clock=partial(datetime.now, UTC),
        )
        if report.exit_code:
            raise RuntimeError(report.summary)

    def clear(self) -> None:
        """Remove what was deployed."""
        if self._opened is not None:
            self._opened.close()
        shutil.rmtree(self._root)

    def deployed(self) -> list[tuple[str, Array]]:
        """Return kind and values of every file of the calib root."""
        known: dict[bytes, Array] = {}
        found = []
        for path in sorted(self._root.rglob("*-end.data")):
            stem = material.KINDS[path.parent.name]
            # Many files have the same values below a header of their own.
            values = path.read_bytes().split(b"# DIM:3", 1)[1]
            if values not in known:
                known[values] = load_txt(path)
            found.append((stem, known[values]))
        return found
