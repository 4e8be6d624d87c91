"""Where the installed programs begin.

What they need is loaded inside: a Ctrl-C before that is done ends them as it
ends any program, without a traceback of imports.
"""

import os
import signal
import sys

HELP = "help.txt"
"""What ``panelcal --help`` prints 80 columns wide, beside this module; after a change:
``COLUMNS=80 panelcal --help > src/panelcal/help.txt``."""


def panelcal() -> None:
    """Run ``panelcal`` and exit with its code."""
    _die_quietly()
    if sys.argv[1:] == ["--help"] and _is_as_kept():
        # Loading typer takes five times as long as Python's own start.
        sys.exit(_print_help())
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


def _print_help() -> int:
    from panelcal.standard_output import failed

    name = os.path.join(os.path.dirname(__file__), HELP)  # noqa: PTH118, PTH120 - pathlib is slow to load
    with open(name, encoding="utf-8") as kept:  # noqa: PTH123 - as above
        text = kept.read()
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        return failed(error)
    return 0


def _is_as_kept() -> bool:
    """Say whether help is to be as it was kept: under this name, and as wide as ever."""
    if not sys.argv[0].endswith("panelcal") or sys.stdout is None:
        return False
    if "COLUMNS" in os.environ or "_PANELCAL_COMPLETE" in os.environ:
        return False
    try:
        return os.get_terminal_size(1).columns >= 80
    except OSError:
        return True


def _die_quietly() -> None:
    # The programs catch it again when they are loaded.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
