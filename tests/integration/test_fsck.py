"""Fsck: every kind of finding is planted and found by its code; what is well has none."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from builders import fingerprint, rows, write_delivery
from panelcal.cli import app
from panelcal.config import FILE_NAME
from panelcal.domain.findings import Code, FsckReport, Severity
from panelcal.services.fsck import fsck
from panelcal.storage import migrate
from panelcal.storage.schema_objects import postgresql_triggers
from past_triggers import change_past_triggers
from servers import copied_store

CHECKOUT = Path(__file__).parents[2]
PANEL = "171113-154920171025-3d00b0"
DATASET = "exp=xcsls3716:run=631"
SOURCE = "XcsEndstation.0:Jungfrau.0"

OTHER_TYPE = (
    "INSERT INTO detector_type (name, gain_ranges, panel_rows, panel_columns, device, calib_group) "
    "VALUES ('other', 3, 4, 8, '{device}', '{group}')"
)

ENGINES = ("sqlite", "postgresql")
on_sqlite = pytest.mark.parametrize("empty_store", ["sqlite"], indirect=True)
on_postgresql = pytest.mark.parametrize("empty_store", ["postgresql"], indirect=True)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with rows in every table, two revisions of a module, and no fault."""
    place = tmp_path_factory.mktemp("fsck")
    with copied_store(empty_store, place / "store") as directory:
        first, second = (write_delivery(place / f"M068-{seed}", seed) for seed in (1, 2))
        commands: list[list[str | Path]] = [
            ["module", "add", "M068", first, "--reason", "first"],
            ["module", "add", "M068", second, "--reason", "second"],
            ["assign", PANEL, "M068@1", "--from-beginning", "--reason", "first"],
            ["assign", PANEL, "M068", "--from", "20180306000000", "--reason", "second"],
            ["run", "add", DATASET, "-s", SOURCE, "--begin", "20171205161400"],
            ["export", DATASET, "--calib-dir", place / "calib", "--deploy"],
            ["tag", "create", "first", "--reason", "first"],
            ["approval", "require", "--reason", "first"],
            ["propose", "withdraw", PANEL, "--from", "20200101000000", "--reason", "first"],
            ["approve", "1", "--reason", "second"],
            ["propose", "approval-off", "--reason", "first"],
            ["approve", "2", "--reason", "second"],
            ["propose", "withdraw", PANEL, "--from", "20220101000000", "--reason", "first"],
        ]
        commands[4] += ["--detector-id", PANEL]
        for command in commands:
            # Whoever approves is not who proposed.
            done = run(directory, *command, user=str(command[0]))
            assert done.exit_code == 0, done.output
        yield directory


@pytest.fixture
def store_dir(tmp_path: Path, template: Path) -> Iterator[Path]:
    with copied_store(template, tmp_path / "store") as directory:
        yield directory


def run(directory: Path, *arguments: str | Path, user: str = "tester") -> Any:
    words = [str(word) for word in ("--store", directory, *arguments)]
    return CliRunner().invoke(app, words, env={"LOGNAME": user})


def looked_at(directory: Path, *, verify_data: bool = False) -> FsckReport:
    return fsck(directory, now=datetime.now(UTC), verify_data=verify_data)


def codes(report: FsckReport) -> set[Code]:
    return {finding.code for finding in report.findings}


def payload_of(directory: Path, kind: str = "pixel_gain") -> Path:
    """Return where the first constant set's payload of a kind is."""
    [(digest,)] = rows(
        directory,
        "SELECT digest FROM constant_set_payload WHERE constant_set_id = 1 "
        f"AND kind_id = (SELECT id FROM kind WHERE name = '{kind}')",
    )
    return directory.joinpath("payloads", digest[:2], digest)


# --- what is well -------------------------------------------------------------------------


def test_a_store_with_rows_in_every_table_has_no_findings(store_dir: Path) -> None:
    assert looked_at(store_dir, verify_data=True).findings == ()


