"""A deploy job that is killed at any point, and run again, leaves what an unkilled one leaves."""

import contextlib
import hashlib
import itertools
import json
import os
import pty
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import panelcal
from builders import GainsTree, fingerprint, rows
from conftest import RunsProgram
from legacy_oracle import load_txt, parse_history

pytestmark = pytest.mark.acceptance

SOURCES = Path(panelcal.__file__).parents[1]
SOME_HAVE_NO_CONSTANTS = 3
EVERY = 7
"""Of the calls at which the job is killed every so many are tried; 1 takes minutes."""
HEADING = "experiment,run,source,begin,detector_id,modules"
SOURCE = "XcsEndstation.0:Jungfrau.0"
OLD = "170505-149520170815-3d00b0_170505-149520170815-3d00f7"
NEW = "171113-154920171025-3d00fb"
RUNS = [
    # Before the first assignment: keeps what it reads, and gets a copy.
    f"xcsls3716,600,{SOURCE},20171205161400,{OLD},",
    f"xcsls3716,610,{SOURCE},20170901000000,{OLD},",
    # A stale file is there already.
    f"xcsls3716,631,{SOURCE},20171205161400,{OLD},",
    f"xcsls3716,632,{SOURCE},20171205161400,{OLD},",
    f"xcsx22015,5,{SOURCE},20180401000000,{NEW},",
    f"xcsx22015,9,{SOURCE},20180401000000,{OLD},",
]

# Runs the program in children of its own, which cost no start-up: a line of standard
# input is a number and arguments; the child dies before its n-th call of those that
# change something which a later job can see, and never if the number is 0.
FORKS = """
import contextlib, functools, importlib, json, os, shutil, signal, sys
sys.path.insert(0, {source!r})
import numpy, sqlalchemy, zarr
import panelcal.cli
import panelcal.services.deploy_job
from sqlalchemy.engine.default import DefaultDialect

left = [0]

def mortal(real):
    @functools.wraps(real)
    def call(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call

for name in "replace rename link mkdir rmdir unlink chmod chown open write fsync".split():
    setattr(os, name, mortal(getattr(os, name)))
shutil.copyfile = mortal(shutil.copyfile)
DefaultDialect.do_commit = mortal(DefaultDialect.do_commit)

for line in sys.stdin:
    count, *arguments = json.loads(line)
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        sys.argv = ["panelcal", *arguments]
        left[0] = count
        panelcal.cli.main()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Runs the program quickly, and lets it be killed at a point."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("w") as stream:
            self._process = subprocess.Popen(
                [sys.executable, "-c", FORKS.format(source=str(SOURCES))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                env={**os.environ, "LOGNAME": "tester"},
                text=True,
            )

    def __call__(self, arguments: list[str], killed_at: int = 0) -> int:
        """Run the program and return its exit code; that of a signal is negative."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([killed_at, *arguments]) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process that forks."""
        self._process.communicate()


class Place:
    """A store and a root, as they are before the job."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = directory / "store"
        self.root = directory / "root"

    def command(self, *options: str) -> list[str]:
        """Return the arguments of the job."""
        named = ["--store", str(self.store), "deploy", "--all", "--calib-root", str(self.root)]
        return [*named, *options]

    def run(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Run the job to its end."""
        return run([sys.executable, "-m", "panelcal", *self.command(*options)])


def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "LOGNAME": "tester"}
    return subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, **options
    )


@pytest.fixture
def forks(tmp_path: Path) -> Iterator[Forks]:
    """The program, ready to run."""
    found = Forks(tmp_path / "log")
    yield found
    found.close()


