"""Planned changes of the ledger: what would be recorded, before it is."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from panelcal.domain.moments import start_in_words

Verb = Literal["assign", "withdraw", "adopt", "approval-off"]
"""What people ask for; the last one asks for no row of the ledger."""


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """A row that would be added to the ledger.

    Parameters
    ----------
    panel : str
        Panel id; it need not be registered yet.
    valid_from : datetime or None
        First moment, UTC; None is *the beginning*.
    constant_set_id : int or None
        Row number of what it would use; None is a withdrawal.
    module, revision : str, int or None
        The same by name.
    """

    panel: str
    valid_from: datetime | None
    constant_set_id: int | None
    module: str | None
    revision: int | None

    @property
    def uses(self) -> str:
        """``M068@1``, or ``withdrawn``."""
        return "withdrawn" if self.module is None else f"{self.module}@{self.revision}"

    def starts(self, zone: ZoneInfo) -> str:
        """Return the start as a stamp in words: ``20171025000000`` or ``the beginning``."""
        return start_in_words(self.valid_from, zone)


@dataclass(frozen=True, slots=True)
class Plan:
    """A change of the ledger that was found to be possible.

    Parameters
    ----------
    verb : Verb
        Which change.
    rows : tuple of PlannedRow
        What would be recorded, in this order; none for ``approval-off``.
    reason : str
        Why.
    """

    verb: Verb
    rows: tuple[PlannedRow, ...]
    reason: str

    def in_words(self, zone: ZoneInfo) -> str:
        """Return what the change is in one line."""
        if self.verb == "approval-off":
            return "approval is no longer required"
        return "; ".join(f"{row.panel} {row.uses} from {row.starts(zone)}" for row in self.rows)
