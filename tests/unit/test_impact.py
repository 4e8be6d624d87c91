"""Whose answer a change of the ledger alters: judged for every question one by one."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.impact import (
    LedgerChange,
    PanelChange,
    Question,
    Span,
    Timeline,
    set_pairs,
)
from panelcal.domain.moments import time_zone
from panelcal.domain.validity import Assignment, Policy

ZONE = time_zone("America/Los_Angeles")
DAY = timedelta(days=1)
BEGUN = datetime(2018, 1, 1, tzinfo=UTC)
CONTENTS = {"M001@1": "x", "M001@2": "x", "M002@1": "y"}
"""Two sets hold the same."""

A, B = "1-2-a", "1-2-b"


def row(number: int, start: int | None, uses: str | None, panel: str = A) -> Assignment:
    """Return a row of the ledger: a start in days after `BEGUN`, None is the beginning."""
    module, revision = (None, None) if uses is None else uses.split("@")
    return Assignment(
        number,
        panel,
        None if start is None else BEGUN + start * DAY,
        module,
        None if revision is None else int(revision),
        BEGUN + timedelta(seconds=number),
        "tester",
        "test",
    )


def change(before: dict[str, list[Assignment]], planned: list[Assignment]) -> LedgerChange:
    """Return the change that adds rows to the ledger."""
    panels = {one.panel for one in planned}
    return LedgerChange(
        {panel: Timeline(rows) for panel, rows in before.items()},
        {
            panel: Timeline([*before[panel], *(one for one in planned if one.panel == panel)])
            for panel in panels
        },
        CONTENTS,
        ZONE,
    )


def asked(day: int | None, *panels: str, policy: Policy = "strict") -> Question:
    return Question(panels or (A,), None if day is None else BEGUN + day * DAY, policy)


def used(rows: list[Assignment], day: int) -> str | None:
    """Say by the words of the rule what a panel uses: no search, no order kept."""
    begun = [
        (one.valid_from is not None, one.valid_from or BEGUN, one.recorded_at, one)
        for one in rows
        if one.valid_from is None or one.valid_from <= BEGUN + day * DAY
    ]
    if not begun:
        return None
    latest = max(begun, key=lambda one: one[:3])[3]
    return None if latest.module is None else CONTENTS[latest.uses]


STARTS = st.none() | st.integers(0, 5)
SETS = st.sampled_from([None, *CONTENTS])
ROWS = st.lists(st.tuples(STARTS, SETS), max_size=5)


@given(ROWS, ROWS, st.tuples(STARTS, SETS))
def test_an_answer_changes_where_one_by_one_the_questions_say_so(
    of_a: list[tuple[int | None, str | None]],
    of_b: list[tuple[int | None, str | None]],
    planned: tuple[int | None, str | None],
) -> None:
    before = {
        panel: [row(number, start, uses, panel) for number, (start, uses) in enumerate(rows)]
        for panel, rows in ((A, of_a), (B, of_b))
    }
    new = row(99, *planned)
    made = change(before, [new])
    for day in range(-1, 7):
        former = [used(before[A], day), used(before[B], day)]
        later = [used([*before[A], new], day), used(before[B], day)]
        had, has = None not in former, None not in later
        effect = made.effect(asked(day, A, B))
        assert (effect is not None) == (former != later and (had or has))
        if effect is not None:
            assert (effect.had_answer, effect.has_answer) == (had, has)


@given(ROWS, st.tuples(STARTS, SETS))
def test_the_spans_are_when_the_panel_uses_something_else(
    rows: list[tuple[int | None, str | None]], planned: tuple[int | None, str | None]
) -> None:
    before = [row(number, start, uses) for number, (start, uses) in enumerate(rows)]
    new = row(99, *planned)
    made = change({A: before}, [new])

    def name(rows: list[Assignment], day: int) -> str:
        found = Timeline(rows).chosen(asked(day), ZONE)
        return "nothing" if found is None else found.uses

    spans = made.spans()
    for day in range(-1, 7):
        at = BEGUN + day * DAY
        inside = [
            span
            for span in spans
            if (span.start is None or span.start <= at) and (span.until is None or at < span.until)
        ]
        former, later = name(before, day), name([*before, new], day)
        assert [(one.before, one.after) for one in inside] == (
            [] if former == later else [(former, later)]
        )
    for one, other in pairwise(spans):
        # Neighbours differ in something.
        is_one = (one.before, one.after) == (other.before, other.after)
        assert not (is_one and one.until == other.start)


def test_the_start_is_inclusive_and_the_next_start_exclusive() -> None:
    made = change({A: [row(0, 0, "M001@1"), row(1, 4, "M001@1")]}, [row(2, 2, "M002@1")])
    assert [made.effect(asked(day)) is not None for day in (1, 2, 3, 4)] == [
        False,
        True,
        True,
        False,
    ]
    assert made.spans() == [Span(A, BEGUN + 2 * DAY, BEGUN + 4 * DAY, "M001@1", "M002@1")]


def test_another_set_with_the_same_contents_is_the_same_answer_but_told() -> None:
    made = change({A: [row(0, 0, "M001@1")]}, [row(1, 2, "M001@2")])
    assert made.effect(asked(3)) is None
    assert [(one.before, one.after) for one in made.spans()] == [("M001@1", "M001@2")]


def test_a_detector_that_lacks_another_panel_has_no_answer_that_could_change() -> None:
    made = change({A: [row(0, 0, "M001@1")], B: []}, [row(1, 2, "M002@1")])
    assert made.effect(asked(3, A, B)) is None
    assert made.effect(asked(3, A)) is not None


def test_a_withdrawal_takes_the_whole_answer_away() -> None:
    rows = {A: [row(0, 0, "M001@1")], B: [row(0, 0, "M002@1", B)]}
    effect = change(rows, [row(1, 2, None)]).effect(asked(3, B, A))
    assert effect is not None
    assert effect.panels == (PanelChange(1, A, "M001@1", "withdrawn"),)
    assert (effect.had_answer, effect.has_answer) == (True, False)


def test_a_panel_that_is_in_a_detector_twice_is_told_twice() -> None:
    effect = change({A: [row(0, 0, "M001@1")]}, [row(1, 2, "M002@1")]).effect(asked(3, A, A))
    assert effect is not None
    assert [panel.index for panel in effect.panels] == [0, 1]


def test_legacy_policy_is_asked_as_the_legacy_selector() -> None:
    # Its one candidate is the answer whatever T is; with a second one T counts.
    made = change({A: [row(0, 4, "M001@1")]}, [row(1, 2, "M002@1")])
    assert made.effect(asked(1)) is None
    effect = made.effect(asked(1, policy="legacy"))
    assert effect is not None
    assert effect.panels == (PanelChange(0, A, "M001@1", "M002@1"),)
    assert made.effect(asked(5, policy="legacy")) is None


@pytest.mark.parametrize(("start", "uses", "changes"), [(2, "M002@1", True), (4, "M001@2", False)])
def test_a_legacy_answer_to_an_unknown_time_changes_with_any_candidate(
    start: int, uses: str, *, changes: bool
) -> None:
    made = change({A: [row(0, 0, "M001@1"), row(1, 4, "M001@1")]}, [row(2, start, uses)])
    assert (made.effect(asked(None, policy="legacy")) is not None) is changes


def test_pairs_to_compare_are_between_sets_and_each_is_told_once() -> None:
    changes = [
        PanelChange(0, A, "M001@1", "M002@1"),
        PanelChange(1, B, "M001@1", "M002@1"),
        PanelChange(0, A, "withdrawn", "M002@1"),
        PanelChange(0, A, "M001@1", "nothing"),
        PanelChange(0, A, "M002@1", "M001@1"),
    ]
    assert set_pairs(changes) == [("M001@1", "M002@1"), ("M002@1", "M001@1")]
