"""Export: the constants of a run as local files, or deployed into a calib directory."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from panelcal import __version__
from panelcal.domain.kinds import Kind
from panelcal.domain.moments import stamp_of, typed_form
from panelcal.domain.report import Progress
from panelcal.domain.resolution import Resolution
from panelcal.domain.runs import Run, parse_dataset
from panelcal.domain.text import excerpt
from panelcal.domain.validity import Policy
from panelcal.errors import InvalidInputError
from panelcal.exporters import file_names
from panelcal.exporters.calib_dir import require_directory_possible
from panelcal.exporters.calib_files import staging
from panelcal.exporters.npz_file import write_npz
from panelcal.exporters.permissions import LEGACY, Permissions, copy_permissions
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.exporters.provenance import PanelProvenance, Provenance, provenance_comments
from panelcal.exporters.text_array import (
    Environment,
    copy_rows,
    header_lines,
    require_copied,
    require_reads_back,
    write_text_array,
)
from panelcal.named_errors import naming
from panelcal.services.assemble import assemble, type_of
from panelcal.services.resolve import resolve_run
from panelcal.services.runs import find_run
from panelcal.services.sealed import SealedRows
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np

Precision = Literal["legacy", "full"]

_FORMATS = ("txt", "npz")


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
    permissions : Permissions
        Of new files and directories in places that many people share.
    """

    precision: Precision
    environment: Environment
    now: datetime
    permissions: Permissions = LEGACY

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
    """Find a run and resolve it, as the rows were recorded.

    Raises
    ------
    IntegrityError
        A row that the answer comes from is not as it was recorded.
    NotFoundError, InvalidInputError, NoValidConstantsError
        As `panelcal.services.resolve.resolve`.
    """
    with store.database.reading() as connection:
        run = find_run(connection, parse_dataset(dataset), source, as_of)
        resolution = resolve_run(connection, store.zone, run, at, policy, as_of)
        SealedRows(connection).require(resolution)
    return Answer(run, resolution)


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """What was exported to local files.

    Parameters
    ----------
    paths : tuple of Path
        The files, by kind.
    texts : dict of str to Path
        The text file of each kind, if there are any.
    notice : str or None
        Said where the usual name is too long and the newer form was used.
    """

    paths: tuple[Path, ...]
    texts: dict[str, Path]
    notice: str | None


def export_files(
    store: OpenStore,
    answer: Answer,
    directory: Path,
    *,
    formats: Sequence[str],
    writing: Writing,
    permissions: Permissions | None = None,
    progress: Progress | None = None,
) -> LocalFiles:
    """Write the constants of a run to local files, one a kind and format.

    Every file is written under a temporary name and read back before any of
    them appears.

    Parameters
    ----------
    directory : Path
        Where; it is made if missing.
    formats : sequence of str
        ``txt``, ``npz``.
    permissions : Permissions or None
        Of new files; None leaves them to the umask. A file that replaces another
        gets those of that one.

    Raises
    ------
    InvalidInputError
        Something that is no directory is in its place, or it may not be written;
        or the name of the files needs a time that is not known.
    IntegrityError
        A payload is damaged, or a file reads back differently.
    """
    detector_type = type_of(store, answer.resolution)
    endings = [f"{kind.name}.{end}" for kind in detector_type.kinds for end in formats]
    prefix, notice = _prefix(answer, endings)
    _require_writable(directory)
    paths: list[Path] = []
    texts: dict[str, Path] = {}
    with staging(directory) as staged:
        for done, kind in enumerate(detector_type.kinds, start=1):
            name = f"{prefix}_{kind.name}"
            written = {form: directory / f"{name}.{form}" for form in _FORMATS if form in formats}
            _write_kind(store, answer, kind, staged, written, writing)
            paths.extend(written.values())
            if "txt" in written:
                texts[kind.name] = written["txt"]
            if progress is not None:
                progress(done, len(detector_type.kinds), kind.name)
        directory.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.is_dir():
                msg = f"{path} is a directory"
                raise InvalidInputError(msg, "remove or rename it")
        for path in paths:
            if path.exists():
                copy_permissions(path, staged / path.name)
            elif permissions is not None:
                permissions.apply_to_file(staged / path.name)
            (staged / path.name).replace(path)
    return LocalFiles(tuple(paths), texts, notice)


