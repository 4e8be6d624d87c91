"""Whether a store asks for two people: ask for them, see, and plan the end of it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from panelcal.domain.planned import Plan
from panelcal.domain.proposals import ApprovalMode, Proposal
from panelcal.domain.text import one_line
from panelcal.errors import ConflictError
from panelcal.services.planning import Planner
from panelcal.storage import approvals as stored
from panelcal.storage.database import Database
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a store asks for two people, and what waits for the second.

    Parameters
    ----------
    mode : ApprovalMode or None
        The last word on it; None if nobody ever asked for two.
    waiting : tuple of Proposal
        Open proposals, in the order of recording.
    """

    mode: ApprovalMode | None
    waiting: tuple[Proposal, ...]

    @property
    def is_required(self) -> bool:
        """A change of the ledger needs a second person."""
        return self.mode is not None and self.mode.is_required


_SINCE = "0007"
"""The schema revision that has what two people need."""


def require_no_mode_lost(database: Database, revision: str) -> None:
    """Refuse to go back to a schema that knows of no second person while one is required.

    Parameters
    ----------
    revision : str
        The schema to go back to, or ``base``.

    Raises
    ------
    ConflictError
        One person would end what two are required for.
    """
    known = database.schema_revision() or ""
    if known < _SINCE or (revision != "base" and revision >= _SINCE):
        return
    with database.reading() as connection:
        mode = stored.approval_mode(connection)
    if mode is not None and mode.is_required:
        msg = f"schema {revision} has no two people, and this store asks for them"
        raise ConflictError(
            msg, "panelcal propose approval-off --reason R; then somebody approves it"
        )


def require_approval(store: OpenStore, *, now: datetime, user: str, reason: str) -> ApprovalMode:
    """Ask for two people from now on, for every change of the ledger.

    Raises
    ------
    InvalidInputError
        The reason is malformed.
    ConflictError
        It is so already.
    """
    reason = one_line(reason, "reason")
    with store.database.writing() as connection:
        stored.require_no_approval(connection, "panelcal approval status")
        at = recording_time(connection, now)
        stored.add_approval_mode(connection, is_required=True, now=at, user=user, reason=reason)
    return ApprovalMode(is_required=True, recorded_at=at, recorded_by=user, reason=reason)


def approval_status(store: OpenStore) -> Status:
    """Return whether two people are asked for, and which proposals are open.

    Raises
    ------
    IntegrityError
        A row is not as it was recorded.
    """
    with store.database.reading() as connection:
        mode = stored.approval_mode(connection)
        found = stored.proposals(connection)
    return Status(mode, tuple(one.as_recorded() for one in found if one.decision is None))


def switching_off(reason: str) -> Planner:
    """Return what plans that one person is enough again.

    Raises
    ------
    InvalidInputError
        The reason is malformed.
    """
    plan = Plan("approval-off", (), one_line(reason, "reason"))

    def planner(connection: Connection, _: object) -> Plan:
        require_on(connection)
        return plan

    return planner


def require_on(connection: Connection) -> None:
    """Refuse to end what is not so.

    Raises
    ------
    ConflictError
        One person is enough already.
    """
    mode = stored.approval_mode(connection)
    if mode is None or not mode.is_required:
        msg = "already so: approval is not required"
        raise ConflictError(msg, "panelcal approval status")
