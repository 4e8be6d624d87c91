"""Stores on a PostgreSQL server: made by URL, refused in words, equal to SQLite."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from builders import GainsTree, fingerprint, rows, shrink
from panelcal.cli import app
from panelcal.config import FILE_NAME, read_settings
from panelcal.domain.moments import time_zone
from panelcal.storage.store import create_store
from servers import own_database

Program = Callable[..., Result]

QUESTIONS = (
    ("170505-149520170815-3d00b0_170505-149520170815-3d00f7", "20171205161400"),
    ("171113-154920171025-3d00b0", "19990101000000"),
    ("171113-154920171025-3d00fb_171113-154920171025-3d00f7", "20180306000000"),
)


@pytest.fixture
def program() -> Program:
    """The program, on whatever store it is told."""
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def database_url(server: URL) -> Iterator[str]:
    """An empty database of this test's own."""
    with own_database(server) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture
def made(program: Program, database_url: str, tmp_path: Path) -> Path:
    """A store that `init` made by URL."""
    done = program("init", tmp_path / "made", "--database-url", database_url)
    assert done.exit_code == 0, done.output
    return tmp_path / "made"


def test_init_makes_a_store_that_names_its_database(made: Path, database_url: str) -> None:
    assert sorted(path.name for path in made.iterdir()) == [FILE_NAME, "payloads"]
    assert read_settings(made).database_url == database_url


def test_a_store_that_init_made_can_be_used(made: Path, program: Program) -> None:
    assert program("--store", made, "db", "check").exit_code == 0
    assert program("--store", made, "run", "list").exit_code == 0


def test_a_time_zone_is_kept_in_the_database(
    program: Program, database_url: str, tmp_path: Path
) -> None:
    program("init", tmp_path / "s", "--time-zone", "UTC", "--database-url", database_url)
    assert rows(tmp_path / "s", "SELECT time_zone FROM store") == [("UTC",)]


def test_a_database_that_holds_a_store_is_refused_and_kept(
    made: Path, program: Program, database_url: str, tmp_path: Path
) -> None:
    before = fingerprint(made)
    refused = program("init", tmp_path / "second", "--database-url", database_url)
    assert refused.exit_code == 4
    assert "already has panelcal schema" in refused.stderr
    assert not (tmp_path / "second").exists()
    assert fingerprint(made) == before


@pytest.mark.parametrize(
    "url", ["nonsense", "", "postgresql://h:port/d", "sqlite:///x.db", "mysql://me@host/db"]
)
def test_a_url_that_cannot_be_used_is_refused(program: Program, tmp_path: Path, url: str) -> None:
    refused = program("init", tmp_path / "s", "--database-url", url)
    assert refused.exit_code == 2
    assert "postgresql://USER@HOST/DATABASE" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_named_and_leaves_no_directory(
    program: Program, tmp_path: Path
) -> None:
    url = "postgresql://me:hunter2@127.0.0.1:1/db"
    refused = program("init", tmp_path / "s", "--database-url", url)
    assert refused.exit_code == 1
    assert "postgresql://me:***@127.0.0.1:1/db cannot be reached" in refused.stderr
    assert "is the server running?" in refused.stderr
    assert "hunter2" not in refused.output
    assert "Traceback" not in refused.output
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_exist_is_named(
    program: Program, server: URL, tmp_path: Path
) -> None:
    url = server.set(database="panelcal_nowhere").render_as_string(hide_password=False)
    refused = program("init", tmp_path / "s", "--database-url", url)
    assert refused.exit_code == 1
    assert "panelcal_nowhere" in refused.stderr
    assert "does not exist" in refused.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_store_whose_server_is_gone_says_so(program: Program, made: Path) -> None:
    (made / FILE_NAME).write_text('[database]\nurl = "postgresql://me:hunter2@127.0.0.1:1/db"\n')
    for command in (("run", "list"), ("db", "current"), ("db", "upgrade")):
        refused = program("--store", made, *command)
        assert refused.exit_code == 1
        assert "cannot be reached" in refused.stderr
        assert "hunter2" not in refused.output


def test_no_message_of_a_working_store_shows_the_password(
    program: Program, server: URL, tmp_path: Path
) -> None:
    with own_database(server) as url:
        # Where the server trusts everybody, any password opens the database.
        known = url.password or "hunter2"
        shown = url.set(password=known).render_as_string(hide_password=False)
        directory = tmp_path / "s"
        said = [
            program("init", directory, "--database-url", shown),
            program("init", tmp_path / "t", "--database-url", shown),
            program("--store", directory, "db", "upgrade"),
            program("--store", directory, "db", "downgrade", "base"),
            program("--store", directory, "db", "check"),
        ]
    assert [one.exit_code for one in said] == [0, 4, 0, 2, 0]
    assert not any(known in one.output for one in said)


def test_a_database_without_tables_is_refused_with_the_command_to_type(
    program: Program, made: Path, server: URL
) -> None:
    with own_database(server) as url:
        text = url.render_as_string(hide_password=False)
        (made / FILE_NAME).write_text(f'[database]\nurl = "{text}"\n', encoding="utf-8")
        refused = program("--store", made, "run", "list")
    assert refused.exit_code == 6
    assert f"panelcal --store {made} db upgrade" in refused.stderr


def test_equal_content_has_equal_tokens_on_both_engines(
    program: Program, database_url: str, page_tree: GainsTree, tmp_path: Path
) -> None:
    zone, now = time_zone("America/Los_Angeles"), datetime(2026, 1, 1, tzinfo=UTC)
    answers = []
    for directory, url in ((tmp_path / "lite", None), (tmp_path / "server", database_url)):
        create_store(directory, zone, now, url)
        shrink(directory)
        done = program("--store", directory, "import", "gains-tree", page_tree.path)
        assert done.exit_code == 0, done.output
        answers.append([_token(program, directory, *question) for question in QUESTIONS])
    assert answers[0] == answers[1]
    assert len(set(answers[0])) == len(QUESTIONS)


def _token(program: Program, directory: Path, detector: str, at: str) -> str:
    found = program("--store", directory, "resolve", detector, "--at", at, "--json")
    assert found.exit_code == 0, found.output
    return str(json.loads(found.stdout)["token"])
