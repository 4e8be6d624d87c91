"""Checks of a delivery: numbers of its planes, by themselves and beside others.

A plane is one kind of one gain range, float (row, column), in the kind's unit. A check
gives no number where there is none, such as a ratio to a median of zero. Of a plane
with values that are not finite only their fraction is told.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from panelcal.domain.difference import Payloads, differences
from panelcal.domain.pattern import best_way, correlation, median_and_sigma, pattern
from panelcal.domain.quality import Measurement, Plane

if TYPE_CHECKING:
    import numpy as np

    Plane2D: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

Place = tuple[str, int]
"""A plane of a constant set: its kind and gain range."""

ADC_FULL_SCALE = 16383
"""ADU; the largest number of a 14-bit converter (spec §12, where it stands for no maximum)."""

FEWEST_MODULES = 3
"""Other modules with numbers that make a population."""

_DEAD = 0.1
"""A pixel is dead if its gain is less than this part of the plane's median."""

_SATURATED = 3.0
"""A gain is wild, as of a saturated pixel, above so many times the plane's median."""

_SAMPLE = 65_536
"""Pixels that are enough for the median distance of two planes."""

_BLOCKS = (2, 4)
"""Rows and columns of blocks: the eight ASICs of a jungfrau panel."""


def plane_numbers(payloads: Payloads) -> tuple[Plane, ...]:
    """Return median and sigma of every plane whose values are finite."""
    import numpy as np

    return tuple(
        Plane(kind, gain_range, *map(_plain, median_and_sigma(plane)))
        for kind, gain_range, plane in _planes(payloads)
        if np.isfinite(plane).all()
    )


def measure(
    payloads: Payloads, planes: Sequence[Plane], units: Mapping[str, str]
) -> Iterator[Measurement]:
    """Give the numbers of a delivery that need nothing but itself.

    Parameters
    ----------
    payloads : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit.
    planes : sequence of Plane
        As `plane_numbers` returns them.
    units : mapping of str to str
        The unit of each kind: a kind in ADU is an offset, in ADU/keV a gain.
    """
    import numpy as np

    numbers = {(one.kind, one.gain_range): one for one in planes}
    for kind, gain_range, plane in _planes(payloads):
        finite = float(np.count_nonzero(np.isfinite(plane)) / plane.size)
        yield Measurement("finite_fraction", kind, gain_range, finite)
        if (kind, gain_range) in numbers:
            one = numbers[kind, gain_range]
            for check, number in _plane(plane, one, is_offset=units[kind] == "ADU"):
                yield Measurement(check, kind, gain_range, number)
    yield from _range_ratios(numbers)
    yield from _equal_planes(payloads)


def measure_drift(
    payloads: Payloads, before: Payloads, units: Mapping[str, str], previous: str
) -> Iterator[Measurement]:
    """Give the numbers that compare a delivery with the module's previous revision.

    Parameters
    ----------
    payloads, before : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    units : mapping of str to str
        The unit of each kind.
    previous : str
        What the earlier one is called, ``M044@1``.
    """
    for one in differences(before, payloads, units, n_sigma=5.0, worst=1):
        where = one.kind, one.gain_range
        against = f"since {previous}"
        median, _ = median_and_sigma(before[one.kind][one.gain_range])
        yield Measurement("drift", *where, _plain(one.median), against)
        if median != 0:
            yield Measurement("relative_drift", *where, _plain(one.median / abs(median)), against)
            spread = _plain(one.sigma / abs(median))
            yield Measurement("relative_drift_sigma", *where, spread, against)
        yield Measurement("drift_outliers", *where, one.beyond / one.pixels, against)
        old, new = before[one.kind][one.gain_range], payloads[one.kind][one.gain_range]
        yield from _block_drift(where, old, new, previous)
        yield from _orientation(where, old, new, previous)
    for kind in units:
        yield from _swapped_ranges(kind, payloads[kind], before[kind], previous)


