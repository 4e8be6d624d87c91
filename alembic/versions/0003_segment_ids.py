"""Ids of LCLS2 segments fit where panel ids do, and SQL sees the segments of their runs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from alembic.util import CommandError

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = (
    ("panel", "name", 64, False),
    ("panel", "serial", 16, False),
    ("deployment_panel", "panel", 64, True),
)
"""What holds an id of a panel: table, column, its length until now, may it be NULL."""

LENGTH = 265
"""A detector type's name, an underscore, and a segment id: 64 + 1 + 200 characters."""

VIEWS = (
    "run_use",
    "panel_by_serial",
    "deployed",
    "ledger",
    "current_assignment",
)
"""In an order in which they can be dropped."""


def upgrade() -> None:
    granted = _drop_views()
    _alter(LENGTH)
    _views()
    _run_use(_segments(), f"used.panel IN (part.value, {_prefix()} || part.value)")
    _grant(granted)


def downgrade() -> None:
    _require_that_ids_fit()
    granted = _drop_views()
    _alter(None)
    _views()
    _run_use(_parts("run.detector_id", "_"), "used.panel = part.value")
    _grant(granted)


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def _alter(length: int | None) -> None:
    """Widen the columns, or give them back the length they had."""
    if _is_sqlite():
        # It enforces no length, and could alter a column only by copying the
        # table, under its triggers and foreign keys.
        return
    for table, column, former, nullable in COLUMNS:
        op.alter_column(
            table,
            column,
            type_=sa.String(length or former),
            existing_type=sa.String(former if length else LENGTH),
            existing_nullable=nullable,
        )


def _require_that_ids_fit() -> None:
    """Refuse to lose an id, on SQLite too: what a revision can hold is one thing."""
    for table, column, former, _ in COLUMNS:
        query = f"SELECT {column} FROM {table} WHERE length({column}) > {former} ORDER BY 1"
        found = op.get_bind().execute(sa.text(query)).scalars().all()
        if found:
            msg = (
                f"{table}.{column} holds {len(found)} of more than {former} characters, "
                f"such as {found[0]}; nothing was changed"
            )
            raise CommandError(msg)


def _drop_views() -> list[str]:
    """Drop the views, which PostgreSQL would not let the columns change under.

    Returns the statements that give their like the owners and rights they had.
    """
    granted = [] if _is_sqlite() else _rights()
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    return granted


def _rights() -> list[str]:
    names = ", ".join(f"'{view}'" for view in VIEWS)
    query = (
        "SELECT format('ALTER VIEW %I OWNER TO %I', relname, pg_get_userbyid(relowner)) "
        f"FROM pg_class WHERE relnamespace = current_schema()::regnamespace "
        f"AND relname IN ({names}) UNION ALL "
        "SELECT format('GRANT %s ON %I TO %s%s', given.privilege_type, relname, "
        "CASE WHEN given.grantee = 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(given.grantee)) END, "
        "CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
        "FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS given "
        f"WHERE relnamespace = current_schema()::regnamespace AND relname IN ({names}) "
        "AND given.grantee <> relowner ORDER BY 1"
    )
    return list(op.get_bind().execute(sa.text(query)).scalars())


def _grant(granted: list[str]) -> None:
    # "ALTER" sorts before "GRANT": rights are given by the owner.
    for statement in granted:
        op.get_bind().exec_driver_sql(statement)


def _moment(column: str) -> str:
    """Return SQL for a moment in words; *the beginning* and no moment are NULL."""
    if _is_sqlite():
        text = (
            f"strftime('%Y-%m-%dT%H:%M:%S', {column} / 1000000, 'unixepoch') "
            f"|| printf('.%06dZ', {column} % 1000000)"
        )
    else:
        text = (
            f"to_char(timestamp '1970-01-01' + {column} * interval '1 microsecond', "
            '\'YYYY-MM-DD"T"HH24:MI:SS.US"Z"\')'
        )
    return f"CASE WHEN {column} > -9223372036854775808 THEN {text} END"


def _parts(column: str, separator: str) -> str:
    """Return SQL that joins each run with the parts of a column, numbered from 0."""
    if _is_sqlite():
        array = f"'[\"' || replace({column}, '{separator}', '\",\"') || '\"]'"
        return f"run JOIN json_each({array}) AS part"
    return (
        "run CROSS JOIN LATERAL (SELECT value, place - 1 AS key FROM "
        f"unnest(string_to_array({column}, '{separator}')) "
        "WITH ORDINALITY AS split (value, place)) AS part"
    )


def _prefix() -> str:
    """Return SQL for the first word of an LCLS2 detector id with its underscore.

    It is the detector type and has no dash; the first panel id of LCLS1 has two.
    """
    find = "instr" if _is_sqlite() else "strpos"
    first = f"substr(run.detector_id, 1, {find}(run.detector_id, '_'))"
    return f"CASE WHEN {find}({first}, '-') = 0 THEN {first} ELSE '' END"


