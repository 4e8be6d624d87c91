"""``panelcal export --calib-dir C --deploy``: what psana finds afterwards."""

import hashlib
import json
import os
import re
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from sqlalchemy.engine.default import DefaultDialect
from typer.testing import Result

from builders import GainsTree, confirmed, damage, delivered, rows
from conftest import RunsProgram
from legacy_oracle import find_calib_file, load_txt, parse_history
from panelcal.errors import PanelcalError
from panelcal.exporters import text_array
from panelcal.services import deploy as deploy_service
from panelcal.services import deployed
from panelcal.services import export as export_service
from panelcal.storage.store import open_store

DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
PANELS = ("170505-149520170815-3d00b0", "170505-149520170815-3d00f7")
DETECTOR = "_".join(PANELS)
MODULES = ("M068", "M088")
STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}
FORMATS = {"pixel_gain": "%.4f", "pixel_offset": "%.1f"}
HISTORY_KEYS = ["file", "copy_of", "ctype", "user", "host", "cptime", "cwd", "cmt"]

Array = np.ndarray[Any, np.dtype[np.float32]]
NothingWritten = Callable[[], AbstractContextManager[None]]


class Deploys:
    """Registers runs and deploys them into one calib directory."""

    def __init__(self, panelcal: RunsProgram, calib: Path) -> None:
        self.panelcal = panelcal
        self.calib = calib

    def __call__(self, *options: str | Path, dataset: str = DATASET) -> Result:
        return self.panelcal("export", dataset, "--calib-dir", self.calib, "--deploy", *options)

    def run(self, dataset: str, *options: str, source: str = SOURCE) -> None:
        """Register a run."""
        assert self.panelcal("run", "add", dataset, "-s", source, *options).exit_code == 0

    def reassign(self, start: str) -> None:
        """Let the first panel use M044 from a time on."""
        arguments = ("assign", PANELS[0], "M044", "--from", start, "--reason", "test")
        assert self.panelcal(*confirmed(self.panelcal, *arguments)).exit_code == 0

    def token(self, dataset: str = DATASET) -> str:
        """Return the token that `resolve` gives."""
        document = json.loads(self.panelcal("resolve", dataset, "--json").stdout)
        return str(document["token"])

    def folder(self, kind: str, source: str = SOURCE) -> Path:
        """Return where the files of a kind belong."""
        return self.calib / "Jungfrau::CalibV1" / source / kind

    def place(self, kind: str, name: str, content: bytes = b"1 2\n3 4\n") -> Path:
        """Put a file there by hand."""
        path = self.folder(kind) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def found(self, kind: str, run: int, source: str = SOURCE) -> Path:
        """Return the file that psana reads for a run."""
        found = find_calib_file(self.calib, source, kind, run)
        assert found
        return Path(found)

    def history(self, kind: str) -> list[str]:
        """Return the lines of a HISTORY file."""
        return (self.folder(kind) / "HISTORY").read_text().splitlines(keepends=True)


@pytest.fixture
def page(panelcal: RunsProgram, page_tree: GainsTree) -> GainsTree:
    """The page's tree, imported."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    return page_tree


@pytest.fixture
def deploys(panelcal: RunsProgram, page: GainsTree, tmp_path: Path) -> Deploys:
    """Run 631 of the page, registered, and a calib directory that is not there yet."""
    assert page.path.is_dir()
    (tmp_path / "data").mkdir()
    found = Deploys(panelcal, tmp_path / "data" / "calib")
    found.run(DATASET, "--begin", "20171205161400", "--detector-id", DETECTOR)
    return found


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """A umask that leaves nothing to the group."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def printed(tree: GainsTree, kind: str, modules: tuple[str, ...] = MODULES) -> Array:
    """Return what was delivered, as a reader gets it after printf."""
    array = np.stack([delivered(tree.path / one, STEMS[kind]) for one in modules], axis=1)
    flat = [float(FORMATS[kind] % value) for value in array.ravel().tolist()]
    return np.array(flat, np.float32).reshape(array.shape)


