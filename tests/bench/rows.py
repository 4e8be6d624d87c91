"""Rows of the table: a ratio, what it is a ratio of, and what it should be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.rounds import Measured


@dataclass(frozen=True, slots=True)
class Target:
    """What a ratio should be.

    Parameters
    ----------
    relation : {'<=', '<', '>='}
        With ``>=`` the ratio says how many times faster, else how many times as long.
    bound : float
        The ratio to be reached.
    """

    relation: Literal["<=", "<", ">="]
    bound: float

    def __str__(self) -> str:
        return f"{self.relation} {self.bound:g}"

    def is_met(self, ratio: float) -> bool:
        """Say whether a ratio is as wanted."""
        if self.relation == ">=":
            return ratio >= self.bound
        return ratio < self.bound if self.relation == "<" else ratio <= self.bound


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    topic : str
        What is measured together.
    what, against : str
        The work, and what it is compared with.
    target : Target or None
        None where a figure is given for comparison only.
    ratio : float or None
        None if it was not measured; `note` says why.
    paired, lowest, highest : float or None
        Median and range of the ratios of each round.
    rounds : int
        How many rounds the medians are of.
    figures : mapping of str to float
        More ratios, shown beside.
    seconds : mapping of str to sequence of float
        The times behind them, for the record.
    note : str
        What a reader should know.
    """

    topic: str
    what: str
    against: str
    target: Target | None
    ratio: float | None
    paired: float | None = None
    lowest: float | None = None
    highest: float | None = None
    rounds: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without a target or a measurement."""
        if self.target is None or self.ratio is None:
            return None
        return self.target.is_met(self.ratio)

    def document(self) -> dict[str, Any]:
        """Return the row for JSON."""
        return {
            "topic": self.topic,
            "what": self.what,
            "against": self.against,
            "target": None if self.target is None else str(self.target),
            "ratio": self.ratio,
            "paired": self.paired,
            "lowest": self.lowest,
            "highest": self.highest,
            "met": self.met,
            "rounds": self.rounds,
            "figures": dict(self.figures),
            "seconds": {name: list(times) for name, times in self.seconds.items()},
            "note": self.note,
        }


def compared(
    measured: Measured,
    name: str,
    other: str,
    *,
    topic: str,
    what: str,
    against: str,
    target: Target | None,
    figures: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    """Return the row of two contenders.

    Parameters
    ----------
    name, other : str
        Contenders: the work, and what it is compared with.
    """
    is_speed = target is not None and target.relation == ">="
    ratio = measured.ratio(other, name) if is_speed else measured.ratio(name, other)
    return Row(
        topic,
        what,
        against,
        target,
        ratio.value,
        ratio.paired,
        ratio.lowest,
        ratio.highest,
        len(measured.seconds[name]),
        figures or {},
        {one: measured.seconds[one] for one in (name, other)},
        note,
    )


def worst(rows: Mapping[str, Row], what: str) -> Row:
    """Return one row for several: the ratio that is furthest from the target, with all shown."""
    measured = [row for row in rows.values() if row.ratio is not None]
    is_speed = measured[0].target is not None and measured[0].target.relation == ">="
    chosen = (min if is_speed else max)(measured, key=lambda row: row.ratio or 0.0)
    return Row(
        chosen.topic,
        what,
        chosen.against,
        chosen.target,
        chosen.ratio,
        chosen.paired,
        chosen.lowest,
        chosen.highest,
        chosen.rounds,
        {label: row.ratio for label, row in rows.items() if row.ratio is not None},
        {
            f"{label} {name}": times
            for label, row in rows.items()
            for name, times in row.seconds.items()
        },
        chosen.note,
    )
