"""What is left in a place, with what differs from run to run taken out: times, names, numbers."""

import hashlib
import re
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np
from sqlalchemy import Connection, inspect, text

from faults.places import Place
from panelcal.storage.store import open_database

Rows = dict[str, list[str]]
Files = dict[str, Any]

_TIMED_NAME = re.compile(r"\.data-\d{4}-\d\d-\d\dT.*")
_TIMES = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_KNOWN: dict[tuple[Path, int, int], object] = {}
_LEFT_OVER = re.compile(r"(^|/)(\.panelcal-(?!lock)|payloads/incoming/.)")


def rows_of(place: Place) -> Rows | None:
    """Return the rows of a store's tables without times and numbers; None without a store."""
    if not place.store.is_dir():
        return None
    with open_database(place.store) as database, database.reading() as connection:
        return _rows(connection, str(place.directory))


def _rows(connection: Connection, directory: str) -> Rows:
    tables = inspect(connection).get_table_names()
    found = {
        name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name}")).mappings()]
        for name in tables
    }
    # Numbers of rows that were rolled back are not used again on PostgreSQL.
    ranks = {
        name: {number: rank for rank, number in enumerate(sorted(row["id"] for row in rows))}
        for name, rows in found.items()
        if rows and "id" in rows[0]
    }
    return {
        name: sorted(repr(_untimed(name, row, ranks, directory)) for row in rows)
        for name, rows in found.items()
    }


def _untimed(
    table: str, row: Mapping[str, Any], ranks: Mapping[str, Mapping[int, int]], directory: str
) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for column, value in row.items():
        target = table if column == "id" else column.removesuffix("_id")
        if column.endswith("_at_us") or (table == "tag" and column == "as_of_us"):
            plain[column] = "TIME"
        elif column in {"file_digest", "seal"}:
            # Both are over something that has times in it.
            plain[column] = "DIGEST"
        elif target in ranks and (column == "id" or column.endswith("_id")) and value is not None:
            plain[column] = ranks[target].get(value, value)
        elif isinstance(value, str):
            plain[column] = value.replace(directory, "PLACE")
        else:
            plain[column] = value
    return plain


def files_of(place: Place) -> Files:
    """Return every file and directory by name, without databases, locks and left-overs."""
    found: Files = {}
    for path in sorted(place.directory.rglob("*")):
        name = str(path.relative_to(place.directory))
        if _LEFT_OVER.search(name) or path.name.startswith(("panelcal.", ".panelcal.lock")):
            continue
        if name == "store/payloads/incoming":
            continue
        mode = stat.S_IMODE(path.lstat().st_mode)
        known = _TIMED_NAME.sub(".data-TIME", name)
        content = _content(path, place.directory) if path.is_file() else None
        found.setdefault(known, []).append((oct(mode), content))
    return found


def left_over(place: Place) -> list[str]:
    """Return temporary files and directories."""
    names = (str(path.relative_to(place.directory)) for path in place.directory.rglob("*"))
    return [name for name in names if _LEFT_OVER.search(name)]


def _content(path: Path, place: Path) -> object:
    """Return the content of a file without times and the name of the place."""
    found = path.stat()
    # Copies have the times of what they are copies of: nearly all files are known.
    key = path.relative_to(place), found.st_size, found.st_mtime_ns
    if key not in _KNOWN:
        _KNOWN[key] = _read(path, place)
    return _KNOWN[key]


def _read(path: Path, place: Path) -> object:
    if path.suffix == ".h5":
        return _hdf5(path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: hashlib.sha256(arrays[name].tobytes()).hexdigest() for name in arrays}
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        return {name: _digest_untimed(content) for name, content in members.items()}
    content = path.read_bytes().replace(str(place).encode(), b"PLACE")
    return _TIMES.sub(b"TIME", content) if path.name == "HISTORY" else _digest_untimed(content)


def _digest_untimed(content: bytes) -> str:
    return hashlib.sha256(_TIMES.sub(b"TIME", content)).hexdigest()


def _hdf5(path: Path) -> object:
    found: list[tuple[str, str]] = []

    def look(name: str, item: Any) -> None:
        if "_history" in name:
            name = name.rpartition("/")[0]
        value = item[()] if isinstance(item, h5py.Dataset) and "tsprod" not in name else None
        content = b"" if value is None else np.asarray(value).tobytes()
        attributes = sorted((key, repr(value)) for key, value in item.attrs.items())
        found.append((name, hashlib.sha256(content + repr(attributes).encode()).hexdigest()))

    with h5py.File(path) as root:
        root.visititems(look)
    return sorted(found)
