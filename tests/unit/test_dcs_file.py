"""Reading DCS files: what legacy readers take, and what they would not see or fail on."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from dcs_oracle import LegacyReaderFailedError, legacy_add, legacy_get
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError
from panelcal.exporters.dcs_file import load_version, read_dcs_file
from panelcal.exporters.dcs_versions import DcsVersion, choose_version

DETECTOR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"


def values(number: float, dtype: str = "f4") -> "np.ndarray[Any, Any]":
    return np.full((3, 2, 4, 8), number, dtype)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"jungfrau-{DETECTOR}.h5"


@pytest.fixture
def one(path: Path) -> Path:
    """A file with one version, as the legacy tool writes it."""
    legacy_add(path, "pixel_gain", 100.0, values(1))
    return path


def changed(path: Path, name: str, value: object) -> None:
    """Put something else in a dataset's place; None removes it."""
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        if value is not None:
            file.create_dataset(name, data=value)


def taken(path: Path, time: float) -> "np.ndarray[Any, Any] | None":
    """Return what panelcal takes for a gain, as the oracle returns what the legacy reader does."""
    file = read_dcs_file(path)
    chosen = choose_version(file.versions, "pixel_gain", time, empty_ranges=file.empty_ranges)
    return None if chosen is None else load_version(file, chosen)


def same(path: Path, time: float) -> float | None:
    """Return the value both readers take, after comparing every one."""
    ours, theirs = taken(path, time), legacy_get(path, "pixel_gain", time)
    if ours is None or theirs is None:
        assert ours is theirs
        return None
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    assert ours.tobytes() == theirs.tobytes()
    return float(ours.flat[0])


def test_a_file_of_the_legacy_tool_is_read_whole(one: Path) -> None:
    legacy_add(one, "pixel_gain", 100.0, values(2), now=1520000100.5)
    legacy_add(one, "pixel_offset", 0.0, values(3), end=99.5)
    file = read_dcs_file(one)
    assert (file.path, file.detector) == (one, DETECTOR)
    assert (file.notices, file.faults, file.empty_ranges) == ((), (), ())
    assert file.versions[1] == DcsVersion(
        ctype="pixel_gain",
        range_name="100-end",
        begin=100.0,
        end=None,
        number=2,
        name="v0002",
        is_default=False,
        recovered=False,
        produced=1520000100.5,
        provenance={},
        shape=(3, 2, 4, 8),
        dtype="float32",
    )
    found = [(v.ctype, v.range_name, v.end, v.name) for v in file.versions]
    assert found[0] == ("pixel_gain", "100-end", None, "v0001")
    assert found[2] == ("pixel_offset", "0-100", 99.5, "v0001")


def test_the_last_of_three_versions_is_taken(one: Path) -> None:
    for number in (2, 3):
        legacy_add(one, "pixel_gain", 100.0, values(number))
    assert same(one, 100) == 3


@pytest.mark.parametrize(("default", "expected"), [(2, 2), (3, 3), (0, 3), (7, 3)])
def test_the_default_version_is_taken_where_it_exists(
    one: Path, default: int, expected: int
) -> None:
    for number in (2, 3):
        legacy_add(one, "pixel_gain", 100.0, values(number))
    changed(one, "pixel_gain/100-end/versdef", np.array([default], np.int64))
    assert same(one, 100) == expected
    [is_default] = [v.is_default for v in read_dcs_file(one).versions if v.number == expected]
    assert is_default is (default == expected)


def test_v10000_comes_before_v9999(one: Path) -> None:
    with h5py.File(one, "r+") as file:
        for number in (9999, 10000):
            file.copy("pixel_gain/100-end/v0001", f"pixel_gain/100-end/v{number}")
            file[f"pixel_gain/100-end/v{number}/version"][0] = number
            file[f"pixel_gain/100-end/v{number}/data"][:] = number
    assert same(one, 100) == 9999


RANGES = {(0.0, None): 1, (600.0, 700.0): 2, (640.0, None): 3, (640.0, 650.0): 4, (640.0, 645.0): 5}


@pytest.mark.parametrize(
    ("time", "expected"),
    [(-1, None), (0, 1), (599.9, 1), (639.5, 2), (640, 5), (645, 5), (645.5, 4), (651, 3)],
)
def test_of_the_ranges_the_latest_begin_and_then_the_narrowest_is_taken(
    path: Path, time: float, expected: int | None
) -> None:
    for (begin, end), value in RANGES.items():
        legacy_add(path, "pixel_gain", begin, values(value), end=end)
    assert same(path, time) == expected


