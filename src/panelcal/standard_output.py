"""Standard output that cannot be written: one line and an exit code, never a traceback.

Imports nothing heavy: it serves what runs before the command line is loaded, too.
"""

import errno
import os
import sys


def flushed(code: str | int | None) -> str | int | None:
    """Flush standard output while a failure can still be told, and return the exit code."""
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        return code or failed(error)
    return code


def failed(error: OSError) -> int:
    """Say that standard output could not be written, and return the exit code.

    Nothing is said where a reader has gone away, such as ``head``.
    """
    # The interpreter flushes again at exit; give it something that works.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        sys.stderr.write(f"error: standard output: {error.strerror}\n")
    return 1
