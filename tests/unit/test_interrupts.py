"""Interrupts that arrive where Python forgets exceptions."""

import signal
import subprocess
import sys

import pytest

LOSES_AN_INTERRUPT = """
import signal, sys, time, weakref
from panelcal.cli import interrupts

class Thing: pass

# Whoever runs the tests may have it ignored, as nohup does.
signal.signal({number}, signal.SIG_DFL)
interrupts.install()
thing = Thing()
kept = weakref.ref(thing, lambda _: signal.raise_signal({number}))
del thing
try:
    time.sleep(20)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_lost_in_a_finalizer_is_raised_again(number: int) -> None:
    code = LOSES_AN_INTERRUPT.format(number=int(number))
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (128 + number, "")


def test_other_errors_in_a_finalizer_are_shown_as_python_does() -> None:
    code = LOSES_AN_INTERRUPT.format(number=1).replace("signal.raise_signal(1)", "1 / 0")
    code = code.replace("time.sleep(20)", "pass")
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "ZeroDivisionError" in done.stderr


def test_while_it_is_loaded_an_interrupt_ends_the_program_without_a_traceback() -> None:
    code = (
        "import builtins, signal\n"
        "from panelcal import programs\n"
        "real = builtins.__import__\n"
        "def hurried(name, *others, **more):\n"
        "    if name == 'panelcal.cli': signal.raise_signal(signal.SIGINT)\n"
        "    return real(name, *others, **more)\n"
        "builtins.__import__ = hurried\n"
        "programs.panelcal()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_is_ignored_stays_ignored(number: signal.Signals) -> None:
    code = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, signal.SIG_IGN)\n"
        "from panelcal import programs\n"
        "from panelcal.cli import interrupts\n"
        "programs._die_quietly()\n"
        "interrupts.install()\n"
        f"signal.raise_signal({int(number)})\n"
        "sys.exit(7)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 7
