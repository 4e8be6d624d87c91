"""The jobs that are killed: what runs, on what, and what may be said of it afterwards."""

from collections.abc import Callable
from dataclasses import dataclass

from faults.places import NEW_FB, OLD, OLD_B0, OLD_F7, SOURCE, Place

RUN = "exp=xcsls3716:run=631"
SOME_HAVE_NO_CONSTANTS = 3
ALREADY_SO = 4

Commands = Callable[[Place], list[list[str]]]


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Parameters
    ----------
    preparation : str
        The place that it runs in.
    commands : callable
        Returns what runs, one after the other.
    code : int
        With which it ends undisturbed.
    is_repeatable : bool
        Done again it says 0; otherwise that it is done already.
    sqlite_only : bool
        Engines make no difference to it.
    is_of_damaged : bool
        It begins with a store that fsck finds fault with.
    """

    preparation: str
    commands: Commands
    code: int = 0
    is_repeatable: bool = True
    sqlite_only: bool = False
    is_of_damaged: bool = False


def _one(*arguments: str) -> Commands:
    """Return a command whose words may name parts of the place, as ``{tree}``."""

    def commands(place: Place) -> list[list[str]]:
        named = {
            "place": place.directory,
            "tree": place.tree,
            "delivery": place.delivery,
            "root": place.root,
            "calib": place.calib,
            "out": place.out,
        }
        return [place.command(*(argument.format(**named) for argument in arguments))]

    return commands


def _init(place: Place) -> list[list[str]]:
    url = [] if place.url is None else ["--database-url", place.url]
    return [["init", str(place.store), *url]]


def _init_here(place: Place) -> list[list[str]]:
    url = [] if place.url is None else ["--database-url", place.url]
    return [["init", str(place.directory / "here"), *url]]


def _restore(place: Place) -> list[list[str]]:
    url = [] if place.url is None else ["--database-url", place.url]
    return [["restore", str(place.out / "backup"), str(place.store), *url]]


def _curation(place: Place) -> list[list[str]]:
    """Return what a curator does in an hour: every change is acknowledged before the next."""
    because = ("--reason", "r")
    from_2019 = ("--from", "20190101000000")
    return [
        place.command("assign", OLD_B0, "M088", *from_2019, *because),
        place.command("assign", OLD_F7, "M068", *from_2019, *because),
        place.command("tag", "create", "spring", *because),
        place.command("module", "add", "M044", place.delivery, *because),
        place.command("assign", NEW_FB, "M044@2", *from_2019, *because),
        place.command("withdraw", OLD_F7, "--from", "20200101000000", *because),
    ]


_BECAUSE = ("--reason", "r")

JOBS: dict[str, Job] = {
    "init": Job("nothing", _init, is_repeatable=False),
    "init in a directory": Job("nothing", _init_here, is_repeatable=False),
    "import gains-tree": Job("empty", _one("import", "gains-tree", "{tree}")),
    "import runs": Job("filled", _one("import", "runs", "{place}/more.csv")),
    "module add": Job(
        "filled", _one("module", "add", "M099", "{delivery}", *_BECAUSE), is_repeatable=False
    ),
    "assign": Job(
        "filled",
        _one("assign", NEW_FB, "M088", "--from", "20190101000000", *_BECAUSE),
        is_repeatable=False,
    ),
    "withdraw": Job(
        "filled",
        _one("withdraw", OLD_B0, "--from", "20190101000000", *_BECAUSE),
        is_repeatable=False,
    ),
    "propose": Job(
        "filled",
        _one("propose", "assign", NEW_FB, "M088", "--from", "20190101000000", *_BECAUSE),
        is_repeatable=False,
    ),
    "tag create": Job("filled", _one("tag", "create", "spring", *_BECAUSE), is_repeatable=False),
    "run add": Job(
        "filled",
        _one(
            *("run", "add", "exp=mfxlp6515:run=14", "-s", SOURCE),
            *("--begin", "20180419000000", "--detector-id", NEW_FB),
        ),
        is_repeatable=False,
    ),
    "curation": Job("filled", _curation, is_repeatable=False),
    "deploy": Job(
        "filled",
        _one("deploy", "--all", "--calib-root", "{root}"),
        code=SOME_HAVE_NO_CONSTANTS,
    ),
    "export deploy": Job("filled", _one("export", RUN, "--deploy", "--calib-dir", "{calib}")),
    "export deploy new": Job(
        "filled",
        _one("export", RUN, "--deploy", "--calib-dir", "{place}/fresh/calib"),
        sqlite_only=True,
    ),
    "export files": Job("filled", _one("export", RUN, "-o", "{out}/local"), sqlite_only=True),
    "export dcs": Job(
        "filled",
        _one("export", RUN, "--dcs", f"{{place}}/deep/jungfrau-{OLD}.h5"),
        sqlite_only=True,
    ),
    "export dcs again": Job(
        "filled",
        _one("export", RUN, "--at", "20180201000000", "--dcs", "{out}"),
        sqlite_only=True,
    ),
    "bundle create": Job(
        "filled",
        _one("bundle", "create", "{out}/made.zip", "--detector", OLD, "--overwrite"),
        sqlite_only=True,
    ),
    "bundle create in a directory": Job(
        "filled", _one("bundle", "create", "{out}/made", "--detector", OLD, "--overwrite")
    ),
    "bundle create over another": Job(
        "filled beside a bundle",
        _one("bundle", "create", "{out}/bundle.zip", "--detector", OLD, "--overwrite"),
        sqlite_only=True,
    ),
    "bundle import": Job("empty with a bundle", _one("bundle", "import", "{out}/bundle.zip")),
    "backup": Job("filled", _one("backup", "{out}/backup"), is_repeatable=False),
    "backup update": Job("old backup", _one("backup", "{out}/backup", "--update")),
    "restore": Job("a backup", _restore, is_repeatable=False),
    "gc": Job("orphans", _one("gc", "--older-than", "0")),
    "repair": Job("damaged", _one("fsck", "--repair-from", "{out}/backup"), is_of_damaged=True),
    "db upgrade": Job("previous schema", _one("db", "upgrade")),
    "db upgrade from 0001": Job("first release", _one("db", "upgrade"), sqlite_only=True),
}
