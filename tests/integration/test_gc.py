"""Gc: what no row names goes when it is old; what any row names stays, for every (T, A)."""

import json
import os
import shutil
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from builders import TREE_SHAPE, fingerprint, rows, write_delivery
from panelcal.cli import app
from panelcal.config import read_settings
from panelcal.errors import ConflictError, NoValidConstantsError
from panelcal.services.assemble import assemble
from panelcal.services.assign import assign
from panelcal.services.gc import collect_garbage
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.services.tags import create_tag
from panelcal.storage.payloads import STAGING_NAME
from panelcal.storage.store import OpenStore, open_store
from panelcal.temporary import temporary_directory
from past_triggers import change_past_triggers
from servers import copied_store

on_sqlite = pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PANEL = "1-2-3"
YEARS_AGO = time.time() - 3 * 365 * 86400


def run(directory: Path, *arguments: str | Path) -> Any:
    words = [str(word) for word in ("--store", directory, *arguments)]
    return CliRunner().invoke(app, words)


@pytest.fixture
def filled(store_dir: Path, tmp_path: Path) -> Path:
    """A store with one delivery."""
    files = write_delivery(tmp_path / "files", 1)
    assert run(store_dir, "module", "add", "M044", files, "--reason", "r").exit_code == 0
    return store_dir


def age(path: Path) -> Path:
    """Let a path, and all below it, look as if it was written years ago."""
    for one in [path, *path.rglob("*")]:
        os.utime(one, (YEARS_AGO, YEARS_AGO), follow_symlinks=False)
    return path


def make_orphan(store: OpenStore, seed: int) -> Path:
    """Publish a payload and record nothing, as a writer does that is killed in between."""
    array = np.random.default_rng(1000 + seed).normal(size=TREE_SHAPE).astype(np.float32)
    with store.payloads.batch() as batch:
        digest = batch.add(array)
        batch.publish()
    return store.payloads.path_of(digest)


def test_old_garbage_goes_and_what_rows_name_and_what_is_young_stays(filled: Path) -> None:
    before = fingerprint(filled)
    with open_store(filled) as store:
        old, young = age(make_orphan(store, 1)), make_orphan(store, 2)
    for payload in (filled / "payloads").iterdir():
        if payload.name != young.parent.name:
            age(payload)
    staged = filled / "payloads" / "incoming" / "abc" / "half"
    staged.mkdir(parents=True)
    (staged / "chunk").write_bytes(b"x" * 100)
    age(staged.parent)
    beside = filled.parent / f".panelcal-{'0f' * 16}"
    beside.mkdir()
    age(beside)
    named = json.loads(run(filled, "gc", "--dry-run", "--json").stdout)
    assert old.is_dir()
    assert staged.is_dir()
    assert beside.is_dir()
    done = run(filled, "gc", "--json")
    assert done.exit_code == 0, done.output
    removed = json.loads(done.stdout)
    assert removed["removed"] == named["removed"]
    assert {one["path"] for one in removed["removed"]} == {
        str(old),
        str(staged.parent),
        str(beside),
    }
    assert removed["bytes"] > 100
    assert [one["path"] for one in removed["too_young"]] == [str(young)]
    for gone in (old, staged.parent, beside):
        assert not gone.exists()
    shutil.rmtree(young)
    assert fingerprint(filled) == before
    assert list((filled / "payloads" / "incoming").iterdir()) == []


@on_sqlite
def test_older_than_nothing_takes_what_is_young(filled: Path) -> None:
    with open_store(filled) as store:
        young = make_orphan(store, 1)
    shown = run(filled, "gc", "--older-than", "0")
    assert shown.exit_code == 0, shown.output
    assert "1 orphan and 0 left-overs removed" in shown.stdout
    assert not young.exists()


@on_sqlite
def test_a_directory_that_a_living_process_holds_is_no_left_over(filled: Path) -> None:
    with temporary_directory(filled.parent, ".panelcal-") as used:
        age(used)
        shown = json.loads(run(filled, "gc", "--older-than", "0", "--json").stdout)
        assert used.is_dir()
        assert shown["removed"] == []
        assert [one["path"] for one in shown["too_young"]] == [str(used)]


@on_sqlite
def test_what_a_living_writer_is_writing_is_no_left_over(filled: Path) -> None:
    with open_store(filled) as store, store.payloads.batch() as batch:
        digest = batch.add(np.ones(TREE_SHAPE, np.float32))
        (used,) = (store.payloads.root / STAGING_NAME).iterdir()
        age(used)
        shown = json.loads(run(filled, "gc", "--older-than", "0", "--json").stdout)
        assert [one["path"] for one in shown["too_young"]] == [str(used)]
        batch.publish()
        assert store.payloads.has(digest)


@on_sqlite
def test_a_payload_row_without_a_constant_set_keeps_its_payload(filled: Path) -> None:
    with open_store(filled) as store:
        path = age(make_orphan(store, 1))
    change_past_triggers(
        filled, f"INSERT INTO payload VALUES ('{path.name}', 'float32', '3,4,8', 384)"
    )
    assert run(filled, "gc").exit_code == 0
    assert path.is_dir()


@on_sqlite
@pytest.mark.parametrize(
    "lost",
    [
        "DELETE FROM constant_set_payload WHERE kind_id = 1",
        "DELETE FROM constant_set_payload; DELETE FROM payload",
        "UPDATE constant_set SET reason = 'other'",
    ],
)
def test_it_refuses_while_rows_may_be_lost(filled: Path, lost: str) -> None:
    change_past_triggers(filled, *lost.split("; "))
    age(filled / "payloads")
    before = fingerprint(filled)
    done = run(filled, "gc")
    assert done.exit_code == 5
    assert "fsck finds" in done.stderr
    assert fingerprint(filled) == before


