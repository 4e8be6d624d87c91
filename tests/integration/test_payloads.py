"""The payload store: written once, verified, addressed by digest, read back bit by bit."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from builders import TREE_SHAPE, GainsTree, fingerprint, rows
from conftest import RunsProgram
from panelcal.domain.digest import digest_of
from panelcal.errors import IntegrityError
from panelcal.services import import_gains_tree as importing
from panelcal.storage import payload_batch, payloads
from panelcal.storage.payload_layout import Layout
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore

Array = np.ndarray[Any, np.dtype[np.float32]]

PANEL = "171113-154920171025-3d00fb"


@pytest.fixture
def payload_store(tmp_path: Path) -> PayloadStore:
    """An empty directory of payloads."""
    root = tmp_path / "payloads"
    root.mkdir()
    return PayloadStore(root)


@pytest.fixture
def array() -> Array:
    return np.random.default_rng(1).normal(10, 1, TREE_SHAPE).astype(np.float32)


def put(store: PayloadStore, array: "np.ndarray[Any, Any]") -> str:
    """Add and publish one array."""
    with store.batch() as batch:
        digest = batch.add(array)
        batch.publish()
    return digest


def staged(store: PayloadStore) -> list[Path]:
    """Return what lies under temporary names."""
    return list((store.root / payloads.STAGING_NAME).glob("*"))


def published(store: PayloadStore) -> list[str]:
    return sorted(path.name for path in store.root.glob("??/*"))


def files_of(path: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(file.relative_to(path)): (
            file.stat().st_ino,
            file.stat().st_mtime_ns,
            file.read_bytes(),
        )
        for file in path.rglob("*")
        if file.is_file()
    }


def chunk_of(store: PayloadStore, digest: str) -> Path:
    """Return the one file that holds the values of a payload."""
    (chunk,) = (
        path
        for path in store.path_of(digest).rglob("*")
        if path.is_file() and path.name != "zarr.json"
    )
    return chunk


# --- round trip


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(2).normal(0, 1e3, TREE_SHAPE).astype(np.float32),
        np.zeros(TREE_SHAPE, np.float32),
        np.full(TREE_SHAPE, -0.0, np.float32),
        np.full(TREE_SHAPE, np.finfo(np.float32).max, np.float32),
        np.full(TREE_SHAPE, np.finfo(np.float32).smallest_subnormal, np.float32),
        np.ones((7, 3, 5), np.float32),
    ],
    ids=["random", "all zero", "all -0.0", "largest", "denormal", "another shape"],
)
def test_payload_comes_back_bit_by_bit(payload_store: PayloadStore, values: Array) -> None:
    found = payload_store.get(put(payload_store, values))
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    assert found.tobytes() == values.tobytes()


def test_all_zero_payload_is_written_out_and_its_loss_is_noticed(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, np.zeros(TREE_SHAPE, np.float32))
    chunk = chunk_of(payload_store, digest)
    assert chunk.read_bytes() == bytes(4 * 3 * 4 * 8)
    chunk.unlink()
    with pytest.raises(IntegrityError, match=digest):
        payload_store.get(digest)


def test_payload_of_the_real_shape_comes_back(payload_store: PayloadStore) -> None:
    values = np.random.default_rng(3).random((3, 512, 1024), np.float32)
    assert payload_store.get(put(payload_store, values)).tobytes() == values.tobytes()


def test_payload_does_not_depend_on_the_layout_in_memory(
    payload_store: PayloadStore, array: Array
) -> None:
    digest = put(payload_store, np.asfortranarray(array))
    assert digest == digest_of(array)
    assert payload_store.get(digest).tobytes() == array.tobytes()


# --- format


def test_payload_is_zarr_v3_with_one_uncompressed_chunk(
    payload_store: PayloadStore, array: Array
) -> None:
    digest = put(payload_store, array)
    description = json.loads((payload_store.path_of(digest) / "zarr.json").read_text())
    assert description["zarr_format"] == 3
    assert description["node_type"] == "array"
    assert description["data_type"] == "float32"
    assert description["shape"] == list(TREE_SHAPE)
    assert description["chunk_grid"]["configuration"]["chunk_shape"] == list(TREE_SHAPE)
    assert [codec["name"] for codec in description["codecs"]] == ["bytes"]
    assert chunk_of(payload_store, digest).read_bytes() == array.tobytes()


def test_payload_is_read_by_plain_zarr(payload_store: PayloadStore, array: Array) -> None:
    stored = zarr.open_array(store=payload_store.path_of(put(payload_store, array)), mode="r")
    assert np.asarray(stored[...]).tobytes() == array.tobytes()


def test_payload_is_at_its_digest(payload_store: PayloadStore, array: Array) -> None:
    digest = put(payload_store, array)
    assert digest == digest_of(array)
    assert payload_store.has(digest)
    assert payload_store.path_of(digest) == payload_store.root / digest[:2] / digest
    assert published(payload_store) == [digest]


# --- written once


def test_equal_arrays_of_a_batch_are_one_payload(payload_store: PayloadStore, array: Array) -> None:
    with payload_store.batch() as batch:
        assert batch.add(array) == batch.add(array.copy())
        batch.publish()
    assert published(payload_store) == [digest_of(array)]


def test_stored_payload_is_never_written_again(payload_store: PayloadStore, array: Array) -> None:
    digest = put(payload_store, array)
    before = files_of(payload_store.root)
    assert put(payload_store, array.copy()) == digest
    assert files_of(payload_store.root) == before


def test_payload_that_another_published_meanwhile_is_left_as_it_is(
    payload_store: PayloadStore, array: Array
) -> None:
    with payload_store.batch() as late:
        late.add(array)
        digest = put(payload_store, array)
        before = files_of(payload_store.path_of(digest))
        late.publish()
    assert files_of(payload_store.path_of(digest)) == before
    assert staged(payload_store) == []


def test_damaged_payload_is_not_taken_for_the_array_that_is_added(
    payload_store: PayloadStore, array: Array
) -> None:
    digest = put(payload_store, array)
    chunk_of(payload_store, digest).write_bytes(bytes(4 * 3 * 4 * 8))
    with pytest.raises(IntegrityError, match=digest), payload_store.batch() as batch:
        batch.add(array)


ADDING = """
import sys
from pathlib import Path
import numpy as np
from panelcal.storage.payloads import PayloadStore

