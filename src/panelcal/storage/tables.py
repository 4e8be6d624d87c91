"""The relational schema as SQLAlchemy models.

The models describe what the migrations build; a test holds the two equal.
Times are microseconds since 1970 UTC in columns that end in ``_us``
(`panelcal.domain.moments`). Rows of the ledger, of runs and of deployments are
only ever added.
"""

from typing import Annotated

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Index,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from panelcal.domain.ids import MAX_NAME

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

# SQLite enforces no length and cannot alter a column: there the types stay as
# revision 0001 declared them, and nothing is cut off.
PANEL_NAME = String(MAX_NAME).with_variant(String(64), "sqlite")
PANEL_SERIAL = String(MAX_NAME).with_variant(String(16), "sqlite")

# A row that is inserted by hand without one is found to be without one.
SEAL = Annotated[str, mapped_column(String(64), server_default="")]


class Base(DeclarativeBase):
    """Holds the metadata that all models share."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


class StoreRow(Base):
    """What was fixed when the store was made: one row."""

    __tablename__ = "store"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    time_zone: Mapped[str] = mapped_column(String(64))
    created_at_us: Mapped[int] = mapped_column(BigInteger)
    seal: Mapped[SEAL]


class DetectorTypeRow(Base):
    """A family of panels with one shape, such as jungfrau."""

    __tablename__ = "detector_type"
    __table_args__ = (
        UniqueConstraint("name"),
        CheckConstraint("gain_ranges > 0", name="gain_ranges_positive"),
        CheckConstraint("panel_rows > 0", name="panel_rows_positive"),
        CheckConstraint("panel_columns > 0", name="panel_columns_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    gain_ranges: Mapped[int]
    panel_rows: Mapped[int]
    panel_columns: Mapped[int]
    device: Mapped[str] = mapped_column(String(64))
    calib_group: Mapped[str] = mapped_column(String(64))


class KindRow(Base):
    """A kind of constant of a detector type, such as pixel_gain in ADU/keV."""

    __tablename__ = "kind"
    __table_args__ = (
        UniqueConstraint("detector_type_id", "name"),
        UniqueConstraint("detector_type_id", "file_stem"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    detector_type_id: Mapped[int] = mapped_column(ForeignKey("detector_type.id"))
    name: Mapped[str] = mapped_column(String(64))
    unit: Mapped[str] = mapped_column(String(32))
    file_stem: Mapped[str] = mapped_column(String(64))
    text_format: Mapped[str] = mapped_column(String(16))


class ModuleRow(Base):
    """What the detector group calibrated, such as M044."""

    __tablename__ = "module"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    detector_type_id: Mapped[int] = mapped_column(ForeignKey("detector_type.id"))
    name: Mapped[str] = mapped_column(String(64))


class ConstantSetRow(Base):
    """One immutable delivery for a module."""

    __tablename__ = "constant_set"
    __table_args__ = (
        UniqueConstraint("module_id", "revision"),
        CheckConstraint("revision > 0", name="revision_positive"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    module_id: Mapped[int] = mapped_column(ForeignKey("module.id"))
    revision: Mapped[int]
    delivered_from: Mapped[str] = mapped_column(String)
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class PayloadRow(Base):
    """One array of the payload store, addressed by its digest."""

    __tablename__ = "payload"
    __table_args__ = (CheckConstraint("length(digest) = 64", name="digest_is_sha256"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    dtype: Mapped[str] = mapped_column(String(16))
    shape: Mapped[str] = mapped_column(String(64))
    byte_count: Mapped[int] = mapped_column(BigInteger)


class ConstantSetPayloadRow(Base):
    """Which payload a constant set has for a kind."""

    __tablename__ = "constant_set_payload"

    constant_set_id: Mapped[int] = mapped_column(ForeignKey("constant_set.id"), primary_key=True)
    kind_id: Mapped[int] = mapped_column(ForeignKey("kind.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(ForeignKey("payload.digest"), index=True)


class PanelRow(Base):
    """A panel id, or an LCLS2 segment id; the serial is the physical panel."""

    __tablename__ = "panel"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    detector_type_id: Mapped[int] = mapped_column(ForeignKey("detector_type.id"))
    name: Mapped[str] = mapped_column(PANEL_NAME)
    module_version: Mapped[str] = mapped_column(String(16))
    firmware: Mapped[str] = mapped_column(String(16))
    serial: Mapped[str] = mapped_column(PANEL_SERIAL, index=True)


class AssignmentRow(Base):
    """The ledger: from valid_from on, a panel uses a constant set, or none."""

    __tablename__ = "assignment"
    __table_args__ = (
        # The order of these columns is the resolver's search path.
        UniqueConstraint("panel_id", "valid_from_us", "recorded_at_us"),
        Index("ix_assignment_constant_set_id", "constant_set_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    panel_id: Mapped[int] = mapped_column(ForeignKey("panel.id"))
    valid_from_us: Mapped[int] = mapped_column(BigInteger)
    constant_set_id: Mapped[int | None] = mapped_column(ForeignKey("constant_set.id"))
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class LatestStartRow(Base):
    """When the latest start of a panel's assignments grew, and to what.

    Kept by a trigger on the ledger; a question about the past searches from here.
    """

    __tablename__ = "latest_start"
    __table_args__ = (
        Index("ix_latest_start_as_of", "panel_id", "recorded_at_us", "valid_from_us"),
    )

    panel_id: Mapped[int] = mapped_column(
        ForeignKey("panel.id"), primary_key=True, autoincrement=False
    )
    valid_from_us: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    recorded_at_us: Mapped[int] = mapped_column(BigInteger)


class RunRow(Base):
    """One source of a run. A correction is a further row; the latest holds."""

    __tablename__ = "run"
    __table_args__ = (
        UniqueConstraint("experiment", "run", "source", "recorded_at_us"),
        CheckConstraint("detector_id IS NULL OR modules = ''", name="detector_id_or_modules"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(String(32))
    run: Mapped[int]
    source: Mapped[str] = mapped_column(String(128))
    begin_us: Mapped[int | None] = mapped_column(BigInteger)
    detector_id: Mapped[str | None] = mapped_column(String)
    modules: Mapped[str] = mapped_column(String)
    note: Mapped[str] = mapped_column(String)
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class DeploymentRow(Base):
    """A calib file that was written, with the digest of its bytes."""

    __tablename__ = "deployment"
    __table_args__ = (Index("ix_deployment_run", "experiment", "run"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    experiment: Mapped[str] = mapped_column(String(32))
    run: Mapped[int]
    source: Mapped[str] = mapped_column(String(128))
    kind_id: Mapped[int] = mapped_column(ForeignKey("kind.id"))
    path: Mapped[str] = mapped_column(String, index=True)
    file_digest: Mapped[str] = mapped_column(String(64))
    number_format: Mapped[str] = mapped_column(String(16))
    token: Mapped[str] = mapped_column(String(16), index=True)
    detector_id: Mapped[str] = mapped_column(String)
    at_us: Mapped[int | None] = mapped_column(BigInteger)
    policy: Mapped[str] = mapped_column(String(16))
    deployed_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    deployed_by: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class DeploymentPanelRow(Base):
    """Which constant set a deployed file holds for each panel."""

    __tablename__ = "deployment_panel"
    __table_args__ = (Index("ix_deployment_panel_constant_set_id", "constant_set_id"),)

    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployment.id"), primary_key=True)
    segment: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    panel: Mapped[str | None] = mapped_column(PANEL_NAME)
    constant_set_id: Mapped[int] = mapped_column(ForeignKey("constant_set.id"))


class TagRow(Base):
    """A frozen name for a transaction time."""

    __tablename__ = "tag"
    __table_args__ = (
        CheckConstraint("as_of_us <= recorded_at_us", name="as_of_is_not_later_than_record"),
    )

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    as_of_us: Mapped[int] = mapped_column(BigInteger)
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class QualityRuleRow(Base):
    """Bounds for the numbers of a check, as a detector type has them; a setting, as a kind is."""

    __tablename__ = "quality_rule"
    __table_args__ = (
        CheckConstraint("severity IN ('error', 'warning')", name="severity_known"),
        CheckConstraint("low IS NOT NULL OR high IS NOT NULL", name="bounded"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    detector_type_id: Mapped[int] = mapped_column(ForeignKey("detector_type.id"))
    check_name: Mapped[str] = mapped_column(String(64))
    kind_id: Mapped[int | None] = mapped_column(ForeignKey("kind.id"))
    gain_range: Mapped[int | None]
    severity: Mapped[str] = mapped_column(String(16))
    low: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float | None] = mapped_column(Double)


class QualityVerdictRow(Base):
    """What the rules said of a constant set; the latest verdict of a set holds."""

    __tablename__ = "quality_verdict"

    id: Mapped[int] = mapped_column(primary_key=True)
    constant_set_id: Mapped[int] = mapped_column(ForeignKey("constant_set.id"), index=True)
    rules_digest: Mapped[str] = mapped_column(String(64))
    accepted: Mapped[str | None] = mapped_column(String)
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class QualityFindingRow(Base):
    """A number out of bounds, as a verdict found it."""

    __tablename__ = "quality_finding"
    __table_args__ = (CheckConstraint("severity IN ('error', 'warning')", name="severity_known"),)

    verdict_id: Mapped[int] = mapped_column(ForeignKey("quality_verdict.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    check_name: Mapped[str] = mapped_column(String(64))
    severity: Mapped[str] = mapped_column(String(16))
    kind: Mapped[str] = mapped_column(String(64))
    gain_range: Mapped[int]
    value: Mapped[float] = mapped_column(Double)
    low: Mapped[float | None] = mapped_column(Double)
    high: Mapped[float | None] = mapped_column(Double)
    text: Mapped[str] = mapped_column(String)


class QualityPlaneRow(Base):
    """Median and sigma of one kind and gain range, as a verdict found them."""

    __tablename__ = "quality_plane"

    verdict_id: Mapped[int] = mapped_column(ForeignKey("quality_verdict.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(64), primary_key=True)
    gain_range: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    median: Mapped[float] = mapped_column(Double)
    sigma: Mapped[float] = mapped_column(Double)


class ApprovalModeRow(Base):
    """Whether changes of the ledger need a second person; the last row holds."""

    __tablename__ = "approval_mode"
    __table_args__ = (CheckConstraint("required IN (0, 1)", name="required_is_0_or_1"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    required: Mapped[int]
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class ProposalRow(Base):
    """A change that somebody proposed; nothing of it holds before it is approved."""

    __tablename__ = "proposal"

    id: Mapped[int] = mapped_column(primary_key=True)
    verb: Mapped[str] = mapped_column(String(16))
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]


class ProposalAssignmentRow(Base):
    """A row that a proposal would add to the ledger; the panel may not be registered yet."""

    __tablename__ = "proposal_assignment"

    proposal_id: Mapped[int] = mapped_column(ForeignKey("proposal.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    panel: Mapped[str] = mapped_column(String(MAX_NAME))
    valid_from_us: Mapped[int] = mapped_column(BigInteger)
    constant_set_id: Mapped[int | None] = mapped_column(ForeignKey("constant_set.id"))


class DecisionRow(Base):
    """What became of a proposal. One that was approved has its rows in the ledger."""

    __tablename__ = "decision"

    proposal_id: Mapped[int] = mapped_column(
        ForeignKey("proposal.id"), primary_key=True, autoincrement=False
    )
    verdict: Mapped[str] = mapped_column(String(16))
    recorded_at_us: Mapped[int] = mapped_column(BigInteger, index=True)
    recorded_by: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(String)
    seal: Mapped[SEAL]
