"""How two arrays of constants differ."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.difference import QUANTILES, PixelChange, differences, no_difference
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.errors import InvalidInputError

UNITS = {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"}


def payloads(seed: int = 1) -> dict[str, np.ndarray[tuple[int, int, int], np.dtype[np.float32]]]:
    """Return constants of a small panel."""
    random = np.random.default_rng(seed)
    return {kind: random.normal(40, 1, (3, 8, 16)).astype(np.float32) for kind in UNITS}


def test_equal_constants_differ_in_nothing() -> None:
    for plane in differences(payloads(), payloads(), UNITS):
        told = plane.changed, plane.median, plane.sigma, plane.beyond, plane.worst
        assert told == (0, 0.0, 0.0, 0, ())


def test_a_shift_of_one_range_is_told_for_that_range_alone() -> None:
    after = payloads()
    after["pixel_offset"][1] += np.float32(8)
    found = {(one.kind, one.gain_range): one for one in differences(payloads(), after, UNITS)}
    shifted = found.pop(("pixel_offset", 1))
    assert shifted.median == pytest.approx(8, abs=1e-4)
    assert shifted.changed == shifted.pixels == 128
    assert shifted.unit == "ADU"
    assert all(plane.changed == 0 for plane in found.values())


def test_the_farthest_pixels_are_named_with_their_values() -> None:
    before, after = payloads(), payloads()
    after["pixel_gain"][2, 3, 5], after["pixel_gain"][2, 7, 0] = 0, 1000
    plane = differences(before, after, UNITS, worst=2)[2]
    old = before["pixel_gain"][2]
    assert plane.worst == (
        PixelChange(7, 0, float(old[7, 0]), 1000.0),
        PixelChange(3, 5, float(old[3, 5]), 0.0),
    )
    assert (plane.changed, plane.beyond) == (2, 2)


def test_pixels_beyond_n_sigma_are_counted_around_the_median_change() -> None:
    before, after = payloads(), payloads()
    noise = np.random.default_rng(9).normal(5, 0.1, (8, 16)).astype(np.float32)
    noise[0, :4] = (6, 4, 5.9, 4.1)
    after["pixel_gain"][0] = before["pixel_gain"][0] + noise
    plane = differences(before, after, UNITS, n_sigma=5)[0]
    assert plane.median == pytest.approx(5, abs=0.05)
    assert plane.sigma == pytest.approx(0.1, rel=0.3)
    assert plane.beyond == 4


def test_differences_of_the_largest_floats_are_finite() -> None:
    before, after = payloads(), payloads()
    before["pixel_gain"][0, 0, 0] = -np.finfo(np.float32).max
    after["pixel_gain"][0, 0, 0] = np.finfo(np.float32).max
    assert np.isfinite(differences(before, after, UNITS)[0].quantiles).all()


def test_constants_of_two_shapes_do_not_compare() -> None:
    other = {kind: array[:, :4] for kind, array in payloads().items()}
    with pytest.raises(InvalidInputError, match="does not compare"):
        differences(payloads(), other, UNITS)


def test_a_pixel_that_stayed_while_all_others_moved_is_among_the_farthest() -> None:
    before, after = payloads(), payloads()
    after["pixel_offset"] = after["pixel_offset"] + np.float32(8)
    after["pixel_offset"][0, 2, 3] = before["pixel_offset"][0, 2, 3]
    plane = differences(before, after, UNITS, worst=1)[3]
    stayed = float(before["pixel_offset"][0, 2, 3])
    assert plane.worst == (PixelChange(2, 3, stayed, stayed),)


def test_of_equally_far_pixels_the_first_of_the_panel_is_named_first() -> None:
    before, after = payloads(), payloads()
    for kind in UNITS:
        before[kind][:] = 1
        after[kind][:] = 1
    for row, column in ((7, 15), (0, 4), (3, 3)):
        after["pixel_gain"][0, row, column] = 2
    plane = differences(before, after, UNITS, worst=2)[0]
    assert [(one.row, one.column) for one in plane.worst] == [(0, 4), (3, 3)]
    assert (plane.changed, plane.beyond, plane.sigma) == (3, 3, 0.0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 128))
def test_the_worst_are_those_that_sorting_all_pixels_gives(
    seed: int, steps: int, worst: int
) -> None:
    random = np.random.default_rng(seed)
    before = {"pixel_gain": np.zeros((1, 8, 16), np.float32)}
    after = {"pixel_gain": random.integers(-steps, steps + 1, (1, 8, 16)).astype(np.float32)}
    [plane] = differences(before, after, {"pixel_gain": "ADU/keV"}, worst=worst)
    changes = after["pixel_gain"][0].ravel().tolist()
    median = float(np.median(changes))
    by_distance = sorted(range(128), key=lambda place: (-abs(changes[place] - median), place))
    expected = [divmod(place, 16) for place in by_distance if changes[place] != median][:worst]
    if not any(changes):
        expected = []
    assert [(one.row, one.column) for one in plane.worst] == expected


def test_quantiles_are_those_of_the_changes() -> None:
    before = {"pixel_gain": np.zeros((1, 1, 1001), np.float32)}
    after = {"pixel_gain": np.arange(1001, dtype=np.float32).reshape(1, 1, 1001)}
    [plane] = differences(before, after, {"pixel_gain": "ADU/keV"})
    assert plane.quantiles == pytest.approx([1000 * share for share in QUANTILES])
    assert plane.median == 500


@pytest.mark.parametrize("n_sigma", [-1.0, float("nan"), float("inf")])
def test_beyond_a_number_of_sigma_that_is_none_nothing_is_counted(n_sigma: float) -> None:
    with pytest.raises(InvalidInputError, match="beyond"):
        differences(payloads(), payloads(), UNITS, n_sigma=n_sigma)


def test_fewer_than_no_pixels_cannot_be_named() -> None:
    with pytest.raises(InvalidInputError, match="-1 pixels"):
        differences(payloads(), payloads(), UNITS, worst=-1)


def test_equal_payloads_are_told_alike_whether_they_are_read_or_not() -> None:
    kinds = tuple(Kind(name, unit, "stem", "%.4f") for name, unit in UNITS.items())
    told = DetectorType(1, "small", 3, 8, 16, "Small", "Small::CalibV1", kinds)
    unread = (*no_difference(told, "pixel_gain"), *no_difference(told, "pixel_offset"))
    assert unread == differences(payloads(), payloads(), UNITS)
