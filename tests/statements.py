"""What is sent to a database: every statement, whichever way it goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import event

from panelcal.storage.database import Database

AROUND = ("BEGIN", "PRAGMA", "COMMIT", "ROLLBACK", "SET", "SELECT pg_current_snapshot")


class Noting:
    """A driver's connection that notes what it is asked."""

    def __init__(self, connection: Any, sent: list[str]) -> None:
        self._connection = connection
        self._sent = sent

    def execute(self, statement: str, *parameters: Any) -> Any:
        self._sent.append(statement)
        return self._connection.execute(statement, *parameters)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements, without those that open, close and compare transactions."""
    sent: list[str] = []
    everything: list[str] = []
    reader = database.reader
    driver = reader._driver
    reader.close()
    reader._driver = replace(driver, connect=lambda: Noting(driver.connect(), everything))

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        everything.append(statement)

    event.listen(database._engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(database._engine, "before_cursor_execute", note)
        reader.close()
        reader._driver = driver
        sent += [one for one in everything if not one.lstrip().startswith(AROUND)]
