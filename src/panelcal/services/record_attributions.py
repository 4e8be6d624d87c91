"""Record attributions: judged against the ledger, all of them or none."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import start_in_words, to_microseconds
from panelcal.domain.report import ImportReport, Line, Status
from panelcal.domain.text import printable
from panelcal.domain.validity import in_force
from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.services.attribution import Attribution, Contents
from panelcal.services.meaning import WITHDRAWN, Meaning, Meanings, Meant, NewSet, holders
from panelcal.services.recognize import Recognizer
from panelcal.storage.approvals import require_no_approval
from panelcal.storage.ledger import (
    PROPOSE,
    NewAssignment,
    Panel,
    add_assignments,
    history,
    panels,
    register_panels,
)
from panelcal.storage.modules import ConstantSet, NewConstantSet, add_constant_sets
from panelcal.storage.payload_batch import PayloadBatch
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore


@dataclass(slots=True)
class _Timeline:
    """What a panel uses by start: as the ledger stands, and with what is planned."""

    stored: dict[int, Meaning] = field(default_factory=dict)
    planned: dict[int, Meaning] = field(default_factory=dict)


@dataclass(slots=True)
class _Plan:
    """What is to be recorded, and the report on it."""

    zone: ZoneInfo
    supersede: bool
    meanings: Meanings
    timelines: dict[str, _Timeline]
    of_panels: Mapping[str, str]
    assignments: list[Meant] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def timeline(self, attribution: Attribution) -> _Timeline:
        """Return what the panel of an attribution uses."""
        return self.timelines[str(attribution.panel)]

    def take(self, one: Meant) -> None:
        """Plan that what is meant is recorded."""
        new = None if isinstance(one.meaning, int) else self.meanings.new_sets.get(one.meaning)
        if new is not None:
            new.is_needed = True
        if one.attribution.is_assigned:
            start = to_microseconds(one.attribution.valid_from)
            self.timeline(one.attribution).planned[start] = one.meaning
            self.assignments.append(one)

    def obstacle(self, meaning: Meaning) -> str:
        """Say what speaks against the name of a new constant set that nothing needs yet."""
        new = None if isinstance(meaning, int) else self.meanings.new_sets.get(meaning)
        return "" if new is None or new.is_needed else new.obstacle

    def tell(self, attribution: Attribution, status: Status, content: str, *reasons: str) -> None:
        """Say of each file of an attribution what became of it."""
        reason = "; ".join(dict.fromkeys(filter(None, reasons)))
        self.lines += [Line(name, status, content, reason) for name in attribution.names]


def record_attributions(
    store: OpenStore,
    batch: PayloadBatch,
    attributions: Sequence[Attribution],
    lines: Sequence[Line],
    *,
    now: datetime,
    user: str,
    dry_run: bool,
    skip_bad: bool,
    supersede: bool,
) -> ImportReport:
    """Judge attributions against the store and record them: everything, or nothing.

    Values that a constant set has already mean that set. Attributions are judged
    by ascending start, each with those before it in place: *already*, where a set
    with these values is in use at the start; *conflict*, where the ledger says
    otherwise; else *taken*.

    Parameters
    ----------
    batch : PayloadBatch
        Holds the payloads of the attributions, unless `dry_run`; those of new
        constant sets are published.
    lines : sequence of Line
        What was found out before: files ignored and refused.

    Returns
    -------
    ImportReport
        All lines, by name.

    Raises
    ------
    IntegrityError
        A payload that rounded values are to be compared with is damaged.
    """
    recognizer = Recognizer(store)
    for attribution in attributions:
        # Payloads are loaded for this; not while the store is locked.
        holders(recognizer, attribution)
    unit = store.database.reading() if dry_run else store.database.writing()
    with unit as connection:
        recognizer.look_again(connection)
        meanings = Meanings(connection, recognizer)
        timelines = _timelines(connection, meanings.known.values(), attributions)
        of_panels = {panel.name: panel.detector_type for panel in panels(connection)}
        plan = _Plan(store.zone, supersede, meanings, timelines, of_panels)
        _judge(plan, attributions)
        told = sorted([*lines, *plan.lines], key=lambda line: line.name)
        report = ImportReport(tuple(told), dry_run=dry_run, skip_bad=skip_bad)
        if report.is_to_be_written:
            if plan.assignments:
                require_no_approval(connection, PROPOSE)
            at = recording_time(connection, now)
            batch.pending.intersection_update(_needed_payloads(meanings))
            batch.publish()
            _record(connection, plan, at, user)
    return report


def _timelines(
    connection: Connection, known: Iterable[ConstantSet], attributions: Iterable[Attribution]
) -> dict[str, _Timeline]:
    ids = {(one.module, one.revision): one.id for one in known}
    named = {str(one.panel) for one in attributions if one.panel is not None}
    timelines: dict[str, _Timeline] = defaultdict(_Timeline)
    for panel, rows in history(connection, named).items():
        for row in in_force(rows):
            withdrawn = row.module is None or row.revision is None
            start = to_microseconds(row.valid_from)
            timelines[panel].stored[start] = (
                WITHDRAWN if withdrawn else ids[str(row.module), int(row.revision or 0)]
            )
        timelines[panel].planned = dict(timelines[panel].stored)
    return timelines


def _judge(plan: _Plan, attributions: Sequence[Attribution]) -> None:
    meant: list[Meant] = []
    for attribution in sorted(attributions, key=_fineness):
        stored = plan.timeline(attribution).stored
        at_start = _in_use(stored, to_microseconds(attribution.valid_from))
        try:
            _require_type(plan, attribution)
            meant.append(plan.meanings.find(attribution, [at_start, *stored.values()]))
        except InvalidInputError as error:
            content = str(attribution.panel or "")
            plan.tell(attribution, Status.REFUSED, content, error.message)
    assigned = [one for one in meant if one.attribution.is_assigned]
    for one in sorted(_agreed(plan, assigned), key=lambda one: _order(one.attribution)):
        _judge_assignment(plan, one)
    for one in meant:
        if not one.attribution.is_assigned:
            _judge_set(plan, one)


def _require_type(plan: _Plan, attribution: Attribution) -> None:
    """Refuse values of one detector type for a panel of another.

    Raises
    ------
    InvalidInputError
        The panel is registered as of another type.
    """
    its_type = plan.of_panels.get(str(attribution.panel), attribution.detector_type.name)
    if its_type != attribution.detector_type.name:
        of = attribution.detector_type.name
        msg = f"the panel is of detector type {its_type}, the file of {of}"
        raise InvalidInputError(msg)


def _fineness(attribution: Attribution) -> tuple[Any, ...]:
    """Sort what is finest, and what has a name, first.

    The same values rounded, or without a name, are then seen to be the same.
    """
    rounded = [one.number_format != FULL_PRECISION for one in attribution.values.values()]
    stated = attribution.stated
    name = (stated.module, stated.revision) if stated else ("", 0)
    return sum(rounded), stated is None, name, *_order(attribution)


def _order(attribution: Attribution) -> tuple[Any, ...]:
    return to_microseconds(attribution.valid_from), str(attribution.panel), attribution.names


def _in_use(starts: Mapping[int, Meaning], start: int) -> Meaning | None:
    """Return what is in use at a moment; None before the first start."""
    begun = [other for other in starts if other <= start]
    return starts[max(begun)] if begun else None


def _agreed(plan: _Plan, meant: Sequence[Meant]) -> list[Meant]:
    """Refuse attributions of one panel and start that mean different sets."""
    groups: dict[tuple[str, int], list[Meant]] = defaultdict(list)
    for one in meant:
        start = to_microseconds(one.attribution.valid_from)
        groups[str(one.attribution.panel), start].append(one)
    agreed = []
    for group in groups.values():
        if len({one.meaning for one in group}) == 1:
            agreed += group
            continue
        for one in group:
            others = {other.attribution.names[0] for other in group if other.meaning != one.meaning}
            said = f"otherwise about the same panel and start: {', '.join(sorted(others))}"
            plan.tell(one.attribution, Status.REFUSED, _content(plan, one), said)
    return agreed


def _judge_assignment(plan: _Plan, one: Meant) -> None:
    attribution, content = one.attribution, _content(plan, one)
    notices = (one.notice, *attribution.notices)
    timeline = plan.timeline(attribution)
    start = to_microseconds(attribution.valid_from)
    if _in_use(timeline.planned, start) in one.same:
        if not attribution.is_repeat:
            plan.tell(attribution, Status.ALREADY, content, *notices)
        return
    before = _in_use(timeline.stored, start)
    obstacle = plan.obstacle(one.meaning)
    said = ""
    if before is not None and before not in one.same:
        said = f"the ledger says {plan.meanings.called(before)}"
    if (said or obstacle) and not plan.supersede:
        plan.tell(attribution, Status.CONFLICT, content, said, obstacle)
        return
    plan.take(one)
    corrects = f"corrects the ledger: {said}" if said else ""
    plan.tell(attribution, Status.TAKEN, content, attribution.learnt, corrects, obstacle, *notices)


def _judge_set(plan: _Plan, one: Meant) -> None:
    """Judge values that no panel is said to use from a time on."""
    content = f"constant set {plan.meanings.called(one.meaning)}".rstrip(",")
    notices = (one.notice, *one.attribution.notices)
    obstacle = plan.obstacle(one.meaning)
    if isinstance(one.meaning, int) or plan.meanings.new_sets[one.meaning].is_needed:
        plan.tell(one.attribution, Status.ALREADY, content, *notices)
    elif obstacle and not plan.supersede:
        plan.tell(one.attribution, Status.CONFLICT, content, obstacle)
    else:
        plan.take(one)
        plan.tell(one.attribution, Status.TAKEN, content, obstacle, *notices)


def _content(plan: _Plan, one: Meant) -> str:
    start = start_in_words(one.attribution.valid_from, plan.zone)
    verb = "has" if one.meaning == WITHDRAWN else "uses"
    return f"{one.attribution.panel} {verb} {plan.meanings.called(one.meaning)} from {start}"


def _needed_payloads(meanings: Meanings) -> set[str]:
    """Return the digests of what constant sets hold: values recognized are not stored again.

    Those of recorded sets are among them: a payload that was lost is back then.
    """
    known = {digest for one in meanings.known.values() for digest in one.digests.values()}
    return known | {digest for contents in _needed_sets(meanings) for _, digest in contents}


def _needed_sets(meanings: Meanings) -> list[Contents]:
    needed = {contents: new for contents, new in meanings.new_sets.items() if new.is_needed}
    # Revisions of a module in the order that their files tell.
    return sorted(needed, key=lambda contents: needed[contents].stated_revision)


def _record(connection: Connection, plan: _Plan, at: datetime, user: str) -> None:
    ids: dict[Meaning, int | None] = {one: one for one in plan.meanings.known}
    ids[WITHDRAWN] = None
    needed: dict[DetectorType, list[Contents]] = defaultdict(list)
    for contents in _needed_sets(plan.meanings):
        needed[plan.meanings.new_sets[contents].origin.detector_type].append(contents)
    for detector_type, of_type in needed.items():
        added = add_constant_sets(
            connection,
            detector_type,
            [_new_set(contents, plan.meanings.new_sets[contents]) for contents in of_type],
            now=at,
            user=user,
        )
        ids |= {contents: one.id for contents, one in zip(of_type, added, strict=True)}
    assigned = [
        (one.attribution.panel, one)
        for one in plan.assignments
        if one.attribution.panel is not None
    ]
    ids_of: dict[DetectorType, list[PanelId | SegmentId]] = defaultdict(list)
    for panel, one in assigned:
        ids_of[one.attribution.detector_type].append(panel)
    registered: dict[str, Panel] = {}
    for detector_type, named in ids_of.items():
        registered |= register_panels(connection, detector_type, named)
    add_assignments(
        connection,
        [
            NewAssignment(
                registered[str(panel)], one.attribution.valid_from, ids[one.meaning], _reason(one)
            )
            for panel, one in assigned
        ],
        now=at,
        user=user,
    )


def _new_set(contents: Contents, planned: NewSet) -> NewConstantSet:
    origin = planned.origin
    return NewConstantSet(
        planned.module,
        dict(contents),
        f"{origin.where}: {', '.join(origin.names)}",
        "; ".join(filter(None, ("imported", origin.rounding, origin.told))),
    )


def _reason(one: Meant) -> str:
    return printable(f"imported from {', '.join(one.attribution.names)}: {one.attribution.learnt}")