def test_looking_changes_nothing(store_dir: Path) -> None:
    before = fingerprint(store_dir)
    (store_dir / "payloads" / "junk").write_text("x")
    with_junk = fingerprint(store_dir)
    assert looked_at(store_dir, verify_data=True).findings
    assert fingerprint(store_dir) == with_junk != before


@pytest.mark.sqlite_only
def test_a_store_of_the_first_release_has_none_once_it_is_upgraded(tmp_path: Path) -> None:
    old = shutil.copytree(CHECKOUT / "tests" / "data" / "store-0001", tmp_path / "old")
    assert codes(looked_at(old)) == {Code.SCHEMA_OLDER}
    assert run(old, "db", "upgrade").exit_code == 0
    assert looked_at(old, verify_data=True).findings == ()


def test_a_schema_taken_down_and_up_again_has_none(store_dir: Path) -> None:
    assert run(store_dir, "db", "downgrade", "0002", "--yes").exit_code == 0
    assert run(store_dir, "db", "upgrade").exit_code == 0
    assert looked_at(store_dir).findings == ()


@on_postgresql
def test_the_triggers_expected_on_a_server_are_those_that_migrations_make(
    store_dir: Path,
) -> None:
    made = rows(
        store_dir,
        "SELECT tgname, relname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE NOT tgisinternal",
    )
    assert set(made) == postgresql_triggers(migrate.expected_objects())
    assert len(made) > 20


# --- rows and schema: planted past the triggers -------------------------------------------


@dataclass(frozen=True)
class Plant:
    """Statements that break something, and the code that has to be found."""

    code: Code
    statements: tuple[str, ...]
    engines: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.code}: {self.statements[-1]}"


def plant(code: Code, *statements: str, on: str | None = None) -> Plant:
    return Plant(code, statements, (on,) if on else ENGINES)


UPPER = "AB" * 32
RULE = (
    "INSERT INTO quality_rule (detector_type_id, check_name, gain_range, severity, low, high) "
    "SELECT id, {} FROM detector_type"
)
FAR_US = 4_102_444_800_000_000

