"""The views, and the queries of docs/sql.md, on both engines."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect

from builders import GainsTree, rows
from conftest import RunsProgram
from panelcal.domain.moments import from_microseconds, iso_utc
from panelcal.errors import NoValidConstantsError
from panelcal.services.resolve import resolve
from panelcal.storage.store import open_store

DOCUMENT = (Path(__file__).parents[2] / "docs" / "sql.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sql\n(.*?)```", DOCUMENT, re.DOTALL)

OLD_B0, OLD_F7 = "170505-149520170815-3d00b0", "170505-149520170815-3d00f7"
NEW_B0, NEW_F7 = "171113-154920171025-3d00b0", "171113-154920171025-3d00f7"
NEW_FB = "171113-154920171025-3d00fb"
XCS, MFX = "XcsEndstation.0:Jungfrau.0", "MfxEndstation.0:Jungfrau.0"
ADD = ("run", "add")
PANELS_631 = ("--detector-id", f"{OLD_B0}_{OLD_F7}")
PANELS_12 = ("--detector-id", f"{NEW_B0}_{NEW_FB}")
NOW = datetime(2026, 2, 20, tzinfo=UTC)

COLUMNS = {
    "current_assignment": "panel serial module revision valid_from valid_until recorded_at "
    "recorded_by reason assignment_id valid_from_us valid_until_us",
    "ledger": "assignment_id panel serial module revision valid_from recorded_at superseded_at "
    "recorded_by reason",
    "deployed": "deployment_id experiment run source kind path file_digest token detector_id "
    "segment panel module revision valid_at policy deployed_at deployed_by",
    "panel_by_serial": "serial panel panel_ids module revision valid_from",
    "run_use": "experiment run source begin_at segment panel module revision valid_from",
}

Rows = list[tuple[Any, ...]]


@pytest.fixture
def told(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """The page's tree and runs, a correction, a withdrawal and a deployment: one a day."""
    (tmp_path / "data").mkdir()
    correction = ("M088", "--from", "20180306000000", "--reason", "mixed up")
    commands: list[tuple[str | Path, ...]] = [
        ("import", "gains-tree", page_tree.path),
        (*ADD, "exp=xcsls3716:run=631", "-s", XCS, "--begin", "20171205161400", *PANELS_631),
        (*ADD, "exp=mfxlp6515:run=12", "-s", MFX, "--begin", "2018-04-19T00:00:00Z", *PANELS_12),
        ("assign", NEW_FB, *correction),
        ("withdraw", OLD_F7, "--from", "20190101000000", "--reason", "water"),
        ("export", "exp=xcsls3716:run=631", "--calib-dir", tmp_path / "data" / "calib", "--deploy"),
        ("tag", "create", "run18-v1", "--reason", "frozen"),
        (*ADD, "exp=mfxlp6515:run=1", "-s", MFX, "--modules", "M088 M068"),
    ]
    for day, command in enumerate(commands, 1):
        moment = noon_of(day)
        monkeypatch.setattr("panelcal.cli.options.now", lambda moment=moment: moment)
        done = panelcal(*command)
        assert done.exit_code == 0, done.output
    return store_dir


def noon_of(day: int) -> datetime:
    return datetime(2026, 2, day, 12, 0, 0, 50, tzinfo=UTC)


def noon(day: int) -> str:
    return f"2026-02-{day:02d}T12:00:00.000050Z"


def block(after: str) -> str:
    """Return the query that follows some words of the document."""
    found = re.search(r"```sql\n(.*?)```", DOCUMENT[DOCUMENT.index(after) :], re.DOTALL)
    assert found
    return found[1]


def test_every_query_of_the_document_answers_with_rows(told: Path) -> None:
    assert len(BLOCKS) >= 8
    assert [query for query in BLOCKS if not rows(told, query)] == []


def test_the_document_has_a_query_for_every_view() -> None:
    assert {view for view in COLUMNS if any(f"FROM {view}" in query for query in BLOCKS)} == set(
        COLUMNS
    )


@pytest.mark.parametrize("view", COLUMNS)
def test_the_document_explains_every_column_in_its_view(view: str) -> None:
    section = DOCUMENT.split(f"### `{view}`")[1].split("##")[0]
    explained = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", section, re.M)))
    assert sorted(explained) == sorted(COLUMNS[view].split())


def test_the_views_have_the_same_columns_on_both_engines(store_dir: Path) -> None:
    with open_store(store_dir) as store, store.database.reading() as connection:
        found = inspect(connection)
        assert {
            view: " ".join(column["name"] for column in found.get_columns(view))
            for view in found.get_view_names()
        } == COLUMNS


