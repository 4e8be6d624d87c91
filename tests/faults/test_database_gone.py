"""A database that goes away in the middle of a unit of work: nothing is half there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

import panelcal as api
from builders import create_small_store, rows
from faults.places import NEW_FB
from panelcal.errors import NotFoundError, PanelcalError
from panelcal.storage.database import Database
from panelcal.storage.store import open_database
from servers import Cluster, own_cluster, own_database

PANELS = "SELECT name FROM panel ORDER BY name"
ADD = (
    "INSERT INTO panel (detector_type_id, name, module_version, firmware, serial) "
    "VALUES (1, '{0}', '1', '2', '{0}')"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of our own, which may be restarted."""
    with own_cluster() as found:
        if found is None:
            pytest.skip("no initdb here, or no user to run it as")
        yield found


@pytest.fixture
def restartable(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """A store on that server."""
    with own_database(cluster.url) as url:
        create_small_store(tmp_path / "store", url.render_as_string(hide_password=False))
        yield tmp_path / "store"


def write(database: Database, name: str) -> None:
    with database.writing() as connection:
        connection.execute(text(ADD.format(name)))


def test_a_restart_under_a_writer_is_told_and_leaves_nothing(
    cluster: Cluster, restartable: Path
) -> None:
    with open_database(restartable) as database:
        with pytest.raises(PanelcalError, match="postgresql://") as caught:
            with database.writing() as connection:
                connection.execute(text(ADD.format("a")))
                cluster.restart()
                connection.execute(text(ADD.format("b")))
        assert caught.value.exit_code == 1
        assert caught.value.hint
        assert rows(restartable, PANELS) == []
        write(database, "c")
    assert rows(restartable, PANELS) == [("c",)]


def test_a_restart_before_the_commit_is_told_and_leaves_nothing(
    cluster: Cluster, restartable: Path
) -> None:
    with open_database(restartable) as database:
        with pytest.raises(PanelcalError, match="postgresql://"):
            with database.writing() as connection:
                connection.execute(text(ADD.format("a")))
                cluster.restart()
        assert rows(restartable, PANELS) == []


def test_a_store_that_stays_open_answers_again_after_a_restart(
    cluster: Cluster, restartable: Path
) -> None:
    with api.open_store(restartable) as store:
        with pytest.raises(NotFoundError):
            store.resolve(NEW_FB, "20180419000000")
        cluster.restart()
        with pytest.raises(NotFoundError):
            store.resolve(NEW_FB, "20180419000000")


def test_a_server_that_stays_away_is_told_in_words(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.url.set(query={"host": str(tmp_path)})
    with Database(url) as database, pytest.raises(PanelcalError, match="cannot be reached") as no:
        write(database, "a")
    assert no.value.exit_code == 1
