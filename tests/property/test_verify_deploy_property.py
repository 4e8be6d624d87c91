"""verify-deploy over random directories, and random trees there and back again."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from builders import TREE_SHAPE, Clock, delivered, write_delivery
from legacy_oracle import DirectoryOrderError, find_calib_file, range_of
from panelcal.domain.moments import time_zone
from panelcal.domain.resolution import Resolution
from panelcal.domain.verified import FileState, VerifiedFile
from panelcal.errors import NoValidConstantsError
from panelcal.exporters.text_array import Environment
from panelcal.services.assign import assign
from panelcal.services.deploy_job import deploy_all
from panelcal.services.export import Writing
from panelcal.services.import_calib_tree import import_calib_tree
from panelcal.services.import_runs import import_runs
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.services.verify_deploy import verify_deploy
from panelcal.storage.store import open_store
from servers import copied_store

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SOURCE = "XcsEndstation.0:Jungfrau.0"
FOLDER = Path("calib", "Jungfrau::CalibV1", SOURCE, "pixel_gain")

# Few numbers, so that ranges overlap, touch and coincide.
NUMBERS = ("0", "5", "05", "6", "7", "12", "631", "0631", "9998", "9999")
numbers = st.sampled_from(NUMBERS)
good_names = st.builds("{}-{}.data".format, numbers, st.one_of(st.just("end"), numbers))
bad_names = st.sampled_from(["10000-end.data", "5-End.data", "7-.data", "5-end.data.data"])
ignored_names = st.sampled_from(["HISTORY", "5-end.data-2026-02-01T10:11:12", "x-end.data", "a"])
names_in_a_directory = st.tuples(
    st.lists(good_names, unique=True, max_size=8),
    st.lists(st.one_of(bad_names, ignored_names), unique=True, max_size=2),
).map(lambda both: [*both[0], *both[1]])

REGISTERED = (3, 6, 8, 631, 700, 12000)
RUNS_AROUND = (*range(14), *range(629, 634), *range(9996, 10000))
"""Every run at which a range of `NUMBERS` can begin or have ended, and some more."""


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a constant set, and runs of which nobody knows the begin."""
    directory = tmp_path_factory.mktemp("verified") / "store"
    table = directory.parent / "runs.csv"
    lines = [f"xcsls3716,{run},{SOURCE},,171113-154920171025-3d00fb," for run in REGISTERED]
    table.write_text("\n".join(["experiment,run,source,begin,detector_id,modules", *lines]))
    files = write_delivery(directory.parent / "M044", seed=4)
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            deliver(store, "M044", files, now=NOW, user="tester", reason="test")
            import_runs(store, table, now=NOW, user="tester")
        yield directory


@pytest.fixture(scope="module")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that holds that constant set for one panel."""
    directory = tmp_path_factory.mktemp("text")
    gain = delivered(write_delivery(directory / "M044", seed=4), "gain")
    ranges, rows, columns = TREE_SHAPE
    shape = "".join(f"# DIM:{n}       {d}\n" for n, d in enumerate((ranges, 1, rows, columns)))
    lines = [" ".join(f"{value:.4f}" for value in row) for row in gain.reshape(-1, columns)]
    path = directory / "text"
    path.write_text(f"\n# NDIM        4\n{shape}\n" + "\n".join(lines) + "\n")
    return path


def crashes(name: str) -> bool:
    try:
        range_of(name)
    except TypeError:
        return True
    return False


def picked(experiment: Path, run: int) -> set[str]:
    """Return the file that psana reads; all of a range where the directory's order decides."""
    try:
        found = find_calib_file(experiment / "calib", SOURCE, "pixel_gain", run)
    except DirectoryOrderError:
        asked = min(run, 9999)
        ranges = {path.name: range_of(path.name) for path in (experiment / FOLDER).iterdir()}
        fits = [both for both in ranges.values() if both and both[0] <= asked <= both[1]]
        best = min(fits, key=lambda both: (-both[0], both[1]))
        return {name for name, both in ranges.items() if both == best}
    return {Path(found).name} if found else set()


@settings(max_examples=30, deadline=None)
@given(names=names_in_a_directory)
@example(names=["9998-end.data", "9999-end.data"])
@example(names=["0-end.data", "0-5.data", "6-7.data"])
def test_the_runs_of_a_file_are_those_for_which_the_finder_picks_it(
    template: Path, text_file: Path, names: list[str]
) -> None:
    with TemporaryDirectory() as directory, open_store(template) as store:
        root = Path(directory)
        # The same files where runs are registered, and where none are.
        for experiment in ("xcsls3716", "xcsunknown"):
            folder = root / "XCS" / experiment / FOLDER
            folder.mkdir(parents=True)
            for name in names:
                shutil.copy(text_file, folder / name)
        report = verify_deploy(store, root)
        for experiment, registered in (("xcsls3716", REGISTERED), ("xcsunknown", ())):
            files = [file for file in report.files if file.experiment == experiment]
            assert_stand(root / "XCS" / experiment, names, files, registered)


def assert_stand(
    experiment: Path, names: list[str], files: list[VerifiedFile], registered: Sequence[int]
) -> None:
    """Hold what is said of all files of a directory against what psana reads for each run."""
    found = {Path(file.path).name: file for file in files}
    bad = {name for name in names if crashes(name)}
    for name in bad:
        (experiment / FOLDER / name).unlink()
    reads = {run: picked(experiment, run) for run in {*RUNS_AROUND, *registered}}
    good = {name for name in names if name not in bad and range_of(name)}
    assert len(files) == len(found)
    assert set(found) == bad | good
    for name in bad:
        assert found[name].state is FileState.CRASHES
    for name in good:
        assert found[name].runs == tuple(run for run in registered if name in reads[run])
        assert found[name].state is expected_state(name, good, reads, registered)


