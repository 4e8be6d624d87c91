"""``import``: bring in what the legacy world holds."""

from pathlib import Path
from typing import Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, show_report

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Bring in a gains tree, calib directories, DCS files or runs.",
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
    detector_type: options.DetectorType = None,
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
            detector_type=detector_type,
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


@group.command("calib-tree")
def calib_tree(
    ctx: typer.Context,
    tree: Annotated[
        Path,
        typer.Argument(
            metavar="TREE",
            help="A calib directory, or the root of <INSTRUMENT>/<experiment>/calib.",
            parser=options.parse_path,
        ),
    ],
    experiment: Annotated[
        str | None,
        typer.Option(
            "--experiment",
            metavar="E",
            help="Whose calib directory it is, where the directory above is not called so; "
            "below a root: only this one.",
        ),
    ] = None,
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    supersede: options.Supersede = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Import deployed files: all of them or, if anything is refused, none.

    Files that panelcal did not write are attributed to the panels of the runs
    that psana reads them for: import runs first.
    """
    from panelcal.services.import_calib_tree import import_calib_tree

    with options.open_named(ctx, store) as opened, progress("reading") as advance:
        report = import_calib_tree(
            opened,
            tree,
            experiment=experiment,
            now=options.now(),
            user=options.user(),
            dry_run=dry_run,
            skip_bad=skip_bad,
            supersede=supersede,
            progress=advance,
        )
    show_report(report, as_json=json)
    report.raise_if_refused()


@group.command("dcs")
def dcs(
    ctx: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.h5...",
            help="Files jungfrau-<detector id>.h5.",
            parser=options.parse_path,
        ),
    ],
    dry_run: options.DryRun = False,
    skip_bad: options.SkipBad = False,
    supersede: options.Supersede = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Import DCS files: all versions or, if anything is refused, none.

    What readers choose becomes assignments; other versions are kept as constant
    sets that no panel uses.
    """
    from panelcal.services.import_dcs import import_dcs

    with options.open_named(ctx, store) as opened, progress("reading") as advance:
        report = import_dcs(
            opened,
            files,
            now=options.now(),
            user=options.user(),
            dry_run=dry_run,
            skip_bad=skip_bad,
            supersede=supersede,
            progress=advance,
        )
    show_report(report, as_json=json)
    report.raise_if_refused()
