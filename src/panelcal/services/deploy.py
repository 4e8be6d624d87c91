"""Deploy: the constants of one run into a calib directory, for psana to read."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from panelcal.domain.kinds import DetectorType
from panelcal.domain.report import Progress
from panelcal.domain.runs import Run
from panelcal.domain.text import plain
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.calib_dir import (
    append_history,
    find_file,
    history_record,
    put_in_place,
    require_open,
    require_would_serve,
    staging,
    take_back,
    type_directory,
)
from panelcal.services.assemble import assemble, kinds_of
from panelcal.services.export import Answer, Writing, write_text
from panelcal.storage.deployments import Deployment, add_deployment, latest_deployment
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Deployed:
    """One calib file after a deployment.

    Parameters
    ----------
    kind : str
        Kind of constant.
    path : Path
        The file.
    kept : Path or None
        Where the file that it replaced is kept.
    is_new : bool
        False if the file held just this already and was left alone.
    file_digest : str
        SHA-256 of its bytes.
    number_format : str
        printf format of its values.
    """

    kind: str
    path: Path
    kept: Path | None
    is_new: bool
    file_digest: str
    number_format: str


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
    the store record what was done. A file that holds just this answer already
    is left alone.

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
    detector_type = kinds_of(store)
    _require_device(answer.run, detector_type.device)
    targets = _targets(
        answer.run,
        Path(os.path.abspath(calib_dir)),  # noqa: PTH100 - links are kept as typed
        detector_type,
    )
    with staging(targets[0].parents[1]) as directory:
        staged = []
        for done, (kind, target) in enumerate(zip(detector_type.kinds, targets, strict=True), 1):
            path = directory / f"{kind.name}.data"
            form = writing.number_format(kind)
            if _holds_already(store, target, answer, form):
                staged.append(Deployed(kind.name, target, None, False, _digest(target), form))
            else:
                array = assemble(store.payloads, answer.resolution, kind.name)
                digest = write_text(path, target, array, kind, answer, writing)
                staged.append(Deployed(kind.name, target, None, True, digest, form))
            if progress is not None:
                progress(done, len(targets), kind.name)
        new = [(one, directory / f"{one.kind}.data") for one in staged if one.is_new]
        placed = _place_and_record(store, new, answer, writing)
    results = [placed.get(one.kind, one) for one in staged]
    _require_served(results, answer.run.dataset.run)
    return results


def _targets(run: Run, calib_dir: Path, detector_type: DetectorType) -> list[Path]:
    """Return the file of each kind, all of them fit to be written."""
    plain(str(calib_dir), "calib directory")
    targets = []
    for kind in detector_type.kinds:
        folder = type_directory(calib_dir, detector_type.calib_group, run.source, kind.name)
        targets.append(require_would_serve(folder, run.dataset.run))
        require_open(folder)
    return targets


def _require_device(run: Run, device: str) -> None:
    """Refuse a source that the finder maps to no group (spec §8)."""
    if f":{device}." not in run.source:
        msg = f"{run.source} is no {device}: the calib layout has no group for it"
        raise InvalidInputError(msg)


def _holds_already(store: OpenStore, target: Path, answer: Answer, number_format: str) -> bool:
    """Say whether a file was deployed with this answer and is as it was written."""
    with store.database.reading() as connection:
        last = latest_deployment(connection, str(target))
    if last is None or not target.is_file():
        return False
    same = (last.token, last.number_format) == (answer.resolution.token, number_format)
    return same and _digest(target) == last.file_digest


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _place_and_record(
    store: OpenStore, new: Sequence[tuple[Deployed, Path]], answer: Answer, writing: Writing
) -> dict[str, Deployed]:
    """Put files in place, all of them or none, and say so in the store and HISTORY.

    The unit of work is open before the first file appears: a store that cannot
    be written refuses the deployment while nothing has changed.
    """
    local_time = writing.local_time(answer.resolution.zone)
    records = [_history_record(store, one, answer, writing, local_time) for one, _ in new]
    placed: list[Deployed] = []
    if not new:
        return {}
    with store.database.writing() as connection:
        at = recording_time(connection, writing.now)
        try:
            for one, path in new:
                kept = put_in_place(path, one.path, local_time)
                placed.append(replace(one, kept=kept))
                deployment = _deployment(one, answer, writing, at)
                add_deployment(connection, deployment, answer.resolution)
            for one, record in zip(placed, records, strict=True):
                append_history(one.path.parent, record)
        except BaseException:
            for one in reversed(placed):
                take_back(one.path, one.kept)
            raise
    return {one.kind: one for one in placed}


def _history_record(
    store: OpenStore, one: Deployed, answer: Answer, writing: Writing, local_time: str
) -> str:
    return history_record(
        one.path,
        str(store.directory.absolute()),
        one.kind,
        writing.environment,
        local_time,
        f"panelcal-token={answer.resolution.token}",
    )


def _deployment(one: Deployed, answer: Answer, writing: Writing, at: datetime) -> Deployment:
    return Deployment(
        dataset=answer.run.dataset,
        source=answer.run.source,
        kind=one.kind,
        path=str(one.path),
        file_digest=one.file_digest,
        number_format=one.number_format,
        token=answer.resolution.token,
        deployed_at=at,
        deployed_by=writing.environment.user,
    )


def _require_served(results: list[Deployed], run: int) -> None:
    """Look at what is deployed as the legacy finder will, byte by byte."""
    for result in results:
        found = find_file(result.path.parent, run)
        if found != result.path or _digest(found) != result.file_digest:
            msg = f"run {run} is served by {found}, not by what was written to {result.path}"
            raise IntegrityError(msg, "another process writes there; deploy again")