def test_what_a_panel_uses_now(told: Path) -> None:
    assert rows(told, block("What does a panel use now?")) == [
        ("M088", 1, "2018-03-06T08:00:00.000000Z", "tester", "mixed up")
    ]


def test_what_a_panel_used_at_a_time(told: Path) -> None:
    assert rows(told, block("What did it use at a time?")) == [
        ("M088", 1, "2017-10-25T07:00:00.000000Z", "2019-01-01T08:00:00.000000Z")
    ]


def test_what_the_ledger_would_have_answered_before_a_correction(told: Path) -> None:
    assert rows(told, block("What would the ledger have answered then")) == [
        (NEW_FB, "M044", 1, "2018-03-06T08:00:00.000000Z", noon(1))
    ]


def test_the_full_history_of_a_panel(told: Path) -> None:
    found = rows(told, block("The full history of a panel"))
    assert [row[:6] for row in found] == [
        ("M044", 1, "2018-03-06T08:00:00.000000Z", noon(1), noon(4), "tester"),
        ("M088", 1, "2018-03-06T08:00:00.000000Z", noon(4), None, "tester"),
    ]


def test_which_runs_used_a_revision_of_a_module(told: Path) -> None:
    assert rows(told, block("Which runs used module M068")) == [
        ("mfxlp6515", 1, MFX, 1, None),
        ("mfxlp6515", 12, MFX, 0, NEW_B0),
        ("xcsls3716", 631, XCS, 0, OLD_B0),
    ]


def test_which_deployed_files_hold_a_revision_of_a_module(told: Path) -> None:
    found = rows(told, block("Which deployed files hold M068@1"))
    assert [(kind, run, segment) for _, kind, run, segment, _ in found] == [
        ("pixel_gain", 631, 0),
        ("pixel_offset", 631, 0),
    ]
    assert all(Path(path).is_file() for path, *_ in found)


def test_a_deployed_file_is_listed_with_the_token_of_its_answer(told: Path) -> None:
    with open_store(told) as store:
        token = resolve(store, "exp=xcsls3716:run=631", now=NOW).token
    assert rows(told, "SELECT DISTINCT token FROM deployed") == [(token,)]


def test_a_deployed_file_is_listed_with_every_segment(told: Path) -> None:
    query = "SELECT segment, panel, module, revision, valid_at, deployed_at FROM deployed"
    assert sorted(rows(told, f"{query} WHERE kind = 'pixel_gain'")) == [
        (0, OLD_B0, "M068", 1, "2017-12-06T00:14:00.000000Z", noon(6)),
        (1, OLD_F7, "M088", 1, "2017-12-06T00:14:00.000000Z", noon(6)),
    ]


def test_all_panel_ids_of_one_serial(told: Path) -> None:
    assert sorted(rows(told, block("All panel ids of one serial"))) == [
        (OLD_B0, 2, "M068", 1, "2017-10-25T07:00:00.000000Z"),
        (NEW_B0, 2, "M068", 1, None),
    ]


def test_what_changed_since_a_date(told: Path) -> None:
    assert rows(told, block("What changed since a date?")) == [
        (noon(4), NEW_FB, "M088", 1, "2018-03-06T08:00:00.000000Z", "tester", "mixed up"),
        (noon(5), OLD_F7, None, None, "2019-01-01T08:00:00.000000Z", "tester", "water"),
    ]


def test_who_changed_what(told: Path) -> None:
    assert sorted(rows(told, block("Who changed what?"))) == [
        ("tester", OLD_B0, 1, noon(1)),
        ("tester", OLD_F7, 2, noon(5)),
        ("tester", NEW_B0, 1, noon(1)),
        ("tester", NEW_F7, 1, noon(1)),
        ("tester", NEW_FB, 2, noon(4)),
    ]


def test_a_tag_stands_for_the_moment_it_was_made_at(told: Path) -> None:
    ((name, as_of, *_),) = rows(told, block("The frozen names"))
    assert (name, from_microseconds(as_of)) == ("run18-v1", noon_of(7))


def test_the_beginning_is_null_as_the_start_of_what_a_run_uses(told: Path) -> None:
    query = "SELECT segment, begin_at, module, valid_from FROM run_use WHERE run = 12"
    assert sorted(rows(told, query)) == [
        (0, "2018-04-19T00:00:00.000000Z", "M068", None),
        (1, "2018-04-19T00:00:00.000000Z", "M088", "2018-03-06T08:00:00.000000Z"),
    ]


