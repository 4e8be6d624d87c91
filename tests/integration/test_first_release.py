"""A store as the first release left it, with schema 0001, still gives its answers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect
from typer.testing import CliRunner, Result

from builders import fingerprint, rows
from panelcal.cli import app
from panelcal.storage.seals import broken_seals
from panelcal.storage.store import open_database, open_store

KEPT = Path(__file__).parents[1] / "data" / "store-0001"
TOKENS: list[dict[str, Any]] = json.loads((KEPT / "tokens.json").read_text(encoding="utf-8"))

Program = Callable[..., Result]


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """A copy of the store."""
    return shutil.copytree(KEPT, tmp_path / "store")


@pytest.fixture
def program(old_store: Path) -> Program:
    """The program, on the copy."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--store", str(old_store), *arguments])

    return run


def answers(program: Program) -> list[dict[str, Any]]:
    """Ask every question that was asked of the first release."""
    found = []
    for question in TOKENS:
        at = [] if question["at"] is None else ["--at", question["at"]]
        done = program("resolve", question["target"], *at, "--json")
        assert done.exit_code == 0, done.output
        found.append({**question, "token": json.loads(done.stdout)["token"]})
    return found


def test_it_is_refused_with_the_command_to_type(program: Program, old_store: Path) -> None:
    refused = program("resolve", TOKENS[0]["target"])
    assert refused.exit_code == 6
    assert "has schema 0001, older than" in refused.stderr
    assert f"panelcal --store {old_store} db upgrade" in refused.stderr


def test_refusing_it_changes_nothing(program: Program, old_store: Path) -> None:
    before = fingerprint(old_store)
    program("tag", "create", "t", "--reason", "r")
    assert fingerprint(old_store) == before


def test_upgraded_it_resolves_to_the_same_tokens(program: Program) -> None:
    assert program("db", "upgrade").exit_code == 0
    assert answers(program) == TOKENS


def test_upgrading_keeps_every_row_and_payload(program: Program, old_store: Path) -> None:
    tables, files = fingerprint(old_store)
    with open_database(old_store) as database, database.reading() as connection:
        columns = {
            name: ", ".join(column["name"] for column in inspect(connection).get_columns(name))
            for name in tables
            if name != "alembic_version"
        }
    assert program("db", "upgrade").exit_code == 0
    for name, former in columns.items():
        kept = rows(old_store, f"SELECT {former} FROM {name}")
        assert sorted(map(repr, kept)) == tables[name]
    assert fingerprint(old_store)[1] == files


def test_upgraded_every_row_has_the_seal_that_is_expected_of_it(
    program: Program, old_store: Path
) -> None:
    program("db", "upgrade")
    with open_store(old_store) as store:
        assert list(broken_seals(store.database.reader)) == []
    for table in ("store", "constant_set", "assignment", "run"):
        assert all(len(seal) == 64 for (seal,) in rows(old_store, f"SELECT seal FROM {table}"))


def test_down_to_the_first_release_and_up_again_it_resolves_to_the_same_tokens(
    program: Program, old_store: Path
) -> None:
    before = fingerprint(old_store)
    assert program("db", "upgrade").exit_code == 0
    assert program("db", "downgrade", "0001", "--yes").exit_code == 0
    assert fingerprint(old_store) == before
    assert program("db", "upgrade").exit_code == 0
    assert answers(program) == TOKENS


def test_upgraded_its_history_is_told_and_cannot_be_changed(
    program: Program, old_store: Path
) -> None:
    program("db", "upgrade")
    told = rows(
        old_store,
        "SELECT module, recorded_at, superseded_at FROM ledger "
        "WHERE panel = '171113-154920171025-3d00fb' ORDER BY assignment_id",
    )
    assert told == [
        ("M088", "2026-01-02T00:00:00.000000Z", "2026-01-05T00:00:00.000000Z"),
        ("M044", "2026-01-05T00:00:00.000000Z", None),
    ]
    assert program("db", "check").exit_code == 0


def test_upgraded_it_answers_as_of_before_the_correction(program: Program) -> None:
    program("db", "upgrade")
    question = ("resolve", "171113-154920171025-3d00fb", "--at", "20180307000000", "--json")
    before = program(*question, "--as-of", "2026-01-04T00:00:00Z")
    assert json.loads(before.stdout)["panels"][0]["module"] == "M088"
    assert json.loads(program(*question).stdout)["panels"][0]["module"] == "M044"


def test_upgraded_its_arrays_can_be_read(program: Program, tmp_path: Path) -> None:
    program("db", "upgrade")
    target = str(tmp_path / "gain.npy")
    done = program("get", "exp=xcsls3716:run=631", "-k", "pixel_gain", "-o", target)
    assert done.exit_code == 0, done.output
