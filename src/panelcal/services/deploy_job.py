"""The deploy job: every registered run reads what the store resolves for it."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import Kind
from panelcal.domain.report import Progress
from panelcal.domain.served import JobReport, RunOutcome, RunStatus, reason_of
from panelcal.domain.text import plain
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError, NotFoundError
from panelcal.exporters.calib_dir import calib_dir_of
from panelcal.exporters.calib_plan import own_name
from panelcal.exporters.lock import locked
from panelcal.services.deploy_candidates import (
    Candidate,
    SourcePlans,
    find_candidates,
    outcomes,
)
from panelcal.services.deploy_site import Site
from panelcal.services.export import Writing
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""What is wrong with a whole disk."""


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

    For every registered run with a detector id or declared modules the file that
    the legacy finder picks is compared with the answer, and the fewest
    ``<run>-end.data`` files are written that leave every such run served (design
    §5). They are written from the last run to the first: at no moment does a run
    read what is meant for an earlier one.

    A run that cannot be served, or that the store has no answer for, is passed
    over and reported. If it reads a file it keeps its content, by a copy under its
    own number where another file would take over. If it read none it falls, as
    ever in a calib directory, under the file that begins before it; the report
    says so.

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
            types = detector_types(connection)
            candidates = find_candidates(connection, store.zone, types, experiment)
        job = _Job(store, root, types, writing, clock, dry_run, progress)
        done = job.run(candidates)
    return JobReport(str(root), dry_run, tuple(done))


@dataclass(slots=True)
class _Job:
    store: OpenStore
    root: Path
    types: DetectorTypes
    writing: Writing
    clock: Callable[[], datetime]
    dry_run: bool
    progress: Progress | None

    def run(self, candidates: Sequence[Candidate]) -> list[RunOutcome]:
        def place(one: Candidate) -> tuple[str, str]:
            return one.run.dataset.experiment, one.run.source

        done: list[RunOutcome] = []
        for (experiment, source), group in groupby(sorted(candidates, key=place), place):
            site = Site(
                self.store,
                # Runs of no known device are all given up: nothing is looked at or written.
                self.types.of_source(source) or self.types.chosen(None),
                calib_dir_of(self.root, experiment),
                experiment,
                source,
                self.writing,
                self.clock,
            )
            runs = list(group)
            tell = partial(self._tell, len(done), len(candidates), experiment)
            done += self._serve(site, runs, tell)
            tell(len(runs))
        return sorted(done, key=lambda one: (one.run.dataset, one.run.source))

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
        plans = self._plans(site, runs)
        for kind, plan in plans.by_kind.items():
            for one in runs:
                if plan.read_before[one.number] is None:
                    one.read_nothing.add(kind.name)
        while True:
            self._complete_record(site, runs, plans)
            if self.dry_run or not plans.pending:
                return list(outcomes(runs, plans, site.type_dir))
            # From the last run to the first: at no time does a run read what is
            # meant for an earlier one.
            for number in plans.pending:
                if not self._carry_out(site, runs, plans, number):
                    break
                tell(sum(one.number >= number for one in runs))
            plans = self._plans(site, runs)

    def _plans(self, site: Site, runs: Sequence[Candidate]) -> SourcePlans:
        """Plan every kind; a run that one of them cannot serve is served with none."""
        site.look()
        while True:
            answers = {one.number: one.answer for one in runs if one.answer is not None}
            numbers = [one.number for one in runs]
            try:
                plans = SourcePlans(
                    {kind: site.plan(kind, numbers, answers) for kind in site.detector_type.kinds}
                )
            except (InvalidInputError, IntegrityError, OSError) as error:
                for one in runs:
                    one.give_up(RunStatus.BLOCKED, reason_of(error))
                return SourcePlans({})
            self._give_up_hopeless(site, runs, plans)
            if sum(one.answer is not None for one in runs) == len(answers):
                return plans

    def _give_up_hopeless(self, site: Site, runs: Sequence[Candidate], plans: SourcePlans) -> None:
        """Give up the runs that have obstacles, and those whose payloads are damaged."""
        for one in runs:
            for plan in plans.by_kind.values():
                if one.number in plan.blocked:
                    one.give_up(RunStatus.BLOCKED, plan.blocked[one.number])
            try:
                for kind in plans.steps(one.number):
                    if one.answer is not None:
                        site.require_payloads(one.answer, kind)
            except IntegrityError as error:
                one.give_up(RunStatus.DAMAGED, str(error))
            except OSError as error:
                one.give_up(RunStatus.BLOCKED, reason_of(error))

    def _complete_record(self, site: Site, runs: Sequence[Candidate], plans: SourcePlans) -> None:
        """Put on record what a killed job left; before anything else is told in HISTORY."""
        new = {kind: {step.name for step in plan.steps} for kind, plan in plans.by_kind.items()}
        for one in sorted(runs, key=lambda one: -one.number):
            for kind, plan in plans.by_kind.items():
                name = plan.reads[one.number]
                is_new = name in new[kind]
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
                    one.give_up(
                        RunStatus.BLOCKED, f"{left.path} is not on record: {reason_of(error)}"
                    )

    def _carry_out(
        self, site: Site, runs: Sequence[Candidate], plans: SourcePlans, number: int
    ) -> bool:
        """Write the files of one run; False if that failed and the rest needs another plan."""
        one = next(candidate for candidate in runs if candidate.number == number)
        steps = plans.steps(number)
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
            one.give_up(RunStatus.BLOCKED, reason_of(error))
            self._give_up_rest(runs, plans, number, error)
            return False
        for kind, step in steps.items():
            try:
                site.keep(kind, step)
            except (InvalidInputError, OSError) as error:
                self._give_up_for(runs, plans, one, kind, reason_of(error))
                self._give_up_rest(runs, plans, number, error)
                return False
            one.actions[kind.name] = "kept"
        return True

    def _give_up_for(
        self,
        runs: Sequence[Candidate],
        plans: SourcePlans,
        one: Candidate,
        kind: Kind,
        reason: str,
    ) -> None:
        """Give up a run; or, if it cannot keep its file, the one that would take it over."""
        if one.answer is not None:
            one.give_up(RunStatus.BLOCKED, reason)
            return
        steps = [step for step in plans.by_kind[kind].steps if step.copy_of is None]
        cause = max(step.run for step in steps if step.run < one.number)
        said = f"run {one.number} would not keep its file: {reason}"
        next(other for other in runs if other.number == cause).give_up(RunStatus.BLOCKED, said)

    def _give_up_rest(
        self, runs: Sequence[Candidate], plans: SourcePlans, last: int, error: Exception
    ) -> None:
        """Where the disk takes nothing, give up all that wait for a file of a run up to one."""
        if not isinstance(error, OSError) or error.errno not in _NO_ROOM:
            return
        for kind, plan in plans.by_kind.items():
            missing = plans.names_to_come(kind, last)
            for one in runs:
                if plan.reads[one.number] in missing:
                    one.give_up(RunStatus.BLOCKED, reason_of(error))
