"""Stamps against an oracle that tries every offset a zone ever has around them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given, settings
from hypothesis import strategies as st

from panelcal.domain.moments import (
    from_microseconds,
    iso_utc,
    parse_moment,
    parse_stamp,
    stamp_of,
    to_microseconds,
)
from panelcal.errors import InvalidInputError

LOS_ANGELES = ZoneInfo("America/Los_Angeles")
ZONES = st.sampled_from(
    [LOS_ANGELES]
    + [
        ZoneInfo(name)
        for name in ("UTC", "Europe/Paris", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Lagos")
    ]
)
CLOCK_CHANGES = [datetime(2018, 3, 11, 2), datetime(2018, 11, 4, 1)]  # noqa: DTZ001 - local
LOCAL_TIMES = st.one_of(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - local
    st.builds(
        lambda base, seconds: base + timedelta(seconds=seconds),
        st.sampled_from(CLOCK_CHANGES),
        st.integers(-7200, 7200),
    ),
).map(lambda local: local.replace(microsecond=0))
MOMENTS = st.datetimes(
    datetime(1, 1, 3),  # noqa: DTZ001 - the zone is given below
    datetime(9999, 12, 29),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def occurrences(local: datetime, zone: ZoneInfo) -> list[datetime]:
    """Return every moment at which the clocks of a zone show a local time."""
    hours = range(-48, 49)
    offsets = {(local.replace(tzinfo=UTC) + timedelta(hours=h)).astimezone(zone) for h in hours}
    moments = {local.replace(tzinfo=UTC) - (one.utcoffset() or timedelta()) for one in offsets}
    return sorted(
        one for one in moments if one.astimezone(zone).replace(tzinfo=None, fold=0) == local
    )


@settings(deadline=None, max_examples=200)
@given(LOCAL_TIMES, ZONES)
@example(datetime(2018, 3, 11, 2, 30), LOS_ANGELES)  # noqa: DTZ001 - skipped
@example(datetime(2018, 11, 4, 1, 30), LOS_ANGELES)  # noqa: DTZ001 - twice
def test_a_stamp_is_its_first_occurrence_and_refused_if_it_has_none(
    local: datetime, zone: ZoneInfo
) -> None:
    stamp = f"{local.year:04d}{local:%m%d%H%M%S}"
    expected = occurrences(local, zone)
    try:
        typed = parse_stamp(stamp, zone)
    except InvalidInputError as error:
        said = error.message
        assert not expected
        assert "does not exist in" in said
    else:
        assert typed.utc == expected[0]
        assert (typed.notice is not None) == (len(expected) > 1)
        assert stamp_of(typed.utc, zone) == stamp


@settings(deadline=None, max_examples=200)
@given(st.text(alphabet="0123456789", min_size=12, max_size=16))
@example("20180230000000")
@example("20181301000000")
def test_digits_are_a_time_of_the_calendar_or_refused(digits: str) -> None:
    try:
        local = datetime.strptime(digits, "%Y%m%d%H%M%S") if len(digits) == 14 else None  # noqa: DTZ007
    except ValueError:
        local = None
    try:
        typed = parse_moment(digits, ZoneInfo("UTC"))
    except InvalidInputError as error:
        said = error.message
        assert local is None
        assert digits in said
    else:
        assert local is not None
        assert typed.utc == local.replace(tzinfo=UTC)


@settings(deadline=None)
@given(MOMENTS)
@example(datetime(1, 1, 3, tzinfo=UTC))
def test_storage_keeps_every_microsecond(moment: datetime) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


@settings(deadline=None)
@given(MOMENTS, MOMENTS)
def test_storage_keeps_the_order(one: datetime, other: datetime) -> None:
    assert (to_microseconds(one) < to_microseconds(other)) == (one < other)
    assert to_microseconds(None) < to_microseconds(one)


@settings(deadline=None)
@given(MOMENTS, ZONES)
def test_what_is_shown_in_utc_is_read_back_as_the_same_moment(
    moment: datetime, zone: ZoneInfo
) -> None:
    assert parse_moment(iso_utc(moment), zone).utc == moment


@settings(deadline=None, max_examples=200)
@given(st.one_of(st.text(max_size=200), st.text(alphabet="0123456789-+:.TZ W", max_size=40)))
def test_any_text_is_a_moment_or_refused_in_a_short_line(text: str) -> None:
    try:
        typed = parse_moment(text, LOS_ANGELES)
    except InvalidInputError as error:
        said, hint = error.message, error.hint
        assert hint is not None or "lies outside the years" in said
        assert "\n" not in said
        assert len(said) < 400
    else:
        assert typed.utc.tzinfo is UTC
