"""``diff``: which sides it compares, what it says of them, and what it refuses."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import TREE_SHAPE, damage, delivered, write_delivery
from bundle_material import AUTUMN, B0, BEGUN, F7, FB, PAIR, SOURCE, Teller
from conftest import RunsProgram
from corruption.scene import DATASET, TAG, A, B, Scene
from corruption.scene import fill as fill_scene
from panelcal.domain.sides import Pair
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.services.diff import Diff, diff, payloads_of
from panelcal.services.diff_sides import Question
from panelcal.services.modules import deliver
from panelcal.services.runs import RunFields, add_run
from panelcal.services.tags import create_tag, list_tags
from panelcal.storage.payload_reading import StoredPayload
from panelcal.storage.store import OpenStore, open_store

SEEDS = {"M044@1": 0, "M044@2": 10, "M044@3": 11, "M068@1": 1, "M088@1": 2}
"""With which `bundle_material.tell` delivers."""

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SPRING, SUMMER, WINTER = "20180401000000", "20180801000000", "20190101000000"

sqlite_only = pytest.mark.sqlite_only


def values(scratch: Path, name: str, stem: str) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Read again what was delivered: (gain range, row, column)."""
    return delivered(write_delivery(scratch / f"again-{name}", SEEDS[name]), stem)


def compare(store: OpenStore, before: str, after: str, **asked: Any) -> Diff:
    options = {name: asked.pop(name) for name in ("kind", "n_sigma", "worst") if name in asked}
    return diff(store, Question(before, after, **asked), now=NOW, **options)


def pairs_of(found: Diff) -> list[tuple[str | None, str, str]]:
    return [
        (one.pair.before.panel, one.pair.before.uses, one.pair.after.uses) for one in found.compared
    ]


@pytest.fixture
def teller(told: OpenStore, tmp_path: Path) -> Teller:
    """Goes on with the story of that store."""
    return Teller(told, tmp_path / "more", BEGUN.replace(month=4))


# --- numbers


def test_the_numbers_are_those_of_what_was_delivered(told: OpenStore, tmp_path: Path) -> None:
    [one] = compare(told, "M044@1", "M068@1", n_sigma=1.0, worst=3).compared
    assert (one.equal, one.is_equal) == ((), False)
    planes = {(plane.kind, plane.gain_range): plane for plane in one.differences}
    assert list(planes) == [
        (f"pixel_{stem}", gain) for stem in ("gain", "offset") for gain in range(3)
    ]
    for stem, unit in (("gain", "ADU/keV"), ("offset", "ADU")):
        old, new = (values(tmp_path, name, stem) for name in ("M044@1", "M068@1"))
        for gain in range(3):
            plane = planes[f"pixel_{stem}", gain]
            change = new[gain].astype(float) - old[gain].astype(float)
            far = np.abs(change - np.median(change))
            assert (plane.unit, plane.pixels, plane.changed) == (unit, 32, 32)
            assert plane.median == np.median(change)
            assert plane.sigma == pytest.approx(1.4826 * np.median(far))
            assert plane.beyond == np.count_nonzero(far > 1.4826 * np.median(far)) > 0
            places = [divmod(int(place), TREE_SHAPE[2]) for place in np.argsort(-far.ravel())[:3]]
            assert [(one.row, one.column) for one in plane.worst] == places
            assert [one.before for one in plane.worst] == [old[gain][place] for place in places]
            assert [one.after for one in plane.worst] == [new[gain][place] for place in places]


@sqlite_only
def test_the_other_way_round_the_changes_have_the_other_sign(told: OpenStore) -> None:
    [there] = compare(told, "M044@1", "M044@2").compared
    [back] = compare(told, "M044@2", "M044@1").compared
    for one, other in zip(there.differences, back.differences, strict=True):
        assert one.median == -other.median
        assert one.sigma == other.sigma


