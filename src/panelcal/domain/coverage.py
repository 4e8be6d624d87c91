"""Coverage: what the registered runs of each detector are answered, and how old it is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from panelcal.domain.epochs import Age, Epochs, epochs_of
from panelcal.domain.run_answers import Answered, RunAnswer, Use, panels_of
from panelcal.domain.runs import Dataset, Run

_UNKNOWN = datetime.min.replace(tzinfo=UTC)
"""Runs without a begin come before all others."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Runs of a detector, one after the other, that are answered in the same way.

    Parameters
    ----------
    answered : Answered
        How.
    first, last : RunAnswer
        By begin.
    runs : int
        How many, both included.
    """

    answered: Answered
    first: RunAnswer
    last: RunAnswer
    runs: int


@dataclass(frozen=True, slots=True)
class DetectorCoverage:
    """The registered runs of one detector.

    Parameters
    ----------
    detector : str
        Detector id; the source with ``-`` for ``:`` where runs declare modules or nothing.
    modules : tuple of str
        What its runs declare.
    runs : tuple of RunAnswer
        By begin; those without one come first.
    ages : tuple of Age or None
        Per panel of the last run; None without constants, for a guess, and for a declared
        module.
    epochs : Epochs or None
        Of the last run that has an answer; None where no panel has a dated start.
    mixed : tuple of RunAnswer
        Runs whose answer mixes epochs.
    """

    detector: str
    modules: tuple[str, ...]
    runs: tuple[RunAnswer, ...]
    ages: tuple[Age | None, ...]
    epochs: Epochs | None
    mixed: tuple[RunAnswer, ...]

    @property
    def counts(self) -> Counter[Answered]:
        """How many runs are answered in each way."""
        return Counter(one.answered for one in self.runs)

    @property
    def begun(self) -> tuple[RunAnswer, ...]:
        """The runs with a begin, in that order."""
        return tuple(one for one in self.runs if one.run.begin is not None)

    @property
    def last(self) -> RunAnswer | None:
        """The last run that has a begin."""
        return self.begun[-1] if self.begun else None

    @property
    def stretches(self) -> list[Stretch]:
        """Its time, from the first begin to the last, by how runs are answered."""
        groups = (list(group) for _, group in groupby(self.begun, lambda one: one.answered))
        return [Stretch(group[0].answered, group[0], group[-1], len(group)) for group in groups]


def first_runs(runs: Iterable[Run]) -> dict[str, datetime]:
    """Return the begin of the first run of each panel."""
    found: dict[str, datetime] = {}
    for run in runs:
        if run.begin is None or run.detector_id is None:
            continue
        for panel in panels_of(run.detector_id):
            found[panel] = min(run.begin, found.get(panel, run.begin))
    return found


def cover(
    answers: Iterable[RunAnswer],
    first: Mapping[str, datetime],
    *,
    epoch_months: int,
    zone: ZoneInfo,
) -> list[DetectorCoverage]:
    """Return the coverage of each detector, by detector id.

    Parameters
    ----------
    answers : iterable of RunAnswer
        Of the runs to be told about.
    first : mapping of str to datetime
        Begin of the first run of each panel, of all registered ones.
    epoch_months : int
        Starts further apart are mixed epochs.
    zone : ZoneInfo
        In which months are counted.
    """
    grouped: dict[tuple[str, tuple[str, ...]], list[RunAnswer]] = defaultdict(list)
    for one in answers:
        grouped[one.run.legacy_id, one.run.modules].append(one)
    return [
        _of_detector(detector, modules, sorted(runs, key=_order), first, epoch_months, zone)
        for (detector, modules), runs in sorted(grouped.items())
    ]


def _order(one: RunAnswer) -> tuple[datetime, Dataset, str]:
    return one.run.begin or _UNKNOWN, one.run.dataset, one.run.source


def _of_detector(
    detector: str,
    modules: tuple[str, ...],
    runs: Sequence[RunAnswer],
    first: Mapping[str, datetime],
    epoch_months: int,
    zone: ZoneInfo,
) -> DetectorCoverage:
    # Thousands of runs share a few answers.
    known: dict[tuple[int | None, ...], tuple[Epochs | None, bool]] = {}
    epochs, mixed = None, []
    for one in runs:
        if one.answered in {Answered.STRICT, Answered.GUESS} and not modules:
            key = tuple(use.assignment_id for use in one.uses)
            if key not in known:
                found = epochs_of((use.valid_from, first[str(use.panel)]) for use in one.uses)
                known[key] = found, found is not None and found.exceed(epoch_months, zone)
            epochs, is_mixed = known[key]
            if is_mixed:
                mixed.append(one)
    last = runs[-1]
    ages = tuple(_age(use, last.run, first) for use in last.uses)
    return DetectorCoverage(detector, modules, tuple(runs), ages, epochs, tuple(mixed))


def _age(use: Use, run: Run, first: Mapping[str, datetime]) -> Age | None:
    if run.begin is None or use.assignment_id is None or use.guessed:
        return None
    if use.valid_from is not None:
        return Age(use.valid_from, run.begin, at_least=False)
    return Age(first[str(use.panel)], run.begin, at_least=True)
