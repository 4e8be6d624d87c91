"""The names of the checks, what their numbers are called, and how they are written."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What a check's number is called, and how it is written.

    Parameters
    ----------
    says : str
        Words before the number, such as ``"median"``.
    unit : {'kind', 'fraction', 'number'}
        The number is in the kind's unit; a fraction of pixels or of a value, written
        in per cent; or a bare number.
    """

    says: str
    unit: str

    def written(self, number: float, unit: str) -> str:
        """Return a number of this check as people read it; `unit` is that of the kind."""
        if self.unit == "fraction":
            return f"{100 * number:.4g} %"
        return f"{number:.4g} {unit}" if self.unit == "kind" else f"{number:.4g}"


CHECKS: Mapping[str, Check] = {
    "finite_fraction": Check("finite pixels", "fraction"),
    "dead_fraction": Check("dead pixels", "fraction"),
    "saturated_fraction": Check("saturated pixels", "fraction"),
    "constant_fraction": Check("pixels with one and the same value", "fraction"),
    "equal_fraction": Check("pixels that are equal", "fraction"),
    "median": Check("median", "kind"),
    "relative_sigma": Check("spread over the pixels", "fraction"),
    "positive_fraction": Check("pixels above zero", "fraction"),
    "range_ratio": Check("ratio to the next gain range", "number"),
    "low_tail": Check("lowest pixels (0.1 %) below", "kind"),
    "high_tail": Check("highest pixels (0.1 %) above", "kind"),
    "drift": Check("median change", "kind"),
    "relative_drift": Check("median change", "fraction"),
    "relative_drift_sigma": Check("spread of the changes", "fraction"),
    "block_drift": Check("change of one block beyond that of the panel", "kind"),
    "drift_outliers": Check("pixels that changed unlike the others", "fraction"),
    "pattern_correlation": Check("correlation", "number"),
    "turned": Check("gain in correlation by turning", "number"),
    "swapped_ranges": Check("distance after a swap of two ranges", "fraction"),
    "population_shift": Check("median off by", "kind"),
    "relative_population_shift": Check("median off by", "fraction"),
    "module_correlation": Check("correlation", "number"),
}
"""Every check. Words of the interface: added to, never changed."""

COMPARED_WITH_PREVIOUS = frozenset(
    {
        "drift",
        "relative_drift",
        "relative_drift_sigma",
        "block_drift",
        "drift_outliers",
        "pattern_correlation",
        "turned",
        "swapped_ranges",
    }
)
"""Checks that need the module's previous revision."""
