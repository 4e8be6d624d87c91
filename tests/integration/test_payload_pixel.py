"""One pixel of a payload: only its blocks are read, and they are verified."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import GzipCodec
from zarr.storage import LocalStore

from panelcal.domain.digest import digest_of
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.storage.payload_layout import ATTRIBUTE, BLOCKS_ATTRIBUTE, CHECKED_BYTES
from panelcal.storage.payloads import PayloadStore

Array = np.ndarray[Any, np.dtype[np.float32]]

SHAPE = (3, 512, 1024)
"""Of a jungfrau panel: 6 MiB, four rows a block."""

RAGGED = (2, 7, 1501)
"""Blocks begin inside rows, and the last one is short."""


@pytest.fixture
def payload_store(tmp_path: Path) -> PayloadStore:
    """An empty directory of payloads."""
    root = tmp_path / "payloads"
    root.mkdir()
    return PayloadStore(root)


def some(shape: tuple[int, ...], seed: int = 1) -> Array:
    return np.random.default_rng(seed).normal(10, 1, shape).astype(np.float32)


def put(store: PayloadStore, array: Array) -> str:
    with store.batch() as batch:
        digest = batch.add(array)
        batch.publish()
    return digest


def values(array: Array, row: int, column: int) -> tuple[float, ...]:
    return tuple(array[:, row, column].tolist())


def chunk_of(store: PayloadStore, digest: str) -> Path:
    return store.path_of(digest) / "c" / "0" / "0" / "0"


def flip(path: Path, place: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(place)
        (byte,) = stream.read(1)
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))


def describe(store: PayloadStore, digest: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit a payload's description."""
    path = store.path_of(digest) / "zarr.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def place_of(shape: tuple[int, ...], gain: int, row: int, column: int) -> int:
    """Return where a value begins in the file."""
    return 4 * int(np.ravel_multi_index((gain, row, column), shape))


