"""Rows copied as they are, times and seals included, into a database of the same schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import Connection, Table, delete, func, insert, select, text
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from panelcal.storage import sqlite
from panelcal.storage.database import Database
from panelcal.storage.tables import Base

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import RowMapping

    Keep: TypeAlias = "Callable[[str, RowMapping], bool]"

ROWS_AT_ONCE = 5000

KEPT_BY_TRIGGERS = {"latest_start"}
"""Tables that fill themselves, from what is inserted into others."""

BROUGHT_BY_MIGRATIONS = {"detector_type", "kind", "quality_rule"}
"""Tables that a new database has rows in: they are replaced."""


def copy_rows(
    source: Connection, target: Connection, keep: "Keep" = lambda _table, _row: True
) -> None:
    """Copy rows into a new database, in an order that its triggers let pass.

    Parameters
    ----------
    source : Connection
        A unit of reading: one state of the database.
    target : Connection
        A unit of work on a database that migrations have just made.
    keep : callable
        Given the name of a table and a row, says whether the row is to be copied.
    """
    tables = [one for one in Base.metadata.sorted_tables if one.name not in KEPT_BY_TRIGGERS]
    for table in reversed(tables):
        if table.name in BROUGHT_BY_MIGRATIONS:
            target.execute(delete(table))
    for table in tables:
        _copy_table(source, target, table, keep)
    if target.dialect.name == "postgresql":
        _continue_numbers(target, tables)


def _copy_table(source: Connection, target: Connection, table: Table, keep: "Keep") -> None:
    query = select(table).order_by(*_order(table)).execution_options(yield_per=ROWS_AT_ONCE)
    for page in source.execute(query).mappings().partitions():
        kept: list[dict[str, Any]] = [dict(row) for row in page if keep(table.name, row)]
        if kept:
            target.execute(insert(table), kept)


def _order(table: Table) -> list[Any]:
    """Return what rows are copied by: the ledger refuses what was recorded before its last."""
    key = list(table.primary_key.columns)
    return [table.c.recorded_at_us, *key] if table.name == "assignment" else key


def _continue_numbers(target: Connection, tables: list[Table]) -> None:
    """Let the server number new rows after the copied ones."""
    for table in tables:
        if "id" not in table.c or table.c.id.autoincrement is False:
            continue
        last = target.scalar(select(func.max(table.c.id)))
        if last is not None:
            target.execute(
                text("SELECT setval(pg_get_serial_sequence(:table, 'id'), :last)"),
                {"table": table.name, "last": last},
            )


def row_statements() -> dict[str, str]:
    """Return, for every table of the record, a statement that reads its rows whole."""
    return {
        table.name: str(select(table).compile(dialect=sqlite_dialect()))
        for table in Base.metadata.sorted_tables
        if table.name not in KEPT_BY_TRIGGERS | BROUGHT_BY_MIGRATIONS
    }


def copy_as_sqlite(database: Database, target: Path) -> None:
    """Copy a database, as of one moment, to a new SQLite file; others may write meanwhile.

    Raises
    ------
    PanelcalError
        It cannot be read, or the file cannot be written.
    """
    if isinstance(database.location, Path):
        sqlite.copy_database(database.location, target, immutable=database.bundle is not None)
        return
    from panelcal.storage import migrate

    migrate.create_database(target)
    with Database(target) as copy, database.reading() as source, copy.writing() as rows:
        copy_rows(source, rows)
