"""The ``dcs add`` commands, pasted into a real shell."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from panelcal.domain.runs import Dataset
from panelcal.errors import InvalidInputError
from panelcal.exporters.dcs_commands import dcs_add_commands

DATASET = Dataset("xcsls3716", 631)
SOURCE = "XcsEndstation.0:Jungfrau.0"
H5 = "jungfrau-170505-149520170815-3d00b0.h5"
SEE = "jungfrau_gain_constants -d exp=xcsls3716:run=631 -U"

AWKWARD = [
    "plain",
    "with blank",
    "it's",
    'a"quote',
    "$HOME",
    "`id`",
    "back\\slash",
    "semi;colon & more",
    "star*?[a]",
    "~",
    "#hash",
    "!bang",
    "caf\u00e9",
]


def commands(h5_file: Path, *text_files: Path) -> list[str]:
    kinds = ("pixel_gain", "pixel_offset")
    files = dict(zip(kinds, text_files, strict=False))
    return dcs_add_commands(h5_file, files, 1508914800, DATASET, SOURCE, SEE)


@pytest.fixture
def fake_dcs(tmp_path: Path) -> Path:
    """A directory with a program ``dcs`` that prints its arguments as JSON."""
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "dcs"
    program.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    program.chmod(0o755)
    return programs


def pasted(line: str, programs: Path) -> list[str]:
    """Return what ``dcs`` is given when a line is pasted into a shell."""
    done = subprocess.run(
        ["sh"],
        input=f"{line}\n",
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": "/home/nobody", "LC_ALL": "C.UTF-8"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    found: list[str] = json.loads(done.stdout)
    return found


def expected(h5_file: str, kind: str, text_file: str) -> list[str]:
    return [
        *("add", h5_file, "-t", kind, "-f", text_file, "-T", "1508914800"),
        *("-m", f"See command: {SEE}", "-e", "xcsls3716", "-r", "631", "-d", SOURCE),
    ]


def test_there_is_one_command_a_kind_in_their_order() -> None:
    lines = commands(Path("/r") / H5, Path("g.txt"), Path("o.txt"))
    assert [shlex.split(line) for line in lines] == [
        ["dcs", *expected(f"/r/{H5}", "pixel_gain", "g.txt")],
        ["dcs", *expected(f"/r/{H5}", "pixel_offset", "o.txt")],
    ]


def test_a_usual_command_needs_quotes_around_its_comment_only() -> None:
    [line] = commands(Path("/r") / H5, Path(f"xcsls3716-r0631_{SOURCE}_pixel_gain.txt"))
    assert line == (
        f"dcs add /r/{H5} -t pixel_gain -f xcsls3716-r0631_{SOURCE}_pixel_gain.txt "
        f"-T 1508914800 -m 'See command: {SEE}' -e xcsls3716 -r 631 -d {SOURCE}"
    )


@pytest.mark.parametrize("name", AWKWARD)
def test_a_shell_hands_over_awkward_names_as_they_are(fake_dcs: Path, name: str) -> None:
    [line] = commands(Path(name) / H5, Path(name) / "gain.txt")
    assert pasted(line, fake_dcs) == expected(f"{name}/{H5}", "pixel_gain", f"{name}/gain.txt")


@pytest.mark.parametrize("name", ["-x", "--help", "-"])
def test_a_leading_dash_is_not_taken_for_an_option(fake_dcs: Path, name: str) -> None:
    [line] = commands(Path(name) / H5, Path(name) / "gain.txt")
    found = pasted(line, fake_dcs)
    assert found == expected(f"./{name}/{H5}", "pixel_gain", f"./{name}/gain.txt")


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x1b[2Jb", "a\udcffb", "a\u202eb"])
@pytest.mark.parametrize("of", ["h5", "text"])
def test_what_cannot_be_pasted_is_refused(name: str, of: str) -> None:
    odd, usual = Path(name) / "x", Path("x")
    with pytest.raises(InvalidInputError, match="control character"):
        commands(*((odd, usual) if of == "h5" else (usual, odd)))
