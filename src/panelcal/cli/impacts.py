"""How an impact is shown: tables, or JSON."""

from typing import TYPE_CHECKING, Any

import typer

from panelcal.cli.output import show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from zoneinfo import ZoneInfo

    from panelcal.domain.planned import Plan
    from panelcal.services.affected import Affected
    from panelcal.services.impact import Impact, SetDifference


def show_impact(plan: "Plan", impact: "Impact", zone: "ZoneInfo", *, as_json: bool) -> None:
    """Print what a planned change would do."""
    if as_json:
        show_json({**plan_document(plan, zone), "impact": impact_document(impact, zone)})
    else:
        print_impact(impact, zone)


def plan_document(plan: "Plan", zone: "ZoneInfo") -> dict[str, Any]:
    """Return a planned change as ``--json`` prints it."""
    return {
        "verb": plan.verb,
        "reason": plan.reason,
        "assignments": [
            {
                "panel": row.panel,
                "module": row.module,
                "revision": row.revision,
                "valid_from": _stamp(row.valid_from, zone),
            }
            for row in plan.rows
        ],
    }


def impact_document(impact: "Impact", zone: "ZoneInfo") -> dict[str, Any]:
    """Return an impact as ``--json`` prints it."""
    return {
        "affects": impact.affects,
        "panels": [
            {
                "panel": span.panel,
                "from": _stamp(span.start, zone),
                "until": _stamp(span.until, zone),
                "before": span.before,
                "after": span.after,
            }
            for span in impact.spans
        ],
        "deployed": [
            {**_affected_document(one, zone), "paths": list(one.paths)} for one in impact.deployed
        ],
        "runs": [_affected_document(one, zone) for one in impact.runs],
        "differences": [
            document for one in impact.differences for document in _difference_documents(one)
        ],
    }


def _affected_document(one: "Affected", zone: "ZoneInfo") -> dict[str, Any]:
    return {
        "experiment": one.dataset.experiment,
        "run": one.dataset.run,
        "source": one.source,
        "at": _stamp(one.at, zone),
        "policy": one.policy,
        "had_answer": one.effect.had_answer,
        "has_answer": one.effect.has_answer,
        "panels": [
            {
                "index": panel.index,
                "panel": panel.panel,
                "before": panel.before,
                "after": panel.after,
            }
            for panel in one.effect.panels
        ],
    }


def _difference_documents(one: "SetDifference") -> "Iterator[dict[str, Any]]":
    for plane in one.planes:
        yield {
            "before": one.before,
            "after": one.after,
            "kind": plane.kind,
            "unit": plane.unit,
            "gain_range": plane.gain_range,
            "pixels": plane.pixels,
            "changed": plane.changed,
            "median": plane.median,
            "sigma": plane.sigma,
            "n_sigma": plane.n_sigma,
            "beyond": plane.beyond,
        }


def _stamp(moment: "datetime | None", zone: "ZoneInfo") -> str | None:
    from panelcal.domain.moments import typed_form

    return None if moment is None else typed_form(moment, zone)


def print_impact(impact: "Impact", zone: "ZoneInfo") -> None:
    """Print an impact as tables: panels, deployed answers, runs, differences."""
    from panelcal.domain.moments import start_in_words, typed_form
    from panelcal.domain.text import count_of

    if not impact.spans:
        typer.echo("no panel would use anything else than before")
        return
    show_table(
        ("panel", "from", "until", "before", "after"),
        (
            (
                span.panel,
                start_in_words(span.start, zone),
                "-" if span.until is None else typed_form(span.until, zone),
                span.before,
                span.after,
            )
            for span in impact.spans
        ),
    )
    typer.echo(f"\n{count_of(impact.affects, 'answer')} already deployed would change")
    _show_affected(impact.deployed, zone)
    typer.echo(f"\n{count_of(len(impact.runs), 'registered run')} would get another answer")
    _show_affected(impact.runs, zone)
    if impact.differences:
        typer.echo("\nby how much:")
        _show_differences(impact.differences)


def _show_affected(affected: "tuple[Affected, ...]", zone: "ZoneInfo") -> None:
    from panelcal.domain.moments import typed_form

    if not affected:
        return
    show_table(
        ("dataset", "source", "at", "policy", "files", "panel", "before", "after"),
        (
            (
                one.dataset,
                one.source,
                "-" if one.at is None else typed_form(one.at, zone),
                one.policy,
                len(one.paths) or "-",
                panel.panel,
                panel.before if one.effect.had_answer else f"{panel.before} (no answer)",
                panel.after if one.effect.has_answer else f"{panel.after} (no answer)",
            )
            for one in affected
            for panel in one.effect.panels
        ),
    )


def _show_differences(found: "tuple[SetDifference, ...]") -> None:
    show_table(
        ("before", "after", "kind", "range", "median", "sigma", "beyond", "of", "unit"),
        (
            (
                one.before,
                one.after,
                plane.kind,
                plane.gain_range,
                f"{plane.median:+.4g}",
                f"{plane.sigma:.4g}",
                f"{plane.beyond} > {plane.n_sigma:g} sigma",
                plane.pixels,
                plane.unit,
            )
            for one in found
            for plane in one.planes
        ),
    )
