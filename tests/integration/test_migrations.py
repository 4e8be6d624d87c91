"""Databases come from migrations, and migrations agree with the models."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import URL, inspect, text
from sqlalchemy.exc import DBAPIError

from builders import GainsTree, fingerprint, rows
from conftest import RunsProgram
from panelcal.domain.quality_names import CHECKS
from panelcal.errors import InvalidInputError, PanelcalError, SchemaError
from panelcal.storage import migrate
from panelcal.storage.database import SCHEMA_REVISION, Database
from panelcal.storage.quality import rules as read_rules
from panelcal.storage.store import open_database, open_store
from panelcal.storage.tables import Base
from panelcal.storage.types import detector_types
from servers import administer


@pytest.fixture
def database(store_dir: Path) -> Iterator[Database]:
    """A database at head, on either engine."""
    with open_database(store_dir) as opened:
        yield opened


def tables(database: Database) -> list[str]:
    with database.reading() as connection:
        return inspect(connection).get_table_names()


def test_migrations_build_what_the_models_declare(database: Database) -> None:
    assert migrate.differences(database) == []


def test_a_table_that_the_models_do_not_have_is_a_difference(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE stray (id INTEGER)"))
    assert len(migrate.differences(database)) == 1


def test_the_revision_that_the_program_needs_is_the_newest() -> None:
    assert migrate.revisions()[-1] == SCHEMA_REVISION


@pytest.mark.parametrize("revision", migrate.revisions())
def test_every_revision_can_be_undone(database: Database, revision: str) -> None:
    migrate.downgrade(database, "base")
    migrate.upgrade(database, revision)
    migrate.downgrade(database, "base")
    assert tables(database) == ["alembic_version"]


def test_every_revision_can_be_undone_with_rows_in_it(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert panelcal("db", "downgrade", "base", "--yes").exit_code == 0
    with open_database(store_dir) as database:
        assert tables(database) == ["alembic_version"]


def test_a_failed_migration_leaves_no_half_built_schema(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate.downgrade(database, "base")
    loaded = ScriptDirectory.from_config

    def fail() -> None:
        msg = "power cut"
        raise RuntimeError(msg)

    def broken(config: Config) -> ScriptDirectory:
        directory = loaded(config)
        found = directory.get_revision(SCHEMA_REVISION).module
        monkeypatch.setattr(found, "_triggers", fail)
        return directory

    monkeypatch.setattr(ScriptDirectory, "from_config", broken)
    with pytest.raises(RuntimeError, match="power cut"):
        migrate.upgrade(database)
    assert tables(database) == ["alembic_version"]


def test_an_unknown_revision_is_refused_with_the_known_ones(database: Database) -> None:
    with pytest.raises(InvalidInputError, match="no schema revision '9999'") as caught:
        migrate.upgrade(database, "9999")
    assert "0001" in str(caught.value.hint)


def test_jungfrau_is_there_from_the_first_revision_on(database: Database) -> None:
    migrate.downgrade(database, "base")
    migrate.upgrade(database, "0001")
    with database.reading() as connection:
        shape = connection.execute(
            text("SELECT name, gain_ranges, panel_rows, panel_columns FROM detector_type")
        ).one()
        kinds = connection.execute(text("SELECT name, unit, text_format FROM kind ORDER BY id"))
        assert tuple(shape) == ("jungfrau", 3, 512, 1024)
        assert [tuple(kind) for kind in kinds] == [
            ("pixel_gain", "ADU/keV", "%.4f"),
            ("pixel_offset", "ADU", "%.1f"),
        ]


def test_every_constraint_has_a_name(database: Database) -> None:
    with database.reading() as connection:
        found = inspect(connection)
        for table in Base.metadata.tables:
            named = [
                found.get_pk_constraint(table),
                *found.get_foreign_keys(table),
                *found.get_unique_constraints(table),
                *found.get_check_constraints(table),
            ]
            assert all(constraint["name"] for constraint in named), table


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO store VALUES (2, 'UTC', 0, '')",
        "INSERT INTO payload VALUES ('short', 'float32', '3,4,8', 384)",
        "INSERT INTO detector_type VALUES (2, 'x', 0, 4, 8, 'X', 'X::CalibV1')",
        "INSERT INTO run VALUES (1, 'exp', 1, 's', NULL, 'id', 'M088', '', 0, 'u', '')",
        "INSERT INTO assignment VALUES (1, 77, 0, NULL, 0, 'u', 'r', '')",
        "INSERT INTO constant_set VALUES (1, 77, 1, '', 0, 'u', 'r', '')",
    ],
)
def test_the_database_itself_refuses_rows_that_contradict_the_schema(
    database: Database, statement: str
) -> None:
    with pytest.raises(PanelcalError) as caught, database.writing() as connection:
        connection.execute(text(statement))
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert "constraint" in str(caught.value)


def test_two_rows_of_a_panel_with_one_start_and_one_transaction_time_are_refused(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path
) -> None:
    panelcal("import", "gains-tree", page_tree.path)
    copy = (
        "INSERT INTO assignment (panel_id, valid_from_us, recorded_at_us, recorded_by, reason) "
        "SELECT panel_id, valid_from_us, recorded_at_us, 'u', 'r' FROM assignment LIMIT 1"
    )
    with open_store(store_dir) as store:
        with (
            pytest.raises(PanelcalError, match=r"UNIQUE|unique|append-only"),
            store.database.writing() as connection,
        ):
            connection.execute(text(copy))


def test_a_failed_unit_of_work_leaves_no_trace(store_dir: Path) -> None:
    before = fingerprint(store_dir)
    with open_store(store_dir) as store:
        with pytest.raises(ZeroDivisionError), store.database.writing() as connection:
            connection.execute(text("INSERT INTO module VALUES (1, 1, 'M001')"))
            raise ZeroDivisionError
    assert fingerprint(store_dir) == before


def test_a_reading_session_cannot_write(store_dir: Path) -> None:
    with open_store(store_dir) as store:
        with pytest.raises(PanelcalError, match="cannot be written"):
            with store.database.reading() as connection:
                connection.execute(text("INSERT INTO module VALUES (1, 1, 'M001')"))
        with store.database.writing() as connection:
            connection.execute(text("INSERT INTO module VALUES (1, 1, 'M001')"))
    assert rows(store_dir, "SELECT name FROM module") == [("M001",)]


@pytest.mark.parametrize(
    ("revision", "said", "command"),
    [("0000", "older", "db upgrade"), ("9999", "newer", "pip install --upgrade panelcal")],
)
def test_a_database_of_another_schema_is_refused_with_the_command_to_type(
    panelcal: RunsProgram, store_dir: Path, revision: str, said: str, command: str
) -> None:
    with open_database(store_dir) as database, database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    result = panelcal("run", "list")
    assert result.exit_code == SchemaError.exit_code == 6
    assert said in result.stderr
    assert command in result.stderr


def test_upgrading_a_newer_database_is_refused(panelcal: RunsProgram, store_dir: Path) -> None:
    with open_database(store_dir) as database, database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    result = panelcal("db", "upgrade")
    assert result.exit_code == 6
    assert "does not know" in result.stderr


@pytest.mark.sqlite_only
def test_a_file_that_is_no_database_is_refused(panelcal: RunsProgram, store_dir: Path) -> None:
    (store_dir / "panelcal.db").write_bytes(b"not a database at all" * 100)
    result = panelcal("run", "list")
    assert result.exit_code == 6
    assert "is not an SQLite database" in result.stderr


def test_db_check_names_what_differs(panelcal: RunsProgram, store_dir: Path) -> None:
    assert panelcal("db", "check").exit_code == 0
    with open_database(store_dir) as database, database.writing() as connection:
        connection.execute(text("DROP INDEX ix_panel_serial"))
    result = panelcal("db", "check")
    assert result.exit_code == 6
    assert "ix_panel_serial" in result.stderr


def test_db_current_shows_both_revisions(panelcal: RunsProgram) -> None:
    shown = panelcal("db", "current").stdout
    assert shown == f"database {SCHEMA_REVISION}, panelcal {SCHEMA_REVISION}\n"


def test_a_downgrade_needs_yes(panelcal: RunsProgram, store_dir: Path) -> None:
    before = fingerprint(store_dir)
    result = panelcal("db", "downgrade", "base")
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert fingerprint(store_dir) == before


def test_an_emptied_database_is_settled_again_by_upgrade(panelcal: RunsProgram) -> None:
    panelcal("db", "downgrade", "base", "--yes")
    assert panelcal("run", "list").exit_code == 6
    result = panelcal("db", "upgrade", "--time-zone", "UTC")
    assert result.exit_code == 0
    assert "stamps are now in UTC" in result.stderr
    assert panelcal("run", "list").exit_code == 0


def test_upgrade_of_a_current_database_changes_nothing(
    panelcal: RunsProgram, store_dir: Path
) -> None:
    before = fingerprint(store_dir)
    assert panelcal("db", "upgrade", "--time-zone", "UTC").exit_code == 0
    assert fingerprint(store_dir) == before


# --- revision 0003: ids of LCLS2 segments -------------------------------------------------

on_postgresql = pytest.mark.parametrize("empty_store", ["postgresql"], indirect=True)

SEGMENT = f"jungfrau_{'0' * 70}-00000042"
RUN_ADD = ("run", "add", "exp=xcsls3716:run=631", "-s", "XcsEndstation.0:Jungfrau.0")
PANEL_ID = "171113-154920171025-3d00fb"

SEALED = ("store", "constant_set", "assignment", "run", "tag", "deployment")
"""Tables whose last column is a seal, since 0005."""

JUDGED = ("quality_verdict", "quality_finding", "quality_plane")
"""Tables of the record since 0006; imports judge nothing."""

DEFINITIONS = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master",
    "postgresql": (
        "SELECT 'view' AS type, viewname, NULL, definition FROM pg_views "
        "WHERE schemaname = 'public' UNION ALL "
        "SELECT 'trigger', tgname, tgrelid::regclass::text, pg_get_triggerdef(oid) "
        "FROM pg_trigger WHERE NOT tgisinternal UNION ALL "
        "SELECT 'index', indexname, tablename, indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' UNION ALL "
        "SELECT 'column', column_name, table_name, "
        "data_type || coalesce(character_maximum_length, 0) || is_nullable "
        "FROM information_schema.columns WHERE table_schema = 'public'"
    ),
}
"""What asks an engine for everything that its tables, triggers and views are."""


def definitions(database: Database) -> set[tuple[Any, ...]]:
    """Return how an engine itself describes the schema."""
    with database.reading() as connection:
        asked = text(DEFINITIONS[connection.dialect.name])
        return {tuple(row) for row in connection.execute(asked)}


@pytest.fixture
def imported(panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path) -> Path:
    """A store with the page's tree and a run."""
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    added = panelcal(*RUN_ADD, "--begin", "20180419000000", "--detector-id", PANEL_ID)
    assert added.exit_code == 0
    return store_dir


