"""What always holds among proposals, decisions and the ledger, asked of the database in SQL."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from panelcal.domain.findings import Code, Finding
from panelcal.domain.proposals import VERBS, VERDICTS
from panelcal.domain.text import excerpt
from panelcal.storage.reader import rows_of
from panelcal.storage.row_checks import RESTORE

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_PROPOSALS = """
SELECT row.id, row.verb, count(part.position), min(part.position), max(part.position)
FROM proposal AS row LEFT JOIN proposal_assignment AS part ON part.proposal_id = row.id
GROUP BY row.id, row.verb ORDER BY row.id
"""

_DECISIONS = """
SELECT row.proposal_id, row.verdict, row.recorded_by, proposal.recorded_by,
row.recorded_at_us <= proposal.recorded_at_us
FROM decision AS row JOIN proposal ON proposal.id = row.proposal_id ORDER BY row.proposal_id
"""

_SAME = """
part.panel = panel.name AND part.valid_from_us = row.valid_from_us
AND coalesce(part.constant_set_id, 0) = coalesce(row.constant_set_id, 0)
AND decision.recorded_at_us = row.recorded_at_us
"""

_NOT_RECORDED = """
SELECT part.proposal_id, part.position FROM proposal_assignment AS part
JOIN decision ON decision.proposal_id = part.proposal_id AND decision.verdict = 'approved'
WHERE NOT EXISTS (SELECT 1 FROM assignment AS row JOIN panel ON panel.id = row.panel_id
WHERE {same}) ORDER BY part.proposal_id, part.position
"""

_NOT_APPROVED = """
SELECT row.id FROM assignment AS row JOIN panel ON panel.id = row.panel_id
WHERE row.recorded_at_us > (SELECT min(mode.recorded_at_us) FROM approval_mode AS mode)
AND 1 = (SELECT mode.required FROM approval_mode AS mode
WHERE mode.recorded_at_us < row.recorded_at_us ORDER BY mode.recorded_at_us DESC LIMIT 1)
AND NOT EXISTS (SELECT 1 FROM proposal_assignment AS part
JOIN decision ON decision.proposal_id = part.proposal_id AND decision.verdict = 'approved'
WHERE {same}) ORDER BY row.id
"""

_SWITCHED_OFF = """
SELECT mode.id FROM approval_mode AS mode WHERE mode.required = 0
AND NOT EXISTS (SELECT 1 FROM decision JOIN proposal ON proposal.id = decision.proposal_id
WHERE proposal.verb = 'approval-off' AND decision.verdict = 'approved'
AND decision.recorded_at_us = mode.recorded_at_us) ORDER BY mode.id
"""

_WHO = "find out who wrote to the database past panelcal; restore it from a backup"


def approval_findings(source: "Readable") -> Iterator[Finding]:
    """Find what two people cannot have done by panelcal, and what one did past it."""
    for number, verb, rows, first, last in rows_of(source, _PROPOSALS):
        for message in _wrong_proposal(verb, rows, first, last):
            yield Finding(Code.PROPOSAL_WRONG, f"proposal {number}", message, RESTORE)
    for number, verdict, decider, proposer, is_early in rows_of(source, _DECISIONS):
        for message in _wrong_decision(verdict, decider, proposer, is_early=bool(is_early)):
            yield Finding(Code.DECISION_WRONG, f"decision {number}", message, RESTORE)
    for number, position in rows_of(source, _NOT_RECORDED.format(same=_SAME)):
        message = f"it is approved, and its row {position} is not in the ledger"
        yield Finding(Code.DECISION_WRONG, f"decision {number}", message, RESTORE)
    for (row,) in rows_of(source, _NOT_APPROVED.format(same=_SAME)):
        message = "it was recorded while approval was required, and nobody approved it"
        yield Finding(Code.APPROVAL_MISSING, f"assignment {row}", message, _WHO)
    for (row,) in rows_of(source, _SWITCHED_OFF):
        message = "it switches approval off, and nobody approved that"
        yield Finding(Code.APPROVAL_MISSING, f"approval_mode {row}", message, _WHO)


def _wrong_proposal(verb: str, rows: int, first: int | None, last: int | None) -> Iterator[str]:
    if verb not in VERBS:
        yield f"{excerpt(verb)} is nothing that can be proposed"
    elif (rows == 0) is not (verb == "approval-off"):
        yield f"{verb} with {rows} rows for the ledger"
    if rows and (first, last) != (0, rows - 1):
        yield f"it has {rows} rows, numbered {first} to {last}"


def _wrong_decision(verdict: str, decider: str, proposer: str, *, is_early: bool) -> Iterator[str]:
    if verdict not in VERDICTS:
        yield f"{excerpt(verdict)} is no verdict"
    if verdict == "approved" and decider == proposer:
        yield f"{excerpt(decider)} approved what the same user proposed"
    if is_early:
        yield "it was recorded before the proposal"
