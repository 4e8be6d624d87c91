"""Two people: nothing that one proposed holds before another approved it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from builders import GainsTree, damage, fingerprint, rows, write_delivery
from conftest import RunsProgram
from panelcal.errors import ConflictError, IntegrityError
from panelcal.services.approval import approve, propose, reject
from panelcal.services.approval_mode import require_approval, switching_off
from panelcal.services.assign import assign
from panelcal.services.fsck import fsck
from panelcal.services.history import log
from panelcal.services.modules import deliver
from panelcal.services.planning import assigning, record_plan
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.ledger import NewAssignment, add_assignments, panels
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore, open_store
from past_triggers import change_past_triggers
from servers import copied_store

NothingWritten = Callable[[], AbstractContextManager[None]]
As = Callable[..., Result]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO, OLD = "171113-154920171025-3d00fb", "171113-154920171025-3d00f7", "170505-1-3d00fb"
SOURCE = "XcsEndstation.0:Jungfrau.0"
START = datetime(2018, 1, 1, 8, tzinfo=UTC)
STAMP, LATER = "20180101000000", "20180601000000"
BY: Any = {"user": "ann", "reason": "test"}
REASON = ("--reason", "mixed up")
ASSIGN = ("assign", ONE, "M068", "--from", LATER, *REASON)
BECAUSE = ("--reason", "seen")


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with two modules, a panel and a run that is deployed."""
    place = tmp_path_factory.mktemp("approval")
    with copied_store(empty_store, place / "store") as directory:
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M068")):
                files = write_delivery(place / module, seed)
                deliver(store, module, files, now=NOW, user="ann", reason="delivered")
            assign(store, ONE, "M044", START, now=NOW, **BY)
            fields = RunFields("xcsls3716", "1", SOURCE, "2018-07-01T00:00:00Z", ONE)
            add_run(store, fields, now=NOW, user="ann", supersede=False)
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def ann(panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch) -> As:
    """Who proposes."""
    return by("ann", panelcal, monkeypatch)


@pytest.fixture
def bob(panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch) -> As:
    """Who decides."""
    return by("bob", panelcal, monkeypatch)


def by(user: str, panelcal: RunsProgram, monkeypatch: pytest.MonkeyPatch) -> As:
    def run(*arguments: str | Path) -> Result:
        monkeypatch.setenv("LOGNAME", user)
        return panelcal(*arguments)

    return run


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def ledger(store_dir: Path) -> list[tuple[Any, ...]]:
    return rows(
        store_dir,
        "SELECT panel.name, module.name, valid_from_us, assignment.recorded_by, assignment.reason "
        "FROM assignment JOIN panel ON panel.id = panel_id "
        "LEFT JOIN constant_set ON constant_set.id = constant_set_id "
        "LEFT JOIN module ON module.id = module_id ORDER BY assignment.id",
    )


# --- propose, approve, reject -------------------------------------------------------------


def test_a_proposal_changes_nothing_until_somebody_else_approves_it(
    ann: As, bob: As, store_dir: Path
) -> None:
    before = ledger(store_dir)
    proposed = done(ann("propose", *ASSIGN))
    assert f"1         open   assign: {ONE} M068@1 from {LATER}" in proposed.stdout
    assert "1 registered run would get another answer" in proposed.stdout
    assert "somebody else decides: panelcal approve 1 --reason R" in proposed.stderr
    assert ledger(store_dir) == before
    approved = done(bob("approve", "1", *BECAUSE))
    assert approved.stdout == f"{ONE} M068@1 from {LATER}\n"
    [row] = ledger(store_dir)[len(before) :]
    assert (*row[:2], *row[3:]) == (ONE, "M068", "bob", "mixed up (proposal 1 by ann)")


