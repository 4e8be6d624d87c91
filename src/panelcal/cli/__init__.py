"""The command line. Thin: parse, open the store, call one service, print.

Nothing heavier than typer and `panelcal.errors` is imported at module level
here, so that ``--help`` and mistyped commands answer at once.
"""

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from panelcal.cli import (
    approvals,
    bundles,
    checking,
    constants,
    coverage,
    deploying,
    diff,
    exports,
    imports,
    ledger,
    modules,
    plotting,
    runs,
    stores,
    tags,
    timelines,
    types,
    verifying,
)
from panelcal.cli.boundary import ErrorBoundary, run_program
from panelcal.cli.options import STORE_HELP, parse_path

_DASHED_ID = re.compile(r"-(?!-[a-z])[0-9a-f]*-[0-9a-f]*(_[0-9a-f-]*)*\Z", re.ASCII)


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


for commands in (
    stores,
    imports,
    modules,
    ledger,
    approvals,
    constants,
    runs,
    exports,
    deploying,
    verifying,
    coverage,
    checking,
    tags,
    diff,
    timelines,
    plotting,
    bundles,
    types,
):
    commands.register(app)


def main() -> None:
    """Run ``panelcal`` and exit with its code."""
    run_program(app, lambda: _hint_at_dashed_ids(sys.argv[1:]))


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
