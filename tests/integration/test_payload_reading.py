"""Reading payloads: straight from the file where it can be, through zarr where it must."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, GzipCodec
from zarr.storage import LocalStore

from builders import TREE_SHAPE
from panelcal.domain.digest import digest_of
from panelcal.errors import IntegrityError
from panelcal.storage import payload_reading
from panelcal.storage.payload_checksums import block_checksums_of, checksum_of
from panelcal.storage.payload_files import BLOCK_BYTES, aligned_empty
from panelcal.storage.payload_layout import (
    ATTRIBUTE,
    BLOCKS_ATTRIBUTE,
    MAX_DESCRIPTION_BYTES,
    description,
)
from panelcal.storage.payloads import PayloadStore

Array = np.ndarray[Any, np.dtype[np.float32]]

OLD_STORE = Path(__file__).parents[1] / "data" / "store-0001"


@pytest.fixture
def payload_store(tmp_path: Path) -> PayloadStore:
    """An empty directory of payloads."""
    root = tmp_path / "payloads"
    root.mkdir()
    return PayloadStore(root)


@pytest.fixture
def no_zarr(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail whatever would be read by zarr."""

    def refuse(path: Path) -> None:
        pytest.fail(f"{path} was read by zarr")

    monkeypatch.setattr(payload_reading, "_array_of", refuse)


def some(seed: int, shape: tuple[int, ...] = TREE_SHAPE) -> Array:
    return np.random.default_rng(seed).normal(10, 1, shape).astype(np.float32)


def put(store: PayloadStore, array: Array) -> str:
    """Add and publish one array."""
    with store.batch() as batch:
        digest = batch.add(array)
        batch.publish()
    return digest


def put_by_zarr(store: PayloadStore, array: "np.ndarray[Any, Any]", **layout: Any) -> str:
    """Store an array as another program might lay it out."""
    digest = digest_of(array)
    layout = {"chunks": array.shape, "compressors": None, "filters": None} | layout
    stored = zarr.create_array(
        store=LocalStore(store.path_of(digest)),
        shape=array.shape,
        dtype=array.dtype,
        zarr_format=3,
        config={"write_empty_chunks": True},
        **layout,
    )
    stored[...] = array
    return digest


def chunk_of(store: PayloadStore, digest: str) -> Path:
    return store.path_of(digest) / "c" / "0" / "0" / "0"


def edit(store: PayloadStore, digest: str, **changes: Any) -> None:
    """Change keys of a payload's description."""
    path = store.path_of(digest) / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def as_if_old(store: PayloadStore, digest: str) -> None:
    """Take away what payloads did not have before there were checksums."""
    edit(store, digest, attributes={})


# --- the layout


def test_description_is_the_one_that_zarr_writes_for_such_an_array(
    payload_store: PayloadStore,
) -> None:
    array = some(1)
    digest = put_by_zarr(payload_store, array, fill_value=0)
    path = payload_store.path_of(digest) / "zarr.json"
    theirs = json.loads(path.read_text())
    shutil.rmtree(payload_store.path_of(digest))
    put(payload_store, array)
    ours = json.loads(path.read_text())
    told = ours.pop("attributes")
    assert ours == {key: theirs[key] for key in ours}
    assert told == {
        ATTRIBUTE: {"digest": digest, "xxh3_128": checksum_of(array)},
        BLOCKS_ATTRIBUTE: {"bytes": 2**14, "xxh3_64": block_checksums_of(array, digest)},
    }


def test_checksum_covers_what_the_digest_covers() -> None:
    values = some(1)
    assert checksum_of(values) == checksum_of(values.copy())
    assert (
        len({checksum_of(values), checksum_of(values.reshape(4, 3, 8)), checksum_of(-values)}) == 3
    )


@pytest.mark.usefixtures("no_zarr")
def test_own_payload_is_read_without_zarr(payload_store: PayloadStore) -> None:
    array = some(1)
    assert payload_store.get(put(payload_store, array)).tobytes() == array.tobytes()


