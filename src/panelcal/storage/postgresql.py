"""PostgreSQL, for many users and jobs: one place for its settings."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, text

from panelcal.errors import ConflictError, PanelcalError, SchemaError
from panelcal.storage.dialect import Dialect
from panelcal.storage.reader import Driver, DriverConnection

LOCK_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 10

_CONNECT_ARGUMENTS = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "panelcal"}
_PARAMETER = re.compile(r"(?<!:):([a-z]\w*)", re.ASCII)

_WRITER_LOCK = 0x70616E65
"""First half of the advisory lock that writers of a store take: "pane" in ASCII."""

_MAY_ADD = text(
    "SELECT CASE WHEN to_regclass('assignment') IS NULL THEN true "
    "ELSE has_table_privilege(to_regclass('assignment'), 'INSERT') END"
)

_LOCK_NOT_AVAILABLE = "55P03"
_SERIALIZATION = {"40001", "40P01"}
_READ_ONLY = {"25006", "42501"}
_UNDEFINED_TABLE = "42P01"
_WRONG_SCHEMA = {_UNDEFINED_TABLE, "42703"}


def make_engine(url: URL) -> Engine:
    """Return an engine for a database of a server, through psycopg 3."""
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args=_CONNECT_ARGUMENTS,
        # A connection that the server has closed meanwhile is replaced, not used.
        pool_pre_ping=True,
    )


def make_driver(url: URL) -> Driver:
    """Return how a database of a server is asked without an engine."""
    import psycopg

    return Driver(
        connect=partial(_connect_reader, url),
        begin="BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        spelled=_spelled,
        error=psycopg.Error,
        is_lost=lambda connection: bool(connection.closed),
        translated=partial(translated, name=url.render_as_string(hide_password=True)),
        # Which transactions this one sees: equal while nobody has written, and it touches no table.
        version="SELECT pg_current_snapshot()::text",
    )


def _connect_reader(url: URL) -> DriverConnection:
    import psycopg

    engine_dialect: Any = url.set(drivername="postgresql+psycopg").get_dialect()()
    # As the engine reads the URL, so that both reach the same database.
    arguments, named = engine_dialect.create_connect_args(url)
    connection = psycopg.connect(*arguments, **(named | _CONNECT_ARGUMENTS), autocommit=True)
    connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
    return connection


@lru_cache(maxsize=256)
def _spelled(statement: str) -> str:
    return _PARAMETER.sub(r"%(\1)s", statement)


@contextmanager
def reading(connection: Connection) -> Iterator[Connection]:
    """Open a read-only transaction that sees one state of the database throughout."""
    reader = connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    with reader.begin():
        yield reader


@contextmanager
def writing(connection: Connection) -> Iterator[Connection]:
    """Open a transaction that no other writer of this store runs beside.

    What a unit of work has looked at stays so until it commits, as on SQLite.
    The lock ends with the transaction, whatever becomes of the process.
    """
    with connection.begin():
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'"))
        connection.execute(
            text("SELECT pg_advisory_xact_lock(:store, hashtext(current_schema()))"),
            {"store": _WRITER_LOCK},
        )
        if not connection.scalar(_MAY_ADD):
            # Said before anything is done, payloads included.
            msg = "the database may only be read by this user"
            raise PanelcalError(msg, "ask for the curator role")
        yield connection


def translated(error: BaseException | None, name: str) -> PanelcalError:
    """Turn what the server says into what the user can do."""
    said = str(error).strip().partition("\n")[0]
    code = getattr(error, "sqlstate", None)
    if code == _LOCK_NOT_AVAILABLE:
        msg = f"{name} stayed locked for {LOCK_TIMEOUT_S} s by another writer"
        return ConflictError(msg, "try again")
    if code in _SERIALIZATION:
        return ConflictError(f"{name}: {said}", "try again")
    if code in _WRONG_SCHEMA:
        return SchemaError(f"{name} is not as its schema says: {said}", "panelcal db check")
    if code in _READ_ONLY:
        return PanelcalError(f"{name} cannot be written: {said}", "ask for the curator role")
    if code is None:
        return PanelcalError(f"{name} cannot be reached: {said}", "is the server running?")
    return PanelcalError(f"{name}: {said}")


def is_without_schema(error: BaseException | None) -> bool:
    """Say whether an error means that there are no tables yet."""
    return getattr(error, "sqlstate", None) == _UNDEFINED_TABLE


DIALECT = Dialect(reading, writing, translated, is_without_schema)
