"""The SQL that the running program sends, with its parameters, as the driver gets it."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

Parameters = Sequence[Any] | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """What was sent to SQLite.

    Parameters
    ----------
    sql : str
        The text.
    parameters : sequence or mapping
        What stands for its place-holders.
    """

    sql: str
    parameters: Parameters

    def with_value(self, old: object, new: object) -> Parameters:
        """Return the parameters with one value in place of another."""
        if isinstance(self.parameters, Mapping):
            return {name: new if value == old else value for name, value in self.parameters.items()}
        return tuple(new if value == old else value for value in self.parameters)


@contextmanager
def sent_to_sqlite() -> Iterator[list[Statement]]:
    """Collect the statements of connections that are made meanwhile.

    The driver itself is asked, and not its trace, which shows parameters only as
    parts of the text; whatever stands between panelcal and the driver makes no
    difference.
    """
    sent: list[Statement] = []

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> "Cursor":
            sent.append(Statement(sql, parameters))
            super().execute(sql, parameters)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, factory: Any = Cursor) -> Any:
            return super().cursor(factory)

        def execute(self, sql: str, parameters: Any = (), /) -> Any:
            # The driver's own shortcut passes cursor() by.
            return self.cursor().execute(sql, parameters)

    connect = sqlite3.connect

    def connected(*arguments: Any, **options: Any) -> Any:
        return connect(*arguments, **options | {"factory": Connection})

    with mock.patch("sqlite3.connect", connected):
        yield sent
