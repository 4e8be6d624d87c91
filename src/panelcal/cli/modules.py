"""``module``: deliver constant sets and look at them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, say, show_json, show_table

if TYPE_CHECKING:
    from panelcal.storage.modules import ConstantSet
    from panelcal.storage.quality import RecordedVerdict

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
    accept_findings: Annotated[
        str | None,
        typer.Option(
            "--accept-findings",
            metavar="R",
            help="Record it although rules find errors: why; kept with the verdict.",
        ),
    ] = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Record a delivery as the module's next revision; no answer changes by it.

    Its numbers are judged first. Errors stop it, unless they are accepted.
    """
    from panelcal.domain.text import as_line
    from panelcal.services.modules import deliver, verdicts

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
            accept=accept_findings,
        )
        verdict = verdicts(opened, [constant_set]).get((module, constant_set.revision))
    if extra:
        say(f"left out: {', '.join(ascii(name)[1:-1] for name in extra)}")
    for finding in verdict.verdict.findings if verdict else ():
        say(as_line(f"{finding.severity}: {finding.text}"))
    if json:
        show_json(constant_set_document(constant_set) | {"verdict": verdict_document(verdict)})
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
    """Show the revisions of one module with their payloads, and what was found of each."""
    from panelcal.services.modules import list_constant_sets, verdicts

    with options.open_named(ctx, store) as opened:
        found = list_constant_sets(opened, module)
        judged = verdicts(opened, found)
    if json:
        documents = [
            constant_set_document(one)
            | {"verdict": verdict_document(judged.get((one.module, one.revision)))}
            for one in found
        ]
        show_json(documents)
        return
    _show(found, as_json=False)
    for one in found:
        _show_verdict(f"{one.module}@{one.revision}", judged.get((one.module, one.revision)))


@group.command()
def check(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE[@REV]|DIR",
            help="A constant set, or a directory that is still to be delivered.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every revision of every module.")
    ] = False,
    module: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="MODULE", help="Judge the directory as this module's next revision."
        ),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Record the verdicts with the constant sets.")
    ] = False,
    cast: options.Cast = False,
    detector_type: options.DetectorType = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Judge numbers by the rules of now; nothing is recorded unless asked for.

    Exits with 1 if there are errors that nobody accepted, with 0 if not.
    """
    from panelcal.domain.text import as_line
    from panelcal.services import check_quality

    if target is not None:
        # As typed: ./M044 is a directory, M044 a module that the store may have.
        options.parse_path(target)
    with options.open_named(ctx, store) as opened, progress("judging") as advance:
        report = check_quality.check(
            opened,
            target,
            now=options.now(),
            user=options.user(),
            everything=everything,
            module=module,
            record=record,
            cast=cast,
            detector_type=detector_type,
            progress=advance,
        )
    if report.unknown:
        say(_left_out(len(report.unknown)))
    if json:
        show_json(report.document())
    else:
        rows = [
            (finding.severity, judged.name, finding.check, finding.text)
            for judged in report.judged
            for finding in judged.verdict.findings
        ]
        if rows:
            show_table(("severity", "set", "check", "finding"), rows)
        for judged in report.judged:
            if judged.verdict.accepted is not None:
                typer.echo(as_line(f"{judged.name}: errors accepted: {judged.verdict.accepted}"))
        typer.echo(report.summary)
    raise typer.Exit(report.exit_code)


def _left_out(count: int) -> str:
    from panelcal.domain.text import count_of

    return (
        f"{count_of(count, 'module')} without recorded numbers left out of the comparison: "
        f"panelcal module check --all --record"
    )


def _show_verdict(name: str, one: "RecordedVerdict | None") -> None:
    from panelcal.domain.text import as_line

    if one is None:
        typer.echo(f"{name}: not judged")
        return
    accepted = "" if one.verdict.accepted is None else f"; accepted: {one.verdict.accepted}"
    judged = f"judged {one.recorded_at:%Y-%m-%dT%H:%M:%SZ} by {one.recorded_by}"
    typer.echo(as_line(f"{name}: {one.verdict.summary}, {judged}{accepted}"))
    for finding in one.verdict.findings:
        typer.echo(as_line(f"    {finding.severity}: {finding.text}"))


def verdict_document(one: "RecordedVerdict | None") -> dict[str, Any] | None:
    """Return a verdict as ``--json`` prints it; None where nobody judged."""
    from panelcal.domain.moments import iso_utc

    if one is None:
        return None
    return {
        "recorded_at": iso_utc(one.recorded_at),
        "recorded_by": one.recorded_by,
        "rules_digest": one.verdict.rules_digest,
        "accepted": one.verdict.accepted,
        "findings": [finding.document() for finding in one.verdict.findings],
    }


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