@pytest.fixture
def place(panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, tmp_path: Path) -> Place:
    """Two experiments: a stale file, a file that a run is to keep, files to be written."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    runs = tmp_path / "runs.csv"
    runs.write_text("\n".join([HEADING, *RUNS, ""]))
    assert panelcal("import", "runs", runs).exit_code == 0
    token = json.loads(panelcal("resolve", "exp=xcsls3716:run=631", "--json").stdout)["token"]
    found = Place(tmp_path / "place")
    found.directory.mkdir()
    shutil.copytree(store_dir, found.store)
    calib = found.root / "XCS" / "xcsls3716" / "calib" / "Jungfrau::CalibV1" / SOURCE
    for kind in ("pixel_gain", "pixel_offset"):
        (calib / kind).mkdir(parents=True)
        (calib / kind / "0-end.data").write_text("1 2\n")
        (calib / kind / "631-end.data").write_text("3 4\n")
        # It was deployed once with the constants that it is to hold again.
        (calib / kind / "HISTORY").write_text(
            f"file:631-end.data   copy_of:/x ctype:{kind} user:tester host:h "
            f"cptime:2025-02-01T10:11:12 cwd:/x cmt:panelcal-token={token}\n"
        )
    return found


def copied(place: Place, name: str) -> Place:
    """Copy a place; what was there under that name is removed."""
    directory = place.directory.with_name(name)
    shutil.rmtree(directory, ignore_errors=True)
    shutil.copytree(place.directory, directory)
    return Place(directory)


Tree = dict[str, Any]


def outcome(place: Place) -> tuple[Tree, dict[str, list[str]], Counter[str]]:
    """Return what a job left: tree, HISTORY without times, deployment rows by file."""
    tree: Tree = {}
    history: dict[str, list[str]] = {}
    for path in sorted(place.root.rglob("*")):
        name = re.sub(r"\.data-\d{4}-\d\d-\d\dT.*", ".data-TIME", str(path.relative_to(place.root)))
        assert name not in tree
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.name == "HISTORY":
            history[name] = [timeless(place, line) for line in path.read_text().splitlines()]
            tree[name] = mode
        elif path.is_file() and path.name != ".panelcal.lock":
            tree[name] = mode, load_txt(path).tobytes()
        else:
            tree[name] = mode
    paths = rows(place.store, "SELECT path FROM deployment")
    return tree, history, Counter(str(Path(path).relative_to(place.root)) for (path,) in paths)


def timeless(place: Place, line: str) -> str:
    record = parse_history(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", record.pop("cptime"))
    return str(record).replace(str(place.directory), "PLACE")


def digests_are_right(place: Place) -> bool:
    """Tell whether the last row of each file has the digest of its bytes."""
    last = dict(rows(place.store, "SELECT path, file_digest FROM deployment ORDER BY id"))
    return all(
        hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest
        for path, digest in last.items()
    )


@pytest.fixture
def expected(place: Place) -> tuple[Tree, dict[str, list[str]], Counter[str]]:
    """What an unkilled job leaves."""
    unkilled = copied(place, "unkilled")
    done = unkilled.run()
    assert done.returncode == 3, done.stderr
    found = outcome(unkilled)
    assert len([name for name in found[0] if name.endswith("-end.data")]) == 12
    assert sum(found[2].values()) == 8
    return found


@pytest.mark.sqlite_only
def test_a_job_killed_at_any_call_and_run_again_leaves_what_an_unkilled_one_leaves(
    place: Place, expected: object, forks: Forks
) -> None:
    for count in itertools.count(1, EVERY):
        killed = copied(place, "killed")
        if forks(killed.command(), killed_at=count) != -signal.SIGKILL:
            break
        assert forks(killed.command()) == SOME_HAVE_NO_CONSTANTS, forks.log.read_text()
        assert outcome(killed) == expected, count
        assert digests_are_right(killed), count
    assert count > 100
    before = fingerprint(killed.store), outcome(killed)
    assert forks(killed.command()) == SOME_HAVE_NO_CONSTANTS
    assert (fingerprint(killed.store), outcome(killed)) == before


@pytest.mark.sqlite_only
@pytest.mark.parametrize("seed", range(3))
def test_a_job_killed_again_and_again_at_random_times_comes_to_its_end(
    place: Place, expected: object, forks: Forks, seed: int
) -> None:
    chance = random.Random(seed)
    killed = copied(place, "killed")
    while forks(killed.command(), killed_at=chance.randrange(1, 120)) == -signal.SIGKILL:
        pass
    assert outcome(killed) == expected
    assert digests_are_right(killed)


WAITS = """
import sys, time
from panelcal.services import deploy_site
from panelcal.cli import main

