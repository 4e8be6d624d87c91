"""``resolve``: the rules of design §3 on a real store, by the service and by the program."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import panelcal as package
from builders import write_delivery
from panelcal.domain.moments import parse_stamp
from panelcal.errors import InvalidInputError, NotFoundError, NoValidConstantsError
from panelcal.services.assign import assign, withdraw
from panelcal.services.explain import explain_resolution
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run, detector_id
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store
from statements import statements

if TYPE_CHECKING:
    from conftest import RunsProgram

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = "171113-154920171025-3d00b0"
TWO = "171113-154920171025-3d00f7"
NEVER = "171113-154920171025-3d00aa"
DASHED = "-154920171025-3d00fb"
XCS = "XcsEndstation.0:Jungfrau.0"

Records = Callable[[str, str | None, str | None], None]


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with modules and an empty ledger."""
    directory = tmp_path_factory.mktemp("modules") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M068", "M088", "M088")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                deliver(store, module, files, now=NOW, user="tester", reason="delivered")
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def record(store: OpenStore) -> Records:
    """Record that a panel uses a module, or nothing, from a stamp or the beginning on."""

    def change(panel: str, uses: str | None, stamp: str | None) -> None:
        start = None if stamp is None else parse_stamp(stamp, store.zone).utc
        if uses is not None:
            assign(store, panel, uses, start, now=NOW, user="tester", reason="test")
        else:
            assert start is not None
            withdraw(store, panel, start, now=NOW, user="tester", reason="test")

    return change


def used(store: OpenStore, detector: str, at: str | datetime | None) -> list[str]:
    answer = resolve(store, detector, at, now=NOW)
    return [f"{panel.module}@{panel.revision}" for panel in answer.panels]


def register(
    store: OpenStore,
    experiment: str,
    run: str,
    source: str,
    begin: str,
    detector: str = "",
    modules: str = "",
    note: str = "",
) -> None:
    fields = RunFields(experiment, run, source, begin, detector, modules, note)
    add_run(store, fields, now=NOW, user="tester", supersede=False)


# --- the strict rule ------------------------------------------------------------------


