"""What a deploy job made of every registered run."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panelcal.domain.runs import Run
from panelcal.domain.text import count_of
from panelcal.errors import PanelcalError


class RunStatus(StrEnum):
    """How a run stands after a deploy job."""

    SERVED = "served"
    """The files that the finder picks held its constants already."""
    WRITTEN = "written"
    """At least one of the files that it reads was written; now it is served."""
    NO_CONSTANTS = "no constants"
    """The store has no answer for it."""
    BLOCKED = "blocked"
    """Something in the calib directory, or on its disk, stands in the way."""
    DAMAGED = "damaged"
    """A payload of its constants is missing or damaged."""
    SKIPPED = "skipped"
    """It is registered with neither a detector id nor modules."""


@dataclass(frozen=True, slots=True)
class ServedFile:
    """One file that a run reads when the job is done.

    Parameters
    ----------
    kind : str
        Kind of constant.
    path : str
        The file.
    action : str
        ``unchanged``; ``written``; ``shared`` if it was written for an earlier run
        and holds what this one is to read; ``recorded`` for a file that a killed job
        had put in place and not put on record; ``kept`` for a copy of what the run
        read before, made so that another run's file does not take over; ``taken
        over`` if the run is not served, read nothing before, and now reads a file
        that was written for an earlier one.
    """

    kind: str
    path: str
    action: str


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of one registered run.

    Parameters
    ----------
    run : Run
        The run and source.
    status : RunStatus
        How it stands.
    reason : str
        Why, where it is not served; or what else is to be known.
    token : str or None
        Token of its constants.
    files : tuple of ServedFile or None
        What it reads; None where the directories leave it unknown.
    """

    run: Run
    status: RunStatus
    reason: str
    token: str | None
    files: tuple[ServedFile, ...] | None

    @property
    def is_served(self) -> bool:
        """Whether it reads its own constants when the job is done."""
        return self.status in {RunStatus.SERVED, RunStatus.WRITTEN}

    def document(self) -> dict[str, Any]:
        """Return the outcome as ``--json`` prints it."""
        return {
            "dataset": str(self.run.dataset),
            "source": self.run.source,
            "status": str(self.status),
            "reason": self.reason,
            "token": self.token,
            "files": [
                {"kind": one.kind, "path": one.path, "action": one.action}
                for one in self.files or ()
            ],
        }


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a deploy job did.

    Parameters
    ----------
    root : str
        The calib root.
    dry_run : bool
        Nothing was to be written; what is called written would be.
    outcomes : tuple of RunOutcome
        By experiment, run and source.
    """

    root: str
    dry_run: bool
    outcomes: tuple[RunOutcome, ...]

    @property
    def counts(self) -> Counter[RunStatus]:
        """How many runs have each status."""
        return Counter(outcome.status for outcome in self.outcomes)

    @property
    def changed_files(self) -> Sequence[ServedFile]:
        """The files that were put in place, or would be."""
        files = [one for outcome in self.outcomes for one in outcome.files or ()]
        return [one for one in files if one.action in {"written", "kept"}]

    @property
    def exit_code(self) -> int:
        """0 if every run with a detector id or modules is served, else the gravest of 3, 4, 5."""
        counts = self.counts
        if counts[RunStatus.DAMAGED]:
            return 5
        if counts[RunStatus.BLOCKED]:
            return 4
        return 3 if counts[RunStatus.NO_CONSTANTS] else 0

    @property
    def summary(self) -> str:
        """All counts in one line."""
        experiments = len({outcome.run.dataset.experiment for outcome in self.outcomes})
        runs = count_of(len(self.outcomes), "run")
        counts = self.counts
        told = [f"{counts[status]} {status}" for status in RunStatus if counts[status]]
        files = len(self.changed_files)
        would = "would be written" if self.dry_run else "written"
        return (
            f"{runs} of {count_of(experiments, 'experiment')}: "
            f"{', '.join(told) or 'nothing registered'}; {count_of(files, 'file')} {would}"
        )

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "root": self.root,
            "dry_run": self.dry_run,
            "counts": {str(status): self.counts[status] for status in RunStatus},
            "files_written": len(self.changed_files),
            "exit_code": self.exit_code,
            "runs": [outcome.document() for outcome in self.outcomes],
        }


def reason_of(error: PanelcalError | OSError) -> str:
    """Return what a report says of an error, in a line: what was found, and what to do."""
    if isinstance(error, PanelcalError):
        return f"{error.message}: {error.hint}" if error.hint else error.message
    path = error.filename2 or error.filename
    said = error.strerror or str(error)
    return f"{path}: {said}" if path else said