def test_both_ends_of_a_range_belong_to_it(path: Path) -> None:
    legacy_add(path, "pixel_gain", 5.0, values(1), end=7.0)
    assert [same(path, time) for time in (4.999, 5, 7, 7.001)] == [None, 1, 1, None]


def test_another_calibration_type_is_not_taken(one: Path) -> None:
    assert choose_version(read_dcs_file(one).versions, "pixel_offset", 100) is None


def test_a_range_without_versions_hides_the_others(one: Path) -> None:
    legacy_add(one, "pixel_gain", 200.0, values(2), end=300.0)
    changed(one, "pixel_gain/200-300/v0001", None)
    file = read_dcs_file(one)
    assert [empty.range_name for empty in file.empty_ranges] == ["200-300"]
    assert "has no versions" in file.notices[0]
    assert [same(one, time) for time in (199, 250, 301)] == [1, None, 1]


END = "pixel_gain/100-end/end"
AS_READERS_TAKE_IT: dict[str, Callable[[Path], None]] = {
    "variable-length end": lambda path: changed(path, END, np.array(["end"], h5py.string_dtype())),
    "no end": lambda path: changed(path, END, None),
    "end of float64": lambda path: changed(path, END, np.array([1e9])),
    "no versdef": lambda path: changed(path, "pixel_gain/100-end/versdef", None),
    "no tsprod": lambda path: changed(path, "pixel_gain/100-end/v0001/tsprod", None),
    "no ctype": lambda path: changed(path, "pixel_gain/ctype", None),
    "no histories": lambda path: changed(path, "pixel_gain/_history", None),
    "no dettype": lambda path: changed(path, "dettype", None),
    "version of int32": lambda path: changed(
        path, "pixel_gain/100-end/v0001/version", np.array([1], "i4")
    ),
    "an unknown dataset": lambda path: changed(path, "pixel_gain/100-end/shape", np.arange(3)),
    "an unknown group below a version": lambda path: changed(
        path, "pixel_gain/100-end/v0001/more/x", np.arange(3)
    ),
}


@pytest.mark.parametrize("kind", AS_READERS_TAKE_IT)
def test_what_readers_take_is_read_without_a_word(one: Path, kind: str) -> None:
    AS_READERS_TAKE_IT[kind](one)
    assert same(one, 100) == 1
    assert read_dcs_file(one).notices == ()


def test_a_minimal_file_is_read_and_named_after_its_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["pixel_gain/a/begin"] = np.array([0.0])
        file["pixel_gain/a/b/version"] = np.array([4])
        file["pixel_gain/a/b/data"] = values(1)
    assert same(path, 0) == 1
    file = read_dcs_file(path)
    assert (file.detector, file.versions[0].number, file.faults) == (DETECTOR, 4, ())
    assert len(file.notices) == 1
    assert "detid" in file.notices[0]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "u2", "i4"])
@pytest.mark.parametrize("filters", [{}, {"chunks": (1, 1, 4, 8)}, {"compression": "gzip"}])
def test_every_type_and_chunking_is_read(one: Path, dtype: str, filters: dict[str, Any]) -> None:
    changed(one, "pixel_gain/100-end/v0001/data", None)
    with h5py.File(one, "r+") as file:
        version = file["pixel_gain/100-end/v0001"]
        version.create_dataset("data", data=values(7, dtype), **filters)
    assert same(one, 100) == 7


@pytest.mark.parametrize("written", ["None", "b''", f"b'{DETECTOR}'", DETECTOR])
def test_the_detector_id_is_known_whatever_python_3_made_of_it(one: Path, written: str) -> None:
    changed(one, "detid", np.array([written.encode()]))
    assert read_dcs_file(one).detector == DETECTOR


@pytest.mark.parametrize("written", [DETECTOR, f"b'{DETECTOR}'"])
@pytest.mark.parametrize("named", ["1-2-3", DETECTOR.partition("_")[0], f"{DETECTOR}_1-2-3"])
def test_a_file_named_after_another_detector_than_it_says_has_a_fault(
    one: Path, named: str, written: str
) -> None:
    changed(one, "detid", np.array([written.encode()]))
    file = read_dcs_file(one.rename(one.with_name(f"jungfrau-{named}.h5")))
    assert file.detector == DETECTOR
    said = f"/detid is '{DETECTOR}', the file's name says '{named}': psana would read it"
    assert [fault.startswith(said) for fault in file.faults] == [True]
    assert len(file.notices) == 1


