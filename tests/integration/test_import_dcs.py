"""What `panelcal import dcs` learns from DCS files, and what it refuses."""

import gc
import json
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

import panelcal as api
from builders import GainsTree, delivered, fingerprint, rows
from conftest import RunsProgram
from dcs_oracle import legacy_add, legacy_get
from panelcal.errors import NoValidConstantsError
from panelcal.exporters.dcs_file import load_version
from panelcal.services import dcs_values
from servers import copied_store

SOURCE = "XcsEndstation.0:Jungfrau.0"
B0 = "170505-149520170815-3d00b0"
F7 = "170505-149520170815-3d00f7"
FB = "171113-154920171025-3d00fb"
PAIR = f"{B0}_{F7}"
KINDS = {"pixel_gain": "gain", "pixel_offset": "offset"}
BEGINNING_US = -(2**63)
DAY = 86_400
T0 = 1_510_000_000

Array = np.ndarray[Any, np.dtype[np.float32]]
NothingWritten = Callable[[], AbstractContextManager[None]]

LEDGER = """
    SELECT panel.name, valid_from_us, module.name, revision
    FROM assignment
    JOIN panel ON panel.id = panel_id
    LEFT JOIN constant_set ON constant_set.id = constant_set_id
    LEFT JOIN module ON module.id = module_id
    ORDER BY panel.name, valid_from_us, assignment.id
"""
SETS = """
    SELECT module.name, revision FROM constant_set
    JOIN module ON module.id = module_id ORDER BY module.name, revision
"""


class Dcs:
    """A DCS file as the legacy command leaves it."""

    def __init__(self, panelcal: RunsProgram, path: Path) -> None:
        self.panelcal = panelcal
        self.path = path

    def add(self, begin: float, *seeds: int, end: float | None = None, **how: bool) -> None:
        """Add the gain and offset of panels made from seeds."""
        for kind in KINDS:
            legacy_add(self.path, kind, begin, values(kind, *seeds), end=end, **how)

    def bring_in(self, *options: str | Path, exit_code: int = 0) -> dict[str, Any]:
        """Import with --json and return the report."""
        result = self.panelcal("import", "dcs", self.path, "--json", *options)
        assert result.exit_code == exit_code, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report


def values(kind: str, *seeds: int) -> Array:
    """Return (gain range, panel, row, column) of panels made from seeds."""
    middle = 41.5 if kind == "pixel_gain" else 300.0
    return np.stack(
        [np.random.default_rng((one, len(kind))).normal(middle, 3, (3, 4, 8)) for one in seeds],
        axis=1,
    ).astype(np.float32)


def stored(*seeds: int) -> dict[str, Array]:
    return {kind: values(kind, *seeds) for kind in KINDS}


def answer(store: Path, second: float, detector: str = PAIR) -> dict[str, Array] | None:
    """Return what a store resolves at a second since 1970, None if nothing."""
    with api.open_store(store) as opened:
        try:
            found = opened.resolve(detector, datetime.fromtimestamp(second, UTC))
        except NoValidConstantsError:
            return None
        return dict(found.arrays())


def same(found: dict[str, Array] | None, expected: dict[str, Array]) -> bool:
    return found is not None and all(
        found[kind].tobytes() == expected[kind].tobytes() for kind in KINDS
    )


def lines_of(report: dict[str, Any], part: str) -> list[dict[str, str]]:
    """Return the lines whose name has a part."""
    return [entry for entry in report["entries"] if part in entry["name"]]


def statuses(report: dict[str, Any], part: str = "") -> set[str]:
    return {entry["status"] for entry in lines_of(report, part)}


@pytest.fixture
def dcs(panelcal: RunsProgram, tmp_path: Path) -> Dcs:
    return Dcs(panelcal, tmp_path / f"jungfrau-{PAIR}.h5")


@pytest.fixture
def fresh_store(empty_store: Path, tmp_path: Path) -> Iterator[Path]:
    """Another empty store."""
    with copied_store(empty_store, tmp_path / "fresh") as directory:
        yield directory


