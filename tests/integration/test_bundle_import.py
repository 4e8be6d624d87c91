"""Importing bundles: what continues the store's record is recorded now, all else is refused."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from builders import create_small_store, fingerprint
from bundle_material import (
    AUTUMN,
    BEGUN,
    FB,
    JUNE,
    MARCH,
    PAIR,
    TARGETS,
    Teller,
    answers,
    list_anew,
    moments_of_record,
)
from panelcal.domain.findings import Severity
from panelcal.domain.report import Status
from panelcal.errors import ConflictError, IntegrityError
from panelcal.services.bundle_create import create_bundle
from panelcal.services.bundle_import import import_bundle
from panelcal.services.bundle_plan import BundlePlan
from panelcal.services.fsck import fsck_open
from panelcal.services.history import log
from panelcal.services.tags import list_tags
from panelcal.storage.database import Database
from panelcal.storage.store import OpenStore, open_store

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = BEGUN + timedelta(days=30)
LATER = NOW + timedelta(days=1)


@pytest.fixture(scope="session")
def bundles(told_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the store with a history: of each tag, and of the first detector."""
    home = tmp_path_factory.mktemp("bundles")
    made = {name: home / f"{name}.zip" for name in ("first", "second", "pair")}
    with open_store(told_template) as store:
        for tag in ("first", "second"):
            create_bundle(store, made[tag], tag=tag, now=NOW)
        create_bundle(store, made["pair"], detectors=[PAIR], now=NOW)
    return made


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Teller]:
    """A store of its own, of another history."""
    directory = tmp_path / "other"
    create_small_store(directory)
    with open_store(directory) as store:
        yield Teller(store, tmp_path / "scratch")


def brought(
    store: OpenStore,
    path: Path,
    now: datetime = LATER,
    *,
    dry_run: bool = False,
    with_tags: bool = True,
) -> BundlePlan:
    report, plan = import_bundle(
        store, path, now=now, user="ivy", dry_run=dry_run, with_tags=with_tags
    )
    plan.require_no_conflict()
    assert report.lines == tuple(plan.lines)
    return plan


def statuses(plan: BundlePlan) -> set[Status]:
    return {line.status for line in plan.lines}


def require_sound(store: OpenStore) -> None:
    found = fsck_open(store, now=LATER + timedelta(days=9), verify_data=True).findings
    assert [one for one in found if one.severity is Severity.ERROR] == []


def test_an_empty_store_gets_every_answer_of_the_bundle_at_every_transaction_time(
    store: OpenStore, bundles: dict[str, Path]
) -> None:
    plan = brought(store, bundles["second"])
    assert statuses(plan) == {Status.TAKEN}
    with open_store(bundles["second"]) as bundle:
        moments = moments_of_record(bundle)
        assert list(plan.times) == moments
        for moment in moments[3::4]:
            assert answers(store, plan.times[moment]) == answers(bundle, moment)
        assert answers(store, None) == answers(bundle, None)
    require_sound(store)


def test_rows_are_recorded_now_in_their_order_and_tell_when_they_were_recorded_first(
    store: OpenStore, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["first"])
    with open_store(bundles["first"]) as bundle:
        first = log(bundle)
    here = log(store)
    assert [(one.what, one.subject.split(" as of")[0]) for one in here] == [
        (one.what, one.subject.split(" as of")[0]) for one in first
    ]
    assert here[0].recorded_at == LATER
    assert all(one.recorded_at < two.recorded_at for one, two in pairwise(here))
    assert {one.recorded_by for one in here} == {"ivy"}
    assert here[0].reason == "delivery 0 (bundle: recorded 2026-03-01T00:00:01Z by ann)"


def test_a_second_import_adds_nothing(
    store: OpenStore, store_dir: Path, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["second"])
    before = fingerprint(store_dir)
    for path in (bundles["second"], bundles["first"]):
        plan = brought(store, path, LATER + timedelta(days=1))
        assert statuses(plan) == {Status.ALREADY}
        assert not plan.times
    assert fingerprint(store_dir) == before