@sqlite_only
def test_one_kind_may_be_asked_for(told: OpenStore) -> None:
    [one] = compare(told, "M044@1", "M044@2", kind="pixel_offset").compared
    assert {plane.kind for plane in one.differences} == {"pixel_offset"}
    with pytest.raises(NotFoundError, match="no kind 'pixel_rms'"):
        compare(told, "M044@1", "M044@2", kind="pixel_rms")


@sqlite_only
def test_equal_payloads_are_told_as_equal_and_not_read(
    teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    teller.deliver("M090", SEEDS["M044@1"])
    monkeypatch.setattr(teller.store.payloads, "find", pytest.fail)
    [one] = compare(teller.store, "M044@1", "M090@1").compared
    assert one.is_equal
    assert one.equal == ("pixel_gain", "pixel_offset")
    assert [(plane.pixels, plane.changed) for plane in one.differences] == [(32, 0)] * 6


@sqlite_only
def test_of_one_equal_kind_the_other_is_compared(teller: Teller) -> None:
    files = write_delivery(teller.scratch / "M044-7", 0)
    moved = np.load(files / "g1_offset.npy") + np.float32(8)
    np.save(files / "g1_offset.npy", moved)
    deliver(teller.store, "M044", files, now=NOW, user="ann", reason="offsets again")
    [one] = compare(teller.store, "M044@1", "M044").compared
    assert (one.equal, one.is_equal) == (("pixel_gain",), False)
    told = {(plane.kind, plane.gain_range): plane.changed for plane in one.differences}
    assert told.pop(("pixel_offset", 1)) == 32
    assert set(told.values()) == {0}
    assert len(told) == 5


@sqlite_only
def test_one_panel_is_in_memory_at_a_time(teller: Teller, monkeypatch: pytest.MonkeyPatch) -> None:
    teller.assign(F7, "M088", AUTUMN)
    events: list[str] = []
    find = teller.store.payloads.find

    def spied(digest: str) -> StoredPayload:
        events.append("read")
        return find(digest)

    monkeypatch.setattr(teller.store.payloads, "find", spied)
    question = Question(SPRING, WINTER, detector=PAIR)
    diff(
        teller.store,
        question,
        now=NOW,
        progress=lambda done, total, what: events.append(f"{done} of {total} {what}"),
    )
    assert events == [*["read"] * 4, f"1 of 2 {FB}", *["read"] * 4, f"2 of 2 {F7}"]


@sqlite_only
def test_the_arrays_of_a_pair_can_be_loaded_one_side_at_a_time(
    told: OpenStore, tmp_path: Path
) -> None:
    [one, other] = compare(told, SPRING, WINTER, detector=PAIR).compared
    loaded = payloads_of(told.payloads, one.pair.before, ["pixel_gain"])
    assert loaded.keys() == {"pixel_gain"}
    assert loaded["pixel_gain"].tobytes() == values(tmp_path, "M044@3", "gain").tobytes()
    assert payloads_of(told.payloads, other.pair.after, ["pixel_gain"]) == {}


# --- modules


@sqlite_only
def test_a_module_without_a_revision_means_its_latest_and_that_is_said(told: OpenStore) -> None:
    found = compare(told, "M044@1", "M044")
    assert pairs_of(found) == [(None, "M044@1", "M044@3")]
    assert found.notices == ("M044 means its latest revision, M044@3",)


@sqlite_only
def test_as_of_a_time_the_latest_revision_is_that_of_then(told: OpenStore) -> None:
    found = compare(told, "M068@1", "M044", as_of=BEGUN.replace(second=9))
    assert pairs_of(found) == [(None, "M068@1", "M044@1")]


# --- times of a detector


def test_two_times_tell_what_each_panel_used_and_since_when(told: OpenStore) -> None:
    [one] = compare(told, SPRING, SUMMER, detector=FB).compared
    before, after = one.pair.before, one.pair.after
    assert (before.uses, after.uses) == ("M044@3", "M068@1")
    assert before.valid_from == datetime(2018, 3, 6, 8, tzinfo=UTC)
    assert after.valid_from == datetime(2018, 6, 6, 8, tzinfo=UTC)


def test_a_panel_without_constants_on_one_side_is_told_with_the_reason(told: OpenStore) -> None:
    found = compare(told, SUMMER, WINTER, detector=f"{PAIR}_{B0}")
    assert pairs_of(found) == [
        (FB, "M068@1", "M068@1"),
        (F7, "M068@1", "withdrawn from 20181006010000"),
        (B0, "M044@2", "M044@2"),
    ]
    assert [one.pair.is_complete for one in found.compared] == [True, False, True]
    assert found.compared[1].differences == ()
    assert not found.compared[1].is_equal


@sqlite_only
def test_the_reasons_are_never_before_and_withdrawn(told: OpenStore) -> None:
    unknown = "171113-154920171025-3d0000"
    found = compare(told, "20180101000000", SUMMER, detector=f"{FB}_{unknown}")
    assert pairs_of(found) == [
        (FB, "not before 20180306000000", "M068@1"),
        (unknown, "never assigned", "never assigned"),
    ]


@sqlite_only
def test_as_of_a_time_both_sides_are_what_the_ledger_said_then(told: OpenStore) -> None:
    found = compare(told, SPRING, WINTER, detector=PAIR, as_of=BEGUN.replace(second=9))
    assert pairs_of(found) == [(FB, "M044@1", "M044@1"), (F7, "M068@1", "M068@1")]


@sqlite_only
def test_the_detector_may_be_that_of_a_run(told: OpenStore) -> None:
    found = compare(told, SPRING, SUMMER, detector="exp=xcsls3716:run=2", source="Jungfrau.0")
    assert [panel for panel, *_ in pairs_of(found)] == [FB, F7]


@sqlite_only
def test_a_time_that_occurred_twice_is_told(told: OpenStore) -> None:
    [notice] = compare(told, SPRING, "20181104013000", detector=FB).notices
    assert "occurred twice" in notice


# --- tags


def test_two_tags_of_a_detector_are_compared_at_one_time(told: OpenStore) -> None:
    found = compare(told, "first", "second", detector=PAIR, by_tag=True, at=SPRING)
    assert pairs_of(found) == [(FB, "M044@1", "M044@3"), (F7, "M068@1", "M068@1")]
    assert found.before.as_of != found.after.as_of


def test_two_tags_tell_of_every_panel_whose_answer_differs(told: OpenStore) -> None:
    found = compare(told, "first", "second", by_tag=True, at=WINTER)
    assert pairs_of(found) == [
        (B0, "never assigned", "M044@2"),
        (F7, "M068@1", "withdrawn from 20181006010000"),
        (FB, "M044@1", "M044@3"),
    ]
    assert [one.pair.index for one in found.compared] == [0, 1, 2]
    spring = compare(told, "first", "second", by_tag=True, at=SPRING)
    assert [panel for panel, *_ in pairs_of(spring)] == [B0, FB]


@sqlite_only
@pytest.mark.parametrize("detector", [None, PAIR])
def test_a_tag_stands_for_its_transaction_time_not_for_when_it_was_made(
    teller: Teller, detector: str | None
) -> None:
    [first] = [tag for tag in list_tags(teller.store) if tag.name == "first"]
    made = teller.now.replace(month=5)
    create_tag(teller.store, "again", as_of=first.as_of, now=made, user="dan", reason="late")
    found = [
        compare(teller.store, name, "second", by_tag=True, at=SPRING, detector=detector).compared
        for name in ("again", "first")
    ]
    assert found[0] == found[1]
    assert found[0][0].pair.before.uses != found[0][0].pair.after.uses


@sqlite_only
def test_without_a_time_tags_are_compared_now_and_that_is_said(told: OpenStore) -> None:
    found = compare(told, "first", "second", by_tag=True)
    assert found.before.at == found.after.at == NOW
    assert found.notices == ("no time was given: compared at 20260531170000, 2026-06-01T00:00:00Z",)


@sqlite_only
def test_of_a_run_tags_are_compared_at_its_begin(told: OpenStore) -> None:
    found = compare(told, "first", "second", by_tag=True, detector="exp=xcsls3716:run=2")
    assert found.before.at == datetime(2018, 7, 1, tzinfo=UTC)
    assert pairs_of(found) == [(FB, "M044@1", "M044@3"), (F7, "M068@1", "M068@1")]


@sqlite_only
def test_a_tag_with_itself_differs_in_nothing(told: OpenStore, panelcal: RunsProgram) -> None:
    assert compare(told, "first", "first", by_tag=True).compared == ()
    done = panelcal("--store", told.directory, "diff", "--tags", "first", "first", "--json")
    assert (done.exit_code, json.loads(done.stdout)["pairs"]) == (0, [])
    assert "no registered panel uses another constant set" in done.stderr


# --- runs


def add(store: OpenStore, number: int, begin: str, **fields: str) -> None:
    typed = RunFields("xcsls3716", str(number), SOURCE, begin=begin, **fields)
    add_run(store, typed, now=BEGUN.replace(month=4, minute=number), user="cle", supersede=False)


def test_two_runs_of_the_same_panels_are_compared_each_at_its_begin(told: OpenStore) -> None:
    add(told, 9, SPRING, detector_id=f"{F7}_{FB}")
    found = compare(told, "exp=xcsls3716:run=2", "exp=xcsls3716:run=9")
    assert pairs_of(found) == [(FB, "M068@1", "M044@3"), (F7, "M068@1", "M068@1")]
    assert found.before.at == datetime(2018, 7, 1, tzinfo=UTC)
    assert found.after.at == datetime(2018, 4, 1, 7, tzinfo=UTC)


@sqlite_only
def test_runs_of_other_panels_are_refused(told: OpenStore) -> None:
    with pytest.raises(InvalidInputError, match=r"different panels: only .*run=2' has") as error:
        compare(told, "exp=xcsls3716:run=2", "exp=xcsls3716:run=4")
    assert FB in error.value.message
    assert B0 in error.value.message


@sqlite_only
def test_modules_that_runs_declare_are_compared_by_name(teller: Teller) -> None:
    teller.deliver("M088", 5)
    add(teller.store, 9, SPRING, modules="M088@2")
    found = compare(teller.store, "exp=xcsls3716:run=3", "exp=xcsls3716:run=9")
    assert pairs_of(found) == [(None, "M088@1", "M088@2")]
    assert found.compared[0].differences[0].changed == 32


@sqlite_only
def test_a_run_without_a_begin_is_refused_with_a_way_round(teller: Teller) -> None:
    told = teller.store
    add(told, 9, "", detector_id=PAIR)
    teller.now = teller.now.replace(month=5)
    teller.tag("third")
    with pytest.raises(InvalidInputError, match="without a begin time") as error:
        compare(told, "exp=xcsls3716:run=2", "exp=xcsls3716:run=9")
    assert "--detector DATASET A B" in (error.value.hint or "")
    with pytest.raises(InvalidInputError, match="without a begin time") as error:
        compare(told, "third", "third", by_tag=True, detector="exp=xcsls3716:run=9")
    assert error.value.hint == "say when: --at T"
    run = "exp=xcsls3716:run=9"
    assert compare(told, SPRING, WINTER, detector=run).compared[0].pair.before.uses == "M044@3"


@sqlite_only
def test_a_run_is_looked_up_as_of_each_tag(teller: Teller) -> None:
    teller.tag("third")
    with pytest.raises(InvalidInputError, match=f"only 'third' has {F7}"):
        compare(teller.store, "second", "third", by_tag=True, detector="exp=xcsls3716:run=1")


# --- refusals


REFUSED: dict[str, tuple[tuple[str, ...], int, str]] = {
    "a run and a module": (("M044", "exp=xcsls3716:run=2"), 2, "of different sorts"),
    "a source of modules": (("M044", "M068", "-s", "Jungfrau.0"), 2, "goes with a dataset"),
    "a source of a detector": (
        (SPRING, WINTER, "--detector", FB, "-s", "Jungfrau.0"),
        2,
        "goes with a dataset",
    ),
    "--at without tags": (("M044", "M068", "--at", SPRING), 2, "no tags are"),
    "--at beside two times": ((SPRING, WINTER, "--detector", FB, "--at", SPRING), 2, "no tags"),
    "--as-of beside tags": (
        ("first", "second", "--tags", "--as-of", "20260302000000"),
        2,
        "so does each tag",
    ),
    "times without a detector": ((SPRING, WINTER), 3, "is it a time?"),
    "ISO times without a detector": (
        ("2018-04-01T00:00:00Z", "2019-01-01T00:00:00Z"),
        2,
        "of which detector was not said",
    ),
    "tags without --tags": (("first", "second"), 3, "it is a tag"),
    "tags of a detector without --tags": (
        ("first", "second", "--detector", FB),
        2,
        "names of tags go with --tags",
    ),
    "panel ids": ((FB, F7), 3, "of a detector two times are compared"),
    "a module that is not there": (("M044", "M099"), 3, "there is no module"),
    "a revision that is not there": (("M044", "M044@9"), 3, "no revision 9"),
    "a revision that is none": (("M044", "M044@x"), 2, "positive integer"),
    "a tag that is not there": (("first", "third", "--tags"), 3, "there is no tag third"),
    "a run that is not there": (("exp=xcsls3716:run=2", "exp=xcsls3716:run=77"), 3, "run=77"),
    "a kind that is none": (("M044@1", "M044@2", "-k", "rms"), 3, "no kind 'rms'"),
    "sigma that is none": (("M044@1", "M044@2", "--sigma", "nan"), 2, "beyond nan sigma"),
    "fewer than no pixels": (("M044@1", "M044@2", "--worst", "-1"), 2, "-1 pixels"),
    "a detector that is none": ((SPRING, WINTER, "--detector", "M044"), 2, "not a panel id"),
    "one argument": (("M044",), 2, "Missing argument"),
}


@sqlite_only
@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_compared_is_refused_with_what_to_do(
    told: OpenStore, panelcal: RunsProgram, words: tuple[tuple[str, ...], int, str]
) -> None:
    typed, code, told_words = words
    refused = panelcal("--store", told.directory, "diff", *typed)
    assert refused.exit_code == code, refused.output
    assert told_words in refused.stderr
    assert refused.stdout == ""


@sqlite_only
def test_where_nothing_can_be_compared_the_rows_are_shown_and_the_end_is_3(
    told: OpenStore, panelcal: RunsProgram
) -> None:
    asked = ("--store", told.directory, "diff", "--detector", F7, SUMMER, WINTER)
    done = panelcal(*asked)
    assert done.exit_code == 3
    assert "M068@1 from the beginning -> withdrawn from 20181006010000" in done.stdout
    assert "nothing could be compared" in done.stderr
    [pair] = json.loads(panelcal(*asked, "--json").stdout)["pairs"]
    assert (pair["compared"], pair["differences"]) == (False, [])
    assert pair["after"]["missing"] == "withdrawn from 20181006010000"


# --- integrity


@sqlite_only
@pytest.mark.parametrize(
    ("asked", "statement"),
    [
        (("M001@1", "M003@1"), "UPDATE constant_set SET reason = 'x' WHERE id = 4"),
        ((SPRING, WINTER, "--detector", B), "UPDATE assignment SET reason = 'x' WHERE id = 7"),
        (
            # Of A nothing is found at both times, because of that very row.
            ("20200601000000", "20210601000000", "--detector", f"{A}_{B}"),
            "UPDATE assignment SET reason = 'x' WHERE id = 5",
        ),
        ((TAG, TAG, "--tags", "--detector", B), "UPDATE tag SET as_of_us = as_of_us - 1000000"),
        ((TAG, TAG, "--tags", "--at", WINTER), "UPDATE assignment SET reason = 'x' WHERE id = 4"),
        ((DATASET, DATASET), "UPDATE run SET note = 'x' WHERE id = 2"),
        ((DATASET, DATASET), "UPDATE run SET run = 11 WHERE id = 2"),
        (
            (SPRING, WINTER, "--detector", B),
            "UPDATE assignment SET valid_from_us = valid_from_us + 1000000 WHERE id = 6",
        ),
    ],
)
def test_rows_that_are_not_as_recorded_are_refused(
    store: OpenStore, panelcal: RunsProgram, tmp_path: Path, asked: tuple[str, ...], statement: str
) -> None:
    fill_scene(store, tmp_path / "scratch")
    assert panelcal("diff", *asked).exit_code == 0, panelcal("diff", *asked).output
    store.close()
    Scene(store.directory).tamper(statement)
    refused = panelcal("diff", *asked)
    assert refused.exit_code == IntegrityError.exit_code == 5, refused.output
    assert refused.stdout == ""


@sqlite_only
def test_a_damaged_payload_ends_it_with_5_and_no_numbers(
    told: OpenStore, panelcal: RunsProgram
) -> None:
    damage(told.directory, "M068", "pixel_offset")
    refused = panelcal("--store", told.directory, "diff", "M044", "M068")
    assert (refused.exit_code, refused.stdout) == (5, "")
    sound = panelcal("--store", told.directory, "diff", "M044", "M068", "-k", "pixel_gain")
    assert sound.exit_code == 0


@sqlite_only
def test_a_bundle_is_compared_as_a_store_is(
    told: OpenStore, panelcal: RunsProgram, tmp_path: Path
) -> None:
    bundle = tmp_path / "b.zip"
    made = panelcal("--store", told.directory, "bundle", "create", bundle, "--tag", "second")
    assert made.exit_code == 0, made.stderr
    with open_store(bundle) as opened:
        found = compare(opened, "first", "second", by_tag=True, at=SPRING)
        assert found.compared == compare(told, "first", "second", by_tag=True, at=SPRING).compared


# --- what is shown


@sqlite_only
def test_json_has_every_number(told: OpenStore, panelcal: RunsProgram) -> None:
    asked = ("--detector", PAIR, SPRING, WINTER, "--sigma", "2", "--worst", "1", "--json")
    done = panelcal("--store", told.directory, "diff", *asked)
    assert done.exit_code == 0, done.stderr
    document = json.loads(done.stdout)
    found = compare(told, SPRING, WINTER, detector=PAIR, n_sigma=2.0, worst=1)
    pairs = document.pop("pairs")
    assert document == {
        "before": {"asked": SPRING, "at": SPRING, "as_of": None},
        "after": {"asked": WINTER, "at": WINTER, "as_of": None},
        "units": {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"},
        "n_sigma": 2.0,
    }
    first, second = found.compared
    plane, change = first.differences[0], first.differences[0].worst[0]
    assert pairs[0]["differences"][0] == {
        "kind": "pixel_gain",
        "unit": "ADU/keV",
        "gain_range": 0,
        "pixels": 32,
        "changed": 32,
        "median": plane.median,
        "sigma": plane.sigma,
        "quantiles": dict(
            zip(("0.001", "0.05", "0.25", "0.75", "0.95", "0.999"), plane.quantiles, strict=True)
        ),
        "beyond": plane.beyond,
        "worst": [
            {
                "row": change.row,
                "column": change.column,
                "before": change.before,
                "after": change.after,
            }
        ],
    }
    assert len(pairs[0]["differences"]) == 6
    told_side = pairs[0]["before"]
    assert told_side.pop("digests") == dict(first.pair.before.digests)
    assert told_side.pop("recorded_at") is not None
    assert told_side == {
        "module": "M044",
        "revision": 3,
        "valid_from": "20180306000000",
        "missing": None,
    }
    assert (pairs[1]["index"], pairs[1]["panel"], pairs[1]["compared"]) == (1, F7, False)
    assert second.pair.after.missing == pairs[1]["after"]["missing"]


@sqlite_only
@pytest.mark.parametrize("more", [(), ("--quantiles",), ("--worst", "2")], ids=str)
def test_the_table_fits_a_hundred_columns(
    told: OpenStore, panelcal: RunsProgram, more: tuple[str, ...]
) -> None:
    asked = ("diff", "--detector", PAIR, SPRING, WINTER, *more)
    lines = panelcal("--store", told.directory, *asked).stdout.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[2] == "units   pixel_gain ADU/keV, pixel_offset ADU"
    heading = f"panel 0 {FB}: M044@3 from 20180306000000 -> M068@1 from 20180606010000"
    assert heading in lines
    head, first = lines[lines.index(heading) + 1 :][:2]
    assert head.split()[:6] == ["kind", "range", "pixels", "changed", "median", "sigma"]
    assert ">5 sigma" in head
    plane = compare(told, SPRING, WINTER, detector=PAIR).compared[0].differences[0]
    expected = ["pixel_gain", "0", "32", "32", f"{plane.median:.4g}", f"{plane.sigma:.4g}"]
    assert first.split()[:6] == expected
    assert f"{plane.worst[0].row},{plane.worst[0].column}: {plane.worst[0].before:.4g}" in first


@sqlite_only
def test_quantiles_and_worst_pixels_are_tables_of_their_own(
    told: OpenStore, panelcal: RunsProgram
) -> None:
    asked = ("diff", "M044@1", "M044@2", "-k", "pixel_gain", "--quantiles", "--worst", "2")
    lines = panelcal("--store", told.directory, *asked).stdout.splitlines()
    [one] = compare(told, "M044@1", "M044@2", kind="pixel_gain", worst=2).compared
    at = next(number for number, line in enumerate(lines) if "99.9 %" in line)
    shown = lines[at + 1].split()
    assert shown == ["pixel_gain", "0", *(f"{one:.4g}" for one in one.differences[0].quantiles)]
    at = next(number for number, line in enumerate(lines) if line.endswith("change"))
    worst = [(plane.gain_range, pixel) for plane in one.differences for pixel in plane.worst]
    assert len(lines[at + 1 :]) == len(worst) == 6
    for line, (gain_range, pixel) in zip(lines[at + 1 :], worst, strict=True):
        before, after = f"{pixel.before:.6g}", f"{pixel.after:.6g}"
        place = f"{pixel.row},{pixel.column}"
        assert line.split()[:5] == ["pixel_gain", str(gain_range), place, before, after]


@sqlite_only
def test_equal_kinds_are_a_line_of_words(told: OpenStore, panelcal: RunsProgram) -> None:
    done = panelcal("--store", told.directory, "diff", "M044@1", "M044@1")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-2:] == [
        "pixel_gain: equal, the same payload",
        "pixel_offset: equal, the same payload",
    ]


@sqlite_only
def test_a_side_that_is_a_tag_tells_both_its_times(told: OpenStore, panelcal: RunsProgram) -> None:
    done = panelcal("--store", told.directory, "diff", "--tags", "first", "second", "--at", SPRING)
    first = done.stdout.splitlines()[0]
    assert first.startswith(f"before  first, at {SPRING}, as of 2026-03-01T")


def test_a_pair_knows_what_it_is(told: OpenStore) -> None:
    [one] = compare(told, "M044@1", "M044@2").compared
    assert isinstance(one.pair, Pair)
    assert one.pair.before.recorded_at is not None
    assert one.pair.before.valid_from is None