def test_a_withdrawal_is_an_interval_without_a_module(told: Path) -> None:
    query = f"SELECT module, revision, valid_until FROM current_assignment WHERE panel = '{OLD_F7}'"
    assert rows(told, f"{query} AND valid_from >= '2019'") == [(None, None, None)]


def test_a_run_inside_a_withdrawal_uses_nothing(told: Path, panelcal: RunsProgram) -> None:
    late = ("run", "add", "exp=xcsls3716:run=900", "-s", XCS, "--begin", "20190601000000")
    assert panelcal(*late, "--detector-id", OLD_F7).exit_code == 0
    found = rows(told, "SELECT panel, module, revision FROM run_use WHERE run = 900")
    assert found == [(OLD_F7, None, None)]


def test_a_run_registered_again_counts_as_registered_last(
    told: Path, panelcal: RunsProgram
) -> None:
    again = ("run", "add", "exp=xcsls3716:run=631", "-s", XCS, "--begin", "20171206000000")
    assert panelcal(*again, "--detector-id", NEW_F7, "--supersede").exit_code == 0
    found = rows(told, "SELECT segment, panel, module FROM run_use WHERE run = 631")
    assert found == [(0, NEW_F7, "M088")]


def test_intervals_of_a_panel_follow_each_other_without_a_gap(told: Path) -> None:
    query = "SELECT panel, valid_from_us, valid_until_us FROM current_assignment"
    found = sorted(rows(told, query), key=lambda row: row[:2])
    for (panel, _, until), (next_panel, start, _) in pairwise(found):
        assert until == (start if panel == next_panel else None)


def test_a_backfilled_start_ends_where_the_next_one_begins(
    told: Path, panelcal: RunsProgram
) -> None:
    earlier = ("assign", OLD_B0, "M044", "--from", "20100101000000", "--reason", "found in a log")
    assert panelcal(*earlier).exit_code == 0
    query = "SELECT module, valid_from, valid_until FROM current_assignment"
    assert sorted(rows(told, f"{query} WHERE panel = '{OLD_B0}'")) == [
        ("M044", "2010-01-01T08:00:00.000000Z", "2017-10-25T07:00:00.000000Z"),
        ("M068", "2017-10-25T07:00:00.000000Z", None),
    ]


def moments_to_ask() -> list[datetime]:
    """Return the starts of the page, a second around them, and far away."""
    starts = [datetime(2017, 10, 25, 7, tzinfo=UTC), datetime(2018, 3, 6, 8, tzinfo=UTC)]
    starts.append(datetime(2019, 1, 1, 8, tzinfo=UTC))
    around = [start + timedelta(seconds=step) for start in starts for step in (-1, 0, 1)]
    return [datetime(1971, 1, 1, tzinfo=UTC), *around, datetime(2040, 1, 1, tzinfo=UTC)]


def test_the_view_agrees_with_the_resolver_for_every_panel_at_every_moment(told: Path) -> None:
    panels = (OLD_B0, OLD_F7, NEW_B0, NEW_F7, NEW_FB)
    for panel, moment in product(panels, moments_to_ask()):
        text = f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"
        seen = rows(
            told,
            "SELECT module, revision, valid_from FROM current_assignment "
            f"WHERE panel = '{panel}' AND (valid_from IS NULL OR valid_from <= '{text}') "
            f"AND (valid_until IS NULL OR valid_until > '{text}')",
        )
        assert [row for row in seen if row[0]] == answer(told, panel, moment)


def test_what_a_run_uses_agrees_with_the_resolver(told: Path) -> None:
    query = "SELECT segment, panel, module, revision FROM run_use WHERE experiment = '{}' AND {}"
    for experiment, run in (("xcsls3716", 631), ("mfxlp6515", 12)):
        with open_store(told) as store:
            found = resolve(store, f"exp={experiment}:run={run}", now=NOW).panels
        assert sorted(rows(told, query.format(experiment, f"run = {run}"))) == [
            (one.index, one.panel, one.module, one.revision) for one in found
        ]


def answer(store_dir: Path, panel: str, moment: datetime) -> Rows:
    """Return what the resolver says in the form of the view."""
    with open_store(store_dir) as store:
        try:
            (found,) = resolve(store, panel, moment, now=NOW).panels
        except NoValidConstantsError:
            return []
    start = found.valid_from
    return [(found.module, found.revision, start and iso_utc(start).replace("Z", ".000000Z"))]
