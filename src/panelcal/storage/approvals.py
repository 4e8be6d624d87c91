"""Proposals, decisions and the approval mode in the database."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from panelcal.domain.moments import from_microseconds, iso_utc, moment_of, to_microseconds
from panelcal.domain.planned import Plan, PlannedRow
from panelcal.domain.proposals import ApprovalMode, Decision, Proposal
from panelcal.domain.seal import (
    BrokenSeal,
    approval_mode_seal,
    decision_seal,
    proposal_seal,
    said,
)
from panelcal.errors import ConflictError
from panelcal.storage.reader import rows_of
from panelcal.storage.sealed_ledger import set_seals

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_MODES = """
SELECT id, required, recorded_at_us, recorded_by, reason, seal FROM approval_mode ORDER BY id
"""

_PROPOSALS = """
SELECT row.id, row.verb, row.recorded_at_us, row.recorded_by, row.reason, row.seal,
       decision.verdict, decision.recorded_at_us, decision.recorded_by, decision.reason,
       decision.seal, part.position, part.panel, part.valid_from_us, part.constant_set_id,
       used.seal, module.name, used.revision
FROM proposal AS row
LEFT JOIN decision ON decision.proposal_id = row.id
LEFT JOIN proposal_assignment AS part ON part.proposal_id = row.id
LEFT JOIN constant_set AS used ON used.id = part.constant_set_id
LEFT JOIN module ON module.id = used.module_id
{where}
ORDER BY row.id, part.position
"""

_APPROVED = """
SELECT 1 FROM decision
WHERE proposal_id = :number AND verdict = 'approved' AND recorded_at_us = :at
"""


def approval_mode(source: "Readable") -> ApprovalMode | None:
    """Return whether changes need a second person; None if nobody ever said so.

    Raises
    ------
    IntegrityError
        A row that says so is not as it was recorded.
    """
    rows = rows_of(source, _MODES)
    for broken in _broken_modes(rows):
        raise broken.refusal()
    if not rows:
        return None
    _, required, recorded_at_us, recorded_by, reason, _ = rows[-1]
    return ApprovalMode(bool(required), moment_of(recorded_at_us), recorded_by, reason)


def approval_modes(source: "Readable") -> list[ApprovalMode]:
    """Return every time that it was switched on or off, in the order of recording."""
    return [
        ApprovalMode(bool(required), moment_of(recorded_at_us), recorded_by, reason)
        for _, required, recorded_at_us, recorded_by, reason, _ in rows_of(source, _MODES)
    ]


def require_no_approval(source: "Readable", instead: str) -> None:
    """Refuse a change of the ledger by one person where two are required.

    Parameters
    ----------
    instead : str
        What to do about it.

    Raises
    ------
    ConflictError
        Approval is required.
    IntegrityError
        As `approval_mode`.
    """
    mode = approval_mode(source)
    if mode is not None and mode.is_required:
        msg = (
            f"assignments of this store need a second person's approval, since "
            f"{iso_utc(mode.recorded_at)} by {mode.recorded_by}: {mode.reason}"
        )
        raise ConflictError(msg, instead)


def require_approved(source: "Readable", number: int, at: datetime) -> None:
    """Refuse rows of a proposal that is not approved in the same unit of work.

    Raises
    ------
    ConflictError
        There is no such decision of that transaction time.
    """
    if not rows_of(source, _APPROVED, {"number": number, "at": to_microseconds(at)}):
        msg = f"proposal {number} is not being approved"
        raise ConflictError(msg, f"panelcal approve {number} --reason R")


def proposals(source: "Readable", number: int | None = None) -> list[Proposal]:
    """Return every proposal with what became of it, in the order of recording.

    Parameters
    ----------
    number : int or None
        Only this one.
    """
    where = "" if number is None else "WHERE row.id = :number"
    parameters = {} if number is None else {"number": number}
    rows = rows_of(source, _PROPOSALS.format(where=where), parameters)
    return [_proposal(list(group)) for _, group in groupby(rows, itemgetter(0))]


def _proposal(rows: Sequence[Sequence[Any]]) -> Proposal:
    number, verb, recorded_at_us, recorded_by, reason, seal = rows[0][:6]
    parts = [row[11:] for row in rows if row[11] is not None]
    planned = tuple(
        PlannedRow(panel, from_microseconds(start), set_id, module, revision)
        for _, panel, start, set_id, _, module, revision in parts
    )
    facts = (verb, recorded_at_us, recorded_by, reason)
    expected = proposal_seal(facts, [(*part[:3], _set_seal(part)) for part in parts])
    broken = None
    if seal != expected:
        told = dict(zip(("verb", "recorded_at_us", "recorded_by", "reason"), facts, strict=True))
        told |= {f"row {part[0]}": f"{part[1]} {part[5]}@{part[6]}" for part in parts}
        broken = BrokenSeal("proposal", str(number), said(told))
    return Proposal(
        number,
        Plan(verb, planned, reason),
        moment_of(recorded_at_us),
        recorded_by,
        _decision(number, seal, rows[0][6:11]),
        broken,
    )


def _set_seal(part: Sequence[Any]) -> str | None:
    """Return the seal of a row's constant set; of one that does not exist it is empty."""
    return None if part[3] is None else part[4] or ""