def waits(*arguments, **options):
    print("at work", flush=True)
    time.sleep(60)

if sys.argv[1] == "before":
    deploy_site.write_files = waits
else:
    from panelcal.services import deploy
    deploy.tell_history = waits
sys.argv[1] = "panelcal"
sys.argv = sys.argv[1:]
main()
"""


def at_work(place: Place, where: str) -> "subprocess.Popen[str]":
    """Start a job that waits before it writes the first file, or when it is in place."""
    started = subprocess.Popen(
        [sys.executable, "-c", WAITS, where, *place.command()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LOGNAME": "tester"},
        text=True,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "at work\n"
    return started


@pytest.mark.sqlite_only
def test_a_second_job_is_refused_until_the_first_is_killed(
    place: Place, expected: object, forks: Forks
) -> None:
    first = copied(place, "killed")
    holder = at_work(first, "before")
    second = first.run()
    assert second.returncode == 4
    assert f"error: a deploy job is already at work in {first.root}\nhint: " in second.stderr
    holder.kill()
    holder.communicate()
    assert forks(first.command()) == SOME_HAVE_NO_CONSTANTS
    assert outcome(first) == expected


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("where", ["before", "after"])
def test_an_interrupt_takes_back_the_run_it_was_at(
    place: Place, forks: Forks, number: signal.Signals, code: int, where: str
) -> None:
    interrupted = copied(place, "killed")
    before = outcome(interrupted)[0]
    started = at_work(interrupted, where)
    started.send_signal(number)
    _, said = started.communicate(timeout=60)
    assert started.returncode == code, said
    after = outcome(interrupted)[0]
    del after[".panelcal.lock"]
    assert {name: about for name, about in after.items() if name in before} == before
    assert not [name for name in after if ".data" in name and name not in before]
    assert forks(interrupted.command()) == SOME_HAVE_NO_CONSTANTS


@pytest.mark.sqlite_only
def test_progress_is_shown_on_a_terminal_and_only_there(place: Place) -> None:
    master, terminal = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-m", "panelcal", *place.command("--json")],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "LOGNAME": "tester", "TERM": "xterm", "COLUMNS": "80"},
        text=True,
    )
    os.close(terminal)
    told, _ = started.communicate()
    shown = b""
    with contextlib.suppress(OSError):
        while part := os.read(master, 1000):
            shown += part
    os.close(master)
    assert json.loads(told)["counts"]["written"] == 5
    assert b"deploying xcs" in shown
    again = place.run("--json")
    assert again.stderr == ""


@pytest.mark.sqlite_only
def test_a_reader_that_goes_away_is_no_failure_that_is_shown(place: Place) -> None:
    command = [sys.executable, "-m", "panelcal", *place.command("--dry-run")]
    piped = subprocess.run(
        ["bash", "-c", '"$@" | head -1', "bash", *command],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "LOGNAME": "tester"},
    )
    assert piped.stdout.startswith("experiment ")
    assert piped.stderr == ""


def test_a_killed_job_is_completed_by_the_next_on_either_engine(place: Place, forks: Forks) -> None:
    for count in (60, 30):
        assert forks(place.command(), killed_at=count) == -signal.SIGKILL
    assert forks(place.command()) == SOME_HAVE_NO_CONSTANTS, forks.log.read_text()
    tree, history, recorded = outcome(place)
    assert not [name for name in tree if ".panelcal-" in name]
    files = [name for name in tree if name.endswith("-end.data") and "/0-end" not in name]
    assert recorded == {name: 1 for name in files if "610-end" not in name}
    for folder, lines in history.items():
        names = [line.split("'")[3] for line in lines]
        there = [Path(name).name for name in files if Path(name).parent == Path(folder).parent]
        assert sorted(names) == sorted([*there, *(name for name in there if name[:3] == "631")])
    assert digests_are_right(place)
