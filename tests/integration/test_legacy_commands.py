"""``jungfrau_id`` and ``jungfrau_gain_constants``, as typed for years."""

import grp
import os
import shlex
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from builders import GainsTree, confirmed, damage, delivered, rows
from conftest import RunsProgram
from legacy_oracle import find_calib_file, load_txt, parse_history
from panelcal.cli.legacy import constants_program, id_program

pytestmark = pytest.mark.sqlite_only

DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
PANELS = ("170505-149520170815-3d00b0", "170505-149520170815-3d00f7")
DETECTOR = "_".join(PANELS)
BEGIN = "20171205161400"
PREFIX = f"xcsls3716-r0631_{SOURCE}_{DETECTOR}"
KINDS = {"pixel_gain": ("gain", "%.4f"), "pixel_offset": ("offset", "%.1f")}
NAMES = [f"{PREFIX}_{kind}.{end}" for kind in KINDS for end in ("txt", "npz")]

PAGE_PAIR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"
PAGE_ID = f"""\
Finding Jungfrau Id in dataset "exp=xpptut15:run=430" using name pattern Jungfrau
Found source: MfxEndstation.0-Jungfrau.0, number of panels: 2
Jungfrau id: {PAGE_PAIR}
"""
"""The page's "result of jungfrau_id"."""

Array = np.ndarray[Any, np.dtype[np.float32]]
NothingWritten = Callable[[], AbstractContextManager[None]]


class Runs(Protocol):
    """Runs one of the programs, in this process, on the test's store."""

    def __call__(self, *arguments: str | Path) -> Result: ...


def runs(program: typer.Typer) -> Runs:
    runner = CliRunner()
    return lambda *arguments: runner.invoke(program, [str(argument) for argument in arguments])


jungfrau_id = runs(id_program)
gain_constants = runs(constants_program)


@pytest.fixture
def page(panelcal: RunsProgram, page_tree: GainsTree) -> GainsTree:
    """The page's tree, imported, and some of its runs, registered."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    for dataset, source, *known in (
        ("exp=xpptut15:run=430", "MfxEndstation.0:Jungfrau.0", "--detector-id", PAGE_PAIR),
        (DATASET, SOURCE, "--detector-id", DETECTOR, "--begin", BEGIN),
        ("exp=xcsx22015:run=555", SOURCE, "--modules", "M088 M068", "--begin", "20171025000000"),
        ("exp=mfx00616:run=8", "MfxEndstation.0:Jungfrau.0"),
    ):
        assert panelcal("run", "add", dataset, "-s", source, *known).exit_code == 0
    return page_tree


@pytest.fixture
def work(page: GainsTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty, with the page's store at hand and no facility."""
    assert page.path.is_dir()
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.delenv("SIT_PSDM_DATA", raising=False)
    return directory


