"""What registered runs are answered at their begin, from rows that were read once."""

from collections.abc import Collection, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import DetectorId, parse_detector_id
from panelcal.domain.ledger import Ledger, Taken
from panelcal.domain.runs import Run
from panelcal.domain.validity import Policy


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
        lost = [use for use in self.uses if use.module is None]
        declared = self.run.modules
        names = [declared[use.index] if declared else str(use.panel) for use in lost]
        return tuple(dict.fromkeys(names))


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for runs, by the rules of `panelcal.services.resolve`.

    Parameters
    ----------
    ledger : Ledger
        Assignments of all panels.
    delivered : set of pairs
        Modules and revisions.
    types : collection of str
        Detector types of the store; an id of another type has no constants here.
    """

    ledger: Ledger
    delivered: AbstractSet[tuple[str, int]]
    types: Collection[str]

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
        """Say whether an id is of a detector type of the store, or names none."""
        return not detector.prefix or detector.prefix in self.types

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
