"""Which rows of a ledger are in force, and what the legacy rule makes of them (spec §3)."""

from datetime import UTC, datetime, timedelta

import pytest

from panelcal.domain.moments import parse_stamp, time_zone
from panelcal.domain.validity import (
    Assignment,
    age_in_words,
    explain,
    in_force,
    is_guess,
    legacy_time,
    nearest,
    select_legacy,
)
from panelcal.errors import InvalidInputError

ZONE = time_zone("America/Los_Angeles")
PANEL = "171113-154920171025-3d00fb"


def row(number: int, stamp: str | None, module: str | None = "M044") -> Assignment:
    """Return a row; rows are recorded in the order of their numbers."""
    return Assignment(
        id=number,
        panel=PANEL,
        valid_from=None if stamp is None else parse_stamp(stamp, ZONE).utc,
        module=module,
        revision=None if module is None else 1,
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number),
        recorded_by="tester",
        reason="test",
    )


BEGINNING = row(1, None, "M000")
Y2016 = row(2, "20160101000000", "M016")
Y2018 = row(3, "20180306000000", "M018")
Y2019 = row(4, "20190101000000", "M019")
STAMPED = [Y2016, Y2018, Y2019]


def at(stamp: str) -> datetime:
    return parse_stamp(stamp, ZONE).utc


def test_rows_in_force_are_ordered_by_start_whatever_the_order_of_recording() -> None:
    backfilled = [row(1, "20190101000000"), row(2, "20160101000000"), row(3, None)]
    assert [one.id for one in in_force(backfilled)] == [3, 2, 1]


def test_of_rows_with_the_same_start_the_one_recorded_last_is_in_force() -> None:
    history = [row(1, "20180306000000", "M044"), row(2, None), row(3, "20180306000000", "M068")]
    assert [one.id for one in in_force(reversed(history))] == [2, 3]


def test_the_beginning_is_one_start_like_any_other() -> None:
    assert [one.id for one in in_force([row(1, None, "M044"), row(2, None, "M068")])] == [2]


def test_a_withdrawal_supersedes_an_assignment_of_the_same_start() -> None:
    history = [row(1, "20180306000000"), row(2, "20180306000000", None)]
    assert [one.uses for one in in_force(history)] == ["withdrawn"]


@pytest.mark.parametrize(
    ("asked", "module"),
    [
        (None, "M019"),
        ("20150101000000", "M016"),  # before the first: the first anyway
        ("20160101000000", "M016"),
        ("20180305235959", "M016"),
        ("20180306000000", "M018"),
        ("20181231235959", "M018"),
        ("20990101000000", "M019"),
        ("2018", "M016"),
        ("0", "M016"),
        ("-5", "M016"),
        ("2018030600000000", "M019"),
        (" 20180306000000 ", "M018"),
        ("2018_0306_000000", "M018"),
    ],
)
def test_legacy_compares_bare_integers_and_takes_the_first_before_all(
    asked: str | None, module: str
) -> None:
    chosen = select_legacy(STAMPED, asked, ZONE)
    assert chosen is not None
    assert chosen.module == module


@pytest.mark.parametrize(
    ("asked", "module"),
    [
        (None, "M019"),
        ("0", "M000"),
        ("20151231235959", "M000"),
        ("20160101000000", "M016"),
    ],
)
def test_legacy_takes_the_entry_without_a_stamp_only_before_every_stamp(
    asked: str | None, module: str
) -> None:
    chosen = select_legacy([BEGINNING, *STAMPED], asked, ZONE)
    assert chosen is not None
    assert chosen.module == module


@pytest.mark.parametrize("asked", [None, "20150101000000", "garbage", ""])
@pytest.mark.parametrize("only", [BEGINNING, Y2018])
def test_legacy_takes_the_only_candidate_whatever_t_is(only: Assignment, asked: str | None) -> None:
    assert select_legacy([only], asked, ZONE) is only


@pytest.mark.parametrize("asked", [None, "20180306000000", "garbage"])
def test_legacy_has_no_answer_for_a_panel_without_rows(asked: str | None) -> None:
    assert select_legacy([], asked, ZONE) is None


