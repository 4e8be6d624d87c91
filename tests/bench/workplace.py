"""Where and how large: the directory of a run of the bench, and its sizes."""

from dataclasses import dataclass
from pathlib import Path

from bench import material


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured.

    Parameters
    ----------
    rows, columns : int
        Of a panel.
    ledgers : tuple of int
        Rows of the ledgers, ascending.
    panels : tuple of int
        Panels of the detectors whose constants are exported, ascending; the last
        one's arrays are assembled too.
    modules : int
        In the gains tree that is imported.
    runs : int
        In the experiment that is deployed.
    calls : int
        At most so many questions make up one timed run of a resolve.
    rounds : int
        How often everything is measured.
    slow_rounds : int
        How often `numpy.savetxt` writes the largest detector; 0 is not at all.
    """

    rows: int = 512
    columns: int = 1024
    ledgers: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    panels: tuple[int, ...] = (1, 8, 32)
    modules: int = 100
    runs: int = 200
    calls: int = 100
    rounds: int = 7
    slow_rounds: int = 0


DEFAULT = Scale()
FULL = Scale(slow_rounds=3)
QUICK = Scale(
    rows=8,
    columns=64,
    ledgers=(256, 512),
    modules=3,
    runs=16,
    calls=4,
    rounds=1,
    slow_rounds=1,
)
"""Says that everything runs, and nothing about speed."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """A directory that is removed at the end, and what the topics share in it.

    Parameters
    ----------
    place : Path
        The directory.
    scale : Scale
        Sizes and rounds.
    """

    place: Path
    scale: Scale

    def directory(self, name: str) -> Path:
        """Return a new directory."""
        path = self.place / name
        path.mkdir()
        return path

    def store(self, panels: int, rows: int | None = None, columns: int | None = None) -> Path:
        """Return a store with the constants of one detector; made when first asked for.

        Parameters
        ----------
        panels : int
            Of the detector, `material.detector_id` of as many.
        rows, columns : int or None
            Of a panel; None is the scale's.
        """
        shape = (rows or self.scale.rows, columns or self.scale.columns)
        path = self.place / f"store-{panels}-{shape[0]}-{shape[1]}"
        if not path.exists():
            material.make_store(path, panels, shape)
        return path
