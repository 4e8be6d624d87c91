"""Adding to DCS files: the layout bit by bit, and nothing lost whatever happens."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from filelock import FileLock

from dcs_oracle import everything, legacy_add, legacy_get
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError
from panelcal.exporters import dcs_copy, dcs_writing
from panelcal.exporters.dcs_constants import DcsConstants, dcs_file_name, require_own_name
from panelcal.exporters.dcs_file import load_version, read_dcs_file
from panelcal.exporters.dcs_writing import AddedVersion, add_constants
from panelcal.exporters.permissions import Permissions

DETECTOR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"
FILE_NAME = f"jungfrau-{DETECTOR}.h5"
NOW = datetime(2026, 2, 1, 10, 11, 12, 250000, tzinfo=UTC)
NOW_S = 1769940672.25
SHAPE = (3, 2, 4, 8)
PATIENCE_S = 60


def constants(value: float, begin: int = 100, ctype: str = "pixel_gain") -> DcsConstants:
    """Constants that are all one value."""
    return DcsConstants(
        ctype=ctype,
        begin=begin,
        array=np.full(SHAPE, value, np.float32),
        experiment="xcsls3716",
        run="631",
        comment="panelcal export",
        provenance={"token": "0123456789abcdef", "panel_0": "M044@1"},
    )


def add(path: Path, *additions: DcsConstants) -> list[AddedVersion]:
    return add_constants(path, DETECTOR, additions, device="jungfrau", now=NOW)


def names(added: list[AddedVersion]) -> list[tuple[str, str, str]]:
    return [(one.range_name, one.name, one.status) for one in added]


def value(path: Path, time: float, ctype: str = "pixel_gain") -> float | None:
    """Return what the legacy reader finds."""
    found = legacy_get(path, ctype, time)
    return None if found is None else float(found.flat[0])


def left_in(directory: Path) -> list[str]:
    """Return what is in a directory besides the lock."""
    return sorted(path.name for path in directory.iterdir() if path.name != ".panelcal.lock")


def kept(before: dict[str, Any], path: Path) -> None:
    """Fail unless every object that was in a file is there bit by bit."""
    after = everything(path)
    assert {name: after.get(name) for name in before} == before


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / FILE_NAME


@pytest.fixture
def legacy(path: Path) -> Path:
    """A file of the legacy tool: two versions of the gain, one of the offset."""
    legacy_add(path, "pixel_gain", 100.0, np.full(SHAPE, 1, np.float32))
    legacy_add(path, "pixel_gain", 100.0, np.full(SHAPE, 2, np.float64))
    legacy_add(path, "pixel_offset", 0.0, np.full(SHAPE, 3, np.float32), end=2000.0)
    return path


# The layout.

EXPECTED = {
    "dettype": b"jungfrau",
    "detid": DETECTOR.encode(),
    "detname": f"jungfrau-{DETECTOR}".encode(),
    "tscfile": np.float64(100),
    "_history/1769940672.250000": b"add ctype pixel_gain: ",
    "_history/1769940672.250001": b"add ctype pixel_offset: ",
    "pixel_gain/ctype": b"pixel_gain",
    "pixel_gain/_history/1769940672.250000": b"add range 100-end: exp=xcsls3716:run=631",
    "pixel_gain/100-end/begin": np.float64(100),
    "pixel_gain/100-end/end": b"end",
    "pixel_gain/100-end/range": b"100-end",
    "pixel_gain/100-end/versdef": np.int64(0),
    "pixel_gain/100-end/_parameters/experiment": b"xcsls3716",
    "pixel_gain/100-end/_parameters/run": b"631",
    "pixel_gain/100-end/_history/1769940672.250000": b"add version 1: panelcal export",
    "pixel_gain/100-end/v0001/version": np.int64(1),
    "pixel_gain/100-end/v0001/tsprod": np.float64(NOW_S),
    "pixel_offset/ctype": b"pixel_offset",
    "pixel_offset/_history/1769940672.250000": b"add range 0-end: exp=xcsls3716:run=631",
    "pixel_offset/0-end/begin": np.float64(0),
    "pixel_offset/0-end/end": b"end",
    "pixel_offset/0-end/range": b"0-end",
    "pixel_offset/0-end/versdef": np.int64(0),
    "pixel_offset/0-end/_parameters/experiment": b"xcsls3716",
    "pixel_offset/0-end/_parameters/run": b"631",
    "pixel_offset/0-end/_history/1769940672.250000": b"add version 1: panelcal export",
    "pixel_offset/0-end/v0001/version": np.int64(1),
    "pixel_offset/0-end/v0001/tsprod": np.float64(NOW_S),
}
ARRAYS = {"pixel_gain/100-end/v0001/data": 41.5, "pixel_offset/0-end/v0001/data": 0.25}


@pytest.fixture
def written(path: Path) -> Path:
    add(path, constants(41.5), constants(0.25, 0, "pixel_offset"))
    return path


def test_a_new_file_holds_just_the_datasets_of_the_layout(written: Path) -> None:
    found = everything(written)
    datasets = {name for name, (kind, _, _) in found.items() if kind == "Dataset"}
    assert datasets == EXPECTED.keys() | ARRAYS.keys()
    groups = {str(place) for name in datasets for place in Path(name).parents} - {"."}
    assert {name for name, (kind, _, _) in found.items() if kind == "Group"} == groups


def test_every_record_is_one_contiguous_value_as_the_legacy_tool_writes_it(written: Path) -> None:
    with h5py.File(written, "r") as file:
        for name, expected in EXPECTED.items():
            dataset = file[name].id
            kind = dataset.get_type()
            assert (dataset.rank, dataset.shape) == (1, (1,)), name
            assert dataset.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS, name
            assert dataset.get_space().get_simple_extent_dims(maxdims=True) == (1,), name
            if isinstance(expected, bytes):
                assert isinstance(kind, h5py.h5t.TypeStringID), name
                assert not kind.is_variable_str(), name
                assert kind.get_strpad() == h5py.h5t.STR_NULLPAD, name
                assert kind.get_cset() == h5py.h5t.CSET_ASCII, name
                assert kind.get_size() == len(expected), name
            elif isinstance(expected, np.float64):
                assert kind.equal(h5py.h5t.IEEE_F64LE), name
            else:
                assert kind.equal(h5py.h5t.STD_I64LE), name
            assert file[name][0] == expected, name


def test_the_array_is_stored_as_it_is(written: Path) -> None:
    with h5py.File(written, "r") as file:
        for name, expected in ARRAYS.items():
            dataset = file[name].id
            assert dataset.shape == SHAPE
            assert dataset.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
            assert dataset.get_type().equal(h5py.h5t.IEEE_F32LE)
            assert file[name][()].tobytes() == np.full(SHAPE, expected, "<f4").tobytes()


def test_provenance_is_in_attributes_of_the_version_and_nothing_else_has_any(written: Path) -> None:
    attributes = {name: found for name, (_, _, found) in everything(written).items() if found}
    assert attributes.keys() == {"pixel_gain/100-end/v0001", "pixel_offset/0-end/v0001"}
    for found in attributes.values():
        assert found == {
            "panelcal_token": (np.dtype("S16"), b"0123456789abcdef"),
            "panelcal_panel_0": (np.dtype("S6"), b"M044@1"),
        }
    with h5py.File(written, "r") as file:
        assert not file.attrs


def test_the_file_is_of_the_oldest_format(written: Path) -> None:
    # Superblock 0, which HDF5 1.8 and Python 2.7 read.
    assert written.read_bytes()[:9] == b"\x89HDF\r\n\x1a\n\x00"


def test_nothing_of_the_room_that_was_reserved_is_left(written: Path) -> None:
    assert written.stat().st_size < 50_000


def test_any_memory_layout_of_the_array_gives_the_same_values(path: Path) -> None:
    array = np.arange(192, dtype=np.float32).reshape(8, 4, 2, 3).transpose(3, 2, 1, 0)
    add(path, replace(constants(0), array=array))
    found = legacy_get(path, "pixel_gain", 100)
    assert found is not None
    assert np.array_equal(found, array)


# Reading back, adding again.


def test_what_was_added_is_what_readers_find(written: Path) -> None:
    assert [value(written, time) for time in (99, 100, 1e9)] == [None, 41.5, 41.5]
    assert value(written, 0, "pixel_offset") == 0.25
    file = read_dcs_file(written)
    assert (file.detector, file.notices) == (DETECTOR, ())
    assert [v.provenance["panel_0"] for v in file.versions] == ["M044@1"] * 2
    assert [v.produced for v in file.versions] == [NOW_S] * 2


def test_three_versions_of_a_range_are_numbered_and_the_last_is_taken(path: Path) -> None:
    added = [add(path, constants(number))[0] for number in (1, 2, 3)]
    assert [(one.name, one.number) for one in added] == [("v0001", 1), ("v0002", 2), ("v0003", 3)]
    assert value(path, 100) == 3
    with h5py.File(path, "r") as file:
        texts = sorted(text[0] for text in file["pixel_gain/100-end/_history"].values())
    assert texts == [b"add version %d: panelcal export" % number for number in (1, 2, 3)]


def test_later_ranges_take_over(path: Path) -> None:
    add(path, constants(1, 0), constants(2, 100), constants(3, 101))
    add(path, constants(4, 50))
    assert [value(path, time) for time in (0, 49, 50, 99, 100, 101)] == [1, 1, 4, 4, 2, 3]


def test_constants_that_readers_take_already_are_not_added_again(written: Path) -> None:
    before = written.read_bytes(), written.stat().st_mtime_ns, written.stat().st_ino
    added = add(written, constants(0.25, 0, "pixel_offset"), constants(41.5))
    assert names(added) == [("0-end", "v0001", "unchanged"), ("100-end", "v0001", "unchanged")]
    assert (written.read_bytes(), written.stat().st_mtime_ns, written.stat().st_ino) == before


def test_only_what_is_missing_is_added(written: Path) -> None:
    added = add(written, constants(7), constants(0.25, 0, "pixel_offset"), constants(8, 200))
    assert names(added) == [
        ("100-end", "v0002", "added"),
        ("0-end", "v0001", "unchanged"),
        ("200-end", "v0001", "added"),
    ]


def test_an_older_version_with_the_same_values_is_added_anew(path: Path) -> None:
    for number in (1, 2, 1):
        add(path, constants(number))
    assert value(path, 100) == 1
    assert len(read_dcs_file(path).versions) == 3


def test_the_values_of_an_earlier_range_are_added_because_that_range_may_change(path: Path) -> None:
    add(path, constants(1, 0))
    assert names(add(path, constants(1, 100))) == [("100-end", "v0001", "added")]
    add(path, constants(2, 0))
    assert [value(path, time) for time in (99, 100)] == [2, 1]


@pytest.mark.parametrize("other", [-0.0, np.float32(1.4e-45)])
def test_values_are_compared_as_bits(path: Path, other: float) -> None:
    add(path, constants(0.0))
    assert names(add(path, constants(other))) == [("100-end", "v0002", "added")]


def test_nothing_to_add_adds_nothing(path: Path) -> None:
    assert add(path) == []
    assert not path.exists()


# Files of the legacy tool.


def test_what_the_legacy_tool_wrote_stays_bit_by_bit(legacy: Path) -> None:
    before = everything(legacy)
    added = add(legacy, constants(9), constants(8, 5), constants(7, 3000, "pixel_offset"))
    assert [one.name for one in added] == ["v0003", "v0001", "v0001"]
    kept(before, legacy)
    assert [value(legacy, time) for time in (5, 100)] == [8, 9]
    assert [value(legacy, time, "pixel_offset") for time in (2000, 2001, 3000)] == [3, None, 7]


def test_the_legacy_tool_can_go_on_adding(written: Path) -> None:
    before = everything(written)
    legacy_add(written, "pixel_gain", 100.0, np.full(SHAPE, 5, np.float32))
    kept(before, written)
    assert value(written, 100) == 5
    assert add(written, constants(6))[0].name == "v0003"
    assert value(written, 100) == 6


def test_the_same_values_in_double_precision_are_not_the_same_bits(legacy: Path) -> None:
    assert names(add(legacy, constants(2))) == [("100-end", "v0003", "added")]


def test_a_number_that_python_3_spoilt_is_not_used_again(legacy: Path) -> None:
    spoilt = legacy_add(legacy, "pixel_gain", 100.0, np.full(SHAPE, 7, np.float32), python3=True)
    before = everything(legacy)
    assert spoilt.endswith("v0003")
    assert add(legacy, constants(7))[0] == AddedVersion(
        "pixel_gain", "100-end", "v0004", 4, "added"
    )
    kept(before, legacy)
    assert value(legacy, 100) == 7
    assert [v.recovered for v in read_dcs_file(legacy).versions][:4] == [False, False, True, False]


def test_a_file_whose_detector_id_python_3_spoilt_is_added_to(legacy: Path) -> None:
    with h5py.File(legacy, "r+") as file:
        del file["detid"]
        file["detid"] = np.array([b"None"])
    before = everything(legacy)
    add(legacy, constants(9))
    kept(before, legacy)


def test_attributes_links_and_unusual_types_of_others_stay(legacy: Path) -> None:
    with h5py.File(legacy, "r+") as file:
        file.attrs["who"] = "somebody"
        file["pixel_gain/100-end/v0001"].attrs["list"] = np.arange(5)
        file["notes"] = np.array(["vary", "in length"], h5py.string_dtype())
        file["nothing"] = h5py.Empty("f4")
        file["packed"] = np.zeros(2, [("a", "i4"), ("b", "S3")])
        file["a_type"] = np.dtype("f8")
        file["again"] = h5py.SoftLink("/notes")
        file.create_dataset("zipped", data=np.arange(100), compression="gzip")
    before = everything(legacy)
    add(legacy, constants(9))
    kept(before, legacy)
    with h5py.File(legacy, "r") as file:
        assert file.attrs["who"] == "somebody"
        assert isinstance(file.get("again", getlink=True), h5py.SoftLink)


def test_the_history_of_the_same_microsecond_is_kept(path: Path) -> None:
    add(path, constants(1))
    add(path, constants(2))
    with h5py.File(path, "r") as file:
        keys = sorted(file["pixel_gain/100-end/_history"])
    assert keys == ["1769940672.250000", "1769940672.250001"]


def test_a_number_is_one_more_than_the_largest(path: Path) -> None:
    add(path, constants(1))
    with h5py.File(path, "r+") as file:
        file.move("pixel_gain/100-end/v0001", "pixel_gain/100-end/v0041")
    assert add(path, constants(2))[0].name == "v0042"


@pytest.mark.parametrize("last", ["v9999", "v10000"])
def test_after_v9999_there_is_no_number(path: Path, last: str) -> None:
    add(path, constants(1))
    with h5py.File(path, "r+") as file:
        file.move("pixel_gain/100-end/v0001", f"pixel_gain/100-end/{last}")
    before = path.read_bytes()
    with pytest.raises(ConflictError, match=f"has version {last[1:]}"):
        add(path, constants(2))
    assert (path.read_bytes(), left_in(path.parent)) == (before, [FILE_NAME])


# What readers would not find is refused.


def spoil_default(file: Any) -> None:
    file["pixel_gain/100-end/versdef"][0] = 1


def spoil_bounded(file: Any) -> None:
    file.copy("pixel_gain/100-end", "pixel_gain/100-500")
    del file["pixel_gain/100-500/end"]
    file["pixel_gain/100-500/end"] = np.array([500.0])


def spoil_moment(file: Any) -> None:
    spoil_bounded(file)
    file["pixel_gain/100-500/begin"][0] = 100.5


def spoil_empty(file: Any) -> None:
    spoil_bounded(file)
    del file["pixel_gain/100-500/v0001"], file["pixel_gain/100-500/v0002"]


def spoil_order(file: Any) -> None:
    file.copy("pixel_gain/100-end/v0001", "pixel_gain/100-end/w")


def spoil_begin(file: Any) -> None:
    file["pixel_gain/100-end/begin"][0] = 100.5


def spoil_end(file: Any) -> None:
    del file["pixel_gain/100-end/end"]
    file["pixel_gain/100-end/end"] = np.array([1e9])


def spoil_no_begin(file: Any) -> None:
    del file["pixel_gain/100-end/begin"]


HIDDEN: dict[str, tuple[Callable[[Any], None], str]] = {
    "versdef names an older version": (spoil_default, "v0001, which versdef names"),
    "a bounded range begins there": (spoil_bounded, "100-500/v0002, a narrower or later range"),
    "a range begins within the second": (spoil_moment, "for 101 s: they would take 100-500"),
    "a range without versions is there": (spoil_empty, "a range without versions hides it"),
    "a name sorts behind all numbers": (spoil_order, "w, the last in alphabetical order"),
    "the range begins a moment later": (spoil_begin, "range pixel_gain/100-end that is not from"),
    "the range has an end": (spoil_end, "range pixel_gain/100-end that is not from 100 s on"),
    "readers ignore the range": (spoil_no_begin, "range pixel_gain/100-end that is not from"),
}


@pytest.mark.parametrize("why", HIDDEN)
def test_what_readers_would_not_take_is_a_conflict_and_changes_nothing(
    legacy: Path, why: str
) -> None:
    spoil, said = HIDDEN[why]
    with h5py.File(legacy, "r+") as file:
        spoil(file)
    before = legacy.read_bytes()
    with pytest.raises(ConflictError, match=said) as refused:
        add(legacy, constants(8, 5), constants(9))
    assert refused.value.hint
    assert (legacy.read_bytes(), left_in(legacy.parent)) == (before, [FILE_NAME])


def test_a_default_that_does_not_exist_hides_nothing(legacy: Path) -> None:
    with h5py.File(legacy, "r+") as file:
        file["pixel_gain/100-end/versdef"][0] = 8
    add(legacy, constants(9))
    assert value(legacy, 100) == 9


def test_a_file_of_another_detector_is_a_conflict(legacy: Path) -> None:
    other = "-".join(["1", "2", "3"]) + "_4-5-6"
    moved = legacy.rename(legacy.with_name(f"jungfrau-{other}.h5"))
    before = moved.read_bytes()
    with pytest.raises(ConflictError, match="the file of detector '171113"):
        add_constants(moved, other, [constants(1)], device="jungfrau", now=NOW)
    assert moved.read_bytes() == before


@pytest.mark.parametrize("name", ["prov", "dark_min", "PIXEL_GAIN"])
def test_a_file_that_legacy_readers_fail_on_is_not_added_to(legacy: Path, name: str) -> None:
    with h5py.File(legacy, "r+") as file:
        file.create_group(name)
    before = legacy.read_bytes()
    with pytest.raises(
        IntegrityError, match=f"legacy readers fail on .*/{name} is no calibration type"
    ):
        add(legacy, constants(1))
    assert legacy.read_bytes() == before


@pytest.mark.parametrize("name", ["pixel_gain/100-end", "pixel_gain/100-end/v0001"])
def test_a_file_with_a_group_that_cannot_be_opened_is_not_added_to(legacy: Path, name: str) -> None:
    with h5py.File(legacy, "r") as file:
        address = h5py.h5o.get_info(file[name].id).addr
    content = bytearray(legacy.read_bytes())
    content[address] = 0xA5
    before = bytes(content)
    legacy.write_bytes(before)
    with pytest.raises(IntegrityError, match=f"is damaged: /{name} cannot be opened"):
        add(legacy, constants(1, 200))
    assert (legacy.read_bytes(), left_in(legacy.parent)) == (before, [FILE_NAME])


def test_a_file_with_a_link_that_leads_nowhere_is_not_added_to(legacy: Path) -> None:
    with h5py.File(legacy, "r+") as file:
        file["pixel_gain/100-end/v0003"] = h5py.SoftLink("/pixel_gain/50-end/v0001")
    before = legacy.read_bytes()
    with pytest.raises(IntegrityError, match=r"v0003 is a link that leads nowhere"):
        add(legacy, constants(1))
    assert legacy.read_bytes() == before


@pytest.mark.parametrize("size", [3000, -1])
def test_a_damaged_file_is_not_added_to(legacy: Path, size: int) -> None:
    legacy.write_bytes(legacy.read_bytes()[:size])
    before = legacy.read_bytes()
    with pytest.raises(IntegrityError):
        add(legacy, constants(1))
    assert (legacy.read_bytes(), left_in(legacy.parent)) == (before, [FILE_NAME])


def test_what_is_no_hdf5_file_is_not_touched(path: Path) -> None:
    path.write_bytes(b"notes\n")
    with pytest.raises(InvalidInputError, match="not an HDF5 file"):
        add(path, constants(1))
    assert path.read_bytes() == b"notes\n"


def test_what_is_no_file_is_refused(path: Path) -> None:
    path.mkdir()
    with pytest.raises(InvalidInputError, match="not a file that can be written"):
        add(path, constants(1))


def test_a_file_that_may_not_be_written_is_refused(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who may write everything.
    monkeypatch.setattr(os, "access", lambda place, _mode: place != legacy)
    with pytest.raises(InvalidInputError, match="not a file that can be written"):
        add(legacy, constants(9))


# What is malformed is refused before anything is written.

ODD = np.full(SHAPE, 1, np.float32)
ODD[1, 0, 2, 3], ODD[2, 1, 3, 7] = np.inf, np.nan
DOUBLE: Any = np.zeros(SHAPE)
MALFORMED: dict[str, tuple[DcsConstants, str]] = {
    "unknown ctype": (constants(1, ctype="prov"), "'prov' is no calibration type"),
    "text ctype": (constants(1, ctype="geometry"), "'geometry' is no calibration type"),
    "negative begin": (constants(1, -1), "begin at -1 s"),
    "begin beyond float64": (constants(1, 2**53), "cannot begin"),
    "inf": (replace(constants(1), array=ODD), r"at \(1, 0, 2, 3\) is inf"),
    "float64": (replace(constants(1), array=DOUBLE), "float64"),
    "one panel": (replace(constants(1), array=np.zeros((3, 1, 4, 8), "f4")), "2 panels"),
    "three dimensions": (replace(constants(1), array=np.zeros((3, 4, 8), "f4")), "2 panels"),
    "no pixels": (replace(constants(1), array=np.zeros((3, 2, 4, 0), "f4")), "2 panels"),
    "empty comment": (replace(constants(1), comment=""), "the comment is ''"),
    "empty run": (replace(constants(1), run=""), "the run is ''"),
    "experiment": (replace(constants(1), experiment="xcs\u00e9"), "the experiment is"),
    "comment": (replace(constants(1), comment="gr\u00fcn"), "ASCII"),
    "NUL": (replace(constants(1), comment="a\x00"), "control character"),
    "line break": (replace(constants(1), comment="a\nb"), "control character"),
    "provenance": (replace(constants(1), provenance={"a": "\u00fc"}), "value of a provenance"),
    "empty provenance": (replace(constants(1), provenance={"a": ""}), "value of a provenance"),
    "name": (replace(constants(1), provenance={"": "a"}), "name of a provenance"),
    "long provenance": (replace(constants(1), provenance={"a": "x" * 60_000}), "60001 bytes"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_malformed_is_refused_before_anything_is_written(path: Path, kind: str) -> None:
    malformed, said = MALFORMED[kind]
    with pytest.raises(InvalidInputError, match=said):
        add(path, constants(1, 5), malformed)
    assert list(path.parent.iterdir()) == []


def test_as_much_provenance_as_is_allowed_can_be_written(path: Path) -> None:
    texts = {f"panel_{number:02}": "x" * 17 for number in range(2250)}
    for provenance in ({"a": "x" * 59_999}, texts):
        add(path, replace(constants(len(provenance)), provenance=provenance))
        assert read_dcs_file(path).versions[-1].provenance == provenance


def test_two_additions_to_one_range_are_refused(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="pixel_gain/100-end is to be added twice"):
        add(path, constants(1), constants(2))


def test_a_moment_without_a_zone_is_refused(path: Path) -> None:
    naive = NOW.replace(tzinfo=None)
    with pytest.raises(InvalidInputError, match="no time zone"):
        add_constants(path, DETECTOR, [constants(1)], device="jungfrau", now=naive)


def test_without_h5py_the_extra_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InvalidInputError, match="DCS files need h5py"):
        add(path, constants(1))
    assert list(path.parent.iterdir()) == []


# Names.


def test_the_name_is_the_one_psana_looks_for() -> None:
    assert dcs_file_name("jungfrau", DETECTOR) == FILE_NAME
    assert dcs_file_name("jungfrau", "-154920171025-3d00b0") == "jungfrau--154920171025-3d00b0.h5"


def test_eight_modern_panels_fit_into_a_name_and_nine_do_not() -> None:
    panel = "190408-181206-50c246df50010d"
    assert len(dcs_file_name("jungfrau", "_".join([panel] * 8))) == 243 + len(panel) * 8 - 224
    with pytest.raises(InvalidInputError, match=r"9 panels .* of 272 bytes"):
        dcs_file_name("jungfrau", "_".join([panel] * 9))


@pytest.mark.parametrize("device", ["", "jung-frau", "a/b", "j\u00fcngfrau"])
def test_a_device_that_readers_would_not_find_again_is_refused(device: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot begin the name"):
        dcs_file_name(device, DETECTOR)


@pytest.mark.parametrize(
    "detector", ["", "1-2", "1-2-3_", "XcsEndstation.0-Jungfrau.0", "../1-2-3"]
)
def test_what_is_no_detector_id_is_refused(detector: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a panel id"):
        dcs_file_name("jungfrau", detector)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jungfrau-1-2-3.h5", "another detector"),
        (FILE_NAME.removesuffix(".h5"), "does not end in .h5"),
        ("constants", "does not end in .h5"),
    ],
)
def test_a_file_that_readers_would_not_take_for_the_detectors_is_refused(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        add(tmp_path / name, constants(1))
    assert list(tmp_path.iterdir()) == []


def test_under_a_name_that_psana_does_not_look_for_the_detector_is_in_the_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "constants.h5"
    add(path, constants(1))
    assert read_dcs_file(path).detector == DETECTOR
    said = require_own_name(path, "jungfrau", DETECTOR)
    assert said == f"psana will not find {path}: it looks for {FILE_NAME}"
    assert require_own_name(tmp_path / FILE_NAME, "jungfrau", DETECTOR) is None


# Permissions and places.


def test_a_new_file_can_be_written_by_the_group_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "calib" / "jungfrau" / FILE_NAME
    before = os.umask(0o077)
    try:
        add(path, constants(1))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == 0o664
    assert path.parent.stat().st_mode & 0o7777 == 0o2775
    assert (path.parent / ".panelcal.lock").stat().st_mode & 0o7777 == 0o664


def test_the_mode_and_the_group_of_a_file_stay(legacy: Path) -> None:
    groups = {legacy.stat().st_gid, *os.getgroups(), *([12345] if os.geteuid() == 0 else [])}
    group = max(groups)
    os.chown(legacy, -1, group)
    legacy.chmod(0o640)
    add(legacy, constants(9))
    assert (legacy.stat().st_mode & 0o7777, legacy.stat().st_gid) == (0o640, group)


def test_a_new_file_has_the_permissions_that_were_asked_for(path: Path) -> None:
    permissions = Permissions(file_mode=0o600)
    add_constants(
        path, DETECTOR, [constants(1)], device="jungfrau", now=NOW, permissions=permissions
    )
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_link_is_followed_and_stays(legacy: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "real.h5"
    real.parent.mkdir()
    legacy.rename(real)
    legacy.symlink_to(real)
    add(legacy, constants(9))
    assert legacy.is_symlink()
    assert value(real, 100) == 9
    assert left_in(real.parent) == ["real.h5"]


# Nothing is lost.

CHILD = """
import os, signal, sys
sys.path[:0] = {path!r}
import test_dcs_writing as m
m.{function}(*{arguments!r})
"""


def child(function: str, *arguments: object) -> "subprocess.Popen[str]":
    """Start a function of this module in a process of its own."""
    path = [str(Path(__file__).parent), *filter(None, sys.path)]
    arguments = tuple(map(str, arguments))
    code = CHILD.format(path=path, function=function, arguments=arguments)
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


MOMENTS = {
    "the copy is begun": (dcs_copy, "_begin"),
    "the copy is made": (dcs_copy, "_reserve"),
    "room is there": (dcs_writing, "_write"),
    "a range is there": (dcs_writing, "_number"),
    "an array is there": (dcs_writing, "_record"),
    "it is written": (dcs_writing, "_require_taken"),
    "it is compared": (dcs_copy, "_sync"),
    "it is synced": (Path, "replace"),
}


def die_when(moment: str, path: str) -> None:
    """Add, and be killed by oneself."""

    def die(*_arguments: object, **_named: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    place, name = MOMENTS[moment]
    setattr(place, name, die)
    add(Path(path), constants(9))


def die_at_the_end(path: str) -> None:
    """Add, and be killed when the file is in its place."""
    replace_by = Path.replace

    def die(self: Path, target: Path) -> None:
        replace_by(self, target)
        os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = die  # type: ignore[assignment, method-assign]
    add(Path(path), constants(9))


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_writer_that_is_killed_leaves_the_old_file_and_blocks_nobody(
    legacy: Path, moment: str
) -> None:
    before = legacy.read_bytes()
    victim = child("die_when", moment, legacy)
    _, complaints = victim.communicate(timeout=PATIENCE_S)
    assert (victim.returncode, complaints) == (-signal.SIGKILL, "")
    assert legacy.read_bytes() == before
    assert len(left_in(legacy.parent)) == 2
    add(legacy, constants(10))
    assert value(legacy, 100) == 10
    assert left_in(legacy.parent) == [FILE_NAME]


def test_a_writer_that_is_killed_at_the_end_leaves_the_new_file(legacy: Path) -> None:
    before = everything(legacy)
    victim = child("die_at_the_end", legacy)
    assert victim.wait(timeout=PATIENCE_S) == -signal.SIGKILL
    victim.communicate()
    kept(before, legacy)
    assert value(legacy, 100) == 9


def add_with_a_full_disk(path: str, bytes_left: str) -> None:
    """Add where the file system takes no more than so many bytes a file."""
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(bytes_left), int(bytes_left)))
    try:
        add(Path(path), constants(9))
    except OSError as error:
        print(errno.errorcode[error.errno or 0])  # noqa: T201 - the parent reads it


@pytest.mark.parametrize("room", [100, 9_000, 40_000, 1_000_000])
@pytest.mark.parametrize("is_new", [False, True])
def test_a_full_disk_is_told_and_changes_nothing(legacy: Path, room: int, is_new: bool) -> None:
    if is_new:
        legacy.unlink()
    before = None if is_new else legacy.read_bytes()
    process = child("add_with_a_full_disk", legacy, room)
    printed, complaints = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, printed, complaints) == (0, "EFBIG\n", "")
    assert left_in(legacy.parent) == ([] if is_new else [FILE_NAME])
    assert (legacy.read_bytes() if legacy.exists() else None) == before


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_error_in_the_middle_changes_nothing(
    legacy: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = legacy.read_bytes()

    def fail(*_arguments: object, **_named: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place, name = MOMENTS[moment]
    with monkeypatch.context() as patch:
        patch.setattr(place, name, fail)
        with pytest.raises(OSError, match="No space left"):
            add(legacy, constants(9))
    assert (legacy.read_bytes(), left_in(legacy.parent)) == (before, [FILE_NAME])
    add(legacy, constants(9))
    assert value(legacy, 100) == 9


def test_what_would_change_an_old_dataset_is_not_put_in_place(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = legacy.read_bytes()
    write = dcs_writing._write

    def spoil(path: Path, *arguments: Any) -> list[AddedVersion]:
        added = write(path, *arguments)
        with h5py.File(path, "r+") as file:
            file["pixel_gain/100-end/v0001/data"][0, 0, 0, 0] = 5
        return added

    monkeypatch.setattr(dcs_writing, "_write", spoil)
    with pytest.raises(IntegrityError, match="would have changed pixel_gain/100-end/v0001/data"):
        add(legacy, constants(9))
    assert (legacy.read_bytes(), left_in(legacy.parent)) == (before, [FILE_NAME])


@pytest.mark.parametrize("where", ["", "pixel_gain", "pixel_gain/100-end/v0001/data"])
def test_a_changed_attribute_is_noticed_anywhere(
    legacy: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with h5py.File(legacy, "r+") as file:
        file[f"/{where}"].attrs["a"] = 1
    write = dcs_writing._write

    def spoil(path: Path, *arguments: Any) -> list[AddedVersion]:
        added = write(path, *arguments)
        with h5py.File(path, "r+") as file:
            file[f"/{where}"].attrs["a"] = 2
        return added

    monkeypatch.setattr(dcs_writing, "_write", spoil)
    with pytest.raises(IntegrityError, match="would have changed"):
        add(legacy, constants(9))


def test_what_reads_back_differently_is_not_put_in_place(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def misread(*arguments: Any) -> "np.ndarray[Any, Any]":
        array = load_version(*arguments)
        array[0, 1, 2, 3] = np.nextafter(array[0, 1, 2, 3], np.float32(9))
        return array

    monkeypatch.setattr(dcs_writing, "load_version", misread)
    with pytest.raises(IntegrityError, match="reads back differently"):
        add(path, constants(1))
    assert left_in(path.parent) == []


def test_what_the_legacy_tool_adds_meanwhile_is_not_lost(
    legacy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = dcs_writing._write

    def meanwhile(*arguments: Any) -> list[AddedVersion]:
        legacy_add(legacy, "pixel_gain", 300.0, np.full(SHAPE, 5, np.float32))
        return write(*arguments)

    monkeypatch.setattr(dcs_writing, "_write", meanwhile)
    with pytest.raises(ConflictError, match="changed by another program"):
        add(legacy, constants(9))
    assert [value(legacy, time) for time in (100, 300)] == [2, 5]


def add_many(path: str, first: str) -> None:
    """Add constants of five begins, one call each."""
    for begin in range(int(first), int(first) + 10, 2):
        add(Path(path), constants(begin, begin))


def test_of_two_who_add_at_once_neither_loses_anything(path: Path) -> None:
    writers = [child("add_many", path, first) for first in (100, 101)]
    for writer in writers:
        printed, complaints = writer.communicate(timeout=PATIENCE_S)
        assert (writer.returncode, printed, complaints) == (0, "", "")
    assert [value(path, time) for time in range(100, 110)] == list(range(100, 110))
    assert left_in(path.parent) == [FILE_NAME]


def test_two_threads_lose_nothing_either(path: Path) -> None:
    threads = [
        threading.Thread(target=add_many, args=(str(path), str(first))) for first in (100, 101)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [value(path, time) for time in range(100, 110)] == list(range(100, 110))


def test_who_waits_too_long_is_told(legacy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcs_writing, "PATIENCE_SECONDS", 0.05)
    before = legacy.read_bytes()
    with FileLock(legacy.parent / ".panelcal.lock"):
        with pytest.raises(ConflictError, match="another writer of DCS files is already at work"):
            add(legacy, constants(9))
    assert legacy.read_bytes() == before
    add(legacy, constants(9))


def test_the_lock_file_stays_for_the_next(legacy: Path) -> None:
    add(legacy, constants(9))
    lock = legacy.parent / ".panelcal.lock"
    before = lock.stat().st_ino
    add(legacy, constants(10))
    assert lock.stat().st_ino == before


def test_a_copy_of_the_file_is_read_alike_elsewhere(written: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    moved = Path(shutil.copy(written, tmp_path / "other"))
    assert everything(moved) == everything(written)
    assert [v.provenance for v in read_dcs_file(moved).versions] == [
        v.provenance for v in read_dcs_file(written).versions
    ]
