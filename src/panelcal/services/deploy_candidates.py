"""The registered runs of a deploy job: the answer of each, its files, what became of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import Kind
from panelcal.domain.runs import Run, nearest_names, parse_experiment
from panelcal.domain.served import RunOutcome, RunStatus, ServedFile, reason_of
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.exporters.calib_plan import Plan, Step, own_name
from panelcal.services.device import require_device, require_known_device
from panelcal.services.export import Answer
from panelcal.services.resolve import resolve_run
from panelcal.services.sealed import SealedRows
from panelcal.storage import runs as stored


@dataclass(slots=True)
class Candidate:
    """A registered run on its way through the job.

    Parameters
    ----------
    run : Run
        The source of the run.
    answer : Answer or None
        What it is to read; None if it keeps what it reads.
    status, reason : RunStatus, str
        How it stands, and why.
    actions : dict of str to str
        What was done about each kind.
    read_nothing : set of str
        Kinds of which it read no file when the job began.
    """

    run: Run
    answer: Answer | None
    status: RunStatus
    reason: str = ""
    actions: dict[str, str] = field(default_factory=dict)
    read_nothing: set[str] = field(default_factory=set)

    @property
    def number(self) -> int:
        """Its run number."""
        return self.run.dataset.run

    def give_up(self, status: RunStatus, reason: str) -> None:
        """Let the run keep what it reads, and say why; the first reason stands."""
        if self.answer is not None:
            self.answer, self.status, self.reason = None, status, reason


def find_candidates(
    connection: Connection,
    zone: ZoneInfo,
    types: DetectorTypes,
    experiment: str | None,
) -> list[Candidate]:
    """Resolve every registered run, all in one state of the database.

    Parameters
    ----------
    zone : ZoneInfo
        The store's time zone.
    types : DetectorTypes
        Of the store: the device of a run is that of one of them.
    experiment : str or None
        Only its runs; None is all.

    Raises
    ------
    NotFoundError
        No run of the experiment is registered.
    """
    runs = stored.runs(connection)
    if experiment is not None:
        known = {run.dataset.experiment for run in runs}
        if parse_experiment(experiment) not in known:
            msg = f"no run of {experiment} is registered"
            near = nearest_names(experiment, known)
            hint = f"did you mean {', '.join(near)}?" if near else "panelcal run list"
            raise NotFoundError(msg, hint)
        runs = [run for run in runs if run.dataset.experiment == experiment]
    rows = SealedRows(connection, of_many_runs=True)
    return [_candidate(connection, zone, types, run, rows) for run in runs]


def _candidate(
    connection: Connection, zone: ZoneInfo, types: DetectorTypes, run: Run, rows: SealedRows
) -> Candidate:
    if run.broken is not None:
        return Candidate(run, None, RunStatus.DAMAGED, str(run.broken.refusal()))
    if run.detector_id is None and not run.modules:
        reason = "registered with neither a detector id nor modules"
        return Candidate(run, None, RunStatus.SKIPPED, reason)
    try:
        require_known_device(run, types)
    except InvalidInputError as error:
        return Candidate(run, None, RunStatus.BLOCKED, reason_of(error))
    try:
        resolution = resolve_run(connection, zone, run, None, "strict", None)
        rows.require(resolution)
    except (NotFoundError, InvalidInputError) as error:
        return Candidate(run, None, RunStatus.NO_CONSTANTS, error.message)
    except IntegrityError as error:
        return Candidate(run, None, RunStatus.DAMAGED, error.message)
    answer = Answer(run, resolution)
    try:
        require_device(answer, types)
    except InvalidInputError as error:
        return Candidate(run, None, RunStatus.BLOCKED, reason_of(error))
    return Candidate(run, answer, RunStatus.SERVED)


class SourcePlans:
    """The plans of all kinds of a source.

    Parameters
    ----------
    by_kind : mapping of Kind to Plan
        Empty where none could be made.
    """

    def __init__(self, by_kind: Mapping[Kind, Plan]) -> None:
        self.by_kind = by_kind
        self._steps: dict[int, dict[Kind, Step]] = {}
        for kind, plan in by_kind.items():
            for step in plan.steps:
                self._steps.setdefault(step.run, {})[kind] = step

    def steps(self, run: int) -> Mapping[Kind, Step]:
        """Return what is to be written for a run."""
        return self._steps.get(run, {})

    @property
    def pending(self) -> list[int]:
        """The runs for which something is to be written, the last one first."""
        return sorted(self._steps, reverse=True)

    def names_to_come(self, kind: Kind, last: int) -> set[str]:
        """Return the files of a kind that are to be written for runs up to one."""
        return {step.name for step in self.by_kind[kind].steps if step.run <= last}


def outcomes(
    runs: Sequence[Candidate], plans: SourcePlans, type_dir: Callable[[Kind], Path]
) -> Iterator[RunOutcome]:
    """Say what became of the runs of a source, or would once their plans are carried out.

    Parameters
    ----------
    type_dir : callable
        Gives the directory of a kind.
    """
    new = {
        kind: {step.name for step in plan.steps}
        | {own_name(one.number) for one in runs if one.actions.get(kind.name) in _NEW}
        for kind, plan in plans.by_kind.items()
    }
    for one in runs:
        files = []
        for kind, plan in plans.by_kind.items():
            name = plan.reads[one.number]
            if name is not None:
                action = _action(one, kind, plans, is_new=name in new[kind])
                files.append(ServedFile(kind.name, str(type_dir(kind) / name), action))
        status = one.status
        if status is RunStatus.SERVED and any(file.action in _NOW_SERVES for file in files):
            status = RunStatus.WRITTEN
        token = None if one.answer is None else one.answer.resolution.token
        told = tuple(files) if plans.by_kind else None
        yield RunOutcome(one.run, status, one.reason, token, told)


_NEW = {"written", "kept"}
_NOW_SERVES = {"written", "shared"}


def _action(one: Candidate, kind: Kind, plans: SourcePlans, *, is_new: bool) -> str:
    """Return what happened to the file that a run reads."""
    step = plans.steps(one.number).get(kind)
    if step is not None:
        return "written" if step.copy_of is None else "kept"
    if kind.name in one.actions:
        return one.actions[kind.name]
    if not is_new:
        return "unchanged"
    is_taken_over = one.answer is None and kind.name in one.read_nothing
    return "taken over" if is_taken_over else "shared"