OTHER_LAYOUTS: dict[str, dict[str, Any]] = {
    "several chunks": {"chunks": (1, 4, 8)},
    "ragged chunks": {"chunks": (2, 3, 5)},
    "compressed": {"compressors": GzipCodec()},
    "sharded": {"chunks": (1, 4, 8), "shards": TREE_SHAPE},
    "big-endian": {"serializer": BytesCodec(endian="big")},
    "other chunk names": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "no checksum": {},
}


@pytest.mark.parametrize("layout", OTHER_LAYOUTS.values(), ids=OTHER_LAYOUTS)
def test_other_layouts_are_read_by_zarr_bit_by_bit(
    payload_store: PayloadStore, layout: dict[str, Any]
) -> None:
    array = some(1)
    digest = put_by_zarr(payload_store, array, **layout)
    out = np.zeros(TREE_SHAPE, np.float32)
    assert payload_store.find(digest).read(out) is out
    for found in (payload_store.get(digest), payload_store.audit(digest), out):
        assert found.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "layout",
    [layout for name, layout in OTHER_LAYOUTS.items() if name != "no checksum"],
    ids=[name for name in OTHER_LAYOUTS if name != "no checksum"],
)
def test_other_layouts_are_read_by_zarr_although_they_have_a_checksum(
    payload_store: PayloadStore, layout: dict[str, Any]
) -> None:
    array = some(1)
    told = description(TREE_SHAPE, digest_of(array), checksum_of(array))["attributes"]
    digest = put_by_zarr(payload_store, array, attributes=told, **layout)
    assert payload_store.get(digest).tobytes() == array.tobytes()


def test_payload_of_another_dtype_is_returned_but_not_put_among_float32(
    payload_store: PayloadStore,
) -> None:
    array = some(1).astype(np.float64)
    digest = put_by_zarr(payload_store, array)
    assert payload_store.get(digest).dtype == np.float64
    with pytest.raises(IntegrityError, match="float64, float32 expected"):
        payload_store.find(digest).read(np.zeros(TREE_SHAPE, np.float32))


def test_payloads_of_the_first_release_are_read_and_verified_by_their_digest(
    tmp_path: Path,
) -> None:
    root = tmp_path / "payloads"
    shutil.copytree(OLD_STORE / "payloads", root)
    store = PayloadStore(root)
    digests = [path.name for path in root.glob("??/*")]
    assert digests
    for digest in digests:
        assert digest_of(store.get(digest)) == digest
        flip_a_byte(chunk_of(store, digest))
        with pytest.raises(IntegrityError, match="holds other values: digest"):
            store.get(digest)


# --- into place


@pytest.mark.usefixtures("no_zarr")
@pytest.mark.parametrize("shape", [(1, 1), (3, 256, 257), (2, 512, 300), (1, 70_001)], ids=str)
def test_arrays_of_any_number_of_blocks_come_back(
    payload_store: PayloadStore, shape: tuple[int, ...]
) -> None:
    array = some(1, shape)
    digest = put(payload_store, array)
    among = np.zeros((shape[0], 3, *shape[1:]), np.float32)
    payload_store.find(digest).read(among[:, 1])
    assert payload_store.get(digest).tobytes() == array.tobytes()
    assert among[:, 1].tobytes() == array.tobytes()
    assert not among[:, ::2].any()


@pytest.mark.usefixtures("no_zarr")
def test_short_reads_are_continued(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = some(1, (3, 64, 1024))
    digest = put(payload_store, array)
    read = os.preadv

    def interrupted(handle: int, buffers: list[memoryview], offset: int) -> int:
        return read(handle, [buffers[0][: 1 + len(buffers[0]) // 2]], offset)

    monkeypatch.setattr(os, "preadv", interrupted)
    assert payload_store.get(digest).tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 8, 4), np.float32),
        np.zeros((1, *TREE_SHAPE), np.float32),
        np.zeros(TREE_SHAPE, np.float64),
        np.zeros(TREE_SHAPE, ">f4"),
    ],
    ids=["shape", "dimension", "dtype", "byte order"],
)
def test_memory_that_does_not_fit_is_refused(
    payload_store: PayloadStore, out: "np.ndarray[Any, Any]"
) -> None:
    payload = payload_store.find(put(payload_store, some(1)))
    with pytest.raises(ValueError, match="cannot take float32"):
        payload.read(out)


