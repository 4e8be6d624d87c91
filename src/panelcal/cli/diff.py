"""``diff``: by how much constants differ between two revisions, modules, times, tags or runs."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, say, show_json, show_table
from panelcal.errors import NotFoundError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.domain.difference import PlaneDifference
    from panelcal.domain.sides import PanelSide, Side
    from panelcal.services.diff import Compared, Diff

_FORMS = "M068@1 (or M068, its latest revision), exp=EXPERIMENT:run=NUMBER, a time or a tag"


Before = Annotated[str, typer.Argument(metavar="A", help=f"{_FORMS}.")]
After = Annotated[str, typer.Argument(metavar="B", help="The same, to compare with A.")]
OfDetector = Annotated[
    str | None,
    typer.Option(
        "--detector",
        metavar="D",
        help="A and B are two times of this detector id or dataset; with --tags, two tags.",
    ),
]
ByTag = Annotated[
    bool,
    typer.Option(
        "--tags",
        help="A and B are tags. Without --detector: of every panel that uses another set.",
    ),
]
AtTime = Annotated[
    str | None,
    typer.Option(
        "--at",
        metavar="T",
        help="With --tags: the time asked about. Without it: the begin of the run, or now.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(diff)


def diff(
    ctx: typer.Context,
    before: Before,
    after: After,
    detector: OfDetector = None,
    source: options.Source = None,
    by_tag: ByTag = False,
    at: AtTime = None,
    as_of: options.AsOf = None,
    kind: Annotated[
        str | None,
        typer.Option("-k", "--kind", metavar="KIND", help="pixel_gain or pixel_offset."),
    ] = None,
    n_sigma: Annotated[
        float,
        typer.Option("--sigma", metavar="N", help="Count pixels beyond N sigma of the change."),
    ] = 5.0,
    worst: Annotated[
        int | None,
        typer.Option("--worst", metavar="N", help="List the N pixels farthest from the median."),
    ] = None,
    quantiles: Annotated[
        bool, typer.Option("--quantiles", help="Show quantiles of the change as well.")
    ] = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Say by how much constants differ, kind by kind and range by range.

    A and B are two modules or revisions (M068@1 M068@2), two runs of the same panels
    (exp=E:run=1 exp=E:run=9), two times of a detector (--detector D T1 T2), or two
    tags (--tags NAME1 NAME2).
    """
    from panelcal.services.diff import diff as service
    from panelcal.services.diff_sides import Question

    with options.open_named(ctx, store) as opened, progress("comparing") as advance:
        past = options.as_of_moment(opened, as_of)
        found = service(
            opened,
            Question(before, after, detector, source, by_tag, at, past),
            now=options.now(),
            kind=kind,
            n_sigma=n_sigma,
            worst=5 if worst is None else worst,
            progress=advance,
        )
        zone = opened.zone
    for notice in found.notices:
        say(notice)
    if json:
        show_json(_document(found, zone))
    else:
        _show(found, zone, quantiles=quantiles, list_worst=worst is not None)
    _require_something(found)


def _require_something(found: "Diff") -> None:
    """End with an error if there was a panel, and nothing to compare of any."""
    if not found.compared:
        say("no registered panel uses another constant set")
        return
    if not any(one.pair.is_complete for one in found.compared):
        msg = "nothing could be compared: no panel has constants on both sides"
        raise NotFoundError(msg, "panelcal history PANEL tells what it had, and when")


def _show(found: "Diff", zone: "ZoneInfo", *, quantiles: bool, list_worst: bool) -> None:
    for name, side in (("before", found.before), ("after", found.after)):
        typer.echo(f"{name:<7} {_side_in_words(side, zone)}")
    typer.echo(f"units   {', '.join(f'{kind.name} {kind.unit}' for kind in found.kinds)}")
    for one in found.compared:
        typer.echo(f"\n{_pair_in_words(one, zone)}")
        for kind in one.equal:
            typer.echo(f"{kind}: equal, the same payload")
        planes = [plane for plane in one.differences if plane.kind not in one.equal]
        if planes:
            _show_planes(planes, found.n_sigma)
        if planes and quantiles:
            _show_quantiles(planes)
        if planes and list_worst:
            _show_worst(planes)


def _side_in_words(side: "Side", zone: "ZoneInfo") -> str:
    from panelcal.domain.moments import iso_utc, typed_form
    from panelcal.domain.text import as_line

    words = [as_line(side.asked)]
    if side.at is not None and typed_form(side.at, zone) != side.asked:
        words.append(f"at {typed_form(side.at, zone)}")
    if side.as_of is not None:
        words.append(f"as of {iso_utc(side.as_of)}")
    return ", ".join(words)


