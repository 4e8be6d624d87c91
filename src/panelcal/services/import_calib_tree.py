"""Import calib directories: what psana read for which run becomes assignments."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from panelcal.domain.digest import digest_of
from panelcal.domain.ids import PanelId, SegmentId, parse_detector_id
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import to_microseconds
from panelcal.domain.report import ImportReport, Progress, Status
from panelcal.domain.runs import Run
from panelcal.domain.text import count_of, printable
from panelcal.errors import InvalidInputError
from panelcal.services.attribution import Attribution, Contents
from panelcal.services.calib_tree import CalibTree, SourceFiles, scan_calib_tree
from panelcal.services.calib_values import CalibFile, CalibReader
from panelcal.services.record_attributions import record_attributions
from panelcal.services.stated import StatedPanel, require_token, stated_panels
from panelcal.storage import runs as stored
from panelcal.storage.ledger import history
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types


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
    def panel(self) -> str:
        """The panel's id."""
        return str(self.attribution.panel)

    @property
    def start(self) -> int:
        """The start, in microseconds."""
        return to_microseconds(self.attribution.valid_from)

    @property
    def says(self) -> tuple[Contents, str]:
        """The values, and the constant set that the files say they are."""
        return self.attribution.contents, str(self.attribution.stated)


@dataclass(frozen=True, slots=True)
class _Heard:
    """What was heard of a panel last: since when it has which values, and from whom."""

    start: int
    contents: Contents
    is_of_run: bool


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
    observed: set[tuple[str, ...]] = field(default_factory=set)
    last_read: tuple[str, ...] = ()
    ended: dict[str, str] = field(default_factory=dict)


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
    them for, from the begin of the first such run on; where files contradict each
    other about a panel and begin, from that of the next run. Importing the same
    tree again adds nothing.

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
        types = detector_types(connection)
        runs = stored.runs(connection)
        ledger = {
            panel: {to_microseconds(row.valid_from) for row in rows}
            for panel, rows in history(connection).items()
        }
    found = scan_calib_tree(tree, experiment, types)
    with store.payloads.batch() as batch:
        keep = digest_of if dry_run else batch.add
        reader = CalibReader(found, keep, progress)
        sources = []
        for scanned in found.sources:
            files = reader.read(scanned)
            source = _Source(printable(found.root), files, store.zone, scanned.detector_type)
            _state(source)
            own = [run for run in runs if _is_of(run, scanned)]
            for run in sorted(own, key=lambda run: (to_microseconds(run.begin), run.dataset.run)):
                _observe(source, run, scanned)
            sources.append(source)
        attributions = _changes((claim for source in sources for claim in source.claims), ledger)
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
    if not any(one.picks.for_run(run.dataset.run) for one in scanned.types.values()):
        for name in source.last_read:
            source.ended.setdefault(name, str(run.dataset))
        return
    names = set(chosen.values())
    is_stated = len(names) == 1 and names <= source.stated.keys()
    if is_stated and not _is_meant(source.stated[str(names.pop())], panels, run.begin):
        return
    problem = _problem(chosen, files, len(panels))
    if problem:
        for file in files.values():
            source.problems[file.name].setdefault(problem, str(run.dataset))
        return
    read = source.last_read = tuple(file.name for file in files.values())
    which = (
        "which reads it" if read in source.observed else "the first registered run that reads it"
    )
    source.observed.add(read)
    learnt = f"the begin of {run.dataset}, {which}"
    for segment, panel in enumerate(panels):
        attribution = _attribution(source, files, segment, panel, run.begin, learnt)
        source.claims.append(_Claim(attribution, is_stated=is_stated, is_of_run=True))


def _is_meant(
    said: Sequence[StatedPanel], panels: Sequence[PanelId | SegmentId], begin: datetime
) -> bool:
    """Say whether a run is one that a file was written for, or that it may serve as well.

    Others read it only because the finder has nothing else for them.
    """
    return len(said) == len(panels) and all(
        one.panel == panel and (one.valid_from is None or one.valid_from <= begin)
        for one, panel in zip(said, panels, strict=True)
    )


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
        detector_type=source.detector_type,
        panel=panel,
        valid_from=start,
        values={kind: file.values[segment] for kind, file in files.items()},
        learnt=learnt,
        told="; ".join(told),
        stated=None if said is None else said.stated,
        is_assigned=panel is not None,
        notices=tuple(filter(None, notices)),
    )


def _changes(claims: Iterable[_Claim], ledger: Mapping[str, Collection[int]]) -> list[Attribution]:
    """Keep, of what the runs show, where the values of a panel may change.

    Runs of several experiments with the same panel are gone through in the order
    of time. What is claimed of one panel and start is looked at together, so that
    the names of the experiments decide nothing.

    Parameters
    ----------
    ledger : mapping of str to collection of int
        By panel, where the assignments recorded so far start, in microseconds.
    """
    attributions: list[Attribution] = []
    last: dict[str, _Heard] = {}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for group in _heard_together(claims):
        is_contested = len({claim.says for claim in group}) > 1
        for claim in group:
            file = claim.panel, claim.attribution.names
            is_told = (
                is_contested
                or file not in seen
                or _may_change(claim, last.get(claim.panel), ledger.get(claim.panel, ()))
            )
            if is_told or not claim.is_of_run:
                attributions.append(claim.attribution)
            seen.add(file)
        one = group[0]
        if is_contested:
            # Likely to be refused: what the panel has from then on, the next run must tell.
            last.pop(one.panel, None)
        else:
            last[one.panel] = _Heard(one.start, one.attribution.contents, one.is_of_run)
    return attributions


def _heard_together(claims: Iterable[_Claim]) -> Iterator[list[_Claim]]:
    """Yield what is to be heard of one panel and start, by ascending start.

    Files that state their starts need no runs: one that reads such a file is heard
    only where no file speaks for the panel, or after another run has shown a file
    that states nothing.
    """
    groups: dict[tuple[str, int], list[_Claim]] = defaultdict(list)
    for claim in sorted(claims, key=lambda one: (one.start, one.is_of_run)):
        groups[claim.panel, claim.start].append(claim)
    spoken_for: set[str] = set()
    for (panel, _), group in groups.items():
        if not all(claim.is_of_run for claim in group):
            spoken_for.add(panel)
        if any(claim.is_of_run and not claim.is_stated for claim in group):
            spoken_for.discard(panel)
        heard = [
            claim
            for claim in group
            if not (claim.is_of_run and claim.is_stated and panel in spoken_for)
        ]
        if heard:
            yield heard


def _may_change(claim: _Claim, last: _Heard | None, ledger: Collection[int]) -> bool:
    """Say whether the panel may have had other values just before, for all that is known."""
    if last is None or (last.contents, last.is_of_run) != (claim.attribution.contents, True):
        return True
    return any(last.start < start <= claim.start for start in ledger)


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
        if file.name in source.ended:
            ended = f"its range has ended before {source.ended[file.name]}, which reads nothing"
            hint = "panelcal withdraw, if the panels are to have no constants from then on"
            tree.add_line(file.path, Status.IGNORED, f"{ended}: {hint}")
