"""Resolve on SQLite, through the Python interface, against the same SQL by raw sqlite3."""

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from pathlib import Path
from typing import Any

from bench import material
from bench.ledgers import fill_ledger
from bench.questions import MODES, PANELS, Bunch, Mode
from bench.rounds import Contender, Measured, measure
from bench.rows import Row, Target, compared, worst
from bench.statements import Statement, sent_to_sqlite
from bench.workplace import Workplace
from panelcal.api import Store, open_store
from panelcal.domain.moments import to_microseconds
from panelcal.storage.store import DATABASE_NAME

TOPIC = "resolve"
RAW = Target("<=", 3)
GROWTH = Target("<=", 2)
REPEATED = Target(">=", 5)

_BUNCH_S = 0.01
"""A bunch of raw statements takes about as long, or the clock shows its own noise."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger opened both ways."""

    rows: int
    store: Store
    raw: sqlite3.Connection
    directory: Path


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure resolves in ledgers of every length, all in the same rounds."""
    scale = workplace.scale
    with ExitStack() as stack:
        ledgers = [_ledger(stack, workplace, rows) for rows in scale.ledgers]
        contenders = [
            one
            for ledger in ledgers
            for panels in PANELS
            for mode in MODES
            for one in _contenders(ledger, panels, mode, scale.calls)
        ]
        usual = ledgers[len(ledgers) // 2]
        contenders += [_repeated(usual, panels, scale.calls) for panels in PANELS]
        times = measure(contenders, scale.rounds)
    yield from rows_of(times, scale.ledgers, "raw", "the same SQL by raw sqlite3", TOPIC)
    for panels in PANELS:
        yield compared(
            times,
            f"again {panels}",
            f"api now {panels} {usual.rows}",
            topic=TOPIC,
            what=f"the same question again, {named(panels)}",
            against="a question not asked before",
            target=REPEATED,
        )


def rows_of(
    times: Measured, ledgers: tuple[int, ...], other: str, against: str, topic: str
) -> Iterator[Row]:
    """Give the rows of resolves: against a reference, and against a short ledger.

    Parameters
    ----------
    other : str
        Begins the names of the references: of each question, or one for all.
    """
    first, last = ledgers[0], ledgers[-1]
    for mode in MODES:
        for panels in PANELS:
            label = f"{mode.name} {panels}"
            what = f"{mode.name}, {named(panels)}"
            yield worst(
                {
                    f"{rows} rows": compared(
                        times,
                        f"api {label} {rows}",
                        other if other in times.seconds else f"{other} {label} {rows}",
                        topic=topic,
                        what=what,
                        against=against,
                        target=RAW,
                    )
                    for rows in ledgers
                },
                what,
            )
            yield compared(
                times,
                f"api {label} {last}",
                f"api {label} {first}",
                topic=topic,
                what=f"{what}, growth",
                against="the shortest ledger (longest here)",
                target=GROWTH,
            )


def named(panels: int) -> str:
    """Return a number of panels in words."""
    return "1 panel" if panels == 1 else f"{panels} panels"


def _ledger(stack: ExitStack, workplace: Workplace, rows: int) -> Ledger:
    directory = workplace.place / f"ledger-{rows}"
    material.make_empty_store(directory, (workplace.scale.rows, workplace.scale.columns))
    fill_ledger(directory, rows)
    raw = sqlite3.connect(directory / DATABASE_NAME, isolation_level=None)
    stack.enter_context(closing(raw))
    return Ledger(rows, stack.enter_context(open_store(directory)), raw, directory)


def _contenders(ledger: Ledger, panels: int, mode: Mode, most: int) -> Iterator[Contender]:
    """Give the interface and the raw statement, with as many questions each."""
    label = f"{mode.name} {panels} {ledger.rows}"
    parameters = _parameters(_statement(ledger, panels, mode), mode, panels)
    execute = _executing(ledger.raw, parameters.sql)
    execute(next(parameters.values))
    start = time.perf_counter()
    execute(next(parameters.values))
    calls = max(3, min(most, int(_BUNCH_S / (time.perf_counter() - start))))
    ask = asking(ledger.store, panels, mode, ledger.rows)
    yield Bunch(ask, map(material.stamp, mode.times(seed=1)), calls).contender(f"api {label}")
    yield Bunch(execute, parameters.values, calls).contender(f"raw {label}")


def asking(store: Store, panels: int, mode: Mode, rows: int) -> Callable[[str], object]:
    """Return what asks a store through the Python interface for a 14-digit stamp."""
    detector, as_of = material.detector_id(panels), mode.as_of(rows)
    return lambda at: store.resolve(detector, at, as_of=as_of)


def _repeated(ledger: Ledger, panels: int, calls: int) -> Contender:
    mode = MODES[0]
    same = repeat(material.stamp(next(mode.times(seed=2))))
    ask = asking(ledger.store, panels, mode, ledger.rows)
    return Bunch(ask, same, calls).contender(f"again {panels}")


def _statement(ledger: Ledger, panels: int, mode: Mode) -> tuple[Statement, datetime]:
    """Return what panelcal itself sends to resolve, and the T in it."""
    at = next(mode.times(seed=3))
    with sent_to_sqlite() as sent, open_store(ledger.directory) as store:
        asking(store, panels, mode, ledger.rows)(material.stamp(at))
    found = [one for one in sent if "assignment" in one.sql and "constant_set" in one.sql]
    if len(found) != 1:
        msg = f"a resolve sent {len(found)} statements that look like the resolver's, not one"
        raise RuntimeError(msg)
    return found[0], at


@dataclass(frozen=True, slots=True)
class _Raw:
    sql: str
    values: Iterator[Any]


def _parameters(found: tuple[Statement, datetime], mode: Mode, panels: int) -> _Raw:
    statement, at = found
    old = to_microseconds(at)
    if old not in _values(statement):
        msg = "T is not among the parameters of the resolver's statement"
        raise RuntimeError(msg)
    times = mode.times(seed=3 + panels)
    return _Raw(statement.sql, (statement.with_value(old, to_microseconds(t)) for t in times))


def _values(statement: Statement) -> list[object]:
    parameters = statement.parameters
    return list(parameters.values() if isinstance(parameters, Mapping) else parameters)


def _executing(connection: sqlite3.Connection, sql: str) -> Callable[[Any], object]:
    return lambda parameters: connection.execute(sql, parameters).fetchall()
