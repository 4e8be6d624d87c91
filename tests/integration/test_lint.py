"""Lint: every kind of finding is planted, named by its code, and gone once it is mended."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders import fingerprint
from conftest import RunsProgram
from curator import SOURCE, Curator
from panelcal.domain.findings import Severity
from panelcal.domain.lint import Told
from panelcal.domain.moments import parse_stamp
from panelcal.domain.quality import QualityFinding, Verdict
from panelcal.domain.runs import run_ranges
from panelcal.errors import IntegrityError
from panelcal.exporters.text_array import Environment
from panelcal.services.approval import propose, reject
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.lint import CHECKS, lint
from panelcal.services.planning import assigning
from panelcal.storage.modules import NewConstantSet, add_constant_sets, find_constant_set
from panelcal.storage.quality import add_verdict
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types
from past_triggers import change_past_triggers

CHECKOUT = Path(__file__).parents[2]
A, B = "171113-154920171025-3d00b0", "171113-154920171025-3d00f7"
BOTH = f"{A}_{B}"
OLD_A = "170505-149520170815-3d00b0"
"""The same serial as `A`, under former firmware."""


@pytest.fixture
def curator(store: OpenStore, tmp_path: Path) -> Curator:
    """Tells the test's store, which begins with nothing to find."""
    found = Curator(store, tmp_path / "scratch")
    found.deliver("M001", "M002")
    found.assign(A, "M001@1", "20180101000000")
    found.assign(B, "M002@1", "20180101000000")
    found.run(1, "20180301000000", BOTH)
    found.run(2, "20180401000000", BOTH)
    found.deploy(1)
    return found


def findings(curator: Curator, **named: bool | int) -> list[tuple[str, Told]]:
    report = lint(curator.store, **named)  # type: ignore[arg-type]
    return [(finding.code, finding.told) for finding in report.findings]


Tells = Callable[[Curator], None]


def redeliver(it: Curator) -> None:
    it.deliver("M001")
    it.assign(A, "M001@2", "20180101000000")


def use_another_set_under_the_former_id(it: Curator) -> None:
    it.assign(OLD_A, "M002@1", "20170101000000")
    it.run(3, "20180201000000", OLD_A)


def register_early_runs(it: Curator) -> None:
    for number in (7, 8, 9, 12):
        it.run(number, "20171201000000", BOTH)


def cover_early_runs(it: Curator) -> None:
    it.assign(A, "M001", "20171101000000")
    it.assign(B, "M002", "20171101000000")


def renew_one_panel(it: Curator) -> None:
    it.assign(A, "M001@1", "20181001000000")
    it.run(3, "20181101000000", BOTH)


def judge(it: Curator, module: str, accepted: str | None) -> None:
    text = "the gain is upside down"
    finding = QualityFinding("median", "pixel_gain", 0, Severity.ERROR, -41.0, 30.0, 50.0, text)
    with it.store.database.writing() as connection:
        one = find_constant_set(connection, module, 1)
        verdict = Verdict((finding,), (), "0" * 64, accepted)
        add_verdict(connection, one.id, verdict, now=it.clock(), user="curator")


def bring_in_unjudged(it: Curator) -> None:
    """Record a constant set as imports do, which judge nothing."""
    with it.store.database.writing() as connection:
        like = find_constant_set(connection, "M001", 1)
        its_type = detector_types(connection).named(like.detector_type)
        new = NewConstantSet("M009", like.digests, "a tree", "test")
        add_constant_sets(connection, its_type, [new], now=it.clock(), user="curator")
    it.assign("1-2-3", "M009")


def propose_something(it: Curator) -> None:
    start = parse_stamp("20190101000000", it.store.zone).utc
    planner = assigning(A, "M002@1", start, "test")
    propose(it.store, planner, now=it.clock(), user="curator")


def reject_it(it: Curator) -> None:
    reject(it.store, 1, now=it.clock(), user="curator", reason="test")