def _decision(number: int, proposal: str, row: Sequence[Any]) -> Decision | None:
    verdict, recorded_at_us, recorded_by, reason, seal = row
    if verdict is None:
        return None
    facts = (verdict, recorded_at_us, recorded_by, reason)
    broken = None
    if seal != decision_seal(proposal, facts):
        told = dict(zip(("verdict", "recorded_at_us", "recorded_by", "reason"), facts, strict=True))
        broken = BrokenSeal("decision", str(number), said(told))
    return Decision(verdict, moment_of(recorded_at_us), recorded_by, reason, broken)


def broken_approvals(source: "Readable") -> Iterator[BrokenSeal]:
    """Give every row of the mode, of a proposal or a decision that is not as recorded."""
    yield from _broken_modes(rows_of(source, _MODES))
    for one in proposals(source):
        if one.broken is not None:
            yield one.broken
        if one.decision is not None and one.decision.broken is not None:
            yield one.decision.broken


def _broken_modes(rows: Iterable[Sequence[Any]]) -> Iterator[BrokenSeal]:
    previous = ""
    for row_id, *values, seal in rows:
        required, recorded_at_us, recorded_by, reason = values
        if seal != approval_mode_seal(previous, required, recorded_at_us, recorded_by, reason):
            names = ("required", "recorded_at_us", "recorded_by", "reason")
            told = dict(zip(names, values, strict=True))
            yield BrokenSeal("approval_mode", str(row_id), said(told))
        previous = seal


def add_approval_mode(
    connection: "Connection", *, is_required: bool, now: datetime, user: str, reason: str
) -> None:
    """Record that approval is required from now on, or no longer."""
    from sqlalchemy import insert

    from panelcal.storage.tables import ApprovalModeRow

    rows = rows_of(connection, _MODES)
    values: dict[str, Any] = {
        "required": int(is_required),
        "recorded_at_us": to_microseconds(now),
        "recorded_by": user,
        "reason": reason,
    }
    seal = approval_mode_seal(rows[-1][-1] if rows else "", **values)
    connection.execute(insert(ApprovalModeRow).values(**values, seal=seal))


def add_proposal(connection: "Connection", plan: Plan, *, now: datetime, user: str) -> int:
    """Record a proposal and return its number."""
    from sqlalchemy import insert

    from panelcal.storage.tables import ProposalAssignmentRow, ProposalRow

    sets = set_seals(connection, {one.constant_set_id for one in plan.rows if one.constant_set_id})
    parts = [
        {
            "position": position,
            "panel": one.panel,
            "valid_from_us": to_microseconds(one.valid_from),
            "constant_set_id": one.constant_set_id,
        }
        for position, one in enumerate(plan.rows)
    ]
    facts = {
        "verb": plan.verb,
        "recorded_at_us": to_microseconds(now),
        "recorded_by": user,
        "reason": plan.reason,
    }
    seal = proposal_seal(
        facts.values(),
        [
            (
                position,
                one.panel,
                to_microseconds(one.valid_from),
                None if one.constant_set_id is None else sets[one.constant_set_id],
            )
            for position, one in enumerate(plan.rows)
        ],
    )
    number: int = connection.execute(
        insert(ProposalRow).values(**facts, seal=seal).returning(ProposalRow.id)
    ).scalar_one()
    if parts:
        connection.execute(
            insert(ProposalAssignmentRow), [{"proposal_id": number, **part} for part in parts]
        )
    return number


def add_decision(connection: "Connection", number: int, decision: Decision) -> None:
    """Record what became of a proposal."""
    from sqlalchemy import insert, select

    from panelcal.storage.tables import DecisionRow, ProposalRow

    proposal = connection.scalar(select(ProposalRow.seal).where(ProposalRow.id == number))
    values = {
        "verdict": decision.verdict,
        "recorded_at_us": to_microseconds(decision.recorded_at),
        "recorded_by": decision.recorded_by,
        "reason": decision.reason,
    }
    seal = decision_seal(proposal, values.values())
    connection.execute(insert(DecisionRow).values(proposal_id=number, **values, seal=seal))
