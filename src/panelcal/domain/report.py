"""What an import took, passed over and refused."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panelcal.domain.text import count_of
from panelcal.errors import ConflictError, InvalidInputError

Progress = Callable[[int, int, str], None]
"""Told while long work runs: steps done, steps in all, and what is being done."""


class Status(StrEnum):
    """What became of one thing that was to be imported."""

    TAKEN = "taken"
    ALREADY = "already"
    IGNORED = "ignored"
    REFUSED = "refused"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was to be imported.

    Parameters
    ----------
    name : str
        What it is called there: a file name, or the line of a file.
    status : Status
        What became of it.
    content : str
        What it says, in panelcal's words.
    reason : str
        Why, or what else is to be known.
    """

    name: str
    status: Status
    content: str
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """All lines of an import.

    Parameters
    ----------
    lines : tuple of Line
        In the order of the input.
    dry_run : bool
        Nothing was to be written.
    skip_bad : bool
        What is refused or in conflict was to be left out, the rest taken.
    """

    lines: tuple[Line, ...]
    dry_run: bool
    skip_bad: bool

    def count(self, status: Status) -> int:
        """Return how many lines have a status."""
        return sum(line.status is status for line in self.lines)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is refused or in conflict."""
        return not (self.count(Status.REFUSED) or self.count(Status.CONFLICT))

    @property
    def is_to_be_written(self) -> bool:
        """Whether what was taken is recorded: everything or nothing, unless told."""
        return not self.dry_run and (self.is_clean or self.skip_bad)

    @property
    def summary(self) -> str:
        """All counts in one line."""
        counts = Counter(line.status for line in self.lines)
        parts = [f"{counts[status]} {status}" for status in Status if counts[status]]
        outcome = "written" if self.is_to_be_written else "nothing was written"
        if self.is_to_be_written and not counts[Status.TAKEN]:
            outcome = "nothing to add"
        return f"{', '.join(parts) or 'nothing found'}; {outcome}"

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "written": self.is_to_be_written and self.count(Status.TAKEN) > 0,
            "dry_run": self.dry_run,
            "counts": {str(status): self.count(status) for status in Status},
            "entries": [
                {
                    "name": line.name,
                    "status": str(line.status),
                    "content": line.content,
                    "reason": line.reason,
                }
                for line in self.lines
            ],
        }

    def raise_if_refused(self) -> None:
        """Raise what the refusals of the import amount to, unless they were to be skipped.

        Raises
        ------
        InvalidInputError
            Something is malformed.
        ConflictError
            Nothing is malformed, but the store says otherwise.
        """
        if self.is_clean or self.skip_bad:
            return
        refused, conflicts = self.count(Status.REFUSED), self.count(Status.CONFLICT)
        if refused:
            msg = f"{count_of(refused, 'entry', 'entries')} refused; nothing was written"
            raise InvalidInputError(msg, "--skip-bad takes the rest without them")
        msg = (
            f"the store says otherwise about {count_of(conflicts, 'entry', 'entries')}; "
            f"nothing was written"
        )
        hint = "--supersede records them as corrections, --skip-bad leaves them out"
        raise ConflictError(msg, hint)