def test_a_store_that_has_the_beginning_gets_the_rest(
    store: OpenStore, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["first"])
    first = answers(store, None)
    before = moments_of_record(store)
    plan = brought(store, bundles["second"], LATER + timedelta(days=1))
    assert statuses(plan) == {Status.TAKEN, Status.ALREADY}
    with open_store(bundles["second"]) as bundle:
        assert answers(store, None) == answers(bundle, None)
    assert moments_of_record(store)[: len(before)] == before
    assert answers(store, before[-1]) == first
    require_sound(store)


def test_the_store_it_was_made_from_has_everything_already(
    told: OpenStore, bundles: dict[str, Path]
) -> None:
    before = fingerprint(told.directory)
    for path in bundles.values():
        assert statuses(brought(told, path)) == {Status.ALREADY}
    assert fingerprint(told.directory) == before


def test_what_a_store_recorded_since_is_kept_and_is_no_conflict(
    store: OpenStore, tmp_path: Path, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["second"])
    teller = Teller(store, tmp_path, LATER + timedelta(hours=1))
    teller.assign(FB, "M088", AUTUMN)
    teller.deliver("M044", 77)
    now = answers(store, None)
    assert statuses(brought(store, bundles["second"], LATER + timedelta(days=1))) == {
        Status.ALREADY
    }
    assert answers(store, None) == now


def test_a_dry_run_reports_the_same_and_writes_nothing(
    store: OpenStore, bundles: dict[str, Path], nothing_written: NothingWritten
) -> None:
    with nothing_written():
        dry = brought(store, bundles["second"], dry_run=True)
    assert dry.lines == brought(store, bundles["second"]).lines


# --- conflicts ------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_a_panel_with_another_history_is_a_conflict_that_names_the_first_difference(
    other: Teller, bundles: dict[str, Path]
) -> None:
    for seed, module in enumerate(("M044", "M068", "M088")):
        other.deliver(module, seed)
    other.assign(FB, "M044", JUNE)
    before = fingerprint(other.store.directory)
    with pytest.raises(ConflictError) as caught:
        brought(other.store, bundles["first"])
    assert f"panel {FB}: its record 1 is M044@1 from" in str(caught.value)
    assert "20180606010000" in str(caught.value)
    assert "20180306000000" in str(caught.value)
    assert fingerprint(other.store.directory) == before


