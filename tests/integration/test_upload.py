"""Upload to DCS files: ``-U`` prints the commands, ``--dcs`` writes the file itself."""

import json
import os
import shlex
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from builders import GainsTree, delivered, write_delivery
from conftest import RunsProgram
from dcs_oracle import everything, legacy_get
from legacy_oracle import find_calib_file, load_txt
from panelcal.cli.legacy import constants_program
from panelcal.domain.digest import digest_of
from panelcal.services.assemble import type_of
from panelcal.services.dcs_values import read_dcs_contents
from panelcal.services.export import answer_for, provenance_of
from panelcal.storage.store import OpenStore

pytestmark = pytest.mark.sqlite_only

DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
PANELS = ("170505-149520170815-3d00b0", "170505-149520170815-3d00f7")
DETECTOR = "_".join(PANELS)
BEGIN = 1508914800
"""2017-10-25 00:00:00 in Los Angeles, where clocks were 7 h behind UTC."""
PREFIX = f"xcsls3716-r0631_{SOURCE}_{DETECTOR}"
H5 = f"jungfrau-{DETECTOR}.h5"
STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}
MODERN_PANEL = "190408-181206-50c246df50010d"

NothingWritten = Callable[[], AbstractContextManager[None]]


def gain_constants(*arguments: str | Path) -> Result:
    return CliRunner().invoke(constants_program, [str(argument) for argument in arguments])


def names_in(directory: Path) -> list[str]:
    """Return every name below a directory; locks do not count."""
    found = (str(path.relative_to(directory)) for path in directory.rglob("*"))
    return sorted(name for name in found if not name.endswith(".lock"))


def merged(tree: GainsTree, kind: str, modules: tuple[str, ...] = ("M068", "M088")) -> bytes:
    """What was delivered, (gain range, panel, row, column), as bytes."""
    stem = STEMS[kind]
    return np.stack([delivered(tree.path / one, stem) for one in modules], axis=1).tobytes()


def read(path: Path, kind: str, time: float) -> bytes | None:
    """What psana gets from a DCS file for a time."""
    found = legacy_get(path, kind, time)
    assert found is None or found.dtype == np.float32
    return None if found is None else found.tobytes()


def expected_command(kind: str, h5: str, text: str, begin: int, see: str) -> list[str]:
    return [
        *("dcs", "add", h5, "-t", kind, "-f", text, "-T", str(begin)),
        *("-m", f"See command: {see}", "-e", "xcsls3716", "-r", "631", "-d", SOURCE),
    ]


def begins(result: Result) -> set[str]:
    """Return what the commands of a result say as -T."""
    lines = [shlex.split(line) for line in result.stdout.splitlines()]
    assert [line[:2] for line in lines] == [["dcs", "add"]] * 2
    return {line[line.index("-T") + 1] for line in lines}