def test_new_arrays_begin_at_a_page() -> None:
    for shape in ((3, 512, 1024), (3, 4, 8), (1,)):
        array = aligned_empty(shape)
        assert array.__array_interface__["data"][0] % 4096 == 0
        assert array.shape == shape
        assert array.dtype.str == "<f4"
        assert array.flags.c_contiguous
        assert array.flags.writeable


# --- counts

COUNTING = """
import json, os, sys
from pathlib import Path
root, digest = sys.argv[1:]
opened, read = [], []
def hook(event, arguments):
    if event == "open" and str(arguments[0]).startswith(root):
        opened.append(os.path.relpath(arguments[0], root))
sys.addaudithook(hook)
preadv = os.preadv
def counted(handle, buffers, offset):
    read.append(preadv(handle, buffers, offset))
    return read[-1]
os.preadv = counted
from panelcal.storage.payloads import PayloadStore
assert "numpy" not in sys.modules
PayloadStore(Path(root)).get(digest)
print(json.dumps({"opened": opened, "bytes": sum(read), "modules": list(sys.modules)}))
"""


def test_get_opens_two_files_reads_every_byte_once_and_imports_no_zarr(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, some(1, (3, 256, 512)))
    command = [sys.executable, "-c", COUNTING, str(payload_store.root), digest]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    at = f"{digest[:2]}/{digest}"
    assert told["opened"] == [f"{at}/zarr.json", f"{at}/c/0/0/0"]
    described = (payload_store.path_of(digest) / "zarr.json").stat().st_size
    assert told["bytes"] == described + 4 * 3 * 256 * 512
    assert not {"zarr", "sqlalchemy"} & set(told["modules"])


# --- damage


def flip_a_byte(path: Path, place: int | None = None) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if place is None else place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0, BLOCK_BYTES - 1, BLOCK_BYTES, -1])
def test_one_flipped_bit_anywhere_is_noticed(payload_store: PayloadStore, place: int) -> None:
    digest = put(payload_store, some(1, (3, 256, 512)))
    flip_a_byte(chunk_of(payload_store, digest), place)
    with pytest.raises(IntegrityError, match=f"{digest} .* holds other values: xxh3"):
        payload_store.get(digest)


def swap(first: Path, second: Path) -> None:
    between = first.with_name("between")
    first.rename(between)
    second.rename(first)
    between.rename(second)


def test_swapped_chunks_are_noticed(payload_store: PayloadStore) -> None:
    digests = [put(payload_store, some(seed)) for seed in (1, 2)]
    swap(chunk_of(payload_store, digests[0]), chunk_of(payload_store, digests[1]))
    for digest in digests:
        with pytest.raises(IntegrityError, match=f"{digest} .* holds other values"):
            payload_store.get(digest)


def test_swapped_payloads_are_noticed(payload_store: PayloadStore) -> None:
    digests = [put(payload_store, some(seed)) for seed in (1, 2)]
    swap(payload_store.path_of(digests[0]), payload_store.path_of(digests[1]))
    for digest in digests:
        with pytest.raises(IntegrityError, match=f"{digest} .* names another payload"):
            payload_store.get(digest)


def test_equal_bytes_of_another_shape_are_noticed(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some(1))
    other = description((3, 8, 4), digest, "0" * 32)
    told = json.loads((payload_store.path_of(digest) / "zarr.json").read_text())["attributes"]
    edit(payload_store, digest, **(other | {"attributes": told}))
    with pytest.raises(IntegrityError, match=f"{digest} .* holds other values: xxh3"):
        payload_store.get(digest)


