"""Two people: propose a change of the ledger, approve it, reject it.

Nothing of a proposal holds before somebody else approves it. The approval writes the rows
in its own unit of work: they are recorded then, by whoever approved.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from panelcal.domain.moments import iso_utc
from panelcal.domain.proposals import Decision, Proposal
from panelcal.domain.text import one_line
from panelcal.domain.validity import Assignment
from panelcal.errors import ConflictError, NotFoundError
from panelcal.services.approval_mode import require_on
from panelcal.services.impact import (
    Impact,
    compared,
    impact_of,
    preview,
    require_confirmed,
)
from panelcal.services.planning import Planner, record_plan, require_news
from panelcal.storage import approvals as stored
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Judged:
    """A proposal and what it would do now.

    Parameters
    ----------
    proposal : Proposal
        As recorded.
    impact : Impact or None
        With differences; None of a proposal that is decided.
    obstacle : str or None
        Why it cannot be approved any more, though it is open.
    """

    proposal: Proposal
    impact: Impact | None
    obstacle: str | None = None


@dataclass(frozen=True, slots=True)
class Approved:
    """A proposal that was approved.

    Parameters
    ----------
    proposal : Proposal
        With the decision.
    rows : tuple of Assignment
        What was recorded.
    """

    proposal: Proposal
    rows: tuple[Assignment, ...]


def propose(store: OpenStore, planner: Planner, *, now: datetime, user: str) -> Judged:
    """Record a proposal, and say what it would do.

    Raises
    ------
    PanelcalError
        What the change itself would be refused with.
    ConflictError
        The same is proposed already.
    IntegrityError
        A row or a payload that the account rests on is not as it was recorded.
    """
    # Payloads are read for it: not while the store is locked, nor once it is recorded.
    _, found = preview(store, planner)
    with store.database.writing() as connection:
        plan = planner(connection, store.zone)
        for other in stored.proposals(connection):
            same = (other.plan.verb, other.plan.rows) == (plan.verb, plan.rows)
            if same and other.decision is None:
                msg = (
                    f"already so: proposal {other.number} by {other.recorded_by} is for "
                    f"{plan.in_words(store.zone)}"
                )
                raise ConflictError(msg, f"panelcal proposal show {other.number}")
        at = recording_time(connection, now)
        number = stored.add_proposal(connection, plan, now=at, user=user)
    return Judged(Proposal(number, plan, at, user, None), found)


def list_proposals(store: OpenStore, *, decided: bool) -> list[Proposal]:
    """Return proposals in the order of recording.

    Parameters
    ----------
    decided : bool
        Those that are decided, too.

    Raises
    ------
    IntegrityError
        A row is not as it was recorded.
    """
    with store.database.reading() as connection:
        found = stored.proposals(connection)
    return [one.as_recorded() for one in found if decided or one.decision is None]


def show_proposal(store: OpenStore, number: int) -> Judged:
    """Return a proposal; of an open one, what it would do now.

    Raises
    ------
    NotFoundError
        There is none of that number.
    IntegrityError
        A row or a payload is not as it was recorded.
    """
    with store.database.reading() as connection:
        proposal = _find(connection, number)
        if proposal.decision is not None:
            return Judged(proposal, None)
        try:
            _require_sense(connection, store, proposal)
        except ConflictError as error:
            return Judged(proposal, None, error.message)
        found = impact_of(connection, store.zone, proposal.plan.rows)
    return Judged(proposal, compared(store, found))


def approve(
    store: OpenStore,
    number: int,
    *,
    now: datetime,
    user: str,
    reason: str,
    confirm_affects: int | None = None,
) -> Approved:
    """Record what somebody else proposed.

    Parameters
    ----------
    number : int
        Of the proposal.
    confirm_affects : int or None
        How many answers already deployed are meant to change.

    Raises
    ------
    NotFoundError
        There is no such proposal.
    ConflictError
        It is decided already; the user proposed it; the ledger has changed so that it
        makes no sense any more; or as many answers already deployed would change as
        were not confirmed.
    IntegrityError
        A row is not as it was recorded.
    """
    reason = one_line(reason, "reason")
    with store.database.writing() as connection:
        proposal = _open(connection, number)
        if proposal.recorded_by == user:
            msg = f"proposal {number} is by {user}: somebody else has to approve it"
            raise ConflictError(msg, f"panelcal reject {number} --reason R takes it back")
        _require_sense(connection, store, proposal)
        rows, seen = proposal.plan.rows, f"panelcal proposal show {number}"
        require_confirmed(connection, store.zone, rows, confirm_affects, seen)
        at = recording_time(connection, now)
        decision = Decision("approved", at, user, reason)
        stored.add_decision(connection, number, decision)
        told = f"{proposal.plan.reason} (proposal {number} by {proposal.recorded_by})"
        if proposal.plan.verb == "approval-off":
            stored.add_approval_mode(connection, is_required=False, now=at, user=user, reason=told)
        recorded = record_plan(
            connection, proposal.plan, now=at, user=user, reason=told, proposal=number
        )
    return Approved(replace(proposal, decision=decision), tuple(recorded))


def reject(store: OpenStore, number: int, *, now: datetime, user: str, reason: str) -> Proposal:
    """Record that a proposal is not to be; whoever made it may take it back so.

    Raises
    ------
    NotFoundError
        There is no such proposal.
    ConflictError
        It is decided already.
    IntegrityError
        A row is not as it was recorded.
    """
    reason = one_line(reason, "reason")
    with store.database.writing() as connection:
        proposal = _open(connection, number)
        decision = Decision("rejected", recording_time(connection, now), user, reason)
        stored.add_decision(connection, number, decision)
    return replace(proposal, decision=decision)


def _find(connection: Connection, number: int) -> Proposal:
    found = stored.proposals(connection, number)
    if not found:
        msg = f"there is no proposal {number}"
        raise NotFoundError(msg, "panelcal proposal list --all")
    return found[0].as_recorded()


def _open(connection: Connection, number: int) -> Proposal:
    proposal = _find(connection, number)
    if proposal.decision is not None:
        said = proposal.decision
        msg = (
            f"proposal {number} was {said.verdict} by {said.recorded_by} "
            f"at {iso_utc(said.recorded_at)}: {said.reason}"
        )
        raise ConflictError(msg, "a decision stays; make another proposal")
    return proposal


def _require_sense(connection: Connection, store: OpenStore, proposal: Proposal) -> None:
    """Refuse what the ledger has outgrown since it was proposed."""
    if proposal.plan.verb == "approval-off":
        require_on(connection)
    require_news(connection, store.zone, proposal.plan)