def without_rules(store: Path) -> dict[str, list[str]]:
    """Return the rows of a store by table; its rules, which are a setting, left out."""
    held = fingerprint(store)[0]
    del held["quality_rule"]
    return held


def test_down_to_0002_and_up_again_every_row_and_answer_is_as_before(
    panelcal: RunsProgram, imported: Path
) -> None:
    question = ("resolve", "exp=xcsls3716:run=631", "--json")
    use = "SELECT segment, panel, module, begin_at FROM run_use"
    before = without_rules(imported), panelcal(*question).stdout, rows(imported, use)
    assert before[2]
    assert panelcal("db", "downgrade", "0002", "--yes").exit_code == 0
    below = fingerprint(imported)[0]
    assert rows(imported, use) == before[2]
    assert panelcal("db", "upgrade").exit_code == 0
    assert (without_rules(imported), panelcal(*question).stdout, rows(imported, use)) == before
    for held in (below, before[0]):
        del held["alembic_version"]
    # Kept since 0004, from what the ledger says.
    del before[0]["latest_start"]
    # Since 0006 and 0007.
    for table in (*JUDGED, "approval_mode", "proposal", "proposal_assignment", "decision"):
        assert before[0].pop(table) == []
    for table in SEALED:
        before[0][table] = [re.sub(r", '[0-9a-f]{64}'\)\Z", ")", row) for row in before[0][table]]
    assert below == before[0]
    assert json.loads(before[1])["panels"][0]["module"] == "M044"