OTHER_ATTRIBUTES: dict[str, Any] = {
    "another digest": {ATTRIBUTE: {"digest": "0" * 64, "xxh3_128": "0" * 32}},
    "no digest": {ATTRIBUTE: {"xxh3_128": "0" * 32}},
    "no checksum": {ATTRIBUTE: {"digest": "0" * 64}},
    "a number": {ATTRIBUTE: 1},
    "a list": {ATTRIBUTE: []},
    "no names": [1],
    "text": "panelcal",
}


@pytest.mark.parametrize("attributes", OTHER_ATTRIBUTES.values(), ids=OTHER_ATTRIBUTES)
def test_attributes_that_are_not_the_payloads_are_an_integrity_error(
    payload_store: PayloadStore, attributes: Any
) -> None:
    digest = put(payload_store, some(1))
    edit(payload_store, digest, attributes=attributes)
    with pytest.raises(IntegrityError, match=digest):
        payload_store.get(digest)


def test_another_checksum_is_an_integrity_error(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some(1))
    edit(payload_store, digest, attributes=description(TREE_SHAPE, digest, "0" * 32)["attributes"])
    with pytest.raises(IntegrityError, match="holds other values: xxh3"):
        payload_store.get(digest)


DEEP = b"[" * 200_000
OTHER_DESCRIPTIONS = {
    "no JSON": b"{'shape': 1}",
    "nested too deep": b'{"shape": ' + DEEP,
    "a number of many digits": b'{"shape": [' + b"9" * 10_000 + b"]}",
    "NaN": b'{"shape": [NaN, 4, 8]}',
    "a side of half a pixel": b'{"shape": [3, 4, 8.0]}',
    "a negative side": b'{"shape": [-3, 4, 8]}',
    "a side that is true": b'{"shape": [true, 4, 8]}',
    "many dimensions": b'{"shape": [' + b"1," * 99 + b"1]}",
    "bytes": b"\xff\xfe\xfd",
}


@pytest.mark.usefixtures("no_zarr")
@pytest.mark.parametrize("text", OTHER_DESCRIPTIONS.values(), ids=OTHER_DESCRIPTIONS)
def test_descriptions_of_no_array_are_an_integrity_error(
    payload_store: PayloadStore, text: bytes
) -> None:
    digest = put(payload_store, some(1))
    (payload_store.path_of(digest) / "zarr.json").write_bytes(text)
    with pytest.raises(IntegrityError, match=digest):
        payload_store.get(digest)


def test_huge_description_is_an_integrity_error(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some(1))
    path = payload_store.path_of(digest) / "zarr.json"
    path.write_bytes(path.read_bytes().ljust(MAX_DESCRIPTION_BYTES + 1))
    with pytest.raises(IntegrityError, match=f"{digest} cannot be read: zarr.json has"):
        payload_store.get(digest)


