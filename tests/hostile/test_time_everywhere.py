"""Stamps at the odd places of the calendar, and the same answers whatever the host's zone is."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import GainsTree, rows
from conftest import RunsProgram
from panelcal.domain.moments import (
    iso_utc,
    parse_moment,
    parse_stamp,
    time_zone,
    to_microseconds,
    typed_form,
)
from panelcal.errors import InvalidInputError

PANEL = "171113-154920171025-3d00fb"
HOSTS = ("UTC", "America/New_York", "Asia/Kolkata")

MEANT = {
    # Clocks of Lord Howe move by half an hour.
    ("Australia/Lord_Howe", "20180401014500"): "2018-03-31T14:45:00Z",
    ("Australia/Lord_Howe", "20180401020000"): "2018-03-31T15:30:00Z",
    ("Australia/Lord_Howe", "20181007023000"): "2018-10-06T15:30:00Z",
    ("Asia/Kathmandu", "20180306000000"): "2018-03-05T18:15:00Z",
    ("Asia/Kathmandu", "19860101001500"): "1985-12-31T18:30:00Z",
    # Samoa had no 30 December 2011.
    ("Pacific/Apia", "20111229235959"): "2011-12-30T09:59:59Z",
    ("Pacific/Apia", "20111231000000"): "2011-12-30T10:00:00Z",
    # Morocco goes back for Ramadan.
    ("Africa/Casablanca", "20190505013000"): "2019-05-05T00:30:00Z",
    ("Africa/Casablanca", "20190505040000"): "2019-05-05T04:00:00Z",
    # Before zones there was local mean time, to the second.
    ("America/Los_Angeles", "18800101000000"): "1880-01-01T07:52:58Z",
    ("America/Los_Angeles", "00010101000000"): "0001-01-01T07:52:58Z",
    # Many a machine has the zone's own time before 1970, which is 23:40:28Z the day before.
    ("Europe/Amsterdam", "19000101000000"): "1900-01-01T00:00:00Z",
    ("UTC", "00010101000000"): "0001-01-01T00:00:00Z",
    ("UTC", "99991231235959"): "9999-12-31T23:59:59Z",
    ("Asia/Kolkata", "99991231235959"): "9999-12-31T18:29:59Z",
    ("UTC", "19691231235959"): "1969-12-31T23:59:59Z",
    ("UTC", "19700101000000"): "1970-01-01T00:00:00Z",
    ("America/Los_Angeles", "19691231160000"): "1970-01-01T00:00:00Z",
    ("UTC", "20000229000000"): "2000-02-29T00:00:00Z",
    ("UTC", "20240229235959"): "2024-02-29T23:59:59Z",
    ("America/Los_Angeles", "20180311030000"): "2018-03-11T10:00:00Z",
    ("America/Los_Angeles", "20181104013000"): "2018-11-04T08:30:00Z",
}
REFUSED = {
    ("Australia/Lord_Howe", "20181007021500"): "does not exist",
    ("America/Los_Angeles", "20180311023000"): "does not exist",
    ("Pacific/Apia", "20111230120000"): "does not exist",
    ("Africa/Casablanca", "20190609023000"): "does not exist",
    ("UTC", "19000229000000"): "day is out of range",
    ("UTC", "21000229000000"): "day is out of range",
    ("UTC", "20180306235960"): "second must be in",
    ("UTC", "20180306240000"): "hour must be in",
    ("UTC", "00000101000000"): "year 0 is out of range",
    ("Asia/Kolkata", "00010101000000"): "outside the years",
    ("America/Los_Angeles", "99991231235959"): "outside the years",
}


@pytest.mark.parametrize(("zone", "stamp"), MEANT)
def test_a_stamp_of_an_odd_place_of_the_calendar_is_its_moment(zone: str, stamp: str) -> None:
    moment = parse_stamp(stamp, time_zone(zone)).utc
    assert iso_utc(moment) == MEANT[zone, stamp]
    assert parse_moment(typed_form(moment, time_zone(zone)), time_zone(zone)).utc == moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    assert to_microseconds(moment) == (since.days * 86_400 + since.seconds) * 10**6


@pytest.mark.parametrize(("zone", "stamp"), REFUSED)
def test_a_stamp_of_no_moment_is_refused_with_what_is_wrong(zone: str, stamp: str) -> None:
    with pytest.raises(InvalidInputError, match=REFUSED[zone, stamp]):
        parse_stamp(stamp, ZoneInfo(zone))


@pytest.mark.parametrize(
    "name", ["right/UTC", "posix/UTC", "localtime", "../UTC", "/etc/localtime"]
)
def test_a_zone_that_not_every_machine_has_alike_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="zone"):
        time_zone(name)


def test_a_stamp_means_the_same_whatever_rules_the_machine_has_for_the_zone(
    tmp_path: Path,
) -> None:
    machine = tmp_path / "America" / "Los_Angeles"
    machine.parent.mkdir()
    with resources.files("tzdata.zoneinfo.Asia").joinpath("Tokyo").open("rb") as other:
        machine.write_bytes(other.read())
    code = (
        "from zoneinfo import ZoneInfo\n"
        "from panelcal.domain.moments import *\n"
        "for zone in (ZoneInfo('America/Los_Angeles'), time_zone('America/Los_Angeles')):\n"
        "    print(iso_utc(parse_stamp('20180306000000', zone).utc))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONTZPATH": str(tmp_path)},
    )
    assert done.stdout.split() == ["2018-03-05T15:00:00Z", "2018-03-06T08:00:00Z"]


@pytest.mark.parametrize("name", ["Europe", "zones", "__init__.py", "a\0b", "", "Europe/Zurich/x"])
def test_what_is_no_zone_of_the_package_is_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match="no time zone named"):
        time_zone(name)


ZONES = st.sampled_from([ZoneInfo(name) for name in sorted({zone for zone, _ in MEANT})])


@settings(deadline=None, max_examples=100)
@given(st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 28)), ZONES)  # noqa: DTZ001 - UTC below
def test_a_moment_typed_in_any_zone_is_read_back(naive: datetime, zone: ZoneInfo) -> None:
    moment = naive.replace(tzinfo=UTC, microsecond=0)
    assert parse_moment(typed_form(moment, zone), zone).utc == moment


@settings(deadline=None, max_examples=100)
@given(st.integers(-3 * 3600, 3 * 3600), st.sampled_from(sorted({*MEANT, *REFUSED} - {
    key for key in REFUSED if "exist" not in REFUSED[key]})))  # fmt: skip
def test_a_stamp_near_an_odd_place_means_what_zoneinfo_says(
    seconds: int, place: tuple[str, str]
) -> None:
    zone = ZoneInfo(place[0])
    year = int(place[1][:4])
    if not 2 <= year <= 9998:
        return
    naive = datetime.strptime(place[1], "%Y%m%d%H%M%S") + timedelta(seconds=seconds)  # noqa: DTZ007
    stamp = f"{naive.year:04d}{naive:%m%d%H%M%S}"
    meant = naive.replace(tzinfo=zone).astimezone(UTC)
    exists = meant.astimezone(zone).replace(tzinfo=None) == naive
    if exists:
        assert parse_stamp(stamp, zone).utc == meant
    else:
        with pytest.raises(InvalidInputError, match="does not exist"):
            parse_stamp(stamp, zone)


SESSION = """
import json, sys
from typer.testing import CliRunner
from panelcal.cli import app
for arguments in json.load(sys.stdin):
    done = CliRunner().invoke(app, arguments)
    print(done.exit_code, done.output, sep="\\n")
