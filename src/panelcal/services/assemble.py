"""Assemble the arrays of an answer: all panels of a detector in one array."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from panelcal.domain.kinds import DetectorType
from panelcal.domain.resolution import Resolution
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.storage.payload_files import aligned_empty
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    import numpy as np


def assemble(
    payloads: PayloadStore,
    resolution: Resolution,
    kind: str,
    out: "np.ndarray[Any, np.dtype[np.float32]] | None" = None,
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return the constants of one kind for a whole detector.

    Parameters
    ----------
    out : ndarray of float32 or None
        Filled and returned instead of a new array: C-contiguous, of just the
        shape returned. Memory that is used again is several times faster than
        new memory; after an error its values mean nothing.

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
    InvalidInputError
        `out` is of another shape or dtype, not C-contiguous or read-only.
    """
    found = [payloads.find(panel.digests[kind]) for panel in resolution.panels]
    shapes = {payload.shape for payload in found}
    if len(shapes) != 1:
        msg = f"the panels of {resolution.detector} have different shapes: {sorted(shapes)}"
        raise IntegrityError(msg)
    gain_ranges, *plane = shapes.pop()
    shape = (gain_ranges, len(found), *plane)
    if out is None:
        out = aligned_empty(shape)
    else:
        _require_fitting(out, shape)
    for panel, payload in enumerate(found):
        payload.read(out[:, panel])
    return out


def _require_fitting(out: "np.ndarray[Any, Any]", shape: tuple[int, ...]) -> None:
    is_usable = out.flags.c_contiguous and out.flags.writeable and out.dtype.str == "<f4"
    if not is_usable or out.shape != shape:
        msg = f"out is {out.dtype} {out.shape}: C-contiguous writable float32 {shape} expected"
        raise InvalidInputError(msg)


def type_of(store: OpenStore, resolution: Resolution) -> DetectorType:
    """Return the detector type of the constants of an answer."""
    with store.database.reader.snapshot() as reader:
        return detector_types(reader).named(resolution.detector_type)


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

    detector_type = type_of(store, resolution)
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
