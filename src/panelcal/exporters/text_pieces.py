"""The header of a text array, and its rows in pieces: no file is in memory as a whole."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from panelcal.exporters.strtod import parse_fixed, parse_lines

if TYPE_CHECKING:
    import numpy as np

    Layout = tuple[np.dtype[Any], tuple[int, ...] | None]

PIECE_BYTES = 2**19
"""Read at once: enough for speed, few enough for the caches of a processor."""


def read_head(stream: IO[bytes]) -> bytes:
    """Read the lines before the first data, which are comments or blank.

    Parameters
    ----------
    stream : binary file
        At its beginning; left at the first data.
    """
    lines: list[bytes] = []
    while True:
        place = stream.tell()
        line = stream.readline()
        if not line.startswith(b"#") and not line.isspace():
            stream.seek(place)
            return b"".join(lines)
        lines.append(line)


def pieces_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Read the rest of a file, whole lines at a time."""
    while piece := stream.read(PIECE_BYTES):
        yield piece + stream.readline()


def values_of(piece: bytes) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Return the values of whole lines, (line, column).

    Raises
    ------
    ValueError
        A line is empty or holds something that is no number, or they differ in length.
    """
    fixed = parse_fixed(piece)
    if fixed is not None:
        return fixed.values
    lines: list[str] = piece.decode().split("\n")
    if lines.pop() or not all(lines):
        msg = "a line is empty or has no end"
        raise ValueError(msg)
    return parse_lines(lines)


def layout_of(head: bytes) -> "Layout | None":
    """Return what a header states, None if only the whole file can tell whether it is right."""
    if b"\r" in head:
        return None
    with suppress(ValueError, TypeError, SyntaxError):
        return layout(head.decode().split("\n"))
    return None


def layout(header: Sequence[str]) -> "Layout":
    """Return the type and the shape that comment lines state, by the rules of psana (spec §7).

    The shape is None unless it has more than two dimensions.

    Raises
    ------
    ValueError, TypeError, SyntaxError
        A key has a value that it cannot have, or they contradict each other.
    """
    import numpy as np

    dtype, dimensions, lengths = np.dtype(np.float32), None, []
    for line in header:
        words = line.split(" ", 2)
        if len(words) != 3 or words[0] != "#":
            continue
        key, value = words[1], words[2].strip()
        if key == "DTYPE":
            dtype = np.dtype(value)
        elif key == "NDIM":
            dimensions = int(value)
        elif key.startswith("DIM:"):
            lengths.append(int(value))
    if dimensions is None or not lengths:
        return dtype, None
    if dimensions != len(lengths):
        msg = f"NDIM is {dimensions}, but {len(lengths)} DIM lines follow"
        raise ValueError(msg)
    return dtype, tuple(lengths) if dimensions > 2 else None
