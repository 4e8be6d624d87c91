"""Synthetic modules with realistic spread, and deliveries that measure them.

Gains are around 41.5, -1.39 and -0.11 ADU/keV (spec §13). The rest is assumed: modules
differ by 3 % and pixels by 2.5 %, the eight ASICs of a panel by 1 %, and up to 0.1 % of
the pixels are dead. Measured again, a module's gain is off by 0.4 %, a pixel's by 0.3 %
more. Offsets are some tens to hundreds of ADU, by module, ASIC and pixel; measured
again they are off by 2 ADU for a module and 1 ADU for a pixel.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALL = (32, 64)
"""(row, column) of a panel that is quick to judge, and has pixels enough to be."""

FULL = (512, 1024)

GAINS = (41.5, -1.39, -0.11)
"""ADU/keV, by gain range."""

OFFSETS = ((0.0, 20.0), (300.0, 60.0), (50.0, 30.0))
"""ADU, by gain range: of a typical module, and how much modules differ."""

STEMS = {"pixel_gain": "gain", "pixel_offset": "offset"}

Arrays = dict[str, "np.ndarray[Any, np.dtype[np.float32]]"]


class Panel:
    """A module, whose true constants are what its deliveries measure."""

    def __init__(self, seed: int, shape: tuple[int, int] = SMALL) -> None:
        self._random = np.random.default_rng(seed)
        self.gain = np.stack([self._gain(one, shape) for one in GAINS])
        self.offset = np.stack([self._offset(*one, shape) for one in OFFSETS])
        self._dead = self._random.random(shape) < self._random.uniform(0.0001, 0.001)

    def _asics(self, spread: float, shape: tuple[int, int]) -> "np.ndarray[Any, Any]":
        steps = self._random.normal(0, spread, (2, 4))
        rows, columns = shape
        return np.asarray(np.kron(steps, np.ones((rows // 2, columns // 4))))

    def _gain(self, typical: float, shape: tuple[int, int]) -> "np.ndarray[Any, Any]":
        of_module = typical * self._random.normal(1, 0.03)
        off = self._asics(0.01, shape) + self._random.normal(0, 0.025, shape)
        return np.asarray(of_module * (1 + off))

    def _offset(
        self, typical: float, spread: float, shape: tuple[int, int]
    ) -> "np.ndarray[Any, Any]":
        of_module = self._random.normal(typical, spread)
        off = self._asics(5, shape) + self._random.normal(0, 20, shape)
        return np.asarray(of_module + off)

    def measured(self) -> Arrays:
        """Return a delivery: float32 (gain range, row, column) by kind."""
        random, shape = self._random, self.gain.shape
        scale = random.normal(1, 0.004, (3, 1, 1))
        gain = self.gain * scale * random.normal(1, 0.003, shape)
        gain[:, self._dead] = 0
        offset = self.offset + random.normal(0, 2, (3, 1, 1)) + random.normal(0, 1, shape)
        return {"pixel_gain": gain.astype(np.float32), "pixel_offset": offset.astype(np.float32)}


def write_arrays(directory: Path, arrays: "Mapping[str, np.ndarray[Any, Any]]") -> Path:
    """Write the files of a delivery."""
    directory.mkdir(parents=True, exist_ok=True)
    for kind, payload in arrays.items():
        for gain_range, plane in enumerate(payload):
            np.save(directory / f"g{gain_range}_{STEMS[kind]}.npy", plane)
    return directory
