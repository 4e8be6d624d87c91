"""Seals in the database: rows of the record with what their seals should be."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from panelcal.domain.seal import (
    BrokenSeal,
    broken_run,
    broken_tag,
    constant_set_seal,
    deployment_seal,
    said,
    store_seal,
)
from panelcal.storage.approvals import broken_approvals
from panelcal.storage.quality import broken_verdicts
from panelcal.storage.reader import rows_of
from panelcal.storage.sealed_ledger import PAGE, broken_ledger

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_STORE = "SELECT id, time_zone, created_at_us, seal FROM store"

_SETS = """
SELECT row.id, detector_type.name, module.name, row.revision, kind.name, held.digest,
       row.delivered_from, row.recorded_at_us, row.recorded_by, row.reason, row.seal
FROM constant_set AS row
LEFT JOIN module ON module.id = row.module_id
LEFT JOIN detector_type ON detector_type.id = module.detector_type_id
LEFT JOIN constant_set_payload AS held ON held.constant_set_id = row.id
LEFT JOIN kind ON kind.id = held.kind_id
WHERE row.id IN ({which})
ORDER BY row.id, held.kind_id
"""

_RUNS = """
SELECT id, experiment, run, source, begin_us, detector_id, modules, note, recorded_at_us,
       recorded_by, seal
FROM run WHERE id > :after ORDER BY id LIMIT :most
"""

_TAGS = "SELECT name, as_of_us, recorded_at_us, recorded_by, reason, seal FROM tag ORDER BY name"

_DEPLOYMENTS = """
SELECT row.id, row.experiment, row.run, row.source, kind.name, row.path, row.file_digest,
       row.number_format, row.token, row.detector_id, row.at_us, row.policy, row.deployed_at_us,
       row.deployed_by, row.seal, part.segment, part.panel, used.seal
FROM deployment AS row
LEFT JOIN kind ON kind.id = row.kind_id
LEFT JOIN deployment_panel AS part ON part.deployment_id = row.id
LEFT JOIN constant_set AS used ON used.id = part.constant_set_id
WHERE row.id IN (SELECT id FROM deployment WHERE id > :after{only} ORDER BY id LIMIT :most)
ORDER BY row.id, part.segment
"""


@dataclass(frozen=True, slots=True)
class SealedSet:
    """A constant set that was read with its seal.

    Parameters
    ----------
    id : int
        Row number.
    module, revision : str or None, int
        Its name.
    detector_type : str or None
        Name of the detector type of the module.
    digests : dict of str to str
        Digest of the payload of each kind.
    broken : BrokenSeal or None
        It is not as it was recorded.
    """

    id: int
    module: str | None
    revision: int
    detector_type: str | None
    digests: dict[str, str]
    broken: BrokenSeal | None


def broken_seals(source: "Readable") -> Iterator[BrokenSeal]:
    """Give every sealed row that is not as it was recorded, page by page.

    A row of the ledger is also given if the row before it was removed or another
    one inserted. What no seal can tell is whether the last row of a panel's
    chain, or a row of another table, was removed.
    """
    yield from _broken_settings(source)
    for page in _pages(_set_page, source):
        yield from (one.broken for one in sealed_sets_of(page) if one.broken)
    yield from broken_ledger(source)
    for page in _pages(_run_page, source):
        yield from (found for row in page if (found := broken_run(row[0], row[1:-1], row[-1])))
    for *values, seal in rows_of(source, _TAGS):
        found = broken_tag(values, seal)
        if found:
            yield found
    yield from broken_deployments(source)
    yield from broken_verdicts(source)
    yield from broken_approvals(source)


def require_seals(source: "Readable") -> None:
    """Refuse a database in which any row is not as it was recorded.

    Raises
    ------
    IntegrityError
        It names the first such row.
    """
    for broken in broken_seals(source):
        raise broken.refusal()


_Page = Sequence[Sequence[Any]]


def _pages(ask: Callable[["Readable", int], _Page], source: "Readable") -> Iterator[_Page]:
    after = -(2**63)
    while page := ask(source, after):
        yield page
        after = page[-1][0]


def _set_page(source: "Readable", after: int) -> _Page:
    which = "SELECT id FROM constant_set WHERE id > :after ORDER BY id LIMIT :most"
    return rows_of(source, _SETS.format(which=which), {"after": after, "most": PAGE})


def _run_page(source: "Readable", after: int) -> _Page:
    return rows_of(source, _RUNS, {"after": after, "most": PAGE})


def _broken_settings(source: "Readable") -> Iterator[BrokenSeal]:
    for row_id, time_zone, created_at_us, seal in rows_of(source, _STORE):
        if seal != store_seal(time_zone, created_at_us):
            told = {"time_zone": time_zone, "created_at_us": created_at_us}
            yield BrokenSeal("store", str(row_id), said(told))


def sealed_sets(source: "Readable", ids: Collection[int]) -> dict[int, SealedSet]:
    """Return constant sets by row number; those that do not exist are left out."""
    found: dict[int, SealedSet] = {}
    wanted = sorted(ids)
    for start in range(0, len(wanted), 500):
        named = {f"set_{index}": one for index, one in enumerate(wanted[start : start + 500])}
        which = ", ".join(f":{name}" for name in named)
        rows = rows_of(source, _SETS.format(which=which), named)
        found |= {one.id: one for one in sealed_sets_of(rows)}
    return found


def sealed_sets_of(rows: _Page) -> Iterator[SealedSet]:
    """Put together constant sets from their rows, one for each kind."""
    for set_id, group in groupby(rows, itemgetter(0)):
        held = list(group)
        _, detector_type, module, revision, _, _, *recorded, seal = held[0]
        delivered_from, recorded_at_us, recorded_by, reason = recorded
        digests = {row[4]: row[5] for row in held}
        expected = constant_set_seal(
            detector_type=detector_type,
            module=module,
            revision=revision,
            digests=digests,
            delivered_from=delivered_from,
            recorded_at_us=recorded_at_us,
            recorded_by=recorded_by,
            reason=reason,
        )
        broken = None
        if seal != expected:
            told = {
                "constant set": f"{module}@{revision}",
                **digests,
                "delivered_from": delivered_from,
                "recorded_at_us": recorded_at_us,
                "recorded_by": recorded_by,
                "reason": reason,
            }
            broken = BrokenSeal("constant_set", str(set_id), said(told))
        yield SealedSet(set_id, module, revision, detector_type, digests, broken)


def broken_deployments(source: "Readable", experiment: str | None = None) -> Iterator[BrokenSeal]:
    """Give the deployments, of one experiment if it is named, that are not as recorded."""
    only = "" if experiment is None else " AND experiment = :experiment"

    def ask(source: "Readable", after: int) -> _Page:
        parameters: dict[str, str | int | None] = {"after": after, "most": PAGE}
        if experiment is not None:
            parameters["experiment"] = experiment
        return rows_of(source, _DEPLOYMENTS.format(only=only), parameters)

    for page in _pages(ask, source):
        yield from _broken_deployments(page)


def _broken_deployments(rows: _Page) -> Iterator[BrokenSeal]:
    for row_id, group in groupby(rows, itemgetter(0)):
        held = list(group)
        _, *facts, seal = held[0][:15]
        parts = [(row[15], row[16], row[17]) for row in held if row[15] is not None]
        if seal != deployment_seal(facts, parts):
            told = dict(zip(("experiment", "run", "source", "kind", "path"), facts, strict=False))
            yield BrokenSeal("deployment", str(row_id), said(told))
