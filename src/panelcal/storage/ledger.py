"""Panels and the ledger of their assignments."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, select

from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.validity import Assignment
from panelcal.storage.tables import (
    AssignmentRow,
    ConstantSetRow,
    ModuleRow,
    PanelRow,
)


@dataclass(frozen=True, slots=True)
class Panel:
    """A registered panel.

    Parameters
    ----------
    id : int
        Row number.
    name : str
        Panel id.
    serial : str
        Its third field: the physical panel. An LCLS2 segment id, which has no
        fields, is its own serial.
    """

    id: int
    name: str
    serial: str


def panels(connection: Connection, serial: str | None = None) -> list[Panel]:
    """Return registered panels by id; those of one serial, if given."""
    query = select(PanelRow.id, PanelRow.name, PanelRow.serial)
    if serial is not None:
        query = query.where(PanelRow.serial == serial)
    found = [Panel(row.id, row.name, row.serial) for row in connection.execute(query)]
    return sorted(found, key=lambda panel: panel.name)


def find_panel(connection: Connection, panel: PanelId | SegmentId) -> Panel | None:
    """Return a registered panel, None if it is not registered."""
    row = connection.execute(
        select(PanelRow.id, PanelRow.name, PanelRow.serial).where(PanelRow.name == str(panel))
    ).one_or_none()
    return None if row is None else Panel(row.id, row.name, row.serial)


def register_panel(
    connection: Connection, detector_type: DetectorType, panel: PanelId | SegmentId
) -> Panel:
    """Return a panel, registering it if it is new."""
    found = find_panel(connection, panel)
    if found is not None:
        return found
    module_version, firmware, serial = panel.fields()
    panel_id: int = connection.execute(
        insert(PanelRow)
        .values(
            detector_type_id=detector_type.id,
            name=str(panel),
            module_version=module_version,
            firmware=firmware,
            serial=serial,
        )
        .returning(PanelRow.id)
    ).scalar_one()
    return Panel(panel_id, str(panel), serial)


def history(
    connection: Connection,
    panel_names: Iterable[str] | None = None,
    as_of: datetime | None = None,
) -> dict[str, list[Assignment]]:
    """Return the ledger rows of panels by panel id, in the order of recording.

    Parameters
    ----------
    panel_names : iterable of str or None
        Panel ids; None means all. Panels without rows are left out.
    as_of : datetime or None
        Only rows recorded by then; None is all.
    """
    query = (
        select(
            AssignmentRow.__table__,
            PanelRow.name.label("panel"),
            ModuleRow.name.label("module"),
            ConstantSetRow.revision,
        )
        .join(PanelRow, PanelRow.id == AssignmentRow.panel_id)
        .outerjoin(ConstantSetRow, ConstantSetRow.id == AssignmentRow.constant_set_id)
        .outerjoin(ModuleRow, ModuleRow.id == ConstantSetRow.module_id)
        .order_by(AssignmentRow.id)
    )
    if panel_names is not None:
        query = query.where(PanelRow.name.in_(sorted(set(panel_names))))
    if as_of is not None:
        query = query.where(AssignmentRow.recorded_at_us <= to_microseconds(as_of))
    rows = defaultdict(list)
    for row in connection.execute(query):
        rows[row.panel].append(
            Assignment(
                id=row.id,
                panel=row.panel,
                valid_from=from_microseconds(row.valid_from_us),
                module=row.module,
                revision=row.revision,
                recorded_at=moment_of(row.recorded_at_us),
                recorded_by=row.recorded_by,
                reason=row.reason,
            )
        )
    return dict(rows)


def add_assignment(
    connection: Connection,
    panel: Panel,
    valid_from: datetime | None,
    constant_set_id: int | None,
    *,
    now: datetime,
    user: str,
    reason: str,
) -> int:
    """Append a row to the ledger and return its number; None is a withdrawal."""
    row_id: int = connection.execute(
        insert(AssignmentRow)
        .values(
            panel_id=panel.id,
            valid_from_us=to_microseconds(valid_from),
            constant_set_id=constant_set_id,
            recorded_at_us=to_microseconds(now),
            recorded_by=user,
            reason=reason,
        )
        .returning(AssignmentRow.id)
    ).scalar_one()
    return row_id
