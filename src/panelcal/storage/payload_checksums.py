"""Checksums of payloads: of all values, and of each small block of them."""

from typing import TYPE_CHECKING, Any

from panelcal.domain.digest import digest_head
from panelcal.domain.kinds import PAYLOAD_DTYPE
from panelcal.storage.payload_layout import CHECKED_BYTES, block_count

if TYPE_CHECKING:
    import numpy as np
    from xxhash import xxh3_128


def checksum_of(array: "np.ndarray[Any, np.dtype[np.float32]]") -> str:
    """Return the XXH3 of a little-endian float32 array in C order, 32 hexadecimal digits."""
    hasher = hasher_of(array.shape)
    hasher.update(array.data)
    return str(hasher.hexdigest())


def block_checksums_of(array: "np.ndarray[Any, np.dtype[np.float32]]", digest: str) -> str:
    """Return the checksums of all blocks of a payload, as `Layout.blocks` has them.

    Parameters
    ----------
    array : ndarray of float32
        Little-endian, in C order.
    digest : str
        Of the array.
    """
    content = array.data.cast("B")
    starts = (block * CHECKED_BYTES for block in range(block_count(len(content))))
    return "".join(
        block_checksum(digest, array.shape, content[start : start + CHECKED_BYTES])
        for start in starts
    )


def block_checksum(digest: str, shape: tuple[int, ...], content: "bytearray | memoryview") -> str:
    """Return the XXH3 (64 bits) of a block, which is of one payload and one shape only."""
    from xxhash import xxh3_64

    hasher: xxh3_64 = xxh3_64(digest.encode("ascii") + digest_head(PAYLOAD_DTYPE, shape))
    hasher.update(content)
    return str(hasher.hexdigest())


def hasher_of(shape: tuple[int, ...]) -> "xxh3_128":
    """Return what is to be fed the values of a payload, for its checksum."""
    from xxhash import xxh3_128

    return xxh3_128(digest_head(PAYLOAD_DTYPE, shape))
