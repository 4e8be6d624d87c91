"""The registered runs of a deploy job, each with its answer, or why it has none."""

from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.kinds import DetectorType
from panelcal.domain.runs import Run, nearest_names, parse_experiment
from panelcal.domain.served import RunStatus
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.deploy import require_device
from panelcal.services.export import Answer
from panelcal.services.resolve import resolve_run
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
    """

    run: Run
    answer: Answer | None
    status: RunStatus
    reason: str = ""
    actions: dict[str, str] = field(default_factory=dict)

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
    detector_type: DetectorType,
    experiment: str | None,
) -> list[Candidate]:
    """Resolve every registered run, all in one state of the database.

    Parameters
    ----------
    zone : ZoneInfo
        The store's time zone.
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
    return [_candidate(connection, zone, detector_type, run) for run in runs]


def _candidate(
    connection: Connection, zone: ZoneInfo, detector_type: DetectorType, run: Run
) -> Candidate:
    if run.detector_id is None:
        reason = "registered without a detector id; panelcal export --deploy serves it by hand"
        return Candidate(run, None, RunStatus.SKIPPED, reason)
    try:
        require_device(run, detector_type.device)
    except InvalidInputError as error:
        return Candidate(run, None, RunStatus.BLOCKED, error.message)
    try:
        resolution = resolve_run(connection, zone, run, None, "strict", None)
    except (NotFoundError, InvalidInputError) as error:
        return Candidate(run, None, RunStatus.NO_CONSTANTS, error.message)
    return Candidate(run, Answer(run, resolution), RunStatus.SERVED)
