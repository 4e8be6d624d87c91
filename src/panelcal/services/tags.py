"""Transaction times by name: make tags, show what they pin, read --as-of and --tag."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.domain.moments import TypedMoment, aware_utc, iso_utc, parse_moment
from panelcal.domain.tags import Tag, parse_tag_name
from panelcal.domain.text import one_line
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import ConflictError, InvalidInputError
from panelcal.storage.ledger import history
from panelcal.storage.recording import CLOCK_SKEW, latest_record, recording_time
from panelcal.storage.sealed_ledger import require_ledger
from panelcal.storage.store import OpenStore
from panelcal.storage.tags import add_tag, find_tag
from panelcal.storage.tags import tags as stored_tags

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable


@dataclass(frozen=True, slots=True)
class Pinned:
    """A tag and the assignments that were in force at its transaction time."""

    tag: Tag
    assignments: tuple[Assignment, ...]


def transaction_time(
    store: OpenStore, as_of: str | datetime | None, tag: str | None, *, now: datetime
) -> TypedMoment | None:
    """Return the transaction time that a question is about; None is now.

    Parameters
    ----------
    as_of : str, datetime or None
        A stamp or ISO 8601 with an offset, or an aware datetime.
    tag : str or None
        Name of a tag, instead.

    Raises
    ------
    InvalidInputError
        Both were given, the time is malformed, or what the ledger will say of
        it can still change.
    NotFoundError
        There is no such tag.
    """
    if as_of is not None and tag is not None:
        msg = "--as-of and --tag both name a transaction time"
        raise InvalidInputError(msg, "give one of them")
    if as_of is None and tag is None:
        return None
    reader = store.database.reader
    if tag is not None:
        return TypedMoment(find_tag(reader, parse_tag_name(tag)).as_of)
    return _past(reader, as_of, store.zone, now)


def _past(
    source: "Readable", as_of: str | datetime | None, zone: ZoneInfo, now: datetime
) -> TypedMoment:
    """Read a transaction time of which nothing can be recorded any more.

    That is one longer ago than the clocks of writers may differ, or one not
    later than the last record, since records increase strictly.
    """
    if isinstance(as_of, datetime):
        typed = TypedMoment(aware_utc(as_of))
    else:
        typed = parse_moment(str(as_of), zone)
    if typed.utc <= now - CLOCK_SKEW:
        return typed
    latest = latest_record(source)
    if latest is None or typed.utc > latest:
        what = "is still to come" if typed.utc > now else "is too close to the present"
        msg = f"{iso_utc(typed.utc)} {what}; what the ledger will say of it can still change"
        raise InvalidInputError(msg, "leave out --as-of to ask what it says now, or make a tag")
    return typed


def create_tag(
    store: OpenStore,
    name: str,
    *,
    as_of: str | datetime | None = None,
    now: datetime,
    user: str,
    reason: str,
) -> Tag:
    """Freeze a name for a transaction time.

    Parameters
    ----------
    name : str
        A name that was never used for a tag.
    as_of : str, datetime or None
        Past transaction time; None is this moment, with all that is recorded.

    Raises
    ------
    InvalidInputError
        The name, the reason or the time is malformed, or what the ledger will
        say of the time can still change.
    ConflictError
        The name is taken; tags never move.
    """
    parse_tag_name(name)
    reason = one_line(reason, "reason")
    with store.database.writing() as connection:
        taken = next((tag for tag in stored_tags(connection) if tag.name == name), None)
        if taken is not None:
            msg = f"tag {name} stands for {iso_utc(taken.as_of)} already; tags never move"
            raise ConflictError(msg, "choose another name")
        at = recording_time(connection, now)
        past = at if as_of is None else _past(connection, as_of, store.zone, now).utc
        tag = Tag(name, past, at, user, reason)
        add_tag(connection, tag)
    return tag


def list_tags(store: OpenStore) -> list[Tag]:
    """Return all tags, in the order of recording.

    Raises
    ------
    IntegrityError
        One is not as it was recorded.
    """
    with store.database.reading() as connection:
        found = stored_tags(connection)
    for tag in found:
        if tag.broken is not None:
            raise tag.broken.refusal()
    return found


def show_tag(store: OpenStore, name: str) -> Pinned:
    """Return a tag and what it pins, by panel and start.

    Raises
    ------
    NotFoundError
        There is no such tag.
    IntegrityError
        It, or a row of the ledger, is not as it was recorded.
    """
    with store.database.reading() as connection:
        tag = find_tag(connection, parse_tag_name(name))
        require_ledger(connection)
        rows = history(connection, as_of=tag.as_of)
    pinned = [row for panel in sorted(rows) for row in in_force(rows[panel])]
    return Pinned(tag, tuple(pinned))
