"""What `panelcal import gains-tree` takes from a legacy tree, and what it leaves alone."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panelcal as api
from builders import FILES, GainsTree, delivered, fingerprint, rows, write_delivery
from conftest import RunsProgram

NothingWritten = Callable[[], AbstractContextManager[None]]

B0_2017 = "170505-149520170815-3d00b0"
F7_2017 = "170505-149520170815-3d00f7"
B0_2018 = "171113-154920171025-3d00b0"
F7_2018 = "171113-154920171025-3d00f7"
FB_2018 = "171113-154920171025-3d00fb"
FB_STAMPED = f"{FB_2018}-20180306000000"

BEGINNING_US = -(2**63)
OCT_25_2017_US = 1_508_914_800_000_000  # 2017-10-25T07:00:00Z: midnight in Los Angeles
MAR_6_2018_US = 1_520_323_200_000_000  # 2018-03-06T08:00:00Z

LEDGER = """
    SELECT panel.name, valid_from_us, module.name, revision
    FROM assignment
    JOIN panel ON panel.id = panel_id
    JOIN constant_set ON constant_set.id = constant_set_id
    JOIN module ON module.id = module_id
    ORDER BY assignment.id
"""
SETS = """
    SELECT module.name, revision FROM constant_set
    JOIN module ON module.id = module_id ORDER BY module.name, revision
"""
COUNTS = """
    SELECT (SELECT count(*) FROM module), (SELECT count(*) FROM constant_set),
           (SELECT count(*) FROM payload), (SELECT count(*) FROM panel),
           (SELECT count(*) FROM assignment)
