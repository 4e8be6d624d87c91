"""Modules and their constant sets in the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.kinds import PAYLOAD_DTYPE, DetectorType
from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import nearest_names
from panelcal.domain.text import excerpt
from panelcal.errors import NotFoundError
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_CONSTANT_SETS = """
SELECT constant_set.id, module.name, constant_set.revision, kind.name, held.digest,
       constant_set.delivered_from, constant_set.recorded_at_us, constant_set.recorded_by,
       constant_set.reason
FROM constant_set
JOIN module ON module.id = constant_set.module_id
JOIN constant_set_payload AS held ON held.constant_set_id = constant_set.id
JOIN kind ON kind.id = held.kind_id
{where}
ORDER BY module.name, constant_set.revision, kind.id
"""


@dataclass(frozen=True, slots=True)
class ConstantSet:
    """One delivery for a module.

    Parameters
    ----------
    id : int
        Row number.
    module, revision : str, int
        Its name, ``M068@1``.
    digests : mapping of str to str
        Digest of the payload of each kind.
    delivered_from : str
        Where the files were.
    recorded_at, recorded_by, reason : datetime, str, str
        When, by whom and why it was recorded.
    """

    id: int
    module: str
    revision: int
    digests: Mapping[str, str]
    delivered_from: str
    recorded_at: datetime
    recorded_by: str
    reason: str


def constant_sets(source: "Readable", module: str | None = None) -> list[ConstantSet]:
    """Return constant sets by module name and revision; of one module, if named."""
    where = "" if module is None else "WHERE module.name = :module"
    parameters = {} if module is None else {"module": module}
    digests: dict[int, dict[str, str]] = {}
    found = []
    for set_id, name, revision, kind, digest, delivered_from, recorded, user, reason in rows_of(
        source, _CONSTANT_SETS.format(where=where), parameters
    ):
        if set_id not in digests:
            digests[set_id] = {}
            found.append(
                ConstantSet(
                    id=set_id,
                    module=name,
                    revision=revision,
                    digests=digests[set_id],
                    delivered_from=delivered_from,
                    recorded_at=moment_of(recorded),
                    recorded_by=user,
                    reason=reason,
                )
            )
        digests[set_id][kind] = digest
    return sorted(found, key=lambda one: (one.module, one.revision))


def find_constant_set(
    source: "Readable", module: str, revision: int | None, as_of: datetime | None = None
) -> ConstantSet:
    """Return a revision of a module; the latest one if none is named.

    Parameters
    ----------
    as_of : datetime or None
        Only deliveries recorded by then are seen; None is all.

    Raises
    ------
    NotFoundError
        There is no such module or revision; near misses are named.
    """
    found = [
        one for one in constant_sets(source, module) if as_of is None or one.recorded_at <= as_of
    ]
    if not found:
        names = [name for (name,) in rows_of(source, "SELECT name FROM module")]
        near = nearest_names(module, names)
        msg = f"there is no module {excerpt(module)}"
        hint = f"did you mean {', '.join(near)}?" if near else "panelcal module list"
        raise NotFoundError(msg, hint)
    for constant_set in found:
        if constant_set.revision == revision:
            return constant_set
    if revision is None:
        return found[-1]
    msg = f"{module} has no revision {revision}, its latest is {found[-1].revision}"
    raise NotFoundError(msg, f"panelcal module show {module}")


def add_constant_set(
    connection: "Connection",
    detector_type: DetectorType,
    module: str,
    digests: Mapping[str, str],
    *,
    delivered_from: str,
    now: datetime,
    user: str,
    reason: str,
) -> ConstantSet:
    """Record a delivery as the next revision of its module.

    Parameters
    ----------
    digests : mapping of str to str
        Digest of the payload of each kind; the payloads are stored already.
    """
    from sqlalchemy import func, insert, select

    from panelcal.storage.tables import ConstantSetRow, ModuleRow

    module_id = connection.scalar(select(ModuleRow.id).where(ModuleRow.name == module))
    if module_id is None:
        module_id = connection.execute(
            insert(ModuleRow)
            .values(detector_type_id=detector_type.id, name=module)
            .returning(ModuleRow.id)
        ).scalar_one()
    latest = connection.scalar(
        select(func.max(ConstantSetRow.revision)).where(ConstantSetRow.module_id == module_id)
    )
    revision = (latest or 0) + 1
    set_id: int = connection.execute(
        insert(ConstantSetRow)
        .values(
            module_id=module_id,
            revision=revision,
            delivered_from=delivered_from,
            recorded_at_us=to_microseconds(now),
            recorded_by=user,
            reason=reason,
        )
        .returning(ConstantSetRow.id)
    ).scalar_one()
    _add_payloads(connection, detector_type, set_id, digests)
    return ConstantSet(set_id, module, revision, dict(digests), delivered_from, now, user, reason)


def _add_payloads(
    connection: "Connection",
    detector_type: DetectorType,
    set_id: int,
    digests: Mapping[str, str],
) -> None:
    from sqlalchemy import insert, select

    from panelcal.storage.tables import ConstantSetPayloadRow, KindRow, PayloadRow

    kinds = connection.execute(
        select(KindRow.id, KindRow.name).where(KindRow.detector_type_id == detector_type.id)
    ).all()
    known: Sequence[str] = connection.scalars(
        select(PayloadRow.digest).where(PayloadRow.digest.in_(digests.values()))
    ).all()
    shape = ",".join(map(str, detector_type.payload_shape))
    for digest in sorted(set(digests.values()) - set(known)):
        connection.execute(
            insert(PayloadRow).values(
                digest=digest,
                dtype=PAYLOAD_DTYPE,
                shape=shape,
                byte_count=detector_type.payload_bytes,
            )
        )
    connection.execute(
        insert(ConstantSetPayloadRow),
        [
            {
                "constant_set_id": set_id,
                "kind_id": kind.id,
                "digest": digests[kind.name],
            }
            for kind in kinds
        ],
    )
