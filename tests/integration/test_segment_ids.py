"""Detector ids of LCLS2 (spec §15) through every command that takes an id."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panelcal as package
from builders import delivered, rows, write_delivery
from conftest import RunsProgram
from legacy_oracle import load_txt
from panelcal.domain.resolution import token_of
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.adopt import adopt, twins_of
from panelcal.services.assign import assign, list_panels, show_panel, withdraw
from panelcal.services.history import history_of
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store
from statements import statements

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BY: dict[str, Any] = {"now": NOW, "user": "tester", "reason": "test"}
STAMP, START = "20180306000000", datetime(2018, 3, 6, 8, tzinfo=UTC)
DATASET, SOURCE = "exp=xcsls3716:run=631", "XcsEndstation.0:Jungfrau.0"
MODULES = ("M044", "M068", "M088")

EMULATED = "00" + "0123456789-" * 6 + "00000042"
ZEROES = "8000000020000-0-3d00fb"
PANEL = "8000000020000-1549-3d00fb"
DETECTOR = f"jungfrau_{EMULATED}_{PANEL}_{ZEROES}"
PANELS = (f"jungfrau_{EMULATED}", PANEL, f"jungfrau_{ZEROES}")
ODD = "a\"b\\c'%$`*;-"


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which the three segments of a detector use a module each."""
    directory = tmp_path_factory.mktemp("lcls2") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(MODULES):
                files = write_delivery(directory.parent / module, seed)
                deliver(store, module, files, **BY)
            for panel, module in zip(PANELS, MODULES, strict=True):
                assign(store, panel, module, START, **BY)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def registered(panelcal: RunsProgram) -> None:
    """Run 631, of the detector."""
    begin = ("--begin", "20180419000000")
    done = panelcal("run", "add", DATASET, "-s", SOURCE, *begin, "--detector-id", DETECTOR)
    assert done.exit_code == 0, done.output