def test_triggers_views_and_indexes_are_the_same_after_down_and_up(database: Database) -> None:
    head = definitions(database)
    migrate.downgrade(database, "0002")
    below = definitions(database)
    assert below != head
    migrate.upgrade(database)
    assert definitions(database) == head
    migrate.downgrade(database, "base")
    migrate.upgrade(database, "0002")
    assert definitions(database) == below


@pytest.mark.parametrize("table", ["panel", "assignment", "run"])
@pytest.mark.usefixtures("imported")
def test_after_the_upgrade_rows_of_the_record_still_cannot_be_changed(
    database: Database, table: str
) -> None:
    migrate.downgrade(database, "0002")
    migrate.upgrade(database)
    for change in (f"DELETE FROM {table}", f"UPDATE {table} SET id = id"):
        with pytest.raises(PanelcalError, match="append-only"), database.writing() as connection:
            connection.execute(text(change))


@pytest.mark.parametrize("revision", ["0002", "base"])
def test_a_downgrade_that_would_cut_ids_off_is_refused_and_changes_nothing(
    panelcal: RunsProgram, imported: Path, database: Database, revision: str
) -> None:
    assigned = panelcal("assign", SEGMENT, "M044", "--from-beginning", "--reason", "test")
    assert assigned.exit_code == 0, assigned.output
    before = fingerprint(imported), definitions(database)
    refused = panelcal("db", "downgrade", revision, "--yes")
    assert refused.exit_code == 2
    assert "panel.name holds 1 of more than 64 characters" in refused.stderr
    assert SEGMENT in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert (fingerprint(imported), definitions(database)) == before


