"""Numbers from text, each the double that C strtod and Python's float make of it (spec §7).

Text of one count of decimals, such as `panelcal.exporters.printf` writes, is read whole
arrays at a time: the eight characters before the end of a number are one integer of 64
bits, whose bytes become digits, pairs of digits, and so on.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from panelcal.exporters.printf import FULL_PRECISION, MOST_DECIMALS, VALUES_AT_ONCE

if TYPE_CHECKING:
    import numpy as np

    Words = np.ndarray[Any, np.dtype[np.uint64]]
    Characters = np.ndarray[Any, np.dtype[np.uint8]]
    Lengths = np.ndarray[Any, np.dtype[np.int16]]
    Places = slice | np.ndarray[Any, np.dtype[np.int64]]

_DOUBLE_DIGITS = 15
"""As many decimal digits as a double always holds."""
_FIRST = re.compile(rb"-?[0-9]*+\.([0-9]++)[ \n]")
_BLANK, _NEWLINE, _MINUS, _POINT, _ZERO = b" \n-.0"
_WORD = 8
_TWO_WORDS = 2 * _WORD
_LONGEST = 100
"""Some length that is too long."""
_TOP_BITS = 0x80 * 0x0101010101010101
_PAIRINGS = (
    (10, 8, 0x00FF * 0x0001000100010001),
    (100, 16, 0xFFFF * 0x0000000100000001),
    (10_000, 32, 0xFFFFFFFF),
)
"""What the one before weighs, the bits from one to the next, and which bits hold pairs then."""


@dataclass(frozen=True, slots=True, eq=False)
class FixedText:
    """The numbers of a text that all have one count of decimals.

    Parameters
    ----------
    values : ndarray of float64
        (line, column).
    decimals : int
        How many digits stand behind each point, 1 to 15.
    """

    values: "np.ndarray[Any, np.dtype[np.float64]]"
    decimals: int


def parse_fixed(text: bytes) -> FixedText | None:
    """Return the numbers of text such as `format_rows` writes, exactly, if it is that.

    That is lines of one length, of numbers with one count of decimals, a blank or a
    line feed after each, and 15 digits at most. Those make an integer that a double
    holds, and dividing it by a power of ten rounds once, as ``strtod`` does.

    It takes about 12 bytes of memory a byte: hand long texts over in pieces.

    Returns
    -------
    FixedText or None
        None for any other text, however readable it may be.
    """
    import numpy as np

    first = _FIRST.match(text)
    if not first or not text.endswith(b"\n"):
        return None
    decimals = len(first[1])
    chars = np.frombuffer(text, np.uint8)
    starts, ends, lengths = _words_of(chars, first.end())
    columns = text.count(b" ", 0, text.index(b"\n")) + 1
    if not _are_lines(chars[ends], columns):
        return None
    negative = chars[starts] == _MINUS
    places = lengths - negative
    least, most = np.min(places), np.max(places)
    if least <= decimals or most > _DOUBLE_DIGITS + 1:
        return None
    if least == most:
        # One stands for all of them, and is faster.
        places = places[:1]
    # Words that would begin before the text begin in this.
    padded = bytes(_TWO_WORDS) + text
    numbers = _integers(padded, ends, places, decimals)
    if numbers is None:
        return None
    scale = 10.0**decimals
    # Of zero, too, the quotient has the sign.
    values = numbers.view(np.int64) / np.where(negative, -scale, scale)
    return FixedText(values.reshape(-1, columns), decimals)


def _words_of(chars: "Characters", width: int) -> "tuple[Places, Places, Lengths | np.int16]":
    """Return where the numbers start, where the separators behind them are, and the lengths.

    Slices, which are much faster to follow, if there are separators in all the places where
    numbers as wide as the first would have them.
    """
    import numpy as np

    ends = slice(width - 1, None, width)
    if width <= _LONGEST and chars.size % width == 0 and np.max(chars[ends]) <= _BLANK:
        return slice(0, None, width), ends, np.int16(width - 1)
    places = np.flatnonzero(chars <= _BLANK)
    lengths = np.diff(places, prepend=-1) - 1
    return places - lengths, places, np.minimum(lengths, _LONGEST).astype(np.int16)


def _are_lines(separators: "Characters", columns: int) -> bool:
    import numpy as np

    if separators.size % columns:
        return False
    grid = separators.reshape(-1, columns)
    return bool(np.all(grid[:, -1] == _NEWLINE) and np.all(grid[:, :-1] == _BLANK))


def _integers(padded: bytes, ends: "Places", places: "Lengths", decimals: int) -> "Words | None":
    """Return the integers that numbers are without their points, None if any is no number.

    Parameters
    ----------
    places : ndarray of int16
        How many characters a number has without its sign.
    """
    import numpy as np

    is_long = np.max(places) > _WORD
    point = _WORD - 1 - decimals
    last = _digits(_before(padded, ends, 0), np.minimum(places, _WORD), point)
    if last is None or not is_long:
        return last
    rest = np.maximum(places - _WORD, 0)
    first = _digits(_before(padded, ends, _WORD), rest, point + _WORD)
    if first is None:
        return None
    return first * np.uint64(10 ** (_WORD - (point >= 0))) + last


def _before(padded: bytes, ends: "Places", distance: int) -> "Words":
    """Return the eight characters before each end, or before so many characters more."""
    import numpy as np

    words = np.ndarray(len(padded) - _TWO_WORDS, "<u8", padded, _TWO_WORDS - _WORD - distance, (1,))
    found: Words = words[ends]
    return found


def _digits(text: "Words", used: "Lengths", point: int) -> "Words | None":
    """Return the integers that the last characters of words are, None if any is no digit.

    Parameters
    ----------
    text : ndarray of uint64
        Eight characters each, the first in the lowest byte.
    used : ndarray of int16
        How many of them belong to the number.
    point : int
        The place of the point among the eight; there is none outside of them.
    """
    import numpy as np

    has_point = 0 <= point < _WORD
    zeros, most = [_ZERO] * _WORD, [0x7F - 9] * _WORD
    if has_point:
        zeros[point], most[point] = _POINT, 0x7F
    words = text ^ np.uint64(int.from_bytes(bytes(zeros), "little"))
    # What stands before a number is none of it: those bits are shifted out.
    unused = ((_WORD - used) * 8).astype(np.uint64)
    words >>= unused
    words <<= unused
    # Adding what is lacking to 127 sets the top bit of whatever exceeds its most.
    excess = words + np.uint64(int.from_bytes(bytes(most), "little"))
    excess |= words
    if np.bitwise_or.reduce(excess, axis=None, keepdims=True).item() & _TOP_BITS:
        return None
    if has_point:
        # Those before the point move one place on, which is 256 times of what they are.
        before = words & np.uint64((1 << (8 * point)) - 1)
        before *= np.uint64(255)
        words += before
    for weight, width, lanes in _PAIRINGS:
        words *= np.uint64((weight << width) + 1)
        words >>= np.uint64(width)
        words &= np.uint64(lanes)
    return words


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

    at_once = max(1, VALUES_AT_ONCE // (lines[0].count(" ") + 1))
    parts: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    for start in range(0, len(lines), at_once):
        part = parse_fixed("\n".join([*lines[start : start + at_once], ""]).encode())
        if part is None or part.values.shape[1:] != (parts or [part.values])[0].shape[1:]:
            break
        parts.append(part.values)
    else:
        return np.concatenate(parts)
    return np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)


def number_format_of(lines: Sequence[str]) -> str:
    """Return the format that writes the numbers of lines with the decimals they have.

    Returns
    -------
    str
        ``%.<k>f`` if all numbers have the same 1 to 6 decimals and no exponent,
        otherwise ``%.9g``.
    """
    decimals = len(lines[0].split(None, 1)[0].partition(".")[2])
    such = re.compile(rf"(?:\s*+[-+]?[0-9]*+\.[0-9]{{{decimals}}}(?!\S))++\s*+")
    return format_of(decimals) if all(map(such.fullmatch, lines)) else FULL_PRECISION


def format_of(decimals: int) -> str:
    """Return the format that writes so many decimals, ``%.9g`` if there is none."""
    return f"%.{decimals}f" if 1 <= decimals <= MOST_DECIMALS else FULL_PRECISION
