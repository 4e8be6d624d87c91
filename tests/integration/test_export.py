"""``panelcal export`` to local files, and ``panelcal get``."""

import io
import json
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest

from builders import GainsTree, damage, delivered
from conftest import RunsProgram
from legacy_oracle import load_txt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters import npz_file
from panelcal.exporters.text_array import Environment
from panelcal.services import export
from panelcal.services.assemble import assemble, type_of
from panelcal.storage.store import OpenStore

pytestmark = pytest.mark.sqlite_only

DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
DETECTOR = "170505-149520170815-3d00b0_170505-149520170815-3d00f7"
MODULES = ("M068", "M088")
MODERN_PANEL = "190408-181206-50c246df50010d"
PREFIX = f"xcsls3716-r0631_{SOURCE}_{DETECTOR}"
STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}
FORMATS = {"pixel_gain": "%.4f", "pixel_offset": "%.1f"}
ALL_NAMES = sorted(f"{PREFIX}_{kind}.{end}" for kind in STEMS for end in ("txt", "npz"))

Array = np.ndarray[Any, np.dtype[np.float32]]
NothingWritten = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def registered(panelcal: RunsProgram, page_tree: GainsTree) -> GainsTree:
    """The page's tree, imported, and its run 631, registered."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    added = panelcal(
        "run", "add", DATASET, "-s", SOURCE, "--begin", "20171205161400", "--detector-id", DETECTOR
    )
    assert added.exit_code == 0
    return page_tree


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of the program, empty."""
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


def merged(tree: GainsTree, kind: str, modules: tuple[str, ...] = MODULES) -> Array:
    """What was delivered: (gain range, panel, row, column)."""
    return np.stack([delivered(tree.path / one, STEMS[kind]) for one in modules], axis=1)


def printed(array: Array, number_format: str) -> Array:
    """Return the values as a reader gets them after printf."""
    flat = [float(number_format % value) for value in array.ravel().tolist()]
    return np.array(flat, np.float32).reshape(array.shape)


def bits(array: Array) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def names_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.usefixtures("registered")
def test_files_are_named_as_on_the_page_and_nothing_else_is_left(
    panelcal: RunsProgram, out: Path
) -> None:
    result = panelcal("export", DATASET)
    assert result.exit_code == 0
    assert names_in(out) == ALL_NAMES
    assert sorted(result.stdout.splitlines()) == ALL_NAMES


@pytest.mark.parametrize("kind", STEMS)
def test_text_holds_the_delivered_values_as_printf_rounds_them(
    panelcal: RunsProgram, registered: GainsTree, out: Path, kind: str
) -> None:
    assert panelcal("export", DATASET).exit_code == 0
    expected = printed(merged(registered, kind), FORMATS[kind])
    assert bits(load_txt(out / f"{PREFIX}_{kind}.txt")) == bits(expected)


@pytest.mark.parametrize("kind", STEMS)
def test_npz_holds_the_delivered_values_bit_by_bit(
    panelcal: RunsProgram, registered: GainsTree, out: Path, kind: str
) -> None:
    assert panelcal("export", DATASET).exit_code == 0
    with np.load(out / f"{PREFIX}_{kind}.npz", allow_pickle=False) as found:
        assert bits(found[kind]) == bits(merged(registered, kind))


@pytest.mark.parametrize("kind", STEMS)
def test_full_precision_text_brings_every_bit_back(
    panelcal: RunsProgram, registered: GainsTree, out: Path, kind: str
) -> None:
    assert panelcal("export", DATASET, "--precision", "full").exit_code == 0
    assert bits(load_txt(out / f"{PREFIX}_{kind}.txt")) == bits(merged(registered, kind))


@pytest.mark.usefixtures("registered")
def test_text_says_token_run_place_and_panels_in_its_comments(
    panelcal: RunsProgram, out: Path
) -> None:
    token = json.loads(panelcal("resolve", DATASET, "--json").stdout)["token"]
    assert panelcal("export", DATASET, "--format", "txt").exit_code == 0
    head = (out / f"{PREFIX}_pixel_gain.txt").read_text().split("\n\n")[0]
    assert token in head.splitlines()[0]
    assert all(word in head for word in (*DETECTOR.split("_"), *MODULES))


@pytest.mark.parametrize("end", ["txt", "npz"])
@pytest.mark.usefixtures("registered")
def test_format_chooses_which_files_are_written(panelcal: RunsProgram, out: Path, end: str) -> None:
    assert panelcal("export", DATASET, "--format", end).exit_code == 0
    assert names_in(out) == [name for name in ALL_NAMES if name.endswith(end)]


@pytest.mark.usefixtures("registered")
def test_output_names_the_directory_which_is_made(panelcal: RunsProgram, out: Path) -> None:
    assert panelcal("export", DATASET, "-o", "a/b", "--format", "npz").exit_code == 0
    assert names_in(out / "a" / "b") == [name for name in ALL_NAMES if name.endswith("npz")]


