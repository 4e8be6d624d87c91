"""What the checks of lint look at: read once, in one state of the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.domain.moments import typed_form
from panelcal.domain.run_answers import Use
from panelcal.domain.runs import Run
from panelcal.services.coverage import Coverage, Record
from panelcal.storage.ledger import Panel

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable


@dataclass(frozen=True, slots=True)
class Material:
    """The record of a store.

    Parameters
    ----------
    source : Snapshot
        The database, for a check that needs further tables; one state of it.
    zone : ZoneInfo
        The store's time zone.
    record : Record
        Runs, ledger, constant sets, and what every run is answered.
    panels : sequence of Panel
        The registered ones, by id.
    coverage : Coverage
        Of every detector.
    """

    source: "Readable"
    zone: ZoneInfo
    record: Record
    panels: Sequence[Panel]
    coverage: Coverage

    def at(self, moment: datetime) -> str:
        """Return a moment as it can be typed."""
        return typed_form(moment, self.zone)


def own_name(run: Run) -> str:
    """Return a run with its source, as a report names it."""
    return f"{run.dataset} {run.source}"


def told_uses(uses: Sequence[Use]) -> str:
    """Return the constant sets of an answer in segment order: ``M068@1, M088@1``."""
    return ", ".join(use.uses for use in uses)
