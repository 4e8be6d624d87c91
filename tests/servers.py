"""A PostgreSQL server for tests: one that is named, one that runs here, or one of our own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy import URL, make_url

from panelcal.config import FILE_NAME, Settings, read_settings, settings_text

LOCAL = "postgresql://postgres@127.0.0.1:5432/postgres"

_CARELESS = "-c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
"""For data that nobody misses: databases are made and dropped for every test."""

_MEMORY, _ROOM = Path("/dev/shm"), 2**31


@contextmanager
def postgresql_server() -> Iterator[URL | None]:
    """Give a server on which databases can be made, None if there is none.

    ``PANELCAL_TEST_POSTGRES`` names one; otherwise a throw-away cluster is started
    from the binaries of this machine, which need not wait for the disk, as a server
    does that keeps data. Without binaries 127.0.0.1:5432 is tried.
    """
    named = os.environ.get("PANELCAL_TEST_POSTGRES")
    if named:
        yield make_url(named)
        return
    with own_cluster() as cluster:
        if cluster is not None:
            yield cluster.url
            return
    yield make_url(LOCAL) if _answers(LOCAL) else None


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=3).close()
    except psycopg.OperationalError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Cluster:
    """A throw-away cluster.

    Parameters
    ----------
    url : URL
        Its administrator's database.
    control : tuple
        ``pg_ctl`` with what it needs.
    user : str or None
        Whose processes they are, None for this one.
    """

    url: URL
    control: tuple[str | Path, ...]
    user: str | None

    def restart(self) -> None:
        """Restart the server as after a crash: sessions end without a word."""
        _run(*self.control, "-m", "immediate", "restart", user=self.user)


@contextmanager
def own_cluster() -> Iterator[Cluster | None]:
    """Start a server of our own, and stop it; None without binaries."""
    binaries = _binaries()
    user = _server_user()
    if binaries is None or (os.geteuid() == 0 and user is None):
        # initdb refuses to run as root.
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="panelcal-pg-", dir=_roomy_memory()) as directory:
        if user is not None:
            shutil.chown(directory, user)
        data = Path(directory) / "data"
        options = f"-c listen_addresses='' {_CARELESS} -k {directory}"
        _run(binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", user=user)
        pg_ctl = (binaries / "pg_ctl", "-D", data, "-w", "-l", data / "log")
        _run(*pg_ctl, "-o", options, "start", user=user)
        url = URL.create(
            "postgresql", username="postgres", database="postgres", query={"host": directory}
        )
        try:
            yield Cluster(url, pg_ctl, user)
        finally:
            _run(*pg_ctl, "-m", "immediate", "stop", user=user)


def _roomy_memory() -> Path | None:
    """Return a directory in memory if there is room for a cluster, None if not."""
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    return _MEMORY if has_room else None


def _server_user() -> str | None:
    """Return another user for a server that root must not run."""
    if os.geteuid() != 0:
        return None
    users = {one.pw_name for one in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in users), None)


def _run(*command: str | Path, user: str | None = None) -> None:
    # Not captured: the server would hold the pipe open for as long as it lives.
    quiet = subprocess.DEVNULL
    subprocess.run(command, check=True, stdout=quiet, stderr=quiet, cwd="/", user=user)


def _binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return known[-1].parent if known else None


def administer(server: URL, statement: str) -> None:
    """Run a statement that cannot be in a transaction, such as CREATE DATABASE."""
    url = server.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@contextmanager
def own_database(server: URL, template: str | None = None) -> Iterator[URL]:
    """Make a database on a server, as a copy of another if one is named, and drop it."""
    name = f"panelcal_test_{uuid4().hex}"
    copied = f" TEMPLATE {template}" if template else ""
    administer(server, f"CREATE DATABASE {name}{copied}")
    try:
        yield server.set(database=name)
    finally:
        administer(server, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied_store(source: Path, target: Path) -> Iterator[Path]:
    """Give a copy of a store with, on a server, a database of its own."""
    shutil.copytree(source, target)
    url = read_settings(source).database_url
    if url is None:
        yield target
        return
    template = make_url(url)
    with own_database(template.set(database="postgres"), template.database) as own:
        settings = Settings(own.render_as_string(hide_password=False))
        (target / FILE_NAME).write_text(settings_text(settings), encoding="utf-8")
        yield target
