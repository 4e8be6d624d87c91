"""The table: on the terminal, as JSON, and in a document."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rows import Row

COLUMNS = ("work", "against", "reach", "ratio", "by round", "rounds", "met", "more")


def cells(row: Row) -> tuple[str, ...]:
    """Return what the table shows of a row, in the order of its columns."""
    more = [f"{name} {shown(value)}" for name, value in row.figures.items()]
    return (
        f"{row.topic}: {row.what}",
        row.against,
        "" if row.target is None else str(row.target),
        "-" if row.ratio is None else shown(row.ratio),
        _by_round(row),
        str(row.rounds or "-"),
        {None: "-", True: "yes", False: "no"}[row.met],
        "; ".join([*more, row.note] if row.note else more),
    )


def shown(ratio: float) -> str:
    """Return a ratio with the digits that mean something."""
    return f"{ratio:.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def _by_round(row: Row) -> str:
    if row.paired is None or row.lowest is None or row.highest is None:
        return "-"
    return f"{shown(row.paired)} ({shown(row.lowest)} to {shown(row.highest)})"


def show(console: Console, rows: Sequence[Row], machine: Mapping[str, str]) -> None:
    """Print the table, and what it was measured on."""
    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*cells(row))
    console.print(table)
    console.print(_told(machine), soft_wrap=True, highlight=False)
    console.print(verdict(rows), highlight=False)


def verdict(rows: Sequence[Row]) -> str:
    """Say in a line how many targets are met."""
    judged = [row.met for row in rows if row.met is not None]
    told = f"{sum(judged)} of {len(judged)} targets met"
    skipped = sum(row.target is not None and row.ratio is None for row in rows)
    return f"{told}; {skipped} not measured" if skipped else told


def _told(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def document(
    rows: Sequence[Row], machine: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that was measured, for JSON."""
    return {
        "options": dict(options),
        "machine": dict(machine),
        "rows": [row.document() for row in rows],
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document, in directories made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def markdown(rows: Sequence[Row], machine: Mapping[str, str]) -> Iterator[str]:
    """Give the lines of the table for a document."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|---" * len(COLUMNS) + "|"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"
    yield ""
    yield f"Measured on: {_told(machine)}. {verdict(rows)}."
