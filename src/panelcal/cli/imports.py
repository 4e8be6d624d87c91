"""``import``: bring in what the legacy world holds."""

from pathlib import Path
from typing import Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, show_report

group = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Bring in a gains tree or runs."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="import")


@group.command("gains-tree")
def gains_tree(
    ctx: typer.Context,
    tree: Annotated[
        Path,
        typer.Argument(
            metavar="TREE",
            help="Directory of M0## directories and <panel-id>[-<stamp>] links.",
            parser=options.parse_path,
        ),
    ],
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    cast: options.Cast = False,
    supersede: options.Supersede = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Import the tree of links: all of it or, if anything is refused, nothing."""
    from panelcal.services.import_gains_tree import import_gains_tree

    with options.open_named(ctx, store) as opened, progress("reading") as advance:
        report = import_gains_tree(
            opened,
            tree,
            now=options.now(),
            user=options.user(),
            dry_run=dry_run,
            skip_bad=skip_bad,
            cast=cast,
            supersede=supersede,
            progress=advance,
        )
    show_report(report, as_json=json)
    report.raise_if_refused()


@group.command("runs")
def runs(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.csv",
            help="Columns experiment,run,source,begin,detector_id,modules[,note].",
            parser=options.parse_path,
        ),
    ],
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    supersede: options.Supersede = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Register the runs of a CSV file: all or, if anything is refused, none."""
    from panelcal.services.import_runs import import_runs

    with options.open_named(ctx, store) as opened:
        report = import_runs(
            opened,
            file,
            now=options.now(),
            user=options.user(),
            dry_run=dry_run,
            skip_bad=skip_bad,
            supersede=supersede,
        )
    show_report(report, as_json=json)
    report.raise_if_refused()
