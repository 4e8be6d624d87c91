"""Deploy: the constants of one run into a calib directory, for psana to read."""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.report import Progress
from panelcal.domain.runs import Run
from panelcal.domain.text import plain
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.calib_dir import find_file, require_would_serve, type_directory
from panelcal.exporters.calib_files import (
    put_in_place,
    remove_abandoned_staging,
    remove_empty,
    require_open,
    staging,
    take_back,
)
from panelcal.exporters.history_file import Appended
from panelcal.exporters.permissions import missing_directories
from panelcal.exporters.printf import as_written
from panelcal.services.assemble import assemble, type_of
from panelcal.services.deployed import (
    Deployed,
    deployment_of,
    put_on_record,
    tell_history,
    values_in,
    was_left_behind,
)
from panelcal.services.device import require_device
from panelcal.services.equal_files import Content, EqualFiles, FileDigests, digest_of_file
from panelcal.services.export import Answer, Writing, copy_text, write_text
from panelcal.storage.deployments import DeployedContent, add_deployment, deployed_contents
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types
from panelcal.temporary import PREFIX


def deploy(
    store: OpenStore,
    answer: Answer,
    calib_dir: Path,
    *,
    writing: Writing,
    progress: Progress | None = None,
) -> list[Deployed]:
    """Write the constants of a run as ``<run>-end.data`` into a calib directory.

    All files are written under temporary names and read back before the first
    is put in place. A file that is replaced is kept beside it. Then HISTORY and
    the store record what was done. A file that is on record with the same
    payloads in the same number format is left alone; one that a killed call put
    in place is put on record.

    Parameters
    ----------
    calib_dir : Path
        The calib directory itself, ``.../XCS/xcsls3716/calib``.

    Returns
    -------
    list of Deployed
        One a kind.

    Raises
    ------
    InvalidInputError
        The run number or the source does not fit the calib layout, or
        something else is in a file's or a directory's place.
    ConflictError
        The legacy finder would pick another file for this run.
    IntegrityError
        A payload is damaged, a file reads back differently, or a name in the
        directory makes the legacy finder crash.
    """
    with store.database.reading() as connection:
        types = detector_types(connection)
    detector_type = require_device(answer, types)
    targets = _targets(
        answer.run,
        Path(os.path.abspath(calib_dir)),  # noqa: PTH100 - links are kept as typed
        detector_type,
    )
    for _, path in targets:
        remove_abandoned_staging(path.parent)
    with store.database.reading() as connection:
        recorded = deployed_contents(connection, answer.run.dataset.experiment)
    wanted = [one for one in targets if not _holds_already(recorded, *one, answer, writing)]
    equal = EqualFiles(FileDigests())
    equal.look(recorded)
    left = {
        kind: _left_behind(store, kind, path, recorded, answer, writing) for kind, path in wanted
    }
    for one in filter(None, left.values()):
        put_on_record(store, one, answer, writing)
    lacking = [(kind, path) for kind, path in wanted if left[kind] is None]
    written = write_files(store, answer, lacking, writing, equal, progress)
    written |= {one.kind: one for one in left.values() if one is not None}
    results = [
        written.get(kind.name)
        or Deployed(kind.name, path, None, False, digest_of_file(path), writing.number_format(kind))
        for kind, path in targets
    ]
    _require_served(results, answer.run.dataset.run)
    return results


def write_files(
    store: OpenStore,
    answer: Answer,
    targets: Sequence[tuple[Kind, Path]],
    writing: Writing,
    equal: EqualFiles,
    progress: Progress | None = None,
    prefix: str = PREFIX,
) -> dict[str, Deployed]:
    """Write the files of an answer, all of them or none, and put them on record.

    Parameters
    ----------
    targets : sequence of (Kind, Path)
        The calib files to write.
    equal : EqualFiles
        Files to copy the values from; it learns of those that are written.
    prefix : str
        Begins the names of temporary directories.

    Returns
    -------
    dict of str to Deployed
        By kind.

    Raises
    ------
    IntegrityError
        A payload is damaged, or a file reads back differently.
    InvalidInputError
        A directory cannot be written to.
    """
    staged, found = [], {}
    with ExitStack() as stack:
        for done, (kind, target) in enumerate(targets, 1):
            require_open(target.parent)
            path = stack.enter_context(staging(target.parent, prefix)) / target.name
            digest = _write_one(store, path, target, kind, answer, writing, equal)
            # Another process may replace it from the moment that it is in place.
            found[kind.name] = path.stat()
            form = writing.number_format(kind)
            staged.append((Deployed(kind.name, target, None, True, digest, form), path))
            if progress is not None:
                progress(done, len(targets), kind.name)
        written = _place_and_record(store, staged, answer, writing)
    for kind, target in targets:
        digest = written[kind.name].file_digest
        content = _content(kind, answer, writing)
        equal.add_written(content, target, found[kind.name], digest)
    return written


