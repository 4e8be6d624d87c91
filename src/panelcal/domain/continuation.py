"""Two copies of a record: whether one is the continuation of the other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True)
class Joined(Generic[Entry]):
    """What there is here of a record, and what comes with another copy of it.

    Parameters
    ----------
    shared : int
        Entries at the beginning that both have.
    new : tuple
        Entries of the other copy that continue what is here.
    beyond : tuple
        Entries here that continue the other copy.
    differs_at : int or None
        The first place where both have an entry, and not the same one.
    """

    shared: int
    new: tuple[Entry, ...]
    beyond: tuple[Entry, ...]
    differs_at: int | None = None


def join(
    here: Sequence[Entry], there: Sequence[Entry], says: Callable[[Entry], object]
) -> Joined[Entry]:
    """Compare two copies of a record.

    Parameters
    ----------
    here, there : sequence
        Entries in the order of recording.
    says : callable
        What an entry says, whoever recorded it and whenever.
    """
    for place, (one, other) in enumerate(zip(here, there, strict=False)):
        if says(one) != says(other):
            return Joined(place, (), (), place)
    shared = min(len(here), len(there))
    return Joined(shared, tuple(there[shared:]), tuple(here[shared:]))


@dataclass(frozen=True, slots=True)
class Window:
    """The transaction times here at which just what a tag saw there was recorded.

    Parameters
    ----------
    first : datetime or None
        When the last thing was recorded that the tag saw; None if it saw nothing.
    end : datetime or None
        When the first thing was recorded that it did not see; None if it saw all.
    """

    first: datetime | None
    end: datetime | None

    @property
    def is_empty(self) -> bool:
        """Whether there is no such time: something it did not see came first here."""
        return self.first is not None and self.end is not None and self.end <= self.first

    def has(self, moment: datetime) -> bool:
        """Say whether a transaction time is one of them."""
        is_late_enough = self.first is None or self.first <= moment
        return is_late_enough and (self.end is None or moment < self.end)


def window_of(as_of: datetime, times: Sequence[tuple[datetime | None, datetime]]) -> Window:
    """Find the transaction times here that a tag from elsewhere can stand for.

    Parameters
    ----------
    as_of : datetime
        What it stands for there.
    times : sequence of (datetime or None, datetime)
        When each entry was recorded there, None if it never was; and here.
    """
    seen = [here for there, here in times if there is not None and there <= as_of]
    unseen = [here for there, here in times if there is None or there > as_of]
    return Window(max(seen, default=None), min(unseen, default=None))
