"""Datasets and sources as people name them (spec §10)."""

import pytest

from panelcal.domain.runs import (
    Dataset,
    choose_source,
    instrument_of,
    is_dataset,
    match_sources,
    nearest_names,
    nearest_runs,
    parse_dataset,
    parse_source,
)
from panelcal.errors import InvalidInputError, NotFoundError

XCS = "XcsEndstation.0:Jungfrau.0"
ONE = "CxiEndstation.0:Jungfrau.1"
TEN = "CxiEndstation.0:Jungfrau.10"
LAB = "DetLab.0:Jungfrau.1"
EPIX = "XcsEndstation.0:Epix100a.1"
RUN = Dataset("xcsls3716", 631)


@pytest.mark.parametrize(
    "text",
    [
        "exp=xcsls3716:run=631",
        "xcsls3716:run=631",
        "exp=xcsls3716:run=0631",
        "exp=xcsls3716:run=631:smd",
        "exp=xcsls3716:run=631:idx",
    ],
)
def test_a_dataset_is_an_experiment_and_one_run(text: str) -> None:
    assert parse_dataset(text) == RUN
    assert str(parse_dataset(text)) == "exp=xcsls3716:run=631"


def test_the_instrument_is_the_experiments_first_three_letters_in_upper_case() -> None:
    assert parse_dataset("exp=xcsls3716:run=631").instrument == "XCS"
    assert instrument_of("mfxc00118") == "MFX"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "'' is not a dataset"),
        ("xcsls3716", "'xcsls3716' is not a dataset"),
        ("exp=xcsls3716", "'exp=xcsls3716' is not a dataset"),
        ("exp=xcsls3716:run=631:dir=x", "'exp=xcsls3716:run=631:dir=x' is not a dataset"),
        ("run=631:exp=xcsls3716", "'run=631:exp=xcsls3716' is not a dataset"),
        ("exp=xcsls3716:run=", "'' is not a run number"),
        ("exp=xcsls3716:run=-1", "'-1' is not a run number"),
        ("exp=xcsls3716:run=631-640", "'631-640' is not a run number"),
        ("exp=xcsls3716:run=６３１", "is not a run number"),
        ("exp=xcsls3716:run=1234567890", "'1234567890' is not a run number"),
        ("exp=:run=631", "'' is not an experiment name"),
        ("exp=xc:run=631", "'xc' is not an experiment name"),
        ("exp=../../etc:run=631", "'../../etc' is not an experiment name"),
        ("exp=1cs:run=631", "'1cs' is not an experiment name"),
    ],
)
def test_a_malformed_dataset_is_refused_with_the_part_that_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_dataset(text)
    assert says in caught.value.message
    assert caught.value.hint


def test_a_dataset_is_told_from_a_detector_id() -> None:
    assert is_dataset("exp=xcsls3716:run=631")
    assert is_dataset("xcsls3716:run=631")
    assert not is_dataset("171113-154920171025-3d00fb_171113-154920171025-3d00f7")


@pytest.mark.parametrize("text", [XCS, XCS.replace(":", "-"), f"DetInfo({XCS})"])
def test_a_full_source_name_is_read_in_each_of_its_spellings(text: str) -> None:
    assert parse_source(text) == XCS


@pytest.mark.parametrize("text", ["", "Jungfrau.0", "Xcs:Jungfrau", f"DetInfo({XCS}", f"{XCS}\n"])
def test_an_incomplete_source_name_is_refused_for_registration(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a full source name") as caught:
        parse_source(text)
    assert caught.value.hint == "PLACE.N:DEVICE.M, such as XcsEndstation.0:Jungfrau.0"


@pytest.mark.parametrize(
    "pattern",
    [
        XCS,
        XCS.replace(":", "-"),
        f"DetInfo({XCS})",
        "DetInfo(Jungfrau.0)",
        "Jungfrau.0",
        "Jungfrau",
        "frau",
    ],
)
def test_a_pattern_means_the_source_that_it_is_part_of(pattern: str) -> None:
    assert choose_source(pattern, [XCS, EPIX], RUN) == XCS


def test_matching_is_case_sensitive() -> None:
    assert match_sources("jungfrau", [XCS, EPIX]) == []


def test_a_whole_device_name_wins_over_a_longer_one_that_it_begins() -> None:
    assert choose_source("Jungfrau.1", [ONE, TEN], RUN) == ONE
    assert choose_source("Jungfrau.10", [ONE, TEN], RUN) == TEN
    assert choose_source(ONE, [ONE, TEN], RUN) == ONE


def test_a_whole_place_name_matches_all_its_devices() -> None:
    assert match_sources("XcsEndstation.0", [XCS, EPIX, LAB]) == [EPIX, XCS]


def test_no_pattern_means_the_only_source() -> None:
    assert choose_source(None, [XCS], RUN) == XCS


def test_a_pattern_of_several_sources_is_refused_and_they_are_listed() -> None:
    with pytest.raises(InvalidInputError) as caught:
        choose_source("Jungfrau.1", [LAB, XCS, ONE], RUN)
    assert caught.value.message == (
        f"'Jungfrau.1' matches 2 sources of exp=xcsls3716:run=631: {ONE}, {LAB}"
    )
    assert caught.value.hint == "name one with -s"


@pytest.mark.parametrize("pattern", [None, ""])
def test_no_pattern_where_there_are_several_sources_is_refused_and_they_are_listed(
    pattern: str | None,
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        choose_source(pattern, [XCS, EPIX], RUN)
    assert caught.value.message == f"exp=xcsls3716:run=631 has 2 sources: {EPIX}, {XCS}"


def test_a_pattern_of_no_source_is_not_found_and_what_there_is_is_listed() -> None:
    with pytest.raises(NotFoundError) as caught:
        choose_source("Rayonix", [XCS, EPIX], RUN)
    assert caught.value.message == "exp=xcsls3716:run=631 has no source that matches 'Rayonix'"
    assert caught.value.hint == f"it has: {EPIX}, {XCS}"


def test_near_names_are_those_that_look_alike() -> None:
    known = ["xcsls3716", "xcsx35617", "mfxc00118"]
    assert nearest_names("xcsls3761", known)[0] == "xcsls3716"
    assert nearest_names("zzz", known) == []


def test_near_runs_are_the_three_next_to_the_wanted_one_in_ascending_order() -> None:
    assert nearest_runs(632, [1, 700, 631, 640, 600]) == [600, 631, 640]
    assert nearest_runs(5, [9]) == [9]
