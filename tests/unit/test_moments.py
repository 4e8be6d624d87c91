"""How time is typed, stored and shown (design §3, Time)."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from panelcal.domain.moments import (
    BEGINNING_US,
    from_microseconds,
    iso_utc,
    parse_moment,
    parse_stamp,
    stamp_of,
    time_zone,
    to_microseconds,
)
from panelcal.errors import InvalidInputError

LOS_ANGELES = time_zone("America/Los_Angeles")
PARIS = time_zone("Europe/Paris")


def refusal(text: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        parse_moment(text, LOS_ANGELES)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("stamp", "utc"),
    [
        ("20180306000000", datetime(2018, 3, 6, 8, tzinfo=UTC)),  # winter: -08:00
        ("20180706000000", datetime(2018, 7, 6, 7, tzinfo=UTC)),  # summer: -07:00
        ("20160229235959", datetime(2016, 3, 1, 7, 59, 59, tzinfo=UTC)),
        ("20000229000000", datetime(2000, 2, 29, 8, tzinfo=UTC)),
    ],
)
def test_a_stamp_is_wall_clock_of_the_stores_zone(stamp: str, utc: datetime) -> None:
    typed = parse_moment(stamp, LOS_ANGELES)
    assert typed.utc == utc
    assert typed.utc.tzinfo is UTC
    assert typed.notice is None
    assert stamp_of(typed.utc, LOS_ANGELES) == stamp


def test_the_same_stamp_is_another_moment_in_another_zone() -> None:
    assert parse_stamp("20180306000000", PARIS).utc == datetime(2018, 3, 5, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("stamp", "says"),
    [
        ("2018030600000", "13 digits, 14 digits expected"),
        ("201803060000000", "15 digits, 14 digits expected"),
        ("2018", "4 digits, 14 digits expected"),
        ("20181306000000", "month must be in 1..12"),
        ("20180006000000", "month must be in 1..12"),
        ("20180230000000", "day"),
        ("20180229000000", "day"),
        ("19000229000000", "day"),
        ("20180306240000", "hour must be in 0..23"),
        ("20180306006000", "minute must be in 0..59"),
        ("20180306000060", "second must be in 0..59"),
        ("00000101000000", "year"),
    ],
)
def test_a_stamp_out_of_form_or_calendar_is_refused_with_what_is_wrong(
    stamp: str, says: str
) -> None:
    error = refusal(stamp)
    assert f"{stamp}" in error.message
    assert "is not a time stamp" in error.message
    assert says in error.message
    assert error.hint == (
        "14 digits YYYYMMDDHHMMSS in the store's time zone, or ISO 8601 with an offset"
    )


@pytest.mark.parametrize("stamp", ["20180311020000", "20180311023000", "20180311025959"])
def test_a_local_time_that_the_clocks_skipped_is_refused(stamp: str) -> None:
    error = refusal(stamp)
    assert error.message == (
        f"{stamp} does not exist in America/Los_Angeles: the clocks went forward over it"
    )
    assert error.hint == "type the time before or after the gap"


def test_the_times_around_the_skipped_hour_are_one_second_apart() -> None:
    before = parse_stamp("20180311015959", LOS_ANGELES)
    after = parse_stamp("20180311030000", LOS_ANGELES)
    assert after.utc - before.utc == timedelta(seconds=1)
    assert (before.notice, after.notice) == (None, None)


@pytest.mark.parametrize(
    ("stamp", "first"),
    [
        ("20181104010000", datetime(2018, 11, 4, 8, tzinfo=UTC)),
        ("20181104013000", datetime(2018, 11, 4, 8, 30, tzinfo=UTC)),
        ("20181104015959", datetime(2018, 11, 4, 8, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_local_time_that_occurs_twice_means_its_first_occurrence_and_says_so(
    stamp: str, first: datetime
) -> None:
    typed = parse_moment(stamp, LOS_ANGELES)
    assert typed.utc == first
    assert typed.notice == (
        f"{stamp} occurred twice in America/Los_Angeles; taken as the first, {iso_utc(first)}"
    )


@pytest.mark.parametrize("stamp", ["20181104005959", "20181104020000"])
def test_the_times_around_the_repeated_hour_are_not_ambiguous(stamp: str) -> None:
    assert parse_moment(stamp, LOS_ANGELES).notice is None


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2018-03-06T00:00:00Z", datetime(2018, 3, 6, tzinfo=UTC)),
        ("2018-03-06T00:00:00-08:00", datetime(2018, 3, 6, 8, tzinfo=UTC)),
        ("2018-03-06 00:00:00+09:30", datetime(2018, 3, 5, 14, 30, tzinfo=UTC)),
        ("2018-11-04T01:30:00-08:00", datetime(2018, 11, 4, 9, 30, tzinfo=UTC)),
        ("2018-03-06T00:00:00.000001Z", datetime(2018, 3, 6, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_iso_with_an_offset_is_taken_as_it_is(text: str, utc: datetime) -> None:
    typed = parse_moment(text, LOS_ANGELES)
    assert (typed.utc, typed.notice) == (utc, None)
    assert typed.utc.tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "stamp"),
    [
        ("2018-03-06T01:02:03", "20180306010203"),
        ("2018-03-06", "20180306000000"),
        ("0044-03-15T12:00:00", "00440315120000"),
    ],
)
def test_iso_without_an_offset_is_refused_with_what_could_be_typed(text: str, stamp: str) -> None:
    error = refusal(text)
    assert error.message == f"'{text}' has no offset, so its moment is not known"
    assert error.hint == f"add Z or an offset such as -08:00, or type the local stamp {stamp}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2018-02-30T00:00:00Z",
        " 20180306000000",
        "20180306000000 ",
        "20180306000000\n",
        "-20180306000000",
        "2018_0306_000000",
        "2018030600000\udcff",
    ],
)
def test_what_is_neither_a_stamp_nor_iso_is_refused(text: str) -> None:
    error = refusal(text)
    assert error.message == f"{text!a} is not a time"
    assert "ISO 8601 with an offset" in (error.hint or "")


@pytest.mark.parametrize("digit", ["２", "٢", "²"])
def test_digits_of_other_scripts_are_refused(digit: str) -> None:
    error = refusal(f"{digit}0180306000000")
    assert "is not a time" in error.message
    assert error.message.isascii()


def test_a_megabyte_of_digits_is_refused_in_a_short_message() -> None:
    error = refusal("2" * 2**20)
    assert "1048576 digits, 14 digits expected" in error.message
    assert len(error.message) < 400


def test_the_first_and_the_last_second_of_the_calendar_are_understood() -> None:
    zone = time_zone("UTC")
    assert parse_moment("00010101000000", zone).utc == datetime(1, 1, 1, tzinfo=UTC)
    last = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert parse_moment("99991231235959", zone).utc == last
    assert stamp_of(datetime(1, 1, 1, tzinfo=UTC), zone) == "00010101000000"


@pytest.mark.parametrize(
    ("text", "zone_name"),
    [
        ("99991231235959", "America/Los_Angeles"),  # year 10000 in UTC
        ("00010101000000", "Asia/Tokyo"),  # year 0 in UTC
        ("0001-01-01T00:00:00Z", "America/Los_Angeles"),  # year 0 on the facility's clock
        ("9999-12-31T23:59:59Z", "Asia/Tokyo"),  # year 10000 on the facility's clock
        ("0001-01-01T00:00:00+14:00", "UTC"),
    ],
)
def test_what_falls_out_of_the_calendar_in_utc_or_on_the_clock_is_refused(
    text: str, zone_name: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_moment(text, time_zone(zone_name))
    assert caught.value.message == (
        f"'{text}' lies outside the years 1 to 9999 in UTC or {zone_name}"
    )


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2018, 3, 6, 8, 0, 0, 1, tzinfo=UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
        None,
    ],
)
def test_storage_keeps_every_microsecond(moment: datetime | None) -> None:
    assert from_microseconds(to_microseconds(moment)) == moment


def test_the_beginning_is_stored_before_every_moment() -> None:
    assert to_microseconds(None) == BEGINNING_US
    assert to_microseconds(datetime(1, 1, 1, tzinfo=UTC)) > BEGINNING_US


def test_a_moment_is_stored_as_microseconds_since_1970_whatever_its_offset() -> None:
    pacific = timezone(timedelta(hours=-8))
    assert to_microseconds(datetime(1969, 12, 31, 16, 0, 1, tzinfo=pacific)) == 1_000_000


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2018, 3, 6, 8, tzinfo=UTC), "2018-03-06T08:00:00Z"),
        (datetime(2018, 3, 6, 8, 0, 0, 500, tzinfo=UTC), "2018-03-06T08:00:00.000500Z"),
        (datetime(2018, 3, 6, tzinfo=timezone(timedelta(hours=-8))), "2018-03-06T08:00:00Z"),
    ],
)
def test_a_moment_is_shown_in_utc_with_a_fraction_only_where_there_is_one(
    moment: datetime, text: str
) -> None:
    assert iso_utc(moment) == text


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "America"])
def test_an_unknown_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        time_zone(name)
    assert caught.value.message == f"no time zone named '{name}'"
    assert caught.value.hint == "an IANA name such as America/Los_Angeles"
