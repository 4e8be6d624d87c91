"""Checks of panels: without constants, with old ones, or at odds with each other."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import combinations

from panelcal.domain.epochs import Age
from panelcal.domain.ids import parse_detector_id
from panelcal.domain.lint import Told
from panelcal.domain.run_answers import panels_of
from panelcal.domain.validity import Assignment, age_in_words
from panelcal.services.lint_material import Material, own_name


def unassigned(material: Material) -> Iterator[Told]:
    """Tell panels of runs, and registered ones, that no assignment gives constants."""
    ledger = material.record.ledger
    for serial, panels in _by_serial(material).items():
        if _adoptable(material, serial, panels):
            # `twin_unassigned` says more.
            continue
        for panel in panels:
            if not ledger.is_assigned(panel):
                rows = ledger.current(panel)
                yield Told(
                    panel,
                    "only ever withdrawn" if rows else "never assigned, and a run names it",
                    f"panelcal assign --from T --reason R -- {panel} MODULE",
                )


def twin_unassigned(material: Material) -> Iterator[Told]:
    """Tell panel ids of runs without constants where another id of the serial has some."""
    ledger = material.record.ledger
    for serial, panels in _by_serial(material).items():
        assigned = _adoptable(material, serial, panels)
        for panel in panels:
            if assigned and not ledger.is_assigned(panel):
                yield Told(
                    panel,
                    f"never assigned; the same serial has constants as {', '.join(assigned)}",
                    f"panelcal panel adopt --from-serial -- {panel}",
                )


def twins_differ(material: Material) -> Iterator[Told]:
    """Tell two panel ids of one serial with different constants.

    Compared is what they used at the last moment at which both were in use: the last run of
    the one that went first. An id that was given up keeps its old constants for good, and is
    not told for it.
    """
    last = _last_runs(material)
    for serial, panels in _by_serial(material).items():
        for one, other in combinations(panels if serial else (), 2):
            at = min((last[panel] for panel in (one, other) if panel in last), default=None)
            rows = [_in_use(material, panel, at) for panel in (one, other)]
            if not _equal(material, rows):
                told = [f"{row.panel} uses {row.uses}" for row in rows if row]
                when = "latest" if at is None else f"at {material.at(at)}"
                yield Told(
                    f"serial {serial}",
                    f"{' and '.join(told)}, {when}",
                    f"panelcal panel show -- {one}",
                )


def constants_old(material: Material) -> Iterator[Told]:
    """Tell panels whose constants were old at their last run."""
    latest: dict[str, tuple[Age, str]] = {}
    for one in material.coverage.detectors:
        if one.last is None:
            continue
        for use, age in zip(one.last.uses, one.ages, strict=True):
            if age is None or use.panel is None:
                continue
            since = "the beginning" if use.valid_from is None else material.at(use.valid_from)
            told = f"{use.uses} since {since}, {_words(age)} at {own_name(one.last.run)}"
            if use.panel not in latest or latest[use.panel][0].at < age.at:
                latest[use.panel] = age, told
    for panel, (age, told) in sorted(latest.items()):
        if material.coverage.is_old(age):
            months = material.coverage.old_months
            yield Told(
                panel,
                f"{told}: older than {months} months",
                "have the panel calibrated, or say --older-than",
            )


def _words(age: Age) -> str:
    return f"{'at least ' if age.at_least else ''}{age_in_words(age.span)} old"


def epochs_mixed(material: Material) -> Iterator[Told]:
    """Tell detectors whose last answer mixes constants of different epochs."""
    coverage = material.coverage
    for one in coverage.detectors:
        if one.epochs is None or not one.epochs.exceed(coverage.epoch_months, material.zone):
            continue
        oldest = "the beginning" if one.epochs.at_least else material.at(one.epochs.oldest)
        least = "at least " if one.epochs.at_least else ""
        yield Told(
            one.detector,
            f"its panels' constants start from {oldest} to {material.at(one.epochs.newest)}: "
            f"{least}{age_in_words(one.epochs.span)} apart, more than "
            f"{coverage.epoch_months} months",
            f"panelcal coverage --detector={one.detector}",
        )


def _by_serial(material: Material) -> Mapping[str, list[str]]:
    """Return the panel ids of each serial: registered ones, and those that runs name."""
    found: dict[str, set[str]] = defaultdict(set)
    for registered in material.panels:
        found[registered.serial].add(registered.name)
    for detector in {run.detector_id for run in material.record.runs if run.detector_id}:
        named = parse_detector_id(detector)
        # Of another detector type no panel can be assigned here.
        for panel in named.panels if material.record.asking.knows(named) else ():
            found[panel.fields()[2]].add(str(panel))
    return {serial: sorted(found[serial]) for serial in sorted(found)}


def _adoptable(material: Material, serial: str, panels: list[str]) -> list[str]:
    """Return the ids of a serial that have constants; a serial of zero is of no panel."""
    return [panel for panel in panels if serial and material.record.ledger.is_assigned(panel)]


def _last_runs(material: Material) -> dict[str, datetime]:
    found: dict[str, datetime] = {}
    for run in material.record.runs:
        if run.begin is not None and run.detector_id is not None:
            for panel in panels_of(run.detector_id):
                found[panel] = max(run.begin, found.get(panel, run.begin))
    return found


def _in_use(material: Material, panel: str, at: datetime | None) -> Assignment | None:
    ledger = material.record.ledger
    if at is not None:
        taken = ledger.strict(panel, at)
        return None if taken is None else taken.row
    current = ledger.current(panel)
    return current[-1] if current and current[-1].module is not None else None


def _equal(material: Material, rows: list[Assignment | None]) -> bool:
    """Say whether rows have the same arrays; one without constants contradicts nothing."""
    held = [
        dict(material.record.digests[row.module, row.revision])
        for row in rows
        if row is not None and row.module is not None and row.revision is not None
    ]
    return len(held) < len(rows) or all(one == held[0] for one in held)
