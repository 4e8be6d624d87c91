"""The pixel pattern of a plane: what tells one panel, and one way to look at it, from another.

Pixels differ from their neighbours by a few per cent, and do so again when they are
measured again. Two measurements of one panel correlate; those of two panels do not,
nor does one with the same turned round.
"""

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    Plane2D: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

_SIGMA_OF_MAD = 1.4826
"""What the median absolute deviation of a normal distribution is to be multiplied by."""

_MOST_SIGMA = 4.0
"""Wild pixels count as if they were off by so much: one alone cannot make a pattern."""

WAYS: "Mapping[str, Callable[[Plane2D], Plane2D]]" = {
    "flipped up-down": lambda plane: plane[::-1],
    "flipped left-right": lambda plane: plane[:, ::-1],
    "turned by 180 degrees": lambda plane: plane[::-1, ::-1],
    "transposed, in the shape of before": lambda plane: plane.T.reshape(plane.shape),
    "written column by column": lambda plane: plane.reshape(plane.shape[::-1]).T,
}
"""What may have been done to a plane, and how to do it: (row, column) before and after."""


def median_and_sigma(plane: "Plane2D") -> tuple[float, float]:
    """Return the median of finite values and 1.4826 times their median absolute deviation."""
    import numpy as np

    # Two large float32 values of opposite sign have a difference that only float64 holds.
    values = plane.astype(np.float64)
    median = np.median(values)
    return float(median), _SIGMA_OF_MAD * float(np.median(np.abs(values - median)))


def pattern(plane: "Plane2D") -> "Plane2D | None":
    """Return a plane of finite values as a pattern: mean 0, norm 1.

    Returns
    -------
    ndarray of float64 or None
        Of the same shape; None where half of the pixels or more have one value.
    """
    import numpy as np

    median, sigma = median_and_sigma(plane)
    if sigma == 0:
        return None
    scaled = np.clip((plane.astype(np.float64) - median) / sigma, -_MOST_SIGMA, _MOST_SIGMA)
    scaled -= np.mean(scaled)
    return np.asarray(scaled / np.linalg.norm(scaled))


def correlation(one: "Plane2D", other: "Plane2D") -> float:
    """Return how alike two patterns are: 1 just so, 0 not at all, -1 the negative."""
    import numpy as np

    return float(np.sum(one * other))


def best_way(now: "Plane2D", before: "Plane2D") -> tuple[str, float]:
    """Return what makes an earlier pattern most like a later one, and how alike they are then."""
    found = {way: correlation(now, turn(before)) for way, turn in WAYS.items()}
    best = max(found, key=lambda way: found[way])
    return best, found[best]
