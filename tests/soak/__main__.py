"""Writers, readers, jobs and kills on one store, for a time: ``scripts/soak``."""

import argparse
import json
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from servers import postgresql_server
from soak.course import Outcome, soak, soaking_store


def main() -> int:
    """Soak each engine in turn, print the counts, and return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each engine (default 60)")
    parser.add_argument("--kill-every", type=float, default=0.7, metavar="SECONDS")
    parser.add_argument("--engine", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", type=int, default=1, help="of every choice (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    asked = parser.parse_args()
    outcomes = []
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="panelcal-soak-")))
        servers = {"sqlite": None, "postgresql": stack.enter_context(postgresql_server())}
        for engine, server in servers.items():
            if asked.engine not in {engine, "both"}:
                continue
            if engine == "postgresql" and server is None:
                sys.stderr.write("no PostgreSQL server: only SQLite is soaked\n")
                continue
            with soaking_store(place / engine, server) as store:
                outcomes.append(
                    soak(store, place / engine, engine, asked.seconds, asked.kill_every, asked.seed)
                )
    _show(outcomes)
    if asked.json is not None:
        document = {"seed": asked.seed, "soaks": [one.document() for one in outcomes]}
        asked.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if not outcomes or any(one.faults for one in outcomes) else 0


def _show(outcomes: list[Outcome]) -> None:
    table = Table("counted", *(f"{one.engine}, {one.seconds:g} s" for one in outcomes))
    for name in sorted({name for one in outcomes for name in one.counts}):
        table.add_row(name, *(str(one.counts[name]) for one in outcomes))
    table.add_row("faults", *(str(len(one.faults)) for one in outcomes))
    Console().print(table)
    for one in outcomes:
        for fault in one.faults:
            sys.stdout.write(f"FAULT {one.engine}: {fault}\n")


if __name__ == "__main__":
    sys.exit(main())