@dataclass(frozen=True)
class Plant:
    """What somebody does, what is found, and what mends it."""

    code: str
    does: Tells
    subject: str
    says: str
    mends: Tells


PLANTED = [
    Plant(
        "run-without-constants",
        lambda it: it.withdraw(B, "20180315000000"),
        f"xcsls3716 {SOURCE}",
        rf"no constants for 1 run \(2\): 1 panel without, {B}",
        lambda it: it.assign(B, "M002", "20180315000000"),
    ),
    Plant(
        "run-without-constants",
        lambda it: it.run(3, "20180301000000", modules="M001 M002@9", source="A.0:J.1"),
        "xcsls3716 A.0:J.1",
        r"no constants for 1 run \(3\): 1 declared module without, M002@9",
        lambda it: it.run(3, "20180301000000", modules="M001 M002@1", source="A.0:J.1"),
    ),
    Plant(
        "run-guessed",
        register_early_runs,
        f"xcsls3716 {SOURCE}",
        rf"only legacy policy answers for 4 runs \(7-9, 12\): it guesses {A}, {B}",
        cover_early_runs,
    ),
    Plant(
        "run-without-begin",
        lambda it: it.run(3, "", BOTH),
        f"xcsls3716 {SOURCE}",
        r"registered without a begin: 1 run \(3\)",
        lambda it: it.run(3, "20180501000000", BOTH),
    ),
    Plant(
        "run-without-panels",
        lambda it: it.run(3, "20180501000000"),
        f"xcsls3716 {SOURCE}",
        r"registered with neither a detector id nor modules: 1 run \(3\)",
        lambda it: it.run(3, "20180501000000", BOTH),
    ),
    Plant(
        "panel-unassigned",
        lambda it: it.run(3, "20180501000000", "1-2-3"),
        "1-2-3",
        "never assigned, and a run names it",
        lambda it: it.assign("1-2-3", "M001"),
    ),
    Plant(
        "twin-unassigned",
        lambda it: it.run(3, "20180501000000", OLD_A),
        OLD_A,
        f"never assigned; the same serial has constants as {A}",
        lambda it: it.assign(OLD_A, "M001"),
    ),
    Plant(
        "twins-differ",
        use_another_set_under_the_former_id,
        "serial 3d00b0",
        f"{OLD_A} uses M002@1 and {A} uses M001@1, at 20180201000000",
        lambda it: it.assign(OLD_A, "M001", "20170101000000"),
    ),
    Plant(
        "constants-old",
        lambda it: it.run(3, "20190102000000", A),
        A,
        "M001@1 since 20180101000000, 366 d old at exp=xcsls3716:run=3 .*: older than 12 months",
        lambda it: it.assign(A, "M001@1", "20190101000000"),
    ),
    Plant(
        "epochs-mixed",
        renew_one_panel,
        BOTH,
        "its panels' constants start from 20180101000000 to 20181001000000: 272 d apart, "
        "more than 6 months",
        lambda it: it.assign(B, "M002@1", "20181001000000"),
    ),
    Plant(
        "revision-unused",
        lambda it: it.deliver("M001", "M001"),
        "M001@3",
        "delivered 2026.* by curator, and used by nothing; M001@1 is the latest one in use",
        lambda it: it.assign(A, "M001@3", "20300101000000"),
    ),
    Plant(
        "deployed-outdated",
        redeliver,
        f"exp=xcsls3716:run=1 {SOURCE}",
        r"2 files \(pixel_gain, pixel_offset\) deployed with M001@1, M002@1; "
        "now the store answers M001@2, M002@1",
        lambda it: it.deploy(1),
    ),
    Plant(
        "verdict-errors",
        lambda it: judge(it, "M001", accepted=None),
        "M001@1",
        "is used, and 1 error of its verdict was never accepted, such as the gain is upside down",
        lambda it: judge(it, "M001", accepted="it is meant to be"),
    ),
    Plant(
        "proposal-waiting",
        propose_something,
        "proposal 1",
        f"to assign {A} M002@1 from 20190101000000, proposed 2026.* by curator, is not decided",
        reject_it,
    ),
    Plant(
        "verdict-missing",
        bring_in_unjudged,
        "M009@1",
        "is used and was never judged; 1 such revision",
        lambda it: judge(it, "M009", accepted="it is meant to be"),
    ),
    Plant(
        "module-unassigned",
        lambda it: it.deliver("M009"),
        "M009",
        "1 revision delivered, the latest 2026.* by curator, and used by nothing",
        lambda it: it.assign("1-2-3", "M009"),
    ),
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.code)
def test_what_is_planted_is_found_by_its_code_and_gone_when_mended(
    curator: Curator, plant: Plant
) -> None:
    assert findings(curator, everything=True) == []
    plant.does(curator)
    found = [told for code, told in findings(curator, everything=True) if code == plant.code]
    assert [told.subject for told in found] == [plant.subject]
    assert re.fullmatch(plant.says, found[0].message)
    assert found[0].hint
    plant.mends(curator)
    assert plant.code not in {code for code, _ in findings(curator, everything=True)}