@pytest.mark.parametrize(
    "name", ["constants.h5", "jungfrau-other.h5", "jungfrau-1-2.h5", f"jungfrau-{DETECTOR}.h5.bak"]
)
def test_under_a_name_of_no_detector_psana_does_not_find_a_file(one: Path, name: str) -> None:
    path = one.rename(one.with_name(name))
    file = read_dcs_file(path)
    assert (file.detector, file.faults) == (DETECTOR, ())
    assert file.notices == (f"{path}: psana will not find it under this name, {name}",)


def test_a_file_without_panel_ids_is_found_under_its_own_name(path: Path) -> None:
    by_source = path.with_name("jungfrau-XcsEndstation.0-Jungfrau.0.h5")
    legacy_add(by_source, "pixel_gain", 100.0, values(1))
    file = read_dcs_file(by_source)
    assert (file.detector, file.notices) == ("XcsEndstation.0-Jungfrau.0", ())


def test_a_missing_version_dataset_is_recovered_and_flagged(one: Path) -> None:
    legacy_add(one, "pixel_gain", 100.0, values(2), python3=True)
    file = read_dcs_file(one)
    seen, lost = file.versions
    assert (seen.recovered, lost.recovered, lost.number, lost.name) == (False, True, 2, "v0002")
    assert load_version(one, lost).flat[0] == 2
    assert "/pixel_gain/100-end/v0002 has no version" in file.notices[0]
    assert file.faults == ()
    assert same(one, 100) == 1


def test_a_recovered_version_is_no_default(one: Path) -> None:
    legacy_add(one, "pixel_gain", 100.0, values(2), python3=True)
    changed(one, "pixel_gain/100-end/versdef", np.array([2]))
    assert not any(version.is_default for version in read_dcs_file(one).versions)
    assert same(one, 100) == 1


def test_a_range_of_recovered_versions_only_hides_the_others(one: Path) -> None:
    legacy_add(one, "pixel_gain", 200.0, values(2))
    changed(one, "pixel_gain/200-end/v0001/version", None)
    assert [same(one, time) for time in (199, 200)] == [1, None]


@pytest.mark.parametrize("begin", [None, np.array([200]), np.array([200], "f4")])
def test_a_range_that_readers_ignore_is_told_and_not_used(one: Path, begin: object) -> None:
    legacy_add(one, "pixel_gain", 200.0, values(2))
    changed(one, "pixel_gain/200-end/begin", begin)
    assert same(one, 300) == 1
    file = read_dcs_file(one)
    assert [version.range_name for version in file.versions] == ["100-end"]
    assert "/pixel_gain/200-end has no begin of type float64" in file.notices[0]
    assert file.faults == ()


@pytest.mark.parametrize("place", ["pixel_gain/extra/x", "pixel_gain/100-end/extra/x"])
def test_an_unknown_group_is_passed_over_with_a_notice(one: Path, place: str) -> None:
    changed(one, place, np.array([1]))
    file = read_dcs_file(one)
    assert f"/{place.rpartition('/')[0]} " in file.notices[0]
    assert (len(file.notices), file.faults, same(one, 100)) == (1, (), 1)


def test_text_records_are_passed_over_with_a_notice(one: Path) -> None:
    legacy_add(one, "geometry", 0.0, b"# geometry of a detector")
    file = read_dcs_file(one)
    assert [version.ctype for version in file.versions] == ["pixel_gain"]
    assert "/geometry/0-end/v0001 is text" in file.notices[0]
    assert (len(file.notices), file.faults, file.empty_ranges) == (1, (), ())


AT_FAULT: dict[str, tuple[str, object]] = {
    "a group of no calibration type": ("prov/x", np.array([1])),
    "dark_min": ("dark_min/x", np.array([1])),
    "a scalar begin": ("pixel_gain/100-end/begin", np.float64(100)),
    "a scalar end": (END, b"end"),
    "another text as end": (END, np.array([b"End"])),
    "end of an integer": (END, np.array([200])),
    "no number as begin": ("pixel_gain/100-end/begin", np.array([np.nan])),
    "a scalar versdef": ("pixel_gain/100-end/versdef", np.int64(0)),
    "versdef of a float": ("pixel_gain/100-end/versdef", np.array([1.0])),
    "a scalar version": ("pixel_gain/100-end/v0001/version", np.int64(1)),
    "a version without data": ("pixel_gain/100-end/v0001/data", None),
    "text where an array belongs": ("pixel_gain/100-end/v0001/data", np.array([b"x"])),
    "a scalar as data": ("pixel_gain/100-end/v0001/data", np.float32(1)),
    "a scalar tsprod": ("pixel_gain/100-end/v0001/tsprod", np.float64(1)),
    "a scalar detid": ("detid", np.bytes_("x")),
    "a scalar parameter": ("pixel_gain/100-end/_parameters/run", np.bytes_("1")),
    "a history of two": ("pixel_gain/_history/1520000000.250000", np.array([b"a", b"b"])),
    "a history without a time": ("_history/yesterday", np.array([b"a"])),
}


