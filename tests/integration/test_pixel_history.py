"""``history --pixel``: the values of one pixel over rows of the ledger and over revisions."""

import json
from pathlib import Path
from typing import Any

import pytest

from builders import damage, delivered, write_delivery
from bundle_material import AUTUMN, F7, FB, JUNE, MARCH, PAIR, Teller
from conftest import RunsProgram
from corruption.scene import Scene
from corruption.scene import fill as fill_scene
from panelcal.domain.pixel import Pixel
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.services.pixel_history import PixelEntry, pixel_history
from panelcal.storage.payload_reading import StoredPayload
from panelcal.storage.store import OpenStore, open_store

SEEDS = {"M044@1": 0, "M044@2": 10, "M044@3": 11, "M068@1": 1, "M088@1": 2}
"""With which `bundle_material.tell` delivers."""

PIXEL = Pixel(3, 5)


def values(scratch: Path, name: str, pixel: Pixel = PIXEL) -> dict[str, tuple[float, ...]]:
    """Read the values of a pixel from the files that were delivered."""
    files = write_delivery(scratch / f"again-{name}", SEEDS[name])
    return {
        f"pixel_{stem}": tuple(delivered(files, stem)[:, pixel.row, pixel.column].tolist())
        for stem in ("gain", "offset")
    }


def told_of(store: OpenStore, target: str) -> list[PixelEntry]:
    return list(pixel_history(store, target, PIXEL).entries)


def test_every_row_of_a_panels_ledger_has_the_values_that_were_delivered(
    told: OpenStore, tmp_path: Path
) -> None:
    entries = told_of(told, FB)
    assert [entry.uses for entry in entries] == ["M044@1", "M044@3", "M068@1"]
    for entry in entries:
        assert entry.values == values(tmp_path, entry.uses)


def test_a_row_tells_its_validity_and_whether_it_was_superseded(told: OpenStore) -> None:
    first, second, third = told_of(told, FB)
    assert [(one.valid_from, one.valid_until) for one in (first, second, third)] == [
        (MARCH, JUNE),
        (MARCH, JUNE),
        (JUNE, None),
    ]
    assert [one.superseded for one in (first, second, third)] == [True, False, False]
    assert first.superseded_at == second.recorded_at
    assert {one.panel for one in (first, second, third)} == {FB}


@pytest.mark.sqlite_only
def test_a_withdrawal_has_no_values(told: OpenStore, tmp_path: Path) -> None:
    used, withdrawn = told_of(told, F7)
    assert (used.uses, used.values) == ("M068@1", values(tmp_path, "M068@1"))
    assert (withdrawn.uses, withdrawn.values, withdrawn.valid_from) == ("withdrawn", {}, AUTUMN)


def test_a_module_is_told_revision_by_revision(told: OpenStore, tmp_path: Path) -> None:
    entries = told_of(told, "M044")
    assert [entry.uses for entry in entries] == ["M044@1", "M044@2", "M044@3"]
    for entry in entries:
        assert entry.values == values(tmp_path, entry.uses)
        told_times = entry.panel, entry.valid_from, entry.valid_until, entry.superseded
        assert told_times == (None, None, None, False)


@pytest.mark.sqlite_only
def test_a_payload_that_many_rows_use_is_read_once(
    told: OpenStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str] = []
    find = told.payloads.find

    def spied(digest: str) -> StoredPayload:
        asked.append(digest)
        return find(digest)

    monkeypatch.setattr(told.payloads, "find", spied)
    Teller(told, tmp_path).assign(FB, "M068", AUTUMN)
    entries = told_of(told, FB)
    assert [entry.uses for entry in entries].count("M068@1") == 2
    assert len(asked) == len(set(asked)) == 2 * 3


@pytest.mark.sqlite_only
@pytest.mark.parametrize("pixel", [Pixel(4, 0), Pixel(0, 8), Pixel(-1, 0)], ids=str)
def test_a_pixel_beside_the_panel_is_refused(told: OpenStore, pixel: Pixel) -> None:
    with pytest.raises(InvalidInputError, match="4 rows of 8 columns"):
        pixel_history(told, FB, pixel)


@pytest.mark.sqlite_only
def test_a_detector_of_several_panels_is_refused(told: OpenStore) -> None:
    with pytest.raises(InvalidInputError, match="is 2 panels"):
        pixel_history(told, PAIR, PIXEL)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("target", ["M099", "171113-154920171025-3d0000"])
def test_what_is_not_there_is_not_found(told: OpenStore, target: str) -> None:
    with pytest.raises(NotFoundError):
        pixel_history(told, target, PIXEL)


