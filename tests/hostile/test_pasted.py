"""What is pasted into a shell or read from HISTORY is the value itself, whatever it holds."""

import shlex
import subprocess
from pathlib import Path

import pytest

from hostile_texts import TEXTS, is_plain
from panelcal.domain.runs import Dataset
from panelcal.errors import InvalidInputError
from panelcal.exporters.dcs_commands import dcs_add_commands
from panelcal.exporters.history_file import history_record, parse_record
from panelcal.exporters.text_array import Environment

DATASET = Dataset("xcsls3716", 631)
SOURCE = "XcsEndstation.0:Jungfrau.0"
SHORT = {kind: text for kind, text in TEXTS.items() if 0 < len(text) < 1000}


def handed_over(line: str) -> list[str]:
    """Return what a real shell hands to a program, a line each."""
    done = subprocess.run(
        ["sh", "-c", f"set -- {line}\nfor it; do printf '%s\\n' \"$it\"; done"],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    return done.stdout.decode("utf-8", "surrogateescape").split("\n")[:-1]


@pytest.mark.parametrize("kind", SHORT)
def test_a_dcs_line_gives_a_shell_the_path_itself_or_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(SHORT[kind])
    try:
        [line] = dcs_add_commands(path, {"pixel_gain": path}, 0, DATASET, SOURCE, "see")
    except InvalidInputError:
        assert not is_plain(SHORT[kind]) or "\n" in SHORT[kind]
        return
    assert is_plain(line)
    assert "\n" not in line
    words = handed_over(line)
    assert words == shlex.split(line)
    shown = f"./{path}" if str(path).startswith("-") else str(path)
    assert words[2] == shown
    assert words[6] == shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", SHORT)
def test_a_record_of_history_is_one_plain_line_and_gives_back_every_field(kind: str) -> None:
    text = SHORT[kind]
    line = history_record(
        Path("631-end.data"),
        text,
        "pixel_gain",
        Environment(text, text, text),
        "2018-03-06T00:00:00",
        "panelcal-token=0123456789abcdef",
    )
    assert line.count("\n") == 1
    assert is_plain(line)
    found = parse_record(line.rstrip("\n"))
    assert found is not None
    assert (found.file, found.copy_of, found.user, found.host) == ("631-end.data", *[text] * 3)
    assert found.token == "0123456789abcdef"
