"""Quality: rules of a detector type, and what they said of constant sets.

Rules are settings, as kinds are: they come with migrations. Verdicts, their findings and
numbers are part of the record, and rows of them are only added.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

KEYS = {
    "quality_verdict": ["id"],
    "quality_finding": ["verdict_id", "number"],
    "quality_plane": ["verdict_id", "kind", "gain_range"],
}
"""Tables whose rows are only added, and what identifies a row of each."""

Bounds = tuple[float | None, float | None]
Rule = tuple[str, str | None, int | None, Bounds | None, Bounds | None]

GAIN, OFFSET = "pixel_gain", "pixel_offset"

JUNGFRAU: tuple[Rule, ...] = (
    # Check, kind, gain range, bounds beyond which there is an error, and a warning.
    ("finite_fraction", None, None, (1.0, None), None),
    ("dead_fraction", GAIN, None, (None, 0.02), (None, 0.005)),
    ("saturated_fraction", GAIN, None, (None, 0.02), (None, 0.005)),
    ("saturated_fraction", OFFSET, None, (None, 0.02), (None, 0.001)),
    ("constant_fraction", GAIN, None, (None, 0.5), None),
    ("constant_fraction", OFFSET, 0, None, (None, 0.5)),
    ("constant_fraction", OFFSET, 1, (None, 0.5), None),
    ("constant_fraction", OFFSET, 2, (None, 0.5), None),
    ("equal_fraction", None, None, (None, 0.5), None),
    ("median", GAIN, 0, (33.0, 50.0), (37.0, 46.0)),
    ("median", GAIN, 1, (-1.7, -1.1), (-1.55, -1.23)),
    ("median", GAIN, 2, (-0.14, -0.08), (-0.123, -0.097)),
    ("median", OFFSET, None, None, (-5000.0, 5000.0)),
    ("positive_fraction", GAIN, 0, (0.98, None), None),
    ("positive_fraction", GAIN, 1, (None, 0.02), None),
    ("positive_fraction", GAIN, 2, (None, 0.02), None),
    ("relative_sigma", GAIN, None, (None, 0.3), (None, 0.1)),
    ("range_ratio", GAIN, 0, (-45.0, -20.0), (-37.0, -24.0)),
    ("range_ratio", GAIN, 1, (8.0, 19.0), (10.0, 15.5)),
    ("low_tail", OFFSET, None, (-16384.0, None), None),
    ("high_tail", OFFSET, None, (None, 16384.0), None),
    ("relative_drift", GAIN, None, (-0.1, 0.1), (-0.03, 0.03)),
    ("relative_drift_sigma", GAIN, None, (None, 0.1), (None, 0.03)),
    ("drift", OFFSET, None, (-40.0, 40.0), (-10.0, 10.0)),
    ("block_drift", OFFSET, None, (-40.0, 40.0), (-15.0, 15.0)),
    ("drift_outliers", None, None, None, (None, 0.05)),
    ("pattern_correlation", GAIN, 0, (0.3, None), None),
    ("pattern_correlation", GAIN, 1, None, (0.3, None)),
    ("turned", None, None, (None, 0.3), None),
    ("swapped_ranges", None, None, (0.5, None), None),
    ("relative_population_shift", GAIN, None, (-0.2, 0.2), (-0.1, 0.1)),
    ("population_shift", OFFSET, None, None, (-500.0, 500.0)),
    ("module_correlation", None, None, (None, 0.9), None),
)
"""What is expected of a jungfrau panel; docs/quality.md says where each number comes from."""


def upgrade() -> None:
    _rules()
    _verdicts()
    _jungfrau()
    _triggers()


def _rules() -> None:
    op.create_table(
        "quality_rule",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("detector_type_id", sa.Integer(), nullable=False),
        sa.Column("check_name", sa.String(64), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=True),
        sa.Column("gain_range", sa.Integer(), nullable=True),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "severity IN ('error', 'warning')", name=op.f("ck_quality_rule_severity_known")
        ),
        sa.CheckConstraint(
            "low IS NOT NULL OR high IS NOT NULL", name=op.f("ck_quality_rule_bounded")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_rule")),
        sa.ForeignKeyConstraint(
            ["detector_type_id"],
            ["detector_type.id"],
            name=op.f("fk_quality_rule_detector_type_id_detector_type"),
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"], ["kind.id"], name=op.f("fk_quality_rule_kind_id_kind")
        ),
    )


def _verdicts() -> None:
    op.create_table(
        "quality_verdict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("constant_set_id", sa.Integer(), nullable=False),
        sa.Column("rules_digest", sa.String(64), nullable=False),
        sa.Column("accepted", sa.String(), nullable=True),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("seal", sa.String(64), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quality_verdict")),
        sa.ForeignKeyConstraint(
            ["constant_set_id"],
            ["constant_set.id"],
            name=op.f("fk_quality_verdict_constant_set_id_constant_set"),
        ),
    )
    for column in ("constant_set_id", "recorded_at_us"):
        op.create_index(op.f(f"ix_quality_verdict_{column}"), "quality_verdict", [column])
    op.create_table(
        "quality_finding",
        sa.Column("verdict_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("check_name", sa.String(64), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("gain_range", sa.Integer(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=True),
        sa.Column("high", sa.Double(), nullable=True),
        sa.Column("text", sa.String(), nullable=False),
        sa.CheckConstraint(
            "severity IN ('error', 'warning')", name=op.f("ck_quality_finding_severity_known")
        ),
        sa.PrimaryKeyConstraint("verdict_id", "number", name=op.f("pk_quality_finding")),
        sa.ForeignKeyConstraint(
            ["verdict_id"],
            ["quality_verdict.id"],
            name=op.f("fk_quality_finding_verdict_id_quality_verdict"),
        ),
    )
    op.create_table(
        "quality_plane",
        sa.Column("verdict_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(64), nullable=False),
        sa.Column("gain_range", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("median", sa.Double(), nullable=False),
        sa.Column("sigma", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("verdict_id", "kind", "gain_range", name=op.f("pk_quality_plane")),
        sa.ForeignKeyConstraint(
            ["verdict_id"],
            ["quality_verdict.id"],
            name=op.f("fk_quality_plane_verdict_id_quality_verdict"),
        ),
    )


def _jungfrau() -> None:
    statement = sa.text(
        "INSERT INTO quality_rule "
        "(detector_type_id, check_name, kind_id, gain_range, severity, low, high) "
        "SELECT detector_type.id, :check_name, kind.id, :gain_range, :severity, :low, :high "
        "FROM detector_type LEFT JOIN kind "
        "ON kind.detector_type_id = detector_type.id AND kind.name = :kind "
        "WHERE detector_type.name = 'jungfrau'"
    ).bindparams(
        sa.bindparam("kind", type_=sa.String()),
        sa.bindparam("gain_range", type_=sa.Integer()),
        sa.bindparam("low", type_=sa.Double()),
        sa.bindparam("high", type_=sa.Double()),
    )
    for check_name, kind, gain_range, error, warning in JUNGFRAU:
        for severity, bounds in (("error", error), ("warning", warning)):
            if bounds is not None:
                low, high = bounds
                op.execute(
                    statement.bindparams(
                        check_name=check_name,
                        kind=kind,
                        gain_range=gain_range,
                        severity=severity,
                        low=low,
                        high=high,
                    )
                )


def _triggers() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _sqlite_triggers()
    else:
        _postgresql_triggers()
        _rights()


def _sqlite_triggers() -> None:
    for table, key in KEYS.items():
        refuse = f"SELECT RAISE(ABORT, '{table} is append-only: rows are never changed')"
        for event in ("UPDATE", "DELETE"):
            name = f"{table}_refuses_{event.lower()}"
            op.execute(f"CREATE TRIGGER {name} BEFORE {event} ON {table} BEGIN {refuse}; END")
        same = " AND ".join(f"{column} = NEW.{column}" for column in key)
        # A table without an integer key has a row number besides, to replace by.
        by_number = "" if key == ["id"] else " OR (rowid = NEW.rowid)"
        op.execute(
            f"CREATE TRIGGER {table}_refuses_replace BEFORE INSERT ON {table} "
            f"WHEN EXISTS (SELECT 1 FROM {table} WHERE ({same}){by_number}) BEGIN {refuse}; END"
        )


def _postgresql_triggers() -> None:
    for table in KEYS:
        op.execute(
            f"CREATE TRIGGER {table}_refuses_change BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION panelcal_refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_refuses_truncate BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION panelcal_refuse_change()"
        )


def _rights() -> None:
    """Whoever reads or adds deliveries does so with verdicts; rules are read as kinds are."""
    copies = [("quality_rule", "kind"), *((table, "constant_set") for table in KEYS)]
    copies += [("quality_verdict_id_seq", "constant_set_id_seq")]
    for new, like in copies:
        of_table = not new.endswith("_seq")
        what = "" if of_table else "SEQUENCE "
        owner = (
            f"SELECT format('ALTER TABLE {new} OWNER TO %I', pg_get_userbyid(relowner)) "
            f"FROM pg_class WHERE oid = '{like}'::regclass"
        )
        given = (
            f"SELECT format('GRANT %s ON {what}{new} TO %s%s', given.privilege_type, "
            "CASE WHEN given.grantee = 0 THEN 'PUBLIC' "
            "ELSE quote_ident(pg_get_userbyid(given.grantee)) END, "
            "CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) "
            "FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS given "
            f"WHERE oid = '{like}'::regclass AND given.grantee <> relowner ORDER BY 1"
        )
        # The owner of a sequence is that of its table. Rights are given by the owner.
        for query in [owner, given] if of_table else [given]:
            for statement in op.get_bind().execute(sa.text(query)).scalars().all():
                op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for table in ("quality_plane", "quality_finding", "quality_verdict", "quality_rule"):
        op.drop_table(table)