PLANTED = [
    plant(Code.TIME_ORDER, "UPDATE assignment SET recorded_at_us = 1 WHERE id = 2"),
    plant(
        Code.TIME_ORDER,
        "UPDATE constant_set SET recorded_at_us = recorded_at_us - 86400000000 WHERE revision = 2",
    ),
    plant(Code.TIME_IN_FUTURE, f"UPDATE tag SET recorded_at_us = {FAR_US}"),
    plant(Code.TIME_IN_FUTURE, f"UPDATE deployment SET deployed_at_us = {FAR_US}"),
    plant(Code.TIME_RANGE, f"UPDATE run SET begin_us = {2**62}"),
    plant(Code.TIME_RANGE, f"UPDATE assignment SET recorded_at_us = {2**62} WHERE id = 2"),
    plant(
        Code.START_FRACTION, "UPDATE assignment SET valid_from_us = valid_from_us + 1 WHERE id = 2"
    ),
    plant(
        Code.ASSIGNMENT_TWICE,
        "CREATE TABLE copied AS SELECT * FROM assignment",
        "INSERT INTO copied SELECT * FROM assignment WHERE id = 1",
        "DROP TABLE assignment",
        "ALTER TABLE copied RENAME TO assignment",
        on="sqlite",
    ),
    plant(
        Code.ASSIGNMENT_TWICE,
        "ALTER TABLE assignment "
        "DROP CONSTRAINT uq_assignment_panel_id_valid_from_us_recorded_at_us",
        "CREATE TEMP TABLE copied AS SELECT * FROM assignment WHERE id = 1",
        "UPDATE copied SET id = 77",
        "INSERT INTO assignment SELECT * FROM copied",
        on="postgresql",
    ),
    plant(Code.LATEST_START_WRONG, "DELETE FROM latest_start"),
    plant(
        Code.LATEST_START_WRONG,
        "INSERT INTO latest_start (panel_id, valid_from_us, recorded_at_us) "
        "VALUES (1, 4000000000000000, 1)",
    ),
    plant(Code.REVISION_GAP, "UPDATE constant_set SET revision = 5 WHERE revision = 2"),
    plant(Code.REVISION_GAP, "INSERT INTO module (detector_type_id, name) VALUES (1, 'M999')"),
    plant(Code.CONSTANT_SET_INCOMPLETE, "DELETE FROM constant_set_payload WHERE kind_id = 1"),
    plant(Code.CONSTANT_SET_INCOMPLETE, "UPDATE kind SET detector_type_id = 9 WHERE id = 2"),
    plant(Code.PAYLOAD_ROW_WRONG, "UPDATE payload SET byte_count = 7"),
    plant(Code.PAYLOAD_ROW_WRONG, "UPDATE payload SET dtype = 'float64'"),
    plant(Code.PAYLOAD_ROW_WRONG, "UPDATE payload SET shape = '3,8,4'"),
    plant(Code.PAYLOAD_ROW_UNUSED, "DELETE FROM constant_set_payload WHERE kind_id = 1"),
    plant(Code.DIGEST_MALFORMED, f"INSERT INTO payload VALUES ('{UPPER}', 'float32', '1', 4)"),
    plant(Code.TYPE_WRONG, "DELETE FROM kind"),
    plant(Code.TYPE_WRONG, "DELETE FROM detector_type"),
    plant(Code.TYPE_WRONG, "UPDATE detector_type SET device = '../x'"),
    plant(Code.TYPE_WRONG, OTHER_TYPE.format(device="Jungfrau", group="Other::CalibV1")),
    plant(Code.TYPE_WRONG, OTHER_TYPE.format(device="Other", group="Jungfrau::CalibV1")),
    plant(
        Code.TYPE_MIXED,
        OTHER_TYPE.format(device="Other", group="Other::CalibV1"),
        "UPDATE panel SET detector_type_id = (SELECT max(id) FROM detector_type)",
    ),
    plant(
        Code.TYPE_MIXED,
        OTHER_TYPE.format(device="Other", group="Other::CalibV1"),
        "INSERT INTO kind (detector_type_id, name, unit, file_stem, text_format) "
        "SELECT max(id), 'pixel_gain', 'ADU/keV', 'gain', '%.4f' FROM detector_type",
        "UPDATE deployment SET kind_id = (SELECT max(id) FROM kind)",
    ),
    plant(Code.RULE_WRONG, RULE.format("'colour', NULL, 'error', 0, 1")),
    plant(Code.RULE_WRONG, RULE.format("'median', NULL, 'error', 1, 0")),
    plant(Code.RULE_WRONG, RULE.format("'median', 3, 'error', 0, 1")),
    plant(Code.RULE_WRONG, RULE.format("'median', NULL, 'severe', 0, 1"), on="sqlite"),
    plant(Code.REFERENCE_BROKEN, "UPDATE quality_plane SET verdict_id = 999 WHERE verdict_id = 1"),
    plant(Code.VALUE_TYPE, "UPDATE quality_plane SET sigma = 'wide'", on="sqlite"),
    plant(Code.SEAL_BROKEN, "UPDATE quality_verdict SET accepted = 'it is fine'"),
    plant(Code.SEAL_BROKEN, "DELETE FROM quality_plane WHERE gain_range = 1"),
    plant(Code.TIME_IN_FUTURE, "UPDATE quality_verdict SET recorded_at_us = 9000000000000000"),
    plant(Code.PANEL_WRONG, "UPDATE panel SET serial = 'beef'"),
    plant(Code.PANEL_WRONG, "UPDATE panel SET name = 'nonsense'"),
    plant(Code.PANEL_WRONG, "UPDATE panel SET name = name || 'L'"),
    plant(Code.MODULE_WRONG, "UPDATE module SET name = 'M 068'"),
    plant(Code.RUN_WRONG, "UPDATE run SET detector_id = 'zz'"),
    plant(Code.RUN_WRONG, "UPDATE run SET detector_id = NULL, modules = 'M068@x'"),
    plant(Code.RUN_WRONG, "UPDATE run SET source = 'Jungfrau'"),
    plant(Code.RUN_WRONG, "UPDATE run SET experiment = '!'"),
    plant(Code.TAG_WRONG, "UPDATE tag SET name = 'bad name'"),
    plant(
        Code.TAG_WRONG,
        "ALTER TABLE tag DROP CONSTRAINT ck_tag_as_of_is_not_later_than_record",
        "UPDATE tag SET as_of_us = recorded_at_us + 1",
        on="postgresql",
    ),
    plant(Code.TAG_WRONG, "UPDATE tag SET as_of_us = recorded_at_us + 1", on="sqlite"),
    plant(Code.DEPLOYMENT_WRONG, "DELETE FROM deployment_panel"),
    plant(Code.DEPLOYMENT_WRONG, "UPDATE deployment_panel SET segment = 3"),
    plant(Code.DEPLOYMENT_WRONG, "UPDATE deployment SET token = 'x'"),
    plant(Code.DEPLOYMENT_WRONG, "UPDATE deployment SET file_digest = 'x'"),
    plant(Code.REFERENCE_BROKEN, "UPDATE assignment SET constant_set_id = 999 WHERE id = 1"),
    plant(Code.REFERENCE_BROKEN, "UPDATE deployment_panel SET constant_set_id = 999"),
    plant(Code.REFERENCE_BROKEN, "DELETE FROM panel"),
    plant(Code.VALUE_TYPE, "UPDATE run SET begin_us = 'soon'", on="sqlite"),
    plant(Code.VALUE_TYPE, "UPDATE module SET name = x'00ff'", on="sqlite"),
    plant(Code.ROWS_UNREADABLE, "UPDATE module SET name = CAST(x'ff' AS TEXT)", on="sqlite"),
    plant(Code.ROWS_UNREADABLE, "ALTER TABLE tag DROP COLUMN reason"),
    plant(Code.SEAL_BROKEN, "UPDATE constant_set SET reason = 'other' WHERE id = 1"),
    plant(Code.SEAL_BROKEN, "UPDATE assignment SET recorded_by = 'other' WHERE id = 1"),
    plant(Code.SETTINGS_LOST, "DELETE FROM store"),
    plant(Code.SETTINGS_WRONG, "UPDATE store SET time_zone = 'Mars/Olympus'"),
    plant(Code.SCHEMA_VERSION_DAMAGED, "DELETE FROM alembic_version"),
    plant(Code.SCHEMA_VERSION_DAMAGED, "UPDATE alembic_version SET version_num = 'garbage'"),
    plant(Code.SCHEMA_VERSION_DAMAGED, "DROP TABLE alembic_version"),
    plant(Code.SCHEMA_VERSION_DAMAGED, "INSERT INTO alembic_version VALUES ('0001')"),
    plant(Code.SCHEMA_OLDER, "UPDATE alembic_version SET version_num = '0001'"),
    plant(Code.SCHEMA_NEWER, "UPDATE alembic_version SET version_num = '9999'"),
    plant(Code.SCHEMA_OBJECT_MISSING, "DROP VIEW run_use"),
    plant(Code.SCHEMA_OBJECT_DIFFERS, "DROP INDEX ix_panel_serial", on="postgresql"),
    plant(Code.SCHEMA_OBJECT_MISSING, "DROP INDEX ix_panel_serial", on="sqlite"),
    plant(
        Code.SCHEMA_OBJECT_MISSING,
        "ALTER TABLE tag DROP CONSTRAINT ck_tag_as_of_is_not_later_than_record",
        on="postgresql",
    ),
    plant(
        Code.SCHEMA_OBJECT_MISSING,
        "DROP TRIGGER panel_refuses_change ON panel",
        on="postgresql",
    ),
    plant(Code.PROPOSAL_WRONG, "UPDATE proposal SET verb = 'other' WHERE id = 1"),
    plant(Code.PROPOSAL_WRONG, "UPDATE proposal SET verb = 'assign' WHERE id = 2"),
    plant(Code.PROPOSAL_WRONG, "DELETE FROM proposal_assignment WHERE proposal_id = 3"),
    plant(Code.PROPOSAL_WRONG, "UPDATE proposal_assignment SET position = 4 WHERE proposal_id = 3"),
    plant(Code.DECISION_WRONG, "UPDATE decision SET verdict = 'other' WHERE proposal_id = 1"),
    plant(Code.DECISION_WRONG, "UPDATE decision SET recorded_by = 'propose' WHERE proposal_id = 1"),
    plant(Code.DECISION_WRONG, "UPDATE decision SET recorded_at_us = 0 WHERE proposal_id = 2"),
    plant(Code.DECISION_WRONG, "DELETE FROM assignment WHERE id = 3"),
    plant(
        Code.DECISION_WRONG,
        "UPDATE assignment SET valid_from_us = valid_from_us + 1000000 WHERE id = 3",
    ),
    plant(Code.APPROVAL_MISSING, "UPDATE decision SET verdict = 'rejected' WHERE proposal_id = 1"),
    plant(Code.APPROVAL_MISSING, "UPDATE decision SET verdict = 'rejected' WHERE proposal_id = 2"),
    plant(
        Code.APPROVAL_MISSING,
        "INSERT INTO assignment (id, panel_id, valid_from_us, constant_set_id, recorded_at_us, "
        "recorded_by, reason) SELECT 50, panel_id, 0, 1, recorded_at_us, recorded_by, reason "
        "FROM assignment WHERE id = 3",
    ),
    plant(Code.TIME_IN_FUTURE, "UPDATE decision SET recorded_at_us = 9000000000000000"),
    plant(Code.REFERENCE_BROKEN, "DELETE FROM proposal WHERE id = 2"),
    plant(Code.SCHEMA_OBJECT_DIFFERS, "ALTER TABLE panel ADD COLUMN colour TEXT"),
    plant(
        Code.SCHEMA_OBJECT_DIFFERS,
        "DROP VIEW run_use",
        "CREATE VIEW run_use AS SELECT * FROM run",
        on="sqlite",
    ),
    plant(Code.SCHEMA_OBJECT_EXTRA, "CREATE TABLE stray (id INTEGER)"),
    plant(Code.SCHEMA_OBJECT_EXTRA, "CREATE VIEW stray AS SELECT 1 AS one"),
    plant(
        Code.TRIGGER_DISABLED,
        "ALTER TABLE panel DISABLE TRIGGER panel_refuses_change",
        on="postgresql",
    ),
    plant(
        Code.TRIGGER_DISABLED,
        "ALTER TABLE panel ENABLE REPLICA TRIGGER panel_refuses_change",
        on="postgresql",
    ),
    plant(
        Code.TRIGGER_UNKNOWN,
        "CREATE TRIGGER sly AFTER INSERT ON tag BEGIN SELECT 1; END",
        on="sqlite",
    ),
    plant(
        Code.TRIGGER_UNKNOWN,
        "CREATE TRIGGER sly BEFORE UPDATE ON tag "
        "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_change()",
        on="postgresql",
    ),
]


