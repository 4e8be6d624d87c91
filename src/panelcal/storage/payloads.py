"""The payload store: immutable zarr arrays addressed by their digest.

One payload is one zarr v3 array, ``<root>/<first two digits>/<digest>``, a single
uncompressed chunk in C order. It is written under a temporary name, read back and
compared, and then moved to its name; it is never opened for writing again.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from panelcal.errors import IntegrityError
from panelcal.storage.payload_batch import PayloadBatch
from panelcal.storage.payload_reading import RESTORE, StoredPayload

if TYPE_CHECKING:
    import numpy as np

STAGING_NAME = "incoming"


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

    def find(self, digest: str) -> StoredPayload:
        """Return a payload whose values are still to be read: its shape is known.

        Raises
        ------
        IntegrityError
            The payload is missing or its description is damaged.
        PermissionError
            It may not be read.
        """
        path = self.path_of(digest)
        if not path.is_dir():
            msg = f"payload {digest} is not in {self.root}"
            raise IntegrityError(msg, RESTORE)
        return StoredPayload(path, digest)

    def get(self, digest: str) -> "np.ndarray[Any, Any]":
        """Return a payload after verifying that it is what was written.

        Returns
        -------
        ndarray
            As stored: for jungfrau float32 (gain range, row, column), in the
            kind's unit.

        Raises
        ------
        IntegrityError
            The payload is missing, cannot be read or holds other values.
        PermissionError
            It may not be read.
        """
        return self.find(digest).read()

    def audit(self, digest: str) -> "np.ndarray[Any, Any]":
        """Return a payload after verifying its digest itself, not only its checksum.

        Raises
        ------
        IntegrityError
            The payload is missing, cannot be read or has another digest.
        PermissionError
            It may not be read.
        """
        return self.find(digest).audit()

    def close(self) -> None:
        """End the use of the payloads; those of a store stay where they are."""

    @contextmanager
    def batch(self) -> Iterator[PayloadBatch]:
        """Collect payloads that are to appear together, or not at all.

        What was added and not published is removed at the end, whatever happens.
        """
        batch = PayloadBatch(self, self.root / STAGING_NAME / uuid4().hex)
        try:
            yield batch
        finally:
            batch.discard()
