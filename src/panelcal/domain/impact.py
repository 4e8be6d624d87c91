"""What a planned change of the ledger does to answers.

An answer is what its token stands for: the payloads of every panel, or none at all. So
a change from one constant set to another with the same payloads changes no answer.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from panelcal.domain.moments import from_microseconds, stamp_of, to_microseconds
from panelcal.domain.validity import Assignment, Policy, in_force, select_legacy

NOTHING = "nothing"
"""What a panel uses before its first assignment."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, or was asked, about a detector.

    Parameters
    ----------
    panels : tuple of str
        Panel ids in segment order.
    at : datetime or None
        T, UTC. None: legacy policy was asked with a time that is none of the calendar,
        which no record keeps.
    policy : Policy
        How it is answered.
    """

    panels: tuple[str, ...]
    at: datetime | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class PanelChange:
    """One panel's part of an answer that changes.

    Parameters
    ----------
    index : int
        Segment, from 0.
    panel : str
        Panel id.
    before, after : str
        ``M068@1``, ``withdrawn``, or ``nothing`` before the first assignment.
    """

    index: int
    panel: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Effect:
    """How the answer to a question changes.

    Parameters
    ----------
    panels : tuple of PanelChange
        Those that change, in segment order.
    had_answer, has_answer : bool
        Whether every panel has constants, before and after.
    """

    panels: tuple[PanelChange, ...]
    had_answer: bool
    has_answer: bool


@dataclass(frozen=True, slots=True)
class Span:
    """A time in which a panel uses something else than before.

    Parameters
    ----------
    panel : str
        Panel id.
    start, until : datetime or None
        First moment, None is *the beginning*; first moment after it, None is open.
    before, after : str
        As in `PanelChange`.
    """

    panel: str
    start: datetime | None
    until: datetime | None
    before: str
    after: str


class Timeline:
    """The assignments of one panel that are in force, to be asked many times.

    Parameters
    ----------
    history : iterable of Assignment
        All rows of the panel.
    """

    def __init__(self, history: Iterable[Assignment]) -> None:
        self.rows: Sequence[Assignment] = in_force(history)
        self.starts = [to_microseconds(row.valid_from) for row in self.rows]

    def at(self, moment_us: int) -> Assignment | None:
        """Return what is in force at a moment, in microseconds since 1970."""
        place = bisect_right(self.starts, moment_us)
        return self.rows[place - 1] if place else None

    def chosen(self, question: Question, zone: ZoneInfo) -> Assignment | None:
        """Return the row that a question is answered with, None if there is none."""
        if question.policy == "legacy":
            asked = None if question.at is None else stamp_of(question.at, zone)
            return select_legacy(self.rows, asked, zone)
        return None if question.at is None else self.at(to_microseconds(question.at))


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """The ledger before and after a planned change.

    Parameters
    ----------
    before : mapping of str to Timeline
        Every panel that a question names.
    after : mapping of str to Timeline
        Only the panels that the change is about.
    contents : mapping of str to object
        What the constant sets hold, by name: ``M068@1``. Sets with equal contents are
        the same answer.
    zone : ZoneInfo
        The store's, in which the legacy selector counts.
    """

    before: Mapping[str, Timeline]
    after: Mapping[str, Timeline]
    contents: Mapping[str, object]
    zone: ZoneInfo

    def effect(self, question: Question) -> Effect | None:
        """Return how the answer to a question changes, None if it does not."""
        changes = tuple(
            PanelChange(index, panel, uses(old), uses(new))
            for index, panel in enumerate(question.panels)
            if panel in self.after
            for old, new in [self._pair(panel, question)]
            if self._differs(panel, question, old, new)
        )
        if not changes:
            return None
        had = self._is_whole(question, self.before)
        has = self._is_whole(question, {**self.before, **self.after})
        # Without another panel's constants there is no answer, before and after.
        return Effect(changes, had, has) if had or has else None

    def _pair(self, panel: str, question: Question) -> tuple[Assignment | None, Assignment | None]:
        old, new = (
            timelines[panel].chosen(question, self.zone) for timelines in (self.before, self.after)
        )
        return old, new

    def _differs(
        self, panel: str, question: Question, old: Assignment | None, new: Assignment | None
    ) -> bool:
        if question.at is not None:
            return self._content(old) != self._content(new)
        # What was asked is not on record: whatever the selector could choose may be the answer.
        candidates = [
            [(start, self._content(row)) for start, row in zip(one.starts, one.rows, strict=True)]
            for one in (self.before[panel], self.after[panel])
        ]
        return candidates[0] != candidates[1]

    def _is_whole(self, question: Question, timelines: Mapping[str, Timeline]) -> bool:
        return all(
            self._content(timelines[panel].chosen(question, self.zone)) is not None
            for panel in question.panels
        )

    def _content(self, row: Assignment | None) -> object:
        return None if row is None or row.module is None else self.contents[row.uses]

    def spans(self) -> list[Span]:
        """Return when the panels use something else than before, by panel and start."""
        return [span for panel in sorted(self.after) for span in self._spans_of(panel)]

    def _spans_of(self, panel: str) -> list[Span]:
        before, after = self.before[panel], self.after[panel]
        starts = sorted({*before.starts, *after.starts})
        found: list[Span] = []
        for start, until in zip(starts, [*starts[1:], None], strict=True):
            old, new = uses(before.at(start)), uses(after.at(start))
            if old == new:
                continue
            begin = from_microseconds(start)
            end = None if until is None else from_microseconds(until)
            last = found[-1] if found else None
            if last and last.until == begin and (last.before, last.after) == (old, new):
                # A later row says the same again.
                found.pop()
                begin = last.start
            found.append(Span(panel, begin, end, old, new))
        return found


def uses(row: Assignment | None) -> str:
    """Return what a panel uses in a word: ``M068@1``, ``withdrawn`` or ``nothing``."""
    return NOTHING if row is None else row.uses


def set_pairs(changes: Iterable[Span | PanelChange]) -> list[tuple[str, str]]:
    """Return the distinct pairs of constant sets that changes are between, in their order."""
    none = {NOTHING, "withdrawn"}
    pairs = [(one.before, one.after) for one in changes if not none & {one.before, one.after}]
    return [pair for pair in dict.fromkeys(pairs) if pair[0] != pair[1]]