"""


def report_of(
    panelcal: RunsProgram, tree: GainsTree, *options: str, exit_code: int = 0
) -> dict[str, Any]:
    """Import with --json and return the report."""
    result = panelcal("import", "gains-tree", tree.path, "--json", *options)
    assert result.exit_code == exit_code, result.output
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def entry_of(report: dict[str, Any], name: str) -> dict[str, str]:
    """Return the one entry of a report with a name."""
    (entry,) = (entry for entry in report["entries"] if entry["name"] == name)
    found: dict[str, str] = entry
    return found


def on_disk(store: Path) -> list[str]:
    """Return every name under the payloads, directories too."""
    return sorted(str(path.relative_to(store)) for path in (store / "payloads").rglob("*"))


# --- the tree of the page


def test_page_tree_gives_its_modules_and_one_constant_set_each(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert rows(store_dir, SETS) == [("M044", 1), ("M068", 1), ("M088", 1)]
    assert rows(store_dir, COUNTS) == [(3, 3, 6, 5, 5)]


def test_page_tree_gives_its_panels_with_their_serials(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    found = rows(store_dir, "SELECT name, serial FROM panel ORDER BY name")
    assert found == [
        (B0_2017, "3d00b0"),
        (F7_2017, "3d00f7"),
        (B0_2018, "3d00b0"),
        (F7_2018, "3d00f7"),
        (FB_2018, "3d00fb"),
    ]


def test_page_tree_gives_its_ledger_with_stamps_in_the_zone_of_the_store(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert sorted(rows(store_dir, LEDGER)) == [
        (B0_2017, OCT_25_2017_US, "M068", 1),
        (F7_2017, OCT_25_2017_US, "M088", 1),
        (B0_2018, BEGINNING_US, "M068", 1),
        (F7_2018, BEGINNING_US, "M088", 1),
        (FB_2018, MAR_6_2018_US, "M044", 1),
    ]


def test_every_row_says_who_recorded_it_and_from_where(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    sets = rows(store_dir, "SELECT recorded_by, delivered_from FROM constant_set ORDER BY id")
    modules = [page_tree.path.resolve() / name for name in ("M044", "M068", "M088")]
    assert sets == [("tester", str(path)) for path in modules]
    said = rows(store_dir, "SELECT recorded_by, reason FROM assignment")
    assert {who for who, _ in said} == {"tester"}
    assert any(FB_STAMPED in reason for _, reason in said)


def test_one_import_is_one_transaction_time(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    (both,) = rows(
        store_dir,
        "SELECT count(DISTINCT recorded_at_us) FROM (SELECT recorded_at_us FROM assignment "
        "UNION ALL SELECT recorded_at_us FROM constant_set) AS both_tables",
    )
    assert both == (1,)


def test_arrays_come_back_bit_by_bit_in_segment_order(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    with api.open_store(store_dir) as store:
        answer = store.resolve(f"{F7_2017}_{B0_2017}_{FB_2018}", "20180419000000")
        arrays = answer.arrays()
    for kind, stem in (("pixel_gain", "gain"), ("pixel_offset", "offset")):
        assert arrays[kind].dtype == np.float32
        for panel, module in enumerate(("M088", "M068", "M044")):
            expected = delivered(page_tree.path / module, stem)
            assert arrays[kind][:, panel].tobytes() == expected.tobytes()


def test_report_names_everything_that_was_taken(
    panelcal: RunsProgram, page_tree: GainsTree
) -> None:
    result = panelcal("import", "gains-tree", page_tree.path)
    assert result.exit_code == 0
    for entry in page_tree.path.iterdir():
        (status,) = (
            line.split()[0] for line in result.stdout.splitlines() if line.split()[1] == entry.name
        )
        assert status == "taken"
    assert f"{B0_2018} uses M068 from the beginning" in result.stdout
    assert f"{FB_2018} uses M044 from 20180306000000" in result.stdout
    assert result.stdout.splitlines()[-1] == "8 taken; written"
    assert result.stderr == ""


def test_json_report_has_a_stable_shape(panelcal: RunsProgram, page_tree: GainsTree) -> None:
    report = report_of(panelcal, page_tree)
    assert report["written"] is True
    assert report["dry_run"] is False
    assert report["counts"] == {
        "taken": 8,
        "already": 0,
        "ignored": 0,
        "refused": 0,
        "conflict": 0,
    }
    assert sorted(entry["name"] for entry in report["entries"]) == sorted(
        path.name for path in page_tree.path.iterdir()
    )
    assert entry_of(report, FB_STAMPED) == {
        "name": FB_STAMPED,
        "status": "taken",
        "content": f"{FB_2018} uses M044 from 20180306000000",
        "reason": "",
    }


@pytest.mark.parametrize("name", ["", "logs"])
def test_directory_that_is_no_gains_tree_is_refused(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten, name: str
) -> None:
    (tree.path / name).mkdir(exist_ok=True)
    with nothing_written():
        result = panelcal("import", "gains-tree", tree.path)
    assert result.exit_code == 3
    assert "holds neither modules nor names like panel ids" in result.stderr
    assert "name the directory that holds M044" in result.stderr


# --- how links are followed


def test_chain_of_links_leads_to_the_module_at_its_end(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044")
    tree.link("M044_current", "M044")
    tree.link("latest", "M044_current")
    tree.link(FB_STAMPED, "latest")
    report_of(panelcal, tree)
    assert rows(store_dir, LEDGER) == [(FB_2018, MAR_6_2018_US, "M044", 1)]


def test_entry_may_lead_to_another_entry(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044")
    tree.link(FB_STAMPED, "M044")
    tree.link(B0_2018, FB_STAMPED)
    report_of(panelcal, tree)
    assert sorted(rows(store_dir, LEDGER)) == [
        (B0_2018, BEGINNING_US, "M044", 1),
        (FB_2018, MAR_6_2018_US, "M044", 1),
    ]


def test_absolute_link_inside_the_tree_is_taken(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.link(FB_STAMPED, str(tree.module("M044")))
    report_of(panelcal, tree)
    assert rows(store_dir, LEDGER) == [(FB_2018, MAR_6_2018_US, "M044", 1)]


def test_tree_may_itself_be_named_by_a_link(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, tmp_path: Path
) -> None:
    other = tmp_path / "gains"
    other.symlink_to(page_tree.path)
    assert panelcal("import", "gains-tree", other).exit_code == 0
    assert rows(store_dir, COUNTS) == [(3, 3, 6, 5, 5)]


def test_another_name_for_a_module_is_ignored_and_said(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044")
    tree.link("M045", "M044")
    report = report_of(panelcal, tree)
    assert entry_of(report, "M045")["status"] == "ignored"
    assert "M044" in entry_of(report, "M045")["reason"]
    assert rows(store_dir, SETS) == [("M044", 1)]


def test_module_file_may_be_a_link_inside_the_tree(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044", seed=1)
    tree.module("M068", seed=2)
    file = tree.path / "M068" / "g0_gain.npy"
    file.unlink()
    file.symlink_to("../M044/g0_gain.npy")
    tree.link(FB_STAMPED, "M068")
    report_of(panelcal, tree)
    with api.open_store(store_dir) as store:
        gain = store.resolve(FB_2018, "20180419000000").arrays()["pixel_gain"]
    assert gain[0, 0].tobytes() == np.load(tree.path / "M044" / "g0_gain.npy").tobytes()


def test_directory_that_an_entry_leads_to_is_reported_once(
    panelcal: RunsProgram, tree: GainsTree
) -> None:
    tree.module("spare_panel")
    tree.link(FB_STAMPED, "spare_panel")
    report = report_of(panelcal, tree)
    assert entry_of(report, "spare_panel")["status"] == "taken"


# --- what is no part of a tree


@pytest.mark.parametrize("name", ["logs", "panels", "merge_tmp", ".snapshot", "lost+found"])
def test_other_directories_are_ignored(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, name: str
) -> None:
    write_delivery(page_tree.path / name / "M099", seed=9)
    report = report_of(panelcal, page_tree)
    assert entry_of(report, name)["status"] == "ignored"
    assert rows(store_dir, COUNTS) == [(3, 3, 6, 5, 5)]


@pytest.mark.parametrize("name", [".nfs0001", "README", "M044.tar", "M099"])
def test_other_files_are_ignored(panelcal: RunsProgram, page_tree: GainsTree, name: str) -> None:
    (page_tree.path / name).write_text("no constants")
    report = report_of(panelcal, page_tree)
    assert entry_of(report, name)["status"] == "ignored"
    assert entry_of(report, name)["reason"]


def test_extra_files_of_a_module_are_left_out_and_named(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    for name in ("g3_gain.npy", "notes.txt", ".g0_gain.npy.swp"):
        (page_tree.path / "M044" / name).write_bytes(b"not looked at")
    entry = entry_of(report_of(panelcal, page_tree), "M044")
    assert entry["status"] == "taken"
    assert entry["reason"] == "left out: .g0_gain.npy.swp, g3_gain.npy, notes.txt"
    assert rows(store_dir, COUNTS) == [(3, 3, 6, 5, 5)]


def test_extra_files_of_a_real_directory_entry_are_named(
    panelcal: RunsProgram, tree: GainsTree
) -> None:
    write_delivery(tree.path / B0_2018)
    (tree.path / B0_2018 / "notes.txt").write_text("not looked at")
    assert "notes.txt" in entry_of(report_of(panelcal, tree), B0_2018)["reason"]


# --- entries that are real directories


def test_real_directory_with_the_contents_of_a_module_is_that_module(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M068", seed=1)
    tree.module("M088", seed=2)
    write_delivery(tree.path / B0_2018, seed=1)
    write_delivery(tree.path / F7_2018, seed=2)
    report = report_of(panelcal, tree)
    assert entry_of(report, B0_2018)["content"] == f"{B0_2018} uses M068 from the beginning"
    assert sorted(rows(store_dir, LEDGER)) == [
        (B0_2018, BEGINNING_US, "M068", 1),
        (F7_2018, BEGINNING_US, "M088", 1),
    ]
    assert rows(store_dir, SETS) == [("M068", 1), ("M088", 1)]


def test_real_directory_unlike_any_module_is_a_module_of_its_own(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M068", seed=1)
    write_delivery(tree.path / f"{B0_2018}-20180306000000", seed=5)
    report_of(panelcal, tree)
    assert rows(store_dir, LEDGER) == [(B0_2018, MAR_6_2018_US, B0_2018, 1)]
    with api.open_store(store_dir) as store:
        gain = store.resolve(B0_2018, "20180419000000").arrays()["pixel_gain"]
    expected = delivered(tree.path / f"{B0_2018}-20180306000000", "gain")
    assert gain[:, 0].tobytes() == expected.tobytes()


def test_two_real_directories_of_a_panel_are_two_revisions(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    write_delivery(tree.path / B0_2018, seed=1)
    write_delivery(tree.path / f"{B0_2018}-20180306000000", seed=2)
    report_of(panelcal, tree)
    assert rows(store_dir, LEDGER) == [
        (B0_2018, BEGINNING_US, B0_2018, 1),
        (B0_2018, MAR_6_2018_US, B0_2018, 2),
    ]


def test_real_directory_is_found_again_on_the_second_run(
    panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    write_delivery(tree.path / B0_2018, seed=1)
    write_delivery(tree.path / f"{F7_2018}-20180306000000", seed=2)
    report_of(panelcal, tree)
    with nothing_written():
        report = report_of(panelcal, tree)
    assert report["counts"]["already"] == 2
    assert report["counts"]["taken"] == 0


# --- ids


@pytest.mark.parametrize(
    ("name", "panel", "serial"),
    [
        ("-154920171025-3d00fb", "-154920171025-3d00fb", "3d00fb"),
        ("171113--3d00fb-20180306000000", "171113--3d00fb", "3d00fb"),
        ("171113-154920171025-", "171113-154920171025-", ""),
        ("--", "--", ""),
        ("171113-154920171025-8000000000000000L", "171113-154920171025-8000000000000000", None),
    ],
)
def test_zero_fields_and_python_2_numbers_are_read(
    panelcal: RunsProgram,
    tree: GainsTree,
    store_dir: Path,
    name: str,
    panel: str,
    serial: str | None,
) -> None:
    tree.module("M044")
    tree.link(name, "M044")
    report_of(panelcal, tree)
    expected = panel.split("-")[2] if serial is None else serial
    assert rows(store_dir, "SELECT name, serial FROM panel") == [(panel, expected)]


def test_ambiguous_local_time_is_taken_as_the_first_and_said(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044")
    tree.link(f"{FB_2018}-20181104013000", "M044")
    report = report_of(panelcal, tree)
    assert "2018-11-04T08:30:00Z" in entry_of(report, f"{FB_2018}-20181104013000")["reason"]
    assert rows(store_dir, "SELECT valid_from_us FROM assignment") == [(1_541_320_200_000_000,)]


def test_equal_contents_of_two_modules_are_stored_once(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M044", seed=3)
    tree.module("M068", seed=3)
    report_of(panelcal, tree)
    assert rows(store_dir, COUNTS) == [(2, 2, 2, 0, 0)]


# --- again


def test_second_run_adds_nothing(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
) -> None:
    write_delivery(page_tree.path / "-1-2", seed=8)
    report_of(panelcal, page_tree)
    before = on_disk(store_dir)
    with nothing_written():
        report = report_of(panelcal, page_tree)
    assert on_disk(store_dir) == before
    assert report["counts"] == {
        "taken": 0,
        "already": 9,
        "ignored": 0,
        "refused": 0,
        "conflict": 0,
    }
    text = panelcal("import", "gains-tree", page_tree.path).stdout.splitlines()[-1]
    assert text == "9 already; nothing to add"


def test_new_entry_in_a_known_tree_is_all_that_is_added(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    report_of(panelcal, page_tree)
    before = rows(store_dir, LEDGER)
    page_tree.link(f"{FB_2018}-20190101000000", "M088")
    report = report_of(panelcal, page_tree)
    assert report["counts"]["taken"] == 1
    (*old, new) = rows(store_dir, LEDGER)
    assert old == before
    assert new[0] == FB_2018
    assert new[2:] == ("M088", 1)
    assert rows(store_dir, COUNTS) == [(3, 3, 6, 5, 6)]


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_changed_contents_of_a_module_are_a_conflict(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    nothing_written: NothingWritten,
    options: list[str],
) -> None:
    report_of(panelcal, page_tree)
    write_delivery(page_tree.path / "M044", seed=100)
    with nothing_written():
        result = panelcal("import", "gains-tree", page_tree.path, *options)
    assert result.exit_code == 4
    assert "the ledger says M044@1, whose contents differ" in result.stdout
    assert "the store says otherwise about 1 entry; nothing was written" in result.stderr
    assert "--supersede" in result.stderr


def test_link_to_another_module_is_a_conflict(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_tree)
    (page_tree.path / FB_STAMPED).unlink()
    page_tree.link(FB_STAMPED, "M088")
    with nothing_written():
        report = report_of(panelcal, page_tree, exit_code=4)
    assert report["written"] is False
    assert entry_of(report, FB_STAMPED)["status"] == "conflict"
    assert "M044@1" in entry_of(report, FB_STAMPED)["reason"]


def test_withdrawal_in_the_ledger_is_a_conflict(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_tree)
    withdrawn = panelcal(
        "withdraw", FB_2018, "--from", "20180306000000", "--reason", "the panel was swapped"
    )
    assert withdrawn.exit_code == 0, withdrawn.output
    with nothing_written():
        report = report_of(panelcal, page_tree, exit_code=4)
    assert entry_of(report, FB_STAMPED)["status"] == "conflict"


def test_supersede_records_the_correction_and_keeps_the_history(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    report_of(panelcal, page_tree)
    ledger, payloads = rows(store_dir, LEDGER), fingerprint(store_dir)[1]
    write_delivery(page_tree.path / "M044", seed=100)
    report = report_of(panelcal, page_tree, "--supersede")
    assert "corrects the ledger" in entry_of(report, FB_STAMPED)["reason"]
    assert rows(store_dir, LEDGER) == [*ledger, (FB_2018, MAR_6_2018_US, "M044", 2)]
    assert payloads.items() <= fingerprint(store_dir)[1].items()
    with api.open_store(store_dir) as store:
        gain = store.resolve(FB_2018, "20180419000000").arrays()["pixel_gain"]
    assert gain[:, 0].tobytes() == delivered(page_tree.path / "M044", "gain").tobytes()


def test_superseding_twice_adds_nothing(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_tree)
    write_delivery(page_tree.path / "M044", seed=100)
    report_of(panelcal, page_tree, "--supersede")
    with nothing_written():
        report = report_of(panelcal, page_tree, "--supersede")
    assert report["counts"]["already"] == 8


def test_superseding_back_means_the_earlier_revision(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    report_of(panelcal, page_tree)
    write_delivery(page_tree.path / "M044", seed=100)
    report_of(panelcal, page_tree, "--supersede")
    write_delivery(page_tree.path / "M044", seed=0)
    report_of(panelcal, page_tree, "--supersede")
    assert rows(store_dir, LEDGER)[-1] == (FB_2018, MAR_6_2018_US, "M044", 1)
    assert ("M044", 3) not in rows(store_dir, SETS)


# --- some of it, or none


def test_one_refusal_keeps_everything_out(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
) -> None:
    page_tree.link(f"{FB_2018}-old", "M044")
    with nothing_written():
        report = report_of(panelcal, page_tree, exit_code=2)
    assert report["written"] is False
    assert report["counts"]["refused"] == 1
    assert report["counts"]["taken"] == 8
    left = [path for path in (store_dir / "payloads").rglob("*") if path.name != "incoming"]
    assert left == []


def test_skip_bad_takes_the_rest(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    (page_tree.path / "M044" / "g1_gain.npy").unlink()
    page_tree.link(f"{B0_2018}-2018030600000", "M068")
    report = report_of(panelcal, page_tree, "--skip-bad")
    refused = {e["name"] for e in report["entries"] if e["status"] == "refused"}
    assert refused == {"M044", FB_STAMPED, f"{B0_2018}-2018030600000"}
    assert report["written"] is True
    assert rows(store_dir, SETS) == [("M068", 1), ("M088", 1)]
    assert {row[0] for row in rows(store_dir, LEDGER)} == {B0_2017, F7_2017, B0_2018, F7_2018}


def test_skip_bad_twice_adds_nothing(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    (page_tree.path / "M044" / "g1_gain.npy").unlink()
    report_of(panelcal, page_tree, "--skip-bad")
    with nothing_written():
        report_of(panelcal, page_tree, "--skip-bad")


def test_skip_bad_leaves_conflicts_to_the_ledger(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    report_of(panelcal, page_tree)
    before = rows(store_dir, LEDGER)
    write_delivery(page_tree.path / "M044", seed=100)
    page_tree.link(f"{F7_2018}-20190101000000", "M068")
    report = report_of(panelcal, page_tree, "--skip-bad")
    assert report["counts"]["conflict"] == 1
    after = rows(store_dir, LEDGER)
    assert after[:-1] == before
    assert after[-1][0] == F7_2018


def test_refusal_wins_over_conflict_in_the_exit_code(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_tree)
    write_delivery(page_tree.path / "M044", seed=100)
    page_tree.link("x-y-z-readme.txt", "M044")
    with nothing_written():
        report = report_of(panelcal, page_tree, exit_code=2)
    assert report["counts"]["conflict"] == 1


# --- looking without touching


@pytest.mark.parametrize("options", [[], ["--skip-bad"], ["--supersede"], ["--cast"]])
def test_dry_run_changes_nothing_not_even_on_disk(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
    options: list[str],
) -> None:
    before = on_disk(store_dir)
    with nothing_written():
        report = report_of(panelcal, page_tree, "--dry-run", *options)
    assert on_disk(store_dir) == before
    assert report["dry_run"] is True
    assert report["written"] is False
    assert report["counts"]["taken"] == 8


def test_dry_run_reports_what_the_real_run_then_does(
    panelcal: RunsProgram, page_tree: GainsTree
) -> None:
    (page_tree.path / "notes.txt").write_text("")
    told = report_of(panelcal, page_tree, "--dry-run")
    done = report_of(panelcal, page_tree)
    assert told["entries"] == done["entries"]
    assert told["counts"] == done["counts"]


def test_dry_run_of_a_bad_tree_fails_as_the_real_run_would(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    page_tree.link("x-y-z-readme.txt", "M044")
    with nothing_written():
        report = report_of(panelcal, page_tree, "--dry-run", exit_code=2)
    assert entry_of(report, "x-y-z-readme.txt")["status"] == "refused"


def test_dry_run_of_a_correction_changes_nothing(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    report_of(panelcal, page_tree)
    write_delivery(page_tree.path / "M044", seed=100)
    with nothing_written():
        report = report_of(panelcal, page_tree, "--dry-run", "--supersede")
    assert entry_of(report, FB_STAMPED)["status"] == "taken"


def test_dry_run_says_that_nothing_was_written(panelcal: RunsProgram, page_tree: GainsTree) -> None:
    result = panelcal("import", "gains-tree", page_tree.path, "--dry-run")
    assert result.stdout.splitlines()[-1] == "8 taken; nothing was written"


def test_import_leaves_the_tree_as_it_was(panelcal: RunsProgram, page_tree: GainsTree) -> None:
    def state() -> list[tuple[str, int, bytes]]:
        return [
            (str(path), path.lstat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
            for path in sorted(page_tree.path.rglob("*"))
        ]

    before = state()
    report_of(panelcal, page_tree)
    assert state() == before


# --- what is no tree


def test_tree_that_does_not_exist_is_not_found(
    panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        result = panelcal("import", "gains-tree", tmp_path / "nowhere")
    assert result.exit_code == 3
    assert f"{tmp_path / 'nowhere'} is not a directory" in result.stderr
    assert "M044" in result.stderr
    assert result.stdout == ""


def test_file_is_no_tree(
    panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    file = page_tree.path / "M044" / FILES[0]
    with nothing_written():
        result = panelcal("import", "gains-tree", file)
    assert result.exit_code == 3
    assert f"{file} is not a directory" in result.stderr


def test_import_into_no_store_is_not_found(
    panelcal: RunsProgram, page_tree: GainsTree, tmp_path: Path
) -> None:
    result = panelcal("import", "gains-tree", page_tree.path, "--store", tmp_path / "none")
    assert result.exit_code == 3
    assert "panelcal init" in result.stderr
    assert not (tmp_path / "none").exists()