def bits(array: Array) -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def contents(directory: Path) -> dict[str, bytes | None]:
    """Return every path below a directory, files with their bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in sorted(directory.rglob("*"))
    }


def times(directory: Path) -> dict[str, int]:
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    return {str(path): path.stat().st_mtime_ns for path in files}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_files_are_at_the_path_that_psana_reads_and_nothing_else_is(deploys: Deploys) -> None:
    assert deploys().exit_code == 0
    folder = f"calib/Jungfrau::CalibV1/{SOURCE}"
    assert sorted(contents(deploys.calib.parent)) == sorted(
        ["calib", "calib/Jungfrau::CalibV1", folder]
        + [f"{folder}/{kind}{name}" for kind in STEMS for name in ("", "/631-end.data", "/HISTORY")]
    )


@pytest.mark.parametrize("kind", STEMS)
def test_psana_finds_the_file_from_the_run_on_and_not_before(deploys: Deploys, kind: str) -> None:
    assert deploys().exit_code == 0
    for run in (631, 632, 9999, 20000):
        assert deploys.found(kind, run) == deploys.folder(kind) / "631-end.data"
    for run in (0, 630):
        assert find_calib_file(deploys.calib, SOURCE, kind, run) == ""


@pytest.mark.parametrize("kind", STEMS)
def test_psana_reads_the_delivered_values_as_printf_rounds_them(
    deploys: Deploys, page: GainsTree, kind: str
) -> None:
    assert deploys().exit_code == 0
    assert bits(load_txt(deploys.found(kind, 631))) == bits(printed(page, kind))


@pytest.mark.parametrize("kind", STEMS)
def test_full_precision_deploys_every_bit(deploys: Deploys, page: GainsTree, kind: str) -> None:
    assert deploys("--precision", "full").exit_code == 0
    expected = np.stack([delivered(page.path / one, STEMS[kind]) for one in MODULES], axis=1)
    assert bits(load_txt(deploys.found(kind, 631))) == bits(expected)


def test_the_header_says_token_path_place_and_layout(deploys: Deploys) -> None:
    assert deploys().exit_code == 0
    path = deploys.folder("pixel_gain") / "631-end.data"
    comments, facts, layout, _ = path.read_text().split("\n\n")
    assert deploys.token() in comments
    assert "# DTYPE       float32\n# NDIM        4\n# DIM:0       3\n# DIM:1       2" in layout
    lines = facts.splitlines()
    assert f"# HOST        {socket.gethostname()}" in lines
    assert f"# WORK_DIR    {Path.cwd()}" in lines
    assert f"# FILE_NAME   {path}" in lines
    assert "# UID         tester" in lines
    assert "# SHAPE       (3,2,4,8)" in lines
    assert "# DATATYPE    float32" in lines


@pytest.mark.usefixtures("strict_umask")
def test_modes_are_those_of_the_calib_tree_whatever_the_umask(deploys: Deploys) -> None:
    assert deploys().exit_code == 0
    found = {path: mode(path) for path in [deploys.calib, *deploys.calib.rglob("*")]}
    assert found == {path: 0o2775 if path.is_dir() else 0o664 for path in found}


def test_directories_that_were_there_keep_their_mode(deploys: Deploys) -> None:
    deploys.folder("pixel_gain").mkdir(parents=True)
    deploys.calib.chmod(0o700)
    deploys.folder("pixel_gain").chmod(0o750)
    assert deploys().exit_code == 0
    assert mode(deploys.calib) == 0o700
    assert mode(deploys.folder("pixel_gain")) == 0o750


@pytest.mark.parametrize("kind", STEMS)
def test_history_gets_one_record_in_the_legacy_form(
    deploys: Deploys, store_dir: Path, kind: str
) -> None:
    assert deploys().exit_code == 0
    [line] = deploys.history(kind)
    record = parse_history(line)
    assert deploys.token() in record["cmt"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", record["cptime"])
    assert line == (
        f"file:631-end.data   copy_of:{store_dir} ctype:{kind} user:tester "
        f"host:{socket.gethostname()} cptime:{record['cptime']} cwd:{Path.cwd()} "
        f"cmt:{record['cmt']}\n"
    )


def test_history_header_and_row_tell_one_facility_time(deploys: Deploys, store_dir: Path) -> None:
    assert deploys().exit_code == 0
    [(deployed_at_us,)] = rows(store_dir, "SELECT DISTINCT deployed_at_us FROM deployment")
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=deployed_at_us)
    local = moment.astimezone(ZoneInfo("America/Los_Angeles")).strftime("%Y-%m-%dT%H:%M:%S")
    for kind in STEMS:
        assert parse_history(deploys.history(kind)[0])["cptime"] == local
        text = deploys.found(kind, 631).read_text()
        assert f"# DATE_TIME   {local}\n" in text


def test_history_keeps_what_others_wrote(deploys: Deploys) -> None:
    old = b"file:0-end.data  copy_of:/a  exp:xcs  run:0000  comment:by calibman\n"
    deploys.place("pixel_gain", "HISTORY", old)
    assert deploys().exit_code == 0
    first, second = deploys.history("pixel_gain")
    assert first.encode() == old
    assert parse_history(second)["file"] == "631-end.data"


@pytest.mark.parametrize(
    "name", ['it\'s "a" $HOME `dir` with: blanks', "and\\backslash", "\u00fcber #1 ; & (x)"]
)
def test_no_directory_name_breaks_a_record(
    deploys: Deploys, store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    strange = tmp_path / name
    shutil.copytree(store_dir, strange / "store")
    monkeypatch.chdir(strange)
    assert deploys("--store", strange / "store").exit_code == 0
    [line] = deploys.history("pixel_gain")
    record = parse_history(line)
    assert list(record) == HISTORY_KEYS
    assert unquote(record["cwd"]) == str(strange)
    assert unquote(record["copy_of"]) == str(strange / "store")
    assert not set(line) & set("$`\"'\\")
    assert load_txt(deploys.found("pixel_gain", 631)).shape == (3, 2, 4, 8)


@pytest.mark.parametrize("name", ["tab\tand\\backslash", "of two\nlines", "a\u202eb"])
def test_a_store_named_in_more_than_a_line_is_refused_and_a_working_directory_is_recorded(
    deploys: Deploys, store_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    strange = tmp_path / name
    shutil.copytree(store_dir, strange / "store")
    monkeypatch.chdir(strange)
    refused = deploys("--store", strange / "store")
    assert refused.exit_code == 2
    assert "the path holds the control character" in refused.stderr
    assert not deploys.folder("pixel_gain").exists()
    assert deploys().exit_code == 0
    [line] = deploys.history("pixel_gain")
    assert unquote(parse_history(line)["cwd"]) == str(strange)


@pytest.mark.parametrize("kind", STEMS)
def test_a_new_answer_replaces_the_file_and_keeps_the_old_one(
    deploys: Deploys, page: GainsTree, kind: str
) -> None:
    deploys()
    old = deploys.found(kind, 631).read_bytes()
    deploys.reassign("20171201000000")
    assert deploys().exit_code == 0
    [kept] = deploys.folder(kind).glob("631-end.data-*")
    assert re.fullmatch(r"631-end\.data-\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", kept.name)
    assert kept.read_bytes() == old
    expected = printed(page, kind, ("M044", "M088"))
    assert bits(load_txt(deploys.found(kind, 631))) == bits(expected)
    assert [parse_history(line)["file"] for line in deploys.history(kind)] == ["631-end.data"] * 2


def test_every_replaced_file_is_kept(deploys: Deploys) -> None:
    written = []
    for start in ("20171101000000", "20171102000000", "20171103000000"):
        assert deploys().exit_code == 0
        written.append(deploys.found("pixel_gain", 631).read_bytes())
        module = f"M0{44 if len(written) % 2 else 88}"
        change = ("assign", PANELS[0], module, "--from", start, "--reason", "test")
        assert deploys.panelcal(*confirmed(deploys.panelcal, *change)).exit_code == 0
    assert deploys().exit_code == 0
    kept = deploys.folder("pixel_gain").glob("631-end.data-*")
    assert sorted(path.read_bytes() for path in kept) == sorted(written)


def test_the_new_file_has_the_mode_of_the_file_it_replaces(deploys: Deploys) -> None:
    deploys()
    path = deploys.found("pixel_gain", 631)
    path.chmod(0o640)
    deploys.reassign("20171201000000")
    assert deploys().exit_code == 0
    assert mode(path) == 0o640
    assert mode(deploys.found("pixel_offset", 631)) == 0o664


def test_the_same_answer_again_writes_nothing(
    deploys: Deploys, nothing_written: NothingWritten
) -> None:
    deploys()
    before = contents(deploys.calib), times(deploys.calib)
    with nothing_written():
        result = deploys("--json")
    assert result.exit_code == 0
    assert [one["written"] for one in json.loads(result.stdout)["deployed"]] == [False, False]
    assert (contents(deploys.calib), times(deploys.calib)) == before


def test_the_same_payloads_by_another_policy_write_nothing(
    deploys: Deploys, nothing_written: NothingWritten
) -> None:
    deploys()
    before = contents(deploys.calib), times(deploys.calib)
    drop_in = (DATASET, "--policy", "legacy", "--at", "20180101000000")
    resolved = deploys.panelcal("resolve", *drop_in, "--json")
    assert json.loads(resolved.stdout)["token"] != deploys.token()
    with nothing_written():
        result = deploys("--policy", "legacy", "--at", "20180101000000", "--json")
    assert result.exit_code == 0, result.stderr
    assert [one["written"] for one in json.loads(result.stdout)["deployed"]] == [False, False]
    assert (contents(deploys.calib), times(deploys.calib)) == before


def test_the_same_answer_at_another_precision_is_written(deploys: Deploys) -> None:
    deploys()
    before = deploys.found("pixel_gain", 631).read_bytes()
    assert deploys("--precision", "full").exit_code == 0
    assert deploys.found("pixel_gain", 631).read_bytes() != before


def test_a_file_edited_by_hand_is_replaced_and_kept(deploys: Deploys, page: GainsTree) -> None:
    deploys()
    path = deploys.found("pixel_gain", 631)
    edited = path.read_bytes()[:-3] + b"99\n"
    path.write_bytes(edited)
    untouched = deploys.found("pixel_offset", 631).stat().st_mtime_ns
    assert deploys().exit_code == 0
    assert bits(load_txt(path)) == bits(printed(page, "pixel_gain"))
    [kept] = deploys.folder("pixel_gain").glob("631-end.data-*")
    assert kept.read_bytes() == edited
    assert deploys.found("pixel_offset", 631).stat().st_mtime_ns == untouched


def test_a_file_that_somebody_else_put_there_is_replaced_and_kept(deploys: Deploys) -> None:
    deploys.place("pixel_offset", "631-end.data", b"legacy")
    assert deploys().exit_code == 0
    [kept] = deploys.folder("pixel_offset").glob("631-end.data-*")
    assert kept.read_bytes() == b"legacy"


def test_a_file_removed_by_hand_is_written_again(deploys: Deploys, page: GainsTree) -> None:
    deploys()
    deploys.found("pixel_gain", 631).unlink()
    assert deploys().exit_code == 0
    assert bits(load_txt(deploys.found("pixel_gain", 631))) == bits(printed(page, "pixel_gain"))


@pytest.mark.parametrize("kind", STEMS)
@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("631-640.data", 4),
        ("0631-end.data", 5),
        ("631-9999.data", 5),
        ("10000-end.data", 5),
        ("5-end.data.data", 5),
        ("7-.data", 5),
    ],
)
def test_a_name_that_would_keep_psana_from_the_file_refuses_everything(
    deploys: Deploys, nothing_written: NothingWritten, kind: str, name: str, exit_code: int
) -> None:
    deploys.place(kind, name)
    before = contents(deploys.calib.parent)
    with nothing_written():
        result = deploys()
    assert result.exit_code == exit_code
    assert name in result.stderr
    assert contents(deploys.calib.parent) == before


@pytest.mark.parametrize("name", ["0-end.data", "600-640.data", "632-end.data", "abc-end.data"])
def test_other_files_are_no_hindrance_and_stay(deploys: Deploys, name: str) -> None:
    other = deploys.place("pixel_gain", name, b"other")
    assert deploys().exit_code == 0
    assert deploys.found("pixel_gain", 631).name == "631-end.data"
    assert other.read_bytes() == b"other"


def test_a_run_above_9999_is_refused(deploys: Deploys, nothing_written: NothingWritten) -> None:
    dataset = "exp=xcsls3716:run=10000"
    deploys.run(dataset, "--begin", "20171205161400", "--detector-id", DETECTOR)
    with nothing_written():
        result = deploys(dataset=dataset)
    assert result.exit_code == 2
    assert "9999" in result.stderr
    assert contents(deploys.calib.parent) == {}


def test_run_9999_is_deployed(deploys: Deploys) -> None:
    dataset = "exp=xcsls3716:run=9999"
    deploys.run(dataset, "--begin", "20171205161400", "--detector-id", DETECTOR)
    assert deploys(dataset=dataset).exit_code == 0
    assert deploys.found("pixel_gain", 9999).name == "9999-end.data"


def test_a_source_of_another_device_is_refused(
    deploys: Deploys, nothing_written: NothingWritten
) -> None:
    dataset = "exp=xcsls3716:run=632"
    source = "XcsEndstation.0:Epix100a.0"
    deploys.run(dataset, "--begin", "20171205161400", "--detector-id", DETECTOR, source=source)
    with nothing_written():
        result = deploys(dataset=dataset)
    assert result.exit_code == 2
    assert source in result.stderr
    assert contents(deploys.calib.parent) == {}


@pytest.mark.parametrize("kind", STEMS)
def test_a_damaged_payload_of_either_kind_leaves_every_file_as_it_was(
    deploys: Deploys, store_dir: Path, nothing_written: NothingWritten, kind: str
) -> None:
    deploys()
    deploys.reassign("20171201000000")
    damage(store_dir, "M044", kind)
    before = contents(deploys.calib.parent)
    with nothing_written():
        assert deploys().exit_code == 5
    assert contents(deploys.calib.parent) == before


def test_a_damaged_payload_makes_no_calib_directory(deploys: Deploys, store_dir: Path) -> None:
    damage(store_dir, "M088", "pixel_offset")
    assert deploys().exit_code == 5
    assert contents(deploys.calib.parent) == {}


@pytest.mark.parametrize("name", ["put_in_place", "tell_history"])
def test_a_failure_at_the_second_file_takes_the_first_one_back(
    deploys: Deploys,
    nothing_written: NothingWritten,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    deploys()
    deploys.reassign("20171201000000")
    before = contents(deploys.calib)
    real = getattr(deploy_service, name)
    calls: list[object] = []

    def fail_at_the_second(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(deploy_service, name, fail_at_the_second)
    with nothing_written():
        assert deploys().exit_code == 1
    after = contents(deploys.calib)
    assert {path: data for path, data in after.items() if "HISTORY" not in path} == {
        path: data for path, data in before.items() if "HISTORY" not in path
    }


def test_a_commit_that_fails_takes_every_file_back(
    deploys: Deploys, nothing_written: NothingWritten, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploys.place("pixel_gain", "631-end.data", b"old")
    before = contents(deploys.calib)
    real_tell = deployed.tell_history
    real_commit: Callable[..., None] = DefaultDialect.do_commit
    told: list[object] = []

    def tell(*arguments: Any) -> Any:
        told.append(arguments)
        return real_tell(*arguments)

    def commit(*arguments: Any) -> None:
        if told:
            monkeypatch.setattr(DefaultDialect, "do_commit", real_commit)
            msg = "the commit failed"
            raise PanelcalError(msg)
        real_commit(*arguments)

    monkeypatch.setattr(deploy_service, "tell_history", tell)
    monkeypatch.setattr(DefaultDialect, "do_commit", commit)
    with nothing_written():
        result = deploys()
    assert (result.exit_code, len(told)) == (1, 2)
    assert "the commit failed" in result.stderr
    assert contents(deploys.calib) == before
    assert not deploys.folder("pixel_offset").exists()
    assert deploys().exit_code == 0


def test_a_store_that_is_locked_refuses_before_any_file_appears(
    deploys: Deploys, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("panelcal.storage.sqlite.BUSY_TIMEOUT_S", 0.1)
    monkeypatch.setattr("panelcal.storage.postgresql.LOCK_TIMEOUT_S", 0.1)
    with open_store(store_dir) as store, store.database.writing():
        refused = deploys()
    assert refused.exit_code == 4
    assert "locked" in refused.stderr
    assert contents(deploys.calib.parent) == {}


def test_a_calib_directory_that_cannot_be_told_is_invalid_input(deploys: Deploys) -> None:
    deploys.calib = deploys.calib.with_name("cal\nib")
    refused = deploys()
    assert refused.exit_code == 2
    assert "control character" in refused.stderr
    assert contents(deploys.calib.parent) == {}


@pytest.mark.parametrize("blocked", ["pixel_gain", "pixel_offset"])
def test_a_directory_where_a_file_belongs_refuses_everything(
    deploys: Deploys, nothing_written: NothingWritten, blocked: str
) -> None:
    (deploys.folder(blocked) / "631-end.data").mkdir(parents=True)
    before = contents(deploys.calib.parent)
    with nothing_written():
        assert deploys().exit_code != 0
    assert contents(deploys.calib.parent) == before


@pytest.mark.parametrize("blocked", ["pixel_gain", "pixel_offset"])
def test_a_file_where_a_directory_belongs_refuses_everything(
    deploys: Deploys, nothing_written: NothingWritten, blocked: str
) -> None:
    deploys.folder(blocked).parent.mkdir(parents=True)
    deploys.folder(blocked).write_bytes(b"in the way")
    before = contents(deploys.calib.parent)
    with nothing_written():
        assert deploys().exit_code != 0
    assert contents(deploys.calib.parent) == before


def test_a_calib_directory_that_is_a_file_is_invalid_input(
    deploys: Deploys, nothing_written: NothingWritten
) -> None:
    deploys.calib.write_bytes(b"a file")
    with nothing_written():
        result = deploys()
    assert result.exit_code == 2
    assert contents(deploys.calib.parent) == {"calib": b"a file"}


def test_every_file_is_a_row_with_its_digest_and_token(deploys: Deploys, store_dir: Path) -> None:
    assert deploys().exit_code == 0
    found = rows(
        store_dir,
        "SELECT k.name, d.experiment, d.run, d.source, d.path, d.file_digest, d.number_format, "
        "d.token, d.detector_id, d.policy, d.deployed_by "
        "FROM deployment d JOIN kind k ON k.id = d.kind_id ORDER BY k.name",
    )
    token = deploys.token()
    expected = []
    for kind in sorted(STEMS):
        path = deploys.folder(kind) / "631-end.data"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        about = ("xcsls3716", 631, SOURCE, str(path), digest, FORMATS[kind], token)
        expected.append((kind, *about, DETECTOR, "strict", "tester"))
    assert found == expected


def test_every_deployment_names_the_constant_set_of_every_panel(
    deploys: Deploys, store_dir: Path
) -> None:
    assert deploys().exit_code == 0
    found = rows(
        store_dir,
        "SELECT p.deployment_id, p.segment, p.panel, m.name, s.revision FROM deployment_panel p "
        "JOIN constant_set s ON s.id = p.constant_set_id JOIN module m ON m.id = s.module_id "
        "ORDER BY p.deployment_id, p.segment",
    )
    ids = [row[0] for row in rows(store_dir, "SELECT id FROM deployment ORDER BY id")]
    panels = list(zip((0, 1), PANELS, MODULES, (1, 1), strict=True))
    assert len(ids) == 2
    assert found == [(number, *panel) for number in ids for panel in panels]


def test_a_replacement_is_a_further_row(deploys: Deploys, store_dir: Path) -> None:
    deploys()
    first = deploys.token()
    deploys.reassign("20171201000000")
    deploys()
    assert rows(store_dir, "SELECT token FROM deployment ORDER BY id") == [
        (token,) for token in (first, first, deploys.token(), deploys.token())
    ]
    assert first != deploys.token()


def test_json_says_what_was_written_and_what_was_kept(deploys: Deploys) -> None:
    old = deploys.place("pixel_gain", "631-end.data")
    document = json.loads(deploys("--json").stdout)
    [kept] = old.parent.glob("631-end.data-*")
    assert document["token"] == deploys.token()
    assert document["files"] == []
    assert document["deployed"] == [
        {
            "kind": kind,
            "path": str(deploys.folder(kind) / "631-end.data"),
            "sha256": hashlib.sha256(deploys.found(kind, 631).read_bytes()).hexdigest(),
            "written": True,
            "kept": str(kept) if kind == "pixel_gain" else None,
        }
        for kind in ("pixel_gain", "pixel_offset")
    ]


def test_deploying_writes_no_local_files_unless_asked(
    deploys: Deploys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert deploys().exit_code == 0
    assert contents(work) == {}
    assert deploys("-o", work, "--format", "npz").exit_code == 0
    assert len(contents(work)) == 2


def test_a_relative_calib_directory_is_recorded_whole(
    deploys: Deploys, store_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(deploys.calib.parent)
    arguments = ("export", DATASET, "--calib-dir", "calib", "--deploy")
    assert deploys.panelcal(*arguments).exit_code == 0
    found = rows(store_dir, "SELECT path FROM deployment ORDER BY path")
    assert found == [(str(deploys.folder(kind) / "631-end.data"),) for kind in sorted(STEMS)]


def test_deploy_and_calib_dir_go_together(
    deploys: Deploys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "data")
    assert deploys.panelcal("export", DATASET, "--deploy").exit_code == 2
    assert deploys.panelcal("export", DATASET, "--calib-dir", deploys.calib).exit_code == 2
    assert contents(tmp_path / "data") == {}


@pytest.mark.parametrize("kind", STEMS)
def test_a_run_with_declared_modules_is_deployed(
    deploys: Deploys, page: GainsTree, store_dir: Path, kind: str
) -> None:
    dataset = "exp=xcsx22015:run=555"
    deploys.run(dataset, "--begin", "20171025000000", "--modules", "M088 M068")
    assert deploys(dataset=dataset).exit_code == 0
    found = load_txt(deploys.found(kind, 555))
    assert bits(found) == bits(printed(page, kind, ("M088", "M068")))
    assert rows(store_dir, "SELECT DISTINCT segment, panel FROM deployment_panel ORDER BY 1") == [
        (0, None),
        (1, None),
    ]


@pytest.mark.parametrize("kind", STEMS)
def test_a_later_run_gets_its_own_file_and_the_earlier_run_keeps_its(
    deploys: Deploys, page: GainsTree, kind: str
) -> None:
    deploys()
    earlier = deploys.found(kind, 631).read_bytes()
    deploys.reassign("20180101000000")
    later = "exp=xcsls3716:run=700"
    deploys.run(later, "--begin", "20180202000000", "--detector-id", DETECTOR)
    assert deploys(dataset=later).exit_code == 0
    for run in (631, 699):
        assert deploys.found(kind, run).read_bytes() == earlier
    for run in (700, 9999):
        expected = printed(page, kind, ("M044", "M088"))
        assert bits(load_txt(deploys.found(kind, run))) == bits(expected)


def test_two_detectors_of_a_run_have_their_own_directories(
    deploys: Deploys, page: GainsTree
) -> None:
    source = "XcsEndstation.0:Jungfrau.1"
    panel = "171113-154920171025-3d00fb"
    deploys.run(DATASET, "--begin", "20180306000000", "--detector-id", panel, source=source)
    assert deploys().exit_code == 2
    assert deploys("-s", "Jungfrau.1").exit_code == 0
    expected = printed(page, "pixel_gain", ("M044",))
    assert bits(load_txt(deploys.found("pixel_gain", 631, source))) == bits(expected)
    assert find_calib_file(deploys.calib, SOURCE, "pixel_gain", 631) == ""


# --- equal content is formatted once ------------------------------------------------------

NEXT = "exp=xcsls3716:run=632"


@pytest.fixture
def formatted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the kind of each array that is formatted."""
    noted: list[str] = []
    usual = export_service.write_text

    def noting(path: Path, final: Path, array: Array, kind: Any, *rest: Any) -> str:
        noted.append(kind.name)
        return usual(path, final, array, kind, *rest)

    monkeypatch.setattr(deploy_service, "write_text", noting)
    return noted


