"""Import the runs of a CSV file."""

import csv
import io
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.report import ImportReport, Line, Status
from panelcal.domain.runs import Run
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.runs import (
    RunFields,
    begin_notice,
    difference,
    facts,
    parse_run,
)
from panelcal.storage import runs as stored
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore

COLUMNS = ("experiment", "run", "source", "begin", "detector_id", "modules")
OPTIONAL_COLUMNS = ("note",)
_MOST_BYTES = 2**26
"""Half a million runs, in a few times as much memory."""


def import_runs(
    store: OpenStore,
    path: Path,
    *,
    now: datetime,
    user: str,
    dry_run: bool = False,
    skip_bad: bool = False,
    supersede: bool = False,
) -> ImportReport:
    """Register the runs of a CSV file, all of them or none.

    Columns are ``experiment,run,source,begin,detector_id,modules`` and, if
    wanted, ``note``. Lines that are registered just so already are passed over.

    Parameters
    ----------
    dry_run : bool
        Only report.
    skip_bad : bool
        Leave out the lines that are refused and take the others.
    supersede : bool
        Record lines that differ from what is registered as corrections.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        The file cannot be read as CSV or lacks a column.
    """
    rows = _read_csv(path)
    unit = store.database.reading() if dry_run else store.database.writing()
    with unit as connection:
        at = recording_time(connection, now)
        lines, new = _plan(connection, rows, store.zone, at, user, supersede)
        report = ImportReport(tuple(lines), dry_run=dry_run, skip_bad=skip_bad)
        if report.is_to_be_written:
            for run in new:
                stored.add_run(connection, run)
    return report


def _plan(
    connection: Connection,
    rows: Sequence[tuple[str, RunFields]],
    zone: ZoneInfo,
    at: datetime,
    user: str,
    supersede: bool,
) -> tuple[list[Line], list[Run]]:
    lines: list[Line] = []
    new: list[Run] = []
    known = {(run.dataset, run.source): run for run in stored.runs(connection)}
    read = [(where, fields, _read_run(fields, zone, at, user)) for where, fields in rows]
    named = Counter((run.dataset, run.source) for _, _, run in read if isinstance(run, Run))
    for where, fields, run in read:
        if isinstance(run, InvalidInputError):
            lines.append(Line(where, Status.REFUSED, _name(fields), run.message))
            continue
        status, reason = _judge(known.get((run.dataset, run.source)), run, zone, supersede)
        notice = begin_notice(fields, zone)
        if named[run.dataset, run.source] > 1:
            status, reason = Status.REFUSED, "the same run and source twice in this file"
        elif notice:
            reason = "; ".join(filter(None, (reason, notice)))
        lines.append(Line(where, status, f"{run.dataset} {run.source}", reason))
        if status is Status.TAKEN:
            new.append(run)
    return lines, new


def _read_run(
    fields: RunFields, zone: ZoneInfo, at: datetime, user: str
) -> Run | InvalidInputError:
    try:
        return parse_run(fields, zone, at, user)
    except InvalidInputError as error:
        return error


def _judge(known: Run | None, run: Run, zone: ZoneInfo, supersede: bool) -> tuple[Status, str]:
    if known is None:
        return Status.TAKEN, run.note
    if facts(known) == facts(run):
        return Status.ALREADY, "registered just so"
    said = difference(known, run, zone)
    if supersede:
        return Status.TAKEN, f"corrects what is registered: {said}"
    return Status.CONFLICT, f"registered otherwise: {said}"


def _name(fields: RunFields) -> str:
    return excerpt(f"{fields.experiment}:{fields.run} {fields.source}")


def _read_csv(path: Path) -> list[tuple[str, RunFields]]:
    try:
        found = path.stat()
        # A pipe or a device would never come to an end.
        if not stat.S_ISREG(found.st_mode):
            msg = f"cannot read {path}: it is not a regular file"
            raise InvalidInputError(msg, "a CSV file in UTF-8")
        if found.st_size > _MOST_BYTES:
            msg = f"{path} has {found.st_size} bytes; {_MOST_BYTES} are read at once"
            raise InvalidInputError(msg, "split it into several files")
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        msg = f"there is no file {path}"
        raise NotFoundError(msg) from error
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {path}: {error}"
        raise InvalidInputError(msg, "a CSV file in UTF-8") from error
    try:
        return list(_csv_rows(path, content))
    except csv.Error as error:
        msg = f"cannot read {path} as CSV: {error}"
        raise InvalidInputError(msg, f"columns: {','.join(COLUMNS)}") from error


def _csv_rows(path: Path, content: str) -> Iterator[tuple[str, RunFields]]:
    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    header = [name.strip() for name in reader.fieldnames or ()]
    missing = [name for name in COLUMNS if name not in header]
    unknown = [name for name in header if name not in COLUMNS + OPTIONAL_COLUMNS]
    if missing or unknown or len(set(header)) < len(header):
        msg = f"{path}: the first line is {excerpt(','.join(header))}"
        raise InvalidInputError(msg, f"columns: {','.join(COLUMNS)}, and note if wanted")
    reader.fieldnames = header
    for row in reader:
        where = f"line {reader.line_num}"
        if None in row or None in row.values():
            msg = f"{path} {where}: not {len(header)} values"
            raise InvalidInputError(msg, f"columns: {','.join(header)}")
        if any(value.strip() for value in row.values()):
            yield where, RunFields(**row)
