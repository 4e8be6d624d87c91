"""Epochs: how old constants are at a run, and how far apart those of one detector."""

from calendar import monthrange
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MOST_MONTHS = 1200
"""A threshold of a hundred years is none."""

_FIRST = datetime.min.replace(tzinfo=UTC)


def months_before(moment: datetime, months: int, zone: ZoneInfo) -> datetime:
    """Return the same day and time of the clock some months earlier, UTC.

    Where that month is shorter, its last day. Years before 2 are the first moment of the
    calendar: no validity is older.
    """
    local = moment.astimezone(zone)
    year, month = divmod(local.year * 12 + local.month - 1 - months, 12)
    if year < 2:
        return _FIRST
    day = min(local.day, monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Age:
    """How old a constant set was at a run.

    Parameters
    ----------
    since : datetime
        Its `valid_from`, or the earliest moment at which it is known to have been in use.
    at : datetime
        Begin of the run.
    at_least : bool
        It holds since *the beginning*, so that it may be older.
    """

    since: datetime
    at: datetime
    at_least: bool

    @property
    def span(self) -> timedelta:
        """The age."""
        return self.at - self.since

    def exceeds(self, months: int, zone: ZoneInfo) -> bool:
        """Say whether it was older than some months of the calendar."""
        return self.since < months_before(self.at, months, zone)


@dataclass(frozen=True, slots=True)
class Epochs:
    """The oldest and the newest start among the panels of one answer.

    Parameters
    ----------
    oldest, newest : datetime
        Starts, UTC.
    at_least : bool
        The oldest holds since *the beginning*, so that they may be further apart.
    """

    oldest: datetime
    newest: datetime
    at_least: bool

    @property
    def span(self) -> timedelta:
        """How far they are apart."""
        return self.newest - self.oldest

    def exceed(self, months: int, zone: ZoneInfo) -> bool:
        """Say whether they are further apart than some months of the calendar."""
        return self.oldest < months_before(self.newest, months, zone)


def epochs_of(starts: Iterable[tuple[datetime | None, datetime]]) -> Epochs | None:
    """Return the epochs of one answer.

    *The beginning* has no date. What is known of it is that it is not later than the first
    run of its panel, which bounds the distance from below.

    Parameters
    ----------
    starts : iterable of pairs
        Per panel its `valid_from`, None for *the beginning*, and the begin of the panel's
        first registered run.

    Returns
    -------
    Epochs or None
        None where no panel has a dated start: all of them hold since the beginning.
    """
    known = list(starts)
    dated = [start for start, _ in known if start is not None]
    if not dated:
        return None
    oldest, newest = min(dated), max(dated)
    bounds = [first for start, first in known if start is None and first < oldest]
    return Epochs(min(bounds, default=oldest), newest, bool(bounds))
