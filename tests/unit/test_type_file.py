"""Files that describe detector types: what they say, and what of them is refused."""

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.findings import Severity
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.quality import Rule
from panelcal.domain.type_file import parse_type_file, require_sound_type
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.services.detector_types import new_types

WHOLE = (Path(__file__).parents[2] / "docs/examples/epix10ka.toml").read_text(encoding="utf-8")
EXAMPLE = f"{WHOLE.partition('[[rule]]')[0].rstrip()}\n"
"""Without its rules."""
RULE = '[[rule]]\ncheck = "finite_fraction"\nlow = 1\nseverity = "error"\n'

JUNGFRAU = DetectorType(1, "jungfrau", 3, 4, 8, "Jungfrau", "Jungfrau::CalibV1", ())
EPIX = replace(JUNGFRAU, id=2, name="epix10ka", device="Epix10ka", calib_group="Epix10ka::CalibV1")
BOTH = DetectorTypes((JUNGFRAU, EPIX))


def test_the_example_says_seven_ranges_of_352_x_384_in_the_units_of_jungfrau() -> None:
    described = parse_type_file(EXAMPLE)
    assert described.detector_type == DetectorType(
        0,
        "epix10ka",
        7,
        352,
        384,
        "Epix10ka",
        "Epix10ka::CalibV1",
        (
            Kind("pixel_gain", "ADU/keV", "gain", "%.4f"),
            Kind("pixel_offset", "ADU", "offset", "%.1f"),
        ),
    )
    assert described.rules == ()
    assert {rule.check for rule in parse_type_file(WHOLE).rules} >= {"range_ratio", "drift"}


def test_rules_are_read_in_the_order_of_the_file_with_what_they_leave_open() -> None:
    second = (
        '[[rule]]\ncheck = "median"\nkind = "pixel_gain"\ngain_range = 6\n'
        'severity = "warning"\nlow = -1\nhigh = 2.5\n'
    )
    assert parse_type_file(EXAMPLE + RULE + second).rules == (
        Rule("finite_fraction", None, None, Severity.ERROR, 1.0, None),
        Rule("median", "pixel_gain", 6, Severity.WARNING, -1.0, 2.5),
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('name = "epix10ka"', 'name = "Epix10ka"', "name 'Epix10ka' is malformed"),
        ('name = "epix10ka"', 'name = "epix_10"', "name 'epix_10' is malformed"),
        ('name = "epix10ka"', 'name = ""', "name '' is malformed"),
        ('name = "epix10ka"', f'name = "{"e" * 65}"', "is malformed"),
        ('name = "epix10ka"\n', "", "lacks name"),
        ('name = "epix10ka"', "name = 7", "name is '7', a text in quotes expected"),
        ("gain_ranges = 7", "gain_ranges = 0", "gain_ranges is 0, it has to be from 1 to 64"),
        ("gain_ranges = 7", "gain_ranges = -3", "gain_ranges is -3"),
        ("gain_ranges = 7", "gain_ranges = true", "gain_ranges is 'True', a whole number"),
        ("gain_ranges = 7", "gain_ranges = 7.0", "gain_ranges is '7.0', a whole number"),
        ("panel_rows = 352", "panel_rows = 65537", "panel_rows is 65537"),
        ("panel_columns = 384", "panel_columns = 0", "panel_columns is 0"),
        ("panel_rows = 352\n", "panel_rows = 65536\n", None),
        ("352\npanel_columns = 384", "65536\npanel_columns = 65536", "more than a payload can"),
        ('device = "Epix10ka"', 'device = "../x"', "device '../x' is malformed"),
        ('device = "Epix10ka"', 'device = "Epix-10"', "is malformed"),
        ('device = "Epix10ka"', 'device = "Epix10ka\\n"', "is malformed"),
        ('"Epix10ka::CalibV1"', '"../../etc"', "calib_group '../../etc' is malformed"),
        ('"Epix10ka::CalibV1"', '"a/b::CalibV1"', "is malformed"),
        ('"Epix10ka::CalibV1"', '"Epix10ka::CalibV1\\u202e"', "is malformed"),
        ('name = "pixel_gain"', 'name = "pixel gain"', "name of a kind 'pixel gain'"),
        ('name = "pixel_gain"', 'name = ".."', "name of a kind '..'"),
        ('name = "pixel_gain"', 'name = "pixel_offset"', "two kinds of the same name"),
        ('file_stem = "gain"', 'file_stem = "a/b"', "file_stem 'a/b' is malformed"),
        ('file_stem = "gain"', 'file_stem = "OFFSET"', "two kinds of the same file_stem"),
        ('unit = "ADU/keV"', 'unit = ""', "the unit is empty"),
        ('unit = "ADU/keV"', 'unit = " ADU"', "the unit ' ADU' is not one word"),
        ('unit = "ADU/keV"', f'unit = "{"u" * 33}"', "at most 32 characters"),
        ('unit = "ADU/keV"', 'unit = "A\\u001b[2J"', "control character"),
        ("calib_group =", "calib_grup =", "has 'calib_grup', which means nothing here"),
        ('text_format = "%.4f"', "", "a [[kind]] lacks text_format"),
        ('name = "epix10ka"', "name = ", "it is no TOML"),
    ],
)
def test_what_cannot_be_worked_with_is_refused_and_named(
    old: str, new: str, says: str | None
) -> None:
    text = EXAMPLE.replace(old, new, 1)
    assert text != EXAMPLE
    if says is None:
        # The bound itself is possible.
        assert parse_type_file(text).detector_type.rows == 65_536
        return
    with pytest.raises(InvalidInputError) as caught:
        parse_type_file(text)
    assert says in caught.value.message


