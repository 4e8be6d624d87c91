"""Fixtures: real stores from migrations, real trees of links, the program itself."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest
from sqlalchemy import URL
from typer.testing import CliRunner, Result

from builders import Clock, GainsTree, create_small_store, fingerprint
from bundle_material import tell
from panelcal.cli import app
from panelcal.storage.store import OpenStore, open_store
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
    """A store as `panelcal init` makes it, for small panels."""
    directory = tmp_path_factory.mktemp("template") / "store"
    if request.param == "sqlite":
        create_small_store(directory)
        yield directory
        return
    server = request.getfixturevalue("server")
    with own_database(server) as url:
        create_small_store(directory, url.render_as_string(hide_password=False))
        yield directory


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


@pytest.fixture(scope="session")
def told_template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with the history of `bundle_material`."""
    scratch = tmp_path_factory.mktemp("told")
    with copied_store(empty_store, scratch / "store") as directory:
        with open_store(directory) as store:
            tell(store, scratch)
        yield directory


@pytest.fixture
def told(tmp_path: Path, told_template: Path) -> Iterator[OpenStore]:
    """This test's own copy of that store, opened."""
    with (
        copied_store(told_template, tmp_path / "told") as directory,
        open_store(directory) as opened,
    ):
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
