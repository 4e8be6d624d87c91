"""Coverage: what the registered runs of each detector are answered, and how old it is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from zoneinfo import ZoneInfo

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.epochs import Age, Epochs, epochs_of
from panelcal.domain.ids import DetectorId, parse_detector_id
from panelcal.domain.ledger import Ledger, Taken
from panelcal.domain.runs import Dataset, Run
from panelcal.domain.validity import Policy

_UNKNOWN = datetime.min.replace(tzinfo=UTC)
"""Runs without a begin come before all others."""


class Answered(StrEnum):
    """How the store answers for a run, at its begin."""

    STRICT = "strict"
    """It has constants."""
    GUESS = "guess"
    """Only legacy policy answers."""
    NONE = "none"
    """At least one panel has no constants under either policy, or no panels are known."""
    NO_BEGIN = "no begin"
    """Nobody has said when it began."""


@dataclass(frozen=True, slots=True)
class Use:
    """The constants of one panel at a run.

    Parameters
    ----------
    index : int
        Segment of the detector, from 0.
    panel : str or None
        Panel id; None for a declared module.
    module, revision : str or None, int or None
        The constant set; None if there is none.
    valid_from : datetime or None
        Since when; None is *the beginning*, or a declared module, or no constants.
    assignment_id : int or None
        Row of the ledger; None for a declared module or no constants.
    guessed : bool
        Legacy policy takes it outside its validity.
    """

    index: int
    panel: str | None
    module: str | None = None
    revision: int | None = None
    valid_from: datetime | None = None
    assignment_id: int | None = None
    guessed: bool = False

    @property
    def uses(self) -> str:
        """``M068@1``, or ``none``."""
        return "none" if self.module is None else f"{self.module}@{self.revision}"


@dataclass(frozen=True, slots=True)
class RunAnswer:
    """What the store answers for one source of a run.

    Parameters
    ----------
    run : Run
        As registered.
    answered : Answered
        How.
    uses : tuple of Use
        By segment. Those of a run without an answer are what strict policy gives for each
        panel; empty without a begin, or where no panels are known.
    """

    run: Run
    answered: Answered
    uses: tuple[Use, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Panels, or declared modules, without constants; in segment order, each once."""
        named = (*(self.run.modules or (use.panel or "" for use in self.uses)),)
        lost = [name for name, use in zip(named, self.uses, strict=False) if use.module is None]
        return tuple(dict.fromkeys(lost))


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for runs, by the rules of `panelcal.services.resolve`.

    Parameters
    ----------
    ledger : Ledger
        Assignments of all panels.
    delivered : set of pairs
        Modules and revisions.
    detector_type : str
        The store's; an id of another type has no constants here.
    """

    ledger: Ledger
    delivered: AbstractSet[tuple[str, int]]
    detector_type: str

    def of(self, run: Run) -> RunAnswer:
        """Return what a run is answered at its begin."""
        if run.begin is None:
            return RunAnswer(run, Answered.NO_BEGIN)
        strict = self.under("strict", run, run.begin)
        if is_whole(strict):
            return RunAnswer(run, Answered.STRICT, strict)
        legacy = self.under("legacy", run, run.begin)
        if is_whole(legacy):
            return RunAnswer(run, Answered.GUESS, legacy)
        return RunAnswer(run, Answered.NONE, strict)

    def under(self, policy: Policy, run: Run, at: datetime) -> tuple[Use, ...]:
        """Return what each panel of a run uses at a time under a policy, in segment order."""
        if run.detector_id is None:
            return tuple(self._declared(run.modules))
        panels = panels_of(run.detector_id)
        if not self.knows(parse_detector_id(run.detector_id)):
            return tuple(Use(index, panel) for index, panel in enumerate(panels))
        # No validity starts inside a second.
        moment = at.replace(microsecond=0)
        answer = self.ledger.strict if policy == "strict" else self.ledger.legacy
        return tuple(
            _use(index, panel, answer(panel, moment)) for index, panel in enumerate(panels)
        )

    def knows(self, detector: DetectorId) -> bool:
        """Say whether an id is of the store's detector type, or names none."""
        return detector.prefix in {"", self.detector_type}

    def _declared(self, modules: Sequence[str]) -> Iterator[Use]:
        for index, reference in enumerate(modules):
            name, revision = parse_module_reference(reference)
            # A module without a revision means its first delivery.
            wanted = revision or 1
            if (name, wanted) in self.delivered:
                yield Use(index, None, name, wanted)
            else:
                yield Use(index, None)


def is_whole(uses: Sequence[Use]) -> bool:
    """Say whether every panel has constants: a detector resolves whole or not at all."""
    return bool(uses) and all(use.module is not None for use in uses)


def panels_of(detector: str) -> tuple[str, ...]:
    """Return the panel ids of a detector id, in segment order."""
    return tuple(map(str, parse_detector_id(detector).panels))


def _use(index: int, panel: str, taken: Taken | None) -> Use:
    if taken is None:
        return Use(index, panel)
    row = taken.row
    return Use(index, panel, row.module, row.revision, row.valid_from, row.id, taken.guessed)


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
