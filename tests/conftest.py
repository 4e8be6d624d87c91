"""Fixtures: real stores from migrations, real trees of links, the program itself."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import URL, text
from typer.testing import CliRunner, Result

from builders import TREE_SHAPE, Clock, GainsTree, fingerprint
from panelcal.cli import app
from panelcal.domain.moments import time_zone
from panelcal.storage.store import OpenStore, create_store, open_store
from servers import copied_store, own_database, postgresql_server


class RunsProgram(Protocol):
    """Runs ``panelcal`` with arguments, in this process, on the test's store."""

    def __call__(self, *arguments: str | Path) -> Result: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out PostgreSQL where it has no say: in SQLite's own file, in exported files."""
    items[:] = [
        item
        for item in items
        if not (item.get_closest_marker("sqlite_only") and "postgresql" in item.name)
    ]


@pytest.fixture(scope="session")
def server() -> Iterator[URL]:
    """A PostgreSQL server, or a loud skip; in CI its absence is a failure."""
    with postgresql_server() as found:
        if found is None and os.environ.get("CI"):
            pytest.fail("CI has no PostgreSQL server: half of the promises would go untested")
        if found is None:
            pytest.skip("no PostgreSQL server: set PANELCAL_TEST_POSTGRES, or start one")
        yield found


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def empty_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A store as `panelcal init` makes it, for panels of 4 x 8 pixels.

    The shape of a panel is data of its detector type, so that tests need not
    move megabytes; the demo and its tests use the real shape.
    """
    directory = tmp_path_factory.mktemp("template") / "store"
    zone, now = time_zone("America/Los_Angeles"), datetime(2026, 1, 1, tzinfo=UTC)
    if request.param == "sqlite":
        create_store(directory, zone, now)
        _shrink(directory)
        yield directory
        return
    server = request.getfixturevalue("server")
    with own_database(server) as url:
        create_store(directory, zone, now, url.render_as_string(hide_password=False))
        _shrink(directory)
        yield directory


def _shrink(directory: Path) -> None:
    _, rows, columns = TREE_SHAPE
    with open_store(directory) as store, store.database.writing() as connection:
        connection.execute(
            text("UPDATE detector_type SET panel_rows = :rows, panel_columns = :columns"),
            {"rows": rows, "columns": columns},
        )


@pytest.fixture
def store_dir(tmp_path: Path, empty_store: Path) -> Iterator[Path]:
    """The directory of an empty store of this test's own."""
    with copied_store(empty_store, tmp_path / "store") as directory:
        yield directory


@pytest.fixture
def store(store_dir: Path) -> Iterator[OpenStore]:
    """An empty store, opened."""
    with open_store(store_dir) as opened:
        yield opened


@pytest.fixture
def clock() -> Clock:
    """A clock that moves on by a second each time it is read."""
    return Clock(datetime(2026, 2, 1, tzinfo=UTC))


@pytest.fixture
def tree(tmp_path: Path) -> GainsTree:
    """An empty gains tree to be filled."""
    directory = tmp_path / "jungfrau"
    directory.mkdir()
    return GainsTree(directory)


@pytest.fixture
def page_tree(tree: GainsTree) -> GainsTree:
    """The tree of the page: three modules, five links, two of them without a stamp."""
    for seed, module in enumerate(("M044", "M068", "M088")):
        tree.module(module, seed=seed)
    tree.link("170505-149520170815-3d00b0-20171025000000", "M068")
    tree.link("170505-149520170815-3d00f7-20171025000000", "M088")
    tree.link("171113-154920171025-3d00b0", "M068")
    tree.link("171113-154920171025-3d00f7", "M088")
    tree.link("171113-154920171025-3d00fb-20180306000000", "M044")
    return tree


@pytest.fixture
def panelcal(store_dir: Path, monkeypatch: pytest.MonkeyPatch) -> RunsProgram:
    """The program, with the test's store in its environment."""
    monkeypatch.setenv("PANELCAL_STORE", str(store_dir))
    monkeypatch.setenv("LOGNAME", "tester")
    runner = CliRunner()

    def run(*arguments: str | Path) -> Result:
        return runner.invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def nothing_written(store_dir: Path) -> Callable[[], AbstractContextManager[None]]:
    """A context that fails if the store is not bit by bit as before."""

    @contextmanager
    def check() -> Iterator[None]:
        before = fingerprint(store_dir)
        yield
        assert fingerprint(store_dir) == before

    return check
