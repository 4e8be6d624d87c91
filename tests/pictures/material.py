"""A small store with a story worth drawing: real panels, four years, a few mishaps."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import DEFAULT_TIME_ZONE, parse_stamp, time_zone
from panelcal.exporters.text_array import Environment
from panelcal.services.assign import assign, withdraw
from panelcal.services.demo import TYPICAL
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.modules import deliver
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.store import OpenStore, create_store, open_store
from panelcal.storage.types import detector_types

PANELS = tuple(f"171113-154920171025-3d00{serial}" for serial in ("b0", "f7", "fb"))
DETECTOR = "_".join(PANELS)
SOURCE = "XcsEndstation.0:Jungfrau.0"
PIXEL = (300, 640)
"""Row and column of a pixel that goes bad in M068@3."""

NOW = datetime(2021, 9, 1, tzinfo=UTC)

_STORY: tuple[tuple[str, ...], ...] = (
    ("deliver", "M068"),
    ("deliver", "M088"),
    ("deliver", "M044"),
    ("assign", PANELS[0], "M068@1", ""),
    ("assign", PANELS[1], "M088@1", ""),
    ("assign", PANELS[2], "M044@1", "20180306000000"),
    ("deploy", "xcsls3716", "631", "20180419120000"),
    ("deliver", "M068"),
    ("assign", PANELS[0], "M068@2", "20190115000000"),
    ("withdraw", PANELS[1], "20190601000000"),
    ("deliver", "M071"),
    ("assign", PANELS[1], "M071@1", "20191020000000"),
    ("deploy", "xcslu5018", "12", "20191104093000"),
    ("deploy", "xcslu5018", "88", "20191106210000"),
    ("deliver", "M044"),
    ("assign", PANELS[2], "M044@2", "20190901000000"),
    ("deliver", "M068"),
    ("assign", PANELS[0], "M068@3", "20200810000000"),
    ("assign", PANELS[0], "M068@2", "20210222000000"),
    ("deploy", "xcslv9418", "205", "20210503100000"),
)


def tell(directory: Path) -> None:
    """Make a store and let everything happen to it, a day apart, at times that are fixed."""
    now = datetime(2021, 6, 1, tzinfo=UTC)
    create_store(directory / "store", time_zone(DEFAULT_TIME_ZONE), now)
    with open_store(directory / "store") as store:
        for number, (what, *words) in enumerate(_STORY, 1):
            _HAPPENS[what](store, directory, now + number * timedelta(days=1), *words)


def _deliver(store: OpenStore, directory: Path, now: datetime, module: str) -> None:
    number = len(list(directory.glob("delivery-*")))
    files = directory / f"delivery-{number}"
    with store.database.reading() as connection:
        detector_type = detector_types(connection).chosen(None)
    write_structured(files, detector_type, number)
    deliver(store, module, files, now=now, user="ann", reason="delivered")


def _assign(
    store: OpenStore, _: Path, now: datetime, panel: str, reference: str, stamp: str
) -> None:
    start = parse_stamp(stamp, store.zone).utc if stamp else None
    assign(store, panel, reference, start, now=now, user="ann", reason="calibrated")


def _withdraw(store: OpenStore, _: Path, now: datetime, panel: str, stamp: str) -> None:
    start = parse_stamp(stamp, store.zone).utc
    withdraw(store, panel, start, now=now, user="ann", reason="in repair")


def _deploy(
    store: OpenStore, directory: Path, now: datetime, experiment: str, run: str, begin: str
) -> None:
    fields = RunFields(experiment, run, SOURCE, begin=begin, detector_id=DETECTOR)
    add_run(store, fields, now=now, user="ann", supersede=False)
    answer = answer_for(store, f"exp={experiment}:run={run}", None)
    writing = Writing("legacy", Environment("ann", "host", "/"), now + timedelta(hours=1))
    deploy(store, answer, directory / "calib", writing=writing)


_HAPPENS: dict[str, Callable[..., None]] = {
    "deliver": _deliver,
    "assign": _assign,
    "withdraw": _withdraw,
    "deploy": _deploy,
}


def write_structured(directory: Path, detector_type: DetectorType, number: int) -> None:
    """Write a delivery as detectors have them: chips that differ, a gradient, a few bad pixels.

    The first three are of M068, M088 and M044; later ones differ a little from
    what any other would be, and the last has a bad chip and a bad pixel.
    """
    random = np.random.default_rng(20260000 + number)
    chips = np.random.default_rng(7)
    directory.mkdir()
    for kind in detector_type.kinds:
        for gain_range in range(detector_type.gain_ranges):
            typical = TYPICAL[kind.file_stem][gain_range]
            scale = 0.02 * abs(typical) if kind.file_stem == "gain" else 4.0 + 0.02 * abs(typical)
            values = typical + scale * _shape(chips, random, detector_type, number)
            np.save(directory / kind.file_name(gain_range), values.astype(np.float32))


def _shape(
    chips: np.random.Generator, random: np.random.Generator, of: DetectorType, number: int
) -> "np.ndarray[Any, Any]":
    """Return structure of about unit size: (row, column)."""
    rows, columns = of.rows, of.columns
    steps = chips.normal(0, 1, (2, 4)) + 0.1 * random.normal(0, 1, (2, 4))
    if number == 6:
        steps[1, 2] += 1.5
    values: np.ndarray[Any, Any] = np.kron(steps, np.ones((rows // 2, columns // 4)))
    values += np.linspace(-1, 1, columns)[np.newaxis, :]
    values += random.normal(0, 0.15, (rows, columns))
    bad = random.integers(0, rows * columns, 6)
    values.flat[bad] -= 25
    if number == 6:
        values[PIXEL] -= 30
    return values