def _write_one(
    store: OpenStore,
    path: Path,
    target: Path,
    kind: Kind,
    answer: Answer,
    writing: Writing,
    equal: EqualFiles,
) -> str:
    """Write a file, copying its values where another one holds them; return its digest."""
    content = _content(kind, answer, writing)
    source = equal.holding(content)
    if source is not None:
        shape = _shape(store, answer)
        # It may be changed, replaced or removed at any moment: then the values are formatted.
        try:
            digest = copy_text(path, target, source, shape, kind, answer, writing)
            if equal.holding(content) == source:
                return digest
        except InvalidInputError:
            pass
        except IntegrityError:
            if equal.holding(content) == source:
                raise
        path.unlink(missing_ok=True)
    array = assemble(store.payloads, answer.resolution, kind.name)
    return write_text(path, target, array, kind, answer, writing)


def _content(kind: Kind, answer: Answer, writing: Writing) -> Content:
    digests = tuple(panel.digests[kind.name] for panel in answer.resolution.panels)
    return kind.name, digests, writing.number_format(kind)


def _shape(store: OpenStore, answer: Answer) -> tuple[int, ...]:
    ranges, rows, columns = type_of(store, answer.resolution).payload_shape
    return ranges, len(answer.resolution.panels), rows, columns


def _targets(run: Run, calib_dir: Path, detector_type: DetectorType) -> list[tuple[Kind, Path]]:
    """Return the file of each kind, all of them fit to be written."""
    plain(str(calib_dir), "calib directory")
    targets = []
    for kind in detector_type.kinds:
        folder = type_directory(calib_dir, detector_type.calib_group, run.source, kind.name)
        targets.append((kind, require_would_serve(folder, run.dataset.run)))
        require_open(folder)
    return targets


def _holds_already(
    recorded: Mapping[str, DeployedContent],
    kind: Kind,
    target: Path,
    answer: Answer,
    writing: Writing,
) -> bool:
    """Say whether a file is, byte by byte, one that was deployed with these payloads.

    The token is not compared: strict and legacy policy have different ones for
    the same payloads, and would replace each other's files for ever.
    """
    known = recorded.get(digest_of_file(target)) if target.is_file() else None
    if known is None:
        return False
    return (known.kind, known.digests, known.number_format) == _content(kind, answer, writing)


def _left_behind(
    store: OpenStore,
    kind: Kind,
    target: Path,
    recorded: Mapping[str, DeployedContent],
    answer: Answer,
    writing: Writing,
) -> Deployed | None:
    """Return a file that a killed call put in place, with just what is to be written."""
    if not target.is_file():
        return None
    digest = digest_of_file(target)
    if digest in recorded or not was_left_behind(target, answer):
        return None
    number_format = writing.number_format(kind)
    expected = as_written(assemble(store.payloads, answer.resolution, kind.name), number_format)
    found = values_in(target)
    if found is None or (found.shape, found.tobytes()) != (expected.shape, expected.tobytes()):
        return None
    return Deployed(kind.name, target, None, True, digest, number_format)


def _place_and_record(
    store: OpenStore, new: Sequence[tuple[Deployed, Path]], answer: Answer, writing: Writing
) -> dict[str, Deployed]:
    """Put files in place, all of them or none, and say so in the store and HISTORY.

    The unit of work is open before the first file appears: a store that cannot
    be written refuses the deployment while nothing has changed. It ends before
    they are there to stay: they are taken back if it cannot be committed.
    """
    local_time = writing.local_time(answer.resolution.zone)
    placed: list[Deployed] = []
    told: list[Appended] = []
    if not new:
        return {}
    missing = [
        directories for one, _ in new if (directories := missing_directories(one.path.parent))
    ]
    try:
        with store.database.writing() as connection:
            at = recording_time(connection, writing.now)
            for one, path in new:
                kept = put_in_place(path, one.path, local_time, writing.permissions)
                placed.append(replace(one, kept=kept))
                deployment = deployment_of(one, answer, writing, at)
                add_deployment(connection, deployment, answer.resolution)
            for one in placed:
                record = tell_history(store, one, answer, writing, local_time)
                told.append(record)
    except BaseException:
        with ExitStack() as undoing:
            # Backwards, and each whatever becomes of the others.
            for directories in missing:
                undoing.callback(remove_empty, directories)
            for one in placed:
                undoing.callback(take_back, one.path, one.kept)
            for record in told:
                undoing.callback(record.take_back)
        raise
    return {one.kind: one for one in placed}


def _require_served(results: list[Deployed], run: int) -> None:
    """Look at what is deployed as the legacy finder will, byte by byte."""
    for result in results:
        found = find_file(result.path.parent, run)
        if found != result.path or digest_of_file(found) != result.file_digest:
            msg = f"run {run} is served by {found}, not by what was written to {result.path}"
            raise IntegrityError(msg, "another process writes there; deploy again")
