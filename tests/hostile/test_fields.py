"""Every field of every command x every hostile text: an exit code, lines, nothing else written."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from builders import GainsTree, rows
from conftest import RunsProgram
from hostile_texts import TEXTS, is_plain
from panelcal.cli.legacy import constants_program, id_program
from panelcal.exporters.history_file import parse_record

PANEL = "171113-154920171025-3d00fb"
SOURCE = "XcsEndstation.0:Jungfrau.0"
RUN = "exp=xcsls3716:run=631"
OTHER_RUN = "exp=xcsls3716:run=7"
REASON = ("--reason", "r")
AT = ("--at", "20190101000000")
FROM = ("--from", "20200101000000")
DOCUMENTED = frozenset({0, 2, 3, 4, 5, 6})
OR_THE_SYSTEM_REFUSES = DOCUMENTED | {1}
MOST_CHARACTERS = 20_000

Request = Callable[[str], tuple[str, ...]]

TEXT_FIELDS: dict[str, Request] = {
    "assign PANEL": lambda it: ("assign", *REASON, "--from-beginning", "--", it, "M044"),
    "assign MODULE": lambda it: ("assign", *REASON, *FROM, "--", PANEL, it),
    "assign @REV": lambda it: ("assign", *REASON, *FROM, "--", PANEL, f"M044@{it}"),
    "assign --from": lambda it: ("assign", PANEL, "M044", *REASON, "--from", it),
    "assign --reason": lambda it: ("assign", PANEL, "M044", *FROM, "--reason", it),
    "withdraw PANEL": lambda it: ("withdraw", *REASON, *FROM, "--", it),
    "withdraw --reason": lambda it: ("withdraw", PANEL, "--from", "20210101000000", "--reason", it),
    "assign --confirm": lambda it: (
        "assign",
        PANEL,
        "M044",
        *REASON,
        *FROM,
        "--confirm-affects",
        it,
    ),
    "assign --preview": lambda it: ("assign", *REASON, *FROM, "--preview", "--", it, "M044"),
    "propose assign PANEL": lambda it: ("propose", "assign", *REASON, *FROM, "--", it, "M044"),
    "propose assign MODULE": lambda it: ("propose", "assign", *REASON, *FROM, "--", PANEL, it),
    "propose assign --reason": lambda it: (
        "propose",
        "assign",
        PANEL,
        "M044",
        *FROM,
        "--reason",
        it,
    ),
    "propose withdraw --from": lambda it: ("propose", "withdraw", PANEL, *REASON, "--from", it),
    "propose adopt": lambda it: ("propose", "adopt", "--from-serial", "--", it),
    "propose approval-off": lambda it: ("propose", "approval-off", "--reason", it),
    "approve N": lambda it: ("approve", *REASON, "--", it),
    "approve --reason": lambda it: ("approve", "1", "--reason", it),
    "reject N": lambda it: ("reject", *REASON, "--", it),
    "reject --reason": lambda it: ("reject", "1", "--reason", it),
    "proposal show": lambda it: ("proposal", "show", "--", it),
    "approval require --reason": lambda it: ("approval", "require", "--reason", it),
    "resolve DETECTOR": lambda it: ("resolve", "--", it),
    "resolve segment": lambda it: ("resolve", "--", f"jungfrau_{it}"),
    "resolve experiment": lambda it: ("resolve", "--", f"exp={it}:run=1"),
    "resolve run": lambda it: ("resolve", "--", f"exp=xcsls3716:run={it}"),
    "resolve -s": lambda it: ("resolve", "-s", it, "--", RUN),
    "resolve --at": lambda it: ("resolve", PANEL, "--at", it),
    "resolve --at, legacy": lambda it: ("resolve", PANEL, "--policy", "legacy", "--at", it),
    "resolve --as-of": lambda it: ("resolve", PANEL, "--as-of", it),
    "resolve --tag": lambda it: ("resolve", PANEL, "--tag", it),
    "resolve --policy": lambda it: ("resolve", PANEL, "--policy", it),
    "get -k": lambda it: ("get", PANEL, "-o", "o.npz", *AT, "-k", it),
    "panel id": lambda it: ("panel", "id", "--", it, "1", "2"),
    "panel show": lambda it: ("panel", "show", "--", it),
    "panel adopt": lambda it: ("panel", "adopt", "--from-serial", "--", it),
    "panel adopt --like": lambda it: ("panel", "adopt", "--from-serial", "--like", it, PANEL),
    "module add": lambda it: ("module", "add", "--", it, "../jungfrau/M044"),
    "module add --reason": lambda it: ("module", "add", "M9", "../jungfrau/M044", "--reason", it),
    "module add --accept-findings": lambda it: (
        *("module", "add", "M9", "../jungfrau/M044", "--accept-findings"),
        it,
    ),
    "module show": lambda it: ("module", "show", "--", it),
    "module check": lambda it: ("module", "check", "--", it),
    "module check @REV": lambda it: ("module", "check", "--", f"M044@{it}"),
    "module check --for": lambda it: ("module", "check", "../jungfrau/M044", "--for", it),
    "run add DATASET": lambda it: ("run", "add", "-s", SOURCE, "--", it),
    "run add -s": lambda it: ("run", "add", OTHER_RUN, "-s", it),
    "run add --begin": lambda it: ("run", "add", OTHER_RUN, "-s", SOURCE, "--begin", it),
    "run add --detector-id": lambda it: (
        *("run", "add", OTHER_RUN, "-s", SOURCE, "--supersede", "--detector-id"),
        it,
    ),
    "run add --modules": lambda it: (
        *("run", "add", OTHER_RUN, "-s", SOURCE, "--supersede", "--modules"),
        it,
    ),
    "run add --note": lambda it: (
        *("run", "add", OTHER_RUN, "-s", SOURCE, "--supersede", "--note"),
        it,
    ),
    "run list --instrument": lambda it: ("run", "list", "--instrument", it),
    "run list --detector": lambda it: ("run", "list", "--detector", it),
    "run show": lambda it: ("run", "show", "--", it),
    "history": lambda it: ("history", "--", it),
    "history --pixel": lambda it: ("history", PANEL, "--pixel", it),
    "history --pixel of": lambda it: ("history", "--pixel", "1,1", "--", it),
    "diff A": lambda it: ("diff", "--", it, "M044"),
    "diff B": lambda it: ("diff", "--", "M044", it),
    "diff both": lambda it: ("diff", "--", it, it),
    "diff --detector": lambda it: ("diff", *AT[1:], "20200101000000", "--detector", it),
    "diff times": lambda it: ("diff", "--detector", PANEL, "--", it, "20200101000000"),
    "diff -s": lambda it: ("diff", RUN, RUN, "-s", it),
    "diff --tags": lambda it: ("diff", "--tags", "--", it, it),
    "diff --at": lambda it: ("diff", "--tags", "t", "t", "--at", it),
    "diff --as-of": lambda it: ("diff", "M044", "M044", "--as-of", it),
    "diff -k": lambda it: ("diff", "M044", "M044", "-k", it),
    "diff --sigma": lambda it: ("diff", "M044", "M044", "--sigma", it),
    "diff --worst": lambda it: ("diff", "M044", "M044", "--worst", it),
    "timeline": lambda it: ("timeline", "--", it),
    "timeline --as-of": lambda it: ("timeline", PANEL, "--as-of", it),
    "timeline --tag": lambda it: ("timeline", PANEL, "--tag", it),
    "plot set": lambda it: ("plot", "set", "-o", "a.svg", "--", it),
    "plot diff": lambda it: ("plot", "diff", "-o", "a.svg", "--", "M044", it),
    "plot timeline": lambda it: ("plot", "timeline", "-o", "a.svg", "--", it),
    "plot timeline --as-of": lambda it: (
        *("plot", "timeline", PANEL, "-o", "a.svg", "--overwrite", "--as-of"),
        it,
    ),
    "plot pixel PANEL": lambda it: ("plot", "pixel", "-o", "a.svg", "--", it, "1", "2"),
    "plot pixel ROW": lambda it: ("plot", "pixel", "-o", "a.svg", "--", PANEL, it, "2"),
    "plot --dpi": lambda it: ("plot", "set", "M044", "-o", "a.svg", "--dpi", it),
    "tag create NAME": lambda it: ("tag", "create", *REASON, "--", it),
    "tag create --reason": lambda it: ("tag", "create", "t1", "--reason", it),
    "tag create --as-of": lambda it: ("tag", "create", "t2", *REASON, "--as-of", it),
    "tag show": lambda it: ("tag", "show", "--", it),
    "export DATASET": lambda it: ("export", "--", it),
    "export --precision": lambda it: ("export", RUN, "--precision", it),
    "export --format": lambda it: ("export", RUN, "--format", it),
    "deploy --experiment": lambda it: ("deploy", "--calib-root", "root", "--experiment", it),
    "verify --experiment": lambda it: ("verify-deploy", "--calib-root", "root", "--experiment", it),
    "coverage --experiment": lambda it: ("coverage", "--experiment", it),
    "coverage --instrument": lambda it: ("coverage", "--instrument", it),
    "coverage --detector": lambda it: ("coverage", "--detector", it),
    "coverage --older-than": lambda it: ("coverage", "--older-than", it),
    "lint --ignore": lambda it: ("lint", "--ignore", it),
    "module add --detector-type": lambda it: (
        *("module", "add", "M9", "../jungfrau/M044", "--detector-type"),
        it,
    ),
    "import --detector-type": lambda it: (
        *("import", "gains-tree", "../jungfrau", "--detector-type"),
        it,
    ),
    "type show": lambda it: ("type", "show", "--", it),
    "import --experiment": lambda it: ("import", "calib-tree", "root", "--experiment", it),
    "init --time-zone": lambda it: ("init", "new", "--time-zone", it),
    "init --database-url": lambda it: ("init", "new", "--database-url", it),
    "db upgrade": lambda it: ("db", "upgrade", "--", it),
    "db downgrade": lambda it: ("db", "downgrade", "--yes", "--", it),
    "db roles --prefix": lambda it: ("db", "roles", "--prefix", it),
    "db roles --schema": lambda it: ("db", "roles", "--schema", it),
    "bundle --tag": lambda it: ("bundle", "create", "b.zip", "--overwrite", "--tag", it),
    "bundle --detector": lambda it: ("bundle", "create", "b.zip", "--overwrite", "--detector", it),
    "restore --database-url": lambda it: ("restore", "kept", "new", "--database-url", it),
    "gc --older-than": lambda it: ("gc", "--dry-run", "--older-than", it),
    "option": lambda it: ("log", f"--x{it}"),
    "command": lambda it: (f"x{it}",),
}

PATH_FIELDS: dict[str, Request] = {
    "--store": lambda it: ("log", "--store", it),
    "init DIR": lambda it: ("init", "--", it),
    "module add DIR": lambda it: ("module", "add", "--", "M900", it),
    "module check DIR": lambda it: ("module", "check", "--", f"{it}/here"),
    "get -o": lambda it: ("get", PANEL, *AT, "-k", "pixel_gain", "-o", f"{it}.npy"),
    "plot set -o": lambda it: ("plot", "set", "M044", "-o", f"{it}.svg"),
    "export -o": lambda it: ("export", RUN, "-U", "-o", it),
    "export --calib-dir": lambda it: ("export", RUN, "--deploy", "--calib-dir", it),
    "export --dcs": lambda it: ("export", RUN, "--dcs", f"{it}.h5"),
    "deploy --calib-root": lambda it: ("deploy", "--all", "--calib-root", it),
    "verify --calib-root": lambda it: ("verify-deploy", "--calib-root", it),
    "import gains-tree": lambda it: ("import", "gains-tree", "--dry-run", "--", it),
    "import runs": lambda it: ("import", "runs", "--", it),
    "import calib-tree": lambda it: ("import", "calib-tree", "--", it),
    "import dcs": lambda it: ("import", "dcs", "--", it),
    "type add": lambda it: ("type", "add", "--", it),
    "bundle create": lambda it: ("bundle", "create", "--", it),
    "bundle verify": lambda it: ("bundle", "verify", "--", it),
    "bundle import": lambda it: ("bundle", "import", "--", it),
    "backup": lambda it: ("backup", "--", it),
    "backup --update": lambda it: ("backup", "--update", "--", it),
    "restore BACKUP": lambda it: ("restore", "--", it, "new"),
    "restore DIR": lambda it: ("restore", "--", "kept", it),
    "fsck --repair-from": lambda it: ("fsck", "--repair-from", it),
}
WANTS_A_BACKUP = {"restore DIR", "restore --database-url"}

CONSTANTS = ("-d", RUN, "-U")
LEGACY_FIELDS: dict[str, Request] = {
    "-d": lambda it: ("-d", it),
    "-s": lambda it: (*CONSTANTS, "-s", it),
    "-t": lambda it: (*CONSTANTS, "-t", it),
    "-c": lambda it: ("-d", RUN, "-D", "-c", it),
    "-R": lambda it: (*CONSTANTS, "-R", it),
    "-L": lambda it: (*CONSTANTS, "-L", it),
    "--dirmode": lambda it: (*CONSTANTS, "--dirmode", it),
    "--filemode": lambda it: (*CONSTANTS, "--filemode", it),
    "--group": lambda it: (*CONSTANTS, "--group", it),
}

STORED = (
    "assign --reason",
    "propose assign --reason",
    "module show",
    "run add --note",
    "resolve -s",
)
"""Fields whose texts reach the database, which on PostgreSQL takes no NUL."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with room above; what is beside it may not change."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("as it was")
    working = tmp_path / "work" / "above" / "here"
    working.mkdir(parents=True)
    monkeypatch.chdir(working)
    yield working
    assert [path.name for path in outside.rglob("*")] == ["file"]
    assert (outside / "file").read_text() == "as it was"
    assert not list(tmp_path.rglob("pwned"))


