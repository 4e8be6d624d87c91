"""``panelcal deploy --all --calib-root ROOT``: every registered run reads what it should."""

import errno
import hashlib
import json
import os
import re
import shlex
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import Result

from builders import Clock, GainsTree, confirmed, damage, delivered, fingerprint, rows
from conftest import RunsProgram
from legacy_oracle import find_calib_file, load_txt, parse_history
from panelcal.domain.served import JobReport, RunStatus
from panelcal.errors import ConflictError, PanelcalError
from panelcal.exporters.lock import locked
from panelcal.exporters.text_array import Environment
from panelcal.services import deploy as deploy_service
from panelcal.services import deploy_site
from panelcal.services.deploy_job import deploy_all
from panelcal.services.export import Writing, write_text
from panelcal.storage.store import OpenStore

EXPERIMENT = "xcsls3716"
SOURCE = "XcsEndstation.0:Jungfrau.0"
MFX = "MfxEndstation.0:Jungfrau.0"
SECOND = "XcsEndstation.0:Jungfrau.1"
PANELS = ("170505-149520170815-3d00b0", "170505-149520170815-3d00f7")
DETECTOR = "_".join(PANELS)
SINGLE = "171113-154920171025-3d00fb"
STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}
KINDS = list(STEMS)
FORMATS = {"pixel_gain": "%.4f", "pixel_offset": "%.1f"}
FACTS = {"M068 M088": ("M068", "M088"), "M044 M088": ("M044", "M088"), "M044": ("M044",)}
BEFORE, EARLY, LATE = "20170901000000", "20171205161400", "20180401000000"
LATER_START = "20180101000000"
HEADING = "experiment,run,source,begin,detector_id,modules"

NothingWritten = Callable[[], AbstractContextManager[None]]


class Job:
    """A store with runs, and a root that a job deploys below."""

    def __init__(self, panelcal: RunsProgram, tree: GainsTree, root: Path) -> None:
        self.panelcal = panelcal
        self.tree = tree
        self.root = root

    def __call__(self, *options: str | Path) -> Result:
        return self.panelcal("deploy", "--all", "--calib-root", self.root, *options)

    def report(self, *options: str) -> dict[str, Any]:
        """Run the job and return what ``--json`` prints."""
        document: dict[str, Any] = json.loads(self("--json", *options).stdout)
        return document

    def register(self, *lines: str) -> None:
        """Register runs, as ``631,20171205161400`` or with all columns."""
        short = f"{EXPERIMENT},{{}},{SOURCE},{{}},{DETECTOR},"
        full = [line if line.count(",") > 1 else short.format(*line.split(",")) for line in lines]
        path = self.root.with_name("runs.csv")
        path.write_text("\n".join([HEADING, *full, ""]))
        assert self.panelcal("import", "runs", path, "--supersede").exit_code == 0

    def assign(self, panel: str, module: str, start: str) -> None:
        """Let a panel use another module from a time on."""
        arguments = ("assign", panel, module, "--from", start, "--reason", "test")
        assert self.panelcal(*confirmed(self.panelcal, *arguments)).exit_code == 0

    def withdraw(self, panel: str, start: str) -> None:
        """Leave a panel without constants from a time on."""
        arguments = ("withdraw", panel, "--from", start, "--reason", "t")
        assert self.panelcal(*confirmed(self.panelcal, *arguments)).exit_code == 0

    def calib(self, experiment: str = EXPERIMENT) -> Path:
        """Return the calib directory of an experiment."""
        return self.root / experiment[:3].upper() / experiment / "calib"

    def folder(
        self, kind: str = "pixel_gain", experiment: str = EXPERIMENT, source: str = SOURCE
    ) -> Path:
        """Return where the files of a kind belong."""
        return self.calib(experiment) / "Jungfrau::CalibV1" / source / kind

    def place(self, name: str, content: bytes | None = None, kind: str = "pixel_gain") -> Path:
        """Put a file there by hand; without a content just a small array."""
        path = self.folder(kind) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1 2\n3 4\n" if content is None else content)
        return path

    def names(self, kind: str = "pixel_gain", **where: str) -> list[str]:
        """Return the data files of a directory, in the order of runs."""
        found = [path.name for path in self.folder(kind, **where).glob("*.data")]
        return sorted(found, key=lambda name: int(name.split("-")[0]))

    def read(self, run: int, kind: str = "pixel_gain", **where: str) -> str | None:
        """Return whose values psana reads for a run; a digest where nobody's."""
        source = where.get("source", SOURCE)
        calib = self.calib(where.get("experiment", EXPERIMENT))
        found = find_calib_file(calib, source, kind, run)
        if not found:
            return None
        array = load_txt(Path(found))
        for name, modules in FACTS.items():
            if array.tobytes() == self.printed(kind, modules).tobytes():
                return name
        return hashlib.sha256(Path(found).read_bytes()).hexdigest()

    def printed(self, kind: str, modules: tuple[str, ...]) -> "np.ndarray[Any, Any]":
        """Return what was delivered, as a reader gets it after printf."""
        stem, form = STEMS[kind], FORMATS[kind]
        array = np.stack([delivered(self.tree.path / one, stem) for one in modules], axis=1)
        flat = [float(form % value) for value in array.ravel().tolist()]
        return np.array(flat, np.float32).reshape(array.shape)

    def history(self, kind: str = "pixel_gain") -> list[dict[str, str]]:
        """Return the records of a HISTORY file."""
        lines = (self.folder(kind) / "HISTORY").read_text().splitlines()
        return [parse_history(line) for line in lines]


