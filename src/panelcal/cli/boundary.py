"""Where errors become lines and exit codes: the one boundary of all programs."""

import errno
import io
import os
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

# typer has it from click, or from a copy of its own, and gives a name to its heirs only.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_LONGEST_USAGE = 1000
"""Characters of what is said of a mistyped request, which repeats what was typed."""


@contextmanager
def told_errors() -> Iterator[None]:
    """Print expected errors as a line and a hint; let bugs show their traceback."""
    try:
        yield
    except PanelcalError as error:
        _tell("error", str(error))
        if error.hint:
            _tell("hint", error.hint)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        _tell("error", _account(error))
        if error.errno in _HINTS:
            _tell("hint", _HINTS[error.errno])
        raise typer.Exit(1) from error
    except MemoryError as error:
        _tell("error", "this takes more memory than there is")
        raise typer.Exit(1) from error


_HINTS = {
    errno.EACCES: "look at the permissions, or name a place that can be written",
    errno.EPERM: "look at the permissions, or name a place that can be written",
    errno.EROFS: "name a place that can be written",
    errno.ENOSPC: "make room on that disk, and try again",
    errno.EDQUOT: "make room within your quota, and try again",
    errno.EIO: "the disk or the server that has it fails: look at the system's log",
}
"""What to do where the system refuses, by its error number."""


def _account(error: OSError) -> str:
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def _tell(word: str, said: str) -> None:
    """Say what went wrong; a name in it cannot steer the terminal."""
    from panelcal.domain.text import escaped

    typer.echo(f"{word}: {escaped(said)}", err=True)


@contextmanager
def _shortened() -> Iterator[None]:
    """Let what typer says of a mistyped request fit a terminal, whatever was typed."""
    try:
        yield
    except _UsageError as error:
        from panelcal.domain.text import escaped, shortened

        for name in ("message", "option_name"):
            said = getattr(error, name, None)
            if isinstance(said, str):
                setattr(error, name, escaped(shortened(said, _LONGEST_USAGE)))
        raise


class ErrorBoundary(TyperGroup):
    """A program of several commands."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the request; what is said of a mistyped one fits a terminal."""
        with _shortened():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run the command and turn what it raises into an exit code."""
        with told_errors(), _shortened():
            return super().invoke(ctx)


class CommandBoundary(TyperCommand):
    """A program of one command."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """Read the request; what is said of a mistyped one fits a terminal."""
        with _shortened():
            return super().make_context(*arguments, **named)

    def invoke(self, ctx: Any) -> Any:
        """Run it and turn what it raises into an exit code."""
        with told_errors(), _shortened():
            return super().invoke(ctx)


def run_program(app: typer.Typer, on_usage_error: Callable[[], None] | None = None) -> None:
    """Run a program and exit with its code.

    Parameters
    ----------
    on_usage_error : callable or None
        Called after a request that could not be understood.
    """
    interrupts.install()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A reason in letters that a terminal of another encoding does not have.
        sys.stdout.reconfigure(errors="backslashreplace")
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
