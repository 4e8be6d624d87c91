"""Repair: fetch payloads that are missing or damaged from another store or a bundle."""

from datetime import datetime
from pathlib import Path

from panelcal.domain.findings import Code, FsckReport, Repaired
from panelcal.domain.report import Progress
from panelcal.errors import IntegrityError
from panelcal.services.fsck import fsck
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore, open_store

_REPAIRED = {Code.PAYLOAD_MISSING, Code.PAYLOAD_DAMAGED}


def repair(
    store: OpenStore, source: Path, *, now: datetime, progress: Progress | None = None
) -> FsckReport:
    """Put back payloads that are missing or damaged, and report what is left to be done.

    Every payload of the store is read to find the damaged ones. What is fetched is
    verified by its SHA-256, written under a temporary name and read back; a
    damaged payload is moved aside in the same unit of work. Rows are not touched.

    Parameters
    ----------
    source : Path
        Another store, or a bundle.
    now : datetime
        The time, aware.
    progress : callable or None
        Told after each payload.

    Returns
    -------
    FsckReport
        Of the store as it is now, with what was repaired.

    Raises
    ------
    PanelcalError
        The other store cannot be opened.
    """
    with open_store(source) as other:
        before = fsck(store.directory, now=now, verify_data=True, progress=progress)
        repaired = []
        for finding in before.findings:
            if finding.code in _REPAIRED:
                digest = finding.subject.removeprefix("payload ")
                found = _fetched(store, other.payloads, digest)
                repaired += [found] if found else []
    if not repaired:
        return before
    after = fsck(store.directory, now=now, verify_data=True, progress=progress)
    return FsckReport(
        after.store, after.findings, after.verified_data, after.payloads, tuple(repaired)
    )


def _fetched(store: OpenStore, source: PayloadStore, digest: str) -> Repaired | None:
    """Fetch one payload; None if the source does not have it, or has it damaged too."""
    try:
        array = source.audit(digest)
    except IntegrityError:
        return None
    with store.payloads.batch() as batch:
        batch.replace(array)
        with store.database.writing():
            batch.publish()
        aside = batch.moved_aside.get(digest)
    return Repaired(digest, None if aside is None else str(aside))