@pytest.mark.sqlite_only
def test_a_revision_with_other_digests_is_a_conflict(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.deliver("M068", 500)
    before = fingerprint(other.store.directory)
    with pytest.raises(ConflictError, match=r"module M068: its record 1 is M068@1 with"):
        brought(other.store, bundles["first"])
    assert fingerprint(other.store.directory) == before


@pytest.mark.sqlite_only
def test_a_run_that_is_registered_otherwise_is_a_conflict(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.run(2, detector_id=FB)
    before = fingerprint(other.store.directory)
    with pytest.raises(ConflictError, match=r"run=2 .*registered otherwise: detector_id"):
        brought(other.store, bundles["first"])
    assert fingerprint(other.store.directory) == before


@pytest.mark.sqlite_only
def test_a_run_whose_latest_row_says_the_same_is_registered_however_it_came_there(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.run(2, detector_id=FB)
    other.run(2, detector_id=PAIR, supersede=True)
    brought(other.store, bundles["first"])
    with open_store(bundles["first"]) as bundle:
        assert answers(other.store, None) == answers(bundle, None)


def test_panels_of_another_shape_are_a_conflict(
    store: OpenStore, bundles: dict[str, Path], nothing_written: NothingWritten
) -> None:
    with store.database.writing() as connection:
        connection.exec_driver_sql("UPDATE detector_type SET panel_rows = 5")
    with nothing_written(), pytest.raises(ConflictError, match=r"3 x 4 x 8.*3 x 5 x 8"):
        brought(store, bundles["first"])


def test_a_damaged_bundle_is_refused_before_anything_is_written(
    store: OpenStore, told: OpenStore, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    bundle = tmp_path / "bundle"
    create_bundle(told, bundle, tag="first", now=NOW)
    with Database(bundle / "panelcal.db") as database, database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER assignment_refuses_update")
        connection.exec_driver_sql("UPDATE assignment SET reason = 'forged'")
    list_anew(bundle)
    with nothing_written(), pytest.raises(IntegrityError, match="fault"):
        brought(store, bundle)
    listed = json.loads((bundle / "bundle.json").read_text())
    (bundle / listed["members"][-1]["name"]).write_bytes(b"")
    with nothing_written(), pytest.raises(IntegrityError, match="has 0 bytes"):
        brought(store, bundle)


# --- tags -----------------------------------------------------------------------------


def test_a_tag_answers_here_as_it_does_there(
    store: OpenStore, told: OpenStore, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["second"])
    there = {tag.name: tag.as_of for tag in list_tags(told)}
    here = list_tags(store)
    assert [tag.name for tag in here] == ["first", "second"]
    for tag in here:
        assert answers(store, tag.as_of) == answers(told, there[tag.name])
        assert tag.as_of < tag.recorded_at
        assert "bundle: recorded" in tag.reason


@pytest.mark.sqlite_only
def test_a_tag_that_pins_something_else_here_is_a_conflict_and_can_be_left_out(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.tag("first")
    before = fingerprint(other.store.directory)
    with pytest.raises(ConflictError, match="tag first: it stands for") as caught:
        brought(other.store, bundles["second"])
    assert "--no-tags" in str(caught.value.hint)
    assert fingerprint(other.store.directory) == before
    brought(other.store, bundles["second"], with_tags=False)
    assert [tag.name for tag in list_tags(other.store)] == ["first"]


def test_a_tag_whose_rows_came_in_another_order_here_is_a_conflict(
    store: OpenStore, told: OpenStore, tmp_path: Path, bundles: dict[str, Path]
) -> None:
    # This panel's rows after the tag come before the other panel's rows of the tag.
    create_bundle(told, tmp_path / "one.zip", detectors=[FB], now=NOW)
    brought(store, tmp_path / "one.zip")
    before = fingerprint(store.directory)
    with pytest.raises(ConflictError, match="at no time did this store have just what"):
        brought(store, bundles["first"])
    assert fingerprint(store.directory) == before
    brought(store, bundles["first"], with_tags=False)
    require_sound(store)


def test_a_tag_of_rows_that_are_here_already_stands_for_their_time_here(
    store: OpenStore, told: OpenStore, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["second"], with_tags=False)
    assert list_tags(store) == []
    brought(store, bundles["second"], LATER + timedelta(days=1))
    there = {tag.name: tag.as_of for tag in list_tags(told)}
    for tag in list_tags(store):
        assert tag.as_of < LATER + timedelta(hours=1) < tag.recorded_at
        assert answers(store, tag.as_of) == answers(told, there[tag.name])


def test_bundles_of_two_detectors_come_together(
    store: OpenStore, told: OpenStore, tmp_path: Path, bundles: dict[str, Path]
) -> None:
    brought(store, bundles["pair"])
    create_bundle(told, tmp_path / "rest.zip", detectors=["exp=xcsls3716:run=4"], now=NOW)
    brought(store, tmp_path / "rest.zip", LATER + timedelta(hours=1))
    asked = tuple(target for target in TARGETS if not target.endswith("run=3"))
    assert answers(store, None, asked) == answers(told, None, asked)
    require_sound(store)


@pytest.mark.sqlite_only
def test_a_bundle_of_another_store_adds_to_a_store_with_panels_of_its_own(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.deliver("M300", 300)
    other.assign("-1-2", "M300", MARCH)
    before = answers(other.store, None, ("-1-2",))
    brought(other.store, bundles["second"])
    with open_store(bundles["second"]) as bundle:
        assert answers(other.store, None) == answers(bundle, None)
    assert answers(other.store, None, ("-1-2",)) == before
    require_sound(other.store)


@pytest.mark.sqlite_only
def test_a_payload_that_is_damaged_here_is_not_relied_on(
    other: Teller, bundles: dict[str, Path]
) -> None:
    other.deliver("M300", 1)  # What the bundle's M068@1 has.
    chunk = next((other.store.directory / "payloads").rglob("c/0/0/0"))
    chunk.write_bytes(b"\1" + chunk.read_bytes()[1:])
    with pytest.raises(IntegrityError, match="holds other values"):
        brought(other.store, bundles["first"])
    assert [event.what for event in log(other.store)] == ["deliver"]
