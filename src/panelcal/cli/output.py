"""How results are shown: plain columns or JSON on stdout, talk on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from panelcal.domain.report import ImportReport


def show_json(document: object) -> None:
    """Print a result as JSON."""
    typer.echo(json.dumps(document, indent=2))


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns under headings; the last column is not padded.

    A value is one line, whatever a database or a file system that others made says.
    """
    from panelcal.domain.text import as_line

    cells = [list(headings), *([as_line(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    widths[-1] = 0
    for row in cells:
        line = "  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True))
        typer.echo(line.rstrip())


def say(text: str) -> None:
    """Tell the user something that is not the result."""
    typer.echo(text, err=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int, str], None] | None]:
    """Show a progress bar while something long runs, if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def advance(done: int, total: int, doing: str) -> None:
            bar.update(task, completed=done, total=total, description=f"{what} {doing}")

        yield advance


def show_report(report: "ImportReport", *, as_json: bool) -> None:
    """Print what an import took, passed over and refused."""
    if as_json:
        show_json(report.document())
        return
    rows: list[tuple[Any, ...]] = [
        (line.status, line.name, "; ".join(filter(None, (line.content, line.reason))))
        for line in report.lines
    ]
    show_table(("status", "entry", "what"), rows)
    typer.echo(report.summary)