@pytest.fixture
def job(panelcal: RunsProgram, page_tree: GainsTree, tmp_path: Path) -> Job:
    """The page's tree, imported, and an empty root."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    (tmp_path / "data").mkdir()
    return Job(panelcal, page_tree, tmp_path / "data")


@pytest.fixture
def deployed(job: Job) -> Job:
    """Three runs of one detector, deployed."""
    job.register(f"631,{EARLY}", f"632,{EARLY}", f"700,{LATE}")
    assert job().exit_code == 0
    return job


@pytest.fixture
def untouched(job: Job, store_dir: Path) -> Callable[[], AbstractContextManager[None]]:
    """A context that fails if the root or the store is not just as before."""

    class Check(AbstractContextManager[None]):
        def __enter__(self) -> None:
            self.before = state(job.root), fingerprint(store_dir)

        def __exit__(self, *_: object) -> None:
            assert (state(job.root), fingerprint(store_dir)) == self.before

    return Check


def state(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return everything below a root: mode, time of change, bytes."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.name != ".panelcal.lock":
            about = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(root))] = (about.st_mode, about.st_mtime_ns, content)
    return found


def written(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written or replaced; being read is no change."""
    about = path.stat()
    return about.st_mode, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns


def statuses(report: dict[str, Any]) -> dict[str, str]:
    return {one["dataset"].partition(":run=")[2]: one["status"] for one in report["runs"]}


def actions(report: dict[str, Any], run: int, kind: str = "pixel_gain") -> str:
    [found] = [one for one in report["runs"] if one["dataset"].endswith(f":run={run}")]
    return str(next(file["action"] for file in found["files"] if file["kind"] == kind))


