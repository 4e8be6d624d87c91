"""``timeline``: what the panels of a detector use over time, in characters."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import show_json, show_table

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.timeline import Interval, Mark, Timeline


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(timeline)


def timeline(
    ctx: typer.Context,
    detector: options.DetectorArgument,
    as_of: options.AsOf = None,
    tag: options.TagOption = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Show which constant set each panel uses over time.

    A chart as wide as the terminal, then its intervals and deployments.
    """
    from panelcal.services.timeline import timeline_of

    with options.open_named(ctx, store) as opened:
        moment = options.as_of_moment(opened, as_of, tag)
        found = timeline_of(opened, detector, as_of=moment)
    if json:
        show_json(_document(found))
        return
    _show_chart(found)
    typer.echo()
    show_table(
        ("index", "panel", "uses", "from", "until", "recorded", "by", "reason"), _rows(found)
    )
    deployments = list(_deployments(found))
    if deployments:
        typer.echo()
        show_table(("deployed for", "source", "at", "panels", "other constants now"), deployments)


def _show_chart(found: "Timeline") -> None:
    """Print the chart; colours go to terminals only."""
    from rich.console import Console

    from panelcal.pictures.terminal import KEY, timeline_lines

    console = Console(highlight=False, markup=False, emoji=False)
    below = (f"times of {found.zone.key}", *KEY)
    with console.capture() as printed:
        for line in timeline_lines(found, options.now(), console.width):
            console.print(line, no_wrap=True, crop=False, overflow="ignore")
        console.print()
        console.print("\n".join(below), soft_wrap=True)
    typer.echo(printed.get(), nl=False)


def _rows(found: "Timeline") -> Iterator[tuple[object, ...]]:
    from panelcal.domain.moments import start_in_words, typed_form

    for index, lane in enumerate(found.lanes):
        for one in lane.intervals:
            row = one.assignment
            yield (
                index,
                lane.panel,
                one.label,
                start_in_words(one.start, found.zone),
                "-" if one.end is None else typed_form(one.end, found.zone),
                "-" if row is None else f"{row.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
                "-" if row is None else row.recorded_by,
                "-" if row is None else row.reason,
            )


def _deployments(found: "Timeline") -> Iterator[tuple[object, ...]]:
    """Give a row for each run: how many panels were written, and how many would differ now."""
    from panelcal.domain.moments import typed_form

    runs: dict[tuple[Any, ...], list[Mark]] = {}
    for lane in found.lanes:
        for mark in lane.marks:
            runs.setdefault((mark.at is None, mark.at, mark.dataset, mark.source), []).append(mark)
    for (_, at, dataset, source), marks in sorted(runs.items(), key=lambda item: item[0]):
        yield (
            dataset,
            source,
            "-" if at is None else typed_form(at, found.zone),
            len(marks),
            sum(not mark.is_current for mark in marks),
        )


def _document(found: "Timeline") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc

    return {
        "detector": found.detector,
        "time_zone": found.zone.key,
        "as_of": None if found.as_of is None else iso_utc(found.as_of),
        "panels": [
            {
                "index": index,
                "panel": lane.panel,
                "intervals": [_interval_document(one, found.zone) for one in lane.intervals],
                "deployments": [_mark_document(mark, found.zone) for mark in lane.marks],
            }
            for index, lane in enumerate(found.lanes)
        ],
    }


def _interval_document(one: "Interval", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    row = one.assignment
    return {
        "state": one.state,
        "module": None if row is None else row.module,
        "revision": None if row is None else row.revision,
        "valid_from": None if one.start is None else stamp_of(one.start, zone),
        "valid_until": None if one.end is None else stamp_of(one.end, zone),
        "recorded_at": None if row is None else iso_utc(row.recorded_at),
        "recorded_by": None if row is None else row.recorded_by,
        "reason": None if row is None else row.reason,
    }


def _mark_document(mark: "Mark", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, typed_form

    return {
        "dataset": str(mark.dataset),
        "source": mark.source,
        "at": None if mark.at is None else typed_form(mark.at, zone),
        "uses": mark.uses,
        "is_current": mark.is_current,
        "token": mark.token,
        "deployed_at": iso_utc(mark.deployed_at),
    }
