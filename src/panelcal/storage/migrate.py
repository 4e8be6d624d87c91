"""Make, upgrade, downgrade and check databases. The one caller of alembic."""

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import URL

from panelcal.errors import ConflictError, InvalidInputError, SchemaError
from panelcal.storage.database import Database
from panelcal.storage.tables import Base


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
        if found is not None:
            msg = f"{database.name} already has panelcal schema {found}"
            raise ConflictError(msg, "name an empty database, or copy that store's panelcal.toml")
        upgrade(database)


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
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def _run(step: Callable[[Config, str], None], database: Database, revision: str) -> None:
    config = _config()
    known = [*revisions(), "head", "base"]
    if revision not in known:
        msg = f"there is no schema revision {revision!r}"
        raise InvalidInputError(msg, f"known: {', '.join(known)}")
    found = database.schema_revision()
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