def reason(report: dict[str, Any], run: int) -> str:
    [found] = [one for one in report["runs"] if one["dataset"].endswith(f":run={run}")]
    return str(found["reason"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_run_reads_its_constants_and_no_file_is_too_many(job: Job, kind: str) -> None:
    job.assign(PANELS[0], "M044", LATER_START)
    job.register(f"631,{EARLY}", f"632,{EARLY}", f"700,{LATE}", f"701,{LATE}")
    assert job().exit_code == 0
    assert job.names(kind) == ["631-end.data", "700-end.data"]
    assert [job.read(run, kind) for run in (631, 632, 700, 701)] == [
        "M068 M088",
        "M068 M088",
        "M044 M088",
        "M044 M088",
    ]


def test_two_sources_and_two_experiments_have_their_own_directories(job: Job) -> None:
    job.register(
        f"631,{EARLY}",
        f"{EXPERIMENT},631,{SECOND},{LATE},{SINGLE},",
        f"mfxx00117,5,{MFX},{LATE},{SINGLE},",
    )
    report = job.report()
    assert report["exit_code"] == 0
    assert job.read(631) == "M068 M088"
    assert job.read(631, source=SECOND) == "M044"
    mfx = {"experiment": "mfxx00117", "source": MFX}
    assert job.read(5, **mfx) == "M044"
    assert [(one["dataset"], one["source"]) for one in report["runs"]] == [
        ("exp=mfxx00117:run=5", MFX),
        (f"exp={EXPERIMENT}:run=631", SOURCE),
        (f"exp={EXPERIMENT}:run=631", SECOND),
    ]


def test_the_second_job_writes_nothing(deployed: Job, untouched: NothingWritten) -> None:
    with untouched():
        report = deployed.report()
    assert report["exit_code"] == 0
    assert report["files_written"] == 0
    assert set(statuses(report).values()) == {"served"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_assignment_changes_just_the_runs_that_it_is_for(deployed: Job, kind: str) -> None:
    before = written(deployed.folder(kind) / "631-end.data")
    deployed.assign(PANELS[0], "M044", LATER_START)
    report = deployed.report()
    assert statuses(report) == {"631": "served", "632": "served", "700": "written"}
    assert deployed.names(kind) == ["631-end.data", "700-end.data"]
    assert written(deployed.folder(kind) / "631-end.data") == before
    assert [deployed.read(run, kind) for run in (632, 700)] == ["M068 M088", "M044 M088"]


def test_answers_that_take_turns_are_formatted_once_each(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    formatted: list[str] = []
    usual = write_text

    def noting(path: Path, final: Path, array: Any, kind: Any, *rest: Any) -> str:
        formatted.append(f"{kind.name} {final.name}")
        return usual(path, final, array, kind, *rest)

    monkeypatch.setattr("panelcal.services.deploy.write_text", noting)
    for day in range(1, 7):
        job.register(f"80{day},2019010{day}120000")
        job.assign(PANELS[0], ("M044", "M068")[day % 2], f"2019010{day}000000")
    assert job().exit_code == 0
    for kind in KINDS:
        assert [name for name in job.names(kind) if name.startswith("80")] == [
            f"80{day}-end.data" for day in range(1, 7)
        ]
        read = [job.read(800 + day, kind) for day in range(1, 7)]
        assert read == ["M068 M088", "M044 M088"] * 3
    assert len(formatted) == 2 * len(KINDS)


def test_each_file_is_a_row_and_a_record(deployed: Job, store_dir: Path) -> None:
    deployed.assign(PANELS[0], "M044", LATER_START)
    deployed()
    found = rows(store_dir, "SELECT run, path, file_digest, token FROM deployment ORDER BY id")
    assert [(run, Path(path)) for run, path, _, _ in found] == [
        (run, deployed.folder(kind) / f"{run}-end.data") for run in (631, 700) for kind in KINDS
    ]
    for _, path, digest, token in found:
        assert digest == hashlib.sha256(Path(path).read_bytes()).hexdigest()
        [record] = [
            one
            for one in deployed.history(Path(path).parent.name)
            if one["file"] == Path(path).name
        ]
        assert record["cmt"] == f"panelcal-token={token}"
        assert record["cptime"] in Path(path).read_text()


def test_an_edited_file_is_replaced_and_kept(deployed: Job) -> None:
    path = deployed.folder() / "631-end.data"
    edited = path.read_bytes()[:-3] + b"99\n"
    path.write_bytes(edited)
    report = deployed.report()
    assert (actions(report, 631), actions(report, 631, "pixel_offset")) == ("written", "unchanged")
    assert deployed.read(631) == "M068 M088"
    [kept] = deployed.folder().glob("631-end.data-*")
    assert kept.read_bytes() == edited


def test_a_file_that_was_removed_is_written_again(deployed: Job) -> None:
    for kind in KINDS:
        (deployed.folder(kind) / "631-end.data").unlink()
    assert deployed.report()["files_written"] == 2
    assert deployed.read(631) == "M068 M088"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_of_the_legacy_tool_with_the_same_values_is_left_alone(
    job: Job, untouched: NothingWritten, dtype: str
) -> None:
    for kind, form in FORMATS.items():
        array = np.stack([delivered(job.tree.path / one, STEMS[kind]) for one in ("M068", "M088")])
        array = np.swapaxes(array, 0, 1)
        lines = [" ".join(form % value for value in row) for row in array.reshape(-1, 8).tolist()]
        dims = "".join(f"# DIM:{axis}       {size}\n" for axis, size in enumerate(array.shape))
        header = f"\n# DTYPE       {dtype}\n# NDIM        4\n{dims}\n"
        job.place("631-end.data", (header + "\n".join(lines) + "\n").encode(), kind)
    job.register(f"631,{EARLY}", f"640,{EARLY}")
    with untouched():
        report = job.report()
    assert statuses(report) == {"631": "served", "640": "served"}


def test_a_copy_of_a_local_export_is_left_alone(
    job: Job, tmp_path: Path, untouched: NothingWritten
) -> None:
    job.register(f"631,{EARLY}")
    exported = job.panelcal("export", f"exp={EXPERIMENT}:run=631", "-o", tmp_path, "--json")
    for path in json.loads(exported.stdout)["files"]:
        kind = next(kind for kind in KINDS if kind in path)
        if path.endswith(".txt"):
            job.place("631-end.data", Path(path).read_bytes(), kind)
    with untouched():
        assert statuses(job.report()) == {"631": "served"}


@pytest.mark.parametrize("is_recorded", [True, False])
def test_full_precision_serves_a_legacy_job_and_not_the_other_way(
    job: Job, untouched: NothingWritten, is_recorded: bool
) -> None:
    job.register(f"631,{EARLY}")
    assert job("--precision", "full").exit_code == 0
    if not is_recorded:
        forget_headers(job)
    with untouched():
        assert statuses(job.report()) == {"631": "served"}
    (job.folder() / "631-end.data").unlink()
    assert job.report()["files_written"] == 1
    if not is_recorded:
        forget_headers(job)
    report = job.report("--precision", "full")
    assert actions(report, 631) == "written"
    assert actions(report, 631, "pixel_offset") == "unchanged"
    assert job.report("--precision", "full")["files_written"] == 0


def forget_headers(job: Job) -> None:
    """Take out the free comments, so that the bytes are on no record."""
    for path in job.root.rglob("*-end.data"):
        path.write_text(path.read_text()[path.read_text().index("\n\n") + 1 :])


@pytest.mark.parametrize("status", ["withdrawn", "skipped"])
def test_a_run_without_constants_keeps_the_file_it_read(
    job: Job, status: str, untouched: NothingWritten
) -> None:
    old = job.place("0-end.data")
    job.place("0-end.data", kind="pixel_offset")
    middle = f"632,{BEFORE}"
    if status == "skipped":
        middle = f"{EXPERIMENT},632,{SOURCE},{EARLY},,"
    job.register(f"600,{BEFORE}", f"631,{EARLY}", middle, f"633,{EARLY}")
    report = job.report()
    assert report["exit_code"] == 3
    assert actions(report, 632) == "kept"
    assert job.names() == ["0-end.data", "631-end.data", "632-end.data", "633-end.data"]
    assert (job.folder() / "632-end.data").read_bytes() == old.read_bytes()
    assert stat.S_IMODE((job.folder() / "632-end.data").stat().st_mode) == 0o664
    assert [job.read(run) for run in (631, 633)] == ["M068 M088", "M068 M088"]
    records = {one["file"]: one for one in job.history()}
    assert records["632-end.data"]["copy_of"] == str(old)
    assert records["632-end.data"]["cmt"] == "panelcal-kept-for-run=632"
    with untouched():
        assert job.report()["files_written"] == 0


def test_a_run_without_constants_that_read_nothing_is_told_what_it_reads_now(job: Job) -> None:
    job.register(f"631,{EARLY}", f"632,{BEFORE}")
    result = job()
    assert result.exit_code == 3
    assert job.names() == ["631-end.data"]
    cause, *told = result.stdout.splitlines()[2:-1]
    assert cause == f"no constants: {EXPERIMENT} {SOURCE} run 632"
    assert told[-1] == "    psana now reads 631-end.data, which begins before it"
    assert PANELS[0] in told[0]
    assert "    psana reads 631-end.data" in job().stdout.splitlines()


@pytest.mark.parametrize(("begin", "status"), [(BEFORE, "no constants"), (f"{EARLY},,", "skipped")])
def test_a_run_that_read_nothing_is_taken_over_once_and_the_job_says_so(
    job: Job, begin: str, status: str
) -> None:
    without = f"632,{begin}" if status != "skipped" else f"{EXPERIMENT},632,{SOURCE},{EARLY},,"
    job.register(f"631,{EARLY}", without)
    job.place("0-end.data", kind="pixel_offset")
    predicted, done, again = job.report("--dry-run"), job.report(), job.report()
    assert predicted["runs"] == done["runs"]
    assert statuses(done)["632"] == status
    assert (actions(done, 632), actions(done, 632, "pixel_offset")) == ("taken over", "kept")
    assert done["files_written"] == 3
    assert (actions(again, 632), actions(again, 632, "pixel_offset")) == ("unchanged",) * 2


def test_what_is_taken_over_is_told_apart_from_what_is_kept(job: Job) -> None:
    job.register(f"631,{EARLY}", f"632,{BEFORE}")
    job.place("0-end.data", kind="pixel_offset")
    told = job("--dry-run").stdout.splitlines()[:-1]
    assert told[-2:] == [
        "    psana reads 632-end.data (pixel_offset)",
        "    psana now reads 631-end.data (pixel_gain), which begins before it",
    ]


def test_runs_with_neither_detector_id_nor_modules_are_passed_over_and_no_failure(
    job: Job, untouched: NothingWritten
) -> None:
    job.register(f"{EXPERIMENT},555,{SOURCE},{EARLY},,")
    with untouched():
        report = job.report()
    assert (report["exit_code"], statuses(report)) == (0, {"555": "skipped"})
    assert reason(report, 555) == "registered with neither a detector id nor modules"


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_declares_modules_gets_a_file_of_its_own(
    job: Job, untouched: NothingWritten, kind: str
) -> None:
    job.register(
        f"{EXPERIMENT},10,{SOURCE},{LATE},{SINGLE},",
        f"{EXPERIMENT},25,{SOURCE},{LATE},,M044 M088",
    )
    report = job.report()
    assert (report["exit_code"], statuses(report)) == (0, {"10": "written", "25": "written"})
    assert job.names(kind) == ["10-end.data", "25-end.data"]
    assert [job.read(run, kind) for run in (10, 25)] == ["M044", "M044 M088"]
    with untouched():
        assert statuses(job.report()) == {"10": "served", "25": "served"}


def test_a_run_whose_declared_modules_cannot_be_resolved_has_no_constants(job: Job) -> None:
    job.register(f"{EXPERIMENT},25,{SOURCE},,,M044 M088")
    report = job.report()
    assert (report["exit_code"], statuses(report)) == (3, {"25": "no constants"})
    assert "without a begin" in reason(report, 25)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("V8", "1.0"),
        ("complex64", "1.0"),
        ("object", "1e300"),
        ("float64", "1e300"),
        ("int32", "1e300"),
        ("float32", "nan"),
    ],
)
def test_a_file_of_values_that_are_no_constants_is_replaced(
    job: Job, dtype: str, value: str
) -> None:
    lines = "\n".join([" ".join([value] * 8)] * 24)
    dims = "".join(f"# DIM:{axis}       {size}\n" for axis, size in enumerate((3, 2, 4, 8)))
    header = f"# DTYPE       {dtype}\n# NDIM        4\n{dims}\n"
    job.place("631-end.data", f"{header}{lines}\n".encode())
    job.register(f"631,{EARLY}")
    report = job.report()
    assert (report["exit_code"], actions(report, 631)) == (0, "written")
    assert job.read(631) == "M068 M088"


@pytest.fixture
def alike(job: Job) -> Job:
    """A module of which each value prints as that of M068 does, and is another."""
    for stem, form in (("gain", "%.4f"), ("offset", "%.1f")):
        for gain, values in enumerate(delivered(job.tree.path / "M068", stem)):
            rounded = [float(form % value) for value in values.ravel().tolist()]
            directory = job.root.with_name("M168")
            directory.mkdir(exist_ok=True)
            array = np.array(rounded, np.float32).reshape(values.shape)
            assert (array != values).any()
            np.save(directory / f"g{gain}_{stem}.npy", array)
    assert job.panelcal("module", "add", "M168", directory).exit_code == 0
    job.assign(PANELS[0], "M168", LATER_START)
    return job


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_file_serves_every_answer_that_prints_alike(
    alike: Job, untouched: NothingWritten, is_recorded: bool
) -> None:
    alike.register(f"631,{EARLY}")
    assert alike().exit_code == 0
    if not is_recorded:
        forget_headers(alike)
    alike.register(f"640,{LATE}", f"650,{EARLY}")
    with untouched():
        report = alike.report()
    assert statuses(report) == {"631": "served", "640": "served", "650": "served"}
    assert alike.report("--precision", "full")["counts"]["written"] == 3
    assert alike.names() == ["631-end.data", "640-end.data", "650-end.data"]


def test_a_recorded_file_that_was_made_for_no_answer_is_not_read_but_replaced(
    alike: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    alike.register(f"640,{EARLY}")
    assert alike().exit_code == 0
    monkeypatch.setattr("panelcal.services.deployed.read_text_array", None)
    alike.register(f"640,{LATE}", f"650,{LATE}")
    assert statuses(alike.report()) == {"640": "written", "650": "written"}


@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_a_run_is_written_if_a_file_that_it_reads_was(job: Job, dry_run: list[str]) -> None:
    job.register(f"10,{EARLY}", f"11,{EARLY}")
    report = job.report(*dry_run)
    assert statuses(report) == {"10": "written", "11": "written"}
    assert [actions(report, run) for run in (10, 11)] == ["written", "shared"]
    assert report["files_written"] == 2


@pytest.mark.parametrize("thing", ["fifo", "socket"])
def test_what_is_no_regular_file_is_not_opened_and_blocks_its_run(job: Job, thing: str) -> None:
    path = job.place("631-end.data")
    path.unlink()
    if thing == "fifo":
        os.mkfifo(path)
    else:
        os.mknod(path, stat.S_IFSOCK | 0o666)
    job.register(f"631,{EARLY}", f"632,{EARLY}")
    report = job.report()
    assert statuses(report) == {"631": "blocked", "632": "written"}
    assert reason(report, 631) == f"{job.folder()}: 631-end.data is no regular file"


def test_a_dangling_link_is_told_with_its_path_once(job: Job) -> None:
    path = job.place("631-end.data")
    path.unlink()
    path.symlink_to("nowhere")
    job.register(f"631,{EARLY}")
    said = f"{job.folder()}: 631-end.data cannot be read: No such file or directory"
    assert reason(job.report(), 631) == said
    assert "psana reads 631-end.data (pixel_gain)" in job().stdout


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["10000-end.data"],
            (
                "10000-end.data makes the legacy finder crash for every run: "
                "remove or rename that file"
            ),
        ),
        (
            ["0-end.data", "00-end.data"],
            (
                "0-end.data and 00-end.data are for the same runs: "
                "the directory's order decides: remove one of them"
            ),
        ),
    ],
)
def test_a_directory_that_cannot_be_planned_is_named_and_nothing_else_is_claimed(
    job: Job, names: list[str], said: str
) -> None:
    for name in names:
        job.place(name)
    job.register(f"631,{EARLY}")
    result = job()
    assert result.stdout.splitlines()[:-1] == [
        f"blocked: {EXPERIMENT} {SOURCE} run 631",
        f"    {job.folder()}: {said}",
    ]