def measure_population(
    planes: Sequence[Plane], others: Sequence[Sequence[Plane]]
) -> Iterator[Measurement]:
    """Give the numbers that compare a delivery with the latest ones of other modules.

    Parameters
    ----------
    planes : sequence of Plane
        The delivery's.
    others : sequence of sequence of Plane
        Those of each other module. With fewer than `FEWEST_MODULES` there is no
        population, and no number.
    """
    import numpy as np

    for one in planes:
        known = [
            other.median
            for module in others
            for other in module
            if (other.kind, other.gain_range) == (one.kind, one.gain_range)
        ]
        if len(known) < FEWEST_MODULES:
            continue
        middle = float(np.median(known))
        where = one.kind, one.gain_range
        against = f"that of {len(known)} other modules"
        yield Measurement("population_shift", *where, _plain(one.median - middle), against)
        if middle != 0:
            # Of a negative gain, too: above is larger in size.
            number = _plain(one.median / middle - 1)
            yield Measurement("relative_population_shift", *where, number, against)


def measure_copies(
    payloads: Payloads, others: Mapping[str, tuple[Payloads, Collection[Place]]]
) -> Iterator[Measurement]:
    """Give, of planes that may be those of other modules, how much they are like them.

    Parameters
    ----------
    others : mapping of str to (Payloads, collection of Place)
        By what it is called, ``M068@1``: constants of another module, and the planes
        that are to be compared.
    """
    for kind, gain_range, plane in _planes(payloads):
        asked = {
            name: other[kind][gain_range]
            for name, (other, places) in others.items()
            if (kind, gain_range) in places
        }
        mine = pattern(plane) if asked else None
        if mine is None:
            continue
        theirs = {name: pattern(other) for name, other in asked.items()}
        found = [(correlation(mine, one), name) for name, one in theirs.items() if one is not None]
        if found:
            number, name = max(found)
            against, detail = f"with {name}", f"as if it were that of {name}, another module"
            yield Measurement(
                "module_correlation", kind, gain_range, _plain(number), against, detail
            )


def alike(planes: Sequence[Plane], others: Sequence[Plane]) -> set[Place]:
    """Return the planes in which one module may be a copy of another, by medians and sigmas.

    A copy agrees closely, also one that was written with four decimals; so may a
    single file of it. The same panel measured again agrees roughly, and then in most
    planes. Two panels agree closely in few planes or none.
    """
    known = {(one.kind, one.gain_range): one for one in others}
    both = [
        (one, known[one.kind, one.gain_range])
        for one in planes
        if one.sigma > 0 and (one.kind, one.gain_range) in known
    ]
    roughly = [pair for pair in both if _agree(*pair, median=0.5, sigma=0.1)]
    if 2 * len(roughly) > len(planes):
        return {(one.kind, one.gain_range) for one, _ in roughly}
    closely = [pair for pair in both if _agree(*pair, median=0.05, sigma=0.02)]
    return {(one.kind, one.gain_range) for one, _ in closely}


def _agree(one: Plane, other: Plane, *, median: float, sigma: float) -> bool:
    """Say whether two planes agree within parts of the first one's sigma."""
    return (
        abs(one.median - other.median) < median * one.sigma
        and abs(one.sigma - other.sigma) < sigma * one.sigma
    )


def _planes(payloads: Payloads) -> Iterator[tuple[str, int, "Plane2D"]]:
    for kind, payload in payloads.items():
        for gain_range, plane in enumerate(payload):
            yield kind, gain_range, plane


def _plain(number: float) -> float:
    """Return a number without the sign of a zero, which not every database keeps."""
    return float(number) + 0.0


def _plane(plane: "Plane2D", one: Plane, *, is_offset: bool) -> Iterator[tuple[str, float]]:
    """Give the numbers of a plane of finite values."""
    import numpy as np

    # Bounds of large values are beyond float32.
    values = plane.astype(np.float64)
    size = np.abs(values)
    typical = abs(one.median)
    yield "constant_fraction", float(np.mean(plane == np.float32(one.median)))
    yield "median", one.median
    yield "low_tail", _plain(float(np.quantile(values, 0.001)))
    yield "high_tail", _plain(float(np.quantile(values, 0.999)))
    yield "positive_fraction", float(np.mean(plane > 0))
    if is_offset:
        yield "saturated_fraction", float(np.mean(size >= ADC_FULL_SCALE))
        return
    yield "dead_fraction", float(np.mean(size <= _DEAD * typical))
    yield "saturated_fraction", float(np.mean(size > _SATURATED * typical))
    if typical > 0:
        yield "relative_sigma", one.sigma / typical


