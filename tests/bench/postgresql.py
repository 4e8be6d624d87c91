"""Resolve on PostgreSQL, through the Python interface, against one round trip."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import repeat
from pathlib import Path

import psycopg
from sqlalchemy import URL

from bench import material
from bench.ledgers import fill_ledger
from bench.questions import MODES, PANELS, Bunch
from bench.resolve import RAW, asking, named, rows_of
from bench.rounds import measure
from bench.rows import Row
from bench.workplace import Workplace
from panelcal.api import Store, open_store
from panelcal.domain.moments import DEFAULT_TIME_ZONE, time_zone
from panelcal.storage.store import create_store
from servers import copied_store, own_database, postgresql_server

TOPIC = "resolve on PostgreSQL"
AGAINST = "one SELECT 1 by psycopg"


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure resolves in ledgers of every length, or say that there is no server."""
    with postgresql_server() as server:
        if server is None:
            yield from _skipped()
            return
        yield from _measured(workplace, server)


def _skipped() -> Iterator[Row]:
    note = "no PostgreSQL server: set PANELCAL_TEST_POSTGRES, or start one"
    for mode in MODES:
        for panels in PANELS:
            what = f"{mode.name}, {named(panels)}"
            yield Row(TOPIC, what, AGAINST, RAW, None, note=note)


def _measured(workplace: Workplace, server: URL) -> Iterator[Row]:
    scale = workplace.scale
    with ExitStack() as stack:
        template = workplace.place / "postgresql-empty"
        database = stack.enter_context(own_database(server))
        create_store(
            template,
            time_zone(DEFAULT_TIME_ZONE),
            datetime(2016, 1, 1, tzinfo=UTC),
            database.render_as_string(hide_password=False),
        )
        stores = [_filled(stack, template, rows) for rows in scale.ledgers]
        contenders = [
            Bunch(
                asking(store, panels, mode, rows),
                map(material.stamp, mode.times(seed=1)),
                max(3, scale.calls // 5),
            ).contender(f"api {mode.name} {panels} {rows}")
            for store, rows in zip(stores, scale.ledgers, strict=True)
            for panels in PANELS
            for mode in MODES
        ]
        url = database.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = stack.enter_context(psycopg.connect(url, autocommit=True))
        contenders.append(
            Bunch(
                lambda _: connection.execute("SELECT 1").fetchone(), repeat(None), scale.calls
            ).contender("round trip")
        )
        times = measure(contenders, scale.rounds)
    yield from rows_of(times, scale.ledgers, "round trip", AGAINST, TOPIC)


def _filled(stack: ExitStack, template: Path, rows: int) -> Store:
    directory = stack.enter_context(
        copied_store(template, template.with_name(f"postgresql-{rows}"))
    )
    stack.callback(shutil.rmtree, directory)
    fill_ledger(directory, rows)
    return stack.enter_context(open_store(directory))