@pytest.mark.sqlite_only
def test_every_check_is_planted_and_documented_in_order() -> None:
    codes = [check.code for check in CHECKS]
    assert {plant.code for plant in PLANTED} == set(codes)
    page = (CHECKOUT / "docs" / "lint.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z-]+)`(, with `--all`)? \| .+ \| .+ \|$", page, re.MULTILINE)
    assert [(code, bool(only)) for code, only in told] == [
        (check.code, check.on_request) for check in CHECKS
    ]


# --- what is no finding -------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_a_module_that_nothing_uses_is_told_on_request_alone(curator: Curator) -> None:
    curator.deliver("M009")
    assert findings(curator) == []
    assert [code for code, _ in findings(curator, everything=True)] == ["module-unassigned"]


@pytest.mark.sqlite_only
def test_a_revision_that_was_ever_used_or_is_declared_by_a_run_is_no_finding(
    curator: Curator,
) -> None:
    curator.deliver("M001", "M002")
    curator.assign(A, "M001@2", "20180101000000")
    curator.assign(A, "M001@1", "20180101000000")
    curator.run(3, "20180501000000", modules="M002@2", source="A.0:J.1")
    assert "revision-unused" not in {code for code, _ in findings(curator)}


@pytest.mark.sqlite_only
def test_an_id_given_up_before_a_recalibration_does_not_differ_from_its_successor(
    curator: Curator,
) -> None:
    curator.assign(OLD_A, "M001@1")
    curator.run(3, "20170601000000", OLD_A)
    curator.deliver("M001")
    curator.assign(A, "M001@2", "20180201000000")
    assert "twins-differ" not in {code for code, _ in findings(curator)}
    # In use again, it has constants that the same panel had no longer.
    curator.run(4, "20180301000000", OLD_A)
    assert [told.subject for code, told in findings(curator) if code == "twins-differ"] == [
        "serial 3d00b0"
    ]


@pytest.mark.sqlite_only
def test_twins_without_runs_are_compared_by_their_latest_constants(curator: Curator) -> None:
    for panel, module in (("1-1-9", "M001"), ("1-2-9", "M002"), ("1-2-", "M001"), ("1-3-", "M002")):
        curator.assign(panel, module)
    found = [told for code, told in findings(curator) if code == "twins-differ"]
    # A serial of zero is no serial.
    assert [(told.subject, told.message) for told in found] == [
        ("serial 9", "1-1-9 uses M001@1 and 1-2-9 uses M002@1, latest")
    ]
    curator.withdraw("1-2-9", "20200101000000")
    assert "twins-differ" not in {code for code, _ in findings(curator)}


@pytest.mark.sqlite_only
def test_twins_with_equal_arrays_of_two_modules_do_not_differ(curator: Curator) -> None:
    curator.deliver("M007", "M008", seed=77)
    curator.assign("1-1-9", "M007")
    curator.assign("1-2-9", "M008")
    assert "twins-differ" not in {code for code, _ in findings(curator)}


