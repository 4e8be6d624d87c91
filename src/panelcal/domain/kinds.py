"""Detector types and the kinds of constants they have.

Both are rows of the database (design §2): another multi-gain panel is data,
not code. These classes are what the rest of panelcal sees of those rows.
"""

from dataclasses import dataclass

from panelcal.domain.text import excerpt
from panelcal.errors import NotFoundError

PAYLOAD_DTYPE = "float32"
"""numpy dtype name of every payload (design §2)."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of constant.

    Parameters
    ----------
    name : str
        ``pixel_gain`` (ADU/keV) or ``pixel_offset`` (ADU); also the legacy
        calibration type.
    unit : str
        Unit of every value.
    file_stem : str
        Name in a delivery: gain range 0 is ``g0_<file_stem>.npy`` (spec §2).
    text_format : str
        printf format of legacy text exports (spec §4).
    """

    name: str
    unit: str
    file_stem: str
    text_format: str

    def file_name(self, gain_range: int) -> str:
        """Return the delivered file of one gain range, such as ``g1_gain.npy``."""
        return f"g{gain_range}_{self.file_stem}.npy"


@dataclass(frozen=True, slots=True)
class DetectorType:
    """A family of panels with one shape.

    Parameters
    ----------
    id : int
        Row of the database; 0 where it is in none yet.
    name : str
        ``jungfrau``.
    gain_ranges, rows, columns : int
        Shape of one panel's payload.
    device : str
        How sources name the device: ``Jungfrau`` in ``XcsEndstation.0:Jungfrau.0``.
    calib_group : str
        Directory of the calib layout: ``Jungfrau::CalibV1`` (spec §8).
    kinds : tuple of Kind
        The kinds that every constant set has, in export order.
    """

    id: int
    name: str
    gain_ranges: int
    rows: int
    columns: int
    device: str
    calib_group: str
    kinds: tuple[Kind, ...]

    @property
    def payload_shape(self) -> tuple[int, int, int]:
        """(gain range, row, column) of one panel."""
        return self.gain_ranges, self.rows, self.columns

    @property
    def facts(self) -> tuple[object, ...]:
        """Everything that is said of the type: equal in every database that has the same one."""
        shape = self.payload_shape
        return self.name, *shape, self.device, self.calib_group, frozenset(self.kinds)

    @property
    def told(self) -> str:
        """The facts in words, without the name: ``3 x 512 x 1024 of Jungfrau in ...``."""
        kinds = "; ".join(
            f"{kind.name} in {kind.unit}, g0_{kind.file_stem}.npy, {kind.text_format}"
            for kind in self.kinds
        )
        shape = " x ".join(map(str, self.payload_shape))
        return f"{shape} of {self.device} in {self.calib_group} ({kinds})"

    @property
    def payload_bytes(self) -> int:
        """Size of one payload's values in bytes."""
        return 4 * self.gain_ranges * self.rows * self.columns

    def kind(self, name: str) -> Kind:
        """Return the kind of that name.

        Raises
        ------
        NotFoundError
            This detector type has no such kind.
        """
        for kind in self.kinds:
            if kind.name == name:
                return kind
        known = ", ".join(kind.name for kind in self.kinds)
        msg = f"{self.name} has no kind {excerpt(name)}"
        raise NotFoundError(msg, f"its kinds: {known}")
