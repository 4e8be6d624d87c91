"""Every refusal of `panelcal import gains-tree`: what it says, its exit code, nothing written."""

import io
import json
import os
import pickle
import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panelcal as api
from builders import FILES, TREE_SHAPE, GainsTree, rows, write_delivery
from conftest import RunsProgram

NothingWritten = Callable[[], AbstractContextManager[None]]

PANEL = "171113-154920171025-3d00fb"
STAMPED = f"{PANEL}-20180306000000"
OTHER = "170505-149520170815-3d00b0"
PLANE = TREE_SHAPE[1:]


def npy(values: "np.ndarray[Any, Any]") -> bytes:
    """Return an array as a .npy file."""
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def npz(**arrays: "np.ndarray[Any, Any]") -> bytes:
    """Return arrays as a .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def npy_with_header(header: str, content: bytes = bytes(4 * 4 * 8)) -> bytes:
    """Return a .npy file with a header written by hand."""
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def declaring(shape: object, descr: str = "'<f4'") -> bytes:
    """Return a small .npy file that declares a shape."""
    return npy_with_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}")


def plane(dtype: str = "<f4", **at: float) -> "np.ndarray[Any, Any]":
    """Return values that every floating type holds, one of them replaced."""
    values = np.arange(32, dtype=dtype).reshape(PLANE)
    for value in at.values():
        values[2, 5] = value
    return values


@pytest.fixture
def two_modules(tree: GainsTree) -> GainsTree:
    """A good module M044 with an entry, and M068 with an entry, to be spoilt."""
    tree.module("M044", seed=1)
    tree.link(OTHER, "M044")
    tree.module("M068", seed=2)
    tree.link(STAMPED, "M068")
    return tree


def refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten, *options: str
) -> dict[str, str]:
    """Import a bad tree; return why each entry is refused. Nothing may be written."""
    with nothing_written():
        text = panelcal("import", "gains-tree", tree.path, *options)
        result = panelcal("import", "gains-tree", tree.path, "--json", *options)
    assert (text.exit_code, result.exit_code) == (2, 2), result.output
    report = json.loads(result.stdout)
    found = {e["name"]: e["reason"] for e in report["entries"] if e["status"] == "refused"}
    assert report["written"] is False
    assert report["counts"]["refused"] == len(found) > 0
    noun = "entry" if len(found) == 1 else "entries"
    for shown in (text, result):
        assert f"error: {len(found)} {noun} refused; nothing was written" in shown.stderr
        assert "hint: --skip-bad" in shown.stderr
    for name, reason in found.items():
        assert f"{name} " in text.stdout
        assert reason in text.stdout
    return found


def taken_without(panelcal: RunsProgram, tree: GainsTree) -> None:
    """Import with --skip-bad; M044 and its entry come in, the others do not."""
    result = panelcal("import", "gains-tree", tree.path, "--skip-bad")
    assert result.exit_code == 0, result.output


def modules_and_panels(store: Path) -> tuple[list[str], list[str]]:
    modules = [name for (name,) in rows(store, "SELECT name FROM module ORDER BY name")]
    panels = rows(
        store,
        "SELECT name FROM panel WHERE id IN (SELECT panel_id FROM assignment) ORDER BY name",
    )
    return modules, [name for (name,) in panels]


def read_back(store: Path) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return gain range 1 of pixel_gain of the panel under test."""
    with api.open_store(store) as opened:
        arrays = opened.resolve(PANEL, "20180419000000").arrays()
    gain = arrays["pixel_gain"]
    found: np.ndarray[Any, np.dtype[np.float32]] = gain[1, 0]
    return found


# --- one file of a module is bad