@pytest.mark.sqlite_only
def test_a_panel_that_was_only_ever_withdrawn_has_no_assignment(curator: Curator) -> None:
    curator.assign("1-2-3", "M001", "20180101000000")
    assert findings(curator) == []
    curator.withdraw("1-2-3", "20180101000000")
    assert [(code, told.message) for code, told in findings(curator)] == [
        ("panel-unassigned", "only ever withdrawn")
    ]


@pytest.mark.sqlite_only
def test_panels_of_another_detector_type_are_not_asked_to_be_assigned(curator: Curator) -> None:
    curator.run(3, "20180501000000", "epix10ka_1-2-3")
    assert [code for code, _ in findings(curator)] == ["run-without-constants"]


@pytest.mark.sqlite_only
def test_thresholds_are_the_callers(curator: Curator) -> None:
    renew_one_panel(curator)
    assert [code for code, _ in findings(curator)] == ["epochs-mixed"]
    assert findings(curator, epoch_months=9) == []
    assert [code for code, _ in findings(curator, epoch_months=9, old_months=9)] == [
        "constants-old"
    ]


@pytest.mark.sqlite_only
def test_an_old_panel_is_told_once_as_of_its_last_run_of_all_detectors(curator: Curator) -> None:
    curator.run(3, "20200101000000", A)
    curator.run(4, "20210101000000", BOTH)
    found = [told for code, told in findings(curator) if code == "constants-old"]
    assert [told.subject for told in found] == [A, B]
    assert all("exp=xcsls3716:run=4" in told.message for told in found)


@pytest.mark.sqlite_only
def test_runs_that_lack_the_same_are_one_finding_and_others_another(curator: Curator) -> None:
    for number in range(100, 160):
        curator.run(number, "20180501000000", f"{A}_1-2-3" if number % 3 else f"{A}_1-2-4")
    found = [told for code, told in findings(curator) if code == "run-without-constants"]
    assert len(found) == 2
    assert "no constants for 40 runs (100-101, 103-104, " in found[0].message
    assert found[1].message.endswith("1 panel without, 1-2-4")
    assert all(len(told.message) < 400 for told in found)


@pytest.mark.sqlite_only
def test_run_numbers_are_written_as_people_write_them() -> None:
    assert run_ranges([40, 12, 14, 13, 13, 7]) == "7, 12-14, 40"
    assert run_ranges([]) == ""


# --- deployments --------------------------------------------------------------------------


def outdated(curator: Curator) -> list[str]:
    return [told.message for code, told in findings(curator) if code == "deployed-outdated"]


@pytest.mark.sqlite_only
def test_only_the_last_answer_put_in_a_place_counts(curator: Curator) -> None:
    curator.deploy(1, "copy")
    redeliver(curator)
    [message] = outdated(curator)
    assert message.startswith("4 files")
    curator.deploy(1)
    [message] = outdated(curator)
    assert message.startswith("2 files")


@pytest.mark.sqlite_only
def test_a_deployment_of_which_the_answer_is_gone_is_told(curator: Curator) -> None:
    curator.withdraw(A, "20180101000000")
    [message] = outdated(curator)
    assert message.endswith("now the store answers none, M002@1")


@pytest.mark.sqlite_only
def test_a_run_corrected_after_its_deployment_is_asked_as_it_is_now(curator: Curator) -> None:
    curator.deliver("M003")
    curator.assign(A, "M003", "20180601000000")
    assert outdated(curator) == []
    curator.run(1, "20180701000000", BOTH)
    [message] = outdated(curator)
    assert message.endswith("now the store answers M003@1, M002@1")
    curator.run(1, "20180701000000", A)
    [message] = outdated(curator)
    assert message.endswith(f"now the store answers for {A}")
    curator.run(1, "", BOTH)
    [message] = outdated(curator)
    assert message.endswith("nothing: the run has no begin")


