"""The one query that resolves a detector: every panel in one statement.

The statement is written out because its form was chosen by measurement: one
``ORDER BY ... LIMIT 1`` subquery per panel over a list of VALUES walks the
unique index of the ledger backwards and stays flat as history grows, and the
same text runs on every engine. A question about the past walks from the latest
start that was on record then: from T it would pass every row recorded since.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.resolution import ResolvedPanel
from panelcal.domain.validity import Assignment
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_STATEMENT = """
WITH asked {columns} AS (VALUES {values})
SELECT asked.segment, asked.panel, chosen.id AS assignment_id,
       chosen.valid_from_us, chosen.recorded_at_us, chosen.constant_set_id,
       module.name AS module, constant_set.revision, detector_type.name AS detector_type,
       kind.name AS kind, held.digest
FROM asked
LEFT JOIN panel ON panel.name = asked.panel
LEFT JOIN assignment AS chosen ON chosen.id = {choice}
LEFT JOIN constant_set ON constant_set.id = chosen.constant_set_id
LEFT JOIN module ON module.id = constant_set.module_id
LEFT JOIN detector_type ON detector_type.id = module.detector_type_id
LEFT JOIN constant_set_payload AS held ON held.constant_set_id = constant_set.id
LEFT JOIN kind ON kind.id = held.kind_id
ORDER BY asked.segment, held.kind_id
"""

_LATEST_START = """(
    SELECT candidate.id FROM assignment AS candidate
    WHERE candidate.panel_id = panel.id
      AND candidate.valid_from_us <= {latest}
      {known}
    ORDER BY candidate.valid_from_us DESC, candidate.recorded_at_us DESC
    LIMIT 1)"""

_REACH_AS_OF = """(
        SELECT CASE WHEN reach.valid_from_us < :at THEN reach.valid_from_us ELSE :at END
        FROM latest_start AS reach
        WHERE reach.panel_id = panel.id AND reach.recorded_at_us <= :as_of
        ORDER BY reach.recorded_at_us DESC, reach.valid_from_us DESC
        LIMIT 1)"""


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A panel without valid constants at T.

    Parameters
    ----------
    index : int
        Segment of the detector, from 0.
    panel : str
        Panel id.
    """

    index: int
    panel: str


def assigned_at(
    source: "Readable", panels: Sequence[str], at: datetime, as_of: datetime | None
) -> list[ResolvedPanel | Unresolved]:
    """Return for each panel the assignment with the greatest start not later than T.

    Of rows with the same start the one recorded last wins; the order in which
    rows were recorded decides nothing else (design §3).

    Parameters
    ----------
    panels : sequence of str
        Panel ids, in detector order; a panel may occur twice.
    at : datetime
        T; starts are inclusive.
    as_of : datetime or None
        Only rows recorded by then are seen; None is all.
    """
    parameters: dict[str, str | int | None] = {"at": to_microseconds(at)}
    if as_of is not None:
        parameters["as_of"] = to_microseconds(as_of)
    parameters |= {f"panel_{index}": panel for index, panel in enumerate(panels)}
    return _answers(rows_of(source, _by_time(len(panels), as_of is not None), parameters))


def holding(source: "Readable", rows: Mapping[int, Assignment]) -> list[ResolvedPanel | Unresolved]:
    """Return what given rows of the ledger assign, by the segment each is for."""
    if not rows:
        return []
    parameters: dict[str, str | int | None] = {}
    for index, row in rows.items():
        parameters |= {f"panel_{index}": row.panel, f"row_{index}": row.id}
    return _answers(rows_of(source, _by_row(tuple(rows)), parameters))


def _answers(rows: Sequence[Sequence[Any]]) -> list[ResolvedPanel | Unresolved]:
    """Put together the rows of each segment: one for each kind."""
    answers: list[ResolvedPanel | Unresolved] = []
    last = None
    digests: dict[str, str] = {}
    for segment, panel, row_id, start, recorded, set_id, module, revision, of, kind, digest in rows:
        if segment == last:
            digests[kind] = digest
        elif set_id is None:
            answers.append(Unresolved(segment, panel))
        else:
            digests = {kind: digest}
            answers.append(
                ResolvedPanel(
                    index=segment,
                    panel=panel,
                    module=module,
                    revision=revision,
                    valid_from=from_microseconds(start),
                    recorded_at=moment_of(recorded),
                    digests=digests,
                    assignment_id=row_id,
                    constant_set_id=set_id,
                    detector_type=of,
                )
            )
        last = segment
    return answers


@lru_cache(maxsize=64)
def _by_time(count: int, is_past: bool) -> str:
    values = ", ".join(f"({index}, :panel_{index})" for index in range(count))
    if is_past:
        known = "AND candidate.recorded_at_us <= :as_of"
        choice = _LATEST_START.format(latest=_REACH_AS_OF, known=known)
    else:
        choice = _LATEST_START.format(latest=":at", known="")
    return _STATEMENT.format(columns="(segment, panel)", values=values, choice=choice)


@lru_cache(maxsize=64)
def _by_row(indices: tuple[int, ...]) -> str:
    values = ", ".join(f"({index}, :panel_{index}, :row_{index})" for index in indices)
    columns = "(segment, panel, row_id)"
    return _STATEMENT.format(columns=columns, values=values, choice="asked.row_id")
