"""Interleaved rounds: every contender once a round, in random order, against one clock.

Caches, the allocator and whatever else the machine does drift during a measurement.
Contenders that take turns see the same drift, so that the ratio of their times holds
where the times themselves do not.
"""

import gc
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


def _nothing() -> None:
    """Stand in where a contender has nothing to prepare or to clear away."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A piece of work to be timed.

    Parameters
    ----------
    name : str
        Unique among those measured together.
    run : callable
        The work. What it returns is kept until the clock has stopped.
    set_up, tear_down : callable
        Called before and after each run, outside the clock.
    calls : int
        How often one run does the work; times are per call.
    """

    name: str
    run: Callable[[], object]
    set_up: Callable[[], object] = _nothing
    tear_down: Callable[[], object] = _nothing
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Ratio:
    """How the times of one contender compare with those of another.

    Parameters
    ----------
    value : float
        Ratio of the medians.
    paired : float
        Median of the ratios of each round.
    lowest, highest : float
        Of the ratios of each round.
    """

    value: float
    paired: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What the rounds gave.

    Parameters
    ----------
    seconds : mapping of str to sequence of float
        For each contender the seconds a call took, in the order of the rounds.
    """

    seconds: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def median(self, name: str) -> float:
        """Return the median of a contender, in seconds."""
        return median(self.seconds[name])

    def ratio(self, name: str, against: str) -> Ratio:
        """Return how many times as long as another a contender took."""
        rounds = [
            own / other
            for own, other in zip(self.seconds[name], self.seconds[against], strict=True)
        ]
        return Ratio(
            self.median(name) / self.median(against), median(rounds), min(rounds), max(rounds)
        )


def measure(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    seed: int = 0,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> Measured:
    """Run every contender once a round, in an order shuffled for each.

    Garbage is collected between rounds and never during a run.

    Parameters
    ----------
    rounds : int
        How many count.
    warm_up : bool
        Let one round go before that does not count: imports, first pages.
    clock : callable
        Seconds, monotonic.
    """
    order = random.Random(seed)
    found: dict[str, list[float]] = {one.name: [] for one in contenders}
    if len(found) != len(contenders):
        msg = "two contenders have the same name"
        raise ValueError(msg)
    for number in range(-1 if warm_up else 0, rounds):
        gc.collect()
        for one in order.sample(contenders, len(contenders)):
            seconds = _timed(one, clock)
            if number >= 0:
                found[one.name].append(seconds / one.calls)
    return Measured({name: tuple(times) for name, times in found.items()})


def _timed(one: Contender, clock: Callable[[], float]) -> float:
    one.set_up()
    try:
        gc.disable()
        try:
            start = clock()
            # Kept, so that the time does not include giving its memory back.
            result = one.run()
            stop = clock()
        finally:
            gc.enable()
        del result
    finally:
        one.tear_down()
    return stop - start