@pytest.mark.parametrize(
    ("name", "blocked"),
    [
        ("631-640.data", ["631"]),
        ("0631-end.data", ["631"]),
        ("10000-end.data", ["631", "700"]),
        ("7-.data", ["631", "700"]),
    ],
)
def test_a_name_in_the_way_blocks_runs_and_the_job_goes_on(
    job: Job, name: str, blocked: list[str]
) -> None:
    job.place(name, b"x")
    job.register(f"631,{EARLY}", f"700,{EARLY}", f"mfxx00117,5,{MFX},{LATE},{SINGLE},")
    report = job.report()
    assert report["exit_code"] == 4
    found = {run for run, status in statuses(report).items() if status == "blocked"}
    assert found == set(blocked)
    assert name in reason(report, 631)
    assert job.names("pixel_offset") == ([] if "700" in blocked else ["700-end.data"])
    assert statuses(report)["5"] == "written"


@pytest.mark.parametrize("place", ["631-end.data", "HISTORY", "."])
def test_what_is_in_the_place_of_a_file_or_directory_blocks_the_run(job: Job, place: str) -> None:
    if place == ".":
        job.folder().parent.mkdir(parents=True)
        job.folder().write_bytes(b"a file")
    else:
        (job.folder() / place).mkdir(parents=True)
    job.register(f"631,{EARLY}")
    predicted = job.report("--dry-run")
    report = job.report()
    assert (report["exit_code"], statuses(report)) == (4, {"631": "blocked"})
    assert predicted["runs"] == report["runs"]
    assert not job.folder("pixel_offset").exists()