def _segments() -> str:
    """Return SQL that joins each run with the segments of its detector id, from 0."""
    segments = f"substr(run.detector_id, length({_prefix()}) + 1)"
    if _is_sqlite():
        # Quoted before it is cut into an array: a segment may hold what JSON escapes.
        array = f"'[' || replace(json_quote({segments}), '_', '\",\"') || ']'"
        return f"run JOIN json_each({array}) AS part"
    return _parts(segments, "_")


def _views() -> None:
    in_force = (
        "NOT EXISTS (SELECT 1 FROM assignment AS later WHERE later.panel_id = row.panel_id "
        "AND later.valid_from_us = row.valid_from_us "
        "AND later.recorded_at_us > row.recorded_at_us)"
    )
    until = (
        "(SELECT min(next.valid_from_us) FROM assignment AS next "
        "WHERE next.panel_id = row.panel_id AND next.valid_from_us > row.valid_from_us)"
    )
    joined = (
        "FROM assignment AS row JOIN panel ON panel.id = row.panel_id "
        "LEFT JOIN constant_set ON constant_set.id = row.constant_set_id "
        "LEFT JOIN module ON module.id = constant_set.module_id"
    )
    op.execute(
        "CREATE VIEW current_assignment AS SELECT panel.name AS panel, panel.serial, "
        "module.name AS module, constant_set.revision, "
        f"{_moment('row.valid_from_us')} AS valid_from, {_moment(until)} AS valid_until, "
        f"{_moment('row.recorded_at_us')} AS recorded_at, row.recorded_by, row.reason, "
        f"row.id AS assignment_id, row.valid_from_us, {until} AS valid_until_us "
        f"{joined} WHERE {in_force}"
    )
    superseded = (
        "(SELECT min(later.recorded_at_us) FROM assignment AS later "
        "WHERE later.panel_id = row.panel_id AND later.valid_from_us = row.valid_from_us "
        "AND later.recorded_at_us > row.recorded_at_us)"
    )
    op.execute(
        "CREATE VIEW ledger AS SELECT row.id AS assignment_id, panel.name AS panel, panel.serial, "
        "module.name AS module, constant_set.revision, "
        f"{_moment('row.valid_from_us')} AS valid_from, "
        f"{_moment('row.recorded_at_us')} AS recorded_at, "
        f"{_moment(superseded)} AS superseded_at, row.recorded_by, row.reason {joined}"
    )
    op.execute(
        "CREATE VIEW deployed AS SELECT deployment.id AS deployment_id, deployment.experiment, "
        "deployment.run, deployment.source, kind.name AS kind, deployment.path, "
        "deployment.file_digest, deployment.token, deployment.detector_id, "
        "part.segment, part.panel, module.name AS module, constant_set.revision, "
        f"{_moment('deployment.at_us')} AS valid_at, deployment.policy, "
        f"{_moment('deployment.deployed_at_us')} AS deployed_at, deployment.deployed_by "
        "FROM deployment JOIN kind ON kind.id = deployment.kind_id "
        "JOIN deployment_panel AS part ON part.deployment_id = deployment.id "
        "JOIN constant_set ON constant_set.id = part.constant_set_id "
        "JOIN module ON module.id = constant_set.module_id"
    )
    op.execute(
        "CREATE VIEW panel_by_serial AS SELECT panel.serial, panel.name AS panel, "
        "(SELECT count(*) FROM panel AS twin WHERE twin.serial = panel.serial) AS panel_ids, "
        "latest.module, latest.revision, latest.valid_from FROM panel "
        "LEFT JOIN current_assignment AS latest ON latest.panel = panel.name "
        "AND latest.valid_until IS NULL"
    )


def _run_use(segments: str, is_panel: str) -> None:
    """Make the view of what runs get.

    `segments` joins each run with the parts of its detector id, and `is_panel`
    says which assignments are of the panel that a part names.
    """
    latest_run = (
        "NOT EXISTS (SELECT 1 FROM run AS later WHERE later.experiment = run.experiment "
        "AND later.run = run.run AND later.source = run.source "
        "AND later.recorded_at_us > run.recorded_at_us)"
    )
    op.execute(
        "CREATE VIEW run_use AS SELECT run.experiment, run.run, run.source, "
        f"{_moment('run.begin_us')} AS begin_at, part.key AS segment, "
        "used.panel, used.module, used.revision, used.valid_from "
        f"FROM {segments} JOIN current_assignment AS used "
        f"ON {is_panel} AND used.valid_from_us <= run.begin_us "
        "AND (used.valid_until_us IS NULL OR used.valid_until_us > run.begin_us) "
        f"WHERE {latest_run} UNION ALL "
        # A declared module without a revision means its first one.
        f"SELECT run.experiment, run.run, run.source, {_moment('run.begin_us')}, part.key, "
        "NULL, module.name, constant_set.revision, NULL "
        f"FROM {_parts('run.modules', ' ')} CROSS JOIN module "
        "JOIN constant_set ON constant_set.module_id = module.id AND "
        "part.value IN (module.name || '@' || constant_set.revision, "
        "CASE WHEN constant_set.revision = 1 THEN module.name END) "
        f"WHERE run.modules <> '' AND {latest_run}"
    )