def test_nobody_approves_what_they_proposed(ann: As, nothing_written: NothingWritten) -> None:
    done(ann("propose", *ASSIGN))
    with nothing_written():
        refused = ann("approve", "1", *BECAUSE)
    assert refused.exit_code == 4
    assert "proposal 1 is by ann: somebody else has to approve it" in refused.stderr


def test_a_decision_stays(ann: As, bob: As, nothing_written: NothingWritten) -> None:
    done(ann("propose", *ASSIGN))
    done(bob("reject", "1", *BECAUSE))
    with nothing_written():
        results = [
            bob("approve", "1", *BECAUSE),
            bob("reject", "1", *BECAUSE),
            ann("reject", "1", *BECAUSE),
        ]
    assert [one.exit_code for one in results] == [4, 4, 4]
    assert "proposal 1 was rejected by bob at " in results[0].stderr
    assert ": seen\n" in results[0].stderr


@pytest.mark.sqlite_only
def test_an_author_takes_a_proposal_back(ann: As, bob: As, store_dir: Path) -> None:
    before = ledger(store_dir)
    done(ann("propose", *ASSIGN))
    assert done(ann("reject", "1", *BECAUSE)).stdout == "proposal 1 by ann is rejected\n"
    assert bob("approve", "1", *BECAUSE).exit_code == 4
    assert ledger(store_dir) == before


@pytest.mark.sqlite_only
def test_every_verb_can_be_proposed_and_approved(ann: As, bob: As, store_dir: Path) -> None:
    done(ann("propose", "withdraw", ONE, "--from", LATER, *REASON))
    done(ann("propose", "adopt", OLD, "--from-serial"))
    done(ann("propose", "assign", TWO, "M044@1", "--from-beginning", *REASON))
    for number in ("2", "1", "3"):
        done(bob("approve", number, *BECAUSE))
    found = [(panel, module, reason) for panel, module, _, _, reason in ledger(store_dir)[1:]]
    assert found == [
        (OLD, "M044", f"adopted from {ONE}, the same serial (proposal 2 by ann)"),
        (ONE, None, "mixed up (proposal 1 by ann)"),
        (TWO, "M044", "mixed up (proposal 3 by ann)"),
    ]
    with open_store(store_dir) as store:
        assert resolve(store, TWO, STAMP, now=NOW).panels[0].valid_from is None


