"""Upload: the constants of a run for a DCS file, as commands or written into it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from panelcal.domain.ids import parse_detector_id
from panelcal.domain.moments import to_microseconds
from panelcal.domain.resolution import Resolution
from panelcal.errors import InvalidInputError
from panelcal.exporters.dcs_constants import DcsConstants, dcs_file_name, require_own_name
from panelcal.exporters.dcs_open import require_h5py
from panelcal.exporters.dcs_writing import AddedVersion, add_constants
from panelcal.exporters.provenance import to_attributes
from panelcal.services.assemble import assemble, type_of
from panelcal.services.export import Answer, Writing, provenance_of
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where in the DCS files the constants of an answer belong.

    Parameters
    ----------
    path : Path
        ``.../jungfrau-<detector id>.h5``.
    begin : int
        From when on they hold, seconds since 1970 UTC; 0 is the beginning.
    notice : str or None
        Said where psana will not find the file under its name.
    """

    path: Path
    begin: int
    notice: str | None = None


def psana_directory(store: OpenStore, answer: Answer, data_root: Path) -> Path:
    """Return the directory of DCS files in which psana looks for an answer's (spec §9).

    Parameters
    ----------
    answer : Answer
        Its detector type names the directory.
    data_root : Path
        Of the facility.
    """
    return data_root / "detector" / "calib" / _device(store, answer)


def target_in(store: OpenStore, answer: Answer, directory: Path) -> UploadTarget:
    """Return where an answer belongs in a directory of DCS files; nothing is written.

    Raises
    ------
    InvalidInputError
        The run declares its modules, its detector id is one of LCLS2, or the
        name of the file would be too long (spec §1).
    """
    resolution = answer.resolution
    _require_dcs_detector(answer)
    name = dcs_file_name(_device(store, answer), resolution.detector)
    return UploadTarget(directory / name, _begin(resolution))


def target_named(store: OpenStore, answer: Answer, path: Path) -> UploadTarget:
    """Return the DCS file that was named, or that of the directory that was named.

    Raises
    ------
    InvalidInputError
        As `target_in`; or the file is named as that of another detector; or
        h5py, which writes such files, is missing.
    """
    require_h5py()
    if path.is_dir():
        return target_in(store, answer, path)
    _require_dcs_detector(answer)
    notice = require_own_name(path, _device(store, answer), answer.resolution.detector)
    return UploadTarget(path, _begin(answer.resolution), notice)


def _require_dcs_detector(answer: Answer) -> None:
    resolution = answer.resolution
    if any(panel.panel is None for panel in resolution.panels):
        msg = (
            f"{answer.run.dataset} {answer.run.source} has no detector id, only declared "
            f"modules: DCS files are named by detector id"
        )
        raise InvalidInputError(msg, "deploy into a calib directory instead")
    if parse_detector_id(resolution.detector).prefix:
        msg = f"{resolution.detector} is a detector id of LCLS2: DCS files are those of LCLS1"
        raise InvalidInputError(msg, "export local files instead")


def _begin(resolution: Resolution) -> int:
    return begin_seconds(panel.valid_from for panel in resolution.panels)


def begin_seconds(starts: Iterable[datetime | None]) -> int:
    """Return where the range of an answer begins, in seconds since 1970 UTC.

    It is the latest start among its panels; 0, before which there are no data,
    where every panel's is the beginning (design §5) or before 1970.

    Parameters
    ----------
    starts : iterable of datetime or None
        Start of each panel's validity, UTC; None is *the beginning*.
    """
    return max(0, max(map(to_microseconds, starts)) // 1_000_000)


def upload(
    store: OpenStore, answer: Answer, target: UploadTarget, writing: Writing
) -> list[AddedVersion]:
    """Add the constants of a run to a DCS file, which is made if it is missing.

    The values are those delivered, bit by bit.

    Returns
    -------
    list of AddedVersion
        One a kind.

    Raises
    ------
    InvalidInputError
        The file is no HDF5 file, or may not be written.
    ConflictError
        The file is another detector's, or readers would not pick what is added.
    IntegrityError
        A payload or the file is damaged.
    """
    resolution = answer.resolution
    additions = [
        DcsConstants(
            ctype=kind.name,
            begin=target.begin,
            array=assemble(store.payloads, resolution, kind.name),
            experiment=answer.run.dataset.experiment,
            run=str(answer.run.dataset.run),
            comment=f"panelcal token {resolution.token}",
            provenance=to_attributes(provenance_of(resolution, kind)),
        )
        for kind in type_of(store, resolution).kinds
    ]
    return add_constants(
        target.path,
        resolution.detector,
        additions,
        device=_device(store, answer),
        now=writing.now,
        permissions=writing.permissions,
    )


def _device(store: OpenStore, answer: Answer) -> str:
    """Return what names of DCS files of the answer's detector type begin with."""
    return type_of(store, answer.resolution).device.lower()