@pytest.fixture
def filled(place: Path, panelcal: RunsProgram) -> RunsProgram:
    """The program on a store with a panel, a run and modules."""
    directory = place.parent / "jungfrau"
    directory.mkdir()
    tree = GainsTree(directory)
    tree.module("M044")
    tree.link(f"{PANEL}-20180306000000", "M044")
    assert panelcal("import", "gains-tree", directory).exit_code == 0
    added = panelcal("run", "add", RUN, "-s", SOURCE, "--begin", "20180419000000",
                     "--detector-id", PANEL)  # fmt: skip
    assert added.exit_code == 0
    return panelcal


ALWAYS = ("empty", "NUL", "newline", "escape", "no UTF-8", "megabyte", "up", "SQL", "command")
OTHERS = [kind for kind in TEXTS if kind not in ALWAYS]
AT_ONCE = 6


def keep_a_backup(run: RunsProgram, name: str) -> None:
    """Make what some fields are about."""
    if name in WANTS_A_BACKUP:
        assert run("backup", "kept").exit_code == 0


def texts_for(name: str) -> dict[str, str]:
    """Return texts for a field: the worst, and some of the others, each by another field."""
    first = sum(name.encode()) % len(OTHERS)
    chosen = [*ALWAYS, *(OTHERS * 2)[first : first + AT_ONCE]]
    return {kind: TEXTS[kind] for kind in chosen}


