"""Reading rows, in a unit of work or straight through the database's driver.

Two kinds of callers read: those inside a unit of work, by SQLAlchemy's connection,
and those that ask one question of a store and want the answer at once. For these
SQLAlchemy would cost ten times what the question costs, and most of the start of a
program; so this module does without it. Both are asked in the same SQL text.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from panelcal.errors import PanelcalError

if TYPE_CHECKING:
    from sqlalchemy import Connection, TextClause

    Readable: TypeAlias = "Connection | Reader | Snapshot"

Parameters = Mapping[str, str | int | None]

_serials = count()


class DriverConnection(Protocol):
    """A connection of a driver, on which every statement is a transaction by itself."""

    def execute(self, statement: str, parameters: Any = ..., /) -> Any:
        """Run a statement; what is returned has ``fetchall()``."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Driver:
    """How an engine's driver is spoken to.

    Parameters
    ----------
    connect : callable
        Opens a connection that cannot write.
    begin : str
        Statement that opens a transaction which sees one state throughout.
    spelled : callable
        Returns a statement, with its ``:name`` parameters, as the driver spells it.
    error : type
        What the driver raises.
    is_lost : callable
        Says whether a connection has ended, so that another may be tried.
    translated : callable
        Turns an error of the driver into one of ours.
    version : str
        Statement whose value changes with every commit of anybody else.
    """

    connect: Callable[[], DriverConnection]
    begin: str
    spelled: Callable[[str], str]
    error: type[Exception]
    is_lost: Callable[[Any], bool]
    translated: Callable[[Exception], PanelcalError]
    version: str


@dataclass(frozen=True, slots=True)
class _Held:
    """A connection, the process that opened it, and a number of its own."""

    connection: DriverConnection
    process: int
    serial: int


class Reader:
    """A database asked through its driver: every statement sees what is committed.

    Connections are kept for the next question of whatever thread. One that was left in
    the middle of something, by Ctrl-C for instance, is closed and never used again.

    Parameters
    ----------
    driver : Driver
        The engine's.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._idle: list[_Held] = []
        self._inherited: list[_Held] = []

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement with ``:name`` parameters.

        Raises
        ------
        PanelcalError
            What the engine makes of the driver's error.
        """
        held, found = self._asked(self._driver.spelled(statement), parameters)
        self._idle.append(held)
        return found

    def version(self) -> tuple[int, int | str]:
        """Return what stays equal until somebody commits a change.

        It names the connection that was asked as well, for which alone it can be compared.
        """
        held, found = self._asked(self._driver.version, {})
        self._idle.append(held)
        return held.serial, found[0][0]

    def _asked(self, spelled: str, parameters: Parameters) -> tuple[_Held, list[Any]]:
        """Ask on a connection that nobody else uses, which is the caller's then."""
        held = self._taken()
        try:
            return held, held.connection.execute(spelled, parameters).fetchall()
        except self._driver.error as error:
            if not self._driver.is_lost(held.connection):
                self._idle.append(held)
                raise self._driver.translated(error) from error
        except BaseException:
            self._discard(held)
            raise
        # The server ended the connection since the last question: ask on a new one.
        held = self._connected()
        with self._discarded_on_error(held):
            return held, held.connection.execute(spelled, parameters).fetchall()

    @contextmanager
    def _discarded_on_error(self, held: _Held) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._discard(held)
            if isinstance(error, self._driver.error):
                raise self._driver.translated(error) from error
            raise

    @contextmanager
    def snapshot(self) -> Iterator["Snapshot"]:
        """Answer several questions from one state of the database."""
        held = self._begun()
        is_sound = False
        try:
            yield Snapshot(self._driver, held.connection)
            is_sound = True
        except PanelcalError:
            is_sound = True
            raise
        finally:
            self._end(held, is_sound=is_sound)

    def _begun(self) -> _Held:
        # Asked first, so that a connection which the server has ended is replaced.
        held, _ = self._asked(self._driver.version, {})
        with self._discarded_on_error(held):
            held.connection.execute(self._driver.begin)
        return held

    def _end(self, held: _Held, *, is_sound: bool) -> None:
        """End a snapshot; whatever is in doubt is not used again."""
        is_reusable = False
        try:
            if is_sound:
                held.connection.execute("ROLLBACK")
                is_reusable = True
        except self._driver.error:
            # The connection is lost, and the transaction has ended with it.
            is_reusable = False
        finally:
            if is_reusable:
                self._idle.append(held)
            else:
                self._discard(held)

    def _taken(self) -> _Held:
        while self._idle:
            try:
                held = self._idle.pop()
            except IndexError:
                # Another thread was first.
                break
            if held.process == os.getpid():
                return held
            # After a fork: the other process uses it still, and must not lose it.
            self._inherited.append(held)
        return self._connected()

    def _connected(self) -> _Held:
        try:
            return _Held(self._driver.connect(), os.getpid(), next(_serials))
        except self._driver.error as error:
            raise self._driver.translated(error) from error

    def _discard(self, held: _Held) -> None:
        with suppress(self._driver.error):
            held.connection.close()

    def close(self) -> None:
        """Close every connection that this process opened and nobody is using."""
        opened, self._idle = self._idle, []
        for held in opened:
            if held.process == os.getpid():
                held.connection.close()
            else:
                self._inherited.append(held)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a database, for as long as `Reader.snapshot` keeps it."""

    driver: Driver
    connection: DriverConnection

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Sequence[Any]]:
        """Return the rows of a statement, as `Reader.rows` does."""
        try:
            found: list[Any] = self.connection.execute(
                self.driver.spelled(statement), parameters
            ).fetchall()
        except self.driver.error as error:
            raise self.driver.translated(error) from error
        return found


def rows_of(
    source: "Readable", statement: str, parameters: Parameters | None = None
) -> Sequence[Sequence[Any]]:
    """Return the rows of a statement, whichever way the database is asked.

    Parameters
    ----------
    source : sqlalchemy.Connection, Reader or Snapshot
        A unit of work, or the driver.
    statement : str
        With ``:name`` parameters, the same for every engine.
    """
    if isinstance(source, Reader | Snapshot):
        return source.rows(statement, parameters or {})
    return source.execute(_clause(statement), parameters or {}).all()


@lru_cache(maxsize=256)
def _clause(statement: str) -> "TextClause":
    from sqlalchemy import text

    return text(statement)
