"""Names that nobody means well with, inside of what is imported, and links that lead out of it."""

import json
import os
import shutil
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from builders import GainsTree, rows, write_delivery
from bundle_material import BEGUN, list_anew
from conftest import RunsProgram
from hostile_texts import TEXTS, is_plain
from panelcal.services.bundle_create import create_bundle
from panelcal.storage.store import OpenStore
from past_triggers import change_past_triggers

pytestmark = pytest.mark.sqlite_only

PANEL = "171113-154920171025-3d00fb"
STAMPED = f"{PANEL}-20180306000000"
SOURCE = "XcsEndstation.0:Jungfrau.0"
RUN = "exp=xcsls3716:run=631"
ENTRY_NAMES = "SELECT name FROM module UNION SELECT name FROM panel"


def can_name_a_file(text: str) -> bool:
    return text not in {"", ".", ".."} and not {"/", "\0"} & {*text} and len(text) < 80


NAMES = [text for text in TEXTS.values() if can_name_a_file(text)]
SAID_BY_A_BUNDLE = ("blanks", "newline", "escape", "right to left", "Arabic digits", "up", "SQL")


def require_lines(output: str) -> None:
    """Fail unless words are plain, and no name of the matrix broke a line of them."""
    assert is_plain(output)
    for line in output.splitlines():
        assert len(line) < 2000
    assert "\nbroken" not in output


