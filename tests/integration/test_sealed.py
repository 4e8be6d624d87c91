"""Answers are judged by the rows that they come from."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from conftest import RunsProgram
from corruption.scene import DATASET, TAG, A, B, Scene, fill
from panelcal.api import Store
from panelcal.api import open_store as open_for_python
from panelcal.domain.moments import parse_stamp
from panelcal.errors import IntegrityError
from panelcal.services.assign import assign
from panelcal.services.resolve import resolve
from panelcal.services.sealed import SealedRows
from panelcal.storage.seals import broken_seals
from panelcal.storage.store import OpenStore, open_store
from statements import statements

NOW = datetime(2026, 6, 1, tzinfo=UTC)
T = "20180601000000"


@pytest.fixture
def filled(store: OpenStore, tmp_path: Path) -> OpenStore:
    """A store with everything that an answer comes from."""
    fill(store, tmp_path / "scratch")
    return store


def test_rows_that_panelcal_adds_are_all_sealed(filled: OpenStore) -> None:
    reader = filled.database.reader
    recorded = ("store", "constant_set", "assignment", "run", "tag", "deployment")
    for table in (*recorded, "approval_mode", "proposal", "decision"):
        seals = reader.rows(f"SELECT seal FROM {table}", {})
        assert seals
        assert all(len(seal) == 64 for (seal,) in seals)
    assert list(broken_seals(reader)) == []


def test_an_answer_that_was_kept_is_loaded_after_rows_were_added(filled: OpenStore) -> None:
    with open_for_python(filled.directory) as opened:
        answer = opened.resolve(DATASET)
        start = parse_stamp("20180501000000", filled.zone).utc
        at = datetime.now(UTC)
        assign(filled, A, "M003@1", start, now=at, user="u", reason="r", confirm_affects=1)
        assert answer.panels[0].module == "M002"
        assert set(answer.arrays()) == {"pixel_gain", "pixel_offset"}
        assert opened.resolve(DATASET).panels[0].module == "M003"


def test_rows_that_the_answer_must_have_seen_count(filled: OpenStore) -> None:
    answer = resolve(filled, DATASET, now=NOW)
    start = parse_stamp("20180501000000", filled.zone).utc
    recorded = NOW - timedelta(days=9)
    assign(filled, A, "M003@1", start, now=recorded, user="u", reason="r", confirm_affects=1)
    with filled.database.reader.snapshot() as snapshot:
        SealedRows(snapshot).require(answer, NOW - timedelta(days=10))
        with pytest.raises(IntegrityError, match=f"does not say that panel {A} uses M002@1"):
            SealedRows(snapshot).require(answer, NOW - timedelta(days=8))
        with pytest.raises(IntegrityError, match="does not say"):
            SealedRows(snapshot).require(answer)


@pytest.mark.parametrize("policy", ["strict", "legacy"])
@pytest.mark.parametrize("tag", [None, TAG])
def test_answers_of_both_policies_and_of_the_past_are_confirmed(
    filled: OpenStore, policy: str, tag: str | None
) -> None:
    with Store(filled.directory) as opened:
        for at in ("20160101000000", "20170101000000", T, "20191231000000"):
            opened.resolve(f"{A}_{B}", at, policy=policy, tag=tag).arrays()  # type: ignore[arg-type]


def test_an_answer_with_a_superseded_row_is_refused(filled: OpenStore) -> None:
    answer = resolve(filled, f"{A}_{B}", "20180215000000", now=NOW)
    first = answer.panels[0]
    assert (first.assignment_id, first.module) == (4, "M001")
    other = resolve(filled, f"{B}", "20220101000000", now=NOW).panels[0]
    wrong = replace(
        first,
        assignment_id=3,
        module=other.module,
        revision=other.revision,
        constant_set_id=other.constant_set_id,
        digests=other.digests,
    )
    with filled.database.reader.snapshot() as snapshot:
        SealedRows(snapshot).require(answer)
        with pytest.raises(IntegrityError, match="uses M003@1"):
            SealedRows(snapshot).require(replace(answer, panels=(wrong, *answer.panels[1:])))


def test_an_answer_with_digests_that_no_row_has_is_refused(filled: OpenStore) -> None:
    answer = resolve(filled, f"{A}", T, now=NOW)
    wrong = replace(answer.panels[0], digests=dict.fromkeys(answer.panels[0].digests, "a" * 64))
    with filled.database.reader.snapshot() as snapshot:
        with pytest.raises(IntegrityError, match="M002@1, row 2 of constant_set"):
            SealedRows(snapshot).require(replace(answer, panels=(wrong,)))


def test_resolving_asks_once_and_judging_three_times_more(filled: OpenStore) -> None:
    with statements(filled.database) as sent:
        resolve(filled, f"{A}_{B}", T, now=NOW)
    assert len(sent) == 1
    with statements(filled.database) as sent:
        resolve(filled, f"{A}_{B}", T, now=NOW, sealed=True)
    assert len(sent) == 4


@pytest.mark.parametrize(
    ("command", "statement"),
    [
        (("resolve", DATASET), "UPDATE assignment SET reason = 'x' WHERE id = 8"),
        (("resolve", DATASET, "--explain"), "UPDATE assignment SET reason = 'x' WHERE id = 5"),
        (("resolve", DATASET, "--tag", TAG), "UPDATE tag SET as_of_us = as_of_us - 1000000"),
        (("panel", "show", B), "UPDATE assignment SET recorded_by = 'x' WHERE id = 6"),
        (("module", "show", "M003"), "UPDATE constant_set SET reason = 'x' WHERE id = 4"),
        (("module", "list"), "UPDATE constant_set SET reason = 'x' WHERE id = 4"),
        (("run", "show", DATASET), "UPDATE run SET note = 'x' WHERE id = 2"),
        (("run", "list"), "UPDATE run SET note = 'x' WHERE id = 2"),
        (("panel", "list"), "UPDATE assignment SET recorded_by = 'x' WHERE id = 6"),
        (("tag", "list"), "UPDATE tag SET reason = 'x'"),
        (("tag", "show", TAG), "UPDATE assignment SET reason = 'x' WHERE id = 1"),
        (("history", B), "UPDATE assignment SET recorded_by = 'x' WHERE id = 6"),
        (("history", "M003"), "UPDATE assignment SET recorded_by = 'x' WHERE id = 6"),
        (("history", "M003"), "UPDATE constant_set SET reason = 'x' WHERE id = 4"),
        (("log",), "UPDATE deployment SET deployed_by = 'x' WHERE id = 1"),
    ],
)
def test_commands_that_show_rows_refuse_edited_ones(
    panelcal: RunsProgram, filled: OpenStore, command: tuple[str, ...], statement: str
) -> None:
    assert panelcal(*command).exit_code == 0
    filled.close()
    Scene(filled.directory).tamper(statement)
    refused = panelcal(*command)
    assert refused.exit_code == IntegrityError.exit_code == 5
    assert "is not as it was recorded" in refused.stderr
    assert "panelcal fsck" in refused.stderr
    assert refused.stdout == ""


def test_the_deploy_job_passes_over_runs_with_edited_rows_and_says_why(
    panelcal: RunsProgram, filled: OpenStore, tmp_path: Path
) -> None:
    sound = ("exp=xcsls3716:run=20", "-s", "XcsEndstation.0:Jungfrau.0", "--detector-id", B)
    assert panelcal("run", "add", *sound, "--begin", T).exit_code == 0
    filled.close()
    Scene(filled.directory).tamper("UPDATE assignment SET reason = 'x' WHERE id = 8")
    (tmp_path / "root").mkdir()
    done = panelcal("deploy", "--all", "--calib-root", tmp_path / "root", "--json")
    assert done.exit_code != 0
    assert "row 8 of assignment is not as it was recorded" in done.output
    written = sorted(path.name for path in (tmp_path / "root").rglob("*.data"))
    assert written == ["20-end.data", "20-end.data"]


def test_an_edited_record_of_a_deployment_is_no_source_to_copy_from(
    panelcal: RunsProgram, filled: OpenStore, tmp_path: Path
) -> None:
    filled.close()
    scene = Scene(filled.directory)
    scene.tamper("UPDATE deployment_panel SET constant_set_id = 4 WHERE segment = 0")
    target = tmp_path / "calib"
    refused = panelcal("export", DATASET, "--calib-dir", target, "--deploy")
    assert refused.exit_code == 5
    assert "of deployment is not as it was recorded" in refused.stderr
    assert not list(tmp_path.glob("calib/**/*.data"))


def test_opening_a_store_whose_time_zone_was_edited_is_refused(filled: OpenStore) -> None:
    filled.close()
    Scene(filled.directory).tamper("UPDATE store SET time_zone = 'UTC'")
    with pytest.raises(IntegrityError, match=r"row 1 of store .* time_zone 'UTC'"):
        open_store(filled.directory)


@pytest.mark.parametrize(
    "edit", ["experiment = 'xcsls3717'", "run = 11", "source = 'XcsEndstation.0:Jungfrau.1'"]
)
def test_a_correction_that_says_another_run_is_missed_where_it_was(
    filled: OpenStore, panelcal: RunsProgram, tmp_path: Path, edit: str
) -> None:
    Scene(filled.directory).tamper(f"UPDATE run SET {edit} WHERE id = 2")
    asked = (DATASET, "-s", "XcsEndstation.0:Jungfrau.0")
    for command in (("resolve",), ("get", "-o", tmp_path / "x.npy", "-k", "pixel_gain")):
        refused = panelcal(command[0], *asked, *command[1:])
        assert refused.exit_code == 5, refused.output
        assert "row 2 of run" in refused.stderr
    with (
        open_for_python(filled.directory) as opened,
        pytest.raises(IntegrityError, match="row 2 of run"),
    ):
        opened.resolve(DATASET, source="XcsEndstation.0:Jungfrau.0").arrays()