@pytest.mark.sqlite_only
def test_a_proposal_is_refused_as_the_change_would_be(
    ann: As, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        for arguments, code in (
            (("assign", ONE, "M099", "--from-beginning", *REASON), 3),
            (("assign", ONE, "M044", "--from", STAMP, *REASON), 4),
            (("assign", ONE, "M044", *REASON), 2),
            (("withdraw", TWO, "--from", STAMP, *REASON), 3),
            (("adopt", ONE, "--from-serial"), 4),
            (("adopt", OLD), 2),
            (("approval-off", *REASON), 4),
        ):
            result = ann("propose", *arguments)
            assert (result.exit_code, result.stdout) == (code, ""), result.output


@pytest.mark.sqlite_only
def test_nothing_is_proposed_that_cannot_be_told_in_numbers(
    ann: As, store_dir: Path, nothing_written: NothingWritten
) -> None:
    damage(store_dir, "M068", "pixel_gain")
    with nothing_written():
        refused = ann("propose", *ASSIGN)
    assert (refused.exit_code, refused.stdout) == (5, "")


@pytest.mark.sqlite_only
def test_the_same_is_not_proposed_twice_while_the_first_is_open(ann: As, bob: As) -> None:
    done(ann("propose", *ASSIGN))
    again = bob("propose", *ASSIGN)
    assert again.exit_code == 4
    assert "already so: proposal 1 by ann is for" in again.stderr
    done(bob("reject", "1", *BECAUSE))
    assert "2         open" in done(bob("propose", *ASSIGN)).stdout


@pytest.mark.sqlite_only
def test_a_number_that_is_none_is_not_found(bob: As) -> None:
    for arguments in (("approve", "7", *BECAUSE), ("reject", "7", *BECAUSE)):
        result = bob(*arguments)
        assert result.exit_code == 3
        assert "there is no proposal 7" in result.stderr
    assert bob("proposal", "show", "7").exit_code == 3
    assert bob("approve", "0", *BECAUSE).exit_code == 2
    assert bob("approve", str(2**70), *BECAUSE).exit_code == 2
    assert bob("approve", str(2**31 - 1), *BECAUSE).exit_code == 3


@pytest.mark.sqlite_only
def test_a_proposal_that_the_ledger_has_outgrown_is_refused(ann: As, bob: As) -> None:
    done(ann("propose", *ASSIGN))
    done(ann("propose", "adopt", OLD, "--from-serial"))
    done(bob("assign", ONE, "M068", "--from", LATER, *REASON))
    done(bob("assign", OLD, "M068", "--from", LATER, *REASON))
    first, second = bob("approve", "1", *BECAUSE), bob("approve", "2", *BECAUSE)
    assert (first.exit_code, second.exit_code) == (4, 4)
    assert f"already so: {ONE} uses M068@1 from {LATER}" in first.stderr
    assert f"{OLD} has assignments of its own already" in second.stderr
    shown = done(bob("proposal", "show", "1"))
    assert "it cannot be approved any more: already so" in shown.stderr
    assert json.loads(bob("proposal", "show", "1", "--json").stdout)["impact"] is None


def test_an_approval_of_what_is_deployed_needs_the_number_of_then(
    ann: As, bob: As, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    done(ann("propose", *ASSIGN))
    done(bob("export", "exp=xcsls3716:run=1", "--calib-dir", tmp_path / "calib", "--deploy"))
    with nothing_written():
        refused = bob("approve", "1", *BECAUSE)
    assert refused.exit_code == 4
    assert "1 answer already deployed would change: exp=xcsls3716:run=1" in refused.stderr
    assert "panelcal proposal show 1 shows by how much" in refused.stderr
    assert "panelcal approve 1 --confirm-affects 1 " in bob("proposal", "show", "1").stderr
    done(bob("approve", "1", "--confirm-affects", "1", *BECAUSE))


# --- the mode ------------------------------------------------------------------------------


def test_where_two_are_required_nobody_changes_the_ledger_alone(
    ann: As, bob: As, store_dir: Path, tree: GainsTree
) -> None:
    tree.module("M099", 9)
    tree.link(f"{TWO}-{STAMP}", "M099")
    done(ann("approval", "require", *REASON))
    before = fingerprint(store_dir)
    changes: list[tuple[str | Path, ...]] = [
        ASSIGN,
        ("withdraw", ONE, "--from", LATER, *REASON),
        ("panel", "adopt", OLD, "--from-serial", "--yes"),
        ("import", "gains-tree", tree.path),
    ]
    for arguments in changes:
        refused = bob(*arguments)
        assert refused.exit_code == 4, (arguments, refused.output)
        assert "assignments of this store need a second person's approval" in refused.stderr
        assert "panelcal propose assign" in refused.stderr
    assert fingerprint(store_dir) == before
    for arguments in changes[:3]:
        preview = tuple(one for one in arguments if one != "--yes")
        done(bob(*preview, "--preview"))


@pytest.mark.sqlite_only
def test_imports_of_files_are_refused_where_two_are_required(
    ann: As, tmp_path: Path, store_dir: Path, template: Path
) -> None:
    with copied_store(template, tmp_path / "other") as other:
        elsewhere = ("--store", other)
        done(ann(*elsewhere, "assign", TWO, "M068", "--from-beginning", *REASON))
        run = ("run", "add", "exp=xcsls3716:run=2", "-s", SOURCE, "--begin", LATER)
        done(ann(*elsewhere, *run, "--detector-id", TWO))
        (tmp_path / "root").mkdir()
        done(ann(*elsewhere, "deploy", "--all", "--calib-root", tmp_path / "root"))
        done(ann(*elsewhere, "export", "exp=xcsls3716:run=2", "--dcs", tmp_path))
        done(ann(*elsewhere, "bundle", "create", tmp_path / "bundle", "--detector", TWO))
    done(ann(*run, "--detector-id", TWO))
    done(ann("approval", "require", *REASON))
    before = fingerprint(store_dir)
    [dcs] = tmp_path.glob("*.h5")
    for what in (
        ("import", "calib-tree", tmp_path / "root"),
        ("import", "dcs", dcs),
        ("bundle", "import", tmp_path / "bundle"),
    ):
        done(ann(*what, "--dry-run"))
        refused = ann(*what)
        assert refused.exit_code == 4, refused.output
        assert "need a second person's approval" in refused.stderr
    assert fingerprint(store_dir) == before


def test_the_one_place_that_adds_to_the_ledger_refuses_by_itself(store: OpenStore) -> None:
    require_approval(store, now=NOW, **BY)
    with pytest.raises(ConflictError, match="second person"):
        with store.database.writing() as connection:
            at = recording_time(connection, NOW)
            [panel] = panels(connection)
            new = [NewAssignment(panel, None, 1, "alone")]
            add_assignments(connection, new, now=at, user="ann")
    with pytest.raises(ConflictError, match="proposal 1 is not being approved"):
        with store.database.writing() as connection:
            plan = assigning(ONE, "M068", None, "alone")(connection, store.zone)
            at = recording_time(connection, NOW)
            record_plan(connection, plan, now=at, user="ann", proposal=1)


@pytest.mark.sqlite_only
def test_an_earlier_approval_lets_no_later_row_pass(store: OpenStore) -> None:
    require_approval(store, now=NOW, **BY)
    propose(store, assigning(ONE, "M068", None, "test"), now=NOW, user="ann")
    approve(store, 1, now=NOW, user="bob", reason="seen")
    with pytest.raises(ConflictError, match="proposal 1 is not being approved"):
        with store.database.writing() as connection:
            plan = assigning(TWO, "M068", None, "test")(connection, store.zone)
            at = recording_time(connection, NOW)
            record_plan(connection, plan, now=at, user="ann", proposal=1)


@pytest.mark.sqlite_only
def test_deliveries_runs_and_tags_need_no_second_person(ann: As, tmp_path: Path) -> None:
    done(ann("approval", "require", *REASON))
    done(ann("module", "add", "M099", write_delivery(tmp_path / "M099", 9), *REASON))
    done(ann("run", "add", "exp=xcsls3716:run=2", "-s", SOURCE, "--begin", LATER))
    done(ann("tag", "create", "t1", *REASON))
    done(ann("export", "exp=xcsls3716:run=1", "--calib-dir", tmp_path / "calib", "--deploy"))


def test_only_two_end_what_one_asked_for(ann: As, bob: As, store_dir: Path) -> None:
    assert ann("approval", "status").stdout == "approval is not required\n"
    assert done(ann("approval", "require", *REASON)).stdout.startswith("approval is required since")
    again = bob("approval", "require", *REASON)
    assert again.exit_code == 4
    assert "by ann: mixed up" in again.stderr
    done(ann("propose", "approval-off", *REASON))
    assert ann("approve", "1", *BECAUSE).exit_code == 4
    assert bob(*ASSIGN).exit_code == 4
    assert "approval-off: approval is no longer required" in bob("approval", "status").stdout
    done(bob("approve", "1", *BECAUSE))
    status = json.loads(ann("approval", "status", "--json").stdout)
    assert (status["required"], status["recorded_by"], status["open"]) == (False, "bob", [])
    assert status["reason"] == "mixed up (proposal 1 by ann)"
    done(ann(*ASSIGN))
    assert fsck(store_dir, now=datetime.now(UTC)).findings == ()
    done(ann("approval", "require", *REASON))
    assert ann(*ASSIGN[:4], STAMP, *REASON).exit_code == 4


@pytest.mark.sqlite_only
def test_the_schema_does_not_go_back_to_one_person_while_two_are_required(
    ann: As, nothing_written: NothingWritten
) -> None:
    done(ann("approval", "require", *BECAUSE))
    with nothing_written():
        for revision in ("0006", "base"):
            refused = ann("db", "downgrade", revision, "--yes")
            assert refused.exit_code == 4, refused.output
            assert "this store asks for them" in refused.stderr


def test_an_end_that_came_by_another_proposal_is_not_approved_again(ann: As, bob: As) -> None:
    done(ann("approval", "require", *REASON))
    done(ann("propose", "approval-off", *REASON))
    assert bob("propose", "approval-off", *REASON).exit_code == 4
    done(bob("approve", "1", *BECAUSE))
    off = bob("propose", "approval-off", *REASON)
    assert (off.exit_code, off.stdout) == (4, "")
    assert "already so: approval is not required" in off.stderr


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approval_mode SET required = 0",
        "UPDATE approval_mode SET reason = 'other'",
        (
            "INSERT INTO approval_mode (id, required, recorded_at_us, recorded_by, reason) "
            "SELECT 2, 0, recorded_at_us + 1, recorded_by, reason FROM approval_mode"
        ),
    ],
)
def test_a_mode_that_was_edited_by_hand_lets_nothing_pass(
    ann: As, store_dir: Path, statement: str
) -> None:
    done(ann("approval", "require", *REASON))
    change_past_triggers(store_dir, statement)
    refused = ann(*ASSIGN)
    assert refused.exit_code == 5
    assert "of approval_mode is not as it was recorded" in refused.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE proposal SET recorded_by = 'eve'",
        "UPDATE proposal_assignment SET constant_set_id = 1",
        "UPDATE proposal_assignment SET valid_from_us = valid_from_us - 1000000",
        "DELETE FROM proposal_assignment",
    ],
)
@pytest.mark.sqlite_only
def test_a_proposal_that_was_edited_by_hand_is_not_approved(
    store: OpenStore, statement: str
) -> None:
    propose(store, assigning(ONE, "M068", START, "test"), now=NOW, user="ann")
    change_past_triggers(store.directory, statement)
    with pytest.raises(IntegrityError, match="row 1 of proposal is not as it was recorded"):
        approve(store, 1, now=NOW, user="bob", reason="seen")


