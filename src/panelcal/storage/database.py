"""The database: units of work, on SQLite and on PostgreSQL alike."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError, PanelcalError, SchemaError
from panelcal.storage import sqlite
from panelcal.storage.reader import Reader

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

SCHEMA_REVISION = "0004"
"""The alembic revision this panelcal reads and writes; a test holds it equal to head."""


class Database(AbstractContextManager["Database"]):
    """A database with panelcal's tables, or one that is to get them.

    Parameters
    ----------
    location : Path or URL
        An SQLite file, which must exist, or a database of a PostgreSQL server.
        Only `panelcal.storage.migrate` makes databases.

    Attributes
    ----------
    reader : Reader
        For questions outside a unit of work.
    """

    def __init__(self, location: "Path | URL") -> None:
        self.location = location
        if isinstance(location, Path):
            self.name = str(location)
            self._dialect = sqlite.DIALECT
            driver = sqlite.make_driver(location)
        else:
            # Not needed for SQLite, and not installed everywhere.
            from panelcal.storage import postgresql

            self.name = location.render_as_string(hide_password=True)
            self._dialect = postgresql.DIALECT
            driver = postgresql.make_driver(location)
        self.reader = Reader(driver)

    @cached_property
    def _engine(self) -> "Engine":
        # Made at the first unit of work: whoever only asks does not pay for it.
        if isinstance(self.location, Path):
            return sqlite.make_engine(self.location)
        from panelcal.storage import postgresql

        return postgresql.make_engine(self.location)

    @contextmanager
    def reading(self) -> Iterator["Connection"]:
        """Open a read-only transaction: one consistent state of the database."""
        with self._connection() as connection, self._dialect.reading(connection) as reader:
            yield reader

    @contextmanager
    def writing(self) -> Iterator["Connection"]:
        """Open a unit of work: commits on a clean exit, rolls back on any error."""
        with self._connection() as connection, self._dialect.writing(connection) as writer:
            yield writer

    @contextmanager
    def _connection(self) -> Iterator["Connection"]:
        from sqlalchemy.exc import DBAPIError

        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise self._dialect.translated(error.orig, self.name) from error

    def close(self) -> None:
        """Close all connections."""
        self.reader.close()
        if "_engine" in vars(self):
            self._engine.dispose()

    def __exit__(self, *_: object) -> None:
        self.close()

    def require_current_schema(self, directory: Path) -> None:
        """Refuse a database of another schema revision.

        Parameters
        ----------
        directory : Path
            The store, for the command in the hint.

        Raises
        ------
        SchemaError
            The database is older or newer than this panelcal, or no panelcal
            database at all; the hint is the command to type.
        """
        found = self.schema_revision()
        if found == SCHEMA_REVISION:
            return
        if found is None:
            msg = f"{self.name} has no panelcal schema"
            raise SchemaError(msg, f"panelcal --store {directory} db upgrade")
        if found < SCHEMA_REVISION:
            msg = (
                f"{self.name} has schema {found}, older than {SCHEMA_REVISION} "
                f"which this panelcal needs"
            )
            raise SchemaError(msg, f"panelcal --store {directory} db upgrade")
        msg = (
            f"{self.name} has schema {found}, newer than {SCHEMA_REVISION} "
            f"which this panelcal knows"
        )
        raise SchemaError(msg, "pip install --upgrade panelcal")

    def schema_revision(self) -> str | None:
        """Return the alembic revision of the database, None if it has none."""
        try:
            found = self.reader.rows("SELECT version_num FROM alembic_version", {})
        except PanelcalError as error:
            if self._dialect.is_without_schema(error.__cause__):
                return None
            raise
        return str(found[0][0]) if found else None


def parse_database_url(text_form: str) -> "URL":
    """Read the URL of a PostgreSQL database.

    Raises
    ------
    InvalidInputError
        It is no URL, or names another engine. The message does not repeat it:
        there may be a password in it.
    """
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(text_form)
    except (ArgumentError, ValueError) as error:
        msg = "the database URL cannot be read"
        raise InvalidInputError(msg, "postgresql://USER@HOST/DATABASE") from error
    if url.get_backend_name() != "postgresql":
        msg = f"panelcal speaks PostgreSQL by URL, not {excerpt(url.get_backend_name())}"
        raise InvalidInputError(msg, "postgresql://USER@HOST/DATABASE")
    return url
