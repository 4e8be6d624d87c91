"""Where the installed programs begin.

What they need is loaded inside: a Ctrl-C before that is done ends them as it
ends any program, without a traceback of imports.
"""

import signal


def panelcal() -> None:
    """Run ``panelcal`` and exit with its code."""
    _die_quietly()
    from panelcal.cli import main

    main()


def jungfrau_id() -> None:
    """Run ``jungfrau_id`` and exit with its code."""
    _die_quietly()
    from panelcal.cli.legacy import run_jungfrau_id

    run_jungfrau_id()


def jungfrau_gain_constants() -> None:
    """Run ``jungfrau_gain_constants`` and exit with its code."""
    _die_quietly()
    from panelcal.cli.legacy import run_jungfrau_gain_constants

    run_jungfrau_gain_constants()


def _die_quietly() -> None:
    # The programs catch it again when they are loaded.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
