"""The ledger with its seals: each row of a panel binds the row before it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from panelcal.domain.seal import BrokenSeal, assignment_seal, said
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

PAGE = 5000
"""Rows that are asked for at a time."""

_LEDGER = """
SELECT row.id, row.panel_id, panel.name, panel.module_version, panel.firmware, panel.serial,
       row.valid_from_us, row.constant_set_id, used.seal, module.name, used.revision,
       row.recorded_at_us, row.recorded_by, row.reason, row.seal{further}
FROM assignment AS row
LEFT JOIN panel ON panel.id = row.panel_id
LEFT JOIN constant_set AS used ON used.id = row.constant_set_id
LEFT JOIN module ON module.id = used.module_id
WHERE {which}
"""

_PREVIOUS = """,
       (SELECT former.seal FROM assignment AS former WHERE former.id =
           (SELECT max(other.id) FROM assignment AS other
            WHERE other.panel_id = row.panel_id AND other.id < row.id))"""

_ENDS = """
SELECT panel.id, panel.name, panel.module_version, panel.firmware, panel.serial, latest.seal
FROM panel LEFT JOIN assignment AS latest
ON latest.id = (SELECT max(other.id) FROM assignment AS other WHERE other.panel_id = panel.id)
WHERE panel.id IN ({numbers})
"""

_SET_SEALS = "SELECT id, seal FROM constant_set WHERE id IN ({numbers})"

_AT_ONCE = 500
"""Numbers in a list of an SQL statement."""

_COUNTS = "SELECT panel_id, count(*) FROM assignment GROUP BY panel_id ORDER BY panel_id"

_REACHES = """
SELECT panel.name, reach.valid_from_us, reach.recorded_at_us
FROM latest_start AS reach JOIN panel ON panel.id = reach.panel_id
WHERE panel.name IN ({names})
"""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of the ledger as it is stored.

    Parameters
    ----------
    id, panel_id : int
        Row numbers.
    panel : str or None
        Panel id; None if the row is of no panel.
    fields : tuple of str
        Module version, firmware and serial.
    valid_from_us : int
        Start, in microseconds since 1970.
    constant_set_id : int or None
        None is a withdrawal.
    set_seal, module, revision : str, str, int
        Of the constant set; None for a withdrawal, or if there is no such row.
    recorded_at_us, recorded_by, reason : int, str, str
        When, by whom and why it was recorded.
    seal : str
        As stored.
    """

    id: int
    panel_id: int
    panel: str | None
    fields: tuple[str | None, str | None, str | None]
    valid_from_us: int
    constant_set_id: int | None
    set_seal: str | None
    module: str | None
    revision: int | None
    recorded_at_us: int
    recorded_by: str
    reason: str
    seal: str

    @classmethod
    def of(cls, row: Sequence[Any]) -> "LedgerRow":
        """Return what `_LEDGER` selects."""
        number, panel_id, panel, version, firmware, serial, *rest = row[:15]
        return cls(number, panel_id, panel, (version, firmware, serial), *rest)

    def follows(self, previous: str) -> bool:
        """Say whether the row is as recorded, after a row of its panel with that seal."""
        constant_set = self.set_seal
        if self.constant_set_id is not None and constant_set is None:
            # It refers to nothing, which is not the same as a withdrawal.
            constant_set = ""
        return self.seal == assignment_seal(
            previous,
            panel=self.panel,
            fields=self.fields,
            valid_from_us=self.valid_from_us,
            constant_set=constant_set,
            recorded_at_us=self.recorded_at_us,
            recorded_by=self.recorded_by,
            reason=self.reason,
        )

    def broken(self) -> BrokenSeal:
        """Return the account of a row that does not follow its predecessor."""
        told = {
            "panel": self.panel,
            "valid_from_us": self.valid_from_us,
            "constant_set": "withdrawn"
            if self.constant_set_id is None
            else f"{self.module}@{self.revision}",
            "recorded_at_us": self.recorded_at_us,
            "recorded_by": self.recorded_by,
            "reason": self.reason,
        }
        return BrokenSeal("assignment", str(self.id), said(told))


def broken_ledger(source: "Readable") -> Iterator[BrokenSeal]:
    """Give every row of the ledger that is not as it was recorded, chain by chain."""
    for first, last in _batches(rows_of(source, _COUNTS)):
        which = "row.panel_id BETWEEN :first AND :last ORDER BY row.panel_id, row.id"
        rows = rows_of(
            source, _LEDGER.format(further="", which=which), {"first": first, "last": last}
        )
        for _, chain in groupby(map(LedgerRow.of, rows), lambda row: row.panel_id):
            yield from broken_links(chain)


def require_ledger(source: "Readable") -> None:
    """Refuse a ledger of which a row is not as it was recorded.

    Raises
    ------
    IntegrityError
        It names the first such row.
    """
    for broken in broken_ledger(source):
        raise broken.refusal()


