"""``timeline`` and ``plot``: what a store says, as charts, JSON and pictures."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from builders import damage, delivered, write_delivery
from conftest import RunsProgram
from panelcal.domain.moments import iso_utc
from panelcal.domain.pixel import Pixel
from panelcal.domain.timeline import Lane, Mark
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.exporters.text_array import Environment
from panelcal.services.assign import assign, withdraw
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.modules import deliver
from panelcal.services.pictured import load_set, revisions_of
from panelcal.services.pixel_history import pixel_history
from panelcal.services.runs import RunFields, add_run
from panelcal.services.timeline import panels_using, timeline_of
from panelcal.storage.store import OpenStore, open_store
from past_triggers import change_past_triggers
from servers import copied_store

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PANEL = "171113-154920171025-3d00fb"
OTHER = "171113-154920171025-3d00f7"
UNKNOWN = "171113-154920171025-3d00aa"
PAIR = f"{PANEL}_{OTHER}"
FIRST, SECOND, THIRD, FOURTH = (datetime(year, 1, 1, 8, tzinfo=UTC) for year in range(2018, 2022))
SOURCE = "XcsEndstation.0:Jungfrau.0"
DATASET = "exp=xcsls3716:run=631"


def tell(store: OpenStore, scratch: Path) -> None:
    """Record the story of two panels, an hour apart."""
    for seed, module in enumerate(("M044", "M044", "M068")):
        files = write_delivery(scratch / f"{module}-{seed}", seed)
        deliver(store, module, files, now=NOW, user="dan", reason="delivered")
    assign(store, PANEL, "M068", FIRST, now=NOW + HOUR, user="ann", reason="typo")
    assign(store, PANEL, "M044@1", FIRST, now=NOW + 2 * HOUR, user="ann", reason="correction")
    assign(store, OTHER, "M068", None, now=NOW + 3 * HOUR, user="ann", reason="as of old")
    run = RunFields("xcsls3716", "631", SOURCE, begin="2020-06-01T00:00:00Z", detector_id=PAIR)
    add_run(store, run, now=NOW + 4 * HOUR, user="ann", supersede=False)
    writing = Writing("legacy", Environment("ann", "host", "/"), NOW + 5 * HOUR)
    deploy(store, answer_for(store, DATASET, None), scratch / "calib", writing=writing)
    at = NOW + 6 * HOUR
    withdraw(store, PANEL, SECOND, now=at, user="bob", reason="broken", confirm_affects=1)
    assign(
        store, PANEL, "M044@2", THIRD, now=at + HOUR, user="bob", reason="mended", confirm_affects=1
    )


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with that story."""
    scratch = tmp_path_factory.mktemp("plots")
    with copied_store(empty_store, scratch / "store") as directory:
        with open_store(directory) as store:
            tell(store, scratch)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def unwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nothing_written: NothingWritten
) -> Iterator[Path]:
    """A working directory; the store is as before at the end."""
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    with nothing_written():
        yield place


def shown(lane: Lane) -> list[tuple[str, datetime | None, datetime | None]]:
    return [(one.label, one.start, one.end) for one in lane.intervals]


# --- the service ----------------------------------------------------------------------


def test_a_timeline_has_gaps_withdrawals_and_no_superseded_rows(store: OpenStore) -> None:
    found = timeline_of(store, PAIR)
    assert found.detector == PAIR
    assert [lane.panel for lane in found.lanes] == [PANEL, OTHER]
    assert shown(found.lanes[0]) == [
        ("no constants", None, FIRST),
        ("M044@1", FIRST, SECOND),
        ("withdrawn", SECOND, THIRD),
        ("M044@2", THIRD, None),
    ]
    assert shown(found.lanes[1]) == [("M068@1", None, None)]


def test_a_deployment_is_marked_on_its_panels_and_says_whether_it_still_holds(
    store: OpenStore,
) -> None:
    token = answer_for(store, DATASET, None).resolution.token
    ours, other = timeline_of(store, PAIR).lanes
    [mark], [steady] = ours.marks, other.marks
    assert (str(mark.dataset), mark.source, mark.uses) == (DATASET, SOURCE, "M044@1")
    assert mark.at == datetime(2020, 6, 1, tzinfo=UTC)
    assert (mark.is_current, steady.is_current) == (False, True)
    assert mark.token == steady.token != token
    assert NOW + 5 * HOUR <= mark.deployed_at < NOW + 6 * HOUR


