"""Fsck: look at a whole store, also at one that cannot be opened, and change nothing."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from panelcal.config import FILE_NAME as SETTINGS_NAME
from panelcal.domain.findings import Code, Finding, FsckReport, in_order
from panelcal.domain.report import Progress
from panelcal.errors import InvalidInputError, NotFoundError, PanelcalError
from panelcal.services.fsck_database import (
    BACKUP,
    NamedPayload,
    database_findings,
    named_payloads,
)
from panelcal.services.fsck_payloads import payload_findings, staging_findings, tree_findings
from panelcal.storage.database import Database
from panelcal.storage.payload_tree import read_tree
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import (
    DATABASE_NAME,
    PAYLOADS_NAME,
    OpenStore,
    is_bundle,
    open_database,
    open_store,
)
from panelcal.temporary import PREFIX, named_as_temporary


def fsck(
    directory: Path,
    *,
    now: datetime,
    verify_data: bool = False,
    progress: Progress | None = None,
) -> FsckReport:
    """Find everything that is not as it should be in a store or a bundle.

    Parameters
    ----------
    directory : Path
        Where it is; need not be in a state in which it could be opened.
    now : datetime
        The time, aware: nothing was recorded after it.
    verify_data : bool
        Read every payload and compute its digest.
    progress : callable or None
        Told after each payload.

    Raises
    ------
    NotFoundError
        There is no such directory, or nothing of a store in it.
    PanelcalError
        It is a bundle that cannot be opened.
    """
    if is_bundle(directory):
        with open_store(directory) as bundle:
            return fsck_open(bundle, now=now, verify_data=verify_data, progress=progress)
    _require_something(directory)
    findings: list[Finding] = []
    named: dict[str, NamedPayload] | None = None
    payloads = PayloadStore(directory / PAYLOADS_NAME)
    # Before the rows: a payload that appears meanwhile is not taken for an orphan.
    tree = read_tree(payloads.root)
    with ExitStack() as stack:
        try:
            database = stack.enter_context(open_database(directory))
        except PanelcalError as error:
            findings.append(_without_database(directory, error))
        else:
            findings += database_findings(database, directory, now)
            named = _named(database)
    findings += tree_findings(tree, named)
    findings += staging_findings(staging_directories(directory))
    # Without rows whatever is there is judged by its name.
    looked_at = dict.fromkeys(tree.digests, NamedPayload()) if named is None else named
    findings += payload_findings(payloads, looked_at, verify_data=verify_data, progress=progress)
    return FsckReport(str(directory), in_order(findings), verify_data, len(looked_at))


def fsck_open(
    store: OpenStore,
    *,
    now: datetime,
    verify_data: bool = False,
    progress: Progress | None = None,
) -> FsckReport:
    """Find what is wrong with the rows, and the payloads that they name, of an open store.

    It says nothing of what else lies beside the payloads; so it can look at a
    bundle, which has no place for anything else.

    Parameters
    ----------
    now, verify_data, progress : datetime, bool, callable or None
        As `fsck`.
    """
    findings = list(database_findings(store.database, store.directory, now))
    named = _named(store.database) or {}
    findings += payload_findings(store.payloads, named, verify_data=verify_data, progress=progress)
    return FsckReport(str(store.directory), in_order(findings), verify_data, len(named))


def staging_directories(directory: Path) -> list[Path]:
    """Return the directories in and beside a store in which stores were being made."""
    found: list[Path] = []
    for parent in (directory, directory.resolve().parent):
        try:
            found += named_as_temporary(parent, PREFIX)
        except PermissionError:
            # Who may not look there made none there.
            continue
    return sorted(path for path in found if path.is_dir() and not path.is_symlink())


def _require_something(directory: Path) -> None:
    if not directory.is_dir():
        msg = f"there is no store in {directory}"
        raise NotFoundError(msg, f"panelcal init {directory}")
    names = set(_names(directory))
    if not names & {PAYLOADS_NAME, SETTINGS_NAME, DATABASE_NAME}:
        msg = f"there is no store in {directory}"
        raise NotFoundError(msg, f"panelcal init {directory}")


def _names(directory: Path) -> Iterator[str]:
    return (path.name for path in directory.iterdir())


def _without_database(directory: Path, error: PanelcalError) -> Finding:
    code = Code.DATABASE_UNREACHABLE
    if isinstance(error, NotFoundError):
        code = Code.DATABASE_MISSING
    elif isinstance(error, InvalidInputError):
        code = Code.SETTINGS_UNREADABLE
    return Finding(code, str(directory), error.message, error.hint or BACKUP)


def _named(database: Database) -> dict[str, NamedPayload] | None:
    """Return what rows name; None where no rows can be read, of which a finding told."""
    try:
        return named_payloads(database.reader)
    except PanelcalError:
        return None