# --- what is on record ---------------------------------------------------------------------


def test_log_and_history_tell_proposals_and_decisions(ann: As, bob: As, store: OpenStore) -> None:
    done(ann("propose", *ASSIGN))
    done(ann("propose", "withdraw", ONE, "--from", STAMP, *REASON))
    done(bob("approve", "1", *BECAUSE))
    done(bob("reject", "2", *BECAUSE))
    told = [(one.what, one.recorded_by, one.subject) for one in log(store)[-5:]]
    assert told == [
        ("propose", "ann", f"proposal 1: assign: {ONE} M068@1 from {LATER}"),
        ("propose", "ann", f"proposal 2: withdraw: {ONE} withdrawn from {STAMP}"),
        ("approve", "bob", "proposal 1"),
        ("assign", "bob", f"{ONE} uses M068@1 from {LATER}"),
        ("reject", "bob", "proposal 2"),
    ]
    of_panel = json.loads(bob("history", ONE, "--json").stdout)["proposals"]
    assert [(one["proposal"], one["state"]) for one in of_panel] == [
        (1, "approved"),
        (2, "rejected"),
    ]
    of_module = json.loads(bob("history", "M068", "--json").stdout)["proposals"]
    assert [one["proposal"] for one in of_module] == [1]
    assert json.loads(bob("history", "M044", "--json").stdout)["proposals"] == []
    assert "rejected by bob: seen" in bob("history", ONE).stdout


