"""``propose``, ``proposal``, ``approve``, ``reject`` and ``approval``: two people."""

from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli import options, planning
from panelcal.cli.output import say, show_json
from panelcal.cli.proposals import (
    mode_document,
    mode_in_words,
    proposal_document,
    show_proposals,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.services.approval import Judged
    from panelcal.services.planning import Planner
    from panelcal.storage.store import OpenStore

propose = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Propose a change of the ledger for somebody else to approve.",
)
proposal = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="What was proposed, and what became of it."
)
approval = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Whether changes need a second person."
)

Number = Annotated[
    int,
    typer.Argument(
        # What the column of any engine holds.
        metavar="N",
        min=1,
        max=2**31 - 1,
        help="Number of the proposal: panelcal proposal list.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(propose, name="propose")
    app.add_typer(proposal, name="proposal")
    app.command()(approve)
    app.command()(reject)
    app.add_typer(approval, name="approval")


@propose.command("assign")
def propose_assign(
    ctx: typer.Context,
    panel: options.PanelArgument,
    module: planning.Module,
    reason: options.Reason,
    start: planning.Start = None,
    from_beginning: planning.FromBeginning = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Propose that a panel uses a constant set from a time on."""
    from panelcal.services.planning import assigning

    planning.require_one_start(start, from_beginning=from_beginning)
    with options.open_named(ctx, store) as opened:
        valid_from = planning.start_of(opened, start)
        _propose(opened, assigning(panel, module, valid_from, reason), as_json=json)


@propose.command("withdraw")
def propose_withdraw(
    ctx: typer.Context,
    panel: options.PanelArgument,
    start: planning.StartOfGap,
    reason: options.Reason,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Propose that a panel has no constants from a time on."""
    from panelcal.services.planning import withdrawing

    with options.open_named(ctx, store) as opened:
        valid_from = planning.moment_of(opened, start)
        _propose(opened, withdrawing(panel, valid_from, reason), as_json=json)


@propose.command("adopt")
def propose_adopt(
    ctx: typer.Context,
    new: options.PanelArgument,
    from_serial: planning.FromSerial = False,
    like: planning.Like = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Propose that a new panel id uses what the same panel used under its former id."""
    from panelcal.services.adopt import adopting

    planning.require_source_of_adoption(from_serial=from_serial)
    with options.open_named(ctx, store) as opened:
        _propose(opened, adopting(new, like), as_json=json)


@propose.command("approval-off")
def propose_approval_off(
    ctx: typer.Context,
    reason: options.Reason,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Propose that one person is enough again."""
    from panelcal.services.approval_mode import switching_off

    with options.open_named(ctx, store) as opened:
        _propose(opened, switching_off(reason), as_json=json)


def _propose(opened: "OpenStore", planner: "Planner", *, as_json: bool) -> None:
    from panelcal.services.approval import propose as service

    judged = service(opened, planner, now=options.now(), user=options.user())
    _show_judged(judged, opened.zone, as_json=as_json)
    say(f"somebody else decides: {_commands(judged)}")


def _commands(judged: "Judged") -> str:
    """Return what decides about a proposal, to be typed."""
    number, affects = judged.proposal.number, judged.impact.affects if judged.impact else 0
    confirm = f" --confirm-affects {affects}" if affects else ""
    return f"panelcal approve {number}{confirm} --reason R, or panelcal reject {number} --reason R"


def _show_judged(judged: "Judged", zone: "ZoneInfo", *, as_json: bool) -> None:
    from panelcal.cli.impacts import impact_document, print_impact
    from panelcal.domain.text import as_line

    impact = judged.impact
    if as_json:
        shown = None if impact is None else impact_document(impact, zone)
        document = proposal_document(judged.proposal, zone)
        show_json({**document, "obstacle": judged.obstacle, "impact": shown})
        return
    show_proposals([judged.proposal], zone)
    if judged.obstacle is not None:
        say(as_line(f"it cannot be approved any more: {judged.obstacle}"))
    if impact is not None and judged.proposal.plan.rows:
        typer.echo("")
        print_impact(impact, zone)


@proposal.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Those that are decided, too.")] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """List the open proposals."""
    from panelcal.services.approval import list_proposals

    with options.open_named(ctx, store) as opened:
        found = list_proposals(opened, decided=everything)
        zone = opened.zone
    if json:
        show_json([proposal_document(one, zone) for one in found])
    else:
        show_proposals(found, zone)


@proposal.command()
def show(
    ctx: typer.Context,
    number: Number,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show a proposal, and of an open one what it would do now."""
    from panelcal.services.approval import show_proposal

    with options.open_named(ctx, store) as opened:
        judged = show_proposal(opened, number)
        _show_judged(judged, opened.zone, as_json=json)
    if judged.impact is not None:
        say(_commands(judged))


def approve(
    ctx: typer.Context,
    number: Number,
    reason: options.Reason,
    confirm_affects: planning.ConfirmAffects = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Record what somebody else proposed."""
    from panelcal.domain.text import as_line
    from panelcal.services.approval import approve as service

    with options.open_named(ctx, store) as opened:
        done = service(
            opened,
            number,
            now=options.now(),
            user=options.user(),
            reason=reason,
            confirm_affects=confirm_affects,
        )
        zone = opened.zone
    if json:
        rows = [options.assignment_document(row, zone) for row in done.rows]
        show_json({**proposal_document(done.proposal, zone), "recorded": rows})
        return
    for row in done.rows:
        typer.echo(f"{row.panel} {row.uses} from {row.starts(zone)}")
    if done.proposal.plan.verb == "approval-off":
        typer.echo("approval is no longer required")
    say(as_line(f"proposal {number} by {done.proposal.recorded_by} is approved"))


def reject(
    ctx: typer.Context,
    number: Number,
    reason: options.Reason,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Decide that a proposal is not to be; whoever made it takes it back so."""
    from panelcal.domain.text import as_line
    from panelcal.services.approval import reject as service

    with options.open_named(ctx, store) as opened:
        done = service(opened, number, now=options.now(), user=options.user(), reason=reason)
        zone = opened.zone
    if json:
        show_json(proposal_document(done, zone))
    else:
        typer.echo(as_line(f"proposal {number} by {done.recorded_by} is rejected"))


@approval.command()
def require(
    ctx: typer.Context,
    reason: options.Reason,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Ask for two people from now on, for every change of the ledger."""
    from panelcal.services.approval_mode import require_approval

    with options.open_named(ctx, store) as opened:
        mode = require_approval(opened, now=options.now(), user=options.user(), reason=reason)
    if json:
        show_json(mode_document(mode))
        return
    typer.echo(mode_in_words(mode))
    say("panelcal propose approval-off, approved by somebody else, ends it")


@approval.command()
def status(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """Show whether two people are asked for, and which proposals are open."""
    from panelcal.services.approval_mode import approval_status

    with options.open_named(ctx, store) as opened:
        found = approval_status(opened)
        zone = opened.zone
    if json:
        waiting = [proposal_document(one, zone) for one in found.waiting]
        show_json({**mode_document(found.mode), "open": waiting})
        return
    typer.echo(mode_in_words(found.mode))
    if found.waiting:
        show_proposals(found.waiting, zone)
