"""``resolve`` and ``get``: which constants, and their arrays."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.resolution import Resolution
    from panelcal.domain.validity import Policy
    from panelcal.services.explain import PanelAccount
    from panelcal.storage.store import OpenStore


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(resolve)
    app.command()(get)


def resolve(
    ctx: typer.Context,
    target: options.Target,
    source: options.Source = None,
    at: options.At = None,
    policy: options.Policy = "strict",
    as_of: options.AsOf = None,
    tag: options.TagOption = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show every candidate and why it lost.")
    ] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show which constants a detector or a run uses.

    A detector resolves whole or not at all: one panel without valid constants
    fails the call, and every such panel is listed.
    """
    accounts: list[PanelAccount] = []
    with options.open_named(ctx, store) as opened:
        answer = _answer(opened, target, source, at, policy, as_of, tag)
        if explain:
            from panelcal.services.explain import explain_resolution

            accounts = explain_resolution(opened, answer)
    tell_notices(answer)
    if json:
        document = answer.document()
        if explain:
            document["explain"] = [_account_document(one, answer.zone) for one in accounts]
        show_json(document)
        return
    show_resolution(answer)
    for account in accounts:
        _show_account(account, answer.zone)


def _answer(
    opened: "OpenStore",
    target: str,
    source: str | None,
    at: str | None,
    policy: "Policy",
    as_of: str | None,
    tag: str | None,
) -> "Resolution":
    """Ask the store what was typed."""
    from panelcal.services.resolve import resolve as ask

    return ask(
        opened,
        target,
        at,
        source=source,
        policy=policy,
        as_of=options.as_of_moment(opened, as_of, tag),
        now=options.now(),
        sealed=True,
    )


def tell_notices(answer: "Resolution") -> None:
    """Say on stderr how the request was understood and what was guessed."""
    for notice in answer.notices:
        say(notice)
    for panel in answer.guessed:
        say(f"guessed: {panel} has no constants at {answer.asked}; legacy policy takes its first")


def show_resolution(answer: "Resolution") -> None:
    """Print an answer as a table."""
    from panelcal.domain.moments import iso_utc, start_in_words

    typer.echo(f"detector  {answer.detector}")
    typer.echo(f"at        {answer.asked or 'the latest'} ({answer.zone.key})")
    typer.echo(f"policy    {answer.policy}")
    if answer.as_of is not None:
        typer.echo(f"as of     {iso_utc(answer.as_of)}")
    typer.echo(f"token     {answer.token}")
    show_table(
        ("index", "panel", "set", "valid from", "payloads"),
        (
            (
                panel.index,
                panel.panel or "(declared)",
                f"{panel.module}@{panel.revision}",
                start_in_words(panel.valid_from, answer.zone),
                " ".join(f"{kind}:{digest[:10]}" for kind, digest in panel.digests.items()),
            )
            for panel in answer.panels
        ),
    )


def _show_account(account: "PanelAccount", zone: "ZoneInfo") -> None:
    panel = account.panel
    typer.echo(f"\npanel {panel.index} {panel.panel or 'declared by the run'}")
    if not account.verdicts:
        typer.echo(f"  {panel.module}@{panel.revision} is declared by the run itself")
        return
    show_table(
        ("", "set", "from", "recorded", "because"),
        (
            (
                "->" if verdict.chosen else "  ",
                verdict.assignment.uses,
                verdict.assignment.starts(zone),
                f"{verdict.assignment.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
                verdict.because,
            )
            for verdict in account.verdicts
        ),
    )


def _account_document(account: "PanelAccount", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    return {
        "index": account.panel.index,
        "panel": account.panel.panel,
        "age_s": account.age_s,
        "candidates": [
            {
                "module": row.module,
                "revision": row.revision,
                "valid_from": None if row.valid_from is None else stamp_of(row.valid_from, zone),
                "recorded_at": iso_utc(row.recorded_at),
                "chosen": verdict.chosen,
                "because": verdict.because,
            }
            for verdict in account.verdicts
            for row in (verdict.assignment,)
        ],
    }


def get(
    ctx: typer.Context,
    target: options.Target,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE.npy|FILE.npz",
            help="Where to.",
            parser=options.parse_path,
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option("-k", "--kind", metavar="KIND", help="pixel_gain or pixel_offset."),
    ] = None,
    source: options.Source = None,
    at: options.At = None,
    policy: options.Policy = "strict",
    as_of: options.AsOf = None,
    tag: options.TagOption = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Write the arrays of a detector to a file.

    They are float32 of shape (gain range, panel, row, column), panels in
    segment order; .npy holds one kind, .npz all of them or the one named.
    """
    from panelcal.services.assemble import save_arrays

    with options.open_named(ctx, store) as opened:
        answer = _answer(opened, target, source, at, policy, as_of, tag)
        tell_notices(answer)
        written = save_arrays(opened, answer, kind, output)
    if json:
        show_json({"file": str(output), "token": answer.token, "shapes": written})
    for name, shape in written.items():
        say(f"{output}: {name} {shape} token {answer.token}")
