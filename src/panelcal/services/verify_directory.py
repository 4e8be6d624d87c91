"""Verify one directory of a calib tree: how each of its files stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.moments import iso_utc
from panelcal.domain.text import printable
from panelcal.domain.verified import FileState, VerifiedFile
from panelcal.errors import InvalidInputError
from panelcal.exporters.calib_dir import LAST_RUN, file_name
from panelcal.exporters.calib_picks import Picks
from panelcal.exporters.history_file import read_history
from panelcal.services.held_values import HeldValues, HeldValuesReader
from panelcal.storage.deployments import Deployment

MOST_RUNS_TOLD = 8


@dataclass(frozen=True, slots=True)
class ExpectedRun:
    """What a registered run is to read.

    Parameters
    ----------
    number : int
        Of the run.
    digests : tuple of str or None
        Digest of each panel's payload; None where the store has no constants.
    """

    number: int
    digests: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class CalibDirectory:
    """The directory of one kind of a source of an experiment, and what is known of it.

    Parameters
    ----------
    experiment, source : str
        Whose constants.
    detector_type : DetectorType
        Of which type: in whose group of the calib layout it is.
    kind : Kind
        Of which kind of that type.
    path : Path
        Where; it need not be there.
    runs : sequence of ExpectedRun
        The registered runs, ascending.
    deployed : mapping of str to Deployment
        The last deployment of each file, by name.
    looked_in : Path or None
        The calib directory in which files of the experiment are looked for, where
        this is a directory of another.
    """

    experiment: str
    source: str
    detector_type: DetectorType
    kind: Kind
    path: Path
    runs: Sequence[ExpectedRun]
    deployed: Mapping[str, Deployment]
    looked_in: Path | None = None

    def line(
        self,
        name: str,
        state: FileState,
        notes: Sequence[str],
        runs: Sequence[ExpectedRun] = (),
        holds: tuple[str, ...] = (),
    ) -> VerifiedFile:
        """Return what the report says of a file here, or of the directory without a name."""
        return VerifiedFile(
            path=printable(self.path / name),
            experiment=printable(self.experiment),
            source=printable(self.source),
            kind=self.kind.name,
            state=state,
            holds=holds,
            runs=tuple(run.number for run in runs),
            notes=tuple(notes),
        )


def verify_directory(directory: CalibDirectory, reader: HeldValuesReader) -> list[VerifiedFile]:
    """Say how each file of a directory stands, and which are missing.

    In a directory where nobody looks nothing is missing, and no file is well.

    Raises
    ------
    IntegrityError
        A payload that a file has to be compared with is missing or damaged.
    """
    found = _verified(directory, reader)
    if directory.looked_in is not None:
        note = (
            f"neither psana nor the deploy job looks here, but in {printable(directory.looked_in)}"
        )
        found = [_misplaced(file, note) for file in found if file.state is not FileState.MISSING]
    return sorted(found, key=lambda file: file.path)


def _misplaced(file: VerifiedFile, note: str) -> VerifiedFile:
    """Say of a file that nobody looks for it there, if nothing graver is to be said."""
    is_good = file.state in {FileState.OK, FileState.SHADOWED}
    state = FileState.MISPLACED if is_good else file.state
    return replace(file, state=state, notes=(note, *file.notes))


def _verified(directory: CalibDirectory, reader: HeldValuesReader) -> list[VerifiedFile]:
    try:
        names = _names(directory.path)
    except OSError as error:
        note = f"the directory cannot be read: {error.strerror}"
        return [directory.line("", FileState.UNREADABLE, [note])]
    picks = Picks(names)
    reads = {run.number: picks.for_run(run.number) for run in directory.runs}
    note = "the finder fails for every run: remove or rename it"
    found = [directory.line(name, FileState.CRASHES, [note]) for name in picks.crashing]
    for name in picks.considered:
        reading = [run for run in directory.runs if name in reads[run.number]]
        found.append(_judged(directory, name, reading, picks, reader))
    return found + _missing(directory, reads, names)


def _names(path: Path) -> set[str]:
    try:
        return {entry.name for entry in path.iterdir()}
    except FileNotFoundError:
        return set()


def _judged(
    directory: CalibDirectory,
    name: str,
    reading: Sequence[ExpectedRun],
    picks: Picks,
    reader: HeldValuesReader,
) -> VerifiedFile:
    """Say how a file stands that the finder considers, and which `reading` runs read."""
    rivals = " and ".join(map(printable, picks.rivals(name)))
    notes = [f"for the same runs as {rivals}: the directory's order decides"] if rivals else []
    try:
        held = reader.read(directory.path / name, directory.detector_type, directory.kind)
    except InvalidInputError as error:
        notes.append(printable(error.message))
        return directory.line(name, FileState.UNREADABLE, notes, reading)
    wrong = [run for run in reading if run.digests is not None and not held.are(run.digests)]
    without = [run for run in reading if run.digests is None]
    is_right = len(reading) > len(without) and not wrong
    is_edited, told = _compared(held, directory.deployed.get(name), reader)
    is_shadowed = not reading and (
        name in picks.hidden or any(picks.is_for(name, run.number) for run in directory.runs)
    )
    # The gravest first. An unknown file is one even in the shadow: runs that are
    # not registered may read it.
    found = {
        FileState.HAND_EDITED: is_edited and not is_right,
        FileState.AMBIGUOUS: bool(rivals),
        FileState.UNKNOWN: not all(held.panels),
        FileState.STALE: bool(wrong),
        FileState.SHADOWED: is_shadowed,
    }
    state = next((state for state, is_so in found.items() if is_so), FileState.OK)
    notes += told
    if state in {FileState.HAND_EDITED, FileState.UNKNOWN}:
        notes.append(_history(directory.path, name))
    if wrong:
        notes.append(f"the store resolves others for {_runs_told(wrong)}")
    if without:
        notes.append(f"the store has no constants for {_runs_told(without)}")
    if is_shadowed:
        notes.append("no registered run reads it")
    return directory.line(name, state, notes, reading, held.uses)


def _compared(
    held: HeldValues, last: Deployment | None, reader: HeldValuesReader
) -> tuple[bool, list[str]]:
    """Say whether a file holds other values than its record, or itself, says; and tell it."""
    if last is not None and last.file_digest != held.file_digest:
        deployed = f"deployed {iso_utc(last.deployed_at)} by {last.deployed_by}"
        if held.are(reader.recorded(last.file_digest)):
            return False, [f"not the bytes {deployed}, the values are the same"]
        return True, [f"{deployed} with other values, token {last.token}"]
    if held.comments and (not held.is_as_stated or not all(held.panels)):
        return not held.is_as_stated, [f"its comments say {held.comments}"]
    return False, []


def _history(folder: Path, name: str) -> str:
    """Return who put a file there, as far as HISTORY knows."""
    try:
        record = read_history(folder).get(name)
    except InvalidInputError as error:
        return printable(error.message)
    if record is None:
        return "HISTORY says nothing of it"
    told = (("copied from", record.copy_of), ("by", record.user), ("on", record.host))
    words = [f"{word} {value}" for word, value in (*told, ("at", record.time)) if value]
    return printable(f"HISTORY: {' '.join(words)}")


def _missing(
    directory: CalibDirectory, reads: Mapping[int, Sequence[str]], names: set[str]
) -> list[VerifiedFile]:
    """Tell of files that are gone, and of runs for which there is none."""
    notes: dict[str, list[str]] = {}
    for name, last in directory.deployed.items():
        if name not in names:
            told = f"deployed {iso_utc(last.deployed_at)} by {last.deployed_by}, and gone"
            notes[name] = [told]
    due = [run for run in directory.runs if run.digests is not None]
    without = [run for run in due if not reads[run.number]]
    needed = file_name(min(without[0].number, LAST_RUN)) if without else ""
    if needed:
        told = f"nothing is there to be read for {_runs_told(without)}"
        notes.setdefault(needed, []).append(told)
    return [
        directory.line(name, FileState.MISSING, told, without if name == needed else ())
        for name, told in notes.items()
    ]


def _runs_told(runs: Sequence[ExpectedRun]) -> str:
    shown = ", ".join(str(run.number) for run in runs[:MOST_RUNS_TOLD])
    more = f" and {len(runs) - MOST_RUNS_TOLD} more" if len(runs) > MOST_RUNS_TOLD else ""
    return f"{'run' if len(runs) == 1 else 'runs'} {shown}{more}"