def test_an_id_whose_serial_alone_does_not_fit_keeps_the_schema_too(
    panelcal: RunsProgram, imported: Path
) -> None:
    panelcal("assign", "jungfrau_8-0-3d00fb", "M044", "--from-beginning", "--reason", "test")
    refused = panelcal("db", "downgrade", "0002", "--yes")
    assert refused.exit_code == 2
    assert "panel.serial holds 1 of more than 16 characters" in refused.stderr
    assert rows(imported, "SELECT version_num FROM alembic_version") == [(SCHEMA_REVISION,)]


@on_postgresql
def test_the_columns_that_hold_ids_have_room_for_segments(store_dir: Path) -> None:
    assert rows(
        store_dir,
        "SELECT table_name, column_name, character_maximum_length "
        "FROM information_schema.columns WHERE table_schema = 'public' "
        "AND character_maximum_length = 265 AND table_name IN "
        "(SELECT tablename FROM pg_tables) ORDER BY 1, 2",
    ) == [
        ("deployment_panel", "panel", 265),
        ("panel", "name", 265),
        ("panel", "serial", 265),
        ("proposal_assignment", "panel", 265),
    ]


@on_postgresql
def test_views_that_are_made_anew_keep_their_owner_and_who_may_read_them(
    database: Database, server: URL
) -> None:
    role = f'T "{uuid4().hex[:8]}'
    quoted = '"' + role.replace('"', '""') + '"'
    rights = text(
        "SELECT relname, pg_get_userbyid(relowner), relacl::text FROM pg_class "
        "WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace ORDER BY relname"
    )
    administer(server, f"CREATE ROLE {quoted}")
    try:
        with database.writing() as connection:
            for statement in (
                f"GRANT CREATE ON SCHEMA public TO {quoted}",
                f"GRANT SELECT ON ledger TO {quoted} WITH GRANT OPTION",
                f"GRANT SELECT, INSERT ON run_use TO {quoted}",
                "GRANT SELECT ON run_use TO PUBLIC",
                f"ALTER VIEW deployed OWNER TO {quoted}",
                "GRANT SELECT ON deployed TO PUBLIC",
            ):
                connection.exec_driver_sql(statement)
            before = connection.execute(rights).all()
        assert len({row.relacl for row in before}) == 4
        migrate.downgrade(database, "0002")
        with database.reading() as connection:
            assert connection.execute(rights).all() == before
        migrate.upgrade(database)
        with database.reading() as connection:
            assert connection.execute(rights).all() == before
    finally:
        with database.writing() as connection:
            connection.exec_driver_sql(f"REASSIGN OWNED BY {quoted} TO CURRENT_USER")
            connection.exec_driver_sql(f"DROP OWNED BY {quoted}")
        administer(server, f"DROP ROLE {quoted}")


