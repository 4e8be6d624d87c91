"""One plane of a panel in two axes: a map, and a histogram of its values."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from panelcal.pictures.colours import INK, RING
from panelcal.pictures.spread import Spread, apart

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure, SubFigure

MOST_RINGS = 100
"""Beyond so many, single pixels are not pointed at: their number is told."""

INCHES_A_RANGE = 1.95
"""Height of the row of one gain range."""

TITLE: dict[str, Any] = {"loc": "left", "size": 9.5}
"""How what is said of one gain range is set."""

_BINS = 120
_FEW_BINS = 15
"""Where all values are equal, so that their only bin is seen."""
_BARS = "#4a5f7a"


def pages_of(
    figure: "Figure", units: Sequence[str], gain_ranges: int
) -> "list[tuple[SubFigure, list[tuple[Axes, Axes]]]]":
    """Divide a figure: a part for each kind, in it a map and a histogram for each gain range."""
    parts = figure.subfigures(1, len(units), squeeze=False)[0]
    found = []
    for part, unit in zip(parts, units, strict=True):
        axes = part.subplots(gain_ranges, 2, squeeze=False, width_ratios=(2.4, 1))
        axes[-1, 0].set_xlabel("column")
        axes[-1, 1].set_xlabel(unit)
        found.append((part, [(row[0], row[1]) for row in axes]))
    return found


def page_size(kinds: int, gain_ranges: int) -> tuple[float, float]:
    """Return the size of such a figure in inches."""
    return 7.2 * kinds, 1.25 + INCHES_A_RANGE * gain_ranges


def draw_map(
    axes: "Axes",
    plane: "np.ndarray[Any, Any]",
    limits: tuple[float, float],
    colours: "Colormap | str",
    unit: str,
) -> None:
    """Draw a plane as an image with square pixels, row 0 at the top.

    Parameters
    ----------
    plane : ndarray
        (row, column), in `unit`; drawn whole, the renderer makes it fit.
    limits : tuple of float
        What the colours span; what is beyond has the colour of the end.
    """
    import numpy as np

    low, high = limits
    # Beyond the ends all is one colour; enormous values would cost the others their digits.
    image = axes.imshow(
        np.clip(plane.astype(np.float64), low, high), cmap=colours, vmin=low, vmax=high
    )
    axes.set_ylabel("row")
    bar = axes.figure.colorbar(image, ax=axes, extend="both", pad=0.015, aspect=14, shrink=0.9)
    bar.set_label(unit)


def draw_rings(axes: "Axes", rows: "np.ndarray[Any, Any]", columns: "np.ndarray[Any, Any]") -> None:
    """Ring single pixels, which the renderer may not show."""
    from matplotlib.patheffects import withStroke

    axes.scatter(
        columns,
        rows,
        s=34,
        facecolors="none",
        edgecolors=RING,
        linewidths=1.0,
        path_effects=[withStroke(linewidth=2.2, foreground="white")],
    )


def draw_histogram(axes: "Axes", plane: "np.ndarray[Any, Any]", spread: Spread) -> None:
    """Draw how many pixels have which value, in logarithmic counts.

    What is outside the fences is not in the bins; its number is told at the side
    where it is.
    """
    import numpy as np

    values = plane.astype(np.float64)
    inside = values[~spread.is_outlier(values)]
    least, most = float(np.min(inside)), float(np.max(inside))
    low, high = apart(least, most)
    counts, edges = np.histogram(
        inside, bins=_BINS if least < most else _FEW_BINS, range=(low, high)
    )
    axes.stairs(counts, edges, fill=True, baseline=0.5, color=_BARS)
    axes.axvline(spread.median, color=INK, linestyle="--", linewidth=1.0)
    axes.set_yscale("log")
    axes.set_ylim(0.5, max(10.0, 8.0 * float(np.max(counts))))
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}" if count >= 1 else "")
    axes.yaxis.minorticks_off()
    room = 0.02 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.locator_params(axis="x", nbins=3)
    axes.set_ylabel("pixels")
    _tell_outliers(axes, spread)


def _tell_outliers(axes: "Axes", spread: Spread) -> None:
    for place, count, words in (
        (0.02, spread.below, f"◂ {spread.below:,} below"),
        (0.98, spread.above, f"{spread.above:,} above ▸"),
    ):
        if count:
            side = "left" if place < 0.5 else "right"
            axes.text(
                place, 0.97, words, ha=side, va="top", size=7.5, color=RING,
                transform=axes.transAxes,
            )  # fmt: skip


def in_figures(value: float) -> str:
    """Return a value with four significant digits."""
    return _with_minus(f"{value:.4g}")


def signed(value: float) -> str:
    """Return a change with three significant digits and its sign."""
    return _with_minus(f"{value:+.3g}")


def _with_minus(text: str) -> str:
    """Write the sign as the axes do."""
    return text.replace("-", "−")
