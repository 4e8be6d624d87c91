"""``history`` and ``log``: the ledger tells its story, in a table and in JSON."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import write_delivery
from conftest import RunsProgram
from panelcal.domain.moments import iso_utc
from panelcal.exporters.text_array import Environment
from panelcal.services.assign import assign, withdraw
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.history import history_of
from panelcal.services.modules import deliver
from panelcal.services.runs import RunFields, add_run
from panelcal.services.tags import create_tag
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
PANEL = "171113-154920171025-3d00fb"
OTHER = "171113-154920171025-3d00f7"
DASHED = "-154920171025-3d00aa"
FIRST = datetime(2018, 3, 6, 8, tzinfo=UTC)
SECOND = datetime(2019, 1, 1, 8, tzinfo=UTC)
THIRD = datetime(2020, 1, 1, 8, tzinfo=UTC)
STAMPS = ("20180306000000", "20190101000000", "20200101000000")
DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"
TIMES = [iso_utc(NOW + hour * HOUR) for hour in range(12)]


def write_ledger(store: OpenStore) -> None:
    """Record, an hour apart, the story that the tests of this module tell again."""
    assign(store, PANEL, "M068", FIRST, now=NOW + 1 * HOUR, user="ann", reason="installed")
    assign(store, OTHER, "M068", None, now=NOW + 2 * HOUR, user="ann", reason="as of old")
    assign(store, PANEL, "M068", THIRD, now=NOW + 3 * HOUR, user="bob", reason="typo")
    assign(store, PANEL, "M044@1", FIRST, now=NOW + 4 * HOUR, user="bob", reason="correction")
    withdraw(store, PANEL, SECOND, now=NOW + 5 * HOUR, user="ann", reason="broken")
    assign(store, PANEL, "M044", FIRST, now=NOW + 6 * HOUR, user="cat", reason="newer")
    assign(store, DASHED, "M044", SECOND, now=NOW + 7 * HOUR, user="ann", reason="spare")


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with a story."""
    directory = tmp_path_factory.mktemp("history") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M044", "M068")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                reason = f"delivery {seed}"
                deliver(store, module, files, now=NOW, user="dan", reason=reason)
            write_ledger(store)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


def told(panelcal: RunsProgram, target: str) -> dict[str, Any]:
    result = panelcal("history", "--json", "--", target)
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def uses(row: dict[str, Any]) -> str:
    return "withdrawn" if row["module"] is None else f"{row['module']}@{row['revision']}"


# --- history of a panel ---------------------------------------------------------------


def test_a_row_tells_both_times_the_revision_who_and_why(panelcal: RunsProgram) -> None:
    document = told(panelcal, PANEL)
    assert (document["target"], document["deliveries"]) == (PANEL, [])
    assert document["ledger"][0] == {
        "panel": PANEL,
        "module": "M068",
        "revision": 1,
        "valid_from": STAMPS[0],
        "valid_until": STAMPS[1],
        "recorded_at": TIMES[1],
        "superseded_at": TIMES[4],
        "recorded_by": "ann",
        "reason": "installed",
    }


def test_rows_are_told_in_the_order_of_recording(panelcal: RunsProgram) -> None:
    ledger = told(panelcal, PANEL)["ledger"]
    assert [(row["recorded_at"], row["recorded_by"], row["reason"]) for row in ledger] == [
        (TIMES[1], "ann", "installed"),
        (TIMES[3], "bob", "typo"),
        (TIMES[4], "bob", "correction"),
        (TIMES[5], "ann", "broken"),
        (TIMES[6], "cat", "newer"),
    ]
    assert [uses(row) for row in ledger] == ["M068@1", "M068@1", "M044@1", "withdrawn", "M044@2"]


def test_a_validity_ends_where_the_next_one_in_force_begins(panelcal: RunsProgram) -> None:
    in_force = [row for row in told(panelcal, PANEL)["ledger"] if row["superseded_at"] is None]
    in_force.sort(key=lambda row: str(row["valid_from"]))
    assert [(row["valid_from"], row["valid_until"]) for row in in_force] == [
        (STAMPS[0], STAMPS[1]),
        (STAMPS[1], STAMPS[2]),
        (STAMPS[2], None),
    ]


def test_the_last_moment_of_a_validity_is_before_its_end(store: OpenStore) -> None:
    chapter = history_of(store, PANEL).chapters[-1]
    assert (chapter.assignment.valid_from, chapter.valid_until) == (FIRST, SECOND)


def test_a_row_is_superseded_by_the_next_of_its_start_and_no_other(panelcal: RunsProgram) -> None:
    ledger = told(panelcal, PANEL)["ledger"]
    assert [row["superseded_at"] for row in ledger] == [TIMES[4], None, TIMES[6], None, None]


def test_the_beginning_has_no_stamp(panelcal: RunsProgram) -> None:
    (row,) = told(panelcal, OTHER)["ledger"]
    assert (row["valid_from"], row["valid_until"], row["superseded_at"]) == (None, None, None)
    assert "  the beginning  -  " in panelcal("history", OTHER).stdout