def _pair_in_words(one: "Compared", zone: "ZoneInfo") -> str:
    from panelcal.domain.text import as_line

    before, after = one.pair.before, one.pair.after
    what = f"{_panel_in_words(before, zone)} -> {_panel_in_words(after, zone)}"
    if before.panel is not None:
        what = f"panel {one.pair.index} {before.panel}: {what}"
    return as_line(what)


def _panel_in_words(side: "PanelSide", zone: "ZoneInfo") -> str:
    from panelcal.domain.moments import start_in_words

    if side.panel is None or side.missing is not None:
        return side.uses
    return f"{side.uses} from {start_in_words(side.valid_from, zone)}"


def _show_planes(planes: "list[PlaneDifference]", n_sigma: float) -> None:
    show_table(
        (
            *("kind", "range", "pixels", "changed", "median", "sigma"),
            *(f">{n_sigma:g} sigma", "farthest: before -> after"),
        ),
        (
            (
                plane.kind,
                plane.gain_range,
                plane.pixels,
                plane.changed,
                f"{plane.median:.4g}",
                f"{plane.sigma:.4g}",
                plane.beyond,
                _farthest(plane),
            )
            for plane in planes
        ),
    )


def _farthest(plane: "PlaneDifference") -> str:
    if not plane.worst:
        return "-"
    one = plane.worst[0]
    return f"{one.row},{one.column}: {one.before:.4g} -> {one.after:.4g}"


def _show_quantiles(planes: "list[PlaneDifference]") -> None:
    from panelcal.domain.difference import QUANTILES

    show_table(
        ("kind", "range", *(f"{100 * share:g} %" for share in QUANTILES)),
        (
            (plane.kind, plane.gain_range, *(f"{value:.4g}" for value in plane.quantiles))
            for plane in planes
        ),
    )


def _show_worst(planes: "list[PlaneDifference]") -> None:
    show_table(
        ("kind", "range", "pixel", "before", "after", "change"),
        (
            (
                plane.kind,
                plane.gain_range,
                f"{one.row},{one.column}",
                f"{one.before:.6g}",
                f"{one.after:.6g}",
                f"{one.after - one.before:.6g}",
            )
            for plane in planes
            for one in plane.worst
        ),
    )


def _document(found: "Diff", zone: "ZoneInfo") -> dict[str, Any]:
    return {
        "before": _side_document(found.before, zone),
        "after": _side_document(found.after, zone),
        "units": {kind.name: kind.unit for kind in found.kinds},
        "n_sigma": found.n_sigma,
        "pairs": [
            {
                "index": one.pair.index,
                "panel": one.pair.before.panel,
                "before": _panel_document(one.pair.before, zone),
                "after": _panel_document(one.pair.after, zone),
                "compared": one.pair.is_complete,
                "equal": list(one.equal),
                "differences": [_plane_document(plane) for plane in one.differences],
            }
            for one in found.compared
        ],
    }


def _side_document(side: "Side", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, typed_form

    return {
        "asked": side.asked,
        "at": None if side.at is None else typed_form(side.at, zone),
        "as_of": None if side.as_of is None else iso_utc(side.as_of),
    }


def _panel_document(side: "PanelSide", zone: "ZoneInfo") -> dict[str, Any]:
    from panelcal.domain.moments import iso_utc, stamp_of

    return {
        "module": side.module,
        "revision": side.revision,
        "valid_from": None if side.valid_from is None else stamp_of(side.valid_from, zone),
        "recorded_at": None if side.recorded_at is None else iso_utc(side.recorded_at),
        "digests": dict(sorted(side.digests.items())),
        "missing": side.missing,
    }


def _plane_document(plane: "PlaneDifference") -> dict[str, Any]:
    from panelcal.domain.difference import QUANTILES

    shares = map(str, QUANTILES)
    return {
        "kind": plane.kind,
        "unit": plane.unit,
        "gain_range": plane.gain_range,
        "pixels": plane.pixels,
        "changed": plane.changed,
        "median": plane.median,
        "sigma": plane.sigma,
        "quantiles": dict(zip(shares, plane.quantiles, strict=True)),
        "beyond": plane.beyond,
        "worst": [
            {"row": one.row, "column": one.column, "before": one.before, "after": one.after}
            for one in plane.worst
        ],
    }
