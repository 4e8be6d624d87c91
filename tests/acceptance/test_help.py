"""``panelcal --help`` as a new process prints it."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import panelcal

pytestmark = pytest.mark.acceptance

PROGRAM = [str(Path(sys.executable).with_name("panelcal"))]
HEAVY = ("typer", "sqlalchemy", "zarr", "alembic", "numpy", "rich")


def plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"}


def help_of(**environment: str) -> str:
    """Return what is printed where standard output is no terminal."""
    done = subprocess.run(
        [*PROGRAM, "--help"],
        env=plain_environment() | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_kept_help_is_what_the_commands_say_now() -> None:
    # After a change of a command: COLUMNS=80 panelcal --help > src/panelcal/help.txt
    assert help_of() == help_of(COLUMNS="80")
    kept = Path(panelcal.__file__).with_name("help.txt").read_text(encoding="utf-8")
    assert help_of() == kept


def test_help_is_no_wider_than_the_terminal() -> None:
    narrow = help_of(COLUMNS="60")
    assert max(map(len, narrow.splitlines())) <= 60 < max(map(len, help_of().splitlines()))
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 60, 0, 0))
    with subprocess.Popen([*PROGRAM, "--help"], stdout=terminal, env=plain_environment()) as child:
        os.close(terminal)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(master)
    assert child.returncode == 0
    assert shown.decode().splitlines() == narrow.splitlines()


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from panelcal.programs import panelcal; sys.argv[0] = 'panelcal'\n"
        "try: panelcal()\n"
        f"finally: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == help_of()
    assert done.stderr.split() == []


@pytest.mark.parametrize("columns", [{}, {"COLUMNS": "80"}])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_help_that_cannot_be_written_is_told_in_a_line(columns: dict[str, str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*PROGRAM, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=plain_environment() | columns,
        )
    assert done.returncode == 1
    assert done.stderr == "error: standard output: No space left on device\n"


@pytest.mark.parametrize("columns", [{}, {"COLUMNS": "80"}])
def test_a_reader_that_went_away_is_no_error_to_tell(columns: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*PROGRAM, "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env=plain_environment() | columns,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