def _range_ratios(numbers: Mapping[Place, Plane]) -> Iterator[Measurement]:
    for (kind, gain_range), one in numbers.items():
        after = numbers.get((kind, gain_range + 1))
        if after is not None and after.median != 0:
            yield Measurement("range_ratio", kind, gain_range, _plain(one.median / after.median))


def _equal_planes(payloads: Payloads) -> Iterator[Measurement]:
    """Compare every plane with those before it, of whatever kind."""
    import numpy as np

    earlier: list[tuple[str, Plane2D]] = []
    for kind, gain_range, plane in _planes(payloads):
        if earlier:
            shares = [(float(np.mean(plane == other)), name) for name, other in earlier]
            share, name = max(shares, key=lambda pair: pair[0])
            against, detail = f"to {name}", "a file may have been copied over another"
            yield Measurement("equal_fraction", kind, gain_range, share, against, detail)
        earlier.append((f"{kind} of gain range {gain_range}", plane))


def _block_drift(
    where: Place, old: "Plane2D", new: "Plane2D", previous: str
) -> Iterator[Measurement]:
    import numpy as np

    change = new.astype(np.float64) - old.astype(np.float64)
    change -= np.median(change)
    medians = {}
    for rows in np.array_split(np.arange(change.shape[0]), _BLOCKS[0]):
        for columns in np.array_split(np.arange(change.shape[1]), _BLOCKS[1]):
            if rows.size and columns.size:
                block = change[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                medians[int(rows[0]), int(columns[0])] = float(np.median(block))
    row, column = max(medians, key=lambda place: abs(medians[place]))
    detail = f"the block from row {row} and column {column} on"
    number = _plain(medians[row, column])
    yield Measurement("block_drift", *where, number, f"since {previous}", detail)


_LIKE = 0.3
"""From this correlation on two patterns may be those of one panel."""


def _orientation(
    where: Place, old: "Plane2D", new: "Plane2D", previous: str
) -> Iterator[Measurement]:
    now, before = pattern(new), pattern(old)
    if now is None or before is None:
        return
    as_is = correlation(now, before)
    way, turned = best_way(now, before)
    yield Measurement("pattern_correlation", *where, _plain(as_is), f"with {previous}")
    against, detail = f"against {previous}", f"it is as {previous} {way}"
    # A pattern that is the opposite of what it was gains by every turn, and is like none.
    gained = turned - as_is
    if turned <= _LIKE:
        gained = min(gained, 0.0)
    yield Measurement("turned", *where, _plain(gained), against, detail)


def _swapped_ranges(
    kind: str, new: "Plane2D", old: "Plane2D", previous: str
) -> Iterator[Measurement]:
    """Compare distances from the previous revision as delivered and with two ranges swapped."""
    ranges = range(len(new))
    distance = {(one, other): _distance(new[one], old[other]) for one in ranges for other in ranges}
    for one in ranges:
        found = []
        for other in ranges:
            delivered = distance[one, one] + distance[other, other]
            swapped = distance[one, other] + distance[other, one]
            if other != one and delivered > 0:
                found.append((swapped / delivered, other))
        if found:
            number, other = min(found)
            against = f"of that to {previous} as delivered"
            detail = f"gain ranges {one} and {other} may be swapped"
            yield Measurement("swapped_ranges", kind, one, number, against, detail)


def _distance(one: "Plane2D", other: "Plane2D") -> float:
    """Return the median distance of two planes over a sample of their pixels."""
    import numpy as np

    step = max(1, one.size // _SAMPLE)
    apart = one.ravel()[::step].astype(np.float64) - other.ravel()[::step].astype(np.float64)
    return float(np.median(np.abs(apart)))
