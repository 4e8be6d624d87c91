"""Reading detector types and their kinds."""

from typing import TYPE_CHECKING

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.errors import NotFoundError
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_TYPE = """
SELECT id, name, gain_ranges, panel_rows, panel_columns, device, calib_group
FROM detector_type WHERE name = :name
"""

_KINDS = """
SELECT name, unit, file_stem, text_format FROM kind
WHERE detector_type_id = :detector_type_id ORDER BY id
"""


def detector_type(source: "Readable", name: str = "jungfrau") -> DetectorType:
    """Return a detector type with its kinds, in the order they were defined.

    Raises
    ------
    NotFoundError
        The store has no such type.
    """
    found = rows_of(source, _TYPE, {"name": name})
    if not found:
        msg = f"there is no detector type {name!r} in this store"
        raise NotFoundError(msg)
    type_id, name, gain_ranges, rows, columns, device, calib_group = found[0]
    kinds = rows_of(source, _KINDS, {"detector_type_id": type_id})
    return DetectorType(
        id=type_id,
        name=name,
        gain_ranges=gain_ranges,
        rows=rows,
        columns=columns,
        device=device,
        calib_group=calib_group,
        kinds=tuple(Kind(*kind) for kind in kinds),
    )
