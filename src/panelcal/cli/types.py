"""``type``: detector types, which are data of a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from panelcal.services.detector_types import TypeUse

group = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Add and list detector types."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="type")


@group.command()
def add(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.toml",
            help="Describes the type: docs/detector-types.md.",
            parser=options.parse_path,
        ),
    ],
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Add a detector type for good: its shape, device, kinds and formats never change."""
    from panelcal.services.detector_types import add_type, show_type

    with options.open_named(ctx, store) as opened:
        added = add_type(opened, file)
        name = added.described.detector_type.name
        use = show_type(opened, name)
    if not added.is_new:
        say(f"already so: {name} is just this type")
    if json:
        show_json({"added": added.is_new, **type_document(use)})
    else:
        typer.echo(name)


@group.command("list")
def list_(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """List the detector types of the store."""
    from panelcal.services.detector_types import list_types

    with options.open_named(ctx, store) as opened:
        found = list_types(opened)
    if json:
        show_json([type_document(use) for use in found])
    else:
        _show(found)


def _show(found: "list[TypeUse]") -> None:
    show_table(
        ("type", "panels of", "device", "calib group", "kinds", "modules", "panels"),
        (
            (
                use.detector_type.name,
                " x ".join(map(str, use.detector_type.payload_shape)),
                use.detector_type.device,
                use.detector_type.calib_group,
                " ".join(kind.name for kind in use.detector_type.kinds),
                use.modules,
                use.panels,
            )
            for use in found
        ),
    )


@group.command()
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Such as jungfrau.")],
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show one detector type with its kinds, and the rules that judge its deliveries."""
    from panelcal.services.detector_types import show_type

    with options.open_named(ctx, store) as opened:
        use = show_type(opened, name)
    if json:
        show_json(type_document(use))
        return
    of = use.detector_type
    _show([use])
    typer.echo()
    show_table(
        ("kind", "unit", "delivered as", "text format"),
        ((one.name, one.unit, one.file_name(0), one.text_format) for one in of.kinds),
    )
    typer.echo()
    show_table(
        ("check", "kind", "range", "severity", "low", "high"),
        (
            (
                rule.check,
                rule.kind or "every",
                "every" if rule.gain_range is None else rule.gain_range,
                rule.severity,
                "-" if rule.low is None else f"{rule.low:g}",
                "-" if rule.high is None else f"{rule.high:g}",
            )
            for rule in use.rules
        ),
    )


def type_document(use: "TypeUse") -> dict[str, Any]:
    """Return a detector type as ``--json`` prints it; keys are those of its file."""
    of = use.detector_type
    return {
        "name": of.name,
        "gain_ranges": of.gain_ranges,
        "panel_rows": of.rows,
        "panel_columns": of.columns,
        "device": of.device,
        "calib_group": of.calib_group,
        "kinds": [
            {
                "name": kind.name,
                "unit": kind.unit,
                "file_stem": kind.file_stem,
                "text_format": kind.text_format,
            }
            for kind in of.kinds
        ],
        "rules": [
            {
                "check": rule.check,
                "kind": rule.kind,
                "gain_range": rule.gain_range,
                "severity": rule.severity,
                "low": rule.low,
                "high": rule.high,
            }
            for rule in use.rules
        ],
        "modules": use.modules,
        "panels": use.panels,
    }
