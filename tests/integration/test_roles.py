"""``panelcal db roles``: who may read, add and administer, on PostgreSQL."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import URL, make_url
from typer.testing import CliRunner, Result

from builders import GainsTree, fingerprint, rows, write_delivery
from conftest import RunsProgram
from panelcal.cli import app
from panelcal.config import FILE_NAME, Settings, read_settings, settings_text
from panelcal.storage.roles import ADDED_TO
from panelcal.storage.tables import Base
from servers import administer

PANEL, OTHER = "171113-154920171025-3d00b0", "171113-154920171025-3d00fb"
ROLES = ("reader", "curator", "admin")
RUN = ("run", "add", "exp=xcsls3716:run=631", "-s", "XcsEndstation.0:Jungfrau.0")
ASSIGN = ("assign", PANEL, "M088", "--from", "20180101000000", "--reason", "mixed up")
TAG = ("tag", "create", "run18-v1", "--reason", "frozen")

on_postgresql = pytest.mark.parametrize("empty_store", ["postgresql"], indirect=True)

REWRITES = (
    *(f"{verb} {table}" for table in ADDED_TO for verb in ("DELETE FROM", "TRUNCATE")),
    *(f"ALTER TABLE {table} DISABLE TRIGGER ALL" for table in ADDED_TO),
    "UPDATE assignment SET reason = 'x'",
    "UPDATE kind SET unit = 'x'",
    "UPDATE store SET time_zone = 'UTC'",
    "INSERT INTO detector_type SELECT * FROM detector_type",
    "UPDATE alembic_version SET version_num = '0001'",
    "DROP TABLE assignment CASCADE",
    "DROP TRIGGER assignment_refuses_change ON assignment",
    "DROP FUNCTION panelcal_refuse_change() CASCADE",
    "DROP VIEW ledger",
    (
        "CREATE OR REPLACE FUNCTION panelcal_refuse_change() RETURNS trigger LANGUAGE plpgsql "
        "AS $$ BEGIN RETURN NEW; END $$"
    ),
    "CREATE TABLE stray (id integer)",
    "SET session_replication_role = replica",
)


@pytest.fixture
def store_on_server(
    empty_store: Path, store_dir: Path, panelcal: RunsProgram, page_tree: GainsTree
) -> Path:
    """A store on PostgreSQL with the page's tree."""
    assert read_settings(empty_store).database_url, "roles are nothing to SQLite"
    done = panelcal("import", "gains-tree", page_tree.path)
    assert done.exit_code == 0, done.output
    return store_dir


@dataclass(frozen=True)
class Member:
    """Somebody with a role, and a store's directory that says who they are."""

    store: Path

    def __call__(self, *arguments: str | Path) -> Result:
        """Run the program as that user."""
        typed = [str(one) for one in ("--store", self.store, *arguments)]
        return CliRunner().invoke(app, typed)

    def sql(self, statement: str) -> None:
        """Run a statement as that user, past panelcal."""
        with psycopg.connect(str(read_settings(self.store).database_url)) as connection:
            connection.execute(statement.encode())

    def is_denied(self, statement: str) -> bool:
        """Say whether the server refuses a statement for want of a privilege."""
        try:
            self.sql(statement)
        except psycopg.errors.InsufficientPrivilege:
            return True
        return False


@dataclass(frozen=True)
class Grants:
    """Makes the roles in a store's database, and users who are given them."""

    prefix: str
    store: Path
    url: URL

    def sql(self, printed: Result) -> None:
        """Run what the program printed, as the owner of the database."""
        assert printed.exit_code == 0, printed.output
        plain = self.url.render_as_string(hide_password=False)
        with psycopg.connect(plain, autocommit=True) as connection:
            connection.execute(printed.stdout.encode())

    def member(self, role: str) -> Member:
        """Make a user with one of the roles, and a copy of the store that names it."""
        user = f"{self.prefix}_{role}_user"
        administer(self.url, f"CREATE ROLE {user} LOGIN PASSWORD 'x' IN ROLE {self.prefix}_{role}")
        copy = self.store.with_name(f"store of {role}")
        copy.mkdir()
        # One directory of payloads for all, as on a shared disk.
        (copy / "payloads").symlink_to(self.store / "payloads")
        own = self.url.set(username=user, password="x")
        text = settings_text(Settings(own.render_as_string(hide_password=False)))
        (copy / FILE_NAME).write_text(text, encoding="utf-8")
        return Member(copy)


@pytest.fixture
def grants(store_on_server: Path, panelcal: RunsProgram) -> Iterator[Grants]:
    """The roles in the database of the store, under a prefix of this test's own."""
    own = f"t{uuid4().hex[:12]}"
    url = make_url(str(read_settings(store_on_server).database_url))
    made = Grants(own, store_on_server, url)
    try:
        made.sql(panelcal("db", "roles", "--prefix", own))
        yield made
    finally:
        # Roles are of the whole server: they would outlive the database.
        for name in (f"{own}_{role}{end}" for role in ROLES for end in ("_user", "")):
            administer(
                url,
                f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN "
                f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}; "
                f"DROP ROLE {name}; END IF; END $$",
            )


@pytest.fixture
def reader(grants: Grants) -> Member:
    """Somebody who may read."""
    return grants.member("reader")


@pytest.fixture
def curator(grants: Grants) -> Member:
    """Somebody who may read and add."""
    return grants.member("curator")


@pytest.fixture
def admin(grants: Grants) -> Member:
    """Somebody who may run migrations."""
    return grants.member("admin")


