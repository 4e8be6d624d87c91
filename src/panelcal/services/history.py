"""History: who said what about a panel, a module or a detector, and when."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.domain.deliveries import parse_module_name
from panelcal.domain.ids import DetectorId, parse_detector_id
from panelcal.domain.moments import iso_utc, to_microseconds
from panelcal.domain.proposals import Proposal
from panelcal.domain.text import excerpt
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import InvalidInputError
from panelcal.services.planning import require_panel
from panelcal.services.sealed import SealedRows
from panelcal.storage.approvals import approval_modes, proposals
from panelcal.storage.deployments import deployments
from panelcal.storage.ledger import history as ledger_rows
from panelcal.storage.modules import ConstantSet, constant_sets, find_constant_set
from panelcal.storage.quality import RecordedVerdict, verdicts_of
from panelcal.storage.runs import run_records
from panelcal.storage.seals import require_seals
from panelcal.storage.store import OpenStore
from panelcal.storage.tags import tags
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class Chapter:
    """A row of the ledger with what came after it.

    Parameters
    ----------
    assignment : Assignment
        The row.
    valid_until : datetime or None
        Start of the panel's next assignment in force (exclusive end of this
        one); None is open.
    superseded_at : datetime or None
        When a row of the same start took its place; None while it is in force.
    """

    assignment: Assignment
    valid_until: datetime | None
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """What the store knows of a panel, a module or a detector.

    Parameters
    ----------
    deliveries : tuple of ConstantSet
        A module's revisions; empty for panels.
    chapters : tuple of Chapter
        Rows of the ledger, in the order of recording.
    proposals : tuple of Proposal
        What was proposed about it, and what became of that.
    """

    deliveries: tuple[ConstantSet, ...]
    chapters: tuple[Chapter, ...]
    proposals: tuple[Proposal, ...]

    def to_arrow(self) -> "pa.Table":
        """Return the rows of the ledger as an Arrow table; see `ledger_table`.

        Raises
        ------
        InvalidInputError
            pyarrow is not installed.
        """
        from panelcal.exporters.arrow_table import ledger_table

        return ledger_table(
            [one.assignment for one in self.chapters],
            [one.valid_until for one in self.chapters],
            [one.superseded_at for one in self.chapters],
        )


def history_of(store: OpenStore, target: str) -> History:
    """Return the history of a panel id, a detector id or a module.

    Raises
    ------
    NotFoundError
        A panel is not registered, or there is no such module.
    InvalidInputError
        The text is none of them.
    IntegrityError
        A row is not as it was recorded.
    """
    with store.database.reading() as connection:
        return history_from(connection, target)


def history_from(connection: "Connection", target: str) -> History:
    """Return the history of a panel id, a detector id or a module, as the database now stands.

    Raises
    ------
    NotFoundError, InvalidInputError, IntegrityError
        As `history_of`.
    """
    detector = _detector(target)
    sealed = SealedRows(connection)
    names: list[str] = []
    if detector is None:
        find_constant_set(connection, target, None)
        rows = {
            panel: found
            for panel, found in ledger_rows(connection).items()
            if any(row.module == target for row in found)
        }
        delivered = tuple(constant_sets(connection, target))
        sealed.require_sets(delivered)
    else:
        detector.require_type(detector_types(connection).names)
        names = [require_panel(connection, panel).name for panel in detector.panels]
        rows = ledger_rows(connection, names)
        delivered = ()
    sealed.require_chains(rows)
    proposed = [
        one
        for one in proposals(connection)
        if any(row.panel in names or row.module == target for row in one.plan.rows)
    ]
    chapters = [
        chapter
        for panel in sorted(rows)
        for chapter in _chapters(rows[panel])
        if detector is not None or chapter.assignment.module == target
    ]
    chapters.sort(key=lambda chapter: chapter.assignment.id)
    return History(delivered, tuple(chapters), tuple(proposed))


def _detector(target: str) -> DetectorId | None:
    try:
        return parse_detector_id(target)
    except InvalidInputError as error:
        try:
            parse_module_name(target)
        except InvalidInputError:
            msg = f"{excerpt(target)} is no panel id, detector id or module"
            raise InvalidInputError(msg, error.message) from error
        return None


def _chapters(rows: Sequence[Assignment]) -> list[Chapter]:
    """Say of each row of one panel when it ended, and when it was corrected."""
    starts = [row.valid_from for row in in_force(rows)]
    chapters = []
    for row in rows:
        start = to_microseconds(row.valid_from)
        until = next((other for other in starts if to_microseconds(other) > start), None)
        corrections = [
            other.recorded_at
            for other in rows
            if other.valid_from == row.valid_from and other.id > row.id
        ]
        chapters.append(Chapter(row, until, min(corrections, default=None)))
    return chapters


@dataclass(frozen=True, slots=True)
class Event:
    """One change of the store.

    Parameters
    ----------
    recorded_at : datetime
        Transaction time, UTC.
    recorded_by : str
        Who.
    what : str
        ``deliver``, ``judge``, ``assign``, ``withdraw``, ``run``, ``deploy``, ``tag``,
        ``propose``, ``approve``, ``reject`` or ``approval``.
    subject : str
        What it is about, in words.
    reason : str
        Why, as typed.
    """

    recorded_at: datetime
    recorded_by: str
    what: str
    subject: str
    reason: str


def log(store: OpenStore) -> list[Event]:
    """Return every change of the store, in the order of recording.

    Raises
    ------
    IntegrityError
        A row is not as it was recorded.
    """
    with store.database.reading() as connection:
        require_seals(connection)
        sets = constant_sets(connection)
        # A decision comes before what it let be recorded at the same time.
        events = [
            event for proposal in proposals(connection) for event in _proposed(proposal, store.zone)
        ]
        events += [
            Event(
                one.recorded_at,
                one.recorded_by,
                "deliver",
                f"{one.module}@{one.revision}",
                one.reason,
            )
            for one in sets
        ]
        events += _judged(sets, verdicts_of(connection, {one.id for one in sets}))
        for rows in ledger_rows(connection).values():
            events += [_assigned(row, store.zone) for row in rows]
        events += [
            Event(run.recorded_at, run.recorded_by, "run", f"{run.dataset} {run.source}", run.note)
            for run in run_records(connection)
        ]
        events += [
            Event(one.deployed_at, one.deployed_by, "deploy", one.path, f"token {one.token}")
            for one in deployments(connection)
        ]
        events += [
            Event(
                tag.recorded_at,
                tag.recorded_by,
                "tag",
                f"{tag.name} as of {iso_utc(tag.as_of)}",
                tag.reason,
            )
            for tag in tags(connection)
        ]
        events += [
            Event(
                one.recorded_at,
                one.recorded_by,
                "approval",
                "required" if one.is_required else "not required",
                one.reason,
            )
            for one in approval_modes(connection)
        ]
    return sorted(events, key=lambda event: event.recorded_at)


def _judged(sets: Sequence[ConstantSet], verdicts: Iterable[RecordedVerdict]) -> Iterator[Event]:
    """Give the verdicts that say more than that a delivery was let pass."""
    judged = {one.id: one for one in sets}
    for one in verdicts:
        about = judged[one.constant_set_id]
        if one.verdict.accepted is not None or one.recorded_at != about.recorded_at:
            subject = f"{about.module}@{about.revision}: {one.verdict.summary}"
            accepted = one.verdict.accepted
            reason = "" if accepted is None else f"accepted: {accepted}"
            yield Event(one.recorded_at, one.recorded_by, "judge", subject, reason)


def _assigned(row: Assignment, zone: ZoneInfo) -> Event:
    if row.module is None:
        return Event(
            row.recorded_at,
            row.recorded_by,
            "withdraw",
            f"{row.panel} from {row.starts(zone)}",
            row.reason,
        )
    subject = f"{row.panel} uses {row.uses} from {row.starts(zone)}"
    return Event(row.recorded_at, row.recorded_by, "assign", subject, row.reason)


def _proposed(proposal: Proposal, zone: ZoneInfo) -> list[Event]:
    subject = f"proposal {proposal.number}"
    plan, decision = proposal.plan, proposal.decision
    change = f"{subject}: {plan.verb}: {plan.in_words(zone)}"
    events = [Event(proposal.recorded_at, proposal.recorded_by, "propose", change, plan.reason)]
    if decision is not None:
        what = "approve" if decision.verdict == "approved" else "reject"
        told = (decision.recorded_at, decision.recorded_by, what, subject, decision.reason)
        events.append(Event(*told))
    return events
