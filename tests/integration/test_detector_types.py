"""Detector types side by side: added from a file, told apart by module, panel, device and id."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

import panelcal as api
from builders import TREE_SHAPE, GainsTree, delivered, rows, write_delivery
from conftest import RunsProgram
from panelcal.cli import app
from panelcal.services.fsck import fsck
from panelcal.services.recognize import Recognizer
from panelcal.storage.store import open_store
from servers import copied_store
from type_material import SMALL, write_small_type

NothingWritten = Callable[[], AbstractContextManager[None]]
Done = Callable[..., str]

J1, J2 = "171113-154920171025-3d00fb", "171113-154920171025-3d00f7"
E1, E2 = "8-2-e0001", "8-2-e0002"
E_PAIR = f"{E1}_{E2}"
START = ("--from", "20180306000000", "--reason", "test")
AT = ("--at", "20190101000000")
EPIX_SOURCE, JUNGFRAU_SOURCE = "XcsEndstation.0:Epix10ka.0", "XcsEndstation.0:Jungfrau.0"


@pytest.fixture
def done(panelcal: RunsProgram) -> Done:
    """Run the program, which has to succeed; return what it prints."""

    def run(*arguments: str | Path) -> str:
        result = panelcal(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_small_type(tmp_path / "epix10ka.toml")


@pytest.fixture
def epix(done: Done, small: Path) -> Done:
    """The program, on a store with both types, and a module of each delivered."""
    done("type", "add", small)
    return done


@pytest.fixture
def both(epix: Done, tmp_path: Path) -> Done:
    epix("module", "add", "M044", write_delivery(tmp_path / "M044", 1))
    files = write_delivery(tmp_path / "E001", 2, SMALL)
    epix("module", "add", "E001", files, "--detector-type", "epix10ka")
    epix("assign", J1, "M044", *START)
    epix("assign", E1, "E001", *START)
    return epix


def types_of(store: Path, table: str) -> dict[str, str]:
    query = f"SELECT {table}.name, t.name FROM {table} JOIN detector_type t ON t.id = "
    return dict(rows(store, f"{query}{table}.detector_type_id"))


def is_sound(store: Path) -> bool:
    return not fsck(store, now=datetime.now(UTC), verify_data=True).findings


# --- type add, list, show


def test_a_type_that_was_added_is_listed_beside_jungfrau_as_its_file_says(
    done: Done, small: Path
) -> None:
    assert done("type", "add", small) == "epix10ka\n"
    jungfrau, added = json.loads(done("type", "list", "--json"))
    assert jungfrau["name"] == "jungfrau"
    assert added == {
        "name": "epix10ka",
        "gain_ranges": SMALL[0],
        "panel_rows": SMALL[1],
        "panel_columns": SMALL[2],
        "device": "Epix10ka",
        "calib_group": "Epix10ka::CalibV1",
        "kinds": [
            {
                "name": "pixel_gain",
                "unit": "ADU/keV",
                "file_stem": "gain",
                "text_format": "%.4f",
            },
            {
                "name": "pixel_offset",
                "unit": "ADU",
                "file_stem": "offset",
                "text_format": "%.1f",
            },
        ],
        "rules": [],
        "modules": 0,
        "panels": 0,
    }
    assert json.loads(done("type", "show", "epix10ka", "--json")) == added
    assert "7 x 6 x 10" in done("type", "list")
    assert "g0_offset.npy" in done("type", "show", "epix10ka")


def test_adding_just_the_same_again_is_already_so_and_changes_nothing(
    panelcal: RunsProgram, done: Done, small: Path, nothing_written: NothingWritten
) -> None:
    assert json.loads(done("type", "add", small, "--json"))["added"] is True
    with nothing_written():
        again = panelcal("type", "add", small)
    assert (again.exit_code, again.stdout) == (0, "epix10ka\n")
    assert "already so" in again.stderr
    assert json.loads(done("type", "add", small, "--json"))["added"] is False


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gain_ranges = 7", "gain_ranges = 5"),
        ("panel_rows = 6", "panel_rows = 7"),
        ('device = "Epix10ka"', 'device = "Epix10kb"'),
        ("Epix10ka::CalibV1", "Epix10ka::CalibV2"),
        ('"%.4f"', '"%.5f"'),
        ('"ADU/keV"', '"ADU"'),
        ('file_stem = "gain"', 'file_stem = "gains"'),
        ('name = "pixel_gain"', 'name = "pixel_rms"'),
    ],
)
@pytest.mark.sqlite_only
def test_another_type_of_a_known_name_is_a_conflict(
    panelcal: RunsProgram,
    epix: Done,  # noqa: ARG001 - the type is there
    tmp_path: Path,
    nothing_written: NothingWritten,
    old: str,
    new: str,
) -> None:
    other = write_small_type(tmp_path / "other.toml", **{old: new})
    with nothing_written():
        refused = panelcal("type", "add", other)
    assert refused.exit_code == 4
    assert "epix10ka was to be" in refused.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('device = "Epix10ka"', 'device = "JUNGFRAU"', "the device JUNGFRAU of epix10ka is that"),
        ("Epix10ka::CalibV1", "jungfrau::CalibV1", "the calib_group jungfrau::CalibV1"),
    ],
)
@pytest.mark.sqlite_only
def test_two_types_never_share_a_device_or_a_calib_group(
    panelcal: RunsProgram,
    tmp_path: Path,
    nothing_written: NothingWritten,
    old: str,
    new: str,
    says: str,
) -> None:
    with nothing_written():
        refused = panelcal("type", "add", write_small_type(tmp_path / "t.toml", **{old: new}))
    assert refused.exit_code == 4
    assert says in refused.stderr


@pytest.mark.parametrize("number_format", ["%d", "%.7f", "%s", "%.4f ", "%n", ""])
@pytest.mark.sqlite_only
def test_a_format_that_text_exports_cannot_write_is_refused(
    panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten, number_format: str
) -> None:
    path = write_small_type(tmp_path / "t.toml", **{'"%.4f"': f'"{number_format}"'})
    with nothing_written():
        refused = panelcal("type", "add", path)
    assert refused.exit_code == 2
    assert "is no format of text exports" in refused.stderr


@pytest.mark.sqlite_only
def test_what_is_no_readable_file_is_refused_with_its_name(
    panelcal: RunsProgram, tmp_path: Path
) -> None:
    (tmp_path / "binary.toml").write_bytes(b"name = '\xff'")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_000_001)
    for name, code, says in (
        ("absent.toml", 3, "there is no file"),
        (".", 2, "no regular file"),
        ("binary.toml", 2, "no UTF-8"),
        ("large.toml", 2, "more than 1000000 bytes"),
    ):
        refused = panelcal("type", "add", tmp_path / name)
        assert refused.exit_code == code
        assert says in refused.stderr


@pytest.mark.sqlite_only
def test_an_unknown_type_is_told_with_those_there_are(
    panelcal: RunsProgram, tmp_path: Path
) -> None:
    files = write_delivery(tmp_path / "files")
    for command in (
        ("type", "show", "epix"),
        ("module", "add", "M1", files, "--detector-type", "epix"),
        ("import", "gains-tree", tmp_path, "--detector-type", "epix"),
    ):
        refused = panelcal(*command)
        assert refused.exit_code == 3
        assert "no detector type 'epix' in this store; there is jungfrau" in refused.stderr


@pytest.mark.sqlite_only
def test_a_type_is_added_with_the_rules_of_its_file_and_they_do_not_change(
    panelcal: RunsProgram, small: Path, nothing_written: NothingWritten
) -> None:
    bare = small.read_text()
    rule = '[[rule]]\ncheck = "median"\nkind = "pixel_gain"\nseverity = "error"\nlow = 1\n'
    assert panelcal("type", "add", small).exit_code == 0
    assert json.loads(panelcal("type", "show", "epix10ka", "--json").stdout)["rules"] == []
    small.write_text(bare + rule)
    assert panelcal("type", "add", small).exit_code == 0
    (shown,) = json.loads(panelcal("type", "show", "epix10ka", "--json").stdout)["rules"]
    assert shown == {
        "check": "median",
        "kind": "pixel_gain",
        "gain_range": None,
        "severity": "error",
        "low": 1.0,
        "high": None,
    }
    again = panelcal("type", "add", small)
    assert (again.exit_code, "already so" in again.stderr) == (0, True)
    small.write_text(bare + rule.replace("low = 1", "low = 2"))
    with nothing_written():
        refused = panelcal("type", "add", small)
    assert refused.exit_code == 4
    assert "epix10ka has 1 rule of quality in the store" in refused.stderr


# --- modules and panels


def test_a_new_module_is_of_the_named_type_and_otherwise_of_jungfrau(
    both: Done, store_dir: Path
) -> None:
    assert types_of(store_dir, "module") == {"M044": "jungfrau", "E001": "epix10ka"}
    found = {
        one["module"]: one["detector_type"] for one in json.loads(both("module", "list", "--json"))
    }
    assert found == types_of(store_dir, "module")


def test_a_module_keeps_its_type_for_later_deliveries(
    both: Done, panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    again = write_delivery(tmp_path / "again", 3, SMALL)
    assert both("module", "add", "E001", again) == "E001@2\n"
    other = write_delivery(tmp_path / "other", 4, SMALL)
    with nothing_written():
        refused = panelcal("module", "add", "E001", other, "--detector-type", "jungfrau")
        assert refused.exit_code == 4
        assert "module E001 is of detector type epix10ka" in refused.stderr
        wrong = panelcal("module", "add", "E001", write_delivery(tmp_path / "wrong", 5))
    assert wrong.exit_code == 2
    assert "g6_offset.npy: missing" in wrong.stderr


def test_a_new_panel_gets_the_type_of_its_constant_set(both: Done, store_dir: Path) -> None:
    assert types_of(store_dir, "panel") == {J1: "jungfrau", E1: "epix10ka"}
    shown = json.loads(both("panel", "show", E1, "--json"))
    assert shown["detector_type"] == "epix10ka"
    uses = {
        one["panel"]: one["detector_type"] for one in json.loads(both("panel", "list", "--json"))
    }
    assert uses == types_of(store_dir, "panel")
    types = {one["name"]: one for one in json.loads(both("type", "list", "--json"))}
    assert [types[name]["modules"] for name in ("jungfrau", "epix10ka")] == [1, 1]
    assert [types[name]["panels"] for name in ("jungfrau", "epix10ka")] == [1, 1]


@pytest.mark.parametrize(
    ("panel", "module"),
    [(J1, "E001"), (E1, "M044"), ("epix10ka_8-0-1", "M044"), (f"epix10ka_{J2}", "M044")],
)
@pytest.mark.usefixtures("both")
def test_a_constant_set_of_another_type_is_refused_for_a_panel(
    panelcal: RunsProgram, nothing_written: NothingWritten, panel: str, module: str
) -> None:
    with nothing_written():
        refused = panelcal("assign", panel, module, "--from", "20200101000000", "--reason", "r")
    assert refused.exit_code == 4
    assert (
        f"panel {panel.removeprefix('epix10ka_') if J2 in panel else panel} is of" in refused.stderr
    )


@pytest.mark.usefixtures("both")
@pytest.mark.sqlite_only
def test_an_id_that_names_another_type_than_the_panels_is_refused(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        for command in (
            ("panel", "show", f"epix10ka_{J1}"),
            ("withdraw", f"epix10ka_{J1}", *START),
            ("assign", f"jungfrau_{E1}", "M044", *START),
            ("resolve", f"epix10ka_{J1}", *AT),
            ("resolve", f"epix10ka_{J1}", *AT, "--policy", "legacy"),
            ("resolve", f"jungfrau_{E1}", *AT),
        ):
            refused = panelcal(*command)
            assert refused.exit_code == 2, command
            assert "names the detector type" in refused.stderr


@pytest.mark.sqlite_only
def test_an_equal_serial_of_another_type_is_no_twin(
    both: Done, panelcal: RunsProgram, tmp_path: Path
) -> None:
    """Serials are counted by type: 8-2-3d00fb of epix10ka is not the panel of jungfrau."""
    both("assign", "8-2-3d00fb", "E001", *START)
    assert "same serial" not in panelcal("panel", "show", "8-2-3d00fb").stderr
    assert "same serial" not in panelcal("panel", "show", J1).stderr
    refused = panelcal("panel", "adopt", "999-1-3d00fb", "--from-serial", "--yes")
    assert refused.exit_code == 2
    assert "use different things" in refused.stderr
    both("panel", "adopt", "999-1-3d00fb", "--from-serial", "--like", J1, "--yes")
    assert (
        json.loads(both("panel", "show", "999-1-3d00fb", "--json"))["detector_type"] == "jungfrau"
    )
    assert tmp_path.exists()


@pytest.mark.sqlite_only
def test_a_tree_is_read_as_the_named_type_and_again_without_naming_it(
    epix: Done, panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    tree.module("M101", 1, SMALL)
    tree.link(f"{E1}-20180306000000", "M101")
    refused = panelcal("import", "gains-tree", tree.path)
    assert refused.exit_code == 2
    epix("import", "gains-tree", tree.path, "--detector-type", "epix10ka")
    assert types_of(store_dir, "panel") == {E1: "epix10ka"}
    assert "nothing to add" in epix("import", "gains-tree", tree.path)
    other = panelcal("import", "gains-tree", tree.path, "--detector-type", "jungfrau")
    assert other.exit_code == 2
    assert "module M101 is of detector type epix10ka" in other.stdout
    assert is_sound(store_dir)


@pytest.mark.sqlite_only
def test_an_entry_of_a_tree_for_a_panel_of_another_type_is_refused(
    both: Done, panelcal: RunsProgram, tree: GainsTree, nothing_written: NothingWritten
) -> None:
    assert both("type", "list")
    tree.module("M101", 1, SMALL)
    tree.link(f"{J1}-20200306000000", "M101")
    with nothing_written():
        refused = panelcal(
            "import", "gains-tree", tree.path, "--detector-type", "epix10ka", "--supersede"
        )
    assert refused.exit_code == 2
    assert "the panel is of detector type jungfrau, M101 is of epix10ka" in refused.stdout


# --- answers


def test_arrays_have_the_shape_and_values_of_the_panels_type(
    both: Done, store_dir: Path, tmp_path: Path
) -> None:
    both("assign", E2, "E001", *START)
    with api.open_store(store_dir) as store:
        epix = store.resolve(E_PAIR, "20190101000000").arrays()
        jungfrau = store.resolve(J1, "20190101000000").arrays()
    assert {name: array.shape for name, array in epix.items()} == {
        "pixel_gain": (7, 2, 6, 10),
        "pixel_offset": (7, 2, 6, 10),
    }
    assert {array.shape for array in jungfrau.values()} == {(3, 1, *TREE_SHAPE[1:])}
    for segment in range(2):
        want = delivered(tmp_path / "E001", "gain", 7)
        assert epix["pixel_gain"][:, segment].tobytes() == want.tobytes()


@pytest.mark.parametrize("policy", ["strict", "legacy"])
@pytest.mark.usefixtures("both")
def test_a_detector_of_panels_of_two_types_is_refused(panelcal: RunsProgram, policy: str) -> None:
    refused = panelcal("resolve", f"{J1}_{E1}", *AT, "--policy", policy)
    assert refused.exit_code == 2
    assert f"panel 0 {J1} of jungfrau, panel 1 {E1} of epix10ka" in refused.stderr


@pytest.mark.sqlite_only
def test_declared_modules_of_two_types_are_refused(both: Done, panelcal: RunsProgram) -> None:
    run = ("run", "add", "exp=xcsls3716:run=7", "-s", JUNGFRAU_SOURCE)
    both(*run, "--begin", "20190101000000", "--modules", "M044 E001")
    refused = panelcal("resolve", "exp=xcsls3716:run=7")
    assert refused.exit_code == 2
    assert "panel 0 M044 of jungfrau, panel 1 E001 of epix10ka" in refused.stderr


def test_a_kind_that_only_the_other_type_has_is_not_found(
    done: Done, panelcal: RunsProgram, tmp_path: Path
) -> None:
    done("type", "add", write_small_type(tmp_path / "t.toml", pixel_offset="pixel_rms"))
    files = write_delivery(tmp_path / "E001", 2, SMALL)
    done("module", "add", "E001", files, "--detector-type", "epix10ka")
    done("module", "add", "M044", write_delivery(tmp_path / "M044", 1))
    done("assign", E1, "E001", *START)
    done("assign", J1, "M044", *START)
    done("get", E1, *AT, "-k", "pixel_rms", "-o", tmp_path / "o.npy")
    refused = panelcal("get", J1, *AT, "-k", "pixel_rms", "-o", tmp_path / "o.npy")
    assert refused.exit_code == 3
    assert "jungfrau has no kind 'pixel_rms'" in refused.stderr


@pytest.mark.sqlite_only
def test_equal_values_of_a_type_with_the_same_shape_are_not_taken_for_this_ones(
    done: Done, store_dir: Path, tmp_path: Path
) -> None:
    shape = {"gain_ranges = 7": "gain_ranges = 3", "rows = 6": "rows = 4", "= 10\n": "= 8\n"}
    done("type", "add", write_small_type(tmp_path / "t.toml", **shape))
    files = write_delivery(tmp_path / "files", 1)
    done("module", "add", "M044", files)
    done("module", "add", "E001", files, "--detector-type", "epix10ka")
    plane = delivered(files, "gain")
    with open_store(store_dir) as store:
        recognizer = Recognizer(store)
        for number_format in ("%.9g", "%.4f"):
            shown = plane if number_format == "%.9g" else plane.round(4)
            jungfrau = recognizer.holders("jungfrau", "pixel_gain", shown, number_format)
            epix = recognizer.holders("epix10ka", "pixel_gain", shown, number_format)
            assert len(jungfrau) == len(epix) == 1
            assert not jungfrau & epix


# --- runs, whose sources name the device


@pytest.fixture
def runs(both: Done, tmp_path: Path) -> Done:
    """A run of each type, and one of a device that is of none."""
    lines = [
        "experiment,run,source,begin,detector_id,modules",
        f"xcsls3716,10,{JUNGFRAU_SOURCE},20190101000000,{J1},",
        f"xcsls3716,10,{EPIX_SOURCE},20190101000000,{E1},",
        f"xcsls3716,11,XcsEndstation.0:Cspad.0,20190101000000,{J1},",
    ]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([*lines, ""]))
    both("import", "runs", path)
    return both


@pytest.mark.usefixtures("runs")
@pytest.mark.sqlite_only
def test_a_run_of_no_known_device_is_told_and_the_others_are_served(
    panelcal: RunsProgram, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    report = json.loads(panelcal("deploy", "--all", "--calib-root", root, "--json").stdout)
    told = {run["source"].split(":")[1]: run["status"] for run in report["runs"]}
    assert told == {
        "Jungfrau.0": "written",
        "Epix10ka.0": "written",
        "Cspad.0": "blocked",
    }
    reason = next(run["reason"] for run in report["runs"] if "Cspad" in run["source"])
    assert "is no Jungfrau or Epix10ka: the calib layout has no group for it" in reason
    groups = sorted(path.name for path in (root / "XCS/xcsls3716/calib").iterdir())
    assert groups == ["Epix10ka::CalibV1", "Jungfrau::CalibV1"]


@pytest.mark.sqlite_only
def test_a_run_whose_device_is_of_another_type_than_its_constants_is_not_deployed(
    both: Done, panelcal: RunsProgram, tmp_path: Path
) -> None:
    run = ("run", "add", "exp=xcsls3716:run=7", "-s", JUNGFRAU_SOURCE)
    both(*run, "--begin", "20190101000000", "--detector-id", E1)
    calib, root = tmp_path / "calib", tmp_path / "root"
    refused = panelcal("export", "exp=xcsls3716:run=7", "--calib-dir", calib, "--deploy")
    assert refused.exit_code == 2
    assert "is of detector type jungfrau, what it resolves to is of epix10ka" in refused.stderr
    assert not calib.exists()
    root.mkdir()
    report = json.loads(panelcal("deploy", "--all", "--calib-root", root, "--json").stdout)
    assert [one["status"] for one in report["runs"]] == ["blocked"]
    verified = json.loads(both("verify-deploy", "--calib-root", root, "--json"))
    assert verified["files"] == []


def test_a_calib_tree_of_both_types_is_brought_into_a_fresh_store(
    runs: Done, small: Path, empty_store: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    for source in (JUNGFRAU_SOURCE, EPIX_SOURCE):
        calib = root / "XCS/xcsls3716/calib"
        export = ("export", "exp=xcsls3716:run=10", "-s", source, "--precision", "full")
        runs(*export, "--calib-dir", calib, "--deploy")
    with copied_store(empty_store, tmp_path / "fresh") as fresh:

        def program(*arguments: str | Path) -> str:
            result = CliRunner().invoke(app, ["--store", str(fresh), *map(str, arguments)])
            assert result.exit_code == 0, result.output
            return result.stdout

        untyped = program("import", "calib-tree", root, "--dry-run")
        assert "not of jungfrau: 4 files" in untyped
        program("type", "add", small)
        program("import", "calib-tree", root)
        assert types_of(fresh, "panel") == {J1: "jungfrau", E1: "epix10ka"}
        assert types_of(fresh, "module") == {"M044": "jungfrau", "E001": "epix10ka"}
        for panel in (J1, E1):
            mine = json.loads(program("resolve", panel, *AT, "--json"))
            assert mine["token"] == json.loads(runs("resolve", panel, *AT, "--json"))["token"]
        assert is_sound(fresh)


@pytest.mark.sqlite_only
def test_a_file_of_a_type_for_a_panel_of_another_is_refused_by_an_import(
    runs: Done, panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    calib = tmp_path / "XCS/xcsls3716/calib"
    runs("export", "exp=xcsls3716:run=10", "-s", EPIX_SOURCE, "--calib-dir", calib, "--deploy")
    for path in (calib / "Epix10ka::CalibV1").rglob("*.data"):
        # Without what it says of itself, the registered run tells whose values it holds.
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for line in lines if not line.startswith(b"# panel")))
    run = ("run", "add", "exp=xcsls3716:run=10", "-s", EPIX_SOURCE, "--supersede")
    runs(*run, "--begin", "20190101000000", "--detector-id", J1)
    with nothing_written():
        refused = panelcal("import", "calib-tree", calib, "--supersede")
    assert refused.exit_code == 2
    assert "the panel is of detector type jungfrau, the file of epix10ka" in refused.stdout


@pytest.mark.sqlite_only
def test_files_in_the_group_of_another_type_are_misplaced(
    runs: Done, tmp_path: Path, panelcal: RunsProgram
) -> None:
    root = tmp_path / "root"
    calib = root / "XCS/xcsls3716/calib"
    runs("export", "exp=xcsls3716:run=10", "-s", EPIX_SOURCE, "--calib-dir", calib, "--deploy")
    own = calib / "Epix10ka::CalibV1"
    own.rename(calib / "Jungfrau::CalibV1")
    report = json.loads(panelcal("verify-deploy", "--calib-root", root, "--json").stdout)
    states = {
        (Path(one["path"]).parts[-4], one["state"])
        for one in report["files"]
        if "Epix10ka.0" in one["path"]
    }
    assert ("Jungfrau::CalibV1", "ok") not in states
    assert ("Epix10ka::CalibV1", "missing") in states


def test_a_dcs_file_of_another_type_is_named_and_read_back_by_its_device(
    runs: Done, small: Path, empty_store: Path, tmp_path: Path
) -> None:
    pytest.importorskip("h5py")
    export = ("export", "exp=xcsls3716:run=10", "-s", EPIX_SOURCE)
    runs(*export, "--dcs", tmp_path)
    file = tmp_path / f"epix10ka-{E1}.h5"
    assert file.is_file()
    commands = runs(*export, "-U", "-o", tmp_path / "out")
    assert commands.count(f"detector/calib/epix10ka/epix10ka-{E1}.h5") == 2
    with copied_store(empty_store, tmp_path / "fresh") as fresh:
        for command in (("type", "add", small), ("import", "dcs", file)):
            result = CliRunner().invoke(app, ["--store", str(fresh), *map(str, command)])
            assert result.exit_code == 0, result.output
        assert types_of(fresh, "panel") == {E1: "epix10ka"}
        with api.open_store(fresh) as store:
            gain = store.resolve(E1, "20190101000000").arrays()["pixel_gain"]
    assert gain[:, 0].tobytes() == delivered(tmp_path / "E001", "gain", 7).tobytes()


# --- bundles


@pytest.fixture
def fresh(empty_store: Path, tmp_path: Path) -> Iterator[RunsProgram]:
    """The program on an empty store of the same kind."""
    with copied_store(empty_store, tmp_path / "fresh") as directory:
        yield lambda *arguments: CliRunner().invoke(
            app, ["--store", str(directory), *map(str, arguments)]
        )


def test_a_bundle_brings_the_types_that_it_needs_and_no_others(
    runs: Done, fresh: RunsProgram, tmp_path: Path
) -> None:
    runs("bundle", "create", tmp_path / "j.zip", "--detector", J1)
    runs("bundle", "create", tmp_path / "e.zip", "--detector", E1)
    assert fresh("bundle", "import", tmp_path / "j.zip").exit_code == 0
    assert types_of(tmp_path / "fresh", "module") == {"M044": "jungfrau"}
    assert len(json.loads(fresh("type", "list", "--json").stdout)) == 1
    brought = fresh("bundle", "import", tmp_path / "e.zip")
    assert brought.exit_code == 0, brought.output
    assert "type epix10ka" in brought.stdout
    assert types_of(tmp_path / "fresh", "panel") == {J1: "jungfrau", E1: "epix10ka"}
    for panel in (J1, E1):
        token = json.loads(fresh("resolve", panel, *AT, "--json").stdout)["token"]
        assert token == json.loads(runs("resolve", panel, *AT, "--json"))["token"]
    again = fresh("bundle", "import", tmp_path / "e.zip")
    assert "nothing to add" in again.stdout
    assert is_sound(tmp_path / "fresh")


def test_a_bundle_that_means_another_type_by_a_known_name_is_a_conflict(
    runs: Done, fresh: RunsProgram, tmp_path: Path
) -> None:
    runs("bundle", "create", tmp_path / "e.zip", "--detector", E1)
    other = write_small_type(tmp_path / "other.toml", **{"panel_rows = 6": "panel_rows = 9"})
    assert fresh("type", "add", other).exit_code == 0
    refused = fresh("bundle", "import", tmp_path / "e.zip")
    assert refused.exit_code == 4
    assert "epix10ka was to be 7 x 6 x 10" in refused.stderr
    assert "is 7 x 9 x 10" in refused.stderr
    assert types_of(tmp_path / "fresh", "module") == {}


@pytest.mark.sqlite_only
def test_a_panel_that_is_of_another_type_here_is_a_conflict(
    runs: Done, fresh: RunsProgram, small: Path, tmp_path: Path
) -> None:
    runs("bundle", "create", tmp_path / "e.zip", "--detector", E1)
    files = write_delivery(tmp_path / "M7", 7)
    for command in (
        ("type", "add", small),
        ("module", "add", "M7", files),
        ("assign", E1, "M7", *START),
    ):
        assert fresh(*command).exit_code == 0
    refused = fresh("bundle", "import", tmp_path / "e.zip")
    assert refused.exit_code == 4
    assert "of detector type jungfrau in the store, epix10ka in the bundle" in refused.stderr


@pytest.mark.sqlite_only
def test_a_bundle_with_a_type_that_leads_out_of_the_calib_directory_is_refused(
    runs: Done, fresh: RunsProgram, store_dir: Path, tmp_path: Path
) -> None:
    """Whoever makes a bundle can write its rows: a type from it is judged as one from a file."""
    with open_store(store_dir) as store, store.database.writing() as connection:
        connection.exec_driver_sql(
            "UPDATE detector_type SET calib_group = '../../x' WHERE name = 'epix10ka'"
        )
    made = CliRunner().invoke(
        app,
        ["--store", str(store_dir), "bundle", "create", str(tmp_path / "e.zip"), "--detector", E1],
    )
    assert runs("type", "list")
    refused = fresh("bundle", "import", tmp_path / "e.zip") if made.exit_code == 0 else made
    assert refused.exit_code in {2, 5}
    assert "'../../x'" in refused.stderr


def test_a_backup_brings_back_every_type(runs: Done, tmp_path: Path) -> None:
    runs("backup", tmp_path / "kept")
    restored = tmp_path / "restored"
    done = CliRunner().invoke(app, ["restore", str(tmp_path / "kept"), str(restored)])
    assert done.exit_code == 0, done.output
    assert types_of(restored, "module") == {"M044": "jungfrau", "E001": "epix10ka"}
    with api.open_store(restored) as store:
        assert store.resolve(E1, "20190101000000").arrays()["pixel_gain"].shape == (7, 1, 6, 10)
