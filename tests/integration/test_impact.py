"""``--preview`` and ``--confirm-affects``: whose answer a change alters, before it is made."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import FILES, TREE_SHAPE, damage, rows, write_delivery
from conftest import RunsProgram
from panelcal.errors import ConflictError, IntegrityError
from panelcal.exporters.text_array import Environment
from panelcal.services.adopt import adopt
from panelcal.services.assign import assign, withdraw
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.impact import preview
from panelcal.services.modules import deliver
from panelcal.services.planning import assigning
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.store import OpenStore, open_store
from past_triggers import change_past_triggers
from servers import copied_store
from statements import statements

NothingWritten = Callable[[], AbstractContextManager[None]]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO, OLD = "171113-154920171025-3d00fb", "171113-154920171025-3d00f7", "170505-1-3d00fb"
SOURCE = "XcsEndstation.0:Jungfrau.0"
BEGUN = datetime(2018, 1, 1, 8, tzinfo=UTC)
"""Midnight of the store's zone."""
BY: Any = {"user": "ann", "reason": "test"}
REASON = ("--reason", "test")
LOUD = 8.0
"""By how many ADU the offsets of range 1 of M044@2 are above those of M044@1."""


def dataset(run: int) -> str:
    return f"exp=xcsls3716:run={run}"


def put(store: OpenStore, run: int, calib: Path, *, policy: Any = "strict", at: Any = None) -> None:
    """Deploy a run into a calib directory."""
    answer = answer_for(store, dataset(run), None, at=at, policy=policy, as_of=None)
    deploy(store, answer, calib, writing=Writing("legacy", Environment("ann", "host", "/"), NOW))