# --- what readers choose


def test_each_range_assigns_every_panel_from_its_begin(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0 + DAY, 3, 2)
    report = dcs.bring_in()
    assert report["counts"]["taken"] == 6
    assert rows(store_dir, LEDGER) == [
        (B0, T0 * 1_000_000, B0, 1),
        (B0, (T0 + DAY) * 1_000_000, B0, 2),
        (F7, T0 * 1_000_000, F7, 1),
    ]
    assert answer(store_dir, T0 - 1) is None
    assert same(answer(store_dir, T0), stored(1, 2))
    assert same(answer(store_dir, T0 + DAY), stored(3, 2))


def test_importing_again_changes_nothing(dcs: Dcs, nothing_written: NothingWritten) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0, 4, 2)
    dcs.add(T0 + DAY, 3, 2, end=T0 + 2 * DAY)
    dcs.add(T0 + 3 * DAY, 1, 5)
    assert dcs.bring_in()["counts"]["taken"] > 0
    with nothing_written():
        report = dcs.bring_in()
    assert statuses(report) == {"already"}


def test_zero_is_the_beginning(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(0, 1, 2)
    dcs.bring_in()
    assert [start for _, start, _, _ in rows(store_dir, LEDGER)] == [BEGINNING_US] * 2


def test_the_time_of_every_legacy_upload_is_taken_and_said(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(1_500_000_000, 1, 2)
    report = dcs.bring_in()
    assert statuses(report) == {"taken"}
    said = "2017-07-14T02:40:00Z is what the legacy command says for every upload"
    assert all(said in entry["reason"] for entry in report["entries"])
    assert rows(store_dir, LEDGER)[0][1] == 1_500_000_000_000_000


def test_after_a_bounded_range_the_wider_one_is_chosen_again(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0 + DAY, 3, 4, end=T0 + 2 * DAY)
    dcs.bring_in()
    assert same(answer(store_dir, T0 + 2 * DAY), stored(3, 4))
    assert same(answer(store_dir, T0 + 2 * DAY + 1), stored(1, 2))


def test_after_a_bounded_range_without_another_the_panels_are_withdrawn(
    dcs: Dcs, store_dir: Path
) -> None:
    dcs.add(T0, 1, 2, end=T0 + DAY)
    report = dcs.bring_in()
    assert same(answer(store_dir, T0 + DAY), stored(1, 2))
    assert answer(store_dir, T0 + DAY + 1) is None
    assert (B0, (T0 + DAY + 1) * 1_000_000, None, None) in rows(store_dir, LEDGER)
    ended = [entry for entry in report["entries"] if "no constants" in entry["content"]]
    assert len(ended) == 4
    assert all("its range has ended, then readers find nothing" in e["reason"] for e in ended)


def test_where_only_one_kind_goes_on_the_panels_are_withdrawn_and_it_is_refused(
    dcs: Dcs, store_dir: Path
) -> None:
    legacy_add(dcs.path, "pixel_gain", T0, values("pixel_gain", 1, 2))
    legacy_add(dcs.path, "pixel_offset", T0, values("pixel_offset", 1, 2), end=T0 + DAY)
    report = dcs.bring_in("--skip-bad")
    assert same(answer(store_dir, T0 + DAY), stored(1, 2))
    assert answer(store_dir, T0 + DAY + 1) is None
    refused = [entry for entry in report["entries"] if entry["status"] == "refused"]
    assert [entry["name"].split(":")[1].split("/")[0] for entry in refused] == ["pixel_gain"]
    assert refused[0]["reason"] == "no pixel_offset is read with it"


def test_a_kind_alone_is_refused(dcs: Dcs, nothing_written: NothingWritten) -> None:
    legacy_add(dcs.path, "pixel_gain", T0, values("pixel_gain", 1, 2))
    with nothing_written():
        (entry,) = dcs.bring_in(exit_code=2)["entries"]
    assert (entry["status"], entry["reason"]) == ("refused", "no pixel_offset is read with it")


def test_a_range_without_versions_hides_the_wider_one(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0, 1, 2)
    with h5py.File(dcs.path, "a") as file:
        for kind in KINDS:
            span = file.create_group(f"{kind}/{T0 + DAY}-end")
            span.create_dataset("begin", data=np.array([np.float64(T0 + DAY)]))
    dcs.bring_in()
    for second, expected in ((T0 + DAY - 1, values("pixel_gain", 1, 2)), (T0 + DAY, None)):
        found, read = answer(store_dir, second), legacy_get(dcs.path, "pixel_gain", second)
        assert (found is None) == (read is None) == (expected is None)


def test_a_fraction_of_a_second_begins_at_the_next_whole_one(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0 + 0.25, 1, 2)
    report = dcs.bring_in()
    assert {start for _, start, _, _ in rows(store_dir, LEDGER)} == {(T0 + 1) * 1_000_000}
    assert "no whole second" in report["entries"][0]["reason"]


def test_at_every_second_the_store_answers_as_the_legacy_reader(
    dcs: Dcs, store_dir: Path, panelcal: RunsProgram
) -> None:
    random = np.random.default_rng(20180430)
    for tree in range(4):
        path = dcs.path.with_name(f"jungfrau-1-2-{tree + 1:x}_1-2-{tree + 100:x}.h5")
        for _ in range(6):
            begin = int(T0 + random.integers(0, 12))
            end = float(begin + random.integers(0, 6)) if random.random() < 0.5 else None
            seeds = random.integers(0, 4, 2).tolist()
            for kind in KINDS:
                legacy_add(path, kind, begin, values(kind, *seeds), end=end)
        result = panelcal("import", "dcs", path)
        assert result.exit_code == 0, result.output
        for second in range(T0 - 1, T0 + 20):
            expected = {kind: legacy_get(path, kind, float(second)) for kind in KINDS}
            found = answer(store_dir, second, path.stem.partition("-")[2])
            if expected["pixel_gain"] is None:
                assert found is None, second
            else:
                assert found is not None, second
                for kind, array in expected.items():
                    assert array is not None
                    assert found[kind].tobytes() == array.tobytes(), (second, kind)


# --- versions that readers do not choose


def test_superseded_versions_become_constant_sets_without_assignment(
    dcs: Dcs, store_dir: Path
) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0, 3, 4)
    report = dcs.bring_in()
    assert same(answer(store_dir, T0), stored(3, 4))
    assert len(rows(store_dir, LEDGER)) == 2
    assert rows(store_dir, SETS) == [(B0, 1), (B0, 2), (F7, 1), (F7, 2)]
    old = lines_of(report, "v0001")
    assert {entry["status"] for entry in old} == {"taken"}
    assert {entry["content"] for entry in old} == {
        f"constant set {B0}, new",
        f"constant set {F7}, new",
    }
    assert all("readers do not choose it; assign it with" in entry["reason"] for entry in old)


def test_a_missing_version_dataset_is_recovered_and_flagged(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0, 3, 4, python3=True)
    report = dcs.bring_in()
    assert same(answer(store_dir, T0), stored(1, 2))
    assert rows(store_dir, SETS) == [(B0, 1), (B0, 2), (F7, 1), (F7, 2)]
    recovered = [entry for entry in lines_of(report, "v0002") if entry["status"] == "taken"]
    assert len(recovered) == 4
    said = "recovered: legacy readers never saw it; assign it with panelcal assign"
    assert all(said in entry["reason"] for entry in recovered)


def test_recovered_values_can_be_assigned(dcs: Dcs, store_dir: Path) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0, 3, 4, python3=True)
    dcs.bring_in()
    for panel in (B0, F7):
        reference = next(
            f"{panel}@{revision}"
            for revision in (1, 2)
            if (panel, T0 * 1_000_000, panel, revision) not in rows(store_dir, LEDGER)
        )
        arguments = ("assign", panel, reference, "--from", "20180101000000", "--reason", "found")
        assert dcs.panelcal(*arguments).exit_code == 0
    assert same(answer(store_dir, 1_520_000_000), stored(3, 4))


