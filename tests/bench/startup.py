"""Start-up: whole processes, from the command to its end, files in the page cache."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench import material
from bench.rounds import Contender, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace

TOPIC = "start-up"
PASS, IMPORTS = "python -c pass", "python -c 'import sqlalchemy, typer'"
HELP, RESOLVE = Target("<=", 5), Target("<=", 1.25)


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure the program's help and its resolve."""
    program = str(Path(sys.executable).parent / "panelcal")
    store = workplace.store(1)
    resolve = [program, "--store", str(store), "resolve"]
    at = material.stamp(material.later(0))
    commands = {
        "pass": [sys.executable, "-c", "pass"],
        "imports": [sys.executable, "-c", "import sqlalchemy, typer"],
        "help": [program, "--help"],
        "detector": [*resolve, material.detector_id(1), "--at", at],
        "dataset": [*resolve, f"exp={material.EXPERIMENT}:run=1"],
    }
    # Processes are short and their times scatter: twice the rounds.
    times = measure(
        [Contender(name, partial(_run, command)) for name, command in commands.items()],
        2 * workplace.scale.rounds,
    )
    for name, other, what, against, target in (
        ("help", "pass", "panelcal --help", PASS, HELP),
        ("detector", "imports", "panelcal resolve DETECTOR", IMPORTS, RESOLVE),
        ("dataset", "imports", "panelcal resolve DATASET", IMPORTS, RESOLVE),
    ):
        yield compared(times, name, other, topic=TOPIC, what=what, against=against, target=target)


def _run(command: list[str]) -> None:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PANELCAL")}
    subprocess.run(command, check=True, env=kept, stdout=subprocess.DEVNULL)
