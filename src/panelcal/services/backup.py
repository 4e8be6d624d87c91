"""Back up a store while others write to it; bring a backup up to date."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from panelcal.domain.report import Progress
from panelcal.domain.text import count_of, excerpt
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.named_errors import naming
from panelcal.services.bundle_create import FSCK, add_payloads, manifest_of
from panelcal.services.bundle_verify import verify_digests
from panelcal.storage.bundle import Bundle, read_bundle
from panelcal.storage.bundle_manifest import MANIFEST_NAME, Manifest, is_member_name, payload_of
from panelcal.storage.bundle_writing import (
    DirectoryWriter,
    appearing,
    only_update,
    sync_file,
    writer_for,
)
from panelcal.storage.copying import copy_as_sqlite, row_statements
from panelcal.storage.database import Database
from panelcal.storage.payload_files import sync_directory
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.reader import rows_of
from panelcal.storage.store import DATABASE_NAME, PAYLOADS_NAME, OpenStore, is_bundle, open_store
from panelcal.temporary import PREFIX, remove_tree, temporary_directory


def back_up(
    store: OpenStore, target: Path, *, now: datetime, progress: Progress | None = None
) -> Manifest:
    """Copy a store as of one moment, rows and payloads, while others write to it.

    The rows are copied first. Payloads are stored before the rows that name them,
    and are never removed while a row does: all that the copied rows name are there.

    Parameters
    ----------
    target : Path
        Where the backup is to be: a zip file where the name ends in ``.zip``, a
        directory otherwise.
    now : datetime
        The time, aware.

    Returns
    -------
    Manifest
        What the backup says of itself.

    Raises
    ------
    ConflictError
        Something is there already.
    IntegrityError
        A payload is missing or damaged, or what was written reads back differently.
    """
    with appearing(target) as making:
        with temporary_directory(target.parent, PREFIX) as scratch:
            path = scratch / DATABASE_NAME
            copy_as_sqlite(store.database, path)
            with writer_for(making) as writer:
                writer.add(DATABASE_NAME, path)
                add_payloads(writer, store.payloads, digests_in(path), progress)
                manifest = manifest_of(writer, "everything", now)
                writer.finish(manifest)
        verified = verify_digests(making, progress)
        verified.raise_if_damaged(f"what was copied for {target}", FSCK)
    return manifest


def digests_in(path: Path) -> set[str]:
    """Return the digests that the rows of a database file name."""
    with Database(path) as database:
        return {digest for (digest,) in rows_of(database.reader, "SELECT digest FROM payload")}


def update_backup(
    store: OpenStore, backup: Path, *, now: datetime, progress: Progress | None = None
) -> Manifest:
    """Bring a backup in a directory up to date, copying only payloads that it lacks.

    New payloads come first, then the database under a name of its own; the new
    ``bundle.json`` is put in place in one step. Until then the backup is the former one.

    Returns
    -------
    Manifest
        What the backup says of itself now.

    Raises
    ------
    NotFoundError
        There is no such backup.
    InvalidInputError
        It is a zip file, or a bundle that has only a part of a store.
    ConflictError
        It has rows that the store has not: it is the backup of another store. Or
        another process is updating it.
    IntegrityError
        The backup's list or database, or a payload of the store, is damaged.
    """
    if backup.is_dir():
        with only_update(backup):
            return _updated(store, require_backup(backup), now, progress)
    require_backup(backup)
    msg = f"{backup} is one file, which is not changed"
    raise InvalidInputError(msg, "back up to a new file, or to a directory")


def _updated(
    store: OpenStore, former: Bundle, now: datetime, progress: Progress | None
) -> Manifest:
    with temporary_directory(former.path, PREFIX) as scratch:
        path = scratch / DATABASE_NAME
        copy_as_sqlite(store.database, path)
        _require_continued(former, path, store)
        with DirectoryWriter(scratch / "new") as writer:
            writer.add(DATABASE_NAME, path)
            lacking = digests_in(path) - set(former.manifest.payloads)
            add_payloads(writer, store.payloads, lacking, progress)
            made = manifest_of(writer, "everything", now)
            writer.finish(made)
        verified = verify_digests(scratch / "new", progress)
        verified.raise_if_damaged(f"what was copied for {former.path}", FSCK)
        return _merge(former, made, scratch / "new")


def _require_continued(former: Bundle, path: Path, store: OpenStore) -> None:
    """Refuse to replace rows of a backup by a database that does not have them."""
    with open_store(former.path) as old, Database(path) as new:
        for table, statement in row_statements().items():
            lost = set(map(tuple, rows_of(old.database.reader, statement)))
            lost -= set(map(tuple, rows_of(new.reader, statement)))
            if lost:
                told = f"such as {excerpt(str(min(lost, key=str)))}"
                msg = (
                    f"{former.path} has {count_of(len(lost), 'row')} of {table} that "
                    f"{store.directory} has not, {told}; nothing was changed"
                )
                hint = (
                    "it is the backup of another store: name a new directory; or rows of "
                    "this one were changed or lost: panelcal fsck"
                )
                raise ConflictError(msg, hint)


def _merge(former: Bundle, made: Manifest, new: Path) -> Manifest:
    """Move what is new into a backup, and then let its list name it."""
    root = former.path
    [database] = [member for member in made.members if member.name == DATABASE_NAME]
    named = replace(database, name=f"panelcal-{database.sha256[:16]}.db")
    for digest in made.payloads:
        target = PayloadStore(root / PAYLOADS_NAME).path_of(digest)
        # Left by an update that was killed: no list names it.
        remove_tree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        PayloadStore(new / PAYLOADS_NAME).path_of(digest).rename(target)
        sync_directory(target.parent)
    (new / DATABASE_NAME).replace(root / named.name)
    kept = [one for one in (*former.manifest.members, *made.members) if payload_of(one.name)]
    manifest = replace(
        made, database=named.name, members=tuple(sorted([*kept, named], key=lambda one: one.name))
    )
    listed = new / MANIFEST_NAME
    with naming(listed):
        listed.write_text(manifest.text(), encoding="utf-8")
    sync_file(listed)
    sync_directory(root)
    listed.replace(root / MANIFEST_NAME)
    sync_directory(root)
    # The former one, and what updates left that were killed here.
    for path in root.iterdir():
        if path.name != named.name and is_member_name(path.name):
            path.unlink()
    return manifest


def require_backup(path: Path) -> Bundle:
    """Return a backup, its list read and compared.

    Raises
    ------
    NotFoundError
        There is nothing.
    InvalidInputError
        It is something else, or a bundle that has only a part of a store.
    IntegrityError
        It is damaged.
    """
    if not is_bundle(path):
        msg = f"there is no backup {path}"
        raise NotFoundError(msg, f"panelcal backup {path} makes one")
    bundle = read_bundle(path)
    if bundle.manifest.holds != "everything":
        msg = f"{path} is a bundle with a part of a store, and no backup"
        raise InvalidInputError(msg, f"panelcal bundle import {path} adds it to a store")
    return bundle
