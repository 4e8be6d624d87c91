"""``plot``: pictures of constants, differences, timelines and pixels, as PNG or SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.diff import After, AtTime, Before, ByTag, OfDetector
from panelcal.cli.output import show_json

if TYPE_CHECKING:
    from panelcal.pictures.page import Draws

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Pictures of constants, as PNG or SVG files.",
)

_LEAST_DOTS, _MOST_DOTS = 40, 300

Output = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE.png|FILE.svg",
        help="Where to; the end of the name says which.",
        parser=options.parse_path,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")]
DotsPerInch = Annotated[
    int,
    typer.Option(
        "--dpi",
        metavar="N",
        min=_LEAST_DOTS,
        max=_MOST_DOTS,
        help="Dots per inch of a PNG, and of the maps in an SVG.",
    ),
]
Reference = typer.Argument(metavar="MODULE[@REV]", help="M068@1, or M068: its latest revision.")


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="plot")


@group.command("set")
def set_(
    ctx: typer.Context,
    reference: Annotated[str, Reference],
    output: Output,
    overwrite: Overwrite = False,
    dpi: DotsPerInch = 150,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Draw maps and histograms of a constant set."""
    from panelcal.pictures.constants import set_picture
    from panelcal.pictures.page import require_target
    from panelcal.services.pictured import load_set
    from panelcal.services.timeline import panels_using

    require_target(output, overwrite=overwrite)
    with options.open_named(ctx, store) as opened:
        loaded = load_set(opened, reference)
        one = loaded.constant_set
        panels = panels_using(opened, one.module, one.revision)
    _write(
        output,
        lambda: set_picture(loaded.name, loaded.payloads, loaded.units, one.digests, panels),
        overwrite=overwrite,
        dpi=dpi,
        shown={"set": loaded.name, "digests": dict(one.digests), "panels": panels},
        as_json=json,
    )


@group.command()
def diff(
    ctx: typer.Context,
    before: Before,
    after: After,
    output: Output,
    detector: OfDetector = None,
    source: options.Source = None,
    by_tag: ByTag = False,
    at: AtTime = None,
    as_of: options.AsOf = None,
    panel: Annotated[
        str | None,
        typer.Option("--panel", metavar="PANEL", help="Which one, of a detector with several."),
    ] = None,
    overwrite: Overwrite = False,
    dpi: DotsPerInch = 150,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Draw by how much constants differ; A and B are what `panelcal diff` takes."""
    from panelcal.pictures.difference import difference_picture
    from panelcal.pictures.page import require_target
    from panelcal.services.diff_sides import Question
    from panelcal.services.pictured import load_pair

    require_target(output, overwrite=overwrite)
    with options.open_named(ctx, store) as opened:
        past = options.as_of_moment(opened, as_of)
        question = Question(before, after, detector, source, by_tag, at, past)
        loaded = load_pair(opened, question, panel, options.now())
    _write(
        output,
        lambda: difference_picture(*loaded.names, loaded.before, loaded.after, loaded.found),
        overwrite=overwrite,
        dpi=dpi,
        shown=dict(zip(("before", "after"), loaded.names, strict=True)),
        as_json=json,
    )


@group.command()
def timeline(
    ctx: typer.Context,
    detector: options.DetectorArgument,
    output: Output,
    as_of: options.AsOf = None,
    tag: options.TagOption = None,
    overwrite: Overwrite = False,
    dpi: DotsPerInch = 150,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Draw which constant set each panel uses over time.

    Withdrawals are hatched, times without constants empty, deployments
    triangles. `panelcal timeline` shows the same in a terminal.
    """
    from panelcal.pictures.page import require_target
    from panelcal.pictures.timeline import timeline_picture
    from panelcal.services.timeline import timeline_of

    require_target(output, overwrite=overwrite)
    with options.open_named(ctx, store) as opened:
        moment = options.as_of_moment(opened, as_of, tag)
        found = timeline_of(opened, detector, as_of=moment)
    _write(
        output,
        lambda: timeline_picture(found, options.now()),
        overwrite=overwrite,
        dpi=dpi,
        shown={"detector": found.detector},
        as_json=json,
    )


@group.command()
def pixel(
    ctx: typer.Context,
    panel: options.PanelArgument,
    row: Annotated[int, typer.Argument(metavar="ROW", min=0, help="From 0.")],
    column: Annotated[int, typer.Argument(metavar="COLUMN", min=0, help="From 0.")],
    output: Output,
    overwrite: Overwrite = False,
    dpi: DotsPerInch = 150,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Draw one pixel over the revisions of its panel."""
    from panelcal.domain.moments import stamp_of
    from panelcal.domain.pixel import Pixel
    from panelcal.pictures.page import require_target
    from panelcal.pictures.pixel import pixel_picture
    from panelcal.services.pictured import revisions_of
    from panelcal.services.pixel_history import pixel_history

    require_target(output, overwrite=overwrite)
    with options.open_named(ctx, store) as opened:
        told = pixel_history(opened, panel, Pixel(row, column))
        zone = opened.zone
    found = revisions_of(told)
    units = {kind.name: kind.unit for kind in told.detector_type.kinds}
    _write(
        output,
        lambda: pixel_picture(panel, row, column, found, units, zone),
        overwrite=overwrite,
        dpi=dpi,
        shown={
            "panel": panel,
            "row": row,
            "column": column,
            "revisions": [
                {
                    "uses": one.label,
                    "valid_from": None
                    if one.valid_from is None
                    else stamp_of(one.valid_from, zone),
                    "values": None if one.values is None else dict(one.values),
                }
                for one in found
            ],
        },
        as_json=json,
    )


def _write(
    path: Path,
    draw: "Draws",
    *,
    overwrite: bool,
    dpi: int,
    shown: dict[str, Any],
    as_json: bool,
) -> None:
    """Write a picture, and tell where it is."""
    from panelcal.pictures.page import write_picture

    write_picture(path, draw, overwrite=overwrite, dots_per_inch=dpi)
    if as_json:
        show_json({"file": str(path), **shown})
    else:
        typer.echo(str(path))