@pytest.mark.parametrize("fault", AT_FAULT)
def test_what_legacy_readers_fail_on_is_read_and_said(one: Path, fault: str) -> None:
    legacy_add(one, "pixel_gain", 200.0, values(2))
    name, value = AT_FAULT[fault]
    changed(one, name, value)
    file = read_dcs_file(one)
    assert file.faults
    for said in file.faults:
        place, _, _ = said.partition(" ")
        assert f"/{name}".startswith(place)
        assert sum(said in notice for notice in file.notices) == 1
    assert [v.range_name for v in file.versions][-1:] == ["200-end"]


@pytest.mark.parametrize("fault", ["dark_min", "a scalar begin", "another text as end"])
def test_the_oracle_fails_there_too(one: Path, fault: str) -> None:
    changed(one, *AT_FAULT[fault])
    with pytest.raises(LegacyReaderFailedError):
        legacy_get(one, "pixel_gain", 100)


def test_names_that_would_spoil_a_terminal_are_escaped(one: Path) -> None:
    changed(one, "pixel_gain/a\x1b[2Jb/x", np.array([1]))
    assert "\x1b" not in read_dcs_file(one).notices[0]


def test_our_attributes_are_read_and_those_of_others_are_not(one: Path) -> None:
    with h5py.File(one, "r+") as file:
        attributes = file["pixel_gain/100-end/v0001"].attrs
        attributes["panelcal_token"], attributes["panelcal_odd"] = np.bytes_("0123"), 5
        attributes["other"] = np.bytes_("x")
    assert read_dcs_file(one).versions[0].provenance == {"token": "0123"}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="does not exist"):
        read_dcs_file(tmp_path / "jungfrau-x.h5")
    with pytest.raises(InvalidInputError, match="is not a file"):
        read_dcs_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"# NDIM 3\n1 2 3\n", b"\x89HDF"])
def test_what_is_no_hdf5_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match="not an HDF5 file"):
        read_dcs_file(path)


@pytest.mark.parametrize("kept", [64, 100, 800, 2000, -1])
def test_a_truncated_file_is_damaged(one: Path, kept: int) -> None:
    one.write_bytes(one.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match="is damaged"):
        read_dcs_file(one)


def spoiled(path: Path, name: str) -> None:
    """Damage the header of one object, as HDF5 says: bad object header version number."""
    with h5py.File(path, "r") as file:
        address = h5py.h5o.get_info(file[name].id).addr
    content = bytearray(path.read_bytes())
    assert content[address] == 1
    content[address] = 0xA5
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name",
    [
        "detid",
        "_history",
        "pixel_gain",
        "pixel_offset",
        "pixel_gain/200-end",
        "pixel_gain/200-end/begin",
        "pixel_gain/200-end/end",
        "pixel_gain/100-end/versdef",
        "pixel_gain/100-end/_parameters/run",
        "pixel_gain/100-end/v0002",
        "pixel_gain/100-end/v0002/version",
        "pixel_gain/100-end/v0002/tsprod",
        "pixel_gain/100-end/v0002/data",
    ],
)
def test_what_cannot_be_opened_is_damage_and_never_taken_as_absent(one: Path, name: str) -> None:
    legacy_add(one, "pixel_gain", 100.0, values(2))
    legacy_add(one, "pixel_gain", 200.0, values(3))
    legacy_add(one, "pixel_offset", 100.0, values(4))
    spoiled(one, name)
    with pytest.raises(IntegrityError, match=f"is damaged: /{name} cannot be opened: ") as refused:
        read_dcs_file(one)
    assert "bad object header version number" in refused.value.message
    assert refused.value.hint == "restore it from a backup"


def test_a_name_that_is_there_twice_is_damage(one: Path) -> None:
    legacy_add(one, "pixel_gain", 100.0, values(2))
    content = one.read_bytes()
    assert content.count(b"v0002") == 1
    one.write_bytes(content.replace(b"v0002", b"v0001"))
    with pytest.raises(IntegrityError, match="/pixel_gain/100-end/v0001 is there twice"):
        read_dcs_file(one)


NOWHERE = {
    "soft": h5py.SoftLink("/pixel_gain/50-end"),
    "in a circle": h5py.SoftLink("."),
    "external": h5py.ExternalLink("gone.h5", "/"),
}


