"""A timeline in characters, for terminals and logs. Colours add nothing that is not there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import TYPE_CHECKING

from panelcal.domain.timeline import Interval, Lane, State, Timeline, names_of, window
from panelcal.pictures.ticks import ticks

if TYPE_CHECKING:
    from rich.text import Text

KEY = (
    "= in use   / withdrawn   . never assigned   | begins   # several begin",
    "< from the beginning   > open   ^ deployed   ! deployed, answered otherwise now",
)

_FILL: dict[State, str] = {"used": "=", "withdrawn": "/", "gap": "."}
_STYLES: dict[State, tuple[str, str]] = {
    "used": ("black on cyan", "black on green"),
    "withdrawn": ("black on yellow", "black on yellow"),
    "gap": ("dim", "dim"),
}
_LEAST_LANE = 16
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class _Ruler:
    """Time in columns of characters."""

    first: datetime
    last: datetime
    columns: int

    def column(self, moment: datetime) -> int:
        """Return the column of a moment; one outside the window is in the nearest."""
        part = (moment - self.first) / (self.last - self.first)
        return min(max(int(part * self.columns), 0), self.columns - 1)

    def span(self, one: Interval) -> tuple[int, int]:
        """Return the first column of an interval and the one after its last."""
        return (
            0 if one.start is None else self.column(one.start),
            self.columns if one.end is None else self.column(one.end),
        )


def timeline_lines(timeline: Timeline, now: datetime, width: int) -> "list[Text]":
    """Return a timeline as lines of at most `width` characters, all of them ASCII.

    Parameters
    ----------
    now : datetime
        The time, aware.
    width : int
        Of the terminal; from 40 on, less is taken as 40.
    """
    from rich.text import Text

    width = max(width, 40)
    names = [
        _shortened(f"{index} {lane.panel}", min(_LONGEST_NAME, width - _LEAST_LANE - 1))
        for index, lane in enumerate(timeline.lanes)
    ]
    left = max(map(len, names)) + 1
    ruler = _Ruler(*window(timeline.lanes, timeline.as_of or now), width - left)
    lines = []
    for name, lane in zip(names, timeline.lanes, strict=True):
        lines.append(Text(name.ljust(left)) + _lane(lane, ruler))
        marks = _marks(lane, ruler)
        if marks.strip():
            lines.append(Text(" " * left + marks.rstrip(), style="bold"))
    lines.append(Text((" " * left + _axis(timeline, ruler)).rstrip()))
    return lines


def _shortened(name: str, limit: int) -> str:
    if len(name) <= limit:
        return name
    half = (limit - 2) // 2
    return f"{name[:half]}..{name[-half:]}"


def _lane(lane: Lane, ruler: _Ruler) -> "Text":
    from rich.text import Text

    cells = [" "] * ruler.columns
    styles = [""] * ruler.columns
    begun: set[int] = set()
    names = names_of(lane.intervals)
    for number, one in enumerate(lane.intervals):
        start, end = ruler.span(one)
        end = max(end, start + 1)
        for column in range(start, end):
            cells[column] = _FILL[one.state]
            styles[column] = _STYLES[one.state][number % 2]
        # The last column is the arrow's.
        _write(cells, names[number], start + 1, min(end, ruler.columns - 1))
        if one.start is not None:
            cells[start] = "#" if start in begun else "|"
            begun.add(start)
    for column, one, arrow in ((0, lane.intervals[0], "<"), (-1, lane.intervals[-1], ">")):
        if one.state != "gap" and cells[column] not in "|#":
            cells[column] = arrow
    text = Text()
    for style, columns in groupby(range(ruler.columns), styles.__getitem__):
        text.append("".join(cells[column] for column in columns), style)
    return text


def _write(cells: list[str], names: Sequence[str], start: int, end: int) -> None:
    """Write the first name for which there is room into the middle of an interval."""
    room = end - start
    name = next((name for name in names if len(name) <= room), "")
    place = start + (room - len(name) + 1) // 2
    cells[place : place + len(name)] = name


def _marks(lane: Lane, ruler: _Ruler) -> str:
    cells = [" "] * ruler.columns
    for mark in lane.marks:
        if mark.at is not None:
            column = ruler.column(mark.at)
            cells[column] = "^" if mark.is_current and cells[column] != "!" else "!"
    return "".join(cells)


def _axis(timeline: Timeline, ruler: _Ruler) -> str:
    cells = [" "] * ruler.columns
    free = 0
    for moment, name in ticks(ruler.first, ruler.last, timeline.zone, ruler.columns):
        column = ruler.column(moment)
        word = f"'{name}"
        if column >= free and column + len(word) <= ruler.columns:
            cells[column : column + len(word)] = word
            free = column + len(word) + 1
    return "".join(cells)
