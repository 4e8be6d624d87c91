"""Measure panelcal side by side with named references: ``scripts/bench``."""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from rich.console import Console

from bench import (
    arrays,
    deploy,
    imports,
    machine,
    memory,
    postgresql,
    report,
    resolve,
    startup,
    text,
)
from bench.rows import Row
from bench.workplace import DEFAULT, FULL, QUICK, Workplace
from marks import put_between_marks

TOPICS: dict[str, ModuleType] = {
    "resolve": resolve,
    "postgresql": postgresql,
    "arrays": arrays,
    "text": text,
    "import": imports,
    "deploy": deploy,
    "memory": memory,
    "startup": startup,
}
CHECKOUT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, write JSON.

    Returns
    -------
    int
        0 whether or not targets are met; 130 if interrupted. What fails to run
        is raised, after what was measured before has been shown.
    """
    options = _parser().parse_intermixed_args(arguments)
    # Killed as politely as interrupted: databases and directories are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    scale = QUICK if options.quick else FULL if options.full else DEFAULT
    if options.rounds:
        slow = scale.slow_rounds and options.rounds
        scale = replace(scale, rounds=options.rounds, slow_rounds=slow)
    # As wide as the table wants to be where there is no terminal to fit.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    talk = Console(stderr=True)
    rows: list[Row] = []
    load = [machine.load()]
    try:
        with tempfile.TemporaryDirectory(prefix="panelcal-bench-") as place:
            workplace = Workplace(Path(place), scale)
            for name in options.topics or TOPICS:
                start = time.monotonic()
                rows += TOPICS[name].measured(workplace)
                talk.print(f"{name}: {time.monotonic() - start:.0f} s", highlight=False)
    except KeyboardInterrupt:
        talk.print("interrupted")
        return 130
    finally:
        load.append(machine.load())
        if rows:
            _tell(console, rows, options, load)
    return 0


def _tell(
    console: Console, rows: Sequence[Row], options: argparse.Namespace, load: Sequence[float]
) -> None:
    facts = machine.facts() | {"load": " to ".join(map(str, load))}
    report.show(console, rows, facts)
    asked = {key: options.__dict__[key] for key in ("topics", "quick", "full", "rounds")}
    report.write_json(options.json, report.document(rows, facts, asked))
    if options.document:
        put_between_marks(options.document, report.markdown(rows, facts))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "topics",
        nargs="*",
        type=_topic,
        metavar="TOPIC",
        help=f"what to measure, by default all: {', '.join(TOPICS)}",
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="tiny, only to see that all runs")
    size.add_argument("--full", action="store_true", help="with what takes many minutes")
    parser.add_argument("--rounds", type=_count, metavar="N", help="instead of 7")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=CHECKOUT / ".bench" / time.strftime("%Y%m%d-%H%M%S.json"),
        help="where everything is written, by default a new file in .bench",
    )
    parser.add_argument(
        "--document", type=Path, metavar="FILE", help="put the table between the marks in it"
    )
    return parser


def _topic(typed: str) -> str:
    if typed not in TOPICS:
        msg = f"there is no topic {typed!r}: {', '.join(TOPICS)}"
        raise argparse.ArgumentTypeError(msg)
    return typed


def _count(typed: str) -> int:
    number = int(typed)
    if number < 1:
        msg = "at least one round"
        raise argparse.ArgumentTypeError(msg)
    return number


if __name__ == "__main__":
    sys.exit(main())
