"""Detector types and their kinds: rows that are added and never changed."""

from collections import defaultdict
from typing import TYPE_CHECKING

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_TYPES = """
SELECT detector_type.id, detector_type.name, gain_ranges, panel_rows, panel_columns, device,
       calib_group, kind.name, unit, file_stem, text_format
FROM detector_type LEFT JOIN kind ON kind.detector_type_id = detector_type.id
ORDER BY detector_type.id, kind.id
"""


def detector_types(source: "Readable") -> DetectorTypes:
    """Return all detector types with their kinds, in the order they were added."""
    types: dict[int, tuple[str, int, int, int, str, str]] = {}
    kinds: dict[int, list[Kind]] = defaultdict(list)
    for type_id, name, ranges, rows, columns, device, group, *kind in rows_of(source, _TYPES, {}):
        types[type_id] = name, ranges, rows, columns, device, group
        if kind[0] is not None:
            kinds[type_id].append(Kind(*kind))
    return DetectorTypes(
        tuple(DetectorType(one, *facts, tuple(kinds[one])) for one, facts in types.items())
    )


def add_detector_type(connection: "Connection", new: DetectorType) -> DetectorType:
    """Add a detector type with its kinds; return it with its row number."""
    from dataclasses import asdict, replace

    from sqlalchemy import insert

    from panelcal.storage.tables import DetectorTypeRow, KindRow

    type_id = connection.scalars(
        insert(DetectorTypeRow).returning(DetectorTypeRow.id),
        {
            "name": new.name,
            "gain_ranges": new.gain_ranges,
            "panel_rows": new.rows,
            "panel_columns": new.columns,
            "device": new.device,
            "calib_group": new.calib_group,
        },
    ).one()
    connection.execute(
        insert(KindRow), [{"detector_type_id": type_id, **asdict(kind)} for kind in new.kinds]
    )
    return replace(new, id=type_id)
