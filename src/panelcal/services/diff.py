"""Diff: by how much two revisions, modules, tags, times or runs differ, panel by panel."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.difference import (
    PlaneDifference,
    differences,
    no_difference,
    require_measures,
)
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.report import Progress
from panelcal.domain.sides import Pair, PanelSide, Side
from panelcal.errors import InvalidInputError
from panelcal.services.diff_sides import Question, sides_of
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Compared:
    """One pair, and how its two sides differ.

    Parameters
    ----------
    pair : Pair
        What the sides are.
    equal : tuple of str
        Kinds whose two payloads are the same one, which was not read for that.
    differences : tuple of PlaneDifference
        By kind and gain range, of equal kinds too; empty where one side has no
        constants.
    """

    pair: Pair
    equal: tuple[str, ...]
    differences: tuple[PlaneDifference, ...]

    @property
    def is_equal(self) -> bool:
        """Whether both sides have constants, and the same payload of every kind."""
        return self.pair.is_complete and {one.kind for one in self.differences} == set(self.equal)


@dataclass(frozen=True, slots=True)
class Diff:
    """How two sides differ.

    Parameters
    ----------
    before, after : Side
        What they are.
    kinds : tuple of Kind
        Those that were compared.
    n_sigma : float
        Where "beyond" begins, in units of sigma around the median.
    compared : tuple of Compared
        Pair by pair; for a detector, panel by panel.
    notices : tuple of str
        What the reader should know about how the question was understood.
    """

    before: Side
    after: Side
    kinds: tuple[Kind, ...]
    n_sigma: float
    compared: tuple[Compared, ...]
    notices: tuple[str, ...] = ()


def diff(
    store: OpenStore,
    question: Question,
    *,
    now: datetime,
    kind: str | None = None,
    n_sigma: float = 5.0,
    worst: int = 5,
    progress: Progress | None = None,
) -> Diff:
    """Compare two sides, one panel in memory at a time.

    Parameters
    ----------
    question : Question
        What the sides are.
    now : datetime
        The time, aware.
    kind : str or None
        One kind, or None for all.
    n_sigma : float
        Pixels farther from the median change than this many sigma are counted.
    worst : int
        How many of the farthest pixels of each plane are named.
    progress : callable or None
        Told after each pair.

    Raises
    ------
    InvalidInputError, NotFoundError
        As `sides_of`; or there is no such kind, or a measure is none.
    IntegrityError
        A row or a payload is not as it was recorded.
    """
    require_measures(n_sigma, worst)
    sides = sides_of(store, question, now=now)
    kinds: dict[str, Kind] = {}
    compared = []
    for done, pair in enumerate(sides.pairs, 1):
        found = common_type(pair, sides.types)
        if kind is not None:
            found = replace(found, kinds=(found.kind(kind),))
        kinds |= {one.name: one for one in found.kinds}
        compared.append(_compared(store.payloads, pair, found, n_sigma, worst))
        if progress is not None:
            progress(done, len(sides.pairs), pair.before.panel or pair.before.uses)
    told = tuple(kinds.values())
    return Diff(sides.before, sides.after, told, n_sigma, tuple(compared), sides.notices)


def common_type(pair: Pair, types: DetectorTypes) -> DetectorType:
    """Return the detector type of both sides of a pair.

    Raises
    ------
    InvalidInputError
        The two sides are of different types.
    """
    of = {one.detector_type for one in (pair.before, pair.after)} - {None}
    if len(of) > 1:
        msg = (
            f"{pair.before.uses} is of {pair.before.detector_type}, "
            f"{pair.after.uses} of {pair.after.detector_type}"
        )
        raise InvalidInputError(msg, "both have to be of one detector type")
    return types.chosen(of.pop() if of else None)


def payloads_of(
    payloads: PayloadStore, side: PanelSide, kinds: Sequence[str]
) -> "dict[str, np.ndarray[Any, np.dtype[np.float32]]]":
    """Load the constants of one panel on one side, verified.

    The sides of a `Diff` come from rows that were judged by their seals.

    Parameters
    ----------
    kinds : sequence of str
        Which ones.

    Returns
    -------
    dict of str to ndarray of float32
        By kind: (gain range, row, column), ADU/keV for ``pixel_gain`` and ADU for
        ``pixel_offset``; finite. Empty where the side has no constants.

    Raises
    ------
    IntegrityError
        A payload is missing or damaged.
    """
    if side.missing is not None:
        return {}
    return {kind: payloads.get(side.digests[kind]) for kind in kinds}


def _compared(
    payloads: PayloadStore,
    pair: Pair,
    detector_type: DetectorType,
    n_sigma: float,
    worst: int,
) -> Compared:
    if not pair.is_complete:
        return Compared(pair, (), ())
    before, after = pair.before.digests, pair.after.digests
    kinds = detector_type.kinds
    equal = tuple(kind.name for kind in kinds if before[kind.name] == after[kind.name])
    found: list[PlaneDifference] = []
    for kind in kinds:
        if kind.name in equal:
            found += no_difference(detector_type, kind.name, n_sigma=n_sigma)
            continue
        old, new = (payloads_of(payloads, one, [kind.name]) for one in (pair.before, pair.after))
        found += differences(old, new, {kind.name: kind.unit}, n_sigma=n_sigma, worst=worst)
    return Compared(pair, equal, tuple(found))
