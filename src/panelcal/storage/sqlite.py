"""SQLite: one place for every setting of its connections."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from panelcal.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    PanelcalError,
    SchemaError,
)
from panelcal.storage.dialect import Dialect
from panelcal.storage.reader import Driver

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

BUSY_TIMEOUT_S = 60.0


def make_engine(path: Path, *, immutable: bool = False) -> "Engine":
    """Return an engine for a database file that exists; `immutable` as `make_driver`."""
    from sqlalchemy import QueuePool, create_engine, event

    engine = create_engine(
        "sqlite://",
        # Without a path SQLAlchemy takes the database to be in memory, and
        # would share connections between threads.
        poolclass=QueuePool,
        creator=partial(_connect_immutable if immutable else _connect, path),
    )
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def make_driver(path: Path, *, immutable: bool = False) -> Driver:
    """Return how a database file that exists is asked without an engine.

    Parameters
    ----------
    immutable : bool
        Nobody writes to the file, and its makers need not be trusted: it is not
        locked, no journal beside it is looked at, and what it defines itself may
        call nothing that reaches out of it.
    """
    return Driver(
        connect=partial(_connect_immutable if immutable else _connect_reader, path),
        begin="BEGIN",
        spelled=str,
        error=sqlite3.Error,
        is_lost=lambda _: False,
        translated=partial(translated, name=str(path)),
        version="PRAGMA data_version",
    )


def copy_database(source: Path, target: Path, *, immutable: bool = False) -> None:
    """Copy a database as of one moment to a new file, while others may write to it.

    Raises
    ------
    PanelcalError
        It cannot be read, or the copy cannot be written.
    """
    try:
        with (
            closing(_connect_immutable(source) if immutable else _connect_reader(source)) as there,
            closing(sqlite3.connect(target)) as copy,
        ):
            # In one step: in several, every commit of somebody else begins it anew.
            there.backup(copy)
    except sqlite3.Error as error:
        raise translated(error, str(source)) from error


def _connect(path: Path, query: str = "mode=rw") -> sqlite3.Connection:
    return sqlite3.connect(
        # mode=rw: a mistyped path must not leave an empty database behind.
        f"file:{quote(os.fsencode(path))}?{query}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        # BEGIN is ours (see `_begin`): the driver would open a deferred
        # transaction only at the first write, and none around DDL.
        isolation_level=None,
        check_same_thread=False,
    )


def _connect_reader(path: Path) -> sqlite3.Connection:
    # Not mode=ro: such a connection could not undo what a killed writer left half done.
    connection = _connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connect_immutable(path: Path) -> sqlite3.Connection:
    if not path.exists():
        # Taken out of a bundle's file, and removed when the bundle was closed.
        msg = "the bundle has been closed"
        raise InvalidInputError(msg, "ask before closing it")
    connection = _connect(path, "mode=ro&immutable=1")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    return connection


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    # A change is on the disk before it is acknowledged.
    connection.execute("PRAGMA synchronous = FULL")
    # Without it INSERT OR REPLACE would delete rows past the append-only triggers.
    connection.execute("PRAGMA recursive_triggers = ON")


def _begin(connection: "Connection") -> None:
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")


@contextmanager
def reading(connection: "Connection") -> Iterator["Connection"]:
    """Open a transaction in which SQLite itself refuses to write."""
    with connection.begin():
        connection.exec_driver_sql("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            connection.exec_driver_sql("PRAGMA query_only = OFF")


@contextmanager
def writing(connection: "Connection") -> Iterator["Connection"]:
    """Open a transaction that holds SQLite's write lock from its start.

    A lock upgraded in the middle fails at once with "database is locked" and
    does not wait its turn.
    """
    writer = connection.execution_options(sqlite_begin="IMMEDIATE")
    with writer.begin():
        yield writer


def translated(error: BaseException | None, name: str) -> PanelcalError:
    """Turn what the driver says into what the user can do."""
    said = str(error)
    if "locked" in said:
        msg = f"{name} stayed locked for {BUSY_TIMEOUT_S:.0f} s by another process"
        return ConflictError(msg, "try again")
    if getattr(error, "sqlite_errorname", "") == "SQLITE_READONLY_ROLLBACK":
        msg = f"{name}: a writer was killed in the middle of a change, which this user may not undo"
        return PanelcalError(msg, "let somebody who may write it run panelcal log on that store")
    if "readonly" in said or "read-only" in said:
        return PanelcalError(f"{name} cannot be written: {said}", "check its permissions")
    if "malformed" in said:
        return IntegrityError(f"{name} is damaged: {said}", "restore it from a backup")
    if "no such table" in said or "no such column" in said:
        return SchemaError(f"{name} is not as its schema says: {said}", "panelcal db check")
    if "file is not a database" in said:
        return SchemaError(f"{name} is not an SQLite database", "restore it from a backup")
    return PanelcalError(f"{name}: {said}")


def is_without_schema(error: BaseException | None) -> bool:
    """Say whether an error means that there are no tables yet."""
    return "no such table" in str(error)


DIALECT = Dialect(reading, writing, translated, is_without_schema)
