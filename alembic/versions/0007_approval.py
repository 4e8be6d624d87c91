"""Two people for a change of the ledger: the mode, proposals, and what was decided of them."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEYS = {
    "approval_mode": ["id"],
    "proposal": ["id"],
    "proposal_assignment": ["proposal_id", "position"],
    "decision": ["proposal_id"],
}
"""Tables whose rows are only added, and what identifies a row of each."""


def upgrade() -> None:
    op.create_table(
        "approval_mode",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("required", sa.Integer(), nullable=False),
        *_recorded(),
        sa.CheckConstraint("required IN (0, 1)", name=op.f("ck_approval_mode_required_is_0_or_1")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_approval_mode")),
    )
    op.create_table(
        "proposal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("verb", sa.String(16), nullable=False),
        *_recorded(),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proposal")),
    )
    op.create_table(
        "proposal_assignment",
        sa.Column("proposal_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("panel", sa.String(265), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("constant_set_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["proposal_id"],
            ["proposal.id"],
            name=op.f("fk_proposal_assignment_proposal_id_proposal"),
        ),
        sa.ForeignKeyConstraint(
            ["constant_set_id"],
            ["constant_set.id"],
            name=op.f("fk_proposal_assignment_constant_set_id_constant_set"),
        ),
        sa.PrimaryKeyConstraint("proposal_id", "position", name=op.f("pk_proposal_assignment")),
    )
    op.create_table(
        "decision",
        sa.Column("proposal_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("verdict", sa.String(16), nullable=False),
        *_recorded(),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name=op.f("fk_decision_proposal_id_proposal")
        ),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_decision")),
    )
    for table in ("approval_mode", "proposal", "decision"):
        # What the next transaction time has to be later than.
        op.create_index(op.f(f"ix_{table}_recorded_at_us"), table, ["recorded_at_us"])
    _triggers()


def _recorded() -> list["sa.Column[str] | sa.Column[int]"]:
    return [
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("seal", sa.String(64), nullable=False, server_default=""),
    ]


def _triggers() -> None:
    """Refuse changes of rows, as the triggers of revision 0002 do for the other tables."""
    for table, key in KEYS.items():
        if op.get_bind().dialect.name == "sqlite":
            _sqlite_triggers(table, key)
            continue
        op.execute(
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION panelcal_refuse_change()"
        )


def _sqlite_triggers(table: str, key: Sequence[str]) -> None:
    refuse = f"SELECT RAISE(ABORT, '{table} is append-only: rows are never changed')"
    for event in ("UPDATE", "DELETE"):
        name = f"{table}_refuses_{event.lower()}"
        op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN {refuse}; END")
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    if len(key) > 1:
        # A table without an integer key has a row number besides, to replace by.
        same = f"({same}) OR rowid = NEW.rowid"
    op.execute(
        f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN {refuse}; END"
    )


def downgrade() -> None:
    for table in reversed(KEYS):
        op.drop_table(table)
