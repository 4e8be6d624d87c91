"""Checks compute what their names say; rules bound the numbers; a number has one finding."""

from pathlib import Path

import numpy as np
import pytest

from panelcal.domain.findings import Severity
from panelcal.domain.pattern import WAYS, best_way, correlation, pattern
from panelcal.domain.quality import (
    Measurement,
    Plane,
    QualityFinding,
    Rule,
    Verdict,
    judge,
    rules_digest,
)
from panelcal.domain.quality_checks import (
    alike,
    measure,
    measure_copies,
    measure_drift,
    measure_population,
    plane_numbers,
)
from panelcal.domain.quality_names import CHECKS
from synthetic import FULL, Arrays, Panel

UNITS = {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"}
GAIN, OFFSET = UNITS
ERROR, WARNING = Severity.ERROR, Severity.WARNING

Numbers = dict[tuple[str, str, int], float]


def by_place(found: list[Measurement]) -> Numbers:
    return {(one.check, one.kind, one.gain_range): one.number for one in found}


def measured(arrays: Arrays) -> Numbers:
    return by_place(list(measure(arrays, plane_numbers(arrays), UNITS)))


def drifted(before: Arrays, after: Arrays) -> Numbers:
    return by_place(list(measure_drift(after, before, UNITS, "M044@1")))


def flat(gain: float = 40.0, offset: float = 100.0) -> Arrays:
    """Return planes of 10 x 10 pixels: 40, -4 and -0.4, and 100, 200 and 300 of them."""
    shape = (10, 10)
    return {
        GAIN: np.stack([np.full(shape, gain / (-10) ** one, np.float32) for one in range(3)]),
        OFFSET: np.stack([np.full(shape, offset * (one + 1), np.float32) for one in range(3)]),
    }


# --- numbers of a delivery by itself ------------------------------------------------------


def test_fractions_are_counts_of_pixels() -> None:
    arrays = flat()
    arrays[GAIN][0, 0, :7] = 0.0  # dead
    arrays[GAIN][0, 1, :3] = 200.0  # wild
    arrays[GAIN][0, 2, :2] = -40.0
    arrays[OFFSET][1, 0, :5] = -16383.0
    found = measured(arrays)
    assert found["dead_fraction", GAIN, 0] == pytest.approx(0.07)
    assert found["saturated_fraction", GAIN, 0] == pytest.approx(0.03)
    assert found["positive_fraction", GAIN, 0] == pytest.approx(0.91)
    assert found["positive_fraction", GAIN, 1] == 0
    assert found["constant_fraction", GAIN, 0] == pytest.approx(0.88)
    assert found["saturated_fraction", OFFSET, 1] == pytest.approx(0.05)
    assert ("dead_fraction", OFFSET, 0) not in found


def test_medians_ratios_and_spread_are_those_of_the_pixels() -> None:
    arrays = flat()
    arrays[GAIN][0] += np.arange(-50, 50, dtype=np.float32).reshape(10, 10) / 50
    found = measured(arrays)
    assert found["median", GAIN, 0] == pytest.approx(39.99)
    assert found["range_ratio", GAIN, 0] == pytest.approx(39.99 / -4)
    assert found["range_ratio", GAIN, 1] == pytest.approx(-10)
    # Half of the pixels are within 0.5 of the median.
    assert found["relative_sigma", GAIN, 0] == pytest.approx(1.4826 * 0.5 / 39.99, rel=0.03)


def test_tails_are_where_a_thousandth_of_the_pixels_lies_beyond() -> None:
    ramp = np.arange(10_000, dtype=np.float32).reshape(100, 100)
    found = measured({OFFSET: np.stack([ramp, ramp, ramp])})
    assert found["low_tail", OFFSET, 0] == pytest.approx(10, abs=0.1)
    assert found["high_tail", OFFSET, 0] == pytest.approx(9989, abs=0.1)


def test_a_plane_is_compared_with_all_before_it_also_of_another_kind() -> None:
    arrays = flat()
    arrays[OFFSET][2] = arrays[GAIN][1]
    arrays[OFFSET][2, 0] = 7.0
    found = list(measure(arrays, plane_numbers(arrays), UNITS))
    numbers = by_place(found)
    assert numbers["equal_fraction", OFFSET, 2] == pytest.approx(0.9)
    assert numbers["equal_fraction", OFFSET, 1] == 0
    [one] = [one for one in found if one.check == "equal_fraction" and one.number > 0]
    assert one.against == "to pixel_gain of gain range 1"


def test_of_values_that_are_not_finite_only_their_fraction_is_told() -> None:
    arrays = flat()
    arrays[GAIN][1, 0, 0] = np.nan
    found = measured(arrays)
    assert found["finite_fraction", GAIN, 1] == pytest.approx(0.99)
    assert [check for check, *place in found if place == [GAIN, 1]] == [
        "finite_fraction",
        "equal_fraction",
    ]


@pytest.mark.parametrize("value", [0.0, 3e38, -3e38, 1e-44])
def test_every_number_is_finite_whatever_the_values_are(value: float) -> None:
    before, after = flat(), flat()
    after[GAIN][:] = value
    after[OFFSET][1] = -value
    after[GAIN][0, 3:] = -value
    planes = plane_numbers(after)
    found = list(measure(after, planes, UNITS))
    found += measure_drift(after, before, UNITS, "M044@1")
    found += measure_drift(before, after, UNITS, "M044@1")
    found += measure_population(planes, [plane_numbers(before)] * 3)
    assert all(np.isfinite(one.number) for one in found)
    assert {one.check for one in found} <= set(CHECKS)


# --- beside the previous revision ---------------------------------------------------------


def test_drift_is_the_median_change_in_the_unit_and_relative_to_the_size() -> None:
    before, after = flat(), flat()
    after[GAIN][1] -= 0.4
    after[OFFSET][2] += 25
    found = drifted(before, after)
    assert found["drift", OFFSET, 2] == 25
    assert found["drift", OFFSET, 1] == 0
    assert found["relative_drift", GAIN, 1] == pytest.approx(-0.1)
    assert found["drift", GAIN, 1] == pytest.approx(-0.4)


def test_block_drift_is_that_of_one_eighth_beyond_that_of_the_panel() -> None:
    panel = Panel(1)
    before = panel.measured()
    after = {kind: array.copy() for kind, array in before.items()}
    after[OFFSET] += 5
    after[OFFSET][0, 16:, 48:] -= 30
    found = list(measure_drift(after, before, UNITS, "M044@1"))
    [one] = [one for one in found if (one.check, one.kind, one.gain_range) == BLOCK]
    assert one.number == pytest.approx(-30, abs=0.01)
    assert one.detail == "the block from row 16 and column 48 on"
    assert by_place(found)["drift", OFFSET, 0] == pytest.approx(5)


BLOCK = ("block_drift", OFFSET, 0)


def test_pixels_that_changed_unlike_the_others_are_counted() -> None:
    panel = Panel(2)
    before, after = panel.measured(), panel.measured()
    assert drifted(before, after)["drift_outliers", OFFSET, 1] < 0.001
    after[OFFSET][1, :, :8] += 500
    assert drifted(before, after)["drift_outliers", OFFSET, 1] == pytest.approx(1 / 8, abs=0.001)


@pytest.mark.parametrize("way", WAYS)
def test_what_was_done_to_a_plane_is_told_by_its_pattern(way: str) -> None:
    panel = Panel(3)
    before, after = panel.measured(), panel.measured()
    after[GAIN][0] = WAYS[way](after[GAIN][0])
    found = list(measure_drift(after, before, UNITS, "M044@1"))
    numbers = by_place(found)
    assert numbers["turned", GAIN, 0] > 0.8
    assert numbers["turned", GAIN, 1] < -0.5
    [one] = [one for one in found if one.check == "turned" and one.number > 0]
    assert one.detail == f"it is as M044@1 {way}"


def test_two_panels_have_no_pattern_in_common_and_one_panel_has_its_own() -> None:
    one, other = Panel(4), Panel(5)
    before = one.measured()
    assert drifted(before, one.measured())["pattern_correlation", GAIN, 0] > 0.95
    assert abs(drifted(before, other.measured())["pattern_correlation", GAIN, 0]) < 0.25


@pytest.mark.parametrize(("kind", "one", "other"), [(GAIN, 0, 2), (OFFSET, 1, 2)])
def test_swapped_ranges_are_nearer_to_before_the_other_way_round(
    kind: str, one: int, other: int
) -> None:
    panel = Panel(6)
    before, after = panel.measured(), panel.measured()
    assert drifted(before, after)["swapped_ranges", kind, one] > 2
    after[kind][[one, other]] = after[kind][[other, one]]
    found = drifted(before, after)
    assert found["swapped_ranges", kind, one] < 0.2
    assert found["swapped_ranges", kind, other] < 0.2


def test_a_constant_plane_has_no_pattern() -> None:
    before, after = flat(), flat()
    checks = {check for check, *_ in drifted(before, after)}
    assert not checks & {"pattern_correlation", "turned"}
    assert pattern(before[GAIN][0]) is None


# --- beside other modules -----------------------------------------------------------------


def planes_at(*medians: float) -> list[list[Plane]]:
    return [[Plane(GAIN, 1, median, 0.03)] for median in medians]


def test_a_population_is_three_other_modules_or_more() -> None:
    mine = [Plane(GAIN, 1, -1.5, 0.03)]
    assert list(measure_population(mine, planes_at(-1.0, -1.2))) == []
    found = by_place(list(measure_population(mine, planes_at(-1.0, -1.2, -9.0))))
    assert found["population_shift", GAIN, 1] == pytest.approx(-0.3)
    # Larger in size is above, of a negative gain as well.
    assert found["relative_population_shift", GAIN, 1] == pytest.approx(0.25)


@pytest.mark.parametrize("decimals", [None, 4])
def test_a_copy_is_alike_in_every_plane_also_as_text_has_it(decimals: int | None) -> None:
    arrays = Panel(7).measured()
    copy = {
        kind: array if decimals is None else np.round(array, decimals)
        for kind, array in arrays.items()
    }
    places = alike(plane_numbers(copy), plane_numbers(arrays))
    assert len(places) == 6
    found = list(measure_copies(copy, {"M068@1": (arrays, places)}))
    assert len(found) == 6
    assert min(one.number for one in found) > 0.99
    assert {one.against for one in found} == {"with M068@1"}


def test_a_panel_measured_again_is_alike_and_another_one_is_not() -> None:
    panel, other = Panel(8), Panel(9)
    mine = panel.measured()
    again = alike(plane_numbers(panel.measured()), plane_numbers(mine))
    assert len(again) > 3
    assert len(alike(plane_numbers(other.measured()), plane_numbers(mine))) < 2


def test_one_copied_file_is_found() -> None:
    mine, theirs = Panel(10).measured(), Panel(11).measured()
    mine[GAIN][2] = theirs[GAIN][2]
    places = alike(plane_numbers(mine), plane_numbers(theirs))
    assert (GAIN, 2) in places
    found = by_place(list(measure_copies(mine, {"M068@1": (theirs, places)})))
    assert found["module_correlation", GAIN, 2] > 0.99


# --- rules ----------------------------------------------------------------------------------


def found_by(rules: list[Rule], number: float, gain_range: int = 0) -> list[QualityFinding]:
    return list(judge([Measurement("median", GAIN, gain_range, number)], rules, UNITS))


def test_bounds_are_inclusive_and_none_is_no_bound() -> None:
    rule = [Rule("median", GAIN, 0, ERROR, 33.0, None)]
    assert found_by(rule, 33.0) == []
    assert found_by(rule, 1e9) == []
    assert [one.number for one in found_by(rule, 32.9)] == [32.9]


def test_a_rule_without_kind_or_range_is_for_all_of_them() -> None:
    for kind, gain_range, is_met in (
        (None, None, True),
        (GAIN, None, True),
        (GAIN, 1, True),
        (GAIN, 0, False),
        (OFFSET, 1, False),
    ):
        rule = Rule("median", kind, gain_range, WARNING, 0.0, None)
        assert bool(found_by([rule], -1.0, 1)) is is_met
    assert found_by([Rule("drift", None, None, ERROR, 0.0, None)], -1.0) == []


def test_a_number_has_the_finding_of_the_severest_rule_it_breaks() -> None:
    rules = [
        Rule("median", GAIN, 0, WARNING, 37.0, 46.0),
        Rule("median", GAIN, 0, ERROR, 33.0, 50.0),
    ]
    [warned] = found_by(rules, 36.0)
    assert (warned.severity, warned.low, warned.high) == (WARNING, 37.0, 46.0)
    [stopped] = found_by(rules, 30.0)
    assert (stopped.severity, stopped.low, stopped.high) == (ERROR, 33.0, 50.0)


def test_a_finding_says_in_words_what_it_is_about() -> None:
    rules = [
        Rule("median", GAIN, 0, ERROR, 33.0, 50.0),
        Rule("median", GAIN, 1, ERROR, -1.7, -1.1),
        Rule("dead_fraction", GAIN, None, ERROR, None, 0.02),
    ]
    [one] = found_by(rules, 41.47, 1)
    assert one.text == (
        "pixel_gain of gain range 1: median 41.47 ADU/keV, expected -1.7 ADU/keV to "
        "-1.1 ADU/keV: as of gain range 0; the files of two ranges may be swapped"
    )
    [one] = judge([Measurement("dead_fraction", GAIN, 2, 0.125)], rules, UNITS)
    assert one.text == "pixel_gain of gain range 2: dead pixels 12.5 %, expected at most 2 %"


def test_errors_come_first() -> None:
    rules = [
        Rule("median", GAIN, 0, WARNING, 0.0, None),
        Rule("median", GAIN, 1, ERROR, 0.0, None),
    ]
    numbers = [Measurement("median", GAIN, one, -1.0) for one in range(3)]
    assert [one.gain_range for one in judge(numbers, rules, UNITS)] == [1, 0]


def verdict(*ranges: int, accepted: str | None = None) -> Verdict:
    rule = [Rule("median", GAIN, None, ERROR, 0.0, None)]
    numbers = [Measurement("median", GAIN, one, -1.0) for one in ranges]
    return Verdict(judge(numbers, rule, UNITS), (), rules_digest(rule), accepted)


def test_accepted_errors_stay_accepted_as_long_as_there_are_no_others() -> None:
    before = verdict(0, 1, accepted="as agreed")
    assert verdict(1).still_accepted(before) == "as agreed"
    assert verdict(1, 2).still_accepted(before) is None
    assert verdict().still_accepted(before) is None
    assert verdict(1).still_accepted(verdict(1)) is None
    assert verdict(1).still_accepted(None) is None


def test_every_check_is_documented() -> None:
    told = (Path(__file__).parents[2] / "docs" / "quality.md").read_text(encoding="utf-8")
    assert [check for check in CHECKS if f"`{check}`" not in told] == []


# --- panels of the real size --------------------------------------------------------------


def test_patterns_of_full_panels_tell_clean_turned_and_other_ones() -> None:
    panel = Panel(12, FULL)
    first, again = (pattern(panel.measured()[GAIN][0]) for _ in range(2))
    other = pattern(Panel(13, FULL).measured()[GAIN][0])
    assert first is not None
    assert again is not None
    assert other is not None
    assert correlation(first, again) > 0.95
    assert abs(correlation(first, other)) < 0.2
    assert best_way(again[:, ::-1], first)[0] == "flipped left-right"
