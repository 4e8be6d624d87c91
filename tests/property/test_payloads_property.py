"""Reading a payload's file and reading it by zarr give the same bits, whatever they are."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from panelcal.errors import IntegrityError
from panelcal.storage.payload_layout import chunk_path, read_layout
from panelcal.storage.payload_reading import _array_of
from panelcal.storage.payloads import PayloadStore

SHAPES = npst.array_shapes(min_dims=2, max_dims=4, max_side=6)
# Any 32 bits: NaN of every payload, -0.0, denormals.
BITS = npst.arrays(np.dtype("<u4"), SHAPES)


def put(root: Path, array: "np.ndarray[Any, Any]") -> tuple[PayloadStore, str]:
    store = PayloadStore(root)
    with store.batch() as batch:
        digest = batch.add(array)
        batch.publish()
    return store, digest


@given(BITS)
@settings(max_examples=60, deadline=None)
def test_fast_path_and_zarr_agree_bit_by_bit(bits: "np.ndarray[Any, Any]") -> None:
    array = bits.view("<f4")
    with tempfile.TemporaryDirectory() as root:
        store, digest = put(Path(root), array)
        path = store.path_of(digest)
        assert read_layout(path, digest).checksum is not None
        by_zarr = _array_of(path)
        among = np.zeros((array.shape[0], 2, *array.shape[1:]), "<f4")
        store.find(digest).read(among[:, 1])
        for found in (store.get(digest), store.audit(digest), among[:, 1]):
            assert found.shape == by_zarr.shape
            assert found.dtype == by_zarr.dtype
            assert found.tobytes() == by_zarr.tobytes() == array.tobytes()


@given(BITS, st.data())
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_of_the_values_is_noticed(
    bits: "np.ndarray[Any, Any]", data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as root:
        store, digest = put(Path(root), bits.view("<f4"))
        chunk = chunk_path(store.path_of(digest), bits.shape)
        content = bytearray(chunk.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        chunk.write_bytes(content)
        with pytest.raises(IntegrityError):
            store.get(digest)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = ["shape", "data_type", "chunk_grid", "chunk_key_encoding", "codecs", "attributes"]
KEYS += ["zarr_format", "node_type", "storage_transformers", "fill_value", "dimension_names"]


@given(st.sampled_from(KEYS), JSON)
@settings(max_examples=100, deadline=None)
def test_any_other_description_gives_the_same_values_or_an_integrity_error(
    key: str, value: Any
) -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    with tempfile.TemporaryDirectory() as root:
        store, digest = put(Path(root), array)
        path = store.path_of(digest) / "zarr.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
        try:
            found = store.get(digest)
        except IntegrityError:
            return
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()