def test_a_source_of_another_device_is_blocked(job: Job) -> None:
    job.register(f"{EXPERIMENT},631,XcsEndstation.0:Epix100a.0,{EARLY},{DETECTOR},")
    assert job.report()["exit_code"] == 4


def test_a_damaged_payload_fails_the_job_and_the_other_runs_are_served(
    job: Job, store_dir: Path
) -> None:
    job.assign(PANELS[0], "M044", LATER_START)
    job.register(f"631,{EARLY}", f"640,{BEFORE}", f"700,{LATE}", f"701,{EARLY}")
    damage(store_dir, "M044", "pixel_offset")
    predicted = job.report("--dry-run")
    report = job.report()
    assert report["exit_code"] == 5
    assert statuses(report) == {
        "631": "written",
        "640": "no constants",
        "700": "damaged",
        "701": "written",
    }
    assert job.names() == job.names("pixel_offset") == ["631-end.data"]
    assert {**predicted, "dry_run": False} == report


def test_a_run_without_a_begin_has_no_constants(job: Job) -> None:
    job.register("631,")
    report = job.report()
    assert report["exit_code"] == 3
    assert "without a begin" in reason(report, 631)


def test_a_dry_run_changes_nothing_and_tells_what_the_job_then_does(
    job: Job, untouched: NothingWritten
) -> None:
    job.place("0-end.data")
    job.place("650-660.data")
    job.place("700-end.data", b"stale")
    job.register(
        f"600,{EARLY}",
        f"632,{BEFORE}",
        f"650,{EARLY}",
        f"651,{EARLY}",
        f"700,{LATE}",
        f"{EXPERIMENT},555,{SOURCE},{EARLY},,",
    )
    with untouched():
        predicted = job.report("--dry-run")
    assert not (job.root / ".panelcal.lock").exists()
    done = job.report()
    assert predicted.pop("dry_run") is True
    assert done.pop("dry_run") is False
    assert predicted == done
    assert done["counts"]["blocked"] == 1
    assert done["counts"]["written"] == 3


