"""The ePix10ka as data: one file added to a store of jungfraus, and everything works for both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import panelcal as api
from builders import TREE_SHAPE, GainsTree, delivered, rows
from conftest import RunsProgram
from legacy_oracle import find_calib_file, load_txt
from panelcal.cli import app
from servers import copied_store
from type_material import EXAMPLE

pytestmark = [pytest.mark.acceptance, pytest.mark.sqlite_only]

SHAPE = (7, 352, 384)
KINDS = {"pixel_gain": ("gain", 4), "pixel_offset": ("offset", 1)}
"""File stem, and decimals of the text format."""

E1, E2 = "8-2-e0001", "8-2-e0002"
EPIX = f"{E1}_{E2}"
JUNGFRAU = "171113-154920171025-3d00fb"
SOURCES = {"epix10ka": "XcsEndstation.0:Epix10ka.0", "jungfrau": "XcsEndstation.0:Jungfrau.0"}
RUNS = [
    ("631", SOURCES["epix10ka"], "20171205161400", EPIX),
    ("631", SOURCES["jungfrau"], "20171205161400", JUNGFRAU),
    ("700", SOURCES["epix10ka"], "20180419000000", EPIX),
    ("700", SOURCES["jungfrau"], "20180419000000", JUNGFRAU),
]
FIRST = "exp=xcsls3716:run=631"

Done = Callable[..., str]


@pytest.fixture
def done(panelcal: RunsProgram) -> Done:
    """Run the program, which has to succeed; return what it prints."""

    def run(*arguments: str | Path) -> str:
        result = panelcal(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def trees(tmp_path: Path) -> dict[str, GainsTree]:
    """A gains tree of each type: M101 and M102 of epix10ka, M044 of jungfrau."""
    found = {}
    for name in SOURCES:
        (tmp_path / "gains" / name).mkdir(parents=True)
        found[name] = GainsTree(tmp_path / "gains" / name)
    found["epix10ka"].module("M101", 1, SHAPE)
    found["epix10ka"].module("M102", 2, SHAPE)
    found["epix10ka"].link(f"{E1}-20171025000000", "M101")
    found["epix10ka"].link(E2, "M102")
    found["jungfrau"].module("M044", 3)
    found["jungfrau"].link(JUNGFRAU, "M044")
    return found


@pytest.fixture
def store(done: Done, store_dir: Path, trees: dict[str, GainsTree], tmp_path: Path) -> Path:
    done("import", "gains-tree", trees["jungfrau"].path)
    done("type", "add", EXAMPLE)
    done("import", "gains-tree", trees["epix10ka"].path, "--detector-type", "epix10ka")
    lines = [f"xcsls3716,{','.join(run)}," for run in RUNS]
    runs = tmp_path / "runs.csv"
    runs.write_text("\n".join(["experiment,run,source,begin,detector_id,modules", *lines, ""]))
    done("import", "runs", runs)
    return store_dir


def expected(trees: dict[str, GainsTree], name: str, kind: str) -> "np.ndarray[Any, Any]":
    """Return what a detector's array holds, straight from the files of its tree."""
    stem, _ = KINDS[kind]
    modules = ("M101", "M102") if name == "epix10ka" else ("M044",)
    ranges = SHAPE[0] if name == "epix10ka" else TREE_SHAPE[0]
    return np.stack(
        [delivered(trees[name].path / module, stem, ranges) for module in modules], axis=1
    )