class Trap:
    """Leaves a file behind where somebody unpickles it."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, bytes]]:
        return _leave_marker, (str(self.marker), b"")


def _leave_marker(path: str, content: bytes) -> int:
    return Path(path).write_bytes(content)


UNREADABLE = "not a readable .npy file"
NOT_FLOATING = "is not a floating type"

BAD_FILES: dict[str, tuple[bytes, str]] = {
    "wrong shape": (npy(np.ones((8, 4), np.float32)), "shape (8, 4), (4, 8) expected"),
    "one dimension": (npy(np.ones(32, np.float32)), "shape (32,), (4, 8) expected"),
    "three dimensions": (npy(np.ones((1, 4, 8), np.float32)), "shape (1, 4, 8), (4, 8) expected"),
    "no dimension": (npy(np.float32(1) * np.ones(())), "shape (), (4, 8) expected"),
    "no values": (npy(np.ones((0, 8), np.float32)), "(4, 8) expected"),
    "int16": (npy(plane("<i2")), f"dtype int16 {NOT_FLOATING}"),
    "int64": (npy(plane("<i8")), f"dtype int64 {NOT_FLOATING}"),
    "unsigned": (npy(plane("<u2")), f"dtype uint16 {NOT_FLOATING}"),
    "bool": (npy(np.ones(PLANE, bool)), f"dtype bool {NOT_FLOATING}"),
    "complex": (npy(np.ones(PLANE, np.complex64)), f"dtype complex64 {NOT_FLOATING}"),
    "text values": (npy(np.full(PLANE, "1.0")), NOT_FLOATING),
    "dates": (npy(np.full(PLANE, "2018-03-06", "M8[D]")), NOT_FLOATING),
    "structured": (npy(np.zeros(PLANE, [("gain", "<f4")])), NOT_FLOATING),
    "NaN": (npy(plane(at=np.nan)), "1 value NaN or infinite, the first at (2, 5)"),
    "inf": (npy(plane(at=np.inf)), "1 value NaN or infinite, the first at (2, 5)"),
    "-inf": (npy(plane(at=-np.inf)), "1 value NaN or infinite, the first at (2, 5)"),
    "NaN in float64": (npy(plane("<f8", at=np.nan)), "1 value NaN or infinite"),
    "all NaN": (npy(np.full(PLANE, np.nan)), "32 values NaN or infinite, the first at (0, 0)"),
    "inexact float64": (
        npy(plane("<f8", at=0.1)),
        "dtype float64: 1 value of 32 would change in float32 (--cast rounds them)",
    ),
    "underflow of float64": (npy(plane("<f8", at=1e-60)), "1 value of 32 would change"),
    "overflow of float64": (npy(plane("<f8", at=1e39)), "infinite after the cast to float32"),
    "empty": (b"", UNREADABLE),
    "text": (b"1.0 2.0 3.0\n4.0 5.0 6.0\n", UNREADABLE),
    "truncated in the values": (npy(plane())[:-1], "cut short: 31 of 32 values"),
    "truncated in the header": (npy(plane())[:40], UNREADABLE),
    "truncated in the magic": (b"\x93NUM", UNREADABLE),
    "unknown version": (b"\x93NUMPY\x09\x00" + bytes(100), UNREADABLE),
    ".npz with the name .npy": (npz(gain=plane()), "an archive of arrays, not one array"),
    "empty .npz": (npz(), "an archive of arrays, not one array"),
    "truncated .npz": (npz(gain=plane())[:60], "an archive of arrays, not one array"),
    "begins like a .npz": (
        b"PK\x03\x04 and then something else",
        "an archive of arrays, not one array",
    ),
    "pickle": (pickle.dumps([1.0] * 32), UNREADABLE),
    "giant square": (declaring((10**9, 10**9)), "(4, 8) expected"),
    "giant depth": (declaring((4, 8, 10**12)), "(4, 8) expected"),
    "beyond 64 bits": (declaring((10**30, 8)), "(4, 8) expected"),
    "product beyond 64 bits": (declaring((2**32, 2**32)), "(4, 8) expected"),
    "giant values": (declaring(PLANE, "'|V900000000'"), NOT_FLOATING),
    "negative shape": (declaring((-4, -8)), "shape (-4, -8), (4, 8) expected"),
    "truth in the shape": (declaring("(True, 8)"), "shape (True, 8), (4, 8) expected"),
    "no dtype": (declaring(PLANE, "None"), UNREADABLE),
    "half a dtype": (declaring(PLANE, "('<f4',)"), UNREADABLE),
    "header with other keys": (npy_with_header("{1: 2, 'descr': '<f4'}"), UNREADABLE),
    "header with a list as key": (npy_with_header("{[]: 1}"), UNREADABLE),
    "header that is no dictionary": (npy_with_header("1 +"), UNREADABLE),
    "header of brackets": (npy_with_header("(" * 9000), UNREADABLE),
    "header of minuses": (npy_with_header("-" * 9000 + "1"), UNREADABLE),
    "header without end": (npy_with_header("{" + " " * 20000), UNREADABLE),
}


@pytest.mark.parametrize(("content", "reason"), BAD_FILES.values(), ids=BAD_FILES.keys())
def test_bad_file_of_a_module_is_refused_with_the_module_and_its_entries(
    panelcal: RunsProgram,
    two_modules: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
    content: bytes,
    reason: str,
) -> None:
    (two_modules.path / "M068" / "g1_gain.npy").write_bytes(content)
    found = refused(panelcal, two_modules, nothing_written)
    assert set(found) == {"M068", STAMPED}
    assert found["M068"].startswith("g1_gain.npy: ")
    assert reason in found["M068"]
    assert found[STAMPED] == "M068 is refused"
    taken_without(panelcal, two_modules)
    assert modules_and_panels(store_dir) == (["M044"], [OTHER])


def test_array_of_objects_is_refused_and_never_unpickled(
    panelcal: RunsProgram,
    two_modules: GainsTree,
    tmp_path: Path,
    nothing_written: NothingWritten,
) -> None:
    marker = tmp_path / "unpickled"
    values = np.full(PLANE, None, object)
    values[0, 0] = Trap(marker)
    file = two_modules.path / "M068" / "g1_gain.npy"
    np.save(file, values, allow_pickle=True)
    np.load(file, allow_pickle=True)
    assert marker.exists(), "the trap works"
    marker.unlink()
    found = refused(panelcal, two_modules, nothing_written)
    assert "dtype object is not a floating type" in found["M068"]
    assert not marker.exists()


def test_bare_pickle_is_never_unpickled(
    panelcal: RunsProgram,
    two_modules: GainsTree,
    tmp_path: Path,
    nothing_written: NothingWritten,
) -> None:
    marker = tmp_path / "unpickled"
    file = two_modules.path / "M068" / "g1_gain.npy"
    file.write_bytes(pickle.dumps(Trap(marker)))
    assert UNREADABLE in refused(panelcal, two_modules, nothing_written)["M068"]
    assert not marker.exists()


def test_giant_file_is_refused_by_its_header_without_taking_memory(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten
) -> None:
    # The file is as large as it says, all of it a hole: 4 TB would have to be read.
    file = two_modules.path / "M068" / "g1_gain.npy"
    content = declaring((10**6, 10**6))
    file.write_bytes(content)
    os.truncate(file, len(content) + 4 * 10**12)
    found = refused(panelcal, two_modules, nothing_written)
    assert "shape (1000000, 1000000), (4, 8) expected" in found["M068"]


@pytest.mark.parametrize("file", FILES)
def test_missing_file_is_refused_by_name(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten, file: str
) -> None:
    (two_modules.path / "M068" / file).unlink()
    found = refused(panelcal, two_modules, nothing_written)
    assert found == {"M068": f"{file}: missing", STAMPED: "M068 is refused"}


def test_every_bad_file_of_a_module_is_named_at_once(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten
) -> None:
    module = two_modules.path / "M068"
    (module / "g0_gain.npy").unlink()
    two_modules.replace("M068", "g1_offset.npy", plane(at=np.nan))
    two_modules.replace("M068", "g2_offset.npy", plane("<i4"))
    reason = refused(panelcal, two_modules, nothing_written)["M068"]
    assert "g0_gain.npy: missing" in reason
    assert "g1_offset.npy: 1 value NaN" in reason
    assert "g2_offset.npy: dtype int32" in reason


def test_names_of_the_page_with_a_dash_are_not_the_files(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten
) -> None:
    for path in sorted((two_modules.path / "M068").iterdir()):
        path.rename(path.with_name(path.name.replace("_", "-")))
    reason = refused(panelcal, two_modules, nothing_written)["M068"]
    assert "none of the files g0_gain.npy, g0_offset.npy" in reason


def test_module_without_files_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    (tree.path / "M068").mkdir()
    found = refused(panelcal, tree, nothing_written)
    assert "none of the files" in found["M068"]


def test_directory_instead_of_a_file_is_refused(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten
) -> None:
    file = two_modules.path / "M068" / "g1_gain.npy"
    file.unlink()
    file.mkdir()
    found = refused(panelcal, two_modules, nothing_written)
    assert found["M068"] == "g1_gain.npy: not a regular file"


def test_fifo_instead_of_a_file_is_refused_and_not_waited_for(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten
) -> None:
    file = two_modules.path / "M068" / "g1_gain.npy"
    file.unlink()
    os.mkfifo(file)
    found = refused(panelcal, two_modules, nothing_written)
    assert found["M068"] == "g1_gain.npy: not a regular file"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere.npy", "a link to nowhere.npy, which does not exist"),
        ("g1_gain.npy", "a loop of links"),
        ("/etc/hostname", "a link that leads out of the tree"),
        ("../../outside/g1_gain.npy", "a link that leads out of the tree"),
    ],
)
def test_link_instead_of_a_file_is_refused_where_it_leads_wrong(
    panelcal: RunsProgram,
    two_modules: GainsTree,
    nothing_written: NothingWritten,
    target: str,
    reason: str,
) -> None:
    write_delivery(two_modules.path.parent / "outside")
    file = two_modules.path / "M068" / "g1_gain.npy"
    file.unlink()
    file.symlink_to(target)
    found = refused(panelcal, two_modules, nothing_written)
    assert found["M068"].startswith(f"g1_gain.npy: {reason}")


# --- dtypes and layouts that are taken


@pytest.mark.parametrize(
    "values",
    [
        plane(">f4"),
        plane("<f2"),
        plane(">f2"),
        plane("<f8"),
        plane(">f8"),
        np.asfortranarray(plane()),
        np.asfortranarray(plane(">f8")),
        plane("longdouble"),
    ],
    ids=["big-endian", "half", "big half", "double", "big double", "Fortran", "both", "long"],
)
def test_other_layouts_of_the_same_values_give_the_same_payload(
    panelcal: RunsProgram, two_modules: GainsTree, store_dir: Path, values: "np.ndarray[Any, Any]"
) -> None:
    two_modules.replace("M068", "g1_gain.npy", values)
    result = panelcal("import", "gains-tree", two_modules.path)
    assert result.exit_code == 0, result.output
    found = read_back(store_dir)
    assert found.dtype == np.float32
    assert found.tobytes() == plane("<f4").tobytes()


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<f2", ">f4"])
def test_negative_zero_keeps_its_sign(
    panelcal: RunsProgram, two_modules: GainsTree, store_dir: Path, dtype: str
) -> None:
    two_modules.replace("M068", "g1_gain.npy", np.full(PLANE, -0.0, dtype))
    assert panelcal("import", "gains-tree", two_modules.path).exit_code == 0
    assert np.signbit(read_back(store_dir)).all()


def test_smallest_and_largest_float32_survive(
    panelcal: RunsProgram, two_modules: GainsTree, store_dir: Path
) -> None:
    limits = np.finfo(np.float32)
    values = plane()
    values[0, :4] = [limits.max, limits.min, limits.smallest_subnormal, limits.tiny]
    two_modules.replace("M068", "g1_gain.npy", values)
    assert panelcal("import", "gains-tree", two_modules.path).exit_code == 0
    assert read_back(store_dir).tobytes() == values.tobytes()


@pytest.mark.filterwarnings("default")
def test_header_written_by_python_2_is_read(
    panelcal: RunsProgram, two_modules: GainsTree, store_dir: Path
) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (4L, 8L), }"
    file = two_modules.path / "M068" / "g1_gain.npy"
    file.write_bytes(npy_with_header(header, plane().tobytes()))
    assert panelcal("import", "gains-tree", two_modules.path).exit_code == 0
    assert read_back(store_dir).tobytes() == plane().tobytes()


def test_cast_rounds_what_float32_cannot_hold(
    panelcal: RunsProgram, two_modules: GainsTree, store_dir: Path
) -> None:
    values = np.linspace(0.1, 41.3, 32).reshape(PLANE)
    two_modules.replace("M068", "g1_gain.npy", values)
    result = panelcal("import", "gains-tree", two_modules.path, "--cast")
    assert result.exit_code == 0, result.output
    assert read_back(store_dir).tobytes() == values.astype(np.float32).tobytes()


@pytest.mark.parametrize("value", [1e39, -1e300])
def test_cast_does_not_make_infinities(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten, value: float
) -> None:
    two_modules.replace("M068", "g1_gain.npy", plane("<f8", at=value))
    reason = refused(panelcal, two_modules, nothing_written, "--cast")["M068"]
    assert "1 value NaN or infinite after the cast to float32, the first at (2, 5)" in reason


@pytest.mark.parametrize("content", ["NaN", "inf", "NaN in float64", "int64", "wrong shape"])
def test_cast_excuses_nothing_else(
    panelcal: RunsProgram, two_modules: GainsTree, nothing_written: NothingWritten, content: str
) -> None:
    file, reason = BAD_FILES[content]
    (two_modules.path / "M068" / "g1_gain.npy").write_bytes(file)
    assert reason in refused(panelcal, two_modules, nothing_written, "--cast")["M068"]


# --- names of entries


BAD_NAMES: dict[str, tuple[str, str]] = {
    "13 digits, as the page has it": (
        f"{PANEL}-2018030600000",
        "13 digits, 14 digits expected",
    ),
    "leading zero": (f"{PANEL}-020180306000000", "15 digits, 14 digits expected"),
    "underscores": (f"{PANEL}-2018_0306_000000", "14 digits expected"),
    "blanks": (f"{PANEL}- 20180306000000", "14 digits expected"),
    "sign": (f"{PANEL}-+2018030600000", "14 digits expected"),
    "other digits": (f"{PANEL}-٢٠١٨٠٣٠٦٠٠٠٠٠٠", "14 digits expected"),
    "word": (f"{PANEL}-old", "'old' is not a time stamp"),
    "nothing": (f"{PANEL}-", "'' is not a time stamp"),
    "readme": ("x-y-z-readme.txt", "'x-y-z' is not a panel id"),
    "month 13": (f"{PANEL}-20181306000000", "20181306000000 is not a time stamp: month"),
    "month 0": (f"{PANEL}-20180006000000", "20180006000000 is not a time stamp: month"),
    "30 February": (f"{PANEL}-20180230000000", "20180230000000 is not a time stamp: day"),
    "29 February 2018": (f"{PANEL}-20180229000000", "20180229000000 is not a time stamp: day"),
    "hour 24": (f"{PANEL}-20180306240000", "20180306240000 is not a time stamp: hour"),
    "second 60": (f"{PANEL}-20180306000060", "20180306000060 is not a time stamp: second"),
    "year 0": (f"{PANEL}-00000101000000", "00000101000000 is not a time stamp: year"),
    "spring gap": (
        f"{PANEL}-20180311023000",
        "20180311023000 does not exist in America/Los_Angeles",
    ),
    "upper case": ("171113-154920171025-3D00FB", "has upper-case letters"),
    "leading zero in a field": ("0171113-154920171025-3d00fb", "has a leading zero"),
    "0x": ("0x171113-154920171025-3d00fb", "not a panel id"),
    "17 digits": ("171113-154920171025-10000000000000000", "64 bits are at most 16"),
    "two panels": (f"{PANEL}_171113", "not a panel id"),
    "no hexadecimal digit": ("171113-154920171025-3d00fg", "holds 'g'"),
    "notes": ("notes-on-gains", "'notes-on-gains' is not a panel id"),
}


@pytest.mark.parametrize(("name", "reason"), BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_malformed_name_is_refused_and_the_rest_is_not_held_responsible(
    panelcal: RunsProgram,
    tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
    name: str,
    reason: str,
) -> None:
    tree.module("M044")
    tree.link(OTHER, "M044")
    tree.link(name, "M044")
    found = refused(panelcal, tree, nothing_written)
    assert list(found) == [name]
    assert reason in found[name]
    taken_without(panelcal, tree)
    assert modules_and_panels(store_dir) == (["M044"], [OTHER])


@pytest.mark.parametrize("make", ["file", "directory"])
@pytest.mark.parametrize("name", [f"{PANEL}-old", "x-y-z-readme.txt"])
def test_malformed_name_is_refused_whatever_it_is(
    panelcal: RunsProgram,
    tree: GainsTree,
    nothing_written: NothingWritten,
    name: str,
    make: str,
) -> None:
    if make == "file":
        (tree.path / name).write_text("notes")
    else:
        write_delivery(tree.path / name)
    assert list(refused(panelcal, tree, nothing_written)) == [name]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (STAMPED, f"{PANEL}-020180306000000"),
        (STAMPED, f"{PANEL}-2018_0306_000000"),
        (STAMPED, f"{PANEL}- 20180306000000"),
        (STAMPED, "171113L-154920171025-3d00fb-20180306000000"),
        (PANEL, "171113-154920171025L-3d00fb"),
    ],
)
def test_equal_stamps_written_differently_are_both_refused(
    panelcal: RunsProgram,
    tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
    first: str,
    second: str,
) -> None:
    tree.module("M044", seed=1)
    tree.module("M068", seed=2)
    tree.link(OTHER, "M044")
    tree.link(first, "M044")
    tree.link(second, "M068")
    found = refused(panelcal, tree, nothing_written)
    assert set(found) == {first, second}
    assert f"the same panel and start as '{second}'" in found[first]
    assert f"the same panel and start as '{first}'" in found[second]
    taken_without(panelcal, tree)
    assert modules_and_panels(store_dir) == (["M044", "M068"], [OTHER])


# --- where entries lead


BAD_TARGETS: dict[str, tuple[str, str]] = {
    "nothing": ("M099", "a link to M099, which does not exist"),
    "nothing, outside": ("/nonexistent/M044", "which does not exist"),
    "a link to nothing": ("dangling", "does not exist"),
    "a file": ("M044/g0_gain.npy", "leads to a file; a directory of constants expected"),
    "through a file": ("M044/g0_gain.npy/x", "does not exist"),
    "too long a name": ("x" * 300, "x"),
    "itself": (STAMPED, "a loop of links"),
    "a loop": ("loop_a", "a loop of links"),
    "the tree": (".", "out of the tree"),
    "above the tree": ("..", "leads out of the tree"),
    "outside": ("../outside", "leads out of the tree"),
    "a module outside": ("../outside/M044", "leads out of the tree"),
    "outside, by a link": ("away", "leads out of the tree"),
}


@pytest.mark.parametrize(("target", "reason"), BAD_TARGETS.values(), ids=BAD_TARGETS.keys())
def test_entry_that_leads_wrong_is_refused(
    panelcal: RunsProgram,
    tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
    target: str,
    reason: str,
) -> None:
    write_delivery(tree.path.parent / "outside" / "M044")
    tree.module("M044")
    tree.link(OTHER, "M044")
    tree.link("dangling", "M099")
    tree.link("loop_a", "loop_b")
    tree.link("loop_b", "loop_a")
    tree.link("away", "../outside/M044")
    tree.link(STAMPED, target)
    found = refused(panelcal, tree, nothing_written)
    assert list(found) == [STAMPED]
    assert reason in found[STAMPED]
    taken_without(panelcal, tree)
    assert modules_and_panels(store_dir) == (["M044"], [OTHER])


def test_two_entries_that_lead_to_each_other_are_both_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    tree.link(STAMPED, OTHER)
    tree.link(OTHER, STAMPED)
    found = refused(panelcal, tree, nothing_written)
    assert set(found) == {STAMPED, OTHER}
    assert all("a loop of links" in reason for reason in found.values())


def test_module_name_that_leads_nowhere_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    tree.link("M045", "M045")
    tree.link("M046", "x" * 300)
    tree.link("M047", "M099")
    found = refused(panelcal, tree, nothing_written)
    assert found["M045"].startswith("a loop of links")
    assert "which leads nowhere: File name too long" in found["M046"]
    assert found["M047"] == "a link to M099, which does not exist"


def test_module_name_that_is_another_name_is_passed_over(
    panelcal: RunsProgram, tree: GainsTree
) -> None:
    tree.module("M044")
    tree.link("M045", "M044")
    result = panelcal("import", "gains-tree", tree.path, "--json")
    told = {entry["name"]: entry for entry in json.loads(result.stdout)["entries"]}
    assert (told["M045"]["status"], told["M045"]["reason"]) == ("ignored", "another name for M044")


@pytest.mark.parametrize("make", ["file", "fifo"])
def test_entry_that_is_no_directory_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten, make: str
) -> None:
    if make == "file":
        (tree.path / STAMPED).write_text("M044")
    else:
        os.mkfifo(tree.path / STAMPED)
    found = refused(panelcal, tree, nothing_written)
    assert found == {STAMPED: "leads to a file; a directory of constants expected"}


def test_directory_whose_name_cannot_be_a_module_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    tree.module("M044 (old)")
    tree.link(STAMPED, "M044 (old)")
    found = refused(panelcal, tree, nothing_written)
    assert "'M044 (old)' is not a module name" in found["M044 (old)"]
    assert STAMPED in found


# --- entries that are real directories


def test_empty_real_directory_is_refused(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, nothing_written: NothingWritten
) -> None:
    panel = "171113-154920171025-3d00b0"
    (page_tree.path / panel).unlink()
    (page_tree.path / panel).mkdir()
    found = refused(panelcal, page_tree, nothing_written)
    assert list(found) == [panel]
    assert found[panel].startswith("none of the files g0_gain.npy, ")
    taken_without(panelcal, page_tree)
    assert panel not in modules_and_panels(store_dir)[1]


def test_real_directory_with_a_bad_file_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    write_delivery(tree.path / PANEL)
    (tree.path / PANEL / "g2_offset.npy").unlink()
    assert refused(panelcal, tree, nothing_written) == {PANEL: "g2_offset.npy: missing"}


def test_real_directory_like_two_modules_is_refused_because_it_is_ambiguous(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path, nothing_written: NothingWritten
) -> None:
    tree.module("M044", seed=1)
    tree.module("M068", seed=1)
    write_delivery(tree.path / PANEL, seed=1)
    found = refused(panelcal, tree, nothing_written)
    assert list(found) == [PANEL]
    assert "the same as in M044, M068: which one is meant?" in found[PANEL]
    taken_without(panelcal, tree)
    assert modules_and_panels(store_dir) == (["M044", "M068"], [])


# --- names that a terminal would not like


NASTY = [
    pytest.param(b"a\nb", id="newline"),
    pytest.param(b"a\xffb", id="no UTF-8"),
    pytest.param(b"a\x1b]0;b", id="escape"),
    pytest.param("a\u202eb".encode(), id="right to left"),
]


def _one_printable_line_each(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("prefix", [b"", b"1-2-", b"1-2-3-"])
def test_nasty_name_is_one_printable_line(
    panelcal: RunsProgram, tree: GainsTree, prefix: bytes, nasty: bytes
) -> None:
    name = os.fsdecode(prefix + nasty)
    (tree.path / name).mkdir()
    tree.module("M044")
    text = panelcal("import", "gains-tree", tree.path)
    assert text.exit_code == (2 if prefix else 0), text.output
    assert _one_printable_line_each(text.stdout)
    assert len(text.stdout.splitlines()) == 4
    document = panelcal("import", "gains-tree", tree.path, "--json").stdout
    entries = json.loads(document)["entries"]
    (entry,) = (entry for entry in entries if entry["name"] != "M044")
    assert entry["name"] == ascii(name)[1:-1]
    assert entry["reason"].isprintable()


@pytest.mark.parametrize("nasty", NASTY)
@pytest.mark.parametrize("kind", ["dangling", "outside", "loop", "alias", "module", "file"])
def test_nasty_target_is_one_printable_line(
    panelcal: RunsProgram, tree: GainsTree, nasty: bytes, kind: str
) -> None:
    name = os.fsdecode(nasty)
    if kind == "dangling":
        tree.link(PANEL, name)
    elif kind == "outside":
        write_delivery(tree.path.parent / name)
        tree.link(PANEL, f"../{name}")
    elif kind == "loop":
        tree.link(PANEL, name)
        tree.link(name, PANEL)
    elif kind == "alias":
        tree.module("M044")
        (tree.path / name).mkdir()
        tree.link("M045", name)
    elif kind == "module":
        tree.module(name)
        tree.link(PANEL, name)
    else:
        (tree.module("M044") / "g0_gain.npy").unlink()
        (tree.path.parent / name).write_text("outside")
        tree.link("M044/g0_gain.npy", f"../../{name}")
    text = panelcal("import", "gains-tree", tree.path)
    assert text.exit_code == (0 if kind == "alias" else 2), repr(text.exception)
    assert _one_printable_line_each(text.stdout)
    report = json.loads(panelcal("import", "gains-tree", tree.path, "--json").stdout)
    assert all(entry["reason"].isprintable() for entry in report["entries"])


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_extra_file_is_one_printable_line(
    panelcal: RunsProgram, tree: GainsTree, nasty: bytes
) -> None:
    (tree.module("M044") / os.fsdecode(nasty)).write_text("extra")
    text = panelcal("import", "gains-tree", tree.path)
    assert text.exit_code == 0, repr(text.exception)
    assert _one_printable_line_each(text.stdout)
    assert ascii(os.fsdecode(nasty))[1:-1] in text.stdout


@pytest.mark.parametrize("nasty", NASTY)
def test_tree_in_a_nasty_directory_is_taken_and_its_record_is_one_printable_line(
    panelcal: RunsProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: bytes
) -> None:
    tree = GainsTree(tmp_path / os.fsdecode(nasty))
    tree.module("M044")
    tree.link(PANEL, "M044")
    monkeypatch.chdir(tree.path)
    taken = panelcal("import", "gains-tree", ".")
    assert taken.exit_code == 0, repr(taken.exception)
    shown = panelcal("module", "show", "M044")
    assert shown.exit_code == 0, repr(shown.exception)
    assert _one_printable_line_each(shown.stdout)
    told = [line for line in shown.stdout.splitlines() if "from the gains tree" in line]
    assert len(told) == 1


@pytest.mark.parametrize("nasty", NASTY)
def test_nasty_tree_that_is_named_is_refused_in_one_printable_line(
    panelcal: RunsProgram, tmp_path: Path, nasty: bytes
) -> None:
    result = panelcal("import", "gains-tree", tmp_path / os.fsdecode(nasty))
    assert result.exit_code == 2, repr(result.exception)
    assert _one_printable_line_each(result.stderr)
    assert "the path holds" in result.stderr
