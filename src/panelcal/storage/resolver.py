"""The one query that resolves a detector: every panel in one statement.

The statement is written out because its form was chosen by measurement: one
``ORDER BY ... LIMIT 1`` subquery per panel over a list of VALUES walks the
unique index of the ledger backwards and stays flat as history grows, and the
same text runs on every engine.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.resolution import ResolvedPanel
from panelcal.domain.validity import Assignment

FOREVER_US = 2**63 - 1

_STATEMENT = """
WITH asked {columns} AS (VALUES {values})
SELECT asked.segment, asked.panel, chosen.id AS assignment_id,
       chosen.valid_from_us, chosen.recorded_at_us, chosen.constant_set_id,
       module.name AS module, constant_set.revision,
       kind.name AS kind, held.digest
FROM asked
LEFT JOIN panel ON panel.name = asked.panel
LEFT JOIN assignment AS chosen ON chosen.id = {choice}
LEFT JOIN constant_set ON constant_set.id = chosen.constant_set_id
LEFT JOIN module ON module.id = constant_set.module_id
LEFT JOIN constant_set_payload AS held ON held.constant_set_id = constant_set.id
LEFT JOIN kind ON kind.id = held.kind_id
ORDER BY asked.segment, held.kind_id
"""

_LATEST_START = """(
    SELECT candidate.id FROM assignment AS candidate
    WHERE candidate.panel_id = panel.id
      AND candidate.valid_from_us <= :at
      AND candidate.recorded_at_us <= :as_of
    ORDER BY candidate.valid_from_us DESC, candidate.recorded_at_us DESC
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
    connection: Connection, panels: Sequence[str], at: datetime, as_of: datetime | None
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
    parameters: dict[str, str | int] = {
        "at": to_microseconds(at),
        "as_of": FOREVER_US if as_of is None else to_microseconds(as_of),
    }
    parameters |= {f"panel_{index}": panel for index, panel in enumerate(panels)}
    return _answers(connection.execute(_by_time(len(panels)), parameters))


def holding(
    connection: Connection, rows: Mapping[int, Assignment]
) -> list[ResolvedPanel | Unresolved]:
    """Return what given rows of the ledger assign, by the segment each is for."""
    if not rows:
        return []
    parameters: dict[str, str | int] = {}
    for index, row in rows.items():
        parameters |= {f"panel_{index}": row.panel, f"row_{index}": row.id}
    return _answers(connection.execute(_by_row(tuple(rows)), parameters))


def _answers(rows: Iterable[Row[Any]]) -> list[ResolvedPanel | Unresolved]:
    answers: list[ResolvedPanel | Unresolved] = []
    for _, group in groupby(rows, attrgetter("segment")):
        kinds = list(group)
        row = kinds[0]
        if row.constant_set_id is None:
            answers.append(Unresolved(row.segment, row.panel))
            continue
        answers.append(
            ResolvedPanel(
                index=row.segment,
                panel=row.panel,
                module=row.module,
                revision=row.revision,
                valid_from=from_microseconds(row.valid_from_us),
                recorded_at=moment_of(row.recorded_at_us),
                digests={kind.kind: kind.digest for kind in kinds},
                assignment_id=row.assignment_id,
                constant_set_id=row.constant_set_id,
            )
        )
    return answers


@lru_cache(maxsize=64)
def _by_time(count: int) -> TextClause:
    values = ", ".join(f"({index}, :panel_{index})" for index in range(count))
    columns = "(segment, panel)"
    return text(_STATEMENT.format(columns=columns, values=values, choice=_LATEST_START))


@lru_cache(maxsize=64)
def _by_row(indices: tuple[int, ...]) -> TextClause:
    values = ", ".join(f"({index}, :panel_{index}, :row_{index})" for index in indices)
    columns = "(segment, panel, row_id)"
    return text(_STATEMENT.format(columns=columns, values=values, choice="asked.row_id"))