@pytest.mark.parametrize(
    ("empty_store", "planted"),
    # By engine: the fixtures of one are done with before those of the other are made.
    [(engine, one) for engine in ENGINES for one in PLANTED if engine in one.engines],
    indirect=["empty_store"],
    ids=str,
)
def test_what_is_wrong_with_rows_and_schema_is_found_by_its_code(
    store_dir: Path, planted: Plant
) -> None:
    change_past_triggers(store_dir, *planted.statements)
    done = run(store_dir, "fsck", "--json")
    found = json.loads(done.stdout)
    assert str(planted.code) in {finding["code"] for finding in found["findings"]}, done.stdout
    assert done.exit_code == found["exit_code"]
    assert (done.exit_code == 5) is any(one["severity"] == "error" for one in found["findings"])
    assert all(finding["message"] and finding["hint"] for finding in found["findings"])


@on_sqlite
def test_a_trigger_that_was_taken_off_is_found(store_dir: Path) -> None:
    # Not past the triggers, which would put it back.
    import sqlite3

    connection = sqlite3.connect(store_dir / "panelcal.db")
    connection.execute("DROP TRIGGER assignment_keeps_latest_start")
    connection.close()
    (finding,) = looked_at(store_dir).findings
    assert finding.code is Code.SCHEMA_OBJECT_MISSING
    assert "assignment_keeps_latest_start" in finding.message


