"""What goes into a bundle: the rows that a tag saw, or that detectors rest on."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import parse_detector_id
from panelcal.domain.moments import iso_utc, to_microseconds
from panelcal.domain.runs import Run, is_dataset, parse_dataset
from panelcal.domain.tags import Tag, parse_tag_name
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.runs import find_run
from panelcal.storage.bundle_manifest import Selection
from panelcal.storage.ledger import history, panels
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.quality import verdicts_of
from panelcal.storage.reader import rows_of
from panelcal.storage.runs import runs as stored_runs
from panelcal.storage.tags import find_tag
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

    Row: TypeAlias = Mapping[Any, Any]


@dataclass
class Selected:
    """Rows of a store that belong together, so that what is asked of them has its answer.

    Parameters
    ----------
    selection : Selection
        What was asked for.
    as_of_us : int or None
        Nothing that was recorded later; None is no limit.
    types, panels, modules, sets, tags : set
        Row numbers of detector types, panels, modules and constant sets, and names of
        tags.
    digests : set of str
        Payloads.
    verdicts : set of int
        Row numbers of verdicts.
    runs : set of tuple
        Experiment, run number and source.
    """

    selection: Selection
    as_of_us: int | None
    types: set[int] = field(default_factory=set)
    panels: set[int] = field(default_factory=set)
    modules: set[int] = field(default_factory=set)
    sets: set[int] = field(default_factory=set)
    tags: set[str] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    verdicts: set[int] = field(default_factory=set)
    runs: set[tuple[str, int, str]] = field(default_factory=set)

    def keeps(self, table: str, row: "Row") -> bool:
        """Say whether a row of a table is one of them. Deployments never are."""
        rule = _RULES.get(table)
        return rule is not None and rule(self, row)

    def was_known(self, row: "Row") -> bool:
        """Say whether a row was recorded by the tag's time."""
        return self.as_of_us is None or row["recorded_at_us"] <= self.as_of_us


_RULES: dict[str, Callable[[Selected, "Row"], bool]] = {
    "store": lambda _, _row: True,
    "detector_type": lambda chosen, row: row["id"] in chosen.types,
    "kind": lambda chosen, row: row["detector_type_id"] in chosen.types,
    "quality_rule": lambda chosen, row: row["detector_type_id"] in chosen.types,
    "module": lambda chosen, row: row["id"] in chosen.modules,
    "constant_set": lambda chosen, row: row["id"] in chosen.sets,
    "constant_set_payload": lambda chosen, row: row["constant_set_id"] in chosen.sets,
    "payload": lambda chosen, row: row["digest"] in chosen.digests,
    "panel": lambda chosen, row: row["id"] in chosen.panels,
    "assignment": lambda chosen, row: row["panel_id"] in chosen.panels and chosen.was_known(row),
    "run": lambda chosen, row: (
        (row["experiment"], row["run"], row["source"]) in chosen.runs and chosen.was_known(row)
    ),
    "tag": lambda chosen, row: row["name"] in chosen.tags,
    "quality_verdict": lambda chosen, row: row["id"] in chosen.verdicts,
    "quality_finding": lambda chosen, row: row["verdict_id"] in chosen.verdicts,
    "quality_plane": lambda chosen, row: row["verdict_id"] in chosen.verdicts,
}


def select_rows(source: "Readable", tag: str | None, detectors: Sequence[str]) -> Selected:
    """Find the rows of a bundle.

    Parameters
    ----------
    source : Connection
        One state of the database.
    tag : str or None
        Everything known as of this tag, and this tag with those before it.
    detectors : sequence of str
        Detector ids and datasets: only their panels, with the constant sets that
        these ever used and all earlier revisions of them, so that revisions keep
        their numbers, and their detector types. With a tag: what both mean.

    Raises
    ------
    InvalidInputError
        A name is malformed, or neither a tag nor a detector is given.
    NotFoundError
        There is no such tag or run, or a panel has no assignments.
    """
    if tag is None and not detectors:
        msg = "a bundle is made of what a tag saw, or of detectors; neither was named"
        raise InvalidInputError(msg, "--tag NAME, --detector D; `panelcal backup` takes everything")
    pinned = None if tag is None else find_tag(source, parse_tag_name(tag))
    as_of = None if pinned is None else pinned.as_of
    chosen = Selected(
        Selection(tag, None if as_of is None else iso_utc(as_of), tuple(detectors)),
        None if as_of is None else to_microseconds(as_of),
    )
    known = [one for one in constant_sets(source) if as_of is None or one.recorded_at <= as_of]
    names, modules = _named(source, detectors, as_of)
    rows = history(source, names if detectors else None, as_of)
    missing = sorted(names - rows.keys())
    if missing:
        when = "" if pinned is None else f" as of tag {pinned.name}"
        msg = f"no assignments{when} of {', '.join(missing)}"
        raise NotFoundError(msg, "panelcal panel list")
    held = [panel for panel in panels(source) if panel.name in rows]
    chosen.panels = {panel.id for panel in held}
    if detectors:
        modules |= {(row.module, row.revision) for one in rows.values() for row in one}
        known = _up_to_used(known, modules)
    _take_sets(source, chosen, known)
    used = {panel.detector_type for panel in held} | {one.detector_type for one in known}
    types = detector_types(source)
    chosen.types = {one.id for one in types if not detectors or one.name in used}
    _take_runs(source, chosen, set(rows), known, as_of, everything=not detectors)
    if pinned is not None:
        chosen.tags = _tags_until(source, pinned)
    return chosen


