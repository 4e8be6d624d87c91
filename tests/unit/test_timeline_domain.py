"""Intervals of a panel: every moment is in exactly one, and it is the resolver's answer."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.runs import Dataset
from panelcal.domain.timeline import Interval, Lane, Mark, intervals_of, names_of, window
from panelcal.domain.validity import Assignment, in_force

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
FIRST, SECOND, THIRD = (datetime(year, 3, 6, 8, tzinfo=UTC) for year in (2018, 2019, 2020))


def row(number: int, start: datetime | None, uses: str | None) -> Assignment:
    module, _, revision = (uses or "").partition("@")
    recorded = NOW + number * DAY
    if uses is None:
        return Assignment(number, "p", start, None, None, recorded, "ann", "r")
    return Assignment(number, "p", start, module, int(revision), recorded, "ann", "r")


def shown(intervals: Sequence[Interval]) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(one.label, one.start, one.end) for one in intervals]


def test_a_panel_that_was_never_assigned_is_a_gap_for_all_times() -> None:
    [gap] = intervals_of([])
    assert (gap.state, gap.label, gap.start, gap.end) == ("gap", "no constants", None, None)


def test_before_the_first_assignment_there_is_a_gap() -> None:
    assert shown(intervals_of([row(1, FIRST, "M1@1")])) == [
        ("no constants", None, FIRST),
        ("M1@1", FIRST, None),
    ]


def test_an_assignment_from_the_beginning_leaves_no_gap_before_it() -> None:
    assert shown(intervals_of([row(1, None, "M1@1"), row(2, SECOND, "M1@2")])) == [
        ("M1@1", None, SECOND),
        ("M1@2", SECOND, None),
    ]


def test_a_withdrawal_is_an_interval_of_its_own_and_no_gap() -> None:
    found = intervals_of([row(1, None, "M1@1"), row(2, FIRST, None), row(3, SECOND, "M1@1")])
    assert [(one.state, one.label) for one in found] == [
        ("used", "M1@1"),
        ("withdrawn", "withdrawn"),
        ("used", "M1@1"),
    ]


def test_a_superseded_row_is_left_out() -> None:
    found = intervals_of([row(1, FIRST, "M1@1"), row(2, FIRST, "M2@1")])
    assert shown(found)[1:] == [("M2@1", FIRST, None)]


STARTS = st.none() | st.integers(0, 12).map(lambda days: FIRST + days * DAY)
USES = st.none() | st.sampled_from(["M1@1", "M1@2", "M2@1"])


@given(st.lists(st.tuples(STARTS, USES), max_size=12), st.integers(-1, 13))
def test_every_moment_is_in_one_interval_that_holds_what_is_in_force(
    said: list[tuple[datetime | None, str | None]], days: int
) -> None:
    rows = [row(number, start, uses) for number, (start, uses) in enumerate(said, 1)]
    intervals = intervals_of(rows)
    assert intervals[0].start is None
    assert intervals[-1].end is None
    for former, latter in pairwise(intervals):
        assert former.end == latter.start
    moment = FIRST + days * DAY
    [holding] = [one for one in intervals if one.holds_at(moment)]
    started = [one for one in in_force(rows) if one.holds_at(moment)]
    assert holding.label == (started[-1].uses if started else "no constants")


def test_the_revision_alone_is_a_name_after_the_same_module_only() -> None:
    rows = [
        row(1, FIRST, "M1@1"),
        row(2, FIRST + DAY, None),
        row(3, SECOND, "M1@2"),
        row(4, THIRD, "M2@3"),
    ]
    assert names_of(intervals_of(rows)) == [
        ("no constants", "none"),
        ("M1@1",),
        ("withdrawn",),
        ("M1@2", "@2"),
        ("M2@3",),
    ]


def mark(at: datetime | None) -> Mark:
    return Mark(Dataset("xcsls3716", 1), "X.0:J.0", at, "M1@1", "t", NOW, is_current=True)


def test_the_window_holds_every_change_every_deployment_and_now() -> None:
    lanes = [
        Lane("p", intervals_of([row(1, SECOND, "M1@1")]), (mark(FIRST), mark(None))),
        Lane("q", intervals_of([row(1, THIRD, "M1@1")]), ()),
    ]
    first, last = window(lanes, NOW)
    assert FIRST - 365 * DAY < first < FIRST < THIRD < NOW < last < NOW + 365 * DAY


def test_a_window_around_nothing_but_now_is_two_years() -> None:
    first, last = window([Lane("p", intervals_of([]), ())], NOW)
    assert (first, last) == (NOW - 365 * DAY, NOW + 365 * DAY)


@pytest.mark.parametrize(
    "start", [datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)]
)
def test_a_window_stays_inside_the_calendar(start: datetime) -> None:
    first, last = window([Lane("p", intervals_of([row(1, start, "M1@1")]), ())], NOW)
    assert 1 < first.year <= 2026 <= last.year < 9999