def require_decent(
    result: Result, what: str, text: str, documented: frozenset[int] = DOCUMENTED
) -> None:
    """Fail unless a request ended as documented, in lines of bounded length."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise AssertionError(what) from result.exception
    assert result.exit_code in documented, (what, result.exit_code, result.output[:300])
    assert is_plain(result.output), (what, ascii(result.output[:300]))
    assert len(result.output) < MOST_CHARACTERS, (what, len(result.output))
    if "\n" in text.strip():
        assert text not in result.output, what


def fed(
    run: RunsProgram, name: str, field: Request, documented: frozenset[int] = DOCUMENTED
) -> None:
    for kind, text in texts_for(name).items():
        require_decent(run(*field(text)), f"{name}: {kind}", text, documented)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", TEXT_FIELDS)
def test_a_hostile_text_is_refused_or_kept_as_a_line(filled: RunsProgram, name: str) -> None:
    keep_a_backup(filled, name)
    fed(filled, name, TEXT_FIELDS[name])


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", PATH_FIELDS)
def test_a_hostile_path_is_refused_or_stays_where_it_was_named(
    filled: RunsProgram, name: str
) -> None:
    keep_a_backup(filled, name)
    fed(filled, name, PATH_FIELDS[name], OR_THE_SYSTEM_REFUSES)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", LEGACY_FIELDS)
@pytest.mark.usefixtures("filled")
def test_the_legacy_commands_refuse_hostile_texts(
    name: str, monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    monkeypatch.setenv("SIT_PSDM_DATA", str(place / "data"))
    runner = CliRunner()
    documented = OR_THE_SYSTEM_REFUSES if name in {"-c", "-R"} else DOCUMENTED
    fed(lambda *words: runner.invoke(constants_program, list(map(str, words))), name,
        LEGACY_FIELDS[name], documented)  # fmt: skip
    if name in {"-d", "-s"}:
        dataset: tuple[str, ...] = () if name == "-d" else (RUN,)
        fed(lambda *words: runner.invoke(id_program, list(map(str, words))), name,
            lambda it: (*dataset, "--", it))  # fmt: skip


@pytest.mark.parametrize("name", STORED)
def test_what_is_stored_is_the_text_itself_on_every_engine(
    filled: RunsProgram, store_dir: Path, name: str
) -> None:
    fed(filled, name, TEXT_FIELDS[name])
    if name == "assign --reason":
        kept = {"$(touch pwned)", "%s%n%d", "'); DROP TABLE panel;--", "{0}{self.__class__}"}
        for number, text in enumerate(sorted(kept)):
            start = f"2022010100000{number}"
            added = filled("assign", PANEL, "M044", "--from", start, "--reason", text)
            assert added.exit_code == 0, added.output
        found = {text for (text,) in rows(store_dir, "SELECT reason FROM assignment")}
        assert kept <= found


@pytest.mark.sqlite_only
def test_a_hostile_login_is_refused_or_recorded_and_history_stays_a_line_a_file(
    filled: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (kind, text) in enumerate(TEXTS.items()):
        if "\0" in text or len(text) > 100_000:
            continue  # the system takes no such variable
        monkeypatch.setenv("LOGNAME", text)
        calib = Path(f"calib{number}")
        done = filled("export", RUN, "--deploy", "--calib-dir", calib)
        require_decent(done, kind, text)
        for history in calib.rglob("HISTORY"):
            [line] = history.read_text().splitlines()
            assert is_plain(line)
            found = parse_record(line)
            # Without a login in the environment the system is asked.
            assert found is not None
            assert not text or found.user == text.strip()


ARGUMENTS = [
    *((name, "no UTF-8") for name in ("resolve DETECTOR", "assign --reason", "--store", "backup")),
    *(("import runs", "newline"), ("tag create NAME", "SQL"), ("run add --note", "rocket")),
    *(("export -o", "command"), ("module add DIR", "escape"), ("command", "right to left")),
]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(("name", "kind"), ARGUMENTS)
@pytest.mark.usefixtures("filled")
def test_bytes_of_a_real_command_line_end_as_the_same_texts_do(name: str, kind: str) -> None:
    words = (TEXT_FIELDS | PATH_FIELDS)[name](TEXTS[kind])
    # The system's own words for "no locale at all", where a text may be any bytes.
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"panelcal", *map(os.fsencode, words)],
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "LC_ALL": "C", "NO_COLOR": "1"},
    )
    output = (done.stdout + done.stderr).decode()
    assert done.returncode in DOCUMENTED, output
    assert "Traceback" not in output
    assert is_plain(output)
    assert TEXTS["newline"] not in output


def test_the_texts_of_this_matrix_can_be_arguments_where_a_system_takes_them() -> None:
    # What no process can be given is fed in this process only.
    for text in TEXTS.values():
        if "\0" not in text:
            assert os.fsdecode(os.fsencode(text)) == text
