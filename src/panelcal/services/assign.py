"""Assign a constant set to a panel from a time on, or withdraw it; list panels."""

from dataclasses import dataclass
from datetime import datetime

from panelcal.domain.validity import Assignment, in_force
from panelcal.services.impact import require_confirmed
from panelcal.services.planning import (
    Planner,
    assigning,
    current_rows,
    panel_named,
    record_plan,
    require_panel,
    starting_at,
    withdrawing,
)
from panelcal.services.sealed import SealedRows
from panelcal.storage.approvals import require_no_approval
from panelcal.storage.ledger import PROPOSE, Panel, history, panels
from panelcal.storage.recording import recording_time
from panelcal.storage.sealed_ledger import require_ledger
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Recorded:
    """A row that was added to the ledger.

    Parameters
    ----------
    assignment : Assignment
        The row.
    superseded : Assignment or None
        The row of the same start that it corrects.
    is_new_panel : bool
        The panel had no assignment before.
    """

    assignment: Assignment
    superseded: Assignment | None
    is_new_panel: bool


def assign(
    store: OpenStore,
    panel: str,
    reference: str,
    valid_from: datetime | None,
    *,
    now: datetime,
    user: str,
    reason: str,
    confirm_affects: int | None = None,
) -> Recorded:
    """Record that a panel uses a constant set from a time on.

    A row with the same start as one in force corrects it; nothing is removed. A
    panel that is new becomes one of the constant set's detector type.

    Parameters
    ----------
    panel : str
        Panel id, or LCLS2 id of one segment; registered if it is new.
    reference : str
        ``M044`` for the module's latest revision, ``M044@1`` for that one.
    valid_from : datetime or None
        First moment, aware, whole seconds; None is *the beginning*.
    now, user, reason : datetime, str, str
        When, by whom and why.
    confirm_affects : int or None
        How many answers already deployed are meant to change.

    Raises
    ------
    InvalidInputError
        The panel id, the reference, the start or the reason is malformed.
    NotFoundError
        There is no such module or revision.
    ConflictError
        The ledger says just so already; as many answers already deployed would change
        as were not confirmed; or the store asks for two people.
    """
    planner = assigning(panel, reference, valid_from, reason)
    return _record(store, planner, now=now, user=user, confirm_affects=confirm_affects)


def withdraw(
    store: OpenStore,
    panel: str,
    valid_from: datetime,
    *,
    now: datetime,
    user: str,
    reason: str,
    confirm_affects: int | None = None,
) -> Recorded:
    """Record that a panel has no valid constants from a time on: an explicit gap.

    Raises
    ------
    InvalidInputError
        The panel id, the start or the reason is malformed.
    NotFoundError
        The panel is not registered.
    ConflictError
        It is withdrawn from that time on already; or as `assign`.
    """
    planner = withdrawing(panel, valid_from, reason)
    return _record(store, planner, now=now, user=user, confirm_affects=confirm_affects)


def _record(
    store: OpenStore,
    planner: Planner,
    *,
    now: datetime,
    user: str,
    confirm_affects: int | None,
) -> Recorded:
    with store.database.writing() as connection:
        plan = planner(connection, store.zone)
        [row] = plan.rows
        require_no_approval(connection, PROPOSE)
        require_confirmed(connection, store.zone, plan.rows, confirm_affects)
        before = current_rows(connection, row.panel)
        at = recording_time(connection, now)
        [recorded] = record_plan(connection, plan, now=at, user=user)
    return Recorded(recorded, starting_at(before, row.valid_from), not before)


def list_panels(store: OpenStore) -> list[tuple[Panel, Assignment | None]]:
    """Return the registered panels, each with its latest assignment in force.

    Raises
    ------
    IntegrityError
        A row of the ledger is not as it was recorded.
    """
    with store.database.reading() as connection:
        require_ledger(connection)
        rows = history(connection)
        return [
            (panel, in_force(rows[panel.name])[-1] if panel.name in rows else None)
            for panel in panels(connection)
        ]


def show_panel(store: OpenStore, panel: str) -> tuple[Panel, list[Assignment]]:
    """Return a panel and its ledger rows in the order of recording.

    Raises
    ------
    InvalidInputError
        The panel id is malformed.
    NotFoundError
        The panel is not registered.
    IntegrityError
        A row is not as it was recorded.
    """
    with store.database.reading() as connection:
        registered = require_panel(connection, panel_named(connection, panel)[0])
        SealedRows(connection).require_chains([registered.name])
        return registered, history(connection, [registered.name]).get(registered.name, [])
