"""Pixel history: what one pixel of a panel or a module was calibrated to, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.kinds import DetectorType
from panelcal.domain.pixel import Pixel
from panelcal.domain.seal import RESTORE
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.services.history import Chapter, History, history_from
from panelcal.services.planning import panel_named
from panelcal.services.sealed import SealedRows
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class PixelEntry:
    """The values of a pixel by one row of a panel's ledger, or by one revision of a module.

    Parameters
    ----------
    panel : str or None
        Panel id; None where a module was asked about.
    module, revision : str or None, int or None
        The constant set; both None for a withdrawal.
    valid_from : datetime or None
        First moment it holds for; None is *the beginning*, and for a module nothing.
    valid_until : datetime or None
        Start of the panel's next assignment in force; None is open.
    recorded_at : datetime
        Transaction time, UTC.
    superseded_at : datetime or None
        When a row of the same start took its place; None while it is in force.
    values : mapping of str to tuple of float
        By kind: one value for each gain range, in the kind's unit; finite. Empty for
        a withdrawal.
    """

    panel: str | None
    module: str | None
    revision: int | None
    valid_from: datetime | None
    valid_until: datetime | None
    recorded_at: datetime
    superseded_at: datetime | None
    values: Mapping[str, tuple[float, ...]]

    @property
    def superseded(self) -> bool:
        """Whether a later row of the same start has taken its place."""
        return self.superseded_at is not None

    @property
    def uses(self) -> str:
        """``M068@1``, or ``withdrawn``."""
        return "withdrawn" if self.module is None else f"{self.module}@{self.revision}"


@dataclass(frozen=True, slots=True)
class PixelHistory:
    """What one pixel was calibrated to.

    Parameters
    ----------
    target : str
        The panel or the module, as asked.
    pixel : Pixel
        Where it is.
    detector_type : DetectorType
        Says which kinds there are, and their units.
    entries : tuple of PixelEntry
        In the order of recording.
    """

    target: str
    pixel: Pixel
    detector_type: DetectorType
    entries: tuple[PixelEntry, ...]


def pixel_history(store: OpenStore, target: str, pixel: Pixel) -> PixelHistory:
    """Return the values of a pixel for every ledger row of a panel, or revision of a module.

    Every row that the values come from is judged by its seal. Of a payload only
    the blocks that hold the pixel are read and verified, where it has checksums of
    blocks (`panelcal.storage.payload_reading.StoredPayload.pixel`).

    Parameters
    ----------
    target : str
        A panel id, or a module.

    Raises
    ------
    InvalidInputError
        The target is none of these, or a detector id of several panels; or panels
        have no such pixel.
    NotFoundError
        The panel is not registered, or there is no such module.
    IntegrityError
        A row or a payload is not as it was recorded.
    """
    with store.database.reading() as connection:
        told = history_from(connection, target)
        delivered = _delivered(connection, target, told)
        detector_type = _type_of(connection, target, told)
    pixel.require_on_panel(detector_type.rows, detector_type.columns)
    values = _Values(store.payloads, pixel)
    if told.deliveries:
        entries = [_of_revision(one, values.of(one)) for one in told.deliveries]
    else:
        used = (delivered.get(one.assignment.uses) for one in told.chapters)
        entries = [
            _of_chapter(chapter, values.of(one))
            for chapter, one in zip(told.chapters, used, strict=True)
        ]
    return PixelHistory(target, pixel, detector_type, tuple(entries))


def _delivered(connection: "Connection", target: str, told: History) -> dict[str, ConstantSet]:
    """Return the constant sets of a history by name, after a look at all seals."""
    rows = SealedRows(connection)
    if told.deliveries:
        rows.require_sets(told.deliveries)
        return {}
    panels = {chapter.assignment.panel for chapter in told.chapters}
    if len(panels) > 1:
        msg = f"a pixel is one of a panel, and {target} is {len(panels)} panels"
        raise InvalidInputError(msg, f"panelcal history --pixel ROW,COL -- {min(panels)}")
    rows.require_chains(panels)
    modules = {chapter.assignment.module for chapter in told.chapters} - {None}
    used = {one.assignment.uses for one in told.chapters if one.assignment.module is not None}
    found = {
        name: one
        for module in modules
        for one in constant_sets(connection, module)
        if (name := f"{one.module}@{one.revision}") in used
    }
    for name in sorted(used - found.keys()):
        msg = f"constant set {name} has lost its payloads on record"
        raise IntegrityError(msg, RESTORE)
    rows.require_sets(found.values())
    return found


def _type_of(connection: "Connection", target: str, told: History) -> DetectorType:
    """Return the detector type of a module that was delivered, or of a registered panel."""
    if told.deliveries:
        name: str | None = told.deliveries[0].detector_type
    else:
        _, name = panel_named(connection, target)
    return detector_types(connection).chosen(name)


@dataclass(slots=True)
class _Values:
    """Values of one pixel; a payload that several rows use is read once."""

    payloads: PayloadStore
    pixel: Pixel
    _read: dict[str, tuple[float, ...]] = field(default_factory=dict)

    def of(self, constant_set: ConstantSet | None) -> dict[str, tuple[float, ...]]:
        """Return the values by kind; of no constant set there are none."""
        if constant_set is None:
            return {}
        return {kind: self._one(digest) for kind, digest in constant_set.digests.items()}

    def _one(self, digest: str) -> tuple[float, ...]:
        if digest not in self._read:
            payload = self.payloads.find(digest)
            self._read[digest] = payload.pixel(self.pixel.row, self.pixel.column)
        return self._read[digest]


def _of_revision(one: ConstantSet, values: Mapping[str, tuple[float, ...]]) -> PixelEntry:
    return PixelEntry(
        panel=None,
        module=one.module,
        revision=one.revision,
        valid_from=None,
        valid_until=None,
        recorded_at=one.recorded_at,
        superseded_at=None,
        values=values,
    )


def _of_chapter(chapter: Chapter, values: Mapping[str, tuple[float, ...]]) -> PixelEntry:
    row = chapter.assignment
    return PixelEntry(
        panel=row.panel,
        module=row.module,
        revision=row.revision,
        valid_from=row.valid_from,
        valid_until=chapter.valid_until,
        recorded_at=row.recorded_at,
        superseded_at=chapter.superseded_at,
        values=values,
    )
