"""Numbers that say how two arrays of constants differ, gain range by gain range."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from panelcal.domain.kinds import DetectorType
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

QUANTILES = (0.001, 0.05, 0.25, 0.75, 0.95, 0.999)
"""Of the changes of all pixels; the median is told by itself."""

_SIGMA_OF_MAD = 1.4826
"""What the median absolute deviation of a normal distribution is to be multiplied by."""


@dataclass(frozen=True, slots=True)
class PixelChange:
    """One pixel before and after.

    Parameters
    ----------
    row, column : int
        Where it is on the panel, from 0.
    before, after : float
        Its values, in the kind's unit.
    """

    row: int
    column: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class PlaneDifference:
    """How one kind of one gain range changed.

    Parameters
    ----------
    kind, unit : str
        ``pixel_gain`` and ``ADU/keV``, for example.
    gain_range : int
        From 0.
    pixels, changed : int
        How many there are, and how many have another value.
    median, sigma : float
        Of the changes (after minus before) of all pixels, in the kind's unit.
        Sigma is 1.4826 times the median absolute deviation, so that a few wild
        pixels do not hide in it.
    quantiles : tuple of float
        Of the changes, at `QUANTILES`.
    n_sigma : float
        Where "beyond" begins, in units of sigma around the median.
    beyond : int
        How many pixels changed by more than that. Where sigma is zero, as when
        most pixels are as before, every pixel off the median is beyond.
    worst : tuple of PixelChange
        The pixels farthest from the median change, the farthest first, of equally
        far ones the first of the panel first. A pixel that stayed as it was is
        among them where all others changed.
    """

    kind: str
    unit: str
    gain_range: int
    pixels: int
    changed: int
    median: float
    sigma: float
    quantiles: tuple[float, ...]
    n_sigma: float
    beyond: int
    worst: tuple[PixelChange, ...]


Payloads = Mapping[str, "np.ndarray[Any, np.dtype[np.float32]]"]
"""By kind: float32 (gain range, row, column), in the kind's unit, finite."""


def differences(
    before: Payloads,
    after: Payloads,
    units: Mapping[str, str],
    *,
    n_sigma: float = 5.0,
    worst: int = 5,
) -> tuple[PlaneDifference, ...]:
    """Compare the constants of one panel, every kind and gain range.

    Parameters
    ----------
    before, after : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    units : mapping of str to str
        The unit of each kind; its order is that of the result.
    n_sigma : float
        Pixels farther from the median change than this many sigma are counted.
    worst : int
        How many of the farthest pixels are named.

    Raises
    ------
    InvalidInputError
        The two are not of one shape, as constants of two detector types are not;
        or `n_sigma` or `worst` is negative or no number.
    """
    require_measures(n_sigma, worst)
    found = []
    for kind, unit in units.items():
        if before[kind].shape != after[kind].shape:
            msg = f"{kind} of shape {before[kind].shape} does not compare with {after[kind].shape}"
            raise InvalidInputError(msg, "both have to be of one detector type")
        planes = enumerate(zip(before[kind], after[kind], strict=True))
        for gain_range, (old, new) in planes:
            found.append(_difference(kind, unit, gain_range, old, new, n_sigma, worst))
    return tuple(found)


def require_measures(n_sigma: float, worst: int) -> None:
    """Refuse what cannot be counted by.

    Raises
    ------
    InvalidInputError
        One of them is negative, infinite or no number.
    """
    if not 0 <= n_sigma < math.inf:
        msg = f"pixels cannot be counted beyond {n_sigma} sigma"
        raise InvalidInputError(msg, "a number from 0 on, such as 5")
    if worst < 0:
        msg = f"{worst} pixels cannot be named"
        raise InvalidInputError(msg, "a number from 0 on, such as 5")


def no_difference(
    detector_type: DetectorType, kind: str, *, n_sigma: float = 5.0
) -> tuple[PlaneDifference, ...]:
    """Return what `differences` finds of a kind whose two arrays are equal, without any array.

    Parameters
    ----------
    detector_type : DetectorType
        Says how many gain ranges and pixels there are.
    kind : str
        ``pixel_gain``, for example.
    n_sigma : float
        As `differences` is given it.
    """
    unit, pixels = detector_type.kind(kind).unit, detector_type.rows * detector_type.columns
    return tuple(
        _unchanged(kind, unit, gain_range, pixels, n_sigma)
        for gain_range in range(detector_type.gain_ranges)
    )


def _unchanged(
    kind: str, unit: str, gain_range: int, pixels: int, n_sigma: float
) -> PlaneDifference:
    return PlaneDifference(
        kind=kind,
        unit=unit,
        gain_range=gain_range,
        pixels=pixels,
        changed=0,
        median=0.0,
        sigma=0.0,
        quantiles=(0.0,) * len(QUANTILES),
        n_sigma=n_sigma,
        beyond=0,
        worst=(),
    )


def _difference(
    kind: str,
    unit: str,
    gain_range: int,
    before: "np.ndarray[Any, Any]",
    after: "np.ndarray[Any, Any]",
    n_sigma: float,
    worst: int,
) -> PlaneDifference:
    import numpy as np

    changed = int(np.count_nonzero(before != after))
    if not changed:
        return _unchanged(kind, unit, gain_range, before.size, n_sigma)
    # Two large float32 values of opposite sign have a difference that only float64 holds.
    change = after.astype(np.float64) - before.astype(np.float64)
    median = float(np.median(change))
    off = np.abs(change - median)
    sigma = _SIGMA_OF_MAD * float(np.median(off))
    return PlaneDifference(
        kind=kind,
        unit=unit,
        gain_range=gain_range,
        pixels=int(change.size),
        changed=changed,
        median=median,
        sigma=sigma,
        quantiles=tuple(float(one) for one in np.quantile(change, QUANTILES)),
        n_sigma=n_sigma,
        beyond=int(np.count_nonzero(off > n_sigma * sigma)),
        worst=tuple(_worst(before, after, off, worst)),
    )


def _worst(
    before: "np.ndarray[Any, Any]",
    after: "np.ndarray[Any, Any]",
    off: "np.ndarray[Any, Any]",
    count: int,
) -> Sequence[PixelChange]:
    import numpy as np

    distances = off.ravel()
    count = min(count, int(np.count_nonzero(distances)))
    if not count:
        return []
    # Sorting all pixels would take longer than everything else.
    least = np.partition(distances, -count)[-count]
    far = np.flatnonzero(distances >= least)
    far = far[np.argsort(-distances[far], kind="stable")][:count]
    places = [divmod(int(place), off.shape[1]) for place in far]
    return [
        PixelChange(row, column, float(before[row, column]), float(after[row, column]))
        for row, column in places
    ]
