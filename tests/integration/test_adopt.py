"""One panel under several ids: its twins are pointed out, and adopted when told to."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from builders import write_delivery
from conftest import RunsProgram
from panelcal.errors import ConflictError
from panelcal.services.adopt import adopt, twins_of
from panelcal.services.assign import assign, list_panels, show_panel, withdraw
from panelcal.services.history import log
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START = datetime(2018, 3, 6, 8, tzinfo=UTC)
LATER = datetime(2019, 1, 1, 8, tzinfo=UTC)
STAMP, LATER_STAMP = "20180306000000", "20190101000000"
OLD = "170505-149520170815-3d00b0"
NEW = "171113-154920171025-3d00b0"
NEWEST = "-154920171025-3d00b0"
STRANGER = "171113-154920171025-3d00f7"
SAME_SET = ("--from", STAMP, "--reason", "test")


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store in which a panel has been used under its first firmware."""
    directory = tmp_path_factory.mktemp("adopt") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M068", "M068")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                deliver(store, module, files, now=NOW, user="tester", reason="delivered")
            by: Any = {"user": "ann", "reason": "test"}
            assign(store, OLD, "M044", START, now=NOW, **by)
            assign(store, OLD, "M068@1", START, now=NOW, **by)
            withdraw(store, OLD, LATER, now=NOW, **by)
            assign(store, OLD, "M068", None, now=NOW, **by)
            assign(store, STRANGER, "M044", None, now=NOW, **by)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


USES = f"M068@2 from the beginning, M068@1 from {STAMP}, withdrawn from {LATER_STAMP}"
PROPOSAL = [
    f"{NEW} M068@2 from the beginning",
    f"{NEW} M068@1 from {STAMP}",
    f"{NEW} withdrawn from {LATER_STAMP}",
]


def use(store: OpenStore, panel: str, module: str, start: datetime | None = START) -> None:
    assign(store, panel, module, start, now=NOW, user="ann", reason="test")


# --- pointed out ------------------------------------------------------------------------


def test_assign_points_out_the_other_ids_of_the_panel_and_what_they_use(
    panelcal: RunsProgram,
) -> None:
    result = panelcal("assign", NEW, "M044", *SAME_SET)
    assert (result.exit_code, result.stdout) == (0, f"{NEW} M044@1 from {STAMP}\n")
    assert f"the same serial: {OLD} uses {USES}\n" in result.stderr
    assert STRANGER not in result.stderr


def test_panel_show_points_them_out_too(panelcal: RunsProgram, store: OpenStore) -> None:
    use(store, NEW, "M044")
    result = panelcal("panel", "show", NEW)
    assert (result.exit_code, result.stderr) == (0, f"the same serial: {OLD} uses {USES}\n")
    assert OLD not in result.stdout


def test_json_on_standard_output_is_not_disturbed(panelcal: RunsProgram) -> None:
    assigned = panelcal("assign", NEW, "M044", *SAME_SET, "--json")
    shown = panelcal("panel", "show", NEW, "--json")
    assert json.loads(assigned.stdout)["panel"] == json.loads(shown.stdout)["panel"] == NEW
    assert "the same serial" in assigned.stderr
    assert "the same serial" in shown.stderr


def test_each_of_several_ids_is_pointed_out(panelcal: RunsProgram, store: OpenStore) -> None:
    use(store, NEWEST, "M044")
    result = panelcal("panel", "show", OLD)
    assert result.stderr == f"the same serial: {NEWEST} uses M044@1 from {STAMP}\n"
    use(store, NEW, "M044", None)
    lines = panelcal("panel", "show", OLD).stderr.splitlines()
    assert lines == [
        f"the same serial: {NEWEST} uses M044@1 from {STAMP}",
        f"the same serial: {NEW} uses M044@1 from the beginning",
    ]


def test_a_panel_of_one_id_has_nothing_pointed_out(panelcal: RunsProgram) -> None:
    assert panelcal("panel", "show", STRANGER).stderr == ""
    assigned = panelcal("assign", STRANGER, "M068", *SAME_SET)
    assert "the same serial" not in assigned.stderr


def test_ids_are_twins_by_their_serial_alone(store: OpenStore) -> None:
    use(store, "171113-3d00b0-3d00f0", "M044")
    use(store, "3d00b0-154920171025-13d00b0", "M044")
    assert [twin.panel.name for twin in twins_of(store, NEW)] == [OLD]


# --- proposed ---------------------------------------------------------------------------