@pytest.mark.parametrize(
    "lost",
    ["DELETE FROM alembic_version", "DROP TABLE alembic_version"],
)
def test_a_lost_revision_is_mended_by_what_the_hint_says(store_dir: Path, lost: str) -> None:
    change_past_triggers(store_dir, lost)
    assert run(store_dir, "run", "list").exit_code == 6
    (finding,) = looked_at(store_dir).findings
    assert finding.code is Code.SCHEMA_VERSION_DAMAGED
    statements = finding.hint.partition(": ")[2].rpartition("; panelcal")[0]
    change_past_triggers(store_dir, *statements.split("; "))
    assert looked_at(store_dir).findings == ()


# --- files --------------------------------------------------------------------------------


def garble(path: Path) -> None:
    """Change the pages of a database's tables, not its header."""
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xa5" * (len(content) - 8192)
    path.write_bytes(content)


def foreign_database(path: Path) -> None:
    import sqlite3

    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[17] ^= 1
    path.write_bytes(content)


def chunk(directory: Path) -> Path:
    return payload_of(directory) / "c" / "0" / "0" / "0"


def orphan(directory: Path) -> None:
    """A payload of a kind that rows do not name."""
    folder = directory / "payloads" / "ab"
    folder.mkdir(exist_ok=True)
    shutil.copytree(payload_of(directory), folder / ("ab" * 32))