def test_of_a_run_deployed_again_the_last_deployment_is_marked(
    store: OpenStore, tmp_path: Path
) -> None:
    writing = Writing("legacy", Environment("ann", "host", "/"), NOW + 9 * HOUR)
    deploy(store, answer_for(store, DATASET, None), tmp_path / "calib", writing=writing)
    [mark] = timeline_of(store, PANEL).lanes[0].marks
    assert (mark.uses, mark.is_current) == ("M044@2", True)
    assert mark.deployed_at >= NOW + 9 * HOUR


def test_as_of_shows_what_was_recorded_and_deployed_by_then(store: OpenStore) -> None:
    [before] = timeline_of(store, PANEL, as_of=NOW + HOUR).lanes
    assert (shown(before)[1:], before.marks) == ([("M068@1", FIRST, None)], ())
    [between] = timeline_of(store, PANEL, as_of=NOW + 5 * HOUR + HOUR / 2).lanes
    assert shown(between)[1:] == [("M044@1", FIRST, None)]
    assert [mark.is_current for mark in between.marks] == [True]


def test_a_panel_without_a_row_is_a_gap_if_another_one_is_known(store: OpenStore) -> None:
    lanes = timeline_of(store, f"{UNKNOWN}_{PANEL}").lanes
    assert shown(lanes[0]) == [("no constants", None, None)]
    assert len(lanes[1].intervals) == 4


def test_panels_that_nobody_registered_are_not_found(store: OpenStore) -> None:
    with pytest.raises(NotFoundError, match=f"{UNKNOWN} is not registered"):
        timeline_of(store, UNKNOWN)


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE assignment SET valid_from_us = valid_from_us + 1000000 WHERE reason = 'broken'",
        "UPDATE constant_set SET revision = 7 WHERE revision = 2",
        "UPDATE deployment_panel SET panel = 'x' WHERE segment = 1",
        "UPDATE deployment SET run = 632",
    ],
    ids=["ledger", "constant set", "deployed panel", "deployment"],
)
def test_a_timeline_is_not_told_from_edited_rows(
    store: OpenStore, store_dir: Path, edit: str
) -> None:
    change_past_triggers(store_dir, edit)
    with pytest.raises(IntegrityError):
        timeline_of(store, PAIR)


def test_a_set_is_used_by_panels_of_which_a_row_in_force_says_so(store: OpenStore) -> None:
    assert panels_using(store, "M068", 1) == [OTHER]
    assert panels_using(store, "M044", 1) == [PANEL]
    assert panels_using(store, "M044", 3) == []


def test_a_pixel_has_the_delivered_values_of_every_assignment_in_force(
    store: OpenStore, template: Path
) -> None:
    found = revisions_of(pixel_history(store, PANEL, Pixel(2, 5)))
    assert [(one.label, one.valid_from) for one in found] == [
        ("M044@1", FIRST),
        ("withdrawn", SECOND),
        ("M044@2", THIRD),
    ]
    assert found[1].values is None
    for one, seed in ((found[0], 0), (found[2], 1)):
        assert one.values is not None
        for kind, stem in (("pixel_gain", "gain"), ("pixel_offset", "offset")):
            expected = delivered(template.parent / f"M044-{seed}", stem)[:, 2, 5]
            assert np.array_equal(one.values[kind], expected)


@pytest.mark.parametrize(("row", "column"), [(4, 0), (0, 8)])
def test_a_pixel_outside_the_panel_is_refused(store: OpenStore, row: int, column: int) -> None:
    with pytest.raises(InvalidInputError, match="pixel"):
        pixel_history(store, PANEL, Pixel(row, column))


def test_a_panel_that_never_used_anything_has_no_pixels(store: OpenStore) -> None:
    assign(store, UNKNOWN, "M044", FIRST, now=NOW + 8 * HOUR, user="ann", reason="r")
    withdraw(store, UNKNOWN, FIRST, now=NOW + 9 * HOUR, user="ann", reason="r")
    with pytest.raises(NotFoundError, match="has never used a constant set"):
        revisions_of(pixel_history(store, UNKNOWN, Pixel(0, 0)))


@pytest.mark.sqlite_only
def test_a_damaged_payload_is_not_drawn(panelcal: RunsProgram, store_dir: Path) -> None:
    damage(store_dir, "M068", "pixel_gain")
    result = panelcal("plot", "set", "M068", "-o", store_dir / "a.png")
    assert result.exit_code == 5, result.output
    assert not (store_dir / "a.png").exists()


def test_an_edited_constant_set_is_not_drawn(store: OpenStore, store_dir: Path) -> None:
    change_past_triggers(store_dir, "UPDATE constant_set SET reason = 'x' WHERE revision = 2")
    assert load_set(store, "M044@1").name == "M044@1"
    with pytest.raises(IntegrityError):
        load_set(store, "M044@2")


