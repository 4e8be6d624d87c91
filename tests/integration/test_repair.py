"""Repair: payloads come back by digest, rows stay, what cannot be had is told."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from builders import fingerprint, rows, write_delivery
from panelcal.cli import app
from servers import copied_store

on_sqlite = pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)


def run(directory: Path, *arguments: str | Path) -> Any:
    words = [str(word) for word in ("--store", directory, *arguments)]
    return CliRunner().invoke(app, words)


@pytest.fixture
def stores(empty_store: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two stores that share the payloads of M044; only the first has M068."""
    with (
        copied_store(empty_store, tmp_path / "store") as store,
        copied_store(empty_store, tmp_path / "other") as other,
    ):
        for directory, module, seed in ((store, "M044", 1), (store, "M068", 2), (other, "M1", 1)):
            files = write_delivery(tmp_path / "files", seed)
            done = run(directory, "module", "add", module, files, "--reason", "test")
            assert done.exit_code == 0, done.output
        yield store, other


def payloads_of(store: Path, module: str) -> list[Path]:
    query = (
        "SELECT held.digest FROM constant_set_payload held "
        "JOIN constant_set s ON s.id = held.constant_set_id JOIN module m ON m.id = s.module_id "
        f"WHERE m.name = '{module}' ORDER BY held.kind_id"
    )
    return [store / "payloads" / digest[:2] / str(digest) for (digest,) in rows(store, query)]


def flip(payload: Path) -> None:
    path = payload / "c" / "0" / "0" / "0"
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)


def test_missing_and_damaged_payloads_come_back_and_the_damaged_one_is_kept(
    stores: tuple[Path, Path],
) -> None:
    store, other = stores
    before, untouched = fingerprint(store), fingerprint(other)
    gain, offset = payloads_of(store, "M044")
    shutil.rmtree(gain)
    flip(offset)
    done = run(store, "fsck", "--repair-from", other, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    aside = store / "payloads" / "damaged" / f"{offset.name}.1"
    assert {one["digest"]: one["moved_aside"] for one in report["repaired"]} == {
        gain.name: None,
        offset.name: str(aside),
    }
    assert [finding["code"] for finding in report["findings"]] == ["moved-aside"]
    shutil.rmtree(aside.parent)
    assert fingerprint(store)[0] == before[0]
    assert fingerprint(store)[1] == before[1]
    assert fingerprint(other) == untouched
    assert list((store / "payloads" / "incoming").iterdir()) == []


@on_sqlite
@pytest.mark.parametrize("name", ["before.zip", "before"])
def test_payloads_come_back_from_a_bundle(
    stores: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    store, _ = stores
    done = run(store, "backup", tmp_path / name)
    assert done.exit_code == 0, done.output
    before = fingerprint(store)
    gain, offset = payloads_of(store, "M068")
    shutil.rmtree(gain)
    flip(offset)
    assert run(store, "fsck", "--verify-data").exit_code == 5
    done = run(store, "fsck", "--repair-from", tmp_path / name)
    assert done.exit_code == 0, done.output
    shutil.rmtree(store / "payloads" / "damaged")
    assert fingerprint(store) == before


@on_sqlite
def test_what_the_other_store_does_not_have_is_left_and_told(stores: tuple[Path, Path]) -> None:
    store, other = stores
    (had, _), (lacked, _) = payloads_of(store, "M044"), payloads_of(store, "M068")
    flip(had)
    flip(lacked)
    before = (lacked / "c" / "0" / "0" / "0").read_bytes()
    done = run(store, "fsck", "--repair-from", other)
    assert done.exit_code == 5
    assert f"repaired: payload {had.name}; the damaged one is " in done.stdout
    assert f"payload {lacked.name}: M068@1 pixel_gain" in done.stdout
    assert "1 payload repaired" in done.stdout
    assert (lacked / "c" / "0" / "0" / "0").read_bytes() == before


@on_sqlite
def test_a_payload_that_is_damaged_in_both_is_not_fetched(stores: tuple[Path, Path]) -> None:
    store, other = stores
    (gain, _), (theirs, _) = payloads_of(store, "M044"), payloads_of(other, "M1")
    shutil.rmtree(gain)
    flip(theirs)
    assert run(store, "fsck", "--repair-from", other).exit_code == 5
    assert not gain.exists()


@on_sqlite
@pytest.mark.parametrize("damaged", ["file", "link"])
def test_whatever_has_the_name_of_a_payload_is_moved_aside(
    stores: tuple[Path, Path], damaged: str
) -> None:
    store, other = stores
    (gain, _) = payloads_of(store, "M044")
    shutil.rmtree(gain)
    if damaged == "file":
        gain.write_text("no array")
    else:
        gain.symlink_to("nowhere")
    assert run(store, "fsck", "--repair-from", other).exit_code == 0
    assert gain.is_dir()
    assert os.path.lexists(store / "payloads" / "damaged" / f"{gain.name}.1")


@on_sqlite
def test_a_second_repair_of_the_same_payload_keeps_both_damaged_ones(
    stores: tuple[Path, Path],
) -> None:
    store, other = stores
    (gain, _) = payloads_of(store, "M044")
    for _ in range(2):
        flip(gain)
        assert run(store, "fsck", "--repair-from", other).exit_code == 0
    kept = sorted(path.name for path in (store / "payloads" / "damaged").iterdir())
    assert kept == [f"{gain.name}.1", f"{gain.name}.2"]


@on_sqlite
def test_where_nothing_is_wrong_nothing_is_written(stores: tuple[Path, Path]) -> None:
    store, other = stores
    before = fingerprint(store)
    assert run(store, "fsck", "--repair-from", other).exit_code == 0
    assert fingerprint(store) == before


@on_sqlite
def test_another_store_that_is_none_is_refused(stores: tuple[Path, Path], tmp_path: Path) -> None:
    done = run(stores[0], "fsck", "--repair-from", tmp_path / "nowhere")
    assert done.exit_code == 3
    assert "there is no store" in done.stderr
