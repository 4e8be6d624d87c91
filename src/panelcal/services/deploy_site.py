"""One detector of one experiment in its calib directory: what its files hold, and changing them."""

import shutil
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.served import reason_of
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.calib_dir import require_directory_possible, type_directory
from panelcal.exporters.calib_files import (
    JOB_PREFIX,
    put_in_place,
    remove_stale_staging,
    require_open,
    staging,
)
from panelcal.exporters.calib_plan import Finder, Plan, Step, Wanted, plan_files
from panelcal.exporters.history_file import (
    KEPT_COMMENT,
    append_history,
    history_record,
    read_history,
)
from panelcal.exporters.printf import FULL_PRECISION, as_written
from panelcal.services.assemble import assemble
from panelcal.services.deploy import write_files
from panelcal.services.deployed import Deployed, put_on_record, values_in, was_left_behind
from panelcal.services.equal_files import EqualFiles, FileDigests
from panelcal.services.export import Answer, Writing
from panelcal.storage.deployments import DeployedContent, deployed_contents
from panelcal.storage.store import OpenStore


@dataclass(slots=True)
class Site:
    """The calib files of one source of an experiment.

    Parameters
    ----------
    store : OpenStore
        What the runs resolve to.
    detector_type : DetectorType
        Its kinds are the directories.
    calib_dir : Path
        ``.../XCS/xcsls3716/calib``.
    experiment, source : str
        Whose files.
    writing : Writing
        How files are written.
    clock : callable
        Gives the time of each file.
    """

    store: OpenStore
    detector_type: DetectorType
    calib_dir: Path
    experiment: str
    source: str
    writing: Writing
    clock: Callable[[], datetime]
    _recorded: Mapping[str, DeployedContent] = field(default_factory=dict)
    _digests: FileDigests = field(default_factory=FileDigests)
    _formats_found: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _sound: set[str] = field(default_factory=set)
    _equal: EqualFiles = field(init=False)

    def __post_init__(self) -> None:
        self._equal = EqualFiles(self._digests)

    def type_dir(self, kind: Kind) -> Path:
        """Return the directory of a kind."""
        return type_directory(
            self.calib_dir, self.detector_type.calib_group, self.source, kind.name
        )

    def tidy(self, root: Path) -> None:
        """Remove what killed jobs left below a root; the caller holds its lock."""
        remove_stale_staging(map(self.type_dir, self.detector_type.kinds), root)

    def look(self) -> None:
        """Read what is on record."""
        with self.store.database.reading() as connection:
            self._recorded = deployed_contents(connection, self.experiment)
        self._equal.look(self._recorded)

    def plan(self, kind: Kind, runs: Sequence[int], answers: Mapping[int, Answer]) -> Plan:
        """Plan the files of a kind.

        Parameters
        ----------
        runs : sequence of int
            Every registered run.
        answers : mapping of int to Answer
            Of the runs that are to be served; the others keep what they read.

        Raises
        ------
        InvalidInputError
            Something that is no directory is in its place.
        IntegrityError
            The names in the directory make the legacy finder crash, or its
            answer random.
        """
        folder = self.type_dir(kind)
        require_directory_possible(folder)
        names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        wanted = [Wanted(run, _key(answers[run], kind) if run in answers else None) for run in runs]
        try:
            present, fixed = self._held(folder, kind, _readers(names, runs, answers))
            plan = plan_files(wanted, dict.fromkeys(names, frozenset[str]()) | present, fixed)
        except IntegrityError as error:
            msg = f"{folder}: {error.message}"
            raise IntegrityError(msg, error.hint) from error
        plan.blocked = {run: f"{folder}: {said}" for run, said in plan.blocked.items()}
        if plan.steps:
            self._block_if_closed(plan, folder)
        return plan

    def _block_if_closed(self, plan: Plan, folder: Path) -> None:
        try:
            require_open(folder)
        except InvalidInputError as error:
            new = {step.name for step in plan.steps}
            said = reason_of(error)
            plan.blocked |= {run: said for run, name in plan.reads.items() if name in new}

    def _held(
        self, folder: Path, kind: Kind, readers: Mapping[str, Sequence[Answer]]
    ) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
        """Return what each file holds that runs read, and why some are not to be touched."""
        present, fixed = {}, {}
        for name, asked in readers.items():
            path = folder / name
            try:
                # Whoever opens a FIFO waits for ever.
                if stat.S_ISREG(path.stat().st_mode):
                    present[name] = self._contents(path, kind, asked)
                    continue
                fixed[name] = "is no regular file"
            except OSError as error:
                fixed[name] = f"cannot be read: {error.strerror}"
            present[name] = frozenset({f"the unreadable {name}"})
        return present, fixed

    def _contents(self, path: Path, kind: Kind, asked: Iterable[Answer]) -> frozenset[str]:
        """Return names for what a file holds: those of the answers that print like it.

        A file on record is compared only if it is right for one of several answers:
        it is not read in every job, and not left to answers that it was not made for.
        """
        digest = self._digests.of(path)
        by_key = {_key(answer, kind): answer for answer in asked}
        held = set()
        known = self._recorded.get(digest)
        if known is not None and known.kind == kind.name:
            recorded = " ".join(known.digests)
            if known.number_format not in self._formats(kind):
                return frozenset({f"file {digest}"})
            if recorded not in by_key:
                return frozenset({recorded})
            held.add(recorded)
            del by_key[recorded]
        self._compare(path, digest, kind, by_key)
        held |= {key for key in by_key if self._formats_found[kind.name, digest, key]}
        return frozenset(held or {f"file {digest}"})

    def _formats(self, kind: Kind) -> list[str]:
        """Return the formats that serve: full precision does where fewer digits are asked for."""
        return list(dict.fromkeys((self.writing.number_format(kind), FULL_PRECISION)))

    def _compare(self, path: Path, digest: str, kind: Kind, by_key: Mapping[str, Answer]) -> None:
        """Find out in which format a file holds which answers, if in any; it is read once."""
        new = [key for key in by_key if (kind.name, digest, key) not in self._formats_found]
        if not new:
            return
        self._formats_found |= {(kind.name, digest, key): "" for key in new}
        found = values_in(path)
        if found is None:
            return
        for key in new:
            try:
                array = assemble(self.store.payloads, by_key[key].resolution, kind.name)
            except IntegrityError:
                # Nothing to compare with. If a file is to be written, this is told then.
                continue
            for number_format in self._formats(kind):
                expected = as_written(array, number_format)
                if (found.shape, found.tobytes()) == (expected.shape, expected.tobytes()):
                    self._formats_found[kind.name, digest, key] = number_format
                    break

    def require_payloads(self, answer: Answer, kind: Kind) -> None:
        """Refuse an answer that cannot be written.

        Raises
        ------
        IntegrityError
            A payload is missing or damaged.
        """
        for panel in answer.resolution.panels:
            digest = panel.digests[kind.name]
            if digest not in self._sound:
                self.store.payloads.get(digest)
                self._sound.add(digest)

    def write(self, answer: Answer, names: Mapping[Kind, str]) -> None:
        """Write files of a run, of several kinds together, and put them on record."""
        targets = [(kind, self.type_dir(kind) / name) for kind, name in names.items()]
        write_files(self.store, answer, targets, self._writing(), self._equal, prefix=JOB_PREFIX)

    def _writing(self) -> Writing:
        return replace(self.writing, now=self.clock())

    def keep(self, kind: Kind, step: Step) -> None:
        """Copy what a run reads to a file of its own.

        HISTORY first: a job that is killed in between tells it once, not twice.
        """
        folder = self.type_dir(kind)
        source, target = folder / str(step.copy_of), folder / step.name
        require_open(folder)
        local_time = self._writing().local_time(self.store.zone)
        comment = f"{KEPT_COMMENT}={step.run}"
        last = read_history(folder).get(step.name)
        if last is None or last.comment != comment:
            record = history_record(
                target, str(source), kind.name, self.writing.environment, local_time, comment
            )
            append_history(folder, record, self.writing.permissions)
        with staging(folder, JOB_PREFIX) as directory:
            shutil.copyfile(source, directory / step.name)
            put_in_place(directory / step.name, target, local_time, self.writing.permissions)

    def left_behind(self, kind: Kind, name: str, answer: Answer) -> Deployed | None:
        """Return a file that a killed job put in place and did not put on record."""
        path = self.type_dir(kind) / name
        digest = self._digests.of(path)
        if digest in self._recorded:
            return None
        number_format = self._formats_found.get((kind.name, digest, _key(answer, kind)))
        if not number_format or not was_left_behind(path, answer):
            return None
        return Deployed(kind.name, path, None, True, digest, number_format)

    def put_on_record(self, one: Deployed, answer: Answer) -> None:
        """Record a file that was left behind, in HISTORY unless it is told there."""
        put_on_record(self.store, one, answer, self._writing())


def _readers(
    names: Iterable[str], runs: Iterable[int], answers: Mapping[int, Answer]
) -> dict[str, list[Answer]]:
    """Return the files that runs read, each with the answers of its runs."""
    finder = Finder(names)
    readers: dict[str, list[Answer]] = {}
    for run in runs:
        name = finder.choose(run)
        if name is not None:
            readers.setdefault(name, []).extend([answers[run]] if run in answers else [])
    return readers


def _key(answer: Answer, kind: Kind) -> str:
    return " ".join(panel.digests[kind.name] for panel in answer.resolution.panels)
