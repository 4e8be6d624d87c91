"""Numbers as C printf writes them: whole arrays at a time, byte by byte (spec §6).

A float32 has 24 significant bits and a power of five a few more, so that it can be
multiplied by a small power of ten exactly in double precision. Rounding the product half
to even therefore gives the very digits that printf writes.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    _Words = np.ndarray[Any, np.dtype[np.uint64]]

FULL_PRECISION = "%.9g"
"""Nine significant digits bring every float32 back bit by bit."""

MOST_DECIMALS = 6

VALUES_AT_ONCE = 65_536
"""Values that are converted in one piece: enough for speed, few enough for the memory."""

_FIXED = re.compile(r"%\.([1-6])f\Z")
_UINT32_DIGITS = 9
"""As many decimal digits as an unsigned integer of 32 bits always holds."""
_SHORT_DECIMALS = range(1, 5)
_SHORT, _SHORT_NEGATIVE = 10**6, 10**5
"""Below these, digits with a point, a blank, and in the second case a minus are eight bytes."""
_TEXT_BITS = 0x20 * 0x0101010101010101
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
        rows = np.ascontiguousarray(rows, np.float32)
        numbers = np.multiply(rows, 10.0**decimals, dtype=np.float64)
        np.rint(numbers, out=numbers)
        least, most = np.min(numbers), np.max(numbers)
        if decimals in _SHORT_DECIMALS and least > -_SHORT_NEGATIVE and most < _SHORT:
            return _short_rows(numbers, rows, decimals)
        # False for NaN as well, which Python can write, and integers cannot hold.
        if max(-least, most) < 10**_UINT32_DIGITS:
            return _fixed_rows(np.abs(numbers).astype(np.uint32), np.signbit(rows), decimals)
    row_format = " ".join([number_format] * rows.shape[1]) + "\n"
    return "".join([row_format % tuple(row) for row in rows.tolist()]).encode("ascii")


def require_number_format(number_format: str) -> None:
    """Refuse a format that text exports cannot be written in.

    Raises
    ------
    InvalidInputError
        It is neither ``%.<1 to 6>f`` nor ``%.9g``.
    """
    _decimals(number_format)


def _decimals(number_format: str) -> int | None:
    """Return the number of decimals, or None for full precision."""
    if number_format == FULL_PRECISION:
        return None
    fixed = _FIXED.match(number_format)
    if not fixed:
        msg = f"{excerpt(number_format)} is no format of text exports"
        raise InvalidInputError(msg, f"%.4f, %.1f or {FULL_PRECISION}")
    return int(fixed[1])


def _short_rows(
    numbers: "np.ndarray[Any, np.dtype[np.float64]]",
    rows: "np.ndarray[Any, np.dtype[np.float32]]",
    decimals: int,
) -> bytes:
    """Return the text of ``numbers / 10**decimals`` where each fits into eight characters.

    The sign is that of ``rows``, where minus zero may have been something.
    """
    import numpy as np

    heads, tails = _short_tables(decimals)
    unit = np.uint32(10**decimals)
    magnitudes = np.abs(numbers, out=numbers).astype(np.int32).view(np.uint32)
    wholes = magnitudes // unit
    magnitudes -= wholes * unit
    # Inverting the bits makes -1 of minus zero, -2 of minus one, and so on.
    places = wholes.view(np.int32)
    places ^= rows.view(np.int32) >> np.int32(31)
    places += np.int32(_SHORT_NEGATIVE // 10**decimals)
    records = heads.take(places)
    records |= tails.take(magnitudes)
    return _packed(records, rows.shape[1])


def _packed(records: "_Words", columns: int) -> bytes:
    """Return the texts of records without their NUL, and with line feeds.

    A text is of four characters at least, the last a blank; NUL may be before it.
    """
    import numpy as np

    # All characters but NUL have this bit, until there are line feeds.
    some = np.bitwise_or.reduce(records, axis=None, keepdims=True).item() & _TEXT_BITS
    every = np.bitwise_and.reduce(records, axis=None, keepdims=True).item() & _TEXT_BITS
    records.view(np.uint8).reshape(-1, columns, 8)[:, -1, -1] = _NEWLINE
    if some != every:
        return records.tobytes().translate(None, bytes([_NUL]))
    width = some.bit_count()
    if width == 8:
        return records.tobytes()
    text = np.empty(records.size * width, np.uint8)
    # As two integers that overlap within their own text, so that no order matters.
    for start in (0, width - 4):
        part = np.ndarray(records.size, np.uint32, records, 8 - width + start, (8,)).copy()
        np.ndarray(records.size, np.uint32, text, start, (width,))[...] = part
    return text.tobytes()


@cache
def _short_tables(decimals: int) -> "tuple[_Words, _Words]":
    """Return the texts up to the point, and behind it, as words of eight characters.

    The first has the integers that fit, from the least with a minus up. NUL is where the
    other table has its text, so that both together are a record.
    """
    import numpy as np

    unit, blank = 10**decimals, -1 - decimals
    counts = np.arange(_SHORT // unit, dtype=np.uint32)
    above = _records(counts * np.uint32(unit), np.zeros(counts.size, np.bool_), decimals, 6)
    below = counts[: _SHORT_NEGATIVE // unit][::-1]
    negative = _records(below * np.uint32(unit), np.zeros(below.size, np.bool_), decimals, 5)
    # In front of the digits rather than of the NUL.
    gaps = np.count_nonzero(negative == _NUL, axis=1) - 1
    negative[np.arange(below.size), gaps] = _MINUS
    heads = np.concatenate([negative, above[:, 1:]])
    heads[:, blank:] = _NUL
    fractions = np.arange(unit, dtype=np.uint32)
    tails = _records(fractions, np.zeros(unit, np.bool_), decimals, 5)
    tails[:, :blank] = _NUL
    return heads.view(np.uint64).ravel(), tails.view(np.uint64).ravel()


def _fixed_rows(
    numbers: "np.ndarray[Any, np.dtype[np.uint32]]",
    negative: "np.ndarray[Any, np.dtype[np.bool_]]",
    decimals: int,
) -> bytes:
    """Return the text of ``numbers / 10**decimals``, with a minus where negative."""
    import numpy as np

    places = max(len(str(np.max(numbers))), decimals + 1)
    records = _records(numbers, negative, decimals, places)
    records[:, -1, -1] = _NEWLINE
    return records.tobytes().translate(None, bytes([_NUL]))


def _records(
    numbers: "np.ndarray[Any, np.dtype[np.uint32]]",
    negative: "np.ndarray[Any, np.dtype[np.bool_]]",
    decimals: int,
    places: int,
) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Return texts with a blank behind each, as records of one width, filled up with NUL.

    To drop those afterwards is the fast way of putting numbers of different lengths
    next to each other.
    """
    import numpy as np

    ten = np.uint32(10)
    records = np.empty((*numbers.shape, places + 3), np.uint8)
    records[..., 0] = negative * np.uint8(_MINUS)
    records[..., -2 - decimals] = _POINT
    records[..., -1] = _BLANK
    for place in range(places):
        shorter = numbers // ten
        digit = (numbers - shorter * ten).astype(np.uint8) + np.uint8(_ZERO)
        if place > decimals:
            digit *= numbers != 0
        records[..., -2 - place - (place >= decimals)] = digit
        numbers = shorter
    return records


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
