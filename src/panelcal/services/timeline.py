"""Timeline: what the panels of a detector use over time, and what was deployed when."""

from collections.abc import Container, Iterable
from datetime import datetime

from sqlalchemy import Connection

from panelcal.domain.ids import DetectorId, parse_detector_id
from panelcal.domain.timeline import Interval, Lane, Mark, Timeline, intervals_of
from panelcal.domain.validity import Assignment, in_force
from panelcal.services.planning import require_panel
from panelcal.services.sealed import SealedRows
from panelcal.storage.deployments import DeployedPanel, deployed_panels
from panelcal.storage.ledger import find_panel, history
from panelcal.storage.modules import constant_sets
from panelcal.storage.seals import sealed_sets
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types


def timeline_of(store: OpenStore, target: str, *, as_of: datetime | None = None) -> Timeline:
    """Return what the panels of a detector, or one panel, use over time.

    Only rows in force count: what was superseded is left out. A panel of the
    detector that is not registered has a gap for all times.

    Parameters
    ----------
    target : str
        Detector id or panel id.
    as_of : datetime or None
        Only what was recorded and deployed by then; None is all.

    Raises
    ------
    InvalidInputError
        The target is malformed, or of another detector type.
    NotFoundError
        No panel of it is registered.
    IntegrityError
        A row that it comes from is not as it was recorded.
    """
    detector = parse_detector_id(target)
    with store.database.reading() as connection:
        detector.require_type(detector_types(connection).names)
        _require_any(connection, detector)
        names = {str(panel) for panel in detector.panels}
        SealedRows(connection).require_chains(names)
        rows = history(connection, names, as_of)
        deployed = deployed_panels(connection, names, as_of)
        used = {(row.module, row.revision) for chain in rows.values() for row in chain}
        # What was deployed to a panel was assigned to it before.
        _require_sets(connection, used)
    return Timeline(
        detector=str(detector),
        zone=store.zone,
        as_of=as_of,
        lanes=tuple(
            _lane(name, rows.get(name, ()), [one for one in deployed if one.panel == name])
            for name in map(str, detector.panels)
        ),
    )


def panels_using(store: OpenStore, module: str, revision: int) -> list[str]:
    """Return the panels that use a constant set at some time, as the ledger stands."""
    with store.database.reading() as connection:
        rows = history(connection)
    return sorted(
        panel
        for panel, chain in rows.items()
        if any((row.module, row.revision) == (module, revision) for row in in_force(chain))
    )


def _require_any(connection: Connection, detector: DetectorId) -> None:
    if all(find_panel(connection, panel) is None for panel in detector.panels):
        require_panel(connection, detector.panels[0])


def _require_sets(connection: Connection, used: Container[tuple[str | None, int | None]]) -> None:
    """Refuse constant sets that are not as they were recorded, so that names are to be trusted."""
    ids = {one.id for one in constant_sets(connection) if (one.module, one.revision) in used}
    for found in sealed_sets(connection, ids).values():
        if found.broken is not None:
            raise found.broken.refusal()


def _lane(panel: str, rows: Iterable[Assignment], deployed: Iterable[DeployedPanel]) -> Lane:
    intervals = intervals_of(rows)
    # A run that was deployed again reads what was written last.
    last = {(one.dataset, one.source): one for one in deployed}
    marks = [_mark(last[key], intervals) for key in sorted(last)]
    return Lane(panel, intervals, tuple(marks))


def _mark(one: DeployedPanel, intervals: Iterable[Interval]) -> Mark:
    at = one.at
    uses = f"{one.module}@{one.revision}"
    return Mark(
        dataset=one.dataset,
        source=one.source,
        at=at,
        uses=uses,
        token=one.token,
        deployed_at=one.deployed_at,
        is_current=at is not None
        and any(interval.holds_at(at) and interval.label == uses for interval in intervals),
    )
