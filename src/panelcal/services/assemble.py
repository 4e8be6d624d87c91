"""Assemble the arrays of an answer: all panels of a detector in one array."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from panelcal.domain.kinds import DetectorType
from panelcal.domain.resolution import Resolution
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_type as read_detector_type

if TYPE_CHECKING:
    import numpy as np


def assemble(
    payloads: PayloadStore, resolution: Resolution, kind: str
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return the constants of one kind for a whole detector.

    Returns
    -------
    ndarray of float32
        Shape (gain range, panel, row, column), panels in segment order;
        ADU/keV for ``pixel_gain``, ADU for ``pixel_offset``; finite. The values
        are those delivered, bit by bit.

    Raises
    ------
    IntegrityError
        A payload is missing, damaged or of another shape than its neighbours.
    """
    import numpy as np

    arrays = [payloads.get(panel.digests[kind]) for panel in resolution.panels]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        msg = f"the panels of {resolution.detector} have different shapes: {sorted(shapes)}"
        raise IntegrityError(msg)
    return np.stack(arrays, axis=1)


def kinds_of(store: OpenStore) -> DetectorType:
    """Return the detector type whose constants the store holds."""
    with store.database.reading() as connection:
        return read_detector_type(connection)


def save_arrays(
    store: OpenStore, resolution: Resolution, kind: str | None, path: Path
) -> dict[str, tuple[int, ...]]:
    """Write the arrays of an answer to one file, replacing it in one step.

    Parameters
    ----------
    kind : str or None
        One kind, or None for all.
    path : Path
        ``.npy`` holds one kind; ``.npz`` holds kinds by name.

    Returns
    -------
    dict
        Shape written for each kind.

    Raises
    ------
    InvalidInputError
        The suffix is another, or ``.npy`` was asked for several kinds.
    NotFoundError
        There is no such kind.
    IntegrityError
        A payload is missing or damaged.
    """
    import numpy as np

    detector_type = kinds_of(store)
    names = [detector_type.kind(kind).name] if kind else [k.name for k in detector_type.kinds]
    if path.suffix not in {".npy", ".npz"}:
        msg = f"{path} ends neither in .npy nor in .npz"
        raise InvalidInputError(msg)
    if path.suffix == ".npy" and len(names) > 1:
        msg = f"{path} can hold one kind, there are {len(names)}: {', '.join(names)}"
        raise InvalidInputError(msg, f"-k {names[0]}, or a file that ends in .npz")
    if path.is_dir():
        msg = f"{path} is a directory"
        raise InvalidInputError(msg)
    if not path.parent.is_dir():
        msg = f"there is no directory {path.parent}"
        raise InvalidInputError(msg)
    arrays = {name: assemble(store.payloads, resolution, name) for name in names}
    temporary = path.with_name(f".{uuid4().hex}{path.suffix}")
    try:
        if path.suffix == ".npy":
            np.save(temporary, arrays[names[0]])
        else:
            np.savez(temporary, **arrays)  # type: ignore[arg-type]
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return {name: array.shape for name, array in arrays.items()}
