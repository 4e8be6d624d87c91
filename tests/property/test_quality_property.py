"""Numbers of checks keep still under what changes nothing, and rules under their order."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from panelcal.domain.findings import Severity
from panelcal.domain.pattern import correlation, median_and_sigma, pattern
from panelcal.domain.quality import Measurement, Rule, judge, rules_digest
from panelcal.domain.quality_checks import measure, measure_drift, plane_numbers
from panelcal.domain.quality_names import CHECKS

UNITS = {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"}

planes = arrays.arrays(
    np.float32, (2, 4, 8), elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
)
any_planes = arrays.arrays(
    np.float32, (2, 4, 8), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
)
bounds = st.one_of(st.none(), st.floats(-10, 10))
rules = st.lists(
    st.builds(
        Rule,
        st.sampled_from(["median", "drift"]),
        st.sampled_from([None, *UNITS]),
        st.sampled_from([None, 0, 1]),
        st.sampled_from(Severity),
        bounds,
        bounds,
    )
)
numbers = st.lists(
    st.builds(
        Measurement,
        st.sampled_from(["median", "drift"]),
        st.sampled_from(list(UNITS)),
        st.integers(0, 1),
        st.floats(-20, 20),
    )
)


@given(any_planes, any_planes)
def test_numbers_are_finite_and_of_known_checks_whatever_was_delivered(
    gain: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
    offset: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    delivery = {"pixel_gain": gain, "pixel_offset": offset}
    other = {"pixel_gain": offset, "pixel_offset": gain}
    found = list(measure(delivery, plane_numbers(delivery), UNITS))
    found += measure_drift(delivery, other, UNITS, "M044@1")
    assert all(np.isfinite(one.number) for one in found)
    assert {one.check for one in found} <= set(CHECKS)


@given(planes, st.sampled_from([0.5, 2.0, 1024.0]))
def test_a_pattern_does_not_depend_on_the_scale(
    payload: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", scale: float
) -> None:
    one, other = pattern(payload[0]), pattern(payload[0] * np.float32(scale))
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert correlation(one, other) == pytest.approx(1)
        assert np.sum(one) == pytest.approx(0, abs=1e-9)


@given(planes)
def test_correlation_has_a_sign_and_is_one_at_most(
    payload: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    one, other = pattern(payload[0]), pattern(payload[1])
    if one is not None and other is not None:
        assert abs(correlation(one, other)) <= 1 + 1e-9
        assert correlation(one, other) == pytest.approx(correlation(other, one))
        assert correlation(one, -one) == pytest.approx(-1)


@given(planes, st.randoms())
def test_median_and_sigma_do_not_depend_on_where_pixels_are(
    payload: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", random: Random
) -> None:
    pixels = payload[0].ravel().tolist()
    random.shuffle(pixels)
    moved = np.array(pixels, np.float32).reshape(payload[0].shape)
    assert median_and_sigma(moved) == median_and_sigma(payload[0])


@given(planes)
def test_nothing_drifts_from_itself(
    payload: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]",
) -> None:
    one = {"pixel_gain": payload}
    for found in measure_drift(one, one, {"pixel_gain": "ADU/keV"}, "M044@1"):
        if found.check == "pattern_correlation":
            assert found.number == pytest.approx(1)
        elif found.check == "turned":
            assert found.number <= 1e-9
        else:
            assert found.number == 0, found


@given(rules, numbers, st.randoms())
def test_the_order_of_rules_does_not_matter(
    known: list[Rule], measured: list[Measurement], random: Random
) -> None:
    other = list(known)
    random.shuffle(other)
    assert rules_digest(other) == rules_digest(known)
    found, again = (
        [(one.where, one.number, one.severity) for one in judge(measured, some, UNITS)]
        for some in (known, other)
    )
    assert found == again


@given(rules, numbers)
def test_a_number_has_a_finding_if_and_only_if_it_breaks_a_rule(
    known: list[Rule], measured: list[Measurement]
) -> None:
    found = [(one.where, one.number) for one in judge(measured, known, UNITS)]
    broken = [
        ((one.check, one.kind, one.gain_range), one.number)
        for one in measured
        if any(
            rule.check == one.check
            and rule.kind in {None, one.kind}
            and rule.gain_range in {None, one.gain_range}
            and (
                (rule.low is not None and one.number < rule.low)
                or (rule.high is not None and one.number > rule.high)
            )
            for rule in known
        )
    ]
    assert sorted(found) == sorted(broken)