def test_a_version_of_one_kind_that_nobody_chooses_is_ignored_and_said(dcs: Dcs) -> None:
    dcs.add(T0, 1, 2)
    legacy_add(dcs.path, "pixel_gain", T0, values("pixel_gain", 3, 4), python3=True)
    report = dcs.bring_in()
    (entry,) = [one for one in report["entries"] if one["name"].endswith("/v0002")]
    assert entry["status"] == "ignored"
    assert entry["reason"].startswith("recovered: legacy readers never saw it; there is no other")


def test_other_calibration_types_are_ignored(dcs: Dcs) -> None:
    dcs.add(T0, 1, 2)
    legacy_add(dcs.path, "pedestals", T0, values("pixel_gain", 1, 2))
    (entry,) = lines_of(dcs.bring_in(), "pedestals")
    assert entry["status"] == "ignored"


# --- what the store has


def test_values_of_the_gains_tree_are_known_already(
    dcs: Dcs, panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for kind, stem in KINDS.items():
        pair = [delivered(page_tree.path / module, stem) for module in ("M068", "M088")]
        legacy_add(dcs.path, kind, 1_512_000_000, np.stack(pair, axis=1))
    with nothing_written():
        report = dcs.bring_in()
    assert statuses(report) == {"already"}


def test_an_upload_dated_before_the_first_assignment_is_taken(
    dcs: Dcs, panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for kind, stem in KINDS.items():
        pair = [delivered(page_tree.path / module, stem) for module in ("M068", "M088")]
        legacy_add(dcs.path, kind, 1_500_000_000, np.stack(pair, axis=1))
    assert statuses(dcs.bring_in()) == {"taken"}
    assert (B0, 1_500_000_000_000_000, "M068", 1) in rows(store_dir, LEDGER)
    assert rows(store_dir, "SELECT count(*) FROM constant_set") == [(3,)]


def test_other_values_than_the_ledger_says_are_a_conflict_until_superseded(
    dcs: Dcs, panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    dcs.add(1_512_000_000, 1, 2)
    before = fingerprint(store_dir)
    assert statuses(dcs.bring_in(exit_code=4)) == {"conflict"}
    assert fingerprint(store_dir) == before
    assert statuses(dcs.bring_in("--supersede")) == {"taken"}
    assert same(answer(store_dir, 1_512_000_000), stored(1, 2))


def test_the_end_of_a_range_is_a_conflict_where_the_ledger_goes_on(
    dcs: Dcs, panelcal: RunsProgram, page_tree: GainsTree
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for kind, stem in KINDS.items():
        pair = [delivered(page_tree.path / module, stem) for module in ("M068", "M088")]
        legacy_add(dcs.path, kind, 1_512_000_000, np.stack(pair, axis=1), end=1_513_000_000.0)
    report = dcs.bring_in(exit_code=4)
    conflicts = [entry for entry in report["entries"] if entry["status"] == "conflict"]
    assert {"no constants" in entry["content"] for entry in conflicts} == {True}
    assert {e["status"] for e in report["entries"] if "uses" in e["content"]} == {"already"}


# --- what cannot be taken


def test_a_file_that_is_no_dcs_file_is_refused_and_the_others_are_judged(
    dcs: Dcs, tmp_path: Path
) -> None:
    dcs.add(T0, 1, 2)
    bad = tmp_path / f"jungfrau-{FB}.h5"
    bad.write_bytes(b"no HDF5")
    report = dcs.bring_in(bad, tmp_path / "gone-x.h5", "--skip-bad")
    assert statuses(report, bad.name) == {"refused"}
    assert statuses(report, "gone-x.h5") == {"refused"}
    assert statuses(report, "pixel_gain") == {"taken"}


def test_a_file_whose_name_and_contents_name_no_detector_is_refused(
    dcs: Dcs, tmp_path: Path
) -> None:
    dcs.path = tmp_path / "jungfrau-XcsEndstation.0.h5"
    dcs.add(T0, 1, 2)
    (entry,) = dcs.bring_in(exit_code=2)["entries"]
    assert entry["status"] == "refused"
    assert "is not a panel id" in entry["reason"]


def test_another_number_of_panels_is_refused(dcs: Dcs) -> None:
    dcs.add(T0, 1, 2, 3)
    report = dcs.bring_in(exit_code=2)
    assert statuses(report) == {"refused"}
    assert report["entries"][0]["reason"] == "the detector has 2 panels, it is of 3 panels"


def test_values_that_are_no_numbers_are_refused_with_their_segment(dcs: Dcs) -> None:
    gain = values("pixel_gain", 1, 2)
    gain[0, 1, 2, 3] = np.nan
    legacy_add(dcs.path, "pixel_gain", T0, gain)
    legacy_add(dcs.path, "pixel_offset", T0, values("pixel_offset", 1, 2))
    report = dcs.bring_in(exit_code=2)
    assert statuses(report) == {"refused"}
    said = "segment 1: 1 value NaN or infinite, the first at (0, 2, 3)"
    assert lines_of(report, "pixel_gain")[0]["reason"] == said
    assert "which is read with it, is refused" in lines_of(report, "pixel_offset")[0]["reason"]


def test_another_shape_or_type_is_refused(dcs: Dcs) -> None:
    legacy_add(dcs.path, "pixel_gain", T0, np.ones((3, 2, 8, 4), np.float32))
    legacy_add(dcs.path, "pixel_offset", T0, np.ones((3, 2, 4, 8), np.int32))
    report = dcs.bring_in(exit_code=2)
    assert statuses(report) == {"refused"}
    assert "shape (3, 2, 8, 4)" in lines_of(report, "pixel_gain")[0]["reason"]
    assert "int32 is not a floating type" in lines_of(report, "pixel_offset")[0]["reason"]


def test_doubles_are_taken_as_readers_take_them_and_said(dcs: Dcs, store_dir: Path) -> None:
    for kind in KINDS:
        legacy_add(dcs.path, kind, T0, values(kind, 1, 2).astype(np.float64))
    report = dcs.bring_in()
    assert all("float64, taken as float32" in entry["reason"] for entry in report["entries"])
    assert same(answer(store_dir, T0), stored(1, 2))


def test_what_makes_legacy_readers_fail_is_refused(dcs: Dcs) -> None:
    dcs.add(T0, 1, 2)
    with h5py.File(dcs.path, "a") as file:
        file.create_group("provenance")
    report = dcs.bring_in("--skip-bad")
    (fault,) = [entry for entry in report["entries"] if entry["status"] == "refused"]
    assert "legacy readers cannot read the file" in fault["reason"]
    assert statuses(report, "pixel_gain") == {"taken"}


def test_a_begin_that_no_stamp_can_say_is_refused(dcs: Dcs) -> None:
    dcs.add(1e15, 1, 2)
    report = dcs.bring_in(exit_code=2)
    assert statuses(report) == {"refused"}
    assert report["entries"][0]["reason"] == "it begins later than stamps can say"


def test_a_dry_run_says_the_same_and_writes_nothing(
    dcs: Dcs, nothing_written: NothingWritten
) -> None:
    dcs.add(T0, 1, 2, end=T0 + DAY)
    dcs.add(T0, 3, 4, end=T0 + DAY)
    with nothing_written():
        dry = dcs.bring_in("--dry-run")
    assert dry["entries"] == dcs.bring_in()["entries"]


def test_one_array_at_a_time_is_in_memory(dcs: Dcs, monkeypatch: pytest.MonkeyPatch) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0 + DAY, 3, 4)
    alive: list[weakref.ref[Any]] = []

    def watched(*arguments: Any) -> Any:
        gc.collect()
        assert not [array for array in alive if array() is not None]
        array = load_version(*arguments)
        alive.append(weakref.ref(array))
        return array

    monkeypatch.setattr(dcs_values, "load_version", watched)
    dcs.bring_in()
    assert len(alive) == 4


# --- files that panelcal wrote


class Uploaded:
    """The page's tree in a store, uploaded for three runs of two detectors."""

    RUNS = (
        (1, "20171201000000", PAIR),
        (631, "20180201000000", PAIR),
        (689, "20180307000000", FB),
    )

    def __init__(self, panelcal: RunsProgram, store: Path, directory: Path) -> None:
        self.panelcal, self.store, self.directory = panelcal, store, directory
        moved = ("assign", B0, "M044", "--from", "20180115000000", "--reason", "a new delivery")
        assert panelcal(*moved).exit_code == 0
        self.register(store)

    def register(self, store: Path) -> None:
        """Register the runs in a store."""
        table = self.directory / "runs.csv"
        lines = ["experiment,run,source,begin,detector_id,modules"]
        lines += [f"xcsls3716,{run},{SOURCE},{begin},{panels}," for run, begin, panels in self.RUNS]
        table.write_text("\n".join(lines) + "\n")
        assert self.panelcal("--store", store, "import", "runs", table).exit_code == 0

    def redeliver(self, start: str, begin: str, directory: Path) -> None:
        """Let a panel use the next revision of a module, and register run 700 of it."""
        delivery = GainsTree(directory / "redelivered").module("M068", seed=77)
        run = ("--begin", begin, "--detector-id", FB)
        for command in (
            ("module", "add", "M068", delivery, "--reason", "second campaign"),
            ("assign", FB, "M068@2", "--from", start, "--reason", "second campaign"),
            ("run", "add", "exp=xcsls3716:run=700", "-s", SOURCE, *run),
        ):
            assert self.panelcal(*command).exit_code == 0

    def upload(self, *numbers: int) -> list[Path]:
        """Add the constants of runs to the files of their detectors; return those."""
        for run in numbers or [run for run, _, _ in self.RUNS]:
            dataset = f"exp=xcsls3716:run={run}"
            result = self.panelcal("export", dataset, "--dcs", self.directory)
            assert result.exit_code == 0, result.output
        return sorted(self.directory.glob("jungfrau-*.h5"))

    def bring_in(self, store: Path, paths: list[Path], exit_code: int = 0) -> dict[str, Any]:
        """Import files into a store."""
        result = self.panelcal("--store", store, "import", "dcs", *paths, "--json")
        assert result.exit_code == exit_code, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def answers(self, store: Path) -> list[Any]:
        """Return for every run the token, and for every panel the set and its digests."""
        with api.open_store(store) as opened:
            found = [opened.resolve(f"exp=xcsls3716:run={run}") for run, _, _ in self.RUNS]
        return [
            (
                each.token,
                [(one.module, one.valid_from, dict(one.digests)) for one in each.panels],
            )
            for each in found
        ]


@pytest.fixture
def uploaded(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, tmp_path: Path
) -> Uploaded:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    directory = tmp_path / "dcs"
    directory.mkdir()
    return Uploaded(panelcal, store_dir, directory)


def test_uploaded_files_bring_the_same_answers_into_another_store(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    paths = uploaded.upload()
    report = uploaded.bring_in(fresh_store, paths)
    assert statuses(report) <= {"taken", "already"}
    uploaded.register(fresh_store)
    assert uploaded.answers(fresh_store) == uploaded.answers(uploaded.store)


def test_uploaded_files_bring_names_and_the_start_of_each_panel(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    uploaded.bring_in(fresh_store, uploaded.upload())
    there = [row for row in rows(uploaded.store, LEDGER) if row[0] in {B0, F7, FB}]
    assert rows(fresh_store, LEDGER) == there


def test_a_later_file_brings_the_next_revision_of_a_module_that_came_before(
    uploaded: Uploaded, fresh_store: Path, tmp_path: Path
) -> None:
    uploaded.redeliver("20180101000000", "20180102000000", tmp_path)
    pair, single = uploaded.upload(1, 700)
    uploaded.bring_in(fresh_store, [pair])
    uploaded.bring_in(fresh_store, [single])
    expected = [("M068", 1), ("M068", 2), ("M088", 1)]
    assert rows(fresh_store, SETS) == expected
    assert rows(fresh_store, LEDGER)[-1] == (FB, 1_514_793_600_000_000, "M068", 2)


def test_revisions_of_one_import_keep_their_order_whatever_their_starts(
    uploaded: Uploaded, fresh_store: Path, tmp_path: Path
) -> None:
    uploaded.redeliver("20170101000000", "20170102000000", tmp_path)
    uploaded.bring_in(fresh_store, uploaded.upload(1, 700))
    assert {row for row in rows(fresh_store, LEDGER) if row[2] == "M068"} == {
        row for row in rows(uploaded.store, LEDGER) if row[2] == "M068" and row[0] in {B0, FB}
    }


def test_a_version_has_one_line_a_panel_though_a_panel_has_its_values_for_longer(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    report = uploaded.bring_in(fresh_store, uploaded.upload(631))
    assert [entry["status"] for entry in report["entries"]] == ["taken"] * 4
    starts = {
        entry["content"].split()[0]: entry["content"].split()[-1] for entry in report["entries"]
    }
    assert starts == {B0: "20180115000000", F7: "20171025000000"}


def test_starts_that_do_not_fit_the_range_are_not_believed(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    (path,) = uploaded.upload(689)
    with h5py.File(path, "a") as file:
        for kind in KINDS:
            (span,) = [name for name in file[kind] if name.endswith("-end")]
            attributes = file[f"{kind}/{span}/v0001"].attrs
            text = attributes["panelcal_panels"]
            text = text.decode() if isinstance(text, bytes) else str(text)
            attributes["panelcal_panels"] = text.replace("20180306000000", "20180306000001")
    report = uploaded.bring_in(fresh_store, [path])
    assert all("range begins at another time" in e["reason"] for e in report["entries"])
    (row,) = rows(fresh_store, LEDGER)
    assert row == (FB, int(datetime(2018, 3, 6, 8, tzinfo=UTC).timestamp()) * 1_000_000, FB, 1)


def test_the_store_that_wrote_the_files_knows_everything_already(
    uploaded: Uploaded, nothing_written: NothingWritten
) -> None:
    paths = uploaded.upload()
    with nothing_written():
        report = uploaded.bring_in(uploaded.store, paths)
    assert statuses(report) == {"already"}


def test_a_second_import_into_another_store_changes_nothing(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    paths = uploaded.upload()
    uploaded.bring_in(fresh_store, paths)
    before = fingerprint(fresh_store)
    assert statuses(uploaded.bring_in(fresh_store, paths)) == {"already"}
    assert fingerprint(fresh_store) == before


def test_edited_values_are_refused(uploaded: Uploaded, fresh_store: Path) -> None:
    (path,) = uploaded.upload(689)
    with h5py.File(path, "a") as file:
        (span,) = [name for name in file["pixel_gain"] if name.endswith("-end")]
        file[f"pixel_gain/{span}/v0001/data"][1, 0, 2, 3] = 7
    report = uploaded.bring_in(fresh_store, [path], exit_code=2)
    assert statuses(report) == {"refused"}
    assert "edited: the values of segment 0" in lines_of(report, "pixel_gain")[0]["reason"]


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("token", "", "0123456789abcdef"),
        ("panels", "20180306000000", "20180306000001"),
        ("panels", '"M044"', '"M045"'),
        ("panels", FB, F7),
        ("panels", "[", "{"),
        ("policy", "strict", "legacy"),
    ],
)
def test_attributes_that_were_changed_are_not_believed(
    uploaded: Uploaded, fresh_store: Path, key: str, old: str, new: str
) -> None:
    (path,) = uploaded.upload(689)
    with h5py.File(path, "a") as file:
        (span,) = [name for name in file["pixel_gain"] if name.endswith("-end")]
        attributes = file[f"pixel_gain/{span}/v0001"].attrs
        text = attributes[f"panelcal_{key}"]
        text = text.decode() if isinstance(text, bytes) else str(text)
        attributes[f"panelcal_{key}"] = text.replace(old, new, 1) if old else new
    report = uploaded.bring_in(fresh_store, [path])
    assert statuses(report) == {"taken"}
    assert "not believed" in report["entries"][0]["reason"]
    (row,) = rows(fresh_store, LEDGER)
    assert row == (FB, int(datetime(2018, 3, 6, 8, tzinfo=UTC).timestamp()) * 1_000_000, FB, 1)


def test_a_legacy_upload_between_two_of_panelcal_is_followed_in_time(
    uploaded: Uploaded, fresh_store: Path
) -> None:
    (path,) = uploaded.upload(1, 631)
    between = 1_513_000_000
    for kind in KINDS:
        legacy_add(path, kind, between, values(kind, 1, 2))
    uploaded.bring_in(fresh_store, [path])
    for second in (1_509_000_000, between - 1, between, 1_516_000_000, 1_517_000_000):
        found = answer(fresh_store, second)
        expected = {kind: legacy_get(path, kind, float(second)) for kind in KINDS}
        assert found is not None
        for kind, array in expected.items():
            assert array is not None
            assert found[kind].tobytes() == array.tobytes(), (second, kind)


# --- files that are damaged, or another detector's


def test_a_damaged_version_does_not_make_an_older_one_the_answer(
    dcs: Dcs, store_dir: Path, nothing_written: NothingWritten
) -> None:
    dcs.add(T0, 1, 2)
    dcs.add(T0, 3, 4)
    name = f"pixel_gain/{T0}-end/v0002"
    with h5py.File(dcs.path, "r") as file:
        address = h5py.h5o.get_info(file[name].id).addr
    content = bytearray(dcs.path.read_bytes())
    content[address : address + 8] = b"\xa5" * 8
    dcs.path.write_bytes(content)
    with nothing_written():
        (entry,) = dcs.bring_in("--skip-bad")["entries"]
    assert entry["status"] == "refused"
    assert f"is damaged: /{name} cannot be opened" in entry["reason"]
    assert answer(store_dir, T0) is None


def test_a_link_that_leads_nowhere_is_refused(dcs: Dcs, nothing_written: NothingWritten) -> None:
    dcs.add(T0, 1, 2)
    with h5py.File(dcs.path, "a") as file:
        file[f"pixel_gain/{T0}-end/v0002"] = h5py.SoftLink("/pixel_gain/0-end/v0001")
    with nothing_written():
        report = dcs.bring_in(exit_code=2)
    (fault,) = [entry for entry in report["entries"] if "leads nowhere" in entry["reason"]]
    assert fault["status"] == "refused"


def test_a_file_named_after_another_detector_is_refused(
    dcs: Dcs, nothing_written: NothingWritten
) -> None:
    dcs.add(T0, 1, 2)
    dcs.path = dcs.path.rename(dcs.path.with_name(f"jungfrau-{FB}.h5"))
    with nothing_written():
        report = dcs.bring_in(exit_code=2)
    (fault,) = [entry for entry in report["entries"] if "/detid" in entry["reason"]]
    assert fault["status"] == "refused"
    assert PAIR in fault["reason"]
    assert FB in fault["reason"]


def test_a_file_that_psana_does_not_find_by_name_is_taken_and_said(
    dcs: Dcs, store_dir: Path
) -> None:
    dcs.add(T0, 1, 2)
    dcs.path = dcs.path.rename(dcs.path.with_name("constants.h5"))
    report = dcs.bring_in()
    (notice,) = [entry for entry in report["entries"] if entry["status"] == "ignored"]
    assert notice["reason"] == "psana will not find it under this name, constants.h5"
    assert same(answer(store_dir, T0), stored(1, 2))
