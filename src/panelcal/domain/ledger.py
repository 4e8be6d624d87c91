"""The ledger in memory, for reports that ask about every registered run.

`panelcal.storage.resolver` answers one question in one statement. Here the same rules are
applied to rows that were read once; a property test holds the two equal.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from panelcal.domain.moments import stamp_of, to_microseconds
from panelcal.domain.validity import Assignment, in_force, is_guess, select_legacy


@dataclass(frozen=True, slots=True)
class Taken:
    """What one panel uses at a time.

    Parameters
    ----------
    row : Assignment
        It assigns a constant set, and is no withdrawal.
    guessed : bool
        Legacy policy takes it outside its validity.
    """

    row: Assignment
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """The assignments of many panels.

    Parameters
    ----------
    rows : mapping of str to sequence of Assignment
        Ledger rows by panel id; all that were recorded.
    zone : ZoneInfo
        The store's time zone, in which the legacy rule compares stamps.
    """

    rows: Mapping[str, Sequence[Assignment]]
    zone: ZoneInfo
    _current: dict[str, list[Assignment]] = field(default_factory=dict, repr=False)
    _starts: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def current(self, panel: str) -> list[Assignment]:
        """Return the rows of a panel that are not superseded, by ascending start."""
        if panel not in self._current:
            found = in_force(self.rows.get(panel, ()))
            self._current[panel] = found
            self._starts[panel] = [to_microseconds(row.valid_from) for row in found]
        return self._current[panel]

    def is_assigned(self, panel: str) -> bool:
        """Say whether any assignment in force gives a panel constants, at whatever time."""
        return any(row.module is not None for row in self.current(panel))

    def strict(self, panel: str, at: datetime) -> Taken | None:
        """Return what strict policy answers: the greatest start not later than T.

        None is before the first assignment, or within a withdrawal.
        """
        current = self.current(panel)
        place = bisect_right(self._starts[panel], to_microseconds(at))
        if place == 0 or current[place - 1].module is None:
            return None
        return Taken(current[place - 1])

    def legacy(self, panel: str, at: datetime) -> Taken | None:
        """Return what legacy policy answers for the stamp of T (spec §3)."""
        asked = stamp_of(at, self.zone)
        row = select_legacy(self.current(panel), asked, self.zone)
        if row is None or row.module is None:
            return None
        return Taken(row, is_guess(row, asked, self.zone))
