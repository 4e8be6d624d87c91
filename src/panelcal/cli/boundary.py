"""Where errors become lines and exit codes: the one boundary of all programs."""

import errno
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from panelcal.cli import interrupts
from panelcal.errors import PanelcalError
from panelcal.standard_output import failed, flushed

INTERRUPTED = 130


@contextmanager
def told_errors() -> Iterator[None]:
    """Print expected errors as a line and a hint; let bugs show their traceback."""
    try:
        yield
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


class ErrorBoundary(TyperGroup):
    """A program of several commands."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn what it raises into an exit code."""
        with told_errors():
            return super().invoke(ctx)


class CommandBoundary(TyperCommand):
    """A program of one command."""

    def invoke(self, ctx: Any) -> Any:
        """Run it and turn what it raises into an exit code."""
        with told_errors():
            return super().invoke(ctx)


def run_program(app: typer.Typer, on_usage_error: Callable[[], None] | None = None) -> None:
    """Run a program and exit with its code.

    Parameters
    ----------
    on_usage_error : callable or None
        Called after a request that could not be understood.
    """
    interrupts.install()
    code: str | int | None = None
    try:
        app()
    except SystemExit as stop:
        interrupts.settle()
        code = stop.code
        if code == 2 and on_usage_error is not None:
            on_usage_error()
        if code == INTERRUPTED:
            typer.echo("interrupted", err=True)
    except OSError as error:
        # Commands tell their own; this is help that could not be written.
        code = failed(error)
    sys.exit(flushed(code))
