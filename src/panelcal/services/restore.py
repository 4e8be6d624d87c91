"""Make a store from a backup."""

from pathlib import Path

from panelcal.domain.report import Progress
from panelcal.services.backup import require_backup
from panelcal.services.bundle_verify import verify_digests
from panelcal.storage import migrate
from panelcal.storage.bundle import Bundle
from panelcal.storage.bundle_manifest import Manifest, payload_of
from panelcal.storage.copying import copy_rows
from panelcal.storage.database import Database, parse_database_url
from panelcal.storage.store import (
    DATABASE_NAME,
    building_store,
    is_begun,
    name_database,
    open_store,
    put_in_place,
)


def restore(
    backup: Path,
    directory: Path,
    *,
    database_url: str | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Make a store from a backup: every row, time, seal and payload as it was.

    Parameters
    ----------
    directory : Path
        Where the store is to be, which does not exist or is empty.
    database_url : str or None
        An empty PostgreSQL database for the rows; None is an SQLite file.

    Raises
    ------
    NotFoundError
        There is no such backup.
    ConflictError
        The directory holds something, or the database has panelcal's tables.
    InvalidInputError
        It is a bundle that has only a part of a store, or the URL is malformed.
    IntegrityError
        The backup is damaged; nothing was made.
    SchemaError
        It was made with another schema.
    """
    bundle = require_backup(backup)
    if database_url is not None:
        # Refused before anything is done.
        parse_database_url(database_url)
    begun = database_url is not None and is_begun(directory, database_url)
    if begun and not _lacking(bundle, directory):
        _fill(str(database_url), bundle, directory)
        return bundle.manifest
    with building_store(directory) as building:
        verified = verify_digests(backup, progress)
        verified.raise_if_damaged(str(backup), "restore from another backup; nothing was made")
        for member in bundle.manifest.members:
            if payload_of(member.name) is not None:
                path = building / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                bundle.copy(member.name, path, durably=True)
        if database_url is None:
            bundle.copy(bundle.manifest.database, building / DATABASE_NAME, durably=True)
            put_in_place(building, directory)
        else:
            name_database(building, database_url)
            _fill(database_url, bundle, directory, building)
    return bundle.manifest


def _lacking(bundle: Bundle, directory: Path) -> list[str]:
    """Return the files of payloads that a directory has not."""
    names = (member.name for member in bundle.manifest.members)
    return [name for name in names if payload_of(name) and not (directory / name).is_file()]


def _fill(database_url: str, bundle: Bundle, directory: Path, building: Path | None = None) -> None:
    """Make the tables in an empty database and copy all rows, or leave it empty.

    The store is put in place before they are committed: whoever is killed in between
    leaves one that names an empty database, which the next call fills.
    """
    url = parse_database_url(database_url)
    migrate.fill_database(url)
    try:
        with (
            open_store(bundle.path) as backup,
            backup.database.reading() as source,
            Database(url) as database,
            database.writing() as rows,
        ):
            copy_rows(source, rows)
            if building is not None:
                put_in_place(building, directory)
    except BaseException:
        if not is_begun(directory, database_url):
            with Database(url) as database:
                migrate.downgrade(database, "base")
        raise
