"""One physical panel under several panel ids: see its twins, adopt their assignments."""

from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.planned import Plan, PlannedRow
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.impact import require_confirmed
from panelcal.services.planning import (
    Planner,
    panel_named,
    record_plan,
    require_unassigned,
)
from panelcal.storage.approvals import require_no_approval
from panelcal.storage.ledger import PROPOSE, Panel, history, panels
from panelcal.storage.modules import find_constant_set
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Twin:
    """Another panel id of the same serial: the same panel under other firmware.

    Parameters
    ----------
    panel : Panel
        The other panel id.
    assignments : tuple of Assignment
        Its rows in force, by start.
    """

    panel: Panel
    assignments: tuple[Assignment, ...]

    def uses(self, zone: ZoneInfo) -> str:
        """Return what it uses in words: ``M068@1 from 20171025000000``."""
        told = [f"{row.uses} from {row.starts(zone)}" for row in self.assignments]
        return ", ".join(told) or "nothing"


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a panel id would take over, or took over, from its twin.

    Parameters
    ----------
    panel : str
        The new panel id.
    twin : Twin
        Whose assignments.
    rows : tuple of Assignment
        What is recorded for the new panel id, or would be.
    is_recorded : bool
        Whether they are in the ledger now.
    """

    panel: str
    twin: Twin
    rows: tuple[Assignment, ...]
    is_recorded: bool


def twins_of(store: OpenStore, panel: str) -> list[Twin]:
    """Return the other panel ids of a panel's serial, each with what it uses.

    Raises
    ------
    InvalidInputError
        The panel id is malformed.
    """
    with store.database.reading() as connection:
        return _twins(connection, *panel_named(connection, panel))


def _twins(
    connection: Connection, panel: PanelId | SegmentId, detector_type: str | None
) -> list[Twin]:
    """Return the twins of a panel; where its type is known, those of that type.

    Serials are counted by the makers of each type: an equal one of another type is
    another panel.
    """
    others = [
        other
        for other in panels(connection, panel.fields()[2])
        if other.name != str(panel) and detector_type in (None, other.detector_type)
    ]
    rows = history(connection, [other.name for other in others])
    return [Twin(other, tuple(in_force(rows.get(other.name, ())))) for other in others]


def adopting(panel: str, like: str | None) -> Planner:
    """Return what plans that a new panel id uses what its twin uses.

    Parameters
    ----------
    panel : str
        The new panel id; it has no assignments yet.
    like : str or None
        Which twin, where there are several that use different things.
    """

    def plan(connection: Connection, zone: ZoneInfo) -> Plan:
        return _planned(connection, zone, panel, like)[0]

    return plan


def adopt(
    store: OpenStore,
    panel: str,
    *,
    like: str | None,
    record: bool,
    now: datetime,
    user: str,
    confirm_affects: int | None = None,
) -> Adoption:
    """Show, or record, that a new panel id uses what its twin uses.

    Parameters
    ----------
    panel : str
        The new panel id; it has no assignments yet.
    like : str or None
        Which twin, where there are several that use different things.
    record : bool
        Write the rows to the ledger; otherwise only say which.
    confirm_affects : int or None
        How many answers already deployed are meant to change.

    Raises
    ------
    NotFoundError
        No other panel id of this serial has an assignment.
    ConflictError
        The panel has assignments already; as many answers already deployed would
        change as were not confirmed; or the store asks for two people.
    InvalidInputError
        Several twins use different things and `like` names none of them.
    """
    unit = store.database.writing() if record else store.database.reading()
    with unit as connection:
        plan, twin = _planned(connection, store.zone, panel, like)
        if record:
            require_no_approval(connection, PROPOSE)
            require_confirmed(connection, store.zone, plan.rows, confirm_affects)
            at = recording_time(connection, now)
            rows = record_plan(connection, plan, now=at, user=user)
        else:
            rows = [
                replace(one, panel=plan.rows[0].panel, recorded_at=now, recorded_by=user,
                        reason=plan.reason)
                for one in twin.assignments
            ]  # fmt: skip
    return Adoption(rows[0].panel, twin, tuple(rows), record)


def _planned(
    connection: Connection, zone: ZoneInfo, panel: str, like: str | None
) -> tuple[Plan, Twin]:
    panel_id, its_type = panel_named(connection, panel)
    require_unassigned(connection, str(panel_id))
    wanted = None if like is None else panel_named(connection, like)[0]
    twin = _chosen_twin(_twins(connection, panel_id, its_type), panel_id, wanted, zone)
    rows = tuple(_row(connection, str(panel_id), one) for one in twin.assignments)
    return Plan("adopt", rows, f"adopted from {twin.panel.name}, the same serial"), twin


def _row(connection: Connection, panel: str, like: Assignment) -> PlannedRow:
    set_id = None
    if like.module is not None:
        set_id = find_constant_set(connection, like.module, like.revision).id
    return PlannedRow(panel, like.valid_from, set_id, like.module, like.revision)


def _chosen_twin(
    twins: list[Twin],
    panel: PanelId | SegmentId,
    like: PanelId | SegmentId | None,
    zone: ZoneInfo,
) -> Twin:
    if isinstance(panel, SegmentId):
        msg = f"{panel} has no serial: nothing says which other ids are the same physical panel"
        raise NotFoundError(msg, f"panelcal assign --from T --reason R {panel} MODULE")
    used = [twin for twin in twins if twin.assignments]
    if not used:
        msg = f"no other panel id of serial {panel.fields()[2]} has an assignment"
        raise NotFoundError(msg, f"panelcal assign --from T --reason R -- {panel} MODULE")
    if like is not None:
        used = [twin for twin in used if twin.panel.name == str(like)]
        if not used:
            msg = f"{like} is no other panel id of serial {panel.fields()[2]} with assignments"
            raise NotFoundError(msg, "panelcal panel list")
    if len({twin.uses(zone) for twin in used}) > 1:
        told = "; ".join(f"{twin.panel.name} uses {twin.uses(zone)}" for twin in used)
        msg = f"the panel ids of serial {panel.fields()[2]} use different things: {told}"
        raise InvalidInputError(msg, "--like PANEL says whose to adopt")
    return used[0]
