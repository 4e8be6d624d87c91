"""The deploy job: every registered run reads what the store resolves for it."""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.report import Progress
from panelcal.domain.served import JobReport, RunOutcome, RunStatus, ServedFile
from panelcal.domain.text import plain
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from panelcal.exporters.calib_dir import calib_dir_of
from panelcal.exporters.calib_plan import Plan, Step, own_name
from panelcal.exporters.lock import locked
from panelcal.services.deploy_candidates import Candidate, find_candidates
from panelcal.services.deploy_site import Site
from panelcal.services.export import Writing
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_type as read_detector_type


def deploy_all(
    store: OpenStore,
    root: Path,
    *,
    experiment: str | None,
    writing: Writing,
    clock: Callable[[], datetime],
    dry_run: bool = False,
    progress: Progress | None = None,
) -> JobReport:
    """Bring the calib directories below a root to what the store resolves.

    For every registered run with a detector id the file that the legacy finder
    picks is compared with the answer, and the fewest ``<run>-end.data`` files
    are written that leave every such run served (design §5). What another
    registered run reads does not change: files are written from the last run to
    the first, and a run that the store has no answer for keeps, by a copy under
    its own number, the file that it read. A run that cannot be served is passed
    over and reported.

    Parameters
    ----------
    root : Path
        ``ROOT`` of ``ROOT/<INSTRUMENT>/<experiment>/calib``; it exists.
    experiment : str or None
        Only this one; None is all.
    writing : Writing
        How files are written.
    clock : callable
        Gives the time; a job may take long.
    dry_run : bool
        Only report.

    Raises
    ------
    NotFoundError
        There is no such directory, or no run of the experiment is registered.
    ConflictError
        Another job is at work below the root, or the clock is behind the
        store's last record.
    InvalidInputError
        The lock below the root cannot be taken.
    PanelcalError
        The store cannot be written.
    """
    root = Path(os.path.abspath(root))  # noqa: PTH100 - links are kept as typed
    plain(str(root), "calib root")
    if not root.is_dir():
        msg = f"{root} is not a directory"
        raise NotFoundError(msg, "name the root of ROOT/<INSTRUMENT>/<experiment>/calib")
    with nullcontext() if dry_run else locked(root, "a deploy job"):
        with store.database.reading() as connection:
            # A clock that no file can be recorded with is told once, not for each run.
            recording_time(connection, clock())
            detector_type = read_detector_type(connection)
            candidates = find_candidates(connection, store.zone, detector_type, experiment)
        job = _Job(store, root, detector_type, writing, clock, dry_run, progress)
        outcomes = job.run(candidates)
    return JobReport(str(root), dry_run, tuple(outcomes))