def aside(directory: Path) -> None:
    folder = directory / "payloads" / "damaged"
    folder.mkdir()
    shutil.copytree(payload_of(directory), folder / f"{'ab' * 32}.1")


def loop_of_links(directory: Path) -> None:
    (directory / "payloads" / "zz").unlink(missing_ok=True)
    folder = next(path for path in (directory / "payloads").iterdir() if len(path.name) == 2)
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


Break = Callable[[Path], object]

BROKEN_FILES: list[tuple[Code, Break]] = [
    (Code.DATABASE_MISSING, lambda d: (d / "panelcal.db").unlink()),
    (Code.DATABASE_FOREIGN, lambda d: (d / "panelcal.db").write_bytes(b"text" * 999)),
    (Code.DATABASE_FOREIGN, lambda d: foreign_database(d / "panelcal.db")),
    (Code.DATABASE_DAMAGED, lambda d: garble(d / "panelcal.db")),
    (Code.SCHEMA_MISSING, lambda d: (d / "panelcal.db").write_bytes(b"")),
    (Code.SETTINGS_UNREADABLE, lambda d: (d / FILE_NAME).write_bytes(b"\xff = [")),
    (Code.SETTINGS_UNREADABLE, lambda d: (d / FILE_NAME).write_text('[database]\nurl="x"')),
    (
        Code.DATABASE_UNREACHABLE,
        lambda d: (d / FILE_NAME).write_text(
            '[database]\nurl = "postgresql://nobody@127.0.0.1:1/nothing"\n'
        ),
    ),
    (Code.PAYLOADS_UNREADABLE, loop_of_links),
    (Code.PAYLOADS_UNREADABLE, lambda d: (d / "payloads").rename(d / "elsewhere")),
    (Code.PAYLOAD_MISSING, lambda d: shutil.rmtree(payload_of(d))),
    (Code.PAYLOAD_DAMAGED, lambda d: os.truncate(chunk(d), 100)),
    (Code.PAYLOAD_DAMAGED, lambda d: chunk(d).unlink()),
    (Code.PAYLOAD_DAMAGED, lambda d: (payload_of(d) / "zarr.json").write_text("{}")),
    (Code.PAYLOAD_ORPHAN, orphan),
    (Code.LEFT_OVER, lambda d: (d / "payloads" / "incoming" / "a").mkdir(parents=True)),
    (Code.LEFT_OVER, lambda d: (d.parent / f".panelcal-{'ab' * 16}").mkdir()),
    (Code.FOREIGN_FILE, lambda d: (d / "payloads" / "junk").write_text("x")),
    (Code.FOREIGN_FILE, lambda d: (payload_of(d).parent / "junk").write_text("x")),
    (Code.MOVED_ASIDE, aside),
]


