"""What `panelcal import calib-tree` learns from deployed files, and what it refuses."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

import panelcal as api
from builders import GainsTree, confirmed, delivered, fingerprint, rows, shrink
from conftest import RunsProgram
from legacy_oracle import find_calib_file, load_txt
from panelcal.errors import NoValidConstantsError
from panelcal.exporters.foreign_text import TextArray, read_foreign_text_array
from panelcal.services import calib_values
from servers import copied_store

SOURCE = "XcsEndstation.0:Jungfrau.0"
GROUP = "Jungfrau::CalibV1"
B0 = "170505-149520170815-3d00b0"
F7 = "170505-149520170815-3d00f7"
FB = "171113-154920171025-3d00fb"
PAIR = f"{B0}_{F7}"
KINDS = {"pixel_gain": "gain", "pixel_offset": "offset"}
FORMATS = {"pixel_gain": "%.4f", "pixel_offset": "%.1f"}

Array = np.ndarray[Any, np.dtype[np.float32]]

LEDGER = """
    SELECT panel.name, valid_from_us, module.name, revision
    FROM assignment
    JOIN panel ON panel.id = panel_id
    LEFT JOIN constant_set ON constant_set.id = constant_set_id
    LEFT JOIN module ON module.id = module_id
    ORDER BY panel.name, valid_from_us, assignment.id
