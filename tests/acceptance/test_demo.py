"""What a newcomer sees: `panelcal demo`, checked past panelcal's own readers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import panelcal
from builders import delivered
from legacy_oracle import find_calib_file, load_txt
from visitor import Demo, program_environment

pytestmark = pytest.mark.acceptance

OLD_PAIR = "170505-149520170815-3d00b0_170505-149520170815-3d00f7"
NEW_PAIR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"
SINGLE = "171113-154920171025-3d00fb"

ANSWERS = [
    ("xcsls3716", 631, "XCS", "XcsEndstation.0:Jungfrau.0", OLD_PAIR, ["M068", "M088"]),
    ("mfx11116", 697, "MFX", "MfxEndstation.0:Jungfrau.1", SINGLE, ["M044"]),
    ("mfx05516", 16, "MFX", "MfxEndstation.0:Jungfrau.0", NEW_PAIR, ["M068", "M088"]),
]
"""What the page says of three runs: experiment to modules."""

PAGE_TABLE = [
    ("mfx00616", 8, "MfxEndstation.0:Jungfrau.0", None),
    ("mfx05516", 16, "MfxEndstation.0:Jungfrau.0", NEW_PAIR),
    ("mfxlrl1716", 295, "MfxEndstation.0:Jungfrau.0", NEW_PAIR),
    ("mfxlrl5016", 197, "MfxEndstation.0:Jungfrau.0", NEW_PAIR),
    ("mfx20515", 2, "MfxEndstation.0:Jungfrau.0", OLD_PAIR),
    ("mfx11116", 697, "MfxEndstation.0:Jungfrau.1", SINGLE),
    ("mfxls0816", 193, "MfxEndstation.0:Jungfrau.1", SINGLE),
    ("xcs11116", 18, "XcsEndstation.0:Jungfrau.0", None),
    ("xcsx22015", 555, "XcsEndstation.0:Jungfrau.0", None),
    ("xcsls3716", 631, "XcsEndstation.0:Jungfrau.0", OLD_PAIR),
    ("xcslr6316", 17, "XcsEndstation.0:Jungfrau.1", SINGLE),
    ("cxi11216", 54, "CxiEndstation.0:Jungfrau.0", None),
    ("detdaq17", 68, "DetLab.0:Jungfrau.0", SINGLE),
    ("xppls2416", 247, "XppEndstation.0:Jungfrau.1", NEW_PAIR),
    ("mecls3216", 226, "MecTargetChamber.0:Jungfrau.0", OLD_PAIR),
]
"""The table of the page: experiment, run, source, detector id where it gives one."""

answers = pytest.mark.parametrize(
    ("experiment", "run", "instrument", "source", "detector", "modules"), ANSWERS
)


def test_the_demo_says_in_one_line_that_all_agree(demo: Demo) -> None:
    lines = demo.output.splitlines()
    assert [line for line in lines if line.startswith("all agree: 3 runs")] == lines[-1:]


@answers
def test_the_demo_shows_what_the_page_says(
    demo: Demo,
    experiment: str,
    run: int,
    instrument: str,
    source: str,
    detector: str,
    modules: list[str],
) -> None:
    _, _, told = demo.output.partition(f"\nexp={experiment}:run={run}\n")
    told = told.split("\n\n")[0]
    assert f"detector  {detector}\n" in told
    for index, (panel, module) in enumerate(zip(detector.split("_"), modules, strict=True)):
        assert f"\n{index}      {panel}  {module}@1  " in told
    assert told.count("deployed ") == 2
    assert f"/{instrument}/{experiment}/calib/Jungfrau::CalibV1/{source}/" in told


@answers
def test_the_legacy_reader_finds_and_loads_what_the_tree_holds(
    demo: Demo,
    experiment: str,
    run: int,
    instrument: str,
    source: str,
    detector: str,
    modules: list[str],
) -> None:
    calib = demo.directory / "calib-root" / instrument / experiment / "calib"
    tree = demo.directory / "gains" / "jungfrau"
    for kind, stem, decimals in (("pixel_gain", "gain", 4), ("pixel_offset", "offset", 1)):
        assert not find_calib_file(calib, source, kind, run - 1)
        found = find_calib_file(calib, source, kind, run)
        assert found
        assert found == find_calib_file(calib, source, kind, 9999)
        read = load_txt(Path(found))
        assert read.dtype == np.float32
        expected = np.stack([delivered(tree / module, stem) for module in modules], axis=1)
        assert read.shape == expected.shape == (3, len(detector.split("_")), 512, 1024)
        np.testing.assert_array_equal(
            read, np.round(expected.astype(np.float64), decimals).astype(np.float32)
        )


def test_the_tree_of_the_demo_is_the_listing_of_the_page(demo: Demo) -> None:
    tree = demo.directory / "gains" / "jungfrau"
    links = {path.name: str(path.readlink()) for path in tree.iterdir() if path.is_symlink()}
    assert links == {
        "170505-149520170815-3d00b0-20171025000000": "M068",
        "170505-149520170815-3d00f7-20171025000000": "M088",
        "171113-154920171025-3d00b0": "M068",
        "171113-154920171025-3d00f7": "M088",
        "171113-154920171025-3d00fb-20180306000000": "M044",
    }


def test_all_15_rows_of_the_page_are_registered_as_they_stand(demo: Demo) -> None:
    listed = json.loads(demo.ask("run", "list", "--json").stdout)
    found = {(r["experiment"], r["run"], r["source"], r["detector_id"]) for r in listed}
    assert len(listed) == 15
    assert found == set(PAGE_TABLE)


def test_modules_are_declared_where_the_page_gives_them(demo: Demo) -> None:
    listed = json.loads(demo.ask("run", "list", "--json").stdout)
    declared = {r["experiment"]: r["modules"] for r in listed if r["modules"]}
    assert declared == {"xcsx22015": ["M088", "M068"]}


def test_a_row_without_a_begin_says_so_and_one_with_it_says_it_is_assumed(demo: Demo) -> None:
    for row in json.loads(demo.ask("run", "list", "--json").stdout):
        if row["begin"] is None:
            assert "begin time not given on the page" in row["note"]
        else:
            assert "begin assumed by the demo" in row["note"]


def test_a_run_without_a_begin_asks_for_at(demo: Demo) -> None:
    asked = demo.ask("resolve", "exp=mfxls0816:run=193")
    assert asked.returncode == 2
    assert "without a begin time" in asked.stderr
    assert "--at" in asked.stderr
    answered = demo.ask("resolve", "exp=mfxls0816:run=193", "--at", "20180419000000", "--json")
    assert [panel["module"] for panel in json.loads(answered.stdout)["panels"]] == ["M044"]


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("mx11116", "mfx11116"), ("xcs1s3716", "xcsls3716"), ("mfxlr1716", "mfxlrl1716")],
)
def test_a_misspelt_experiment_is_answered_with_the_nearest_names(
    demo: Demo, misspelt: str, meant: str
) -> None:
    asked = demo.ask("resolve", f"exp={misspelt}:run=1")
    assert asked.returncode == 3
    assert f"exp={meant}:run=" in asked.stderr


def test_instruments_and_detectors_filter_runs_as_find_detector_runs_does(demo: Demo) -> None:
    listed = json.loads(
        demo.ask("run", "list", "--instrument", "MFX", "--detector", "jungfrau", "--json").stdout
    )
    expected = sorted(row[0] for row in PAGE_TABLE if row[0].startswith("mfx"))
    assert [row["experiment"] for row in listed] == expected


def test_python_gives_what_id_jungfrau_gives(demo: Demo) -> None:
    with panelcal.open_store(demo.directory / "store") as store:
        name = "exp=xcsls3716:run=631"
        assert store.detector_id(name, "Jungfrau.0") == OLD_PAIR
        assert store.detector_id(name, "Jungfrau", segment=1) == OLD_PAIR.split("_")[1]
        assert store.detector_id("exp=xcsx22015:run=555") == "XcsEndstation.0-Jungfrau.0"


def test_python_loads_what_was_delivered_bit_by_bit(demo: Demo) -> None:
    tree = demo.directory / "gains" / "jungfrau"
    with panelcal.open_store(demo.directory / "store") as store:
        arrays = store.resolve("exp=xcsls3716:run=631").arrays()
    for kind, stem in (("pixel_gain", "gain"), ("pixel_offset", "offset")):
        expected = np.stack([delivered(tree / name, stem) for name in ("M068", "M088")], axis=1)
        assert arrays[kind].dtype == np.float32
        assert arrays[kind].tobytes() == expected.tobytes()


def test_the_token_is_the_same_from_python_and_from_the_program(demo: Demo) -> None:
    told = json.loads(demo.ask("resolve", "exp=xcsls3716:run=631", "--json").stdout)
    with panelcal.open_store(demo.directory / "store") as store:
        assert store.resolve("exp=xcsls3716:run=631").token == told["token"]


def test_the_demo_does_not_write_over_anything(demo: Demo) -> None:
    again = demo.ask("demo", ".demo")
    assert again.returncode == 4
    assert "not an empty directory" in again.stderr


def test_a_closed_pipe_ends_the_program_quietly(demo: Demo) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        ["panelcal", "run", "list", "--json"],
        env=demo.environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_under_standard_output_is_told(demo: Demo) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            ["panelcal", "run", "list"],
            env=demo.environment,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_program_without_a_traceback_or_leftovers(
    tmp_path: Path, number: int
) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "panelcal", "demo", str(tmp_path / "demo")],
        env=program_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "demo" / "store").exists():
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    _, told = child.communicate()
    assert child.returncode == 128 + number
    assert "Traceback" not in told
    assert list((tmp_path / "demo").rglob(".panelcal-*")) == []


def test_a_closed_standard_output_is_no_error(demo: Demo) -> None:
    command = f"{sys.executable} -m panelcal run list >&-"
    done = subprocess.run(
        ["sh", "-c", command], env=demo.environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
