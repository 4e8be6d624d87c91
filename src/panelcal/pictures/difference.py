"""The picture of a difference: where and by how much the constants of a panel changed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import panelcal.pictures.planes as drawing
from panelcal.domain.difference import Payloads, PlaneDifference
from panelcal.pictures.colours import INK, diverging
from panelcal.pictures.spread import spread_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def difference_picture(
    before_name: str,
    after_name: str,
    before: Payloads,
    after: Payloads,
    found: Sequence[PlaneDifference],
) -> "Figure":
    """Draw the change of every kind and gain range, after minus before.

    Parameters
    ----------
    before_name, after_name : str
        What is compared: ``M068@1``.
    before, after : mapping of str to ndarray
        By kind: float32 (gain range, row, column), in the kind's unit, finite.
    found : sequence of PlaneDifference
        What `panelcal.domain.difference.differences` says of them.
    """
    from matplotlib.figure import Figure

    by_kind: dict[str, list[PlaneDifference]] = {}
    for one in found:
        by_kind.setdefault(one.kind, []).append(one)
    gain_ranges = max(len(planes) for planes in by_kind.values())
    size = drawing.page_size(len(by_kind), gain_ranges)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(f"{after_name} minus {before_name}", size=13, weight="bold")
    figure.supxlabel(
        "Colours are symmetric around the median and span 98 % of the pixels; dashed: the median, "
        "dotted: where “beyond” begins. Ringed: the pixels farthest off.",
        size=8,
    )
    units = [planes[0].unit for planes in by_kind.values()]
    pages = drawing.pages_of(figure, units, gain_ranges)
    for (kind, planes), (part, rows) in zip(by_kind.items(), pages, strict=True):
        part.suptitle(f"change of {kind} [{planes[0].unit}]", size=11)
        for one, axes in zip(planes, rows, strict=True):
            _draw_change(axes, one, before, after)
    return figure


def _draw_change(
    axes: "tuple[Axes, Axes]", one: PlaneDifference, before: Payloads, after: Payloads
) -> None:
    import numpy as np

    old, new = (
        payloads[one.kind][one.gain_range].astype(np.float64) for payloads in (before, after)
    )
    change = new - old
    spread = spread_of(change)
    reach = max(abs(limit - one.median) for limit in (spread.low, spread.high))
    limits = (one.median - reach, one.median + reach)
    chart, counts = axes
    drawing.draw_map(chart, change, limits, diverging(), one.unit)
    chart.set_title(_told(one), **drawing.TITLE)
    far = [
        pixel for pixel in one.worst if abs(pixel.after - pixel.before - one.median) > _reach(one)
    ]
    if far:
        drawing.draw_rings(
            chart, np.array([it.row for it in far]), np.array([it.column for it in far])
        )
    drawing.draw_histogram(counts, change, spread)
    if one.sigma:
        edges = [one.median + side * 1.05 * _reach(one) for side in (-1, 1)]
        low, high = counts.get_xlim()
        counts.set_xlim(min(low, edges[0]), max(high, edges[1]))
        for side in (-1, 1):
            counts.axvline(one.median + side * _reach(one), color=INK, linestyle=":", linewidth=1.2)


def _reach(one: PlaneDifference) -> float:
    return one.n_sigma * one.sigma


def _told(one: PlaneDifference) -> str:
    if not one.changed:
        return f"range {one.gain_range}: no pixel changed"
    return (
        f"range {one.gain_range}: median {drawing.signed(one.median)}, "
        f"sigma {one.sigma:.2g}, {one.beyond:,} beyond {one.n_sigma:g} sigma"
    )
