"""The picture of a timeline: a lane for each panel, intervals and deployments on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from panelcal.domain.moments import iso_utc
from panelcal.domain.text import count_of
from panelcal.domain.timeline import Interval, Lane, Mark, Timeline, names_of, window
from panelcal.pictures.colours import INK, ink_on, lane_colours

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDTH = 12.0
_MOST_HEIGHT = 0.5
"""Inches of a lane; less where there are many."""
_LEAST_HEIGHT = 0.19
_LABEL_SIZE = 8.0
_HALF = 0.34
"""Of the height of an interval, in lanes."""
_TIP = 0.012
"""Length of an arrow, in widths of the window."""
_NEAR = 0.02
"""Deployments closer than this share a label; in widths of the window."""
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class _Scale:
    """Time as matplotlib counts it: days.

    Parameters
    ----------
    low, high : float
        The window without the room for arrows.
    """

    low: float
    high: float

    @classmethod
    def of(cls, first: datetime, last: datetime) -> "_Scale":
        """Leave room for the arrows inside the window."""
        low, high = _days(first), _days(last)
        room = 2 * _TIP * (high - low)
        return cls(low + room, high - room)

    @property
    def width(self) -> float:
        return self.high - self.low

    @property
    def tip(self) -> float:
        return _TIP * self.width

    def ends(self, one: Interval) -> tuple[float, float]:
        """Return where an interval begins and ends inside the window."""
        start = self.low if one.start is None else _days(one.start)
        end = self.high if one.end is None else _days(one.end)
        start = min(max(start, self.low), self.high)
        return start, max(start, min(end, self.high))


def _days(moment: datetime) -> float:
    """Return a moment as matplotlib counts time."""
    return (moment - _EPOCH) / timedelta(days=1)


def timeline_picture(timeline: Timeline, now: datetime) -> "Figure":
    """Draw which constant set each panel uses over time.

    Constant sets are colours with labels, withdrawals hatched, times without
    constants empty. An arrow to the left begins at *the beginning*, one to the
    right has no end. Triangles are deployments: hollow where the ledger answers
    otherwise now.

    Parameters
    ----------
    now : datetime
        The time, aware; open intervals are drawn until then at least.
    """
    from matplotlib.figure import Figure

    count = len(timeline.lanes)
    height = max(_LEAST_HEIGHT, min(_MOST_HEIGHT, 12.0 / count))
    figure = Figure(figsize=(_WIDTH, 1.9 + height * count), layout="constrained")
    axes = figure.add_subplot()
    shown = timeline.as_of or now
    scale = _Scale.of(*window(timeline.lanes, shown))
    _draw_axes(axes, timeline, scale)
    uses = [[one.label for one in lane.intervals if one.state == "used"] for lane in timeline.lanes]
    colours = lane_colours(uses)
    for row, lane in enumerate(timeline.lanes):
        for one in lane.intervals:
            _draw_interval(axes, row, one, scale, colours.get(one.label, "none"))
        _draw_marks(axes, row, lane.marks)
    _label_deployments(axes, timeline.lanes, scale)
    axes.axvline(_days(shown), color=INK, linewidth=0.9, linestyle=(0, (6, 3)), zorder=1)
    figure.legend(
        handles=_legend(timeline.lanes, is_past=timeline.as_of is not None),
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=8,
    )
    figure.draw_without_rendering()
    unlabelled = _label_intervals(axes, timeline.lanes, scale, colours)
    if unlabelled:
        what = count_of(unlabelled, "interval is", "intervals are")
        axes.set_xlabel(
            f"{axes.get_xlabel()}; {what} too short for a label: panelcal timeline lists them"
        )
    return figure


def _draw_axes(axes: "Axes", timeline: Timeline, scale: _Scale) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    count = len(timeline.lanes)
    axes.set_xlim(scale.low - 2 * scale.tip, scale.high + 2 * scale.tip)
    axes.set_ylim(count - 0.45, -0.6)
    names = [f"{index}  {shortened_panel(lane.panel)}" for index, lane in enumerate(timeline.lanes)]
    axes.set_yticks(range(count), names, family="DejaVu Sans Mono", size=8)
    axes.tick_params(axis="y", length=0)
    locator = AutoDateLocator(tz=timeline.zone, minticks=4, maxticks=10)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=timeline.zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.grid(visible=True, axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(f"time in {timeline.zone.key}")
    as_of = "" if timeline.as_of is None else f" as of {iso_utc(timeline.as_of)}"
    axes.figure.suptitle(
        f"Constants of {count_of(count, 'panel')} over time{as_of}", size=12, weight="bold"
    )


def shortened_panel(name: str) -> str:
    """Leave out the middle of a long panel id."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = _LONGEST_NAME // 2
    return f"{name[:half]}…{name[-half:]}"