def require_next_is_served(deploys: Deploys, page: GainsTree) -> None:
    """Deploy a run of the same answer, and find in its files what was delivered."""
    deploys.run(NEXT, "--begin", "20171205170000", "--detector-id", DETECTOR)
    assert deploys(dataset=NEXT).exit_code == 0
    for kind in STEMS:
        assert bits(load_txt(deploys.folder(kind) / "632-end.data")) == bits(printed(page, kind))


def test_values_that_a_deployed_file_holds_are_copied_and_not_formatted_again(
    deploys: Deploys, page: GainsTree, formatted: list[str], store_dir: Path
) -> None:
    assert deploys().exit_code == 0
    assert formatted == ["pixel_gain", "pixel_offset"]
    deploys.run(NEXT, "--begin", "20171205170000", "--detector-id", DETECTOR)
    assert deploys(dataset=NEXT).exit_code == 0
    assert formatted == ["pixel_gain", "pixel_offset"]
    for kind in STEMS:
        path = deploys.found(kind, 632)
        assert path.name == "632-end.data"
        assert bits(load_txt(path)) == bits(printed(page, kind))
        assert path.read_text().count(str(path)) == 1
        assert f"token={deploys.token(NEXT)}" in deploys.history(kind)[-1]
        recorded = rows(store_dir, "SELECT file_digest FROM deployment WHERE run = 632")
        assert (hashlib.sha256(path.read_bytes()).hexdigest(),) in recorded


