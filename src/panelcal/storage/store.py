"""A store: a directory with a database and payloads."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4
from zoneinfo import ZoneInfo

from panelcal.config import FILE_NAME as SETTINGS_NAME
from panelcal.config import Settings, read_settings, settings_text
from panelcal.domain.moments import time_zone, to_microseconds
from panelcal.errors import ConflictError, NotFoundError, SchemaError
from panelcal.storage.database import Database, parse_database_url
from panelcal.storage.payloads import PayloadStore
from panelcal.temporary import remove_tree

if TYPE_CHECKING:
    from sqlalchemy import URL

DATABASE_NAME = "panelcal.db"
PAYLOADS_NAME = "payloads"


@dataclass(frozen=True)
class OpenStore(AbstractContextManager["OpenStore"]):
    """A store that has been opened; use it in a ``with`` statement.

    Parameters
    ----------
    directory : Path
        Where it is.
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
        """Close the database."""
        self.database.close()


def open_database(directory: Path) -> Database:
    """Open a store's database without looking at its schema, for migrations.

    Raises
    ------
    NotFoundError
        There is no store in the directory, or no directory.
    """
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
    """Open a store.

    Raises
    ------
    NotFoundError
        There is no store in the directory.
    SchemaError
        Its database is older or newer than this panelcal.
    """
    database = open_database(directory)
    try:
        database.require_current_schema(directory)
        found = database.reader.rows("SELECT time_zone FROM store", {})
        if not found:
            msg = f"{database.name} was emptied: it has lost its store settings"
            raise SchemaError(msg, f"panelcal --store {directory} db upgrade --time-zone Z")
    except BaseException:
        database.close()
        raise
    payloads = PayloadStore(directory / PAYLOADS_NAME)
    return OpenStore(directory, database, payloads, time_zone(found[0][0]))


def create_store(
    directory: Path, zone: ZoneInfo, now: datetime, database_url: str | None = None
) -> None:
    """Make a store in a directory that does not exist or is empty.

    It is built under a temporary name and moved into place when it is complete.

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

    directory = directory.resolve()
    if (directory / DATABASE_NAME).exists() or (directory / SETTINGS_NAME).exists():
        msg = f"{directory} already holds a store"
        raise ConflictError(msg, f"panelcal --store {directory} db current")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        msg = f"{directory} is not an empty directory"
        raise ConflictError(msg, "name a directory that does not exist yet")
    # A directory that exists is filled, not replaced: its mode, its owner and
    # what is mounted on it stay.
    is_there = directory.is_dir()
    home = directory if is_there else directory.parent
    home.mkdir(parents=True, exist_ok=True)
    building = home / f".panelcal-{uuid4().hex}"
    try:
        (building / PAYLOADS_NAME).mkdir(parents=True)
        if database_url is None:
            migrate.create_database(building / DATABASE_NAME)
            location: Path | URL = building / DATABASE_NAME
        else:
            location = parse_database_url(database_url)
            (building / SETTINGS_NAME).write_text(
                settings_text(Settings(database_url)), encoding="utf-8"
            )
            migrate.fill_database(location)
        with Database(location) as database:
            settle(database, zone, now)
        if is_there:
            # The payloads first: only with the rest is the directory a store.
            (building / PAYLOADS_NAME).rename(directory / PAYLOADS_NAME)
            for path in building.iterdir():
                path.rename(directory / path.name)
        else:
            building.rename(directory)
    finally:
        remove_tree(building)


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
    from sqlalchemy import text

    with database.writing() as connection:
        if connection.execute(text("SELECT count(*) FROM store")).scalar():
            return False
        connection.execute(
            text("INSERT INTO store (id, time_zone, created_at_us) VALUES (1, :zone, :now)"),
            {"zone": zone.key, "now": to_microseconds(now)},
        )
    return True