@pytest.mark.sqlite_only
def test_the_list_has_open_ones_and_all_of_them_when_asked(ann: As, bob: As) -> None:
    assert json.loads(ann("proposal", "list", "--all", "--json").stdout) == []
    done(ann("propose", *ASSIGN))
    done(ann("propose", "withdraw", ONE, "--from", STAMP, *REASON))
    done(bob("approve", "1", *BECAUSE))
    [only] = json.loads(ann("proposal", "list", "--json").stdout)
    assert (only["proposal"], only["verb"], only["decision"]) == (2, "withdraw", None)
    first, _ = json.loads(ann("proposal", "list", "--all", "--json").stdout)
    assert first["assignments"] == [
        {"panel": ONE, "module": "M068", "revision": 1, "valid_from": LATER}
    ]
    verdict = first["decision"]
    assert (verdict["verdict"], verdict["recorded_by"], verdict["reason"]) == (
        "approved",
        "bob",
        "seen",
    )
    assert "approved by bob: seen" in ann("proposal", "list", "--all").stdout


def test_a_backup_has_proposals_and_the_mode_and_a_bundle_has_neither(
    ann: As, bob: As, store_dir: Path, tmp_path: Path
) -> None:
    done(ann("approval", "require", *REASON))
    done(ann("propose", *ASSIGN))
    done(bob("approve", "1", *BECAUSE))
    done(ann("propose", "withdraw", ONE, "--from", STAMP, *REASON))
    done(ann("backup", tmp_path / "backup"))
    done(ann("restore", tmp_path / "backup", tmp_path / "again"))
    kept = ("approval_mode", "proposal", "proposal_assignment", "decision", "assignment")
    before, after = fingerprint(store_dir)[0], fingerprint(tmp_path / "again")[0]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert all(before[name] for name in kept)
    assert fsck(tmp_path / "again", now=datetime.now(UTC)).findings == ()
    done(ann("bundle", "create", tmp_path / "bundle", "--detector", ONE))
    bundled = ("--store", tmp_path / "bundle")
    assert json.loads(ann(*bundled, "proposal", "list", "--all", "--json").stdout) == []
    assert ann(*bundled, "approval", "status").stdout == "approval is not required\n"