@pytest.mark.parametrize("side", [2**20, 2**40, 2**70])
def test_no_memory_is_taken_for_a_payload_that_declares_too_much(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    digest = put(payload_store, some(1))
    told = json.loads((payload_store.path_of(digest) / "zarr.json").read_text())["attributes"]
    other = description((3, 1024, side), digest, "0" * 32) | {"attributes": told}
    edit(payload_store, digest, **other)
    monkeypatch.setattr(payload_reading, "aligned_empty", pytest.fail)
    with pytest.raises(IntegrityError, match=f"{digest} cannot be read: it declares"):
        payload_store.get(digest)


def test_no_memory_is_taken_for_a_chunk_of_another_size(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(payload_store, some(1))
    chunk_of(payload_store, digest).write_bytes(bytes(10))
    monkeypatch.setattr(payload_reading, "aligned_empty", pytest.fail)
    with pytest.raises(IntegrityError, match="its chunk has 10 bytes, 384 expected"):
        payload_store.get(digest)


def replace_by(path: Path, what: str) -> None:
    path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    elif what == "directory":
        path.mkdir()
    elif what == "loop":
        path.symlink_to(path.name)
    else:
        assert what == "nothing"


@pytest.mark.parametrize("what", ["pipe", "directory", "loop", "nothing"])
@pytest.mark.parametrize("name", ["zarr.json", "c/0/0/0"])
@pytest.mark.parametrize("is_old", [False, True], ids=["with checksum", "old"])
def test_what_is_no_file_is_an_integrity_error_and_is_not_waited_for(
    payload_store: PayloadStore, what: str, name: str, is_old: bool
) -> None:
    digest = put(payload_store, some(1))
    if is_old:
        as_if_old(payload_store, digest)
    replace_by(payload_store.path_of(digest) / name, what)
    with pytest.raises(IntegrityError, match=digest) as error:
        payload_store.get(digest)
    assert "deliver the same files again" in (error.value.hint or "")
    if what in {"pipe", "directory"} and not (is_old and name != "zarr.json"):
        assert "not a regular file" in error.value.message


def test_chunk_that_is_cut_while_it_is_read_is_an_integrity_error(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(payload_store, some(1))
    read = os.preadv

    def cut(handle: int, buffers: list[memoryview], offset: int) -> int:
        chunk_of(payload_store, digest).write_bytes(bytes(8))
        return read(handle, buffers, offset)

    payload = payload_store.find(digest)
    monkeypatch.setattr(os, "preadv", cut)
    with pytest.raises(IntegrityError, match="cut short after 8 bytes"):
        payload.read()


@pytest.mark.parametrize("name", ["zarr.json", "0"])
def test_file_that_may_not_be_read_is_not_called_damaged(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    digest = put(payload_store, some(1))
    opened = os.open

    def closed(path: Path, flags: int) -> int:
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags)

    monkeypatch.setattr(os, "open", closed)
    with pytest.raises(PermissionError):
        payload_store.get(digest)


@pytest.mark.parametrize("obstacle", [PermissionError(13, "Permission denied"), MemoryError()])
def test_what_zarr_may_not_open_is_not_called_damaged(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch, obstacle: Exception
) -> None:
    digest = put_by_zarr(payload_store, some(1))

    def closed(*_: object, **__: object) -> None:
        raise obstacle

    monkeypatch.setattr(zarr, "open_array", closed)
    with pytest.raises(type(obstacle)):
        payload_store.get(digest)


# --- audit


def forge(store: PayloadStore, digest: str, array: Array) -> None:
    """Replace values together with their checksum: a payload that was never written so."""
    chunk_of(store, digest).write_bytes(array.tobytes())
    told = description(TREE_SHAPE, digest, checksum_of(array))["attributes"]
    edit(store, digest, attributes=told)


def test_audit_finds_values_that_were_replaced_together_with_their_checksum(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, some(1))
    assert payload_store.audit(digest).tobytes() == some(1).tobytes()
    forge(payload_store, digest, some(2))
    payload_store.get(digest)
    with pytest.raises(IntegrityError, match=f"holds other values: digest {digest_of(some(2))}"):
        payload_store.audit(digest)


@pytest.mark.parametrize("how", ["forged", "flipped", "old and flipped", "missing chunk"])
def test_new_rows_never_rely_on_a_stored_payload_of_other_values(
    payload_store: PayloadStore, how: str
) -> None:
    digest = put(payload_store, some(1))
    if how == "forged":
        forge(payload_store, digest, some(2))
    elif how == "missing chunk":
        chunk_of(payload_store, digest).unlink()
    else:
        flip_a_byte(chunk_of(payload_store, digest))
    if how == "old and flipped":
        as_if_old(payload_store, digest)
    with pytest.raises(IntegrityError, match=digest), payload_store.batch() as batch:
        batch.add(some(1))


def test_sound_old_payload_is_good_enough_for_new_rows(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some(1))
    as_if_old(payload_store, digest)
    with payload_store.batch() as batch:
        assert batch.add(some(1)) == digest
        assert not batch.pending
