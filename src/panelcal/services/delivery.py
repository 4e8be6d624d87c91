"""A delivery: a directory of ``g<range>_<stem>.npy`` files, read and judged."""

import errno
import tokenize
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from panelcal.domain.deliveries import as_float32, require_finite, require_floating
from panelcal.domain.kinds import DetectorType
from panelcal.domain.text import count_of, excerpt, printable
from panelcal.errors import InvalidInputError
from panelcal.storage.payload_files import aligned_empty

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np


@dataclass(frozen=True)
class Delivery:
    """The arrays of one module.

    Parameters
    ----------
    payloads : dict of str to ndarray
        By kind, float32 (gain range, row, column), in the kind's unit, finite.
    extra : tuple of str
        Names of files that are no part of a constant set.
    """

    payloads: "dict[str, np.ndarray[Any, np.dtype[np.float32]]]"
    extra: tuple[str, ...]


def read_delivery(
    directory: Path,
    detector_type: DetectorType,
    *,
    cast: bool = False,
    inside: Path | None = None,
    memory: "Callable[[tuple[int, ...]], np.ndarray[Any, np.dtype[np.float32]]]" = aligned_empty,
) -> Delivery:
    """Read the files of a delivery.

    Parameters
    ----------
    directory : Path
        Holds ``g0_gain.npy``, ``g0_offset.npy``, ... (spec §2), each of shape
        (row, column).
    cast : bool
        Round to float32 where that loses bits.
    inside : Path or None
        No file may lead out of this directory through links; None allows all.
    memory : callable
        Given a shape, returns a new or unused array for the values of a kind.

    Raises
    ------
    InvalidInputError
        A file is missing, unreadable, of the wrong shape or type, or holds NaN
        or infinite values. Every such file is named.
    """
    expected = {
        kind.file_name(gain_range)
        for kind in detector_type.kinds
        for gain_range in range(detector_type.gain_ranges)
    }
    try:
        present = {path.name for path in directory.iterdir()}
    except OSError as error:
        msg = f"cannot read {printable(directory)}: {error.strerror}"
        raise InvalidInputError(msg) from error
    if not present & expected:
        msg = f"none of the files {', '.join(sorted(expected))} is there"
        raise InvalidInputError(msg)
    payloads = {}
    wrong: list[str] = []
    for kind in detector_type.kinds:
        payload = memory(detector_type.payload_shape)
        for gain_range in range(detector_type.gain_ranges):
            path = directory / kind.file_name(gain_range)
            try:
                _read_plane(path, payload[gain_range], cast=cast, inside=inside)
            except InvalidInputError as error:
                wrong.append(f"{path.name}: {error.message}")
        payloads[kind.name] = payload
    if wrong:
        raise InvalidInputError("; ".join(wrong))
    return Delivery(payloads, tuple(sorted(present - expected)))


def _read_plane(
    path: Path,
    plane: "np.ndarray[Any, np.dtype[np.float32]]",
    *,
    cast: bool,
    inside: Path | None,
) -> None:
    """Read one file of a delivery into its place."""
    real = follow(path, "missing")
    if inside is not None and not real.is_relative_to(inside):
        msg = f"a link that leads out of the tree, to {printable(real)}"
        raise InvalidInputError(msg)
    if not real.is_file():
        msg = "not a regular file"
        raise InvalidInputError(msg)
    values = _read_npy(real, plane)
    if values is plane:
        require_finite(plane)
    else:
        plane[...] = as_float32(values, cast=cast)


def follow(path: Path, missing: str) -> Path:
    """Return what a path leads to through all links.

    Parameters
    ----------
    missing : str
        What to say where the path itself does not exist.

    Raises
    ------
    InvalidInputError
        It leads nowhere; the message says how.
    """
    try:
        return path.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        msg = missing
        if path.is_symlink():
            msg = f"a link to {printable(path.readlink())}, which does not exist"
        raise InvalidInputError(msg) from error
    except (OSError, RuntimeError) as error:
        # Python before 3.13 reports a loop as a RuntimeError.
        if isinstance(error, OSError) and error.errno != errno.ELOOP:
            msg = (
                f"a link to {excerpt(str(path.readlink()))}, which leads nowhere: {error.strerror}"
            )
        else:
            msg = f"a loop of links, by way of {printable(path.readlink())}"
        raise InvalidInputError(msg) from error


def _read_npy(path: Path, plane: "np.ndarray[Any, np.dtype[np.float32]]") -> "np.ndarray[Any, Any]":
    """Read one array: the plane, filled, where the file has its bytes just so.

    The header is judged before memory is taken for what it declares.
    """
    import numpy as np

    try:
        with path.open("rb") as stream:
            found, in_columns, dtype = _npy_header(stream)
            if found != plane.shape:
                msg = f"shape {_in_short(found)}, {plane.shape} expected"
                if found == plane.shape[::-1]:
                    msg += ": it is transposed, its rows are the columns"
                raise InvalidInputError(msg)
            require_floating(dtype)
            if dtype == plane.dtype and not in_columns:
                values: np.ndarray[Any, Any] = plane
                size = stream.readinto(plane.data.cast("B")) // plane.itemsize
            else:
                values = np.fromfile(stream, dtype, plane.size)
                size = values.size
    except OSError as error:
        msg = f"cannot be read: {error.strerror or error}"
        raise InvalidInputError(msg) from error
    if size != plane.size:
        msg = f"cut short: {size} of {plane.size} values"
        raise InvalidInputError(msg)
    return values if values is plane else values.reshape(found, order="F" if in_columns else "C")


def _in_short(shape: tuple[int, ...]) -> str:
    """Return a shape in words: the digits of an integer take for ever, and fill the screen."""
    if len(shape) > _MOST_AXES or any(abs(length) >= 2**64 for length in shape):
        return f"of {count_of(len(shape), 'axis', 'axes')} beyond all measure"
    return str(shape)


def _require_short_header(stream: IO[bytes], version: tuple[int, int]) -> None:
    """Refuse a header that numpy would read into memory first, and find too long then."""
    place = stream.tell()
    size = int.from_bytes(stream.read(2 if version == (1, 0) else 4), "little")
    stream.seek(place)
    if size > _LONGEST_HEADER:
        msg = f"not a readable .npy file: its header takes {size} bytes"
        raise InvalidInputError(msg)


def _npy_header(stream: IO[bytes]) -> "tuple[tuple[int, ...], bool, np.dtype[Any]]":
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        if stream.read(2) == b"PK":
            msg = "an archive of arrays, not one array"
            raise InvalidInputError(msg)
        stream.seek(0)
        version = npy.read_magic(stream)
        if version not in readers:
            msg = f"not a readable .npy file (format version {version})"
            raise InvalidInputError(msg)
        _require_short_header(stream, version)
        with warnings.catch_warnings():
            # Headers written by Python 2 say 4L for 4; numpy reads and mentions it.
            warnings.simplefilter("ignore")
            shape, in_columns, dtype = readers[version](stream)
    except InvalidInputError:
        raise
    except _HEADER_ERRORS as error:
        msg = "not a readable .npy file"
        raise InvalidInputError(msg) from error
    return tuple(shape), bool(in_columns), dtype


_LONGEST_HEADER = 10_000
"""Bytes that numpy evaluates at most; an array of numbers states itself in a hundred."""

_MOST_AXES = 64
"""As many as numpy's arrays can have."""

_HEADER_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    EOFError,
    MemoryError,
    RecursionError,
    SyntaxError,
    tokenize.TokenError,
)
"""What numpy raises on headers that nobody meant: it evaluates them as Python."""
