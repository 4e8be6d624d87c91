"""Where the values of a plane lie, told so that a few wild pixels do not hide the others."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_COLOURED = (0.01, 0.99)
_BULK = (0.05, 0.95)


@dataclass(frozen=True, slots=True)
class Spread:
    """The spread of one plane, in its unit.

    Parameters
    ----------
    median : float
        Of all pixels.
    low, high : float
        What the colours span, never equal: the quantiles 1 % and 99 %; 5 % and 95 %
        if there are outliers among the others; everything if those are equal.
    fence_low, fence_high : float
        Pixels outside are outliers: farther from the quantiles 5 % and 95 % than
        these are from each other. Of a normal distribution, one pixel in a million.
    below, above : int
        How many outliers there are on each side.
    """

    median: float
    low: float
    high: float
    fence_low: float
    fence_high: float
    below: int
    above: int

    @property
    def outliers(self) -> int:
        """How many pixels are outside the fences."""
        return self.below + self.above

    def is_outlier(self, plane: "np.ndarray[Any, Any]") -> "np.ndarray[Any, np.dtype[np.bool_]]":
        """Say of each pixel of the plane whether it is outside the fences."""
        return (plane < self.fence_low) | (plane > self.fence_high)


def spread_of(plane: "np.ndarray[Any, Any]") -> Spread:
    """Return the spread of a plane.

    Parameters
    ----------
    plane : ndarray
        (row, column), finite, in any unit. Judged in float64.
    """
    import numpy as np

    values = plane.astype(np.float64)
    coloured_low, coloured_high, bulk_low, bulk_high = (
        float(one) for one in np.quantile(values, (*_COLOURED, *_BULK))
    )
    width = bulk_high - bulk_low
    fence_low, fence_high = bulk_low - width, bulk_high + width
    low, high = coloured_low, coloured_high
    if low < fence_low or high > fence_high:
        # More than a pixel in a hundred is wild: they would take the colours for themselves.
        low, high = bulk_low, bulk_high
    if low == high:
        # Most pixels are equal: the colours are for those that are not.
        low, high = float(np.min(values)), float(np.max(values))
    low, high = apart(low, high)
    return Spread(
        median=float(np.median(values)),
        low=low,
        high=high,
        fence_low=fence_low,
        fence_high=fence_high,
        below=int(np.count_nonzero(values < fence_low)),
        above=int(np.count_nonzero(values > fence_high)),
    )


def apart(low: float, high: float) -> tuple[float, float]:
    """Return two limits; where they are equal, with one percent around them, or 1 around 0."""
    if low < high:
        return low, high
    room = abs(low) * 0.01 or 1.0
    return low - room, high + room