@on_sqlite
def test_it_refuses_where_payloads_of_rows_are_missing(filled: Path) -> None:
    # As beside the database of another store: everything would be an orphan.
    payload = next(path for path in (filled / "payloads").glob("??/*"))
    payload.rename(payload.parent / ("0" * 64))
    assert run(filled, "gc", "--older-than", "0").exit_code == 5


def test_it_refuses_where_the_database_has_no_constant_set(filled: Path, empty_store: Path) -> None:
    with copied_store(empty_store, filled.parent / "emptied") as emptied:
        shutil.rmtree(emptied / "payloads")
        age(shutil.copytree(filled / "payloads", emptied / "payloads"))
        done = run(emptied, "gc")
        assert done.exit_code == 4
        assert "the database has no constant set, but there are 2 payloads" in done.stderr
        assert len(list((emptied / "payloads").glob("??/*"))) == 2


@on_sqlite
def test_a_writer_who_relies_on_an_orphan_notices_that_it_went(filled: Path) -> None:
    with open_store(filled) as store:
        path = age(make_orphan(store, 1))
        array = store.payloads.get(path.name)
        with store.payloads.batch() as batch:
            batch.add(array)
            collect_garbage(store, now=NOW + timedelta(days=4000))
            assert not path.exists()
            with pytest.raises(ConflictError, match="was removed meanwhile"):
                batch.publish()
        with store.payloads.batch() as batch:
            batch.add(array)
            batch.publish()
        assert path.is_dir()


@on_sqlite
def test_a_collection_that_was_killed_leaves_nothing_half_there_and_is_completed(
    filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(filled) as store:
        path = age(make_orphan(store, 1))

        def killed(_: Path) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr("panelcal.services.gc.remove_tree", killed)
            collect_garbage(store, now=datetime.now(UTC))
        assert not path.exists()
        (trash,) = (filled / "payloads" / "incoming").iterdir()
        report = collect_garbage(store, now=datetime.now(UTC))
    assert [one.path for one in report.garbage] == [str(trash)]
    assert not trash.exists()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(0, 3)),
        st.tuples(st.just("orphan"), st.integers(0, 3)),
        st.tuples(st.just("assign"), st.integers(0, 5)),
        st.tuples(st.just("tag"), st.just(0)),
        st.tuples(st.just("gc"), st.just(0)),
    ),
    min_size=3,
    max_size=9,
)


class World:
    """A store, what was done to it, and every answer that it ever gave."""

    def __init__(self, store: OpenStore) -> None:
        self.store = store
        self.now = NOW
        self.moments: list[datetime] = []
        self.sets = 0
        self.told: dict[tuple[datetime, datetime], Any] = {}

    def do(self, what: str, number: int) -> None:
        self.now += timedelta(seconds=1)
        getattr(self, what)(number)

    def deliver(self, seed: int) -> None:
        files = write_delivery(self.store.directory.parent / "delivery", seed)
        try:
            deliver(self.store, "M044", files, now=self.now, user="t", reason="r")
        except ConflictError:
            return
        self.sets += 1
        self.moments.append(self.now)

    def orphan(self, seed: int) -> None:
        age(make_orphan(self.store, seed))

    def assign(self, day: int) -> None:
        start = datetime(2018, 1, 1, tzinfo=UTC) + timedelta(days=day)
        if not self.sets:
            return
        uses = f"M044@{1 + day % self.sets}"
        try:
            assign(self.store, PANEL, uses, start, now=self.now, user="t", reason="r")
        except ConflictError:
            return
        self.moments.append(self.now)

    def tag(self, _: int) -> None:
        name = f"t{len(rows(self.store.directory, 'SELECT name FROM tag'))}"
        create_tag(self.store, name, as_of=None, now=self.now, user="t", reason="r")
        self.moments.append(self.now)

    def gc(self, _: int) -> None:
        tree = self.store.payloads.root
        age(tree)
        if not self.sets:
            return
        collect_garbage(self.store, now=self.now)
        named = {digest for (digest,) in rows(self.store.directory, "SELECT digest FROM payload")}
        assert {path.name for path in tree.glob("??/*")} == named

    def ask(self) -> None:
        """Ask every (T, A), and find each answer, with its arrays, as it was."""
        for as_of in self.moments:
            for day in range(7):
                at = datetime(2018, 1, 1, 12, tzinfo=UTC) + timedelta(days=day - 1)
                told = self.answer(at, as_of)
                assert self.told.setdefault((at, as_of), told) == told

    def answer(self, at: datetime, as_of: datetime) -> Any:
        try:
            found = resolve(self.store, PANEL, at, as_of=as_of, now=self.now)
        except NoValidConstantsError:
            return None
        gain = assemble(self.store.payloads, found, "pixel_gain")
        return found.token, gain.tobytes()


def test_no_sequence_of_deliveries_orphans_and_collections_changes_an_answer(
    empty_store: Path, tmp_path: Path
) -> None:
    on_server = read_settings(empty_store).database_url is not None
    numbers = iter(range(1000))

    @settings(
        max_examples=6 if on_server else 20,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(steps=STEPS)
    def check(steps: list[tuple[str, int]]) -> None:
        with ExitStack() as stack:
            place = tmp_path / str(next(numbers))
            place.mkdir()
            directory = stack.enter_context(copied_store(empty_store, place / "store"))
            world = World(stack.enter_context(open_store(directory)))
            for what, number in [*steps, ("gc", 0)]:
                world.do(what, number)
                world.ask()

    check()
