"""Which constant sets hold given values, as a file has them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import FILES, TREE_SHAPE, damage, delivered
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.services.modules import deliver
from panelcal.services.recognize import Recognizer
from panelcal.storage.modules import ConstantSet
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore

NOW = datetime(2026, 2, 1, tzinfo=UTC)
FORMATS = ("%.4f", "%.1f", "%.6f", "%.9g")

Plane = np.ndarray[Any, np.dtype[np.float32]]


def deliver_values(store: OpenStore, directory: Path, module: str, gain: Plane) -> ConstantSet:
    """Record a constant set with given gains, and offsets that are all like the first gain."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        gain_range, stem = int(name[1]), name[3:-4]
        offset = np.full(TREE_SHAPE[1:], gain[0, 0, 0] * 100, np.float32)
        np.save(directory / name, gain[gain_range] if stem == "gain" else offset)
    found, _ = deliver(store, module, directory, now=NOW, user="tester", reason="test")
    return found


def some_gains(seed: int) -> Plane:
    return np.random.default_rng(seed).normal(41.5, 1, TREE_SHAPE).astype(np.float32)


def printed(plane: Plane, number_format: str) -> Plane:
    """Return what a reader gets back after printf, value by value."""
    values = [float(number_format % value) for value in plane.ravel().tolist()]
    return np.array(values, np.float32).reshape(plane.shape)


@pytest.fixture
def gains() -> list[Plane]:
    return [some_gains(seed) for seed in range(3)]


@pytest.fixture
def sets(store: OpenStore, tmp_path: Path, gains: list[Plane]) -> list[ConstantSet]:
    return [
        deliver_values(store, tmp_path / f"d{seed}", f"M00{seed}", gain)
        for seed, gain in enumerate(gains)
    ]


@pytest.mark.parametrize("number_format", FORMATS)
def test_values_are_recognized_as_they_were_printed(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane], number_format: str
) -> None:
    recognizer = Recognizer(store)
    for one, gain in zip(sets, gains, strict=True):
        plane = printed(gain, number_format)
        assert recognizer.holders("jungfrau", "pixel_gain", plane, number_format) == {one.id}


def test_a_value_off_by_one_in_the_last_digit_is_not_recognized(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    plane = printed(gains[0], "%.4f")
    plane[1, 2, 3] += np.float32(1e-4)
    assert sets
    assert Recognizer(store).holders("jungfrau", "pixel_gain", plane, "%.4f") == frozenset()


def test_rounded_values_are_not_those_of_full_precision(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    assert sets
    plane = printed(gains[0], "%.4f")
    assert Recognizer(store).holders("jungfrau", "pixel_gain", plane, "%.9g") == frozenset()


def test_a_kind_is_compared_with_its_own_kind_only(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    assert sets
    assert Recognizer(store).holders("jungfrau", "pixel_offset", gains[0], "%.9g") == frozenset()


def test_sets_that_differ_beyond_the_printed_digits_are_all_named(
    store: OpenStore, tmp_path: Path
) -> None:
    gain = np.full(TREE_SHAPE, 41.5, np.float32)
    near = np.full(TREE_SHAPE, 41.50001, np.float32)
    first = deliver_values(store, tmp_path / "a", "M044", gain)
    second = deliver_values(store, tmp_path / "b", "M068", near)
    recognizer = Recognizer(store)
    assert recognizer.holders("jungfrau", "pixel_gain", gain, "%.4f") == {first.id, second.id}
    assert recognizer.holders("jungfrau", "pixel_gain", gain, "%.9g") == {first.id}


def test_minus_zero_is_another_value_than_zero(store: OpenStore, tmp_path: Path) -> None:
    gain = np.full(TREE_SHAPE, -0.00001, np.float32)
    one = deliver_values(store, tmp_path / "a", "M044", gain)
    recognizer = Recognizer(store)
    negative = np.full(TREE_SHAPE, -0.0, np.float32)
    assert recognizer.holders("jungfrau", "pixel_gain", negative, "%.4f") == {one.id}
    assert recognizer.holders("jungfrau", "pixel_gain", -negative, "%.4f") == frozenset()


def test_a_plane_cut_out_of_a_detector_is_recognized(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    detector = np.stack(gains, axis=1)
    assert not detector[:, 1].flags.c_contiguous
    assert Recognizer(store).holders("jungfrau", "pixel_gain", detector[:, 1], "%.9g") == {
        sets[1].id
    }


def test_each_payload_is_loaded_once_however_much_is_asked(
    store: OpenStore,
    sets: list[ConstantSet],
    gains: list[Plane],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    get = PayloadStore.get

    def counted(self: PayloadStore, digest: str) -> Plane:
        loaded.append(digest)
        return get(self, digest)

    monkeypatch.setattr(PayloadStore, "get", counted)
    recognizer = Recognizer(store)
    for gain in gains:
        recognizer.holders("jungfrau", "pixel_gain", gain, "%.9g")
    assert loaded == []
    for _ in range(2):
        for gain in gains:
            recognizer.holders("jungfrau", "pixel_gain", printed(gain, "%.4f"), "%.4f")
    with store.database.reading() as connection:
        recognizer.look_again(connection)
    recognizer.holders("jungfrau", "pixel_gain", gains[0], "%.4f")
    assert sorted(loaded) == sorted(one.digests["pixel_gain"] for one in sets)


def test_what_is_recorded_later_is_seen_by_looking_again(
    store: OpenStore, tmp_path: Path, gains: list[Plane]
) -> None:
    recognizer = Recognizer(store)
    plane = printed(gains[0], "%.4f")
    assert recognizer.holders("jungfrau", "pixel_gain", plane, "%.4f") == frozenset()
    one = deliver_values(store, tmp_path / "d", "M044", gains[0])
    assert recognizer.holders("jungfrau", "pixel_gain", plane, "%.4f") == frozenset()
    with store.database.reading() as connection:
        recognizer.look_again(connection)
    assert recognizer.holders("jungfrau", "pixel_gain", plane, "%.4f") == {one.id}


def test_an_empty_store_recognizes_nothing(store: OpenStore, gains: list[Plane]) -> None:
    assert Recognizer(store).holders("jungfrau", "pixel_gain", gains[0], "%.4f") == frozenset()


def test_a_damaged_payload_is_an_error_and_not_a_stranger(
    store: OpenStore, store_dir: Path, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    assert sets
    damage(store_dir, "M000", "pixel_gain")
    with pytest.raises(IntegrityError, match="holds other values"):
        Recognizer(store).holders("jungfrau", "pixel_gain", gains[1], "%.4f")


def test_a_format_that_no_export_has_is_refused(
    store: OpenStore, sets: list[ConstantSet], gains: list[Plane]
) -> None:
    assert sets
    with pytest.raises(InvalidInputError, match="no format of text exports"):
        Recognizer(store).holders("jungfrau", "pixel_gain", gains[0], "%d")


def test_delivered_files_are_the_values_that_are_recognized(
    store: OpenStore, tmp_path: Path
) -> None:
    gain = some_gains(7)
    one = deliver_values(store, tmp_path / "d", "M044", gain)
    recognizer = Recognizer(store)
    for kind, stem in (("pixel_gain", "gain"), ("pixel_offset", "offset")):
        plane = delivered(tmp_path / "d", stem)
        assert recognizer.holders("jungfrau", kind, plane, "%.9g") == {one.id}
