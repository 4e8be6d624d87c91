"""The command line. Thin: parse, open the store, call one service, print.

Nothing heavier than typer and `panelcal.errors` is imported at module level
here, so that ``--help`` and mistyped commands answer at once.
"""

import errno
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from panelcal.cli import constants, exports, imports, interrupts, ledger, modules, runs, stores, tags
from panelcal.cli.options import STORE_HELP, parse_path
from panelcal.errors import PanelcalError

INTERRUPTED = 130

_DASHED_ID = re.compile(r"-(?!-[a-z])[0-9a-f]*-[0-9a-f]*(_[0-9a-f-]*)*\Z", re.ASCII)


class ErrorBoundary(TyperGroup):
    """Print expected errors as a line and a hint; let bugs show their traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn what it raises into an exit code."""
        try:
            return super().invoke(ctx)
        except PanelcalError as error:
            typer.echo(f"error: {error}", err=True)
            if error.hint:
                typer.echo(f"hint: {error.hint}", err=True)
            raise typer.Exit(error.exit_code) from error
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=ErrorBoundary,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Versioned calibration constants for multi-panel, multi-gain X-ray detectors.",
)


def _print_version(asked: bool) -> None:
    if asked:
        from panelcal import __version__

        typer.echo(f"panelcal {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            envvar="PANELCAL_STORE",
            metavar="DIR",
            help=STORE_HELP,
            parser=parse_path,
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001 - the callback acts on it
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Answer "constants for detector id at time T", and keep what the answer rests on."""
    ctx.obj = store


for commands in (stores, imports, modules, ledger, constants, runs, exports, tags):
    commands.register(app)


def main() -> None:
    """Run the program and exit with its code."""
    interrupts.install()
    try:
        app()
    except SystemExit as stop:
        interrupts.settle()
        code = stop.code
        if code == 2:
            _hint_at_dashed_ids(sys.argv[1:])
        if code == INTERRUPTED:
            typer.echo("interrupted", err=True)
    sys.exit(_flushed(code))


def _hint_at_dashed_ids(arguments: list[str]) -> None:
    """Say what to do about a panel id that was taken for an option."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if argument == "--":
            return
        if _DASHED_ID.match(argument) and not before.startswith("-"):
            typer.echo(
                f"hint: {argument} looks like a panel id with moduleVersion zero; "
                f"type -- before it, after all options",
                err=True,
            )
            return


def _flushed(code: str | int | None) -> str | int | None:
    """Flush standard output while a failure can still be told."""
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes again at exit; give it something that works.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno != errno.EPIPE:
            typer.echo(f"error: standard output: {error.strerror}", err=True)
        return code or 1
    return code
