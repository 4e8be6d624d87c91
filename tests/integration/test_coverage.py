"""Coverage: which registered runs have constants, how old these are, by detector."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from conftest import RunsProgram
from curator import Curator
from panelcal.api import open_store as open_for_python
from panelcal.domain.run_answers import Answered
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.services.coverage import coverage_of
from panelcal.storage.store import OpenStore
from past_triggers import change_past_triggers
from statements import statements

A, B = "171113-154920171025-3d00b0", "171113-154920171025-3d00f7"
BOTH = f"{A}_{B}"


@pytest.fixture
def curator(store: OpenStore, tmp_path: Path) -> Curator:
    """Tells the test's store."""
    return Curator(store, tmp_path / "scratch")


@pytest.fixture
def told(curator: Curator) -> Curator:
    """A detector of two panels with runs of every kind, and others."""
    curator.deliver("M001", "M002", "M003")
    curator.assign(A, "M001@1", "20180101000000")
    curator.assign(A, "M003@1", "20181001000000")
    curator.assign(B, "M002@1", "20180101000000")
    curator.withdraw(B, "20190601000000")
    curator.run(1, "20171201000000", BOTH)
    curator.run(2, "20180101000000", BOTH)
    curator.run(3, "20180301000000", BOTH)
    curator.run(4, "20190201000000", BOTH)
    curator.run(5, "20190701000000", BOTH)
    curator.run(6, "", BOTH)
    curator.run(1, "20180401000000", A, experiment="mfx00118", source="MfxEndstation.0:Jungfrau.1")
    curator.run(7, "20180401000000", modules="M001 M002@1", source="XcsEndstation.0:Jungfrau.2")
    curator.run(8, "20180401000000", source="XcsEndstation.0:Jungfrau.2")
    return curator


