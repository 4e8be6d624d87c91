"""Add a bundle's record to a store: recorded now, in the order it was recorded there."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.ids import PanelId, SegmentId, parse_panel
from panelcal.domain.moments import iso_utc
from panelcal.domain.quality import Verdict
from panelcal.domain.report import ImportReport, Progress
from panelcal.domain.tags import Tag
from panelcal.errors import ConflictError
from panelcal.services.bundle_plan import BundlePlan, Records, plan_import, read_records
from panelcal.services.bundle_verify import verify_bundle
from panelcal.storage.approvals import require_no_approval
from panelcal.storage.ledger import (
    PROPOSE,
    NewAssignment,
    Panel,
    add_assignments,
    register_panels,
)
from panelcal.storage.modules import (
    ConstantSet,
    NewConstantSet,
    add_constant_sets,
    constant_sets,
)
from panelcal.storage.payload_batch import PayloadBatch
from panelcal.storage.quality import RecordedVerdict, add_rules, add_verdict
from panelcal.storage.recording import recording_time
from panelcal.storage.runs import add_run
from panelcal.storage.store import OpenStore, open_store
from panelcal.storage.tags import add_tag
from panelcal.storage.types import add_detector_type, detector_types

if TYPE_CHECKING:
    from sqlalchemy import Connection


def import_bundle(
    store: OpenStore,
    path: Path,
    *,
    now: datetime,
    user: str,
    dry_run: bool = False,
    with_tags: bool = True,
    progress: Progress | None = None,
) -> tuple[ImportReport, BundlePlan]:
    """Add what a bundle has and a store lacks: all of it, or nothing.

    What a store said as of a past transaction time never changes: the rows are
    recorded now, one transaction time for each that they were recorded at, in the
    same order, and their reasons tell when and by whom. Importing a bundle again
    adds nothing. If anything is in conflict, nothing is written: let
    `BundlePlan.require_no_conflict` raise it after the report was shown.

    Parameters
    ----------
    dry_run : bool
        Only report.
    with_tags : bool
        Bring the tags, too.

    Returns
    -------
    report : ImportReport
        What became of each new detector type, module, panel, run and tag.
    plan : BundlePlan
        What was, or would be, recorded.

    Raises
    ------
    NotFoundError, InvalidInputError
        There is no such bundle, or it is something else.
    IntegrityError
        The bundle is damaged.
    SchemaError
        It was made with another schema.
    ConflictError
        It means another detector type by a name that the store has, or another
        process wrote meanwhile what the bundle says otherwise.
    """
    verified = verify_bundle(path, now=now, progress=progress)
    verified.raise_if_damaged(str(path), "get the bundle again; nothing was written")
    with open_store(path) as bundle, store.payloads.batch() as batch:
        with bundle.database.reading() as source:
            there = read_records(source)
        with store.database.reading() as connection:
            plan = _planned(store, connection, there, now, with_tags=with_tags)
        report = ImportReport(tuple(plan.lines), dry_run=dry_run, skip_bad=False)
        if not report.is_to_be_written:
            return report, plan
        for digest in _digests(plan):
            batch.submit(bundle.payloads.audit(digest))
        batch.settle()
        with store.database.writing() as connection:
            plan = _planned(store, connection, there, now, with_tags=with_tags)
            plan.require_no_conflict()
            if plan.assignments:
                require_no_approval(connection, PROPOSE)
            _require_payloads(store, batch, _digests(plan))
            batch.publish()
            _record(connection, there, plan, user)
    return ImportReport(tuple(plan.lines), dry_run=False, skip_bad=False), plan


def _planned(
    store: OpenStore, connection: "Connection", there: Records, now: datetime, *, with_tags: bool
) -> BundlePlan:
    at = recording_time(connection, now)
    return plan_import(read_records(connection), there, store.zone, at, with_tags=with_tags)


def _digests(plan: BundlePlan) -> list[str]:
    return sorted({digest for one in plan.sets for digest in one.digests.values()})


def _require_payloads(store: OpenStore, batch: PayloadBatch, digests: Iterable[str]) -> None:
    """Refuse to record what no payload was added for before the store was locked."""
    if any(digest not in batch.pending and not store.payloads.has(digest) for digest in digests):
        msg = "payloads of the store were removed meanwhile"
        raise ConflictError(msg, "import the bundle again; nothing was written")


def _record(connection: "Connection", there: Records, plan: BundlePlan, user: str) -> None:
    """Record everything, one transaction time after the other."""
    for new in plan.types:
        held = add_detector_type(connection, new)
        add_rules(connection, held, there.rules.get(new.name, ()))
    types = detector_types(connection)
    panels = _registered(connection, types, there, {row.panel for row in plan.assignments})
    sets, rows = _by_time(plan.sets), _by_time(plan.assignments)
    runs, tags = _by_time(plan.runs), _by_time(plan.tags)
    numbers = {(one.module, one.revision): one.id for one in constant_sets(connection)}
    for moment, at in sorted(plan.times.items()):
        for its_type, of_type in _by_type(sets[moment]).items():
            added = add_constant_sets(
                connection,
                types.named(its_type),
                [
                    NewConstantSet(one.module, one.digests, one.delivered_from, told(one))
                    for one in of_type
                ],
                now=at,
                user=user,
            )
            numbers |= {(one.module, one.revision): one.id for one in added}
            for one in added:
                for verdict in there.verdicts.get((one.module, one.revision), ()):
                    add_verdict(connection, one.id, _brought(verdict), now=at, user=user)
        add_assignments(
            connection,
            [
                NewAssignment(
                    panels[row.panel],
                    row.valid_from,
                    None if row.module is None else numbers[row.module, row.revision],
                    told(row),
                )
                for row in rows[moment]
            ],
            now=at,
            user=user,
        )
        for run in runs[moment]:
            add_run(connection, replace(run, recorded_at=at, recorded_by=user, broken=None))
        for tag in tags[moment]:
            add_tag(connection, Tag(tag.name, plan.as_of[tag.name], at, user, told(tag)))


def _registered(
    connection: "Connection", types: DetectorTypes, there: Records, names: Iterable[str]
) -> dict[str, Panel]:
    """Register panels, each of the detector type that it has in the bundle."""
    of_type: defaultdict[str, list[PanelId | SegmentId]] = defaultdict(list)
    for name in sorted(names):
        of_type[there.of_panels[name]].append(parse_panel(name, types.names))
    registered: dict[str, Panel] = {}
    for its_type, ids in of_type.items():
        registered |= register_panels(connection, types.named(its_type), ids)
    return registered


def _by_type(sets: Iterable[ConstantSet]) -> dict[str, list[ConstantSet]]:
    """Return constant sets by the name of their detector type, in the order they are given."""
    found = defaultdict(list)
    for one in sets:
        found[one.detector_type].append(one)
    return dict(found)


def _brought(one: RecordedVerdict) -> Verdict:
    """Return a verdict as it is recorded here: all of a set's come with the set."""
    if one.verdict.accepted is None:
        return one.verdict
    first = f"(bundle: recorded {iso_utc(one.recorded_at)} by {one.recorded_by})"
    return replace(one.verdict, accepted=f"{one.verdict.accepted} {first}")


def _by_time(entries: Iterable[Any]) -> defaultdict[datetime, list[Any]]:
    found = defaultdict(list)
    for entry in entries:
        found[entry.recorded_at].append(entry)
    return found


def told(entry: Any) -> str:
    """Return the reason of an entry, with when and by whom it was recorded first."""
    return f"{entry.reason} (bundle: recorded {iso_utc(entry.recorded_at)} by {entry.recorded_by})"