def test_the_json_document_is_stable(job: Job) -> None:
    job.register(f"631,{EARLY}", f"632,{BEFORE}")
    report = job.report()
    written, missing = report.pop("runs")
    assert report == {
        "root": str(job.root),
        "dry_run": False,
        "counts": {
            "served": 0,
            "written": 1,
            "no constants": 1,
            "blocked": 0,
            "damaged": 0,
            "skipped": 0,
        },
        "files_written": 2,
        "exit_code": 3,
    }
    token = json.loads(job.panelcal("resolve", f"exp={EXPERIMENT}:run=631", "--json").stdout)[
        "token"
    ]
    assert written == {
        "dataset": f"exp={EXPERIMENT}:run=631",
        "source": SOURCE,
        "status": "written",
        "reason": "",
        "token": token,
        "files": [
            {"kind": kind, "path": str(job.folder(kind) / "631-end.data"), "action": "written"}
            for kind in KINDS
        ],
    }
    assert missing["token"] is None
    assert missing["reason"].startswith("no valid constants for 2 of 2 panels")


def test_one_experiment_alone(job: Job) -> None:
    other = f"mfxx00117,5,{MFX},{LATE},{SINGLE},"
    job.register(f"631,{EARLY}", other)
    arguments = ("--calib-root", job.root, "--experiment", EXPERIMENT)
    assert job.panelcal("deploy", *arguments).exit_code == 0
    assert job.read(631) == "M068 M088"
    assert not job.calib("mfxx00117").exists()


def test_an_unknown_experiment_is_not_found_and_a_similar_one_is_named(
    deployed: Job, untouched: NothingWritten
) -> None:
    with untouched():
        result = deployed.panelcal(
            "deploy", "--experiment", "xcsls3717", "--calib-root", deployed.root
        )
    assert result.exit_code == 3
    assert EXPERIMENT in result.stderr


def test_a_root_that_is_not_there_is_not_found(job: Job) -> None:
    missing = job.root / "missing"
    assert job.panelcal("deploy", "--all", "--calib-root", missing).exit_code == 3
    assert not missing.exists()


@pytest.mark.parametrize("options", [[], ["--all", "--experiment", EXPERIMENT]])
def test_all_or_one_experiment_must_be_named(job: Job, options: list[str]) -> None:
    assert job.panelcal("deploy", *options, "--calib-root", job.root).exit_code == 2


def test_an_empty_store_has_nothing_to_deploy(job: Job) -> None:
    result = job()
    assert result.exit_code == 0
    assert result.stdout == "0 runs of 0 experiments: nothing registered; 0 files written\n"


def test_a_second_job_is_refused_while_one_is_at_work(job: Job, untouched: NothingWritten) -> None:
    job.register(f"631,{EARLY}")
    with locked(job.root, "a deploy job"), untouched():
        result = job()
        assert job("--dry-run").exit_code == 0
    assert result.exit_code == 4
    assert f"a deploy job is already at work in {job.root}" in result.stderr
    assert "hint: try again when it has ended" in result.stderr
    assert job().exit_code == 0


@pytest.mark.parametrize("run", [0, 9999])
def test_the_first_and_the_last_number_are_served(job: Job, run: int) -> None:
    job.register(f"{run},{EARLY}")
    assert job().exit_code == 0
    assert job.names() == [f"{run}-end.data"]


def test_runs_above_9999_are_served_by_the_file_of_9999(
    job: Job, untouched: NothingWritten
) -> None:
    job.register(f"9000,{EARLY}", f"10000,{LATE}", f"12000,{LATE}")
    job.assign(PANELS[0], "M044", LATER_START)
    assert job().exit_code == 0
    assert job.names() == ["9000-end.data", "9999-end.data"]
    assert [job.read(run) for run in (9000, 12000)] == ["M068 M088", "M044 M088"]
    with untouched():
        assert job().exit_code == 0
    job.register(f"9999,{EARLY}")
    report = job.report()
    assert report["exit_code"] == 4
    assert statuses(report) == {
        "9000": "served",
        "9999": "blocked",
        "10000": "blocked",
        "12000": "blocked",
    }
    assert job.read(10000) == "M044 M088"


