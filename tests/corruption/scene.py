"""A small store with everything that an answer comes from, and the ways to use it."""

import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
from psycopg import sql

from builders import Clock, write_delivery
from panelcal.api import open_store as open_for_python
from panelcal.config import read_settings
from panelcal.domain.moments import parse_stamp
from panelcal.exporters.text_array import Environment
from panelcal.services.approval import approve, propose, reject
from panelcal.services.approval_mode import require_approval, switching_off
from panelcal.services.assemble import save_arrays
from panelcal.services.assign import assign, withdraw
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for, export_files
from panelcal.services.modules import deliver
from panelcal.services.planning import assigning
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run
from panelcal.services.tags import create_tag
from panelcal.storage.store import DATABASE_NAME, OpenStore, open_store

A, B = "170505-149520170815-3d00b0", "171113-154920171025-3d00f7"
DATASET, SOURCE, TAG = "exp=xcsls3716:run=10", "XcsEndstation.0:Jungfrau.0", "t1"

NOW = "now"
"""Uses that ask what the ledger says now."""
PAST = "as of a tag"
"""Uses that ask what it said at a tag."""
WHOLE = "whole store"
"""Found by `panelcal fsck`, which looks at all rows."""

Arrays = Mapping[str, "np.ndarray[Any, Any]"]


def fill(store: OpenStore, scratch: Path) -> None:
    """Fill an empty store, by its own services: row numbers are those named here."""
    clock = Clock(datetime(2026, 2, 1, tzinfo=UTC))
    who: Any = {"user": "tester", "reason": "scene"}
    for seed, module in enumerate(("M001", "M002", "M001", "M003")):
        deliver(store, module, write_delivery(scratch / str(seed), seed), now=clock(), **who)

    def uses(panel: str, module: str, start: str | None) -> None:
        at = None if start is None else parse_stamp(start, store.zone).utc
        assign(store, panel, module, at, now=clock(), **who)

    uses(A, "M001@1", None)  # 1
    uses(B, "M002@1", None)  # 2
    uses(A, "M003@1", "20180101000000")  # 3
    uses(A, "M001@2", "20180101000000")  # 4: a correction
    withdraw(store, A, parse_stamp("20200101000000", store.zone).utc, now=clock(), **who)  # 5
    uses(B, "M003@1", "20210101000000")  # 6
    uses(B, "M001@1", "20170101000000")  # 7: a backfill
    for begin, supersede in (("20190601000000", False), ("20180601000000", True)):
        fields = RunFields("xcsls3716", "10", SOURCE, begin, f"{A}_{B}", note="from the log")
        add_run(store, fields, now=clock(), user="tester", supersede=supersede)
    create_tag(store, TAG, now=clock(), **who)
    uses(A, "M002@1", "20180301000000")  # 8
    answer = answer_for(store, DATASET, None)
    deploy(store, answer, scratch / "calib", writing=writing(clock()))
    require_approval(store, now=clock(), **who)
    planner = assigning(B, "M001@1", parse_stamp("20220101000000", store.zone).utc, "scene")
    propose(store, planner, now=clock(), user="tester")  # 1
    propose(store, switching_off("scene"), now=clock(), user="tester")  # 2
    approve(store, 2, now=clock(), user="other", reason="scene")
    reject(store, 1, now=clock(), **who)
    # A later deployment would copy the values from there, and read no payload.
    shutil.rmtree(scratch / "calib")


def writing(now: datetime) -> Writing:
    """Return how files are written."""
    return Writing("legacy", Environment("tester", "here", "/"), now)