# --- the timeline in characters -------------------------------------------------------


def test_the_chart_fits_a_pipe_and_is_plain(panelcal: RunsProgram) -> None:
    result = panelcal("timeline", PAIR)
    assert result.exit_code == 0, result.output
    chart, intervals, deployments = result.stdout.split("\n\n")[0], *result.stdout.split("\n\n")[2:]
    lines = chart.splitlines()
    assert max(map(len, lines)) == 80
    assert lines[0].startswith(f"0 {PANEL} ..")
    assert "|///" in lines[0]
    assert lines[1].strip() == "!"
    assert lines[2].startswith(f"1 {OTHER} <=")
    assert lines[3].strip() == "^"
    assert "\x1b" not in result.stdout
    assert len(intervals.splitlines()) == 6
    assert deployments.split()[-5:] == [DATASET, SOURCE, "20200531170000", "2", "1"]


@pytest.mark.sqlite_only
def test_the_chart_is_as_wide_as_the_terminal(
    panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    lines = panelcal("timeline", PANEL).stdout.splitlines()
    assert len(lines[0]) == 120


@pytest.mark.sqlite_only
def test_a_pipe_gets_no_colours_whoever_forces_them(
    panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = panelcal("timeline", PANEL).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert panelcal("timeline", PANEL).stdout == plain


@pytest.mark.sqlite_only
def test_a_terminal_gets_colours_and_the_same_characters(store_dir: Path) -> None:
    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 100, 0, 0))
    kept = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}
    }
    program = [sys.executable, "-m", "panelcal", "timeline", "--store", str(store_dir), PANEL]
    printed = b""
    with subprocess.Popen(program, stdout=terminal, env=kept | {"TERM": "xterm"}) as child:
        os.close(terminal)
        # Reading from a terminal that nobody holds any more is an error on Linux.
        with contextlib.suppress(OSError):
            while part := os.read(master, 4096):
                printed += part
    os.close(master)
    assert child.returncode == 0
    coloured = printed.decode().splitlines()[0]
    assert "\x1b[" in coloured
    bar = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert len(bar) == 100
    assert bar.startswith(f"0 {PANEL} ..")
    assert "|///" in bar


def test_the_json_of_a_timeline_is_its_intervals_and_deployments(panelcal: RunsProgram) -> None:
    result = panelcal("timeline", "--json", PAIR)
    document: dict[str, Any] = json.loads(result.stdout)
    assert list(document) == ["detector", "time_zone", "as_of", "panels"]
    assert (document["time_zone"], document["as_of"]) == ("America/Los_Angeles", None)
    first, second = document["panels"]
    assert (first["index"], first["panel"]) == (0, PANEL)
    assert [one["state"] for one in first["intervals"]] == ["gap", "used", "withdrawn", "used"]
    assert first["intervals"][1] == {
        "state": "used",
        "module": "M044",
        "revision": 1,
        "valid_from": "20180101000000",
        "valid_until": "20190101000000",
        "recorded_at": iso_utc(NOW + 2 * HOUR),
        "recorded_by": "ann",
        "reason": "correction",
    }
    assert first["intervals"][0]["valid_from"] is None
    assert first["intervals"][3]["valid_until"] is None
    [mark] = second["deployments"]
    assert mark["dataset"] == DATASET
    assert (mark["source"], mark["at"]) == (SOURCE, "20200531170000")
    assert (mark["uses"], mark["is_current"]) == ("M068@1", True)
    assert set(mark) == set(Mark.__slots__)


def test_a_timeline_answers_about_the_past(panelcal: RunsProgram) -> None:
    when = iso_utc(NOW + HOUR)
    document = json.loads(panelcal("timeline", "--json", PANEL, "--as-of", when).stdout)
    assert document["as_of"] == when
    assert [one["module"] for one in document["panels"][0]["intervals"]] == [None, "M068"]


@pytest.mark.sqlite_only
@pytest.mark.parametrize("target", ["M044", "", "exp=xcsls3716:run=631", "jungfrau_000003"])
def test_a_target_that_is_no_detector_is_refused(panelcal: RunsProgram, target: str) -> None:
    result = panelcal("timeline", target)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")


def test_an_empty_store_has_no_timeline(panelcal: RunsProgram, empty_store: Path) -> None:
    result = panelcal("timeline", PANEL, "--store", empty_store)
    assert result.exit_code == 3
    assert "is not registered" in result.stderr


