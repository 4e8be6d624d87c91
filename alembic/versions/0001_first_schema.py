"""The first schema: types, modules, payloads, panels, ledger, runs, deployments."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    _detector_types()
    _deliveries()
    _ledger()
    _runs_and_deployments()
    for table, column in (
        ("constant_set", "recorded_at_us"),
        ("assignment", "recorded_at_us"),
        ("run", "recorded_at_us"),
        ("deployment", "deployed_at_us"),
    ):
        # What the next transaction time has to be later than.
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    _jungfrau()


def _detector_types() -> None:
    op.create_table(
        "store",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("time_zone", sa.String(64), nullable=False),
        sa.Column("created_at_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store")),
    )
    op.create_table(
        "detector_type",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("gain_ranges", sa.Integer(), nullable=False),
        sa.Column("panel_rows", sa.Integer(), nullable=False),
        sa.Column("panel_columns", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(64), nullable=False),
        sa.Column("calib_group", sa.String(64), nullable=False),
        sa.CheckConstraint("gain_ranges > 0", name=op.f("ck_detector_type_gain_ranges_positive")),
        sa.CheckConstraint("panel_rows > 0", name=op.f("ck_detector_type_panel_rows_positive")),
        sa.CheckConstraint(
            "panel_columns > 0", name=op.f("ck_detector_type_panel_columns_positive")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detector_type")),
        sa.UniqueConstraint("name", name=op.f("uq_detector_type_name")),
    )
    op.create_table(
        "kind",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("detector_type_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("unit", sa.String(32), nullable=False),
        sa.Column("file_stem", sa.String(64), nullable=False),
        sa.Column("text_format", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(
            ["detector_type_id"],
            ["detector_type.id"],
            name=op.f("fk_kind_detector_type_id_detector_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_kind")),
        sa.UniqueConstraint("detector_type_id", "name", name=op.f("uq_kind_detector_type_id_name")),
        sa.UniqueConstraint(
            "detector_type_id",
            "file_stem",
            name=op.f("uq_kind_detector_type_id_file_stem"),
        ),
    )


def _deliveries() -> None:
    op.create_table(
        "module",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("detector_type_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["detector_type_id"],
            ["detector_type.id"],
            name=op.f("fk_module_detector_type_id_detector_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_module")),
        sa.UniqueConstraint("name", name=op.f("uq_module_name")),
    )
    op.create_table(
        "constant_set",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("module_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("delivered_from", sa.String(), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.CheckConstraint("revision > 0", name=op.f("ck_constant_set_revision_positive")),
        sa.ForeignKeyConstraint(
            ["module_id"],
            ["module.id"],
            name=op.f("fk_constant_set_module_id_module"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_constant_set")),
        sa.UniqueConstraint(
            "module_id", "revision", name=op.f("uq_constant_set_module_id_revision")
        ),
    )
    op.create_table(
        "payload",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("dtype", sa.String(16), nullable=False),
        sa.Column("shape", sa.String(64), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_payload_digest_is_sha256")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_payload")),
    )
    op.create_table(
        "constant_set_payload",
        sa.Column("constant_set_id", sa.Integer(), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.ForeignKeyConstraint(
            ["constant_set_id"],
            ["constant_set.id"],
            name=op.f("fk_constant_set_payload_constant_set_id_constant_set"),
        ),
        sa.ForeignKeyConstraint(
            ["kind_id"],
            ["kind.id"],
            name=op.f("fk_constant_set_payload_kind_id_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["digest"],
            ["payload.digest"],
            name=op.f("fk_constant_set_payload_digest_payload"),
        ),
        sa.PrimaryKeyConstraint("constant_set_id", "kind_id", name=op.f("pk_constant_set_payload")),
    )
    op.create_index(op.f("ix_constant_set_payload_digest"), "constant_set_payload", ["digest"])


def _ledger() -> None:
    op.create_table(
        "panel",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("detector_type_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("module_version", sa.String(16), nullable=False),
        sa.Column("firmware", sa.String(16), nullable=False),
        sa.Column("serial", sa.String(16), nullable=False),
        sa.ForeignKeyConstraint(
            ["detector_type_id"],
            ["detector_type.id"],
            name=op.f("fk_panel_detector_type_id_detector_type"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_panel")),
        sa.UniqueConstraint("name", name=op.f("uq_panel_name")),
    )
    op.create_index(op.f("ix_panel_serial"), "panel", ["serial"])
    op.create_table(
        "assignment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("panel_id", sa.Integer(), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
        sa.Column("constant_set_id", sa.Integer(), nullable=True),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["panel_id"], ["panel.id"], name=op.f("fk_assignment_panel_id_panel")
        ),
        sa.ForeignKeyConstraint(
            ["constant_set_id"],
            ["constant_set.id"],
            name=op.f("fk_assignment_constant_set_id_constant_set"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignment")),
        sa.UniqueConstraint(
            "panel_id",
            "valid_from_us",
            "recorded_at_us",
            name=op.f("uq_assignment_panel_id_valid_from_us_recorded_at_us"),
        ),
    )
    op.create_index(op.f("ix_assignment_constant_set_id"), "assignment", ["constant_set_id"])


def _runs_and_deployments() -> None:
    op.create_table(
        "run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(32), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("begin_us", sa.BigInteger(), nullable=True),
        sa.Column("detector_id", sa.String(), nullable=True),
        sa.Column("modules", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("recorded_at_us", sa.BigInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "detector_id IS NULL OR modules = ''",
            name=op.f("ck_run_detector_id_or_modules"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run")),
        sa.UniqueConstraint(
            "experiment",
            "run",
            "source",
            "recorded_at_us",
            name=op.f("uq_run_experiment_run_source_recorded_at_us"),
        ),
    )
    op.create_table(
        "deployment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("experiment", sa.String(32), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(128), nullable=False),
        sa.Column("kind_id", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("file_digest", sa.String(64), nullable=False),
        sa.Column("number_format", sa.String(16), nullable=False),
        sa.Column("token", sa.String(16), nullable=False),
        sa.Column("detector_id", sa.String(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=True),
        sa.Column("policy", sa.String(16), nullable=False),
        sa.Column("deployed_at_us", sa.BigInteger(), nullable=False),
        sa.Column("deployed_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["kind_id"], ["kind.id"], name=op.f("fk_deployment_kind_id_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployment")),
    )
    op.create_index(op.f("ix_deployment_run"), "deployment", ["experiment", "run"])
    op.create_index(op.f("ix_deployment_path"), "deployment", ["path"])
    op.create_index(op.f("ix_deployment_token"), "deployment", ["token"])
    op.create_table(
        "deployment_panel",
        sa.Column("deployment_id", sa.Integer(), nullable=False),
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("panel", sa.String(64), nullable=True),
        sa.Column("constant_set_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["deployment_id"],
            ["deployment.id"],
            name=op.f("fk_deployment_panel_deployment_id_deployment"),
        ),
        sa.ForeignKeyConstraint(
            ["constant_set_id"],
            ["constant_set.id"],
            name=op.f("fk_deployment_panel_constant_set_id_constant_set"),
        ),
        sa.PrimaryKeyConstraint("deployment_id", "segment", name=op.f("pk_deployment_panel")),
    )
    op.create_index(
        op.f("ix_deployment_panel_constant_set_id"),
        "deployment_panel",
        ["constant_set_id"],
    )


def _jungfrau() -> None:
    """Describe the first detector type: shape, kinds, units and legacy formats."""
    op.execute(
        "INSERT INTO detector_type "
        "(name, gain_ranges, panel_rows, panel_columns, device, calib_group) "
        "VALUES ('jungfrau', 3, 512, 1024, 'Jungfrau', 'Jungfrau::CalibV1')"
    )
    for name, unit, file_stem, text_format in (
        ("pixel_gain", "ADU/keV", "gain", "%.4f"),
        ("pixel_offset", "ADU", "offset", "%.1f"),
    ):
        op.execute(
            sa.text(
                "INSERT INTO kind (detector_type_id, name, unit, file_stem, text_format) "
                "SELECT id, :name, :unit, :file_stem, :text_format "
                "FROM detector_type WHERE name = 'jungfrau'"
            ).bindparams(name=name, unit=unit, file_stem=file_stem, text_format=text_format)
        )


def downgrade() -> None:
    for table in (
        "deployment_panel",
        "deployment",
        "run",
        "assignment",
        "panel",
        "constant_set_payload",
        "payload",
        "constant_set",
        "module",
        "kind",
        "detector_type",
        "store",
    ):
        op.drop_table(table)