def answer_of(panelcal: RunsProgram, *arguments: str) -> dict[str, Any]:
    done = panelcal("resolve", *arguments, "--json")
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def expected(tmp: Path, kind: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """What was delivered, (gain range, panel, row, column)."""
    return np.stack([delivered(tmp / module, kind) for module in MODULES], axis=1)


# --- resolving


def test_a_detector_of_lcls2_resolves_in_segment_order(panelcal: RunsProgram) -> None:
    answer = answer_of(panelcal, DETECTOR, "--at", STAMP)
    assert answer["detector"] == DETECTOR
    assert [(panel["panel"], panel["module"]) for panel in answer["panels"]] == list(
        zip(PANELS, MODULES, strict=True)
    )


def test_the_token_is_that_of_the_id_as_it_is_written(panelcal: RunsProgram) -> None:
    for typed, written in (
        (DETECTOR, DETECTOR),
        (f"jungfrau_{PANEL}L", f"jungfrau_{PANEL}"),
        (PANEL, PANEL),
    ):
        answer = answer_of(panelcal, typed, "--at", STAMP)
        digests = [panel["digests"] for panel in answer["panels"]]
        assert answer["detector"] == written
        assert answer["token"] == token_of(written, "2018-03-06T08:00:00Z", "strict", digests)


def test_a_panel_of_both_software_generations_has_one_ledger(store: OpenStore) -> None:
    assign(store, f"jungfrau_{PANEL}", "M088", None, **BY)
    assert {row.panel for row in show_panel(store, f"jungfrau_{PANEL}")[1]} == {PANEL}
    bare, typed = (
        resolve(store, name, "20170101000000", now=NOW) for name in (PANEL, f"jungfrau_{PANEL}")
    )
    assert bare.panels == typed.panels
    assert bare.token != typed.token


def test_legacy_policy_answers_for_segments_too(store: OpenStore) -> None:
    answer = resolve(store, DETECTOR, "20150101000000", policy="legacy", now=NOW)
    assert [panel.module for panel in answer.panels] == list(MODULES)
    assert answer.guessed == tuple(sorted(PANELS))


def test_every_segment_without_constants_is_listed_as_it_can_be_assigned(
    panelcal: RunsProgram,
) -> None:
    done = panelcal("resolve", f"{DETECTOR}_7-0-1_7-0-2", "--at", STAMP)
    assert done.exit_code == 3
    assert "panel 3 jungfrau_7-0-1: never assigned" in done.stderr
    assert "panel 4 jungfrau_7-0-2: never assigned" in done.stderr
    again = ("--from", STAMP, "--reason", "test", "--")
    assert panelcal("assign", *again, "jungfrau_7-0-1", "M044").exit_code == 0


def test_all_segments_are_asked_for_in_one_statement(store: OpenStore) -> None:
    with statements(store.database) as sent:
        resolve(store, DETECTOR, STAMP, now=NOW)
    assert len([one for one in sent if "assignment" in one]) == 1


# --- what is printed can be typed


def test_a_listed_segment_can_be_typed_at_every_command_that_takes_a_panel(
    panelcal: RunsProgram,
) -> None:
    listed = json.loads(panelcal("panel", "list", "--json").stdout)
    assert sorted(panel["panel"] for panel in listed) == sorted(PANELS)
    reason = ("--reason", "test")
    for name in (panel["panel"] for panel in listed):
        for command in (
            ("panel", "show", name),
            ("history", name),
            ("resolve", name, "--at", STAMP),
            ("withdraw", name, "--from", "20200101000000", *reason),
            ("assign", name, "M088", "--from-beginning", *reason),
        ):
            done = panelcal(*command)
            assert done.exit_code == 0, done.output
    told = json.loads(panelcal("history", DETECTOR, "--json").stdout)["ledger"]
    assert sorted(row["panel"] for row in told) == sorted(PANELS * 3)


def test_the_list_shows_no_serial_where_there_is_none(panelcal: RunsProgram) -> None:
    lines = [line.split() for line in panelcal("panel", "list").stdout.splitlines()]
    assert {line[0]: line[1] for line in lines if line[0] in PANELS} == {
        PANELS[0]: "-",
        PANELS[1]: "3d00fb",
        PANELS[2]: "-",
    }


def test_a_segment_that_is_not_registered_is_refused_with_the_nearest(store: OpenStore) -> None:
    with pytest.raises(NotFoundError, match="is not registered") as caught:
        show_panel(store, f"jungfrau_{ZEROES[:-1]}a")
    assert PANELS[2] in str(caught.value.hint)


# --- which physical panel


def test_different_segment_ids_are_different_panels(store: OpenStore) -> None:
    # The last field is the serial of the panel beside it, and the other one of nothing.
    for other in ("jungfrau_9000000020000-0-3d00fb", "jungfrau_3d00fb"):
        assert twins_of(store, other) == []
        with pytest.raises(NotFoundError, match="has no serial"):
            adopt(store, other, like=None, record=True, now=NOW, user="tester")
    assert twins_of(store, PANELS[2]) == twins_of(store, PANEL) == []


def test_a_segment_is_never_the_twin_of_a_panel_id(store: OpenStore) -> None:
    assign(store, "jungfrau_3d00fb", "M044", None, **BY)
    [twin] = twins_of(store, "171113-154920171025-3d00fb")
    assert twin.panel.name == PANEL


def test_a_panel_with_numbers_keeps_its_twins_under_new_software(store: OpenStore) -> None:
    new = "jungfrau_8000000030000-1549-3d00fb"
    assert [twin.panel.name for twin in twins_of(store, new)] == [PANEL]
    adoption = adopt(store, new, like=f"jungfrau_{PANEL}", record=True, now=NOW, user="tester")
    assert adoption.panel == "8000000030000-1549-3d00fb"
    assert [row.uses for row in adoption.rows] == ["M068@1"]


# --- what is refused


@pytest.mark.parametrize("name", [f"epix10ka_{PANEL}", f"epix10ka_{ZEROES}"])
def test_an_id_of_another_detector_type_is_refused_by_every_service(
    store: OpenStore, nothing_written: NothingWritten, name: str
) -> None:
    asked: list[Callable[[], object]] = [
        lambda: assign(store, name, "M044", None, **BY),
        lambda: withdraw(store, name, START, **BY),
        lambda: show_panel(store, name),
        lambda: history_of(store, name),
        lambda: twins_of(store, name),
        lambda: adopt(store, name, like=None, record=True, now=NOW, user="tester"),
        lambda: adopt(store, "-1-3d00fb", like=name, record=True, now=NOW, user="tester"),
        lambda: resolve(store, name, STAMP, now=NOW),
        lambda: resolve(store, name, STAMP, policy="legacy", now=NOW),
    ]
    with nothing_written():
        for ask in asked:
            with pytest.raises(InvalidInputError, match=r"'epix10ka'.*'jungfrau'"):
                ask()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("jungfrau_000003", "short name of the LCLS2 calibration database"),
        (f"jungfrau_{ZEROES}_{EMULATED}", "names 2 panels, one is expected"),
        ("jungfrau_a b", "segment 0 of the detector id: 'a b' is not a segment id"),
        (f"Jungfrau_{ZEROES}", "is not a panel id"),
        ("171113-154920171025-3d00fg", "serialNumber '3d00fg' holds 'g'"),
    ],
)
def test_what_is_no_id_of_one_panel_is_not_registered(
    panelcal: RunsProgram, nothing_written: NothingWritten, name: str, says: str
) -> None:
    with nothing_written():
        done = panelcal("assign", name, "M044", "--from-beginning", "--reason", "test")
    assert done.exit_code == 2
    assert says in done.stderr