# --- revision 0005: seals ------------------------------------------------------------------


@on_postgresql
def test_rights_on_single_columns_are_given_on_seals_as_well(
    database: Database, server: URL
) -> None:
    role = f"t_{uuid4().hex[:8]}"
    asked = text(
        "SELECT has_column_privilege(:role, 'run', 'seal', 'SELECT'), "
        "has_column_privilege(:role, 'run', 'seal', 'INSERT'), "
        "has_column_privilege(:role, 'tag', 'seal', 'SELECT')"
    )
    migrate.downgrade(database, "0004")
    administer(server, f"CREATE ROLE {role}")
    try:
        with database.writing() as connection:
            connection.execute(text(f"GRANT SELECT (recorded_at_us) ON run TO {role}"))
        migrate.upgrade(database)
        with database.reading() as connection:
            assert connection.execute(asked, {"role": role}).one() == (True, False, False)
    finally:
        with database.writing() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
        administer(server, f"DROP ROLE {role}")


@on_postgresql
def test_triggers_are_enabled_after_the_upgrade_as_they_were(database: Database) -> None:
    asked = text(
        "SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger "
        "WHERE NOT tgisinternal ORDER BY 1, 2"
    )
    with database.writing() as connection:
        always = "ALTER TABLE run ENABLE ALWAYS TRIGGER run_refuses_change"
        connection.execute(text(always))
        before = connection.execute(asked).all()
    assert {row.tgenabled for row in before} == {"O", "A"}
    migrate.downgrade(database, "0004")
    migrate.upgrade(database)
    with database.reading() as connection:
        assert connection.execute(asked).all() == before


# --- revision 0006: quality ----------------------------------------------------------------


def test_every_rule_of_jungfrau_can_find_something(database: Database) -> None:
    migrate.downgrade(database, "0005")
    migrate.upgrade(database)
    with database.reading() as connection:
        detector_type = detector_types(connection).named("jungfrau")
        found = read_rules(connection, detector_type.id)
    kinds = {kind.name for kind in detector_type.kinds}
    assert {rule.check for rule in found} == set(CHECKS)
    for rule in found:
        assert rule.kind in {None, *kinds}
        assert rule.gain_range in {None, *range(detector_type.gain_ranges)}
        assert rule.low is None or rule.high is None or rule.low < rule.high
    bounded = [(rule.check, rule.kind, rule.gain_range, rule.severity) for rule in found]
    assert len(bounded) == len(set(bounded))


@on_postgresql
def test_whoever_may_add_deliveries_may_add_verdicts_after_the_upgrade(
    database: Database, server: URL
) -> None:
    role = f"t_{uuid4().hex[:8]}"
    asked = text(
        "SELECT has_table_privilege(:role, 'quality_verdict', 'INSERT'), "
        "has_table_privilege(:role, 'quality_plane', 'INSERT'), "
        "has_table_privilege(:role, 'quality_finding', 'UPDATE'), "
        "has_table_privilege(:role, 'quality_rule', 'SELECT'), "
        "has_table_privilege(:role, 'quality_rule', 'INSERT'), "
        "has_sequence_privilege(:role, 'quality_verdict_id_seq', 'USAGE')"
    )
    migrate.downgrade(database, "0005")
    administer(server, f"CREATE ROLE {role}")
    try:
        with database.writing() as connection:
            connection.execute(text(f"GRANT SELECT, INSERT ON constant_set TO {role}"))
            connection.execute(text(f"GRANT SELECT ON kind TO {role}"))
            connection.execute(text(f"GRANT USAGE ON SEQUENCE constant_set_id_seq TO {role}"))
        migrate.upgrade(database)
        with database.reading() as connection:
            found = connection.execute(asked, {"role": role}).one()
        assert found == (True, True, False, True, False, True)
    finally:
        with database.writing() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
        administer(server, f"DROP ROLE {role}")
