"""A payload that is stored: read into place and verified, without zarr where that can be."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import unpack_from
from typing import TYPE_CHECKING, Any, NoReturn

from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import PAYLOAD_DTYPE
from panelcal.domain.pixel import Pixel
from panelcal.errors import IntegrityError
from panelcal.storage.payload_checksums import (
    block_checksum,
    block_checksums_of,
    checksum_of,
    hasher_of,
)
from panelcal.storage.payload_files import (
    aligned_empty,
    blocks_of,
    fill,
    opened,
    passing_blocks,
)
from panelcal.storage.payload_layout import (
    CHECKED_BYTES,
    CHECKSUM_DIGITS,
    MAX_BYTES,
    Layout,
    chunk_path,
    read_layout,
)

if TYPE_CHECKING:
    import numpy as np

RESTORE = "restore it from a backup, or move it away and deliver the same files again"
"""What to do about a damaged payload."""


class StoredPayload:
    """A payload of which the description has been read, not yet the values.

    Parameters
    ----------
    path : Path
        The directory of the array.
    digest : str
        What its contents have as SHA-256.

    Raises
    ------
    IntegrityError
        Its description is damaged.
    PermissionError
        It may not be read.
    """

    def __init__(self, path: Path, digest: str) -> None:
        self._path = path
        self.digest = digest
        with _told_as_damage(path):
            self._layout: Layout = read_layout(path, digest)

    @property
    def shape(self) -> tuple[int, ...]:
        """As stored: for jungfrau (gain range, row, column)."""
        return self._layout.shape

    def read(
        self, out: "np.ndarray[Any, np.dtype[np.float32]] | None" = None
    ) -> "np.ndarray[Any, Any]":
        """Return the values, verified.

        Parameters
        ----------
        out : ndarray of float32 or None
            Filled and returned: little-endian, of the payload's shape, each part
            along its first axis C-contiguous. After an error its values mean
            nothing.

        Returns
        -------
        ndarray
            As stored, or `out`.

        Raises
        ------
        IntegrityError
            The values are missing, cannot be read or are not what was written;
            or they are not float32 and were to be put into `out`.
        PermissionError
            They may not be read.
        ValueError
            `out` has another shape or dtype.
        """
        if out is not None and (out.shape, out.dtype.str) != (self.shape, "<f4"):
            msg = f"{out.dtype} {out.shape} cannot take float32 {self.shape}"
            raise ValueError(msg)
        if self._layout.checksum is None:
            return self._read_by_zarr(out)
        with _told_as_damage(self._path), self._opened_chunk() as handle:
            array = aligned_empty(self.shape) if out is None else out
            found = self._checksum(handle, blocks_of(array))
        self._require_checksum(found)
        return array

    def pixel(self, row: int, column: int) -> tuple[float, ...]:
        """Return the values of one pixel, verified.

        Where each block of the values has a checksum, only the blocks that the
        pixel is in are read: for jungfrau three of 16 KiB, of 6 MiB. Damage
        elsewhere is then not noticed. Of any other layout everything is read, and
        verified as `read` does.

        Parameters
        ----------
        row, column : int
            Where it is on the panel, from 0.

        Returns
        -------
        tuple of float
            One for each gain range, in the kind's unit; float32 values, exactly.

        Raises
        ------
        InvalidInputError
            The panel has no such pixel.
        IntegrityError
            The values are missing, cannot be read or are not what was written, or
            they are not (gain range, row, column).
        PermissionError
            They may not be read.
        """
        if len(self.shape) != 3:
            self._refuse(f"shape {self.shape}, where (gain range, row, column) is expected")
        gain_ranges, rows, columns = self.shape
        Pixel(row, column).require_on_panel(rows, columns)
        checksums = self._layout.blocks
        if checksums is None:
            array = self.read()
            return tuple(float(array[gain, row, column]) for gain in range(gain_ranges))
        places = [4 * ((gain * rows + row) * columns + column) for gain in range(gain_ranges)]
        with _told_as_damage(self._path), self._opened_chunk() as handle:
            wanted = {place // CHECKED_BYTES for place in places}
            blocks = {block: self._read_block(handle, block, checksums) for block in wanted}
        return tuple(
            unpack_from("<f", blocks[place // CHECKED_BYTES], place % CHECKED_BYTES)[0]
            for place in places
        )

    def _read_block(self, handle: int, block: int, checksums: str) -> bytearray:
        offset = block * CHECKED_BYTES
        content = bytearray(min(CHECKED_BYTES, self._layout.size - offset))
        fill(handle, [memoryview(content)], offset=offset)
        found = block_checksum(self.digest, self.shape, content)
        written = checksums[block * CHECKSUM_DIGITS :][:CHECKSUM_DIGITS]
        if found != written:
            self._refuse(f"xxh3 {found} from byte {offset} on, {written} as written")
        return content

    def check(self) -> None:
        """Read all values and verify them, but keep none.

        Raises
        ------
        IntegrityError, PermissionError
            As `read`.
        """
        if self._layout.checksum is None:
            self._read_by_zarr(None)
            return
        with _told_as_damage(self._path), self._opened_chunk() as handle:
            found = self._checksum(handle, passing_blocks(self._layout.size))
        self._require_checksum(found)

    def require_size(self) -> None:
        """Refuse unless the file of the values is there and as long as they are.

        No value is read. Where zarr laid the array out its files have no size of
        their own, and only `audit` finds out more.

        Raises
        ------
        IntegrityError, PermissionError
            As `read`.
        """
        if self._layout.checksum is None:
            return
        with _told_as_damage(self._path), self._opened_chunk():
            pass

    def audit(self) -> "np.ndarray[Any, Any]":
        """Return the values, verified by SHA-256, after verifying all their checksums.

        Where `read` compares a checksum that is stored beside the values, this
        compares the name that rows know them by.

        Raises
        ------
        IntegrityError, PermissionError
            As `read`.
        """
        array = self.read()
        if self._layout.checksum is not None:
            self._require_digest(array)
        if self._layout.blocks not in (None, block_checksums_of(array, self.digest)):
            self._refuse("the values themselves are right, but not the checksums of their blocks")
        return array

    def require_layout(self, expected: Layout) -> None:
        """Refuse unless the description says what has just been written.

        Raises
        ------
        IntegrityError
            It says something else.
        """
        if self._layout != expected:
            self._refuse(f"{self._layout}, {expected} as written")

    def require(self, array: "np.ndarray[Any, np.dtype[np.float32]]") -> None:
        """Refuse unless the values are those of an array that has just been hashed.

        Its checksum is compared with that of the bytes in the file: other than in
        `read`, nothing that is stored has to be believed, and hashing what is
        stored by SHA-256 as well would not find out more.

        Parameters
        ----------
        array : ndarray of float32
            Little-endian, in C order, of this payload's digest.

        Raises
        ------
        IntegrityError, PermissionError
            As `read`.
        """
        self.check()
        if self._layout.checksum is not None:
            self._require_checksum(checksum_of(array))

    @contextmanager
    def _opened_chunk(self) -> Iterator[int]:
        with opened(chunk_path(self._path, self.shape)) as (handle, size):
            if size != self._layout.size:
                msg = f"its chunk has {size} bytes, {self._layout.size} expected"
                raise ValueError(msg)
            yield handle

    def _checksum(self, handle: int, blocks: Iterable[memoryview]) -> str:
        hasher = hasher_of(self.shape)
        fill(handle, blocks, hasher.update)
        return str(hasher.hexdigest())

    def _require_checksum(self, found: str) -> None:
        if found != self._layout.checksum:
            self._refuse(f"xxh3 {found}, {self._layout.checksum} as written")

    def _require_digest(self, array: "np.ndarray[Any, Any]") -> None:
        found = digest_of(array)
        if found != self.digest:
            self._refuse(f"digest {found}")

    def _refuse(self, found: str) -> NoReturn:
        root = self._path.parent.parent
        msg = f"payload {self.digest} in {root} holds other values: {found}"
        raise IntegrityError(msg, RESTORE)

    def _read_by_zarr(
        self, out: "np.ndarray[Any, np.dtype[np.float32]] | None"
    ) -> "np.ndarray[Any, Any]":
        array = _array_of(self._path)
        self._require_digest(array)
        if out is None:
            return array
        if array.dtype.name != PAYLOAD_DTYPE:
            self._refuse(f"{array.dtype}, {PAYLOAD_DTYPE} expected")
        out[...] = array
        return out


def _array_of(path: Path) -> "np.ndarray[Any, Any]":
    """Read by zarr itself: whatever the chunks and codecs are."""
    import numpy as np
    import zarr
    from zarr.storage import LocalStore

    try:
        stored = zarr.open_array(store=LocalStore(path, read_only=True), mode="r", zarr_format=3)
        if stored.nbytes > MAX_BYTES:
            msg = f"payload {path} declares {stored.nbytes} bytes"
            raise IntegrityError(msg, RESTORE)
        if stored.nchunks_initialized != stored.nchunks:
            msg = f"payload {path} has lost chunks"
            raise IntegrityError(msg, RESTORE)
        return np.asarray(stored[...])
    except (IntegrityError, PermissionError, MemoryError):
        raise
    except Exception as error:
        # Metadata can be damaged in any way, and zarr believes them: whatever
        # else it raises on the way means that this payload is not what was written.
        raise _damage(path, error) from error


@contextmanager
def _told_as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise _damage(path, error) from error


def _damage(path: Path, error: Exception) -> IntegrityError:
    msg = f"payload {path} cannot be read: {error}"
    return IntegrityError(msg, RESTORE)
