"""Import calib directories: what psana read for which run becomes assignments."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from panelcal.domain.digest import digest_of
from panelcal.domain.ids import PanelId, SegmentId, parse_detector_id
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import to_microseconds
from panelcal.domain.report import ImportReport, Progress
from panelcal.domain.runs import Run
from panelcal.domain.text import count_of, printable
from panelcal.errors import InvalidInputError
from panelcal.services.attribution import Attribution, Contents
from panelcal.services.calib_tree import CalibTree, SourceFiles, scan_calib_tree
from panelcal.services.calib_values import CalibFile, CalibReader
from panelcal.services.record_attributions import record_attributions
from panelcal.services.stated import StatedPanel, require_token, stated_panels
from panelcal.storage import runs as stored
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_type as read_detector_type


@dataclass(frozen=True, slots=True)
class _Claim:
    """That a panel has values from a time on, as a file says or a run shows.

    Parameters
    ----------
    attribution : Attribution
        What would be recorded.
    is_stated : bool
        The files say it of themselves.
    is_of_run : bool
        A run reads these files.
    """

    attribution: Attribution
    is_stated: bool
    is_of_run: bool

    @property
    def start(self) -> int:
        """The start, in microseconds."""
        return to_microseconds(self.attribution.valid_from)


@dataclass(slots=True)
class _Source:
    """The files of one source, read, and what is learnt from them."""

    where: str
    files: dict[str, dict[str, CalibFile]]
    zone: ZoneInfo
    detector_type: DetectorType
    stated: dict[str, tuple[StatedPanel, ...]] = field(default_factory=dict)
    doubts: dict[str, str] = field(default_factory=dict)
    claims: list[_Claim] = field(default_factory=list)
    problems: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    hints: dict[str, str] = field(default_factory=dict)


def import_calib_tree(
    store: OpenStore,
    tree: Path,
    *,
    experiment: str | None = None,
    now: datetime,
    user: str,
    dry_run: bool = False,
    skip_bad: bool = False,
    supersede: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring calib directories into the store: everything, or nothing.

    Files that panelcal wrote say which panels they are for and since when.
    Others are attributed to the panels of the registered runs that psana reads
    them for, from the begin of the first such run on. Importing the same tree
    again adds nothing.

    Parameters
    ----------
    tree : Path
        A calib directory, or the root of ``<INSTRUMENT>/<experiment>/calib``.
    experiment : str or None
        Whose calib directory it is; otherwise the name of the directory above.
    dry_run : bool
        Read and judge everything, change nothing.
    skip_bad : bool
        Leave out what is refused or in conflict and take the rest.
    supersede : bool
        Record what differs from the ledger as corrections.
    progress : callable or None
        Told after each file read.

    Returns
    -------
    ImportReport
        Every file of the tree and what became of it, with a line for each panel
        and start that it was attributed to.

    Raises
    ------
    NotFoundError
        There is no such directory, or nothing of a calib directory is in it.
    InvalidInputError
        The experiment cannot be told, or a directory cannot be read.
    IntegrityError
        A payload is damaged, or cannot be written or read back.
    """
    with store.database.reading() as connection:
        detector_type = read_detector_type(connection)
        runs = stored.runs(connection)
    found = scan_calib_tree(tree, experiment, detector_type)
    with store.payloads.batch() as batch:
        keep = digest_of if dry_run else batch.add
        reader = CalibReader(found, detector_type, keep, progress)
        sources = []
        for scanned in found.sources:
            files = reader.read(scanned)
            source = _Source(printable(found.root), files, store.zone, detector_type)
            _state(source)
            own = [run for run in runs if _is_of(run, scanned)]
            for run in sorted(own, key=lambda run: (to_microseconds(run.begin), run.dataset.run)):
                _observe(source, run, scanned)
            sources.append(source)
        attributions = _changes(claim for source in sources for claim in source.claims)
        attributed = {name for one in attributions for name in one.names}
        for source in sources:
            _refuse(found, source, attributed)
        return record_attributions(
            store,
            batch,
            attributions,
            found.lines,
            now=now,
            user=user,
            dry_run=dry_run,
            skip_bad=skip_bad,
            supersede=supersede,
        )


def _is_of(run: Run, source: SourceFiles) -> bool:
    return (run.dataset.experiment, run.source) == (source.experiment, source.source)