@pytest.mark.parametrize("shape", [(3, 4, 8), RAGGED, SHAPE], ids=str)
def test_a_pixel_has_the_values_of_the_array_in_every_gain_range(
    payload_store: PayloadStore, shape: tuple[int, ...]
) -> None:
    array = some(shape)
    stored = payload_store.find(put(payload_store, array))
    _, rows, columns = shape
    for row, column in ((0, 0), (0, columns - 1), (rows // 2, 5), (rows - 1, columns - 1)):
        assert stored.pixel(row, column) == values(array, row, column)


def test_a_pixel_of_a_panel_of_6_mib_takes_48_kib_and_the_description(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = some(SHAPE)
    digest = put(payload_store, array)
    read: list[int] = []
    preadv = os.preadv

    def counted(handle: int, buffers: list[memoryview], offset: int) -> int:
        read.append(preadv(handle, buffers, offset))
        return read[-1]

    monkeypatch.setattr(os, "preadv", counted)
    assert payload_store.find(digest).pixel(100, 7) == values(array, 100, 7)
    described = (payload_store.path_of(digest) / "zarr.json").stat().st_size
    assert sum(read) == 3 * CHECKED_BYTES + described
    assert sum(read) < array.nbytes / 100


def test_bytes_outside_the_blocks_of_a_pixel_are_not_needed(payload_store: PayloadStore) -> None:
    array = some(SHAPE)
    digest = put(payload_store, array)
    chunk = chunk_of(payload_store, digest)
    content = chunk.read_bytes()
    sparse = bytearray(len(content))
    for gain in range(3):
        start = place_of(SHAPE, gain, 100, 7) // CHECKED_BYTES * CHECKED_BYTES
        sparse[start : start + CHECKED_BYTES] = content[start : start + CHECKED_BYTES]
    chunk.write_bytes(sparse)
    stored = payload_store.find(digest)
    assert stored.pixel(100, 7) == values(array, 100, 7)
    with pytest.raises(IntegrityError):
        stored.read()


@pytest.mark.parametrize("gain", [0, 1])
@pytest.mark.parametrize("side", [-1, 1], ids=["before", "after"])
def test_damage_of_a_block_is_noticed_up_to_its_last_byte_and_no_further(
    payload_store: PayloadStore, gain: int, side: int
) -> None:
    array = some(RAGGED)
    digest = put(payload_store, array)
    start = place_of(RAGGED, gain, 3, 700) // CHECKED_BYTES * CHECKED_BYTES
    inside = start if side < 0 else start + CHECKED_BYTES - 1
    flip(chunk_of(payload_store, digest), inside + side)
    assert payload_store.find(digest).pixel(3, 700) == values(array, 3, 700)
    flip(chunk_of(payload_store, digest), inside)
    with pytest.raises(IntegrityError, match=rf"{digest} .* from byte {start} on") as error:
        payload_store.find(digest).pixel(3, 700)
    assert error.value.exit_code == 5
    assert "deliver the same files again" in (error.value.hint or "")


def test_the_short_last_block_is_verified_too(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some(RAGGED))
    flip(chunk_of(payload_store, digest), 4 * 2 * 7 * 1501 - 1)
    with pytest.raises(IntegrityError, match="holds other values"):
        payload_store.find(digest).pixel(6, 1500)


def test_a_chunk_of_another_size_is_damaged_whatever_is_asked_for(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, some(SHAPE))
    os.truncate(chunk_of(payload_store, digest), 5 * 2**20)
    with pytest.raises(IntegrityError, match="bytes, 6291456 expected"):
        payload_store.find(digest).pixel(0, 0)


def test_blocks_of_another_payload_are_noticed_though_their_checksums_came_with_them(
    payload_store: PayloadStore,
) -> None:
    digest, other = (put(payload_store, some(RAGGED, seed)) for seed in (1, 2))
    chunk_of(payload_store, digest).write_bytes(chunk_of(payload_store, other).read_bytes())
    theirs = json.loads((payload_store.path_of(other) / "zarr.json").read_text())["attributes"]

    def take(described: dict[str, Any]) -> None:
        described["attributes"][BLOCKS_ATTRIBUTE] = theirs[BLOCKS_ATTRIBUTE]

    describe(payload_store, digest, take)
    with pytest.raises(IntegrityError, match="holds other values"):
        payload_store.find(digest).pixel(3, 5)


def test_a_pixel_is_not_looked_for_where_another_shape_would_put_it(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, some((3, 4, 8)))

    def turn(described: dict[str, Any]) -> None:
        described["shape"] = [3, 8, 4]
        described["chunk_grid"]["configuration"]["chunk_shape"] = [3, 8, 4]

    describe(payload_store, digest, turn)
    with pytest.raises(IntegrityError, match="holds other values"):
        payload_store.find(digest).pixel(3, 2)


@pytest.mark.parametrize(("row", "column"), [(-1, 0), (0, -1), (4, 0), (0, 8), (2**70, 0)])
def test_a_pixel_that_is_not_on_the_panel_is_refused_with_the_panels_size(
    payload_store: PayloadStore, row: int, column: int
) -> None:
    stored = payload_store.find(put(payload_store, some((3, 4, 8))))
    with pytest.raises(InvalidInputError, match="4 rows of 8 columns"):
        stored.pixel(row, column)


def test_values_that_are_no_panel_have_no_pixels(payload_store: PayloadStore) -> None:
    stored = payload_store.find(put(payload_store, some((12, 8))))
    with pytest.raises(IntegrityError, match=r"\(12, 8\), where \(gain range, row, column\)"):
        stored.pixel(3, 2)


# --- layouts without checksums of blocks


def without_blocks(described: dict[str, Any]) -> None:
    del described["attributes"][BLOCKS_ATTRIBUTE]


def without_checksums(described: dict[str, Any]) -> None:
    described["attributes"] = {}


def with_too_few(described: dict[str, Any]) -> None:
    told = described["attributes"][BLOCKS_ATTRIBUTE]
    told["xxh3_64"] = told["xxh3_64"][:-1]


OLDER = {
    "no checksums of blocks": without_blocks,
    "no checksums": without_checksums,
    "too few checksums of blocks": with_too_few,
}


@pytest.mark.parametrize("change", OLDER.values(), ids=OLDER)
def test_a_payload_without_checksums_of_blocks_is_read_and_verified_as_a_whole(
    payload_store: PayloadStore, change: Callable[[dict[str, Any]], None]
) -> None:
    array = some(RAGGED)
    digest = put(payload_store, array)
    describe(payload_store, digest, change)
    assert payload_store.find(digest).pixel(3, 700) == values(array, 3, 700)
    assert payload_store.audit(digest).tobytes() == array.tobytes()
    flip(chunk_of(payload_store, digest), 4 * 2 * 7 * 1501 - 1)
    with pytest.raises(IntegrityError, match="holds other values"):
        payload_store.find(digest).pixel(0, 0)


def test_the_layout_of_another_writer_is_read_and_verified_as_a_whole(
    payload_store: PayloadStore,
) -> None:
    array = some((3, 4, 8))
    digest = digest_of(array)
    stored = zarr.create_array(
        store=LocalStore(payload_store.path_of(digest)),
        shape=array.shape,
        dtype=array.dtype,
        chunks=(1, 2, 8),
        compressors=GzipCodec(),
        zarr_format=3,
    )
    stored[...] = array
    assert payload_store.find(digest).pixel(3, 2) == values(array, 3, 2)
    stored[0, 0, 0] = 99
    with pytest.raises(IntegrityError, match="holds other values: digest"):
        payload_store.find(digest).pixel(3, 2)


def test_a_program_that_knows_no_checksums_of_blocks_still_finds_the_payloads_own(
    payload_store: PayloadStore,
) -> None:
    digest = put(payload_store, some((3, 4, 8)))
    told = json.loads((payload_store.path_of(digest) / "zarr.json").read_text())["attributes"]
    # Such a program refuses other keys in this one, and passes over those beside it.
    assert set(told[ATTRIBUTE]) == {"digest", "xxh3_128"}


def test_audit_finds_damaged_checksums_of_blocks(payload_store: PayloadStore) -> None:
    digest = put(payload_store, some((3, 4, 8)))

    def damage(described: dict[str, Any]) -> None:
        described["attributes"][BLOCKS_ATTRIBUTE]["xxh3_64"] = "0" * 16

    describe(payload_store, digest, damage)
    assert payload_store.get(digest).tobytes() == some((3, 4, 8)).tobytes()
    with pytest.raises(IntegrityError, match="not the checksums of their blocks"):
        payload_store.audit(digest)
