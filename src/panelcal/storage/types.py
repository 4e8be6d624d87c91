"""Reading detector types and their kinds."""

from sqlalchemy import Connection, select

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.errors import NotFoundError
from panelcal.storage.tables import DetectorTypeRow, KindRow


def detector_type(connection: Connection, name: str = "jungfrau") -> DetectorType:
    """Return a detector type with its kinds, in the order they were defined.

    Raises
    ------
    NotFoundError
        The store has no such type.
    """
    row = connection.execute(
        select(DetectorTypeRow.__table__).where(DetectorTypeRow.name == name)
    ).one_or_none()
    if row is None:
        msg = f"there is no detector type {name!r} in this store"
        raise NotFoundError(msg)
    kinds = connection.execute(
        select(KindRow.__table__).where(KindRow.detector_type_id == row.id).order_by(KindRow.id)
    )
    return DetectorType(
        id=row.id,
        name=row.name,
        gain_ranges=row.gain_ranges,
        rows=row.panel_rows,
        columns=row.panel_columns,
        device=row.device,
        calib_group=row.calib_group,
        kinds=tuple(Kind(kind.name, kind.unit, kind.file_stem, kind.text_format) for kind in kinds),
    )
