"""Places: a store with all that a job reads and writes, prepared once and copied for every kill."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from builders import GainsTree, create_small_store, write_delivery
from faults.forks import Forks
from panelcal.config import read_settings
from panelcal.storage.migrate import revisions
from servers import copied_store, own_database

OLD_B0, OLD_F7 = "170505-149520170815-3d00b0", "170505-149520170815-3d00f7"
NEW_FB = "171113-154920171025-3d00fb"
OLD = f"{OLD_B0}_{OLD_F7}"
SOURCE = "XcsEndstation.0:Jungfrau.0"
HEADING = "experiment,run,source,begin,detector_id,modules"
RUNS = (
    # Before the first assignment: keeps what it reads, and gets a copy.
    f"xcsls3716,610,{SOURCE},20170901000000,{OLD},",
    # A stale file is there already.
    f"xcsls3716,631,{SOURCE},20171205161400,{OLD},",
    f"xcsls3716,632,{SOURCE},20171205161400,{OLD},",
    f"xcsx22015,5,{SOURCE},20180401000000,{NEW_FB},",
    f"xcsx22015,9,{SOURCE},20180401000000,{OLD},",
)
MORE_RUNS = (
    f"mfxlp6515,12,{SOURCE},20180419000000,{NEW_FB},",
    f"mfxlp6515,13,{SOURCE},,,M044 M068",
)
FIRST_RELEASE = Path(__file__).parents[1] / "data" / "store-0001"


@dataclass(frozen=True, slots=True)
class Place:
    """A directory with a store and what belongs to it.

    Parameters
    ----------
    directory : Path
        Everything is below it.
    url : str or None
        An empty database of a server, for a store that is still to be made.
    """

    directory: Path
    url: str | None = None

    @property
    def store(self) -> Path:
        """The store, which may not be there yet."""
        return self.directory / "store"

    @property
    def tree(self) -> Path:
        """A gains tree."""
        return self.directory / "jungfrau"

    @property
    def delivery(self) -> Path:
        """A delivery of one module."""
        return self.directory / "delivery"

    @property
    def root(self) -> Path:
        """A calib root."""
        return self.directory / "root"

    @property
    def calib(self) -> Path:
        """The calib directory of the experiment whose files are stale."""
        return self.root / "XCS" / "xcsls3716" / "calib"

    @property
    def out(self) -> Path:
        """A directory for files."""
        return self.directory / "out"

    def command(self, *arguments: str | Path) -> list[str]:
        """Return a command on the store."""
        return ["--store", str(self.store), *map(str, arguments)]

    @property
    def database_url(self) -> str | None:
        """URL of the store's database, None for SQLite."""
        settings = read_settings(self.store) if self.store.is_dir() else None
        return self.url if settings is None else settings.database_url


Prepare = Callable[[Place, Forks], None]


def _run(place: Place, forks: Forks, *arguments: str | Path) -> None:
    ended = forks([place.command(*arguments)], place.directory)
    assert ended.code == 0, ended.complained


def _lay_out(place: Place) -> None:
    tree = GainsTree(place.tree)
    for seed, module in enumerate(("M044", "M068", "M088")):
        tree.module(module, seed)
    tree.link(f"{OLD_B0}-20171025000000", "M068")
    tree.link(f"{OLD_F7}-20171025000000", "M088")
    tree.link("171113-154920171025-3d00b0", "M068")
    tree.link(f"{NEW_FB}-20180306000000", "M044")
    write_delivery(place.delivery, seed=7)
    place.out.mkdir()
    (place.directory / "here").mkdir()
    for name, lines in (("runs.csv", RUNS), ("more.csv", MORE_RUNS)):
        text = "\n".join([HEADING, *lines, ""])
        (place.directory / name).write_text(text, encoding="ascii")


def fill(place: Place, forks: Forks) -> None:
    """Bring in the tree and the runs; calib directories and a DCS file are as of another day."""
    _run(place, forks, "import", "gains-tree", place.tree)
    _run(place, forks, "import", "runs", place.directory / "runs.csv")
    _run(place, forks, "export", "exp=xcsls3716:run=631", "--dcs", place.out)
    _run(place, forks, "assign", OLD_B0, "M044", "--from", "20180101000000", "--reason", "r")
    for kind in ("pixel_gain", "pixel_offset"):
        folder = place.calib / "Jungfrau::CalibV1" / SOURCE / kind
        folder.mkdir(parents=True)
        (folder / "0-end.data").write_text("1 2\n", encoding="ascii")
        (folder / "631-end.data").write_text("3 4\n", encoding="ascii")


