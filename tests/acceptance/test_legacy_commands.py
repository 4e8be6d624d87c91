"""The drop-in commands as installed, in child processes, on panels of the real size."""

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from builders import delivered
from legacy_oracle import find_calib_file, load_txt
from visitor import Demo

pytestmark = pytest.mark.acceptance

DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
DETECTOR = "170505-149520170815-3d00b0_170505-149520170815-3d00f7"
H5 = f"jungfrau-{DETECTOR}.h5"
PREFIX = f"xcsls3716-r0631_{SOURCE}_{DETECTOR}"
KINDS = {"pixel_gain": ("gain", 4), "pixel_offset": ("offset", 1)}
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
HEAVY = {"sqlalchemy", "zarr", "alembic", "numpy", "rich", "h5py"}


def ask(
    demo: Demo, cwd: Path, *command: str | Path, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program of the installation on the demo's store."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=demo.environment | environment,
        check=False,
        capture_output=True,
        text=True,
    )


def ask_within_modes(
    demo: Demo, cwd: Path, *command: str | Path
) -> "subprocess.CompletedProcess[str]":
    """Run a program for whom the modes of files count, though root may run the tests."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=demo.environment,
        preexec_fn=heed_modes if os.geteuid() == 0 else None,
        check=False,
        capture_output=True,
        text=True,
    )


def heed_modes() -> None:
    """Leave root's right to pass over the modes of files behind on the next exec."""
    if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
        msg = "root's rights cannot be left behind here"
        raise OSError(msg)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_id_of_a_run_is_told_as_on_the_page(demo: Demo, tmp_path: Path) -> None:
    done = ask(demo, tmp_path, "jungfrau_id", DATASET, "Jungfrau.0")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f'Finding Jungfrau Id in dataset "{DATASET}" using name pattern Jungfrau.0\n'
        f"Found source: XcsEndstation.0-Jungfrau.0, number of panels: 2\n"
        f"Jungfrau id: {DETECTOR}\n"
    )


def test_the_command_of_the_page_writes_and_deploys_what_psana_reads(
    demo: Demo, tmp_path: Path
) -> None:
    work, experiment = tmp_path / "work", tmp_path / "data" / "XCS" / "xcsls3716"
    work.mkdir()
    experiment.mkdir(parents=True)
    done = ask(
        demo, work, "jungfrau_gain_constants", "-d", DATASET, "-D", "-s", "Jungfrau.0",
        SIT_PSDM_DATA=str(tmp_path / "data"),
    )  # fmt: skip
    assert done.returncode == 0
    assert "20150101000000" in done.stderr
    assert names_in(work) == sorted(f"{PREFIX}_{k}.{end}" for k in KINDS for end in ("npz", "txt"))
    tree = demo.directory / "gains" / "jungfrau"
    for kind, (stem, decimals) in KINDS.items():
        merged = np.stack([delivered(tree / one, stem) for one in ("M068", "M088")], axis=1)
        found = find_calib_file(experiment / "calib", SOURCE, kind, 631)
        assert found
        np.testing.assert_array_equal(
            load_txt(Path(found)), np.round(merged.astype(np.float64), decimals).astype(np.float32)
        )
        with np.load(work / f"{PREFIX}_{kind}.npz") as local:
            np.testing.assert_array_equal(local[kind], merged)


def test_pasted_upload_commands_reach_dcs_as_they_are_meant(demo: Demo, tmp_path: Path) -> None:
    programs, work = tmp_path / "programs", tmp_path / "it's $HOME; `id`"
    programs.mkdir()
    work.mkdir()
    program = programs / "dcs"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    repository = "-r $x 'y'"
    told = ask(
        demo, work, "jungfrau_gain_constants", DATASET, "-U", "-R", repository, "-L", "WARNING"
    )
    assert told.returncode == 0
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    pasted = subprocess.run(
        ["sh"], input=told.stdout, cwd=work, env={"PATH": path}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    given = [json.loads(line) for line in pasted.stdout.splitlines()]
    assert given == [
        [
            *("add", f"./{repository}/{H5}", "-t", kind, "-f", f"{PREFIX}_{kind}.txt"),
            *("-T", "1508914800", "-m", f"See command: jungfrau_gain_constants -d {DATASET} -U"),
            *("-e", "xcsls3716", "-r", "631", "-d", SOURCE),
        ]
        for kind in KINDS
    ]
    assert all((work / words[words.index("-f") + 1]).is_file() for words in given)


@pytest.mark.parametrize("command", [["jungfrau_id"], ["jungfrau_gain_constants", "-U"]])
def test_a_reader_that_has_gone_ends_a_command_quietly_and_not_with_0(
    demo: Demo, tmp_path: Path, command: list[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*command, DATASET], cwd=tmp_path, env=demo.environment, stdout=writer,
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("command", ["jungfrau_id", "jungfrau_gain_constants"])
@pytest.mark.parametrize(
    ("output", "said"), [("-", "standard output is closed"), ("/dev/full", "No space left")]
)
def test_an_output_that_takes_nothing_is_told(
    demo: Demo, tmp_path: Path, command: str, output: str, said: str
) -> None:
    redirected = ">&-" if output == "-" else f"> {output}"
    done = ask(demo, tmp_path, "sh", "-c", f"{command} {shlex.quote(DATASET)} {redirected}")
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert names_in(tmp_path) == []


def test_a_directory_that_may_not_be_written_fails_with_its_name(
    demo: Demo, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir(mode=0o555)
    done = ask_within_modes(demo, work, "jungfrau_gain_constants", DATASET)
    assert done.returncode == 2
    assert f"{work}: permission denied" in done.stderr
    assert "hint: " in done.stderr


def test_a_calib_directory_that_may_not_be_written_fails(demo: Demo, tmp_path: Path) -> None:
    work, calib = tmp_path / "work", tmp_path / "calib"
    work.mkdir()
    calib.mkdir(mode=0o555)
    done = ask_within_modes(demo, work, "jungfrau_gain_constants", DATASET, "-D", "-c", calib)
    assert done.returncode in (1, 2)
    assert str(calib) in done.stderr
    assert "Traceback" not in done.stderr
    assert names_in(calib) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_neither_files_nor_a_traceback(
    demo: Demo, tmp_path: Path, number: int
) -> None:
    child = subprocess.Popen(
        ["jungfrau_gain_constants", DATASET],
        cwd=tmp_path,
        env=demo.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not names_in(tmp_path):
        assert child.poll() is None
        time.sleep(0.01)
    child.send_signal(number)
    _, told = child.communicate()
    assert child.returncode == 128 + number
    assert "Traceback" not in told
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("program", ["id_program", "constants_program"])
@pytest.mark.parametrize("arguments", [["-h"], [], ["--frob"]], ids=" ".join)
def test_help_and_mistakes_import_nothing_heavy(program: str, arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"from panelcal.cli.legacy import {program} as program\n"
        f"try: program({arguments!r})\n"
        "except SystemExit: pass\n"
        "sys.stderr.write('\\n' + ' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(done.stderr.splitlines()[-1].split()) & HEAVY