# --- pictures -------------------------------------------------------------------------

COMMANDS = {
    "set": ("set", "M044"),
    "diff": ("diff", "M044@1", "M044@2"),
    "timeline": ("timeline", PAIR),
    "pixel": ("pixel", PANEL, "2", "5"),
}
SAID = {
    "set": f"M044@2, used by {PANEL}",
    "diff": "M044@2 minus M044@1",
    "timeline": "Constants of 2 panels over time",
    "pixel": f"row 2, column 5 of panel {PANEL}",
}
TOLD: dict[str, dict[str, Any]] = {
    "set": {"set": "M044@2", "panels": [PANEL]},
    "diff": {"before": "M044@1", "after": "M044@2"},
    "timeline": {"detector": PAIR},
    "pixel": {"panel": PANEL, "row": 2, "column": 5},
}
DRAWN = pytest.mark.parametrize("name", COMMANDS)


@pytest.mark.sqlite_only
@DRAWN
def test_a_command_makes_a_png_and_prints_its_name(
    panelcal: RunsProgram, unwritten: Path, name: str
) -> None:
    result = panelcal("plot", *COMMANDS[name], "-o", "a.png", "--dpi", "50")
    assert (result.exit_code, result.stdout) == (0, "a.png\n"), result.output
    with Image.open(unwritten / "a.png") as picture:
        picture.load()
        assert picture.width > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert [path.name for path in unwritten.iterdir()] == ["a.png"]


@pytest.mark.sqlite_only
@DRAWN
def test_a_command_makes_an_svg_that_says_what_it_shows(
    panelcal: RunsProgram, unwritten: Path, name: str
) -> None:
    result = panelcal("plot", *COMMANDS[name], "-o", "a.svg", "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["file"] == "a.svg"
    assert {key: document[key] for key in TOLD[name]} == TOLD[name]
    root = ET.fromstring((unwritten / "a.svg").read_bytes())
    found = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert SAID[name] in found


@pytest.mark.sqlite_only
@DRAWN
@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        ("a.pdf", 2, "neither in .png nor in .svg"),
        ("new/a.png", 2, "there is no directory"),
        ("there.png", 4, "there.png exists"),
    ],
)
def test_a_picture_that_cannot_be_made_is_refused(
    panelcal: RunsProgram, unwritten: Path, name: str, output: str, code: int, said: str
) -> None:
    (unwritten / "there.png").write_text("precious")
    result = panelcal("plot", *COMMANDS[name], "-o", output)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert [path.name for path in unwritten.iterdir()] == ["there.png"]
    assert (unwritten / "there.png").read_text() == "precious"


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("set", "M999"), 3, "there is no module"),
        (("set", "M044@9"), 3, "has no revision 9"),
        (("set", "M044@x"), 2, "positive integer"),
        (("diff", "M044@1", "M045"), 3, "did you mean M044?"),
        (("timeline", UNKNOWN), 3, "is not registered"),
        (("pixel", PANEL, "4", "0"), 2, "from 0,0 to 3,7"),
        (("pixel", PANEL, "0", "x"), 2, "COLUMN"),
        (("pixel", UNKNOWN, "0", "0"), 3, "is not registered"),
        (("set", "M044", "--dpi", "5000"), 2, "--dpi"),
    ],
)
def test_what_is_not_there_is_named_and_nothing_is_drawn(
    panelcal: RunsProgram, unwritten: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = panelcal("plot", *arguments, "-o", "a.png")
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert not list(unwritten.iterdir())


@pytest.mark.sqlite_only
@DRAWN
def test_without_matplotlib_a_command_says_what_to_install(
    panelcal: RunsProgram, unwritten: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = panelcal("plot", *COMMANDS[name], "-o", "a.png")
    assert result.exit_code == 2
    assert result.stderr == "error: pictures need matplotlib\nhint: pip install 'panelcal[plot]'\n"
    assert not list(unwritten.iterdir())


@pytest.mark.sqlite_only
def test_the_chart_in_characters_needs_no_matplotlib(
    panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert panelcal("timeline", PANEL).exit_code == 0


@pytest.mark.sqlite_only
def test_overwrite_replaces_a_picture(panelcal: RunsProgram, unwritten: Path) -> None:
    (unwritten / "a.svg").write_text("old")
    result = panelcal("plot", *COMMANDS["timeline"], "-o", "a.svg", "--overwrite")
    assert result.exit_code == 0, result.output
    assert ET.parse(unwritten / "a.svg").getroot().tag.endswith("svg")
