"""Make a bundle: part of a store's record with its payloads, in one file or directory."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from panelcal import __version__
from panelcal.domain.moments import iso_utc
from panelcal.domain.report import Progress
from panelcal.services.bundle_selection import select_rows
from panelcal.services.bundle_verify import verify_bundle
from panelcal.storage import migrate
from panelcal.storage.bundle_manifest import Holds, Manifest, Selection
from panelcal.storage.bundle_writing import BundleWriter, appearing, writer_for
from panelcal.storage.copying import copy_rows
from panelcal.storage.database import SCHEMA_REVISION, Database
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import DATABASE_NAME, OpenStore
from panelcal.temporary import PREFIX, temporary_directory

FSCK = "nothing was put in place; panelcal fsck --verify-data says what of the store is damaged"


def create_bundle(
    store: OpenStore,
    target: Path,
    *,
    tag: str | None = None,
    detectors: Sequence[str] = (),
    now: datetime,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Manifest:
    """Make a bundle: a zip file where the name ends in ``.zip``, a directory otherwise.

    It is written under a temporary name, read back and verified as a whole, and
    then put in place. The same rows and payloads give the same bytes but for the
    time it was made.

    Parameters
    ----------
    target : Path
        Where it is to be.
    tag, detectors : str or None, sequence of str
        What goes into it: see `panelcal.services.bundle_selection.select_rows`.
    now : datetime
        The time, aware.
    overwrite : bool
        Replace a bundle that is there.

    Raises
    ------
    ConflictError
        Something is there already.
    InvalidInputError, NotFoundError
        The tag or a detector is malformed or unknown.
    IntegrityError
        A payload is missing or damaged, or what was written reads back differently.
    """
    with appearing(target, overwrite=overwrite) as making:
        with temporary_directory(target.parent, PREFIX) as scratch:
            path = scratch / DATABASE_NAME
            with store.database.reading() as source:
                chosen = select_rows(source, tag, detectors)
                migrate.create_database(path)
                with Database(path) as copy, copy.writing() as rows:
                    copy_rows(source, rows, chosen.keeps)
            with writer_for(making) as writer:
                writer.add(DATABASE_NAME, path)
                add_payloads(writer, store.payloads, chosen.digests, progress)
                manifest = manifest_of(writer, "selection", now, chosen.selection)
                writer.finish(manifest)
        verified = verify_bundle(making, now=now, progress=progress)
        verified.raise_if_damaged(f"what was copied for {target}", FSCK)
    return manifest


def add_payloads(
    writer: BundleWriter,
    payloads: PayloadStore,
    digests: Iterable[str],
    progress: Progress | None,
) -> None:
    """Add payloads in the order of their digests.

    Raises
    ------
    IntegrityError
        One is missing, or its description is damaged.
    """
    wanted = sorted(digests)
    for done, digest in enumerate(wanted, 1):
        writer.add_payload(payloads, digest)
        if progress is not None:
            progress(done, len(wanted), "copying")


def manifest_of(
    writer: BundleWriter,
    holds: Holds,
    now: datetime,
    selection: Selection | None = None,
    database: str = DATABASE_NAME,
) -> Manifest:
    """Return what ``bundle.json`` is to say of what was written."""
    return Manifest(
        holds=holds,
        made_at=iso_utc(now),
        made_by=f"panelcal {__version__}",
        schema=SCHEMA_REVISION,
        selection=selection or Selection(),
        database=database,
        members=tuple(sorted(writer.members, key=lambda member: member.name)),
    )
