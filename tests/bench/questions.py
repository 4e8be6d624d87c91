"""Questions to a ledger: never the same time twice, so that nothing remembered answers."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from bench import ledgers
from bench.rounds import Contender

_EVENING = 2 * 3600
"""Seconds of a day that are asked for: no change of the clocks falls into them."""
_QUESTIONS = 100_000


@dataclass(frozen=True, slots=True)
class Mode:
    """A way to ask.

    Parameters
    ----------
    name : str
        In the table.
    first, last : float
        Which part of the ledger's years T is in.
    is_past : bool
        Ask for what the ledger said in the middle of its years.
    """

    name: str
    first: float
    last: float
    is_past: bool

    def as_of(self, rows: int) -> datetime | None:
        """Return the transaction time asked for, in a ledger of so many rows."""
        if not self.is_past:
            return None
        middle = ledgers.recorded_us(rows // 2, rows)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=middle)

    def times(self, seed: int) -> Iterator[datetime]:
        """Give T after T, each once."""
        days = (ledgers.END - ledgers.BEGIN).days
        seconds = range(int(self.first * days) * _EVENING, int(self.last * days) * _EVENING)
        for second in random.Random(seed).sample(seconds, _QUESTIONS):
            day, evening = divmod(second, _EVENING)
            yield ledgers.BEGIN + timedelta(days=day, hours=20, seconds=evening)


MODES = (
    Mode("now", 0.0, 1.0, False),
    Mode("as-of, T before A", 0.0, 0.5, True),
    Mode("as-of, T after A", 0.5, 1.0, True),
)
"""The last is hard: all that was recorded since A may stand in the way."""

PANELS = (1, 32)


class Bunch:
    """Calls a function with the next few arguments of an endless supply.

    Parameters
    ----------
    call : callable
        The work.
    arguments : iterator
        What it is called with, prepared outside the clock.
    calls : int
        How many make a bunch.
    """

    def __init__(self, call: Callable[[Any], object], arguments: Iterator[Any], calls: int) -> None:
        self._call = call
        self._supply = arguments
        self._calls = calls
        self._arguments: Sequence[Any] = ()

    def prepare(self) -> None:
        """Take the arguments of the next bunch."""
        self._arguments = list(islice(self._supply, self._calls))

    def run(self) -> None:
        """Call with each of them."""
        for argument in self._arguments:
            self._call(argument)

    def contender(self, name: str) -> Contender:
        """Return the bunch as a contender."""
        return Contender(name, self.run, set_up=self.prepare, calls=self._calls)
