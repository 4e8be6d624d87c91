"""The picture of a constant set: maps and histograms of every kind and gain range."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from panelcal.domain.difference import Payloads
from panelcal.domain.text import count_of, excerpt, printable
from panelcal.pictures.colours import SEQUENTIAL
from panelcal.pictures.planes import (
    MOST_RINGS,
    TITLE,
    draw_histogram,
    draw_map,
    draw_rings,
    in_figures,
    page_size,
    pages_of,
)
from panelcal.pictures.spread import spread_of

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DIGITS = 12
"""Of a digest."""


def set_picture(
    name: str,
    payloads: Payloads,
    units: Mapping[str, str],
    digests: Mapping[str, str],
    panels: Sequence[str] = (),
) -> "Figure":
    """Draw a constant set.

    Parameters
    ----------
    name : str
        ``M068@1``.
    payloads : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    units : mapping of str to str
        The unit of each kind; its order is that of the picture.
    digests : mapping of str to str
        Digest of the payload of each kind.
    panels : sequence of str
        Panel ids that use the set.
    """
    from matplotlib.figure import Figure

    gain_ranges = max(len(payloads[kind]) for kind in units)
    figure = Figure(figsize=page_size(len(units), gain_ranges), layout="constrained")
    figure.suptitle(f"{name}, {used_by(panels)}", size=13, weight="bold")
    figure.supxlabel(
        "Colours span the quantiles 1 % to 99 %; dashed: the median. Outliers are farther from the "
        f"quantiles 5 % and 95 % than these from each other; ringed where at most {MOST_RINGS}.",
        size=8,
    )
    for (kind, unit), (part, rows) in zip(
        units.items(), pages_of(figure, list(units.values()), gain_ranges), strict=True
    ):
        part.suptitle(f"{kind} [{unit}], sha256 {digests[kind][:_DIGITS]}", size=11)
        for gain_range, (plane, axes) in enumerate(zip(payloads[kind], rows, strict=True)):
            _draw_plane(axes, gain_range, plane, unit)
    return figure


def used_by(panels: Sequence[str]) -> str:
    """Say in words which panels use a constant set."""
    if not panels:
        return "not assigned to a panel"
    shown = printable(panels[0]) if len(panels[0]) <= 60 else excerpt(panels[0], 50)
    others = f" and {count_of(len(panels) - 1, 'other')}" if len(panels) > 1 else ""
    return f"used by {shown}{others}"


def _draw_plane(
    axes: "tuple[Axes, Axes]", gain_range: int, plane: "np.ndarray[Any, Any]", unit: str
) -> None:
    import numpy as np

    spread = spread_of(plane)
    chart, counts = axes
    draw_map(chart, plane, (spread.low, spread.high), SEQUENTIAL, unit)
    chart.set_title(
        f"range {gain_range}: median {in_figures(spread.median)}, "
        f"{count_of(spread.outliers, 'outlier')}",
        **TITLE,
    )
    if 0 < spread.outliers <= MOST_RINGS:
        draw_rings(chart, *np.nonzero(spread.is_outlier(plane)))
    draw_histogram(counts, plane, spread)
