"""Scan a tree of calib directories: which files there are, and which the finder picks.

Facts of the layout are in spec §8. No file of constants is opened here.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType
from panelcal.domain.report import Line, Status
from panelcal.domain.runs import parse_experiment
from panelcal.domain.text import count_of, printable
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.exporters.calib_dir import calib_dir_of, type_directory
from panelcal.exporters.calib_picks import Picks
from panelcal.exporters.history_file import FILE_NAME as HISTORY_NAME
from panelcal.exporters.history_file import HistoryRecord, read_history


@dataclass(frozen=True, slots=True)
class TypeFiles:
    """The files of one calibration type of a source.

    Parameters
    ----------
    picks : Picks
        Every name, as the finder sees it.
    picked : dict of str to Path
        Those of them that it picks for some run, in the order of runs.
    records : mapping of str to HistoryRecord
        What HISTORY says of them.
    """

    picks: Picks
    picked: dict[str, Path]
    records: Mapping[str, HistoryRecord]

    def read_by(self, run: int) -> str | None:
        """Return the file that psana reads for a run, None if there is none or no telling."""
        found = self.picks.for_run(run)
        return found[0] if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """What a calib directory holds for one source.

    Parameters
    ----------
    experiment, source : str
        ``xcsls3716``, ``XcsEndstation.0:Jungfrau.0``.
    detector_type : DetectorType
        In whose group they are; the source is of its device.
    types : dict of str to TypeFiles
        By kind; every kind is there.
    """

    experiment: str
    source: str
    detector_type: DetectorType
    types: dict[str, TypeFiles]


@dataclass(slots=True)
class CalibTree:
    """What a tree holds.

    Parameters
    ----------
    root : Path
        The directory.
    sources : list of SourceFiles
        By experiment and source.
    lines : list of Line
        Files that hold no constants, or that nobody reads.
    """

    root: Path
    sources: list[SourceFiles] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def name_of(self, path: Path) -> str:
        """Return what the report calls a file."""
        return printable(path.relative_to(self.root))

    def add_line(self, path: Path, status: Status, reason: str) -> None:
        """Say why a file is left out."""
        self.lines.append(Line(self.name_of(path), status, "", reason))

    def refuse(self, path: Path, reason: str) -> None:
        """Say why a file cannot be taken."""
        self.add_line(path, Status.REFUSED, reason)

    def ignore(self, path: Path, reason: str) -> None:
        """Say of a file, or of every file below a directory, why it is passed over."""
        for found in _files_below(path):
            self.add_line(found, Status.IGNORED, reason)


def scan_calib_tree(tree: Path, experiment: str | None, types: DetectorTypes) -> CalibTree:
    """Look at the names of a calib directory, or of all those below a root.

    Parameters
    ----------
    tree : Path
        A calib directory, or the root of ``<INSTRUMENT>/<experiment>/calib``.
    experiment : str or None
        Whose calib directory it is; otherwise the name of the directory above.
        Below a root: only this experiment.
    types : DetectorTypes
        Of the store: the groups of the calib layout that are looked at.

    Raises
    ------
    NotFoundError
        There is no such directory, or no constants of a known detector type in it.
    InvalidInputError
        The name of the directory above is no experiment's, or a directory
        cannot be read.
    """
    if not tree.is_dir():
        msg = f"{printable(tree)} is not a directory"
        raise NotFoundError(msg, "name a calib directory, or the root that they are below")
    found = CalibTree(tree.resolve())
    try:
        if any((found.root / one.calib_group).is_dir() for one in types):
            named = experiment or _experiment_above(found.root)
            _scan_calib_dir(found, found.root, parse_experiment(named), types)
        else:
            for calib, named in _calib_dirs(found.root, experiment):
                _scan_calib_dir(found, calib, parse_experiment(named), types)
    except PermissionError as error:
        msg = f"{printable(error.filename)} cannot be read: {error.strerror}"
        raise InvalidInputError(msg) from error
    if not found.sources and not found.lines:
        groups = " or ".join(one.calib_group for one in types)
        msg = f"{printable(tree)} holds neither {groups} nor INSTRUMENT/experiment/calib with it"
        raise NotFoundError(msg, "name a calib directory, or the root that they are below")
    return found


def _experiment_above(calib: Path) -> str:
    try:
        return parse_experiment(calib.parent.name)
    except InvalidInputError as error:
        hint = "--experiment says whose calib directory it is"
        raise InvalidInputError(error.message, hint) from error


def _calib_dirs(root: Path, experiment: str | None) -> Iterator[tuple[Path, str]]:
    if experiment is not None:
        yield calib_dir_of(root, parse_experiment(experiment)), experiment
        return
    for calib in sorted(root.glob("*/*/calib")):
        yield calib, calib.parent.name


def _scan_calib_dir(tree: CalibTree, calib: Path, experiment: str, types: DetectorTypes) -> None:
    groups = {calib / one.calib_group: one for one in types if (calib / one.calib_group).is_dir()}
    if not groups:
        return
    for other in _entries(calib):
        if other not in groups:
            held = count_of(len(list(_files_below(other))), "file")
            named = " or ".join(types.names)
            tree.add_line(other, Status.IGNORED, f"not of {named}: {held}")
    for group, detector_type in groups.items():
        _scan_group(tree, calib, experiment, group, detector_type)


def _scan_group(
    tree: CalibTree, calib: Path, experiment: str, group: Path, detector_type: DetectorType
) -> None:
    for source in _entries(group):
        if f":{detector_type.device}." in source.name and source.is_dir():
            _scan_source(tree, calib, experiment, source, detector_type)
        else:
            tree.ignore(source, f"psana looks for no source {printable(source.name)}")


def _scan_source(
    tree: CalibTree, calib: Path, experiment: str, source: Path, detector_type: DetectorType
) -> None:
    kinds = [kind.name for kind in detector_type.kinds]
    for other in _entries(source):
        if other.name not in kinds:
            tree.ignore(other, f"{printable(other.name)} is no kind of constant that is kept here")
    types = {}
    for kind in kinds:
        folder = type_directory(calib, detector_type.calib_group, source.name, kind)
        types[kind] = _scan_type(tree, folder)
    tree.sources.append(SourceFiles(experiment, source.name, detector_type, types))


def _scan_type(tree: CalibTree, folder: Path) -> TypeFiles:
    entries = {path.name: path for path in (_entries(folder) if folder.is_dir() else ())}
    picks = Picks(entries)
    for name in picks.crashing:
        tree.refuse(entries[name], f"{printable(name)} makes the legacy finder crash for every run")
    for name in sorted({*entries} - {*picks.crashing, *picks.considered}):
        tree.ignore(entries[name], _why_passed_over(entries[name]))
    picked = {}
    for name in picks.considered:
        rivals = picks.rivals(name)
        if rivals:
            both = " and ".join(printable(one) for one in sorted((name, *rivals)))
            reason = f"{both} are for the same runs: the directory's order decides"
            tree.refuse(entries[name], reason)
        elif name in picks.hidden:
            reason = "the finder picks other files for all of its runs"
            tree.add_line(entries[name], Status.IGNORED, reason)
        else:
            picked[name] = entries[name]
    return TypeFiles(picks, picked, read_history(folder))


def _why_passed_over(path: Path) -> str:
    if path.name == HISTORY_NAME:
        return "read for who deployed what"
    if ".data-" in path.name:
        return "a file that was replaced, kept"
    if path.is_dir():
        return "in a directory where the finder does not look"
    return "a name that the finder passes over"


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir())


def _files_below(path: Path) -> Iterator[Path]:
    """Give every file below a directory; of anything else, itself."""
    if path.is_symlink() or not path.is_dir():
        yield path
        return
    for folder, directories, names in os.walk(path):
        directories.sort()
        linked = [name for name in directories if (Path(folder) / name).is_symlink()]
        for name in sorted([*names, *linked]):
            yield Path(folder) / name
