"""Ctrl-C, SIGTERM and SIGHUP end the program, also where Python loses them."""

import signal
import sys

_AGAIN_SECONDS = 0.05


def install() -> None:
    """Let SIGTERM, as batch systems send it, and SIGHUP, as a lost connection, act as Ctrl-C.

    What was begun is undone on the way out. A signal that is ignored, as under
    nohup, stays so. An exception raised inside a finalizer or a weak reference's
    callback is printed and forgotten by Python, and so would an interrupt that
    happens to arrive there: it is raised again.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminate)
    sys.unraisablehook = _raise_again


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


def _raise_again(lost: "sys.UnraisableHookArgs") -> None:
    if isinstance(lost.exc_value, KeyboardInterrupt):
        number = signal.SIGINT
    elif isinstance(lost.exc_value, SystemExit):
        number = signal.Signals(int(str(lost.exc_value.code)) - 128)
    else:
        sys.__unraisablehook__(lost)
        return
    # Not at once: this runs where exceptions are lost.
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(number))
    signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS)


def settle() -> None:
    """Forget an interrupt that is still to be raised again: the program has ended."""
    signal.setitimer(signal.ITIMER_REAL, 0)