@pytest.mark.sqlite_only
def test_a_damaged_block_is_an_integrity_error(told: OpenStore, panelcal: RunsProgram) -> None:
    damage(told.directory, "M068", "pixel_offset")
    refused = panelcal("--store", told.directory, "history", FB, "--pixel", "3,5")
    assert refused.exit_code == 5
    assert "holds other values: xxh3" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("target", "statement"),
    [
        ("170505-149520170815-3d00b0", "UPDATE assignment SET reason = 'x' WHERE id = 3"),
        ("170505-149520170815-3d00b0", "UPDATE constant_set SET reason = 'x' WHERE id = 3"),
        ("M001", "UPDATE constant_set SET reason = 'x' WHERE id = 3"),
        (
            "170505-149520170815-3d00b0",
            "DELETE FROM constant_set_payload WHERE constant_set_id = 1 AND kind_id = 1",
        ),
        (
            "170505-149520170815-3d00b0",
            "DELETE FROM constant_set_payload WHERE constant_set_id = 1",
        ),
    ],
)
def test_values_are_read_only_for_rows_as_they_were_recorded(
    store: OpenStore, tmp_path: Path, target: str, statement: str
) -> None:
    fill_scene(store, tmp_path / "scratch")
    assert len(told_of(store, target)) >= 2
    store.close()
    Scene(store.directory).tamper(statement)
    with open_store(store.directory) as opened, pytest.raises(IntegrityError):
        told_of(opened, target)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", ["all.zip", "all"])
def test_a_bundle_tells_the_same(
    told: OpenStore, panelcal: RunsProgram, tmp_path: Path, name: str
) -> None:
    bundle = tmp_path / name
    made = panelcal("--store", told.directory, "bundle", "create", bundle, "--tag", "second")
    assert made.exit_code == 0, made.stderr
    with open_store(bundle) as opened:
        found = [(entry.uses, entry.values) for entry in told_of(opened, FB)]
    assert found == [(entry.uses, entry.values) for entry in told_of(told, FB)[:2]]


def document_of(panelcal: RunsProgram, store: OpenStore, target: str) -> dict[str, Any]:
    done = panelcal("--store", store.directory, "history", target, "--pixel", "3,5", "--json")
    assert done.exit_code == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


@pytest.mark.sqlite_only
def test_json_has_the_entries_and_the_units(
    told: OpenStore, panelcal: RunsProgram, tmp_path: Path
) -> None:
    document = document_of(panelcal, told, FB)
    entries = document.pop("entries")
    assert document == {
        "target": FB,
        "pixel": {"row": 3, "column": 5},
        "units": {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"},
    }
    assert entries[0].keys() == {
        *("panel", "module", "revision", "valid_from", "valid_until", "recorded_at"),
        *("superseded_at", "values"),
    }
    told_first = entries[0]["values"]
    assert told_first == {kind: list(one) for kind, one in values(tmp_path, "M044@1").items()}
    assert entries[0]["valid_from"] == "20180306000000"
    assert entries[0]["superseded_at"] == entries[1]["recorded_at"]
    assert document_of(panelcal, told, F7)["entries"][1]["values"] == {}


@pytest.mark.sqlite_only
def test_the_table_has_a_column_for_each_kind_and_gain_range(
    told: OpenStore, panelcal: RunsProgram, tmp_path: Path
) -> None:
    done = panelcal("--store", told.directory, "history", F7, "--pixel", "3,5")
    lines = done.stdout.splitlines()
    assert "gain    pixel_gain in ADU/keV, by gain range" in lines
    head = lines.index(next(line for line in lines if line.startswith("uses")))
    planes = [f"g{gain}_{stem}" for stem in ("gain", "offset") for gain in range(3)]
    assert lines[head].split() == ["uses", "from", "until", "recorded", "superseded", *planes]
    first, second = (line.split() for line in lines[head + 1 :])
    expected = [f"{one:.6g}" for kind in values(tmp_path, "M068@1").values() for one in kind]
    assert first[-6:] == expected
    assert second[0] == "withdrawn"
    assert second[-6:] == ["-"] * 6


@pytest.mark.sqlite_only
@pytest.mark.parametrize("typed", ["3", "3,5,1", "-1,5", "4,0", "0,8"])
def test_a_pixel_that_is_none_ends_with_2(
    told: OpenStore, panelcal: RunsProgram, typed: str
) -> None:
    refused = panelcal("--store", told.directory, "history", FB, "--pixel", typed)
    assert refused.exit_code == 2
    assert refused.stdout == ""