def _write_kind(
    store: OpenStore,
    answer: Answer,
    kind: Kind,
    staged: Path,
    finals: Mapping[str, Path],
    writing: Writing,
) -> None:
    """Write one kind in each format; its array is gone before another is assembled."""
    array = assemble(store.payloads, answer.resolution, kind.name)
    for form, final in finals.items():
        path = staged / final.name
        if form == "txt":
            write_text(path, final, array, kind, answer, writing)
        else:
            write_npz(path, kind.name, array, answer.resolution.token)


def _require_writable(directory: Path) -> None:
    """Refuse a directory that files cannot be put into, before they are made."""
    require_directory_possible(directory)
    existing = next(place for place in (directory, *directory.absolute().parents) if place.is_dir())
    if not os.access(existing, os.W_OK | os.X_OK):
        msg = f"files cannot be written into {existing.absolute()}: permission denied"
        raise InvalidInputError(msg, "go to, or name, a directory of your own")


def _prefix(answer: Answer, endings: Sequence[str]) -> tuple[str, str | None]:
    run, resolution = answer.run, answer.resolution
    usual = file_names.local_prefix(run.dataset, run.source, resolution.detector)
    if file_names.fits(usual, endings):
        return usual, None
    begin = run.begin or resolution.at
    if begin is None:
        msg = (
            f"{run.dataset} has no begin, and {excerpt(str(resolution.asked))} is no time of the "
            f"calendar: the name of the files needs one"
        )
        raise InvalidInputError(msg, "ask for a time of 14 digits, YYYYMMDDHHMMSS")
    return (
        file_names.short_prefix(run.dataset, run.source, stamp_of(begin, resolution.zone)),
        (
            f"file names with the detector id would exceed {file_names.NAME_MAX_BYTES} bytes: "
            f"the newer form <source>-<time>-<experiment>-r<run>_<kind> is used"
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
    header = _header(final, array.shape, kind, answer, writing)
    number_format = writing.number_format(kind)
    with naming(final), path.open("xb") as stream:
        digest = write_text_array(stream, array, number_format, header)
        _sync(stream)
    require_reads_back(path, array, number_format)
    return digest


def copy_text(
    path: Path,
    final: Path,
    source: Path,
    shape: tuple[int, ...],
    kind: Kind,
    answer: Answer,
    writing: Writing,
) -> str:
    """Write what `write_text` would, for an answer whose values a file has already.

    It costs a copy and a hash: nothing is formatted, and nothing but bytes compared.

    Parameters
    ----------
    path, final : Path
        As `write_text`.
    source : Path
        What `write_text` wrote of the same values in the same number format.
    shape : tuple of int
        Of the array, which the header of the source has to state as well.

    Returns
    -------
    str
        The digest of the file.

    Raises
    ------
    InvalidInputError
        The source cannot be read, or is of another type or shape.
    IntegrityError
        The file reads back differently.
    """
    header = _header(final, shape, kind, answer, writing)
    try:
        rows = source.open("rb")
    except OSError as error:
        msg = f"cannot read {source}: {error}"
        raise InvalidInputError(msg) from error
    with rows:
        with naming(final), path.open("xb") as stream:
            digest = copy_rows(rows, stream, header)
            _sync(stream)
        require_copied(path, rows, header)
    return digest


def _header(
    final: Path, shape: tuple[int, ...], kind: Kind, answer: Answer, writing: Writing
) -> list[str]:
    return header_lines(
        shape,
        provenance_comments(provenance_of(answer.resolution, kind)),
        writing.environment,
        str(final),
        writing.local_time(answer.resolution.zone),
    )


def _sync(stream: IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def provenance_of(resolution: Resolution, kind: Kind) -> Provenance:
    """Return what files say about where the values of an answer come from."""
    return Provenance(
        version=__version__,
        token=resolution.token,
        detector=resolution.detector,
        asked=str(resolution.asked),
        policy=resolution.policy,
        panels=tuple(
            PanelProvenance(
                panel=panel.panel,
                module=panel.module,
                revision=panel.revision,
                valid_from=None
                if panel.valid_from is None
                else typed_form(panel.valid_from, resolution.zone),
                digest=panel.digests[kind.name],
            )
            for panel in resolution.panels
        ),
    )