@on_postgresql
def test_a_reader_can_resolve(reader: Member) -> None:
    found = reader("resolve", PANEL, "--at", "20180102000000", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["panels"][0]["module"] == "M068"


@on_postgresql
def test_a_reader_can_ask_every_view(reader: Member) -> None:
    for view in ("current_assignment", "ledger", "deployed", "panel_by_serial", "run_use"):
        rows(reader.store, f"SELECT * FROM {view}")


@on_postgresql
@pytest.mark.parametrize(
    "arguments", [ASSIGN, TAG, (*RUN, "--begin", "20171205161400")], ids=lambda one: one[0]
)
def test_a_reader_cannot_write(
    reader: Member, store_on_server: Path, arguments: tuple[str, ...]
) -> None:
    before = fingerprint(store_on_server)
    refused = reader(*arguments)
    assert refused.exit_code == 1
    assert "may only be read by this user" in refused.stderr
    assert "ask for the curator role" in refused.stderr
    assert fingerprint(store_on_server) == before


@on_postgresql
def test_a_reader_who_delivers_or_imports_leaves_neither_row_nor_payload(
    reader: Member, store_on_server: Path, page_tree: GainsTree, tmp_path: Path
) -> None:
    delivery = write_delivery(tmp_path / "M099", 9)
    page_tree.module("M100", seed=100)
    page_tree.link(OTHER + "-20200101000000", "M100")
    rows_before, payloads_before = fingerprint(store_on_server)
    assert reader("module", "add", "M099", delivery, "--reason", "r").exit_code == 1
    assert reader("import", "gains-tree", page_tree.path).exit_code == 1
    rows_after, payloads_after = fingerprint(store_on_server)
    assert rows_after == rows_before
    assert sorted(payloads_after) == sorted(payloads_before)


@on_postgresql
def test_a_curator_can_do_the_daily_work(curator: Member, tmp_path: Path) -> None:
    delivery = write_delivery(tmp_path / "M099", 9)
    (tmp_path / "data").mkdir()
    for command in (
        ("module", "add", "M099", delivery, "--reason", "new"),
        ("assign", "171113-154920171025-3d0001", "M099", "--from-beginning", "--reason", "new"),
        ASSIGN,
        ("withdraw", OTHER, "--from", "20200101000000", "--reason", "water"),
        (*RUN, "--begin", "20171205161400", "--detector-id", PANEL),
        ("export", "exp=xcsls3716:run=631", "--calib-dir", tmp_path / "data/calib", "--deploy"),
        TAG,
    ):
        done = curator(*command)
        assert done.exit_code == 0, done.output


@on_postgresql
def test_a_curator_is_granted_nothing_that_rewrites_history(curator: Member) -> None:
    assert [statement for statement in REWRITES if not curator.is_denied(statement)] == []


@on_postgresql
def test_only_the_owner_may_change_a_row_of_any_table(reader: Member, curator: Member) -> None:
    granted = (
        "SELECT table_name FROM information_schema.table_privileges WHERE privilege_type "
        "IN ('UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER') AND table_schema = 'public'"
    )
    for member in (reader, curator):
        assert rows(member.store, granted) == []


@on_postgresql
def test_an_admin_can_take_the_schema_down_and_up(
    admin: Member, store_on_server: Path, panelcal: RunsProgram
) -> None:
    before = rows(store_on_server, "SELECT * FROM assignment ORDER BY id")
    for command in (("db", "downgrade", "0001", "--yes"), ("db", "upgrade"), ("db", "check")):
        done = admin(*command)
        assert done.exit_code == 0, done.output
    assert rows(store_on_server, "SELECT * FROM assignment ORDER BY id") == before
    assert panelcal("resolve", PANEL).exit_code == 0


@on_postgresql
def test_a_reader_can_read_again_after_an_upgrade_and_the_roles_sql(
    admin: Member, reader: Member, grants: Grants, panelcal: RunsProgram
) -> None:
    admin("db", "downgrade", "0001", "--yes")
    admin("db", "upgrade")
    grants.sql(panelcal("db", "roles", "--prefix", grants.prefix))
    assert reader("tag", "list").exit_code == 0
    assert reader(*TAG).exit_code == 1


@on_postgresql
def test_running_the_sql_twice_does_no_harm(
    grants: Grants, panelcal: RunsProgram, store_on_server: Path
) -> None:
    before = fingerprint(store_on_server)
    grants.sql(panelcal("db", "roles", "--prefix", grants.prefix))
    assert fingerprint(store_on_server) == before
    curator = grants.member("curator")
    assert curator(*ASSIGN).exit_code == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        curator.sql("DELETE FROM assignment")


def test_the_sql_names_every_table(program: Callable[..., Result]) -> None:
    printed = program("db", "roles").stdout
    assert all(f"ALTER TABLE {table} OWNER" in printed for table in Base.metadata.tables)


@pytest.fixture
def program() -> Callable[..., Result]:
    """The program without a store: the SQL is only printed."""
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("prefix", ["", "Upper", "a b", 'a"; DROP TABLE tag; --', "1st", "é"])
def test_a_bad_prefix_is_refused(program: Callable[..., Result], prefix: str) -> None:
    refused = program("db", "roles", "--prefix", prefix)
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "small letters, digits and underscores" in refused.stderr


def test_a_bad_schema_is_refused(program: Callable[..., Result]) -> None:
    assert program("db", "roles", "--schema", "public; --").exit_code == 2
