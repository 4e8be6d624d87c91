"""``coverage`` and ``lint``: what registered runs lack, and what a curator should look at."""

from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from datetime import datetime

    from panelcal.domain.coverage import DetectorCoverage
    from panelcal.domain.epochs import Age
    from panelcal.services.coverage import Coverage

OlderThan = Annotated[
    int,
    typer.Option(
        "--older-than",
        metavar="MONTHS",
        min=1,
        max=1200,
        help="Constants older than this at a panel's last run are old.",
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        "--epochs",
        metavar="MONTHS",
        min=1,
        max=1200,
        help="Starts further apart than this within one detector are mixed epochs.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(coverage)
    app.command()(lint)


def coverage(
    ctx: typer.Context,
    experiment: options.Experiment = None,
    instrument: Annotated[
        str | None, typer.Option("--instrument", metavar="I", help="Such as MFX.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="ID", help="Only runs of this detector id."),
    ] = None,
    older_than: OlderThan = 12,
    epochs: Epochs = 6,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show which registered runs have constants, and how old these are."""
    from panelcal.services.coverage import coverage_of

    with options.open_named(ctx, store) as opened:
        found = coverage_of(
            opened,
            experiment=experiment,
            instrument=instrument,
            detector=detector,
            old_months=older_than,
            epoch_months=epochs,
        )
    if json:
        show_json(found.document())
        return
    for index, one in enumerate(found.detectors):
        if index:
            typer.echo()
        _show_detector(found, one)
    if not found.detectors:
        say("no run is registered")


def _show_detector(found: "Coverage", one: "DetectorCoverage") -> None:
    from panelcal.domain.run_answers import Answered
    from panelcal.domain.text import as_line

    typer.echo(as_line(f"detector  {one.detector}"))
    if one.modules:
        typer.echo(as_line(f"modules   {' '.join(one.modules)}"))
    told = [f"{one.counts[answered]} {answered}" for answered in Answered]
    typer.echo(f"runs      {len(one.runs)}: {', '.join(told)}")
    if one.epochs is not None:
        _show_epochs(found, one)
    if one.last is not None and one.last.uses:
        _show_panels(found, one)
    if one.stretches:
        show_table(
            ("from", "to", "runs", "answer", "first run"),
            (
                (
                    _begin(found, stretch.first.run.begin),
                    _begin(found, stretch.last.run.begin),
                    stretch.runs,
                    stretch.answered,
                    stretch.first.run.dataset,
                )
                for stretch in one.stretches
            ),
        )


def _begin(found: "Coverage", begin: "datetime | None") -> str:
    from panelcal.domain.moments import typed_form

    return "-" if begin is None else typed_form(begin, found.zone)


def _show_epochs(found: "Coverage", one: "DetectorCoverage") -> None:
    from panelcal.domain.moments import typed_form
    from panelcal.domain.text import count_of
    from panelcal.domain.validity import age_in_words

    if one.epochs is None:
        return
    least = "at least " if one.epochs.at_least else ""
    oldest = "the beginning" if one.epochs.at_least else typed_form(one.epochs.oldest, found.zone)
    newest = typed_form(one.epochs.newest, found.zone)
    mixed = f"; {count_of(len(one.mixed), 'run')} with mixed epochs" if one.mixed else ""
    apart = age_in_words(one.epochs.span)
    typer.echo(f"epochs    {oldest} to {newest}, {least}{apart} apart{mixed}")


def _show_panels(found: "Coverage", one: "DetectorCoverage") -> None:
    from panelcal.domain.moments import start_in_words

    uses = () if one.last is None else one.last.uses
    show_table(
        ("panel", "id", "uses", "from", "age at the last run"),
        (
            (
                use.index,
                use.panel or "declared by the run",
                use.uses,
                start_in_words(use.valid_from, found.zone) if use.assignment_id else "-",
                "a guess" if use.guessed else _age(found, age),
            )
            for use, age in zip(uses, one.ages, strict=True)
        ),
    )


def _age(found: "Coverage", age: "Age | None") -> str:
    from panelcal.domain.validity import age_in_words

    if age is None:
        return "-"
    words = f"{'at least ' if age.at_least else ''}{age_in_words(age.span)}"
    return f"{words}, old" if found.is_old(age) else words


def lint(
    ctx: typer.Context,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="CODE", help="Leave out this kind; can be repeated."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Tell also what is often as it should be."),
    ] = False,
    older_than: OlderThan = 12,
    epochs: Epochs = 6,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Find what a curator should look at; for cron.

    A line for each finding, and exit 1; nothing and exit 0 if there is none.
    """
    from panelcal.services import lint as linting

    with options.open_named(ctx, store) as opened:
        report = linting.lint(
            opened,
            ignored=ignore or (),
            everything=everything,
            old_months=older_than,
            epoch_months=epochs,
        )
    if json:
        show_json(report.document())
    else:
        for finding in report.findings:
            typer.echo(finding.line)
    raise typer.Exit(report.exit_code)
