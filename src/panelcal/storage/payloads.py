"""The payload store: immutable zarr arrays addressed by their digest.

One payload is one zarr v3 array, ``<root>/<first two digits>/<digest>``, by
default a single uncompressed chunk in C order. It is written under a temporary
name, read back and compared, and then moved to its name; it is never opened
for writing again.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from panelcal.domain.digest import digest_of
from panelcal.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np

STAGING_NAME = "incoming"

MAX_BYTES = 2**30
"""No payload is larger; metadata that declare more are damaged."""

_RESTORE = "restore it from a backup, or move it away and deliver the same files again"


class PayloadStore:
    """A directory of payloads.

    Parameters
    ----------
    root : Path
        The directory; it exists.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path_of(self, digest: str) -> Path:
        """Return where the payload of a digest is, or would be."""
        return self.root / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Say whether a payload of that digest is stored; its bytes are not looked at."""
        return self.path_of(digest).is_dir()

    def get(self, digest: str) -> "np.ndarray[Any, Any]":
        """Return a payload after verifying its digest.

        Returns
        -------
        ndarray
            As stored: for jungfrau float32 (gain range, row, column), in the
            kind's unit.

        Raises
        ------
        IntegrityError
            The payload is missing, cannot be read or has another digest.
        """
        path = self.path_of(digest)
        if not path.is_dir():
            msg = f"payload {digest} is not in {self.root}"
            raise IntegrityError(msg, _RESTORE)
        array = _read(path)
        found = digest_of(array)
        if found != digest:
            msg = f"payload {digest} in {self.root} holds other values: digest {found}"
            raise IntegrityError(msg, _RESTORE)
        return array

    @contextmanager
    def batch(self) -> Iterator["PayloadBatch"]:
        """Collect payloads that are to appear together, or not at all.

        What was added and not published is removed at the end, whatever happens.
        """
        batch = PayloadBatch(self, self.root / STAGING_NAME / uuid4().hex)
        try:
            yield batch
        finally:
            batch.discard()


class PayloadBatch:
    """Payloads written under temporary names, waiting to be published.

    Attributes
    ----------
    pending : set of str
        Digests of what was added and was not stored before.
    """

    def __init__(self, store: PayloadStore, staging: Path) -> None:
        self._store = store
        self._staging = staging
        self.pending: set[str] = set()

    def add(self, array: "np.ndarray[Any, Any]") -> str:
        """Write an array under a temporary name, unless it is already stored.

        Returns
        -------
        str
            Its digest.

        Raises
        ------
        IntegrityError
            What was written reads back differently, or the payload that is
            already stored under this digest is damaged.
        """
        digest = digest_of(array)
        if digest in self.pending:
            return digest
        if self._store.has(digest):
            self._store.get(digest)
            return digest
        path = self._staging / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, array)
        if digest_of(_read(path)) != digest:
            msg = f"what was written to {path} reads back differently"
            raise IntegrityError(msg, "check the disk; nothing was recorded")
        self.pending.add(digest)
        return digest

    def publish(self) -> None:
        """Move every payload of the batch to its name, durably."""
        for digest in sorted(self.pending):
            target = self._store.path_of(digest)
            target.parent.mkdir(exist_ok=True)
            _sync_tree(self._staging / digest)
            try:
                (self._staging / digest).rename(target)
            except OSError:
                # Another process was first: same digest, same bytes. Verified
                # by reading it; anything else that went wrong is raised.
                if not self._store.has(digest):
                    raise
                self._store.get(digest)
            _sync(target.parent)
        _sync(self._store.root)
        self.pending.clear()

    def discard(self) -> None:
        """Remove what was not published."""
        shutil.rmtree(self._staging, ignore_errors=True)


def _write(path: Path, array: "np.ndarray[Any, Any]") -> None:
    import zarr
    from zarr.storage import LocalStore

    stored = zarr.create_array(
        # Not the path as text: zarr reads some characters as parts of a URL.
        store=LocalStore(path),
        shape=array.shape,
        chunks=array.shape,
        dtype=array.dtype,
        compressors=None,
        filters=None,
        fill_value=0,
        zarr_format=3,
        # zarr leaves out chunks that equal the fill value, and then an all-zero
        # payload would be indistinguishable from one whose chunk was lost.
        config={"write_empty_chunks": True},
    )
    stored[...] = array


def _read(path: Path) -> "np.ndarray[Any, Any]":
    import numpy as np
    import zarr
    from zarr.storage import LocalStore

    try:
        stored = zarr.open_array(store=LocalStore(path, read_only=True), mode="r", zarr_format=3)
        if stored.nbytes > MAX_BYTES:
            msg = f"payload {path} declares {stored.nbytes} bytes"
            raise IntegrityError(msg, _RESTORE)
        if stored.nchunks_initialized != stored.nchunks:
            msg = f"payload {path} has lost chunks"
            raise IntegrityError(msg, _RESTORE)
        return np.asarray(stored[...])
    except (IntegrityError, PermissionError, MemoryError):
        raise
    except Exception as error:
        # Metadata can be damaged in any way, and zarr believes them: whatever
        # else it raises on the way means that this payload is not what was written.
        msg = f"payload {path} cannot be read: {error}"
        raise IntegrityError(msg, _RESTORE) from error


def _sync_tree(top: Path) -> None:
    for folder, _, names in os.walk(top):
        for name in names:
            _sync(Path(folder) / name)
        _sync(Path(folder))


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
