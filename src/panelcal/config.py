"""The settings of a store: ``panelcal.toml`` beside its payloads."""

import stat
import tomllib
from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError
from panelcal.named_errors import naming

FILE_NAME = "panelcal.toml"

_MOST_BYTES = 2**16
_FORM = 'it may hold [database] with url = "postgresql://..."'


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
        The file is no regular file, too large, no TOML, or says something that
        panelcal does not know.
    """
    path = directory / FILE_NAME
    try:
        # A pipe or a device would never come to an end.
        if not stat.S_ISREG(path.stat().st_mode):
            msg = f"{path} is not a regular file"
            raise InvalidInputError(msg, "remove or rename it")
        with naming(path), path.open("rb") as stream:
            text = stream.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    if len(text) > _MOST_BYTES:
        msg = f"{path} is larger than any settings are: {_MOST_BYTES} bytes are read"
        raise InvalidInputError(msg, _FORM)
    try:
        content = tomllib.loads(text.decode())
    except (ValueError, RecursionError) as error:
        # Of a number of too many digits it raises a plain ValueError.
        msg = f"{path} is not TOML: {excerpt(str(error), 200)}"
        raise InvalidInputError(msg, _FORM) from error
    database = content.pop("database", {})
    url = database.pop("url", None) if isinstance(database, dict) else database
    unknown = [*content, *(database if isinstance(database, dict) else ["database"])]
    if unknown or not (url is None or isinstance(url, str)):
        msg = f"{path} says {excerpt(', '.join(unknown) or 'url')}, which panelcal cannot use"
        raise InvalidInputError(msg, _FORM)
    return Settings(url)


def settings_text(settings: Settings) -> str:
    """Return the file that says just these settings."""
    if settings.database_url is None:
        return ""
    escaped = settings.database_url.replace("\\", "\\\\").replace('"', '\\"')
    return f'[database]\nurl = "{escaped}"\n'
