"""What pictures show: arrays of constant sets, and of one pixel, from verified rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.difference import Payloads, PlaneDifference, differences
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import to_microseconds
from panelcal.domain.sides import Pair, PanelSide, Side
from panelcal.domain.text import count_of, excerpt
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.pictures.pixel import PixelRevision
from panelcal.services.diff import common_type, payloads_of
from panelcal.services.diff_sides import Question, sides_of
from panelcal.services.pixel_history import PixelHistory
from panelcal.services.sealed import SealedRows
from panelcal.storage.modules import ConstantSet, find_constant_set
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types


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
        found = find_constant_set(connection, module, revision)
        SealedRows(connection).require_sets([found])
        detector_type = detector_types(connection).named(found.detector_type)
    payloads = {kind: store.payloads.get(digest) for kind, digest in found.digests.items()}
    return LoadedSet(found, detector_type, payloads)


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """Two sets of constants with their arrays, and how they differ.

    Parameters
    ----------
    names : tuple of str
        What the two are: ``M068@1``, or ``M068@1 (20180101000000)``.
    before, after : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    found : tuple of PlaneDifference
        By kind and gain range.
    """

    names: tuple[str, str]
    before: Payloads
    after: Payloads
    found: tuple[PlaneDifference, ...]


def load_pair(store: OpenStore, question: Question, panel: str | None, now: datetime) -> LoadedPair:
    """Return the two sides of a diff of one panel with their arrays, all verified.

    Parameters
    ----------
    panel : str or None
        Which one, where several panels are compared: a panel id.

    Raises
    ------
    InvalidInputError
        Several panels could be drawn, and none of them is named.
    NotFoundError
        The panel has no constants on one of the sides.
    IntegrityError
        A row or a payload is not as it was recorded.
    """
    sides = sides_of(store, question, now=now)
    pair = _chosen_pair(sides.pairs, panel)
    detector_type = common_type(pair, sides.types)
    kinds = [kind.name for kind in detector_type.kinds]
    before, after = (payloads_of(store.payloads, one, kinds) for one in (pair.before, pair.after))
    units = {kind.name: kind.unit for kind in detector_type.kinds}
    names = (_name(pair.before, sides.before), _name(pair.after, sides.after))
    return LoadedPair(names, before, after, differences(before, after, units))


def _chosen_pair(pairs: Sequence[Pair], panel: str | None) -> Pair:
    if panel is not None:
        pairs = [one for one in pairs if panel in {one.before.panel, one.after.panel}]
        if not pairs:
            msg = f"panel {excerpt(panel)} is none of those that are compared"
            raise NotFoundError(msg, "panelcal diff, with the same arguments, lists them")
    complete = [one for one in pairs if one.is_complete]
    if not complete:
        msg = "nothing could be compared: no panel has constants on both sides"
        raise NotFoundError(msg, "panelcal timeline PANEL shows what it had, and when")
    if len(complete) > 1:
        changed = [one.before.panel or one.before.uses for one in complete if one.is_change]
        msg = (
            f"a picture is of one panel, and {len(complete)} are compared, "
            f"{count_of(len(changed), 'of them changed', 'of them changed')}"
        )
        first = changed[0] if changed else complete[0].before.panel
        raise InvalidInputError(msg, f"say which one: --panel {first}")
    return complete[0]


def _name(side: PanelSide, of: Side) -> str:
    """Return what a picture calls a side; a module is asked for by its own name."""
    return side.uses if side.panel is None else f"{side.uses} ({of.asked})"


def revisions_of(found: PixelHistory) -> tuple[PixelRevision, ...]:
    """Return what a pixel of a panel had, for each of its assignments in force, by start.

    Raises
    ------
    InvalidInputError
        It is the history of a module.
    NotFoundError
        The panel has never used a constant set.
    """
    if any(one.panel is None for one in found.entries):
        msg = f"{excerpt(found.target)} is a module, and this picture is of a panel"
        pixel = f"{found.pixel.row},{found.pixel.column}"
        raise InvalidInputError(msg, f"panelcal history {found.target} --pixel {pixel}")
    in_force = [one for one in found.entries if not one.superseded]
    if not any(one.values for one in in_force):
        msg = f"panel {found.target} has never used a constant set"
        raise NotFoundError(msg, f"panelcal timeline {found.target}")
    in_force.sort(key=lambda one: to_microseconds(one.valid_from))
    return tuple(PixelRevision(one.uses, one.valid_from, one.values or None) for one in in_force)
