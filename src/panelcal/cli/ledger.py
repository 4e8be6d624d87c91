"""``assign``, ``withdraw`` and ``panel``: what a panel uses since when."""

from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli import options, planning
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.services.assign import Recorded
    from panelcal.storage.store import OpenStore

panel = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Panel ids and registered panels."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(assign)
    app.command()(withdraw)
    app.add_typer(panel, name="panel")


def assign(
    ctx: typer.Context,
    panel: options.PanelArgument,
    module: planning.Module,
    reason: options.Reason,
    start: planning.Start = None,
    from_beginning: planning.FromBeginning = False,
    preview: planning.Preview = False,
    confirm_affects: planning.ConfirmAffects = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Let a panel use a constant set from a time on."""
    from panelcal.services import assign as service
    from panelcal.services.planning import assigning

    planning.require_one_start(start, from_beginning=from_beginning)
    planning.require_one_intent(preview=preview, confirm_affects=confirm_affects)
    with options.open_named(ctx, store) as opened:
        valid_from = planning.start_of(opened, start)
        if preview:
            planner = assigning(panel, module, valid_from, reason)
            planning.show_preview(opened, planner, as_json=json)
            return
        recorded = service.assign(
            opened,
            panel,
            module,
            valid_from,
            now=options.now(),
            user=options.user(),
            reason=reason,
            confirm_affects=confirm_affects,
        )
        _show_recorded(recorded, opened.zone, as_json=json)
        _tell_twins(opened, panel)


def withdraw(
    ctx: typer.Context,
    panel: options.PanelArgument,
    start: planning.StartOfGap,
    reason: options.Reason,
    preview: planning.Preview = False,
    confirm_affects: planning.ConfirmAffects = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Leave a panel without constants from a time on."""
    from panelcal.services import assign as service
    from panelcal.services.planning import withdrawing

    planning.require_one_intent(preview=preview, confirm_affects=confirm_affects)
    with options.open_named(ctx, store) as opened:
        valid_from = planning.moment_of(opened, start)
        if preview:
            planner = withdrawing(panel, valid_from, reason)
            planning.show_preview(opened, planner, as_json=json)
            return
        recorded = service.withdraw(
            opened,
            panel,
            valid_from,
            now=options.now(),
            user=options.user(),
            reason=reason,
            confirm_affects=confirm_affects,
        )
        _show_recorded(recorded, opened.zone, as_json=json)


def _tell_twins(opened: "OpenStore", panel: str) -> None:
    """Point out the other panel ids of the same physical panel."""
    from panelcal.services.adopt import twins_of

    for twin in twins_of(opened, panel):
        say(f"the same serial: {twin.panel.name} uses {twin.uses(opened.zone)}")


def _show_recorded(recorded: "Recorded", zone: "ZoneInfo", *, as_json: bool) -> None:
    row = recorded.assignment
    if recorded.is_new_panel:
        say(f"first assignment of panel {row.panel}")
    if recorded.superseded:
        said = recorded.superseded
        say(f"corrects {said.uses}, recorded by {said.recorded_by}: {said.reason}")
    if as_json:
        show_json(options.assignment_document(row, zone))
    else:
        typer.echo(f"{row.panel} {row.uses} from {row.starts(zone)}")


@panel.command("id")
def id_(
    module_version: Annotated[int, typer.Argument(metavar="MODVER", min=0)],
    firmware: Annotated[int, typer.Argument(metavar="FIRMWARE", min=0)],
    serial: Annotated[int, typer.Argument(metavar="SERIAL", min=0)],
    json: options.Json = False,
) -> None:
    """Print the panel id of the three numbers of a configuration object."""
    from panelcal.domain.ids import PanelId

    panel_id = PanelId(module_version, firmware, serial)
    if json:
        show_json({"panel": str(panel_id), "serial": panel_id.fields()[2]})
    else:
        typer.echo(str(panel_id))


@panel.command("list")
def list_(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """List the registered panels and what each uses latest."""
    from panelcal.services.assign import list_panels

    with options.open_named(ctx, store) as opened:
        found = list_panels(opened)
        zone = opened.zone
    if json:
        show_json(
            [
                {
                    "panel": panel.name,
                    "serial": panel.serial,
                    "detector_type": panel.detector_type,
                    "latest": None if row is None else options.assignment_document(row, zone),
                }
                for panel, row in found
            ]
        )
        return
    show_table(
        ("panel", "serial", "uses", "from"),
        (
            (
                panel.name,
                # An LCLS2 segment id has no serial but itself.
                panel.serial if panel.serial != panel.name else "-",
                row.uses if row else "-",
                row.starts(zone) if row else "-",
            )
            for panel, row in found
        ),
    )


@panel.command()
def show(
    ctx: typer.Context,
    panel: options.PanelArgument,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show a panel and its ledger, in the order of recording."""
    from panelcal.services.assign import show_panel

    with options.open_named(ctx, store) as opened:
        found, rows = show_panel(opened, panel)
        zone = opened.zone
        _tell_twins(opened, panel)
    if json:
        documents = [options.assignment_document(row, zone) for row in rows]
        show_json(
            {
                "panel": found.name,
                "serial": found.serial,
                "detector_type": found.detector_type,
                "ledger": documents,
            }
        )
        return
    show_table(
        ("uses", "from", "recorded", "by", "reason"),
        (
            (
                row.uses,
                row.starts(zone),
                f"{row.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
                row.recorded_by,
                row.reason,
            )
            for row in rows
        ),
    )


@panel.command()
def adopt(
    ctx: typer.Context,
    new: options.PanelArgument,
    from_serial: planning.FromSerial = False,
    like: planning.Like = None,
    yes: Annotated[bool, typer.Option("--yes", help="Record it; without it, only show.")] = False,
    preview: planning.Preview = False,
    confirm_affects: planning.ConfirmAffects = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Let a new panel id use what the same panel used under its former id."""
    from panelcal.services import adopt as service

    planning.require_source_of_adoption(from_serial=from_serial)
    planning.require_one_intent(preview=preview, confirm_affects=confirm_affects, yes=yes)
    with options.open_named(ctx, store) as opened:
        if preview:
            planning.show_preview(opened, service.adopting(new, like), as_json=json)
            return
        adoption = service.adopt(
            opened,
            new,
            like=like,
            record=yes,
            now=options.now(),
            user=options.user(),
            confirm_affects=confirm_affects,
        )
        zone = opened.zone
    if json:
        show_json(
            {
                "panel": adoption.panel,
                "from": adoption.twin.panel.name,
                "recorded": adoption.is_recorded,
                "assignments": [options.assignment_document(row, zone) for row in adoption.rows],
            }
        )
        return
    for row in adoption.rows:
        typer.echo(f"{adoption.panel} {row.uses} from {row.starts(zone)}")
    if adoption.is_recorded:
        say(f"adopted from {adoption.twin.panel.name}")
    else:
        say(f"proposed from {adoption.twin.panel.name}; --yes records it")