@pytest.mark.usefixtures("registered")
def test_local_files_leave_no_trace_in_the_store(
    panelcal: RunsProgram, out: Path, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        assert panelcal("export", DATASET, "-o", out).exit_code == 0


@pytest.mark.usefixtures("registered")
def test_json_names_the_files_and_the_token_of_resolve(panelcal: RunsProgram, out: Path) -> None:
    resolved = json.loads(panelcal("resolve", DATASET, "--json").stdout)
    document = json.loads(panelcal("export", DATASET, "-o", out, "--json").stdout)
    assert sorted(document.pop("files")) == sorted(str(out / name) for name in ALL_NAMES)
    assert document == {
        "dataset": DATASET,
        "source": SOURCE,
        "token": resolved["token"],
        "deployed": [],
        "dcs": [],
        "upload_commands": [],
    }


def test_the_time_asked_about_chooses_the_constants(
    panelcal: RunsProgram, registered: GainsTree, out: Path
) -> None:
    panel = DETECTOR.split("_")[0]
    assigned = panelcal("assign", panel, "M044", "--from", "20180101000000", "--reason", "test")
    assert assigned.exit_code == 0
    for at, modules in (("20171231235959", MODULES), ("20180101000000", ("M044", "M088"))):
        assert panelcal("export", DATASET, "--at", at, "--format", "npz").exit_code == 0
        with np.load(out / f"{PREFIX}_pixel_gain.npz") as found:
            assert bits(found["pixel_gain"]) == bits(merged(registered, "pixel_gain", modules))


def test_eight_modern_panels_get_the_newer_name_and_a_notice(
    panelcal: RunsProgram, registered: GainsTree, out: Path
) -> None:
    detector = "_".join([MODERN_PANEL] * 8)
    panelcal("assign", MODERN_PANEL, "M044", "--from-beginning", "--reason", "test")
    panelcal(
        "run", "add", "exp=mfxc00118:run=7", "-s", "MfxEndstation.0:Jungfrau.1",
        "--begin", "20190506070809", "--detector-id", detector,
    )  # fmt: skip
    result = panelcal("export", "exp=mfxc00118:run=7", "--format", "txt")
    assert result.exit_code == 0
    prefix = "MfxEndstation.0:Jungfrau.1-20190506070809-mfxc00118-r0007"
    assert names_in(out) == [f"{prefix}_pixel_gain.txt", f"{prefix}_pixel_offset.txt"]
    assert "255 bytes" in result.stderr
    expected = printed(merged(registered, "pixel_gain", ("M044",) * 8), "%.4f")
    assert bits(load_txt(out / f"{prefix}_pixel_gain.txt")) == bits(expected)


@pytest.mark.usefixtures("registered")
def test_a_usual_name_needs_no_notice(panelcal: RunsProgram, out: Path) -> None:
    assert "255" not in panelcal("export", DATASET, "-o", out).stderr


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("kind", STEMS)
def test_a_damaged_payload_leaves_no_file_at_all(
    panelcal: RunsProgram, store_dir: Path, out: Path, kind: str
) -> None:
    damage(store_dir, "M088", kind)
    assert panelcal("export", DATASET).exit_code == 5
    assert names_in(out) == []


@pytest.mark.usefixtures("registered")
def test_a_damaged_payload_makes_no_directory(
    panelcal: RunsProgram, store_dir: Path, out: Path
) -> None:
    damage(store_dir, "M088", "pixel_offset")
    assert panelcal("export", DATASET, "-o", "a/b").exit_code == 5
    assert names_in(out) == []


@pytest.mark.usefixtures("registered")
def test_existing_files_stay_if_anything_fails_to_verify(
    panelcal: RunsProgram, store_dir: Path, out: Path
) -> None:
    for name in ALL_NAMES:
        (out / name).write_bytes(b"old")
    damage(store_dir, "M088", "pixel_offset")
    assert panelcal("export", DATASET).exit_code == 5
    assert {path.name: path.read_bytes() for path in out.iterdir()} == dict.fromkeys(
        ALL_NAMES, b"old"
    )


def test_existing_files_are_replaced_by_what_is_verified(
    panelcal: RunsProgram, registered: GainsTree, out: Path
) -> None:
    for name in ALL_NAMES:
        (out / name).write_bytes(b"old")
    assert panelcal("export", DATASET).exit_code == 0
    assert names_in(out) == ALL_NAMES
    for kind in STEMS:
        expected = merged(registered, kind)
        assert bits(load_txt(out / f"{PREFIX}_{kind}.txt")) == bits(
            printed(expected, FORMATS[kind])
        )
        with np.load(out / f"{PREFIX}_{kind}.npz") as found:
            assert bits(found[kind]) == bits(expected)


@pytest.mark.usefixtures("registered", "out")
def test_no_array_outlives_the_files_of_its_kind(
    panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    former: list[weakref.ref[Array]] = []

    def assembled(*arguments: Any) -> Array:
        assert [array for array in former if array() is not None] == []
        array = assemble(*arguments)
        former.append(weakref.ref(array))
        return array

    monkeypatch.setattr(export, "assemble", assembled)
    assert panelcal("export", DATASET).exit_code == 0
    assert len(former) == len(STEMS)


@pytest.mark.parametrize("precision", ["legacy", "full"])
@pytest.mark.usefixtures("registered")
def test_text_copied_for_another_answer_is_what_writing_it_would_make(
    store: OpenStore, tmp_path: Path, precision: export.Precision
) -> None:
    environment = Environment("tester", "psana1507", "/reg/d")
    writing = export.Writing(precision, environment, datetime(2026, 2, 1, tzinfo=UTC))
    earlier = export.answer_for(store, DATASET, None, at="20171206000000")
    later = export.answer_for(store, DATASET, None, at="20171207000000")
    kind = type_of(store, later.resolution).kind("pixel_gain")
    array = assemble(store.payloads, later.resolution, kind.name)
    final = tmp_path / "700-end.data"
    paths = {name: tmp_path / name for name in ("source", "copied", "written")}
    of_source = export.write_text(paths["source"], final, array, kind, earlier, writing)
    copied = export.copy_text(
        paths["copied"], final, paths["source"], array.shape, kind, later, writing
    )
    written = export.write_text(paths["written"], final, array, kind, later, writing)
    assert (copied, paths["copied"].read_bytes()) == (written, paths["written"].read_bytes())
    assert copied != of_source
    with pytest.raises(InvalidInputError, match="states"):
        export.copy_text(
            tmp_path / "other", final, paths["source"], (3, 1, 4, 8), kind, later, writing
        )


@pytest.mark.parametrize("place", [0, 1000, -1])
def test_an_npz_file_that_reads_back_differently_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    monkeypatch.setattr(npz_file, "_READ_BYTES", 100)
    array = np.arange(3 * 2 * 20 * 30, dtype=np.float32).reshape(3, 2, 20, 30)
    path = tmp_path / "arrays.npz"
    npz_file.write_npz(path, "pixel_gain", array, "0123")
    others = {
        "a value": np.where(np.arange(array.size) == place % array.size, -7, array.ravel()),
        "its shape": array[:, :1].repeat(2, axis=1).swapaxes(2, 3),
        "its order": np.asfortranarray(array),
        "its type": array.astype(np.float64),
        "its length": array[:2],
        "its order, of the same bytes": array.ravel().reshape(array.shape, order="F"),
        "its type, of the same bytes": array.view(np.int32),
    }
    others["a value"] = others["a value"].astype(np.float32).reshape(array.shape)
    writes = np.savez
    for other in others.values():

        def something_else(path: Path, *, other: Array = other, **arrays: Any) -> None:
            writes(path, **(arrays | {"pixel_gain": other}))

        monkeypatch.setattr(np, "savez", something_else)
        with pytest.raises(IntegrityError, match=r"arrays\.npz reads back differently"):
            npz_file.write_npz(path, "pixel_gain", array, "0123")


@pytest.mark.parametrize("part", [b"\x93NUMPY", b"descr", b"pixel_gain.npy", b"PK\x05\x06"])
def test_a_damaged_npz_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    path, writes = tmp_path / "arrays.npz", np.savez

    def damaged(path: Path, **arrays: Any) -> None:
        writes(path, **arrays)
        path.write_bytes(path.read_bytes().replace(part, bytes(len(part))))

    monkeypatch.setattr(np, "savez", damaged)
    with pytest.raises(IntegrityError, match=r"arrays\.npz reads back differently"):
        npz_file.write_npz(path, "pixel_gain", np.zeros((3, 4, 8), np.float32), "0123")


def test_an_npz_file_that_lacks_the_last_value_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(path: Path, *, pixel_gain: Array, **_rest: Any) -> None:
        stream = io.BytesIO()
        np.save(stream, pixel_gain)
        with ZipFile(path, "w") as archive:
            archive.writestr("pixel_gain.npy", stream.getvalue()[:-4])

    monkeypatch.setattr(np, "savez", cut)
    with pytest.raises(IntegrityError, match=r"arrays\.npz reads back differently"):
        npz_file.write_npz(
            tmp_path / "arrays.npz", "pixel_gain", np.ones((3, 4), np.float32), "0123"
        )


@pytest.mark.usefixtures("registered")
def test_an_output_directory_that_is_a_file_is_invalid_input(
    panelcal: RunsProgram, out: Path
) -> None:
    (out / "file").write_bytes(b"old")
    assert panelcal("export", DATASET, "-o", "file").exit_code == 2
    assert (out / "file").read_bytes() == b"old"


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [
        (["exp=xcsls3716:run=632"], 3),
        (["exp=xcsls3716:run=631", "-s", "Jungfrau.7"], 3),
        (["exp=xcsls3716:run=631", "--at", "20170101000000"], 3),
        (["xcsls3716"], 2),
        (["exp=xcsls3716:run=631", "--at", "2017"], 2),
        (["exp=xcsls3716:run=631", "--format", "xls"], 2),
        (["exp=xcsls3716:run=631", "--precision", "half"], 2),
    ],
)
def test_a_question_without_answer_writes_nothing(
    panelcal: RunsProgram, out: Path, arguments: list[str], exit_code: int
) -> None:
    result = panelcal("export", *arguments)
    assert (result.exit_code, result.stdout, names_in(out)) == (exit_code, "", [])
    assert result.stderr


@pytest.mark.usefixtures("registered")
def test_an_unknown_run_is_answered_with_the_nearest(panelcal: RunsProgram, out: Path) -> None:
    assert "631" in panelcal("export", "exp=xcsls3716:run=632", "-o", out).stderr


@pytest.mark.parametrize("target", [DATASET, DETECTOR])
@pytest.mark.parametrize("kind", STEMS)
def test_get_writes_one_kind_to_npy_bit_by_bit(
    panelcal: RunsProgram, registered: GainsTree, out: Path, target: str, kind: str
) -> None:
    assert panelcal("get", target, "-k", kind, "-o", "x.npy").exit_code == 0
    found = np.load(out / "x.npy", allow_pickle=False)
    assert found.shape == (3, 2, 4, 8)
    assert bits(found) == bits(merged(registered, kind))


def test_get_writes_all_kinds_to_npz_bit_by_bit(
    panelcal: RunsProgram, registered: GainsTree, out: Path
) -> None:
    assert panelcal("get", DATASET, "-o", "x.npz").exit_code == 0
    with np.load(out / "x.npz", allow_pickle=False) as found:
        assert sorted(found) == sorted(STEMS)
        assert all(bits(found[kind]) == bits(merged(registered, kind)) for kind in STEMS)


@pytest.mark.usefixtures("registered")
def test_get_writes_one_kind_to_npz(panelcal: RunsProgram, out: Path) -> None:
    assert panelcal("get", DATASET, "-k", "pixel_offset", "-o", "x.npz").exit_code == 0
    with np.load(out / "x.npz") as found:
        assert list(found) == ["pixel_offset"]


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0)])
def test_get_keeps_the_order_of_the_segments(
    panelcal: RunsProgram, registered: GainsTree, out: Path, order: tuple[int, ...]
) -> None:
    detector = "_".join(DETECTOR.split("_")[segment] for segment in order)
    assert panelcal("get", detector, "-k", "pixel_gain", "-o", "x.npy").exit_code == 0
    modules = tuple(MODULES[segment] for segment in order)
    assert bits(np.load(out / "x.npy")) == bits(merged(registered, "pixel_gain", modules))


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["-o", "x.npy"], 2, "-k"),
        (["-o", "x.txt"], 2, "x.txt"),
        (["-o", "x"], 2, "x"),
        (["-k", "pixel_gain", "-o", "none/x.npy"], 2, "none"),
        (["-k", "pixel_mask", "-o", "x.npz"], 3, "pixel_mask"),
        (["-o", "x.npz", "--at", "20170101000000"], 3, "3d00b0"),
    ],
)
def test_get_refuses_what_it_cannot_write(
    panelcal: RunsProgram, out: Path, arguments: list[str], exit_code: int, said: str
) -> None:
    result = panelcal("get", DATASET, *arguments)
    assert (result.exit_code, names_in(out)) == (exit_code, [])
    assert said in result.stderr


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("arguments", [["-o", "x.npz"], ["-k", "pixel_offset", "-o", "x.npy"]])
def test_get_of_a_damaged_payload_leaves_what_was_there(
    panelcal: RunsProgram, store_dir: Path, out: Path, arguments: list[str]
) -> None:
    (out / arguments[-1]).write_bytes(b"old")
    damage(store_dir, "M088", "pixel_offset")
    assert panelcal("get", DATASET, *arguments).exit_code == 5
    assert names_in(out) == [arguments[-1]]
    assert (out / arguments[-1]).read_bytes() == b"old"


@pytest.mark.usefixtures("registered")
def test_get_needs_no_payload_of_another_kind(
    panelcal: RunsProgram, store_dir: Path, out: Path
) -> None:
    damage(store_dir, "M088", "pixel_offset")
    assert panelcal("get", DATASET, "-k", "pixel_gain", "-o", "x.npy").exit_code == 0
    assert names_in(out) == ["x.npy"]
