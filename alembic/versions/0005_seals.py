"""Seals: every row of the record carries a digest of what it says.

The seals of existing rows are computed here, in words of this migration alone: what a later
panelcal seals is told by a later migration. The triggers that keep rows from being changed
are off while this is done, and stay off only if nothing of it is committed.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLES = {
    "store": "created_at_us",
    "constant_set": "recorded_at_us",
    "assignment": "recorded_at_us",
    "run": "recorded_at_us",
    "tag": "recorded_at_us",
    "deployment": "deployed_at_us",
}
"""Sealed tables, each with a column whose rights the seal gets."""

PAGE = 10_000

Sealed = Iterator[tuple[Any, str]]


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("seal", sa.String(64), nullable=False, server_default=""))
    off = _triggers()
    for statement in off:
        op.execute(statement)
    _seal("store", "id", _store())
    _seal("constant_set", "id", _constant_sets())
    _seal("assignment", "id", _assignments())
    _seal("run", "id", _runs())
    _seal("tag", "name", _tags())
    _seal("deployment", "id", _deployments())
    for statement in off.values():
        op.get_bind().exec_driver_sql(statement)
    if not _is_sqlite():
        _rights()


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _triggers() -> dict[str, str]:
    """Return statements that put the triggers on updates off, each with what puts it back."""
    if _is_sqlite():
        names = ", ".join(f"'{table}_refuses_update'" for table in TABLES)
        query = f"SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name IN ({names})"
        return {f"DROP TRIGGER {name}": text for name, text in _ask(query)}
    tables = ", ".join(f"'{table}'::regclass" for table in TABLES)
    query = (
        "SELECT tgrelid::regclass::text, quote_ident(tgname), tgenabled FROM pg_trigger "
        f"WHERE NOT tgisinternal AND tgrelid IN ({tables}) AND tgenabled <> 'D'"
    )
    modes = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}
    return {
        f"ALTER TABLE {table} DISABLE TRIGGER {name}": (
            f"ALTER TABLE {table} {modes[mode if isinstance(mode, str) else mode.decode()]} "
            f"TRIGGER {name}"
        )
        for table, name, mode in _ask(query)
    }


def _ask(query: str, **parameters: Any) -> Sequence[Sequence[Any]]:
    return op.get_bind().execute(sa.text(query), parameters).all()


def _seal(table: str, key: str, sealed: Sealed) -> None:
    statement = sa.text(f"UPDATE {table} SET seal = :seal WHERE {key} = :key")
    while page := [{"key": row, "seal": seal} for row, seal in _taken(sealed)]:
        op.get_bind().execute(statement, page)


def _taken(sealed: Sealed) -> Sealed:
    for _ in range(PAGE):
        try:
            yield next(sealed)
        except StopIteration:
            return


def _seal_of(*values: object) -> str:
    text = json.dumps(values, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _pages(query: str, table: str) -> Iterator[Sequence[Any]]:
    """Give rows by ascending number; the number is the first column."""
    last = _ask(f"SELECT coalesce(max(id), 0) FROM {table}")[0][0]
    for start in range(0, last + 1, PAGE):
        yield from _ask(query, first=start, last=start + PAGE - 1)


def _store() -> Sealed:
    for row, zone, created in _ask("SELECT id, time_zone, created_at_us FROM store"):
        yield row, _seal_of("store", zone, created)


def _constant_sets() -> Sealed:
    query = (
        "SELECT one.id, detector_type.name, module.name, one.revision, one.delivered_from, "
        "one.recorded_at_us, one.recorded_by, one.reason, kind.name, held.digest "
        "FROM constant_set AS one JOIN module ON module.id = one.module_id "
        "JOIN detector_type ON detector_type.id = module.detector_type_id "
        "LEFT JOIN constant_set_payload AS held ON held.constant_set_id = one.id "
        "LEFT JOIN kind ON kind.id = held.kind_id "
        "WHERE one.id BETWEEN :first AND :last ORDER BY one.id"
    )
    for row, group in groupby(_pages(query, "constant_set"), itemgetter(0)):
        held = list(group)
        _, detector_type, module, number, *recorded = held[0][:8]
        digests = sorted(([one[8], one[9]] for one in held), key=lambda pair: str(pair[0]))
        yield row, _seal_of("constant_set", detector_type, module, number, digests, *recorded)


def _assignments() -> Sealed:
    """Seal the ledger in the order of recording: a row binds its panel's row before it."""
    query = (
        "SELECT one.id, panel.name, panel.module_version, panel.firmware, panel.serial, "
        "one.valid_from_us, used.seal, one.recorded_at_us, one.recorded_by, one.reason "
        "FROM assignment AS one JOIN panel ON panel.id = one.panel_id "
        "LEFT JOIN constant_set AS used ON used.id = one.constant_set_id "
        "WHERE one.id BETWEEN :first AND :last ORDER BY one.id"
    )
    previous: dict[str, str] = {}
    for row, panel, *values in _pages(query, "assignment"):
        seal = _seal_of("assignment", previous.get(panel, ""), panel, *values)
        previous[panel] = seal
        yield row, seal


def _runs() -> Sealed:
    query = (
        "SELECT id, experiment, run, source, begin_us, detector_id, modules, note, "
        "recorded_at_us, recorded_by FROM run WHERE id BETWEEN :first AND :last ORDER BY id"
    )
    for row, *values in _pages(query, "run"):
        yield row, _seal_of("run", *values)


def _tags() -> Sealed:
    for values in _ask("SELECT name, as_of_us, recorded_at_us, recorded_by, reason FROM tag"):
        yield values[0], _seal_of("tag", *values)


def _deployments() -> Sealed:
    query = (
        "SELECT one.id, one.experiment, one.run, one.source, kind.name, one.path, "
        "one.file_digest, one.number_format, one.token, one.detector_id, one.at_us, one.policy, "
        "one.deployed_at_us, one.deployed_by, part.segment, part.panel, used.seal "
        "FROM deployment AS one JOIN kind ON kind.id = one.kind_id "
        "LEFT JOIN deployment_panel AS part ON part.deployment_id = one.id "
        "LEFT JOIN constant_set AS used ON used.id = part.constant_set_id "
        "WHERE one.id BETWEEN :first AND :last ORDER BY one.id, part.segment"
    )
    for row, group in groupby(_pages(query, "deployment"), itemgetter(0)):
        held = list(group)
        parts = [list(one[14:]) for one in held if one[14] is not None]
        yield row, _seal_of("deployment", *held[0][1:14], parts)


def _rights() -> None:
    """Give whoever has rights on single columns of a sealed table the same on its seal."""
    for statement in _granted(TABLES.items()):
        op.get_bind().exec_driver_sql(statement)


def _granted(columns: Iterable[tuple[str, str]]) -> Iterator[str]:
    for table, column in columns:
        query = (
            f"SELECT format('GRANT %s (seal) ON {table} TO %s%s', given.privilege_type, "
            "CASE WHEN given.grantee = 0 THEN 'PUBLIC' "
            "ELSE quote_ident(pg_get_userbyid(given.grantee)) END, "
            "CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
            "FROM pg_attribute CROSS JOIN LATERAL aclexplode(attacl) AS given "
            f"WHERE attrelid = '{table}'::regclass AND attname = '{column}'"
        )
        for (statement,) in _ask(query):
            yield statement


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "seal")
