"""What a database's schema consists of, compared with what the migrations make."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from panelcal.storage import migrate
from panelcal.storage.database import Database
from panelcal.storage.reader import rows_of
from panelcal.storage.tables import Base

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

How: TypeAlias = Literal["missing", "differs", "extra", "disabled"]

_VIEWS = """
SELECT relname FROM pg_class
WHERE relkind = 'v' AND relnamespace = current_schema()::regnamespace
"""

_TRIGGERS = """
SELECT tgname, relname, tgenabled::text FROM pg_trigger
JOIN pg_class ON pg_class.oid = tgrelid
WHERE NOT tgisinternal AND relnamespace = current_schema()::regnamespace
"""

_CONSTRAINTS = """
SELECT conname FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
"""

_REFUSALS = {"_refuses_update": "_refuses_change", "_refuses_replace": "_refuses_truncate"}
"""How the triggers that refuse changes are called on SQLite, and their like on PostgreSQL."""


@dataclass(frozen=True, slots=True)
class SchemaDifference:
    """One object of a schema that is not as the migrations make it.

    Parameters
    ----------
    how : {'missing', 'differs', 'extra', 'disabled'}
        What is wrong with it.
    type, name : str
        ``trigger``, ``panel_refuses_update``.
    says : str
        What was found, in words.
    """

    how: How
    type: str
    name: str
    says: str


def schema_differences(database: Database) -> list[SchemaDifference]:
    """Return how a database's tables, indices, triggers and views differ from those at head.

    Raises
    ------
    PanelcalError
        The database cannot be read.
    """
    if isinstance(database.location, Path):
        return list(_of_sqlite(database.reader))
    # Beyond names and states PostgreSQL tells definitions in words of its own.
    tables = [
        SchemaDifference("extra" if one.is_extra else "differs", "table", one.table, one.says)
        for one in migrate.table_differences(database)
    ]
    return [*tables, *_of_postgresql(database.reader)]


def _of_sqlite(source: "Readable") -> Iterator[SchemaDifference]:
    found = {
        (type_, name): sql
        for type_, name, sql in rows_of(source, "SELECT type, name, sql FROM sqlite_master")
        if not _is_passed_over(name)
    }
    expected = {
        (one.type, one.name): one.sql
        for one in migrate.expected_objects()
        if not _is_passed_over(one.name)
    }
    for key in sorted(expected.keys() - found.keys()):
        yield _missing(*key)
    for key in sorted(found.keys() - expected.keys()):
        yield _extra(*key)
    for key in sorted(found.keys() & expected.keys()):
        if " ".join((found[key] or "").split()) != " ".join((expected[key] or "").split()):
            type_, name = key
            says = f"the {type_} {name} is not the one that the migrations make"
            yield SchemaDifference("differs", type_, name, says)


def _of_postgresql(source: "Readable") -> Iterator[SchemaDifference]:
    expected = migrate.expected_objects()
    views = {name for (name,) in rows_of(source, _VIEWS)}
    known_views = {one.name for one in expected if one.type == "view"}
    for name in sorted(known_views - views):
        yield _missing("view", name)
    for name in sorted(views - known_views):
        yield _extra("view", name)
    triggers = {(name, table): state for name, table, state in rows_of(source, _TRIGGERS)}
    known = postgresql_triggers(expected)
    for name, _ in sorted(known - triggers.keys()):
        yield _missing("trigger", name)
    for name, table in sorted(triggers.keys() - known):
        # A trigger on a table of somebody else's does nothing to ours.
        if table in Base.metadata.tables:
            yield _extra("trigger", name)
    for name, table in sorted(known & triggers.keys()):
        # "O" fires in every ordinary session, "A" in every session.
        if triggers[name, table] not in {"O", "A"}:
            says = f"the trigger {name} of {table} is switched off"
            yield SchemaDifference("disabled", "trigger", name, says)
    constraints = {name for (name,) in rows_of(source, _CONSTRAINTS)}
    for name in sorted(_constraints() - constraints):
        yield _missing("constraint", name)


def postgresql_triggers(expected: tuple[migrate.SchemaObject, ...]) -> set[tuple[str, str]]:
    """Return the triggers, with their tables, that the migrations make on PostgreSQL.

    They are told from those on SQLite, which can be made in memory: the three
    that refuse changes of a table are two there, all others have the same names.
    """
    found = set()
    for one in expected:
        if one.type != "trigger" or one.name.endswith("_refuses_delete"):
            continue
        name = one.name
        for suffix, like in _REFUSALS.items():
            if name.endswith(suffix):
                name = name.removesuffix(suffix) + like
        found.add((name, one.table))
    return found


def _constraints() -> set[str]:
    return {
        str(constraint.name)
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
    }


def _is_passed_over(name: str) -> bool:
    """Say whether SQLite or alembic made it: constraints' indices, which their tables tell of."""
    return name.startswith("sqlite_") or name == "alembic_version"


def _missing(type_: str, name: str) -> SchemaDifference:
    return SchemaDifference("missing", type_, name, f"the {type_} {name} is missing")


def _extra(type_: str, name: str) -> SchemaDifference:
    return SchemaDifference("extra", type_, name, f"the {type_} {name} is none of panelcal's")
