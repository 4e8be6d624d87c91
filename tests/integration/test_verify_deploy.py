"""What `panelcal verify-deploy` says of every file of a calib tree, and that it changes nothing."""

import csv
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import TREE_SHAPE, GainsTree, confirmed, damage, delivered, write_delivery
from conftest import RunsProgram
from legacy_oracle import find_calib_file
from panelcal.domain.verified import FileState
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services import verify_directory as directory_service
from panelcal.services.verify_deploy import verify_deploy
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore
from visitor import program_environment

pytestmark = pytest.mark.sqlite_only

SOURCE = "XcsEndstation.0:Jungfrau.0"
OTHER_SOURCE = "XcsEndstation.0:Jungfrau.1"
GROUP = "Jungfrau::CalibV1"
B0, F7 = "170505-149520170815-3d00b0", "170505-149520170815-3d00f7"
PAIR = f"{B0}_{F7}"
SINGLE = "171113-154920171025-3d00fb"
STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}
FORMATS = {"pixel_gain": "%.4f", "pixel_offset": "%.1f"}
BEGIN = "20171205161400"
MID_BEGIN = "20180101000000"
LATER = "20180401000000"

Array = np.ndarray[Any, np.dtype[np.float32]]
File = dict[str, Any]
NothingWritten = Callable[[], AbstractContextManager[None]]

DIALECTS = {
    "command": (
        "file:631-end.data  copy_of:/w/merge.txt ctype:pixel_gain user:alice host:psana101 "
        "cptime:2018-04-20T10:11:12 cwd:/w cmt:"
    ),
    "library": (
        "file:631-end.data  copy_of:/w/merge.txt  exp:xcsls3716  run:0631  app:deploy     "
        "user:alice  host:psana101  cptime:2018-04-20T10:11:12  zone:PDT     comment:by hand"
    ),
    "calibman": (
        "file:631-end.data  copy_of:/w/merge.txt  exp:xcsls3716  run:0631  comment:of  2018  "
        "user:alice  host:psana101  cptime:2018-04-20T10:11:12"
    ),
}


class Site:
    """Runs, a calib tree, and what verify-deploy says of it."""

    def __init__(self, panelcal: RunsProgram, tree: GainsTree, root: Path) -> None:
        self.panelcal = panelcal
        self.tree = tree
        self.root = root

    def calib(self, experiment: str = "xcsls3716") -> Path:
        return self.root / experiment[:3].upper() / experiment / "calib"

    def folder(
        self, kind: str = "pixel_gain", source: str = SOURCE, experiment: str = "xcsls3716"
    ) -> Path:
        return self.calib(experiment) / GROUP / source / kind

    def does(self, *arguments: str | Path, exit_code: int = 0) -> str:
        result = self.panelcal(*arguments)
        assert result.exit_code == exit_code, result.output
        return result.stdout

    def run(
        self,
        number: int,
        begin: str = BEGIN,
        detector: str = PAIR,
        *,
        source: str = SOURCE,
        experiment: str = "xcsls3716",
    ) -> None:
        named = f"exp={experiment}:run={number}"
        given = ["--begin", begin] if begin else []
        self.does("run", "add", named, "-s", source, *given, "--detector-id", detector)

    def deploy(self, *options: str, exit_code: int = 0) -> None:
        self.does("deploy", "--all", "--calib-root", self.root, *options, exit_code=exit_code)

    def assign(self, panel: str, uses: str, start: str) -> None:
        change = ("assign", panel, uses, "--from", start, "--reason", "test")
        self.does(*confirmed(self.panelcal, *change))

    def values(self, kind: str, *modules: str) -> Array:
        """Return what was delivered: (gain range, panel, row, column)."""
        return np.stack(
            [delivered(self.tree.path / module, STEMS[kind]) for module in modules], axis=1
        )

    def put(self, name: str, *modules: str, kind: str = "pixel_gain", **place: str) -> Path:
        """Deploy as the legacy command does: no comments."""
        path = self.folder(kind, **place) / name
        return write_text(path, self.values(kind, *modules), FORMATS[kind])

    def put_all(self, name: str, *modules: str, **place: str) -> None:
        for kind in STEMS:
            self.put(name, *modules, kind=kind, **place)

    def report(self, *options: str | Path, exit_code: int = 0) -> dict[str, Any]:
        text = self.does(
            "verify-deploy", "--calib-root", self.root, "--json", *options, exit_code=exit_code
        )
        found: dict[str, Any] = json.loads(text)
        assert found["exit_code"] == exit_code
        return found

    def gains(self, *options: str | Path, exit_code: int = 0) -> dict[str, File]:
        """Return the files of the gains, by name below the root or by name alone."""
        found = self.report(*options, exit_code=exit_code)["files"]
        gains = [file for file in found if file["kind"] == "pixel_gain"]
        names = [Path(file["path"]).name for file in gains]
        assert len(set(names)) == len(names), names
        return dict(zip(names, gains, strict=True))

    def only(self, *options: str | Path, exit_code: int = 0) -> File:
        """Return the only file of the gains."""
        [file] = self.gains(*options, exit_code=exit_code).values()
        return file


