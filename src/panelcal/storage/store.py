"""A store: a directory with a database and payloads."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.config import FILE_NAME as SETTINGS_NAME
from panelcal.config import Settings, read_settings, settings_text
from panelcal.domain.moments import time_zone, to_microseconds
from panelcal.domain.seal import BrokenSeal, said, store_seal
from panelcal.domain.text import excerpt
from panelcal.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    SchemaError,
)
from panelcal.named_errors import naming
from panelcal.storage.bundle_manifest import MANIFEST_NAME
from panelcal.storage.database import Database, parse_database_url
from panelcal.storage.payloads import PayloadStore
from panelcal.temporary import PREFIX, remove_abandoned, temporary_directory

if TYPE_CHECKING:
    from sqlalchemy import Connection

DATABASE_NAME = "panelcal.db"
PAYLOADS_NAME = "payloads"

_SETTINGS = "SELECT id, time_zone, created_at_us, seal FROM store"


@dataclass(frozen=True)
class OpenStore(AbstractContextManager["OpenStore"]):
    """A store that has been opened; use it in a ``with`` statement.

    Parameters
    ----------
    directory : Path
        Where it is; of a bundle, its directory or zip file.
    database : Database
        Rows.
    payloads : PayloadStore
        Arrays.
    zone : ZoneInfo
        Time zone of 14-digit stamps, fixed when the store was made.
    """

    directory: Path
    database: Database
    payloads: PayloadStore
    zone: ZoneInfo

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database, and remove what was taken out of a bundle."""
        self.database.close()
        self.payloads.close()


def open_database(directory: Path) -> Database:
    """Open a store's database without looking at its schema, for migrations.

    Raises
    ------
    NotFoundError
        There is no store in the directory, or no directory.
    InvalidInputError
        It is a bundle, which is not migrated.
    """
    if is_bundle(directory):
        msg = f"{directory} is a bundle: its database is never migrated"
        raise InvalidInputError(msg, "have it made again from a store that was upgraded")
    if not directory.is_dir():
        msg = f"there is no store in {directory}"
        raise NotFoundError(msg, f"panelcal init {directory}")
    url = read_settings(directory).database_url
    if url is not None:
        return Database(parse_database_url(url))
    path = directory / DATABASE_NAME
    if not path.is_file():
        msg = f"there is no store in {directory}"
        if (directory / PAYLOADS_NAME).is_dir():
            msg += f": it has payloads, but no {DATABASE_NAME}"
            raise NotFoundError(msg, "restore that file from a backup")
        raise NotFoundError(msg, f"panelcal init {directory}")
    return Database(path)


def open_store(directory: Path) -> OpenStore:
    """Open a store, or a bundle, of which nothing is ever changed.

    Raises
    ------
    NotFoundError
        There is no store in the directory.
    SchemaError
        Its database is older or newer than this panelcal.
    InvalidInputError
        It is a file, and no bundle.
    IntegrityError
        It is a bundle, and damaged.
    """
    if is_bundle(directory):
        return _open_bundle(directory)
    database = open_database(directory)
    try:
        database.require_current_schema(directory)
        zone = _zone_of(database)
        if zone is None:
            msg = f"{database.name} was emptied: it has lost its store settings"
            raise SchemaError(msg, f"panelcal --store {directory} db upgrade --time-zone Z")
    except BaseException:
        database.close()
        raise
    payloads = PayloadStore(directory / PAYLOADS_NAME)
    return OpenStore(directory, database, payloads, zone)


def _zone_of(database: Database) -> ZoneInfo | None:
    """Return the time zone of stamps, None if the settings were lost.

    Raises
    ------
    IntegrityError
        The settings are not as they were recorded.
    """
    for row_id, zone, created_at_us, seal in database.reader.rows(_SETTINGS, {}):
        if seal != store_seal(zone, created_at_us):
            told = {"time_zone": zone, "created_at_us": created_at_us}
            raise BrokenSeal("store", str(row_id), said(told)).refusal()
        return time_zone(zone)
    return None


def _open_bundle(path: Path) -> OpenStore:
    from panelcal.storage.bundle import read_bundle
    from panelcal.storage.bundle_payloads import lay_out

    bundle = read_bundle(path)
    laid_out = lay_out(bundle)
    database = Database(laid_out.database, path)
    try:
        try:
            database.require_current_schema(path)
        except SchemaError as error:
            made_by = bundle.manifest.made_by
            hint = f"use {excerpt(made_by)}, which made it, or have it made again by this panelcal"
            raise SchemaError(error.message, hint) from error
        zone = _zone_of(database)
        if zone is None:
            msg = f"{path} has lost its store settings"
            raise IntegrityError(msg, "get the bundle again")
    except BaseException:
        database.close()
        laid_out.payloads.close()
        raise
    return OpenStore(path, database, laid_out.payloads, zone)


def is_bundle(path: Path) -> bool:
    """Say whether a path is to be opened as a bundle, and not as a store that is written to."""
    return path.is_file() or (path / MANIFEST_NAME).is_file()


