"""Every answer of the real legacy selector that was recorded, through import and resolve.

The vectors were obtained by running the legacy code (spec §3). A tree of
well-formed entries is imported, and legacy policy must then answer as recorded.
A tree with a malformed entry is refused whole, with nothing written.
"""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from builders import Clock, GainsTree, delivered
from panelcal.domain.digest import digest_of
from panelcal.domain.moments import stamp_of
from panelcal.domain.report import ImportReport, Status
from panelcal.domain.resolution import ResolvedPanel
from panelcal.errors import InvalidInputError, NoValidConstantsError
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "selection_vectors.json").read_text(encoding="utf-8")
)["vectors"]

WELL_FORMED = {
    "page": "panel ids with and without a 14-digit stamp, linked to modules",
    "one_plain": "one entry without a stamp",
    "one_stamped": "one entry with a stamp",
    "plain_1": "one entry without a stamp, one with",
    "plain_2": "one entry without a stamp, two with",
    "stamped_2": "two stamps",
    "stamped_4": "four stamps, one on a leap day",
    "zero_fw": "firmware zero is an empty field (spec §1)",
    "zero_ser": "serial zero is an empty field (spec §1)",
    "prefix": "two panels, the serial of one begins with the other's",
}

REFUSED = {
    # tree: {name of the entry: what the report says of it}
    "short_stamp": {"171113-154920171025-3d00fb-2018030600000": "13 digits, 14 digits expected"},
    "equal_int": {
        "171113-154920171025-3d00fb-020180306000000": "15 digits, 14 digits expected",
        "171113-154920171025-3d00fb-20180306000000": "written differently",
    },
    "equal_int2": {
        "171113-154920171025-3d00fb-020180306000000": "15 digits, 14 digits expected",
        "171113-154920171025-3d00fb-20180306000000": "written differently",
    },
    "junk": {"README-2018-04": "which is no hexadecimal digit"},
    "bad_stamp_txt": {"x-y-z-readme.txt": "moduleVersion 'x'"},
    "dangling": {
        "171113-154920171025-3d00fb-20180306000000": "a link to NOWHERE, which does not exist"
    },
    "underscore": {
        "171113-154920171025-3d00fb-2018_0306_000000": "'2018_0306_000000', 14 digits expected"
    },
    "case": {"171113-154920171025-3D00FB": "has upper-case letters"},
}

DELIBERATELY_DANGLING = {"NOWHERE"}


def of_trees(names: dict[str, Any]) -> list[Any]:
    chosen = [vector for vector in VECTORS if vector["tree_name"] in names]
    return [pytest.param(one, id=f"{one['id']}-{one['tree_name']}") for one in chosen]


def test_every_vector_is_judged_and_none_twice() -> None:
    assert len(VECTORS) == 40
    assert len({vector["id"] for vector in VECTORS}) == 40
    assert {vector["tree_name"] for vector in VECTORS} == WELL_FORMED.keys() | REFUSED.keys()
    assert not WELL_FORMED.keys() & REFUSED.keys()


def build(tree: GainsTree, vector: dict[str, Any]) -> None:
    """Build the vector's directory, and a directory of files for each link's target."""
    links = {entry["name"]: entry["link_target"] for entry in vector["entries"]}
    targets = {target for target in links.values() if target} - DELIBERATELY_DANGLING
    for name, target in links.items():
        if target is not None:
            tree.link(name, target)
        elif name.startswith("M0"):
            targets.add(name)
        elif "." in name:
            (tree.path / name).write_text("not constants\n")
        else:
            (tree.path / name).mkdir()
    for seed, target in enumerate(sorted(targets)):
        tree.module(target, seed=seed)


def imported(store: OpenStore, tree: GainsTree, clock: Clock) -> ImportReport:
    return import_gains_tree(store, tree.path, now=clock(), user="tester")


def chosen_entry(panel: ResolvedPanel, store: OpenStore) -> str:
    """Return the name of the directory entry that an answer stands for."""
    if panel.valid_from is None:
        return str(panel.panel)
    return f"{panel.panel}-{stamp_of(panel.valid_from, store.zone)}"


@pytest.mark.parametrize("vector", of_trees(WELL_FORMED))
def test_legacy_policy_answers_as_the_real_selector_did(
    vector: dict[str, Any], store: OpenStore, tree: GainsTree, clock: Clock
) -> None:
    build(tree, vector)
    report = imported(store, tree, clock)
    report.raise_if_refused()
    assert report.is_to_be_written
    if vector["detid"] == "":
        with pytest.raises(InvalidInputError, match="the detector id is empty"):
            resolve(store, "", vector["tstamp"], policy="legacy", now=clock())
        return
    if "error" in vector:
        assert vector["error"] == "ValueError"
        with pytest.raises(InvalidInputError, match="is no integer time stamp") as refused:
            resolve(store, vector["detid"], vector["tstamp"], policy="legacy", now=clock())
        assert isinstance(refused.value, ValueError)
        return
    names = vector["detid"].split("_")
    missing = [name for name, entry in zip(names, vector["result"], strict=True) if entry is None]
    if missing:
        with pytest.raises(NoValidConstantsError) as caught:
            resolve(store, vector["detid"], vector["tstamp"], policy="legacy", now=clock())
        assert list(caught.value.missing) == missing
    else:
        answer = resolve(store, vector["detid"], vector["tstamp"], policy="legacy", now=clock())
        assert [panel.panel for panel in answer.panels] == names
        assert [chosen_entry(panel, store) for panel in answer.panels] == vector["result"]
        assert [panel.module for panel in answer.panels] == vector["link_targets"]
    # A detector resolves whole or not at all; each panel by itself answers as recorded.
    for name, entry, target in zip(names, vector["result"], vector["link_targets"], strict=True):
        if entry is None:
            continue
        (panel,) = resolve(store, name, vector["tstamp"], policy="legacy", now=clock()).panels
        assert (chosen_entry(panel, store), panel.module) == (entry, target)
        gain = delivered(tree.path / entry, "gain")
        assert panel.digests["pixel_gain"] == digest_of(gain)


@pytest.mark.parametrize("vector", of_trees(REFUSED))
def test_a_tree_with_a_malformed_entry_is_refused_whole(
    vector: dict[str, Any],
    store: OpenStore,
    tree: GainsTree,
    clock: Clock,
    nothing_written: Callable[[], AbstractContextManager[None]],
) -> None:
    build(tree, vector)
    with nothing_written():
        report = imported(store, tree, clock)
        with pytest.raises(InvalidInputError, match="refused; nothing was written") as caught:
            report.raise_if_refused()
    assert caught.value.exit_code == 2
    assert not report.is_to_be_written
    said = {line.name: line.reason for line in report.lines if line.status is Status.REFUSED}
    expected = REFUSED[vector["tree_name"]]
    assert said.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in said[name]
