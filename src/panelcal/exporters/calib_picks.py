"""What the legacy finder picks from a directory, whatever names somebody put there."""

from collections.abc import Iterable
from dataclasses import astuple
from functools import cached_property

from panelcal.errors import IntegrityError
from panelcal.exporters.calib_dir import LAST_RUN, RunRange, choose_file, parse_file_name


class Picks:
    """The files of one calibration type, as the legacy finder sees them (spec §8).

    Other than `choose_file`, which refuses a directory that is not in order, it
    says what happens there.

    Parameters
    ----------
    names : iterable of str
        Everything in the directory.

    Attributes
    ----------
    crashing : tuple of str
        Names on which the finder fails for every run. All else is told as it
        would be without them.
    considered : tuple of str
        Names that it considers, in the order of their runs.
    """

    def __init__(self, names: Iterable[str]) -> None:
        crashing = []
        self._ranges: dict[str, RunRange] = {}
        for name in sorted(names):
            try:
                runs = parse_file_name(name)
            except IntegrityError:
                crashing.append(name)
                continue
            if runs is not None:
                self._ranges[name] = runs
        self.crashing = tuple(crashing)
        ordered = sorted(self._ranges, key=lambda name: (*astuple(self._ranges[name]), name))
        self.considered = tuple(ordered)
        self._alike: dict[RunRange, list[str]] = {}
        for name, runs in self._ranges.items():
            self._alike.setdefault(runs, []).append(name)
        self._first_alike = [alike[0] for alike in self._alike.values()]

    def for_run(self, run: int) -> tuple[str, ...]:
        """Return what is picked for a run: one file, or none.

        Several are for the same runs, and the order of the directory decides.
        """
        name = choose_file(self._first_alike, run)
        return () if name is None else tuple(self._alike[self._ranges[name]])

    def rivals(self, name: str) -> tuple[str, ...]:
        """Return the other names that are for just the same runs."""
        return tuple(other for other in self._alike[self._ranges[name]] if other != name)

    def is_for(self, name: str, run: int) -> bool:
        """Say whether a file is for a run, picked or not."""
        runs = self._ranges[name]
        return runs.begin <= min(run, LAST_RUN) <= runs.end

    @cached_property
    def hidden(self) -> frozenset[str]:
        """Names that are never picked: others are, for every run that they are for."""
        # What is picked changes only where a range begins or has ended.
        turns = {runs.begin for runs in self._alike} | {runs.end + 1 for runs in self._alike}
        return frozenset(self._ranges).difference(*map(self.for_run, turns))
