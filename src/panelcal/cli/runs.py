"""``run``: what is known of runs; answers find_detector_runs and event_keys."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import say, show_json, show_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.ids import PanelId, SegmentId
    from panelcal.domain.runs import Run

group = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Register, list and show runs."
)


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.add_typer(group, name="run")


@group.command()
def add(
    ctx: typer.Context,
    dataset: options.Dataset,
    source: Annotated[
        str,
        typer.Option(
            "-s",
            "--source",
            metavar="SOURCE",
            help="Full source name, XcsEndstation.0:Jungfrau.0.",
        ),
    ],
    begin: Annotated[
        str, typer.Option("--begin", metavar="T", help="When the run began, if known.")
    ] = "",
    detector_id: Annotated[
        str,
        typer.Option(
            "--detector-id", metavar="ID", help="Panel ids joined by '_', or an LCLS2 _uniqueid."
        ),
    ] = "",
    modules: Annotated[
        str,
        typer.Option(
            "--modules",
            metavar="'M088 M068'",
            help="Modules in segment order, where the configuration has no numbers.",
        ),
    ] = "",
    note: Annotated[
        str, typer.Option("--note", metavar="TEXT", help="Where these facts come from.")
    ] = "",
    supersede: options.Supersede = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Register one source of a run."""
    from panelcal.domain.runs import parse_dataset
    from panelcal.services import runs as service

    named = parse_dataset(dataset)
    fields = service.RunFields(
        named.experiment, str(named.run), source, begin, detector_id, modules, note
    )
    with options.open_named(ctx, store) as opened:
        run = service.add_run(
            opened, fields, now=options.now(), user=options.user(), supersede=supersede
        )
        zone = opened.zone
    notice = service.begin_notice(fields, zone)
    if notice:
        say(notice)
    if json:
        show_json(_document(run, zone))
    else:
        say(f"registered {run.dataset} {run.source}")


@group.command("list")
def list_(
    ctx: typer.Context,
    instrument: Annotated[
        str | None,
        typer.Option("--instrument", metavar="I", help="Such as MFX."),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option("--detector", metavar="NAME", help="Part of the source, as jungfrau."),
    ] = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """List registered runs, as find_detector_runs does."""
    from panelcal.services import runs as service

    with options.open_named(ctx, store) as opened:
        found = service.list_runs(opened, instrument, detector)
        zone = opened.zone
    _show(found, zone, as_json=json)


@group.command()
def show(
    ctx: typer.Context,
    dataset: options.Dataset,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show the sources of a run, their panels and when it began."""
    from panelcal.domain.runs import parse_dataset
    from panelcal.services import runs as service

    with options.open_named(ctx, store) as opened:
        found = service.show_run(opened, parse_dataset(dataset))
        zone = opened.zone
    if json:
        show_json([_document(run, zone) for run in found])
        return
    for run in found:
        typer.echo(f"source    {run.source}")
        typer.echo(f"begin     {_begin(run, zone)}")
        if run.note:
            typer.echo(f"note      {run.note}")
        for index, panel in enumerate(_panels(run)):
            typer.echo(f"panel {index}   {panel}")
        for index, module in enumerate(run.modules):
            typer.echo(f"module {index}  {module}")


def _show(found: "list[Run]", zone: "ZoneInfo", *, as_json: bool) -> None:
    if as_json:
        show_json([_document(run, zone) for run in found])
        return
    show_table(
        ("dataset", "source", "begin", "panels or modules", "note"),
        (
            (
                run.dataset,
                run.source,
                _begin(run, zone),
                run.detector_id or " ".join(run.modules) or "-",
                run.note,
            )
            for run in found
        ),
    )


def _begin(run: "Run", zone: "ZoneInfo") -> str:
    from panelcal.domain.moments import stamp_of

    return "not given" if run.begin is None else stamp_of(run.begin, zone)


def _panels(run: "Run") -> "tuple[PanelId | SegmentId, ...]":
    from panelcal.domain.ids import parse_detector_id

    return parse_detector_id(run.detector_id).panels if run.detector_id else ()


def _document(run: "Run", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    return {
        "dataset": str(run.dataset),
        "experiment": run.dataset.experiment,
        "run": run.dataset.run,
        "source": run.source,
        "begin": None if run.begin is None else stamp_of(run.begin, zone),
        "begin_utc": None if run.begin is None else iso_utc(run.begin),
        "detector_id": run.detector_id,
        "panels": [str(panel) for panel in _panels(run)],
        "modules": list(run.modules),
        "note": run.note,
        "recorded_at": iso_utc(run.recorded_at),
        "recorded_by": run.recorded_by,
    }