@pytest.mark.parametrize("kinds", ["kind = []\n", "kind = 3\n", "kind = [1]\n", ""])
def test_a_type_without_kinds_is_refused(kinds: str) -> None:
    head, _, _ = EXAMPLE.partition("[[kind]]")
    with pytest.raises(InvalidInputError, match="kind"):
        parse_type_file(head + kinds)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("gain_range = 7", "gain_range is 7, they are 0 to 6"),
        ("gain_range = -1", "gain_range is -1"),
        ('kind = "pixel_rms"', "there is no kind 'pixel_rms'"),
        ("high = 0.5", "low is 1.0, above high, 0.5"),
        ("high = nan", "high is 'nan', a finite number expected"),
        ("high = inf", "a finite number expected"),
        ("high = true", "a finite number expected"),
        (f"high = 1{'0' * 400}", "a finite number expected"),
        ("above = 1", "has 'above', which means nothing here"),
    ],
)
def test_a_rule_that_makes_no_sense_for_the_type_is_refused(rule: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_type_file(f"{EXAMPLE}{RULE}{rule}\n")
    assert says in caught.value.message


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"error"', '"fatal"', "'fatal' is no severity"),
        ('"finite_fraction"', '"finite fraction"', "there is no check 'finite fraction'"),
        ("low = 1\n", "", "has neither low nor high"),
        ('check = "finite_fraction"\n', "", "a [[rule]] lacks check"),
    ],
)
def test_a_rule_needs_a_check_and_a_severity(old: str, new: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_type_file(EXAMPLE + RULE.replace(old, new))
    assert says in caught.value.message


def test_two_rules_about_the_same_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="two rules of the same check"):
        parse_type_file(EXAMPLE + RULE + RULE)


@given(st.text(max_size=300))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    try:
        parse_type_file(text)
    except InvalidInputError:
        return
    assert tomllib.loads(text)["name"]


@given(st.text(max_size=70), st.sampled_from(["name", "device", "calib_group"]))
def test_no_name_of_a_sound_type_leads_out_of_a_directory(text: str, field: str) -> None:
    changes: dict[str, Any] = {field: text}
    changed = replace(parse_type_file(EXAMPLE).detector_type, **changes)
    try:
        require_sound_type(changed)
    except InvalidInputError:
        return
    assert text
    assert text.isascii()
    assert not set(text) & set("/.\\\0 -")


# --- which type is meant


def test_a_source_is_of_the_type_whose_device_it_names() -> None:
    assert BOTH.of_source("XcsEndstation.0:Epix10ka.0") is EPIX
    assert BOTH.of_source("XcsEndstation.0:Jungfrau.1") is JUNGFRAU


@pytest.mark.parametrize("source", ["XcsEndstation.0:Epix10ka2M.0", "X.0:Cspad.0", "Jungfrau.0"])
def test_a_device_that_only_begins_like_another_is_of_no_type(source: str) -> None:
    assert BOTH.of_source(source) is None


def test_what_is_new_is_of_the_only_type_or_of_jungfrau() -> None:
    assert DetectorTypes((EPIX,)).chosen(None) is EPIX
    assert BOTH.chosen(None) is JUNGFRAU
    assert BOTH.chosen("epix10ka") is EPIX


def test_an_unknown_type_is_named_with_those_that_there_are() -> None:
    with pytest.raises(NotFoundError, match=r"'cspad'.*jungfrau, epix10ka"):
        BOTH.chosen("cspad")
    with pytest.raises(NotFoundError, match=r"'jungfrau'.*there is none"):
        DetectorTypes(()).chosen(None)


def test_a_dcs_file_is_of_the_device_that_its_name_begins_with() -> None:
    assert BOTH.of_dcs_file("epix10ka-1-2-3.h5") is EPIX
    assert BOTH.of_dcs_file("jungfrau-1-2-3.h5") is JUNGFRAU
    assert BOTH.of_dcs_file("copy of something.h5") is JUNGFRAU


# --- whether a store can take a type, wherever it comes from


SOUND = parse_type_file(EXAMPLE).detector_type
STORE = DetectorTypes(
    (replace(SOUND, id=1, name="jungfrau", device="J", calib_group="J::CalibV1"),)
)


def test_a_type_that_the_store_has_just_so_is_not_new() -> None:
    assert new_types(DetectorTypes((replace(SOUND, id=7),)), DetectorTypes((SOUND,))) == []
    assert new_types(STORE, DetectorTypes((SOUND,))) == [SOUND]


@pytest.mark.parametrize(
    "hostile",
    [
        replace(SOUND, calib_group="../../x"),
        replace(SOUND, kinds=(replace(SOUND.kinds[0], name="../x"),)),
        replace(SOUND, kinds=(replace(SOUND.kinds[0], text_format="%n"),)),
        replace(SOUND, kinds=()),
    ],
)
def test_a_type_out_of_a_bundle_is_judged_as_one_out_of_a_file(hostile: DetectorType) -> None:
    with pytest.raises(InvalidInputError):
        new_types(STORE, DetectorTypes((hostile,)))


def test_two_new_types_that_share_a_device_are_a_conflict() -> None:
    other = replace(SOUND, name="epix10kb", calib_group="Epix10kb::CalibV1", device="EPIX10KA")
    with pytest.raises(ConflictError, match="the device EPIX10KA of epix10kb"):
        new_types(STORE, DetectorTypes((SOUND, other)))
