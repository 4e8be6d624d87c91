"""Answers as Arrow tables, for notebooks and pandas; needs the extra ``arrow``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from panelcal.domain.coverage import DetectorCoverage
from panelcal.domain.moments import iso_utc
from panelcal.domain.resolution import Resolution
from panelcal.domain.run_answers import Use
from panelcal.domain.validity import Assignment
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa


def resolution_table(answer: Resolution) -> "pa.Table":
    """Return an answer, a row per panel.

    Parameters
    ----------
    answer : Resolution
        What was resolved.

    Returns
    -------
    pyarrow.Table
        Columns ``index`` (int32), ``panel``, ``module``, ``revision`` (int32), ``valid_from``
        and ``recorded_at`` (timestamp in microseconds, UTC), ``guessed`` and ``digests`` (a
        struct with a field per kind). Null in ``valid_from`` is *the beginning*, in ``panel``
        a declared module. Detector, T, policy, as-of and token are the metadata of the schema.

    Raises
    ------
    InvalidInputError
        pyarrow is not installed.
    """
    pa = _pyarrow()
    kinds = sorted({kind for panel in answer.panels for kind in panel.digests})
    schema = _schema(
        pa,
        {
            "index": pa.int32(),
            "panel": pa.string(),
            "module": pa.string(),
            "revision": pa.int32(),
            "valid_from": _moment(pa),
            "recorded_at": _moment(pa),
            "guessed": pa.bool_(),
            "digests": pa.struct([(kind, pa.string()) for kind in kinds]),
        },
        {
            "detector": answer.detector,
            "at": None if answer.at is None else iso_utc(answer.at),
            "policy": answer.policy,
            "as_of": None if answer.as_of is None else iso_utc(answer.as_of),
            "token": answer.token,
        },
    )
    rows = [
        {
            "index": panel.index,
            "panel": panel.panel,
            "module": panel.module,
            "revision": panel.revision,
            "valid_from": panel.valid_from,
            "recorded_at": panel.recorded_at,
            "guessed": panel.panel in answer.guessed,
            "digests": dict(panel.digests),
        }
        for panel in answer.panels
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def ledger_table(
    rows: Sequence[Assignment],
    valid_until: Sequence["datetime | None"],
    superseded_at: Sequence["datetime | None"],
) -> "pa.Table":
    """Return rows of the ledger, each with its end.

    Parameters
    ----------
    rows : sequence of Assignment
        In the order they are to have.
    valid_until, superseded_at : sequence of datetime or None
        Of each row, as `panelcal.services.history.Chapter` has them.

    Returns
    -------
    pyarrow.Table
        Columns ``panel``, ``module``, ``revision`` (int32), ``valid_from``, ``valid_until``,
        ``recorded_at``, ``superseded_at`` (timestamps in microseconds, UTC), ``recorded_by``
        and ``reason``. Null in ``module`` is a withdrawal, in ``valid_from`` *the beginning*,
        in ``valid_until`` an open end.

    Raises
    ------
    InvalidInputError
        pyarrow is not installed.
    """
    pa = _pyarrow()
    moment = _moment(pa)
    schema = _schema(
        pa,
        {
            "panel": pa.string(),
            "module": pa.string(),
            "revision": pa.int32(),
            "valid_from": moment,
            "valid_until": moment,
            "recorded_at": moment,
            "superseded_at": moment,
            "recorded_by": pa.string(),
            "reason": pa.string(),
        },
    )
    documents = [
        {
            "panel": row.panel,
            "module": row.module,
            "revision": row.revision,
            "valid_from": row.valid_from,
            "valid_until": until,
            "recorded_at": row.recorded_at,
            "superseded_at": superseded,
            "recorded_by": row.recorded_by,
            "reason": row.reason,
        }
        for row, until, superseded in zip(rows, valid_until, superseded_at, strict=True)
    ]
    return pa.Table.from_pylist(documents, schema=schema)


def coverage_table(detectors: Iterable[DetectorCoverage]) -> "pa.Table":
    """Return what every run is answered, a row per panel.

    Parameters
    ----------
    detectors : iterable of DetectorCoverage
        Whose runs.

    Returns
    -------
    pyarrow.Table
        Columns ``experiment``, ``run`` (int32), ``source``, ``begin`` (timestamp in
        microseconds, UTC), ``detector``, ``answer``, ``index`` (int32), ``panel``,
        ``module``, ``revision`` (int32), ``valid_from`` (as ``begin``) and ``guessed``. A run
        without a begin, or without panels and modules, has one row without a panel.

    Raises
    ------
    InvalidInputError
        pyarrow is not installed.
    """
    pa = _pyarrow()
    schema = _schema(
        pa,
        {
            "experiment": pa.string(),
            "run": pa.int32(),
            "source": pa.string(),
            "begin": _moment(pa),
            "detector": pa.string(),
            "answer": pa.string(),
            "index": pa.int32(),
            "panel": pa.string(),
            "module": pa.string(),
            "revision": pa.int32(),
            "valid_from": _moment(pa),
            "guessed": pa.bool_(),
        },
    )
    rows = [
        {
            "experiment": one.run.dataset.experiment,
            "run": one.run.dataset.run,
            "source": one.run.source,
            "begin": one.run.begin,
            "detector": detector.detector,
            "answer": str(one.answered),
            **_use(use),
        }
        for detector in detectors
        for one in detector.runs
        for use in one.uses or (None,)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def _use(use: Use | None) -> dict[str, Any]:
    if use is None:
        return {}
    return {
        "index": use.index,
        "panel": use.panel,
        "module": use.module,
        "revision": use.revision,
        "valid_from": use.valid_from,
        "guessed": use.guessed,
    }


def _pyarrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        msg = "an Arrow table was asked for, and pyarrow is not installed"
        raise InvalidInputError(msg, "pip install 'panelcal[arrow]'") from error
    return pa


def _moment(pa: Any) -> Any:
    return pa.timestamp("us", tz="UTC")


def _schema(
    pa: Any, columns: Mapping[str, Any], told: Mapping[str, str | None] | None = None
) -> Any:
    """Return a schema; what is told of the whole table is kept where it is known."""
    metadata = {name: value for name, value in (told or {}).items() if value is not None}
    return pa.schema(list(columns.items()), metadata=metadata or None)