@pytest.mark.parametrize("spoilt", ["edited", "cut short", "removed", "a directory"])
def test_a_file_that_is_not_as_it_was_deployed_is_not_copied(
    deploys: Deploys, page: GainsTree, formatted: list[str], spoilt: str
) -> None:
    assert deploys().exit_code == 0
    for kind in STEMS:
        path = deploys.found(kind, 631)
        content = path.read_bytes()
        path.unlink()
        if spoilt == "edited":
            path.write_bytes(content[:-3] + b"9" + content[-2:])
        elif spoilt == "cut short":
            path.write_bytes(content[: len(content) // 2])
        elif spoilt == "a directory":
            path.mkdir()
    require_next_is_served(deploys, page)
    assert formatted == ["pixel_gain", "pixel_offset"] * 2


def test_values_in_another_number_format_are_not_copied(
    deploys: Deploys, formatted: list[str]
) -> None:
    assert deploys("--precision", "full").exit_code == 0
    deploys.run(NEXT, "--begin", "20171205170000", "--detector-id", DETECTOR)
    assert deploys(dataset=NEXT).exit_code == 0
    assert formatted == ["pixel_gain", "pixel_offset"] * 2


def test_a_file_that_goes_away_while_it_is_copied_is_no_failure(
    deploys: Deploys, page: GainsTree, formatted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploys().exit_code == 0
    usual = export_service.copy_text

    def late(path: Path, final: Path, source: Path, *rest: Any) -> str:
        source.unlink()
        return usual(path, final, source, *rest)

    monkeypatch.setattr(deploy_service, "copy_text", late)
    require_next_is_served(deploys, page)
    assert formatted == ["pixel_gain", "pixel_offset"] * 2


def test_a_file_that_changes_while_it_is_copied_is_not_trusted(
    deploys: Deploys, page: GainsTree, formatted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploys().exit_code == 0
    usual = export_service.copy_text

    def changing(path: Path, final: Path, source: Path, *rest: Any) -> str:
        content = source.read_bytes()
        source.write_bytes(content[:-3] + b"9" + content[-2:])
        return usual(path, final, source, *rest)

    monkeypatch.setattr(deploy_service, "copy_text", changing)
    require_next_is_served(deploys, page)
    assert formatted == ["pixel_gain", "pixel_offset"] * 2


def test_a_file_that_is_replaced_while_it_is_copied_is_no_failure(
    deploys: Deploys, page: GainsTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploys().exit_code == 0
    usual = text_array.copy_rows

    def replacing(source: Any, stream: Any, header: Any) -> str:
        digest = usual(source, stream, header)
        path = Path(source.name)
        other = path.with_name("other")
        other.write_bytes(path.read_bytes().replace(b"1", b"2"))
        other.replace(path)
        return digest

    monkeypatch.setattr(export_service, "copy_rows", replacing)
    require_next_is_served(deploys, page)


def test_a_file_that_is_edited_while_it_is_compared_is_no_failure(
    deploys: Deploys, page: GainsTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploys().exit_code == 0
    usual = text_array.copy_rows

    def editing(source: Any, stream: Any, header: Any) -> str:
        digest = usual(source, stream, header)
        path = Path(source.name)
        content = path.read_bytes()
        path.write_bytes(content[:-3] + b"9" + content[-2:])
        return digest

    monkeypatch.setattr(export_service, "copy_rows", editing)
    require_next_is_served(deploys, page)


def test_a_copy_that_reads_back_differently_is_not_deployed(
    deploys: Deploys, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert deploys().exit_code == 0
    usual = text_array.copy_rows

    def spoiling(source: Any, stream: Any, header: Any) -> str:
        digest = usual(source, stream, header)
        stream.seek(-3, os.SEEK_END)
        stream.write(b"9")
        return digest

    monkeypatch.setattr(export_service, "copy_rows", spoiling)
    deploys.run(NEXT, "--begin", "20171205170000", "--detector-id", DETECTOR)
    result = deploys(dataset=NEXT)
    assert result.exit_code == 5
    assert "reads back differently" in result.stderr
    assert [path.name for path in deploys.folder("pixel_gain").glob("632*")] == []


@pytest.mark.sqlite_only
@pytest.mark.parametrize("is_told", [True, False])
def test_files_that_a_killed_export_put_in_place_are_put_on_record_and_told_once(
    deploys: Deploys, store_dir: Path, tmp_path: Path, is_told: bool
) -> None:
    shutil.copyfile(store_dir / "panelcal.db", tmp_path / "before")
    for kind in STEMS:
        deploys.place(kind, "631-end.data")
    assert deploys().exit_code == 0
    # As if it had been killed before the commit, and before or after HISTORY.
    shutil.copyfile(tmp_path / "before", store_dir / "panelcal.db")
    if not is_told:
        for kind in STEMS:
            (deploys.folder(kind) / "HISTORY").unlink()
    before = contents(deploys.calib)
    assert deploys().exit_code == 0
    after = contents(deploys.calib)
    for kind in STEMS:
        [line] = deploys.history(kind)
        assert line.startswith("file:631-end.data ")
    histories = {name for name in after if name.endswith("HISTORY")}
    assert {name: after[name] for name in after.keys() - histories} == {
        name: before[name] for name in before.keys() - histories
    }
    assert len(rows(store_dir, "SELECT path FROM deployment")) == len(STEMS)


@pytest.mark.sqlite_only
def test_an_edited_file_that_is_not_on_record_is_replaced_and_kept(
    deploys: Deploys, store_dir: Path, tmp_path: Path
) -> None:
    shutil.copyfile(store_dir / "panelcal.db", tmp_path / "before")
    assert deploys().exit_code == 0
    shutil.copyfile(tmp_path / "before", store_dir / "panelcal.db")
    path = deploys.folder("pixel_gain") / "631-end.data"
    edited = path.read_text().rsplit(maxsplit=1)[0] + " 7.0000\n"
    path.write_text(edited)
    assert deploys().exit_code == 0
    [kept] = path.parent.glob("631-end.data-*")
    assert kept.read_text() == edited
    assert path.read_text() != edited
