"""Ticks of a time axis in characters: the moments worth a name, and their names."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

_ROOM = 3
"""Characters between two names, at least."""

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)

# Length of a step, how it goes on from the window's first moment, how a tick is named.
_Step = tuple[timedelta, Callable[[datetime, int], datetime], str]


def ticks(
    first: datetime, last: datetime, zone: ZoneInfo, columns: int
) -> list[tuple[datetime, str]]:
    """Return moments inside a window with their names, by the clock of a zone.

    Parameters
    ----------
    first, last : datetime
        The window, aware.
    columns : int
        How many characters wide the window is.

    Returns
    -------
    list of (datetime, str)
        UTC; years, months, days or hours, whatever is the finest of which there
        are not too many. None where the window is shorter than an hour.
    """
    length = last - first
    for step, place, form in _steps():
        if length / step > columns / (_ROOM + len(_named(first, form))):
            continue
        found = []
        for moment in _places(first.astimezone(zone), place, zone):
            if moment > last:
                break
            if moment >= first:
                found.append((moment, _named(moment.astimezone(zone), form)))
        return found
    return []


def _steps() -> Iterator[_Step]:
    for hours in (1, 3, 6, 12):
        yield hours * _HOUR, _hours(hours), "minute"
    for days in (1, 2, 7):
        yield days * _DAY, _days(days), "day"
    for months in (1, 3, 6):
        yield months * 30 * _DAY, _months(months), "month"
    for years in (1, 2, 5, 10, 20, 50, 100, 500, 1000, 5000):
        yield years * 365 * _DAY, _months(12 * years), "year"


def _places(
    start: datetime, place: Callable[[datetime, int], datetime], zone: ZoneInfo
) -> Iterator[datetime]:
    """Give the moments of one step from before the start on, as far as there are years."""
    for number in count():
        try:
            local = place(start, number)
        except (OverflowError, ValueError):
            if number:
                return
            # The year 0, from which the steps are counted.
            continue
        yield local.replace(tzinfo=zone).astimezone(UTC)


def _hours(step: int) -> Callable[[datetime, int], datetime]:
    def place(start: datetime, number: int) -> datetime:
        midnight = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - the zone comes next
        return midnight + (start.hour // step + number) * step * _HOUR

    return place


def _days(step: int) -> Callable[[datetime, int], datetime]:
    def place(start: datetime, number: int) -> datetime:
        midnight = datetime(start.year, start.month, start.day)  # noqa: DTZ001 - the zone comes next
        return midnight + number * step * _DAY

    return place


def _months(step: int) -> Callable[[datetime, int], datetime]:
    def place(start: datetime, number: int) -> datetime:
        months = ((start.year * 12 + start.month - 1) // step + number) * step
        return datetime(months // 12, months % 12 + 1, 1)  # noqa: DTZ001 - the zone comes next

    return place


def _named(local: datetime, form: str) -> str:
    if form == "year":
        return f"{local.year:04d}"
    if form == "month":
        return f"{local.year:04d}-{local.month:02d}"
    day = f"{local.month:02d}-{local.day:02d}"
    return f"{local.year:04d}-{day}" if form == "day" else f"{day} {local:%H:%M}"