def register(store: OpenStore, run: int, day: int, detector: str) -> None:
    """Register a run that began so many days after `BEGUN`, at noon."""
    begin = (BEGUN + timedelta(days=day, hours=12)).isoformat()
    fields = RunFields("xcsls3716", str(run), SOURCE, begin, detector)
    add_run(store, fields, now=NOW, user="ann", supersede=True)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ten runs of a detector of two panels, a day after the other; the third is deployed."""
    place = tmp_path_factory.mktemp("impact")
    with copied_store(empty_store, place / "store") as directory:
        first, second, other = (place / name for name in ("first", "second", "other"))
        for seed, path in ((1, first), (1, second), (2, other)):
            write_delivery(path, seed)
        louder = np.load(second / "g1_offset.npy") + np.float32(LOUD)
        np.save(second / "g1_offset.npy", louder)
        with open_store(directory) as store:
            for module, path in (("M044", first), ("M044", second), ("M068", other)):
                deliver(store, module, path, now=NOW, user="ann", reason="delivered")
            for panel, uses in ((ONE, "M044@1"), (TWO, "M068@1")):
                assign(store, panel, uses, BEGUN, now=NOW, **BY)
            for run in range(10):
                register(store, run, run, f"{ONE}_{TWO}")
            put(store, 3, place / "calib")
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


def stamp(day: int) -> str:
    return f"201801{day + 1:02d}000000"


def previewed(panelcal: RunsProgram, *arguments: str) -> dict[str, Any]:
    result = panelcal(*arguments, "--preview", "--json")
    assert (result.exit_code, result.stderr) == (0, "nothing was written\n"), result.output
    impact: dict[str, Any] = json.loads(result.stdout)["impact"]
    return impact


def change(day: int, uses: str = "M044@2", panel: str = ONE) -> tuple[str, ...]:
    return ("assign", panel, uses, "--from", stamp(day), *REASON)


# --- what a preview tells -----------------------------------------------------------------


def test_a_preview_names_every_run_and_deployment_that_changes_and_no_other(
    panelcal: RunsProgram, store_dir: Path, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        early, late = previewed(panelcal, *change(2)), previewed(panelcal, *change(5))
    assert [run["run"] for run in early["runs"]] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [run["run"] for run in late["runs"]] == [5, 6, 7, 8, 9]
    assert (early["affects"], late["affects"]) == (1, 0)
    [deployed] = early["deployed"]
    held = rows(store_dir, "SELECT path FROM deployment ORDER BY id")
    assert deployed["paths"] == [path for (path,) in held]
    assert (deployed["run"], deployed["at"], deployed["policy"]) == (3, "20180104120000", "strict")
    told = {"index": 0, "panel": ONE, "before": "M044@1", "after": "M044@2"}
    assert deployed["panels"] == early["runs"][0]["panels"] == [told]
    assert early["panels"] == [
        {"panel": ONE, "from": stamp(2), "until": None, "before": "M044@1", "after": "M044@2"}
    ]


def test_by_how_much_is_told_for_each_kind_and_range(panelcal: RunsProgram) -> None:
    found = previewed(panelcal, *change(5))["differences"]
    assert [(one["kind"], one["gain_range"]) for one in found] == [
        (kind, gain) for kind in ("pixel_gain", "pixel_offset") for gain in range(3)
    ]
    pixels = TREE_SHAPE[1] * TREE_SHAPE[2]
    for one in found:
        is_loud = (one["kind"], one["gain_range"]) == ("pixel_offset", 1)
        assert one["median"] == pytest.approx(LOUD if is_loud else 0, abs=1e-5)
        assert one["changed"] == (pixels if is_loud else 0)
        assert (one["before"], one["after"], one["pixels"]) == ("M044@1", "M044@2", pixels)
        assert one["unit"] == ("ADU" if one["kind"] == "pixel_offset" else "ADU/keV")


def test_a_withdrawal_takes_answers_away_and_has_no_numbers(panelcal: RunsProgram) -> None:
    found = previewed(panelcal, "withdraw", ONE, "--from", stamp(3), *REASON)
    assert [run["run"] for run in found["runs"]] == [3, 4, 5, 6, 7, 8, 9]
    assert {(run["had_answer"], run["has_answer"]) for run in found["runs"]} == {(True, False)}
    assert (found["affects"], found["differences"]) == (1, [])
    table = panelcal("withdraw", ONE, "--from", stamp(3), *REASON, "--preview")
    assert "withdrawn (no answer)" in table.stdout
    assert "1 answer already deployed would change" in table.stdout
    assert "7 registered runs would get another answer" in table.stdout


def test_a_change_of_nothing_says_so(panelcal: RunsProgram) -> None:
    result = panelcal(*change(5, "M044@1"), "--preview")
    assert result.stdout == "no panel would use anything else than before\n"
    assert previewed(panelcal, *change(5, "M044@1"))["runs"] == []


def test_a_change_between_two_others_ends_where_the_next_begins(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    assign(store, ONE, "M068", BEGUN + timedelta(days=6), now=NOW, **BY)
    found = previewed(panelcal, *change(4))
    assert [run["run"] for run in found["runs"]] == [4, 5]
    assert [(one["from"], one["until"]) for one in found["panels"]] == [(stamp(4), stamp(6))]


@pytest.mark.sqlite_only
def test_runs_count_as_they_stand_now(panelcal: RunsProgram, store: OpenStore) -> None:
    register(store, 9, 0, f"{ONE}_{TWO}")  # it began earlier than was said
    register(store, 8, 8, TWO)
    assert [run["run"] for run in previewed(panelcal, *change(5))["runs"]] == [5, 6, 7]


@pytest.mark.sqlite_only
def test_an_adoption_previews_the_runs_that_get_an_answer(
    panelcal: RunsProgram, store: OpenStore
) -> None:
    register(store, 20, 3, OLD)
    found = previewed(panelcal, "panel", "adopt", OLD, "--from-serial")
    assert [(run["run"], run["had_answer"], run["has_answer"]) for run in found["runs"]] == [
        (20, False, True)
    ]
    assert found["runs"][0]["panels"][0]["before"] == "nothing"


@pytest.mark.sqlite_only
def test_a_preview_is_refused_as_the_change_would_be(panelcal: RunsProgram) -> None:
    for arguments, code in (
        (("assign", ONE, "M099", "--from-beginning", *REASON), 3),
        (("assign", ONE, "M044@1", "--from", stamp(0), *REASON), 4),
        (("assign", ONE, "M044", *REASON), 2),
        (("withdraw", OLD, "--from", stamp(0), *REASON), 3),
        (("panel", "adopt", ONE, "--from-serial"), 4),
    ):
        result = panelcal(*arguments, "--preview")
        assert (result.exit_code, result.stdout) == (code, ""), result.output


@pytest.mark.sqlite_only
def test_a_preview_does_not_mix_with_what_is_about_writing(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        both = panelcal(*change(5), "--preview", "--confirm-affects", "0")
        yes = panelcal("panel", "adopt", OLD, "--from-serial", "--yes", "--preview")
    assert (both.exit_code, yes.exit_code) == (2, 2)
    assert "--preview writes nothing, and --yes" in yes.stderr


# --- what a preview rests on --------------------------------------------------------------


@pytest.mark.sqlite_only
def test_no_numbers_are_given_from_a_damaged_payload(
    panelcal: RunsProgram, store_dir: Path
) -> None:
    damage(store_dir, "M068", "pixel_gain")
    result = panelcal(*change(5, "M068"), "--preview")
    assert (result.exit_code, result.stdout) == (5, "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE assignment SET reason = 'other' WHERE id = 1",
        "UPDATE assignment SET valid_from_us = valid_from_us + 1000000 WHERE id = 2",
        "UPDATE constant_set SET reason = 'other' WHERE id = 1",
        "UPDATE run SET begin_us = 0 WHERE run = 4",
        "UPDATE run SET experiment = 'xcsls3717', run = 77 WHERE run = 4",
        "UPDATE deployment SET at_us = at_us + 1000000 WHERE id = 1",
    ],
)
@pytest.mark.sqlite_only
def test_rows_that_are_not_as_recorded_are_not_judged_by(
    panelcal: RunsProgram, store_dir: Path, statement: str
) -> None:
    change_past_triggers(store_dir, statement)
    result = panelcal(*change(2), "--preview")
    assert (result.exit_code, result.stdout) == (5, ""), result.output
    assert "is not as it was recorded" in result.stderr


# --- N ------------------------------------------------------------------------------------


def ledger(store_dir: Path) -> int:
    [(count,)] = rows(store_dir, "SELECT count(*) FROM assignment")
    return int(count)


def test_a_change_of_a_deployed_answer_needs_the_right_number(
    panelcal: RunsProgram, store_dir: Path, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        refused = [
            panelcal(*change(2), *given)
            for given in ((), ("--confirm-affects", "2"), ("--confirm-affects", "0"))
        ]
    assert [one.exit_code for one in refused] == [4, 4, 4]
    for one in refused:
        told = f"1 answer already deployed would change: {dataset(3)} {SOURCE}"
        assert told in one.stderr
        assert "--confirm-affects 1 says that it is meant" in one.stderr
    assert "--confirm-affects says 2" in refused[1].stderr
    before = ledger(store_dir)
    assert panelcal(*change(2), "--confirm-affects", "1").exit_code == 0
    assert ledger(store_dir) == before + 1


@pytest.mark.sqlite_only
def test_a_change_of_none_needs_no_number_and_takes_none_but_0(
    panelcal: RunsProgram, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        refused = panelcal(*change(5), "--confirm-affects", "1")
    assert refused.exit_code == 4
    assert "no answer already deployed would change; --confirm-affects says 1" in refused.stderr
    assert panelcal(*change(5)).exit_code == 0
    assert panelcal(*change(6, "M068"), "--confirm-affects", "0").exit_code == 0


@pytest.mark.sqlite_only
def test_withdraw_and_adopt_ask_for_the_number_too(
    panelcal: RunsProgram, store: OpenStore, store_dir: Path, tmp_path: Path
) -> None:
    gap = ("withdraw", ONE, "--from", stamp(3), *REASON)
    assert panelcal(*gap).exit_code == 4
    # As if the panel had had other constants when it was deployed: they are gone now.
    register(store, 20, 3, f"{OLD}_{TWO}")
    adopt(store, OLD, like=None, record=True, now=NOW, user="ann")
    put(store, 20, tmp_path / "calib")
    change_past_triggers(
        store_dir,
        f"DELETE FROM assignment WHERE panel_id = (SELECT id FROM panel WHERE name = '{OLD}')",
        f"DELETE FROM latest_start WHERE panel_id = (SELECT id FROM panel WHERE name = '{OLD}')",
    )
    again = ("panel", "adopt", OLD, "--from-serial", "--yes")
    assert panelcal(*again).exit_code == 4
    assert panelcal(*again, "--confirm-affects", "1").exit_code == 0
    assert panelcal(*gap, "--confirm-affects", "1").exit_code == 0


def test_a_run_counts_once_however_many_files_hold_its_answer(
    store: OpenStore, tmp_path: Path
) -> None:
    for name in ("here", "there"):
        put(store, 3, tmp_path / name)
    put(store, 5, tmp_path / "here")
    planner = assigning(ONE, "M044@2", BEGUN, "test")
    _, found = preview(store, planner)
    assert found.affects == 2
    assert sorted(len(one.paths) for one in found.deployed) == [2, 6]


@pytest.mark.sqlite_only
def test_of_several_deployments_to_a_path_the_last_counts(store: OpenStore, tmp_path: Path) -> None:
    fifth = BEGUN + timedelta(days=5)
    assign(store, ONE, "M068", fifth, now=NOW, **BY)
    put(store, 6, tmp_path)
    planner = assigning(ONE, "M044@2", fifth, "test")
    assert [one.dataset.run for one in preview(store, planner)[1].deployed] == [6]
    register(store, 6, 1, f"{ONE}_{TWO}")  # it began earlier than was said
    put(store, 6, tmp_path)
    assert preview(store, planner)[1].deployed == ()


@pytest.mark.sqlite_only
def test_the_question_of_a_deployment_counts_not_what_the_run_says_since(
    store: OpenStore, tmp_path: Path
) -> None:
    put(store, 6, tmp_path)
    register(store, 6, 1, TWO)
    _, found = preview(store, assigning(ONE, "M044@2", BEGUN + timedelta(days=5), "test"))
    assert [one.dataset.run for one in found.deployed] == [6]
    assert 6 not in [one.dataset.run for one in found.runs]


def test_a_deployment_by_legacy_policy_is_asked_as_it_was(store: OpenStore, tmp_path: Path) -> None:
    early = BEGUN - timedelta(days=300)
    put(store, 7, tmp_path, policy="legacy", at=early)
    # One candidate is the legacy answer to any time; of two the first is, before them both.
    _, later = preview(store, assigning(ONE, "M044@2", BEGUN + timedelta(days=9), "test"))
    assert later.deployed == ()
    _, sooner = preview(store, assigning(ONE, "M044@2", BEGUN - timedelta(days=1), "test"))
    assert [(one.dataset.run, one.policy, one.at) for one in sooner.deployed] == [
        (7, "legacy", early)
    ]


@pytest.mark.sqlite_only
def test_a_deployment_for_a_time_that_is_none_counts_with_every_change_of_its_panels(
    store: OpenStore, tmp_path: Path
) -> None:
    put(store, 7, tmp_path, policy="legacy", at="99999999999999")
    for start in (BEGUN - timedelta(days=1), BEGUN + timedelta(days=30)):
        _, found = preview(store, assigning(ONE, "M044@2", start, "test"))
        assert (7, None) in [(one.dataset.run, one.at) for one in found.deployed]
    _, found = preview(store, assigning(OLD, "M044@2", None, "test"))
    assert found.deployed == ()


@pytest.mark.sqlite_only
def test_a_redelivery_of_the_same_values_changes_no_answer(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    again = write_delivery(tmp_path / "again", 1)
    assert len(list(again.iterdir())) == len(FILES)
    deliver(store, "M045", again, now=NOW, user="ann", reason="the same by another name")
    assert panelcal(*change(2, "M045")).exit_code == 0


@pytest.mark.sqlite_only
def test_a_deployment_of_declared_modules_never_changes_with_the_ledger(
    panelcal: RunsProgram, store: OpenStore, tmp_path: Path
) -> None:
    fields = RunFields("xcsls3716", "30", SOURCE, BEGUN.isoformat(), modules="M044 M068")
    add_run(store, fields, now=NOW, user="ann", supersede=False)
    put(store, 30, tmp_path)
    found = previewed(panelcal, *change(0))
    assert 30 not in [one["run"] for one in (*found["runs"], *found["deployed"])]


def test_a_deployment_made_since_the_preview_counts(store: OpenStore, tmp_path: Path) -> None:
    _, found = preview(store, assigning(ONE, "M044@2", BEGUN + timedelta(days=3), "test"))
    put(store, 4, tmp_path)
    with pytest.raises(ConflictError, match="2 answers already deployed would change: "):
        assign(
            store, ONE, "M044@2", BEGUN + timedelta(days=3), now=NOW, **BY,
            confirm_affects=found.affects,
        )  # fmt: skip


@pytest.mark.sqlite_only
def test_a_refusal_names_some_of_many_and_says_how_many_more(
    store: OpenStore, tmp_path: Path
) -> None:
    for run in (4, 5, 6, 7):
        put(store, run, tmp_path)
    with pytest.raises(ConflictError) as caught:
        withdraw(store, TWO, BEGUN, now=NOW, **BY)
    assert str(caught.value) == (
        f"5 answers already deployed would change: {dataset(3)} {SOURCE}, {dataset(4)} {SOURCE}, "
        f"{dataset(5)} {SOURCE}, and 2 more"
    )


@pytest.mark.sqlite_only
def test_a_deployment_that_is_not_as_recorded_stops_the_change_that_rests_on_it(
    store: OpenStore,
) -> None:
    change_past_triggers(store.directory, "UPDATE deployment SET token = 'x' WHERE id = 1")
    with pytest.raises(IntegrityError, match="row 1 of deployment"):
        assign(store, ONE, "M044@2", BEGUN, now=NOW, **BY, confirm_affects=1)
    assign(store, OLD, "M044@2", BEGUN, now=NOW, **BY)


@pytest.mark.sqlite_only
def test_without_deployments_of_the_panel_a_change_costs_one_statement_more(
    store: OpenStore,
) -> None:
    with statements(store.database) as sent:
        assign(store, OLD, "M044@2", BEGUN, now=NOW, **BY)
    assert len([one for one in sent if "deployment" in one and "max(" not in one]) == 1
    assert not [one for one in sent if "FROM run" in one and "max(" not in one]
