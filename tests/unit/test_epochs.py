"""Ages and epochs: months of the calendar, and what is known of the beginning."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.epochs import MOST_MONTHS, Age, Epochs, epochs_of, months_before
from panelcal.domain.moments import time_zone

ZONE = time_zone("America/Los_Angeles")


def local(*fields: int, fold: int = 0) -> datetime:
    return datetime(*fields, tzinfo=ZONE, fold=fold).astimezone(UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("moment", "months", "earlier"),
    [
        (local(2019, 5, 17, 10), 1, local(2019, 4, 17, 10)),
        (local(2019, 1, 17, 10), 1, local(2018, 12, 17, 10)),
        (local(2019, 5, 17, 10), 12, local(2018, 5, 17, 10)),
        (local(2019, 5, 17, 10), 17, local(2017, 12, 17, 10)),
        (local(2019, 3, 31), 1, local(2019, 2, 28)),
        (local(2020, 3, 31), 1, local(2020, 2, 29)),
        (local(2020, 2, 29), 12, local(2019, 2, 28)),
        # The clock shows the same time although summer time begins between.
        (local(2019, 4, 1, 8), 1, local(2019, 3, 1, 8)),
    ],
)
def test_some_months_earlier_is_the_same_time_of_the_clock(
    moment: datetime, months: int, earlier: datetime
) -> None:
    assert months_before(moment, months, ZONE) == earlier


def test_before_the_calendar_is_its_first_moment() -> None:
    assert months_before(local(101, 6, 1), MOST_MONTHS, ZONE) == datetime.min.replace(tzinfo=UTC)


@given(
    st.integers(0, 9997 * 365 * 86400).map(
        lambda seconds: datetime(2, 1, 3, tzinfo=UTC) + timedelta(seconds=seconds)
    ),
    st.integers(1, MOST_MONTHS),
)
def test_every_moment_has_an_earlier_one_about_that_far_away(moment: datetime, months: int) -> None:
    earlier = months_before(moment, months, ZONE)
    assert earlier < moment
    if earlier.year > 2:
        expected = timedelta(days=months * 30.436875)
        assert abs((moment - earlier) - expected) < timedelta(days=4)


def test_constants_are_old_when_older_than_the_months_and_not_just_as_old() -> None:
    at = local(2019, 5, 17, 10)
    assert not Age(local(2018, 5, 17, 10), at, at_least=False).exceeds(12, ZONE)
    assert Age(local(2018, 5, 17, 9, 59, 59), at, at_least=False).exceeds(12, ZONE)


def test_epochs_reach_from_the_oldest_start_to_the_newest() -> None:
    starts = [local(2018, 3, 1), local(2017, 1, 1), local(2018, 5, 1)]
    found = epochs_of((start, local(2018, 6, 1)) for start in starts)
    assert found == Epochs(starts[1], starts[2], at_least=False)
    assert found.exceed(15, ZONE)
    assert not found.exceed(16, ZONE)


def test_panels_that_all_hold_since_the_beginning_are_of_one_epoch() -> None:
    assert epochs_of([(None, local(2018, 1, 1)), (None, local(2016, 1, 1))]) is None


def test_the_beginning_is_at_least_as_early_as_the_first_run_of_its_panel() -> None:
    dated = (local(2018, 3, 1), local(2018, 4, 1))
    assert epochs_of([dated, (None, local(2016, 1, 1))]) == Epochs(
        local(2016, 1, 1), local(2018, 3, 1), at_least=True
    )
    # Its first run says nothing of how long it had been in use by then.
    assert epochs_of([dated, (None, local(2018, 4, 1))]) == Epochs(
        local(2018, 3, 1), local(2018, 3, 1), at_least=False
    )