def test_of_two_who_approve_at_once_one_wins_and_the_other_is_told(
    store: OpenStore, store_dir: Path
) -> None:
    before = len(ledger(store_dir))
    propose(store, assigning(ONE, "M068", None, "test"), now=datetime.now(UTC), user="ann")
    rivals = [
        subprocess.Popen(
            [sys.executable, "-m", "panelcal", "--store", store_dir, "approve", "1", *BECAUSE],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LOGNAME": user},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for user in ("bob", "cle")
    ]
    said = [rival.communicate(timeout=120)[1] for rival in rivals]
    assert sorted(rival.returncode for rival in rivals) == [0, 4], said
    assert sum("proposal 1 was approved by " in one for one in said) == 1
    assert len(ledger(store_dir)) == before + 1


@pytest.mark.sqlite_only
def test_transaction_times_of_proposals_and_decisions_increase_with_all_others(
    store: OpenStore,
) -> None:
    require_approval(store, now=NOW, **BY)
    propose(store, switching_off("test"), now=NOW, user="ann")
    propose(store, assigning(ONE, "M068", None, "test"), now=NOW, user="ann")
    reject(store, 2, now=NOW, user="ann", reason="test")
    approve(store, 1, now=NOW, user="bob", reason="test")
    assign(store, ONE, "M068", None, now=NOW, **BY)
    times = [one.recorded_at for one in log(store)[-7:]]
    # The end of the mode is recorded with the decision that ends it.
    assert len(set(times)) == 6
    assert times == sorted(times)
    assert times[-1] - times[0] == timedelta(microseconds=5)
