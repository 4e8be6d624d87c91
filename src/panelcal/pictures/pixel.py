"""The picture of a pixel: its constants over the revisions that a panel used."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.domain.moments import start_in_words
from panelcal.pictures.colours import INK
from panelcal.pictures.timeline import shortened_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LEVEL = 4
"""So many names fit below an axis beside each other."""

_LINE = "#00436b"


@dataclass(frozen=True, slots=True)
class PixelRevision:
    """What one pixel had while a panel used one constant set.

    Parameters
    ----------
    label : str
        ``M068@1``, or ``withdrawn``.
    valid_from : datetime or None
        Since when, UTC; None is *the beginning*.
    values : mapping of str to sequence of float, or None
        By kind, in the kind's unit: a value for each gain range. None where the
        panel was withdrawn.
    """

    label: str
    valid_from: datetime | None
    values: Mapping[str, Sequence[float]] | None


def pixel_picture(
    panel: str,
    row: int,
    column: int,
    revisions: Sequence[PixelRevision],
    units: Mapping[str, str],
    zone: ZoneInfo,
) -> "Figure":
    """Draw the constants of one pixel, revision by revision, for every kind and gain range.

    Revisions are evenly spaced, however long they were used: it is their values
    that are compared. A line is broken where the panel was withdrawn.

    Parameters
    ----------
    panel : str
        Panel id.
    row, column : int
        Of the pixel, from 0.
    revisions : sequence of PixelRevision
        In the order of time; at least one has values.
    units : mapping of str to str
        The unit of each kind; its order is that of the picture.
    zone : ZoneInfo
        The store's time zone.
    """
    from matplotlib.figure import Figure

    ranges = max(len(of[kind]) for of in _values(revisions) for kind in units)
    names = [f"{one.label}\n{start_in_words(one.valid_from, zone)}" for one in revisions]
    width = 2.0 + len(units) * max(4.2, 0.42 * len(revisions))
    figure = Figure(figsize=(width, 1.6 + 1.55 * ranges), layout="constrained")
    figure.suptitle(
        f"row {row}, column {column} of panel {shortened_panel(panel)}", size=13, weight="bold"
    )
    figure.supxlabel(f"constant set, and since when the panel used it ({zone.key})", size=9)
    grid = figure.subplots(ranges, len(units), squeeze=False, sharex=True)
    for place, (kind, unit) in enumerate(units.items()):
        for gain_range in range(ranges):
            axes: Axes = grid[gain_range, place]
            _draw_values(axes, revisions, kind, gain_range)
            axes.set_title(f"{kind}, range {gain_range}", size=9)
            axes.set_ylabel(unit)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xticks(range(len(names)), names, size=7.5)
        if len(names) > _MOST_LEVEL:
            axes.tick_params(axis="x", labelrotation=90)
    figure.align_ylabels()
    return figure


def _values(revisions: Sequence[PixelRevision]) -> list[Mapping[str, Sequence[float]]]:
    return [one.values for one in revisions if one.values is not None]


def _draw_values(
    axes: "Axes", revisions: Sequence[PixelRevision], kind: str, gain_range: int
) -> None:
    values = [
        float("nan") if one.values is None else float(one.values[kind][gain_range])
        for one in revisions
    ]
    axes.plot(
        range(len(values)), values, color=_LINE, linewidth=1.2, marker="o", markersize=5,
        markerfacecolor="white", markeredgewidth=1.4,
    )  # fmt: skip
    axes.margins(y=0.18)
    axes.grid(visible=True, axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)
    for place, one in enumerate(revisions):
        if one.values is None:
            axes.axvspan(
                place - 0.4, place + 0.4, facecolor="white", edgecolor="#555555", hatch="////",
                linewidth=0.8,
            )  # fmt: skip
            axes.text(
                place, 0.5, "withdrawn", transform=axes.get_xaxis_transform(), rotation=90,
                ha="center", va="center", size=7.5, color=INK,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
