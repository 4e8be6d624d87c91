"""What ``zarr.json`` of a payload says: how panelcal lays out arrays, and how to tell.

A payload as panelcal writes it is a zarr v3 array with one chunk, which is one file
of the values as they are in memory. It can be read without zarr, and its description
carries a checksum of those bytes that is faster to compute than the digest, and one of
each small block of them, so that a pixel can be verified without reading the rest.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from panelcal.domain.kinds import PAYLOAD_DTYPE
from panelcal.storage.payload_files import fill, opened

DESCRIPTION_NAME = "zarr.json"
ATTRIBUTE = "panelcal"

BLOCKS_ATTRIBUTE = "panelcal_blocks"
"""Beside `ATTRIBUTE`: a panelcal that knows nothing of it reads the payload by zarr."""

CHECKED_BYTES = 2**14
"""What has a checksum of its own: four rows of a jungfrau panel."""

CHECKSUM_DIGITS = 16
"""Of the checksum of one block."""

MAX_BYTES = 2**30
"""No payload is larger; metadata that declare more are damaged."""

MAX_DESCRIPTION_BYTES = 2**20
"""No description is longer; it is read as a whole."""

_MAX_DIMENSIONS = 32
"""numpy 1 had this limit; a payload has three dimensions."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a stored array can be read.

    Parameters
    ----------
    shape : tuple of int
        As described; for jungfrau (gain range, row, column).
    checksum : str or None
        XXH3 of what `panelcal.domain.digest.digest_of` hashes, 32 hexadecimal
        digits. None where the array is laid out in any other way than by
        `description`, or was written before there were checksums: zarr reads it,
        and its digest is what it is verified by.
    blocks : str or None
        The checksums of all blocks of `CHECKED_BYTES`, one after the other, each
        `CHECKSUM_DIGITS` long. None where there is no checksum, or was none of
        blocks when the payload was written.
    """

    shape: tuple[int, ...]
    checksum: str | None
    blocks: str | None = None

    @property
    def size(self) -> int:
        """Bytes of the values, where there is a checksum."""
        return 4 * math.prod(self.shape)


def chunk_path(path: Path, shape: tuple[int, ...]) -> Path:
    """Return the one file that holds the values."""
    return path.joinpath("c", *("0" for _ in shape))


def block_count(size: int) -> int:
    """Return how many blocks of `CHECKED_BYTES` a chunk has; the last one may be shorter."""
    return -(-size // CHECKED_BYTES)


def description(
    shape: tuple[int, ...], digest: str, checksum: str, blocks: str | None = None
) -> dict[str, Any]:
    """Return the description of a float32 payload: one uncompressed little-endian chunk.

    Parameters
    ----------
    blocks : str or None
        As `Layout.blocks`; None is what was written before blocks had checksums.
    """
    attributes: dict[str, Any] = {ATTRIBUTE: {"digest": digest, "xxh3_128": checksum}}
    if blocks is not None:
        attributes[BLOCKS_ATTRIBUTE] = {"bytes": CHECKED_BYTES, "xxh3_64": blocks}
    return {
        "shape": list(shape),
        "data_type": PAYLOAD_DTYPE,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0.0,
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        "attributes": attributes,
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def read_layout(path: Path, digest: str) -> Layout:
    """Read how the payload of a digest is laid out.

    Parameters
    ----------
    path : Path
        The directory of the array.
    digest : str
        What its description must name, if it names any.

    Raises
    ------
    ValueError
        The description is none of an array, is of another payload, or declares
        more than `MAX_BYTES`.
    OSError, EOFError
        It cannot be opened or read.
    """
    with opened(path / DESCRIPTION_NAME) as (handle, size):
        if size > MAX_DESCRIPTION_BYTES:
            msg = f"{DESCRIPTION_NAME} has {size} bytes"
            raise ValueError(msg)
        text = bytearray(size)
        fill(handle, [memoryview(text)])
    try:
        found = json.loads(text)
    except RecursionError as error:
        msg = f"{DESCRIPTION_NAME} is nested too deep"
        raise ValueError(msg) from error
    shape = _shape_of(found)
    attributes = _attributes_of(found)
    told = attributes.get(ATTRIBUTE)
    if told is None:
        return Layout(shape, None)
    checksum = told.get("xxh3_128") if isinstance(told, dict) else None
    if not isinstance(checksum, str) or told != {"digest": digest, "xxh3_128": checksum}:
        msg = f"{DESCRIPTION_NAME} names another payload"
        raise ValueError(msg)
    if 4 * math.prod(shape) > MAX_BYTES:
        msg = f"it declares {4 * math.prod(shape)} bytes"
        raise ValueError(msg)
    blocks = _blocks_of(attributes, 4 * math.prod(shape))
    # Compared as a whole: a key that is not looked at could change what zarr reads.
    is_ours = all(shape) and found == description(shape, digest, checksum, blocks)
    return Layout(shape, checksum, blocks) if is_ours else Layout(shape, None)


def _blocks_of(attributes: dict[str, Any], size: int) -> str | None:
    told = attributes.get(BLOCKS_ATTRIBUTE)
    blocks = told.get("xxh3_64") if isinstance(told, dict) else None
    if isinstance(blocks, str) and len(blocks) == CHECKSUM_DIGITS * block_count(size):
        return blocks
    return None


def _attributes_of(found: dict[str, Any]) -> dict[str, Any]:
    attributes = found.get("attributes", {})
    if not isinstance(attributes, dict):
        msg = f"{DESCRIPTION_NAME} has attributes without names"
        raise ValueError(msg)  # noqa: TRY004
    return attributes


def _shape_of(found: object) -> tuple[int, ...]:
    shape = found.get("shape") if isinstance(found, dict) else None
    if type(shape) is list and 1 <= len(shape) <= _MAX_DIMENSIONS:
        sides = [side for side in shape if type(side) is int and side >= 0]
        if len(sides) == len(shape):
            return tuple(sides)
    msg = f"{DESCRIPTION_NAME} describes no array"
    raise ValueError(msg)
