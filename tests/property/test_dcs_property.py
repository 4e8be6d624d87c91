"""DCS files over random ranges and versions, held against a plain legacy reader."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dcs_oracle import everything, legacy_add, legacy_get
from panelcal.errors import PanelcalError
from panelcal.exporters.dcs_constants import DcsConstants
from panelcal.exporters.dcs_file import load_version, read_dcs_file
from panelcal.exporters.dcs_versions import choose_version
from panelcal.exporters.dcs_writing import add_constants

DETECTOR = "1-2-3"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
SHAPE = (2, 1, 2, 2)

# Few numbers, so that ranges overlap, touch and coincide.
moments = st.sampled_from([0.0, 1.0, 1.5, 2.0, 5.0, 6.0, 7.5])
ends = st.one_of(st.none(), moments)
versions = st.lists(st.sampled_from(["seen", "seen", "lost"]), max_size=4)
defaults = st.sampled_from([0, 0, 1, 2, 3, 9])
ranges = st.tuples(moments, ends, versions, defaults)
# Two ranges of the same times are told apart by nothing that readers look at.
sets_of_ranges = st.lists(ranges, max_size=5, unique_by=lambda one: one[:2])
times = st.one_of(moments, st.floats(-1, 9, allow_nan=False))


@contextmanager
def a_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, f"jungfrau-{DETECTOR}.h5")


def built(path: Path, drawn: list[tuple[float, float | None, list[str], int]]) -> None:
    """Write ranges with versions; every version has another value."""
    with h5py.File(path, "w") as file:
        file.create_group("pixel_gain")
        for place, (begin, end, kinds, default) in enumerate(drawn):
            span = file.create_group(f"pixel_gain/range {place}")
            span["begin"] = np.array([begin])
            span["end"] = np.array([b"end" if end is None else end])
            span["versdef"] = np.array([default])
            for number, kind in enumerate(kinds, start=1):
                version = span.create_group(f"v{number:04d}")
                version["data"] = np.full(SHAPE, 100 * place + number, np.float32)
                if kind == "seen":
                    version["version"] = np.array([number])


@settings(max_examples=100, deadline=None)
@given(drawn=sets_of_ranges, asked=st.lists(times, min_size=1, max_size=8))
def test_the_version_chosen_is_the_one_the_legacy_reader_takes(
    drawn: list[tuple[float, float | None, list[str], int]], asked: list[float]
) -> None:
    with a_file() as path:
        built(path, drawn)
        file = read_dcs_file(path)
        assert file.faults == ()
        for time in asked:
            chosen = choose_version(
                file.versions, "pixel_gain", time, empty_ranges=file.empty_ranges
            )
            expected = legacy_get(path, "pixel_gain", time)
            if expected is None:
                assert chosen is None
            else:
                assert chosen is not None
                assert load_version(file, chosen).tobytes() == expected.tobytes()


additions = st.tuples(
    st.sampled_from(["pixel_gain", "pixel_offset"]),
    st.sampled_from([0, 1, 2, 7]),
    st.integers(0, 3),
)
calls = st.lists(
    st.lists(additions, min_size=1, max_size=3, unique_by=lambda one: one[:2]), max_size=5
)


@settings(max_examples=15, deadline=None)
@given(calls=calls, present=st.lists(additions, max_size=3))
def test_readers_find_what_was_added_last_and_nothing_old_changes(
    calls: list[list[tuple[str, int, int]]], present: list[tuple[str, int, int]]
) -> None:
    expected: dict[tuple[str, int], int] = {}
    with a_file() as path:
        for ctype, begin, value in present:
            legacy_add(path, ctype, begin, np.full(SHAPE, value, np.float32))
            expected[ctype, begin] = value
        for call in calls:
            before = everything(path) if path.exists() else {}
            added = add_constants(
                path, DETECTOR, [constants(*one) for one in call], device="jungfrau", now=NOW
            )
            after = everything(path)
            assert {name: after.get(name) for name in before} == before
            told = [one.status for one in added]
            assert told == [
                "unchanged" if expected.get((ctype, begin)) == value else "added"
                for ctype, begin, value in call
            ]
            assert len([one for one in after if one.endswith("/version")]) == len(
                [one for one in before if one.endswith("/version")]
            ) + told.count("added")
            expected |= {(ctype, begin): value for ctype, begin, value in call}
            for ctype in ("pixel_gain", "pixel_offset"):
                for time in range(9):
                    begins = [b for c, b in expected if c == ctype and b <= time]
                    found = legacy_get(path, ctype, time)
                    if not begins:
                        assert found is None
                    else:
                        assert found is not None
                        assert found.flat[0] == expected[ctype, max(begins)]


def constants(ctype: str, begin: int, value: int) -> DcsConstants:
    array = np.full(SHAPE, value, np.float32)
    return DcsConstants(ctype, begin, array, "unknown", "0", "a test", {})


@settings(max_examples=20, deadline=None)
@given(
    numbers=st.lists(
        st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=8, max_size=8
    )
)
def test_every_finite_float32_comes_back_bit_by_bit(numbers: list[float]) -> None:
    array = np.array(numbers, np.float32).reshape(SHAPE)
    with a_file() as path:
        one = DcsConstants("pixel_gain", 0, array, "unknown", "0", "a test", {})
        add_constants(path, DETECTOR, [one], device="jungfrau", now=NOW)
        found = legacy_get(path, "pixel_gain", 0)
        assert found is not None
        assert found.tobytes() == array.tobytes()


def sound_file() -> bytes:
    with a_file() as path:
        legacy_add(path, "pixel_gain", 0.0, np.ones(SHAPE, np.float32))
        legacy_add(path, "pixel_gain", 0.0, np.ones(SHAPE, np.float32), python3=True)
        add_constants(path, DETECTOR, [constants("pixel_offset", 5, 2)], device="jungfrau", now=NOW)
        return path.read_bytes()


SOUND = sound_file()
positions = st.integers(0, len(SOUND) - 1)


@settings(max_examples=100, deadline=None)
@given(
    flips=st.lists(st.tuples(positions, st.integers(0, 255)), max_size=4),
    length=st.one_of(st.just(len(SOUND)), positions),
)
def test_a_damaged_file_is_read_or_refused_and_never_a_traceback(
    flips: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(SOUND)
    for position, byte in flips:
        content[position] = byte
    with a_file() as path:
        path.write_bytes(content[:length])
        try:
            file = read_dcs_file(path)
            loaded = [load_version(file, version) for version in file.versions]
        except PanelcalError:
            return
        assert [array.shape for array in loaded] == [one.shape for one in file.versions]


@settings(max_examples=40, deadline=None)
@given(flips=st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=3))
def test_adding_to_a_damaged_file_succeeds_or_leaves_it_alone(
    flips: list[tuple[int, int]],
) -> None:
    content = bytearray(SOUND)
    for position, byte in flips:
        content[position] = byte
    with a_file() as path:
        path.write_bytes(content)
        try:
            add_constants(
                path, DETECTOR, [constants("pixel_gain", 9, 7)], device="jungfrau", now=NOW
            )
        except PanelcalError:
            assert path.read_bytes() == bytes(content)
        else:
            assert legacy_get(path, "pixel_gain", 9) is not None
