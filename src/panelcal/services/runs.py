"""Runs: register them, list them, find the one that somebody means."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import parse_detector_id
from panelcal.domain.moments import parse_moment, typed_form
from panelcal.domain.runs import (
    Dataset,
    Run,
    choose_source,
    nearest_names,
    nearest_runs,
    parse_dataset,
    parse_experiment,
    parse_run_number,
    parse_source,
)
from panelcal.domain.text import one_line
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.storage import runs as stored
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable


@dataclass(frozen=True, slots=True)
class RunFields:
    """A run as typed: all text, as in a line of the runs CSV (design §4)."""

    experiment: str
    run: str
    source: str
    begin: str = ""
    detector_id: str = ""
    modules: str = ""
    note: str = ""


def find_run(
    reader: "Readable",
    dataset: Dataset,
    source: str | None,
    as_of: datetime | None = None,
) -> Run:
    """Return the registered source of a run that a pattern means.

    Parameters
    ----------
    as_of : datetime or None
        As it was registered then; None is now.

    Raises
    ------
    NotFoundError
        The run is not registered, and the nearest registered names are given;
        or it has no such source.
    InvalidInputError
        Several sources match; they are listed.
    IntegrityError
        Its row is not as it was recorded.
    """
    found = stored.runs(reader, dataset, as_of)
    if not found:
        raise _unknown_run(dataset, stored.datasets(reader))
    chosen = choose_source(source, [run.source for run in found], dataset)
    run = next(run for run in found if run.source == chosen)
    require_as_recorded([run])
    return run


def require_as_recorded(runs: Iterable[Run]) -> None:
    """Refuse runs of which a row is not as it was recorded.

    Raises
    ------
    IntegrityError
        It names the row.
    """
    for run in runs:
        if run.broken is not None:
            raise run.broken.refusal()


def _unknown_run(wanted: Dataset, known: Sequence[Dataset]) -> NotFoundError:
    msg = f"{wanted} is not registered"
    of_experiment = [dataset.run for dataset in known if dataset.experiment == wanted.experiment]
    if of_experiment:
        near = ", ".join(str(run) for run in nearest_runs(wanted.run, of_experiment))
        return NotFoundError(msg, f"registered runs of {wanted.experiment} nearby: {near}")
    names = nearest_names(wanted.experiment, {dataset.experiment for dataset in known})
    if names:
        likely = [dataset for name in names for dataset in known if dataset.experiment == name]
        likely.sort(key=lambda one: (names.index(one.experiment), abs(one.run - wanted.run)))
        near = ", ".join(map(str, likely[:3]))
        return NotFoundError(
            f"{msg}; nor is any run of {wanted.experiment}",
            f"nearest registered: {near}",
        )
    return NotFoundError(msg, "panelcal run list")


def show_run(store: OpenStore, dataset: Dataset) -> list[Run]:
    """Return every source of a run.

    Raises
    ------
    NotFoundError
        The run is not registered.
    """
    with store.database.reading() as connection:
        found = stored.runs(connection, dataset)
        if not found:
            raise _unknown_run(dataset, stored.datasets(connection))
    require_as_recorded(found)
    return found


def list_runs(
    store: OpenStore, instrument: str | None = None, detector: str | None = None
) -> list[Run]:
    """Return the registered runs of an instrument with a detector.

    Parameters
    ----------
    instrument : str or None
        ``MFX``: first three letters of the experiment; upper or lower case.
    detector : str or None
        Part of the source name, upper or lower case: ``jungfrau``.
    """
    with store.database.reading() as connection:
        found = stored.runs(connection)
    require_as_recorded(found)
    return [
        run
        for run in found
        if (instrument is None or run.dataset.instrument == instrument.upper())
        and (detector is None or detector.lower() in run.source.lower())
    ]


def detector_id(store: OpenStore, dataset: str, source: str | None, segment: int | None) -> str:
    """Return what ``id_jungfrau(env, source, segment)`` gives for a registered run.

    Parameters
    ----------
    segment : int or None
        Panel index from 0; None is the whole detector.

    Returns
    -------
    str
        A panel id or the detector id; for ConfigV1 and V2, which have no
        numbers, the source name with ``-`` for ``:`` (spec §1). A segment of an
        LCLS2 detector id is given as an id of its own (spec §15).

    Raises
    ------
    NotFoundError
        The run, its source or the segment does not exist.
    """
    with store.database.reading() as connection:
        run = find_run(connection, parse_dataset(dataset), source)
    if segment is None or run.detector_id is None:
        return run.legacy_id
    panels = parse_detector_id(run.detector_id).panels
    if not 0 <= segment < len(panels):
        msg = f"{run.dataset} {run.source} has no segment {segment}"
        raise NotFoundError(msg, f"its segments are 0 to {len(panels) - 1}")
    return str(panels[segment])


def add_run(
    store: OpenStore, fields: RunFields, *, now: datetime, user: str, supersede: bool
) -> Run:
    """Register one source of a run.

    Raises
    ------
    InvalidInputError
        A field is malformed.
    ConflictError
        The run is registered already, the same or otherwise; with `supersede`
        a row that differs is recorded as a correction.
    """
    with store.database.writing() as connection:
        at = recording_time(connection, now)
        run = parse_run(fields, store.zone, at, user)
        known = _registered(connection, run)
        if known is not None and facts(known) == facts(run):
            msg = f"{run.dataset} {run.source} is registered just so already"
            raise ConflictError(msg)
        if known is not None and not supersede:
            said = difference(known, run, store.zone)
            msg = f"{run.dataset} {run.source} is registered otherwise: {said}"
            raise ConflictError(msg, "--supersede records the new row as a correction")
        stored.add_run(connection, run)
    return run


def begin_notice(fields: RunFields, zone: ZoneInfo) -> str | None:
    """Return what there is to say about how a begin that can be read was understood."""
    begin = fields.begin.strip()
    return parse_moment(begin, zone).notice if begin else None


def _registered(connection: "Connection", run: Run) -> Run | None:
    found = stored.runs(connection, run.dataset)
    return next((known for known in found if known.source == run.source), None)


def facts(run: Run) -> tuple[object, ...]:
    """Return what two rows of the same run and source may differ in."""
    return run.begin, run.detector_id, run.modules, run.note


def difference(known: Run, run: Run, zone: ZoneInfo) -> str:
    """Say in words what differs between two rows of the same run and source."""
    names = ("begin", "detector_id", "modules", "note")
    return "; ".join(
        f"{name} is {_shown(old, zone)} there, {_shown(new, zone)} here"
        for name, old, new in zip(names, facts(known), facts(run), strict=True)
        if old != new
    )


def _shown(value: object, zone: ZoneInfo) -> str:
    if isinstance(value, datetime):
        return typed_form(value, zone)
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "not given"
    return str(value or "not given")


def parse_run(fields: RunFields, zone: ZoneInfo, now: datetime, user: str) -> Run:
    """Read a run as typed.

    Raises
    ------
    InvalidInputError
        A field is malformed, or there are a detector id and modules both.
    """
    modules = tuple(fields.modules.split())
    for module in modules:
        parse_module_reference(module)
    detector = fields.detector_id.strip()
    if detector and modules:
        msg = "a run has a detector id or declares modules, not both"
        raise InvalidInputError(msg)
    begin = fields.begin.strip()
    return Run(
        dataset=Dataset(
            parse_experiment(fields.experiment.strip()),
            parse_run_number(fields.run.strip()),
        ),
        source=parse_source(fields.source.strip()),
        begin=parse_moment(begin, zone).utc.replace(microsecond=0) if begin else None,
        detector_id=str(parse_detector_id(detector)) if detector else None,
        modules=modules,
        note=one_line(fields.note, "note") if fields.note.strip() else "",
        recorded_at=now,
        recorded_by=user,
    )