"""


class Calib:
    """A calib directory as the legacy commands leave it, and the runs it is for."""

    def __init__(self, panelcal: RunsProgram, root: Path, experiment: str = "xcsls3716") -> None:
        self.panelcal = panelcal
        self.root = root
        self.experiment = experiment
        self.path = root / experiment[:3].upper() / experiment / "calib"

    def folder(self, kind: str, source: str = SOURCE) -> Path:
        return self.path / GROUP / source / kind

    def put(self, kind: str, name: str, array: Array, source: str = SOURCE) -> Path:
        """Write a text array as the legacy software does, value by value."""
        path = self.folder(kind, source) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = ["", "# DTYPE       float32", f"# NDIM        {array.ndim}"]
        lines += [f"# DIM:{axis}       {n}" for axis, n in enumerate(array.shape)] + [""]
        for row in array.reshape(-1, array.shape[-1]).tolist():
            lines.append(" ".join(FORMATS[kind] % value for value in row))
        path.write_text("\n".join(lines) + "\n")
        return path

    def deploy(self, name: str, *seeds: int) -> None:
        """Write the gain and offset of panels made from seeds."""
        for kind in KINDS:
            self.put(kind, name, values(kind, *seeds))

    def run(self, number: int, begin: str = "", detector: str = PAIR, *options: str) -> None:
        """Register a run."""
        arguments = ["run", "add", f"exp={self.experiment}:run={number}", "-s", SOURCE]
        arguments += ["--begin", begin] if begin else []
        arguments += ["--detector-id", detector] if detector else []
        arguments += options
        result = self.panelcal(*arguments)
        assert result.exit_code == 0, result.output

    def bring_in(self, *options: str, exit_code: int = 0, whole: bool = True) -> dict[str, Any]:
        """Import with --json and return the report."""
        tree = self.root if whole else self.path
        result = self.panelcal("import", "calib-tree", tree, "--json", *options)
        assert result.exit_code == exit_code, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report


def values(kind: str, *seeds: int) -> Array:
    """Return (gain range, panel, row, column) of panels made from seeds."""
    middle = 41.5 if kind == "pixel_gain" else 300.0
    return np.stack(
        [np.random.default_rng((seed, len(kind))).normal(middle, 3, (3, 4, 8)) for seed in seeds],
        axis=1,
    ).astype(np.float32)


def printed(kind: str, array: Array) -> Array:
    """Return what a reader gets back after printf, value by value."""
    flat = [float(FORMATS[kind] % value) for value in array.ravel().tolist()]
    return np.array(flat, np.float32).reshape(array.shape)


def lines_of(report: dict[str, Any], part: str) -> list[dict[str, str]]:
    """Return the lines of the files whose name has a part."""
    return [entry for entry in report["entries"] if part in entry["name"]]


def statuses(report: dict[str, Any], part: str) -> set[str]:
    return {entry["status"] for entry in lines_of(report, part)}


NothingWritten = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def calib(panelcal: RunsProgram, tmp_path: Path) -> Calib:
    return Calib(panelcal, tmp_path / "root")


@pytest.fixture
def fresh_store(empty_store: Path, tmp_path: Path) -> Iterator[Path]:
    """Another empty store."""
    with copied_store(empty_store, tmp_path / "fresh") as directory:
        yield directory


def answer(store: Path, target: str, at: str | None = None) -> dict[str, Array]:
    with api.open_store(store) as opened:
        return dict(opened.resolve(target, at).arrays())


def microseconds(year: int, month: int, day: int, hour: int, minute: int) -> int:
    """Return the stored form of a winter time of Los Angeles."""
    utc = datetime(year, month, day, hour, minute, tzinfo=UTC)
    return int(utc.timestamp() + 8 * 3600) * 1_000_000


def same(found: dict[str, Array], expected: dict[str, Array]) -> bool:
    return all(found[kind].tobytes() == expected[kind].tobytes() for kind in KINDS)


def as_printed(*seeds: int) -> dict[str, Array]:
    return {kind: printed(kind, values(kind, *seeds)) for kind in KINDS}


def payload_count(store: Path) -> int:
    return len(list((store / "payloads").glob("??/*")))


# --- files without a word of their own: what the runs show


def test_files_are_attributed_to_the_panels_of_the_first_run_that_reads_them(
    calib: Calib, store_dir: Path
) -> None:
    calib.deploy("631-end.data", 1, 2)
    calib.run(630, "20171205160000")
    calib.run(631, "20171205161400")
    calib.run(632, "20171205170000")
    report = calib.bring_in()
    assert report["counts"]["taken"] == 4
    assert {entry["status"] for entry in report["entries"]} == {"taken"}
    assert all("run=631, the first" in entry["reason"] for entry in report["entries"])
    begin = microseconds(2017, 12, 5, 16, 14)
    assert rows(store_dir, LEDGER) == [(B0, begin, B0, 1), (F7, begin, F7, 1)]
    assert same(answer(store_dir, "exp=xcsls3716:run=632"), as_printed(1, 2))


def test_importing_again_changes_nothing(calib: Calib, nothing_written: NothingWritten) -> None:
    calib.deploy("1-end.data", 1, 2)
    calib.deploy("631-end.data", 3, 2)
    calib.run(1, "20171201000000")
    calib.run(631, "20171205161400")
    calib.bring_in()
    with nothing_written():
        report = calib.bring_in()
    assert {entry["status"] for entry in report["entries"]} == {"already"}


def test_the_record_says_which_files_how_rounded_and_who_deployed_them(
    calib: Calib, store_dir: Path
) -> None:
    calib.deploy("631-end.data", 1, 2)
    history = "file:631-end.data  copy_of:x ctype:pixel_gain user:dubrovin host:psana1507 "
    history += "cptime:2018-04-30T11:56:00 cwd:/home cmt:\n"
    (calib.folder("pixel_gain") / "HISTORY").write_text(history)
    calib.run(631, "20171205161400")
    calib.bring_in()
    found = rows(store_dir, "SELECT delivered_from, reason FROM constant_set ORDER BY id")
    assert len(found) == 2
    for source, reason in found:
        assert source.startswith(str(calib.root.resolve()))
        assert "pixel_gain/631-end.data" in source
        assert "pixel_offset/631-end.data" in source
        assert "values as rounded to %.4f (pixel_gain), %.1f (pixel_offset)" in reason
        assert "deployed by dubrovin on psana1507 at 2018-04-30T11:56:00" in reason
    for (reason,) in rows(store_dir, "SELECT reason FROM assignment"):
        assert "pixel_gain/631-end.data" in reason
        assert "exp=xcsls3716:run=631" in reason


def test_values_change_where_either_file_changes(calib: Calib, store_dir: Path) -> None:
    calib.put("pixel_gain", "1-end.data", values("pixel_gain", 1))
    calib.put("pixel_offset", "1-end.data", values("pixel_offset", 1))
    calib.put("pixel_offset", "20-end.data", values("pixel_offset", 2))
    calib.put("pixel_gain", "30-end.data", values("pixel_gain", 2))
    for run in (10, 20, 30):
        calib.run(run, f"201712{run}000000", FB)
    calib.bring_in()
    assert [start for _, start, _, _ in rows(store_dir, LEDGER)] == [
        microseconds(2017, 12, day, 0, 0) for day in (10, 20, 30)
    ]
    found = answer(store_dir, "exp=xcsls3716:run=20")
    assert same(found, as_printed(1) | {"pixel_offset": as_printed(2)["pixel_offset"]})


def test_after_a_bounded_range_the_earlier_file_is_read_again(
    calib: Calib, store_dir: Path
) -> None:
    calib.deploy("0-end.data", 1)
    calib.deploy("20-29.data", 2)
    for run in (10, 20, 30):
        calib.run(run, f"201712{run}000000", FB)
    calib.bring_in()
    assert [module for _, _, module, _ in rows(store_dir, LEDGER)] == [FB, FB, FB]
    assert [revision for _, _, _, revision in rows(store_dir, LEDGER)] == [1, 2, 1]


def test_a_panel_in_several_experiments_is_followed_in_the_order_of_time(
    calib: Calib, panelcal: RunsProgram, store_dir: Path
) -> None:
    other = Calib(panelcal, calib.root, "mfx11116")
    calib.deploy("1-end.data", 1)
    other.deploy("1-end.data", 2)
    calib.run(1, "20171201000000", FB)
    other.run(1, "20171202000000", FB)
    calib.run(2, "20171203000000", FB)
    calib.run(3, "20171204000000", FB)
    report = calib.bring_in()
    assert report["counts"]["taken"] == 6
    assert [(start, revision) for _, start, _, revision in rows(store_dir, LEDGER)] == [
        (microseconds(2017, 12, 1, 0, 0), 1),
        (microseconds(2017, 12, 2, 0, 0), 2),
        (microseconds(2017, 12, 3, 0, 0), 1),
    ]


def test_a_file_that_says_the_same_again_is_known_already(
    calib: Calib, panelcal: RunsProgram, store_dir: Path
) -> None:
    other = Calib(panelcal, calib.root, "mfx11116")
    calib.deploy("1-end.data", 1)
    other.deploy("7-end.data", 1)
    calib.run(1, "20171201000000", FB)
    other.run(7, "20171202000000", FB)
    report = calib.bring_in()
    assert statuses(report, "mfx11116") == {"already"}
    assert len(rows(store_dir, LEDGER)) == 1


def test_panels_with_the_same_values_share_a_constant_set(calib: Calib, store_dir: Path) -> None:
    calib.deploy("1-end.data", 1, 1)
    calib.run(1, "20171201000000")
    calib.bring_in()
    assert [(module, revision) for _, _, module, revision in rows(store_dir, LEDGER)] == [
        (B0, 1),
        (B0, 1),
    ]
    assert payload_count(store_dir) == 2


def test_every_run_of_random_trees_resolves_to_what_psana_reads(
    calib: Calib, panelcal: RunsProgram, store_dir: Path
) -> None:
    random = np.random.default_rng(20180430)
    other = Calib(panelcal, calib.root, "mfx11116")
    both = (calib, other)
    for one in both:
        for kind in KINDS:
            one.put(kind, "0-end.data", values(kind, *random.integers(0, 3, 2)))
            for begin in sorted(random.choice(np.arange(1, 12), 4, replace=False).tolist()):
                end = random.choice(["end", str(begin), str(begin + int(random.integers(5)))])
                content = values(kind, *random.integers(0, 3, 2))
                one.put(kind, f"{begin}-{end}.data", content)
    for day in range(1, 23):
        # Odd days in one experiment, even days in the other.
        number = (day + 1) // 2
        both[day % 2].run(number, f"201712{day:02d}120000")
    calib.bring_in("--skip-bad")
    for day in range(1, 23):
        one, number = both[day % 2], (day + 1) // 2
        found = answer(store_dir, f"exp={one.experiment}:run={number}")
        for kind in KINDS:
            path = find_calib_file(one.path, SOURCE, kind, number)
            assert path
            assert found[kind].tobytes() == load_txt(Path(path)).tobytes(), (path, day)
    assert rows(store_dir, "SELECT count(*) FROM payload") == [(payload_count(store_dir),)]


# --- files that contradict each other


@pytest.mark.parametrize(("one", "two"), list(permutations(("xcsaa0001", "xcsbb0001"))))
def test_runs_that_begin_together_and_read_otherwise_are_refused_though_one_repeats_the_known(
    panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten, one: str, two: str
) -> None:
    same_as_before = Calib(panelcal, tmp_path / "root", one)
    otherwise = Calib(panelcal, tmp_path / "root", two)
    same_as_before.deploy("1-end.data", 1)
    otherwise.deploy("1-end.data", 2)
    same_as_before.run(1, "20180101000000", FB)
    same_as_before.run(6, "20180110000000", FB)
    otherwise.run(1, "20180110000000", FB)
    with nothing_written():
        report = same_as_before.bring_in(exit_code=2)
    for experiment in (one, two):
        refused = [e for e in lines_of(report, experiment) if e["status"] == "refused"]
        assert {e["content"].split(" from ")[1] for e in refused} == {"20180110000000"}
        assert all("otherwise about the same panel and start" in e["reason"] for e in refused)
    assert statuses(report, one) == {"taken", "refused"}


@pytest.mark.parametrize("other", ["xcsaa0000", "xcsbb0001"])
def test_after_a_refused_contradiction_the_next_run_tells_what_its_panel_has(
    panelcal: RunsProgram, tmp_path: Path, store_dir: Path, other: str
) -> None:
    calib = Calib(panelcal, tmp_path / "root", "xcsaa0001")
    contradicts = Calib(panelcal, tmp_path / "root", other)
    calib.deploy("1-end.data", 1)
    calib.deploy("2-end.data", 2)
    contradicts.deploy("1-end.data", 3)
    for run, day in enumerate(("0101", "0105", "0106", "0301"), start=1):
        calib.run(run, f"2018{day}000000", FB)
    contradicts.run(1, "20180105000000", FB)
    report = calib.bring_in("--skip-bad")
    refused = [e["content"] for e in report["entries"] if e["status"] == "refused"]
    assert len(refused) == 4
    assert all(content.endswith(" from 20180105000000") for content in refused)
    (told,) = (e for e in lines_of(report, "pixel_gain/2-end") if e["status"] == "taken")
    assert told["reason"].startswith("the begin of exp=xcsaa0001:run=3, which reads it")
    for run, seed in ((1, 1), (3, 2), (4, 2)):
        assert same(answer(store_dir, f"exp=xcsaa0001:run={run}"), as_printed(seed)), run
    assert calib.bring_in("--skip-bad")["counts"]["taken"] == 0


def test_a_run_after_an_assignment_of_other_values_is_a_conflict_though_its_file_is_known(
    calib: Calib,
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    nothing_written: NothingWritten,
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    calib.deploy("1-end.data", 1)
    # The gains tree has M044 for this panel from 2018-03-06 on.
    for run, begin in enumerate(("20180301000000", "20180305000000", "20180307000000"), start=1):
        calib.run(run, begin, FB)
    with nothing_written():
        report = calib.bring_in(exit_code=4)
    conflicts = [e for e in report["entries"] if e["status"] == "conflict"]
    assert len(conflicts) == 2
    assert all(e["content"].endswith(" from 20180307000000") for e in conflicts)
    assert all("the ledger says M044@1" in e["reason"] for e in conflicts)
    calib.bring_in("--supersede")
    for run in (1, 2, 3):
        target = f"exp=xcsls3716:run={run}"
        assert same(answer(store_dir, target), as_printed(1)), run


@dataclass(frozen=True)
class Shot:
    """A run of one of the experiments, and the file deployed for it, if any."""

    experiment: int
    day: int
    detector: str
    seeds: tuple[int, int] | None


# Few days, contents and panels, so that runs begin together and read the same again.
SHOTS = st.lists(
    st.builds(
        Shot,
        experiment=st.integers(0, 2),
        day=st.integers(1, 4),
        detector=st.sampled_from((FB, f"{FB}_{F7}", f"{F7}_{FB}")),
        seeds=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=2,
    max_size=8,
)
NAMES = ("xcsaa0000", "xcsaa0001", "xcsbb0001")


def deploy_shots(
    panelcal: RunsProgram, store: Path, root: Path, shots: list[Shot], names: tuple[str, ...]
) -> list[tuple[str, str, dict[str, bytes]]]:
    """Deploy the files, register the runs, and return what they read by panel and begin."""
    lines = ["experiment,run,source,begin,detector_id,modules"]
    runs = []
    for run, shot in enumerate(shots, start=1):
        calib = Calib(panelcal, root / "tree", names[shot.experiment])
        begin = f"201801{shot.day:02d}000000"
        lines.append(f"{calib.experiment},{run},{SOURCE},{begin},{shot.detector},")
        panels = shot.detector.split("_")
        runs.append((calib, run, begin, panels))
        if shot.seeds is not None:
            calib.deploy(f"{run}-end.data", *shot.seeds[: len(panels)])
    (root / "runs.csv").write_text("\n".join(lines) + "\n")
    assert panelcal("--store", store, "import", "runs", root / "runs.csv").exit_code == 0
    read = []
    for calib, run, begin, panels in runs:
        paths = {kind: find_calib_file(calib.path, SOURCE, kind, run) for kind in KINDS}
        arrays = {kind: load_txt(Path(path)) for kind, path in paths.items() if path}
        if any(array.shape[1] != len(panels) for array in arrays.values()) or not arrays:
            continue
        read += [
            (panel, begin, {kind: array[:, segment].tobytes() for kind, array in arrays.items()})
            for segment, panel in enumerate(panels)
        ]
    return read


def panel_answer(store: Path, panel: str, begin: str) -> dict[str, bytes] | None:
    """Return what the store resolves for a panel, None where it has nothing."""
    try:
        return {kind: array[:, 0].tobytes() for kind, array in answer(store, panel, begin).items()}
    except NoValidConstantsError:
        return None


def import_shots(
    panelcal: RunsProgram, empty_store: Path, shots: list[Shot], names: tuple[str, ...]
) -> dict[tuple[str, str], dict[str, bytes] | None]:
    """Import the files into a store of their own, hold the rule, return the answers."""
    with (
        TemporaryDirectory() as directory,
        copied_store(empty_store, Path(directory) / "store") as store,
    ):
        root = Path(directory)
        read = deploy_shots(panelcal, store, root, shots, names)
        if not read:
            return {}
        contradicted = {
            (panel, begin)
            for panel, begin, contents in read
            for other in read
            if other[:2] == (panel, begin) and other[2] != contents
        }
        tree = ("--store", store, "import", "calib-tree", root / "tree", "--json")
        plain = json.loads(panelcal(*tree).stdout)
        assert not (contradicted and plain["written"])
        report = json.loads(panelcal(*tree, "--skip-bad").stdout)
        said = [e for e in report["entries"] if "otherwise about the same" in e["reason"]]
        told = {(words[0], words[-1].rstrip(",")) for words in (e["content"].split() for e in said)}
        assert told == contradicted
        assert all(e["status"] == "refused" for e in said)
        for panel, begin, contents in read:
            if (panel, begin) not in contradicted:
                assert panel_answer(store, panel, begin) == contents, (panel, begin)
        ledger = rows(store, LEDGER)
        panelcal(*tree, "--skip-bad")
        assert rows(store, LEDGER) == ledger
        return {(panel, begin): panel_answer(store, panel, begin) for panel, begin, _ in read}


@pytest.mark.sqlite_only  # What is attributed is decided before the database is asked.
@settings(
    max_examples=20,
    deadline=None,
    # Two imports an example: shrinking takes minutes, and the examples are small as they are.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(shots=SHOTS, names=st.permutations(NAMES))
@example(
    shots=[Shot(0, 1, FB, (1, 1)), Shot(0, 4, FB, None), Shot(2, 4, FB, (2, 2))],
    names=list(NAMES),
)
@example(
    shots=[
        Shot(1, 1, FB, (1, 1)),
        Shot(1, 2, FB, (2, 2)),
        Shot(1, 3, FB, None),
        Shot(0, 2, FB, (3, 3)),
    ],
    names=list(NAMES),
)
def test_runs_resolve_to_what_they_read_or_are_refused_whatever_the_experiments_are_called(
    panelcal: RunsProgram, empty_store: Path, shots: list[Shot], names: list[str]
) -> None:
    answers = import_shots(panelcal, empty_store, shots, tuple(names))
    assert answers == import_shots(panelcal, empty_store, shots, tuple(reversed(names)))


# --- values that the store has


def test_values_of_the_gains_tree_are_recognized_and_known_already(
    calib: Calib, panelcal: RunsProgram, page_tree: GainsTree, nothing_written: NothingWritten
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for kind, stem in KINDS.items():
        pair = [delivered(page_tree.path / module, stem) for module in ("M068", "M088")]
        calib.put(kind, "631-end.data", np.stack(pair, axis=1))
    calib.run(631, "20171205161400")
    with nothing_written():
        report = calib.bring_in()
    assert {entry["status"] for entry in report["entries"]} == {"already"}
    assert {entry["content"].split()[2] for entry in report["entries"]} == {"M068@1", "M088@1"}


def test_recognized_values_are_assigned_and_not_stored_again(
    calib: Calib, panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for kind, stem in KINDS.items():
        array = delivered(page_tree.path / "M044", stem)
        calib.put(kind, "1-end.data", array[:, np.newaxis])
    before = payload_count(store_dir)
    calib.run(1, "20171201000000", FB)
    assert calib.bring_in()["counts"]["taken"] == 2
    assert (FB, microseconds(2017, 12, 1, 0, 0), "M044", 1) in rows(store_dir, LEDGER)
    assert payload_count(store_dir) == before
    assert rows(store_dir, "SELECT count(*) FROM constant_set") == [(3,)]


def test_a_gain_of_one_set_and_an_offset_of_another_are_neither(
    calib: Calib, panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for module, (kind, stem) in zip(("M044", "M068"), KINDS.items(), strict=True):
        array = delivered(page_tree.path / module, stem)
        calib.put(kind, "1-end.data", array[:, np.newaxis])
    calib.run(1, "20171201000000", FB)
    calib.bring_in()
    assert (FB, microseconds(2017, 12, 1, 0, 0), FB, 1) in rows(store_dir, LEDGER)


def alike(tree: GainsTree, *modules: str) -> None:
    """Make modules that differ only beyond the digits that text files have."""
    for number, module in enumerate(modules):
        tree.module(module)
        for gain in range(3):
            for stem in KINDS.values():
                near = np.full((4, 8), 10 + number * 1e-5, np.float32)
                tree.replace(module, f"g{gain}_{stem}.npy", near)


@pytest.mark.parametrize(("used", "meant"), [("M005", "M005@1"), (None, "M004@1")])
def test_of_sets_with_the_same_values_the_one_in_use_is_meant_or_else_the_oldest(
    calib: Calib, panelcal: RunsProgram, tree: GainsTree, used: str | None, meant: str
) -> None:
    alike(tree, "M004", "M005")
    if used:
        tree.link(f"{FB}-20180101000000", used)
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    for kind in KINDS:
        calib.put(kind, "1-end.data", np.full((3, 1, 4, 8), 10, np.float32))
    calib.run(1, "20171201000000", FB)
    report = calib.bring_in()
    assert {entry["content"].split()[2] for entry in report["entries"]} == {meant}
    assert all("M004@1, M005@1 have these values" in e["reason"] for e in report["entries"])


def test_a_set_in_use_with_the_same_values_is_known_already_whichever_is_older(
    calib: Calib, panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    alike(tree, "M004", "M005")
    tree.link(FB, "M005")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    for kind in KINDS:
        calib.put(kind, "1-end.data", np.full((3, 1, 4, 8), 10, np.float32))
    calib.run(1, "20171201000000", FB)
    with nothing_written():
        assert statuses(calib.bring_in(), "1-end.data") == {"already"}


# --- what the ledger says otherwise


@pytest.fixture
def otherwise(calib: Calib, panelcal: RunsProgram, page_tree: GainsTree) -> Calib:
    """A file for run 631 with values that the gains tree does not have."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    calib.deploy("631-end.data", 1, 2)
    calib.run(631, "20171205161400")
    return calib