def write_text(
    path: Path,
    array: "np.ndarray[Any, Any]",
    number_format: str,
    dtype: str = "float32",
    header: str = "",
) -> Path:
    """Write a text array as the legacy software does, value by value."""
    lines = [*header.splitlines(), "", f"# DTYPE       {dtype}", f"# NDIM        {array.ndim}"]
    lines += [f"# DIM:{axis}       {length}" for axis, length in enumerate(array.shape)] + [""]
    for row in array.reshape(-1, array.shape[-1]).tolist():
        lines.append(" ".join(number_format % value for value in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def change_a_value(text: str) -> str:
    """Change the last digit of the last value."""
    body = text.rstrip("\n")
    return f"{body[:-1]}{(int(body[-1]) + 1) % 10}\n"


def told(file: File) -> str:
    return "; ".join(file["notes"])


def tree_of(directory: Path) -> dict[str, tuple[Any, ...]]:
    """Return everything below a directory, with times and modes."""
    return {
        str(path.relative_to(directory)): (
            path.lstat().st_mtime_ns,
            path.lstat().st_mode,
            path.read_bytes() if path.is_file() else None,
        )
        for path in sorted(directory.rglob("*"))
    }


@pytest.fixture
def site(panelcal: RunsProgram, page_tree: GainsTree, tmp_path: Path) -> Site:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    root = tmp_path / "root"
    root.mkdir()
    return Site(panelcal, page_tree, root)


def test_what_a_job_deployed_is_ok(site: Site) -> None:
    site.run(631)
    site.run(700)
    site.deploy()
    report = site.report()
    assert [file["path"] for file in report["files"]] == [
        str(site.folder(kind) / "631-end.data") for kind in STEMS
    ]
    for file in report["files"]:
        assert file == {
            "path": file["path"],
            "experiment": "xcsls3716",
            "source": SOURCE,
            "kind": file["kind"],
            "state": "ok",
            "holds": ["M068@1", "M088@1"],
            "runs": [631, 700],
            "notes": [],
        }
    assert report["root"] == str(site.root)
    assert report["counts"] == {str(state): 2 * (state == "ok") for state in FileState}


def test_what_export_deployed_is_ok(site: Site) -> None:
    site.run(631)
    site.does("export", "exp=xcsls3716:run=631", "--calib-dir", site.calib(), "--deploy")
    assert site.only()["state"] == "ok"


@pytest.mark.parametrize("precision", ["legacy", "full"])
def test_a_copy_without_comments_is_recognized_by_its_values(site: Site, precision: str) -> None:
    site.run(631)
    for kind, legacy in FORMATS.items():
        number_format = legacy if precision == "legacy" else "%.9g"
        values = site.values(kind, "M068", "M088")
        write_text(site.folder(kind) / "631-end.data", values, number_format)
    report = site.report()
    assert {file["state"] for file in report["files"]} == {"ok"}
    assert {tuple(file["holds"]) for file in report["files"]} == {("M068@1", "M088@1")}
    assert {tuple(file["notes"]) for file in report["files"]} == {()}


def test_full_precision_that_was_deployed_is_ok(site: Site) -> None:
    site.run(631)
    site.deploy("--precision", "full")
    assert site.only()["state"] == "ok"
    edit(site.folder() / "631-end.data", lambda text: "# mine\n" + text)
    assert site.only()["holds"] == ["M068@1", "M088@1"]


def test_a_header_of_float64_is_read_as_psana_does(site: Site) -> None:
    """Legacy merges of float64 deliveries say float64; the reader casts (spec §4)."""
    site.run(631)
    for kind in STEMS:
        path = site.folder(kind) / "631-end.data"
        write_text(path, site.values(kind, "M068", "M088"), FORMATS[kind], dtype="float64")
    assert site.only()["state"] == "ok"


def test_sets_with_the_same_values_are_shown_as_alternatives(site: Site, tmp_path: Path) -> None:
    site.run(631)
    write_delivery(tmp_path / "again", seed=1)
    site.does("module", "add", "M099", tmp_path / "again", "--reason", "the same values")
    site.put_all("631-end.data", "M068", "M088")
    file = site.only()
    assert (file["state"], file["holds"]) == ("ok", ["M068@1|M099@1", "M088@1"])
    site.assign(B0, "M099", BEGIN)
    assert site.only()["state"] == "ok"


def test_a_touched_header_is_ok_with_a_note(site: Site) -> None:
    site.run(631)
    site.deploy()
    edit(site.folder() / "631-end.data", lambda text: "# looked at by alice\n" + text)
    file = site.only()
    assert file["state"] == "ok"
    assert "not the bytes deployed" in told(file)
    assert "by tester, the values are the same" in told(file)


def test_a_changed_value_of_a_file_on_record_is_hand_edited(site: Site) -> None:
    site.run(631)
    site.deploy()
    edit(site.folder() / "631-end.data", change_a_value)
    file = site.only(exit_code=5)
    assert (file["state"], file["holds"], file["runs"]) == ("hand-edited", ["M068@1", "?"], [631])
    token = json.loads(site.does("resolve", "exp=xcsls3716:run=631", "--json"))["token"]
    assert f"by tester with other values, token {token}" in told(file)
    assert "HISTORY: copied from" in told(file)


def test_a_changed_value_in_full_precision_is_hand_edited(site: Site) -> None:
    site.run(631)
    site.deploy("--precision", "full")
    last = site.values("pixel_gain", "M088")[-1, -1, -1, -1]
    after = f"{np.nextafter(last, np.float32(100)):.9g}"
    edit(site.folder() / "631-end.data", lambda text: text[: text.rindex(" ") + 1] + after)
    assert site.only(exit_code=5)["holds"] == ["M068@1", "?"]


def test_known_values_in_place_of_those_deployed_are_hand_edited(site: Site) -> None:
    site.run(631)
    site.deploy()
    site.put("631-end.data", "M088", "M068")
    file = site.only(exit_code=5)
    assert (file["state"], file["holds"]) == ("hand-edited", ["M088@1", "M068@1"])
    assert "the store resolves others for run 631" in told(file)


def test_a_file_replaced_by_just_what_its_run_needs_is_ok_with_a_note(site: Site) -> None:
    site.run(631)
    site.deploy()
    site.assign(B0, "M044", BEGIN)
    site.put_all("631-end.data", "M044", "M088")
    file = site.only()
    assert (file["state"], file["holds"]) == ("ok", ["M044@1", "M088@1"])
    assert "with other values" in told(file)


def test_an_edited_copy_of_a_tree_is_told_by_its_own_comments(site: Site, tmp_path: Path) -> None:
    site.run(631)
    site.deploy()
    site.root = Path(shutil.copytree(site.root, tmp_path / "copy"))
    assert site.only()["state"] == "ok"
    edit(site.folder() / "631-end.data", change_a_value)
    file = site.only(exit_code=5)
    assert file["state"] == "hand-edited"
    assert "its comments say M068@1 M088@1" in told(file)


def test_comments_that_say_other_constants_than_the_values_are_hand_edited(
    site: Site, tmp_path: Path
) -> None:
    site.run(631)
    site.deploy()
    site.root = Path(shutil.copytree(site.root, tmp_path / "copy"))
    path = site.folder() / "631-end.data"
    comments = "\n".join(line for line in path.read_text().splitlines() if line.startswith("# "))
    said = comments.partition("\n# HOST")[0]
    write_text(path, site.values("pixel_gain", "M088", "M068"), "%.4f", header=said)
    file = site.only(exit_code=5)
    assert (file["state"], file["holds"]) == ("hand-edited", ["M088@1", "M068@1"])
    assert "its comments say M068@1 M088@1" in told(file)


def test_what_another_store_deployed_is_unknown_and_not_edited(site: Site, tmp_path: Path) -> None:
    """The store cannot say whether values that it never had were changed."""
    site.run(631)
    site.deploy()
    path = site.folder() / "631-end.data"
    values = write_delivery(tmp_path / "elsewhere", seed=77)
    gain = np.stack([delivered(values, "gain")] * 2, axis=1)
    said = "\n".join(
        [
            "# panelcal 0.1 token 0123456789abcdef",
            f"# detector {PAIR} at 20171205161400 policy strict",
            *(
                f"# panel {index} {panel} M500@3 from the beginning payload {'ab' * 32}"
                for index, panel in enumerate((B0, F7))
            ),
        ]
    )
    site.root = tmp_path / "another"
    write_text(site.root / path.relative_to(tmp_path / "root"), gain, "%.4f", header=said)
    file = site.gains(exit_code=4)["631-end.data"]
    assert (file["state"], file["holds"]) == ("unknown", ["?", "?"])
    assert "its comments say M500@3 M500@3" in told(file)


def test_an_assignment_after_the_deployment_makes_a_file_stale(site: Site) -> None:
    site.run(631)
    site.deploy()
    site.assign(B0, "M044", BEGIN)
    file = site.only(exit_code=4)
    assert (file["state"], file["holds"]) == ("stale", ["M068@1", "M088@1"])
    assert told(file) == "the store resolves others for run 631"
    site.deploy()
    assert site.only()["state"] == "ok"


def test_a_file_that_some_of_its_runs_should_not_read_is_stale(site: Site) -> None:
    for run in range(631, 643):
        site.run(run, BEGIN if run < 633 else LATER)
    site.assign(B0, "M044", "20180301000000")
    site.put_all("0-end.data", "M068", "M088")
    file = site.only(exit_code=4)
    assert (file["state"], file["runs"]) == ("stale", list(range(631, 643)))
    assert "for runs 633, 634, 635, 636, 637, 638, 639, 640 and 2 more" in told(file)


def test_another_number_of_panels_is_stale(site: Site) -> None:
    site.run(631)
    site.put_all("631-end.data", "M068")
    file = site.only(exit_code=4)
    assert (file["state"], file["holds"]) == ("stale", ["M068@1"])


def test_a_file_under_a_later_begin_is_shadowed(site: Site) -> None:
    site.run(1)
    site.run(5)
    site.put_all("0-end.data", "M044", "M044")
    site.put_all("1-end.data", "M068", "M088")
    gains = site.gains()
    assert {name: file["state"] for name, file in gains.items()} == {
        "0-end.data": "shadowed",
        "1-end.data": "ok",
    }
    assert gains["0-end.data"]["holds"] == ["M044@1", "M044@1"]
    assert gains["0-end.data"]["runs"] == []
    assert gains["1-end.data"]["runs"] == [1, 5]


def test_a_bounded_file_that_narrower_ones_hide_is_shadowed_and_the_earlier_comes_back(
    site: Site,
) -> None:
    for run in (12, 17, 25):
        site.run(run)
    for name in ("0-end.data", "10-20.data", "10-15.data", "16-20.data"):
        site.put_all(name, "M068", "M088")
    gains = site.gains()
    assert {name: (file["state"], file["runs"]) for name, file in gains.items()} == {
        "0-end.data": ("ok", [25]),
        "10-20.data": ("shadowed", []),
        "10-15.data": ("ok", [12]),
        "16-20.data": ("ok", [17]),
    }


def test_without_registered_runs_only_what_is_never_picked_is_shadowed(site: Site) -> None:
    place = {"experiment": "xcsx11111"}
    for name in ("5-10.data", "5-end.data", "5-7.data", "8-end.data"):
        site.put_all(name, "M068", "M088", **place)
    states = {name: file["state"] for name, file in site.gains().items()}
    assert states == {
        "5-10.data": "shadowed",
        "5-end.data": "shadowed",
        "5-7.data": "ok",
        "8-end.data": "ok",
    }


def test_a_deployed_file_that_is_gone_is_missing(site: Site) -> None:
    site.run(631)
    site.deploy()
    (site.folder() / "631-end.data").unlink()
    file = site.only(exit_code=4)
    assert (file["state"], file["holds"], file["runs"]) == ("missing", [], [631])
    assert "by tester, and gone" in told(file)
    assert "nothing is there to be read for run 631" in told(file)


def test_a_whole_deployed_tree_that_is_gone_is_missing(site: Site) -> None:
    site.run(631)
    site.deploy()
    shutil.rmtree(site.root / "XCS")
    report = site.report(exit_code=4)
    assert report["counts"]["missing"] == len(report["files"]) == 2


def test_a_deployed_file_whose_runs_read_another_is_still_missed(site: Site) -> None:
    site.run(631)
    site.deploy()
    (site.folder() / "631-end.data").rename(site.folder() / "600-end.data")
    gains = site.gains(exit_code=4)
    assert gains["600-end.data"]["state"] == "ok"
    assert gains["600-end.data"]["runs"] == [631]
    assert (gains["631-end.data"]["state"], gains["631-end.data"]["runs"]) == ("missing", [])


def test_registered_runs_that_read_nothing_are_told_in_full(site: Site) -> None:
    site.put_all("700-end.data", "M068", "M088")
    for run in (*range(1, 12), 700):
        site.run(run)
    gains = site.gains(exit_code=4)
    assert gains["1-end.data"]["state"] == "missing"
    assert gains["1-end.data"]["runs"] == list(range(1, 12))
    assert gains["700-end.data"]["state"] == "ok"


def test_a_run_above_9999_misses_the_file_of_9999(site: Site) -> None:
    site.run(12345)
    assert site.gains(exit_code=4)["9999-end.data"]["runs"] == [12345]
    site.deploy()
    assert site.only()["runs"] == [12345]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_unknown_file_is_shown_with_what_history_says(site: Site, dialect: str) -> None:
    site.run(631)
    values = site.values("pixel_gain", "M068", "M088") + np.float32(1)
    write_text(site.folder() / "631-end.data", values, "%.4f")
    (site.folder() / "HISTORY").write_text(DIALECTS[dialect] + "\n")
    file = site.gains(exit_code=4)["631-end.data"]
    assert (file["state"], file["holds"]) == ("unknown", ["?", "?"])
    history = "HISTORY: copied from /w/merge.txt by alice on psana101 at 2018-04-20T10:11:12"
    assert file["notes"] == [history, "the store resolves others for run 631"]


def test_an_unknown_file_without_history_says_so(site: Site) -> None:
    site.run(631)
    values = site.values("pixel_gain", "M068", "M088") + np.float32(1)
    write_text(site.folder() / "0-end.data", values, "%.4f")
    site.put("1-end.data", "M068", "M088")
    file = site.gains(exit_code=4)["0-end.data"]
    assert file["state"] == "unknown", "a run that is not registered may read it"
    assert file["notes"] == ["HISTORY says nothing of it", "no registered run reads it"]


def test_a_history_that_cannot_be_read_is_told(site: Site) -> None:
    site.run(631)
    values = site.values("pixel_gain", "M068", "M088") + np.float32(1)
    write_text(site.folder() / "631-end.data", values, "%.4f")
    (site.folder() / "HISTORY").mkdir()
    assert "HISTORY cannot be read" in told(site.gains(exit_code=4)["631-end.data"])


def test_gains_in_the_directory_of_offsets_are_unknown(site: Site) -> None:
    site.run(631)
    site.deploy()
    shutil.copy(site.folder() / "631-end.data", site.folder("pixel_offset") / "640-end.data")
    files = site.report(exit_code=4)["files"]
    assert [file["state"] for file in files] == ["ok", "ok", "unknown"]


def test_two_names_for_the_same_runs_are_ambiguous_and_hide_what_is_below(site: Site) -> None:
    site.run(630)
    site.run(631)
    site.put_all("0-end.data", "M068", "M088")
    site.put_all("631-end.data", "M068", "M088")
    site.put_all("0631-end.data", "M068", "M088")
    site.put_all("0631-9999.data", "M044", "M044")
    gains = site.gains(exit_code=4)
    assert (gains["0-end.data"]["state"], gains["0-end.data"]["runs"]) == ("ok", [630])
    for name in ("631-end.data", "0631-end.data", "0631-9999.data"):
        assert (gains[name]["state"], gains[name]["runs"]) == ("ambiguous", [631])
    assert "for the same runs as 0631-9999.data and 0631-end.data" in told(gains["631-end.data"])


def test_a_file_that_ambiguous_ones_hide_is_shadowed(site: Site) -> None:
    site.run(631)
    site.put_all("631-end.data", "M068", "M088")
    site.put_all("0631-end.data", "M068", "M088")
    site.put_all("0-end.data", "M068", "M088")
    assert site.gains(exit_code=4)["0-end.data"]["state"] == "shadowed"


@pytest.mark.parametrize(
    "name", ["10000-end.data", "5-End.data", "5-10000.data", "7-.data", "5-end.data.data"]
)
def test_names_on_which_the_finder_crashes_are_told(site: Site, name: str) -> None:
    site.run(631)
    site.deploy()
    shutil.copy(site.folder() / "631-end.data", site.folder() / name)
    with pytest.raises(TypeError):
        find_calib_file(site.calib(), SOURCE, "pixel_gain", 631)
    gains = site.gains(exit_code=5)
    assert (gains[name]["state"], gains[name]["runs"]) == ("crashes the finder", [])
    assert gains["631-end.data"]["state"] == "ok"


def npy(path: Path, values: Array) -> None:
    with path.open("wb") as stream:
        np.save(stream, values)


UNREADABLE: dict[str, tuple[Callable[[Path, Array], object], str]] = {
    "binary npy": (npy, "cannot read"),
    "empty": (lambda path, _: path.write_bytes(b""), "no data"),
    "header alone": (lambda path, _: path.write_text("# NDIM        4\n"), "no data"),
    "nan": (
        lambda path, values: write_text(path, np.where(values > 10, np.nan, values), "%.4f"),
        "not finite",
    ),
    "beyond float32": (
        lambda path, values: write_text(path, values.astype(float) * 1e39, "%.4e", "float64"),
        "not finite",
    ),
    "rows cut off": (
        lambda path, values: write_text(path, values[:, :, :-1], "%.4f"),
        "its shape is (3, 2, 3, 8), not (3, panels, 4, 8)",
    ),
    "a range missing": (lambda path, values: write_text(path, values[:2], "%.4f"), "its shape"),
    "without a header": (
        lambda path, values: np.savetxt(path, values.reshape(-1, 8), "%.4f"),
        "its shape is (24, 8)",
    ),
    "complex": (
        lambda path, values: write_text(path, values, "%.4f", "complex64"),
        "complex64, no real numbers",
    ),
    "a directory": (lambda path, _: path.mkdir(), "it is no regular file"),
    "a link to nowhere": (lambda path, _: path.symlink_to("gone"), "No such file"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_psana_cannot_use_is_unreadable(site: Site, what: str) -> None:
    site.run(631)
    site.deploy()
    path = site.folder() / "631-end.data"
    path.unlink()
    make, said = UNREADABLE[what]
    make(path, site.values("pixel_gain", "M068", "M088"))
    report = site.report(exit_code=5)
    [file] = [file for file in report["files"] if file["kind"] == "pixel_gain"]
    assert (file["state"], file["holds"], file["runs"]) == ("unreadable", [], [631])
    assert said in told(file)
    assert report["counts"]["ok"] == 1


def test_a_file_in_place_of_a_directory_is_told_and_the_rest_is_judged(site: Site) -> None:
    site.run(631)
    site.deploy()
    shutil.rmtree(site.folder())
    site.folder().write_text("no directory")
    report = site.report(exit_code=5)
    assert report["counts"]["ok"] == 1
    [file] = [file for file in report["files"] if file["state"] == "unreadable"]
    assert file["path"] == str(site.folder())
    assert file["notes"] == ["the directory cannot be read: Not a directory"]


def test_a_directory_that_nobody_may_read_is_told_and_the_rest_is_judged(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run(631)
    site.deploy()
    listed = directory_service._names

    def names(path: Path) -> set[str]:
        if path == site.folder():
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(directory_service, "_names", names)
    files = site.report(exit_code=5)["files"]
    assert [file["state"] for file in files] == ["unreadable", "ok"]
    assert files[0]["notes"] == ["the directory cannot be read: Permission denied"]


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        # By a short name: the path of a socket has at most 107 bytes.
        before = Path.cwd()
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir(before)


@pytest.mark.parametrize("make", [os.mkfifo, bind, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_regular_file_is_never_opened(
    site: Site, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    """Somebody who opens a pipe for reading waits for ever."""
    site.run(1)
    site.deploy()
    path = site.folder() / "1-end.data"
    path.unlink()
    make(path)
    opened = Path.open

    def guarded(self: Path, *arguments: Any, **named: Any) -> Any:
        if self == path:
            msg = "it was opened"
            raise AssertionError(msg)
        return opened(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", guarded)
    file = site.only(exit_code=5)
    assert (file["state"], file["runs"]) == ("unreadable", [1])
    assert told(file) == "it is no regular file"


def test_a_file_that_nobody_may_read_is_unreadable(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.run(631)
    site.deploy()
    path = site.folder() / "631-end.data"
    opened = Path.open

    def refusing(self: Path, *arguments: Any, **named: Any) -> Any:
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **named)

    monkeypatch.setattr(Path, "open", refusing)
    file = site.only(exit_code=5)
    assert (file["state"], told(file)) == ("unreadable", "it cannot be read: Permission denied")


def test_every_state_at_once_and_nothing_is_changed(
    site: Site, nothing_written: NothingWritten
) -> None:
    for run in (10, 20, 30, 40, 50, 60, 70):
        site.run(run)
    site.run(3, source=OTHER_SOURCE)
    for start in (0, 10, 20, 30, 40, 50, 60, 70):
        site.put_all(f"{start}-end.data", "M068", "M088")
    site.does("export", "exp=xcsls3716:run=60", "--calib-dir", site.calib(), "--deploy")
    folder = site.folder()
    site.put("20-end.data", "M068", "M044")
    write_text(folder / "30-end.data", site.values("pixel_gain", "M068", "M088") * 2, "%.4f")
    site.put("040-end.data", "M068", "M088")
    (folder / "50-end.data").write_text("1 2 3\n")
    edit(folder / "60-end.data", change_a_value)
    site.put("80-End.data", "M068", "M088")
    before = tree_of(site.root)
    with nothing_written():
        report = site.report(exit_code=5)
    assert tree_of(site.root) == before
    states = {
        Path(file["path"]).name: file["state"]
        for file in report["files"]
        if (file["kind"], file["source"]) == ("pixel_gain", SOURCE)
    }
    assert states == {
        "0-end.data": "shadowed",
        "10-end.data": "ok",
        "20-end.data": "stale",
        "30-end.data": "unknown",
        "40-end.data": "ambiguous",
        "040-end.data": "ambiguous",
        "50-end.data": "unreadable",
        "60-end.data": "hand-edited",
        "70-end.data": "ok",
        "80-End.data": "crashes the finder",
    }
    [missing, _] = [file for file in report["files"] if file["source"] == OTHER_SOURCE]
    assert (Path(missing["path"]).name, missing["state"]) == ("3-end.data", "missing")
    assert set(FileState) - {FileState.MISPLACED} == {file["state"] for file in report["files"]}
    assert report["counts"] == {
        state: sum(file["state"] == state for file in report["files"]) for state in FileState
    }
    order = [(file["source"], file["kind"], file["path"]) for file in report["files"]]
    assert order == sorted(order)


def test_after_a_deploy_job_what_the_served_runs_read_is_ok(site: Site) -> None:
    for run in (10, 20, 30, 40, 50):
        site.run(run)
    site.deploy()
    folder = site.folder()
    site.put("20-end.data", "M068", "M044")
    write_text(folder / "30-end.data", site.values("pixel_gain", "M068", "M088") * 2, "%.4f")
    edit(folder / "10-end.data", change_a_value)
    site.assign(B0, "M044", BEGIN)
    assert {file["state"] for file in site.gains(exit_code=5).values()} == {
        "hand-edited",
        "stale",
        "unknown",
    }
    site.deploy()
    report = site.report()
    assert {file["state"] for file in report["files"]} <= {"ok", "shadowed"}
    for kind in STEMS:
        for run in (10, 20, 30, 40, 50):
            found = find_calib_file(site.calib(), SOURCE, kind, run)
            [file] = [file for file in report["files"] if file["path"] == found]
            assert (file["state"], file["holds"]) == ("ok", ["M044@1", "M088@1"])
            assert run in file["runs"]


def test_several_experiments_and_sources_are_judged_each_by_its_own_runs(site: Site) -> None:
    site.run(631)
    site.run(631, MID_BEGIN, SINGLE, source=OTHER_SOURCE, experiment="xcsx22015")
    site.run(631, LATER, SINGLE, source=OTHER_SOURCE)
    site.deploy(exit_code=3)
    report = site.report()
    held = {(file["experiment"], file["source"]): file["holds"] for file in report["files"]}
    assert held == {
        ("xcsls3716", SOURCE): ["M068@1", "M088@1"],
        ("xcsls3716", OTHER_SOURCE): ["M044@1"],
    }
    assert len(report["files"]) == 4
    assert site.report("--experiment", "xcsx22015")["files"] == []
    assert len(site.report("--experiment", "xcsls3716")["files"]) == 4


def test_runs_without_constants_are_a_note_and_no_error(site: Site) -> None:
    site.run(631)
    site.run(632, begin="")
    site.run(633, detector="171113-154920171025-3d00aa")
    site.deploy(exit_code=3)
    file = site.only()
    assert (file["state"], file["runs"]) == ("ok", [631, 632, 633])
    assert file["notes"] == ["the store has no constants for runs 632, 633"]


def test_a_run_without_constants_that_reads_nothing_misses_nothing(site: Site) -> None:
    site.run(631, begin="")
    assert site.report()["files"] == []


def test_values_of_a_file_that_only_unresolved_runs_read_are_not_vouched_for(site: Site) -> None:
    site.run(631)
    site.deploy()
    edit(site.folder() / "631-end.data", change_a_value)
    change = ("withdraw", B0, "--from", BEGIN, "--reason", "test")
    site.does(*confirmed(site.panelcal, *change))
    assert site.only(exit_code=5)["state"] == "hand-edited"


def test_runs_with_declared_modules_are_verified_like_any_other(site: Site, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    with table.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["experiment", "run", "source", "begin", "detector_id", "modules"])
        writer.writerow(["xcsx22015", 555, SOURCE, "20171025000000", "", "M088 M068"])
    site.does("import", "runs", table)
    assert site.only(exit_code=4)["state"] == "missing", "a deploy job would serve it"
    calib = site.calib("xcsx22015")
    site.does("export", "exp=xcsx22015:run=555", "--calib-dir", calib, "--deploy")
    file = site.only()
    assert (file["state"], file["holds"]) == ("ok", ["M088@1", "M068@1"])
    assert file["runs"] == [555]
    path = site.folder(experiment="xcsx22015") / "555-end.data"
    site.put("555-end.data", "M044", "M068", experiment="xcsx22015")
    assert site.only(exit_code=5)["state"] == "hand-edited"
    path.unlink()
    file = site.only(exit_code=4)
    assert (file["state"], file["runs"]) == ("missing", [555])


def test_an_experiment_that_the_store_does_not_know_is_judged_by_its_values(site: Site) -> None:
    place = {"experiment": "mfx99999"}
    site.put_all("1-end.data", "M068", "M088", **place)
    site.put_all("2-end.data", "M044", **place)
    gains = site.gains("--experiment", "mfx99999")
    assert {name: (file["state"], file["holds"]) for name, file in gains.items()} == {
        "1-end.data": ("ok", ["M068@1", "M088@1"]),
        "2-end.data": ("ok", ["M044@1"]),
    }


def test_other_types_and_backups_are_left_alone(site: Site) -> None:
    site.run(631)
    site.deploy()
    before = site.report()
    (site.folder() / "631-end.data-2018-04-20T10:11:12").write_text("kept")
    (site.folder() / "notes.txt").write_text("1 2 3")
    (site.folder() / "abc-end.data").write_text("1 2 3")
    (site.folder() / "9-5.data").write_text("1 2 3")
    pedestals = site.folder("pedestals")
    pedestals.mkdir()
    (pedestals / "10000-end.data").write_text("1 2 3")
    (site.folder().parents[1] / "README").write_text("no source")
    assert site.report() == before


def looks_in(site: Site, calib: str) -> str:
    return f"neither psana nor the deploy job looks here, but in {site.root / calib}"


def test_a_tree_below_the_lower_case_instrument_is_judged_where_it_is_and_fails(
    site: Site,
) -> None:
    """Newer path helpers use lower-case instruments (spec §8)."""
    site.run(631)
    site.deploy()
    (site.root / "XCS").rename(site.root / "xcs")
    for options in ((), ("--experiment", "xcsls3716")):
        report = site.report(*options, exit_code=4)
        states = sorted(file["state"] for file in report["files"])
        assert states == ["misplaced", "misplaced", "missing", "missing"]
        found = {
            file["path"]: file for file in report["files"] if "/xcs/xcsls3716/" in file["path"]
        }
        for kind in STEMS:
            path = site.root / "xcs" / site.folder(kind).relative_to(site.root / "XCS")
            file = found[str(path / "631-end.data")]
            assert (file["kind"], file["holds"]) == (kind, ["M068@1", "M088@1"])
            assert file["runs"] == []
            assert file["notes"] == [looks_in(site, "XCS/xcsls3716/calib")]


def test_files_below_what_is_no_experiment_are_told(site: Site) -> None:
    site.run(631)
    site.deploy()
    folder = site.root / "XX" / "ab" / "calib" / GROUP / SOURCE / "pixel_gain"
    write_text(folder / "1-end.data", site.values("pixel_gain", "M044"), "%.4f")
    file = site.gains(exit_code=4)["1-end.data"]
    assert (file["state"], file["experiment"], file["holds"]) == ("misplaced", "ab", ["M044@1"])
    assert file["notes"] == [looks_in(site, "AB/ab/calib")]


def test_what_nobody_looks_for_has_its_own_faults_besides(site: Site) -> None:
    site.run(5)
    site.deploy()
    folder = site.root / "MFX" / "xcsls3716" / "calib" / GROUP / SOURCE / "pixel_gain"
    values = site.values("pixel_gain", "M068", "M088")
    for name in ("1-7.data", "1-3.data", "4-7.data"):
        write_text(folder / name, values, "%.4f")
    write_text(folder / "8-end.data", values * 2, "%.4f")
    (folder / "9-end.data").write_text("1 2 3")
    (folder / "10000-end.data").write_text("1 2 3")
    gains = site.gains(exit_code=5)
    assert {name: file["state"] for name, file in gains.items()} == {
        "5-end.data": "ok",
        "1-7.data": "misplaced",
        "1-3.data": "misplaced",
        "4-7.data": "misplaced",
        "8-end.data": "unknown",
        "9-end.data": "unreadable",
        "10000-end.data": "crashes the finder",
    }
    for name in gains.keys() - {"5-end.data"}:
        assert gains[name]["notes"][0] == looks_in(site, "XCS/xcsls3716/calib")
        assert gains[name]["runs"] == []


def test_what_is_gone_from_a_place_where_nobody_looks_is_not_missed(site: Site) -> None:
    site.run(631)
    site.deploy()
    astray = site.root / "xcs" / "xcsls3716" / "calib"
    site.does("export", "exp=xcsls3716:run=631", "--calib-dir", astray, "--deploy")
    assert site.report(exit_code=4)["counts"]["misplaced"] == 2
    for path in list(astray.rglob("631-end.data")):
        path.unlink()
    assert {file["state"] for file in site.report()["files"]} == {"ok"}


@pytest.mark.parametrize(("link", "to"), [("xcs", "XCS"), ("MFX/alias", "../XCS/xcsls3716")])
def test_a_link_to_where_psana_looks_is_no_other_place(site: Site, link: str, to: str) -> None:
    site.run(631)
    site.deploy()
    before = site.report()
    (site.root / link).parent.mkdir(exist_ok=True)
    (site.root / link).symlink_to(to)
    assert site.report() == before


def test_a_tree_of_the_lower_case_instrument_behind_a_link_is_well(site: Site) -> None:
    site.run(631)
    site.deploy()
    (site.root / "XCS").rename(site.root / "xcs")
    (site.root / "XCS").symlink_to("xcs")
    assert {file["state"] for file in site.report()["files"]} == {"ok"}


@pytest.mark.parametrize("how", ["link", "relative", "dots", "slash"])
def test_a_root_is_the_same_however_it_is_typed(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    site.run(631)
    site.deploy()
    edit(site.folder() / "631-end.data", change_a_value)
    (tmp_path / "link").symlink_to(site.root)
    monkeypatch.chdir(tmp_path)
    typed = {
        "link": str(tmp_path / "link"),
        "relative": "root",
        "dots": str(site.root / ".." / "root"),
        "slash": f"{site.root}/",
    }[how]
    text = site.does("verify-deploy", "--calib-root", typed, "--json", exit_code=5)
    files = json.loads(text)["files"]
    assert [file["state"] for file in files] == ["hand-edited", "ok"]
    assert "deployed" in told(files[0])
    (site.folder() / "631-end.data").unlink()
    text = site.does("verify-deploy", "--calib-root", typed, "--json", exit_code=4)
    assert "and gone" in told(json.loads(text)["files"][0])


def test_what_was_deployed_through_a_link_is_on_record_at_its_real_place(
    site: Site, tmp_path: Path
) -> None:
    site.run(631)
    real = site.root
    site.root = tmp_path / "link"
    site.root.symlink_to(real)
    site.deploy()
    site.root = real
    edit(site.folder() / "631-end.data", change_a_value)
    assert "by tester with other values" in told(site.only(exit_code=5))


def test_what_was_deployed_elsewhere_is_not_missed_here(site: Site, tmp_path: Path) -> None:
    site.run(631)
    site.does("export", "exp=xcsls3716:run=631", "--calib-dir", tmp_path / "mine", "--deploy")
    site.does("export", "exp=xcsls3716:run=631", "--calib-dir", site.root / "x", "--deploy")
    site.put_all("631-end.data", "M068", "M088")
    assert site.only()["notes"] == []


def test_the_table_is_readable(site: Site) -> None:
    site.run(631)
    site.deploy()
    (site.folder() / "10000-end.data").write_text("")
    lines = site.does("verify-deploy", "--calib-root", site.root, exit_code=5).splitlines()
    place = f"XCS/xcsls3716/calib/{GROUP}/{SOURCE}"
    assert [line.split()[0] for line in lines] == ["state", "crashes", "ok", "ok", "3"]
    assert lines[1].split()[3:6] == [f"{place}/pixel_gain/10000-end.data", "-", "-"]
    ok = ["ok", f"{place}/pixel_gain/631-end.data", "M068@1", "M088@1", "631"]
    assert lines[2].split() == ok
    assert lines[-1] == "3 files: 2 ok, 1 crashes the finder"


def test_names_that_would_break_the_table_are_escaped(site: Site) -> None:
    site.put_all("1-end.data", "M068", "M088", source="XcsEndstation.0:Jungfrau.0\x1b[31m")
    assert "\x1b" not in site.does("verify-deploy", "--calib-root", site.root)
    assert "\\x1b[31m" in site.report()["files"][0]["path"]


def test_an_empty_root_is_well(site: Site) -> None:
    text = site.does("verify-deploy", "--calib-root", site.root)
    assert text == "0 files: nothing deployed\n"
    assert site.report()["files"] == []


def test_a_root_that_is_not_there_is_not_found(site: Site) -> None:
    result = site.panelcal("verify-deploy", "--calib-root", site.root / "gone")
    assert result.exit_code == 3
    assert "gone is not a directory" in result.stderr
    assert "hint: name the root of ROOT/<INSTRUMENT>/<experiment>/calib" in result.stderr


def test_a_mistyped_experiment_is_not_silently_well(site: Site) -> None:
    site.run(631)
    site.deploy()
    arguments = ("verify-deploy", "--calib-root", site.root, "--experiment")
    result = site.panelcal(*arguments, "xcsls3717")
    assert result.exit_code == 3
    assert "did you mean xcsls3716?" in result.stderr
    assert site.panelcal(*arguments, "../x").exit_code == 2


def test_the_output_may_be_cut_short(site: Site, store_dir: Path) -> None:
    for run in range(600, 640):
        site.run(run, BEGIN if run % 2 else "20171205161400")
        site.put_all(f"{run}-end.data", "M068", "M088")
    done = subprocess.run(
        ["sh", "-c", 'panelcal verify-deploy --calib-root "$0" | head -1', str(site.root)],
        env=program_environment() | {"PANELCAL_STORE": str(store_dir)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["state", "file", "holds", "runs", "notes"]
    assert done.stderr == ""


def test_a_damaged_payload_ends_it_where_it_is_needed_and_is_named(
    site: Site, store_dir: Path
) -> None:
    site.run(631)
    site.deploy()
    damage(store_dir, "M044", "pixel_gain")
    assert site.only()["state"] == "ok", "every file is on record: no payload is needed"
    edit(site.folder() / "631-end.data", lambda text: "# mine\n" + text)
    result = site.panelcal("verify-deploy", "--calib-root", site.root, "--json")
    assert result.exit_code == 5
    assert result.stdout == ""
    assert "holds other values: xxh3" in result.stderr
    assert "restore it from a backup" in result.stderr


def test_each_payload_is_loaded_once_for_all_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for experiment in ("xcsls3716", "xcsx22015"):
        for name in ("1-end.data", "2-end.data"):
            site.put_all(name, "M068", "M088", experiment=experiment)
    loaded: list[str] = []
    get = PayloadStore.get

    def counted(self: PayloadStore, digest: str) -> Array:
        loaded.append(digest)
        return get(self, digest)

    monkeypatch.setattr(PayloadStore, "get", counted)
    assert len(site.report()["files"]) == 8
    assert len(loaded) == len(set(loaded)) == 6


def test_the_service_tells_its_progress_and_refuses_with_typed_errors(
    site: Site, store: OpenStore
) -> None:
    site.run(631)
    site.deploy()
    seen: list[tuple[int, int, str]] = []
    report = verify_deploy(store, site.root, progress=lambda *step: seen.append(step))
    assert seen == [(1, 1, "xcsls3716")]
    assert report.exit_code == 0
    with pytest.raises(NotFoundError):
        verify_deploy(store, site.root / "gone")
    with pytest.raises(InvalidInputError):
        verify_deploy(store, site.root, experiment="x")


def test_a_later_delivery_of_the_same_module_is_told_apart(site: Site, tmp_path: Path) -> None:
    site.run(631)
    site.deploy()
    files = write_delivery(tmp_path / "again", seed=5)
    site.does("module", "add", "M068", files, "--reason", "second campaign")
    assert site.only()["state"] == "ok"
    gain = np.stack([delivered(files, "gain"), site.values("pixel_gain", "M088")[:, 0]], axis=1)
    write_text(site.folder() / "640-end.data", gain, "%.4f")
    assert site.gains()["640-end.data"]["holds"] == ["M068@2", "M088@1"]
    assert gain.shape == (TREE_SHAPE[0], 2, *TREE_SHAPE[1:])


def test_a_restored_backup_is_stale_or_edited_but_never_strange(site: Site) -> None:
    site.run(631)
    site.deploy()
    site.assign(B0, "M044", BEGIN)
    site.deploy()
    [kept] = site.folder().glob("631-end.data-*")
    kept.replace(site.folder() / "631-end.data")
    file = site.only(exit_code=5)
    assert (file["state"], file["holds"]) == ("hand-edited", ["M068@1", "M088@1"])
    assert datetime.now(UTC).strftime("deployed %Y-") in told(file)
