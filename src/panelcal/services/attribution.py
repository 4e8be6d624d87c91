"""Attribution: a panel had these values from then on, as files of the legacy world tell."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from panelcal.domain.deliveries import as_float32
from panelcal.domain.digest import digest_of
from panelcal.domain.ids import PanelId, SegmentId
from panelcal.domain.kinds import DetectorType, Kind
from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION, as_written

if TYPE_CHECKING:
    import numpy as np

Contents = tuple[tuple[str, str], ...]
"""Kind and digest of each payload of a constant set, by kind."""

Keep = Callable[["np.ndarray[Any, Any]"], str]
"""Takes a payload, returns its digest: `PayloadBatch.add`, or `digest_of` in a dry run."""


@dataclass(frozen=True, slots=True)
class Values:
    """What a file holds of one kind for one panel.

    Parameters
    ----------
    digest : str
        Of the array as read, float32 (gain range, row, column).
    number_format : str
        printf format of the file; ``%.9g`` where nothing was rounded.
    rounded : str
        Digest of the same values as written in the kind's legacy format.
    """

    digest: str
    number_format: str
    rounded: str


@dataclass(frozen=True, slots=True)
class Stated:
    """What panelcal said of a panel's values when it wrote the files.

    Parameters
    ----------
    module, revision : str, int
        The constant set in the store that they were exported from.
    digests : mapping of str to str
        Digest of its payload of each kind, before the files' rounding.
    """

    module: str
    revision: int
    digests: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.module}@{self.revision}"


@dataclass(frozen=True, slots=True)
class Attribution:
    """A panel has these values from `valid_from` on, as files tell.

    Parameters
    ----------
    names : tuple of str
        The files, as the report calls them: a line each.
    where : str
        The directory that they are in or below.
    detector_type : DetectorType
        Of the files, and so of the values and the panel.
    panel : PanelId, SegmentId or None
        The panel; None where the values are a module's, of no known panel.
    valid_from : datetime or None
        First moment, UTC, whole seconds; None is *the beginning*.
    values : mapping of str to Values
        By kind, every kind of the detector type. Empty: from then on there are
        none, a withdrawal.
    learnt : str
        How the start is known.
    told : str
        What else the record of a new constant set says of its files.
    stated : Stated or None
        What panelcal said of the values, where it wrote the files.
    is_assigned : bool
        False where the values are kept as a constant set that no panel uses yet.
    is_repeat : bool
        True where another attribution of the same files says as much already: it
        is worth a line only if it changes something.
    notices : tuple of str
        What else the reader of the report should know.
    """

    names: tuple[str, ...]
    where: str
    detector_type: DetectorType
    panel: PanelId | SegmentId | None
    valid_from: datetime | None
    values: Mapping[str, Values]
    learnt: str
    told: str = ""
    stated: Stated | None = None
    is_assigned: bool = True
    is_repeat: bool = False
    notices: tuple[str, ...] = ()

    @property
    def contents(self) -> Contents:
        """What a constant set of just these values holds."""
        return tuple(sorted((kind, one.digest) for kind, one in self.values.items()))

    @property
    def rounding(self) -> str:
        """Which digits the values have, in words."""
        formats = {kind: one.number_format for kind, one in self.values.items()}
        if set(formats.values()) == {FULL_PRECISION}:
            return "values in full precision"
        told = ", ".join(f"{number_format} ({kind})" for kind, number_format in formats.items())
        return f"values as rounded to {told}"


def count_of_panels(shape: tuple[int, ...], detector_type: DetectorType) -> int:
    """Return how many panels an array of a detector is of.

    Parameters
    ----------
    shape : tuple of int
        (gain range, panel, row, column).

    Raises
    ------
    InvalidInputError
        It is another shape.
    """
    ranges, rows, columns = detector_type.payload_shape
    if len(shape) != 4 or not shape[1] or (shape[0], *shape[2:]) != (ranges, rows, columns):
        msg = f"shape {shape}, ({ranges}, panels, {rows}, {columns}) expected"
        raise InvalidInputError(msg)
    return shape[1]


def panel_values(
    array: "np.ndarray[Any, Any]",
    detector_type: DetectorType,
    kind: Kind,
    number_format: str,
    keep: Keep,
) -> tuple[Values, ...]:
    """Take the array of a detector apart.

    Parameters
    ----------
    array : ndarray of a floating type
        (gain range, panel, row, column), in the kind's unit. Rounded to float32,
        as the software that reads such files does.
    number_format : str
        How the file has its values.
    keep : callable
        Given each panel's payload once.

    Returns
    -------
    tuple of Values
        One a segment.

    Raises
    ------
    InvalidInputError
        Another shape, or values that are NaN, infinite or beyond float32; every
        such segment is named.
    """
    import numpy as np

    panels = count_of_panels(array.shape, detector_type)
    found: list[Values] = []
    wrong: list[str] = []
    for segment in range(panels):
        try:
            plane = np.ascontiguousarray(as_float32(array[:, segment], cast=True))
        except InvalidInputError as error:
            wrong.append(f"segment {segment}: {error.message}")
            continue
        digest = keep(plane)
        rounded = digest
        if number_format == FULL_PRECISION:
            rounded = digest_of(as_written(plane, kind.text_format))
        found.append(Values(digest, number_format, rounded))
    if wrong:
        raise InvalidInputError("; ".join(wrong))
    return tuple(found)