@pytest.mark.sqlite_only
def test_a_deployment_under_legacy_policy_is_asked_again_under_it(curator: Curator) -> None:
    store, now = curator.store, curator.clock()
    named = "exp=xcsls3716:run=2"
    answer = answer_for(store, named, None, at="20170101000000", policy="legacy")
    assert answer.resolution.guessed == (A, B)
    writing = Writing("legacy", Environment("curator", "here", "/"), now)
    deploy(store, answer, curator.scratch / "calib", writing=writing)
    assert outdated(curator) == []
    curator.deliver("M003")
    curator.assign(A, "M003", "20160101000000")
    [message] = outdated(curator)
    assert message.endswith("deployed with M001@1, M002@1; now the store answers M003@1, M002@1")


# --- the command --------------------------------------------------------------------------


@pytest.mark.sqlite_only
@pytest.mark.usefixtures("curator")
def test_nothing_is_said_and_exit_is_0_where_nothing_is_found(
    panelcal: RunsProgram, store_dir: Path
) -> None:
    before = fingerprint(store_dir)
    done = panelcal("lint")
    assert (done.exit_code, done.output) == (0, "")
    done = panelcal("lint", "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["findings"], document["exit_code"]) == (0, [], 0)
    assert set(document["counts"].values()) == {0}
    assert fingerprint(store_dir) == before


@pytest.mark.sqlite_only
def test_an_empty_store_has_nothing_to_find(panelcal: RunsProgram) -> None:
    done = panelcal("lint", "--all")
    assert (done.exit_code, done.output) == (0, "")


@pytest.mark.sqlite_only
def test_each_finding_is_a_line_that_begins_with_its_code_and_exit_is_1(
    curator: Curator, panelcal: RunsProgram
) -> None:
    curator.run(3, "", BOTH)
    curator.run(4, "20180501000000", "1-2-3")
    done = panelcal("lint")
    assert done.exit_code == 1
    assert [line.split(": ")[0] for line in done.stdout.splitlines()] == [
        "run-without-constants",
        "run-without-begin",
        "panel-unassigned",
    ]
    document = json.loads(panelcal("lint", "--json").stdout)
    assert [one["code"] for one in document["findings"]] == [
        line.split(": ")[0] for line in done.stdout.splitlines()
    ]
    assert set(document["findings"][0]) == {"code", "subject", "message", "hint"}
    assert {code: n for code, n in document["counts"].items() if n} == {
        "run-without-constants": 1,
        "run-without-begin": 1,
        "panel-unassigned": 1,
    }


@pytest.mark.sqlite_only
def test_ignored_codes_are_left_out_and_unknown_ones_refused(
    curator: Curator, panelcal: RunsProgram
) -> None:
    curator.run(3, "", BOTH)
    curator.deliver("M001")
    one = panelcal("lint", "--ignore", "run-without-begin")
    assert one.exit_code == 1
    assert one.stdout.startswith("revision-unused: M001@2: ")
    both = panelcal("lint", "--ignore", "run-without-begin", "--ignore", "revision-unused")
    assert (both.exit_code, both.output) == (0, "")
    wrong = panelcal("lint", "--ignore", "run-without-begins")
    assert wrong.exit_code == 2
    assert "did you mean run-without-begin" in wrong.stderr


@pytest.mark.sqlite_only
def test_a_store_that_cannot_be_read_has_its_own_exit_codes(
    curator: Curator, panelcal: RunsProgram, store_dir: Path, tmp_path: Path
) -> None:
    assert panelcal("lint", "--store", tmp_path / "none").exit_code == 3
    change_past_triggers(store_dir, "UPDATE run SET begin_us = begin_us - 1 WHERE run = 2")
    assert panelcal("lint").exit_code == 5
    with pytest.raises(IntegrityError):
        lint(curator.store)
    change_past_triggers(store_dir, "UPDATE alembic_version SET version_num = '0002'")
    assert panelcal("lint").exit_code == 6
