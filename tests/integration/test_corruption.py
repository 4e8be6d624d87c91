"""Whatever is damaged, it is found before data reach a user or an export."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from corruption.payloads import PAYLOADS, PayloadDamage, sampled
from corruption.rows import ROWS, UNSEEN, RowDamage
from corruption.scene import NOW, PAST, USES, WHOLE, Scene, damaged
from corruption.trial import STATES, Expected, prepared, tried
from panelcal.errors import IntegrityError
from panelcal.storage.seals import broken_seals
from panelcal.storage.store import open_store
from servers import copied_store

Prepared = tuple[Scene, Expected]


@pytest.fixture(scope="module")
def filled(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    """A filled store, and what every use of it gives."""
    with (
        copied_store(empty_store, tmp_path_factory.mktemp("corruption") / "store") as directory,
        prepared(directory) as found,
    ):
        yield found


def now(expected: Expected) -> Expected:
    """Return only the uses that ask what the ledger says now."""
    return {key: values for key, values in expected.items() if key[0] == NOW}


def test_undamaged_no_row_is_broken_and_every_use_gives_its_values(filled: Prepared) -> None:
    outcome = tried(*filled, USES)
    assert (outcome.found, outcome.refused, outcome.changed) == (set(), set(), set())
    assert outcome.broken == ()


@pytest.mark.parametrize("damage", ROWS, ids=lambda damage: damage.name)
def test_a_row_changed_by_hand_is_found_before_anything_is_given(
    filled: Prepared, damage: RowDamage
) -> None:
    scene, expected = filled
    with damaged(scene):
        damage.do(scene)
        outcome = tried(scene, expected, {"load"})
    for state in STATES.keys() & damage.found_by:
        assert (state, "load") in outcome.found
    if damage.is_sealed:
        assert outcome.broken
    assert not outcome.changed or damage.found_by == {WHOLE}


@pytest.mark.parametrize("use", ["get", "export", "deploy"])
@pytest.mark.parametrize(
    "name",
    [
        "id = 7): reason",
        "id = 7): valid_from",
        "run (id = 2): begin",
        "set (id = 1): reason",
        "kind names swapped",
        "a latest start lowered",
    ],
)
def test_nothing_is_written_from_a_row_changed_by_hand(
    filled: Prepared, use: str, name: str
) -> None:
    scene, expected = filled
    [damage] = [one for one in ROWS if name in one.name]
    with damaged(scene):
        damage.do(scene)
        outcome = tried(scene, expected, {use})
    assert outcome.found == {(NOW, use), (PAST, use)}
    assert outcome.written == set()


@pytest.mark.parametrize("damage", UNSEEN, ids=lambda damage: damage.name)
def test_what_only_a_backup_can_tell_is_just_this(filled: Prepared, damage: RowDamage) -> None:
    scene, expected = filled
    with damaged(scene):
        damage.do(scene)
        outcome = tried(scene, expected, {"load"})
    assert not outcome.found
    assert not outcome.broken


@pytest.mark.sqlite_only
@pytest.mark.sqlite_only
@pytest.mark.parametrize("is_old", [False, True], ids=["with checksum", "without"])
@pytest.mark.parametrize("damage", PAYLOADS, ids=lambda damage: damage.name)
def test_a_damaged_payload_is_found_before_anything_is_given(
    filled: Prepared, damage: PayloadDamage, is_old: bool
) -> None:
    scene, expected = filled
    with damaged(scene):
        damage.do(scene, is_old=is_old)
        outcome = tried(scene, now(expected), {"load"}, look_at_seals=False)
    assert (outcome.changed, outcome.refused) == (set(), set())
    if not damage.may_be_harmless:
        assert outcome.found == {(NOW, "load")}


@pytest.mark.sqlite_only
@pytest.mark.sqlite_only
@pytest.mark.parametrize("use", ["get", "export", "deploy"])
@pytest.mark.parametrize(
    "name", ["chunk: a bit at 50% flipped", "description: removed", "directories of two"]
)
def test_nothing_is_written_from_a_damaged_payload(filled: Prepared, use: str, name: str) -> None:
    scene, expected = filled
    [damage] = [one for one in PAYLOADS if name in one.name]
    with damaged(scene):
        damage.do(scene, is_old=False)
        outcome = tried(scene, expected, {use}, look_at_seals=False)
    assert outcome.found == {(NOW, use), (PAST, use)}
    assert outcome.written == set()


@pytest.mark.sqlite_only
@pytest.mark.sqlite_only
def test_damage_anywhere_in_a_payload_is_found(filled: Prepared) -> None:
    scene, expected = filled
    chance = random.Random(20180419)
    for _ in range(60):
        damage, is_old = sampled(chance), chance.random() < 0.5
        with damaged(scene):
            damage.do(scene, is_old=is_old)
            outcome = tried(scene, now(expected), {"load"}, look_at_seals=False)
        assert not outcome.changed, damage.name
        assert outcome.found or damage.may_be_harmless, damage.name


def test_the_error_names_the_row_and_says_what_to_do(filled: Prepared) -> None:
    scene, _ = filled
    with damaged(scene):
        scene.tamper("UPDATE assignment SET reason = 'because' WHERE id = 7")
        with pytest.raises(IntegrityError) as caught:
            USES["load"](scene.directory, scene.directory, None)
        with open_store(scene.directory) as store:
            [broken] = broken_seals(store.database.reader)
    assert caught.value.exit_code == 5
    assert "row 7 of assignment is not as it was recorded" in str(caught.value)
    assert "'M001@1'" in str(caught.value)
    assert "reason 'because'" in str(caught.value)
    assert "panelcal fsck" in str(caught.value.hint)
    assert "restore the database from a backup" in str(caught.value.hint)
    assert (broken.table, broken.id) == ("assignment", "7")


def test_only_the_row_that_was_edited_is_given_and_not_those_after_it(filled: Prepared) -> None:
    scene, _ = filled
    with damaged(scene):
        scene.tamper("UPDATE assignment SET reason = 'because' WHERE id IN (1, 2)")
        with open_store(scene.directory) as store:
            found = [(one.table, one.id) for one in broken_seals(store.database.reader)]
    assert found == [("assignment", "1"), ("assignment", "2")]


@pytest.mark.parametrize(
    "name", ["id = 8): reason", "id = 7): valid_from", "id = 7): constant", "set (id = 1): reason"]
)
def test_of_a_long_ledger_the_rows_of_the_answer_are_looked_at(
    filled: Prepared, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panelcal.services.sealed.MOST_ROWS", 2)
    scene, expected = filled
    [damage] = [one for one in ROWS if name in one.name]
    assert not tried(scene, expected, {"load"}).found
    with damaged(scene):
        damage.do(scene)
        outcome = tried(scene, expected, {"load"})
    assert (NOW, "load") in outcome.found
    assert not outcome.changed


def test_of_a_long_ledger_a_row_before_one_of_the_answer_cannot_be_removed(
    filled: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panelcal.services.sealed.MOST_ROWS", 2)
    scene, expected = filled
    with damaged(scene):
        scene.tamper("DELETE FROM assignment WHERE id = 6")
        assert (NOW, "load") in tried(scene, expected, {"load"}).found
