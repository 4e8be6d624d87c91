"""Damage, kill, fuzz and soak, and write the counts into a document: ``scripts/reliability``."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.machine import facts
from marks import put_between_marks

Document = Any


def main() -> int:
    """Run what was not run yet, write the document, and return 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="scripts/reliability", description=__doc__)
    parser.add_argument("--corruptions", type=int, default=1000, metavar="N")
    parser.add_argument(
        "--kills", type=int, default=sys.maxsize, metavar="N", help="at most so many of a job"
    )
    parser.add_argument("--soak-seconds", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--fuzz-seconds", type=int, default=60, metavar="SECONDS")
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help="keep results there, and take those there are"
    )
    parser.add_argument("--document", type=Path, metavar="FILE", help="write the counts into it")
    asked = parser.parse_args()
    commands = {
        "corruption": ("-n", asked.corruptions),
        "faults": ("--at-most", asked.kills),
        "soak": ("--seconds", asked.soak_seconds),
        "fuzz": ("--seconds", asked.fuzz_seconds),
    }
    with tempfile.TemporaryDirectory() as scratch:
        directory = asked.results or Path(scratch)
        directory.mkdir(parents=True, exist_ok=True)
        codes = [
            _run(module, options, directory / f"{module}.json")
            for module, options in commands.items()
        ]
        found = {
            module: json.loads((directory / f"{module}.json").read_text(encoding="utf-8"))
            for module in commands
            if (directory / f"{module}.json").exists()
        }
    lines = [f"With: {_told(commands)}.", "", *_lines(found)]
    if asked.document is not None:
        put_between_marks(asked.document, lines)
    sys.stdout.write("\n".join(lines) + "\n")
    return int(any(codes))


def _run(module: str, options: Sequence[object], results: Path) -> int:
    if results.exists():
        return 0
    command = [sys.executable, "-m", module, *map(str, options), "--json", str(results)]
    return subprocess.run(command, check=False).returncode


def _told(commands: Mapping[str, Sequence[object]]) -> str:
    options = (f"{module} {name} {value}" for module, (name, value) in commands.items())
    return ", ".join(options)


def _lines(found: Mapping[str, Document]) -> Iterator[str]:
    sections = {
        "Corruptions": ("corruption", _corruptions),
        "Kills and failures of the system": ("faults", _kills),
        "Soak": ("soak", _soaks),
        "Fuzzing": ("fuzz", _fuzzed),
    }
    for title, (module, rows) in sections.items():
        yield f"### {title}"
        yield ""
        if module in found:
            yield from _table(list(rows(found[module])))
        else:
            yield "Not run."
        yield ""
    yield "On: " + ", ".join(f"{name} {value}" for name, value in facts().items()) + "."


def _table(rows: Sequence[Mapping[str, object]]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(str(row.get(name, '')) for name in columns)} |"


def _corruptions(document: Document) -> Iterator[Mapping[str, object]]:
    yield from document["counts"]


def _kills(document: Document) -> Iterator[Mapping[str, object]]:
    columns = ("job", "engine", "points", "kills", "failures")
    outcomes = ("lost", "half", "unsound", "untold", "unfinished", "orphans", "again")
    for tally in document:
        yield {name: tally[name] for name in (*columns, *outcomes)}
    total = {name: sum(tally[name] for tally in document) for name in (*columns[2:], *outcomes)}
    yield {"job": "**all**", "engine": "", **total}


def _soaks(document: Document) -> Iterator[Mapping[str, object]]:
    soaks = document["soaks"]
    names = sorted({name for one in soaks for name in one["counts"]})
    for name in names:
        counts = {_titled(one): one["counts"].get(name, 0) for one in soaks}
        yield {"counted": name, **counts}
    yield {"counted": "faults", **{_titled(one): len(one["faults"]) for one in soaks}}


def _titled(soak: Mapping[str, Any]) -> str:
    return f"{soak['engine']}, {soak['seconds']:g} s"


def _fuzzed(document: Document) -> Iterator[Mapping[str, object]]:
    for target in document:
        yield {name: target[name] for name in ("target", "seconds", "runs", "coverage", "passed")}


if __name__ == "__main__":
    sys.exit(main())