def go_back(place: Place, forks: Forks) -> None:
    """Leave a filled store with the schema before the newest."""
    fill(place, forks)
    _run(place, forks, "db", "downgrade", revisions()[-2], "--yes")


def put_bundle(place: Place, forks: Forks) -> None:
    """Lay a bundle and a backup of another store beside an empty one."""
    other = Place(place.directory / "other")
    create_small_store(other.store)
    _run(other, forks, "import", "gains-tree", place.tree)
    _run(other, forks, "module", "add", "M099", place.delivery, "--reason", "r")
    _run(other, forks, "bundle", "create", place.out / "bundle.zip", "--detector", OLD)
    _run(other, forks, "backup", place.out / "backup")
    shutil.rmtree(other.directory)


def put_old_backup(place: Place, forks: Forks) -> None:
    """Leave a store that went on after its backup."""
    fill(place, forks)
    _run(place, forks, "backup", place.out / "backup")
    _run(place, forks, "module", "add", "M099", place.delivery, "--reason", "r")


def fill_beside_bundle(place: Place, forks: Forks) -> None:
    """Bring in the tree, beside a bundle of another store."""
    put_bundle(place, forks)
    _run(place, forks, "import", "gains-tree", place.tree)


def put_orphans(place: Place, forks: Forks) -> None:
    """Leave payloads of another store, and the beginning of one, among those of a filled store."""
    fill_beside_bundle(place, forks)
    shutil.copytree(place.out / "backup" / "payloads", place.store / "payloads", dirs_exist_ok=True)
    begun = place.store / "payloads" / "incoming" / "begun"
    begun.mkdir(parents=True)
    (begun / "zarr.json").write_text("{", encoding="ascii")


def damage(place: Place, forks: Forks) -> None:
    """Leave a store in which a payload is missing and another one damaged."""
    fill(place, forks)
    _run(place, forks, "backup", place.out / "backup")
    missing, damaged = sorted((place.store / "payloads").glob("??/*"))[:2]
    shutil.rmtree(missing)
    chunk = next(damaged.rglob("c/0/0/0"))
    chunk.write_bytes(bytes(chunk.stat().st_size))


def as_it_is(place: Place, forks: Forks) -> None:
    """Leave the place alone."""


PREPARATIONS: dict[str, Prepare] = {
    "empty": as_it_is,
    "filled": fill,
    "previous schema": go_back,
    "empty with a bundle": put_bundle,
    "filled beside a bundle": fill_beside_bundle,
    "old backup": put_old_backup,
    "orphans": put_orphans,
    "damaged": damage,
}


class Prepared:
    """Places by the name of their preparation, each made when it is first asked for.

    Parameters
    ----------
    directory : Path
        Where they are.
    server : URL or None
        A PostgreSQL server to keep the rows on; None is SQLite.
    """

    def __init__(self, directory: Path, server: URL | None, forks: Forks) -> None:
        self._directory = directory
        self.server = server
        self._forks = forks
        self._made: dict[str, Place] = {}
        self._databases = ExitStack()

    def close(self) -> None:
        """Drop what was made on the server."""
        self._databases.close()

    def __getitem__(self, preparation: str) -> Place:
        if preparation not in self._made:
            directory = self._directory / preparation.replace(" ", "-")
            self._made[preparation] = self._prepare(Place(directory), preparation)
        return self._made[preparation]

    def _prepare(self, place: Place, preparation: str) -> Place:
        place.directory.mkdir(parents=True)
        _lay_out(place)
        if preparation == "first release":
            shutil.copytree(FIRST_RELEASE, place.store)
        elif preparation == "a backup":
            put_bundle(place, self._forks)
        elif preparation != "nothing":
            url = None
            if self.server is not None:
                own = self._databases.enter_context(own_database(self.server))
                url = own.render_as_string(hide_password=False)
            create_small_store(place.store, url)
            PREPARATIONS[preparation](place, self._forks)
        return place

    @contextmanager
    def copied(self, preparation: str, directory: Path) -> Iterator[Place]:
        """Give a copy of a place, with a database of its own."""
        present = self[preparation]
        shutil.rmtree(directory, ignore_errors=True)
        skipped = shutil.ignore_patterns("store")
        shutil.copytree(present.directory, directory, symlinks=True, ignore=skipped)
        place = Place(directory)
        with ExitStack() as stack:
            if present.store.is_dir():
                stack.enter_context(copied_store(present.store, place.store))
            elif self.server is not None:
                own = stack.enter_context(own_database(self.server))
                place = Place(directory, own.render_as_string(hide_password=False))
            yield place
