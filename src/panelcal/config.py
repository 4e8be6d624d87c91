"""The settings of a store: ``panelcal.toml`` beside its payloads."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

FILE_NAME = "panelcal.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a store's file of settings says.

    Parameters
    ----------
    database_url : str or None
        URL of a PostgreSQL database; None is the SQLite file of the store.
    """

    database_url: str | None = None


def read_settings(directory: Path) -> Settings:
    """Read a store's settings; without a file, everything is as by default.

    Raises
    ------
    InvalidInputError
        The file is no TOML, or says something that panelcal does not know.
    """
    path = directory / FILE_NAME
    try:
        with path.open("rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError:
        return Settings()
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path} is not TOML: {error}"
        raise InvalidInputError(msg) from error
    database = content.pop("database", {})
    url = database.pop("url", None) if isinstance(database, dict) else database
    unknown = [*content, *(database if isinstance(database, dict) else ["database"])]
    if unknown or not (url is None or isinstance(url, str)):
        msg = f"{path} says {excerpt(', '.join(unknown) or 'url')}, which panelcal cannot use"
        raise InvalidInputError(msg, 'it may hold [database] with url = "postgresql://..."')
    return Settings(url)


def settings_text(settings: Settings) -> str:
    """Return the file that says just these settings."""
    if settings.database_url is None:
        return ""
    escaped = settings.database_url.replace("\\", "\\\\").replace('"', '\\"')
    return f'[database]\nurl = "{escaped}"\n'
