"""``deploy``: the job that keeps calib directories as the store says."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, show_json, show_table
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    from panelcal.domain.served import JobReport, RunOutcome, ServedFile


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(deploy)


def deploy(
    ctx: typer.Context,
    calib_root: options.CalibRoot,
    experiment: options.Experiment = None,
    everything: Annotated[bool, typer.Option("--all", help="Every registered run.")] = False,
    precision: options.Precision = "legacy",
    dry_run: options.DryRun = False,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Let every registered run read what the store resolves for it.

    Writes the fewest <run>-end.data files, one job at a time below a root. A run
    that cannot be served keeps the content of the file that it reads; if it reads
    none it falls under the file that begins before it, and the report says so.
    Exits with 0 if all runs with a detector id or modules are served, with 3 if
    some have no constants, with 4 if something stands in the way of some, with 5
    if constants are damaged.
    """
    from panelcal.services.deploy_job import deploy_all
    from panelcal.services.export import Writing

    if everything is (experiment is not None):
        msg = "name one experiment, or all of them"
        raise InvalidInputError(msg, "--experiment E, or --all")
    writing = Writing(precision, options.environment(), options.now())
    with options.open_named(ctx, store) as opened, progress("deploying") as advance:
        report = deploy_all(
            opened,
            calib_root,
            experiment=experiment,
            writing=writing,
            clock=options.now,
            dry_run=dry_run,
            progress=advance,
        )
    if json:
        show_json(report.document())
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def _show(report: "JobReport") -> None:
    """Print a line for each detector with new files, and what is not served, by its cause."""
    rows = []
    for (experiment, source), group in groupby(sorted(report.outcomes, key=_place), _place):
        outcomes = list(group)
        new = _new_files(outcomes)
        if new:
            served = sum(one.is_served for one in outcomes)
            rows.append((experiment, source, len(outcomes), served, new))
    if rows:
        would = "to be written" if report.dry_run else "written"
        show_table(("experiment", "source", "runs", "served", f"files {would}"), rows)
    for heading, runs in _causes(report.outcomes).items():
        status, experiment, source, *told = heading
        typer.echo(f"{status}: {experiment} {source} {_ranges('run', runs)}")
        for line in told:
            typer.echo(f"    {line}")
    typer.echo(report.summary)


def _place(one: "RunOutcome") -> tuple[str, str]:
    return one.run.dataset.experiment, one.run.source


def _new_files(outcomes: Iterable["RunOutcome"]) -> str:
    """Return the runs that files were written for, with the kinds unless it is all of them."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for outcome in outcomes:
        files = outcome.files or ()
        for action in ("written", "kept", "recorded"):
            kinds = [file.kind for file in files if file.action == action]
            if kinds:
                named = kinds if len(kinds) < len(files) else []
                groups.setdefault((action, *named), []).append(outcome.run.dataset.run)
    told = []
    # Written comes before recorded and kept, all kinds before one.
    for (action, *kinds), runs in sorted(groups.items(), key=lambda item: _rank(item[0])):
        verb = "" if action == "written" else f"{action}: "
        told.append(f"{verb}{_ranges('run', runs)}" + (f" ({', '.join(kinds)})" if kinds else ""))
    return "; ".join(told)


def _rank(group: tuple[str, ...]) -> tuple[int, int]:
    return ("written", "recorded", "kept").index(group[0]), len(group)


def _causes(outcomes: Iterable["RunOutcome"]) -> dict[tuple[str, ...], list[int]]:
    """Return the runs that are not served, by what is to be said of them."""
    causes: dict[tuple[str, ...], list[int]] = {}
    for outcome in sorted(outcomes, key=lambda one: (one.status, _place(one), one.run.dataset)):
        if outcome.is_served:
            continue
        # The first of several lines tells the time of this run alone.
        first, *rest = outcome.reason.splitlines()
        told = [line.strip() for line in rest or [first]]
        heading = (str(outcome.status), *_place(outcome), *told, *_reads(outcome))
        causes.setdefault(heading, []).append(outcome.run.dataset.run)
    return causes


def _reads(outcome: "RunOutcome") -> list[str]:
    """Say what a run reads, as far as that is known."""
    if outcome.files is None:
        return []
    new = [file for file in outcome.files if file.action == "taken over"]
    old = [file for file in outcome.files if file.action != "taken over"]
    told = []
    if old or not new:
        told.append(f"psana reads {_names(old, outcome.files)}")
    if new:
        told.append(f"psana now reads {_names(new, outcome.files)}, which begins before it")
    return told


def _names(files: Sequence["ServedFile"], all_files: Sequence["ServedFile"]) -> str:
    """Return the names of files: one where it is the same for all kinds."""
    names = {file.kind: Path(file.path).name for file in files}
    if len(set(names.values())) == 1 and len(files) == len(all_files) > 1:
        return next(iter(names.values()))
    return ", ".join(f"{name} ({kind})" for kind, name in names.items()) or "nothing"


def _ranges(noun: str, numbers: Iterable[int]) -> str:
    """Return numbers in words, neighbours together: ``runs 5-7, 9``."""
    ordered = sorted(numbers)
    parts = []
    for _, group in groupby(enumerate(ordered), lambda item: item[1] - item[0]):
        block = [number for _, number in group]
        parts.append(str(block[0]) if len(block) == 1 else f"{block[0]}-{block[-1]}")
    return f"{noun if len(ordered) == 1 else noun + 's'} {', '.join(parts)}"
