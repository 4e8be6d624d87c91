"""Rows that can only be added, tags, and views for people who only have SQL."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEYS = {
    "store": [["id"]],
    "module": [["id"], ["name"]],
    "constant_set": [["id"], ["module_id", "revision"]],
    "payload": [["digest"]],
    "constant_set_payload": [["constant_set_id", "kind_id"]],
    "panel": [["id"], ["name"]],
    "assignment": [["id"], ["panel_id", "valid_from_us", "recorded_at_us"]],
    "run": [["id"], ["experiment", "run", "source", "recorded_at_us"]],
    "deployment": [["id"]],
    "deployment_panel": [["deployment_id", "segment"]],
    "tag": [["name"]],
}
"""Tables whose rows are only added, and what identifies a row of each."""

CLOCK_SKEW_US = 300 * 1_000_000
"""How far the clocks of writers may be ahead of the database's own: five minutes."""

VIEWS = (
    "run_use",
    "panel_by_serial",
    "deployed",
    "ledger",
    "current_assignment",
)


def upgrade() -> None:
    op.create_table(
        "tag",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("as_of_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_tag")),
        sa.CheckConstraint(
            "as_of_us <= recorded_at_us", name=op.f("ck_tag_as_of_is_not_later_than_record")
        ),
    )
    op.create_index(op.f("ix_tag_recorded_at_us"), "tag", ["recorded_at_us"])
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()
    _views()


def _sqlite_triggers() -> None:
    for table, keys in KEYS.items():
        refuse = f"SELECT RAISE(ABORT, '{table} is append-only: rows are never changed')"
        for event in ("UPDATE", "DELETE"):
            name = f"{table}_refuses_{event.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN {refuse}; END")
        # INSERT OR REPLACE deletes without asking the trigger above, unless the
        # connection has recursive triggers on.
        # A table without an integer key has a row number besides, to replace by.
        by_number = [] if ["id"] in keys else [["rowid"]]
        same = " OR ".join(
            "(" + " AND ".join(f"{column} = NEW.{column}" for column in key) + ")"
            for key in keys + by_number
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN {refuse}; END"
        )
    now = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000"
    op.execute(
        "CREATE TRIGGER assignment_refuses_wrong_times BEFORE INSERT ON assignment BEGIN "
        "SELECT RAISE(ABORT, 'assignment is append-only: recorded earlier than the last row') "
        "WHERE NEW.recorded_at_us < (SELECT max(recorded_at_us) FROM assignment); "
        "SELECT RAISE(ABORT, 'assignment is recorded in the future') "
        f"WHERE NEW.recorded_at_us > {now} + {CLOCK_SKEW_US}; END"
    )


def _postgresql_triggers() -> None:
    op.execute(
        "CREATE FUNCTION panelcal_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN RAISE EXCEPTION '% is append-only: rows are never changed', TG_TABLE_NAME "
        "USING ERRCODE = 'restrict_violation'; END $$"
    )
    for table in KEYS:
        op.execute(
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION panelcal_refuse_change()"
        )
    op.execute(
        "CREATE FUNCTION panelcal_refuse_wrong_times() RETURNS trigger LANGUAGE plpgsql AS $$ "
        "BEGIN "
        "IF NEW.recorded_at_us < (SELECT max(recorded_at_us) FROM assignment) THEN "
        "RAISE EXCEPTION 'assignment is append-only: recorded earlier than the last row' "
        "USING ERRCODE = 'restrict_violation'; END IF; "
        "IF NEW.recorded_at_us > extract(epoch FROM clock_timestamp()) * 1000000 "
        f"+ {CLOCK_SKEW_US} THEN "
        "RAISE EXCEPTION 'assignment is recorded in the future' "
        "USING ERRCODE = 'restrict_violation'; END IF; "
        "RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER assignment_refuses_wrong_times BEFORE INSERT ON assignment "
        "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_wrong_times()"
    )


def _moment(column: str) -> str:
    """Return SQL for a moment in words; *the beginning* and no moment are NULL."""
    if op.get_bind().dialect.name == "sqlite":
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
    if op.get_bind().dialect.name == "sqlite":
        array = f"'[\"' || replace({column}, '{separator}', '\",\"') || '\"]'"
        return f"run JOIN json_each({array}) AS part"
    return (
        "run CROSS JOIN LATERAL (SELECT value, place - 1 AS key FROM "
        f"unnest(string_to_array({column}, '{separator}')) "
        "WITH ORDINALITY AS split (value, place)) AS part"
    )


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
    latest_run = (
        "NOT EXISTS (SELECT 1 FROM run AS later WHERE later.experiment = run.experiment "
        "AND later.run = run.run AND later.source = run.source "
        "AND later.recorded_at_us > run.recorded_at_us)"
    )
    op.execute(
        "CREATE VIEW run_use AS SELECT run.experiment, run.run, run.source, "
        f"{_moment('run.begin_us')} AS begin_at, part.key AS segment, "
        "used.panel, used.module, used.revision, used.valid_from "
        f"FROM {_parts('run.detector_id', '_')} JOIN current_assignment AS used "
        "ON used.panel = part.value AND used.valid_from_us <= run.begin_us "
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


def downgrade() -> None:
    for view in VIEWS:
        op.execute(f"DROP VIEW {view}")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER assignment_refuses_wrong_times")
        for table in KEYS:
            for event in ("update", "delete", "replace"):
                op.execute(f"DROP TRIGGER {table}_refuses_{event}")
    else:
        op.execute("DROP TRIGGER assignment_refuses_wrong_times ON assignment")
        for table in KEYS:
            for event in ("change", "truncate"):
                op.execute(f"DROP TRIGGER {table}_refuses_{event} ON {table}")
        op.execute("DROP FUNCTION panelcal_refuse_wrong_times()")
        op.execute("DROP FUNCTION panelcal_refuse_change()")
    op.drop_table("tag")