def test_a_calib_directory_that_is_a_link_is_followed(job: Job, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    job.calib().parent.mkdir(parents=True)
    job.calib().symlink_to(elsewhere)
    job.register(f"631,{EARLY}")
    assert job().exit_code == 0
    assert job.calib().is_symlink()
    assert job.read(631) == "M068 M088"
    assert sorted(path.name for path in elsewhere.rglob("*.data")) == ["631-end.data"] * 2
    assert job.report()["files_written"] == 0


def test_a_type_directory_on_another_file_system_is_written_to(job: Job, tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no other file system to write to")
    elsewhere = other / f"panelcal-test-{os.getpid()}"
    elsewhere.mkdir()
    try:
        job.folder().parent.mkdir(parents=True)
        job.folder().symlink_to(elsewhere)
        job.register(f"631,{EARLY}")
        assert job().exit_code == 0
        assert job.read(631) == "M068 M088"
    finally:
        shutil.rmtree(elsewhere)


def test_a_relative_root_is_recorded_whole(
    job: Job, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.register(f"631,{EARLY}")
    monkeypatch.chdir(job.root.parent)
    assert job.panelcal("deploy", "--all", "--calib-root", "x/../data").exit_code == 0
    found = {path for (path,) in rows(store_dir, "SELECT path FROM deployment")}
    assert found == {str(job.folder(kind) / "631-end.data") for kind in KINDS}


class Service:
    """The job as a service, with a clock of its own."""

    def __init__(self, store: OpenStore, job: Job, clock: Clock) -> None:
        self.store, self.job, self.clock = store, job, clock

    def __call__(self, **options: Any) -> JobReport:
        environment = Environment("tester", "host", "/tmp")
        writing = Writing("legacy", environment, self.clock())
        told: dict[str, Any] = {"experiment": None, **options}
        return deploy_all(self.store, self.job.root, writing=writing, clock=self.clock, **told)


@pytest.fixture
def service(store: OpenStore, job: Job) -> Service:
    """The job, at a time after all that the fixtures recorded."""
    return Service(store, job, Clock(datetime.now(UTC) + timedelta(minutes=1)))


def test_a_clock_behind_the_store_is_told_once_and_nothing_is_done(
    service: Service, untouched: NothingWritten
) -> None:
    service.job.register(f"631,{EARLY}")
    service.clock = Clock(datetime(2020, 1, 1, tzinfo=UTC))
    for dry_run in (True, False):
        with untouched(), pytest.raises(ConflictError, match="the clock says 2020"):
            service(dry_run=dry_run)


def test_a_file_that_cannot_be_put_in_place_blocks_its_run_and_the_rest_is_served(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.job
    job.assign(PANELS[0], "M044", LATER_START)
    job.register(f"600,{BEFORE}", f"631,{EARLY}", f"650,{EARLY}", f"700,{LATE}")
    job.place("631-end.data", b"stale")
    monkeypatch.setattr(Path, "hardlink_to", broken)
    monkeypatch.setattr("shutil.copy2", broken)
    report = service()
    found = {one.run.dataset.run: one for one in report.outcomes}
    assert found[631].status is RunStatus.BLOCKED
    assert found[631].reason == "Input/output error"
    assert report.exit_code == 4
    assert job.names() == ["631-end.data", "650-end.data", "700-end.data"]
    assert (job.folder() / "631-end.data").read_bytes() == b"stale"
    assert [job.read(run) for run in (650, 700)] == ["M068 M088", "M044 M088"]
    assert not [*job.root.rglob(".panelcal-*")]


def broken(*_: object) -> None:
    raise OSError(5, "Input/output error")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_asked_once_for_each_source(
    service: Service, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    job = service.job
    job.assign(PANELS[0], "M044", LATER_START)
    job.register(
        f"600,{EARLY}",
        f"601,{EARLY}",
        f"650,{LATE}",
        f"700,{EARLY}",
        f"{EXPERIMENT},5,{SECOND},{LATE},{SINGLE},",
    )
    (job.folder(source=SECOND)).mkdir(parents=True)
    asked = []

    def full(_: object, target: Path, *__: object) -> None:
        asked.append(target.parent.parent.name)
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(deploy_service, "put_in_place", full)
    report = service()
    assert asked == [SOURCE, SECOND]
    assert {str(one.status) for one in report.outcomes} == {"blocked"}
    said = f"{job.folder() / '700-end.data'}: {os.strerror(number)}"
    assert {one.reason for one in report.outcomes if one.run.source == SOURCE} == {said}


def test_runs_that_wait_for_nothing_stay_served_when_the_disk_is_full(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.job
    job.register(f"700,{EARLY}", f"701,{EARLY}")
    assert service().exit_code == 0
    job.register(f"600,{EARLY}", f"632,{BEFORE}")
    job.place("0-end.data")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    found = {one.run.dataset.run: str(one.status) for one in service().outcomes}
    assert found == {600: "blocked", 632: "no constants", 700: "served", 701: "served"}
    assert job.names() == ["0-end.data", "700-end.data"]


def test_a_copy_that_cannot_be_made_blocks_the_run_that_would_take_over(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.job
    job.place("0-end.data")
    job.register(f"600,{EARLY}", f"632,{BEFORE}", f"700,{EARLY}")
    monkeypatch.setattr("shutil.copyfile", broken)
    report = service()
    found = {one.run.dataset.run: one for one in report.outcomes}
    assert [found[run].status for run in (600, 632, 700)] == [
        RunStatus.BLOCKED,
        RunStatus.NO_CONSTANTS,
        RunStatus.WRITTEN,
    ]
    assert "run 632 would not keep its file" in found[600].reason
    assert job.names() == ["0-end.data", "700-end.data"]


def test_another_process_that_writes_there_is_told_and_the_job_ends(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.job
    job.register(f"631,{EARLY}")
    real = deploy_service.write_files

    def overwritten(*arguments: Any, **options: Any) -> Any:
        done = real(*arguments, **options)
        job.place("631-end.data", b"theirs")
        return done

    monkeypatch.setattr(deploy_site, "write_files", overwritten)
    report = service()
    assert report.exit_code == 4
    assert "another process writes" in report.outcomes[0].reason


def test_a_store_that_cannot_be_written_ends_the_job(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        msg = "the database cannot be written"
        raise PanelcalError(msg)

    service.job.register(f"631,{EARLY}")
    monkeypatch.setattr("panelcal.services.deploy.add_deployment", refused)
    with pytest.raises(PanelcalError, match="cannot be written"):
        service()
    assert service.job.names() == []
    assert not [*service.job.root.rglob(".panelcal-*")]


def test_progress_counts_the_runs_to_the_last(service: Service) -> None:
    service.job.assign(PANELS[0], "M044", LATER_START)
    service.job.register(f"631,{EARLY}", f"632,{EARLY}", f"700,{LATE}")
    told: list[tuple[int, int, str]] = []
    service(progress=lambda *one: told.append(one))
    assert told[0] == (0, 3, EXPERIMENT)
    assert told[-1] == (3, 3, EXPERIMENT)
    assert [done for done, _, _ in told] == [0, 1, 3, 3]


NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do without the powers of root, if this is root."""
    if os.geteuid() != 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def others(service: Service, tmp_path: Path) -> Iterator[Path]:
    """A calib directory that only others may write to; nobody's is the rest."""
    job = service.job
    job.register(f"631,{EARLY}", f"700,{EARLY}", f"mfxx00117,5,{MFX},{LATE},{SINGLE},")
    assert service(experiment="mfxx00117").exit_code == 0  # imports what nobody may not read
    shutil.rmtree(job.root / "MFX")
    job.folder().mkdir(parents=True)
    job.folder("pixel_offset").mkdir()
    if os.geteuid() == 0:
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(path, NOBODY, NOBODY)
        above = [path for path in tmp_path.parents if path.stat().st_mode & 0o001 == 0]
        modes = {path: path.stat().st_mode for path in above}
        for path in above:
            path.chmod(0o711)
        os.chown(job.folder(), 0, 0)
    else:
        modes = {}
    job.folder().chmod(0o555)
    yield job.folder()
    for path, mode in {**modes, job.folder(): 0o755}.items():
        path.chmod(mode)


@pytest.mark.sqlite_only
def test_a_calib_directory_of_somebody_else_blocks_its_runs_and_is_told(
    service: Service, others: Path
) -> None:
    with as_nobody():
        predicted, done = service(dry_run=True), service()
    assert predicted.outcomes == done.outcomes
    assert done.exit_code == 4
    assert [(one.run.dataset.run, str(one.status)) for one in done.outcomes] == [
        (5, "written"),
        (631, "blocked"),
        (700, "blocked"),
    ]
    said = f"{others} cannot be written: check its permissions; nothing was deployed"
    assert done.outcomes[1].reason == said
    assert service.job.names("pixel_offset") == service.job.names() == []


def test_two_hundred_runs_of_twenty_experiments_are_one_command(job: Job) -> None:
    job.assign(PANELS[0], "M044", LATER_START)
    lines = []
    for number in range(20):
        experiment, source = f"xcsx{number:05}", SOURCE
        for run in range(10, 110, 10):
            begin = EARLY if run < 60 else LATE
            begin = BEFORE if number == 7 and run < 40 else begin
            lines.append(f"{experiment},{run},{source},{begin},{DETECTOR},")
    job.register(*lines)
    first = job()
    assert first.exit_code == 3
    told = first.stdout.splitlines()
    assert len(told) < 30
    assert re.fullmatch(
        r"xcsx00000 +XcsEndstation.0:Jungfrau.0 +10 +10 +runs 10, 60",
        told[1],
    )
    assert told[21] == f"no constants: xcsx00007 {SOURCE} runs 10, 20, 30"
    assert told[-1] == ("200 runs of 20 experiments: 197 written, 3 no constants; 80 files written")
    again = job()
    assert again.stdout.splitlines()[0] == told[21]
    assert again.stdout.splitlines()[-1] == (
        "200 runs of 20 experiments: 197 served, 3 no constants; 0 files written"
    )
    report = job.report()
    assert len(report["runs"]) == 200
    for number in (0, 7, 19):
        where = {"experiment": f"xcsx{number:05}"}
        assert job.read(50, **where) == "M068 M088"
        assert job.read(100, **where) == "M044 M088"


SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.mark.parametrize(
    ("script", "mark", "variable"),
    [
        ("panelcal-deploy.service", "ExecStart=", "Environment=PANELCAL_STORE="),
        ("deploy.slurm", "exec ", "export PANELCAL_STORE="),
    ],
)
def test_the_command_of_a_script_deploys(job: Job, script: str, mark: str, variable: str) -> None:
    job.register(f"631,{EARLY}")
    lines = (SCRIPTS / script).read_text().splitlines()
    [command] = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    assert f"{variable}/path/to/store" in lines
    program, *arguments = shlex.split(command)
    assert program == "/path/to/venv/bin/panelcal"
    assert job.panelcal(*arguments, "--help").exit_code == 0
    told = [str(job.root) if one == "/path/to/calib-root" else one for one in arguments]
    assert told != arguments
    assert job.panelcal(*told).exit_code == 0
    assert job.read(631) == "M068 M088"


def test_the_timer_starts_the_service_and_only_0_is_success() -> None:
    service = (SCRIPTS / "panelcal-deploy.service").read_text()
    timer = (SCRIPTS / "panelcal-deploy.timer").read_text()
    assert "Type=oneshot\nSuccessExitStatus=0\n" in service
    assert "OnCalendar=" in timer
    assert "WantedBy=timers.target" in timer
    analyze = shutil.which("systemd-analyze")
    if analyze:
        when = re.findall("^OnCalendar=(.*)$", timer, re.MULTILINE)
        subprocess.run([analyze, "calendar", *when], check=True, capture_output=True)


def test_the_batch_script_is_a_script_with_directives_before_its_first_command() -> None:
    path = SCRIPTS / "deploy.slurm"
    subprocess.run(["bash", "-n", path], check=True)
    before, after = path.read_text().split("\nset -euo pipefail\n")
    assert before.startswith("#!/bin/bash\n")
    assert before.count("#SBATCH --") == 7
    assert "#SBATCH" not in after
    assert all(line.startswith("#") or not line for line in before.splitlines())


def test_the_report_names_runs_by_what_was_written_for_them(job: Job) -> None:
    job.place("0-end.data")
    job.register(f"631,{EARLY}", f"632,{BEFORE}", f"633,{EARLY}", f"634,{EARLY}")
    told = job().stdout.splitlines()
    assert (
        told[1].split("  ")[-1].strip()
        == "run 631; run 633 (pixel_gain); kept: run 632 (pixel_gain)"
    )
    assert told[-1] == "4 runs of 1 experiment: 3 written, 1 no constants; 4 files written"
