"""HISTORY: three dialects are read, one is written."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legacy_oracle import parse_history
from panelcal.errors import InvalidInputError
from panelcal.exporters.history_file import (
    append_history,
    history_record,
    parse_record,
    read_history,
)
from panelcal.exporters.permissions import Permissions
from panelcal.exporters.text_array import Environment

LEGACY = (
    "file:631-end.data   copy_of:/data/a b.txt ctype:pixel_gain user:joe host:psana101 "
    "cptime:2018-03-06T10:11:12 cwd:/work cmt:"
)
DEPLOY_FILE = (
    "file:631-end.data  copy_of:/data/x.txt  exp:xcsls3716  run:0631  app:roi-pixel   "
    "user:joe  host:psana101  cptime:2018-03-06T10:11:12  zone:PST         comment:file: by hand"
)
CALIBMAN = (
    "file:631-end.data  exp:xcsls3716  run:0631  comment:new gains  user:joe  host:psana101  "
    "cptime:2018-03-06T10:11:12"
)


@pytest.fixture
def umask() -> Iterator[None]:
    """A umask that leaves nothing to the group."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize("line", [LEGACY, DEPLOY_FILE, CALIBMAN])
def test_every_dialect_tells_file_user_host_and_time(line: str) -> None:
    record = parse_record(line)
    assert record is not None
    told = (record.file, record.user, record.host, record.time, record.token)
    assert told == ("631-end.data", "joe", "psana101", "2018-03-06T10:11:12", "")


def test_blanks_inside_a_field_belong_to_it() -> None:
    legacy, deployed, calibman = map(parse_record, (LEGACY, DEPLOY_FILE, CALIBMAN))
    assert legacy is not None
    assert deployed is not None
    assert calibman is not None
    assert (legacy.copy_of, legacy.comment) == ("/data/a b.txt", "")
    assert (deployed.comment, deployed.experiment, deployed.run) == (
        "file: by hand",
        "xcsls3716",
        "0631",
    )
    assert (calibman.comment, calibman.copy_of) == ("new gains", "")


@pytest.mark.parametrize("line", ["", "# by hand", "copied 631-end.data", "file: ctype:x"])
def test_a_line_that_names_no_file_is_no_record(line: str) -> None:
    assert parse_record(line) is None


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@given(user=texts, host=texts, work_dir=texts, source=texts)
def test_what_is_written_is_one_line_that_is_read_back(
    user: str, host: str, work_dir: str, source: str
) -> None:
    environment = Environment(user, host, work_dir)
    token = "52f56dc8d9aaa998"
    line = history_record(
        Path("/c/631-end.data"), source, "pixel_gain", environment, "2026-02-01T10:11:12",
        f"panelcal-token={token}",
    )  # fmt: skip
    assert line.endswith("\n")
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert not set(line) & set("$`\"'\\")
    record = parse_record(line)
    assert record is not None
    assert (record.user, record.host, record.copy_of) == (user, host, source)
    assert (record.time, record.token) == ("2026-02-01T10:11:12", token)
    assert parse_history(line)["cmt"] == f"panelcal-token={token}"


@pytest.mark.parametrize("text", ["/data/100%25/store", "/100%/a", "%", "%%41", "/a%20b c"])
def test_percent_signs_come_back_as_they_are(text: str) -> None:
    line = history_record(
        Path("/c/631-end.data"), text, "pixel_gain", Environment(text, text, text),
        "2026-02-01T10:11:12", "panelcal-kept-for-run=631",
    )  # fmt: skip
    record = parse_record(line)
    assert record is not None
    assert (record.copy_of, record.user, record.host) == (text, text, text)
    assert {unquote(parse_history(line)[key]) for key in ("copy_of", "user", "host")} == {text}


def test_only_panelcals_own_records_are_unquoted() -> None:
    record = parse_record("file:1-end.data copy_of:/a%20b cmt:mine")
    assert record is not None
    assert record.copy_of == "/a%20b"


def test_the_last_record_of_a_file_counts(tmp_path: Path) -> None:
    lines = [LEGACY, DEPLOY_FILE.replace("631", "700"), CALIBMAN, "rubbish \udcff", ""]
    (tmp_path / "HISTORY").write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    found = read_history(tmp_path)
    assert sorted(found) == ["631-end.data", "700-end.data"]
    assert found["631-end.data"].comment == "new gains"


def test_no_file_has_no_records(tmp_path: Path) -> None:
    assert read_history(tmp_path) == {}


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "HISTORY")
    # Somebody who opens a pipe for reading waits for ever.
    monkeypatch.setattr(Path, "read_bytes", None)
    with pytest.raises(InvalidInputError, match="HISTORY cannot be read: it is no regular file"):
        read_history(tmp_path)


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize("is_there", [True, False])
def test_a_new_or_empty_file_gets_its_mode_whatever_the_umask(
    tmp_path: Path, is_there: bool
) -> None:
    path = tmp_path / "HISTORY"
    if is_there:
        path.touch()
    append_history(tmp_path, "one\n", Permissions(file_mode=0o640))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    append_history(tmp_path, "two\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "one\ntwo\n"


def test_a_last_line_without_an_end_is_ended_first(tmp_path: Path) -> None:
    path = tmp_path / "HISTORY"
    path.write_text("by hand")
    append_history(tmp_path, "one\n")
    assert path.read_text() == "by hand\none\n"


def test_a_record_that_is_cut_off_by_a_full_disk_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", lambda *_: 2)
    with pytest.raises(OSError, match="No space left"):
        append_history(tmp_path, "one\n")


def test_a_record_is_taken_back_and_the_others_stay(tmp_path: Path) -> None:
    append_history(tmp_path, "file:1-end.data\n")
    append_history(tmp_path, "file:2-end.data\n").take_back()
    assert (tmp_path / "HISTORY").read_text() == "file:1-end.data\n"


def test_a_record_that_others_follow_is_not_taken_back(tmp_path: Path) -> None:
    first = append_history(tmp_path, "file:1-end.data\n")
    append_history(tmp_path, "file:2-end.data\n")
    first.take_back()
    assert sorted(read_history(tmp_path)) == ["1-end.data", "2-end.data"]


def test_a_first_record_is_taken_back_with_the_file(tmp_path: Path) -> None:
    append_history(tmp_path, "file:1-end.data\n").take_back()
    assert list(tmp_path.iterdir()) == []