def test_the_start_of_a_validity_is_inclusive(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", None)
    record(ONE, "M068", "20180306000000")
    assert used(store, ONE, "20180305235959") == ["M044@1"]
    assert used(store, ONE, "2018-03-05T23:59:59.999999-08:00") == ["M044@1"]
    assert used(store, ONE, "20180306000000") == ["M068@1"]
    assert used(store, ONE, datetime(2018, 3, 6, 8, tzinfo=UTC)) == ["M068@1"]


def test_latest_valid_from_wins_over_later_backfill(store: OpenStore, record: Records) -> None:
    record(ONE, "M068", "20190101000000")
    record(ONE, "M044", "20180306000000")  # recorded later, starts earlier
    assert used(store, ONE, "20200101000000") == ["M068@1"]
    assert used(store, ONE, "20181231235959") == ["M044@1"]


def test_a_correction_with_the_same_start_supersedes(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", "20180306000000")
    record(ONE, "M068", "20180306000000")
    assert used(store, ONE, "20180306000000") == ["M068@1"]
    record(ONE, "M044", "20180306000000")
    assert used(store, ONE, "20180306000000") == ["M044@1"]


def test_an_entry_without_a_start_holds_for_all_earlier_times(
    store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    record(ONE, "M068", "20180306000000")
    assert used(store, ONE, "19010101000000") == ["M044@1"]
    assert used(store, ONE, "0001-01-02T00:00:00Z") == ["M044@1"]


def test_before_the_first_assignment_there_are_no_constants_and_the_candidates_are_named(
    panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", "20180306000000")
    record(ONE, "M068", "20190101000000")
    result = panelcal("resolve", ONE, "--at", "20180305235959")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "no valid constants for 1 of 1 panel at 20180305235959 (strict policy)" in result.stderr
    assert (
        f"panel 0 {ONE}: nearest before: none; nearest after: M044@1 from 20180306000000"
        in result.stderr
    )
    assert "hint: --policy legacy would answer" in result.stderr


def test_a_withdrawal_is_a_gap_until_the_next_assignment(
    panelcal: "RunsProgram", store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", "20160101000000")
    record(ONE, None, "20180306000000")
    record(ONE, "M068", "20190101000000")
    assert used(store, ONE, "20180305235959") == ["M044@1"]
    assert used(store, ONE, "20190101000000") == ["M068@1"]
    for stamp in ("20180306000000", "20181231235959"):
        result = panelcal("resolve", ONE, "--at", stamp)
        assert result.exit_code == 3
        assert (
            f"panel 0 {ONE}: nearest before: withdrawn from 20180306000000, before that M044@1 "
            f"from 20160101000000; nearest after: M068@1 from 20190101000000" in result.stderr
        )
        assert "--policy legacy" not in result.stderr


def test_one_missing_panel_fails_the_detector_and_every_missing_one_is_listed(
    store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    record(TWO, "M068", "20190101000000")
    with pytest.raises(NoValidConstantsError) as caught:
        resolve(store, f"{TWO}_{ONE}_{NEVER}_{TWO}", "20180306000000", now=NOW)
    assert caught.value.exit_code == 3
    assert caught.value.missing == (TWO, NEVER, TWO)
    head, *lines = caught.value.message.splitlines()
    assert head == "no valid constants for 3 of 4 panels at 20180306000000 (strict policy):"
    after = "nearest before: none; nearest after: M068@1 from 20190101000000"
    assert lines == [
        f"  panel 0 {TWO}: {after}",
        f"  panel 2 {NEVER}: never assigned",
        f"  panel 3 {TWO}: {after}",
    ]


def test_legacy_is_not_offered_where_it_would_not_answer_either(
    store: OpenStore, record: Records
) -> None:
    record(TWO, "M068", "20190101000000")
    with pytest.raises(NoValidConstantsError):
        resolve(store, f"{TWO}_{NEVER}", "20180306000000", policy="legacy", now=NOW)
    with pytest.raises(NoValidConstantsError) as caught:
        resolve(store, f"{TWO}_{NEVER}", "20180306000000", now=NOW)
    assert "--policy legacy would answer" not in (caught.value.hint or "")


def test_panels_keep_the_order_of_the_detector_id(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", None)
    record(TWO, "M068", None)
    answer = resolve(store, f"{TWO}_{ONE}", "20180306000000", now=NOW)
    assert [(panel.index, panel.panel, panel.module) for panel in answer.panels] == [
        (0, TWO, "M068"),
        (1, ONE, "M044"),
    ]
    assert used(store, f"{ONE}_{TWO}", "20180306000000") == ["M044@1", "M068@1"]


def test_the_same_panel_twice_is_answered_twice(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", None)
    record(TWO, "M068", None)
    assert used(store, f"{ONE}_{TWO}_{ONE}", "20180306000000") == ["M044@1", "M068@1", "M044@1"]


def test_as_many_panels_as_an_id_may_name_are_answered(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", None)
    assert used(store, "_".join([ONE] * 1024), "20180306000000") == ["M044@1"] * 1024


def test_without_a_time_strict_resolves_now_and_says_so_on_stderr(
    store: OpenStore, panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", None)
    soon = NOW + timedelta(hours=1)
    start = soon.astimezone(store.zone).strftime("%Y%m%d%H%M%S")
    record(ONE, "M068", start)
    assert used(store, ONE, None) == ["M044@1"]
    (panel,) = resolve(store, ONE, now=soon).panels
    assert panel.module == "M068"
    (notice,) = resolve(store, ONE, now=NOW).notices
    assert notice == "no time was given: resolved at 20260228160000, 2026-03-01T00:00:00Z"
    result = panelcal("resolve", ONE)
    assert result.exit_code == 0
    assert "no time was given: resolved at 2" in result.stderr
    assert "no time was given" not in result.stdout


def test_an_ambiguous_time_is_answered_at_its_first_occurrence_and_says_so(
    panelcal: "RunsProgram", store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    second = datetime(2018, 11, 4, 9, 30, tzinfo=UTC)
    assign(store, ONE, "M068", second, now=NOW, user="tester", reason="second 01:30")
    result = panelcal("resolve", ONE, "--at", "20181104013000", "--json")
    assert [panel["module"] for panel in json.loads(result.stdout)["panels"]] == ["M044"]
    assert "occurred twice in America/Los_Angeles; taken as the first" in result.stderr
    assert used(store, ONE, "2018-11-04T01:30:00-08:00") == ["M068@1"]


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("2018030600000", "13 digits, 14 digits expected"),
        ("20180230000000", "20180230000000 is not a time stamp"),
        ("20180311023000", "does not exist in America/Los_Angeles"),
        ("2018-03-06T00:00:00", "has no offset, so its moment is not known"),
        ("garbage", "'garbage' is not a time"),
        ("", "'' is not a time"),
    ],
)
def test_a_malformed_time_is_refused_under_strict_policy(
    panelcal: "RunsProgram", record: Records, at: str, says: str
) -> None:
    record(ONE, "M044", None)
    result = panelcal("resolve", ONE, "--at", at)
    assert result.exit_code == 2
    assert says in result.stderr
    assert "hint: " in result.stderr
    assert result.stdout == ""


def test_a_datetime_without_a_zone_is_refused(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", None)
    with pytest.raises(InvalidInputError, match="has no time zone, so its moment is not known"):
        resolve(store, ONE, datetime(2018, 3, 6), now=NOW)  # noqa: DTZ001


def test_a_datetime_out_of_the_calendar_of_the_zone_is_refused_like_its_text(
    store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    with pytest.raises(InvalidInputError, match="outside the years 1 to 9999"):
        resolve(store, ONE, "0001-01-01T00:00:00Z", now=NOW)
    with pytest.raises(InvalidInputError, match="outside the years 1 to 9999"):
        resolve(store, ONE, datetime(1, 1, 1, tzinfo=UTC), now=NOW)


def test_a_source_with_a_detector_id_is_refused(panelcal: "RunsProgram", record: Records) -> None:
    record(ONE, "M044", None)
    result = panelcal("resolve", ONE, "-s", "Jungfrau.0")
    assert result.exit_code == 2
    assert "a source ('Jungfrau.0') goes with a dataset, not with a detector id" in result.stderr


def test_a_detector_id_is_resolved_in_one_statement(store: OpenStore, record: Records) -> None:
    for panel in (ONE, TWO, NEVER):
        record(panel, "M044", None)
        record(panel, "M068", "20180306000000")
    with statements(store.database) as sent:
        assert used(store, f"{ONE}_{TWO}_{NEVER}", "20180306000000") == ["M068@1"] * 3
    assert len(sent) == 1


# --- legacy policy --------------------------------------------------------------------


def test_a_legacy_guess_is_named_on_stderr_and_nothing_else_is(
    panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", "20180306000000")
    record(TWO, "M068", None)
    result = panelcal(
        "resolve", f"{ONE}_{TWO}", "--at", "20150101000000", "--policy", "legacy", "--json"
    )
    assert result.exit_code == 0
    assert [panel["module"] for panel in json.loads(result.stdout)["panels"]] == ["M044", "M068"]
    guesses = [line for line in result.stderr.splitlines() if line.startswith("guessed: ")]
    assert guesses == [
        f"guessed: {ONE} has no constants at 20150101000000; legacy policy takes its first"
    ]


def test_legacy_without_a_time_takes_the_latest(panelcal: "RunsProgram", record: Records) -> None:
    record(ONE, "M044", None)
    record(ONE, "M068", "21990101000000")
    result = panelcal("resolve", ONE, "--policy", "legacy", "--json")
    document = json.loads(result.stdout)
    assert (document["at"], document["policy"]) == (None, "legacy")
    assert [panel["module"] for panel in document["panels"]] == ["M068"]
    assert result.stderr == ""


def test_legacy_never_answers_for_a_panel_without_rows(
    panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", None)
    result = panelcal("resolve", f"{ONE}_{NEVER}", "--policy", "legacy")
    assert result.exit_code == 3
    assert "no valid constants for 1 of 2 panels at any time (legacy policy)" in result.stderr
    assert f"panel 1 {NEVER}: never assigned" in result.stderr


def test_a_legacy_withdrawal_is_told_by_its_own_start(store: OpenStore, record: Records) -> None:
    record(ONE, "M044", "20190101000000")
    record(ONE, None, "20160101000000")
    with pytest.raises(NoValidConstantsError) as caught:
        resolve(store, ONE, "2015", policy="legacy", now=NOW)
    assert "withdrawn from 20190101000000" not in caught.value.message
    assert "withdrawn from 20160101000000" in caught.value.message


# --- what is shown --------------------------------------------------------------------


def test_json_has_the_keys_of_the_contract_and_no_others(
    panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", None)
    result = panelcal("resolve", ONE, "--at", "20180306000000", "--json")
    document = json.loads(result.stdout)
    assert list(document) == ["detector", "at", "policy", "as_of", "token", "panels"]
    assert list(document["panels"][0]) == [
        "index", "panel", "module", "revision", "valid_from", "recorded_at", "digests",
    ]  # fmt: skip


def test_json_says_what_was_asked_and_answered(
    panelcal: "RunsProgram", store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    record(TWO, "M088@1", "20180306000000")
    result = panelcal("resolve", f"{ONE}_{TWO}", "--at", "2018-04-19T00:00:00-07:00", "--json")
    assert result.exit_code == 0
    assert result.stderr == ""
    document = json.loads(result.stdout)
    answer = resolve(store, f"{ONE}_{TWO}", "20180419000000", now=NOW)
    assert document["detector"] == f"{ONE}_{TWO}"
    assert document["at"] == "20180419000000"
    assert (document["policy"], document["as_of"]) == ("strict", None)
    assert document["token"] == answer.token
    first, second = document["panels"]
    assert (first["index"], first["panel"], first["module"]) == (0, ONE, "M044")
    assert (second["index"], second["module"], second["revision"]) == (1, "M088", 1)
    assert (first["valid_from"], second["valid_from"]) == (None, "20180306000000")
    assert set(first["digests"]) == {"pixel_gain", "pixel_offset"}
    assert all(len(digest) == 64 for digest in first["digests"].values())
    assert datetime.fromisoformat(first["recorded_at"]) >= NOW


def test_the_token_outlives_new_rows_that_change_nothing_at_t(
    store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", "20160101000000")
    before = resolve(store, ONE, "20180306000000", now=NOW).token
    record(ONE, "M068", "20190101000000")
    record(TWO, "M068", None)
    assert resolve(store, ONE, "20180306000000", now=NOW).token == before
    record(ONE, "M068", "20170101000000")
    assert resolve(store, ONE, "20180306000000", now=NOW).token != before


def test_explain_shows_what_was_chosen_what_was_rejected_why_and_the_age(
    panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M068", None)
    record(ONE, "M068", "20180306000000")
    record(ONE, "M044", "20180306000000")
    record(ONE, None, "20190101000000")
    result = panelcal("resolve", ONE, "--at", "20180309000000", "--explain", "--json")
    (account,) = json.loads(result.stdout)["explain"]
    assert (account["index"], account["panel"], account["age_s"]) == (0, ONE, 3 * 86400.0)
    told = [
        (one["module"], one["valid_from"], one["chosen"], one["because"])
        for one in account["candidates"]
    ]
    assert told == [
        ("M068", None, False, "a later start is in force"),
        ("M068", "20180306000000", False, "superseded by a later record of the same start"),
        ("M044", "20180306000000", True, "in force, 3 d old"),
        (None, "20190101000000", False, "starts later than asked"),
    ]
    shown = panelcal("resolve", ONE, "--at", "20180309000000", "--explain").stdout
    (chosen,) = [line for line in shown.splitlines() if line.startswith("->")]
    assert "M044@1" in chosen
    assert "in force, 3 d old" in chosen
    assert "withdrawn" in shown


def test_explain_does_not_blame_a_later_start_for_a_candidate_after_the_chosen_one(
    store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", "20160101000000")
    record(ONE, "M068", "20190101000000")
    answer = resolve(store, ONE, "2018", policy="legacy", now=NOW)
    (account,) = explain_resolution(store, answer)
    chosen, rejected = account.verdicts
    assert (chosen.chosen, rejected.chosen) == (True, False)
    assert rejected.because != "a later start is in force"


# --- runs -----------------------------------------------------------------------------


def test_a_run_is_resolved_at_its_begin(
    panelcal: "RunsProgram", store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    record(ONE, "M068", "20180306000000")
    register(store, "xcsls3716", "600", XCS, "20180305235959", ONE)
    register(store, "xcsls3716", "631", XCS, "20180306000000", ONE)
    assert used(store, "exp=xcsls3716:run=600", None) == ["M044@1"]
    assert used(store, "xcsls3716:run=631", None) == ["M068@1"]
    assert used(store, "exp=xcsls3716:run=631", "20170101000000") == ["M044@1"]
    result = panelcal("resolve", "exp=xcsls3716:run=631", "--json")
    assert json.loads(result.stdout)["at"] == "20180306000000"
    assert result.stderr == ""


@pytest.mark.parametrize(
    "pattern", ["Jungfrau.0", XCS, XCS.replace(":", "-"), "Jungfrau", f"DetInfo({XCS})"]
)
def test_a_dataset_is_resolved_for_the_source_that_a_pattern_means(
    panelcal: "RunsProgram", store: OpenStore, record: Records, pattern: str
) -> None:
    record(ONE, "M044", None)
    register(store, "xcsls3716", "631", XCS, "20180419000000", ONE)
    register(store, "xcsls3716", "631", "XcsEndstation.0:Epix100a.1", "20180419000000", NEVER)
    result = panelcal("resolve", "exp=xcsls3716:run=631", "-s", pattern, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["detector"] == ONE


def test_an_ambiguous_source_is_refused_and_the_matches_are_listed(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    for number, panel in ((1, ONE), (10, TWO)):
        source = f"CxiEndstation.0:Jungfrau.{number}"
        register(store, "cxilr1234", "7", source, "20180419000000", panel)
    result = panelcal("resolve", "exp=cxilr1234:run=7", "-s", "Jungfrau")
    assert result.exit_code == 2
    assert (
        "'Jungfrau' matches 2 sources of exp=cxilr1234:run=7: "
        "CxiEndstation.0:Jungfrau.1, CxiEndstation.0:Jungfrau.10" in result.stderr
    )
    assert "hint: name one with -s" in result.stderr
    unnamed = panelcal("resolve", "exp=cxilr1234:run=7")
    assert unnamed.exit_code == 2
    assert "exp=cxilr1234:run=7 has 2 sources" in unnamed.stderr


def test_a_run_without_a_begin_asks_for_a_time(
    panelcal: "RunsProgram", store: OpenStore, record: Records
) -> None:
    record(ONE, "M044", None)
    register(store, "xcsls3716", "631", XCS, "", ONE, note="from the page")
    result = panelcal("resolve", "exp=xcsls3716:run=631")
    assert result.exit_code == 2
    assert f"{XCS} is registered without a begin time (from the page)" in result.stderr
    assert "hint: say when with --at" in result.stderr
    assert panelcal("resolve", "exp=xcsls3716:run=631", "--at", "20180419000000").exit_code == 0


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        (
            "exp=xcsls3716:run=632",
            "exp=xcsls3716:run=632 is not registered",
            "registered runs of xcsls3716 nearby: 600, 631, 700",
        ),
        (
            "exp=xcsls3761:run=631",
            "exp=xcsls3761:run=631 is not registered; nor is any run of xcsls3761",
            "nearest registered: exp=xcsls3716:run=631, exp=xcsls3716:run=600",
        ),
        ("exp=mfxc00118:run=1", "exp=mfxc00118:run=1 is not registered", "panelcal run list"),
    ],
)
def test_an_unknown_run_is_not_found_and_the_nearest_registered_names_are_told(
    panelcal: "RunsProgram", store: OpenStore, asked: str, message: str, hint: str
) -> None:
    for run in ("100", "600", "631", "700"):
        register(store, "xcsls3716", run, XCS, "20180419000000", ONE)
    result = panelcal("resolve", asked)
    assert result.exit_code == 3
    assert message in result.stderr
    assert hint in result.stderr


def test_a_pattern_of_no_source_is_not_found_and_the_runs_sources_are_listed(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    register(store, "xcsls3716", "631", XCS, "20180419000000", ONE)
    result = panelcal("resolve", "exp=xcsls3716:run=631", "-s", "jungfrau.0")
    assert result.exit_code == 3
    assert "exp=xcsls3716:run=631 has no source that matches 'jungfrau.0'" in result.stderr
    assert f"it has: {XCS}" in result.stderr


def test_a_run_of_config_v2_is_answered_by_its_declared_modules(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    register(store, "xcsx35617", "528", XCS, "20180101000000", "", "M088 M068 M088@2")
    result = panelcal("resolve", "exp=xcsx35617:run=528", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["detector"] == "XcsEndstation.0-Jungfrau.0"
    # Without a revision the first delivery is meant: a re-delivery changes no answer.
    assert [(one["panel"], one["module"], one["revision"]) for one in document["panels"]] == [
        (None, "M088", 1),
        (None, "M068", 1),
        (None, "M088", 2),
    ]
    shown = panelcal("resolve", "exp=xcsx35617:run=528", "--explain").stdout
    assert "M088@1 is declared by the run itself" in shown


def test_a_run_that_declares_an_unknown_module_is_not_found(store: OpenStore) -> None:
    register(store, "xcsx35617", "528", XCS, "20180101000000", "", "M089")
    with pytest.raises(NotFoundError) as caught:
        resolve(store, "exp=xcsx35617:run=528", now=NOW)
    assert caught.value.message == "there is no module 'M089'"
    assert caught.value.hint == "did you mean M088, M068?"


def test_a_run_with_neither_id_nor_modules_is_not_found(
    panelcal: "RunsProgram", store: OpenStore
) -> None:
    register(store, "xcsx35617", "528", XCS, "20180101000000", note="ConfigV1")
    result = panelcal("resolve", "exp=xcsx35617:run=528")
    assert result.exit_code == 3
    assert f"{XCS} has no detector id and declares no modules (ConfigV1)" in result.stderr
    assert "hint: panelcal run add --supersede" in result.stderr


def test_the_detector_id_of_a_run_is_what_id_jungfrau_gives(
    store: OpenStore, store_dir: Path
) -> None:
    register(store, "xcsls3716", "631", XCS, "", f"{ONE}_{TWO}")
    register(store, "xcsx35617", "528", XCS, "", "", "M088 M068")
    dataset = "exp=xcsls3716:run=631"
    assert detector_id(store, dataset, None, None) == f"{ONE}_{TWO}"
    assert detector_id(store, dataset, "Jungfrau.0", 0) == ONE
    assert detector_id(store, dataset, "Jungfrau", 1) == TWO
    assert detector_id(store, "exp=xcsx35617:run=528", None, None) == "XcsEndstation.0-Jungfrau.0"
    with package.open_store(store_dir) as opened:
        assert opened.detector_id(dataset) == f"{ONE}_{TWO}"
        assert opened.detector_id(dataset, "Jungfrau", segment=1) == TWO
        assert opened.detector_id(dataset, segment=0) == ONE


@pytest.mark.parametrize("segment", [2, -1])
def test_a_segment_that_the_detector_has_not_is_not_found(store: OpenStore, segment: int) -> None:
    register(store, "xcsls3716", "631", XCS, "", f"{ONE}_{TWO}")
    with pytest.raises(NotFoundError) as caught:
        detector_id(store, "exp=xcsls3716:run=631", None, segment)
    assert f"{XCS} has no segment {segment}" in caught.value.message
    assert caught.value.hint == "its segments are 0 to 1"


def test_python_resolves_as_the_program_does(
    store: OpenStore, store_dir: Path, panelcal: "RunsProgram", record: Records
) -> None:
    record(ONE, "M044", None)
    register(store, "xcsls3716", "631", XCS, "20180419000000", ONE)
    document = json.loads(panelcal("resolve", "exp=xcsls3716:run=631", "--json").stdout)
    with package.open_store(store_dir) as opened:
        answer = opened.resolve("exp=xcsls3716:run=631")
        assert answer.document() == document
        assert opened.resolve(ONE, datetime(2018, 4, 19, 7, tzinfo=UTC)).token == document["token"]


# --- the command line -----------------------------------------------------------------


def child(store_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the program as a user does, in a child process."""
    return subprocess.run(
        [sys.executable, "-m", "panelcal", "--store", str(store_dir), *arguments],
        env=os.environ | {"LOGNAME": "tester"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_id_that_begins_with_a_dash_goes_after_two_dashes(
    store_dir: Path, record: Records
) -> None:
    record(DASHED, "M044", None)
    result = child(
        store_dir, "resolve", "--at", "20180306000000", "--json", "--", f"{DASHED}_{DASHED}"
    )
    assert (result.returncode, result.stderr) == (0, "")
    document = json.loads(result.stdout)
    assert document["detector"] == f"{DASHED}_{DASHED}"
    assert [panel["module"] for panel in document["panels"]] == ["M044", "M044"]


@pytest.mark.parametrize("detector", [DASHED, "--3d00fb", f"{DASHED}_{ONE}"])
def test_an_id_that_begins_with_a_dash_is_refused_with_a_hint_at_two_dashes(
    store_dir: Path, record: Records, detector: str
) -> None:
    record(DASHED, "M044", None)
    result = child(store_dir, "resolve", detector, "--at", "20180306000000")
    assert result.returncode == 2
    assert result.stdout == ""
    assert (
        f"hint: {detector} looks like a panel id with moduleVersion zero; "
        f"type -- before it, after all options" in result.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("resolve",), "Missing argument"),
        (("resolve", ONE, TWO), "unexpected extra argument"),
        (("resolve", ONE, "--policy", "lenient"), "Invalid value for '--policy'"),
        (("resolve", ONE, "--when", "now"), "No such option"),
        (("resolve", "exp=xcsls3716"), "'exp=xcsls3716' is not a dataset"),
        (("resolve", ""), "the detector id is empty"),
        (("resolve", ONE.upper()), "has upper-case letters"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_wrong(
    panelcal: "RunsProgram", arguments: tuple[str, ...], says: str
) -> None:
    result = panelcal(*arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


# --- an answer can be asked for again


def asked_again(store: OpenStore, target: str, at: str | datetime | None) -> None:
    answer = resolve(store, target, at, now=datetime(2026, 3, 1, 12, 0, 0, 123456, UTC))
    again = resolve(store, target, answer.asked, now=datetime(2027, 1, 1, tzinfo=UTC))
    assert (again.token, again.at) == (answer.token, answer.at)


@pytest.mark.parametrize(
    "at", [None, "2018-11-04T09:30:00Z", "2018-11-04T08:30:00Z", "2019-05-01T00:00:00.75Z"]
)
def test_the_time_that_is_shown_gives_the_same_token_again(
    store: OpenStore, at: str | None
) -> None:
    assign(store, ONE, "M044", None, now=NOW, user="tester", reason="test")
    asked_again(store, ONE, at)


def test_a_policy_that_does_not_exist_is_refused(store: OpenStore) -> None:
    with pytest.raises(InvalidInputError, match="there is no policy 'Legacy'"):
        resolve(store, ONE, "20180419000000", policy="Legacy", now=NOW)  # type: ignore[arg-type]
