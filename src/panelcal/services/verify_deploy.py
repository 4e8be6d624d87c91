"""Verify: what the files of a calib tree hold, and whether psana reads the right ones."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.report import Progress
from panelcal.domain.resolution import Resolution
from panelcal.domain.runs import Run, nearest_names, parse_experiment
from panelcal.domain.text import printable
from panelcal.domain.verified import VerifiedFile, VerifyReport
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.exporters.calib_dir import calib_dir_of, type_directory
from panelcal.services.held_values import HeldValuesReader
from panelcal.services.resolve import resolve_run
from panelcal.services.runs import require_as_recorded
from panelcal.services.sealed import SealedRows
from panelcal.services.verify_directory import CalibDirectory, ExpectedRun, verify_directory
from panelcal.storage import runs as stored
from panelcal.storage.deployments import Deployment, deployments, require_sealed
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

Place = tuple[str, str]
"""Experiment and source."""

Present = tuple[DetectorType, Kind, Path]
"""A directory that is there, the type in whose group it is, and the kind of constants in it."""


def verify_deploy(
    store: OpenStore,
    root: Path,
    *,
    experiment: str | None = None,
    progress: Progress | None = None,
) -> VerifyReport:
    """Read back what is deployed below a root; nothing is changed.

    A file whose bytes are on record holds what was deployed. Any other is read,
    and the values of each panel are compared, by digest, with those of every
    constant set as they would be printed. Which run reads which file is told by
    the legacy finder's rule (spec §8).

    Looked at are the directories of the kinds of all detector types: of every source that is
    registered with a detector id, was deployed to, or is in the tree. What the
    store does not know and nobody may look into is passed over. Files below
    another instrument than their experiment's, ``ROOT/xcs/xcsls3716``, are
    judged where they are; none of them is well, for nobody reads it.

    Parameters
    ----------
    root : Path
        ``ROOT`` of ``ROOT/<INSTRUMENT>/<experiment>/calib``.
    experiment : str or None
        Only this one.

    Raises
    ------
    NotFoundError
        There is no such directory, or nothing is known of the experiment.
    IntegrityError
        A payload that a file has to be compared with is missing or damaged, or a
        row of the record is not as it was recorded.
    """
    if not root.is_dir():
        msg = f"{printable(root)} is not a directory"
        raise NotFoundError(msg, "name the root of ROOT/<INSTRUMENT>/<experiment>/calib")
    with store.database.reading() as connection:
        reader = HeldValuesReader(store, connection)
        runs = _by_place(stored.runs(connection))
        require_sealed(connection)
        recorded = deployments(connection)
        deployed = {(one.dataset.experiment, one.source) for one in recorded}
        types = detector_types(connection)
        present = _present(root, types)
        places = deployed | set(_registered(runs)) | set(present)
        looked_in = _looked_in(root, places, types)
        if experiment is not None:
            _require_known(experiment, {name for name, _ in places | runs.keys()}, root)
            places = {place for place in places if place[0] == experiment}
        rows = SealedRows(connection, of_many_runs=True)
        require_as_recorded(run for place in places for run in runs.get(place, ()))
        resolved = {
            place: [
                (run, _resolution(connection, store.zone, types, run, rows))
                for run in runs.get(place, ())
            ]
            for place in places
        }
    last = _last_deployments(recorded)
    found: list[VerifiedFile] = []
    for done, place in enumerate(sorted(places), 1):
        directories = [
            *_directories(root, place, _type_of(place, types), resolved[place], last),
            *_misplaced(root, place, present.get(place, ()), looked_in, last),
        ]
        for directory in sorted(directories, key=lambda one: one.kind.name):
            found += verify_directory(directory, reader)
        if progress is not None:
            progress(done, len(places), place[0])
    return VerifyReport(printable(root), tuple(found))


def _by_place(runs: Iterable[Run]) -> dict[Place, list[Run]]:
    """Group runs by experiment and source; their order stays."""
    found: dict[Place, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.dataset.experiment, run.source].append(run)
    return dict(found)


def _registered(runs: Mapping[Place, Iterable[Run]]) -> Iterator[Place]:
    """Give the sources that a deploy job serves."""
    for place, own in runs.items():
        if any(run.detector_id is not None or run.modules for run in own):
            yield place


def _type_of(place: Place, types: DetectorTypes) -> DetectorType:
    """Return the type of a source's device; one of no known device is looked at as before."""
    return types.of_source(place[1]) or types.chosen(None)


