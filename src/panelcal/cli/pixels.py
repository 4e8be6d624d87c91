"""``history --pixel``: what one pixel was calibrated to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import show_json, show_table

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from panelcal.services.pixel_history import PixelEntry, PixelHistory


def show_pixel(
    ctx: typer.Context, target: str, typed: str, store: Path | None, *, as_json: bool
) -> None:
    """Print the history of a pixel, given as ``ROW,COL``."""
    from panelcal.domain.pixel import Pixel
    from panelcal.services.pixel_history import pixel_history

    pixel = Pixel.parse(typed)
    with options.open_named(ctx, store) as opened:
        found = pixel_history(opened, target, pixel)
        zone = opened.zone
    if as_json:
        show_json(_document(found, zone))
    else:
        _show(found, zone)


def _show(found: "PixelHistory", zone: "ZoneInfo") -> None:
    detector_type = found.detector_type
    typer.echo(f"target  {found.target}")
    typer.echo(f"pixel   row {found.pixel.row}, column {found.pixel.column}")
    for kind in detector_type.kinds:
        typer.echo(f"{kind.file_stem:<7} {kind.name} in {kind.unit}, by gain range")
    is_panel = any(entry.panel for entry in found.entries)
    planes = [
        (kind, gain) for kind in detector_type.kinds for gain in range(detector_type.gain_ranges)
    ]
    show_table(
        (
            "uses",
            *(("from", "until") if is_panel else ()),
            "recorded",
            *(("superseded",) if is_panel else ()),
            *(f"g{gain}_{kind.file_stem}" for kind, gain in planes),
        ),
        (
            (
                entry.uses,
                *(_validity(entry, zone) if is_panel else ()),
                _moment(entry.recorded_at),
                *((_moment(entry.superseded_at),) if is_panel else ()),
                *(_value(entry, kind.name, gain) for kind, gain in planes),
            )
            for entry in found.entries
        ),
    )


def _validity(entry: "PixelEntry", zone: "ZoneInfo") -> tuple[str, str]:
    from panelcal.domain.moments import start_in_words, typed_form

    until = entry.valid_until
    return start_in_words(entry.valid_from, zone), "-" if until is None else typed_form(until, zone)


def _moment(moment: "datetime | None") -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _value(entry: "PixelEntry", kind: str, gain: int) -> str:
    return f"{entry.values[kind][gain]:.6g}" if kind in entry.values else "-"


def _document(found: "PixelHistory", zone: "ZoneInfo") -> dict[str, Any]:
    return {
        "target": found.target,
        "pixel": {"row": found.pixel.row, "column": found.pixel.column},
        "units": {kind.name: kind.unit for kind in found.detector_type.kinds},
        "entries": [_entry_document(entry, zone) for entry in found.entries],
    }


def _entry_document(entry: "PixelEntry", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    start, until, superseded = entry.valid_from, entry.valid_until, entry.superseded_at
    return {
        "panel": entry.panel,
        "module": entry.module,
        "revision": entry.revision,
        "valid_from": None if start is None else stamp_of(start, zone),
        "valid_until": None if until is None else stamp_of(until, zone),
        "recorded_at": iso_utc(entry.recorded_at),
        "superseded_at": None if superseded is None else iso_utc(superseded),
        "values": {kind: list(values) for kind, values in entry.values.items()},
    }
