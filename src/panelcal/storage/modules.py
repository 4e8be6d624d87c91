"""Modules and their constant sets in the database."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.kinds import PAYLOAD_DTYPE, DetectorType
from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import nearest_names
from panelcal.domain.seal import constant_set_seal
from panelcal.domain.text import excerpt
from panelcal.errors import NotFoundError
from panelcal.storage.ledger import require_same_type
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_CONSTANT_SETS = """
SELECT constant_set.id, module.name, constant_set.revision, kind.name, held.digest,
       constant_set.delivered_from, constant_set.recorded_at_us, constant_set.recorded_by,
       constant_set.reason, detector_type.name
FROM constant_set
JOIN module ON module.id = constant_set.module_id
JOIN detector_type ON detector_type.id = module.detector_type_id
JOIN constant_set_payload AS held ON held.constant_set_id = constant_set.id
JOIN kind ON kind.id = held.kind_id
{where}
ORDER BY module.name, constant_set.revision, kind.id
"""


_TYPES_OF_MODULES = """
SELECT module.name, detector_type.name FROM module
JOIN detector_type ON detector_type.id = module.detector_type_id
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
    detector_type : str
        Name of the detector type of its module.
    """

    id: int
    module: str
    revision: int
    digests: Mapping[str, str]
    delivered_from: str
    recorded_at: datetime
    recorded_by: str
    reason: str
    detector_type: str


@dataclass(frozen=True, slots=True)
class NewConstantSet:
    """A delivery to be recorded.

    Parameters
    ----------
    module : str
        Its module.
    digests : mapping of str to str
        Digest of the payload of each kind.
    delivered_from, reason : str
        Where the files were; why it is recorded.
    """

    module: str
    digests: Mapping[str, str]
    delivered_from: str
    reason: str


def constant_sets(source: "Readable", module: str | None = None) -> list[ConstantSet]:
    """Return constant sets by module name and revision; of one module, if named."""
    where = "" if module is None else "WHERE module.name = :module"
    parameters = {} if module is None else {"module": module}
    digests: dict[int, dict[str, str]] = {}
    found = []
    for set_id, name, revision, kind, digest, *recorded in rows_of(
        source, _CONSTANT_SETS.format(where=where), parameters
    ):
        if set_id not in digests:
            delivered_from, recorded_at_us, user, reason, detector_type = recorded
            digests[set_id] = {}
            found.append(
                ConstantSet(
                    id=set_id,
                    module=name,
                    revision=revision,
                    digests=digests[set_id],
                    delivered_from=delivered_from,
                    recorded_at=moment_of(recorded_at_us),
                    recorded_by=user,
                    reason=reason,
                    detector_type=detector_type,
                )
            )
        digests[set_id][kind] = digest
    return sorted(found, key=lambda one: (one.module, one.revision))


def types_of_modules(source: "Readable") -> dict[str, str]:
    """Return the name of the detector type of each module, by the module's name."""
    return {str(name): str(its_type) for name, its_type in rows_of(source, _TYPES_OF_MODULES)}


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


def add_constant_sets(
    connection: "Connection",
    detector_type: DetectorType,
    new: Sequence[NewConstantSet],
    *,
    now: datetime,
    user: str,
) -> list[ConstantSet]:
    """Record deliveries, each as the next revision of its module; return them in order.

    The payloads are stored already.

    Parameters
    ----------
    detector_type : DetectorType
        Of them all; modules that are new become of it.

    Raises
    ------
    ConflictError
        A module is of another type.
    """
    if not new:
        return []
    module_ids = _register_modules(connection, detector_type, {one.module for one in new})
    revisions = _latest_revisions(connection, module_ids.values())
    numbered = []
    for one in new:
        module_id = module_ids[one.module]
        revisions[module_id] += 1
        numbered.append((module_id, revisions[module_id], one))
    ids = _insert_sets(connection, detector_type, numbered, now, user)
    _add_payloads(connection, detector_type, dict(zip(ids, new, strict=True)))
    return [
        ConstantSet(
            set_id,
            one.module,
            revision,
            one.digests,
            one.delivered_from,
            now,
            user,
            one.reason,
            detector_type.name,
        )
        for set_id, (_, revision, one) in zip(ids, numbered, strict=True)
    ]


