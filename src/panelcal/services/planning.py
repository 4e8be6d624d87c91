"""Planned changes of the ledger: judged, recorded, or kept as a proposal.

Whoever changes the ledger by hand goes through here: a change is planned in the unit of
work that records it, so that nothing comes between what was judged and what is written.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import PanelId, SegmentId, parse_typed_panel
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import aware_utc
from panelcal.domain.planned import Plan, PlannedRow
from panelcal.domain.runs import nearest_names
from panelcal.domain.text import one_line
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
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
from panelcal.storage.types import detector_types

Planner = Callable[[Connection, ZoneInfo], Plan]
"""Plans a change in one state of the database, given the store's zone; refuses what cannot be."""


def assigning(panel: str, reference: str, valid_from: datetime | None, reason: str) -> Planner:
    """Return what plans that a panel uses a constant set from a time on.

    Parameters
    ----------
    panel : str
        Panel id, or LCLS2 id of one segment; it need not be registered.
    reference : str
        ``M044`` for the module's latest revision, ``M044@1`` for that one.
    valid_from : datetime or None
        First moment, aware, whole seconds; None is *the beginning*.
    reason : str
        Why.

    Raises
    ------
    InvalidInputError
        The reference, the start or the reason is malformed.
    """
    module, revision = parse_module_reference(reference)
    reason = one_line(reason, "reason")
    require_start(valid_from)

    def plan(connection: Connection, zone: ZoneInfo) -> Plan:
        panel_id, its_type = panel_named(connection, panel)
        found = find_constant_set(connection, module, revision)
        require_same_type(f"panel {panel_id}", its_type or found.detector_type, found.detector_type)
        row = PlannedRow(str(panel_id), valid_from, found.id, module, found.revision)
        planned = Plan("assign", (row,), reason)
        require_news(connection, zone, planned)
        return planned

    return plan


def withdrawing(panel: str, valid_from: datetime, reason: str) -> Planner:
    """Return what plans that a panel has no valid constants from a time on.

    Raises
    ------
    InvalidInputError
        The start or the reason is malformed.
    """
    reason = one_line(reason, "reason")
    require_start(valid_from)

    def plan(connection: Connection, zone: ZoneInfo) -> Plan:
        panel_id, _ = panel_named(connection, panel)
        registered = require_panel(connection, panel_id)
        row = PlannedRow(registered.name, valid_from, None, None, None)
        planned = Plan("withdraw", (row,), reason)
        require_news(connection, zone, planned)
        return planned

    return plan


def require_news(connection: Connection, zone: ZoneInfo, plan: Plan) -> None:
    """Refuse a change that the ledger says already, or that its panel has outgrown.

    Raises
    ------
    ConflictError
        It says just so; or a panel that was to adopt has assignments of its own.
    """
    for row in plan.rows:
        if plan.verb == "adopt":
            require_unassigned(connection, row.panel)
        said = starting_at(current_rows(connection, row.panel), row.valid_from)
        if said is not None and said.uses == row.uses:
            does = "is" if row.module is None else "uses"
            msg = f"already so: {row.panel} {does} {said.uses} from {said.starts(zone)}"
            raise ConflictError(msg, f"recorded by {said.recorded_by}: {said.reason}")


def require_unassigned(connection: Connection, panel: str) -> None:
    """Refuse to let a panel adopt another's assignments if it has some of its own.

    Raises
    ------
    ConflictError
        It has.
    """
    if current_rows(connection, panel):
        msg = f"{panel} has assignments of its own already"
        raise ConflictError(msg, f"panelcal panel show -- {panel}")


def record_plan(
    connection: Connection,
    plan: Plan,
    *,
    now: datetime,
    user: str,
    reason: str | None = None,
    proposal: int | None = None,
) -> list[Assignment]:
    """Append the rows of a plan to the ledger; return them as they were recorded.

    Parameters
    ----------
    now : datetime
        The transaction time.
    reason : str or None
        What the rows say for a reason; None is that of the plan.
    proposal : int or None
        The proposal that is approved in this unit of work.
    """
    if not plan.rows:
        return []
    ids = [panel_named(connection, row.panel)[0] for row in plan.rows]
    registered = register_panels(connection, _type_of(connection, plan), ids)
    why = plan.reason if reason is None else reason
    new = [
        NewAssignment(registered[row.panel], row.valid_from, row.constant_set_id, why)
        for row in plan.rows
    ]
    numbers = add_assignments(connection, new, now=now, user=user, proposal=proposal)
    return [
        Assignment(number, row.panel, row.valid_from, row.module, row.revision, now, user, why)
        for number, row in zip(numbers, plan.rows, strict=True)
    ]


def _type_of(connection: Connection, plan: Plan) -> DetectorType:
    """Return the detector type of the constant sets of a plan; without one, that of its panel."""
    types = detector_types(connection)
    for row in plan.rows:
        if row.module is not None:
            found = find_constant_set(connection, row.module, row.revision)
            return types.named(found.detector_type)
    _, name = panel_named(connection, plan.rows[0].panel)
    return types.chosen(name)


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


def current_rows(connection: Connection, panel: str) -> list[Assignment]:
    """Return the rows of a panel that are in force, by start."""
    return in_force(history(connection, [panel]).get(panel, ()))


def starting_at(current: Sequence[Assignment], valid_from: datetime | None) -> Assignment | None:
    """Return the row in force with a start, None if there is none."""
    return next((row for row in current if row.valid_from == valid_from), None)


def require_start(moment: datetime | None) -> None:
    """Refuse a start inside a second.

    Raises
    ------
    InvalidInputError
        It has fractions of a second, or no time zone.
    """
    if moment is not None and aware_utc(moment).microsecond:
        msg = f"a validity starts at a whole second, not at {moment.isoformat()}"
        raise InvalidInputError(msg, "stamps of the calib layout have no fractions")