_Used: TypeAlias = set[tuple[str | None, int | None]]


def _named(
    source: "Readable", detectors: Sequence[str], as_of: datetime | None
) -> tuple[set[str], _Used]:
    """Return the panels that detectors name, and the modules that datasets declare."""
    names: set[str] = set()
    modules: _Used = set()
    for text in detectors:
        if not is_dataset(text):
            asked_for = parse_detector_id(text)
            asked_for.require_type(detector_types(source).names)
            names |= set(map(str, asked_for.panels))
            continue
        for run in _runs_of(source, text, as_of):
            names |= _panels_of(run)
            modules |= set(_declared(run))
    return names, modules


def _runs_of(source: "Readable", text: str, as_of: datetime | None) -> list[Run]:
    dataset = parse_dataset(text)
    found = stored_runs(source, dataset, as_of)
    if not found:
        # Says which registered names are near.
        found = [find_run(source, dataset, None, as_of)]
    if not any(run.detector_id or run.modules for run in found):
        msg = f"{dataset} names no panels and no modules"
        raise NotFoundError(msg, "panelcal run add --supersede can add what is known")
    return found


def _panels_of(run: Run) -> set[str]:
    return set(map(str, parse_detector_id(run.detector_id).panels)) if run.detector_id else set()


def _declared(run: Run) -> list[tuple[str, int]]:
    """Return the constant sets that a run declares; a module alone means its first."""
    parsed = map(parse_module_reference, run.modules)
    return [(module, revision or 1) for module, revision in parsed]


def _up_to_used(known: Iterable[ConstantSet], used: _Used) -> list[ConstantSet]:
    latest: dict[str, int] = {}
    for module, revision in used:
        if module is not None and revision is not None:
            latest[module] = max(revision, latest.get(module, 0))
    return [one for one in known if one.revision <= latest.get(one.module, 0)]


def _take_sets(source: "Readable", chosen: Selected, sets: Iterable[ConstantSet]) -> None:
    names = set()
    for one in sets:
        chosen.sets.add(one.id)
        chosen.digests |= set(one.digests.values())
        names.add(one.module)
    chosen.verdicts = {
        one.id
        for one in verdicts_of(source, chosen.sets)
        if chosen.as_of_us is None or to_microseconds(one.recorded_at) <= chosen.as_of_us
    }
    chosen.modules = {
        row_id for row_id, name in rows_of(source, "SELECT id, name FROM module") if name in names
    }


def _take_runs(
    source: "Readable",
    chosen: Selected,
    names: set[str],
    sets: Iterable[ConstantSet],
    as_of: datetime | None,
    *,
    everything: bool,
) -> None:
    """Take the runs whose constants are in the bundle, by the row that holds of each.

    Their earlier rows come along. A run whose latest row names a panel outside
    is left out as a whole: an earlier row would answer for it.
    """
    held = {(one.module, one.revision) for one in sets}
    for run in stored_runs(source, as_of=as_of):
        if run.detector_id:
            is_inside = _panels_of(run) <= names
        else:
            is_inside = bool(run.modules) and set(_declared(run)) <= held
        if everything or is_inside:
            chosen.runs.add((run.dataset.experiment, run.dataset.run, run.source))


def _tags_until(source: "Readable", pinned: Tag) -> set[str]:
    query = "SELECT name FROM tag WHERE as_of_us <= :as_of AND recorded_at_us <= :recorded_at"
    times = {
        "as_of": to_microseconds(pinned.as_of),
        "recorded_at": to_microseconds(pinned.recorded_at),
    }
    return {name for (name,) in rows_of(source, query, times)}