@on_sqlite
@pytest.mark.parametrize(("code", "breaks"), BROKEN_FILES)
def test_what_is_wrong_with_files_is_found_by_its_code(
    store_dir: Path, code: Code, breaks: Break
) -> None:
    breaks(store_dir)
    report = looked_at(store_dir)
    assert code in codes(report), report.findings
    assert codes(report) <= {code, Code.PAYLOAD_MISSING}
    assert report.exit_code == (5 if code.severity is Severity.ERROR else 0)
    done = run(store_dir, "fsck")
    assert done.exit_code == report.exit_code
    assert f"{code.severity}: {code}" in done.stdout
    assert "hint: " in done.stdout


def test_a_changed_bit_is_found_when_payloads_are_read_and_only_then(store_dir: Path) -> None:
    flip(chunk(store_dir))
    assert looked_at(store_dir).findings == ()
    (finding,) = looked_at(store_dir, verify_data=True).findings
    assert finding.code is Code.PAYLOAD_DAMAGED
    assert "M068@1 pixel_gain" in finding.message


def test_two_payloads_that_changed_places_are_found(store_dir: Path) -> None:
    gain, offset = payload_of(store_dir), payload_of(store_dir, "pixel_offset")
    gain.rename(store_dir / "swapped")
    offset.rename(gain)
    (store_dir / "swapped").rename(offset)
    assert codes(looked_at(store_dir)) == {Code.PAYLOAD_DAMAGED}


@pytest.mark.sqlite_only
def test_without_a_database_payloads_are_still_read_and_none_is_an_orphan(
    store_dir: Path,
) -> None:
    flip(chunk(store_dir))
    (store_dir / "panelcal.db").unlink()
    report = looked_at(store_dir, verify_data=True)
    assert codes(report) == {Code.DATABASE_MISSING, Code.PAYLOAD_DAMAGED}
    assert report.payloads == 4


PR_CAPBSET_DROP, CAPABILITIES = 24, (1, 2)
"""prctl's number, and those of root's rights to pass over the modes of files."""


def heed_modes() -> None:
    for capability in CAPABILITIES:
        if ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            msg = "root's rights cannot be left behind here"
            raise OSError(msg)


@pytest.mark.sqlite_only
def test_what_may_not_be_read_is_a_finding_and_not_damage(store_dir: Path) -> None:
    chunk(store_dir).chmod(0)
    closed = payload_of(store_dir, "pixel_offset").parent
    closed.chmod(0)
    done = subprocess.run(
        [Path(sys.executable).with_name("panelcal"), "--store", store_dir, "fsck", "--json"],
        preexec_fn=heed_modes if os.geteuid() == 0 else None,
        check=False,
        capture_output=True,
        text=True,
    )
    closed.chmod(0o755)
    assert done.returncode == 5, done.stderr
    found = {finding["code"] for finding in json.loads(done.stdout)["findings"]}
    assert found == {str(Code.PAYLOAD_UNREADABLE), str(Code.PAYLOADS_UNREADABLE)}


