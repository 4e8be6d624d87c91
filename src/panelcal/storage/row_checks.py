"""What holds for rows of every table: values of the right type, references, times in range."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, Double, ForeignKeyConstraint, Integer, Table

from panelcal.domain.findings import Code, Finding
from panelcal.domain.moments import BEGINNING_US, to_microseconds
from panelcal.storage.reader import rows_of
from panelcal.storage.tables import Base

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

RESTORE = "restore the database from a backup: rows of the record are never changed"
"""What to do about a row that somebody edited."""

_EARLIEST_US = to_microseconds(datetime.min.replace(tzinfo=UTC))
_LATEST_US = to_microseconds(datetime.max.replace(tzinfo=UTC))

_MAY_BE_BEGINNING = {("assignment", "valid_from_us"), ("latest_start", "valid_from_us")}


def value_type_findings(source: "Readable") -> Iterator[Finding]:
    """Find values of another type than their column's, which SQLite does not refuse."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            wanted = _type_wanted(column)
            allowed = f"'{wanted}', 'null'" if column.nullable else f"'{wanted}'"
            condition = f"typeof({column.name}) NOT IN ({allowed})"
            found = f"typeof({column.name})"
            for subject, type_ in _rows_where(source, table, condition, found):
                message = f"its {column.name} is of type {type_}, not {wanted}"
                yield Finding(Code.VALUE_TYPE, subject, message, RESTORE)


def reference_findings(source: "Readable") -> Iterator[Finding]:
    """Find rows that refer to rows which do not exist."""
    for table in Base.metadata.sorted_tables:
        for reference in _references(table):
            [element] = reference.elements
            column, other = element.parent, element.column
            known = f"SELECT 1 FROM {other.table.name} AS other"  # noqa: S608 - of our own names
            condition = (
                f"row.{column.name} IS NOT NULL AND NOT EXISTS "
                f"({known} WHERE other.{other.name} = row.{column.name})"
            )
            for subject, value in _rows_where(source, table, condition, f"row.{column.name}"):
                message = f"it refers to {other.table.name} {value}, which does not exist"
                yield Finding(Code.REFERENCE_BROKEN, subject, message, RESTORE)


def time_range_findings(source: "Readable") -> Iterator[Finding]:
    """Find times before the year 1 or after the year 9999."""
    for table in Base.metadata.sorted_tables:
        for column in _times(table):
            condition = f"NOT ({column.name} BETWEEN {_EARLIEST_US} AND {_LATEST_US})"
            if (table.name, column.name) in _MAY_BE_BEGINNING:
                condition += f" AND {column.name} > {BEGINNING_US}"
            for subject, value in _rows_where(source, table, condition, column.name):
                message = f"its {column.name} is {value}, which is no time of the calendar"
                yield Finding(Code.TIME_RANGE, subject, message, RESTORE)


def _type_wanted(column: "Column[Any]") -> str:
    """Return what SQLite calls the type of a column's values."""
    if isinstance(column.type, Double):
        return "real"
    return "integer" if isinstance(column.type, Integer | BigInteger) else "text"


def _times(table: Table) -> list["Column[int]"]:
    return [column for column in table.columns if column.name.endswith("_us")]


def _references(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda one: str(one.name))


def _rows_where(
    source: "Readable", table: Table, condition: str, value: str
) -> Iterator[tuple[str, object]]:
    """Give the rows of a table that a condition holds for: what each is called, and a value."""
    keys = [column.name for column in table.primary_key.columns]
    named = ", ".join(f"row.{key}" for key in keys)
    query = (
        f"SELECT {named}, {value} FROM {table.name} AS row "  # noqa: S608 - of our own names
        f"WHERE {condition} ORDER BY {named}"
    )
    for *key, found in rows_of(source, query):
        yield f"{table.name} {', '.join(map(str, key))}", found
