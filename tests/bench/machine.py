"""What a measurement was made on, without saying whose machine it was."""

import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path

import psycopg

from servers import postgresql_server

_CPUINFO = Path("/proc/cpuinfo")


def facts() -> dict[str, str]:
    """Return the processor, and the versions of what takes part."""
    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": platform.system(),
        "Python": platform.python_version(),
        "SQLite": sqlite3.sqlite_version,
        "PostgreSQL": _postgresql(),
    }
    return found | {name: version(name) for name in ("numpy", "sqlalchemy", "psycopg", "zarr")}


def load() -> float:
    """Return how many processes wanted a core, on average of the last minute."""
    return round(os.getloadavg()[0], 1)


def _processor() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.machine()


def _postgresql() -> str:
    with postgresql_server() as server:
        if server is None:
            return "none"
        url = server.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(url) as connection:
            number = connection.info.server_version
    return f"{number // 10_000}.{number % 10_000}"
