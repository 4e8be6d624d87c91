"""Panels and the ledger of their assignments."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.validity import Assignment
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_PANELS = "SELECT id, name, serial FROM panel"

_HISTORY = """
SELECT row.id, panel.name, row.valid_from_us, module.name, constant_set.revision,
       row.recorded_at_us, row.recorded_by, row.reason
FROM assignment AS row
JOIN panel ON panel.id = row.panel_id
LEFT JOIN constant_set ON constant_set.id = row.constant_set_id
LEFT JOIN module ON module.id = constant_set.module_id
{where}
ORDER BY row.id
"""


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


def panels(source: "Readable", serial: str | None = None) -> list[Panel]:
    """Return registered panels by id; those of one serial, if given."""
    where = "" if serial is None else " WHERE serial = :serial"
    parameters = {} if serial is None else {"serial": serial}
    found = [Panel(*row) for row in rows_of(source, _PANELS + where, parameters)]
    return sorted(found, key=lambda panel: panel.name)


def find_panel(source: "Readable", panel: PanelId | SegmentId) -> Panel | None:
    """Return a registered panel, None if it is not registered."""
    found = rows_of(source, f"{_PANELS} WHERE name = :name", {"name": str(panel)})
    return Panel(*found[0]) if found else None


def register_panel(
    connection: "Connection", detector_type: DetectorType, panel: PanelId | SegmentId
) -> Panel:
    """Return a panel, registering it if it is new."""
    from sqlalchemy import insert

    from panelcal.storage.tables import PanelRow

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
    source: "Readable",
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
    conditions: list[str] = []
    parameters: dict[str, str | int | None] = {}
    if panel_names is not None:
        named = {f"panel_{index}": name for index, name in enumerate(sorted(set(panel_names)))}
        if not named:
            return {}
        conditions.append(f"panel.name IN ({', '.join(f':{key}' for key in named)})")
        parameters |= named
    if as_of is not None:
        conditions.append("row.recorded_at_us <= :as_of")
        parameters["as_of"] = to_microseconds(as_of)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    rows = defaultdict(list)
    for row_id, panel, start, module, revision, recorded_at_us, recorded_by, reason in rows_of(
        source, _HISTORY.format(where=where), parameters
    ):
        rows[panel].append(
            Assignment(
                id=row_id,
                panel=panel,
                valid_from=from_microseconds(start),
                module=module,
                revision=revision,
                recorded_at=moment_of(recorded_at_us),
                recorded_by=recorded_by,
                reason=reason,
            )
        )
    return dict(rows)


def add_assignment(
    connection: "Connection",
    panel: Panel,
    valid_from: datetime | None,
    constant_set_id: int | None,
    *,
    now: datetime,
    user: str,
    reason: str,
) -> int:
    """Append a row to the ledger and return its number; None is a withdrawal."""
    from sqlalchemy import insert

    from panelcal.storage.tables import AssignmentRow

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
