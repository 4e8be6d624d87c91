"""Coverage: which registered runs have constants, and how old these are."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from panelcal.domain.coverage import DetectorCoverage, cover, first_runs
from panelcal.domain.epochs import Age
from panelcal.domain.ids import parse_detector_id
from panelcal.domain.ledger import Ledger
from panelcal.domain.moments import stamp_of
from panelcal.domain.run_answers import Answered, Answers, RunAnswer
from panelcal.domain.runs import Run, nearest_names, parse_experiment
from panelcal.domain.text import excerpt
from panelcal.errors import NotFoundError
from panelcal.services.runs import require_as_recorded
from panelcal.storage.ledger import history
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.runs import runs as registered_runs
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    import pyarrow as pa

    from panelcal.storage.reader import Readable

OLD_MONTHS, EPOCH_MONTHS = 12, 6
"""Unless told otherwise: constants of two calibrations a year are no mixed epochs."""


@dataclass(frozen=True, slots=True)
class Record:
    """The rows that reports on a whole store rest on, of one state of the database.

    Parameters
    ----------
    runs : sequence of Run
        As they stand, by experiment, run and source.
    ledger : Ledger
        Assignments of all panels.
    sets : sequence of ConstantSet
        By module and revision.
    digests : mapping
        Digest of each kind, by module and revision.
    answers : sequence of RunAnswer
        What each run is answered.
    asking : Answers
        What answered.
    """

    runs: Sequence[Run]
    ledger: Ledger
    sets: Sequence[ConstantSet]
    digests: Mapping[tuple[str, int], Mapping[str, str]]
    answers: Sequence[RunAnswer]
    asking: Answers


def read_record(source: "Readable", zone: ZoneInfo) -> Record:
    """Read runs, ledger and constant sets, and answer for every run.

    Raises
    ------
    IntegrityError
        The row of a run is not as it was recorded.
    """
    runs = registered_runs(source)
    require_as_recorded(runs)
    ledger = Ledger(history(source), zone)
    sets = constant_sets(source)
    digests = {(one.module, one.revision): one.digests for one in sets}
    asking = Answers(ledger, digests.keys(), detector_types(source).names)
    return Record(runs, ledger, sets, digests, [asking.of(run) for run in runs], asking)


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of every detector that registered runs name.

    Parameters
    ----------
    detectors : tuple of DetectorCoverage
        By detector id.
    zone : ZoneInfo
        The store's time zone, in which stamps are written and months are counted.
    old_months, epoch_months : int
        From which age on constants are old; from which distance on epochs are mixed.
    """

    detectors: tuple[DetectorCoverage, ...]
    zone: ZoneInfo
    old_months: int
    epoch_months: int

    @property
    def counts(self) -> Counter[Answered]:
        """How many runs are answered in each way."""
        return sum((one.counts for one in self.detectors), Counter())

    def is_old(self, age: Age | None) -> bool:
        """Say whether constants were old at a run."""
        return age is not None and age.exceeds(self.old_months, self.zone)

    def document(self) -> dict[str, Any]:
        """Return the report as ``coverage --json`` prints it."""
        return {
            "older_than_months": self.old_months,
            "epochs_months": self.epoch_months,
            "runs": _counts_document(self.counts),
            "detectors": [self._detector_document(one) for one in self.detectors],
        }

    def _detector_document(self, one: DetectorCoverage) -> dict[str, Any]:
        begun = one.begun
        return {
            "detector": one.detector,
            "modules": list(one.modules),
            "runs": _counts_document(one.counts),
            "first_begin": self._begin(begun[0]) if begun else None,
            "last_begin": self._begin(begun[-1]) if begun else None,
            "panels": self._panel_documents(one),
            "epochs": None
            if one.epochs is None
            else {
                "oldest": stamp_of(one.epochs.oldest, self.zone),
                "newest": stamp_of(one.epochs.newest, self.zone),
                "days": one.epochs.span.days,
                "at_least": one.epochs.at_least,
                "mixed": one.epochs.exceed(self.epoch_months, self.zone),
            },
            "mixed_epochs": len(one.mixed),
            "time": [
                {
                    "answer": str(stretch.answered),
                    "from": self._begin(stretch.first),
                    "to": self._begin(stretch.last),
                    "runs": stretch.runs,
                }
                for stretch in one.stretches
            ],
            "unanswered": [
                {
                    "dataset": str(answer.run.dataset),
                    "source": answer.run.source,
                    "begin": self._begin(answer),
                    "answer": str(answer.answered),
                    "without": list(answer.missing),
                    "guessed": [str(use.panel) for use in answer.uses if use.guessed],
                }
                for answer in one.runs
                if answer.answered is not Answered.STRICT
            ],
        }

    def _panel_documents(self, one: DetectorCoverage) -> list[dict[str, Any]]:
        uses = () if one.last is None else one.last.uses
        return [
            {
                "index": use.index,
                "panel": use.panel,
                "module": use.module,
                "revision": use.revision,
                "valid_from": None
                if use.valid_from is None
                else stamp_of(use.valid_from, self.zone),
                "guessed": use.guessed,
                "age_days": None if age is None else age.span.days,
                "age_at_least": age is not None and age.at_least,
                "old": self.is_old(age),
            }
            for use, age in zip(uses, one.ages, strict=True)
        ]

    def _begin(self, one: RunAnswer) -> str | None:
        return None if one.run.begin is None else stamp_of(one.run.begin, self.zone)

    def to_arrow(self) -> "pa.Table":
        """Return what every run is answered, a row per panel; see `docs/tutorial.md`.

        Raises
        ------
        InvalidInputError
            pyarrow is not installed.
        """
        from panelcal.exporters.arrow_table import coverage_table

        return coverage_table(self.detectors)