def _state(source: _Source) -> None:
    """Take what files say of themselves, where the files of all kinds agree."""
    by_kind = list(source.files.values())
    for name in set.union(*(set(files) for files in by_kind)):
        files = {kind: read[name] for kind, read in source.files.items() if name in read}
        provenances = {
            kind: file.provenance for kind, file in files.items() if file.provenance is not None
        }
        if not provenances:
            continue
        try:
            if len(provenances) < len(by_kind):
                msg = "no such file of the other kind was exported with it"
                raise InvalidInputError(msg)
            panels = stated_panels(provenances, source.detector_type, source.zone)
            require_token(provenances, source.zone)
        except InvalidInputError as error:
            doubt = f"what it says of itself is not believed: {error.message}"
            source.doubts |= {file.name: doubt for file in files.values()}
            continue
        source.stated[name] = panels
        token = next(iter(provenances.values())).token
        for segment, said in enumerate(panels):
            learnt = f"as panelcal wrote in it, token {token}"
            attribution = _attribution(
                source, files, segment, said.panel, said.valid_from, learnt, said
            )
            source.claims.append(_Claim(attribution, is_stated=True, is_of_run=False))


def _observe(source: _Source, run: Run, scanned: SourceFiles) -> None:
    """Learn what a run shows: its panels have what psana reads for it."""
    chosen = {kind: scanned.types[kind].read_by(run.dataset.run) for kind in source.files}
    files = {
        kind: source.files[kind][name]
        for kind, name in chosen.items()
        if name is not None and name in source.files[kind]
    }
    if run.begin is None or run.detector_id is None:
        lacking = "begin" if run.begin is None else "detector id"
        source.hints |= {
            file.name: f"{run.dataset} reads it, which is registered without a {lacking}"
            for file in files.values()
        }
        return
    panels = parse_detector_id(run.detector_id).panels
    problem = _problem(chosen, files, len(panels))
    if problem:
        for file in files.values():
            source.problems[file.name].setdefault(problem, str(run.dataset))
        return
    names = set(chosen.values())
    is_stated = len(names) == 1 and names <= source.stated.keys()
    learnt = f"the begin of {run.dataset}, the first registered run that reads it"
    for segment, panel in enumerate(panels):
        attribution = _attribution(source, files, segment, panel, run.begin, learnt)
        source.claims.append(_Claim(attribution, is_stated=is_stated, is_of_run=True))


def _problem(chosen: Mapping[str, str | None], files: Mapping[str, CalibFile], panels: int) -> str:
    """Say why what a run reads cannot be attributed to its panels."""
    for kind, name in chosen.items():
        if kind not in files and name is None:
            return f"no {kind} is read with it, or there is no telling which"
        if kind not in files:
            return f"{kind} {printable(name)}, which is read with it, is refused"
    for kind, file in files.items():
        if len(file.values) != panels:
            held = count_of(len(file.values), "panel")
            return f"the detector has {count_of(panels, 'panel')}, its {kind} is of {held}"
    return ""


def _attribution(
    source: _Source,
    files: Mapping[str, CalibFile],
    segment: int,
    panel: PanelId | SegmentId | None,
    start: datetime | None,
    learnt: str,
    said: StatedPanel | None = None,
) -> Attribution:
    names = tuple(file.name for file in files.values())
    told = dict.fromkeys(file.told for file in files.values() if file.told)
    doubts = (source.doubts.get(name, "") for name in names)
    notices = (*doubts, *(notice for file in files.values() for notice in file.notices))
    return Attribution(
        names=names,
        where=source.where,
        panel=panel,
        valid_from=start,
        values={kind: file.values[segment] for kind, file in files.items()},
        learnt=learnt,
        told="; ".join(told),
        stated=None if said is None else said.stated,
        is_assigned=panel is not None,
        notices=tuple(filter(None, notices)),
    )


def _changes(claims: Iterable[_Claim]) -> list[Attribution]:
    """Keep, of what the runs show, where the values of a panel change.

    Runs of several experiments with the same panel are gone through in the
    order of time. Files that state their starts need no runs, except where a
    panel had other values in between, of a file that states none.
    """
    attributions: list[Attribution] = []
    last: dict[str, tuple[Contents, bool]] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for claim in sorted(claims, key=lambda one: (one.start, one.is_of_run)):
        attribution = claim.attribution
        panel = str(attribution.panel)
        contents, was_stated = last.get(panel, ((), False))
        is_change = attribution.contents != contents
        if claim.is_of_run and claim.is_stated:
            is_told = is_change and not was_stated
        else:
            is_told = is_change or (panel, attribution.names) not in seen
        if is_told or not claim.is_of_run:
            attributions.append(attribution)
            last[panel] = attribution.contents, claim.is_stated
            seen.add((panel, attribution.names))
    return attributions


def _refuse(tree: CalibTree, source: _Source, attributed: set[str]) -> None:
    """Say of files why they, or some of the runs that read them, tell nothing."""
    for file in (file for files in source.files.values() for file in files.values()):
        problems = [
            f"{run} reads it: {problem}"
            for problem, run in source.problems.get(file.name, {}).items()
        ]
        if not problems and file.name not in attributed:
            hint = source.hints.get(file.name, "no registered run reads it: import runs first")
            problems = [*filter(None, [source.doubts.get(file.name)]), hint]
        if problems:
            tree.refuse(file.path, "; ".join(problems))
