"""``tag``, ``history`` and ``log``: what was said when, and names for it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.tags import Tag
    from panelcal.services.history import Chapter

group = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Frozen names for transaction times."
)

TagName = Annotated[str, typer.Argument(metavar="NAME", help="Such as run18-v1.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(history)
    app.command()(log)
    app.add_typer(group, name="tag")


@group.command()
def create(
    ctx: typer.Context,
    name: TagName,
    reason: options.Reason,
    as_of: options.AsOf = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Freeze a name for what the ledger says now, or said at --as-of."""
    from panelcal.domain.moments import iso_utc
    from panelcal.services import tags as service

    with options.open_named(ctx, store) as opened:
        tag = service.create_tag(
            opened,
            name,
            as_of=options.as_of_moment(opened, as_of),
            now=options.now(),
            user=options.user(),
            reason=reason,
        )
    if json:
        show_json(_tag_document(tag))
    else:
        typer.echo(f"{tag.name} as of {iso_utc(tag.as_of)}")


@group.command("list")
def list_(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """List all tags."""
    from panelcal.domain.moments import iso_utc
    from panelcal.services import tags as service

    with options.open_named(ctx, store) as opened:
        found = service.list_tags(opened)
    if json:
        show_json([_tag_document(tag) for tag in found])
        return
    show_table(
        ("tag", "as of", "recorded", "by", "reason"),
        (
            (tag.name, iso_utc(tag.as_of), iso_utc(tag.recorded_at), tag.recorded_by, tag.reason)
            for tag in found
        ),
    )


@group.command()
def show(
    ctx: typer.Context,
    name: TagName,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show a tag and every assignment that it pins."""
    from panelcal.domain.moments import iso_utc
    from panelcal.services import tags as service

    with options.open_named(ctx, store) as opened:
        pinned = service.show_tag(opened, name)
        zone = opened.zone
    if json:
        rows = [options.assignment_document(row, zone) for row in pinned.assignments]
        show_json({**_tag_document(pinned.tag), "pins": rows})
        return
    say(f"{pinned.tag.name} as of {iso_utc(pinned.tag.as_of)}: {pinned.tag.reason}")
    show_table(
        ("panel", "uses", "from", "recorded", "by"),
        (
            (row.panel, row.uses, row.starts(zone), iso_utc(row.recorded_at), row.recorded_by)
            for row in pinned.assignments
        ),
    )


def _tag_document(tag: "Tag") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc

    return {
        "tag": tag.name,
        "as_of": iso_utc(tag.as_of),
        "recorded_at": iso_utc(tag.recorded_at),
        "recorded_by": tag.recorded_by,
        "reason": tag.reason,
    }


def history(
    ctx: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            metavar="PANEL|MODULE|DETECTOR",
            help="A panel id, panel ids joined by '_', or a module such as M044.",
        ),
    ],
    pixel: Annotated[
        str | None,
        typer.Option(
            "--pixel",
            metavar="ROW,COL",
            help="Show what this pixel of a panel or a module was calibrated to, counted from 0.",
        ),
    ] = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show who said what, and when, about a panel, a module or a detector."""
    from panelcal.cli.modules import constant_set_document
    from panelcal.cli.proposals import proposal_document, show_proposals
    from panelcal.services.history import history_of

    if pixel is not None:
        from panelcal.cli.pixels import show_pixel

        show_pixel(ctx, target, pixel, store, as_json=json)
        return
    with options.open_named(ctx, store) as opened:
        found = history_of(opened, target)
        zone = opened.zone
    if json:
        show_json(
            {
                "target": target,
                "deliveries": [constant_set_document(one) for one in found.deliveries],
                "ledger": [_chapter_document(chapter, zone) for chapter in found.chapters],
                "proposals": [proposal_document(one, zone) for one in found.proposals],
            }
        )
        return
    for one in found.deliveries:
        typer.echo(
            f"{one.module}@{one.revision} delivered {one.recorded_at:%Y-%m-%dT%H:%M:%SZ} "
            f"by {one.recorded_by}: {one.reason}"
        )
    show_table(
        ("panel", "uses", "from", "until", "recorded", "superseded", "by", "reason"),
        (_chapter_row(chapter, zone) for chapter in found.chapters),
    )
    if found.proposals:
        typer.echo("")
        show_proposals(found.proposals, zone)


def _chapter_row(chapter: "Chapter", zone: "ZoneInfo") -> tuple[object, ...]:
    from panelcal.domain.moments import typed_form

    row, until, superseded = chapter.assignment, chapter.valid_until, chapter.superseded_at
    return (
        row.panel,
        row.uses,
        row.starts(zone),
        "-" if until is None else typed_form(until, zone),
        f"{row.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
        "-" if superseded is None else f"{superseded:%Y-%m-%dT%H:%M:%SZ}",
        row.recorded_by,
        row.reason,
    )


def _chapter_document(chapter: "Chapter", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    until, superseded = chapter.valid_until, chapter.superseded_at
    return {
        **options.assignment_document(chapter.assignment, zone),
        "valid_until": None if until is None else stamp_of(until, zone),
        "superseded_at": None if superseded is None else iso_utc(superseded),
    }


def log(ctx: typer.Context, store: options.StoreDir = None, json: options.Json = False) -> None:
    """Show every change of the store, in the order of recording."""
    from panelcal.domain.moments import iso_utc
    from panelcal.services import history as service

    with options.open_named(ctx, store) as opened:
        events = service.log(opened)
    if json:
        show_json(
            [
                {
                    "recorded_at": iso_utc(event.recorded_at),
                    "recorded_by": event.recorded_by,
                    "what": event.what,
                    "subject": event.subject,
                    "reason": event.reason,
                }
                for event in events
            ]
        )
        return
    show_table(
        ("recorded", "by", "what", "subject", "reason"),
        (
            (iso_utc(event.recorded_at), event.recorded_by, event.what, event.subject, event.reason)
            for event in events
        ),
    )