def _register_modules(
    connection: "Connection", detector_type: DetectorType, names: Collection[str]
) -> dict[str, int]:
    """Return the row numbers of modules by name; those that are new are added."""
    from sqlalchemy import insert, select

    from panelcal.storage.tables import ModuleRow

    for name, its_type in types_of_modules(connection).items():
        if name in names:
            require_same_type(f"module {name}", its_type, detector_type.name)
    known = select(ModuleRow.name, ModuleRow.id).where(ModuleRow.name.in_(names))
    ids = {row.name: row.id for row in connection.execute(known)}
    missing = sorted(set(names) - ids.keys())
    if missing:
        rows = [{"detector_type_id": detector_type.id, "name": name} for name in missing]
        connection.execute(insert(ModuleRow), rows)
        ids = {row.name: row.id for row in connection.execute(known)}
    return ids


def _latest_revisions(connection: "Connection", module_ids: Collection[int]) -> dict[int, int]:
    """Return the latest revision of modules by row number, 0 for those without any."""
    from sqlalchemy import func, select

    from panelcal.storage.tables import ConstantSetRow

    found = connection.execute(
        select(ConstantSetRow.module_id, func.max(ConstantSetRow.revision))
        .where(ConstantSetRow.module_id.in_(module_ids))
        .group_by(ConstantSetRow.module_id)
    )
    return dict.fromkeys(module_ids, 0) | {row[0]: row[1] for row in found}


def _insert_sets(
    connection: "Connection",
    detector_type: DetectorType,
    numbered: Sequence[tuple[int, int, NewConstantSet]],
    now: datetime,
    user: str,
) -> Sequence[int]:
    from sqlalchemy import insert

    from panelcal.storage.tables import ConstantSetRow

    return connection.scalars(
        insert(ConstantSetRow).returning(ConstantSetRow.id, sort_by_parameter_order=True),
        [
            {
                "module_id": module_id,
                "revision": revision,
                "delivered_from": one.delivered_from,
                "recorded_at_us": to_microseconds(now),
                "recorded_by": user,
                "reason": one.reason,
                "seal": constant_set_seal(
                    detector_type=detector_type.name,
                    module=one.module,
                    revision=revision,
                    digests={kind.name: one.digests[kind.name] for kind in detector_type.kinds},
                    delivered_from=one.delivered_from,
                    recorded_at_us=to_microseconds(now),
                    recorded_by=user,
                    reason=one.reason,
                ),
            }
            for module_id, revision, one in numbered
        ],
    ).all()


def _add_payloads(
    connection: "Connection", detector_type: DetectorType, sets: Mapping[int, NewConstantSet]
) -> None:
    from sqlalchemy import insert, select

    from panelcal.storage.tables import ConstantSetPayloadRow, KindRow, PayloadRow

    kinds = connection.execute(
        select(KindRow.id, KindRow.name).where(KindRow.detector_type_id == detector_type.id)
    ).all()
    digests = {digest for one in sets.values() for digest in one.digests.values()}
    known: Sequence[str] = connection.scalars(
        select(PayloadRow.digest).where(PayloadRow.digest.in_(digests))
    ).all()
    payloads = [
        {
            "digest": digest,
            "dtype": PAYLOAD_DTYPE,
            "shape": ",".join(map(str, detector_type.payload_shape)),
            "byte_count": detector_type.payload_bytes,
        }
        for digest in sorted(digests - set(known))
    ]
    if payloads:
        connection.execute(insert(PayloadRow), payloads)
    connection.execute(
        insert(ConstantSetPayloadRow),
        [
            {"constant_set_id": set_id, "kind_id": kind.id, "digest": one.digests[kind.name]}
            for set_id, one in sets.items()
            for kind in kinds
        ],
    )
