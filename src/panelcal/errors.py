"""Every error that panelcal raises on purpose.

::

    PanelcalError                    exit 1
    ├── InvalidInputError            exit 2   (also ValueError)
    ├── NotFoundError                exit 3   (also LookupError)
    │   └── NoValidConstantsError
    ├── ConflictError                exit 4
    │   └── FindingsError
    ├── IntegrityError               exit 5
    └── SchemaError                  exit 6

They are grouped by what a caller would do about them. Exit codes are part of
the interface (design §3): they are added to, never changed.
"""

from collections.abc import Sequence
from typing import Any


class PanelcalError(Exception):
    """Base of all errors that panelcal raises on purpose.

    Parameters
    ----------
    message : str
        What was asked and what was found.
    hint : str or None
        What to do about it, usually a command that can be typed.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        # The arguments reach Exception unchanged, so that errors survive pickling.
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class InvalidInputError(PanelcalError, ValueError):
    """The request itself is malformed; asking again the same way cannot succeed."""

    exit_code = 2


class NotFoundError(PanelcalError, LookupError):
    """Something that was named is not in the store."""

    exit_code = 3


class NoValidConstantsError(NotFoundError):
    """A detector cannot be resolved because panels have no valid constants.

    Parameters
    ----------
    message : str
        The panels that failed, each with its nearest candidates.
    hint : str or None
        What to do about it.
    missing : sequence of str
        The ids of the panels without constants, in detector order.
    """

    def __init__(self, message: str, hint: str | None = None, missing: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, tuple(missing))
        self.missing = tuple(missing)


class ConflictError(PanelcalError):
    """The store already says otherwise, or already says exactly this."""

    exit_code = 4


class FindingsError(ConflictError):
    """A delivery was refused for what its numbers are.

    Parameters
    ----------
    message : str
        Every finding, one on a line.
    hint : str or None
        What to do about it.
    findings : sequence of panelcal.domain.quality.QualityFinding
        Errors and warnings.
    """

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Any] = ()) -> None:
        super().__init__(message, hint)
        self.args = (message, hint, tuple(findings))
        self.findings = tuple(findings)


class IntegrityError(PanelcalError):
    """What was read is not what was written."""

    exit_code = 5


class SchemaError(PanelcalError):
    """The database was made by an older or a newer panelcal."""

    exit_code = 6