def create_store(
    directory: Path, zone: ZoneInfo, now: datetime, database_url: str | None = None
) -> None:
    """Make a store in a directory that does not exist or is empty.

    It is built under a temporary name and moved into place when it is complete. On a
    server its settings are committed after that: a call that was killed in between is
    completed by the next.

    Parameters
    ----------
    directory : Path
        Where it is to be; the parents are made.
    zone : ZoneInfo
        Time zone of 14-digit stamps; it cannot be changed later.
    now : datetime
        The time, aware.
    database_url : str or None
        An empty PostgreSQL database for the rows; None is an SQLite file.

    Raises
    ------
    ConflictError
        The directory already holds a store or anything else, or the database
        has tables of panelcal's already.
    InvalidInputError
        The URL is malformed.
    """
    from panelcal.storage import migrate

    if database_url is None:
        with building_store(directory) as building:
            migrate.create_database(building / DATABASE_NAME)
            with Database(building / DATABASE_NAME) as database:
                settle(database, zone, now)
            put_in_place(building, directory)
        return
    url = parse_database_url(database_url)
    if is_begun(directory, database_url):
        with Database(url) as database:
            settle(database, zone, now)
        return
    with building_store(directory) as building:
        name_database(building, database_url)
        migrate.fill_database(url)
        with Database(url) as database, database.writing() as connection:
            if not _settle(connection, zone, now):
                msg = f"{database.name} already has a store's settings"
                raise ConflictError(msg, "name an empty database")
            put_in_place(building, directory)


def is_begun(directory: Path, database_url: str) -> bool:
    """Say whether a directory names a database with panelcal's tables and no settings.

    So does a store whose making was killed between its two last steps.
    """
    from panelcal.storage import migrate

    try:
        is_named = read_settings(directory).database_url == database_url
    except (InvalidInputError, OSError):
        return False
    if not is_named:
        return False
    with Database(parse_database_url(database_url)) as database:
        return migrate.is_unsettled(database)


def name_database(directory: Path, database_url: str) -> None:
    """Write the settings of a store whose rows are in a PostgreSQL database."""
    text = settings_text(Settings(database_url))
    path = directory / SETTINGS_NAME
    with naming(path):
        path.write_text(text, encoding="utf-8")


@contextmanager
def building_store(directory: Path) -> Iterator[Path]:
    """Give a directory to build a store in, for `put_in_place` when it is complete.

    It has an empty directory of payloads. At the end nothing else is left of it.

    Parameters
    ----------
    directory : Path
        Where the store is to be, which does not exist or is empty; the parents are made.

    Raises
    ------
    ConflictError
        The directory already holds a store or anything else.
    """
    directory = directory.resolve()
    if directory.is_dir():
        # Also of a call that was killed when the store was complete.
        remove_abandoned(directory, PREFIX)
    if (directory / DATABASE_NAME).exists() or (directory / SETTINGS_NAME).exists():
        msg = f"{directory} already holds a store"
        raise ConflictError(msg, f"panelcal --store {directory} db current")
    if directory.exists() and not _is_free(directory):
        msg = f"{directory} is not an empty directory"
        raise ConflictError(msg, "name a directory that does not exist yet")
    # A directory that exists is filled, not replaced: its mode, its owner and
    # what is mounted on it stay.
    home = directory if directory.is_dir() else directory.parent
    home.mkdir(parents=True, exist_ok=True)
    with temporary_directory(home, PREFIX, mode=0o777) as building:
        (building / PAYLOADS_NAME).mkdir()
        yield building


def put_in_place(building: Path, directory: Path) -> None:
    """Make what was built in `building_store` the store of a directory."""
    directory = directory.resolve()
    if not directory.is_dir():
        building.rename(directory)
        return
    # The payloads first: only with the rest is the directory a store.
    (building / PAYLOADS_NAME).rename(directory / PAYLOADS_NAME)
    for path in building.iterdir():
        path.rename(directory / path.name)


def _is_free(directory: Path) -> bool:
    """Say whether nothing is in a directory but what a killed call may have put there."""
    if not directory.is_dir():
        return False
    found = list(directory.iterdir())
    return not found or (
        found == [directory / PAYLOADS_NAME] and found[0].is_dir() and not any(found[0].iterdir())
    )


def settle(database: Database, zone: ZoneInfo, now: datetime) -> bool:
    """Fix the settings of a store whose database has none yet.

    Parameters
    ----------
    zone : ZoneInfo
        Time zone of 14-digit stamps.
    now : datetime
        The time, aware.

    Returns
    -------
    bool
        False if the settings were fixed before; they stay as they are.
    """
    with database.writing() as connection:
        return _settle(connection, zone, now)


def _settle(connection: "Connection", zone: ZoneInfo, now: datetime) -> bool:
    from sqlalchemy import text

    at = to_microseconds(now)
    if connection.execute(text("SELECT count(*) FROM store")).scalar():
        return False
    connection.execute(
        text(
            "INSERT INTO store (id, time_zone, created_at_us, seal) VALUES (1, :zone, :now, :seal)"
        ),
        {"zone": zone.key, "now": at, "seal": store_seal(zone.key, at)},
    )
    return True