@pytest.fixture
def page(panelcal: RunsProgram, page_tree: GainsTree) -> GainsTree:
    """The page's tree, imported, and some runs, registered."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert (
        panelcal("assign", MODERN_PANEL, "M044", "--from-beginning", "--reason", "test").exit_code
        == 0
    )
    for dataset, *known in (
        (DATASET, "--detector-id", DETECTOR, "--begin", "20171205161400"),
        ("exp=xcsx22015:run=555", "--modules", "M088 M068", "--begin", "20171025000000"),
        ("exp=mfx05516:run=8", "--detector-id", "_".join([MODERN_PANEL] * 8)),
        ("exp=mfx05516:run=32", "--detector-id", "_".join([MODERN_PANEL] * 32)),
        ("exp=mfx05516:run=33", "--detector-id", "jungfrau_8-0-3d00fb_8-0-3d00fc"),
    ):
        begin = () if "--begin" in known else ("--begin", "20190506070809")
        assert panelcal("run", "add", dataset, "-s", SOURCE, *known, *begin).exit_code == 0
    return page_tree


@pytest.fixture
def work(page: GainsTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, empty, and the facility's data beside it."""
    assert page.path.is_dir()
    directory = tmp_path / "work"
    directory.mkdir()
    monkeypatch.chdir(directory)
    monkeypatch.setenv("SIT_PSDM_DATA", str(tmp_path / "data"))
    return directory


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A umask of a group that shares its files."""
    before = os.umask(0o007)
    yield
    os.umask(before)


# -U


def test_the_drop_in_prints_gain_and_offset_for_the_file_that_psana_reads(work: Path) -> None:
    result = gain_constants("-d", DATASET, "-U", "-L", "WARNING")
    assert result.exit_code == 0
    h5 = str(work.parent / "data" / "detector" / "calib" / "jungfrau" / H5)
    see = f"jungfrau_gain_constants -d {DATASET} -U"
    assert [shlex.split(line) for line in result.stdout.splitlines()] == [
        expected_command(kind, h5, f"{PREFIX}_{kind}.txt", BEGIN, see) for kind in STEMS
    ]
    assert not Path(h5).parent.exists()


def test_the_drop_in_prints_the_commands_last(work: Path) -> None:
    quiet = gain_constants("-d", DATASET, "-U", "-L", "WARNING").stdout.splitlines()
    assert gain_constants("-d", DATASET, "-U").stdout.splitlines()[-2:] == quiet
    assert names_in(work) == sorted(f"{PREFIX}_{k}.{e}" for k in STEMS for e in ("npz", "txt"))


@pytest.mark.usefixtures("work")
def test_r_names_another_directory_of_dcs_files() -> None:
    test_repository = "/reg/g/psdm/detector/calib/jungfrau"
    for typed, named in (
        (test_repository, test_repository),
        ("my files", "my files"),
        ("-odd", "./-odd"),
    ):
        result = gain_constants("-d", DATASET, "-U", "-L", "WARNING", "-R", typed)
        found = [shlex.split(line)[2] for line in result.stdout.splitlines()]
        assert found == [f"{named}/{H5}"] * 2


@pytest.mark.usefixtures("work")
def test_export_prints_nothing_but_the_commands_on_standard_output(
    panelcal: RunsProgram,
) -> None:
    result = panelcal("export", DATASET, "-U", "-o", "a b", "--format", "txt")
    assert result.exit_code == 0
    see = f"panelcal export {DATASET} --upload-commands"
    found = [shlex.split(line) for line in result.stdout.splitlines()]
    h5 = found[0][2]
    assert found == [
        expected_command(kind, h5, f"a b/{PREFIX}_{kind}.txt", BEGIN, see) for kind in STEMS
    ]
    assert all(f"a b/{PREFIX}_{kind}.txt" in result.stderr for kind in STEMS)


@pytest.mark.parametrize(
    ("precision", "tolerances"), [("legacy", (5.1e-5, 0.051)), ("full", (0, 0))]
)
def test_the_files_that_the_commands_name_are_the_exported_text(
    panelcal: RunsProgram,
    page: GainsTree,
    work: Path,
    precision: str,
    tolerances: tuple[float, float],
) -> None:
    result = panelcal("export", DATASET, "-U", "-o", "-out", "--precision", precision)
    lines = [shlex.split(line) for line in result.stdout.splitlines()]
    for kind, words, tolerance in zip(STEMS, lines, tolerances, strict=True):
        found = load_txt(work / words[words.index("-f") + 1])
        assert found.shape == (3, 2, 4, 8)
        expected = np.frombuffer(merged(page, kind), np.float32).reshape(found.shape)
        assert np.abs(found - expected).max() <= tolerance


@pytest.mark.usefixtures("work")
def test_the_commands_begin_where_the_latest_panel_does(panelcal: RunsProgram) -> None:
    ask = ("export", DATASET, "-U", "--at", "20190101000000")
    assert begins(panelcal(*ask)) == {str(BEGIN)}
    panelcal("assign", PANELS[1], "M044", "--from", "2018-03-06T08:00:07Z", "--reason", "test")
    assert begins(panelcal(*ask)) == {"1520323207"}
    assert begins(panelcal("export", DATASET, "-U")) == {str(BEGIN)}
    panelcal("assign", PANELS[0], "M044", "--from-beginning", "--reason", "test")
    assert begins(panelcal(*ask)) == {"1520323207"}


@pytest.mark.usefixtures("work")
@pytest.mark.parametrize("start", [["--from-beginning"], ["--from", "1969-07-20T20:17:40Z"]])
def test_what_holds_from_the_beginning_or_before_1970_begins_at_0(
    panelcal: RunsProgram, start: list[str]
) -> None:
    for panel in PANELS:
        assert panelcal("assign", panel, "M044", *start, "--reason", "test").exit_code == 0
    at = ("--at", "20000101000000")
    assert begins(panelcal("export", DATASET, "-U", *at)) == {"0"}


@pytest.mark.usefixtures("work")
def test_a_guess_is_uploaded_from_when_it_is_known_to_hold() -> None:
    result = gain_constants("-d", DATASET, "-U", "-L", "WARNING", "-t", "20150101000000")
    assert begins(result) == {str(BEGIN)}


def test_npz_alone_is_refused_with_upload_commands(panelcal: RunsProgram, work: Path) -> None:
    result = panelcal("export", DATASET, "-U", "--format", "npz")
    assert (result.exit_code, result.stdout, names_in(work)) == (2, "", [])
    assert "--format" in result.stderr


@pytest.mark.usefixtures("work")
def test_a_path_that_cannot_be_pasted_is_refused(panelcal: RunsProgram) -> None:
    result = panelcal("export", DATASET, "-U", "-o", "a\x1bb")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "control character" in result.stderr


# --dcs


@pytest.mark.parametrize("place", [".", H5, f"new/dir/{H5}"])
def test_a_dcs_file_holds_every_bit_from_the_begin_on(
    panelcal: RunsProgram, page: GainsTree, work: Path, place: str
) -> None:
    assert panelcal("export", DATASET, "--dcs", place).exit_code == 0
    path = work / H5 if place == "." else work / place
    assert [one for one in work.rglob("*") if one.suffix in {".h5", ".txt", ".npz"}] == [path]
    for kind in STEMS:
        assert read(path, kind, BEGIN) == read(path, kind, 2e9) == merged(page, kind)
        assert read(path, kind, BEGIN - 1) is None


def test_what_was_added_is_told_with_its_place_in_the_file(
    panelcal: RunsProgram, work: Path
) -> None:
    added, again = (
        panelcal("export", DATASET, "--dcs", work),
        panelcal("export", DATASET, "--dcs", work),
    )
    for result, state in ((added, "written, read back"), (again, "unchanged")):
        assert result.stdout.splitlines() == [
            f"{work / H5} /{kind}/{BEGIN}-end/v0001  {state}" for kind in STEMS
        ]


def test_a_second_time_changes_nothing_in_the_file(panelcal: RunsProgram, work: Path) -> None:
    assert panelcal("export", DATASET, "--dcs", H5).exit_code == 0
    before = (work / H5).read_bytes()
    assert panelcal("export", DATASET, "--dcs", H5).exit_code == 0
    assert (work / H5).read_bytes() == before


def test_provenance_is_in_attributes_of_the_version(panelcal: RunsProgram, work: Path) -> None:
    resolved = json.loads(panelcal("resolve", DATASET, "--json").stdout)
    assert panelcal("export", DATASET, "--dcs", H5).exit_code == 0
    with h5py.File(work / H5) as file:
        for kind in STEMS:
            attributes = file[f"{kind}/{BEGIN}-end/v0001"].attrs
            found = {name: attributes[name].decode("ascii") for name in attributes}
            assert found["panelcal_token"] == resolved["token"]
            assert found["panelcal_detector"] == DETECTOR
            assert found["panelcal_policy"] == "strict"
            assert found["panelcal_at"] == "20171205161400"
            assert json.loads(found["panelcal_panels"]) == [
                {
                    "panel": panel["panel"],
                    "module": panel["module"],
                    "revision": 1,
                    "valid_from": "20171025000000",
                    "digest": panel["digests"][kind],
                }
                for panel in resolved["panels"]
            ]


def test_provenance_of_a_version_is_read_back_and_is_none_where_it_does_not_fit(
    panelcal: RunsProgram, store: OpenStore, work: Path
) -> None:
    assert panelcal("export", DATASET, "--dcs", H5).exit_code == 0
    with h5py.File(work / H5, "a") as file:
        del file[f"pixel_gain/{BEGIN}-end/v0001"].attrs["panelcal_version"]
    answer = answer_for(store, DATASET, None)
    detector_type = type_of(store, answer.resolution)
    contents = read_dcs_contents(work / H5, detector_type, digest_of)
    found = {one.version.ctype: one for one in contents.values.values()}
    offset = detector_type.kind("pixel_offset")
    assert found["pixel_offset"].provenance == provenance_of(answer.resolution, offset)
    assert found["pixel_offset"].notices == ()
    assert found["pixel_gain"].provenance is None
    assert found["pixel_gain"].notices == ("what it says of itself cannot be read",)


def test_a_new_assignment_adds_a_range_and_leaves_the_former_as_it_is(
    panelcal: RunsProgram, page: GainsTree, work: Path
) -> None:
    panelcal("export", DATASET, "--dcs", H5)
    before = everything(work / H5)
    panelcal("assign", PANELS[0], "M044", "--from", "20180306000000", "--reason", "test")
    assert panelcal("export", DATASET, "--dcs", H5, "--at", "20180401000000").exit_code == 0
    after = everything(work / H5)
    assert {name: after[name] for name in before} == before
    later = 1520323200
    for kind in STEMS:
        assert f"{kind}/{later}-end/v0001" in after
        assert read(work / H5, kind, later - 1) == merged(page, kind)
        assert read(work / H5, kind, later) == merged(page, kind, ("M044", "M088"))


def test_a_redelivery_assigned_from_the_same_start_adds_a_version(
    panelcal: RunsProgram, page: GainsTree, work: Path
) -> None:
    panelcal("export", DATASET, "--dcs", H5)
    corrected = write_delivery(page.path / "M068-corrected", seed=9)
    assert panelcal("module", "add", "M068", corrected).exit_code == 0
    start = ("--from", "20171025000000")
    assert panelcal("assign", PANELS[0], "M068@2", *start, "--reason", "test").exit_code == 0
    result = panelcal("export", DATASET, "--dcs", H5)
    assert result.exit_code == 0
    assert f"/pixel_gain/{BEGIN}-end/v0002  written" in result.stdout
    for kind in STEMS:
        expected = merged(page, kind, ("M068-corrected", "M088"))
        assert read(work / H5, kind, BEGIN) == expected


def test_a_name_that_psana_does_not_look_for_is_written_and_told(
    panelcal: RunsProgram, work: Path
) -> None:
    result = panelcal("export", DATASET, "--dcs", "constants.h5")
    assert result.exit_code == 0
    assert f"psana will not find constants.h5: it looks for {H5}" in result.stderr
    assert names_in(work) == ["constants.h5"]


def test_the_name_of_another_detectors_file_is_refused_with_the_one_of_this(
    panelcal: RunsProgram, work: Path
) -> None:
    for name in (
        f"jungfrau-{PANELS[0]}.h5",
        f"jungfrau-{DETECTOR}.hdf5",
        "new-directory",
        "new",
    ):
        result = panelcal("export", DATASET, "--dcs", name, "-o", "out")
        assert (name, result.exit_code, result.stdout) == (name, 2, "")
        assert H5 in result.stderr
    assert names_in(work) == []


@pytest.mark.usefixtures("work")
def test_a_file_that_is_no_hdf5_file_is_refused_and_left_alone(panelcal: RunsProgram) -> None:
    Path(H5).write_bytes(b"not HDF5")
    assert panelcal("export", DATASET, "--dcs", H5).exit_code == 2
    assert Path(H5).read_bytes() == b"not HDF5"


def test_a_missing_h5py_is_told_before_anything_is_written(
    panelcal: RunsProgram, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    calib = ("--deploy", "--calib-dir", work / "calib")
    result = panelcal("export", DATASET, "--dcs", ".", "-o", ".", *calib)
    assert (result.exit_code, result.stdout, names_in(work)) == (2, "", [])
    assert "panelcal[dcs]" in result.stderr
    assert panelcal("export", DATASET, "-U").exit_code == 0


# Together


def test_everything_at_once_is_written_and_told_in_json(
    panelcal: RunsProgram, page: GainsTree, work: Path, nothing_written: NothingWritten
) -> None:
    calib = work.parent / "calib"
    where = ("-o", "out", "--dcs", ".", "--calib-dir", calib, "--deploy", "-U")
    document = json.loads(panelcal("export", DATASET, *where, "--json").stdout)
    token = json.loads(panelcal("resolve", DATASET, "--json").stdout)["token"]
    assert list(document) == [
        *("dataset", "source", "token", "files", "deployed", "dcs", "upload_commands"),
    ]
    assert (document["dataset"], document["source"], document["token"]) == (DATASET, SOURCE, token)
    assert [Path(name).is_file() for name in document["files"]] == [True] * 4
    assert [one["path"] for one in document["deployed"]] == [
        find_calib_file(calib, SOURCE, kind, 631) for kind in STEMS
    ]
    assert document["dcs"] == [
        {
            "path": H5,
            "kind": kind,
            "range": f"{BEGIN}-end",
            "version": "v0001",
            "written": True,
        }
        for kind in STEMS
    ]
    assert [shlex.split(line)[4] for line in document["upload_commands"]] == list(STEMS)
    assert read(work / H5, "pixel_gain", BEGIN) == merged(page, "pixel_gain")
    with nothing_written():
        again = json.loads(panelcal("export", DATASET, *where, "--json").stdout)
    assert {one["written"] for one in again["deployed"] + again["dcs"]} == {False}


@pytest.mark.parametrize(
    ("options", "local"),
    [
        ([], ["npz", "txt"] * 2),
        (["-U"], ["npz", "txt"] * 2),
        (["--dcs", ".", "--format", "txt"], []),
        (["--dcs", ".", "-U", "--format", "txt"], ["txt"] * 2),
        (["--dcs", ".", "-o", ".", "--format", "npz"], ["npz"] * 2),
        (["--dcs", ".", "--deploy", "--calib-dir", "../calib"], []),
    ],
    ids=" ".join,
)
def test_local_files_are_written_where_asked_for_or_nothing_else_is(
    panelcal: RunsProgram, work: Path, options: list[str], local: list[str]
) -> None:
    assert panelcal("export", DATASET, *options).exit_code == 0
    found = [name.rpartition(".")[2] for name in names_in(work) if not name.endswith(".h5")]
    assert found == local


def test_what_was_done_before_a_failure_is_told(panelcal: RunsProgram, work: Path) -> None:
    Path(H5).write_bytes(b"not HDF5")
    result = panelcal("export", DATASET, "-o", ".", "--format", "txt", "--dcs", H5)
    assert result.exit_code == 2
    assert result.stdout.splitlines() == [f"{PREFIX}_{kind}.txt" for kind in STEMS]
    assert names_in(work) == sorted([H5, *result.stdout.splitlines()])


@pytest.mark.usefixtures("open_umask")
def test_local_files_of_export_have_the_modes_of_the_umask(
    panelcal: RunsProgram, work: Path
) -> None:
    (work / f"{PREFIX}_pixel_gain.txt").write_bytes(b"old")
    (work / f"{PREFIX}_pixel_gain.txt").chmod(0o604)
    assert panelcal("export", DATASET).exit_code == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in work.iterdir()}
    assert modes.pop(f"{PREFIX}_pixel_gain.txt") == 0o604
    assert set(modes.values()) == {0o660}
    assert len(modes) == 3


# Names that do not fit


def test_eight_modern_panels_fit_the_dcs_file_and_not_the_local_names(
    panelcal: RunsProgram, page: GainsTree, work: Path
) -> None:
    h5 = f"jungfrau-{'_'.join([MODERN_PANEL] * 8)}.h5"
    assert len(h5) == 243
    result = panelcal("export", "exp=mfx05516:run=8", "-U", "--dcs", work)
    assert result.exit_code == 0
    assert "255 bytes" in result.stderr
    texts = [f"{SOURCE}-20190506070809-mfx05516-r0008_{kind}.txt" for kind in STEMS]
    words = [shlex.split(line) for line in result.stdout.splitlines()]
    assert [Path(line[2]).name for line in words] == [h5, h5]
    assert [line[line.index("-f") + 1] for line in words] == texts
    assert all(load_txt(work / name).shape == (3, 8, 4, 8) for name in texts)
    for kind in STEMS:
        assert read(work / h5, kind, 0) == merged(page, kind, ("M044",) * 8)


def test_32_panels_are_exported_and_deployed(
    panelcal: RunsProgram, work: Path, nothing_written: NothingWritten
) -> None:
    dataset, calib = "exp=mfx05516:run=32", work / "calib"
    result = panelcal("export", dataset, "-o", "out", "--deploy", "--calib-dir", calib)
    assert result.exit_code == 0
    prefix = f"{SOURCE}-20190506070809-mfx05516-r0032"
    assert names_in(work / "out") == sorted(
        f"{prefix}_{kind}.{end}" for kind in STEMS for end in ("npz", "txt")
    )
    found = find_calib_file(calib, SOURCE, "pixel_offset", 32)
    assert found
    assert load_txt(Path(found)).shape == (3, 32, 4, 8)
    assert gain_constants(dataset, "-D", "-c", calib).exit_code == 0
    with nothing_written():
        assert gain_constants(dataset).exit_code == 0


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("exp=mfx05516:run=32", "32 panels"),
        ("exp=xcsx22015:run=555", "declared modules"),
        ("exp=mfx05516:run=33", "LCLS2"),
    ],
)
def test_what_no_dcs_file_can_hold_is_refused_and_nothing_else_is_begun(
    panelcal: RunsProgram, work: Path, nothing_written: NothingWritten, dataset: str, said: str
) -> None:
    for panel in ("jungfrau_8-0-3d00fb", "jungfrau_8-0-3d00fc"):
        assigned = panelcal("assign", panel, "M044", "--from-beginning", "--reason", "test")
        assert assigned.exit_code == 0
    calib = work / "calib"
    elsewhere = ("-o", "out", "--deploy", "--calib-dir", calib)
    with nothing_written():
        results = [
            panelcal("export", dataset, "-U", *elsewhere),
            panelcal("export", dataset, "--dcs", work, *elsewhere),
            gain_constants(dataset, "-U", "-D", "-c", calib, "-L", "WARNING"),
        ]
    assert [(result.exit_code, result.stdout) for result in results] == [(2, "")] * 3
    assert all(said in result.stderr and "instead" in result.stderr for result in results)
    assert names_in(work) == []


def test_declared_modules_are_exported_and_deployed(
    panelcal: RunsProgram, page: GainsTree, work: Path
) -> None:
    calib = work / "calib"
    asked = ("-o", "out", "--deploy", "--calib-dir", calib)
    assert panelcal("export", "exp=xcsx22015:run=555", *asked).exit_code == 0
    name = f"xcsx22015-r0555_{SOURCE}_XcsEndstation.0-Jungfrau.0_pixel_gain.npz"
    with np.load(work / "out" / name) as found:
        assert found["pixel_gain"].tobytes() == merged(page, "pixel_gain", ("M088", "M068"))
    assert find_calib_file(calib, SOURCE, "pixel_gain", 555)