def _present(root: Path, types: DetectorTypes) -> Mapping[Place, Sequence[Present]]:
    """Return every directory of constants, by source."""
    found: dict[Place, list[Present]] = defaultdict(list)
    for one in types:
        for kind in one.kinds:
            for path in sorted(root.glob(f"*/*/calib/{one.calib_group}/*/{kind.name}")):
                found[path.parents[3].name, path.parent.name].append((one, kind, path))
    return found


def _looked_in(root: Path, places: Iterable[Place], types: DetectorTypes) -> set[str]:
    """Return the real paths of the directories in which psana and the deploy job look."""
    return {
        os.path.realpath(_directory(root, place, kind, of))
        for place in places
        for of in (_type_of(place, types),)
        for kind in of.kinds
    }


def _directory(root: Path, place: Place, kind: Kind, detector_type: DetectorType) -> Path:
    experiment, source = place
    return type_directory(
        calib_dir_of(root, experiment), detector_type.calib_group, source, kind.name
    )


def _last_deployments(recorded: Iterable[Deployment]) -> Mapping[str, Mapping[str, Deployment]]:
    """Return the last deployment of each file, by directory and name.

    Directories are told by their real paths: a root may be typed in several
    ways, and reached through links.
    """
    found: dict[str, dict[str, Deployment]] = {}
    by_folder: dict[str, dict[str, Deployment]] = {}
    for one in recorded:
        folder, name = os.path.split(one.path)
        if folder not in by_folder:
            by_folder[folder] = found.setdefault(os.path.realpath(folder), {})
        by_folder[folder][name] = one
    return found


def _require_known(experiment: str, known: Iterable[str], root: Path) -> None:
    if parse_experiment(experiment) not in known:
        msg = f"no run of {experiment} is registered, and {printable(root)} has nothing of it"
        near = nearest_names(experiment, known)
        raise NotFoundError(msg, f"did you mean {', '.join(near)}?" if near else None)


def _resolution(
    connection: Connection, zone: ZoneInfo, types: DetectorTypes, run: Run, rows: SealedRows
) -> Resolution | None:
    """Return what a run resolves to, None if that is nothing that its device can use."""
    try:
        resolution = resolve_run(connection, zone, run, None, "strict", None)
    except (NotFoundError, InvalidInputError):
        return None
    rows.require(resolution)
    of = _type_of((run.dataset.experiment, run.source), types)
    return resolution if resolution.detector_type == of.name else None


def _directories(
    root: Path,
    place: Place,
    detector_type: DetectorType,
    runs: Iterable[tuple[Run, Resolution | None]],
    last: Mapping[str, Mapping[str, Deployment]],
) -> Iterator[CalibDirectory]:
    """Give the directory of every kind, with what the store says of it."""
    experiment, source = place
    for kind in detector_type.kinds:
        path = _directory(root, place, kind, detector_type)
        yield CalibDirectory(
            experiment=experiment,
            source=source,
            detector_type=detector_type,
            kind=kind,
            path=path,
            runs=[
                ExpectedRun(
                    number=run.dataset.run,
                    digests=None
                    if resolution is None
                    else tuple(panel.digests[kind.name] for panel in resolution.panels),
                )
                for run, resolution in runs
            ],
            deployed=last.get(os.path.realpath(path), {}),
        )


def _misplaced(
    root: Path,
    place: Place,
    present: Iterable[Present],
    looked_in: Collection[str],
    last: Mapping[str, Mapping[str, Deployment]],
) -> Iterator[CalibDirectory]:
    """Give the directories of a source in which nobody looks; no run reads their files."""
    experiment, source = place
    for detector_type, kind, path in present:
        real = os.path.realpath(path)
        if real not in looked_in:
            yield CalibDirectory(
                experiment=experiment,
                source=source,
                detector_type=detector_type,
                kind=kind,
                path=path,
                runs=(),
                deployed=last.get(real, {}),
                looked_in=calib_dir_of(root, experiment),
            )
