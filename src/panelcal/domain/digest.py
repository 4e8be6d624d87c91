"""The digest of an array: what a payload is addressed by."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def digest_of(array: "np.ndarray[Any, Any]") -> str:
    """Return the SHA-256 of an array's dtype, shape and values.

    The bytes hashed are the dtype name, a newline, the shape as decimal numbers
    joined by commas, a newline, and the values in C order, little-endian. So
    equal digests mean equal bits (two NaNs of other bits differ, and so do 0.0
    and -0.0), whatever the byte order or memory layout of the array at hand.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    digest = hashlib.sha256(digest_head(array.dtype.name, array.shape))
    digest.update(little.data)
    return digest.hexdigest()


def digest_head(dtype: str, shape: Sequence[int]) -> bytes:
    """Return what is hashed before the values, so that they mean one dtype and shape only."""
    return f"{dtype}\n{','.join(map(str, shape))}\n".encode("ascii")
