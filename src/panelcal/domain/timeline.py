"""Timelines: what the panels of a detector use over time, as intervals without holes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from panelcal.domain.moments import to_microseconds
from panelcal.domain.runs import Dataset
from panelcal.domain.validity import Assignment, in_force

State = Literal["used", "withdrawn", "gap"]

_EARLIEST = datetime(2, 1, 1, tzinfo=UTC)
_LATEST = datetime(9998, 12, 31, tzinfo=UTC)
"""A window stays inside: its edges are shown in the store's zone, and have a margin."""

_MARGIN = 0.08
"""Of what is shown, on each side."""

_LONE = timedelta(days=365)
"""Shown around a single moment."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A time in which one thing holds for a panel: a validity, a withdrawal or a gap.

    Parameters
    ----------
    start : datetime or None
        First moment, UTC; None is *the beginning*.
    end : datetime or None
        First moment after it, UTC; None is open.
    assignment : Assignment or None
        The row of the ledger; None where nothing was ever assigned.
    """

    start: datetime | None
    end: datetime | None
    assignment: Assignment | None

    @property
    def state(self) -> State:
        """Say whether there are constants, and if not, whether somebody said so."""
        if self.assignment is None:
            return "gap"
        return "withdrawn" if self.assignment.module is None else "used"

    @property
    def label(self) -> str:
        """``M068@1``, ``withdrawn`` or ``no constants``."""
        return "no constants" if self.assignment is None else self.assignment.uses

    def holds_at(self, moment: datetime) -> bool:
        """Say whether a moment lies inside; the start does, the end does not."""
        return (self.start is None or self.start <= moment) and (
            self.end is None or moment < self.end
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A deployment to a panel: which constant set was written into a run's files.

    Parameters
    ----------
    dataset, source : Dataset, str
        The run.
    at : datetime or None
        T of the answer, UTC; None where legacy policy was given no moment.
    uses : str
        The constant set, ``M068@1``.
    token : str
        Of the answer.
    deployed_at : datetime
        When the files were written, UTC.
    is_current : bool
        The ledger still answers so for `at`.
    """

    dataset: Dataset
    source: str
    at: datetime | None
    uses: str
    token: str
    deployed_at: datetime
    is_current: bool


@dataclass(frozen=True, slots=True)
class Lane:
    """One panel's part of a timeline.

    Parameters
    ----------
    panel : str
        Panel id.
    intervals : tuple of Interval
        From the beginning to the open end, each ending where the next begins.
    marks : tuple of Mark
        Deployments, by run and source.
    """

    panel: str
    intervals: tuple[Interval, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """What the panels of a detector use over time.

    Parameters
    ----------
    detector : str
        Detector id.
    zone : ZoneInfo
        The store's time zone, in which times are shown.
    as_of : datetime or None
        Transaction time asked about; None is what the ledger says now.
    lanes : tuple of Lane
        In segment order.
    """

    detector: str
    zone: ZoneInfo
    as_of: datetime | None
    lanes: tuple[Lane, ...]


def intervals_of(rows: Iterable[Assignment]) -> tuple[Interval, ...]:
    """Return the intervals of one panel: what its rows in force say of all times.

    Parameters
    ----------
    rows : iterable of Assignment
        Ledger rows of the panel; those superseded are left out.

    Returns
    -------
    tuple of Interval
        At least one; before the first assignment there is a gap.
    """
    current = in_force(rows)
    ends = [*(row.valid_from for row in current[1:]), None]
    found = [Interval(row.valid_from, end, row) for row, end in zip(current, ends, strict=False)]
    if not current:
        found = [Interval(None, None, None)]
    elif current[0].valid_from is not None:
        found.insert(0, Interval(None, current[0].valid_from, None))
    return tuple(found)


def window(lanes: Sequence[Lane], now: datetime) -> tuple[datetime, datetime]:
    """Return the time to be shown: every change, every deployment and now, with a margin.

    Parameters
    ----------
    now : datetime
        Or the transaction time asked about; aware.
    """
    moments = [now.astimezone(UTC)]
    for lane in lanes:
        moments += [one.start for one in lane.intervals if one.start is not None]
        moments += [mark.at for mark in lane.marks if mark.at is not None]
    first, last = (
        min(max(one, _EARLIEST), _LATEST)
        for one in (min(moments, key=to_microseconds), max(moments, key=to_microseconds))
    )
    margin = (last - first) * _MARGIN or _LONE
    return first - min(margin, first - _EARLIEST), last + min(margin, _LATEST - last)


def names_of(intervals: Iterable[Interval]) -> list[tuple[str, ...]]:
    """Return what each interval of a panel may be called where it is drawn, the longest first.

    ``M068@3`` may be called ``@3`` if the panel used the same module before it.
    """
    found = []
    module = None
    for one in intervals:
        used = one.assignment.module if one.assignment else None
        if one.assignment is None:
            names: tuple[str, ...] = (one.label, "none")
        elif used is not None and used == module:
            names = (one.label, f"@{one.assignment.revision}")
        else:
            names = (one.label,)
        module = used or module
        found.append(names)
    return found
