"""Recognize: which constant sets hold given values, as a file has them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from panelcal.domain.digest import digest_of
from panelcal.exporters.printf import FULL_PRECISION, as_written
from panelcal.storage.modules import constant_sets
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np

Holders = Mapping[str, frozenset[int]]
"""Constant sets by the digest of what they hold of a kind, in one number format."""

_KindOfType = tuple[str, str]
"""Names of a detector type and of one of its kinds."""


class Recognizer:
    """Finds the constant sets of a store that have given values.

    Text files hold rounded values, so that a payload is compared as it would
    read back from the file. Payloads are loaded at the first question about
    their kind in a fixed format, one after the other, and only digests are kept:
    further questions cost nothing. In full precision none is loaded at all.

    Parameters
    ----------
    store : OpenStore
        Where to look; the constant sets recorded by now are seen.
    connection : Connection or None
        The caller's own state of the database, to be seen instead.
    """

    def __init__(self, store: OpenStore, connection: Connection | None = None) -> None:
        self._payloads = store.payloads
        self._written: dict[tuple[str, str], str] = {}
        if connection is not None:
            self.look_again(connection)
            return
        with store.database.reading() as own:
            self.look_again(own)

    def look_again(self, connection: Connection) -> None:
        """See what is recorded now; payloads that were loaded are not loaded again."""
        stored: dict[_KindOfType, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        for constant_set in constant_sets(connection):
            for kind, digest in constant_set.digests.items():
                stored[constant_set.detector_type, kind][digest].add(constant_set.id)
        self._stored = {
            of: {digest: frozenset(ids) for digest, ids in by_digest.items()}
            for of, by_digest in stored.items()
        }
        self._as_written: dict[tuple[_KindOfType, str], Holders] = {}

    def holders(
        self,
        detector_type: str,
        kind: str,
        plane: "np.ndarray[Any, np.dtype[np.float32]]",
        number_format: str,
    ) -> frozenset[int]:
        """Return the constant sets whose payload, as written, has just these bits.

        Parameters
        ----------
        detector_type : str
            Name of the type whose constant sets are looked among: panels of two
            types may have one shape.
        kind : str
            ``pixel_gain`` (ADU/keV) or ``pixel_offset`` (ADU).
        plane : ndarray of float32
            One panel, (gain range, row, column), as read from a file.
        number_format : str
            How the file has its values: ``%.4f``, or ``%.9g`` where nothing was
            rounded, as in arrays of HDF5 files.

        Returns
        -------
        frozenset of int
            Row numbers of constant sets; empty if nothing in the store is like it.

        Raises
        ------
        InvalidInputError
            The format is none that text exports have.
        IntegrityError
            A payload of that kind is missing or damaged.
        """
        return self.holders_of(detector_type, kind, digest_of(plane), number_format)

    def holders_of(
        self, detector_type: str, kind: str, digest: str, number_format: str
    ) -> frozenset[int]:
        """Return what `holders` does, for a plane of which only the digest is at hand."""
        of = (detector_type, kind)
        if number_format == FULL_PRECISION:
            return self._stored.get(of, {}).get(digest, frozenset())
        asked = (of, number_format)
        if asked not in self._as_written:
            self._as_written[asked] = self._holders_as_written(of, number_format)
        return self._as_written[asked].get(digest, frozenset())

    def _holders_as_written(self, of: _KindOfType, number_format: str) -> Holders:
        holders: dict[str, frozenset[int]] = {}
        for stored, ids in self._stored.get(of, {}).items():
            written = self._digest_as_written(stored, number_format)
            # Payloads that differ only beyond the last printed digit are alike.
            holders[written] = holders.get(written, frozenset()) | ids
        return holders

    def _digest_as_written(self, stored: str, number_format: str) -> str:
        if (stored, number_format) not in self._written:
            array = as_written(self._payloads.get(stored), number_format)
            self._written[stored, number_format] = digest_of(array)
        return self._written[stored, number_format]
