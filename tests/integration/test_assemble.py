"""Assembling: the payloads of all panels, read to their places in one array."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from builders import TREE_SHAPE
from panelcal.domain.resolution import Resolution, ResolvedPanel
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.services.assemble import assemble
from panelcal.storage.payloads import PayloadStore

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture
def payload_store(tmp_path: Path) -> PayloadStore:
    """An empty directory of payloads."""
    root = tmp_path / "payloads"
    root.mkdir()
    return PayloadStore(root)


def some(seed: int, shape: tuple[int, ...] = TREE_SHAPE) -> Array:
    return np.random.default_rng(seed).normal(10, 1, shape).astype(np.float32)


def answer(store: PayloadStore, arrays: list[Array]) -> Resolution:
    """Store arrays and return an answer that names them, panel by panel."""
    with store.batch() as batch:
        digests = [batch.add(array) for array in arrays]
        batch.publish()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    panels = [
        ResolvedPanel(
            index, f"1-1-{index}", "M044", 1, None, moment, {"gain": digest}, 1, 1, "jungfrau"
        )
        for index, digest in enumerate(digests)
    ]
    return Resolution(
        "detector", moment, None, "strict", None, tuple(panels), ZoneInfo("America/Los_Angeles")
    )


@pytest.mark.parametrize("panels", [1, 2, 5])
def test_panels_are_the_second_axis_in_segment_order(
    payload_store: PayloadStore, panels: int
) -> None:
    arrays = [some(seed) for seed in range(panels)]
    found = assemble(payload_store, answer(payload_store, arrays), "gain")
    assert found.shape == (3, panels, 4, 8)
    assert found.tobytes() == np.stack(arrays, axis=1).tobytes()


def test_array_that_was_given_is_filled_and_returned(payload_store: PayloadStore) -> None:
    arrays = [some(seed) for seed in range(3)]
    out = np.full((3, 3, 4, 8), np.nan, np.float32)
    assert assemble(payload_store, answer(payload_store, arrays), "gain", out) is out
    assert out.tobytes() == np.stack(arrays, axis=1).tobytes()


def test_one_payload_may_serve_several_panels(payload_store: PayloadStore) -> None:
    arrays = [some(1), some(2), some(1)]
    found = assemble(payload_store, answer(payload_store, arrays), "gain")
    assert found.tobytes() == np.stack(arrays, axis=1).tobytes()


def read_only() -> Array:
    array = np.zeros((3, 2, 4, 8), np.float32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "out",
    [
        np.zeros((3, 3, 4, 8), np.float32),
        np.zeros((3, 2, 8, 4), np.float32),
        np.zeros((2, 3, 4, 8), np.float32),
        np.zeros((3, 2, 4, 8), np.float64),
        np.zeros((3, 2, 4, 8), ">f4"),
        np.zeros((3, 2, 4, 8), np.float32, order="F"),
        np.zeros((3, 2, 4, 16), np.float32)[..., ::2],
        read_only(),
    ],
    ids=["panels", "pixels", "axes", "dtype", "byte order", "order", "strides", "read-only"],
)
def test_array_that_does_not_fit_is_refused_untouched(
    payload_store: PayloadStore, out: "np.ndarray[Any, Any]"
) -> None:
    resolution = answer(payload_store, [some(1), some(2)])
    with pytest.raises(InvalidInputError, match=r"C-contiguous writable float32 \(3, 2, 4, 8\)"):
        assemble(payload_store, resolution, "gain", out)
    assert not out.any()


def test_panels_of_different_shapes_are_an_integrity_error(payload_store: PayloadStore) -> None:
    resolution = answer(payload_store, [some(1), some(2, (3, 8, 4))])
    with pytest.raises(IntegrityError, match="have different shapes"):
        assemble(payload_store, resolution, "gain")


def test_damage_of_any_panel_is_an_integrity_error(payload_store: PayloadStore) -> None:
    resolution = answer(payload_store, [some(1), some(2), some(3)])
    digest = resolution.panels[2].digests["gain"]
    chunk = payload_store.path_of(digest) / "c" / "0" / "0" / "0"
    chunk.write_bytes(bytes(chunk.stat().st_size))
    with pytest.raises(IntegrityError, match=digest):
        assemble(payload_store, resolution, "gain")


COUNTING = """
import json, sys
from pathlib import Path
from types import SimpleNamespace as Some
opened = []
root, *digests = sys.argv[1:]
sys.addaudithook(
    lambda event, what: opened.append(1) if event == "open" and str(what[0]).startswith(root) else 0
)
from panelcal.services.assemble import assemble
from panelcal.storage.payloads import PayloadStore
answer = Some(detector="d", panels=[Some(digests={"gain": digest}) for digest in digests])
assemble(PayloadStore(Path(root)), answer, "gain")
print(json.dumps([len(opened), "zarr" in sys.modules]))
"""


def test_two_files_a_panel_are_opened_and_zarr_is_not_imported(payload_store: PayloadStore) -> None:
    resolution = answer(payload_store, [some(seed) for seed in range(4)])
    digests = [panel.digests["gain"] for panel in resolution.panels]
    command = [sys.executable, "-c", COUNTING, str(payload_store.root), *digests]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout) == [2 * 4, False]
