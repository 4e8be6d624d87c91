"""The calib directory over random sets of names, held against the legacy finder's rule."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_oracle import DirectoryOrderError, find_calib_file, range_of
from panelcal.errors import ConflictError, IntegrityError
from panelcal.exporters.calib_dir import (
    file_name,
    find_file,
    parse_file_name,
    require_would_serve,
)

SOURCE = "XcsEndstation.0:Jungfrau.0"

# Few numbers, so that ranges overlap, touch and coincide.
numbers = st.sampled_from(["0", "5", "05", "6", "7", "12", "631", "0631", "9998", "9999"])
good_names = st.builds("{}-{}.data".format, numbers, st.one_of(st.just("end"), numbers))
odd_names = st.one_of(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["", "5", "x", "5x", "10000", "007"]),
        st.sampled_from(["", "-", "--", "_"]),
        st.sampled_from(["", "end", "End", "6", "6x", "10000", "end.data"]),
        st.sampled_from([".data", ".DATA", ".txt", ".data-2026-02-01T10:11:12", ".data~"]),
    ),
    st.from_regex(r"[0-9]{1,5}-([0-9]{1,5}|end)\.data", fullmatch=True),
    st.just("HISTORY"),
)
sets_of_good_names = st.lists(good_names, unique=True, max_size=8)
sets_of_any_names = st.lists(st.one_of(good_names, odd_names), unique=True, max_size=6)
runs = st.one_of(st.integers(0, 13), st.sampled_from([630, 631, 632, 9997, 9998, 9999, 10000]))
runs_to_deploy = runs.filter(lambda run: run <= 9999)


@contextmanager
def calib_with(names: Sequence[str]) -> Iterator[tuple[Path, Path]]:
    """Give a calib directory and its directory of one type, with empty files."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory, "Jungfrau::CalibV1", SOURCE, "pixel_gain")
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
        yield Path(directory), folder


def oracle(calib: Path, run: int) -> Path | None:
    found = find_calib_file(calib, SOURCE, "pixel_gain", run)
    return Path(found) if found else None


@given(name=odd_names)
def test_every_name_is_read_as_the_finder_reads_it(name: str) -> None:
    try:
        expected = range_of(name)
    except TypeError:
        with pytest.raises(IntegrityError, match=re.escape(name)):
            parse_file_name(name)
        return
    found = parse_file_name(name)
    assert (None if found is None else (found.begin, found.end)) == expected


@given(names=sets_of_good_names, run=runs)
def test_the_file_found_is_the_finders_unless_the_directory_order_decides(
    names: list[str], run: int
) -> None:
    with calib_with(names) as (calib, folder):
        try:
            expected = oracle(calib, run)
        except DirectoryOrderError:
            with pytest.raises(IntegrityError):
                find_file(folder, run)
        else:
            assert find_file(folder, run) == expected


@given(names=sets_of_any_names, run=runs)
def test_a_directory_that_crashes_the_finder_is_never_given_an_answer(
    names: list[str], run: int
) -> None:
    with calib_with(names) as (calib, folder):
        try:
            expected = oracle(calib, run)
        except (TypeError, DirectoryOrderError):
            with pytest.raises(IntegrityError):
                find_file(folder, run)
        else:
            assert find_file(folder, run) == expected


@given(names=sets_of_any_names, run=runs_to_deploy)
def test_a_file_may_be_written_exactly_if_the_finder_would_then_pick_it(
    names: list[str], run: int
) -> None:
    name = file_name(run)
    with calib_with([*names, name]) as (calib, folder):
        refused: type[Exception] | None = None
        try:
            if oracle(calib, run) != folder / name:
                refused = ConflictError
        except (TypeError, DirectoryOrderError):
            refused = IntegrityError
        if name not in names:
            (folder / name).unlink()
        if refused is None:
            assert require_would_serve(folder, run) == folder / name
        else:
            with pytest.raises(refused):
                require_would_serve(folder, run)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)