@pytest.mark.parametrize("kind", NOWHERE)
@pytest.mark.parametrize(
    "place",
    [
        "pixel_offset",
        "remark",
        "pixel_gain/300-end",
        "pixel_gain/100-end/v0002",
        "pixel_gain/100-end/end",
        "pixel_gain/100-end/_history/1520000009.0",
        "pixel_gain/100-end/v0001/tsprod",
    ],
)
def test_a_link_that_leads_nowhere_is_a_fault(one: Path, place: str, kind: str) -> None:
    link = h5py.SoftLink(f"/{place}") if kind == "in a circle" else NOWHERE[kind]
    with h5py.File(one, "r+") as file:
        if file.get(place, getlink=True) is not None:
            del file[place]
        file[place] = link
    read = read_dcs_file(one)
    assert read.faults == (f"/{place} is a link that leads nowhere",)
    assert read.notices == (f"{one}: {read.faults[0]}",)


def test_what_a_link_leads_to_is_known_by_the_name_of_the_link(one: Path) -> None:
    other = one.with_name("jungfrau-1-2-3.h5")
    legacy_add(other, "pixel_gain", 100.0, values(7))
    with h5py.File(one, "r+") as file:
        file["pixel_gain/100-end/v0002"] = h5py.ExternalLink(
            other.name, "/pixel_gain/100-end/v0001"
        )
        file["pixel_gain/200-end"] = h5py.SoftLink("/pixel_gain/100-end")
    assert same(one, 100) == 7
    read = read_dcs_file(one)
    found = [(version.range_name, version.name) for version in read.versions]
    assert found == [(span, name) for span in ("100-end", "200-end") for name in ("v0001", "v0002")]
    assert [load_version(read, version).flat[0] for version in read.versions] == [1, 7, 1, 7]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Change some bytes, most of them where a file is not zero, or a whole stretch."""
    places = [place for place, byte in enumerate(content) if byte]
    spoilt = bytearray(content)
    if draw.random() < 0.1:
        first = draw.randrange(len(content))
        chosen = list(range(first, min(first + 300, len(content))))
    else:
        chosen = draw.choices(places, k=draw.choice([1, 1, 2, 5]))
    for place in chosen:
        spoilt[place] ^= draw.randrange(1, 256)
    return bytes(spoilt)


# What h5py and numpy raise on damage depends on which byte is wrong.
LEGACY_FAILS = (
    *(LegacyReaderFailedError, ArithmeticError, AttributeError, LookupError),
    *(MemoryError, OSError, RuntimeError, TypeError, ValueError),
)


@pytest.mark.parametrize("seed", range(3))
def test_damage_never_changes_an_answer_without_a_word(path: Path, seed: int) -> None:
    for number in (1, 2, 3):
        legacy_add(path, "pixel_gain", 100.0, values(number)[:1, :1, :2, :2])
    legacy_add(path, "pixel_gain", 200.0, values(4)[:1, :1, :2, :2], end=300.0)
    content, draw = path.read_bytes(), random.Random(seed)
    compared = 0
    for _ in range(60):
        path.write_bytes(damaged(content, draw))
        for time in (99, 100, 200, 301):
            try:
                theirs = legacy_get(path, "pixel_gain", time)
            except LEGACY_FAILS:
                continue
            try:
                ours, told = taken(path, time), read_dcs_file(path).notices
            except (IntegrityError, InvalidInputError):
                continue
            compared += 1
            alike = (ours is None) is (theirs is None)
            if alike and ours is not None and theirs is not None:
                alike = ours.tobytes() == theirs.tobytes()
            assert alike or told
    assert compared > 20


def test_a_file_that_another_program_writes_is_a_conflict(one: Path) -> None:
    call = f"import h5py; f = h5py.File({str(one)!r}, 'r+'); print('open', flush=True); input()"
    command = [sys.executable, "-c", call]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ConflictError, match="open for writing in another program"):
            read_dcs_file(one)
        other.communicate("\n", timeout=60)
    assert read_dcs_file(one).versions


def test_a_version_that_is_gone_when_it_is_loaded_is_an_integrity_error(one: Path) -> None:
    file = read_dcs_file(one)
    changed(one, "pixel_gain/100-end/v0001/data", values(1, "f8"))
    with pytest.raises(IntegrityError, match="not what it was"):
        load_version(file, file.versions[0])
    changed(one, "pixel_gain/100-end", None)
    with pytest.raises(IntegrityError):
        load_version(file, file.versions[0])


def test_without_h5py_the_extra_is_named(one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InvalidInputError, match="DCS files need h5py") as refused:
        read_dcs_file(one)
    assert refused.value.hint == "pip install 'panelcal[dcs]'"
