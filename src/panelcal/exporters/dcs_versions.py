"""Versions in a DCS HDF5 file, and which of them readers take (spec §11).

A range says from when to when, in seconds since 1970 UTC, and holds versions.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

TEXT_CTYPE = "geometry"
ARRAY_CTYPES = (
    "pedestals",
    "pixel_status",
    "pixel_rms",
    "pixel_gain",
    "pixel_mask",
    "pixel_bkgd",
    "common_mode",
    "pixel_offset",
    "status_data",
    "status_extra",
)
"""The calibration types of arrays; a group of another name at the root makes the
legacy reader fail on the whole file (spec §§8, 11)."""

PROVENANCE = "panelcal_"
"""What the names of our HDF5 attributes begin with; legacy readers ignore attributes."""

VERSION_NAME = re.compile(r"v([0-9]+)\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class DcsRange:
    """A range without any version, which hides the ranges that it covers all the same.

    Parameters
    ----------
    ctype, range_name : str
        The groups.
    begin : float
        Seconds since 1970 UTC, inclusive.
    end : float or None
        Likewise; None is ``end``, for ever.
    """

    ctype: str
    range_name: str
    begin: float
    end: float | None


@dataclass(frozen=True, slots=True)
class DcsVersion:
    """One array of constants in a file.

    Parameters
    ----------
    ctype, range_name, name : str
        The groups, such as ``pixel_gain``, ``1500000000-end``, ``v0001``.
    begin : float
        Seconds since 1970 UTC, inclusive.
    end : float or None
        Likewise; None is ``end``, for ever.
    number : int
        What ``version`` says, or the name where that is missing.
    is_default : bool
        The range's ``versdef`` names it.
    recovered : bool
        ``version`` is missing, which the legacy writer leaves behind under
        Python 3: legacy readers do not see these data.
    produced : float or None
        When it was written, seconds since 1970 UTC.
    provenance : dict of str to str
        What panelcal wrote into attributes, without the prefix.
    shape : tuple of int
        For jungfrau (gain range, panel, row, column).
    dtype : str
        Name of the numpy type.
    """

    ctype: str
    range_name: str
    begin: float
    end: float | None
    number: int
    name: str
    is_default: bool
    recovered: bool
    produced: float | None
    provenance: dict[str, str]
    shape: tuple[int, ...]
    dtype: str


def choose_version(
    versions: Iterable[DcsVersion],
    ctype: str,
    time: float,
    *,
    empty_ranges: Iterable[DcsRange] = (),
) -> DcsVersion | None:
    """Return the version legacy readers take for a time, None if there is none.

    Of the ranges that cover the time, both ends included, the one of the latest
    begin and then the narrowest; of its versions the default, or else the last
    in alphabetical order. Recovered versions are never taken, because legacy
    readers do not see them; a range without others hides the ranges behind it.

    Parameters
    ----------
    time : float
        Seconds since 1970 UTC.
    empty_ranges : iterable of DcsRange
        `DcsFile.empty_ranges`: they hide others, too.
    """
    known = [one for one in versions if one.ctype == ctype]
    ranges: list[DcsRange | DcsVersion] = [*known]
    ranges += [one for one in empty_ranges if one.ctype == ctype]
    covering = [one for one in ranges if one.begin <= time <= _end(one)]
    if not covering:
        return None
    taken = max(covering, key=lambda one: (one.begin, -_end(one), one.range_name)).range_name
    seen = [one for one in known if one.range_name == taken and not one.recovered]
    defaults = [one for one in seen if one.is_default]
    return max(defaults or seen, key=lambda one: one.name, default=None)


def _end(span: DcsRange | DcsVersion) -> float:
    return math.inf if span.end is None else span.end
