"""Proposals, what was decided of them, and whether a store asks for two people."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self, get_args

from panelcal.domain.planned import Plan, Verb
from panelcal.domain.seal import BrokenSeal

DecisionVerdict = Literal["approved", "rejected"]
"""What can become of a proposal."""

VERBS: tuple[str, ...] = get_args(Verb)
VERDICTS: tuple[str, ...] = get_args(DecisionVerdict)


@dataclass(frozen=True, slots=True)
class ApprovalMode:
    """Whether changes of the ledger need a second person.

    Parameters
    ----------
    is_required : bool
        They do.
    recorded_at, recorded_by, reason : datetime, str, str
        Since when, by whom and why.
    """

    is_required: bool
    recorded_at: datetime
    recorded_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a proposal.

    Parameters
    ----------
    verdict : DecisionVerdict
        Approved, or rejected, which includes that its author took it back.
    recorded_at, recorded_by, reason : datetime, str, str
        When, by whom and why.
    broken : BrokenSeal or None
        Its row is not as it was recorded.
    """

    verdict: DecisionVerdict
    recorded_at: datetime
    recorded_by: str
    reason: str
    broken: BrokenSeal | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A change that somebody proposed.

    Parameters
    ----------
    number : int
        What it is called by.
    plan : Plan
        The change.
    recorded_at, recorded_by : datetime, str
        When and by whom it was proposed.
    decision : Decision or None
        What became of it; None while it is open.
    broken : BrokenSeal or None
        Its row is not as it was recorded.
    """

    number: int
    plan: Plan
    recorded_at: datetime
    recorded_by: str
    decision: Decision | None
    broken: BrokenSeal | None = field(default=None, compare=False, repr=False)

    @property
    def state(self) -> str:
        """``open``, ``approved`` or ``rejected``."""
        return "open" if self.decision is None else self.decision.verdict

    def as_recorded(self) -> Self:
        """Return the proposal, if it and what became of it are as they were recorded.

        Raises
        ------
        IntegrityError
            A row was edited.
        """
        for row in (self, self.decision):
            if row is not None and row.broken is not None:
                raise row.broken.refusal()
        return self
