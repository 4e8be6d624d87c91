"""Kill and fail every job at every point, and print what came of it: ``scripts/kill``."""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import URL

from faults.forks import Forks
from faults.jobs import JOBS
from faults.places import Prepared
from faults.trials import Strike, Trials, failures_of, kills_of
from servers import postgresql_server

_MEMORY = Path("/dev/shm")


@dataclass(slots=True)
class Tally:
    """What came of one job on one engine.

    Parameters
    ----------
    job, engine : str
        Which.
    points : int
        Operations and statements that the undisturbed job comes by.
    kills, failures : int
        Trials in which the job came to its point.
    lost, half, unsound, untold, unfinished : int
        Trials with an acknowledged change lost, an unacknowledged one half there, a
        store that fsck finds fault with, an error that is not told as it should be,
        and a job that the next one did not complete.
    orphans : int
        Trials that left temporary files, all gone after the next job and gc.
    again : int
        Trials after which the next job led to the state of an undisturbed one.
    faults : list of str
        The first of each kind, for whoever looks into it.
    """

    job: str
    engine: str
    points: int
    kills: int = 0
    failures: int = 0
    lost: int = 0
    half: int = 0
    unsound: int = 0
    untold: int = 0
    orphans: int = 0
    unfinished: int = 0
    again: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


_COLUMNS = (
    *("job", "engine", "points", "kills", "failures", "lost", "half", "unsound", "untold"),
    *("orphans", "again"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trials, print the table, write JSON.

    Returns
    -------
    int
        1 if anything was lost, half there, unsound, untold or not completed.
    """
    options = _parser().parse_args(arguments)
    directory = Path(tempfile.mkdtemp(dir=_MEMORY if _MEMORY.is_dir() else None))
    tallies: list[Tally] = []
    try:
        with Forks(directory / "notes") as forks, postgresql_server() as server:
            for engine, url in (("sqlite", None), ("postgresql", server)):
                if engine in options.engines and (engine == "sqlite" or url is not None):
                    _on_engine(options, engine, url, forks, directory, tallies)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    _show(tallies)
    return int(any(one.faults for one in tallies))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/kill", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS), metavar="JOB")
    engines = ["sqlite", "postgresql"]
    parser.add_argument("--engines", nargs="+", choices=engines, default=engines)
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="of the points only each N-th"
    )
    parser.add_argument(
        "--at-most", type=int, default=sys.maxsize, metavar="M", help="so many trials of a job"
    )
    parser.add_argument("--kills-only", action="store_true", help="no failures of the system")
    return parser


def _on_engine(
    options: argparse.Namespace,
    engine: str,
    server: URL | None,
    forks: Forks,
    directory: Path,
    tallies: list[Tally],
) -> None:
    prepared = Prepared(directory / engine, server, forks)
    try:
        for name in options.jobs:
            if server is not None and JOBS[name].sqlite_only:
                continue
            trials = Trials(name, prepared, forks, directory / "copy")
            trace = trials.undisturbed.trace
            tally = Tally(name, engine, len(trace))
            strikes = kills_of(trace) + ([] if options.kills_only else failures_of(trace))
            began = time.monotonic()
            step = max(options.every, -(-len(strikes) // options.at_most))
            _try_all(trials, strikes[::step], tally)
            tally.seconds = round(time.monotonic() - began, 1)
            tallies.append(tally)
            _write(options.json, tallies)
            print(_line(tally), file=sys.stderr, flush=True)  # noqa: T201 - it takes long
    finally:
        prepared.close()


def _try_all(trials: Trials, strikes: Iterable[Strike], tally: Tally) -> None:
    for at, action in strikes:
        verdict = trials.disturb(at, action)
        if verdict.was_reached:
            tally.kills += action.startswith("kill")
            tally.failures += not action.startswith("kill")
        tally.lost += bool(verdict.lost)
        tally.half += bool(verdict.half)
        tally.unsound += bool(verdict.unsound)
        tally.untold += bool(verdict.untold)
        tally.orphans += bool(verdict.orphans)
        tally.unfinished += bool(verdict.unfinished)
        tally.again += not verdict.unfinished
        if verdict.faults:
            operation = trials.undisturbed.trace[at - 1]
            tally.faults.append(f"{at} {action} {operation}: {verdict.faults[0][:500]}")


def _write(path: Path | None, tallies: list[Tally]) -> None:
    if path is not None:
        document = json.dumps([asdict(one) for one in tallies], indent=2)
        path.write_text(document + "\n", encoding="utf-8")


def _line(tally: Tally) -> str:
    return "  ".join(f"{name} {getattr(tally, name)}" for name in _COLUMNS)


def _show(tallies: list[Tally]) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=160)
    table = Table(*_COLUMNS)
    for one in tallies:
        table.add_row(*(str(getattr(one, name)) for name in _COLUMNS))
    console.print(table)
    for one in tallies:
        for fault in one.faults[:5]:
            console.print(f"{one.job} on {one.engine}: {fault}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
