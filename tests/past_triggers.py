"""Rows changed as by somebody with the database's own client, past what refuses it."""

import sqlite3
from pathlib import Path

import psycopg

from panelcal.config import read_settings


def change_past_triggers(store: Path, *statements: str) -> None:
    """Run statements with no trigger and no foreign key to stop them; the triggers stay."""
    url = read_settings(store).database_url
    if url is not None:
        with psycopg.connect(url) as server:
            server.execute("SET session_replication_role = replica")
            for statement in statements:
                server.execute(statement.encode())
        return
    connection = sqlite3.connect(store / "panelcal.db", isolation_level=None)
    try:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")
    finally:
        connection.close()