@pytest.mark.parametrize("asked", ["garbage", "", "2018-03-06", "1e3"])
def test_legacy_refuses_t_that_is_no_integer_where_versions_compete(asked: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        select_legacy(STAMPED, asked, ZONE)
    assert caught.value.message == f"'{asked}' is no integer time stamp, and 3 versions compete"


@pytest.mark.parametrize(
    ("chosen", "asked", "guess"),
    [
        (Y2018, "20180305235959", True),
        (Y2018, "20180306000000", False),
        (Y2018, "20200101000000", False),
        (Y2018, "2018", True),
        (Y2018, "garbage", True),
        (Y2018, None, False),
        (BEGINNING, "0", False),
        (BEGINNING, "garbage", False),
    ],
)
def test_an_answer_is_a_guess_where_t_is_not_known_to_be_in_its_validity(
    chosen: Assignment, asked: str | None, guess: bool
) -> None:
    assert is_guess(chosen, asked, ZONE) is guess


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        ("20180306000000", "20180306000000"),
        ("2018", "2018"),
        (" 20180306000000 ", " 20180306000000 "),
        ("garbage", "garbage"),
        ("", ""),
        ("2018-03-06T00:00:00-08:00", "20180306000000"),
        ("2018-03-06T08:00:00Z", "20180306000000"),
        ("2018-03-06T00:00:00", "2018-03-06T00:00:00"),
    ],
)
def test_legacy_is_given_t_as_typed_unless_it_is_iso_with_an_offset(typed: str, given: str) -> None:
    assert legacy_time(typed, ZONE) == given


def because(
    history: list[Assignment], chosen: int, when: datetime | None, *, guessed: bool = False
) -> dict[int, str]:
    verdicts = explain(history, chosen, when, guessed=guessed)
    return {one.assignment.id: one.because for one in verdicts}


def test_every_candidate_is_explained_in_the_order_of_starts() -> None:
    verdicts = explain(
        [Y2019, Y2016, BEGINNING, Y2018], Y2018.id, at("20180306000000"), guessed=False
    )
    assert [one.assignment for one in verdicts] == [BEGINNING, Y2016, Y2018, Y2019]
    assert [one.chosen for one in verdicts] == [False, False, True, False]


def test_what_was_chosen_and_what_was_rejected_is_explained_in_words() -> None:
    corrected = row(9, "20180306000000", "M044")
    history = [BEGINNING, Y2018, Y2019, corrected]
    assert because(history, corrected.id, at("20180308000000")) == {
        BEGINNING.id: "a later start is in force",
        Y2018.id: "superseded by a later record of the same start",
        corrected.id: "in force, 2 d old",
        Y2019.id: "starts later than asked",
    }


def test_an_answer_from_the_beginning_has_no_age() -> None:
    assert because([BEGINNING, Y2018], BEGINNING.id, at("20180101000000"))[BEGINNING.id] == (
        "in force"
    )


def test_a_guess_is_explained_as_one() -> None:
    told = because(STAMPED, Y2016.id, at("20150101000000"), guessed=True)
    assert told[Y2016.id] == (
        "what the legacy selector takes, though it does not hold at that time"
    )
    assert told[Y2018.id] == "starts later than asked"


def test_without_a_moment_candidates_are_told_by_their_order() -> None:
    assert because(STAMPED, Y2018.id, None) == {
        Y2016.id: "a later start is in force",
        Y2018.id: "in force",
        Y2019.id: "starts later than the one chosen",
    }


def test_the_nearest_candidates_are_the_last_before_and_the_first_after() -> None:
    assert nearest(STAMPED, at("20180306000000"), ZONE) == (
        "M018@1 from 20180306000000",
        "M019@1 from 20190101000000",
    )
    assert nearest(STAMPED, at("20150101000000"), ZONE) == ("none", "M016@1 from 20160101000000")
    assert nearest([BEGINNING], at("20150101000000"), ZONE) == (
        "M000@1 from the beginning",
        "none",
    )


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(0), "0 h"),
        (timedelta(hours=47, minutes=59), "47 h"),
        (timedelta(hours=48), "2 d"),
        (timedelta(days=729), "729 d"),
        (timedelta(days=1461), "4.0 y"),
    ],
)
def test_an_age_is_told_in_hours_then_days_then_years(age: timedelta, words: str) -> None:
    assert age_in_words(age) == words
