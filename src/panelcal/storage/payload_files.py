"""The bytes of payload files: read block by block into place, written so that they stay."""

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.named_errors import naming

if TYPE_CHECKING:
    import numpy as np

BLOCK_BYTES = 2**18
"""Read and then hashed at a time: small enough to be in the cache still."""

_PAGE_BYTES = 4096


@contextmanager
def opened(path: Path) -> Iterator[tuple[int, int]]:
    """Open a regular file for reading.

    Yields
    ------
    handle, size : int
        Its descriptor; its size in bytes.

    Raises
    ------
    OSError
        It cannot be opened, or is something else, such as a directory or a pipe.
    """
    # Opening a pipe that nobody writes to would otherwise never return.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with naming(path):
            yield handle, found.st_size
    finally:
        os.close(handle)


def fill(
    handle: int,
    blocks: Iterable[memoryview],
    update: Callable[[memoryview], object] = lambda _: None,
    *,
    offset: int = 0,
) -> None:
    """Read a file into blocks of memory, one after the other.

    Parameters
    ----------
    blocks : iterable of memoryview
        Of bytes, writable.
    update : callable
        Given each block when it is filled, such as the update of a hash.
    offset : int
        Where in the file to begin, in bytes.

    Raises
    ------
    EOFError
        The file ends before the blocks are filled.
    OSError
        It cannot be read.
    """
    for block in blocks:
        rest = block
        while rest:
            read = os.preadv(handle, [rest], offset)
            if not read:
                msg = f"cut short after {offset} bytes"
                raise EOFError(msg)
            offset += read
            rest = rest[read:]
        update(block)


def blocks_of(array: "np.ndarray[Any, Any]") -> Iterator[memoryview]:
    """Return the bytes of an array in C order, block by block, as they are in memory.

    Parameters
    ----------
    array : ndarray
        C-contiguous, or made of parts along its first axis that are.
    """
    runs = [array] if array.flags.c_contiguous else list(array)
    return chain.from_iterable(map(_blocks_of_run, runs))


def _blocks_of_run(run: "np.ndarray[Any, Any]") -> Iterator[memoryview]:
    content = run.data.cast("B")
    for start in range(0, len(content), BLOCK_BYTES):
        yield content[start : start + BLOCK_BYTES]


def passing_blocks(size: int) -> Iterator[memoryview]:
    """Return blocks for bytes that are only looked at in passing: all in the same memory."""
    block = memoryview(bytearray(min(size, BLOCK_BYTES)))
    for start in range(0, size, BLOCK_BYTES):
        yield block[: size - start]


def aligned_empty(shape: tuple[int, ...]) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return a new little-endian float32 array that begins at a page of memory.

    Some processors copy several times slower from the page cache to where numpy
    puts large arrays, 16 bytes after the beginning of a page.
    """
    import numpy as np

    size = 4 * int(np.prod(shape, dtype=np.int64))
    memory = np.empty(size + _PAGE_BYTES, np.uint8)
    address = memory.__array_interface__["data"][0]
    start = -address % _PAGE_BYTES
    return memory[start : start + size].view("<f4").reshape(shape)


def write_durably(contents: "Mapping[Path, memoryview | bytes]") -> None:
    """Write new files and wait until the disk has them; their directories are not waited for.

    Whole pages that begin at a page go straight to the disk where the file system can
    do that: a copy in the page cache costs more than the disk, and what is read back
    then comes from the disk.

    Raises
    ------
    OSError
        One exists, or cannot be written.
    """
    with ExitStack() as stack:
        # All are written before the first is waited for: the disk has less to do.
        files = [stack.enter_context(path.open("xb", buffering=0)) for path in contents]
        for file, (path, content) in zip(files, contents.items(), strict=True):
            with naming(path):
                _write(file.fileno(), memoryview(content).cast("B"))
        for file, path in zip(files, contents, strict=True):
            with naming(path):
                os.fsync(file.fileno())


def _write(handle: int, content: memoryview) -> None:
    is_direct = len(content) % _PAGE_BYTES == 0 and _set_direct(handle, wanted=True)
    while content:
        try:
            content = content[os.write(handle, content) :]
        except OSError as error:
            if error.errno != errno.EINVAL or not is_direct:
                raise
            # This memory cannot be taken from where it is.
            is_direct = _set_direct(handle, wanted=False)


def _set_direct(handle: int, *, wanted: bool) -> bool:
    """Switch between writing past the page cache and into it; return which it is."""
    direct = getattr(os, "O_DIRECT", 0)
    flags = fcntl.fcntl(handle, fcntl.F_GETFL) & ~direct
    try:
        fcntl.fcntl(handle, fcntl.F_SETFL, flags | direct if wanted else flags)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # This file system cannot.
        return False
    return wanted


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in a directory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(handle)
    finally:
        os.close(handle)
