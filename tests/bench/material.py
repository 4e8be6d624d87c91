"""What is measured on: arrays of realistic values, gains trees, stores made from them."""

import csv
import shutil
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from panelcal.domain.moments import DEFAULT_TIME_ZONE, time_zone
from panelcal.exporters.text_array import Environment
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.services.import_runs import import_runs
from panelcal.storage.store import DATABASE_NAME, create_store, open_store

Array = npt.NDArray[np.float32]

ENVIRONMENT = Environment(user="bench", host="localhost", work_dir="/")
EXPERIMENT = "xppbench01"
SOURCE = "XppEndstation.0:Jungfrau.0"
KINDS = {"pixel_gain": "gain", "pixel_offset": "offset"}
FORMATS = {"gain": "%.4f", "offset": "%.1f"}

_GAIN = ((41.5, 1.0), (-1.39, 0.03), (-0.11, 0.003))
"""Mean and spread of gain ranges 0, 1, 2 in ADU/keV."""
_OFFSETS, _OFFSET_SPREAD = (2_000.0, 15_000.0), 100.0
"""Pedestals of a panel and gain range lie somewhere in this range, in ADU."""

FIRST_BEGIN = datetime(2017, 1, 1, 20, tzinfo=UTC)


def constants(stem: str, panels: int, shape: tuple[int, int], seed: int = 0) -> Array:
    """Return constants of a detector.

    Parameters
    ----------
    stem : {'gain', 'offset'}
        Kind, as in the names of legacy files.
    shape : (int, int)
        Rows and columns of a panel.

    Returns
    -------
    ndarray of float32
        (3, panel, row, column), in ADU/keV or ADU.
    """
    random = np.random.default_rng((seed, panels))
    array = random.standard_normal((3, panels, *shape), dtype=np.float32)
    for gain_range in range(3):
        for panel in range(panels):
            mean, spread = _GAIN[gain_range]
            if stem == "offset":
                mean, spread = random.uniform(*_OFFSETS), _OFFSET_SPREAD
            array[gain_range, panel] *= np.float32(spread)
            array[gain_range, panel] += np.float32(mean)
    return array


def panel_id(index: int) -> str:
    """Return the id of a panel."""
    return f"171113-154920171025-{0x3D00B0 + index:x}"


def detector_id(panels: int) -> str:
    """Return the id of a detector of so many panels."""
    return "_".join(map(panel_id, range(panels)))


def stamp(at: datetime) -> str:
    """Return the 14-digit stamp of a moment in a store's zone."""
    return at.astimezone(time_zone(DEFAULT_TIME_ZONE)).strftime("%Y%m%d%H%M%S")


def make_delivery(directory: Path, shape: tuple[int, int], seed: int) -> None:
    """Write the six legacy files of a module."""
    directory.mkdir()
    for number, stem in enumerate(("gain", "offset")):
        array = constants(stem, 1, shape, seed=2 * seed + number)
        for gain_range in range(3):
            np.save(directory / f"g{gain_range}_{stem}.npy", array[gain_range, 0])


def make_tree(
    tree: Path, modules: int, shape: tuple[int, int], links: Mapping[str, int] | None = None
) -> None:
    """Make a gains tree.

    Parameters
    ----------
    links : mapping of str to int or None
        Names of entries and the modules they lead to; None gives each module a
        panel of its own, from the beginning.
    """
    tree.mkdir()
    for module in range(modules):
        make_delivery(tree / f"M{module:03}", shape, seed=module)
    for name, module in (links or {panel_id(index): index for index in range(modules)}).items():
        (tree / name).symlink_to(f"M{module:03}")


def make_empty_store(store: Path, shape: tuple[int, int]) -> None:
    """Make a store, by the migrations, for panels of any shape."""
    create_store(store, time_zone(DEFAULT_TIME_ZONE), datetime(2016, 1, 1, tzinfo=UTC))
    connection = sqlite3.connect(store / DATABASE_NAME)
    with connection:
        connection.execute("UPDATE detector_type SET panel_rows = ?, panel_columns = ?", shape)
    connection.close()


def make_store(
    store: Path,
    modules: int,
    shape: tuple[int, int],
    links: Mapping[str, int] | None = None,
    runs: Sequence[tuple[datetime, str]] | None = None,
) -> None:
    """Make a store with the constants of modules, and runs that use them.

    Parameters
    ----------
    links : mapping of str to int or None
        As for `make_tree`.
    runs : sequence of (datetime, str) or None
        Begin and detector id of runs 1, 2, ...; None is one run with all panels.
    """
    tree = store.with_name(f"{store.name}-tree")
    make_tree(tree, modules, shape, links)
    make_empty_store(store, shape)
    with open_store(store) as opened:
        report = import_gains_tree(opened, tree, now=datetime.now(UTC), user="bench")
        report.raise_if_refused()
    shutil.rmtree(tree)
    _register(store, runs or [(FIRST_BEGIN, detector_id(modules))])


def _register(store: Path, runs: Sequence[tuple[datetime, str]]) -> None:
    path = store.with_name(f"{store.name}-runs.csv")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("experiment", "run", "source", "begin", "detector_id", "modules"))
        for number, (begin, detector) in enumerate(runs, start=1):
            writer.writerow((EXPERIMENT, number, SOURCE, stamp(begin), detector, ""))
    with open_store(store) as opened:
        import_runs(opened, path, now=datetime.now(UTC), user="bench").raise_if_refused()


def later(days: float) -> datetime:
    """Return a moment some days after the first run, at an hour that every day has."""
    return FIRST_BEGIN + timedelta(days=days)