with PayloadStore(Path(sys.argv[1])).batch() as batch:
    digest = batch.add(np.ones((3, 4, 8), np.float32))
    print(digest, flush=True)
    sys.stdin.readline()
    batch.publish()
"""


def test_two_processes_that_add_the_same_payload_at_once_both_succeed(
    payload_store: PayloadStore,
) -> None:
    command = [sys.executable, "-c", ADDING, str(payload_store.root)]
    adding = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    written = set()
    for process in adding:
        assert process.stdout is not None
        written.add(process.stdout.readline().strip())
    assert len(staged(payload_store)) == 3, "all of them have written, none has published"
    for process in adding:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in adding:
        process.communicate(timeout=60)
    assert [process.returncode for process in adding] == [0, 0, 0]
    assert published(payload_store) == sorted(written)
    assert len(written) == 1
    assert payload_store.get(written.pop()).tobytes() == np.ones(TREE_SHAPE, np.float32).tobytes()
    assert staged(payload_store) == []


# --- temporary names


def test_nothing_is_visible_before_it_is_published(
    payload_store: PayloadStore, array: Array
) -> None:
    with payload_store.batch() as batch:
        digest = batch.add(array)
        assert not payload_store.has(digest)
        assert len(staged(payload_store)) == 1
    assert not payload_store.has(digest)
    assert published(payload_store) == []
    assert staged(payload_store) == []


def test_temporary_names_are_gone_after_success(payload_store: PayloadStore, array: Array) -> None:
    put(payload_store, array)
    assert staged(payload_store) == []


def test_temporary_names_are_gone_after_failure(payload_store: PayloadStore, array: Array) -> None:
    with pytest.raises(RuntimeError), payload_store.batch() as batch:
        batch.add(array)
        raise RuntimeError
    assert staged(payload_store) == []
    assert published(payload_store) == []


@pytest.mark.parametrize("file", ["chunk", "checksums of blocks"])
def test_what_the_disk_garbled_is_never_published(
    payload_store: PayloadStore, array: Array, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    write = payload_batch._write

    def garble(path: Path, digest: str, values: Array) -> Layout:
        layout = write(path, digest, values)
        if file == "chunk":
            flip_a_byte(path / "c" / "0" / "0" / "0")
            return layout
        described = (path / "zarr.json").read_text()
        assert layout.blocks
        assert layout.blocks in described
        (path / "zarr.json").write_text(described.replace(layout.blocks, layout.blocks[::-1]))
        return layout

    monkeypatch.setattr(payload_batch, "_write", garble)
    with pytest.raises(IntegrityError, match="reads back differently"):
        put(payload_store, array)
    assert published(payload_store) == []
    assert staged(payload_store) == []


# --- between payload and row


@pytest.mark.parametrize("step", ["add_constant_sets", "add_assignments"])
def test_crash_between_payload_and_row_leaves_only_orphans_and_the_next_run_completes(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    before, _ = fingerprint(store_dir)

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing, step, crash)
        assert panelcal("import", "gains-tree", page_tree.path).exit_code != 0
    store = PayloadStore(store_dir / "payloads")
    assert fingerprint(store_dir)[0] == before
    assert len(published(store)) == 6
    assert staged(store) == []
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    digests = [digest for (digest,) in rows(store_dir, "SELECT digest FROM payload")]
    assert sorted(digests) == published(store)
    assert rows(store_dir, "SELECT count(*) FROM assignment") == [(5,)]


def test_full_disk_while_publishing_leaves_nothing_behind(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", fail)
    before = fingerprint(store_dir)
    result = panelcal("import", "gains-tree", page_tree.path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert fingerprint(store_dir) == before


def test_interrupted_publishing_of_some_payloads_is_completed_by_the_next_run(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rename = Path.rename
    moved: list[Path] = []

    def fail_the_third_time(source: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise OSError(5, "Input/output error")
        moved.append(target)
        return rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail_the_third_time)
        assert panelcal("import", "gains-tree", page_tree.path).exit_code == 1
    assert rows(store_dir, "SELECT count(*) FROM payload") == [(0,)]
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert rows(store_dir, "SELECT count(*) FROM payload") == [(6,)]


# --- damage


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage(store: PayloadStore, digest: str, how: str) -> None:
    """Damage a stored payload."""
    path, chunk = store.path_of(digest), chunk_of(store, digest)
    description = path / "zarr.json"
    if how in EDITS:
        old, new = EDITS[how]
        content = description.read_text().replace(" ", "").replace("\n", "")
        assert old in content
        description.write_text(content.replace(old, new))
    elif how == "flipped byte":
        flip_a_byte(chunk)
    elif how == "truncated chunk":
        chunk.write_bytes(chunk.read_bytes()[:-4])
    elif how == "longer chunk":
        chunk.write_bytes(chunk.read_bytes() + bytes(4))
    elif how == "empty chunk":
        chunk.write_bytes(b"")
    elif how == "removed chunk":
        chunk.unlink()
    elif how == "no zarr.json":
        description.unlink()
    elif how == "empty zarr.json":
        description.write_text("")
    elif how == "list in zarr.json":
        description.write_text("[]")
    elif how == "bytes in zarr.json":
        description.write_bytes(b"\xff\xfe")
    elif how == "file in its place":
        shutil.rmtree(path)
        path.write_text("")
    else:
        assert how == "missing payload"
        shutil.rmtree(path)


EDITS = {
    "edited dtype": ('"data_type":"float32"', '"data_type":"int32"'),
    "unknown dtype": ('"data_type":"float32"', '"data_type":"float33"'),
    "edited shape": ('"shape":[3,4,8]', '"shape":[3,8,4]'),
    "giant shape": ("[3,4,8]", "[1000000000,1000000,8]"),
    "edited byte order": ('"endian":"little"', '"endian":"big"'),
    "unknown codec": ('"name":"bytes"', '"name":"no-such-codec"'),
    "no codecs": ('"codecs":[{', '"codecs":[],"other":[{'),
    "zarr 2": ('"zarr_format":3', '"zarr_format":2'),
    "a group": ('"node_type":"array"', '"node_type":"group"'),
    "no shape": ('"shape":[3,4,8]', '"shape":null'),
    "chunks of nothing": ('"chunk_shape":[3,4,8]', '"chunk_shape":[0,4,8]'),
}
DAMAGE = [
    "flipped byte",
    "truncated chunk",
    "longer chunk",
    "empty chunk",
    "removed chunk",
    "no zarr.json",
    "empty zarr.json",
    "list in zarr.json",
    "bytes in zarr.json",
    "file in its place",
    "missing payload",
    *EDITS,
]


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_payload_is_an_integrity_error(
    payload_store: PayloadStore, array: Array, how: str
) -> None:
    digest = put(payload_store, array)
    damage(payload_store, digest, how)
    with pytest.raises(IntegrityError, match=digest):
        payload_store.get(digest)


@pytest.mark.parametrize(
    "how", ["flipped byte", "truncated chunk", "removed chunk", "edited dtype", "missing payload"]
)
def test_get_of_a_damaged_payload_exits_with_5_and_writes_nothing(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store: OpenStore,
    store_dir: Path,
    tmp_path: Path,
    how: str,
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    ((digest,),) = rows(
        store_dir,
        "SELECT digest FROM constant_set_payload "
        "JOIN kind ON kind.id = kind_id AND kind.name = 'pixel_gain' "
        "JOIN constant_set ON constant_set.id = constant_set_id "
        "JOIN module ON module.id = module_id AND module.name = 'M044'",
    )
    damage(store.payloads, digest, how)
    output = tmp_path / "constants.npz"
    result = panelcal("get", PANEL, "--at", "20180419000000", "-o", output)
    assert result.exit_code == 5
    assert digest in result.stderr
    assert not output.exists()


def test_import_over_a_damaged_payload_exits_with_5(
    panelcal: RunsProgram, page_tree: GainsTree, store: OpenStore, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    flip_a_byte(chunk_of(store.payloads, published(store.payloads)[0]))
    before = fingerprint(store_dir)
    result = panelcal("import", "gains-tree", page_tree.path)
    assert result.exit_code == 5
    assert published(store.payloads)[0] in result.stderr
    assert fingerprint(store_dir) == before


def test_lost_payload_is_back_after_what_the_hint_says_deliver_it_again(
    panelcal: RunsProgram, page_tree: GainsTree, store: OpenStore
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    lost = published(store.payloads)[0]
    shutil.rmtree(store.payloads.path_of(lost))
    with pytest.raises(IntegrityError) as error:
        store.payloads.get(lost)
    assert "deliver the same files again" in (error.value.hint or "")
    panelcal("import", "gains-tree", page_tree.path)
    assert digest_of(store.payloads.get(lost)) == lost
