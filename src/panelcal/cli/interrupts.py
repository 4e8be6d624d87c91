"""Ctrl-C and SIGTERM end the program, also where Python loses them."""

import signal
import sys

_AGAIN_SECONDS = 0.05


def install() -> None:
    """Let SIGTERM, as batch systems send it, end the program as Ctrl-C does.

    What was begun is undone on the way out. An exception raised inside a
    finalizer or a weak reference's callback is printed and forgotten by Python,
    and so would an interrupt that happens to arrive there: it is raised again.
    """
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _raise_again


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _raise_again(lost: "sys.UnraisableHookArgs") -> None:
    if isinstance(lost.exc_value, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(lost.exc_value, SystemExit):
        number = signal.SIGTERM
    else:
        sys.__unraisablehook__(lost)
        return
    # Not at once: this runs where exceptions are lost.
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)


def settle() -> None:
    """Forget an interrupt that is still to be raised again: the program has ended."""
    signal.setitimer(signal.ITIMER_REAL, 0)
