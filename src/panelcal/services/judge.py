"""Judge a delivery by the rules of its detector type: beside what the store has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from panelcal.domain.difference import Payloads
from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import DetectorType
from panelcal.domain.quality import (
    Measurement,
    Plane,
    Rule,
    Verdict,
    judge,
    rules_digest,
)
from panelcal.domain.quality_checks import (
    Place,
    alike,
    measure,
    measure_copies,
    measure_drift,
    measure_population,
    plane_numbers,
)
from panelcal.domain.quality_names import COMPARED_WITH_PREVIOUS
from panelcal.errors import FindingsError
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.quality import last_verdicts, rules
from panelcal.storage.seals import sealed_sets

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

MOST_COMPARED = 8
"""Constant sets of other modules that are read for one delivery: those most like it."""


@dataclass(frozen=True)
class Background:
    """What deliveries are judged by: one state of the database.

    Parameters
    ----------
    detector_type : DetectorType
        Its shape, kinds and units.
    rules : tuple of Rule
        Of that type.
    sets : sequence of ConstantSet
        Every constant set of that type, by module and revision.
    planes : mapping of int to sequence of Plane
        Numbers of the latest constant set of each module, by its row number, as its
        last verdict has them. Sets that were never judged have none.
    """

    detector_type: DetectorType
    rules: tuple[Rule, ...]
    sets: Sequence[ConstantSet]
    planes: Mapping[int, Sequence[Plane]]

    @property
    def latest(self) -> dict[str, ConstantSet]:
        """The latest constant set of each module."""
        return {one.module: one for one in self.sets}

    def has(self, module: str, arrays: Payloads) -> bool:
        """Say whether a module has a revision with just these contents."""
        digests = {kind: digest_of(array) for kind, array in arrays.items()}
        return any(one.module == module and one.digests == digests for one in self.sets)

    def before(self, module: str | None, revision: int | None) -> ConstantSet | None:
        """Return the revision that a delivery of a module follows, None if it is the first.

        Parameters
        ----------
        revision : int or None
            Of the delivery, if it is recorded already.
        """
        earlier = [
            one
            for one in self.sets
            if one.module == module and (revision is None or one.revision < revision)
        ]
        return earlier[-1] if earlier else None


def read_background(source: "Readable", detector_type: DetectorType) -> Background:
    """Read what deliveries of a detector type are judged by.

    Raises
    ------
    IntegrityError
        A rule cannot be understood, or a verdict is not as it was recorded.
    """
    sets = [one for one in constant_sets(source) if one.detector_type == detector_type.name]
    latest = {one.module: one.id for one in sets}
    known = last_verdicts(source, latest.values())
    return Background(
        detector_type,
        rules(source, detector_type.id),
        sets,
        {set_id: one.verdict.planes for set_id, one in known.items()},
    )


def judge_payloads(
    source: "Readable",
    payloads: PayloadStore,
    background: Background,
    arrays: Payloads,
    module: str | None,
    revision: int | None = None,
) -> Verdict:
    """Judge the constants of one module.

    Only what the rules ask for is computed, and read.

    Parameters
    ----------
    source : Readable
        The database: what arrays are compared with has to be as it was recorded.
    payloads : PayloadStore
        Where they are.
    arrays : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit.
    module : str or None
        Whose constants they are; None where nobody says: they are compared with no
        previous revision.
    revision : int or None
        Which revision they are, if they are recorded already.

    Raises
    ------
    IntegrityError
        A constant set that they are compared with, or its payload, is not as it
        was recorded.
    """
    units = {kind.name: kind.unit for kind in background.detector_type.kinds}
    planes = plane_numbers(arrays)
    asked = {rule.check for rule in background.rules}
    numbers: list[Measurement] = []
    if asked:
        numbers += measure(arrays, planes, units)
    is_finite = len(planes) == sum(len(array) for array in arrays.values())
    previous = background.before(module, revision)
    if previous is not None and is_finite and asked & COMPARED_WITH_PREVIOUS:
        before = read_arrays(source, payloads, [previous])
        name = _name(previous)
        numbers += measure_drift(arrays, before[name], units, name)
    others = [one for one in background.latest.values() if one.module != module]
    known = [background.planes[one.id] for one in others if one.id in background.planes]
    numbers += measure_population(planes, known)
    if is_finite and "module_correlation" in asked:
        places = _possible_copies(background, module, arrays, planes)
        read = read_arrays(source, payloads, [one for one, _ in places])
        numbers += measure_copies(
            arrays, {_name(one): (read[_name(one)], found) for one, found in places}
        )
    return Verdict(judge(numbers, background.rules, units), planes, rules_digest(background.rules))


def _possible_copies(
    background: Background, module: str | None, arrays: Payloads, planes: Sequence[Plane]
) -> list[tuple[ConstantSet, set[Place]]]:
    """Return constant sets of other modules that these constants may be a copy of.

    They have a payload in common, or are a module's latest one with numbers that
    agree; each with the planes of which that is so. Of too many, those with most
    payloads in common are taken, and then those of which most planes agree.
    """
    digests = {kind: digest_of(array) for kind, array in arrays.items()}
    found: list[tuple[int, ConstantSet, set[Place]]] = []
    for one in background.sets:
        if one.module == module:
            continue
        places = alike(planes, background.planes.get(one.id, ()))
        equal = [kind for kind, digest in digests.items() if digest == one.digests.get(kind)]
        for kind in equal:
            places |= {(kind, gain_range) for gain_range in range(len(arrays[kind]))}
        if places:
            found.append((len(equal), one, places))
    # What is equal to the last bit comes before what is only like it.
    found.sort(key=lambda one: (one[0], len(one[2])), reverse=True)
    return [(one, places) for _, one, places in found[:MOST_COMPARED]]


def read_arrays(
    source: "Readable", payloads: PayloadStore, sets: Sequence[ConstantSet]
) -> dict[str, Payloads]:
    """Return arrays of constant sets by their names, after verifying rows and payloads.

    Returns
    -------
    dict of str to Payloads
        By ``M044@1``: by kind, float32 (gain range, row, column), in the kind's unit.

    Raises
    ------
    IntegrityError
        A row or a payload is not as it was recorded.
    """
    sealed = sealed_sets(source, {one.id for one in sets})
    for one in sealed.values():
        if one.broken is not None:
            raise one.broken.refusal()
    return {
        _name(one): {kind: payloads.get(digest) for kind, digest in one.digests.items()}
        for one in sets
    }


def _name(one: ConstantSet) -> str:
    return f"{one.module}@{one.revision}"


def require_accepted(verdict: Verdict, what: str) -> None:
    """Refuse a delivery whose errors nobody accepted.

    Raises
    ------
    FindingsError
        There are such errors; every finding is told.
    """
    if not verdict.is_open:
        return
    told = [f"  {one.severity}: {one.text}" for one in verdict.findings]
    msg = "\n".join([f"{what} is not as it should be; nothing was recorded", *told])
    hint = '--accept-findings "why it is right nevertheless" records it all the same'
    raise FindingsError(msg, hint, verdict.findings)
