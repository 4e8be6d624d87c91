"""Assign a constant set to a panel from a time on, or withdraw it; list panels."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import PanelId, SegmentId, parse_typed_panel
from panelcal.domain.moments import aware_utc
from panelcal.domain.runs import nearest_names
from panelcal.domain.text import one_line
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.services.sealed import SealedRows
from panelcal.storage.ledger import (
    NewAssignment,
    Panel,
    add_assignments,
    find_panel,
    history,
    panels,
    register_panels,
    require_same_type,
)
from panelcal.storage.modules import find_constant_set
from panelcal.storage.recording import recording_time
from panelcal.storage.sealed_ledger import require_ledger
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types


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

    Raises
    ------
    InvalidInputError
        The panel id, the reference, the start or the reason is malformed.
    NotFoundError
        There is no such module or revision.
    ConflictError
        The ledger says just so already, or the panel is of another detector type
        than the constant set.
    """
    module, revision = parse_module_reference(reference)
    reason = one_line(reason, "reason")
    _require_start(valid_from)
    with store.database.writing() as connection:
        panel_id, its_type = panel_named(connection, panel)
        constant_set = find_constant_set(connection, module, revision)
        detector_type = detector_types(connection).named(constant_set.detector_type)
        require_same_type(f"panel {panel_id}", its_type or detector_type.name, detector_type.name)
        before = _in_force(connection, panel_id)
        uses = f"{module}@{constant_set.revision}"
        superseded = _starting_at(before, valid_from)
        if superseded is not None and superseded.uses == uses:
            msg = f"already so: {panel_id} uses {uses} from {superseded.starts(store.zone)}"
            raise ConflictError(msg, f"recorded by {superseded.recorded_by}: {superseded.reason}")
        at = recording_time(connection, now)
        registered = register_panels(connection, detector_type, [panel_id])[str(panel_id)]
        new = NewAssignment(registered, valid_from, constant_set.id, reason)
        (row_id,) = add_assignments(connection, [new], now=at, user=user)
    row = Assignment(
        row_id,
        str(panel_id),
        valid_from,
        module,
        constant_set.revision,
        at,
        user,
        reason,
    )
    return Recorded(row, superseded, not before)


def withdraw(
    store: OpenStore,
    panel: str,
    valid_from: datetime,
    *,
    now: datetime,
    user: str,
    reason: str,
) -> Recorded:
    """Record that a panel has no valid constants from a time on: an explicit gap.

    Raises
    ------
    InvalidInputError
        The panel id, the start or the reason is malformed.
    NotFoundError
        The panel is not registered.
    ConflictError
        It is withdrawn from that time on already.
    """
    reason = one_line(reason, "reason")
    _require_start(valid_from)
    with store.database.writing() as connection:
        panel_id, _ = panel_named(connection, panel)
        registered = require_panel(connection, panel_id)
        superseded = _starting_at(_in_force(connection, panel_id), valid_from)
        if superseded is not None and superseded.module is None:
            msg = f"already so: {panel_id} is withdrawn from {superseded.starts(store.zone)}"
            raise ConflictError(msg, f"recorded by {superseded.recorded_by}: {superseded.reason}")
        at = recording_time(connection, now)
        new = NewAssignment(registered, valid_from, None, reason)
        (row_id,) = add_assignments(connection, [new], now=at, user=user)
    row = Assignment(row_id, str(panel_id), valid_from, None, None, at, user, reason)
    return Recorded(row, superseded, is_new_panel=False)


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


def panel_named(connection: Connection, text: str) -> tuple[PanelId | SegmentId, str | None]:
    """Return which panel somebody means, and the name of its detector type.

    Returns
    -------
    panel : PanelId or SegmentId
        The panel; it need not be registered.
    detector_type : str or None
        What it is registered as, or what its id begins with; None where neither says.

    Raises
    ------
    InvalidInputError
        It is no id of one panel, or names a detector type that the store has not,
        or another than the panel is of.
    """
    panel, named = parse_typed_panel(text, detector_types(connection).names)
    known = find_panel(connection, panel)
    if known is None or named in (None, known.detector_type):
        return panel, named if known is None else known.detector_type
    msg = f"{text} names the detector type {named!r}, the panel is of {known.detector_type!r}"
    raise InvalidInputError(msg, f"panelcal panel show -- {panel}")


def require_panel(connection: Connection, panel: PanelId | SegmentId) -> Panel:
    """Return a registered panel.

    Raises
    ------
    NotFoundError
        It is not registered; near misses are named.
    """
    found = find_panel(connection, panel)
    if found is not None:
        return found
    near = nearest_names(str(panel), [known.name for known in panels(connection)])
    msg = f"panel {panel} is not registered"
    hint = f"did you mean {', '.join(near)}?" if near else "panelcal panel list"
    raise NotFoundError(msg, hint)


def _in_force(connection: Connection, panel: PanelId | SegmentId) -> list[Assignment]:
    return in_force(history(connection, [str(panel)]).get(str(panel), ()))


def _starting_at(current: list[Assignment], valid_from: datetime | None) -> Assignment | None:
    return next((row for row in current if row.valid_from == valid_from), None)


def _require_start(moment: datetime | None) -> None:
    if moment is not None and aware_utc(moment).microsecond:
        msg = f"a validity starts at a whole second, not at {moment.isoformat()}"
        raise InvalidInputError(msg, "stamps of the calib layout have no fractions")
