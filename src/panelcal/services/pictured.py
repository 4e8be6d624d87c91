"""What pictures show: arrays of constant sets, and of one pixel, from verified rows."""

from dataclasses import dataclass

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.difference import Payloads
from panelcal.domain.ids import parse_panel
from panelcal.domain.kinds import DetectorType
from panelcal.domain.timeline import Interval
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.pictures.pixel import PixelRevision
from panelcal.services.timeline import timeline_of
from panelcal.storage.modules import ConstantSet, find_constant_set
from panelcal.storage.seals import sealed_sets
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_type as read_detector_type


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A constant set with its arrays.

    Parameters
    ----------
    constant_set : ConstantSet
        As recorded.
    detector_type : DetectorType
        Its kinds and their units.
    payloads : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    """

    constant_set: ConstantSet
    detector_type: DetectorType
    payloads: Payloads

    @property
    def name(self) -> str:
        """``M068@1``."""
        return f"{self.constant_set.module}@{self.constant_set.revision}"

    @property
    def units(self) -> dict[str, str]:
        """The unit of each kind."""
        return {kind.name: kind.unit for kind in self.detector_type.kinds}


def load_set(store: OpenStore, reference: str) -> LoadedSet:
    """Return a constant set with its arrays, both verified.

    Parameters
    ----------
    reference : str
        ``M068@1``, or ``M068`` for the module's latest revision.

    Raises
    ------
    InvalidInputError
        The reference is malformed.
    NotFoundError
        There is no such module or revision.
    IntegrityError
        Its row is not as it was recorded, or a payload is missing or damaged.
    """
    module, revision = parse_module_reference(reference)
    with store.database.reading() as connection:
        detector_type = read_detector_type(connection)
        found = find_constant_set(connection, module, revision)
        for sealed in sealed_sets(connection, {found.id}).values():
            if sealed.broken is not None:
                raise sealed.broken.refusal()
    payloads = {kind: store.payloads.get(digest) for kind, digest in found.digests.items()}
    return LoadedSet(found, detector_type, payloads)


def pixel_revisions(
    store: OpenStore, panel: str, row: int, column: int
) -> tuple[PixelRevision, ...]:
    """Return what one pixel of a panel had, for each of its assignments in force.

    Parameters
    ----------
    row, column : int
        From 0.

    Raises
    ------
    InvalidInputError
        The panel id is malformed, or the panel has no such pixel.
    NotFoundError
        The panel is not registered, or nothing is assigned to it.
    IntegrityError
        A row is not as it was recorded, or a payload is missing or damaged.
    """
    with store.database.reading() as connection:
        detector_type = read_detector_type(connection)
    name = str(parse_panel(panel, detector_type.name))
    if row >= detector_type.rows or column >= detector_type.columns or min(row, column) < 0:
        msg = f"there is no pixel at row {row}, column {column}"
        hint = f"rows are 0 to {detector_type.rows - 1}, columns 0 to {detector_type.columns - 1}"
        raise InvalidInputError(msg, hint)
    intervals = timeline_of(store, name).lanes[0].intervals
    loaded: dict[str, dict[str, tuple[float, ...]]] = {}
    for label in {one.label for one in intervals if one.state == "used"}:
        payloads = load_set(store, label).payloads
        loaded[label] = {
            kind: tuple(float(value) for value in array[:, row, column])
            for kind, array in payloads.items()
        }
    if not loaded:
        msg = f"panel {name} has never used a constant set"
        raise NotFoundError(msg, f"panelcal timeline {name}")
    return tuple(_revision(one, loaded) for one in intervals if one.state != "gap")


def _revision(one: Interval, loaded: dict[str, dict[str, tuple[float, ...]]]) -> PixelRevision:
    return PixelRevision(one.label, one.start, loaded.get(one.label))
