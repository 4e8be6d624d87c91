"""The calib directory: names, and which file the legacy finder picks."""

import re
from pathlib import Path

import pytest

from panelcal.errors import ConflictError, IntegrityError, InvalidInputError
from panelcal.exporters.calib_dir import (
    RunRange,
    calib_dir_of,
    choose_file,
    file_name,
    find_file,
    parse_file_name,
    require_would_serve,
    type_directory,
)

KILLERS = ["10000-end.data", "5-10000.data", "7-.data", "5-End.data", "5-end.data.data"]


def directory_with(directory: Path, *names: str) -> Path:
    for name in names:
        (directory / name).touch()
    return directory


@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("631-end.data", RunRange(631, 9999)),
        ("0-end.data", RunRange(0, 9999)),
        ("0631-0640.data", RunRange(631, 640)),
        ("5-5.data", RunRange(5, 5)),
        ("9999-9999.data", RunRange(9999, 9999)),
    ],
)
def test_a_range_is_read_from_the_name(name: str, runs: RunRange) -> None:
    assert parse_file_name(name) == runs


@pytest.mark.parametrize(
    "name",
    [
        "HISTORY",
        "abc-end.data",
        "-end.data",
        "5.data",
        "5-6-7.data",
        "640-631.data",
        "631-end.txt",
        "631-end.DATA",
        "631-end",
        "631-end.data-2026-02-01T10:11:12",
        "631-end.data-2026-02-01T10:11:12.2",
        ".data",
        "data",
    ],
)
def test_a_name_that_the_finder_passes_over_is_no_range(name: str) -> None:
    assert parse_file_name(name) is None


@pytest.mark.parametrize("killer", KILLERS)
def test_a_killer_name_is_an_integrity_error_that_names_the_file(killer: str) -> None:
    with pytest.raises(IntegrityError, match=re.escape(killer)):
        parse_file_name(killer)


@pytest.mark.parametrize("killer", KILLERS)
def test_a_killer_name_spoils_its_directory_for_every_run(tmp_path: Path, killer: str) -> None:
    directory_with(tmp_path, "0-end.data", killer)
    for run in (0, 9999):
        with pytest.raises(IntegrityError, match=re.escape(killer)):
            find_file(tmp_path, run)
        with pytest.raises(IntegrityError, match=re.escape(str(tmp_path))):
            require_would_serve(tmp_path, run)


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (645, "640-645.data"),
        (646, "640-650.data"),
        (651, "640-end.data"),
        (639, "600-700.data"),
        (599, "0-end.data"),
        (10000, "660-9999.data"),
    ],
)
def test_the_latest_begin_wins_and_then_the_narrowest_range(run: int, name: str) -> None:
    stems = ["0-end", "600-700", "640-end", "640-650", "640-645", "660-9999"]
    assert choose_file([f"{stem}.data" for stem in stems], run) == name


def test_a_run_before_every_file_has_none() -> None:
    assert choose_file(["631-end.data", "640-end.data"], 630) is None


@pytest.mark.parametrize("twin", ["0631-end.data", "631-9999.data", "00631-09999.data"])
def test_two_names_for_the_same_runs_are_refused_by_name(twin: str) -> None:
    with pytest.raises(IntegrityError, match=re.escape(twin)):
        choose_file(["631-end.data", twin], 631)


def test_two_names_for_the_same_runs_do_no_harm_where_another_file_is_picked() -> None:
    names = ["0-end.data", "00-end.data", "631-end.data"]
    assert choose_file(names, 631) == "631-end.data"


def test_a_missing_directory_serves_no_run(tmp_path: Path) -> None:
    assert find_file(tmp_path / "pixel_gain", 631) is None


def test_the_file_found_is_in_the_directory(tmp_path: Path) -> None:
    directory_with(tmp_path, "631-end.data")
    assert find_file(tmp_path, 640) == tmp_path / "631-end.data"


def test_the_name_for_a_run_serves_it_and_all_later_runs() -> None:
    assert file_name(631) == "631-end.data"
    assert file_name(9999) == "9999-end.data"


def test_a_run_above_9999_gets_no_name() -> None:
    with pytest.raises(InvalidInputError, match="10000"):
        file_name(10000)


def test_a_run_above_9999_would_never_be_served(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="10000"):
        require_would_serve(tmp_path, 10000)


@pytest.mark.parametrize("present", [[], ["0-end.data"], ["631-end.data"], ["632-end.data"]])
def test_a_file_that_would_be_picked_may_be_written(tmp_path: Path, present: list[str]) -> None:
    directory_with(tmp_path, *present)
    assert require_would_serve(tmp_path, 631) == tmp_path / "631-end.data"
    assert sorted(path.name for path in tmp_path.iterdir()) == present


def test_the_first_file_of_a_type_may_be_written(tmp_path: Path) -> None:
    assert require_would_serve(tmp_path / "new", 631) == tmp_path / "new" / "631-end.data"
    assert not (tmp_path / "new").exists()


def test_a_narrower_file_that_would_be_read_instead_is_a_conflict(tmp_path: Path) -> None:
    directory_with(tmp_path, "631-640.data")
    with pytest.raises(ConflictError, match=r"631-640\.data"):
        require_would_serve(tmp_path, 631)


@pytest.mark.parametrize("twin", ["0631-end.data", "631-9999.data"])
def test_a_file_for_just_the_same_runs_is_an_integrity_error(tmp_path: Path, twin: str) -> None:
    directory_with(tmp_path, twin)
    with pytest.raises(IntegrityError, match=re.escape(twin)):
        require_would_serve(tmp_path, 631)


def test_directories_are_laid_out_as_psana_expects() -> None:
    assert calib_dir_of(Path("/data"), "xcsls3716") == Path("/data/XCS/xcsls3716/calib")
    folder = type_directory(Path("/c"), "Jungfrau::CalibV1", "X.0:Jungfrau.0", "pixel_gain")
    assert folder == Path("/c/Jungfrau::CalibV1/X.0:Jungfrau.0/pixel_gain")
