"""The demo: the page's tree and runs, end to end, verified against the tree itself."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.domain.detector_types import FIRST_TYPE
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import DEFAULT_TIME_ZONE, time_zone
from panelcal.domain.report import Progress
from panelcal.domain.resolution import Resolution
from panelcal.errors import ConflictError, IntegrityError
from panelcal.exporters.calib_dir import calib_dir_of, find_file, type_directory
from panelcal.exporters.printf import as_written
from panelcal.exporters.text_array import Environment, read_text_array
from panelcal.named_errors import naming
from panelcal.services.deploy import deploy
from panelcal.services.export import Answer, Writing, answer_for
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.services.import_runs import import_runs
from panelcal.storage.store import create_store, open_store
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    import numpy as np

LINKS = {
    "170505-149520170815-3d00b0-20171025000000": "M068",
    "170505-149520170815-3d00f7-20171025000000": "M088",
    "171113-154920171025-3d00b0": "M068",
    "171113-154920171025-3d00f7": "M088",
    "171113-154920171025-3d00fb-20180306000000": "M044",
}
"""The listing on the page. Two entries have no stamp; there they are shown as
directories with an arrow, here they are links like the others."""

SHOWN = {
    "exp=xcsls3716:run=631": ("M068", "M088"),
    "exp=mfx11116:run=697": ("M044",),
    "exp=mfx05516:run=16": ("M068", "M088"),
}
"""Datasets that the demo resolves and deploys, and the modules the page means."""

TYPICAL = {"gain": (41.5, -1.39, -0.11), "offset": (0.01, 300.0, 50.0)}
"""ADU/keV and ADU of gain ranges 0, 1, 2 (spec §13); the demo spreads around them."""


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """Where the demo puts things."""

    tree: Path
    runs: Path
    store: Path
    calib_root: Path


def run_demo(
    directory: Path,
    *,
    now: datetime,
    environment: Environment,
    tell: Callable[[str], None],
    show: Callable[[Resolution], None],
    progress: Progress | None = None,
) -> DemoPaths:
    """Make a gains tree, import it, resolve and deploy three runs, read them back.

    Parameters
    ----------
    directory : Path
        Where; it must not hold anything yet.
    tell : callable
        Given each line for the user.
    show : callable
        Given each answer.

    Raises
    ------
    ConflictError
        The directory is not empty.
    IntegrityError
        Something that was deployed does not hold what the tree says.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        msg = f"{directory} is not an empty directory"
        raise ConflictError(msg, "name a directory that does not exist yet")
    paths = DemoPaths(
        directory / "gains" / "jungfrau",
        directory / "runs.csv",
        directory / "store",
        directory / "calib-root",
    )
    paths.tree.mkdir(parents=True)
    source = resources.files("panelcal").joinpath("data/page_runs.csv")
    with naming(paths.runs):
        paths.runs.write_bytes(source.read_bytes())
    create_store(paths.store, time_zone(DEFAULT_TIME_ZONE), now)
    with open_store(paths.store) as store:
        with store.database.reading() as connection:
            detector_type = detector_types(connection).named(FIRST_TYPE)
        make_tree(paths.tree, detector_type)
        tell(f"made the page's tree of links in {paths.tree}, with synthetic arrays")
        user = environment.user
        report = import_gains_tree(store, paths.tree, now=now, user=user, progress=progress)
        report.raise_if_refused()
        tell(f"imported the tree: {report.summary}")
        report = import_runs(store, paths.runs, now=now, user=user)
        report.raise_if_refused()
        tell(f"imported the page's runs: {report.summary}")
        writing = Writing("legacy", environment, now)
        for dataset, modules in SHOWN.items():
            tell("")
            tell(f"{dataset}")
            answer = answer_for(store, dataset, None)
            tell(f"begin     {answer.run.note}")
            show(answer.resolution)
            calib_dir = calib_dir_of(paths.calib_root, answer.run.dataset.experiment)
            for one in deploy(store, answer, calib_dir, writing=writing, progress=progress):
                tell(f"deployed  {one.path}")
            _verify(answer, modules, paths, detector_type)
    tell("")
    tell(
        f"all agree: {len(SHOWN)} runs resolved as the page says, "
        f"{len(SHOWN) * len(detector_type.kinds)} deployed files found by the legacy rule "
        f"and read back equal to the tree's arrays"
    )
    return paths


def make_tree(tree: Path, detector_type: DetectorType) -> None:
    """Make the page's directory: three modules of synthetic arrays and the links."""
    for seed, module in enumerate(sorted(set(LINKS.values()))):
        make_delivery(tree / module, detector_type, seed)
    for name, module in LINKS.items():
        (tree / name).symlink_to(module)


def make_delivery(directory: Path, detector_type: DetectorType, seed: int) -> None:
    """Make a module's files: normal spread of 1 % and 1 ADU around typical values."""
    import numpy as np

    random = np.random.default_rng(seed)
    directory.mkdir()
    shape = (detector_type.rows, detector_type.columns)
    for kind in detector_type.kinds:
        for gain_range in range(detector_type.gain_ranges):
            typical = TYPICAL[kind.file_stem][gain_range]
            spread = 0.01 * abs(typical) if kind.file_stem == "gain" else 1.0
            values = random.normal(typical, spread, shape).astype(np.float32)
            np.save(directory / kind.file_name(gain_range), values)


def _verify(
    answer: Answer,
    modules: tuple[str, ...],
    paths: DemoPaths,
    detector_type: DetectorType,
) -> None:
    """Compare the answer with the page, and the deployed files with the tree's."""
    import numpy as np

    found = tuple(panel.module for panel in answer.resolution.panels)
    if found != modules:
        msg = f"{answer.run.dataset} resolved to {found}, the page says {modules}"
        raise IntegrityError(msg)
    run = answer.run.dataset.run
    calib_dir = calib_dir_of(paths.calib_root, answer.run.dataset.experiment)
    for kind in detector_type.kinds:
        folder = type_directory(calib_dir, detector_type.calib_group, answer.run.source, kind.name)
        served = [find_file(folder, number) for number in (run - 1, run, run + 1)]
        if served[0] is not None or served[1] is None or served[1] != served[2]:
            msg = f"runs {run - 1} to {run + 1} are served by {served}"
            raise IntegrityError(msg)
        expected = as_written(
            _merged(paths.tree, modules, kind.name, detector_type), kind.text_format
        )
        if not np.array_equal(read_text_array(served[1]), expected):
            msg = f"{served[1]} does not hold what {paths.tree} holds for {', '.join(modules)}"
            raise IntegrityError(msg)


def _merged(
    tree: Path, modules: tuple[str, ...], kind: str, detector_type: DetectorType
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Merge the tree's files as the legacy script does (spec §4), past the store."""
    import numpy as np

    names = [
        detector_type.kind(kind).file_name(gain_range)
        for gain_range in range(detector_type.gain_ranges)
    ]
    return np.array([[np.load(tree / module / name) for module in modules] for name in names])
