"""Rules of a detector type, and verdicts on constant sets, in the database."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from panelcal.domain.findings import Severity
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.quality import (
    Plane,
    QualityFinding,
    Rule,
    Verdict,
    verdict_seal,
)
from panelcal.domain.quality_names import CHECKS
from panelcal.domain.seal import BrokenSeal, said
from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

PAGE = 1000
"""Verdicts that are read at a time."""

_RULES = """
SELECT rule.check_name, kind.name, rule.gain_range, rule.severity, rule.low, rule.high, rule.kind_id
FROM quality_rule AS rule LEFT JOIN kind ON kind.id = rule.kind_id
WHERE rule.detector_type_id = :detector_type_id ORDER BY rule.id
"""

_VERDICTS = """
SELECT row.id, row.constant_set_id, judged.seal, module.name, judged.revision,
       row.rules_digest, row.accepted, row.recorded_at_us, row.recorded_by, row.seal
FROM quality_verdict AS row
LEFT JOIN constant_set AS judged ON judged.id = row.constant_set_id
LEFT JOIN module ON module.id = judged.module_id
WHERE row.id IN ({which}) ORDER BY row.id
"""

_FINDINGS = """
SELECT verdict_id, check_name, kind, gain_range, severity, value, low, high, text
FROM quality_finding WHERE verdict_id IN ({which}) ORDER BY verdict_id, number
"""

_PLANES = """
SELECT verdict_id, kind, gain_range, median, sigma
FROM quality_plane WHERE verdict_id IN ({which}) ORDER BY verdict_id, kind, gain_range
"""

_OF_SETS = "SELECT id FROM quality_verdict WHERE constant_set_id IN ({sets})"

_PAGE = "SELECT id FROM quality_verdict WHERE id > :after ORDER BY id LIMIT :most"

_AT_ONCE = 500
"""Numbers in a list of an SQL statement."""


@dataclass(frozen=True, slots=True)
class RecordedVerdict:
    """A verdict as it was recorded.

    Parameters
    ----------
    id, constant_set_id : int
        Row numbers: its own, and that of the constant set that was judged.
    verdict : Verdict
        What it says.
    recorded_at, recorded_by : datetime, str
        When and by whom.
    """

    id: int
    constant_set_id: int
    verdict: Verdict
    recorded_at: datetime
    recorded_by: str


def rules(source: "Readable", detector_type_id: int) -> tuple[Rule, ...]:
    """Return the rules of a detector type.

    Raises
    ------
    IntegrityError
        A rule names a check, a kind or a severity that there is not: it could
        never find anything.
    """
    found = []
    for check, kind, gain_range, severity, low, high, kind_id in rows_of(
        source, _RULES, {"detector_type_id": detector_type_id}
    ):
        if (
            check not in CHECKS
            or severity not in set(Severity)
            or (kind is None) != (kind_id is None)
        ):
            msg = (
                f"a rule of check {excerpt(str(check))}, severity {excerpt(str(severity))} "
                f"and kind {kind_id} can find nothing: one of them is none of panelcal's"
            )
            raise IntegrityError(msg, "restore the database from a backup")
        found.append(Rule(check, kind, gain_range, Severity(severity), low, high))
    return tuple(found)


def add_rules(connection: "Connection", detector_type: DetectorType, new: Sequence[Rule]) -> None:
    """Add rules to a detector type that has just been added."""
    from sqlalchemy import insert, select

    from panelcal.storage.tables import KindRow, QualityRuleRow

    if not new:
        return
    query = select(KindRow.name, KindRow.id).where(KindRow.detector_type_id == detector_type.id)
    kinds = {row.name: row.id for row in connection.execute(query)}
    connection.execute(
        insert(QualityRuleRow),
        [
            {
                "detector_type_id": detector_type.id,
                "check_name": one.check,
                "kind_id": None if one.kind is None else kinds[one.kind],
                "gain_range": one.gain_range,
                "severity": str(one.severity),
                "low": one.low,
                "high": one.high,
            }
            for one in new
        ],
    )


def add_verdict(
    connection: "Connection",
    constant_set_id: int,
    verdict: Verdict,
    *,
    now: datetime,
    user: str,
) -> None:
    """Record a verdict on a constant set that is recorded."""
    from sqlalchemy import insert, select

    from panelcal.storage.tables import (
        ConstantSetRow,
        QualityFindingRow,
        QualityPlaneRow,
        QualityVerdictRow,
    )

    at = to_microseconds(now)
    ordered = _with_planes_in_order(verdict)
    judged = connection.scalar(
        select(ConstantSetRow.seal).where(ConstantSetRow.id == constant_set_id)
    )
    verdict_id = connection.scalar(
        insert(QualityVerdictRow).returning(QualityVerdictRow.id),
        {
            "constant_set_id": constant_set_id,
            "rules_digest": verdict.rules_digest,
            "accepted": verdict.accepted,
            "recorded_at_us": at,
            "recorded_by": user,
            "seal": verdict_seal(judged, ordered, at, user),
        },
    )
    findings = [
        {
            "verdict_id": verdict_id,
            "number": number,
            "check_name": one.check,
            "severity": str(one.severity),
            "kind": one.kind,
            "gain_range": one.gain_range,
            "value": one.number,
            "low": one.low,
            "high": one.high,
            "text": one.text,
        }
        for number, one in enumerate(verdict.findings, start=1)
    ]
    planes = [
        {
            "verdict_id": verdict_id,
            "kind": one.kind,
            "gain_range": one.gain_range,
            "median": one.median,
            "sigma": one.sigma,
        }
        for one in ordered.planes
    ]
    if findings:
        connection.execute(insert(QualityFindingRow), findings)
    if planes:
        connection.execute(insert(QualityPlaneRow), planes)


def verdicts_of(source: "Readable", set_ids: Collection[int]) -> list[RecordedVerdict]:
    """Return the verdicts on constant sets, in the order of recording.

    Raises
    ------
    IntegrityError
        One is not as it was recorded.
    """
    found = []
    wanted = sorted(set_ids)
    for start in range(0, len(wanted), _AT_ONCE):
        named = {f"set_{index}": one for index, one in enumerate(wanted[start : start + _AT_ONCE])}
        which = _OF_SETS.format(sets=", ".join(f":{name}" for name in named))
        for one, broken in _read(source, which, named):
            if broken is not None:
                raise broken.refusal()
            found.append(one)
    return sorted(found, key=lambda one: one.id)


def last_verdicts(source: "Readable", set_ids: Collection[int]) -> dict[int, RecordedVerdict]:
    """Return the verdict that holds of each constant set, by the set's row number.

    Raises
    ------
    IntegrityError
        One is not as it was recorded.
    """
    return {one.constant_set_id: one for one in verdicts_of(source, set_ids)}


def broken_verdicts(source: "Readable") -> Iterator[BrokenSeal]:
    """Give every verdict that is not as it was recorded, page by page."""
    after = -(2**63)
    while True:
        page = list(_read(source, _PAGE, {"after": after, "most": PAGE}))
        if not page:
            return
        yield from (broken for _, broken in page if broken is not None)
        after = page[-1][0].id


def _read(
    source: "Readable", which: str, parameters: dict[str, int]
) -> Iterator[tuple[RecordedVerdict, BrokenSeal | None]]:
    """Give verdicts, each with the account of it if it is not as recorded."""
    verdicts, findings, planes = (
        rows_of(source, query.format(which=_nested(which)), parameters)
        for query in (_VERDICTS, _FINDINGS, _PLANES)
    )
    found = _by_verdict(findings)
    numbers = _by_verdict(planes)
    for row_id, set_id, judged, module, revision, digest, accepted, at, user, seal in verdicts:
        verdict = Verdict(
            tuple(_finding(row) for row in found.get(row_id, ())),
            tuple(Plane(*row[1:]) for row in numbers.get(row_id, ())),
            digest,
            accepted,
        )
        ordered = _with_planes_in_order(verdict)
        broken = None
        if seal != verdict_seal(judged, ordered, at, user):
            told = {
                "constant set": f"{module}@{revision}",
                "findings": len(verdict.findings),
                "accepted": accepted,
                "recorded_at_us": at,
                "recorded_by": user,
            }
            broken = BrokenSeal("quality_verdict", str(row_id), said(told))
        yield RecordedVerdict(row_id, set_id, ordered, moment_of(at), user), broken


def _nested(which: str) -> str:
    """Return a select of row numbers that may be limited, as part of another statement."""
    return f"SELECT id FROM ({which}) AS chosen"  # noqa: S608 - of our own statements


def _finding(row: Sequence[Any]) -> QualityFinding:
    _, check, kind, gain_range, told, number, low, high, text = row
    # An edited row may say anything; its verdict's seal tells.
    severity = Severity(told) if told in set(Severity) else told
    return QualityFinding(check, kind, gain_range, severity, number, low, high, text)


def _with_planes_in_order(verdict: Verdict) -> Verdict:
    """Return a verdict with its planes by kind and gain range, as they are sealed and read.

    Not by the database's order of texts, which depends on its collation.
    """
    planes = sorted(verdict.planes, key=lambda one: (str(one.kind), one.gain_range))
    return Verdict(verdict.findings, tuple(planes), verdict.rules_digest, verdict.accepted)


def _by_verdict(rows: Sequence[Sequence[Any]]) -> dict[int, list[Sequence[Any]]]:
    return {key: list(group) for key, group in groupby(rows, itemgetter(0))}
