"""Deployed files: putting them on record, also those that a killed process has put in place."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.errors import InvalidInputError
from panelcal.exporters.calib_files import require_open
from panelcal.exporters.history_file import (
    ANSWER_COMMENT,
    Appended,
    append_history,
    history_record,
    read_history,
)
from panelcal.exporters.text_array import read_text_array
from panelcal.exporters.text_header import read_header
from panelcal.services.export import Answer, Writing
from panelcal.storage.deployments import Deployment, add_deployment
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np


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


def tell_history(
    store: OpenStore, one: Deployed, answer: Answer, writing: Writing, local_time: str
) -> Appended:
    """Append the record of a deployed file to the HISTORY beside it.

    Parameters
    ----------
    local_time : str
        The time that the file itself tells.
    """
    record = history_record(
        one.path,
        str(store.directory.absolute()),
        one.kind,
        writing.environment,
        local_time,
        f"{ANSWER_COMMENT}={answer.resolution.token}",
    )
    return append_history(one.path.parent, record, writing.permissions)


def deployment_of(one: Deployed, answer: Answer, writing: Writing, at: datetime) -> Deployment:
    """Return the record of a file that was put in place, as of a transaction time."""
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


def was_left_behind(path: Path, answer: Answer) -> bool:
    """Say whether a file that is not on record says that it was made for an answer, in its place.

    What it holds is not compared.
    """
    header = read_header(path)
    return (
        header is not None
        and header.file_name == str(path)
        and header.provenance.token == answer.resolution.token
    )


def put_on_record(store: OpenStore, one: Deployed, answer: Answer, writing: Writing) -> None:
    """Record a file that a killed process left, in HISTORY too unless it is told there.

    Raises
    ------
    InvalidInputError
        Its directory, or HISTORY, cannot be written to.
    """
    require_open(one.path.parent)
    header = read_header(one.path)
    told = "" if header is None else header.date_time
    with ExitStack() as undoing:
        with store.database.writing() as connection:
            at = recording_time(connection, writing.now)
            add_deployment(connection, deployment_of(one, answer, writing, at), answer.resolution)
            last = read_history(one.path.parent).get(one.path.name)
            if last is None or (last.token, last.time) != (answer.resolution.token, told):
                undoing.callback(tell_history(store, one, answer, writing, told).take_back)
        # Committed: what was told stays.
        undoing.pop_all()


def values_in(path: Path) -> "np.ndarray[Any, np.dtype[np.float32]] | None":
    """Return the values of a calib file as psana gets them, None if they are no constants.

    The reader casts to float32, whatever the header says (spec §8).
    """
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore"):
        try:
            read = read_text_array(path)
        except InvalidInputError:
            return None
        if read.dtype.kind not in "fiu":
            return None
        values = read.astype(np.float32)
    return values if np.isfinite(values).all() else None