def _counts_document(counts: Counter[Answered]) -> dict[str, int]:
    return {"total": sum(counts.values())} | {
        str(answered): counts[answered] for answered in Answered
    }


def coverage_of(
    store: OpenStore,
    *,
    experiment: str | None = None,
    instrument: str | None = None,
    detector: str | None = None,
    old_months: int = OLD_MONTHS,
    epoch_months: int = EPOCH_MONTHS,
) -> Coverage:
    """Return which registered runs have constants, and how old these are.

    Parameters
    ----------
    experiment : str or None
        Only its runs.
    instrument : str or None
        Only runs of this one, ``MFX``; upper or lower case.
    detector : str or None
        Only runs of this detector id, or what stands for it where runs declare modules.
    old_months, epoch_months : int
        As `Coverage`.

    Raises
    ------
    InvalidInputError
        The experiment or the detector id is malformed.
    NotFoundError
        No registered run is of it.
    IntegrityError
        The row of a run is not as it was recorded.
    """
    with store.database.reader.snapshot() as snapshot:
        record = read_record(snapshot, store.zone)
    asked: list[_Criterion] = []
    if experiment is not None:
        named = parse_experiment(experiment)
        asked.append(_Criterion("experiment", named, lambda run: run.dataset.experiment))
    if instrument is not None:
        asked.append(
            _Criterion("instrument", instrument.upper(), lambda run: run.dataset.instrument)
        )
    if detector is not None:
        known = {run.legacy_id for run in record.runs}
        named = detector if detector in known else str(parse_detector_id(detector))
        asked.append(_Criterion("detector", named, lambda run: run.legacy_id))
    chosen = _chosen(record.answers, asked)
    found = cover(chosen, first_runs(record.runs), epoch_months=epoch_months, zone=store.zone)
    return Coverage(tuple(found), store.zone, old_months, epoch_months)


@dataclass(frozen=True, slots=True)
class _Criterion:
    """What the runs to be told about have in common."""

    what: str
    wanted: str
    own: Callable[[Run], str]

    def __str__(self) -> str:
        return f"the {self.what} {excerpt(self.wanted)}"


def _chosen(answers: Sequence[RunAnswer], asked: Sequence[_Criterion]) -> list[RunAnswer]:
    for one in asked:
        known = {one.own(answer.run) for answer in answers}
        if one.wanted not in known:
            near = nearest_names(one.wanted, known)
            hint = f"did you mean {', '.join(near)}?" if near else "panelcal run list"
            msg = f"no run of {one} is registered"
            raise NotFoundError(msg, hint)
    found = [
        answer for answer in answers if all(one.own(answer.run) == one.wanted for one in asked)
    ]
    if asked and not found:
        msg = f"no registered run is of {' and '.join(map(str, asked))}"
        raise NotFoundError(msg, "panelcal run list")
    return found
