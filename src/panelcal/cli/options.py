"""Options and arguments that several commands share, and what they stand for."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from panelcal.cli.output import say
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.validity import Assignment
    from panelcal.exporters.text_array import Environment
    from panelcal.storage.store import OpenStore

STORE_HELP = "The store to work on."

_NAME_BYTES, _PATH_BYTES = 255, 4095


def parse_path(text: str) -> Path:
    """Read a path; an empty one, from a variable that is not set, is not "here".

    Paths are printed, recorded and pasted into shells: each is one line of text.

    Raises
    ------
    InvalidInputError
        It is empty, longer than any file system takes, or holds control or
        text-direction characters, or bytes that are no UTF-8.
    """
    from panelcal.domain.text import excerpt, plain

    if not text:
        msg = "a path is empty"
        raise InvalidInputError(msg, "type . for the current directory")
    path = Path(plain(text, "path"))
    longest = max(len(os.fsencode(part)) for part in (*path.parts, "."))
    if len(os.fsencode(text)) > _PATH_BYTES or longest > _NAME_BYTES:
        msg = f"the path {excerpt(text)} is longer than file systems take"
        raise InvalidInputError(msg, f"{_NAME_BYTES} bytes a name, {_PATH_BYTES} together")
    return path


StoreDir = Annotated[
    # PANELCAL_STORE is read at the program's own --store alone: read here too,
    # it would win over what was typed before the command.
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        help=f"{STORE_HELP}  [env var: PANELCAL_STORE]",
        parser=parse_path,
    ),
]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        metavar="URL",
        help="An empty PostgreSQL database for the rows, postgresql://USER@HOST/NAME.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
Target = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR|DATASET",
        help="Panel ids joined by '_', an LCLS2 id, or exp=EXPERIMENT:run=NUMBER.",
    ),
]
Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="exp=EXPERIMENT:run=NUMBER.")]
PanelArgument = Annotated[
    str,
    typer.Argument(
        metavar="PANEL",
        help="moduleVersion-firmware-serial, or <type>_<segment>, as jungfrau_8-0-3d00fb. "
        "Type -- before one that begins with a dash.",
    ),
]
DetectorArgument = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR|PANEL",
        help="Panel ids joined by '_', one of them, or an LCLS2 id. Type -- before one that "
        "begins with a dash.",
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--source",
        metavar="SOURCE",
        help="Which detector of the run: all or part of its source name, as Jungfrau.0.",
    ),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="T",
        help="Time: 14 digits YYYYMMDDHHMMSS of the store's time zone, or ISO 8601 "
        "with an offset. Without it: the begin of the run, or now.",
    ),
]
Policy = Annotated[
    Literal["strict", "legacy"],
    typer.Option(
        "--policy",
        help="strict: no constants before the first assignment. legacy: the answer "
        "of the legacy selector.",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="A", help="What the ledger said at this transaction time."),
]
TagOption = Annotated[
    str | None,
    typer.Option("--tag", metavar="NAME", help="What the ledger said when the tag was made."),
]
CalibRoot = Annotated[
    Path,
    typer.Option(
        "--calib-root",
        metavar="ROOT",
        help="Of ROOT/<INSTRUMENT>/<experiment>/calib.",
        parser=parse_path,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option("--experiment", metavar="E", help="Only this experiment, as xcsls3716."),
]
Precision = Annotated[
    Literal["legacy", "full"],
    typer.Option(
        "--precision",
        help="legacy: %.4f and %.1f as today. full: %.9g, every bit of float32.",
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="R", help="Why; kept in the record.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Report, change nothing.")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out what is refused, take the rest.")
]
Supersede = Annotated[
    bool,
    typer.Option("--supersede", help="Record what differs from the store as a correction."),
]
Cast = Annotated[
    bool, typer.Option("--cast", help="Round values to float32 where that loses bits.")
]


DetectorType = Annotated[
    str | None,
    typer.Option(
        "--detector-type",
        metavar="NAME",
        help="Type of modules that are new; else the store's only one, or jungfrau.",
    ),
]


def open_named(ctx: typer.Context, named: Path | None) -> "OpenStore":
    """Open the store named at the command, before it, or in the environment."""
    from panelcal.storage.store import open_store

    return open_store(store_dir(ctx, named))


def as_of_moment(opened: "OpenStore", as_of: str | None, tag: str | None = None) -> datetime | None:
    """Return the transaction time that was asked about, and say how it was understood."""
    if as_of is None and tag is None:
        return None
    from panelcal.services.tags import transaction_time

    typed = transaction_time(opened, as_of, tag, now=now())
    if typed is None:
        return None
    if typed.notice:
        say(typed.notice)
    return typed.utc


def store_dir(ctx: typer.Context, named: Path | None) -> Path:
    """Return the directory of the store.

    Raises
    ------
    InvalidInputError
        None was named.
    """
    directory = named or ctx.find_root().obj
    if not isinstance(directory, Path):
        msg = "no store was named"
        raise InvalidInputError(msg, "--store DIR, or set PANELCAL_STORE")
    return directory


def now() -> datetime:
    """Return the time; services are given it."""
    return datetime.now(UTC)


def user() -> str:
    """Return who is asking, for the record."""
    from panelcal.who import current_user

    return current_user()


def data_root() -> Path:
    """Return the root of the facility's data, as psana finds it (spec §9)."""
    return parse_path(os.environ.get("SIT_PSDM_DATA") or "/reg/d/psdm")


def environment() -> "Environment":
    """Return where and by whom files are written."""
    import socket

    from panelcal.exporters.text_array import Environment

    return Environment(user(), socket.gethostname(), str(Path.cwd()))


def assignment_document(row: "Assignment", zone: "ZoneInfo") -> dict[str, Any]:
    """Return a row of the ledger as ``--json`` prints it."""
    from panelcal.domain.moments import iso_utc, stamp_of

    return {
        "panel": row.panel,
        "module": row.module,
        "revision": row.revision,
        "valid_from": None if row.valid_from is None else stamp_of(row.valid_from, zone),
        "recorded_at": iso_utc(row.recorded_at),
        "recorded_by": row.recorded_by,
        "reason": row.reason,
    }