def detector(document: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [one for one in document["detectors"] if one["detector"] == name]
    assert isinstance(found, dict)
    return found


def test_runs_of_a_detector_are_counted_by_how_they_are_answered(told: Curator) -> None:
    document = coverage_of(told.store).document()
    assert detector(document, BOTH)["runs"] == {
        "total": 6,
        "strict": 3,
        "guess": 1,
        "none": 1,
        "no begin": 1,
    }
    assert document["runs"]["total"] == 9
    assert detector(document, A)["runs"]["strict"] == 1


def test_time_is_told_in_stretches_of_runs_with_the_same_kind_of_answer(told: Curator) -> None:
    found = detector(coverage_of(told.store).document(), BOTH)
    assert found["time"] == [
        {"answer": "guess", "from": "20171201000000", "to": "20171201000000", "runs": 1},
        {"answer": "strict", "from": "20180101000000", "to": "20190201000000", "runs": 3},
        {"answer": "none", "from": "20190701000000", "to": "20190701000000", "runs": 1},
    ]
    assert (found["first_begin"], found["last_begin"]) == ("20171201000000", "20190701000000")


def test_every_run_without_a_strict_answer_is_named_with_its_panels(told: Curator) -> None:
    found = detector(coverage_of(told.store).document(), BOTH)["unanswered"]
    assert [(one["dataset"], one["answer"], one["without"], one["guessed"]) for one in found] == [
        ("exp=xcsls3716:run=6", "no begin", [], []),
        ("exp=xcsls3716:run=1", "guess", [], [A, B]),
        ("exp=xcsls3716:run=5", "none", [B], []),
    ]


def test_panels_are_told_as_of_the_last_run_with_their_age(told: Curator) -> None:
    found = detector(coverage_of(told.store, old_months=8).document(), BOTH)
    first, second = found["panels"]
    assert (first["module"], first["revision"], first["valid_from"]) == (
        "M003",
        1,
        "20181001000000",
    )
    assert (first["age_days"], first["age_at_least"], first["old"]) == (273, False, True)
    assert (second["module"], second["age_days"], second["old"]) == (None, None, False)
    assert not detector(coverage_of(told.store, old_months=9).document(), BOTH)["panels"][0]["old"]


def test_epochs_are_those_of_the_last_answer_and_mixed_runs_are_counted(told: Curator) -> None:
    found = detector(coverage_of(told.store, epoch_months=8).document(), BOTH)
    assert found["epochs"] == {
        "oldest": "20180101000000",
        "newest": "20181001000000",
        "days": 272,
        "at_least": False,
        "mixed": True,
    }
    assert found["mixed_epochs"] == 1
    again = detector(coverage_of(told.store, epoch_months=9).document(), BOTH)
    assert (again["epochs"]["mixed"], again["mixed_epochs"]) == (False, 0)


@pytest.mark.sqlite_only
def test_constants_since_the_beginning_are_at_least_as_old_as_the_panels_first_run(
    curator: Curator,
) -> None:
    curator.deliver("M001", "M002")
    curator.assign(A, "M001")
    curator.assign(B, "M002", "20190101000000")
    # Of another experiment and detector, which the filter leaves out.
    curator.run(1, "20160301000000", A, experiment="mfx00118")
    curator.run(2, "20190301000000", BOTH)
    found = detector(coverage_of(curator.store, experiment="xcsls3716").document(), BOTH)
    assert (found["panels"][0]["age_days"], found["panels"][0]["age_at_least"]) == (1095, True)
    assert found["panels"][0]["old"]
    assert found["epochs"]["at_least"]
    assert found["epochs"]["days"] == 1036
    assert found["mixed_epochs"] == 1


@pytest.mark.sqlite_only
def test_declared_modules_are_answered_where_they_were_delivered(told: Curator) -> None:
    told.run(9, "20180501000000", modules="M001 M002@7", source="XcsEndstation.0:Jungfrau.2")
    document = coverage_of(told.store).document()
    named = "XcsEndstation.0-Jungfrau.2"
    found = {
        tuple(one["modules"]): one for one in document["detectors"] if one["detector"] == named
    }
    assert found["M001", "M002@1"]["runs"]["strict"] == 1
    assert found["M001", "M002@7"]["unanswered"][0]["without"] == ["M002@7"]
    assert found[()]["runs"]["none"] == 1


@pytest.mark.sqlite_only
def test_filters_choose_runs_and_what_nothing_matches_is_not_found(told: Curator) -> None:
    def found(**named: str) -> list[int]:
        return [len(one.runs) for one in coverage_of(told.store, **named).detectors]  # type: ignore[arg-type]

    assert found(experiment="mfx00118") == [1]
    assert found(instrument="mfx") == [1]
    assert found(detector=BOTH) == [6]
    assert found(detector="XcsEndstation.0-Jungfrau.2") == [1, 1]
    assert found(detector=A, instrument="MFX") == [1]
    with pytest.raises(NotFoundError, match="no run of the experiment 'xcsls3717'") as caught:
        found(experiment="xcsls3717")
    assert caught.value.hint == "did you mean xcsls3716?"
    with pytest.raises(NotFoundError, match="of the experiment 'mfx00118' and the detector"):
        found(experiment="mfx00118", detector=BOTH)
    with pytest.raises(NotFoundError, match="instrument 'CXI'"):
        found(instrument="cxi")
    with pytest.raises(InvalidInputError, match="not a panel id"):
        found(detector="M044")


def test_the_number_of_statements_does_not_grow_with_runs(told: Curator) -> None:
    def sent() -> int:
        with statements(told.store.database) as seen:
            coverage_of(told.store)
        return len(seen)

    few = sent()
    for number in range(20, 40):
        told.run(number, "20190301000000", BOTH)
    assert sent() == few < 10


@pytest.mark.sqlite_only
def test_a_run_that_is_not_as_it_was_recorded_is_refused(told: Curator, store_dir: Path) -> None:
    change_past_triggers(store_dir, "UPDATE run SET begin_us = begin_us - 1 WHERE run = 3")
    with pytest.raises(IntegrityError, match="not as it was recorded"):
        coverage_of(told.store)


# --- the command --------------------------------------------------------------------------


@pytest.mark.sqlite_only
@pytest.mark.usefixtures("told")
def test_the_command_tells_detectors_panels_and_stretches(panelcal: RunsProgram) -> None:
    done = panelcal("coverage", "--detector", BOTH, "--older-than", "8", "--epochs", "8")
    assert done.exit_code == 0, done.output
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert lines == [
        f"detector {BOTH}",
        "runs 6: 3 strict, 1 guess, 1 none, 1 no begin",
        "epochs 20180101000000 to 20181001000000, 272 d apart; 1 run with mixed epochs",
        "panel id uses from age at the last run",
        f"0 {A} M003@1 20181001000000 273 d, old",
        f"1 {B} none - -",
        "from to runs answer first run",
        "20171201000000 20171201000000 1 guess exp=xcsls3716:run=1",
        "20180101000000 20190201000000 3 strict exp=xcsls3716:run=2",
        "20190701000000 20190701000000 1 none exp=xcsls3716:run=5",
    ]


@pytest.mark.sqlite_only
def test_json_is_the_document(told: Curator, panelcal: RunsProgram) -> None:
    done = panelcal("coverage", "--json", "--instrument", "xcs", "--older-than", "3")
    expected = coverage_of(told.store, instrument="xcs", old_months=3).document()
    assert json.loads(done.stdout) == expected


@pytest.mark.sqlite_only
def test_a_guess_at_the_last_run_is_called_one(curator: Curator, panelcal: RunsProgram) -> None:
    curator.deliver("M001")
    curator.assign(A, "M001", "20180101000000")
    curator.run(1, "20170101000000", A)
    shown = panelcal("coverage").stdout
    assert f"{A}  M001@1  20180101000000  a guess\n" in shown
    [panel] = detector(json.loads(panelcal("coverage", "--json").stdout), A)["panels"]
    assert (panel["guessed"], panel["age_days"], panel["old"]) == (True, None, False)


@pytest.mark.sqlite_only
def test_a_store_without_runs_says_so(panelcal: RunsProgram) -> None:
    done = panelcal("coverage")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "no run is registered\n")
    assert json.loads(panelcal("coverage", "--json").stdout)["detectors"] == []