def test_an_adoption_is_proposed_and_nothing_is_written(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        result = panelcal("panel", "adopt", NEW, "--from-serial")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == PROPOSAL
    assert result.stderr == f"proposed from {OLD}; --yes records it\n"


def test_a_proposal_in_json_says_that_it_is_not_recorded(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        result = panelcal("panel", "adopt", NEW, "--from-serial", "--json")
    document = json.loads(result.stdout)
    assert (document["panel"], document["from"], document["recorded"]) == (NEW, OLD, False)
    uses = [(row["module"], row["revision"], row["valid_from"]) for row in document["assignments"]]
    assert uses == [("M068", 2, None), ("M068", 1, STAMP), (None, None, LATER_STAMP)]


# --- recorded -----------------------------------------------------------------------------


def test_yes_records_the_same_starts_and_sets_and_names_the_twin(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    result = panelcal("panel", "adopt", NEW, "--from-serial", "--yes")
    assert (result.exit_code, result.stdout.splitlines()) == (0, PROPOSAL)
    assert result.stderr == f"adopted from {OLD}\n"
    _, adopted = show_panel(store, NEW)
    assert [(row.uses, row.valid_from) for row in adopted] == [
        ("M068@2", None),
        ("M068@1", START),
        ("withdrawn", LATER),
    ]
    assert {row.reason for row in adopted} == {f"adopted from {OLD}, the same serial"}
    assert {row.recorded_by for row in adopted} == {"tester"}


def test_json_shows_the_rows_that_were_recorded(panelcal: RunsProgram, store: OpenStore) -> None:
    result = panelcal("panel", "adopt", NEW, "--from-serial", "--yes", "--json")
    document = json.loads(result.stdout)
    assert document["recorded"] is True
    rows = document["assignments"]
    assert [(row["panel"], row["recorded_by"], row["reason"]) for row in rows] == [
        (row.panel, row.recorded_by, row.reason) for row in show_panel(store, NEW)[1]
    ]


def test_an_id_typed_with_the_L_of_python_2_is_told_without(  # noqa: N802
    panelcal: RunsProgram,
) -> None:
    result = panelcal("panel", "adopt", f"{NEW}L", "--from-serial")
    assert result.stdout.splitlines() == PROPOSAL


def test_an_adoption_is_one_change_of_the_store(store: OpenStore) -> None:
    adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
    last = log(store)[-3:]
    assert {event.recorded_at for event in last} == {log(store)[-1].recorded_at}
    assert log(store)[-4].recorded_at < last[0].recorded_at


def test_the_new_id_resolves_as_its_twin_and_the_twin_as_before(store: OpenStore) -> None:
    before = resolve(store, OLD, START, now=NOW)
    adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
    (adopted,) = resolve(store, NEW, START, now=NOW).panels
    assert adopted.digests == before.panels[0].digests
    assert resolve(store, OLD, START, now=NOW) == before


def test_an_adoption_is_not_seen_before_it_was_recorded(store: OpenStore) -> None:
    before = log(store)[-1].recorded_at
    adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
    assert show_panel(store, NEW)[1][0].recorded_at > before
    assert [panel.name for panel, _ in list_panels(store)] == sorted([OLD, NEW, STRANGER])


def test_twins_that_agree_need_no_like(store: OpenStore) -> None:
    adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
    adoption = adopt(store, NEWEST, like=None, record=False, now=NOW, user="ann")
    assert [row.uses for row in adoption.rows] == ["M068@2", "M068@1", "withdrawn"]


@pytest.mark.parametrize(("like", "uses"), [(OLD, "M068@2"), (NEWEST, "M044@1")])
def test_like_says_whose_assignments_are_adopted(
    panelcal: RunsProgram, store: OpenStore, like: str, uses: str
) -> None:
    use(store, NEWEST, "M044")
    result = panelcal("panel", "adopt", NEW, "--from-serial", "--yes", f"--like={like}")
    assert (result.exit_code, result.stderr) == (0, f"adopted from {like}\n")
    rows = show_panel(store, NEW)[1]
    assert rows[0].uses == uses
    assert rows[0].reason == f"adopted from {like}, the same serial"


# --- refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("yes", [(), ("--yes",)])
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        pytest.param((NEW,), 2, "say what to adopt from\nhint: --from-serial", id="not said"),
        pytest.param(
            ("171113-154920171025-3d00aa", "--from-serial"), 3,
            "no other panel id of serial 3d00aa has an assignment\n"
            "hint: panelcal assign --from T --reason R", id="no twin",
        ),
        pytest.param(
            (NEW, "--from-serial"), 2,
            "--like PANEL says whose to adopt", id="twins that differ",
        ),
        pytest.param(
            (NEW, "--from-serial", "--like", STRANGER), 3,
            f"{STRANGER} is no other panel id of serial 3d00b0", id="like a stranger",
        ),
        pytest.param(
            (NEW, "--from-serial", "--like", NEW), 3,
            f"{NEW} is no other panel id of serial 3d00b0", id="like itself",
        ),
        pytest.param(
            (NEW, "--from-serial", "--like", "3d00b0"), 2, "'3d00b0' is not a panel id",
            id="malformed like",
        ),
        pytest.param(
            (OLD, "--from-serial"), 4,
            f"{OLD} has assignments of its own already\nhint: panelcal panel show -- {OLD}",
            id="not new",
        ),
        pytest.param(
            ("171113-1549", "--from-serial"), 2, "'171113-1549' is not a panel id",
            id="malformed",
        ),
        pytest.param(
            (f"{NEW}_{STRANGER}", "--from-serial"), 2, "this looks like a detector id",
            id="a detector id",
        ),
    ],
)  # fmt: skip
def test_a_refused_adoption_says_why_and_writes_nothing(
    panelcal: RunsProgram, store: OpenStore, nothing_written: NothingWritten,
    arguments: tuple[str, ...], yes: tuple[str, ...], code: int, says: str,
) -> None:  # fmt: skip
    use(store, NEWEST, "M044")
    with nothing_written():
        result = panelcal("panel", "adopt", *arguments, *yes)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr


def test_a_refusal_of_twins_that_differ_says_what_each_uses(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    use(store, NEWEST, "M044")
    result = panelcal("panel", "adopt", NEW, "--from-serial")
    assert f"{OLD} uses {USES}" in result.stderr
    assert f"{NEWEST} uses M044@1 from {STAMP}" in result.stderr


def test_an_adoption_is_recorded_only_once(
    store: OpenStore, nothing_written: NothingWritten
) -> None:
    adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
    with nothing_written(), pytest.raises(ConflictError, match="of its own already"):
        adopt(store, NEW, like=None, record=True, now=NOW, user="ann")