def _draw_interval(axes: "Axes", row: int, one: Interval, scale: _Scale, colour: str) -> None:
    from matplotlib.patches import Polygon

    start, end = scale.ends(one)
    top, bottom = row - _HALF, row + _HALF
    outline = [(start, top), (end, top), (end, bottom), (start, bottom)]
    if one.end is None:
        outline.insert(2, (end + scale.tip, row))
    if one.start is None:
        outline.append((start - scale.tip, row))
    looks = {
        "used": {"facecolor": colour, "edgecolor": INK, "linewidth": 0.8},
        "withdrawn": {
            "facecolor": "white", "edgecolor": "#555555", "hatch": "////", "linewidth": 0.8,
        },
        "gap": {
            "facecolor": "white", "edgecolor": "#888888", "linestyle": ":", "linewidth": 0.9,
        },
    }[one.state]  # fmt: skip
    patch = Polygon(outline, closed=True, zorder=2, **looks)
    patch.set_label(one.label)
    axes.add_patch(patch)


def _draw_marks(axes: "Axes", row: int, marks: Sequence[Mark]) -> None:
    for is_current in (True, False):
        places = [
            _days(mark.at)
            for mark in marks
            if mark.at is not None and mark.is_current is is_current
        ]
        if places:
            axes.scatter(
                places,
                [row + _HALF] * len(places),
                **_mark_looks(is_current=is_current),  # type: ignore[arg-type]
            )


def _mark_looks(*, is_current: bool) -> dict[str, object]:
    return {
        "marker": "^",
        "s": 46,
        "facecolors": "black" if is_current else "white",
        "edgecolors": "white" if is_current else "black",
        "linewidths": 0.8 if is_current else 1.2,
        "zorder": 4,
    }


def _label_deployments(axes: "Axes", lanes: Sequence[Lane], scale: _Scale) -> None:
    """Name the runs above the lanes; those that are close together by one label."""
    named = {
        (_days(mark.at), mark.dataset)
        for lane in lanes
        for mark in lane.marks
        if mark.at is not None
    }
    groups: list[list[tuple[float, str, int]]] = []
    for place, dataset in sorted(named):
        if not groups or place - groups[-1][0][0] > _NEAR * scale.width:
            groups.append([])
        groups[-1].append((place, dataset.experiment, dataset.run))
    for group in groups:
        middle = (group[0][0] + group[-1][0]) / 2
        axes.annotate(
            _runs_in_words(group), (middle, -0.5), xytext=(0, 3), textcoords="offset points",
            rotation=35, ha="left", va="bottom", size=7.5, annotation_clip=False,
        )  # fmt: skip
        for place in {place for place, *_ in group}:
            axes.axvline(place, color="#777777", linewidth=0.6, linestyle=":", zorder=1)


def _runs_in_words(group: Sequence[tuple[float, str, int]]) -> str:
    runs = sorted({(experiment, run) for _, experiment, run in group})
    if len(runs) == 1:
        return f"{runs[0][0]} run {runs[0][1]}"
    if len({experiment for experiment, _ in runs}) == 1:
        return f"{runs[0][0]}, {len(runs)} runs {runs[0][1]}–{runs[-1][1]}"
    return f"{len(runs)} runs"


def _label_intervals(
    axes: "Axes", lanes: Sequence[Lane], scale: _Scale, colours: dict[str, str]
) -> int:
    """Write into each interval what it is, where that fits; return how often it does not."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    # The figure was laid out: an inch of paper is so much time.
    inches = axes.get_window_extent().width / axes.get_figure(root=True).dpi  # type: ignore[union-attr]
    points = 72 * inches / (scale.width + 4 * scale.tip)
    size = _LABEL_SIZE if len(lanes) <= 30 else 6.0
    font = FontProperties(family="DejaVu Sans")
    unlabelled = 0
    for row, lane in enumerate(lanes):
        for one, names in zip(lane.intervals, names_of(lane.intervals), strict=True):
            start, end = scale.ends(one)
            room = (end - start) * points - 4
            text = next(
                (
                    text
                    for text in names
                    if TextPath((0, 0), text, size=size, prop=font).get_extents().width <= room
                ),
                None,
            )
            if text is None:
                unlabelled += 1
                continue
            colour = colours.get(one.label)
            axes.text(
                (start + end) / 2, row, text, ha="center", va="center", size=size, zorder=3,
                color=ink_on(colour) if colour else INK,
                bbox=None if colour else {"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )  # fmt: skip
    return unlabelled


def _legend(lanes: Sequence[Lane], *, is_past: bool) -> "list[Artist]":
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    states = {one.state for lane in lanes for one in lane.intervals}
    kinds = {mark.is_current for lane in lanes for mark in lane.marks if mark.at is not None}
    found: list[Artist] = []
    if "withdrawn" in states:
        found.append(Patch(facecolor="white", edgecolor="#555555", hatch="////", label="withdrawn"))
    if "gap" in states:
        found.append(
            Patch(facecolor="white", edgecolor="#888888", linestyle=":", label="never assigned")
        )
    for is_current, words in (
        (True, "deployed for a run"),
        (False, "deployed, and other constants or none hold now"),
    ):
        if is_current in kinds:
            fill = "black" if is_current else "white"
            mark = Line2D([], [], linestyle="none", marker="^", color="black", label=words)
            mark.set_markerfacecolor(fill)
            found.append(mark)
    words = "transaction time asked about" if is_past else "now"
    found.append(Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (6, 3)), label=words))
    return found
