"""``bundle``, ``backup`` and ``restore``: part of a store to take along, all of it to keep."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, say, show_json, show_report

if TYPE_CHECKING:
    from panelcal.storage.bundle_manifest import Manifest

group = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Constants to take along: part of a store in one file.",
)

BundleFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A bundle: one zip file, or a directory.",
        parser=options.parse_path,
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="bundle")
    app.command()(backup)
    app.command()(restore)


@group.command()
def create(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Where it is to be: one file if it ends in .zip, otherwise a directory.",
            parser=options.parse_path,
        ),
    ],
    tag: Annotated[
        str | None, typer.Option("--tag", metavar="NAME", help="Everything known as of this tag.")
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            metavar="D",
            help="Only the panels of this detector id or dataset; can be repeated.",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a bundle that is there.")
    ] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Make a bundle, which can be used as a store that is only read."""
    from panelcal.services.bundle_create import create_bundle

    with options.open_named(ctx, store) as opened, progress("bundle") as advance:
        manifest = create_bundle(
            opened,
            file,
            tag=tag,
            detectors=tuple(detector or ()),
            now=options.now(),
            overwrite=overwrite,
            progress=advance,
        )
    _show(file, manifest, as_json=json, verb="made")


@group.command()
def verify(file: BundleFile, json: options.Json = False) -> None:
    """Verify every member, payload and row of a bundle or a backup."""
    from panelcal.domain.text import as_line
    from panelcal.services.bundle_verify import verify_bundle

    with progress("verify") as advance:
        verified = verify_bundle(file, now=options.now(), progress=advance)
    if json:
        show_json(_document(file, verified.manifest) | {"faults": list(verified.faults)})
    else:
        for fault in verified.faults:
            typer.echo(as_line(fault))
    verified.raise_if_damaged(str(file), "get the bundle again, or have it made again")
    if not json:
        _show(file, verified.manifest, as_json=False, verb="verified")


@group.command("import")
def import_(
    ctx: typer.Context,
    file: BundleFile,
    dry_run: options.DryRun = False,
    no_tags: Annotated[
        bool, typer.Option("--no-tags", help="Leave the bundle's tags out.")
    ] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Add what a bundle has and the store lacks: all of it or, on a conflict, nothing."""
    from panelcal.services.bundle_import import import_bundle

    with options.open_named(ctx, store) as opened, progress("import") as advance:
        report, plan = import_bundle(
            opened,
            file,
            now=options.now(),
            user=options.user(),
            dry_run=dry_run,
            with_tags=not no_tags,
            progress=advance,
        )
    show_report(report, as_json=json)
    plan.require_no_conflict()


def backup(
    ctx: typer.Context,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="BACKUP",
            help="Where it is to be: one file if it ends in .zip, otherwise a directory.",
            parser=options.parse_path,
        ),
    ],
    update: Annotated[
        bool,
        typer.Option("--update", help="Bring a backup in a directory up to date."),
    ] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Copy the whole store as of one moment, while others write to it."""
    from panelcal.services.backup import back_up, update_backup

    make = update_backup if update else back_up
    with options.open_named(ctx, store) as opened, progress("backup") as advance:
        manifest = make(opened, target, now=options.now(), progress=advance)
    _show(target, manifest, as_json=json, verb="updated" if update else "made")


def restore(
    backup: Annotated[
        Path,
        typer.Argument(
            metavar="BACKUP", help="What `panelcal backup` made.", parser=options.parse_path
        ),
    ],
    directory: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="Where the store is to be.", parser=options.parse_path),
    ],
    database_url: options.DatabaseUrl = None,
    json: options.Json = False,
) -> None:
    """Make a store from a backup: every row, time and payload as it was."""
    from panelcal.services.restore import restore as restore_store

    with progress("restore") as advance:
        manifest = restore_store(backup, directory, database_url=database_url, progress=advance)
    _show(backup, manifest, as_json=json, verb="restored")


def _show(path: Path, manifest: "Manifest", *, as_json: bool, verb: str) -> None:
    from panelcal.domain.text import count_of

    if as_json:
        show_json(_document(path, manifest))
        return
    say(
        f"{verb} {path}: {count_of(len(manifest.payloads), 'payload')}, "
        f"{count_of(sum(member.size for member in manifest.members), 'byte')}"
    )


def _document(path: Path, manifest: "Manifest") -> dict[str, Any]:
    chosen = manifest.selection
    return {
        "path": str(path),
        "holds": manifest.holds,
        "made_at": manifest.made_at,
        "made_by": manifest.made_by,
        "schema": manifest.schema,
        "tag": chosen.tag,
        "as_of": chosen.as_of,
        "detectors": list(chosen.detectors),
        "payloads": len(manifest.payloads),
        "bytes": sum(member.size for member in manifest.members),
    }