@pytest.mark.sqlite_only
@pytest.mark.parametrize("option", ["--older-than", "--epochs"])
@pytest.mark.parametrize("months", ["0", "1201", "x"])
def test_months_are_one_to_a_hundred_years(panelcal: RunsProgram, option: str, months: str) -> None:
    assert panelcal("coverage", option, months).exit_code == 2


@pytest.mark.sqlite_only
def test_a_stamp_of_the_second_occurrence_of_an_hour_says_which_it_is(
    curator: Curator, panelcal: RunsProgram
) -> None:
    curator.deliver("M001")
    curator.assign(A, "M001", "2018-11-04T01:30:00-08:00")
    curator.run(1, "2018-11-04T01:45:00-08:00", A)
    assert "2018-11-04T01:30:00-08:00  0 h\n" in panelcal("coverage").stdout


# --- from Python --------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_python_gives_the_same_coverage(told: Curator, store_dir: Path) -> None:
    with open_for_python(store_dir) as store:
        found = store.coverage(instrument="xcs")
    assert found.document() == coverage_of(told.store, instrument="xcs").document()
    assert found.counts[Answered.NO_BEGIN] == 1


def test_an_arrow_table_has_a_row_for_each_panel_of_each_run(told: Curator) -> None:
    table = coverage_of(told.store, detector=BOTH).to_arrow()
    # Two panels of each of five runs; a row for the run without a begin.
    assert table.num_rows == 11
    first, *others = table.to_pylist()
    assert (first["run"], first["begin"], first["panel"]) == (6, None, None)
    guess = others[0]
    assert guess == {
        "experiment": "xcsls3716",
        "run": 1,
        "source": "XcsEndstation.0:Jungfrau.0",
        "begin": datetime(2017, 12, 1, 8, tzinfo=UTC),
        "detector": BOTH,
        "answer": "guess",
        "index": 0,
        "panel": A,
        "module": "M001",
        "revision": 1,
        "valid_from": datetime(2018, 1, 1, 8, tzinfo=UTC),
        "guessed": True,
    }
