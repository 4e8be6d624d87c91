"""Held values: which constant sets a calib file holds, whoever wrote it."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection

from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.text import printable
from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.exporters.text_array import read_text_array
from panelcal.exporters.text_header import read_provenance
from panelcal.services.equal_files import digest_of_file
from panelcal.services.recognize import Recognizer
from panelcal.storage.deployments import deployed_contents
from panelcal.storage.modules import constant_sets
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class HeldValues:
    """What a calib file holds.

    Parameters
    ----------
    file_digest : str
        SHA-256 of its bytes.
    panels : tuple of frozenset of str
        For each segment the digests of the payloads whose values these are.
        Rounded to text several may be alike; empty if the store has none.
    uses : tuple of str
        For each segment the constant sets with them, ``M068@1``, several joined
        by ``|``; ``?`` if there is none.
    comments : str
        The constant sets that the file's own comments name, where panelcal wrote it.
    is_as_stated : bool
        False if the store has what the comments name, and the values are others.
    """

    file_digest: str
    panels: tuple[frozenset[str], ...]
    uses: tuple[str, ...]
    comments: str = ""
    is_as_stated: bool = True

    def are(self, digests: Sequence[str]) -> bool:
        """Say whether the file holds these payloads, in segment order."""
        return len(digests) == len(self.panels) and all(
            digest in alike for digest, alike in zip(digests, self.panels, strict=True)
        )


class HeldValuesReader:
    """Reads calib files.

    Parameters
    ----------
    store : OpenStore
        Whose constant sets are looked for.
    connection : Connection
        The state of its database.
    """

    def __init__(self, store: OpenStore, connection: Connection) -> None:
        self._recognizer = Recognizer(store, connection)
        self._sets = {one.id: one for one in constant_sets(connection)}
        self._recorded = deployed_contents(connection)

    def recorded(self, file_digest: str) -> tuple[str, ...]:
        """Return the digest of each panel's payload in a file that was deployed."""
        return self._recorded[file_digest].digests

    def read(self, path: Path, detector_type: DetectorType, kind: Kind) -> HeldValues:
        """Return what a file holds: by its bytes if they are on record, else by its values.

        Parameters
        ----------
        detector_type : DetectorType
            In whose directories the file is.
        kind : Kind
            Of this type.

        Raises
        ------
        InvalidInputError
            It is no regular file, or no text array of the detector type that psana
            can use.
        IntegrityError
            A payload that it has to be compared with is missing or damaged.
        """
        try:
            # A pipe would keep whoever opens it waiting.
            if not stat.S_ISREG(path.stat().st_mode):
                msg = "it is no regular file"
                raise InvalidInputError(msg)
            file_digest = digest_of_file(path)
            recorded = self._recorded.get(file_digest)
            if recorded is not None and recorded.kind == kind.name:
                panels = tuple(frozenset({digest}) for digest in recorded.digests)
                return HeldValues(file_digest, panels, recorded.uses)
            return self._recognized(path, detector_type, kind, file_digest)
        except OSError as error:
            msg = f"it cannot be read: {error.strerror}"
            raise InvalidInputError(msg) from error

    def _recognized(
        self, path: Path, detector_type: DetectorType, kind: Kind, file_digest: str
    ) -> HeldValues:
        digests = _digests(path, detector_type)
        found = [self._holders(digest, detector_type, kind) for digest in digests]
        panels = tuple(
            frozenset(self._sets[one].digests[kind.name] for one in holders) for holders in found
        )
        names = [
            sorted(f"{self._sets[one].module}@{self._sets[one].revision}" for one in holders)
            for holders in found
        ]
        uses = tuple("|".join(alike) or "?" for alike in names)
        stated = read_provenance(path)
        if stated is None:
            return HeldValues(file_digest, panels, uses)
        comments = " ".join(f"{panel.module}@{panel.revision}" for panel in stated.panels)
        known = {one.digests.get(kind.name) for one in self._sets.values()}
        is_as_stated = len(stated.panels) == len(panels) and all(
            panel.digest in alike or panel.digest not in known
            for panel, alike in zip(stated.panels, panels, strict=True)
        )
        return HeldValues(file_digest, panels, uses, printable(comments), is_as_stated)

    def _holders(self, digest: str, detector_type: DetectorType, kind: Kind) -> frozenset[int]:
        for number_format in (kind.text_format, FULL_PRECISION):
            holders = self._recognizer.holders_of(
                detector_type.name, kind.name, digest, number_format
            )
            if holders:
                return holders
        return frozenset()


def _digests(path: Path, detector_type: DetectorType) -> list[str]:
    """Return the digest of each panel's values, as psana gets them: float32."""
    import numpy as np

    read = read_text_array(path)
    ranges, rows, columns = detector_type.payload_shape
    if read.ndim != 4 or read.shape != (ranges, read.shape[1], rows, columns):
        msg = f"its shape is {read.shape}, not ({ranges}, panels, {rows}, {columns})"
        raise InvalidInputError(msg)
    if read.dtype.kind not in "fiu":
        msg = f"its values are {read.dtype}, no real numbers"
        raise InvalidInputError(msg)
    with np.errstate(over="ignore"):
        array = read.astype(np.float32)
    others = np.count_nonzero(~np.isfinite(array))
    if others:
        msg = f"{others} of its {array.size} values are not finite"
        raise InvalidInputError(msg)
    return [digest_of(array[:, segment]) for segment in range(array.shape[1])]
