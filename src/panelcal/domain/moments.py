"""Moments: how time is typed, stored and shown.

Inside panelcal a moment is an aware ``datetime`` in UTC; in the database it is
a count of microseconds since 1970, so that it sorts the same on every engine.
``None`` as the start of a validity is *the beginning*: an untimestamped legacy
entry, earlier than every stamp (spec §3).
"""

import pkgutil
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from io import BytesIO
from zoneinfo import ZoneInfo

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError

BEGINNING_US = -(2**63)
"""What the database holds for *the beginning*: the smallest 64-bit integer."""

DEFAULT_TIME_ZONE = "America/Los_Angeles"

_MACHINE_ZONES = {"localtime", "posixrules", "Factory"}
_MACHINE_FOLDERS = ("right/", "posix/")
"""Some machines have these beside the zones of the same names; ``right`` counts leap seconds."""
_ZONE_NAME = re.compile(r"\w[\w+-]*(/\w[\w+-]*)*\Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = "14 digits YYYYMMDDHHMMSS in the store's time zone, or ISO 8601 with an offset"


@dataclass(frozen=True, slots=True)
class TypedMoment:
    """A moment as somebody typed it.

    Parameters
    ----------
    utc : datetime
        The moment, aware, in UTC.
    notice : str or None
        What the reader should know about how it was understood.
    """

    utc: datetime
    notice: str | None = None


def time_zone(name: str) -> ZoneInfo:
    """Return the zone of an IANA name such as ``America/Los_Angeles``.

    Its rules are those of the package ``tzdata``, never the machine's: what machines
    have differs in which zones keep rules of their own before 1970.

    Raises
    ------
    InvalidInputError
        There is no such zone, or it is whatever the machine has.
    """
    if name in _MACHINE_ZONES or name.startswith(_MACHINE_FOLDERS):
        msg = f"the zone {name} is another one on every machine"
        raise InvalidInputError(msg, "an IANA name such as America/Los_Angeles")
    try:
        return _packaged_zone(name)
    except (ValueError, OSError) as error:
        msg = f"no time zone named {excerpt(name)}"
        raise InvalidInputError(msg, "an IANA name such as America/Los_Angeles") from error


@cache
def _packaged_zone(name: str) -> ZoneInfo:
    """Return a zone; one object a name, because times of one object compare by the clock."""
    rules = pkgutil.get_data("tzdata", f"zoneinfo/{name}") if _ZONE_NAME.match(name) else None
    if rules is None:
        msg = f"{excerpt(name)} is no name of a zone"
        raise ValueError(msg)
    return ZoneInfo.from_file(BytesIO(rules), key=name)


def to_microseconds(moment: datetime | None) -> int:
    """Return microseconds since 1970 UTC; *the beginning* (None) sorts first."""
    if moment is None:
        return BEGINNING_US
    return (moment.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1)


def from_microseconds(count: int) -> datetime | None:
    """Return the moment that `to_microseconds` stored."""
    if count == BEGINNING_US:
        return None
    return moment_of(count)


def moment_of(count: int) -> datetime:
    """Return the moment of a stored time that cannot be *the beginning*.

    Raises
    ------
    IntegrityError
        No moment of the calendar is stored so.
    """
    try:
        return _EPOCH + timedelta(microseconds=count)
    except (OverflowError, TypeError) as error:
        msg = f"a row says {excerpt(str(count))} for a time, which is no moment of the calendar"
        raise IntegrityError(msg, "panelcal fsck names the row") from error


def parse_moment(text: str, zone: ZoneInfo) -> TypedMoment:
    """Read a moment: a 14-digit stamp or ISO 8601 with an offset.

    Parameters
    ----------
    text : str
        ``20180306000000`` is facility wall-clock in `zone`;
        ``2018-03-06T00:00:00-08:00`` and ``...Z`` are taken as they are.
    zone : ZoneInfo
        The store's time zone.

    Raises
    ------
    InvalidInputError
        The text is neither, names no calendar time, or names a local time that
        the clocks skipped.
    """
    if _is_digits(text):
        return parse_stamp(text, zone)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"{excerpt(text)} is not a time"
        raise InvalidInputError(msg, _FORMS) from error
    if moment.tzinfo is None:
        msg = f"{excerpt(text)} has no offset, so its moment is not known"
        stamp = moment.strftime("%Y%m%d%H%M%S").zfill(14)
        hint = f"add Z or an offset such as -08:00, or type the local stamp {stamp}"
        raise InvalidInputError(msg, hint)
    return TypedMoment(in_calendar(moment, zone, text))


def parse_stamp(text: str, zone: ZoneInfo) -> TypedMoment:
    """Read a 14-digit facility wall-clock stamp ``YYYYMMDDHHMMSS``.

    A local time that occurs twice, when clocks go back, means its first
    occurrence, and the notice says so.

    Raises
    ------
    InvalidInputError
        Not 14 digits, not in the calendar, or skipped when clocks went forward.
    """
    if len(text) != 14 or not _is_digits(text):
        found = f"{len(text)} digits" if _is_digits(text) else excerpt(text)
        msg = f"{excerpt(text)} is not a time stamp: {found}, 14 digits expected"
        raise InvalidInputError(msg, _FORMS)
    try:
        local = datetime(
            int(text[:4]),
            int(text[4:6]),
            int(text[6:8]),
            int(text[8:10]),
            int(text[10:12]),
            int(text[12:]),
            tzinfo=zone,
        )
    except ValueError as error:
        msg = f"{text} is not a time stamp: {error}"
        raise InvalidInputError(msg, _FORMS) from error
    utc = in_calendar(local, zone, text)
    # Of one zone, they are compared as the clock shows them.
    if utc.astimezone(zone) != local:
        msg = f"{text} does not exist in {zone.key}: the clocks went forward over it"
        raise InvalidInputError(msg, "type the time before or after the gap")
    if local.replace(fold=1).utcoffset() != local.utcoffset():
        return TypedMoment(
            utc,
            f"{text} occurred twice in {zone.key}; taken as the first, {iso_utc(utc)}",
        )
    return TypedMoment(utc)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def in_calendar(moment: datetime, zone: ZoneInfo, typed: object) -> datetime:
    """Return a moment in UTC; refuse one that has no stamp in the store's zone.

    Raises
    ------
    InvalidInputError
        It lies outside the years 1 to 9999, in UTC or in the zone.
    """
    try:
        utc = moment.astimezone(UTC)
        utc.astimezone(zone)
    except (OverflowError, ValueError) as error:
        msg = f"{excerpt(str(typed))} lies outside the years 1 to 9999 in UTC or {zone.key}"
        raise InvalidInputError(msg) from error
    return utc


def aware_utc(moment: datetime) -> datetime:
    """Return a moment given from Python in UTC.

    Raises
    ------
    InvalidInputError
        It has no time zone.
    """
    if moment.tzinfo is None:
        msg = f"the datetime {moment} has no time zone, so its moment is not known"
        raise InvalidInputError(msg, "datetime(..., tzinfo=UTC)")
    return moment.astimezone(UTC)


def stamp_of(moment: datetime, zone: ZoneInfo) -> str:
    """Return the 14-digit facility wall-clock stamp of a moment."""
    return _stamp(moment.astimezone(zone))


def _stamp(local: datetime) -> str:
    return (
        f"{local.year:04d}{local.month:02d}{local.day:02d}"
        f"{local.hour:02d}{local.minute:02d}{local.second:02d}"
    )


def typed_form(moment: datetime, zone: ZoneInfo) -> str:
    """Return a moment as it can be typed again: a stamp, where that means this moment.

    The second occurrence of a local time that occurs twice is ISO 8601.
    """
    local = moment.astimezone(zone)
    if local.fold:
        return local.replace(microsecond=0).isoformat()
    return _stamp(local)


def start_in_words(start: datetime | None, zone: ZoneInfo) -> str:
    """Return the start of a validity as it can be typed, or ``the beginning``."""
    return "the beginning" if start is None else typed_form(start, zone)


def iso_utc(moment: datetime) -> str:
    """Return ``2018-03-06T08:00:00Z``, with microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
