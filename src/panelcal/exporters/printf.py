"""Numbers as C printf writes them, and back: whole arrays at a time, bit by bit (spec §§6-7).

A float32 has 24 significant bits and a power of five a few more, so that it can be
multiplied by a small power of ten exactly in double precision. Rounding the product half
to even therefore gives the very digits that printf writes.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

FULL_PRECISION = "%.9g"
"""Nine significant digits bring every float32 back bit by bit."""

VALUES_AT_ONCE = 65_536
"""Values that are converted in one piece: enough for speed, few enough for the memory."""

_FIXED = re.compile(r"%\.([1-6])f\Z")
_UINT32_DIGITS = 9
"""As many decimal digits as an unsigned integer of 32 bits always holds."""
_DOUBLE_DIGITS = 15
"""As many decimal digits as a double always holds."""
_NUL, _BLANK, _NEWLINE, _MINUS, _POINT, _ZERO = b"\0 \n-.0"


def format_rows(rows: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str) -> bytes:
    r"""Write values as text, one row a line, as C printf does for the double of each.

    It takes about 50 bytes of memory a value: hand large arrays over in pieces.

    Parameters
    ----------
    rows : ndarray of float32
        (row, column), with a row and a column at least.
    number_format : str
        ``%.<1 to 6>f`` or ``%.9g``.

    Returns
    -------
    bytes
        ASCII, with a single blank between values and a line feed after each row.

    Raises
    ------
    InvalidInputError
        Another format.
    """
    import numpy as np

    decimals = _decimals(number_format)
    if decimals is not None:
        numbers = np.rint(np.abs(rows.astype(np.float64)) * 10.0**decimals)
        # False for NaN as well, which Python can write, and integers cannot hold.
        if numbers.max() < 10**_UINT32_DIGITS:
            return _fixed_rows(numbers.astype(np.uint32), np.signbit(rows), decimals)
    row_format = " ".join([number_format] * rows.shape[1]) + "\n"
    return "".join([row_format % tuple(row) for row in rows.tolist()]).encode("ascii")


def _decimals(number_format: str) -> int | None:
    """Return the number of decimals, or None for full precision."""
    if number_format == FULL_PRECISION:
        return None
    fixed = _FIXED.match(number_format)
    if not fixed:
        msg = f"{excerpt(number_format)} is no format of text exports"
        raise InvalidInputError(msg, f"%.4f, %.1f or {FULL_PRECISION}")
    return int(fixed[1])


def _fixed_rows(
    numbers: "np.ndarray[Any, np.dtype[np.uint32]]",
    negative: "np.ndarray[Any, np.dtype[np.bool_]]",
    decimals: int,
) -> bytes:
    """Return the text of ``numbers / 10**decimals``, with a minus where negative."""
    import numpy as np

    ten = np.uint32(10)
    places = max(len(str(np.max(numbers))), decimals + 1)
    # Records of one width, filled up with NUL: to drop those afterwards is the fast
    # way of putting numbers of different lengths next to each other.
    records = np.empty((*numbers.shape, places + 3), np.uint8)
    records[..., 0] = negative * np.uint8(_MINUS)
    records[..., -2 - decimals] = _POINT
    records[..., -1] = _BLANK
    records[:, -1, -1] = _NEWLINE
    for place in range(places):
        shorter = numbers // ten
        digit = (numbers - shorter * ten).astype(np.uint8) + np.uint8(_ZERO)
        if place > decimals:
            digit *= numbers != 0
        records[..., -2 - place - (place >= decimals)] = digit
        numbers = shorter
    return records.tobytes().translate(None, bytes([_NUL]))


def as_written(
    array: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return what a reader gets back from an array written in a printf format.

    Raises
    ------
    InvalidInputError
        The format is neither ``%.<1 to 6>f`` nor ``%.9g``.
    """
    import numpy as np

    decimals = _decimals(number_format)
    if decimals is None:
        return array
    scale = 10.0**decimals
    return (np.rint(array.astype(np.float64) * scale) / scale).astype(np.float32)


def parse_lines(lines: Sequence[str]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the numbers of lines, each as ``float`` reads it.

    Parameters
    ----------
    lines : sequence of str
        Numbers separated by white space, without line ends; at least one line.

    Returns
    -------
    ndarray of float64
        (line, column).

    Raises
    ------
    ValueError
        Something is no number, or the lines differ in length.
    """
    import numpy as np

    blanks = lines[0].count(" ")
    if all(line.count(" ") == blanks for line in lines):
        at_once = max(1, VALUES_AT_ONCE // (blanks + 1))
        parts = []
        for start in range(0, len(lines), at_once):
            part = _parse_fixed("\n".join([*lines[start : start + at_once], ""]).encode())
            if part is None:
                break
            parts.append(part)
        else:
            return np.concatenate(parts).reshape(len(lines), blanks + 1)
    return np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)


def _parse_fixed(text: bytes) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Return the values of text such as `format_rows` writes, exactly, if it is that.

    That is numbers with one count of decimals, a blank or a line feed after each,
    and 15 digits at most. Those make an integer that a double holds, and dividing
    it by a power of ten rounds once, as ``strtod`` does.

    Returns
    -------
    ndarray of float64 or None
        One dimension. None for any other text, however readable it may be.
    """
    import numpy as np

    chars = np.frombuffer(text, np.uint8)
    points = np.flatnonzero(chars == _POINT)
    ends = np.flatnonzero((chars == _BLANK) | (chars == _NEWLINE))
    if not points.size or points.size != ends.size:
        return None
    decimals = int(ends[0] - points[0]) - 1
    starts = np.concatenate(([0], ends[:-1] + 1))
    negative = chars[starts] == _MINUS
    before = points - starts - negative
    longest = int(before.max())
    if before.min() < 0 or decimals < 1 or longest + decimals > _DOUBLE_DIGITS:
        return None
    if np.any(ends - points != decimals + 1):
        return None
    numbers = np.zeros(points.size, np.int64)
    for place in (*range(-longest, 0), *range(1, decimals + 1)):
        digit = chars[np.maximum(points + place, 0)] - np.uint8(_ZERO)
        # What stands before a number with fewer digits is none of it.
        digit *= before >= -place
        if digit.max() > 9:
            return None
        numbers = numbers * 10 + digit
    values = numbers / 10.0**decimals
    return np.negative(values, out=values, where=negative)


def number_format_of(lines: Sequence[str]) -> str:
    """Return the format that writes the numbers of lines with the decimals they have.

    Returns
    -------
    str
        ``%.<k>f`` if all numbers have the same 1 to 6 decimals and no exponent,
        otherwise ``%.9g``.
    """
    decimals = len(lines[0].split(None, 1)[0].partition(".")[2])
    number_format = f"%.{decimals}f"
    if not _FIXED.match(number_format):
        return FULL_PRECISION
    such = re.compile(rf"(?:\s*+[-+]?[0-9]*+\.[0-9]{{{decimals}}}(?!\S))++\s*+")
    return number_format if all(map(such.fullmatch, lines)) else FULL_PRECISION