# --- the command, and its documentation ---------------------------------------------------


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_where_there_is_nothing_of_a_store_the_request_is_wrong(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    done = run(tmp_path / name, "fsck")
    assert done.exit_code == 3
    assert f"panelcal init {tmp_path / name}" in done.stderr


def test_findings_are_told_with_their_hints_and_a_summary(store_dir: Path) -> None:
    shutil.rmtree(payload_of(store_dir))
    orphan_free = run(store_dir, "fsck")
    assert orphan_free.stdout.splitlines()[0] == "error: payload-missing"
    assert "M068@1 pixel_gain" in orphan_free.stdout
    assert "--repair-from" in orphan_free.stdout
    assert orphan_free.stdout.splitlines()[-1].startswith("1 error, 0 warnings; 4 payloads")


def test_progress_is_told_after_each_payload(store_dir: Path) -> None:
    told: list[tuple[int, int, str]] = []
    fsck(store_dir, now=datetime.now(UTC), progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert {step[2] for step in told} >= {"M068@1 pixel_gain"}


def test_the_time_is_the_callers(store_dir: Path) -> None:
    past = datetime.now(UTC) - timedelta(days=1)
    assert codes(fsck(store_dir, now=past)) == {Code.TIME_IN_FUTURE}


@pytest.mark.sqlite_only
def test_every_code_is_documented_with_its_severity() -> None:
    page = (CHECKOUT / "docs" / "fsck.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \| (error|warning) \| .+ \| .+ \|$", page, re.MULTILINE)
    assert told == [(str(code), str(code.severity)) for code in Code]


@pytest.mark.sqlite_only
def test_every_code_is_planted_somewhere() -> None:
    elsewhere = {Code.PAYLOAD_UNREADABLE}
    planted = {one.code for one in PLANTED} | {code for code, _ in BROKEN_FILES} | elsewhere
    assert planted == set(Code)


# --- db check, and what refuses a database ------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("DROP VIEW run_use", "run_use"),
        ("CREATE VIEW stray AS SELECT 1 AS one", "stray"),
        ("CREATE TABLE stray (id INTEGER)", "stray"),
    ],
)
def test_db_check_names_views_and_tables(store_dir: Path, statement: str, named: str) -> None:
    assert run(store_dir, "db", "check").exit_code == 0
    change_past_triggers(store_dir, statement)
    done = run(store_dir, "db", "check")
    assert done.exit_code == 6
    assert named in done.stderr


@on_postgresql
def test_db_check_names_a_trigger_that_is_switched_off(store_dir: Path) -> None:
    change_past_triggers(store_dir, "ALTER TABLE panel DISABLE TRIGGER panel_refuses_change")
    done = run(store_dir, "db", "check")
    assert done.exit_code == 6
    assert "panel_refuses_change of panel is switched off" in done.stderr


@pytest.mark.parametrize("command", [("run", "list"), ("db", "upgrade")])
@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("DELETE FROM alembic_version", "has lost the revision of its schema"),
        ("DROP TABLE alembic_version", "has lost the revision of its schema"),
        ("UPDATE alembic_version SET version_num = 'ae10'", "'ae10'... is no"),
        ("INSERT INTO alembic_version VALUES ('0001')", "no schema revision of panelcal's"),
    ],
)
def test_a_damaged_revision_is_refused_with_words_and_nothing_is_changed(
    store_dir: Path, command: tuple[str, ...], statement: str, said: str
) -> None:
    change_past_triggers(store_dir, statement)
    before = fingerprint(store_dir)
    done = run(store_dir, *command)
    assert done.exit_code == 6
    assert said.replace("... is no", ", which is no schema revision") in done.stderr
    assert "fsck" in done.stderr
    assert fingerprint(store_dir) == before


@on_sqlite
@pytest.mark.parametrize("command", [("run", "list"), ("db", "upgrade")])
def test_a_database_of_something_else_is_refused_and_gets_no_tables(
    store_dir: Path, command: tuple[str, ...]
) -> None:
    foreign_database(store_dir / "panelcal.db")
    before = (store_dir / "panelcal.db").read_bytes()
    done = run(store_dir, *command)
    assert done.exit_code == 6
    assert "a database of something else, with the tables 'bookmarks'" in done.stderr
    assert (store_dir / "panelcal.db").read_bytes() == before
