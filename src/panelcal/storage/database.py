"""The database: units of work, on SQLite and on PostgreSQL alike."""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from panelcal.domain.text import excerpt, plain
from panelcal.errors import InvalidInputError, PanelcalError, SchemaError
from panelcal.storage import sqlite
from panelcal.storage.reader import Reader

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

SCHEMA_REVISION = "0007"
"""The alembic revision this panelcal reads and writes; a test holds it equal to head."""

OWN_TABLES = {"assignment", "constant_set", "panel"}
"""Tables that tell a database of panelcal's from any other, whatever its revision."""

REVISION = re.compile(r"[0-9]{4}\Z", re.ASCII)
"""How every revision of the schema is named, by whatever release."""


class Database(AbstractContextManager["Database"]):
    """A database with panelcal's tables, or one that is to get them.

    Parameters
    ----------
    location : Path or URL
        An SQLite file, which must exist, or a database of a PostgreSQL server.
        Only `panelcal.storage.migrate` makes databases.
    bundle : Path or None
        The bundle that an SQLite file is part of: it is never written to.

    Attributes
    ----------
    reader : Reader
        For questions outside a unit of work.
    """

    def __init__(self, location: "Path | URL", bundle: Path | None = None) -> None:
        self.location = location
        self.bundle = bundle
        if isinstance(location, Path):
            self.name = str(bundle or location)
            self._dialect = sqlite.DIALECT
            driver = sqlite.make_driver(location, immutable=bundle is not None)
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
            return sqlite.make_engine(self.location, immutable=self.bundle is not None)
        from panelcal.storage import postgresql

        return postgresql.make_engine(self.location)

    @contextmanager
    def reading(self) -> Iterator["Connection"]:
        """Open a read-only transaction: one consistent state of the database."""
        with self._connection() as connection, self._dialect.reading(connection) as reader:
            yield reader

    @contextmanager
    def writing(self) -> Iterator["Connection"]:
        """Open a unit of work: commits on a clean exit, rolls back on any error.

        Raises
        ------
        InvalidInputError
            It is the database of a bundle.
        """
        if self.bundle is not None:
            from panelcal.storage.bundle import refuse_writing

            refuse_writing(self.bundle)
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
            self.require_own_or_empty()
            msg = f"{self.name} has no panelcal schema"
            raise SchemaError(msg, f"panelcal --store {directory} db upgrade")
        self.require_revision(found)
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
        # Of several none is known to be right; together they are no revision.
        return ", ".join(str(row[0]) for row in found) or None

    def table_names(self) -> set[str]:
        """Return the names of all tables, SQLite's own and alembic's left out."""
        if isinstance(self.location, Path):
            query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        else:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        names = {str(name) for (name,) in self.reader.rows(query, {})}
        return {name for name in names if not name.startswith("sqlite_")} - {"alembic_version"}

    def require_own_or_empty(self) -> None:
        """Refuse a database without a schema revision that has tables nevertheless.

        On a server tables of others may be beside panelcal's.

        Raises
        ------
        SchemaError
            It has lost the revision of its schema, or is something else's file.
        """
        names = self.table_names()
        if names & OWN_TABLES:
            msg = f"{self.name} has lost the revision of its schema (table alembic_version)"
            raise SchemaError(msg, "panelcal fsck says what is left of it")
        if names and isinstance(self.location, Path):
            told = excerpt(", ".join(sorted(names)))
            msg = f"{self.name} is a database of something else, with the tables {told}"
            raise SchemaError(msg, "name the directory of a store, or restore it from a backup")

    def require_revision(self, found: str) -> None:
        """Refuse what alembic_version says if no panelcal can have written it.

        Raises
        ------
        SchemaError
            It is not of four digits.
        """
        if not REVISION.match(found):
            msg = f"{self.name} says {excerpt(found)}, which is no schema revision of panelcal's"
            hint = "it is something else's database, or alembic_version is damaged: panelcal fsck"
            raise SchemaError(msg, hint)


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
        url = make_url(plain(text_form, "database URL"))
        # A NUL would end what the server's library reads: another server might be asked.
        parts = [url.username, url.password, url.host, url.database, *url.query]
        parts += ["".join(value) for value in url.query.values()]
        for part in parts:
            plain(part or "", "database URL")
    except (ArgumentError, ValueError) as error:
        msg = "the database URL cannot be read"
        raise InvalidInputError(msg, "postgresql://USER@HOST/DATABASE") from error
    if url.get_backend_name() != "postgresql":
        msg = f"panelcal speaks PostgreSQL by URL, not {excerpt(url.get_backend_name())}"
        raise InvalidInputError(msg, "postgresql://USER@HOST/DATABASE")
    return url
