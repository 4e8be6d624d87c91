"""``module``: deliver constant sets and look at them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from panelcal.storage.modules import ConstantSet

group = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Deliver and list constant sets."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="module")


@group.command()
def add(
    ctx: typer.Context,
    module: Annotated[str, typer.Argument(metavar="MODULE", help="Such as M044.")],
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Holds g0_gain.npy, g0_offset.npy, ...", parser=options.parse_path
        ),
    ],
    reason: options.Reason = "delivered",
    cast: options.Cast = False,
    detector_type: options.DetectorType = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Record a delivery as the module's next revision; no answer changes by it."""
    from panelcal.services.modules import deliver

    with options.open_named(ctx, store) as opened:
        constant_set, extra = deliver(
            opened,
            module,
            directory,
            now=options.now(),
            user=options.user(),
            reason=reason,
            cast=cast,
            detector_type=detector_type,
        )
    if extra:
        say(f"left out: {', '.join(ascii(name)[1:-1] for name in extra)}")
    if json:
        show_json(constant_set_document(constant_set))
    else:
        typer.echo(f"{constant_set.module}@{constant_set.revision}")


@group.command("list")
def list_(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """List every revision of every module."""
    from panelcal.services.modules import list_constant_sets

    with options.open_named(ctx, store) as opened:
        found = list_constant_sets(opened)
    _show(found, as_json=json)


@group.command()
def show(
    ctx: typer.Context,
    module: Annotated[str, typer.Argument(metavar="MODULE", help="Such as M044.")],
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show the revisions of one module with their payloads."""
    from panelcal.services.modules import list_constant_sets

    with options.open_named(ctx, store) as opened:
        found = list_constant_sets(opened, module)
    _show(found, as_json=json)


def _show(found: "list[ConstantSet]", *, as_json: bool) -> None:
    if as_json:
        show_json([constant_set_document(constant_set) for constant_set in found])
        return
    show_table(
        ("set", "recorded", "by", "payloads", "from", "reason"),
        (
            (
                f"{one.module}@{one.revision}",
                f"{one.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
                one.recorded_by,
                " ".join(f"{kind}:{digest[:10]}" for kind, digest in one.digests.items()),
                one.delivered_from,
                one.reason,
            )
            for one in found
        ),
    )


def constant_set_document(constant_set: "ConstantSet") -> dict[str, Any]:
    """Return a constant set as ``--json`` prints it."""
    from panelcal.domain.moments import iso_utc

    return {
        "module": constant_set.module,
        "revision": constant_set.revision,
        "detector_type": constant_set.detector_type,
        "digests": dict(constant_set.digests),
        "delivered_from": constant_set.delivered_from,
        "recorded_at": iso_utc(constant_set.recorded_at),
        "recorded_by": constant_set.recorded_by,
        "reason": constant_set.reason,
    }