def expected_state(
    name: str, names: set[str], reads: dict[int, set[str]], registered: Sequence[int]
) -> FileState:
    """Say how a file with known constants stands, from what is read for every run."""
    both = range_of(name)
    assert both is not None
    within = {run for run in reads if both[0] <= min(run, 9999) <= both[1]}
    if any(range_of(other) == both for other in names - {name}):
        return FileState.AMBIGUOUS
    asked = within & set(registered) or within
    return FileState.OK if any(name in reads[run] for run in asked) else FileState.SHADOWED


PANELS = ("171113-154920171025-3d00b0", "-154920171025-3d00f7", "171113--3d00fb")
SETS = ("M044@1", "M044@2", "M068@1", "M068@2", "M088@1")
FIRST = datetime(2017, 10, 25, 7, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    """Who uses what from which hour on, None being the beginning, and when runs begin."""

    panels: Sequence[str]
    starts: Sequence[tuple[str, int | None, str]]
    runs: Sequence[int]


@st.composite
def examples(draw: st.DrawFn) -> Example:
    """Draw two or three panels, a first assignment of each, later ones, and some runs."""
    panels = draw(st.permutations(PANELS))[: draw(st.integers(2, 3))]
    uses = st.sampled_from(SETS)
    first = [(panel, draw(st.sampled_from([None, 0, 3])), draw(uses)) for panel in panels]
    later = draw(
        st.lists(
            st.tuples(st.sampled_from(panels), st.integers(4, 40), uses),
            unique_by=lambda one: one[:2],
            max_size=6,
        )
    )
    runs = draw(st.lists(st.integers(-2, 50), min_size=1, max_size=6))
    return Example(panels, [*first, *later], runs)


@pytest.fixture(scope="module")
def delivered_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with the constant sets of the examples; two modules were delivered twice."""
    directory = tmp_path_factory.mktemp("there") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, name in enumerate(SETS):
                files = write_delivery(directory.parent / name, seed)
                module = name.partition("@")[0]
                deliver(store, module, files, now=NOW, user="tester", reason="test")
        yield directory


def at(hours: int) -> datetime:
    return FIRST + timedelta(hours=hours)


def run_table(path: Path, drawn: Example) -> Path:
    """Write runs numbered as drawn, not as they began: a run taken again has a later number."""
    path.write_text(
        "experiment,run,source,begin,detector_id,modules\n"
        + "".join(
            f"xcsls3716,{number},{SOURCE},{at(hours).isoformat()},{'_'.join(drawn.panels)},\n"
            for number, hours in enumerate(drawn.runs, 1)
        )
    )
    return path


def can_be_told(answers: Sequence[Resolution]) -> bool:
    """Say whether a tree can tell the answers of runs.

    Runs with the same values are served by one file, which has the starts of one of them;
    where another began to use them at another time, nothing is left that says so.
    """
    starts: dict[str, set[str]] = {}
    for answer in answers:
        values = repr([panel.digests for panel in answer.panels])
        starts.setdefault(values, set()).add(repr([p.valid_from for p in answer.panels]))
    return all(len(one) == 1 for one in starts.values())


@settings(max_examples=8, deadline=None)
@given(drawn=examples())
def test_a_tree_of_full_precision_brings_every_answer_of_a_registered_run_back(
    delivered_store: Path, empty_store: Path, drawn: Example
) -> None:
    clock = Clock(NOW + timedelta(days=1))
    with TemporaryDirectory() as directory, ExitStack() as stack:
        place, root = Path(directory), Path(directory, "root")
        root.mkdir()
        table = run_table(place / "runs.csv", drawn)
        there = stack.enter_context(copied_store(delivered_store, place / "a"))
        back = stack.enter_context(copied_store(empty_store, place / "b"))
        a, b = (stack.enter_context(open_store(one)) for one in (there, back))
        for panel, hours, uses in drawn.starts:
            start = None if hours is None else at(hours)
            assign(a, panel, uses, start, now=clock(), user="tester", reason="test")
        for store in (a, b):
            import_runs(store, table, now=clock(), user="tester")
        writing = Writing("full", Environment("tester", "here", "/w"), clock())
        job = deploy_all(a, root, experiment=None, writing=writing, clock=clock)
        verified = verify_deploy(a, root)
        assert {file.state for file in verified.files} <= {FileState.OK, FileState.SHADOWED}
        answered = {outcome.run.dataset: outcome.is_served for outcome in job.outcomes}
        if any(answered.values()):
            report = import_calib_tree(b, root, now=clock(), user="tester")
            assert report.is_clean, report.document()
        served = [str(dataset) for dataset, is_served in answered.items() if is_served]
        assume(can_be_told([resolve(a, dataset, now=clock()) for dataset in served]))
        for dataset, is_served in answered.items():
            if not is_served:
                with pytest.raises(NoValidConstantsError):
                    resolve(a, str(dataset), now=clock())
                continue
            there_answer = resolve(a, str(dataset), now=clock())
            back_answer = resolve(b, str(dataset), now=clock())
            assert back_answer.token == there_answer.token
            assert [one.digests for one in back_answer.panels] == [
                one.digests for one in there_answer.panels
            ]
            assert [one.module for one in back_answer.panels] == [
                one.module for one in there_answer.panels
            ]
        assert time_zone("America/Los_Angeles") == a.zone == b.zone
        if any(answered.values()):
            assert verify_deploy(b, root).exit_code == 0
