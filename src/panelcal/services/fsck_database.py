"""Fsck of the database: can it be read, is its schema what migrations make, do its rows hold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from panelcal.domain.findings import Code, Finding
from panelcal.domain.moments import time_zone
from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError, PanelcalError, SchemaError
from panelcal.storage.approval_checks import approval_findings
from panelcal.storage.database import OWN_TABLES, REVISION, SCHEMA_REVISION, Database
from panelcal.storage.ledger_checks import ledger_findings
from panelcal.storage.name_checks import name_findings
from panelcal.storage.reader import rows_of
from panelcal.storage.row_checks import (
    RESTORE,
    reference_findings,
    time_range_findings,
    value_type_findings,
)
from panelcal.storage.schema_objects import SchemaDifference, schema_differences
from panelcal.storage.seals import broken_seals

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

    Check = Callable[[Readable], Iterable[Finding]]

BACKUP = "restore the database from a backup"

_PAYLOADS = """
SELECT digest, NULL, NULL, NULL, NULL FROM payload UNION ALL
SELECT held.digest, payload.shape, module.name, constant_set.revision, kind.name
FROM constant_set_payload AS held
LEFT JOIN payload ON payload.digest = held.digest
LEFT JOIN constant_set ON constant_set.id = held.constant_set_id
LEFT JOIN module ON module.id = constant_set.module_id
LEFT JOIN kind ON kind.id = held.kind_id
"""

_SET_VERSION = (
    "DROP TABLE IF EXISTS alembic_version; "
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)); "
    "INSERT INTO alembic_version VALUES ('%s')"
)
"""What mends a database of which nothing but its revision is damaged."""


@dataclass(slots=True)
class NamedPayload:
    """What rows say of a payload.

    Parameters
    ----------
    shapes : set of str
        The shapes that rows give it, ``3,512,1024``.
    uses : list of str
        What it is: ``M044@1 pixel_gain``.
    """

    shapes: set[str] = field(default_factory=set)
    uses: list[str] = field(default_factory=list)


def database_findings(database: Database, directory: Path, now: datetime) -> Iterator[Finding]:
    """Find what is wrong with a database; nothing is changed.

    Parameters
    ----------
    directory : Path
        The store, for the commands in hints.
    now : datetime
        The time, aware.
    """
    try:
        found = database.schema_revision()
        tables = database.table_names()
    except PanelcalError as error:
        yield _unopened(error, database)
        return
    yield from _damage(database)
    if not tables & OWN_TABLES:
        yield _without_tables(database, directory, found, tables)
        return
    if found is not None and REVISION.match(found) and found != SCHEMA_REVISION:
        yield _other_revision(database, directory, found)
        return
    differences, errors = _differences(database)
    yield from errors
    yield from (_finding_of(one) for one in differences)
    if found != SCHEMA_REVISION:
        yield _version_damaged(database, directory, found, differences)
    yield from _settings(database, directory)
    yield from _rows(database, now)


def named_payloads(source: "Readable") -> dict[str, NamedPayload]:
    """Return every digest that a row names, of whatever schema the database is.

    Raises
    ------
    PanelcalError
        The rows cannot be read.
    """
    found: dict[str, NamedPayload] = {}
    for digest, shape, module, revision, kind in rows_of(source, _PAYLOADS):
        one = found.setdefault(str(digest), NamedPayload())
        if shape is not None:
            one.shapes.add(str(shape))
        if kind is not None:
            one.uses.append(f"{module}@{revision} {kind}")
    return found


def _unopened(error: PanelcalError, database: Database) -> Finding:
    if isinstance(error, IntegrityError):
        code = Code.DATABASE_DAMAGED
    elif isinstance(error, SchemaError):
        code = Code.DATABASE_FOREIGN
    else:
        code = Code.DATABASE_UNREACHABLE
    return Finding(code, database.name, error.message, error.hint or BACKUP)


def _damage(database: Database) -> Iterator[Finding]:
    """Let SQLite look at its own file; a server looks after its own."""
    if not isinstance(database.location, Path):
        return
    try:
        for (said,) in database.reader.rows("PRAGMA integrity_check(100)", {}):
            if said != "ok":
                yield Finding(Code.DATABASE_DAMAGED, database.name, str(said), BACKUP)
    except PanelcalError as error:
        yield Finding(Code.DATABASE_DAMAGED, database.name, error.message, BACKUP)


def _without_tables(
    database: Database, directory: Path, found: str | None, tables: set[str]
) -> Finding:
    if not tables and (found is None or REVISION.match(found)):
        message = "it has none of panelcal's tables"
        hint = f"{BACKUP}; or, to begin anew, panelcal --store {directory} db upgrade"
        return Finding(Code.SCHEMA_MISSING, database.name, message, hint)
    told = excerpt(", ".join(sorted(tables)) or str(found))
    message = f"it is a database of something else: {told}"
    hint = f"{BACKUP}, or name the directory of a store"
    return Finding(Code.DATABASE_FOREIGN, database.name, message, hint)


def _other_revision(database: Database, directory: Path, found: str) -> Finding:
    message = f"it has schema {found}, this panelcal {SCHEMA_REVISION}; rows were not looked at"
    if found < SCHEMA_REVISION:
        hint = f"panelcal --store {directory} db upgrade"
        return Finding(Code.SCHEMA_OLDER, database.name, message, hint)
    hint = "pip install --upgrade panelcal"
    return Finding(Code.SCHEMA_NEWER, database.name, message, hint)


def _version_damaged(
    database: Database,
    directory: Path,
    found: str | None,
    differences: list[SchemaDifference],
) -> Finding:
    said = "nothing" if found is None else excerpt(found)
    message = f"alembic_version says {said}, where the revision of the schema belongs"
    hint = BACKUP
    if not differences:
        message += f"; all else is as revision {SCHEMA_REVISION} has it"
        mending = _SET_VERSION % SCHEMA_REVISION
        hint = f"with the database's own client: {mending}; panelcal --store {directory} fsck"
    return Finding(Code.SCHEMA_VERSION_DAMAGED, database.name, message, hint)


def _differences(database: Database) -> tuple[list[SchemaDifference], list[Finding]]:
    try:
        return schema_differences(database), []
    except PanelcalError as error:
        return [], [_unanswered("the schema", error)]


def _finding_of(one: SchemaDifference) -> Finding:
    codes = {
        "missing": Code.SCHEMA_OBJECT_MISSING,
        "differs": Code.SCHEMA_OBJECT_DIFFERS,
        "disabled": Code.TRIGGER_DISABLED,
        "extra": Code.TRIGGER_UNKNOWN if one.type == "trigger" else Code.SCHEMA_OBJECT_EXTRA,
    }
    hints = {
        "extra": f"DROP {one.type.upper()} {one.name}, if nobody needs it",
        "disabled": "ALTER TABLE ... ENABLE TRIGGER ...; then look at the rows it protects",
    }
    hint = hints.get(one.how, f"{BACKUP}: rows may have been changed meanwhile")
    return Finding(codes[one.how], f"{one.type} {one.name}", one.says, hint)


def _settings(database: Database, directory: Path) -> Iterator[Finding]:
    try:
        found = database.reader.rows("SELECT time_zone FROM store", {})
    except PanelcalError as error:
        yield _unanswered("store", error)
        return
    if not found:
        hint = f"panelcal --store {directory} db upgrade --time-zone Z, with the zone it had"
        yield Finding(Code.SETTINGS_LOST, "store", "the settings of the store are lost", hint)
    for (zone,) in found:
        try:
            time_zone(str(zone))
        except InvalidInputError as error:
            yield Finding(Code.SETTINGS_WRONG, "store", error.message, RESTORE)


def _rows(database: Database, now: datetime) -> Iterator[Finding]:
    if isinstance(database.location, Path):
        wrong = list(_answered(database, "the types of values", value_type_findings))
        yield from wrong
        if wrong:
            # What follows calculates with these values.
            message = "the rows were not looked at any further: some have values of wrong types"
            yield Finding(Code.ROWS_UNREADABLE, database.name, message, BACKUP)
            return
    checks: dict[str, Check] = {
        "references": reference_findings,
        "times": time_range_findings,
        "the ledger": lambda source: ledger_findings(source, now),
        "names": name_findings,
        "approvals": approval_findings,
        "seals": _seal_findings,
    }
    for what, check in checks.items():
        yield from _answered(database, what, check)


def _answered(database: Database, what: str, check: "Check") -> list[Finding]:
    """Make a check in one state of the database; one that cannot be made is a finding."""
    found: list[Finding] = []
    try:
        with database.reader.snapshot() as source:
            found.extend(check(source))
    except PanelcalError as error:
        found.append(_unanswered(what, error))
    return found


def _unanswered(what: str, error: PanelcalError) -> Finding:
    message = f"it could not be looked at in full: {error.message}"
    return Finding(Code.ROWS_UNREADABLE, what, message, error.hint or BACKUP)


def _seal_findings(source: "Readable") -> Iterator[Finding]:
    for broken in broken_seals(source):
        message = f"it is not as it was recorded: it says {broken.says}"
        yield Finding(Code.SEAL_BROKEN, f"{broken.table} {broken.id}", message, RESTORE)