@dataclass(slots=True)
class Scene:
    """A filled store that is damaged and restored.

    Parameters
    ----------
    directory : Path
        The store.
    """

    directory: Path
    _rows: dict[str, tuple[list[str], list[Any]]] = field(default_factory=dict)

    def keep(self) -> None:
        """Remember the store as it is, rows and payloads."""
        shutil.copytree(self.payloads, self._kept / "payloads")
        if self._url is None:
            shutil.copyfile(self.directory / DATABASE_NAME, self._kept / DATABASE_NAME)
            return
        with psycopg.connect(self._url) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            ).fetchall()
            for (name,) in names:
                query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(name))
                found = connection.execute(query)
                columns = [column.name for column in found.description or ()]
                self._rows[name] = columns, found.fetchall()

    def restore(self) -> None:
        """Bring back what was remembered."""
        shutil.rmtree(self.payloads)
        shutil.copytree(self._kept / "payloads", self.payloads)
        if self._url is None:
            shutil.copyfile(self._kept / DATABASE_NAME, self.directory / DATABASE_NAME)
            return
        with psycopg.connect(self._url) as connection:
            connection.execute("SET session_replication_role = replica")
            for name, (columns, rows) in self._rows.items():
                table = sql.Identifier(name)
                connection.execute(sql.SQL("DELETE FROM {}").format(table))
                names = sql.SQL(", ").join(map(sql.Identifier, columns))
                into = sql.SQL("COPY {} ({}) FROM STDIN").format(table, names)
                with connection.cursor() as cursor, cursor.copy(into) as copy:
                    for row in rows:
                        copy.write_row(row)

    @property
    def payloads(self) -> Path:
        """Where the arrays are."""
        return self.directory / "payloads"

    @property
    def _kept(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}-kept")

    @property
    def _url(self) -> str | None:
        return read_settings(self.directory).database_url

    def tamper(self, *statements: str) -> None:
        """Change rows as somebody does who owns the database: past triggers and keys."""
        if self._url is None:
            with closing(sqlite3.connect(self.directory / DATABASE_NAME)) as database, database:
                triggers = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
                for (name,) in triggers.fetchall():
                    database.execute(f"DROP TRIGGER {name}")
                for statement in statements:
                    database.execute(statement)
            return
        with psycopg.connect(self._url) as connection:
            connection.execute("SET session_replication_role = replica")
            for statement in statements:
                connection.execute(statement.encode())

    def payload(self, module: str, revision: int, kind: str) -> Path:
        """Return the directory of a payload."""
        query = (
            "SELECT held.digest FROM constant_set_payload AS held "
            "JOIN constant_set ON constant_set.id = held.constant_set_id "
            "JOIN module ON module.id = constant_set.module_id "
            "JOIN kind ON kind.id = held.kind_id WHERE module.name = :module "
            "AND constant_set.revision = :revision AND kind.name = :kind"
        )
        with open_store(self.directory) as store:
            [(digest,)] = store.database.reader.rows(
                query, {"module": module, "revision": revision, "kind": kind}
            )
            return store.payloads.path_of(digest)


@contextmanager
def damaged(scene: Scene) -> Iterator[Scene]:
    """Give a scene to be damaged; it is as before afterwards."""
    try:
        yield scene
    finally:
        scene.restore()


def load(store: Path, out: Path, tag: str | None) -> Arrays:
    """Load arrays from Python."""
    del out
    with open_for_python(store) as opened:
        return opened.resolve(DATASET, tag=tag).arrays()


def get(store: Path, out: Path, tag: str | None) -> Arrays:
    """Write arrays to a file."""
    with open_store(store) as opened:
        as_of = _as_of(store, tag)
        answer = resolve(opened, DATASET, as_of=as_of, now=datetime.now(UTC), sealed=True)
        save_arrays(opened, answer, None, out / "all.npz")
    with np.load(out / "all.npz") as found:
        return dict(found)


def export(store: Path, out: Path, tag: str | None) -> Arrays:
    """Export files of a run."""
    with open_store(store) as opened:
        answer = answer_for(opened, DATASET, None, as_of=_as_of(store, tag))
        export_files(opened, answer, out, formats=("npz",), writing=writing(datetime.now(UTC)))
    return _read_npz(out)


def _read_npz(out: Path) -> Arrays:
    found: dict[str, np.ndarray[Any, Any]] = {}
    for path in sorted(out.glob("*.npz")):
        with np.load(path) as arrays:
            found |= {name: arrays[name] for name in arrays.files if arrays[name].ndim == 4}
    return found


def deployed(store: Path, out: Path, tag: str | None) -> Arrays:
    """Deploy a run into an empty calib directory."""
    with open_store(store) as opened:
        answer = answer_for(opened, DATASET, None, as_of=_as_of(store, tag))
        deploy(opened, answer, out / "calib", writing=writing(datetime.now(UTC)))
    return {
        path.parent.name: np.loadtxt(path, dtype=np.float32)
        for path in sorted((out / "calib").rglob("*.data"))
    }


def _as_of(store: Path, tag: str | None) -> datetime | None:
    from panelcal.services.tags import transaction_time

    with open_store(store) as opened:
        typed = transaction_time(opened, None, tag, now=datetime.now(UTC))
    return None if typed is None else typed.utc


USES = {"load": load, "get": get, "export": export, "deploy": deployed}
"""Everything that hands out arrays or writes files from an answer."""