@pytest.fixture
def experiment(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the experiment below SIT_PSDM_DATA, still without calib."""
    assert work.is_dir()
    directory = work.parent / "data" / "XCS" / "xcsls3716"
    directory.mkdir(parents=True)
    monkeypatch.setenv("SIT_PSDM_DATA", str(work.parent / "data"))
    return directory


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """A umask that leaves nothing to the group."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def names_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def chosen(modules: tuple[str, ...], tree: GainsTree, kind: str) -> bytes:
    """What a reader gets of delivered modules after printf."""
    stem, number_format = KINDS[kind]
    array = np.stack([delivered(tree.path / one, stem) for one in modules], axis=1)
    flat = [float(number_format % value) for value in array.ravel().tolist()]
    return np.array(flat, np.float32).tobytes()


def read(path: Path) -> bytes:
    return load_txt(path).tobytes()


def reassign(panelcal: RunsProgram, start: str) -> None:
    """Let the first panel use M044 from a time on."""
    arguments = ("assign", PANELS[0], "M044", "--from", start, "--reason", "test")
    assert panelcal(*confirmed(panelcal, *arguments)).exit_code == 0


# jungfrau_id


@pytest.mark.usefixtures("page")
def test_the_id_is_told_in_the_three_lines_of_the_page() -> None:
    for arguments in (
        ["exp=xpptut15:run=430"],
        ["-d", "exp=xpptut15:run=430"],
        ["--dataset", "exp=xpptut15:run=430", "-s", ""],
        ["exp=xpptut15:run=430", "-s", "Jungfrau"],
        ["-d", "exp=xpptut15:run=430", "exp=xpptut15:run=430", "Jungfrau"],
    ):
        result = jungfrau_id(*arguments)
        assert (arguments, result.exit_code, result.stderr) == (arguments, 0, "")
        assert result.stdout == PAGE_ID


@pytest.mark.usefixtures("page")
def test_all_or_part_of_a_source_names_it() -> None:
    dataset = "exp=xpptut15:run=430"
    for pattern in (
        "Jungfrau.0",
        "MfxEndstation.0:Jungfrau.0",
        "MfxEndstation.0-Jungfrau.0",
        "DetInfo(MfxEndstation.0:Jungfrau.0)",
        "Mfx",
        ":Jung",
    ):
        first = f'Finding Jungfrau Id in dataset "{dataset}" using name pattern {pattern}'
        for arguments in ([dataset, pattern], [dataset, "-s", pattern]):
            result = jungfrau_id(*arguments)
            assert (arguments, result.exit_code) == (arguments, 0)
            assert result.stdout.splitlines() == [first, *PAGE_ID.splitlines()[1:]]


@pytest.mark.usefixtures("page")
def test_a_source_that_the_run_has_not_is_not_found_and_the_present_one_is_named() -> None:
    for pattern in ("jungfrau1M", "jungfrau", "Jungfrau.1", "Xcs"):
        result = jungfrau_id("exp=xpptut15:run=430", pattern)
        assert (pattern, result.exit_code, result.stdout) == (pattern, 3, "")
        assert "MfxEndstation.0:Jungfrau.0" in result.stderr


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("exp=xcsx22015:run=555", "XcsEndstation.0-Jungfrau.0, number of panels: 2"),
        ("exp=mfx00616:run=8", "MfxEndstation.0-Jungfrau.0"),
    ],
)
def test_without_numbers_the_id_is_the_source_with_a_dash(dataset: str, told: str) -> None:
    result = jungfrau_id(dataset)
    assert result.exit_code == 0
    source = told.partition(",")[0]
    assert result.stdout.splitlines()[1:] == [f"Found source: {told}", f"Jungfrau id: {source}"]


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("run", [jungfrau_id, gain_constants], ids=["id", "constants"])
def test_several_sources_are_refused_with_their_list(panelcal: RunsProgram, run: Runs) -> None:
    second = "XcsEndstation.0:Jungfrau.1"
    panelcal("run", "add", DATASET, "-s", second, "--detector-id", DETECTOR, "--begin", BEGIN)
    result = run("-d", DATASET)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{SOURCE}, {second}" in result.stderr
    assert "-s" in result.stderr
    assert jungfrau_id(DATASET, "Jungfrau.1").exit_code == 0


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("run", [jungfrau_id, gain_constants], ids=["id", "constants"])
@pytest.mark.parametrize(
    ("dataset", "near"), [("exp=xcsls3716:run=630", "631"), ("exp=xcs1s3716:run=1", DATASET)]
)
def test_a_run_that_is_not_registered_is_answered_with_the_nearest(
    run: Runs, dataset: str, near: str
) -> None:
    result = run("-d", dataset)
    assert (result.exit_code, result.stdout) == (3, "")
    assert near in result.stderr


