"""Make, upgrade, downgrade and check databases. The one caller of alembic."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL, create_engine, text

from panelcal.errors import ConflictError, InvalidInputError, SchemaError
from panelcal.storage.database import Database
from panelcal.storage.tables import Base


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A table, index, trigger or view, as SQLite describes it.

    Parameters
    ----------
    type, name, table : str
        What it is, its name, and the table it belongs to.
    sql : str or None
        The statement that made it; None where SQLite made it itself.
    """

    type: str
    name: str
    table: str
    sql: str | None


def create_database(path: Path) -> None:
    """Make a database file by running every migration on an empty one.

    Raises
    ------
    ConflictError
        The file exists.
    """
    if path.exists():
        msg = f"{path} exists"
        raise ConflictError(msg)
    path.touch(mode=0o664)
    with Database(path) as database:
        upgrade(database)


def fill_database(url: URL) -> None:
    """Make the tables in an empty database of a server.

    Raises
    ------
    ConflictError
        panelcal's tables are there already.
    """
    with Database(url) as database:
        found = database.schema_revision()
        # What a call that was killed before the settings left is as good as empty.
        if found is not None and not is_unsettled(database):
            msg = f"{database.name} already has panelcal schema {found}"
            raise ConflictError(msg, "name an empty database, or copy that store's panelcal.toml")
        upgrade(database)


def is_unsettled(database: Database) -> bool:
    """Say whether a database has panelcal's tables, and no settings of a store."""
    try:
        return not database.reader.rows("SELECT 1 FROM store", {})
    except SchemaError:
        return False


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the database up to a revision, in one transaction."""
    _run(command.upgrade, database, revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the database back to a revision (``base`` removes every table)."""
    _run(command.downgrade, database, revision)


def revisions() -> list[str]:
    """Return all revisions, oldest first."""
    scripts = ScriptDirectory.from_config(_config())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


def differences(database: Database) -> list[str]:
    """Return how the database's tables differ from the models, in words."""
    return [one.says for one in table_differences(database)]


@dataclass(frozen=True, slots=True)
class TableDifference:
    """One way in which a table differs from the models.

    Parameters
    ----------
    table : str
        Its name.
    is_extra : bool
        The models know of no such table.
    says : str
        What alembic says of it.
    """

    table: str
    is_extra: bool
    says: str


def table_differences(database: Database) -> list[TableDifference]:
    """Return how the database's tables differ from the models."""
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, Base.metadata)
    return [TableDifference(_table_of(one), one[0] == "remove_table", str(one)) for one in found]


def _table_of(difference: Any) -> str:
    """Return the table that one of alembic's differences is about."""
    first = difference[0] if isinstance(difference, list) else difference
    what = first[1]
    # Of a column alembic names schema and table; of everything else it gives the object.
    if what is None or isinstance(what, str):
        return str(first[2])
    return str(getattr(what, "table", what).name)


@cache
def expected_objects() -> tuple[SchemaObject, ...]:
    """Return everything that the migrations make, from a throw-away database in memory."""
    config = _config()
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            found = connection.execute(text("SELECT type, name, tbl_name, sql FROM sqlite_master"))
            return tuple(SchemaObject(*row) for row in found)
    finally:
        engine.dispose()


def _run(step: Callable[[Config, str], None], database: Database, revision: str) -> None:
    config = _config()
    known = [*revisions(), "head", "base"]
    if revision not in known:
        msg = f"there is no schema revision {revision!r}"
        raise InvalidInputError(msg, f"known: {', '.join(known)}")
    found = database.schema_revision()
    if found is None:
        database.require_own_or_empty()
    else:
        database.require_revision(found)
    if found is not None and found not in known:
        msg = f"{database.name} has schema {found}, which this panelcal does not know"
        raise SchemaError(msg, "pip install --upgrade panelcal")
    with database.writing() as connection:
        config.attributes["connection"] = connection
        try:
            step(config, revision)
        except CommandError as error:
            msg = f"cannot migrate {database.name} to {revision}: {error}"
            raise InvalidInputError(msg) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()).replace("%", "%%"))
    return config


def _scripts() -> Path:
    """Return the migrations: inside the installed package, or of the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"
