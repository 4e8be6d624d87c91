"""Make a store from a backup."""

from pathlib import Path
from typing import TYPE_CHECKING

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
    name_database,
    open_store,
)

if TYPE_CHECKING:
    from sqlalchemy import URL


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
        else:
            name_database(building, database_url)
            _fill(parse_database_url(database_url), bundle)
    return bundle.manifest


def _fill(url: "URL", bundle: Bundle) -> None:
    """Make the tables in an empty database and copy all rows, or leave it empty."""
    migrate.fill_database(url)
    try:
        with (
            open_store(bundle.path) as backup,
            backup.database.reading() as source,
            Database(url) as database,
            database.writing() as rows,
        ):
            copy_rows(source, rows)
    except BaseException:
        with Database(url) as database:
            migrate.downgrade(database, "base")
        raise