def test_a_short_name_is_refused_for_a_run_too(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        done = panelcal("run", "add", DATASET, "-s", SOURCE, "--detector-id", "jungfrau_000003")
    assert done.exit_code == 2
    assert "_uniqueid" in done.stderr


# --- runs and files


@pytest.mark.usefixtures("registered")
def test_a_run_of_lcls2_is_shown_with_its_panels(panelcal: RunsProgram) -> None:
    [shown] = json.loads(panelcal("run", "show", DATASET, "--json").stdout)
    assert shown["detector_id"] == DETECTOR
    assert shown["panels"] == list(PANELS)
    lines = panelcal("run", "show", DATASET).stdout.splitlines()
    assert [line.split() for line in lines if line.startswith("panel ")] == [
        ["panel", str(index), panel] for index, panel in enumerate(PANELS)
    ]


@pytest.mark.usefixtures("registered")
def test_python_gives_the_id_of_a_run_and_of_each_segment(store_dir: Path) -> None:
    with package.open_store(store_dir) as store:
        assert store.detector_id(DATASET, SOURCE) == DETECTOR
        segments = [store.detector_id(DATASET, SOURCE, segment) for segment in range(3)]
        assert segments == list(PANELS)
        for segment, module in zip(segments, MODULES, strict=True):
            [panel] = store.resolve(segment, STAMP).panels
            assert panel.module == module
        with pytest.raises(NotFoundError, match="no segment 3"):
            store.detector_id(DATASET, SOURCE, 3)


def test_runs_of_lcls2_are_imported(panelcal: RunsProgram, tmp_path: Path) -> None:
    table = tmp_path / "runs.csv"
    table.write_text(
        "experiment,run,source,begin,detector_id,modules\n"
        f"xcsls3716,631,{SOURCE},20180419000000,{DETECTOR},\n"
        f"xcsls3716,632,{SOURCE},20180419000000,jungfrau_000003,\n",
        encoding="utf-8",
    )
    refused = panelcal("import", "runs", table)
    assert refused.exit_code == 2
    assert "short name" in refused.output
    assert panelcal("import", "runs", table, "--skip-bad").exit_code == 0
    by_run = answer_of(panelcal, DATASET)
    by_id = answer_of(panelcal, DETECTOR, "--at", "20180419000000")
    assert by_run == by_id


@pytest.mark.usefixtures("registered")
def test_arrays_and_files_hold_what_was_delivered(
    panelcal: RunsProgram, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    got = panelcal("get", DETECTOR, "--at", STAMP, "-o", tmp_path / "all.npz")
    assert got.exit_code == 0, got.output
    gain = expected(template.parent, "gain")
    with np.load(tmp_path / "all.npz") as found:
        assert found["pixel_gain"].tobytes() == gain.tobytes()
    done = panelcal("export", DATASET, "--precision", "full", "-o", tmp_path / "out")
    assert done.exit_code == 0, done.output
    # 43 characters of experiment, run and source, the id of 135, and the kind: it fits.
    written = tmp_path / "out" / f"xcsls3716-r0631_{SOURCE}_{DETECTOR}_pixel_gain.txt"
    assert load_txt(written).tobytes() == gain.tobytes()
    head = written.read_text(encoding="ascii")[:2000]
    assert all(panel in head for panel in PANELS)


def test_the_longest_ids_are_kept_and_exported_under_the_shorter_name(
    panelcal: RunsProgram, store_dir: Path, tmp_path: Path
) -> None:
    segments = [f"{index:03d}{'f' * 197}" for index in range(4)]
    for segment in segments:
        done = panelcal(
            "assign", f"jungfrau_{segment}", "M044", "--from-beginning", "--reason", "test"
        )
        assert done.exit_code == 0, done.output
    detector = "_".join(["jungfrau", *segments])
    begin = ("--begin", "20180419000000")
    panelcal("run", "add", DATASET, "-s", SOURCE, *begin, "--detector-id", detector)
    done = panelcal("export", DATASET, "-o", tmp_path / "out", "--calib-dir", tmp_path, "--deploy")
    assert done.exit_code == 0, done.output
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert names
    assert all(len(name) < 255 and segments[0] not in name for name in names)
    held = rows(store_dir, "SELECT DISTINCT panel FROM deployed ORDER BY panel")
    assert held == [(f"jungfrau_{segment}",) for segment in segments]


# --- SQL


def test_the_view_of_runs_agrees_with_the_resolver(
    panelcal: RunsProgram, store: OpenStore, store_dir: Path
) -> None:
    assign(store, f"jungfrau_{ODD}", "M088", None, **BY)
    assign(store, PANEL, "M044", datetime(2019, 1, 1, tzinfo=UTC), **BY)
    detectors = [
        DETECTOR,
        f"jungfrau_{PANEL}",
        f"jungfrau_{ZEROES}_{ODD}_{PANEL}_{ODD}",
        f"{PANEL}_{PANEL}",
        PANEL,
        f"jungfrau_{ODD}",
    ]
    for run, detector in enumerate(detectors, 1):
        begin = ("--begin", "20180419000000" if run % 2 else "20190419000000")
        dataset = f"exp=xcsls3716:run={run}"
        done = panelcal("run", "add", dataset, "-s", SOURCE, *begin, "--detector-id", detector)
        assert done.exit_code == 0, done.output
        answer = resolve(store, dataset, now=NOW)
        assert rows(
            store_dir,
            f"SELECT segment, panel, module, revision FROM run_use WHERE run = {run} "
            "ORDER BY segment",
        ) == [(one.index, one.panel, one.module, one.revision) for one in answer.panels]


def test_the_views_name_segments_as_panels(store_dir: Path) -> None:
    listed = rows(store_dir, "SELECT serial, panel, panel_ids FROM panel_by_serial ORDER BY panel")
    assert sorted(listed) == sorted(
        [(PANELS[0], PANELS[0], 1), ("3d00fb", PANEL, 1), (PANELS[2], PANELS[2], 1)]
    )


def test_the_store_lists_segments_among_its_panels(store: OpenStore) -> None:
    listed = list_panels(store)
    assert {panel.name: row.module for panel, row in listed if row} == dict(
        zip(PANELS, MODULES, strict=True)
    )
