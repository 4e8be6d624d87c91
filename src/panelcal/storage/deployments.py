"""Deployed calib files in the database."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, insert, select

from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.resolution import Resolution
from panelcal.domain.runs import Dataset
from panelcal.domain.seal import deployment_seal
from panelcal.storage.reader import rows_of
from panelcal.storage.sealed_ledger import set_seals
from panelcal.storage.seals import broken_deployments, sealed_sets
from panelcal.storage.tables import (
    ConstantSetPayloadRow,
    ConstantSetRow,
    DeploymentPanelRow,
    DeploymentRow,
    DetectorTypeRow,
    KindRow,
    ModuleRow,
)

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable


@dataclass(frozen=True, slots=True)
class Deployment:
    """A calib file that was written.

    Parameters
    ----------
    dataset, source : Dataset, str
        The run it was written for; its validity begins there.
    kind : str
        Kind of constant.
    path : str
        The file.
    file_digest : str
        SHA-256 of its bytes.
    number_format : str
        printf format of its values.
    token : str
        Token of the answer it holds.
    deployed_at, deployed_by : datetime, str
        When and by whom.
    """

    dataset: Dataset
    source: str
    kind: str
    path: str
    file_digest: str
    number_format: str
    token: str
    deployed_at: datetime
    deployed_by: str


def deployments(connection: Connection) -> list[Deployment]:
    """Return every deployment, in the order of recording."""
    rows = connection.execute(_SELECT.order_by(DeploymentRow.id))
    return [_deployment(row) for row in rows]


@dataclass(frozen=True, slots=True)
class DeployedContent:
    """What a file with known bytes holds.

    Parameters
    ----------
    kind, number_format : str
        As in `Deployment`.
    digests : tuple of str
        Digest of the payload of each panel, in segment order.
    uses : tuple of str
        The constant set of each panel, ``M068@1``.
    path : str
        Where it was put.
    """

    kind: str
    number_format: str
    digests: tuple[str, ...]
    uses: tuple[str, ...]
    path: str


def deployed_contents(
    connection: Connection, experiment: str | None = None
) -> dict[str, DeployedContent]:
    """Return what was ever deployed, by the digest of the file's bytes.

    Parameters
    ----------
    experiment : str or None
        Only for this one.

    Raises
    ------
    IntegrityError
        A row is not as it was recorded: files cannot be told by it.
    """
    require_sealed(connection, experiment)
    query = (
        select(
            DeploymentRow.id,
            DeploymentPanelRow.constant_set_id,
            DeploymentRow.file_digest,
            DeploymentRow.number_format,
            DeploymentRow.path,
            KindRow.name.label("kind"),
            ConstantSetPayloadRow.digest,
            ModuleRow.name.label("module"),
            ConstantSetRow.revision,
        )
        .join(KindRow, KindRow.id == DeploymentRow.kind_id)
        .join(DeploymentPanelRow, DeploymentPanelRow.deployment_id == DeploymentRow.id)
        .join(ConstantSetRow, ConstantSetRow.id == DeploymentPanelRow.constant_set_id)
        .join(ModuleRow, ModuleRow.id == ConstantSetRow.module_id)
        .join(
            ConstantSetPayloadRow,
            (ConstantSetPayloadRow.constant_set_id == ConstantSetRow.id)
            & (ConstantSetPayloadRow.kind_id == DeploymentRow.kind_id),
        )
        .order_by(DeploymentRow.id, DeploymentPanelRow.segment)
    )
    if experiment is not None:
        query = query.where(DeploymentRow.experiment == experiment)
    rows = connection.execute(query).all()
    for one in sealed_sets(connection, {row.constant_set_id for row in rows}).values():
        if one.broken is not None:
            raise one.broken.refusal()
    found: dict[str, DeployedContent] = {}
    for _, group in groupby(rows, attrgetter("id")):
        panels = list(group)
        first = panels[0]
        found[first.file_digest] = DeployedContent(
            kind=first.kind,
            number_format=first.number_format,
            digests=tuple(panel.digest for panel in panels),
            uses=tuple(f"{panel.module}@{panel.revision}" for panel in panels),
            path=first.path,
        )
    return found


@dataclass(frozen=True, slots=True)
class DeployedPanel:
    """What was deployed for one panel of a run.

    Parameters
    ----------
    panel : str
        Panel id.
    dataset, source : Dataset, str
        The run.
    module, revision, token : str, int, str
        The constant set that was written, and the token of the answer.
    at : datetime or None
        T of the answer; None where legacy policy was given no moment.
    deployed_at : datetime
        When.
    """

    panel: str
    dataset: Dataset
    source: str
    module: str
    revision: int
    token: str
    at: datetime | None
    deployed_at: datetime


def deployed_panels(
    connection: Connection, panels: Collection[str], as_of: datetime | None = None
) -> list[DeployedPanel]:
    """Return what was deployed for panels, in the order of recording; once a file.

    Parameters
    ----------
    panels : collection of str
        Panel ids.
    as_of : datetime or None
        Only what was deployed by then; None is all.

    Raises
    ------
    IntegrityError
        A row is not as it was recorded.
    """
    require_sealed(connection)
    query = (
        select(
            DeploymentRow.__table__,
            DeploymentPanelRow.panel,
            ModuleRow.name.label("module"),
            ConstantSetRow.revision,
        )
        .join(DeploymentPanelRow, DeploymentPanelRow.deployment_id == DeploymentRow.id)
        .join(ConstantSetRow, ConstantSetRow.id == DeploymentPanelRow.constant_set_id)
        .join(ModuleRow, ModuleRow.id == ConstantSetRow.module_id)
        .where(DeploymentPanelRow.panel.in_(panels))
        .order_by(DeploymentRow.id, DeploymentPanelRow.segment)
    )
    if as_of is not None:
        query = query.where(DeploymentRow.deployed_at_us <= to_microseconds(as_of))
    return [
        DeployedPanel(
            panel=row.panel,
            dataset=Dataset(row.experiment, row.run),
            source=row.source,
            module=row.module,
            revision=row.revision,
            token=row.token,
            at=None if row.at_us is None else moment_of(row.at_us),
            deployed_at=moment_of(row.deployed_at_us),
        )
        for row in connection.execute(query)
    ]


_ANSWERED = """
SELECT row.experiment, row.run, row.source, row.path, row.detector_id, row.at_us, row.policy
FROM deployment AS row
WHERE row.detector_id IN ({detectors})
AND row.id = (SELECT max(later.id) FROM deployment AS later WHERE later.path = row.path)
ORDER BY row.experiment, row.run, row.source, row.id
"""


@dataclass(frozen=True, slots=True)
class DeployedAnswer:
    """The question that a file on record is the answer to.

    Parameters
    ----------
    dataset, source : Dataset, str
        The run it was written for.
    path : str
        The file: of several deployments there, the last.
    detector_id : str
        Whose constants it holds.
    at : datetime or None
        T, UTC; None where it was no time of the calendar.
    policy : str
        How it was answered.
    """

    dataset: Dataset
    source: str
    path: str
    detector_id: str
    at: datetime | None
    policy: str


def deployed_detectors(source: "Readable") -> list[str]:
    """Return every detector id that constants were ever deployed of."""
    query = "SELECT DISTINCT detector_id FROM deployment ORDER BY detector_id"
    return [detector for (detector,) in rows_of(source, query)]


def deployed_answers(source: "Readable", detectors: Sequence[str]) -> list[DeployedAnswer]:
    """Return what the files on record answer about detectors, by run and source."""
    if not detectors:
        return []
    named = {f"detector_{index}": one for index, one in enumerate(detectors)}
    query = _ANSWERED.format(detectors=", ".join(f":{name}" for name in named))
    return [
        DeployedAnswer(
            Dataset(experiment, run),
            name,
            path,
            detector_id,
            None if at_us is None else moment_of(at_us),
            policy,
        )
        for experiment, run, name, path, detector_id, at_us, policy in rows_of(source, query, named)
    ]


def require_sealed(connection: Connection, experiment: str | None = None) -> None:
    """Refuse deployments that are not as they were recorded.

    Parameters
    ----------
    experiment : str or None
        Only look at its own.

    Raises
    ------
    IntegrityError
        It names the row.
    """
    for broken in broken_deployments(connection, experiment):
        raise broken.refusal()


_SELECT = select(DeploymentRow.__table__, KindRow.name.label("kind")).join(
    KindRow, KindRow.id == DeploymentRow.kind_id
)


def _deployment(row: Row[Any]) -> Deployment:
    return Deployment(
        dataset=Dataset(row.experiment, row.run),
        source=row.source,
        kind=row.kind,
        path=row.path,
        file_digest=row.file_digest,
        number_format=row.number_format,
        token=row.token,
        deployed_at=moment_of(row.deployed_at_us),
        deployed_by=row.deployed_by,
    )


def add_deployment(connection: Connection, deployment: Deployment, resolution: Resolution) -> None:
    """Record a file that was written, with the constant set of every panel."""
    # Kinds of several detector types have one name.
    kind_id = connection.scalar(
        select(KindRow.id)
        .join(DetectorTypeRow, DetectorTypeRow.id == KindRow.detector_type_id)
        .where(KindRow.name == deployment.kind, DetectorTypeRow.name == resolution.detector_type)
    )
    facts = {
        "experiment": deployment.dataset.experiment,
        "run": deployment.dataset.run,
        "source": deployment.source,
        "kind": deployment.kind,
        "path": deployment.path,
        "file_digest": deployment.file_digest,
        "number_format": deployment.number_format,
        "token": deployment.token,
        "detector_id": resolution.detector,
        "at_us": None if resolution.at is None else to_microseconds(resolution.at),
        "policy": resolution.policy,
        "deployed_at_us": to_microseconds(deployment.deployed_at),
        "deployed_by": deployment.deployed_by,
    }
    sets = set_seals(connection, {panel.constant_set_id for panel in resolution.panels})
    parts = [(one.index, one.panel, sets[one.constant_set_id]) for one in resolution.panels]
    seal = deployment_seal(facts.values(), parts)
    del facts["kind"]
    deployment_id: int = connection.execute(
        insert(DeploymentRow)
        .values(**facts, kind_id=kind_id, seal=seal)
        .returning(DeploymentRow.id)
    ).scalar_one()
    connection.execute(
        insert(DeploymentPanelRow),
        [
            {
                "deployment_id": deployment_id,
                "segment": panel.index,
                "panel": panel.panel,
                "constant_set_id": panel.constant_set_id,
            }
            for panel in resolution.panels
        ],
    )
