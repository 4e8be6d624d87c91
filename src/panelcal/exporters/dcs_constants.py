"""What is added to a DCS HDF5 file, and to which one (spec §§9, 11)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from panelcal.domain.ids import PanelId
from panelcal.domain.text import excerpt, plain
from panelcal.errors import InvalidInputError
from panelcal.exporters.dcs_versions import ARRAY_CTYPES
from panelcal.exporters.file_names import NAME_MAX_BYTES

if TYPE_CHECKING:
    import numpy as np

END_OF_TIME = 2**53
"""From here on a float64 cannot tell a second from the next."""

PROVENANCE_MAX_BYTES = 60_000
"""An HDF5 object has room for 64 KB of attributes."""


@dataclass(frozen=True, slots=True, eq=False)
class DcsConstants:
    """Constants to be added: one version of a calibration type.

    Parameters
    ----------
    ctype : str
        ``pixel_gain``, ``pixel_offset``, ...
    begin : int
        From when on they hold, seconds since 1970 UTC; 0 is the beginning.
    array : ndarray of float32
        (gain range, panel, row, column), finite; gain in ADU/keV, offset in ADU.
    experiment, run : str
        For the range's ``_parameters``; ``unknown`` and ``0`` where not known.
    comment : str
        For the history; ASCII.
    provenance : mapping of str to str
        What becomes attributes of the version, ASCII; legacy readers ignore them.
    """

    ctype: str
    begin: int
    array: "np.ndarray[Any, np.dtype[np.float32]]"
    experiment: str
    run: str
    comment: str
    provenance: Mapping[str, str]

    @property
    def range_name(self) -> str:
        """The group of a range that is open-ended, as the legacy command always makes it."""
        return f"{self.begin}-end"


def dcs_file_name(device: str, detector: str) -> str:
    """Return the name psana looks for: ``jungfrau-<detector id>.h5`` (spec §9).

    Readers take what precedes the first dash for the device.

    Raises
    ------
    InvalidInputError
        The device is empty or holds a dash or a slash, the detector id is not
        one of LCLS1, or the name exceeds 255 bytes, as for 32 panels.
    """
    if not re.fullmatch(r"[0-9A-Za-z_.]+", device, re.ASCII):
        msg = f"{excerpt(device)} cannot begin the name of a DCS file"
        raise InvalidInputError(msg, "a device such as jungfrau, without a dash")
    panels = count_panels(detector)
    name = f"{device}-{detector}.h5"
    if len(name) > NAME_MAX_BYTES:
        msg = (
            f"the DCS file of {panels} panels would have a name of {len(name)} bytes; "
            f"file systems take {NAME_MAX_BYTES}"
        )
        raise InvalidInputError(msg, "deploy into a calib directory instead")
    return name


def count_panels(detector: str) -> int:
    """Return how many panels an LCLS1 detector id names: panel ids joined by ``_``.

    Raises
    ------
    InvalidInputError
        One of them is malformed.
    """
    return len([PanelId.parse(part) for part in detector.split("_")])


def require_own_name(path: Path, device: str, detector: str) -> str | None:
    """Refuse a file that readers would take for that of another detector.

    Returns
    -------
    str or None
        What is to be said of a file that psana will not find under its name.

    Raises
    ------
    InvalidInputError
        It is named as the file of another detector, or does not end in ``.h5``.
    """
    looked_for = f"{device}-{detector}.h5"
    if path.name == looked_for:
        return None
    if path.suffix != ".h5":
        msg = f"{path} is no directory, and does not end in .h5"
        raise InvalidInputError(msg, f"the file that psana looks for is {looked_for}")
    if path.name.startswith(f"{device}-"):
        msg = f"readers would take {excerpt(path.name)} for the file of another detector"
        raise InvalidInputError(msg, f"the file of this detector is {looked_for}")
    return f"psana will not find {path}: it looks for {looked_for}"


def require_addable(additions: Sequence[DcsConstants], panels: int) -> None:
    """Refuse what readers could not take, before anything is written.

    Raises
    ------
    InvalidInputError
        The message says what is wrong, and with NaN and infinity where the
        first one is.
    """
    for one in additions:
        if one.ctype not in ARRAY_CTYPES:
            msg = f"{excerpt(one.ctype)} is no calibration type of arrays"
            raise InvalidInputError(msg, f"one of {', '.join(ARRAY_CTYPES)}")
        if not 0 <= one.begin < END_OF_TIME:
            msg = f"{one.ctype} cannot begin at {one.begin} s"
            raise InvalidInputError(msg, "seconds since 1970 UTC; 0 is the beginning")
        _judge_array(one, panels)
        _judge_texts(one)
    places = [(one.ctype, one.range_name) for one in additions]
    for place in places:
        if places.count(place) > 1:
            msg = f"{'/'.join(place)} is to be added twice; readers would take the second only"
            raise InvalidInputError(msg)


def _judge_array(one: DcsConstants, panels: int) -> None:
    import numpy as np

    array = one.array
    if array.dtype != np.float32 or array.ndim != 4 or array.shape[1] != panels or not array.size:
        msg = (
            f"{one.ctype} is {array.dtype} {array.shape}; expected is float32 "
            f"(gain range, {panels} panels, row, column)"
        )
        raise InvalidInputError(msg)
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~finite))
        msg = f"the value of {one.ctype} at {where} is {array[where]}; readers take finite values"
        raise InvalidInputError(msg)


def _judge_texts(one: DcsConstants) -> None:
    texts = [("experiment", one.experiment), ("run", one.run), ("comment", one.comment)]
    for key, value in one.provenance.items():
        texts += [("name of a provenance", key), ("value of a provenance", value)]
    for what, text in texts:
        if not text or not text.isascii():
            msg = f"the {what} is {excerpt(text)}; DCS files take ASCII, and no empty text"
            raise InvalidInputError(msg)
        plain(text, what)
    size = sum(len(key) + len(value) for key, value in one.provenance.items())
    if size > PROVENANCE_MAX_BYTES:
        msg = f"the provenance has {size} bytes; attributes take {PROVENANCE_MAX_BYTES}"
        raise InvalidInputError(msg)