"""


def on_host(store: Path, host: str, requests: list[list[str]]) -> bytes:
    """Run requests in a process of a host of some zone; return what they print."""
    done = subprocess.run(
        [sys.executable, "-c", SESSION],
        input=json.dumps(requests).encode(),
        capture_output=True,
        check=True,
        env={**os.environ, "TZ": host, "PANELCAL_STORE": str(store)},
    )
    return done.stdout


def session(store: Path, host: str) -> bytes:
    """Ask a store everything that shows times, on a host of some zone."""
    at = [
        *("20180311023000", "20180311030000", "20181104013000", "20180306000000"),
        *("2018-11-04T01:30:00-08:00", "19691231160000", "00010101000000", "99991231235959"),
    ]
    questions = [
        *(["resolve", PANEL, "--at", one, "--explain"] for one in at),
        *(["resolve", PANEL, "--at", one, "--json"] for one in at),
        ["resolve", PANEL, "--at", "20170101000000", "--policy", "legacy"],
        *([*one, *more] for more in ([], ["--json"]) for one in
          (["panel", "show", PANEL], ["history", PANEL], ["run", "list"], ["log"])),
        ["resolve", "exp=xcsls3716:run=631", "-s", "Jungfrau"],
    ]  # fmt: skip
    return on_host(store, host, questions)


@pytest.mark.sqlite_only
def test_hosts_of_three_zones_give_the_same_answers_byte_by_byte(
    panelcal: RunsProgram, store_dir: Path, tree: GainsTree
) -> None:
    tree.module("M044")
    tree.link(f"{PANEL}-20180306000000", "M044")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    added = panelcal("run", "add", "exp=xcsls3716:run=631", "-s", "XcsEndstation.0:Jungfrau.0",
                     "--begin", "20181104013000", "--detector-id", PANEL)  # fmt: skip
    assert added.exit_code == 0
    first, *others = [session(store_dir, host) for host in HOSTS]
    assert first.startswith(b"2\nerror: 20180311023000 does not exist in America/Los_Angeles")
    assert others == [first, first]


@pytest.mark.sqlite_only
def test_hosts_of_three_zones_store_the_same_microseconds(
    panelcal: RunsProgram, store_dir: Path, tree: GainsTree
) -> None:
    tree.module("M044")
    tree.link(PANEL, "M044")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    for number, host in enumerate(HOSTS):
        typed = [f"2018{month}0601300{number}" for month in ("03", "11")]
        typed += [f"1969123115595{number}", f"0002010100000{number}"]
        requests = [["assign", PANEL, "M044", "--from", one, "--reason", "r"] for one in typed]
        assert on_host(store_dir, host, requests).startswith(b"0\n")
    zone = ZoneInfo("America/Los_Angeles")
    expected = {
        to_microseconds(parse_stamp(f"{stamp}{number}", zone).utc)
        for stamp in ("2018030601300", "2018110601300", "1969123115595", "0002010100000")
        for number in range(len(HOSTS))
    }
    found = {count for (count,) in rows(store_dir, "SELECT valid_from_us FROM assignment")}
    assert found - {-(2**63)} == expected


FAST = (
    "tests/unit/test_moments.py",
    "tests/unit/test_validity.py",
    "tests/unit/test_history_file.py",
)


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_said_of_times_holds_on_hosts_of_three_zones(host: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    # Directories of its own: those of earlier runs are tidied by one process at a time.
    options = ("-q", "-x", "-n", "0", "-p", "no:cacheprovider", "--basetemp", tmp_path / "own")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *FAST],
        cwd=root,
        env={**os.environ, "TZ": host},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