@dataclass(slots=True)
class _Job:
    store: OpenStore
    root: Path
    detector_type: DetectorType
    writing: Writing
    clock: Callable[[], datetime]
    dry_run: bool
    progress: Progress | None

    def run(self, candidates: Sequence[Candidate]) -> list[RunOutcome]:
        def place(one: Candidate) -> tuple[str, str]:
            return one.run.dataset.experiment, one.run.source

        outcomes: list[RunOutcome] = []
        for (experiment, source), group in groupby(sorted(candidates, key=place), place):
            site = Site(
                self.store,
                self.detector_type,
                calib_dir_of(self.root, experiment),
                experiment,
                source,
                self.writing,
                self.clock,
            )
            runs = list(group)
            tell = partial(self._tell, len(outcomes), len(candidates), experiment)
            outcomes += self._serve(site, runs, tell)
            tell(len(runs))
        return sorted(outcomes, key=lambda one: (one.run.dataset, one.run.source))

    def _tell(self, before: int, total: int, experiment: str, done: int) -> None:
        if self.progress is not None:
            self.progress(before + done, total, experiment)

    def _serve(
        self, site: Site, runs: list[Candidate], tell: Callable[[int], None]
    ) -> list[RunOutcome]:
        """Plan and write until nothing is left to be written for the runs of a source."""
        if not self.dry_run:
            site.tidy(self.root)
        tell(0)
        while True:
            plans = self._plans(site, runs)
            self._complete_record(site, runs, plans)
            pending = {step.run for plan in plans.values() for step in plan.steps}
            if self.dry_run or not pending:
                return [self._outcome(site, one, plans) for one in runs]
            # From the last run to the first: at no time does a run read what is
            # meant for an earlier one.
            for number in sorted(pending, reverse=True):
                if not self._carry_out(site, runs, plans, number):
                    break
                tell(sum(one.number >= number for one in runs))

    def _plans(self, site: Site, runs: Sequence[Candidate]) -> dict[str, Plan]:
        """Plan every kind; a run that one of them cannot serve is served with none."""
        site.look()
        while True:
            answers = {one.number: one.answer for one in runs if one.answer is not None}
            numbers = [one.number for one in runs]
            try:
                plans = {
                    kind.name: site.plan(kind, numbers, answers)
                    for kind in self.detector_type.kinds
                }
            except (InvalidInputError, IntegrityError, OSError) as error:
                for one in runs:
                    one.give_up(RunStatus.BLOCKED, str(error))
                return {kind.name: Plan() for kind in self.detector_type.kinds}
            self._give_up_hopeless(site, runs, plans)
            if sum(one.answer is not None for one in runs) == len(answers):
                return plans

    def _give_up_hopeless(
        self, site: Site, runs: Sequence[Candidate], plans: dict[str, Plan]
    ) -> None:
        """Give up the runs that have obstacles, and those whose payloads are damaged."""
        for one in runs:
            for kind in self.detector_type.kinds:
                plan = plans[kind.name]
                if one.number in plan.blocked:
                    one.give_up(RunStatus.BLOCKED, plan.blocked[one.number])
            try:
                for kind in _steps(plans, self.detector_type, one.number):
                    if one.answer is not None:
                        site.require_payloads(one.answer, kind)
            except IntegrityError as error:
                one.give_up(RunStatus.DAMAGED, str(error))

    def _complete_record(
        self, site: Site, runs: Sequence[Candidate], plans: dict[str, Plan]
    ) -> None:
        """Put on record what a killed job left; before anything else is told in HISTORY."""
        for one in sorted(runs, key=lambda one: -one.number):
            for kind in self.detector_type.kinds:
                plan = plans[kind.name]
                name = plan.reads.get(one.number)
                is_new = any(step.name == name for step in plan.steps)
                if one.answer is None or name != own_name(one.number) or is_new:
                    continue
                left = site.left_behind(kind, name, one.answer)
                if left is None:
                    continue
                try:
                    if not self.dry_run:
                        site.put_on_record(left, one.answer)
                    one.actions[kind.name] = "recorded"
                except (InvalidInputError, ConflictError, OSError) as error:
                    one.give_up(RunStatus.BLOCKED, f"{left.path} is not on record: {error}")

    def _carry_out(
        self, site: Site, runs: Sequence[Candidate], plans: dict[str, Plan], number: int
    ) -> bool:
        """Write the files of one run; False if that failed and the rest needs another plan."""
        one = next(candidate for candidate in runs if candidate.number == number)
        steps = _steps(plans, self.detector_type, number)
        for kind, step in steps.items():
            if one.actions.get(kind.name) in {"written", "kept"}:
                reason = f"another process writes {site.type_dir(kind) / step.name}"
                self._give_up_for(runs, plans, one, kind, reason)
                return False
        try:
            if one.answer is not None:
                site.write(one.answer, {kind: step.name for kind, step in steps.items()})
                one.actions |= {kind.name: "written" for kind in steps}
                return True
        except IntegrityError as error:
            one.give_up(RunStatus.DAMAGED, str(error))
            return False
        except (InvalidInputError, ConflictError, OSError) as error:
            one.give_up(RunStatus.BLOCKED, str(error))
            return False
        for kind, step in steps.items():
            try:
                site.keep(kind, step)
            except (InvalidInputError, OSError) as error:
                self._give_up_for(runs, plans, one, kind, str(error))
                return False
            one.actions[kind.name] = "kept"
        return True

    def _give_up_for(
        self,
        runs: Sequence[Candidate],
        plans: dict[str, Plan],
        one: Candidate,
        kind: Kind,
        reason: str,
    ) -> None:
        """Give up a run; or, if it cannot keep its file, the one that would take it over."""
        if one.answer is not None:
            one.give_up(RunStatus.BLOCKED, reason)
            return
        steps = [step for step in plans[kind.name].steps if step.copy_of is None]
        cause = max(step.run for step in steps if step.run < one.number)
        said = f"run {one.number} would not keep its file: {reason}"
        next(other for other in runs if other.number == cause).give_up(RunStatus.BLOCKED, said)

    def _outcome(self, site: Site, one: Candidate, plans: dict[str, Plan]) -> RunOutcome:
        steps = _steps(plans, self.detector_type, one.number)
        files = []
        for kind in self.detector_type.kinds:
            name = plans[kind.name].reads.get(one.number)
            if name is None:
                continue
            action = one.actions.get(kind.name, "unchanged")
            if kind in steps:
                action = "written" if steps[kind].copy_of is None else "kept"
            files.append(ServedFile(kind.name, str(site.type_dir(kind) / name), action))
        status = one.status
        if status is RunStatus.SERVED and any(file.action == "written" for file in files):
            status = RunStatus.WRITTEN
        token = None if one.answer is None else one.answer.resolution.token
        return RunOutcome(one.run, status, one.reason, token, tuple(files))


def _steps(plans: dict[str, Plan], detector_type: DetectorType, number: int) -> dict[Kind, Step]:
    """Return what is to be written for a run, by kind."""
    return {
        kind: step
        for kind in detector_type.kinds
        for step in plans[kind.name].steps
        if step.run == number
    }
