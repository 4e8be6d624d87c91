"""The timeline in characters: what stands in which column, and what colours may not say."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.moments import time_zone
from panelcal.domain.runs import Dataset
from panelcal.domain.timeline import Lane, Mark, Timeline, intervals_of, window
from panelcal.domain.validity import Assignment
from panelcal.pictures.terminal import timeline_lines
from panelcal.pictures.ticks import ticks

ZONE = time_zone("America/Los_Angeles")
NOW = datetime(2022, 1, 1, tzinfo=UTC)
START = datetime(2018, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def lane(
    *said: tuple[datetime | None, str | None], marks: Sequence[Mark] = (), panel: str = "p"
) -> Lane:
    rows = []
    for number, (start, uses) in enumerate(said, 1):
        module, _, revision = (uses or "").partition("@")
        held = module or None
        number_of = int(revision) if uses else None
        rows.append(Assignment(number, panel, start, held, number_of, NOW, "ann", "r"))
    return Lane(panel, intervals_of(rows), tuple(marks))


def mark(at: datetime, *, is_current: bool = True) -> Mark:
    return Mark(Dataset("xcsls3716", 1), "X.0:J.0", at, "M1@1", "t", NOW, is_current)


def drawn(*lanes: Lane, width: int = 80) -> list[str]:
    timeline = Timeline("d", ZONE, None, lanes)
    return [line.plain for line in timeline_lines(timeline, NOW, width)]


def test_the_beginning_and_the_open_end_are_arrows() -> None:
    [bar, _] = drawn(lane((None, "M1@1")))
    assert bar.startswith("0 p <=")
    assert bar.endswith("=>")
    assert "=M1@1=" in bar
    assert len(bar) == 80


def test_a_gap_has_dots_and_no_arrow() -> None:
    [bar, _] = drawn(lane((START, "M1@1")))
    before, _, after = bar.partition("|")
    assert set(before.removeprefix("0 p ").replace("none", "")) == {"."}
    assert "<" not in bar
    assert after.endswith("=>")


def test_a_withdrawal_is_hatched_and_named() -> None:
    [bar, _] = drawn(lane((None, "M1@1"), (START, None), (START + 1000 * DAY, "M1@2")))
    _, withdrawn, after = bar.split("|")
    assert set(withdrawn.replace("withdrawn", "")) == {"/"}
    assert "withdrawn" in withdrawn
    assert "M1@2" in after


def test_changes_too_close_to_be_told_apart_are_a_hash() -> None:
    [bar, _] = drawn(lane((START, "M1@1"), (START + DAY, "M1@2"), (START + 900 * DAY, "M1@3")))
    assert (bar.count("#"), bar.count("|")) == (1, 1)


def test_a_name_that_does_not_fit_is_shortened_to_the_revision_and_never_cut() -> None:
    starts = [START + number * 120 * DAY for number in range(12)]
    [bar, _] = drawn(lane(*((start, f"MODULE@{n}") for n, start in enumerate(starts, 1))))
    pieces = bar.split("|")[1:]
    assert [piece.strip("=>") for piece in pieces[1:11]] == [f"@{n}" for n in range(2, 12)]


def test_the_name_of_the_last_interval_leaves_the_arrow_its_place() -> None:
    for days in range(20, 500, 7):
        [bar, _] = drawn(lane((START, "M1@1"), (NOW - days * DAY, "M1@12")), width=60)
        last = bar.split("|")[-1]
        assert last.strip("=>") in ("M1@12", "@12", "")


def test_deployments_stand_below_their_time() -> None:
    at = START + 700 * DAY
    [bar, marks, _] = drawn(lane((START, "M1@1"), (at, "M1@2"), marks=[mark(at)]))
    assert marks.index("^") == bar.rindex("|")


def test_a_deployment_that_the_ledger_no_longer_answers_for_is_told_apart() -> None:
    [_, marks, _] = drawn(
        lane((None, "M1@1"), marks=[mark(START), mark(NOW - DAY, is_current=False)])
    )
    assert marks.split() == ["^", "!"]


def test_a_stale_deployment_is_not_hidden_by_a_right_one_in_its_column() -> None:
    for states in ((True, False), (False, True)):
        marks = [mark(START, is_current=state) for state in states]
        assert drawn(lane((START, "M1@1"), marks=marks))[1].strip() == "!"


def test_a_long_panel_id_leaves_room_for_its_lane() -> None:
    [bar, _] = drawn(lane((None, "M1@1"), panel="x" * 200))
    assert len(bar) == 80
    assert "<=" in bar


def test_without_colours_all_is_said() -> None:
    timeline = Timeline("d", ZONE, None, (lane((None, "M1@1"), (START, None)),))
    lines = timeline_lines(timeline, NOW, 80)
    assert all(line.plain.isascii() for line in lines)
    assert any(line.spans for line in lines)


@given(
    st.lists(
        st.tuples(
            st.datetimes().map(lambda moment: moment.replace(tzinfo=UTC)),
            st.none() | st.sampled_from(["M1@1", "M1@2", "LONG-NAME@17"]),
        ),
        max_size=8,
    ),
    st.integers(1, 200),
)
def test_no_line_is_wider_than_the_terminal(
    said: list[tuple[datetime, str | None]], width: int
) -> None:
    marks = [mark(start) for start, _ in said]
    for line in drawn(lane(*said, marks=marks), lane(panel="y" * 70), width=width):
        assert len(line) <= max(width, 40)
        assert line == line.rstrip()


# --- ticks ----------------------------------------------------------------------------


def names(first: datetime, length: timedelta, columns: int = 60) -> list[str]:
    return [name for _, name in ticks(first, first + length, ZONE, columns)]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (timedelta(days=8 * 365), [str(year) for year in range(2019, 2027)]),
        (timedelta(days=100), ["2018-04", "2018-05", "2018-06"]),
        (timedelta(days=3), ["2018-03-07", "2018-03-08", "2018-03-09"]),
        (timedelta(hours=4), ["03-06 13:00", "03-06 14:00", "03-06 15:00", "03-06 16:00"]),
        (timedelta(minutes=20), []),
    ],
)
def test_ticks_are_round_by_the_clock_of_the_zone(length: timedelta, expected: list[str]) -> None:
    noon = datetime(2018, 3, 6, 20, 30, tzinfo=UTC)
    assert names(noon, length) == expected


def test_a_tick_is_the_midnight_of_the_zone_in_summer_too() -> None:
    first = datetime(2018, 6, 1, 12, tzinfo=UTC)
    assert ticks(first, first + 3 * DAY, ZONE, 60)[0] == (
        datetime(2018, 6, 2, 7, tzinfo=UTC),
        "2018-06-02",
    )


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9990, 1, 1)),  # noqa: DTZ001 - the zone comes next
    st.timedeltas(timedelta(hours=2), timedelta(days=365 * 8)),
    st.integers(20, 200),
)
def test_ticks_lie_in_the_window_in_order_and_have_room(
    start: datetime, length: timedelta, columns: int
) -> None:
    first = start.replace(tzinfo=UTC)
    found = ticks(first, first + length, ZONE, columns)
    moments = [moment for moment, _ in found]
    assert moments == sorted(set(moments))
    assert all(first <= moment <= first + length for moment in moments)
    assert sum(len(name) for _, name in found) <= columns + 11


def test_a_window_of_ten_thousand_years_has_ticks() -> None:
    lanes = [lane((datetime(1, 1, 2, tzinfo=UTC), "M1@1"))]
    assert ticks(*window(lanes, NOW), ZONE, 60)[0][1] == "0500"