@pytest.mark.parametrize("run", [jungfrau_id, gain_constants], ids=["id", "constants"])
@pytest.mark.parametrize(("store", "code"), [(None, 2), ("nowhere", 3)])
def test_a_store_that_is_missing_is_told(
    run: Runs, store: str | None, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANELCAL_STORE", "" if store is None else str(tmp_path / store))
    result = run(DATASET)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "hint: " in result.stderr


@pytest.mark.parametrize("run", [jungfrau_id, gain_constants], ids=["id", "constants"])
def test_help_is_printed_when_asked_for_and_when_nothing_is_said(run: Runs) -> None:
    for asked in ("-h", "--help"):
        result = run(asked)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "-d, --dataset" in result.stdout
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "-d, --dataset" in result.stderr


@pytest.mark.usefixtures("page")
@pytest.mark.parametrize("run", [jungfrau_id, gain_constants], ids=["id", "constants"])
def test_a_request_without_or_with_two_meanings_is_refused(run: Runs) -> None:
    for arguments, said in (
        (["-s", "Jungfrau"], "dataset"),
        (["xcsls3716"], "exp=EXPERIMENT:run=NUMBER"),
        ([DATASET, "-d", "exp=xpptut15:run=430"], "-d says"),
        ([DATASET, "Jungfrau.0", "-s", "Jungfrau.1"], "-s says"),
    ):
        result = run(*arguments)
        assert (arguments, result.exit_code, result.stdout) == (arguments, 2, "")
        assert said in result.stderr


# jungfrau_gain_constants: which constants, and the local files


def test_options_and_places_mean_the_same(page: GainsTree, work: Path) -> None:
    for arguments in (
        ["-d", DATASET],
        ["-d", DATASET, "-s", "Jungfrau.0", "-t", BEGIN],
        [DATASET],
        [DATASET, "Jungfrau.0", BEGIN],
        [DATASET, "-s", "Jungfrau.0"],
        [DATASET, "Jungfrau.0", "-t", BEGIN, "-d", DATASET],
    ):
        assert (arguments, gain_constants(*arguments).exit_code) == (arguments, 0)
        assert names_in(work) == sorted(NAMES)
        for kind in KINDS:
            path = work / f"{PREFIX}_{kind}.txt"
            assert read(path) == chosen(("M068", "M088"), page, kind)
            path.unlink()


@pytest.mark.usefixtures("work")
def test_the_time_is_refused_if_said_twice_differently() -> None:
    result = gain_constants(DATASET, "Jungfrau.0", "20180101000000", "-t", BEGIN)
    assert result.exit_code == 2
    assert "-t says" in result.stderr


@pytest.mark.usefixtures("work")
def test_what_was_found_chosen_and_saved_is_told_line_by_line() -> None:
    result = gain_constants("-d", DATASET)
    assert result.stdout.splitlines() == [
        f'Finding Jungfrau Id in dataset "{DATASET}" using name pattern Jungfrau',
        "Found source: XcsEndstation.0-Jungfrau.0, number of panels: 2",
        f"Jungfrau id: {DETECTOR}",
        f"Panel 0 {PANELS[0]}: M068@1 from 20171025000000",
        f"Panel 1 {PANELS[1]}: M088@1 from 20171025000000",
        *(f"Saved {name}" for name in NAMES),
    ]


def test_the_begin_of_the_run_selects_the_version_and_that_is_said(
    panelcal: RunsProgram, page: GainsTree, work: Path
) -> None:
    reassign(panelcal, "20171201000000")
    result = gain_constants("-d", DATASET)
    assert result.exit_code == 0
    assert BEGIN in result.stderr
    assert "20150101000000" in result.stderr
    expected = chosen(("M044", "M088"), page, "pixel_gain")
    assert read(work / f"{PREFIX}_pixel_gain.txt") == expected


@pytest.mark.parametrize(
    ("at", "module", "is_guess"),
    [
        ("20171130235959", "M068", False),
        ("20171201000000", "M044", False),
        ("20150101000000", "M068", True),
        ("2018", "M068", True),
    ],
)
def test_a_time_that_is_given_is_answered_as_the_legacy_selector_does(
    panelcal: RunsProgram, page: GainsTree, work: Path, at: str, module: str, is_guess: bool
) -> None:
    reassign(panelcal, "20171201000000")
    result = gain_constants("-d", DATASET, "-t", at)
    assert result.exit_code == 0
    assert "the former command" not in result.stderr
    assert ("guessed: " in result.stderr) is is_guess
    expected = chosen((module, "M088"), page, "pixel_offset")
    assert read(work / f"{PREFIX}_pixel_offset.txt") == expected


def test_strict_policy_refuses_what_legacy_policy_guesses(work: Path) -> None:
    result = gain_constants("-d", DATASET, "-t", "20150101000000", "--policy", "strict")
    assert result.exit_code == 3
    assert "20171025000000" in result.stderr
    assert names_in(work) == []


def test_a_run_without_begin_needs_a_time(work: Path) -> None:
    result = gain_constants("-d", "exp=xpptut15:run=430")
    assert result.exit_code == 2
    assert "-t YYYYMMDDHHMMSS" in result.stderr
    assert "--at" not in result.stderr
    assert names_in(work) == []
    assert gain_constants("-d", "exp=xpptut15:run=430", "-t", BEGIN).exit_code == 0


@pytest.mark.usefixtures("work")
def test_a_name_that_needs_a_time_which_nobody_knows_is_refused(panelcal: RunsProgram) -> None:
    panel = "190408-181206-50c246df50010d"
    panelcal("assign", panel, "M044", "--from-beginning", "--reason", "test")
    dataset = "exp=mfxc00118:run=7"
    detector = "_".join([panel] * 8)
    source = "MfxEndstation.0:Jungfrau.1"
    panelcal("run", "add", dataset, "-s", source, "--detector-id", detector)
    result = gain_constants(dataset, "-t", "2018")
    assert result.exit_code == 2
    assert "YYYYMMDDHHMMSS" in result.stderr


def test_a_time_that_is_no_integer_is_refused_where_versions_compete(
    panelcal: RunsProgram, work: Path
) -> None:
    reassign(panelcal, "20171201000000")
    assert gain_constants("-d", DATASET, "-t", "yesterday").exit_code == 2
    assert names_in(work) == []


def test_declared_modules_are_written_though_the_former_command_refused_them(
    page: GainsTree, work: Path
) -> None:
    result = gain_constants("-d", "exp=xcsx22015:run=555")
    assert result.exit_code == 0
    assert "Panel 0: M088@1, declared by the run" in result.stdout
    name = f"xcsx22015-r0555_{SOURCE}_XcsEndstation.0-Jungfrau.0_pixel_gain.txt"
    assert read(work / name) == chosen(("M088", "M068"), page, "pixel_gain")


def test_from_warning_on_nothing_but_upload_commands_is_printed(work: Path) -> None:
    for level in ("WARNING", "error", "CRITICAL"):
        result = gain_constants("-d", DATASET, "-L", level)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert names_in(work) == sorted(NAMES)
    result = gain_constants("-d", DATASET, "-L", "WARNING", "-U")
    assert [shlex.split(line)[:2] for line in result.stdout.splitlines()] == [["dcs", "add"]] * 2
    assert "guessed" in gain_constants("-d", DATASET, "-L", "ERROR", "-t", "2015").stderr


@pytest.mark.usefixtures("work")
def test_options_without_effect_are_accepted_and_said_to_be_so() -> None:
    plain = gain_constants("-d", DATASET)
    for arguments in (["-P"], ["-c", "x"], ["-R", "x"]):
        result = gain_constants("-d", DATASET, *arguments)
        assert (arguments, result.exit_code, result.stdout) == (arguments, 0, plain.stdout)
        [line] = set(result.stderr.splitlines()) - set(plain.stderr.splitlines())
        assert line.startswith(arguments[0])


# Permissions


@pytest.mark.usefixtures("strict_umask")
def test_new_local_files_have_mode_0664_whatever_the_umask(work: Path) -> None:
    assert gain_constants("-d", DATASET).exit_code == 0
    assert {mode(work / name) for name in NAMES} == {0o664}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to any group")
def test_mode_and_group_are_given_to_new_files_and_directories_only(
    work: Path, experiment: Path
) -> None:
    group = next(one for one in grp.getgrall() if one.gr_gid not in (0, os.getgid()))
    (work / NAMES[0]).write_bytes(b"old")
    (work / NAMES[0]).chmod(0o600)
    calib = experiment / "calib"
    calib.mkdir(mode=0o750)
    options = ("--filemode", "0640", "--dirmode", "02750", "--group", group.gr_name)
    assert gain_constants("-d", DATASET, "-D", *options).exit_code == 0
    assert (mode(work / NAMES[0]), (work / NAMES[0]).stat().st_gid) == (0o600, os.getgid())
    assert (mode(calib), calib.stat().st_gid) == (0o750, os.getgid())
    new = [work / name for name in NAMES[1:]] + list(calib.rglob("*"))
    assert len(new) == 3 + 2 + 2 * 3
    for path in new:
        expected = 0o2750 if path.is_dir() else 0o640
        assert (mode(path), path.stat().st_gid) == (expected, group.gr_gid)


def test_modes_groups_and_words_that_are_none_are_refused(work: Path, experiment: Path) -> None:
    for arguments in (
        *(["--filemode", text] for text in ("", "rw", "0o664", "-1", "888", "66 4", "77777")),
        *(["--dirmode", text] for text in ("02775x", "0b1", "12775")),
        ["--group", "no-such-group"],
        ["--policy", "lenient"],
        ["-L", "LOUD"],
    ):
        result = gain_constants("-d", DATASET, "-D", *arguments)
        assert (arguments, result.exit_code, result.stdout) == (arguments, 2, "")
        assert arguments[0].strip("-") in result.stderr
    assert names_in(work) == names_in(experiment) == []


# -D


def test_the_usual_calib_directory_is_that_of_the_experiment(
    page: GainsTree, work: Path, experiment: Path
) -> None:
    result = gain_constants("-d", DATASET, "-D")
    assert result.exit_code == 0
    assert names_in(work) == sorted(NAMES)
    calib = experiment / "calib"
    for kind in KINDS:
        found = find_calib_file(calib, SOURCE, kind, 631)
        assert found
        assert f"Deployed {found}" in result.stdout.splitlines()
        assert Path(found).name == "631-end.data"
        assert read(Path(found)) == chosen(("M068", "M088"), page, kind)
        [line] = (Path(found).parent / "HISTORY").read_text().splitlines()
        assert parse_history(line)["user"] == "tester"


def test_a_named_calib_directory_is_deployed_into(work: Path) -> None:
    calib = work.parent / "else" / "calib"
    assert gain_constants("-d", DATASET, "-D", "-c", calib).exit_code == 0
    assert find_calib_file(calib, SOURCE, "pixel_offset", 9999)


@pytest.mark.usefixtures("experiment")
def test_deploying_again_says_that_it_was_done_before(experiment: Path) -> None:
    assert gain_constants("-d", DATASET, "-D").exit_code == 0
    again = gain_constants("-d", DATASET, "-D")
    path = experiment / "calib" / "Jungfrau::CalibV1" / SOURCE / "pixel_gain" / "631-end.data"
    assert f"Deployed before {path}" in again.stdout.splitlines()


def test_a_file_that_is_replaced_is_kept_and_named(experiment: Path) -> None:
    folder = experiment / "calib" / "Jungfrau::CalibV1" / SOURCE / "pixel_gain"
    folder.mkdir(parents=True)
    (folder / "631-end.data").write_bytes(b"1 2\n3 4\n")
    result = gain_constants("-d", DATASET, "-D")
    [kept] = folder.glob("631-end.data-*")
    assert kept.read_bytes() == b"1 2\n3 4\n"
    assert kept.name in result.stdout


def test_an_experiment_without_a_directory_is_not_made_one(
    work: Path, experiment: Path, nothing_written: NothingWritten
) -> None:
    experiment.rmdir()
    with nothing_written():
        result = gain_constants("-d", DATASET, "-D")
    assert result.exit_code == 3
    assert str(experiment) in result.stderr
    assert "-c" in result.stderr
    assert names_in(work) == []
    assert not experiment.exists()


@pytest.mark.usefixtures("work")
def test_without_sit_psdm_data_the_root_is_that_of_the_facility() -> None:
    result = gain_constants("-d", DATASET, "-D")
    assert result.exit_code == 3
    assert "/reg/d/psdm/XCS/xcsls3716" in result.stderr


def test_deployed_as_by_the_job_is_recorded_in_the_store(store_dir: Path, experiment: Path) -> None:
    assert gain_constants("-d", DATASET, "-D").exit_code == 0
    recorded = rows(store_dir, "SELECT path FROM deployment")
    folder = experiment / "calib" / "Jungfrau::CalibV1" / SOURCE
    assert {path for (path,) in recorded} == {str(folder / kind / "631-end.data") for kind in KINDS}


# Failures


def test_a_panel_without_constants_fails_and_writes_nothing(
    panelcal: RunsProgram, work: Path, experiment: Path
) -> None:
    new = "200101-200101200101-3d0fff"
    panelcal(
        "run", "add", "exp=xcsls3716:run=700", "-s", SOURCE, "--begin", "20190101000000",
        "--detector-id", f"{PANELS[0]}_{new}",
    )  # fmt: skip
    result = gain_constants("-d", "exp=xcsls3716:run=700", "-D", "-U")
    assert result.exit_code == 3
    assert new in result.stderr
    assert "never assigned" in result.stderr
    assert names_in(work) == names_in(experiment) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_payload_fails_and_leaves_no_file_of_either_kind(
    store_dir: Path, work: Path, experiment: Path, kind: str
) -> None:
    damage(store_dir, "M088", kind)
    result = gain_constants("-d", DATASET, "-D", "-U")
    assert result.exit_code == 5
    assert "dcs" not in result.stdout
    assert names_in(work) == names_in(experiment) == []


def test_a_missing_payload_fails(store_dir: Path, work: Path) -> None:
    for chunk in (store_dir / "payloads").rglob("c/0/0/0"):
        chunk.unlink()
    assert gain_constants("-d", DATASET).exit_code == 5
    assert names_in(work) == []


def test_ctrl_c_ends_with_130_and_leaves_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from panelcal.services import export

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "require_reads_back", interrupted)
    assert gain_constants("-d", DATASET).exit_code == 130
    assert names_in(work) == []


def test_a_directory_in_the_place_of_a_file_is_refused_before_any_is_replaced(work: Path) -> None:
    (work / NAMES[-1]).mkdir()
    result = gain_constants("-d", DATASET)
    assert result.exit_code == 2
    assert NAMES[-1] in result.stderr
    assert names_in(work) == [NAMES[-1]]


def test_another_file_that_psana_would_read_fails_the_deployment(experiment: Path) -> None:
    folder = experiment / "calib" / "Jungfrau::CalibV1" / SOURCE / "pixel_gain"
    folder.mkdir(parents=True)
    (folder / "631-700.data").write_bytes(b"1 2\n3 4\n")
    result = gain_constants("-d", DATASET, "-D")
    assert result.exit_code == 4
    assert "631-700.data" in result.stderr
    assert names_in(folder) == ["631-700.data"]
