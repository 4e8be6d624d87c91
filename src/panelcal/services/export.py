"""Export: the constants of a run as local files, or deployed into a calib directory."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from panelcal import __version__
from panelcal.domain.kinds import Kind
from panelcal.domain.moments import stamp_of, start_in_words
from panelcal.domain.report import Progress
from panelcal.domain.resolution import Resolution
from panelcal.domain.runs import Run, parse_dataset
from panelcal.domain.text import excerpt
from panelcal.domain.validity import Policy
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters import calib_dir, file_names
from panelcal.exporters.text_array import (
    FULL_PRECISION,
    Environment,
    header_lines,
    require_reads_back,
    write_text_array,
)
from panelcal.services.assemble import assemble, kinds_of
from panelcal.services.resolve import resolve_run
from panelcal.services.runs import find_run
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np

Precision = Literal["legacy", "full"]


@dataclass(frozen=True, slots=True)
class Answer:
    """A run and what it resolves to.

    Parameters
    ----------
    run : Run
        The registered source.
    resolution : Resolution
        Which constants.
    """

    run: Run
    resolution: Resolution


@dataclass(frozen=True, slots=True)
class Writing:
    """How files are written.

    Parameters
    ----------
    precision : {'legacy', 'full'}
        ``%.4f`` and ``%.1f`` as today, or ``%.9g`` which loses no bit.
    environment : Environment
        Where and by whom.
    now : datetime
        The time, aware.
    """

    precision: Precision
    environment: Environment
    now: datetime

    def number_format(self, kind: Kind) -> str:
        """Return the printf format of a kind."""
        return FULL_PRECISION if self.precision == "full" else kind.text_format

    def local_time(self, zone: ZoneInfo) -> str:
        """Return the facility's wall-clock time as legacy records show it."""
        return self.now.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")


def answer_for(
    store: OpenStore,
    dataset: str,
    source: str | None,
    *,
    at: str | datetime | None = None,
    policy: Policy = "strict",
    as_of: datetime | None = None,
) -> Answer:
    """Find a run and resolve it.

    Raises
    ------
    NotFoundError, InvalidInputError, NoValidConstantsError
        As `panelcal.services.resolve.resolve`.
    """
    with store.database.reading() as connection:
        run = find_run(connection, parse_dataset(dataset), source, as_of)
        resolution = resolve_run(connection, store.zone, run, at, policy, as_of)
    return Answer(run, resolution)


def export_files(
    store: OpenStore,
    answer: Answer,
    directory: Path,
    *,
    formats: Sequence[str],
    writing: Writing,
    progress: Progress | None = None,
) -> tuple[list[Path], str | None]:
    """Write the constants of a run to local files, one a kind and format.

    Every file is written under a temporary name and read back before any of
    them appears.

    Parameters
    ----------
    directory : Path
        Where; it is made if missing.
    formats : sequence of str
        ``txt``, ``npz``.

    Returns
    -------
    paths : list of Path
        The files.
    notice : str or None
        Said where the usual name is too long and the newer form was used.

    Raises
    ------
    InvalidInputError
        Something that is no directory is in its place.
    IntegrityError
        A payload is damaged, or a file reads back differently.
    """
    detector_type = kinds_of(store)
    endings = [f"{kind.name}.{end}" for kind in detector_type.kinds for end in formats]
    prefix, notice = _prefix(answer, endings)
    calib_dir.require_directory_possible(directory)
    paths: list[Path] = []
    with calib_dir.staging(directory) as staged:
        for done, kind in enumerate(detector_type.kinds, start=1):
            array = assemble(store.payloads, answer.resolution, kind.name)
            name = f"{prefix}_{kind.name}"
            if "txt" in formats:
                paths.append(directory / f"{name}.txt")
                write_text(staged / f"{name}.txt", paths[-1], array, kind, answer, writing)
            if "npz" in formats:
                paths.append(directory / f"{name}.npz")
                _write_npz(staged / f"{name}.npz", array, kind, answer.resolution.token)
            if progress is not None:
                progress(done, len(detector_type.kinds), kind.name)
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.is_dir():
                msg = f"{path} is a directory"
                raise InvalidInputError(msg, "remove or rename it")
        for path in paths:
            (staged / path.name).replace(path)
    return paths, notice


def _prefix(answer: Answer, endings: Sequence[str]) -> tuple[str, str | None]:
    run, resolution = answer.run, answer.resolution
    usual = file_names.local_prefix(run.dataset, run.source, resolution.detector)
    if file_names.fits(usual, endings):
        return usual, None
    begin = run.begin or resolution.at
    if begin is None:
        msg = f"{run.dataset} has no begin, and {excerpt(str(resolution.asked))} is no time"
        raise InvalidInputError(msg, "say when with --at: the name of the files needs it")
    return (
        file_names.short_prefix(run.dataset, run.source, stamp_of(begin, resolution.zone)),
        (
            f"the name with the detector id exceeds {file_names.NAME_MAX_BYTES} bytes; "
            f"the newer form without it is used"
        ),
    )


def write_text(
    path: Path,
    final: Path,
    array: "np.ndarray[Any, np.dtype[np.float32]]",
    kind: Kind,
    answer: Answer,
    writing: Writing,
) -> str:
    """Write a legacy text array, read it back, and return the digest of the file.

    Parameters
    ----------
    path, final : Path
        Where it is written, and the name it will have, which its header says.
    array : ndarray of float32
        (gain range, panel, row, column), in the kind's unit.

    Raises
    ------
    InvalidInputError
        NaN or infinite values.
    IntegrityError
        The file reads back differently.
    """
    header = header_lines(
        array.shape,
        _comments(answer.resolution, kind),
        writing.environment,
        str(final),
        writing.local_time(answer.resolution.zone),
    )
    number_format = writing.number_format(kind)
    with path.open("xb") as stream:
        digest = write_text_array(stream, array, number_format, header)
        stream.flush()
        os.fsync(stream.fileno())
    require_reads_back(path, array, number_format)
    return digest


def _comments(resolution: Resolution, kind: Kind) -> list[str]:
    """Say in the file where its values come from."""
    return [
        f"panelcal {__version__} token {resolution.token}",
        f"detector {resolution.detector} at {resolution.asked} policy {resolution.policy}",
        *(
            f"panel {panel.index} {panel.panel or '-'} {panel.module}@{panel.revision} "
            f"from {start_in_words(panel.valid_from, resolution.zone)} "
            f"payload {panel.digests[kind.name]}"
            for panel in resolution.panels
        ),
    ]


def _write_npz(
    path: Path,
    array: "np.ndarray[Any, np.dtype[np.float32]]",
    kind: Kind,
    token: str,
) -> None:
    import numpy as np

    np.savez(path, allow_pickle=False, **{kind.name: array, "token": np.array(token)})
    with np.load(path, allow_pickle=False) as found:
        if found[kind.name].tobytes() != array.tobytes():
            msg = f"what was written to {path} reads back differently"
            raise IntegrityError(msg)