def test_a_row_from_the_beginning_ends_and_is_superseded_like_any_other(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    assign(store, OTHER, "M044", SECOND, now=NOW + 8 * HOUR, user="ann", reason="news")
    assign(store, OTHER, "M044", None, now=NOW + 9 * HOUR, user="ann", reason="correction")
    ledger = told(panelcal, OTHER)["ledger"]
    assert [(row["valid_until"], row["superseded_at"]) for row in ledger] == [
        (STAMPS[1], TIMES[9]),
        (None, None),
        (STAMPS[1], None),
    ]


def test_the_table_tells_what_json_tells(panelcal: RunsProgram) -> None:
    shown = panelcal("history", PANEL)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == [
        "panel", "uses", "from", "until", "recorded", "superseded", "by", "reason",
    ]  # fmt: skip
    assert lines[1:] == [
        [
            PANEL,
            uses(row),
            row["valid_from"],
            row["valid_until"] or "-",
            row["recorded_at"],
            row["superseded_at"] or "-",
            row["recorded_by"],
            row["reason"],
        ]
        for row in told(panelcal, PANEL)["ledger"]
    ]


def test_the_end_of_a_row_is_written_like_the_start_of_the_next(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    # 01:30 occurred twice in that night: the second one has no stamp.
    second = datetime(2018, 11, 4, 9, 30, tzinfo=UTC)
    assign(store, OTHER, "M044", second, now=NOW + 8 * HOUR, user="ann", reason="news")
    lines = [line.split() for line in panelcal("history", OTHER).stdout.splitlines()]
    assert lines[1][2:5] == ["the", "beginning", "2018-11-04T01:30:00-08:00"]
    assert lines[2][2] == "2018-11-04T01:30:00-08:00"


def test_a_panel_id_that_begins_with_a_dash_has_a_history(panelcal: RunsProgram) -> None:
    (row,) = told(panelcal, DASHED)["ledger"]
    assert (row["panel"], uses(row), row["reason"]) == (DASHED, "M044@2", "spare")


# --- history of a detector, of a module ---------------------------------------------------


def test_the_history_of_a_detector_holds_all_its_panels(panelcal: RunsProgram) -> None:
    ledger = told(panelcal, f"{PANEL}_{OTHER}")["ledger"]
    assert [row["recorded_at"] for row in ledger] == TIMES[1:7]
    assert [row["panel"] for row in ledger] == [PANEL, OTHER, PANEL, PANEL, PANEL, PANEL]
    assert told(panelcal, f"{OTHER}_{PANEL}_{OTHER}")["ledger"] == ledger


def test_the_panels_of_a_detector_do_not_end_each_other(panelcal: RunsProgram) -> None:
    ledger = told(panelcal, f"{PANEL}_{OTHER}")["ledger"]
    assert [row for row in ledger if row["panel"] == PANEL] == told(panelcal, PANEL)["ledger"]


def test_the_history_of_a_module_shows_its_deliveries(panelcal: RunsProgram) -> None:
    delivered = told(panelcal, "M044")["deliveries"]
    assert [(one["revision"], one["recorded_by"], one["reason"]) for one in delivered] == [
        (1, "dan", "delivery 0"),
        (2, "dan", "delivery 1"),
    ]
    assert delivered[0]["digests"].keys() == {"pixel_gain", "pixel_offset"}
    assert panelcal("history", "M044").stdout.startswith(
        "M044@1 delivered 2026-03-01T00:00:00Z by dan: delivery 0\n"
        "M044@2 delivered 2026-03-01T00:00:00Z by dan: delivery 1\npanel"
    )


def test_the_history_of_a_module_shows_its_uses_and_where_they_ended(
    panelcal: RunsProgram,
) -> None:
    ledger = told(panelcal, "M044")["ledger"]
    fields = ("panel", "revision", "valid_from", "valid_until", "superseded_at")
    assert [tuple(row[field] for field in fields) for row in ledger] == [
        (PANEL, 1, STAMPS[0], STAMPS[1], TIMES[6]),
        (PANEL, 2, STAMPS[0], STAMPS[1], None),
        (DASHED, 2, STAMPS[1], None, None),
    ]


def test_a_module_that_nobody_uses_has_its_deliveries_for_a_history(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    files = write_delivery(tmp_path / "M100", seed=9)
    deliver(store, "M100", files, now=NOW + 9 * HOUR, user="dan", reason="new")
    document = told(panelcal, "M100")
    assert [one["reason"] for one in document["deliveries"]] == ["new"]
    assert document["ledger"] == []


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [
        (
            "171113-154920171025-3d00fa",
            3,
            f"is not registered\nhint: did you mean {PANEL}, {OTHER}",
        ),
        (f"{PANEL}_1-2-3", 3, "panel 1-2-3 is not registered\nhint: panelcal panel list"),
        ("M045", 3, "there is no module 'M045'\nhint: did you mean M044"),
        ("zzz", 3, "there is no module 'zzz'\nhint: panelcal module list"),
        ("../M044", 2, "'../M044' is no panel id, detector id or module"),
        ("", 2, "'' is no panel id, detector id or module"),
        ("M044@1", 2, "'M044@1' is no panel id, detector id or module"),
        (f"{PANEL}__{OTHER}", 3, "there is no module"),
    ],
)
def test_the_history_of_something_unknown_is_refused(
    panelcal: RunsProgram, target: str, code: int, says: str
) -> None:
    result = panelcal("history", target)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


# --- log ------------------------------------------------------------------------------


def log_of(panelcal: RunsProgram) -> list[dict[str, str]]:
    result = panelcal("log", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    events: list[dict[str, str]] = json.loads(result.stdout)
    return events


@pytest.fixture
def last_events(store: OpenStore, tmp_path: Path) -> list[tuple[str, str, str, str]]:
    """Record one change of every other kind, and say how the log tells them."""
    by = {"user": "eve", "reason": "test"}
    fields = RunFields("xcsls3716", "631", SOURCE, begin=STAMPS[1], detector_id=OTHER, note="elog")
    add_run(store, fields, now=NOW + 8 * HOUR, user="eve", supersede=False)
    create_tag(store, "v1", as_of=NOW, now=NOW + 9 * HOUR, **by)
    writing = Writing("legacy", Environment("fay", "host", "/"), NOW + 10 * HOUR)
    answer = answer_for(store, DATASET, None, at=None, policy="strict", as_of=None)
    deployed = deploy(store, answer, tmp_path / "calib", writing=writing)
    return [
        (TIMES[8], "run", f"{DATASET} {SOURCE}", "elog"),
        (TIMES[9], "tag", "v1 as of 2026-03-01T00:00:00Z", "test"),
        *(
            (TIMES[10], "deploy", str(one.path), f"token {answer.resolution.token}")
            for one in deployed
        ),
    ]


def test_the_log_holds_every_kind_of_event_in_the_order_of_recording(
    panelcal: RunsProgram, last_events: list[tuple[str, str, str, str]]
) -> None:
    events = log_of(panelcal)
    found = [(one["recorded_at"], one["what"], one["subject"], one["reason"]) for one in events]
    assert found == [
        (TIMES[0], "deliver", "M044@1", "delivery 0"),
        ("2026-03-01T00:00:00.000001Z", "deliver", "M044@2", "delivery 1"),
        ("2026-03-01T00:00:00.000002Z", "deliver", "M068@1", "delivery 2"),
        (TIMES[1], "assign", f"{PANEL} uses M068@1 from {STAMPS[0]}", "installed"),
        (TIMES[2], "assign", f"{OTHER} uses M068@1 from the beginning", "as of old"),
        (TIMES[3], "assign", f"{PANEL} uses M068@1 from {STAMPS[2]}", "typo"),
        (TIMES[4], "assign", f"{PANEL} uses M044@1 from {STAMPS[0]}", "correction"),
        (TIMES[5], "withdraw", f"{PANEL} from {STAMPS[1]}", "broken"),
        (TIMES[6], "assign", f"{PANEL} uses M044@2 from {STAMPS[0]}", "newer"),
        (TIMES[7], "assign", f"{DASHED} uses M044@2 from {STAMPS[1]}", "spare"),
        *last_events,
    ]
    people = [one["recorded_by"] for one in events]
    assert " ".join(people) == "dan dan dan ann ann bob bob ann cat ann eve eve fay fay"


@pytest.mark.usefixtures("last_events")
def test_the_log_as_a_table_tells_what_json_tells(panelcal: RunsProgram) -> None:
    lines = panelcal("log").stdout.splitlines()
    assert lines[0].split() == ["recorded", "by", "what", "subject", "reason"]
    for line, event in zip(lines[1:], log_of(panelcal), strict=True):
        assert line.split() == " ".join(event.values()).split()


def test_a_corrected_run_is_in_the_log_twice(panelcal: RunsProgram, store: OpenStore) -> None:
    for hour, begin in ((8, STAMPS[0]), (9, STAMPS[1])):
        fields = RunFields("xcsls3716", "631", SOURCE, begin=begin, detector_id=OTHER)
        add_run(store, fields, now=NOW + hour * HOUR, user="eve", supersede=True)
    assert [one["what"] for one in log_of(panelcal)[-2:]] == ["run", "run"]


def test_to_look_at_the_past_changes_nothing(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        for command in (("history", PANEL), ("history", "M044"), ("log",), ("tag", "list")):
            assert panelcal(*command).exit_code == 0


def test_the_log_of_an_empty_store_is_empty(panelcal: RunsProgram, empty_store: Path) -> None:
    result = panelcal("--store", empty_store, "log", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
