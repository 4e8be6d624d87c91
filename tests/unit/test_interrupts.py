"""Interrupts that arrive where Python forgets exceptions."""

import signal
import subprocess
import sys

import pytest

LOSES_AN_INTERRUPT = """
import signal, sys, time, weakref
from panelcal.cli import interrupts

class Thing: pass

interrupts.install()
thing = Thing()
kept = weakref.ref(thing, lambda _: signal.raise_signal({number}))
del thing
try:
    time.sleep(20)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
