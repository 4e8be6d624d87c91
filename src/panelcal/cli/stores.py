"""``init``, ``demo`` and ``db``: make a store, try one, look after its database."""

from pathlib import Path
from typing import Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, say, show_json
from panelcal.domain.moments import DEFAULT_TIME_ZONE
from panelcal.errors import InvalidInputError, SchemaError

_LONGEST_REVISION = 64

db = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Look after the database's schema.",
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command("init")(init)
    app.command("demo")(demo)
    app.add_typer(db, name="db")


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Where it is to be.", parser=options.parse_path)
    ],
    time_zone: Annotated[
        str,
        typer.Option(
            "--time-zone",
            metavar="Z",
            help="Zone of 14-digit stamps; it cannot be changed later.",
        ),
    ] = DEFAULT_TIME_ZONE,
    database_url: options.DatabaseUrl = None,
) -> None:
    """Make a store, with an SQLite database and local zarr."""
    from panelcal.domain.moments import time_zone as zone_named
    from panelcal.storage.store import create_store

    create_store(directory, zone_named(time_zone), options.now(), database_url)
    say(f"made a store in {directory}, stamps in {time_zone}")


def demo(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="A directory that does not exist yet.", parser=options.parse_path
        ),
    ],
) -> None:
    """Try everything on the page's tree and runs."""
    from panelcal.cli.constants import show_resolution
    from panelcal.services.demo import run_demo

    with progress("demo") as advance:
        run_demo(
            directory,
            now=options.now(),
            environment=options.environment(),
            tell=typer.echo,
            show=show_resolution,
            progress=advance,
        )


@db.command()
def upgrade(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(help="Schema revision.")] = "head",
    time_zone: Annotated[
        str,
        typer.Option("--time-zone", metavar="Z", help="Only for a database that was emptied."),
    ] = DEFAULT_TIME_ZONE,
    store: options.StoreDir = None,
) -> None:
    """Bring the database up to a schema revision."""
    from panelcal.domain.moments import time_zone as zone_named
    from panelcal.storage import migrate
    from panelcal.storage.store import open_database, settle

    _require_revision(revision)
    if revision == "base":
        msg = "base is no revision to upgrade to"
        raise InvalidInputError(msg, "panelcal db downgrade base")
    with open_database(options.store_dir(ctx, store)) as database:
        migrate.upgrade(database, revision)
        if settle(database, zone_named(time_zone), options.now()):
            say(f"the database was empty: stamps are now in {time_zone}")
        say(f"{database.name} has schema {database.schema_revision()}")


@db.command()
def downgrade(
    ctx: typer.Context,
    revision: Annotated[str, typer.Argument(help="Schema revision, or base.")],
    store: options.StoreDir = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do it; rows that do not fit are lost.")
    ] = False,
) -> None:
    """Take the database back to an older schema revision."""
    from panelcal.services.approval_mode import require_no_mode_lost
    from panelcal.storage import migrate
    from panelcal.storage.store import open_database

    _require_revision(revision)
    if revision == "head":
        msg = "head is no revision to go back to"
        raise InvalidInputError(msg, "panelcal db upgrade")
    with open_database(options.store_dir(ctx, store)) as database:
        if not yes:
            msg = f"{database.name} would go back to {revision}, losing what does not fit"
            raise InvalidInputError(msg, "add --yes to do it; copy the file first")
        require_no_mode_lost(database, revision)
        migrate.downgrade(database, revision)
        say(f"{database.name} has schema {database.schema_revision()}")


def _require_revision(revision: str) -> None:
    from panelcal.domain.text import excerpt

    if len(revision) > _LONGEST_REVISION:
        msg = f"{excerpt(revision)} is no schema revision"
        raise InvalidInputError(msg, "panelcal db current")


@db.command()
def current(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """Show the schema revision of the database and the one panelcal needs."""
    from panelcal.storage.database import SCHEMA_REVISION
    from panelcal.storage.store import open_database

    with open_database(options.store_dir(ctx, store)) as database:
        found = database.schema_revision()
    if json:
        show_json({"database": found, "panelcal": SCHEMA_REVISION})
    else:
        typer.echo(f"database {found or 'none'}, panelcal {SCHEMA_REVISION}")


@db.command()
def check(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """Compare tables, triggers and views with what this panelcal expects."""
    from panelcal.storage.schema_objects import schema_differences
    from panelcal.storage.store import open_database

    directory = options.store_dir(ctx, store)
    with open_database(directory) as database:
        database.require_current_schema(directory)
        differences = [one.says for one in schema_differences(database)]
        if json:
            show_json({"differences": differences})
        if differences:
            msg = f"{database.name} differs: " + "; ".join(differences)
            raise SchemaError(msg, "restore the database from a backup")
        say(f"{database.name} is as schema {database.schema_revision()} has it")


@db.command()
def roles(
    prefix: Annotated[
        str, typer.Option("--prefix", metavar="NAME", help="First part of the roles' names.")
    ] = "panelcal",
    schema: Annotated[
        str, typer.Option("--schema", metavar="NAME", help="Where the tables are.")
    ] = "public",
) -> None:
    """Print SQL that makes reader, curator and admin roles on PostgreSQL."""
    from panelcal.storage.roles import roles_sql

    typer.echo(roles_sql(prefix, schema), nl=False)
