"""``fsck`` and ``gc``: look at a whole store, repair its payloads, remove what no row names."""

from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, show_json, show_table

if TYPE_CHECKING:
    from panelcal.domain.findings import FsckReport


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(fsck)
    app.command()(gc)


def fsck(
    ctx: typer.Context,
    verify_data: Annotated[
        bool,
        typer.Option("--verify-data", help="Read every payload and compute its digest."),
    ] = False,
    repair_from: Annotated[
        Path | None,
        typer.Option(
            "--repair-from",
            metavar="PATH",
            help="A store or bundle to fetch missing and damaged payloads from, by digest; "
            "every payload is read.",
            parser=options.parse_path,
        ),
    ] = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Find what is wrong with a store, and say what to do about it.

    Changes nothing, unless --repair-from is given: that puts payloads back, and
    never touches a row. Exits with 0 if there are no errors, with 5 if there are.
    """
    from panelcal.services import fsck as checking
    from panelcal.services.repair import repair
    from panelcal.storage.store import open_store

    directory = options.store_dir(ctx, store)
    now = options.now()
    with progress("checking") as advance:
        if repair_from is None:
            report = checking.fsck(directory, now=now, verify_data=verify_data, progress=advance)
        else:
            with open_store(directory) as opened:
                report = repair(opened, repair_from, now=now, progress=advance)
    if json:
        show_json(report.document())
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def _show(report: "FsckReport") -> None:
    """Print findings by their code, each code with its hints."""
    from panelcal.domain.text import as_line

    for one in report.repaired:
        aside = f"; the damaged one is {one.moved_aside}" if one.moved_aside else ""
        typer.echo(f"repaired: payload {one.digest}{aside}")
    for (severity, code), group in groupby(report.findings, lambda one: (one.severity, one.code)):
        findings = list(group)
        typer.echo(f"{severity}: {code}")
        for finding in findings:
            typer.echo(as_line(f"    {finding.subject}: {finding.message}"))
        for hint in dict.fromkeys(finding.hint for finding in findings):
            typer.echo(as_line(f"    hint: {hint}"))
    typer.echo(report.summary)


def gc(
    ctx: typer.Context,
    dry_run: options.DryRun = False,
    older_than: Annotated[
        int,
        typer.Option(
            "--older-than",
            metavar="DAYS",
            min=0,
            max=36500,
            help="Only what was not changed for so many days.",
        ),
    ] = 1,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Remove payloads that no row names, and what interrupted writers left.

    What any row names stays, so that no answer about any time changes. Refused
    while fsck finds errors.
    """
    from panelcal.services.gc import collect_garbage

    with options.open_named(ctx, store) as opened, progress("removing") as advance:
        report = collect_garbage(
            opened,
            now=options.now(),
            older_than=timedelta(days=older_than),
            dry_run=dry_run,
            progress=advance,
        )
    if json:
        show_json(report.document())
        return
    rows = [(one.what, one.path, one.size) for one in report.garbage]
    if rows:
        show_table(("what", "path", "bytes"), rows)
    typer.echo(report.summary)
