"""Tags, ``--as-of`` and transaction time: what was said once can be asked for again."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import Clock, rows, write_delivery
from conftest import RunsProgram
from panelcal.api import open_store as open_for_python
from panelcal.cli import options
from panelcal.domain.runs import parse_dataset
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.exporters.text_array import Environment
from panelcal.services.approval import propose
from panelcal.services.assign import assign, withdraw
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.history import log
from panelcal.services.modules import deliver
from panelcal.services.planning import withdrawing
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run, show_run
from panelcal.services.tags import create_tag, list_tags, show_tag, transaction_time
from panelcal.storage.recording import CLOCK_SKEW
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
PANEL = "171113-154920171025-3d00fb"
OTHER = "171113-154920171025-3d00f7"
START = datetime(2018, 3, 6, 8, tzinfo=UTC)
STAMP = "20180306000000"
LATER = "20190101000000"
DATASET = "exp=xcsls3716:run=631"
DECLARED = "exp=xcsls3716:run=7"
SOURCE = "XcsEndstation.0:Jungfrau.0"
REASON = ("--reason", "test")


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which M068 is assigned to a panel of a run."""
    directory = tmp_path_factory.mktemp("tags") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M068")):
                files = write_delivery(directory.parent / module, seed)
                deliver(store, module, files, now=NOW, user="tester", reason="delivered")
            assign(store, PANEL, "M068", START, now=NOW, user="tester", reason="swapped")
            register(store, DATASET, begin=LATER, detector_id=PANEL)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time as the program reads it, a month after the store was filled."""
    clock = Clock(NOW + timedelta(days=31))
    monkeypatch.setattr(options, "now", clock)
    return clock


def register(store: OpenStore, dataset: str, *, now: datetime = NOW, **fields: str) -> None:
    named = parse_dataset(dataset)
    typed = RunFields(named.experiment, str(named.run), SOURCE, **fields)
    add_run(store, typed, now=now, user="tester", supersede=True)


def tagged(store: OpenStore, name: str, now: datetime, as_of: datetime | None = None) -> datetime:
    tag = create_tag(store, name, as_of=as_of, now=now, user="tester", reason="for a paper")
    return tag.as_of


def answer(panelcal: RunsProgram, *arguments: str) -> dict[str, Any]:
    result = panelcal("resolve", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def change_everything(store: OpenStore, files: Path) -> None:
    """Assign, correct, withdraw, re-deliver and register a run anew."""
    now = NOW + 10 * HOUR
    write_delivery(files, seed=99)
    deliver(store, "M068", files, now=now, user="other", reason="better")
    assign(store, PANEL, "M068", START, now=now, user="other", reason="correction")
    assign(store, PANEL, "M044", None, now=now, user="other", reason="backfill")
    assign(store, PANEL, "M044", START + HOUR, now=now, user="other", reason="news")
    assign(store, OTHER, "M068", None, now=now, user="other", reason="another panel")
    withdraw(store, PANEL, START + 2 * HOUR, now=now, user="other", reason="broken")
    register(store, DATASET, now=now, begin="20200101000000", detector_id=OTHER)


# --- create, list, show ---------------------------------------------------------------


def test_a_tag_names_the_moment_it_was_made(panelcal: RunsProgram, clock: Clock) -> None:
    made = clock()
    result = panelcal("tag", "create", "run18-v1", "--reason", "for a paper")
    expected = (made + SECOND).isoformat().replace("+00:00", "Z")
    assert (result.exit_code, result.stdout) == (0, f"run18-v1 as of {expected}\n")


def test_a_tag_in_json_says_time_author_and_reason(panelcal: RunsProgram, clock: Clock) -> None:
    result = panelcal(
        "tag", "create", "v1", "--as-of", "2026-03-02T01:00:00+01:00", *REASON, "--json"
    )
    recorded = (clock() - SECOND).isoformat().replace("+00:00", "Z")
    assert json.loads(result.stdout) == {
        "tag": "v1",
        "as_of": "2026-03-02T00:00:00Z",
        "recorded_at": recorded,
        "recorded_by": "tester",
        "reason": "test",
    }


def test_tags_are_listed_in_the_order_of_recording(panelcal: RunsProgram, store: OpenStore) -> None:
    tagged(store, "zulu", NOW + HOUR)
    tagged(store, "alpha", NOW + 2 * HOUR, as_of=NOW)
    assert [tag.name for tag in list_tags(store)] == ["zulu", "alpha"]
    listed = json.loads(panelcal("tag", "list", "--json").stdout)
    assert [(tag["tag"], tag["as_of"]) for tag in listed] == [
        ("zulu", "2026-03-01T01:00:00Z"),
        ("alpha", "2026-03-01T00:00:00Z"),
    ]
    table = panelcal("tag", "list").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["tag", "zulu", "alpha"]
    assert table[2].endswith("tester  for a paper")


def test_tag_show_lists_what_is_in_force_at_its_time_and_nothing_else(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    assign(store, OTHER, "M068", None, now=NOW + HOUR, user="tester", reason="wrong")
    assign(store, OTHER, "M044", None, now=NOW + HOUR, user="tester", reason="right")
    withdraw(store, OTHER, START, now=NOW + HOUR, user="tester", reason="broken")
    tagged(store, "v1", NOW + 2 * HOUR)
    change_everything(store, tmp_path / "again")
    document = json.loads(panelcal("tag", "show", "v1", "--json").stdout)
    assert (document["tag"], document["as_of"]) == ("v1", "2026-03-01T02:00:00Z")
    pins = [
        (one["panel"], one["module"], one["revision"], one["valid_from"])
        for one in document["pins"]
    ]
    assert pins == [
        (OTHER, "M044", 1, None),
        (OTHER, None, None, STAMP),
        (PANEL, "M068", 1, STAMP),
    ]
    shown = panelcal("tag", "show", "v1")
    assert shown.stderr == "v1 as of 2026-03-01T02:00:00Z: for a paper\n"
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["panel", "uses"],
        [OTHER, "M044@1"],
        [OTHER, "withdrawn"],
        [PANEL, "M068@1"],
    ]


def test_what_a_tag_shows_never_changes(store: OpenStore, tmp_path: Path) -> None:
    tagged(store, "v1", NOW + HOUR)
    before = show_tag(store, "v1")
    change_everything(store, tmp_path / "again")
    assert show_tag(store, "v1") == before


@pytest.mark.parametrize("as_of", [(), ("--as-of", "2026-03-01T00:00:00Z")])
def test_the_name_of_a_tag_is_never_used_again(
    panelcal: RunsProgram, store: OpenStore, nothing_written: NothingWritten, as_of: tuple[str, ...]
) -> None:
    tagged(store, "v1", NOW + HOUR)
    with nothing_written():
        result = panelcal("tag", "create", "v1", *as_of, *REASON)
    assert (result.exit_code, result.stdout) == (4, "")
    assert "tag v1 stands for 2026-03-01T01:00:00Z already; tags never move" in result.stderr


@pytest.mark.parametrize(
    "name", ["", " v1", "1v", "20180306000000", "v 1", "v/1", "v1\n", "größe", "-v", "_v", "x" * 65]
)
def test_a_bad_name_is_refused(
    panelcal: RunsProgram, nothing_written: NothingWritten, name: str
) -> None:
    with nothing_written():
        made = panelcal("tag", "create", *REASON, "--", name)
    asked = panelcal("resolve", PANEL, "--at", STAMP, f"--tag={name}")
    assert (made.exit_code, made.stdout) == (2, "")
    assert "is not a tag name\nhint: a letter, then letters" in made.stderr
    assert (asked.exit_code, asked.stdout) == (2, "")


@pytest.mark.parametrize("name", ["v", "Run18-v1.2_final", "x" * 64])
def test_letters_digits_dots_dashes_and_underscores_are_a_name(store: OpenStore, name: str) -> None:
    assert tagged(store, name, NOW + HOUR) == show_tag(store, name).tag.as_of


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("v1",), "Missing option '--reason'"),
        (("v1", "--reason", " "), "the reason is empty"),
        (("v1", "--as-of", "2026-03-01", *REASON), "has no offset"),
        (("v1", "--as-of", "soon", *REASON), "'soon' is not a time"),
        (("v1", "--as-of", "9000-01-01T00:00:00Z", *REASON), "is still to come"),
    ],
)
def test_a_refused_tag_says_why_and_writes_nothing(
    panelcal: RunsProgram, nothing_written: NothingWritten, arguments: tuple[str, ...], says: str
) -> None:
    with nothing_written():
        result = panelcal("tag", "create", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("tag", "show", "run18-v2"),
        ("resolve", PANEL, "--tag", "run18-v2"),
        ("get", PANEL, "-o", "x.npz", "--tag", "run18-v2"),
        ("export", DATASET, "--tag", "run18-v2"),
    ],
)
def test_an_unknown_tag_is_not_found_and_near_names_are_suggested(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    unknown = panelcal(*command)
    assert unknown.exit_code == 3
    assert unknown.stderr == "error: there is no tag run18-v2\nhint: panelcal tag list\n"
    tagged(store, "run18-v1", NOW + HOUR)
    near = panelcal(*command)
    assert (near.exit_code, near.stdout) == (3, "")
    assert near.stderr.endswith("hint: did you mean run18-v1?\n")


# --- --as-of and --tag ----------------------------------------------------------------


def test_as_of_gives_what_the_ledger_said_then(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    before = answer(panelcal, PANEL, "--at", STAMP)
    change_everything(store, tmp_path / "again")
    changed = answer(panelcal, PANEL, "--at", STAMP)
    again = answer(panelcal, PANEL, "--at", STAMP, "--as-of", "2026-03-01T09:59:59.999999Z")
    assert (before["as_of"], changed["as_of"]) == (None, None)
    assert changed["token"] != before["token"]
    assert again == {**before, "as_of": "2026-03-01T09:59:59.999999Z"}


def test_as_of_holds_from_the_microsecond_of_recording(store: OpenStore) -> None:
    recorded = NOW + HOUR
    assign(store, PANEL, "M044", START, now=recorded, user="tester", reason="test")
    uses = [
        resolve(store, PANEL, START, as_of=as_of, now=recorded).panels[0].module
        for as_of in (recorded - MICROSECOND, recorded, recorded + MICROSECOND)
    ]
    assert uses == ["M068", "M044", "M044"]


@pytest.mark.parametrize("policy", ["strict", "legacy"])
def test_a_tag_resolves_identically_after_any_later_change(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path, policy: str
) -> None:
    tagged(store, "v1", NOW + HOUR)
    questions = [(PANEL, "--at", LATER), (PANEL, "--at", STAMP), (DATASET,)]
    options = ("--tag", "v1", "--policy", policy, "--explain")
    before = [answer(panelcal, *question, *options) for question in questions]
    change_everything(store, tmp_path / "again")
    assert [answer(panelcal, *question, *options) for question in questions] == before
    assert before[0]["as_of"] == "2026-03-01T01:00:00Z"


def test_a_stamp_as_of_is_facility_time_and_shown_in_utc(panelcal: RunsProgram) -> None:
    asked = answer(panelcal, PANEL, "--at", STAMP, "--as-of", "20260301120000")
    assert asked["as_of"] == "2026-03-01T20:00:00Z"
    shown = panelcal("resolve", PANEL, "--at", STAMP, "--as-of", "20260301120000").stdout
    assert "as of     2026-03-01T20:00:00Z\n" in shown


def test_an_ambiguous_as_of_is_its_first_occurrence_and_says_so(panelcal: RunsProgram) -> None:
    result = panelcal("tag", "create", "old", "--as-of", "20181104013000", *REASON)
    assert (result.exit_code, result.stdout) == (0, "old as of 2018-11-04T08:30:00Z\n")
    assert "taken as the first, 2018-11-04T08:30:00Z" in result.stderr


def test_a_tag_of_a_past_time_resolves_as_the_ledger_stood_then(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    before = answer(panelcal, PANEL, "--at", LATER)
    change_everything(store, tmp_path / "again")
    panelcal("tag", "create", "old", "--as-of", "2026-03-01T05:00:00Z", *REASON)
    pinned = answer(panelcal, PANEL, "--at", LATER, "--tag", "old")
    assert pinned == {**before, "as_of": "2026-03-01T05:00:00Z"}


def test_before_the_first_record_there_are_no_constants(panelcal: RunsProgram) -> None:
    result = panelcal("resolve", PANEL, "--at", STAMP, "--as-of", "2026-02-28T00:00:00Z")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "never assigned" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("resolve", PANEL, "--at", STAMP),
        ("get", PANEL, "--at", STAMP, "-o", "x.npz"),
        ("export", DATASET, "-o", "out"),
    ],
)
@pytest.mark.parametrize(
    ("times", "says"),
    [
        (("--as-of", "9000-01-01T00:00:00Z"), "9000-01-01T00:00:00Z is still to come"),
        (
            ("--as-of", "2026-03-01T12:00:00Z", "--tag", "v1"),
            "--as-of and --tag both name a transaction time\nhint: give one of them",
        ),
        (("--as-of", "2026-03-01"), "has no offset"),
        (("--as-of", ""), "'' is not a time"),
    ],
)
def test_a_refused_transaction_time_says_why_and_writes_no_file(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...], times: tuple[str, ...], says: str,
) -> None:  # fmt: skip
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    tagged(store, "v1", NOW + HOUR)
    result = panelcal(*command, *times)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert list((tmp_path / "work").iterdir()) == []


def test_a_naive_datetime_is_no_transaction_time(store: OpenStore) -> None:
    with pytest.raises(InvalidInputError, match="has no time zone"):
        transaction_time(store, NOW.replace(tzinfo=None), None, now=NOW)


def test_a_time_that_can_still_be_recorded_at_is_refused(store: OpenStore) -> None:
    last = log(store)[-1].recorded_at
    now = last + HOUR
    for settled in (last, now - CLOCK_SKEW):
        assert past(store, settled, now) == settled
    for open_still in (now, now - CLOCK_SKEW + MICROSECOND):
        with pytest.raises(InvalidInputError, match="too close to the present"):
            past(store, open_still, now)
    with pytest.raises(InvalidInputError, match="is still to come"):
        past(store, now + MICROSECOND, now)


def past(store: OpenStore, as_of: datetime, now: datetime) -> datetime:
    typed = transaction_time(store, as_of, None, now=now)
    assert typed is not None
    return typed.utc


def test_get_writes_the_arrays_of_the_tag(
    panelcal: RunsProgram, store: OpenStore, template: Path, tmp_path: Path
) -> None:
    tagged(store, "v1", NOW + HOUR)
    change_everything(store, tmp_path / "again")
    assert (
        panelcal("get", PANEL, "--at", STAMP, "--tag", "v1", "-o", tmp_path / "a.npz").exit_code
        == 0
    )
    as_of = ("--as-of", "2026-03-01T01:00:00Z")
    assert panelcal("get", PANEL, "--at", STAMP, *as_of, "-o", tmp_path / "b.npz").exit_code == 0
    gains = np.stack([np.load(template.parent / f"M068/g{gain}_gain.npy") for gain in range(3)])
    for name in ("a.npz", "b.npz"):
        with np.load(tmp_path / name) as found:
            assert found["pixel_gain"][:, 0].tobytes() == gains.tobytes()


def test_export_writes_the_files_of_the_tag(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    tagged(store, "v1", NOW + HOUR)
    before = panelcal("export", DATASET, "-o", tmp_path / "before", "--format", "npz", "--json")
    change_everything(store, tmp_path / "again")
    tokens = [json.loads(before.stdout)["token"]]
    for name, times in (("a", ("--tag", "v1")), ("b", ("--as-of", "2026-03-01T01:00:00Z"))):
        made = panelcal(
            "export", DATASET, "-o", tmp_path / name, "--format", "npz", *times, "--json"
        )
        tokens.append(json.loads(made.stdout)["token"])
        for file in (tmp_path / "before").iterdir():
            assert (tmp_path / name / file.name).read_bytes() == file.read_bytes()
    assert len(set(tokens)) == 1


# --- runs and declared modules --------------------------------------------------------


def test_a_run_is_seen_as_it_was_registered_then(panelcal: RunsProgram, store: OpenStore) -> None:
    tagged(store, "v1", NOW + HOUR)
    assign(store, OTHER, "M044", None, now=NOW + 2 * HOUR, user="tester", reason="test")
    begin = ("--begin", "20200101000000", "--detector-id", OTHER)
    assert panelcal("run", "add", DATASET, "-s", SOURCE, *begin, "--supersede").exit_code == 0
    pinned, current = answer(panelcal, DATASET, "--tag", "v1"), answer(panelcal, DATASET)
    assert (pinned["detector"], pinned["at"]) == (PANEL, LATER)
    assert (current["detector"], current["at"]) == (OTHER, "20200101000000")
    assert len(show_run(store, parse_dataset(DATASET))) == 1


def test_a_run_that_was_not_registered_yet_is_not_found(panelcal: RunsProgram) -> None:
    result = panelcal("resolve", DATASET, "--as-of", "2026-02-28T00:00:00Z")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "exp=xcsls3716:run=631 is not registered" in result.stderr


def test_declared_modules_are_seen_as_delivered_by_then(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    register(store, DECLARED, now=NOW + HOUR, begin=LATER, modules="M088")
    tagged(store, "early", NOW + 2 * HOUR)
    files = write_delivery(tmp_path / "M088", seed=3)
    deliver(store, "M088", files, now=NOW + 3 * HOUR, user="tester", reason="late")
    assert answer(panelcal, DECLARED)["panels"][0]["module"] == "M088"
    result = panelcal("resolve", DECLARED, "--tag", "early")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "there is no module 'M088'" in result.stderr


# --- transaction time -----------------------------------------------------------------

Deploys = Callable[[datetime], object]


@pytest.fixture
def deploys(store: OpenStore, tmp_path: Path) -> Deploys:
    """Deploy the run into a directory of its own."""

    def make(now: datetime) -> object:
        writing = Writing("legacy", Environment("tester", "host", "/"), now)
        answered = answer_for(store, DATASET, None, at=None, policy="strict", as_of=None)
        directory = tmp_path / f"calib-{now.timestamp()}"
        return deploy(store, answered, directory, writing=writing)

    return make


Writes = Callable[[datetime], object]


@pytest.fixture
def writers(store: OpenStore, tmp_path: Path, deploys: Deploys) -> dict[str, Writes]:
    """Everything that records something."""
    files = write_delivery(tmp_path / "new", seed=7)
    by: Any = {"user": "tester", "reason": "test"}
    planner = withdrawing(PANEL, START - 2 * HOUR, "test")
    return {
        "deliver": lambda now: deliver(store, "M044", files, now=now, user="tester", reason="test"),
        "assign": lambda now: assign(store, PANEL, "M044", None, now=now, **by),
        "withdraw": lambda now: withdraw(store, PANEL, START - HOUR, now=now, **by),
        "run": lambda now: register(store, DECLARED, now=now, modules="M044"),
        "tag": lambda now: create_tag(store, "v1", now=now, **by),
        "propose": lambda now: propose(store, planner, now=now, user="tester"),
        "deploy": deploys,
    }


WRITERS = ("deliver", "assign", "withdraw", "run", "tag", "propose", "deploy")


def test_transaction_times_strictly_increase_whatever_is_recorded(
    store: OpenStore, writers: dict[str, Writes]
) -> None:
    for write in writers.values():
        write(NOW)  # the clock stands still
    events = log(store)
    assert [event.what for event in events[-8:]] == [*WRITERS, "deploy"]
    assert all(before.recorded_at < after.recorded_at for before, after in pairwise(events[:-1]))


@pytest.mark.parametrize("last", WRITERS)
def test_a_clock_that_runs_backwards_is_refused_whatever_was_recorded_last(
    store: OpenStore, writers: dict[str, Writes], last: str
) -> None:
    latest = NOW + HOUR
    writers[last](latest)
    others = [write for name, write in writers.items() if name != last]
    said = log(store)
    for write in others:
        with pytest.raises(ConflictError, match="the clock says 2026-03-01T00:54:59"):
            write(latest - CLOCK_SKEW - MICROSECOND)
    assert log(store) == said
    for count, write in enumerate(others, 1):
        write(latest - CLOCK_SKEW + count * MICROSECOND)
    times = sorted({event.recorded_at for event in log(store)})
    assert times[-7:] == [latest + count * MICROSECOND for count in range(7)]


@pytest.mark.parametrize("writer", WRITERS)
def test_a_write_refused_for_its_clock_leaves_nothing_behind(
    store: OpenStore, writers: dict[str, Writes], nothing_written: NothingWritten,
    tmp_path: Path, writer: str,
) -> None:  # fmt: skip
    tagged(store, "ahead", NOW + HOUR)
    with nothing_written(), pytest.raises(ConflictError, match="the clock says"):
        writers[writer](NOW)
    assert not [path for path in tmp_path.glob("calib*/**/*") if path.is_file()]


def test_the_program_tells_a_backward_clock_as_a_conflict(
    panelcal: RunsProgram, store: OpenStore, clock: Clock, nothing_written: NothingWritten
) -> None:
    tagged(store, "ahead", clock() + HOUR)
    with nothing_written():
        results = [
            panelcal("assign", PANEL, "M044", "--from", STAMP, *REASON),
            panelcal("tag", "create", "v1", *REASON),
        ]
    assert [result.exit_code for result in results] == [4, 4]
    assert "hint: set the clock right, and try again; nothing was changed" in results[0].stderr


def test_a_tag_made_by_a_clock_that_is_behind_holds_all_that_is_recorded(store: OpenStore) -> None:
    latest = NOW + HOUR
    assign(store, PANEL, "M044", START, now=latest, user="tester", reason="test")
    assert tagged(store, "v1", latest - SECOND) == latest + MICROSECOND
    assert tagged(store, "v2", latest - SECOND, as_of=latest) == latest


def test_nothing_recorded_after_a_tag_slips_in_before_it(store: OpenStore) -> None:
    made = tagged(store, "v1", NOW + HOUR)
    behind = made - 3 * SECOND
    recorded = assign(store, PANEL, "M044", START, now=behind, user="tester", reason="test")
    assert recorded.assignment.recorded_at == made + MICROSECOND
    assert resolve(store, PANEL, START, as_of=made, now=made).panels[0].module == "M068"


def test_an_accepted_as_of_does_not_change_by_what_a_host_behind_records(
    store: OpenStore,
) -> None:
    now = log(store)[-1].recorded_at + HOUR
    as_of = past(store, now - CLOCK_SKEW, now)
    before = resolve(store, PANEL, START, as_of=as_of, now=now)
    behind = now - CLOCK_SKEW + MICROSECOND
    assign(store, PANEL, "M044", START, now=behind, user="tester", reason="test")
    assert resolve(store, PANEL, START, as_of=as_of, now=now) == before


def test_a_slow_deployment_is_not_taken_for_a_clock_that_runs_backwards(
    store: OpenStore, tmp_path: Path
) -> None:
    writing = Writing("legacy", Environment("tester", "host", "/"), NOW + HOUR)
    answered = answer_for(store, DATASET, None, at=None, policy="strict", as_of=None)

    def meanwhile(done: int, _total: int, _doing: str) -> None:
        if done == 1:  # while the first file was written, ten seconds went by
            tagged(store, "v1", NOW + HOUR + 10 * SECOND)

    deployed = deploy(store, answered, tmp_path / "calib", writing=writing, progress=meanwhile)
    assert all(one.is_new for one in deployed)


def test_no_two_records_share_a_transaction_time(
    store_dir: Path, writers: dict[str, Writes]
) -> None:
    for write in writers.values():
        write(NOW)
    times = rows(
        store_dir,
        """SELECT recorded_at_us FROM assignment UNION ALL
           SELECT recorded_at_us FROM constant_set UNION ALL
           SELECT recorded_at_us FROM run UNION ALL SELECT recorded_at_us FROM tag UNION ALL
           SELECT recorded_at_us FROM proposal UNION ALL
           SELECT DISTINCT deployed_at_us FROM deployment""",
    )
    assert len(times) == len(set(times)) == 4 + len(WRITERS)


def test_the_service_refuses_a_taken_name_and_an_unknown_one(
    store: OpenStore, nothing_written: NothingWritten
) -> None:
    tagged(store, "v1", NOW + HOUR)
    with nothing_written():
        with pytest.raises(ConflictError, match="tags never move"):
            tagged(store, "v1", NOW + 2 * HOUR)
        with pytest.raises(NotFoundError, match="there is no tag v2"):
            show_tag(store, "v2")


def test_python_asks_by_tag_and_by_transaction_time(store: OpenStore, store_dir: Path) -> None:
    made = tagged(store, "v1", NOW + HOUR)
    assign(store, PANEL, "M044", START, now=NOW + 2 * HOUR, user="tester", reason="test")
    with open_for_python(store_dir) as python:
        by_tag = python.resolve(PANEL, STAMP, tag="v1")
        by_time = python.resolve(PANEL, STAMP, as_of=made)
        now = python.resolve(PANEL, STAMP)
    assert by_tag.token == by_time.token != now.token
    assert [panel.module for panel in now.panels] == ["M044"]
