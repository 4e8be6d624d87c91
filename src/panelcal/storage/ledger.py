"""Panels and the ledger of their assignments."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.validity import Assignment
from panelcal.errors import ConflictError
from panelcal.storage.approvals import require_approved, require_no_approval
from panelcal.storage.reader import rows_of
from panelcal.storage.sealed_ledger import NewRow, seals_for

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

PROPOSE = (
    "panelcal propose assign, withdraw or adopt, each with the same arguments; "
    "an import needs `panelcal propose approval-off` first"
)
"""What to do where nobody changes the ledger alone."""

_PANELS = """
SELECT panel.id, panel.name, panel.serial, detector_type.name
FROM panel JOIN detector_type ON detector_type.id = panel.detector_type_id
"""

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
    detector_type : str
        Name of its detector type.
    """

    id: int
    name: str
    serial: str
    detector_type: str


@dataclass(frozen=True, slots=True)
class NewAssignment:
    """A row to be appended to the ledger.

    Parameters
    ----------
    panel : Panel
        The panel, registered.
    valid_from : datetime or None
        First moment, UTC; None is *the beginning*.
    constant_set_id : int or None
        Row number of what it uses; None is a withdrawal.
    reason : str
        Why.
    """

    panel: Panel
    valid_from: datetime | None
    constant_set_id: int | None
    reason: str


def panels(source: "Readable", serial: str | None = None) -> list[Panel]:
    """Return registered panels by id; those of one serial, if given."""
    where = "" if serial is None else "WHERE panel.serial = :serial"
    parameters = {} if serial is None else {"serial": serial}
    found = [Panel(*row) for row in rows_of(source, _PANELS + where, parameters)]
    return sorted(found, key=lambda panel: panel.name)


def find_panel(source: "Readable", panel: PanelId | SegmentId) -> Panel | None:
    """Return a registered panel, None if it is not registered."""
    found = rows_of(source, f"{_PANELS}WHERE panel.name = :name", {"name": str(panel)})
    return Panel(*found[0]) if found else None


def register_panels(
    connection: "Connection", detector_type: DetectorType, ids: Iterable[PanelId | SegmentId]
) -> dict[str, Panel]:
    """Return panels by id, registering those that are new as of a detector type.

    Raises
    ------
    ConflictError
        One is of another type: no constants of this one can be meant for it.
    """
    from sqlalchemy import insert, select

    from panelcal.storage.tables import DetectorTypeRow, PanelRow

    named = {str(one): one for one in ids}
    query = (
        select(PanelRow.id, PanelRow.name, PanelRow.serial, DetectorTypeRow.name)
        .join(DetectorTypeRow, DetectorTypeRow.id == PanelRow.detector_type_id)
        .where(PanelRow.name.in_(named))
    )
    known = {row[1]: Panel(*row) for row in connection.execute(query)}
    types = {name: panel.detector_type for name, panel in known.items()}
    types |= {str(one): one.detector_type for one in named.values() if isinstance(one, SegmentId)}
    for name, its_type in types.items():
        require_same_type(f"panel {name}", its_type, detector_type.name)
    missing = [name for name in named if name not in known]
    if missing:
        connection.execute(
            insert(PanelRow),
            [_panel_row(detector_type, name, named[name].fields()) for name in missing],
        )
        known = {row[1]: Panel(*row) for row in connection.execute(query)}
    return known


def require_same_type(what: str, detector_type: str, wanted: str) -> None:
    """Refuse constants of a detector type for what is of another one.

    Parameters
    ----------
    what : str
        What has a type, in words: ``panel 171113-154920171025-3d00fb``.
    detector_type, wanted : str
        Name of its type, and of that of the constants.

    Raises
    ------
    ConflictError
        They are two.
    """
    if detector_type != wanted:
        msg = f"{what} is of detector type {detector_type}, the constants are of {wanted}"
        raise ConflictError(msg, f"panelcal type show {detector_type}")


def _panel_row(
    detector_type: DetectorType, name: str, fields: tuple[str, str, str]
) -> dict[str, str | int]:
    module_version, firmware, serial = fields
    return {
        "detector_type_id": detector_type.id,
        "name": name,
        "module_version": module_version,
        "firmware": firmware,
        "serial": serial,
    }


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


def add_assignments(
    connection: "Connection",
    new: Sequence[NewAssignment],
    *,
    now: datetime,
    user: str,
    proposal: int | None = None,
) -> list[int]:
    """Append rows to the ledger and return their numbers, in order.

    Every row of the ledger is added here; only copies of whole stores are not.

    Parameters
    ----------
    proposal : int or None
        The proposal that is approved in this unit of work, at this time; None where
        one person acts alone.

    Raises
    ------
    ConflictError
        The store asks for two people, and no proposal is approved.
    """
    from sqlalchemy import insert

    from panelcal.storage.tables import AssignmentRow

    if not new:
        return []
    if proposal is None:
        require_no_approval(connection, PROPOSE)
    else:
        require_approved(connection, proposal, now)
    rows = [
        NewRow(
            panel_id=one.panel.id,
            valid_from_us=to_microseconds(one.valid_from),
            constant_set_id=one.constant_set_id,
            recorded_at_us=to_microseconds(now),
            recorded_by=user,
            reason=one.reason,
        )
        for one in new
    ]
    seals = seals_for(connection, rows)
    found = connection.scalars(
        insert(AssignmentRow).returning(AssignmentRow.id, sort_by_parameter_order=True),
        [asdict(row) | {"seal": seal} for row, seal in zip(rows, seals, strict=True)],
    )
    return list(found)