def test_a_type_added_as_data_is_imported_resolved_exported_and_bundled_beside_jungfrau(
    store: Path, done: Done, trees: dict[str, GainsTree], empty_store: Path, tmp_path: Path
) -> None:
    answer = json.loads(done("resolve", FIRST, "-s", "Epix10ka", "--json"))
    assert [(panel["panel"], panel["module"]) for panel in answer["panels"]] == [
        (E1, "M101"),
        (E2, "M102"),
    ]
    arrays = tmp_path / "epix.npz"
    done("get", FIRST, "-s", "Epix10ka", "-o", arrays)
    with np.load(arrays) as found:
        assert sorted(found.files) == sorted(KINDS)
        for kind in KINDS:
            assert found[kind].shape == (7, 2, 352, 384)
            assert found[kind].tobytes() == expected(trees, "epix10ka", kind).tobytes()

    root = tmp_path / "root"
    calib = root / "XCS" / "xcsls3716" / "calib"
    done("export", FIRST, "-s", "Epix10ka", "--calib-dir", calib, "--deploy")
    assert_served(calib, trees, "epix10ka", 631)
    report = json.loads(done("deploy", "--all", "--calib-root", root, "--json"))
    actions = {
        (run["source"], int(run["dataset"].rpartition("=")[2])): {
            file["action"] for file in run["files"]
        }
        for run in report["runs"]
    }
    # What was deployed by itself is on record, and one file serves both runs.
    assert actions == {
        (SOURCES["epix10ka"], 631): {"unchanged"},
        (SOURCES["epix10ka"], 700): {"unchanged"},
        (SOURCES["jungfrau"], 631): {"written"},
        (SOURCES["jungfrau"], 700): {"shared"},
    }
    for name in SOURCES:
        for run in (631, 700):
            assert_served(calib, trees, name, run)
    verified = json.loads(done("verify-deploy", "--calib-root", root, "--json"))["files"]
    assert {file["state"] for file in verified} == {"ok"}
    assert len(verified) == 4
    told = rows(
        store,
        "SELECT DISTINCT t.name, d.source FROM deployment d JOIN kind k ON k.id = d.kind_id "
        "JOIN detector_type t ON t.id = k.detector_type_id",
    )
    assert dict(told) == SOURCES

    done("bundle", "create", tmp_path / "epix.zip", "--detector", EPIX, "--detector", FIRST)
    with copied_store(empty_store, tmp_path / "fresh") as fresh:
        brought = CliRunner().invoke(
            app, ["--store", str(fresh), "bundle", "import", str(tmp_path / "epix.zip")]
        )
        assert brought.exit_code == 0, brought.output
        with api.open_store(fresh) as other:
            again = other.resolve(FIRST, source="Epix10ka")
            assert again.token == answer["token"]
            assert other.resolve(FIRST, source="Jungfrau").detector == JUNGFRAU
            for kind, array in again.arrays().items():
                assert array.tobytes() == expected(trees, "epix10ka", kind).tobytes()
    fsck = json.loads(done("fsck", "--verify-data", "--json"))
    assert fsck["findings"] == []


GAINS = (120.0, 40.0, 1.2, 120.0, 40.0, 1.2, 1.2)
"""ADU/keV of the seven ranges, as the rules of the example want them ordered."""


def write_gains(directory: Path, gains: tuple[float, ...], seed: int) -> Path:
    """Write a delivery of one panel with a spread of two per cent."""
    directory.mkdir()
    random = np.random.default_rng(seed)
    for gain_range, gain in enumerate(gains):
        values = gain * random.normal(1, 0.02, SHAPE[1:])
        np.save(directory / f"g{gain_range}_gain.npy", values.astype(np.float32))
        offsets = random.normal(2000, 20, SHAPE[1:])
        np.save(directory / f"g{gain_range}_offset.npy", offsets.astype(np.float32))
    return directory


def test_deliveries_of_the_type_are_judged_by_its_own_rules(
    store: Path, done: Done, tmp_path: Path
) -> None:
    right = write_gains(tmp_path / "right", GAINS, 7)
    done("module", "add", "M200", right, "--detector-type", "epix10ka")
    swapped = write_gains(tmp_path / "swapped", (GAINS[2], GAINS[1], GAINS[0], *GAINS[3:]), 8)
    command = ("module", "add", "M201", str(swapped), "--detector-type", "epix10ka")
    refused = CliRunner().invoke(app, ["--store", str(store), *command])
    assert refused.exit_code == 4, refused.output
    assert "pixel_gain of gain range 0: ratio to the next gain range 0.03" in refused.stderr


def assert_served(calib: Path, trees: dict[str, GainsTree], name: str, run: int) -> None:
    """See that the legacy finder gives a run what its tree holds, as text has it."""
    for kind, (_, decimals) in KINDS.items():
        path = find_calib_file(calib, SOURCES[name], kind, run)
        assert path, f"nothing serves {name}, run {run}"
        found, want = load_txt(Path(path)), expected(trees, name, kind)
        assert found.shape == want.shape
        assert (
            np.max(np.abs(found.astype(float) - want.astype(float))) <= 0.5 * 10.0**-decimals + 1e-6
        )