def documented(run: RunsProgram, *arguments: str | Path) -> int:
    """Run a request that has to end as documented, in plain lines; return its exit code."""
    done = run(*arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in {0, 2, 3, 4, 5}, done.output
    require_lines(done.output)
    return done.exit_code


@pytest.fixture
def hostile_tree(tree: GainsTree) -> GainsTree:
    """A tree with one good entry, and every name of the matrix in every place."""
    tree.module("M044")
    tree.link(STAMPED, "M044")
    for number, name in enumerate(NAMES):
        (tree.path / "M044" / name).write_text("no constants")
        (tree.path / name).mkdir(exist_ok=True)
        for entry in (f"M{name}", f"{PANEL}-{name}", f"{name}-1-2"):
            if not os.path.lexists(tree.path / entry):
                tree.link(entry, "M044")
        tree.link(f"171113-{number}-3d00fb", name)
    return tree


def test_hostile_names_in_a_gains_tree_are_told_in_lines_and_none_is_recorded(
    panelcal: RunsProgram, hostile_tree: GainsTree, store_dir: Path
) -> None:
    path = hostile_tree.path
    assert documented(panelcal, "import", "gains-tree", path) == 2
    assert rows(store_dir, ENTRY_NAMES) == []
    report = json.loads(panelcal("import", "gains-tree", path, "--skip-bad", "--json").stdout)
    for entry in report["entries"]:
        require_lines(" ".join(map(str, entry.values())))
    recorded = {name for (name,) in rows(store_dir, ENTRY_NAMES)}
    assert {"M044", PANEL} <= recorded
    for name in recorded:
        assert is_plain(name)
        assert "\n" not in name
    assert documented(panelcal, "resolve", PANEL, "--at", "20190101000000", "--explain") == 0


def test_hostile_names_in_a_calib_tree_are_told_in_lines(
    panelcal: RunsProgram, tmp_path: Path, tree: GainsTree
) -> None:
    tree.module("M044")
    tree.link(STAMPED, "M044")
    assert documented(panelcal, "import", "gains-tree", tree.path) == 0
    added = ("--begin", "20180419000000", "--detector-id", PANEL)
    assert documented(panelcal, "run", "add", RUN, "-s", SOURCE, *added) == 0
    calib = tmp_path / "root" / "XCS" / "xcsls3716" / "calib"
    assert documented(panelcal, "export", RUN, "--deploy", "--calib-dir", calib) == 0
    group = calib / "Jungfrau::CalibV1"
    kind = group / SOURCE / "pixel_gain"
    for name in NAMES:
        for folder in (calib, group, group / SOURCE, tmp_path / "root"):
            (folder / name).mkdir()
            (folder / name / name).write_text("1 2 3\n")
        (group / f"Xcs.0:Jungfrau.{name}").mkdir()
        for file in {name, f"{name}-end.data", f"1-{name}.data"} - {"1--.data"}:
            (kind / file).write_text(name.encode("utf-8", "replace").decode())
        with (kind / "HISTORY").open("a", errors="surrogateescape") as history:
            history.write(f"file:631-end.data user:{name} host:{name} cptime:{name}\n")
    for form in ((), ("--json",), ("--skip-bad", "--json")):
        documented(panelcal, "import", "calib-tree", tmp_path / "root", *form)
        verify = ("verify-deploy", "--calib-root", tmp_path / "root")
        documented(panelcal, *verify, *form[-1:])


@pytest.mark.parametrize("place", ["group", "range", "version", "attribute", "data"])
def test_hostile_names_in_a_dcs_file_are_told_in_lines(
    panelcal: RunsProgram, tmp_path: Path, place: str
) -> None:
    path = tmp_path / f"jungfrau-{PANEL}.h5"
    with h5py.File(path, "w") as root:
        root["detid"] = np.array([PANEL.encode()])
        for number, name in enumerate(map(os.fsencode, NAMES)):
            parts = {"group": b"pixel_gain", "range": b"%d-end" % number, "version": b"v0001"}
            parts |= {place: name} if place in parts else {}
            # A group of the same name is there where the name itself is the same.
            group = h5py.h5g
            version = root
            for part in parts.values():
                below = part in list(version.id)
                version = h5py.Group(
                    group.open(version.id, part) if below else group.create(version.id, part)
                )
            version["data"] = np.ones((3, 1, 4, 8), np.float32)
            if place == "attribute":
                version.attrs[name] = "x"
                version.attrs[f"panelcal_{number}"] = name
            if place == "data":
                version[name] = np.ones(3)
                version["comment"] = np.array([name])
    for form in ((), ("--json",), ("--skip-bad",)):
        documented(panelcal, "import", "dcs", path, *form)


def test_hostile_texts_in_a_bundle_are_told_in_lines_and_no_tag_of_that_name_is_imported(
    told: OpenStore, panelcal: RunsProgram, store_dir: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    create_bundle(told, kept, tag="second", now=BEGUN)
    for number, text in enumerate(map(TEXTS.__getitem__, SAID_BY_A_BUNDLE)):
        forged = tmp_path / f"forged{number}"
        shutil.copytree(kept, forged)
        listed = json.loads((forged / "bundle.json").read_text())
        listed["selection"] |= {"tag": text, "as_of": text, "detectors": [text]}
        listed |= {"made_by": text, "made_at": text}
        (forged / "bundle.json").write_text(json.dumps(listed))
        quoted = text.replace("'", "''")
        change_past_triggers(forged, f"UPDATE tag SET name = '{quoted}' WHERE name = 'first'")
        list_anew(forged)
        documented(panelcal, "bundle", "verify", forged)
        documented(panelcal, "bundle", "verify", "--json", forged)
        documented(panelcal, "bundle", "import", forged)
        documented(panelcal, "--store", forged, "tag", "list")
        assert rows(store_dir, "SELECT name FROM tag WHERE name NOT IN ('first', 'second')") == []


# --- links ------------------------------------------------------------------------------


def test_links_out_of_a_gains_tree_are_refused_and_what_they_lead_to_is_not_read(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path, tmp_path: Path
) -> None:
    outside = write_delivery(tmp_path / "outside")
    tree.module("M044")
    (tree.path / "M068").mkdir()
    for file in outside.iterdir():
        (tree.path / "M068" / file.name).symlink_to(file)
    tree.link(STAMPED, str(outside))
    tree.link(f"{PANEL}-20190306000000", "../outside")
    tree.link(f"{PANEL}-20200306000000", "..")
    tree.link("M070", "/")
    tree.link(f"{PANEL}-20210306000000", "M068")
    done = panelcal("import", "gains-tree", tree.path, "--json", "--skip-bad")
    told = {one["name"]: one for one in json.loads(done.stdout)["entries"]}
    for year in (2018, 2019, 2020):
        assert told[f"{PANEL}-{year}0306000000"]["reason"].startswith("leads out of the tree")
    assert "a link that leads out of the tree" in told["M068"]["reason"]
    assert rows(store_dir, "SELECT name FROM module") == [("M044",)]


def test_gc_removes_a_link_and_nothing_that_a_link_leads_to(
    panelcal: RunsProgram, store_dir: Path, tmp_path: Path
) -> None:
    assert panelcal("module", "add", "M044", write_delivery(tmp_path / "M044")).exit_code == 0
    outside = write_delivery(tmp_path / "outside")
    digest = "ab" * 32
    orphan = store_dir / "payloads" / "ab" / digest
    orphan.parent.mkdir(exist_ok=True)
    orphan.symlink_to(outside)
    incoming = store_dir / "payloads" / "incoming"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.symlink_to(outside)
    before = sorted(outside.iterdir())
    documented(panelcal, "fsck")
    documented(panelcal, "gc", "--older-than", "0")
    assert sorted(outside.iterdir()) == before
    incoming.unlink()
    assert documented(panelcal, "gc", "--older-than", "0") == 0
    assert not orphan.is_symlink()
    assert sorted(outside.iterdir()) == before


def test_a_payload_in_a_bundle_that_is_a_link_is_not_read(
    told: OpenStore, panelcal: RunsProgram, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    create_bundle(told, bundle, tag="second", now=BEGUN)
    member = min(path for path in (bundle / "payloads").rglob("c/**/0") if path.is_file())
    member.rename(tmp_path / "elsewhere")
    member.symlink_to(tmp_path / "elsewhere")
    assert documented(panelcal, "bundle", "verify", bundle) == 5
    assert documented(panelcal, "bundle", "import", bundle) == 5


def test_a_panel_named_by_the_bytes_of_no_text_is_no_file_elsewhere(
    panelcal: RunsProgram, tree: GainsTree
) -> None:
    os.mkdir(os.fsencode(tree.path) + b"/\xff\xfe-1-2")  # noqa: PTH102 - bytes are the point
    assert documented(panelcal, "import", "gains-tree", tree.path) == 2
