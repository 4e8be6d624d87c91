"""Builders of what the tests feed in, and plain looks at what came out."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import inspect, text

from panelcal.domain.moments import time_zone
from panelcal.storage.store import create_store, open_database, open_store

TREE_SHAPE = (3, 4, 8)
"""(gain range, row, column) of the panels in tests."""

FILES = [f"g{gain}_{stem}.npy" for gain in range(3) for stem in ("gain", "offset")]


class Clock:
    """A clock that moves on by a second each time it is read."""

    def __init__(self, start: datetime) -> None:
        self._next = start

    def __call__(self) -> datetime:
        now = self._next
        self._next += timedelta(seconds=1)
        return now


class GainsTree:
    """A legacy gains tree on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def module(self, name: str, seed: int = 0, shape: tuple[int, int, int] = TREE_SHAPE) -> Path:
        """Make a directory of well-formed files, two a gain range."""
        return write_delivery(self.path / name, seed, shape)

    def link(self, name: str, target: str) -> Path:
        """Make a link such as ``<panel id>-<stamp> -> M068``."""
        path = self.path / name
        path.symlink_to(target)
        return path

    def replace(self, module: str, file: str, values: "np.ndarray[Any, Any]") -> None:
        """Replace one file of a module."""
        np.save(self.path / module / file, values)


def write_delivery(
    directory: Path, seed: int = 0, shape: tuple[int, int, int] = TREE_SHAPE
) -> Path:
    """Write two float32 files a gain range, of the shape of a test panel."""
    random = np.random.default_rng(seed)
    directory.mkdir(parents=True, exist_ok=True)
    for gain in range(shape[0]):
        for stem in ("gain", "offset"):
            values = random.normal(10, 1, shape[1:]).astype(np.float32)
            np.save(directory / f"g{gain}_{stem}.npy", values)
    return directory


def delivered(
    directory: Path, stem: str, gain_ranges: int = TREE_SHAPE[0]
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Read back one kind of a delivery: (gain range, row, column)."""
    return np.stack([np.load(directory / f"g{gain}_{stem}.npy") for gain in range(gain_ranges)])


def create_small_store(
    directory: Path,
    url: str | None = None,
    *,
    shape: tuple[int, int] = TREE_SHAPE[1:],
    keep_rules: bool = False,
) -> None:
    """Make a store as `panelcal init` does, for small panels and, unless asked, without rules.

    Shape and rules are data of the detector type, so that tests need not move
    megabytes, and may deliver any numbers; the demo and its tests use the real
    shape, and `synthetic` has deliveries to be judged.
    """
    zone, now = time_zone("America/Los_Angeles"), datetime(2026, 1, 1, tzinfo=UTC)
    create_store(directory, zone, now, url)
    shrink(directory, shape, keep_rules=keep_rules)


def shrink(
    directory: Path, shape: tuple[int, int] = TREE_SHAPE[1:], *, keep_rules: bool = False
) -> None:
    """Let the panels of a new store have the shape of those in tests, and no rules."""
    rows, columns = shape
    with open_store(directory) as store, store.database.writing() as connection:
        connection.execute(
            text("UPDATE detector_type SET panel_rows = :rows, panel_columns = :columns"),
            {"rows": rows, "columns": columns},
        )
        if not keep_rules:
            connection.execute(text("DELETE FROM quality_rule"))


def fingerprint(store: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return everything a store holds: its rows by table, its files by digest."""
    with open_database(store) as database, database.reading() as connection:
        tables = {
            name: sorted(map(repr, connection.execute(text(f"SELECT * FROM {name}"))))
            for name in inspect(connection).get_table_names()
        }
    files = {
        str(path.relative_to(store)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((store / "payloads").rglob("*"))
        if path.is_file()
    }
    return tables, files


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    """Ask the database of a store a question in SQL, past panelcal's own."""
    with open_database(store) as database, database.reading() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def confirmed(panelcal: Callable[..., Any], *change: str) -> tuple[str, ...]:
    """Return a change that says how many deployed answers it alters, as its preview tells."""
    shown = panelcal(*change, "--preview", "--json")
    assert shown.exit_code == 0, shown.output
    affects = json.loads(shown.stdout)["impact"]["affects"]
    return (*change, "--confirm-affects", str(affects))


def damage(store: Path, module: str, kind: str) -> None:
    """Change one bit of a stored payload."""
    [(digest,)] = rows(
        store,
        "SELECT p.digest FROM constant_set_payload p JOIN kind k ON k.id = p.kind_id "
        "JOIN constant_set s ON s.id = p.constant_set_id JOIN module m ON m.id = s.module_id "
        f"WHERE m.name = '{module}' AND k.name = '{kind}'",
    )
    chunk = store / "payloads" / digest[:2] / digest / "c" / "0" / "0" / "0"
    content = bytearray(chunk.read_bytes())
    content[17] ^= 1
    chunk.write_bytes(content)