def _batches(counts: Sequence[Sequence[Any]]) -> Iterator[tuple[int, int]]:
    """Give ranges of panels that have some `PAGE` rows together."""
    first, total = None, 0
    last = None
    for panel_id, count in counts:
        if first is not None and last is not None and total + count > PAGE:
            yield first, last
            first, total = None, 0
        first = panel_id if first is None else first
        last, total = panel_id, total + count
    if first is not None and last is not None:
        yield first, last


def broken_links(chain: Iterable[LedgerRow]) -> Iterator[BrokenSeal]:
    """Give the rows of one panel, in the order of recording, that are not as recorded."""
    previous = ""
    for row in chain:
        if not row.follows(previous):
            yield row.broken()
        previous = row.seal


def ledger_of(source: "Readable", panels: Collection[str], most: int) -> list[LedgerRow] | None:
    """Return all rows of some panels in the order of recording; None if there are too many.

    Parameters
    ----------
    panels : collection of str
        Panel ids.
    most : int
        How many rows are not too many.
    """
    names, parameters = _named(panels)
    which = f"panel.name IN ({names}) LIMIT :most"
    rows = rows_of(source, _LEDGER.format(further="", which=which), parameters | {"most": most + 1})
    if len(rows) > most:
        return None
    return sorted(map(LedgerRow.of, rows), key=lambda row: row.id)


def require_rows(source: "Readable", ids: Collection[int]) -> dict[int, LedgerRow]:
    """Return rows of the ledger by number, each after a look at the seal before it.

    Raises
    ------
    IntegrityError
        One is not as it was recorded.
    """
    numbers = {f"row_{index}": row_id for index, row_id in enumerate(sorted(ids))}
    which = f"row.id IN ({', '.join(f':{name}' for name in numbers)})"
    found = {}
    for selected in rows_of(source, _LEDGER.format(further=_PREVIOUS, which=which), numbers):
        row = LedgerRow.of(selected)
        if not row.follows(selected[15] or ""):
            raise row.broken().refusal()
        found[row.id] = row
    return found


def latest_starts(source: "Readable", panels: Collection[str]) -> dict[str, set[tuple[int, int]]]:
    """Return what `latest_start` says of panels: starts and when they were recorded."""
    names, parameters = _named(panels)
    found: dict[str, set[tuple[int, int]]] = {}
    for panel, start, recorded in rows_of(source, _REACHES.format(names=names), parameters):
        found.setdefault(panel, set()).add((start, recorded))
    return found


def _named(panels: Collection[str]) -> "tuple[str, dict[str, str | int | None]]":
    parameters: dict[str, str | int | None] = {
        f"panel_{index}": name for index, name in enumerate(sorted(set(panels)))
    }
    return ", ".join(f":{name}" for name in parameters), parameters


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row that is to be appended to the ledger.

    Parameters
    ----------
    panel_id, constant_set_id : int, int or None
        Row numbers.
    valid_from_us, recorded_at_us : int
        In microseconds since 1970.
    recorded_by, reason : str
        Who, and why.
    """

    panel_id: int
    valid_from_us: int
    constant_set_id: int | None
    recorded_at_us: int
    recorded_by: str
    reason: str


def seals_for(source: "Readable", new: Sequence[NewRow]) -> list[str]:
    """Return the seals of rows that are appended in this order, by nobody else meanwhile."""
    ends = {
        row[0]: (row[1], (row[2], row[3], row[4]), row[5] or "")
        for row in _asked(source, _ENDS, {one.panel_id for one in new})
    }
    sets = set_seals(source, {one.constant_set_id for one in new if one.constant_set_id})
    seals = []
    for one in new:
        panel, fields, previous = ends[one.panel_id]
        seal = assignment_seal(
            previous,
            panel=panel,
            fields=fields,
            valid_from_us=one.valid_from_us,
            constant_set=None if one.constant_set_id is None else sets.get(one.constant_set_id, ""),
            recorded_at_us=one.recorded_at_us,
            recorded_by=one.recorded_by,
            reason=one.reason,
        )
        ends[one.panel_id] = panel, fields, seal
        seals.append(seal)
    return seals


def set_seals(source: "Readable", ids: Collection[int]) -> dict[int, str]:
    """Return the seals of constant sets by row number."""
    return {row[0]: row[1] for row in _asked(source, _SET_SEALS, ids)}


def _asked(source: "Readable", statement: str, numbers: Collection[int]) -> Iterator[Sequence[Any]]:
    wanted = sorted(numbers)
    for start in range(0, len(wanted), _AT_ONCE):
        named = {f"n_{index}": one for index, one in enumerate(wanted[start : start + _AT_ONCE])}
        places = ", ".join(f":{name}" for name in named)
        yield from rows_of(source, statement.format(numbers=places), named)
