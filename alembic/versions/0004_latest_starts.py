"""How far each panel's ledger reached at a transaction time, so that the past is found at once.

The row that was in force at T as of A is the one with the greatest start not later than T
among those recorded by A. An index on the start alone finds it by passing every row that was
recorded after A, and a ledger that has grown since has many. No start recorded by A is later
than the latest one of that time: searched from there, nothing has to be passed.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

TABLE = "latest_start"

INSERT = f"INSERT INTO {TABLE} (panel_id, valid_from_us, recorded_at_us)"

IS_LATEST = (
    f"NOT EXISTS (SELECT 1 FROM {TABLE} WHERE panel_id = NEW.panel_id "
    "AND valid_from_us >= NEW.valid_from_us)"
)

NEW_ROW = "(NEW.panel_id, NEW.valid_from_us, NEW.recorded_at_us)"


def upgrade() -> None:
    op.create_table(
        TABLE,
        sa.Column("panel_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("panel_id", "valid_from_us", name=op.f("pk_latest_start")),
        sa.ForeignKeyConstraint(
            ["panel_id"], ["panel.id"], name=op.f("fk_latest_start_panel_id_panel")
        ),
    )
    op.create_index("ix_latest_start_as_of", TABLE, ["panel_id", "recorded_at_us", "valid_from_us"])
    op.execute(
        f"{INSERT} SELECT panel_id, valid_from_us, recorded_at_us FROM ("
        "SELECT panel_id, valid_from_us, recorded_at_us, max(valid_from_us) OVER ("
        "PARTITION BY panel_id ORDER BY recorded_at_us, id "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest FROM assignment) AS row "
        "WHERE latest IS NULL OR valid_from_us > latest"
    )
    _triggers()


def _triggers() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()
        _rights()


def _sqlite_triggers() -> None:
    op.execute(
        "CREATE TRIGGER assignment_keeps_latest_start AFTER INSERT ON assignment "
        f"WHEN {IS_LATEST} BEGIN {INSERT} VALUES {NEW_ROW}; END"
    )
    refuse = f"SELECT RAISE(ABORT, '{TABLE} is append-only: rows are never changed')"
    for event in ("UPDATE", "DELETE"):
        name = f"{TABLE}_refuses_{event.lower()}"
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {TABLE} BEGIN {refuse}; END")
    # The second key is the row number, by which INSERT OR REPLACE could replace.
    op.execute(
        f"CREATE TRIGGER {TABLE}_refuses_replace BEFORE INSERT ON {TABLE} "
        f"WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE (panel_id = NEW.panel_id "
        f"AND valid_from_us = NEW.valid_from_us) OR (rowid = NEW.rowid)) BEGIN {refuse}; END"
    )


def _postgresql_triggers() -> None:
    op.execute(
        "CREATE FUNCTION panelcal_keep_latest_start() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN IF {IS_LATEST} THEN {INSERT} VALUES {NEW_ROW}; END IF; RETURN NULL; END $$"
    )
    op.execute(
        "CREATE TRIGGER assignment_keeps_latest_start AFTER INSERT ON assignment "
        "FOR EACH ROW EXECUTE FUNCTION panelcal_keep_latest_start()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_refuses_change BEFORE UPDATE OR DELETE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_change()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_refuses_truncate BEFORE TRUNCATE ON {TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION panelcal_refuse_change()"
    )


def _rights() -> None:
    """Whoever reads or adds to the ledger does so here: give what is given there."""
    ledger = "oid = 'assignment'::regclass"
    query = (
        f"SELECT format('GRANT %s ON {TABLE} TO %s%s', given.privilege_type, "
        "CASE WHEN given.grantee = 0 THEN 'PUBLIC' "
        "ELSE quote_ident(pg_get_userbyid(given.grantee)) END, "
        "CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
        f"FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS given WHERE {ledger} "
        "AND given.grantee <> relowner UNION ALL "
        f"SELECT format('ALTER TABLE {TABLE} OWNER TO %I', pg_get_userbyid(relowner)) "
        f"FROM pg_class WHERE {ledger} UNION ALL "
        "SELECT format('ALTER FUNCTION panelcal_keep_latest_start() OWNER TO %I', "
        f"pg_get_userbyid(relowner)) FROM pg_class WHERE {ledger} ORDER BY 1"
    )
    # "ALTER" sorts before "GRANT": rights are given by the owner.
    for statement in op.get_bind().execute(sa.text(query)).scalars().all():
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    op.execute(
        "DROP TRIGGER assignment_keeps_latest_start"
        + ("" if op.get_bind().dialect.name == "sqlite" else " ON assignment")
    )
    op.drop_table(TABLE)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION panelcal_keep_latest_start()")
