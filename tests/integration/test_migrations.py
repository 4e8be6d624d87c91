"""Databases come from migrations, and migrations agree with the models."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

from builders import GainsTree, fingerprint, rows
from conftest import RunsProgram
from panelcal.errors import InvalidInputError, PanelcalError, SchemaError
from panelcal.storage import migrate
from panelcal.storage.database import SCHEMA_REVISION, Database
from panelcal.storage.store import open_database, open_store
from panelcal.storage.tables import Base


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
        monkeypatch.setattr(found, "_views", fail)
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
        "INSERT INTO store VALUES (2, 'UTC', 0)",
        "INSERT INTO payload VALUES ('short', 'float32', '3,4,8', 384)",
        "INSERT INTO detector_type VALUES (2, 'x', 0, 4, 8, 'X', 'X::CalibV1')",
        "INSERT INTO run VALUES (1, 'exp', 1, 's', NULL, 'id', 'M088', '', 0, 'u')",
        "INSERT INTO assignment VALUES (1, 77, 0, NULL, 0, 'u', 'r')",
        "INSERT INTO constant_set VALUES (1, 77, 1, '', 0, 'u', 'r')",
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
