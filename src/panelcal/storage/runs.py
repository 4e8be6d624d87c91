"""Registered runs in the database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import Dataset, Run
from panelcal.domain.seal import BrokenSeal, broken_run, run_seal
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_RUNS = """
SELECT row.id, row.experiment, row.run, row.source, row.begin_us, row.detector_id, row.modules,
       row.note, row.recorded_at_us, row.recorded_by, row.seal
FROM run AS row
"""

_LATER = """
SELECT 1 FROM run AS later WHERE later.experiment = row.experiment AND later.run = row.run
AND later.source = row.source AND later.recorded_at_us > row.recorded_at_us
"""


def runs(
    source: "Readable", dataset: Dataset | None = None, as_of: datetime | None = None
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
    later, conditions = _LATER, []
    parameters: dict[str, str | int | None] = {}
    if as_of is not None:
        later += "AND later.recorded_at_us <= :as_of"
        conditions.append("row.recorded_at_us <= :as_of")
        parameters["as_of"] = to_microseconds(as_of)
    if dataset is not None:
        conditions.append("row.experiment = :experiment AND row.run = :run")
        parameters |= {"experiment": dataset.experiment, "run": dataset.run}
    conditions.append(f"NOT EXISTS ({later})")
    return _runs(rows_of(source, f"{_RUNS} WHERE {' AND '.join(conditions)}", parameters))


def run_records(source: "Readable") -> list[Run]:
    """Return every row ever recorded, corrected ones included."""
    return _runs(rows_of(source, _RUNS))


def _runs(rows: Sequence[Sequence[Any]]) -> list[Run]:
    found = [
        Run(
            dataset=Dataset(experiment, run),
            source=name,
            begin=None if begin_us is None else moment_of(begin_us),
            detector_id=detector_id,
            modules=tuple(modules.split()),
            note=note,
            recorded_at=moment_of(recorded_at_us),
            recorded_by=recorded_by,
            broken=broken_run(row_id, values, seal),
        )
        for row_id, *values, seal in rows
        for (
            experiment,
            run,
            name,
            begin_us,
            detector_id,
            modules,
            note,
            recorded_at_us,
            recorded_by,
        ) in (values,)
    ]
    return sorted(found, key=lambda run: (run.dataset, run.source, run.recorded_at))


@dataclass(frozen=True, slots=True)
class EditedRun:
    """A run's row that is not as it was recorded.

    Parameters
    ----------
    broken : BrokenSeal
        Which row it is, and what it says now.
    """

    broken: BrokenSeal
    _further: Sequence[Any]
    _seal: str

    def was_of(self, dataset: Dataset, source: str) -> bool:
        """Say whether the row was recorded for this source of this run."""
        own = (dataset.experiment, dataset.run, source)
        return self._seal == run_seal((*own, *self._further))


def edited_runs(source: "Readable", near: Dataset | None = None) -> list[EditedRun]:
    """Return the rows of runs that are not as they were recorded.

    Parameters
    ----------
    near : Dataset or None
        Only rows that say its experiment or its run number; None is all.
    """
    parameters: dict[str, str | int | None] = {}
    where = ""
    if near is not None:
        where = "WHERE row.experiment = :experiment OR row.run = :run"
        parameters = {"experiment": near.experiment, "run": near.run}
    return [
        EditedRun(broken, values[3:], seal)
        for row_id, *values, seal in rows_of(source, f"{_RUNS} {where}", parameters)
        if (broken := broken_run(row_id, values, seal))
    ]


def datasets(source: "Readable") -> list[Dataset]:
    """Return every registered dataset, for suggestions."""
    return sorted(
        Dataset(*row) for row in rows_of(source, "SELECT DISTINCT experiment, run FROM run")
    )


def add_run(connection: "Connection", run: Run) -> None:
    """Append a row for a source of a run."""
    from sqlalchemy import insert

    from panelcal.storage.tables import RunRow

    values = {
        "experiment": run.dataset.experiment,
        "run": run.dataset.run,
        "source": run.source,
        "begin_us": None if run.begin is None else to_microseconds(run.begin),
        "detector_id": run.detector_id,
        "modules": " ".join(run.modules),
        "note": run.note,
        "recorded_at_us": to_microseconds(run.recorded_at),
        "recorded_by": run.recorded_by,
    }
    connection.execute(insert(RunRow).values(**values, seal=run_seal(values.values())))
