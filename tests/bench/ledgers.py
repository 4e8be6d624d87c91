"""Ledgers of any length, written past panelcal: 64 panels, years of deliveries."""

import random
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from psycopg import sql

from bench import material
from panelcal.config import read_settings
from panelcal.domain.moments import BEGINNING_US, to_microseconds
from panelcal.storage.store import DATABASE_NAME

PANELS = 64
SETS = 192
BEGIN, END = datetime(2016, 1, 1, tzinfo=UTC), datetime(2025, 1, 1, tzinfo=UTC)
"""Rows are recorded evenly between these; starts lie between them too."""

_BACKFILLED, _CORRECTED = 0.15, 0.05
_SECOND, _DAY = 1_000_000, 86_400_000_000

Table = tuple[str, tuple[str, ...], Iterator[Sequence[object]]]


def recorded_us(row: int, rows: int) -> int:
    """Return when a row of a ledger of so many rows was recorded, in microseconds."""
    begin, end = to_microseconds(BEGIN), to_microseconds(END)
    return begin + (row + 1) * ((end - begin) // rows)


def fill_ledger(store: Path, rows: int) -> None:
    """Fill an empty store, on either engine, with a ledger of so many rows.

    The schema's own triggers judge every row, and derive from it what they derive.
    """
    url = read_settings(store).database_url
    if url is None:
        _fill_sqlite(store / DATABASE_NAME, rows)
    else:
        _fill_postgresql(url, rows)


def _tables(kinds: Sequence[int], rows: int) -> Iterator[Table]:
    """Give the rows of each table, referred ones first.

    Only columns that every revision has are named; others get their defaults.
    """
    names = [material.panel_id(index) for index in range(PANELS)]
    yield (
        "panel",
        ("id", "detector_type_id", "name", "module_version", "firmware", "serial"),
        ((index + 1, 1, name, *name.split("-")) for index, name in enumerate(names)),
    )
    yield (
        "module",
        ("id", "detector_type_id", "name"),
        ((index + 1, 1, f"M{index:03}") for index in range(PANELS)),
    )
    who = ("recorded_at_us", "recorded_by", "reason")
    yield (
        "constant_set",
        ("id", "module_id", "revision", "delivered_from", *who),
        (
            (one + 1, one % PANELS + 1, one // PANELS + 1, "", to_microseconds(BEGIN), "b", "r")
            for one in range(SETS)
        ),
    )
    yield (
        "payload",
        ("digest", "dtype", "shape", "byte_count"),
        ((_digest(one, kind), "float32", "3,4,8", 384) for one in range(SETS) for kind in kinds),
    )
    yield (
        "constant_set_payload",
        ("constant_set_id", "kind_id", "digest"),
        ((one + 1, kind, _digest(one, kind)) for one in range(SETS) for kind in kinds),
    )
    yield (
        "assignment",
        ("id", "panel_id", "valid_from_us", "constant_set_id", *who),
        _assignments(rows),
    )


def _digest(constant_set: int, kind: int) -> str:
    return f"{constant_set:032x}{kind:032x}"


def _assignments(rows: int) -> Iterator[Sequence[object]]:
    """Give the ledger: first the beginnings, then starts that mostly increase."""
    chance = random.Random(rows)
    latest = [BEGINNING_US] * PANELS
    for row in range(rows):
        panel, recorded = row % PANELS, recorded_us(row, rows)
        kind = chance.random()
        if row >= PANELS and kind >= _CORRECTED:
            since = to_microseconds(BEGIN) if kind < _CORRECTED + _BACKFILLED else recorded - _DAY
            latest[panel] = chance.randrange(since, recorded) // _SECOND * _SECOND
        constant_set = chance.randrange(SETS) + 1
        yield row + 1, panel + 1, latest[panel], constant_set, recorded, "bench", "measured"


def _fill_sqlite(path: Path, rows: int) -> None:
    connection = sqlite3.connect(path)
    # The file need not survive a crash, and the pages of its indexes have room in memory.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    kinds = [kind for (kind,) in connection.execute("SELECT id FROM kind ORDER BY id")]
    with connection:
        for table, columns, content in _tables(kinds, rows):
            places = ", ".join("?" * len(columns))
            connection.executemany(
                f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", content
            )
    connection.close()


def _fill_postgresql(url: str, rows: int) -> None:
    with psycopg.connect(url) as connection:
        kinds = [kind for (kind,) in connection.execute("SELECT id FROM kind ORDER BY id")]
        for table, columns, content in _tables(kinds, rows):
            into = sql.SQL("COPY {} ({}) FROM STDIN").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with connection.cursor() as cursor, cursor.copy(into) as copy:
                for row in content:
                    copy.write_row(row)
        # Which the server would do by itself after a while.
        connection.execute("ANALYZE")