def test_other_values_than_the_ledger_says_are_a_conflict(
    otherwise: Calib, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        report = otherwise.bring_in(exit_code=4)
    assert {entry["status"] for entry in report["entries"]} == {"conflict"}
    assert "the ledger says M068@1" in lines_of(report, "pixel_gain")[0]["reason"]


def test_supersede_records_other_values_as_corrections(otherwise: Calib, store_dir: Path) -> None:
    report = otherwise.bring_in("--supersede")
    assert {entry["status"] for entry in report["entries"]} == {"taken"}
    assert "corrects the ledger: the ledger says M068@1" in report["entries"][0]["reason"]
    assert same(answer(store_dir, "exp=xcsls3716:run=631"), as_printed(1, 2))
    assert {e["status"] for e in otherwise.bring_in()["entries"]} == {"already"}


def test_skip_bad_takes_the_rest(otherwise: Calib, store_dir: Path) -> None:
    otherwise.experiment = "mfx11116"
    otherwise.path = otherwise.root / "MFX" / "mfx11116" / "calib"
    otherwise.deploy("1-end.data", 5)
    otherwise.run(1, "20171201000000", "1-2-3")
    report = otherwise.bring_in("--skip-bad")
    assert statuses(report, "xcsls3716") == {"conflict"}
    assert statuses(report, "mfx11116") == {"taken"}
    assert ("1-2-3", microseconds(2017, 12, 1, 0, 0), "1-2-3", 1) in rows(store_dir, LEDGER)


def test_a_withdrawal_is_an_answer_that_a_file_may_contradict(
    calib: Calib, panelcal: RunsProgram
) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    calib.bring_in()
    gap = ("withdraw", FB, "--from", "20171202000000", "--reason", "broken")
    withdrawn = panelcal(*confirmed(panelcal, *gap))
    assert withdrawn.exit_code == 0
    calib.deploy("2-end.data", 2)
    calib.run(2, "20171203000000", FB)
    report = calib.bring_in(exit_code=4)
    assert statuses(report, "2-end.data") == {"conflict"}
    assert "no constants" in lines_of(report, "2-end.data")[0]["reason"]


def test_what_a_correction_would_change_later_is_restored(
    calib: Calib, panelcal: RunsProgram, store_dir: Path
) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    calib.run(9, "20171209000000", FB)
    calib.bring_in()
    calib.deploy("5-8.data", 2)
    calib.run(5, "20171205000000", FB)
    assert panelcal("run", "list").exit_code == 0
    report = calib.bring_in("--supersede")
    assert statuses(report, "5-8.data") == {"taken"}
    assert same(answer(store_dir, "exp=xcsls3716:run=5"), as_printed(2))
    assert same(answer(store_dir, "exp=xcsls3716:run=9"), as_printed(1))


def test_a_module_named_after_the_panel_gets_its_next_revision(
    calib: Calib, store_dir: Path
) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171202000000", FB)
    calib.bring_in()
    calib.deploy("0-0.data", 2)
    calib.run(0, "20171201000000", FB)
    calib.bring_in()
    assert [(module, revision) for _, _, module, revision in rows(store_dir, LEDGER)] == [
        (FB, 2),
        (FB, 1),
    ]


# --- what cannot be attributed


def test_every_file_of_the_tree_is_in_the_report(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    gains = calib.folder("pixel_gain")
    for name in (
        "HISTORY",
        "1-end.data-2018-01-01T00:00:00",
        "abc-end.data",
        "9-1.data",
        "notes.txt",
        "old/1-end.data",
    ):
        (gains / name).parent.mkdir(exist_ok=True)
        (gains / name).write_text("file:1-end.data user:x cmt:\n")
    others = [
        calib.folder("pedestals") / "1-end.data",
        calib.folder("geometry") / "0-end.data",
        calib.folder("pixel_gain", "XcsEndstation.0:Epix100a.0") / "1-end.data",
        calib.path / GROUP / "readme",
    ]
    for path in others:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    report = calib.bring_in()
    files = {str(path.relative_to(calib.root)) for path in calib.root.rglob("*") if path.is_file()}
    assert {entry["name"] for entry in report["entries"]} == files
    assert len(report["entries"]) == len(files)
    taken = {e["name"].split("/")[-2] for e in report["entries"] if e["status"] == "taken"}
    assert taken == {"pixel_gain", "pixel_offset"}
    assert report["counts"]["ignored"] == len(files) - 2
    assert all(entry["reason"] for entry in report["entries"])


def test_groups_of_other_detectors_are_named_and_not_gone_through(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    other = calib.path / "CsPad::CalibV1" / "XcsEndstation.0:Cspad.0" / "pedestals"
    other.mkdir(parents=True)
    for run in range(3):
        (other / f"{run}-end.data").write_text("x")
    (entry,) = lines_of(calib.bring_in(), "CsPad")
    assert (entry["status"], entry["reason"]) == ("ignored", "not of jungfrau: 3 files")


def test_a_file_that_no_registered_run_reads_is_refused(
    calib: Calib, nothing_written: NothingWritten
) -> None:
    calib.deploy("631-end.data", 1, 2)
    calib.run(630, "20171205160000")
    with nothing_written():
        report = calib.bring_in(exit_code=2)
    assert statuses(report, "631-end") == {"refused"}
    assert "no registered run reads it: import runs first" in report["entries"][0]["reason"]


@pytest.mark.parametrize(
    ("begin", "detector", "said"),
    [("", PAIR, "without a begin"), ("20171205160000", "", "without a detector id")],
)
def test_a_run_without_begin_or_panels_attributes_nothing(
    calib: Calib, begin: str, detector: str, said: str
) -> None:
    calib.deploy("631-end.data", 1, 2)
    calib.run(631, begin, detector)
    report = calib.bring_in(exit_code=2)
    assert statuses(report, "631-end") == {"refused"}
    assert said in report["entries"][0]["reason"]


def test_a_file_that_the_finder_never_picks_is_ignored(calib: Calib) -> None:
    calib.deploy("5-6.data", 1)
    calib.deploy("5-5.data", 2)
    calib.deploy("6-6.data", 3)
    calib.run(5, "20171201000000", FB)
    calib.run(6, "20171202000000", FB)
    report = calib.bring_in()
    assert statuses(report, "5-6.data") == {"ignored"}
    assert statuses(report, "5-5.data") == statuses(report, "6-6.data") == {"taken"}


@pytest.mark.parametrize("name", ["10000-end.data", "5-10000.data", "7-.data", "5-End.data"])
def test_a_name_that_crashes_the_finder_is_refused_and_the_rest_is_judged(
    calib: Calib, name: str
) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    (calib.folder("pixel_gain") / name).write_text("x")
    report = calib.bring_in("--skip-bad")
    assert statuses(report, name) == {"refused"}
    assert "crash" in lines_of(report, name)[0]["reason"]
    assert statuses(report, "1-end.data") == {"taken"}


def test_two_names_for_the_same_runs_are_refused_and_earlier_runs_are_judged(
    calib: Calib, store_dir: Path
) -> None:
    calib.deploy("1-end.data", 1)
    calib.deploy("631-end.data", 2)
    calib.deploy("0631-9999.data", 2)
    calib.run(1, "20171201000000", FB)
    calib.run(631, "20171202000000", FB)
    report = calib.bring_in("--skip-bad")
    assert statuses(report, "631-end") == statuses(report, "0631-9999") == {"refused"}
    assert "631-end.data are for the same runs" in lines_of(report, "631-end")[0]["reason"]
    assert statuses(report, "/1-end.data") == {"taken"}
    assert len(rows(store_dir, LEDGER)) == 1


def test_a_gain_without_an_offset_is_refused(calib: Calib) -> None:
    calib.put("pixel_gain", "1-end.data", values("pixel_gain", 1))
    calib.run(1, "20171201000000", FB)
    (entry,) = calib.bring_in(exit_code=2)["entries"]
    assert entry["status"] == "refused"
    assert "run=1 reads it: no pixel_offset is read with it" in entry["reason"]


def test_runs_without_a_partner_are_refused_beside_those_that_have_one(calib: Calib) -> None:
    calib.put("pixel_gain", "1-end.data", values("pixel_gain", 1))
    calib.put("pixel_offset", "5-end.data", values("pixel_offset", 1))
    calib.run(1, "20171201000000", FB)
    calib.run(5, "20171205000000", FB)
    report = calib.bring_in("--skip-bad")
    assert statuses(report, "pixel_gain") == {"taken", "refused"}
    assert statuses(report, "pixel_offset") == {"taken"}


def test_a_file_for_another_number_of_panels_is_refused(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", PAIR)
    report = calib.bring_in(exit_code=2)
    assert {entry["status"] for entry in report["entries"]} == {"refused"}
    said = "the detector has 2 panels, its pixel_gain is of 1 panel"
    assert said in report["entries"][0]["reason"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_with_their_segment(
    calib: Calib, bad: float
) -> None:
    array = values("pixel_gain", 1, 2, 3)
    array[2, 1, 3, 7] = bad
    calib.put("pixel_gain", "1-end.data", array)
    calib.put("pixel_offset", "1-end.data", values("pixel_offset", 1, 2, 3))
    calib.run(1, "20171201000000", f"{PAIR}_{FB}")
    report = calib.bring_in(exit_code=2)
    (gain,) = lines_of(report, "pixel_gain")
    assert gain["status"] == "refused"
    assert "segment 1: 1 value NaN or infinite, the first at (2, 3, 7)" in gain["reason"]
    (offset,) = lines_of(report, "pixel_offset")
    assert "pixel_gain 1-end.data, which is read with it, is refused" in offset["reason"]


@pytest.mark.parametrize("shape", [(3, 1, 8, 4), (2, 1, 4, 8), (3, 4, 8), (1, 3, 4, 8)])
def test_another_shape_is_refused(calib: Calib, shape: tuple[int, ...]) -> None:
    calib.put("pixel_gain", "1-end.data", np.ones(shape, np.float32))
    calib.put("pixel_offset", "1-end.data", values("pixel_offset", 1))
    calib.run(1, "20171201000000", FB)
    (gain,) = lines_of(calib.bring_in(exit_code=2), "pixel_gain")
    assert gain["status"] == "refused"
    assert f"shape {shape}, (3, panels, 4, 8) expected" in gain["reason"]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00", b"1 2\n3\n", b"one\n"])
def test_a_file_that_is_no_text_array_is_refused(calib: Calib, content: bytes) -> None:
    calib.deploy("1-end.data", 1)
    (calib.folder("pixel_gain") / "1-end.data").write_bytes(content)
    calib.run(1, "20171201000000", FB)
    report = calib.bring_in(exit_code=2)
    assert statuses(report, "pixel_gain") == {"refused"}


def test_a_link_that_leads_nowhere_and_a_directory_are_refused(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    (calib.folder("pixel_gain") / "2-2.data").symlink_to("gone.data")
    (calib.folder("pixel_offset") / "3-3.data").mkdir()
    report = calib.bring_in("--skip-bad")
    assert "which does not exist" in lines_of(report, "2-2.data")[0]["reason"]
    assert lines_of(report, "3-3.data")[0]["reason"] == "not a regular file"
    assert statuses(report, "1-end.data") == {"taken"}


def test_a_link_to_a_file_is_read_as_the_finder_reads_it(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    path = calib.folder("pixel_gain") / "1-end.data"
    path.rename(calib.root / "elsewhere.data")
    path.symlink_to(calib.root / "elsewhere.data")
    assert statuses(calib.bring_in(), "pixel_gain") == {"taken"}


def test_one_panel_with_two_values_at_once_is_refused(calib: Calib) -> None:
    calib.deploy("1-end.data", 1, 2)
    calib.run(1, "20171201000000", f"{FB}_{FB}")
    report = calib.bring_in(exit_code=2)
    assert {entry["status"] for entry in report["entries"]} == {"refused"}
    assert "otherwise about the same panel and start" in report["entries"][0]["reason"]


def test_one_bad_file_and_nothing_is_written(calib: Calib, nothing_written: NothingWritten) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    (calib.folder("pixel_gain") / "5-End.data").write_text("x")
    with nothing_written():
        report = calib.bring_in(exit_code=2)
    assert not report["written"]
    assert statuses(report, "/1-end.data") == {"taken"}


def test_a_dry_run_says_the_same_and_writes_nothing(
    calib: Calib, nothing_written: NothingWritten
) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    with nothing_written():
        dry = calib.bring_in("--dry-run")
    wet = calib.bring_in()
    assert dry["entries"] == wet["entries"]
    assert (dry["written"], wet["written"]) == (False, True)


# --- which directories


def test_a_calib_directory_belongs_to_the_experiment_above_it(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    assert calib.bring_in(whole=False)["counts"]["taken"] == 2


def test_a_moved_calib_directory_needs_its_experiment_named(calib: Calib) -> None:
    calib.deploy("1-end.data", 1)
    calib.run(1, "20171201000000", FB)
    calib.path = calib.path.rename(calib.root / "calib")
    assert calib.panelcal("import", "calib-tree", calib.path).exit_code == 2
    named = calib.bring_in("--experiment", "xcsls3716", whole=False)
    assert named["counts"]["taken"] == 2


def test_below_a_root_one_experiment_can_be_named(calib: Calib, panelcal: RunsProgram) -> None:
    other = Calib(panelcal, calib.root, "mfx11116")
    for one in (calib, other):
        one.deploy("1-end.data", 1)
        one.run(1, "20171201000000", FB)
    report = calib.bring_in("--experiment", "mfx11116")
    assert not lines_of(report, "xcsls3716")
    assert statuses(report, "mfx11116") == {"taken"}


@pytest.mark.parametrize("make", [True, False])
def test_a_directory_without_calib_directories_is_not_found(
    panelcal: RunsProgram, tmp_path: Path, make: bool
) -> None:
    if make:
        (tmp_path / "none").mkdir()
    assert panelcal("import", "calib-tree", tmp_path / "none").exit_code == 3


def test_one_file_at_a_time_is_in_memory(calib: Calib, monkeypatch: pytest.MonkeyPatch) -> None:
    calib.deploy("1-end.data", 1)
    calib.deploy("2-end.data", 2)
    calib.run(1, "20171201000000", FB)
    calib.run(2, "20171202000000", FB)
    alive: list[weakref.ref[Any]] = []

    def watched(path: Path) -> TextArray:
        gc.collect()
        assert not [array for array in alive if array() is not None]
        text = read_foreign_text_array(path)
        alive.append(weakref.ref(text.array))
        return text

    monkeypatch.setattr(calib_values, "read_foreign_text_array", watched)
    assert calib.bring_in()["counts"]["taken"] == 4
    assert len(alive) == 4


# --- files that panelcal wrote


def test_the_end_of_a_range_is_told_and_left_to_the_curator(calib: Calib) -> None:
    calib.deploy("1-2.data", 1, 2)
    calib.run(1, "20180401000000")
    calib.run(3, "20180403000000")
    report = calib.bring_in()
    told = [line for line in lines_of(report, "1-2.data") if line["status"] == "ignored"]
    assert len(told) == 2
    assert "ended before exp=xcsls3716:run=3, which reads nothing" in told[0]["reason"]
    assert "panelcal withdraw" in told[0]["reason"]


class Exported:
    """The page's tree in a store, deployed for four runs of two detectors."""

    RUNS = (
        ("xcsls3716", 1, "20171201000000", PAIR),
        ("xcsls3716", 631, "20171205161400", PAIR),
        ("xcsls3716", 700, "20180201000000", PAIR),
        ("mfx11116", 689, "20180307000000", FB),
    )

    def __init__(self, panelcal: RunsProgram, store: Path, calib: Calib) -> None:
        self.panelcal, self.store, self.calib = panelcal, store, calib
        moved = ("assign", B0, "M044", "--from", "20180115000000", "--reason", "a new delivery")
        assert panelcal(*moved).exit_code == 0
        self.register(store)

    def register(self, store: Path) -> None:
        """Register the runs in a store."""
        lines = ["experiment,run,source,begin,detector_id,modules"]
        lines += [f"{e},{run},{SOURCE},{begin},{panels}," for e, run, begin, panels in self.RUNS]
        table = self.calib.root.parent / "runs.csv"
        table.write_text("\n".join(lines) + "\n")
        result = self.panelcal("--store", store, "import", "runs", table)
        assert result.exit_code == 0, result.output

    def deploy(self, precision: str, *experiments: str) -> None:
        """Deploy runs into the tree."""
        for experiment, run, _, _ in self.RUNS:
            if experiments and experiment not in experiments:
                continue
            place = self.calib.root / experiment[:3].upper() / experiment / "calib"
            dataset = ("--store", self.store, "export", f"exp={experiment}:run={run}")
            result = self.panelcal(
                *dataset, "--calib-dir", place, "--deploy", "--precision", precision
            )
            assert result.exit_code == 0, result.output

    def bring_in(self, store: Path, *options: str, exit_code: int = 0) -> dict[str, Any]:
        """Import the tree into a store."""
        arguments = ("--store", store, "import", "calib-tree", self.calib.root, "--json")
        result = self.panelcal(*arguments, *options)
        assert result.exit_code == exit_code, result.output
        report: dict[str, Any] = json.loads(result.stdout)
        return report

    def answers(self, store: Path) -> list[list[tuple[str, str, dict[str, str]]]]:
        """Return for every run and panel the constant set and its digests."""
        with api.open_store(store) as opened:
            found = [opened.resolve(f"exp={e}:run={run}") for e, run, _, _ in self.RUNS]
        return [
            [(one.module, str(one.valid_from), dict(one.digests)) for one in each.panels]
            for each in found
        ]

    def change(self, kind: str, old: str, new: str, experiment: str = "mfx11116") -> None:
        """Edit a deployed file by hand."""
        calib = self.calib.root / experiment[:3].upper() / experiment / "calib"
        (path,) = (calib / GROUP / SOURCE / kind).glob("*-end.data")
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))


@pytest.fixture
def exported(
    panelcal: RunsProgram, page_tree: GainsTree, calib: Calib, store_dir: Path
) -> Exported:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    return Exported(panelcal, store_dir, calib)


def test_full_precision_brings_the_same_answers_into_another_store(
    exported: Exported, store_dir: Path, fresh_store: Path
) -> None:
    exported.deploy("full")
    report = exported.bring_in(fresh_store)
    assert report["counts"]["refused"] == report["counts"]["conflict"] == 0
    exported.register(fresh_store)
    assert exported.answers(fresh_store) == exported.answers(store_dir)


def test_the_token_of_a_lossless_round_trip_is_the_same(
    exported: Exported, store_dir: Path, fresh_store: Path
) -> None:
    exported.deploy("full")
    exported.bring_in(fresh_store)
    exported.register(fresh_store)
    for experiment, run, _, _ in exported.RUNS:
        tokens = set()
        for directory in (store_dir, fresh_store):
            with api.open_store(directory) as store:
                tokens.add(store.resolve(f"exp={experiment}:run={run}").token)
        assert len(tokens) == 1


def test_legacy_precision_brings_values_to_half_a_unit_of_the_last_digit(
    exported: Exported, store_dir: Path, fresh_store: Path
) -> None:
    exported.deploy("legacy")
    exported.bring_in(fresh_store)
    exported.register(fresh_store)
    for experiment, run, _, _ in exported.RUNS:
        target = f"exp={experiment}:run={run}"
        before, after = answer(store_dir, target), answer(fresh_store, target)
        for kind, unit in (("pixel_gain", 1e-4), ("pixel_offset", 0.1)):
            assert after[kind].tobytes() == printed(kind, before[kind]).tobytes()
            assert np.abs(after[kind] - before[kind]).max() <= unit / 2 * (1 + 1e-5)


@pytest.mark.parametrize("precision", ["full", "legacy"])
def test_names_and_starts_are_those_of_the_store_that_wrote_the_files(
    exported: Exported, store_dir: Path, fresh_store: Path, precision: str
) -> None:
    exported.deploy(precision)
    exported.bring_in(fresh_store)
    fb = (FB, microseconds(2018, 3, 6, 0, 0), "M044", 1)
    ledger = rows(store_dir, LEDGER)
    assert fb in ledger
    in_use = [row for row in ledger if row[0] in {B0, F7, FB}]
    found = rows(fresh_store, LEDGER)
    assert [row[:2] for row in found] == [row[:2] for row in in_use]
    if precision == "full":
        assert [row[2:] for row in found] == [row[2:] for row in in_use]
    else:
        # M044 of one panel and of the other are the same set there as here.
        assert [row[2] for row in found] == [row[2] for row in in_use]


def test_no_runs_are_needed_for_files_that_say_what_they_are(
    exported: Exported, fresh_store: Path
) -> None:
    exported.deploy("legacy")
    report = exported.bring_in(fresh_store)
    assert report["counts"]["refused"] == 0
    assert any("as panelcal wrote in it, token" in entry["reason"] for entry in report["entries"])


@pytest.mark.parametrize("precision", ["full", "legacy"])
def test_the_store_that_wrote_the_files_knows_everything_already(
    exported: Exported, nothing_written: NothingWritten, store_dir: Path, precision: str
) -> None:
    exported.deploy(precision)
    with nothing_written():
        report = exported.bring_in(store_dir)
    assert {entry["status"] for entry in report["entries"]} <= {"already", "ignored"}


@pytest.mark.parametrize("precision", ["full", "legacy"])
def test_a_second_import_into_another_store_changes_nothing(
    exported: Exported, fresh_store: Path, precision: str
) -> None:
    exported.deploy(precision)
    exported.bring_in(fresh_store)
    exported.register(fresh_store)
    before = fingerprint(fresh_store)
    report = exported.bring_in(fresh_store)
    assert {entry["status"] for entry in report["entries"]} <= {"already", "ignored"}
    assert fingerprint(fresh_store) == before


def test_the_same_values_in_full_and_rounded_are_one_constant_set(
    exported: Exported, fresh_store: Path, store_dir: Path
) -> None:
    with_m044 = ("assign", FB, "M088", "--from", "20180306120000", "--reason", "test")
    assert exported.panelcal(*confirmed(exported.panelcal, *with_m044)).exit_code == 0
    exported.deploy("full", "xcsls3716")
    exported.deploy("legacy", "mfx11116")
    report = exported.bring_in(fresh_store)
    assert report["counts"]["conflict"] == 0
    exported.register(fresh_store)
    assert exported.answers(fresh_store) == exported.answers(store_dir)


def test_edited_values_of_full_precision_are_refused(
    exported: Exported, store_dir: Path, fresh_store: Path
) -> None:
    exported.deploy("full", "mfx11116")
    with api.open_store(store_dir) as store:
        array = store.resolve(FB, "20180307000000").arrays()["pixel_gain"]
    exported.change("pixel_gain", f"{array[0, 0, 0, 0]:.9g} ", "12.25 ")
    report = exported.bring_in(fresh_store, exit_code=2)
    (gain,) = (e for e in lines_of(report, "pixel_gain") if e["status"] != "ignored")
    assert gain["status"] == "refused"
    assert "edited: the values of segment 0" in gain["reason"]


def test_edited_rounded_values_are_refused_where_the_store_has_the_payload(
    exported: Exported, store_dir: Path
) -> None:
    exported.deploy("legacy", "mfx11116")
    with api.open_store(store_dir) as store:
        array = store.resolve(FB, "20180307000000").arrays()["pixel_gain"]
    exported.change("pixel_gain", f"{array[0, 0, 0, 0]:.4f} ", "12.2500 ")
    report = exported.bring_in(store_dir, exit_code=2)
    refused = [e for e in lines_of(report, "pixel_gain") if e["status"] == "refused"]
    assert "edited: it says that its values are those of M044@1" in refused[0]["reason"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("M044@1", "M045@1"),
        ("policy strict", "policy legacy"),
        (" at 20180307000000", " at 20180307000001"),
        ("# panel 0 ", "# panel 1 "),
        (f"# panel 0 {FB}", f"# panel 0 {F7}"),
        ("from 20180306000000", "from 2018"),
    ],
)
def test_comments_that_were_changed_are_not_believed(
    exported: Exported, fresh_store: Path, old: str, new: str
) -> None:
    exported.deploy("full", "mfx11116")
    exported.change("pixel_gain", old, new)
    report = exported.bring_in(fresh_store, exit_code=2)
    reasons = [e["reason"] for e in report["entries"] if e["status"] == "refused"]
    assert all("no registered run reads it" in reason for reason in reasons)
    assert len(reasons) == 2
    exported.register(fresh_store)
    exported.bring_in(fresh_store)
    begin = microseconds(2018, 3, 7, 0, 0)
    assert rows(fresh_store, LEDGER) == [(FB, begin, FB, 1)]


def test_stamps_of_another_time_zone_are_not_believed(
    exported: Exported, panelcal: RunsProgram, tmp_path: Path
) -> None:
    exported.deploy("full", "mfx11116")
    elsewhere = tmp_path / "elsewhere"
    assert panelcal("init", elsewhere, "--time-zone", "Europe/Zurich").exit_code == 0
    shrink(elsewhere)
    report = exported.bring_in(elsewhere, exit_code=2)
    refused = [e["reason"] for e in report["entries"] if e["status"] == "refused"]
    assert len(refused) == 2
    assert all("not believed: the token is not that" in reason for reason in refused)


@pytest.mark.parametrize(("begin", "detector"), [("20160401000000", PAIR), ("20180301000000", B0)])
def test_a_run_that_a_file_of_panelcals_was_not_written_for_learns_nothing_from_it(
    exported: Exported, store_dir: Path, begin: str, detector: str
) -> None:
    """It reads the file only because the finder has nothing else."""
    exported.deploy("full")
    exported.calib.run(800, begin, detector)
    before = rows(store_dir, LEDGER)
    report = exported.bring_in(store_dir)
    assert statuses(report, "") <= {"already", "ignored"}
    assert rows(store_dir, LEDGER) == before


def test_a_name_that_means_other_values_here_is_a_conflict(
    exported: Exported, panelcal: RunsProgram, fresh_store: Path, tree: GainsTree
) -> None:
    exported.deploy("full", "mfx11116")
    other = tree.path.parent / "other" / "M044"
    np_files = GainsTree(other.parent)
    other.parent.mkdir()
    np_files.module("M044", seed=99)
    added = panelcal("--store", fresh_store, "module", "add", "M044", other, "--reason", "test")
    assert added.exit_code == 0, added.output
    report = exported.bring_in(fresh_store, exit_code=4)
    conflicts = [entry for entry in report["entries"] if entry["status"] == "conflict"]
    assert len(conflicts) == 2
    assert "M044 has none like them" in conflicts[0]["reason"]
    exported.bring_in(fresh_store, "--supersede")
    begin = microseconds(2018, 3, 6, 0, 0)
    assert rows(fresh_store, LEDGER) == [(FB, begin, "M044", 2)]


def test_files_of_two_stores_that_call_different_values_the_same_are_a_conflict(
    exported: Exported, panelcal: RunsProgram, fresh_store: Path, empty_store: Path, tmp_path: Path
) -> None:
    exported.deploy("full", "mfx11116")
    there = GainsTree(tmp_path / "there")
    there.module("M044", seed=99)
    there.link(B0, "M044")
    there.link(F7, "M044")
    tree = ("import", "gains-tree", there.path)
    assert panelcal("--store", fresh_store, *tree).exit_code == 0
    exported.register(fresh_store)
    exported.store = fresh_store
    exported.deploy("full", "xcsls3716")
    with copied_store(empty_store, tmp_path / "third") as third:
        report = exported.bring_in(third, exit_code=4)
        conflicts = [e["reason"] for e in report["entries"] if e["status"] == "conflict"]
        assert conflicts
        assert all("says otherwise what M044@1 is" in reason for reason in conflicts)
        exported.bring_in(third, "--supersede")
        assert {row[2:] for row in rows(third, LEDGER)} == {("M044", 1), ("M044", 2)}


def test_declared_modules_come_back_as_constant_sets(
    exported: Exported, panelcal: RunsProgram, fresh_store: Path
) -> None:
    dataset = "exp=xcsx22015:run=513"
    declared = ("run", "add", dataset, "-s", SOURCE, "--modules", "M088 M068")
    result = panelcal(*declared, "--begin", "20171025000000")
    assert result.exit_code == 0, result.output
    place = exported.calib.root / "XCS" / "xcsx22015" / "calib"
    done = panelcal("export", dataset, "--calib-dir", place, "--deploy", "--precision", "full")
    assert done.exit_code == 0, done.output
    report = exported.bring_in(fresh_store)
    contents = {entry["content"] for entry in report["entries"] if entry["content"]}
    assert contents == {"constant set M068, new", "constant set M088, new"}
    assert rows(fresh_store, LEDGER) == []
    known = exported.bring_in(exported.store)
    contents = {entry["content"] for entry in known["entries"] if entry["content"]}
    assert contents == {"constant set M068@1", "constant set M088@1"}
    assert {entry["status"] for entry in known["entries"]} <= {"already", "ignored"}


def test_a_file_without_a_word_between_files_with_one_is_followed_in_time(
    exported: Exported, panelcal: RunsProgram, fresh_store: Path
) -> None:
    exported.deploy("full", "xcsls3716")
    other = Calib(panelcal, exported.calib.root, "mfx11116")
    other.deploy("1-end.data", 5, 6)
    exported.register(fresh_store)
    arguments = ("run", "add", "exp=mfx11116:run=5", "-s", SOURCE, "--detector-id", PAIR)
    begin = ("--begin", "20171203000000")
    assert panelcal("--store", fresh_store, *arguments, *begin).exit_code == 0
    exported.bring_in(fresh_store, "--skip-bad")
    assert same(answer(fresh_store, "exp=mfx11116:run=5"), as_printed(5, 6))
    for run in (1, 631, 700):
        target = f"exp=xcsls3716:run={run}"
        assert same(answer(fresh_store, target), answer(exported.store, target)), run


@pytest.mark.parametrize("experiment", ["cxi11116", "xpp11116"])
def test_a_run_of_a_file_with_a_word_contradicts_one_of_a_file_without(
    exported: Exported, panelcal: RunsProgram, fresh_store: Path, experiment: str
) -> None:
    exported.deploy("full", "xcsls3716")
    other = Calib(panelcal, exported.calib.root, experiment)
    other.deploy("1-end.data", 5, 6)
    exported.register(fresh_store)
    # It begins with run 631 of xcsls3716, which has the same panels.
    arguments = ("run", "add", f"exp={experiment}:run=5", "-s", SOURCE, "--detector-id", PAIR)
    begin = ("--begin", "20171205161400")
    assert panelcal("--store", fresh_store, *arguments, *begin).exit_code == 0
    report = exported.bring_in(fresh_store, exit_code=2)
    refused = {e["content"] for e in report["entries"] if e["status"] == "refused"}
    assert {content.split()[0] for content in refused} == {B0, F7}
    assert all(content.endswith(" from 20171205161400") for content in refused)
    assert statuses(report, f"{experiment}/calib") == {"refused"}


def test_a_run_that_reads_an_outdated_file_of_panelcal_corrects_nothing(
    exported: Exported, fresh_store: Path, nothing_written: NothingWritten
) -> None:
    exported.deploy("full")
    stale = ("run", "add", "exp=xcsls3716:run=650", "-s", SOURCE, "--detector-id", PAIR)
    for store in (exported.store, fresh_store):
        begin = ("--begin", "20180120000000")
        assert exported.panelcal("--store", store, *stale, *begin).exit_code == 0
    with nothing_written():
        exported.bring_in(exported.store)
    exported.bring_in(fresh_store)
    target = "exp=xcsls3716:run=650"
    assert same(answer(fresh_store, target), answer(exported.store, target))


def test_files_exported_before_and_after_a_correction_are_refused(
    exported: Exported, fresh_store: Path
) -> None:
    exported.deploy("full", "mfx11116")
    corrected = ("assign", FB, "M088", "--from", "20180306000000", "--reason", "corrected")
    assert exported.panelcal(*confirmed(exported.panelcal, *corrected)).exit_code == 0
    report = exported.bring_in(exported.store, exit_code=4)
    assert "the ledger says M088@1" in lines_of(report, "pixel_gain/689")[0]["reason"]
    other = exported.calib.root / "MFX" / "mfxls0816" / "calib"
    assert (
        exported.panelcal(
            "run",
            "add",
            "exp=mfxls0816:run=1",
            "-s",
            SOURCE,
            "--begin",
            "20180308000000",
            "--detector-id",
            FB,
        ).exit_code
        == 0
    )
    deployed = ("--calib-dir", other, "--deploy", "--precision", "full")
    assert exported.panelcal("export", "exp=mfxls0816:run=1", *deployed).exit_code == 0
    report = exported.bring_in(fresh_store, exit_code=2)
    assert {e["status"] for e in report["entries"] if e["content"]} == {"refused"}
    reason = lines_of(report, "mfx11116/calib/Jungfrau::CalibV1/" + SOURCE + "/pixel_gain/689")
    assert "otherwise about the same panel and start: MFX/mfxls0816" in reason[0]["reason"]


def test_a_payload_that_was_lost_is_back_after_an_import(
    exported: Exported, store_dir: Path
) -> None:
    exported.deploy("full", "mfx11116")
    with api.open_store(store_dir) as store:
        digest = store.resolve(FB, "20180307000000").panels[0].digests["pixel_gain"]
    shutil.rmtree(store_dir / "payloads" / digest[:2] / digest)
    report = exported.bring_in(store_dir)
    assert statuses(report, "pixel_gain/689") == {"already"}
    with api.open_store(store_dir) as store:
        assert store.resolve(FB, "20180307000000").arrays()["pixel_gain"].shape == (3, 1, 4, 8)
