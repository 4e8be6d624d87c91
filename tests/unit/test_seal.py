"""A seal is over everything that a row says, and over nothing else."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.seal import (
    RUN_COLUMNS,
    assignment_seal,
    broken_run,
    broken_tag,
    constant_set_seal,
    deployment_seal,
    run_seal,
    seal_of,
    store_seal,
    tag_seal,
)

RUN = ("xcsls3716", 10, "Xcs.0:Jungfrau.0", None, "a-b-c", "", "note", 1, "me")
TAG = ("t1", 1, 2, "me", "why")
SET: dict[str, Any] = {
    "detector_type": "jungfrau",
    "module": "M044",
    "revision": 1,
    "digests": {"pixel_gain": "a" * 64, "pixel_offset": "b" * 64},
    "delivered_from": "/there",
    "recorded_at_us": 5,
    "recorded_by": "me",
    "reason": "why",
}
ROW: dict[str, Any] = {
    "panel": "1-2-3",
    "fields": ("1", "2", "3"),
    "valid_from_us": -(2**63),
    "constant_set": "c" * 64,
    "recorded_at_us": 5,
    "recorded_by": "me",
    "reason": "why",
}

VALUES = st.none() | st.integers() | st.text()


def test_it_is_the_sha256_of_a_json_list_in_ascii_without_blanks() -> None:
    text = '["store","Europe/Z\\u00fcrich",7]'
    assert store_seal("Europe/Zürich", 7) == hashlib.sha256(text.encode()).hexdigest()


@given(st.lists(VALUES, max_size=4), st.lists(VALUES, max_size=4))
def test_two_rows_have_one_seal_only_if_they_say_the_same(one: list[Any], two: list[Any]) -> None:
    assert (seal_of("run", *one) == seal_of("run", *two)) == (one == two)


def test_values_do_not_run_into_each_other() -> None:
    assert seal_of("tag", "a", "bc") != seal_of("tag", "ab", "c")
    assert seal_of("tag", "a") != seal_of("run", "a")
    assert seal_of("tag", 1) != seal_of("tag", "1")
    assert seal_of("tag", None) != seal_of("tag", "")


@pytest.mark.parametrize("place", range(len(RUN_COLUMNS)), ids=RUN_COLUMNS)
def test_every_column_of_a_run_is_sealed(place: int) -> None:
    seal = run_seal(RUN)
    edited = [*RUN]
    edited[place] = "  " if RUN[place] == "" else 99
    assert broken_run(1, RUN, seal) is None
    broken = broken_run(1, edited, seal)
    assert broken is not None
    assert (broken.table, broken.id) == ("run", "1")


@pytest.mark.parametrize("place", range(len(TAG)))
def test_every_column_of_a_tag_is_sealed(place: int) -> None:
    edited: list[Any] = [*TAG]
    edited[place] = 99
    assert broken_tag(TAG, tag_seal(TAG)) is None
    assert broken_tag(edited, tag_seal(TAG)) is not None


@pytest.mark.parametrize("name", SET)
def test_everything_of_a_constant_set_is_sealed(name: str) -> None:
    value = {"pixel_gain": "b" * 64, "pixel_offset": "a" * 64} if name == "digests" else 99
    assert constant_set_seal(**SET | {name: value}) != constant_set_seal(**SET)


def test_the_order_in_which_kinds_are_read_does_not_matter() -> None:
    turned = dict(reversed(SET["digests"].items()))
    assert constant_set_seal(**SET | {"digests": turned}) == constant_set_seal(**SET)


@pytest.mark.parametrize("name", ROW)
def test_everything_of_an_assignment_is_sealed(name: str) -> None:
    value = ("1", "2", "4") if name == "fields" else None
    assert assignment_seal("", **ROW | {name: value}) != assignment_seal("", **ROW)


def test_an_assignment_binds_the_row_before_it() -> None:
    assert assignment_seal("d" * 64, **ROW) != assignment_seal("", **ROW)


def test_a_deployment_is_sealed_with_its_panels() -> None:
    parts = [(0, "1-2-3", "c" * 64), (1, None, "d" * 64)]
    seal = deployment_seal(RUN, parts)
    assert deployment_seal(RUN, iter(parts)) == seal
    assert deployment_seal(RUN, parts[:1]) != seal
    assert deployment_seal(RUN, [(0, "1-2-4", "c" * 64), parts[1]]) != seal


def test_what_no_sound_row_holds_can_be_judged_as_well() -> None:
    broken = broken_tag(("t1", b"\xff", 2, "me", "why"), tag_seal(TAG))
    assert broken is not None
    assert "as_of_us" in broken.says
