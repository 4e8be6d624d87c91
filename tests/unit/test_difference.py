"""How two arrays of constants differ."""

import numpy as np
import pytest

from panelcal.domain.difference import PixelChange, differences
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
