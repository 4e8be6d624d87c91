"""Assignments and the rules that choose among them (design §3, spec §3).

The strict rule itself, *greatest valid_from that is not later than T*, runs in
the database (`panelcal.storage.resolver`). Here is the legacy selector's rule and
the account of why a candidate was or was not chosen.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from panelcal.domain.moments import (
    parse_moment,
    stamp_of,
    start_in_words,
    to_microseconds,
)
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

Policy = Literal["strict", "legacy"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """One row of the ledger: from `valid_from` on, a panel uses a constant set.

    Parameters
    ----------
    id : int
        Row number; later rows have larger ones.
    panel : str
        Panel id.
    valid_from : datetime or None
        First moment it holds for (inclusive); None is *the beginning*.
    module, revision : str, int or None
        The constant set; both None for a withdrawal.
    recorded_at : datetime
        Transaction time, UTC.
    recorded_by, reason : str
        Who, and why.
    """

    id: int
    panel: str
    valid_from: datetime | None
    module: str | None
    revision: int | None
    recorded_at: datetime
    recorded_by: str
    reason: str

    @property
    def uses(self) -> str:
        """``M068@1``, or ``withdrawn``."""
        return "withdrawn" if self.module is None else f"{self.module}@{self.revision}"

    def starts(self, zone: ZoneInfo) -> str:
        """Return the start as a stamp in words: ``20171025000000`` or ``the beginning``."""
        return start_in_words(self.valid_from, zone)

    def holds_at(self, moment: datetime) -> bool:
        """Say whether the assignment has started by a moment."""
        return self.valid_from is None or self.valid_from <= moment


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the resolver made of one candidate of a panel.

    Parameters
    ----------
    assignment : Assignment
        The candidate.
    chosen : bool
        Whether it is the answer.
    because : str
        Why, in words.
    """

    assignment: Assignment
    chosen: bool
    because: str


def in_force(history: Iterable[Assignment]) -> list[Assignment]:
    """Return the rows not superseded, by ascending `valid_from`.

    Of several rows of a panel with the same `valid_from` the one recorded last
    is in force.
    """
    latest: dict[int, Assignment] = {}
    for row in sorted(history, key=lambda row: (row.recorded_at, row.id)):
        latest[to_microseconds(row.valid_from)] = row
    return [latest[start] for start in sorted(latest)]


def legacy_time(text: str, zone: ZoneInfo) -> str:
    """Return a typed time as the legacy selector would be given it.

    ISO 8601 with an offset becomes a stamp. All else is passed on as typed: the
    selector compares bare integers, without calendar or length check (spec §3).
    """
    try:
        int(text)
    except ValueError:
        try:
            return stamp_of(parse_moment(text, zone).utc, zone)
        except InvalidInputError:
            return text
    return text


def select_legacy(
    current: Sequence[Assignment], asked: str | None, zone: ZoneInfo
) -> Assignment | None:
    """Choose as the legacy selector does (spec §3).

    Parameters
    ----------
    current : sequence of Assignment
        Rows in force of one panel, by ascending `valid_from`.
    asked : str or None
        T as the selector is given it; None means the latest.

    Returns
    -------
    Assignment or None
        The only candidate whatever T is; otherwise the last one whose stamp is
        not greater than T, or the first one if T is before them all.

    Raises
    ------
    InvalidInputError
        T is no integer and there are several candidates to choose among.
    """
    if not current:
        return None
    if len(current) == 1:
        return current[0]
    if asked is None:
        return current[-1]
    try:
        asked_number = int(asked)
    except ValueError as error:
        msg = f"{excerpt(asked)} is no integer time stamp, and {len(current)} versions compete"
        raise InvalidInputError(msg) from error
    chosen = current[0]
    for candidate in current[1:]:
        if _stamp_number(candidate, zone) > asked_number:
            break
        chosen = candidate
    return chosen


def _stamp_number(row: Assignment, zone: ZoneInfo) -> int:
    """Return what the legacy selector compares; nothing is earlier than the beginning."""
    return -1 if row.valid_from is None else int(stamp_of(row.valid_from, zone))


def is_guess(chosen: Assignment, asked: str | None, zone: ZoneInfo) -> bool:
    """Say whether the legacy answer was a guess: T is not known to be in its validity."""
    if asked is None or chosen.valid_from is None:
        return False
    try:
        return int(asked) < _stamp_number(chosen, zone)
    except ValueError:
        return True


def explain(
    history: Sequence[Assignment], chosen_id: int, at: datetime | None, *, guessed: bool
) -> list[Verdict]:
    """Say of every candidate of one panel why it was or was not chosen.

    Parameters
    ----------
    history : sequence of Assignment
        All ledger rows of the panel.
    chosen_id : int
        Row number of the answer.
    at : datetime or None
        T where it is a moment of the calendar.
    guessed : bool
        The answer does not hold at T; legacy policy takes it all the same.
    """
    current = {row.id for row in in_force(history)}
    ordered = sorted(history, key=lambda row: (to_microseconds(row.valid_from), row.id))
    chosen = next(row for row in ordered if row.id == chosen_id)
    why = "what the legacy selector takes, though it does not hold at that time"
    if not guessed:
        why = "in force" if at is None else f"in force{_age(chosen, at)}"
    return [
        Verdict(row, row is chosen, why if row is chosen else _why_not(row, chosen, current, at))
        for row in ordered
    ]


def _why_not(row: Assignment, chosen: Assignment, current: set[int], at: datetime | None) -> str:
    if row.id not in current:
        return "superseded by a later record of the same start"
    if at is not None and not row.holds_at(at):
        return "starts later than asked"
    if to_microseconds(row.valid_from) > to_microseconds(chosen.valid_from):
        return "starts later than the one chosen"
    return "a later start is in force"


def _age(row: Assignment, at: datetime) -> str:
    return "" if row.valid_from is None else f", {age_in_words(at - row.valid_from)} old"


def nearest(current: Sequence[Assignment], at: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """Describe the nearest candidates before and after T, for a message."""
    before = [f"{row.uses} from {row.starts(zone)}" for row in current if row.holds_at(at)]
    used = [row for row in current if row.holds_at(at) and row.module is not None]
    if used and used[-1].uses not in before[-1]:
        before[-1] += f", before that {used[-1].uses} from {used[-1].starts(zone)}"
    after = [f"{row.uses} from {row.starts(zone)}" for row in current if not row.holds_at(at)]
    return (before[-1] if before else "none", after[0] if after else "none")


def age_in_words(age: timedelta) -> str:
    """Return an age as people say it: hours up to two days, then days, then years."""
    hours = age // timedelta(hours=1)
    if hours < 48:
        return f"{hours} h"
    if age.days < 730:
        return f"{age.days} d"
    return f"{age.days / 365.25:.1f} y"
