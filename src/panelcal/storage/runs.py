"""Registered runs in the database."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select

from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import Dataset, Run
from panelcal.storage.tables import RunRow


def runs(
    connection: Connection, dataset: Dataset | None = None, as_of: datetime | None = None
) -> list[Run]:
    """Return the runs as they stand, by experiment, run and source.

    Of several rows for the same source of a run, the one recorded last holds.

    Parameters
    ----------
    dataset : Dataset or None
        Only the sources of this run; None means every run.
    as_of : datetime or None
        Only rows recorded by then are seen; None is all.
    """
    key = (RunRow.experiment, RunRow.run, RunRow.source)
    recorded = select(func.max(RunRow.recorded_at_us).label("recorded_at_us"), *key)
    if as_of is not None:
        recorded = recorded.where(RunRow.recorded_at_us <= to_microseconds(as_of))
    latest = recorded.group_by(*key).subquery()
    query = select(RunRow.__table__).join(
        latest,
        (RunRow.experiment == latest.c.experiment)
        & (RunRow.run == latest.c.run)
        & (RunRow.source == latest.c.source)
        & (RunRow.recorded_at_us == latest.c.recorded_at_us),
    )
    if dataset is not None:
        query = query.where(RunRow.experiment == dataset.experiment, RunRow.run == dataset.run)
    return _runs(connection, query)


def run_records(connection: Connection) -> list[Run]:
    """Return every row ever recorded, corrected ones included."""
    return _runs(connection, select(RunRow.__table__))


def _runs(connection: Connection, query: Select[Any]) -> list[Run]:
    found = [
        Run(
            dataset=Dataset(row.experiment, row.run),
            source=row.source,
            begin=None if row.begin_us is None else moment_of(row.begin_us),
            detector_id=row.detector_id,
            modules=tuple(row.modules.split()),
            note=row.note,
            recorded_at=moment_of(row.recorded_at_us),
            recorded_by=row.recorded_by,
        )
        for row in connection.execute(query)
    ]
    return sorted(found, key=lambda run: (run.dataset, run.source, run.recorded_at))


def datasets(connection: Connection) -> list[Dataset]:
    """Return every registered dataset, for suggestions."""
    rows = connection.execute(select(RunRow.experiment, RunRow.run).distinct())
    return sorted(Dataset(row.experiment, row.run) for row in rows)


def add_run(connection: Connection, run: Run) -> None:
    """Append a row for a source of a run."""
    connection.execute(
        insert(RunRow).values(
            experiment=run.dataset.experiment,
            run=run.dataset.run,
            source=run.source,
            begin_us=None if run.begin is None else to_microseconds(run.begin),
            detector_id=run.detector_id,
            modules=" ".join(run.modules),
            note=run.note,
            recorded_at_us=to_microseconds(run.recorded_at),
            recorded_by=run.recorded_by,
        )
    )
