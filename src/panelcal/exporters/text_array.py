"""Text arrays as the legacy software writes and reads them (spec §§6-7, 19)."""

import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.printf import VALUES_AT_ONCE, as_written, format_rows
from panelcal.exporters.strtod import parse_fixed, parse_lines
from panelcal.exporters.text_pieces import layout, layout_of, pieces_of, read_head, values_of
from panelcal.named_errors import naming

if TYPE_CHECKING:
    import numpy as np

_RESERVED = re.compile(r"(DTYPE|NDIM|DIM:|SHAPE|DATATYPE)")
_LINE_BREAK = re.compile(r"[\r\n]")
_COPIED_BYTES = 2**20


class _NoDataError(Exception):
    """There is nothing but comments and blanks."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where and by whom a file is written; the header and HISTORY say it.

    Parameters
    ----------
    user, host, work_dir : str
        Login, host name, current directory.
    """

    user: str
    host: str
    work_dir: str


def write_text_array(
    stream: IO[bytes],
    array: "np.ndarray[Any, np.dtype[np.float32]]",
    number_format: str,
    header: Sequence[str],
) -> str:
    """Write an array of two or more dimensions as text.

    Parameters
    ----------
    stream : binary file
        Written from its current position.
    array : ndarray of float32
        The last axis becomes the columns of a line.
    number_format : str
        ``%.<1 to 6>f`` or ``%.9g``; the bytes are those of C printf for the
        double of each value.
    header : sequence of str
        Lines from `header_lines`.

    Returns
    -------
    str
        SHA-256 of the bytes written.

    Raises
    ------
    InvalidInputError
        Another format. NaN or infinite values, which the C++ reader cannot take
        (spec §7); the message says how many, and where the first one is.
        Nothing is written then.
    """
    import numpy as np

    # The least and the most are NaN if any value is, and take no memory.
    if not np.isfinite([np.min(array), np.max(array)]).all():
        others = ~np.isfinite(array)
        where = np.unravel_index(int(np.argmax(others)), array.shape)
        place = tuple(int(index) for index in where)
        msg = (
            f"the value at {place} is {array[place]}, the first of "
            f"{np.count_nonzero(others)} that are not finite"
        )
        raise InvalidInputError(msg, "text readers take finite values only")
    return _put(stream, _chunks(header, array.reshape(-1, array.shape[-1]), number_format))


def _chunks(
    header: Sequence[str], rows: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> Iterator[bytes]:
    at_once = max(1, VALUES_AT_ONCE // rows.shape[1])
    # Before the header, so that nothing is written in a format that is refused.
    first = format_rows(rows[:at_once], number_format)
    yield _encoded(header)
    yield first
    for start in range(at_once, len(rows), at_once):
        yield format_rows(rows[start : start + at_once], number_format)


def _put(stream: IO[bytes], chunks: Iterable[bytes]) -> str:
    """Write chunks and return their SHA-256.

    That takes as long as making the text does, and is worked out in the meantime.
    """
    digest = hashlib.sha256()
    with ThreadPoolExecutor(1) as worker:
        behind = worker.submit(digest.update, b"")
        for chunk in chunks:
            stream.write(chunk)
            # One chunk at most waits in memory.
            behind.result()
            behind = worker.submit(digest.update, chunk)
    return digest.hexdigest()


def _encoded(header: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in header).encode("utf-8", "backslashreplace")


def copy_rows(source: IO[bytes], stream: IO[bytes], header: Sequence[str]) -> str:
    """Write the rows of a text array behind another header.

    Parameters
    ----------
    source : binary file
        A text array that was written, and read back, before; at its beginning.
    stream : binary file
        Written from its current position.
    header : sequence of str
        Lines from `header_lines`, of the type and shape of the source.

    Returns
    -------
    str
        SHA-256 of the bytes written.

    Raises
    ------
    InvalidInputError
        The source cannot be read, or its header states another type or shape.
    OSError
        The stream cannot be written.
    """
    head = _encoded(header)
    stated, wanted = layout_of(_head_of(source)), layout_of(head)
    if stated is None or stated != wanted:
        msg = f"the header of {source.name} states {stated}, not {wanted}"
        raise InvalidInputError(msg)
    return _put(stream, chain([head], _blocks_of(source)))


def require_copied(path: Path, source: IO[bytes], header: Sequence[str]) -> None:
    """Compare a file that `copy_rows` wrote with what it was made of, byte by byte.

    Parameters
    ----------
    source : binary file
        As `copy_rows` left it, or anywhere else.

    Raises
    ------
    IntegrityError
        It differs.
    InvalidInputError
        The source cannot be read any more.
    """
    source.seek(0)
    _head_of(source)
    with naming(path), path.open("rb") as found:
        is_equal = read_head(found) == _encoded(header)
        for expected in _blocks_of(source):
            is_equal = is_equal and found.read(_COPIED_BYTES) == expected
        if not is_equal or found.read(1):
            msg = f"what was written to {path} reads back differently"
            raise IntegrityError(msg)


def _head_of(source: IO[bytes]) -> bytes:
    try:
        return read_head(source)
    except OSError as error:
        raise _unreadable(source, error) from error


def _blocks_of(source: IO[bytes]) -> Iterator[bytes]:
    try:
        while block := source.read(_COPIED_BYTES):
            yield block
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: IO[bytes], error: OSError) -> InvalidInputError:
    return InvalidInputError(f"cannot read {source.name}: {error}")


def header_lines(
    shape: tuple[int, ...],
    comments: Sequence[str],
    environment: Environment,
    file_name: str,
    date_time: str,
) -> list[str]:
    """Return the header of a text array of float32 (spec §6).

    Parameters
    ----------
    comments : sequence of str
        Free text. None may begin with a word that readers take for a key.
    file_name : str
        Path of the file, for the record.
    date_time : str
        Local time ``YYYY-mm-ddTHH:MM:SS``.
    """
    for comment in comments:
        if _RESERVED.match(comment) or _LINE_BREAK.search(comment):
            msg = f"the comment {excerpt(comment)} would be read as part of the header"
            raise InvalidInputError(msg)
    facts = {
        "HOST": environment.host,
        "WORK_DIR": environment.work_dir,
        "FILE_NAME": file_name,
        "DATE_TIME": date_time,
        "UID": environment.user,
        "SHAPE": f"({','.join(map(str, shape))})",
        "DATATYPE": "float32",
    }
    layout = {"DTYPE": "float32", "NDIM": str(len(shape))}
    layout |= {f"DIM:{axis}": str(length) for axis, length in enumerate(shape)}
    return [
        *(f"# {comment}" for comment in comments),
        "",
        *(f"# {key:<12}{_LINE_BREAK.sub(' ', value)}" for key, value in facts.items()),
        "",
        *(f"# {key:<12}{value}" for key, value in layout.items()),
        "",
    ]


def read_text_array(path: Path) -> "np.ndarray[Any, Any]":
    """Read a text array by the rules of the reader that psana uses (spec §7).

    Lines of white space are skipped and lines that begin with ``#`` are
    comments, anywhere. The keys DTYPE, NDIM and DIM: of the header give type
    and shape; the shape is applied only above two dimensions.

    Returns
    -------
    ndarray
        Of the header's type, float32 without one.

    Raises
    ------
    InvalidInputError
        The file cannot be read, has no data, ragged lines, or a header that
        contradicts itself or the data.
    """
    try:
        array = _read_fixed(path)
        # Not splitlines(): a form feed or a Unicode separator ends no line here.
        return _read_lines(path.read_text("utf-8").split("\n")) if array is None else array
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {path}: {error}"
        raise InvalidInputError(msg) from error
    except _NoDataError as error:
        msg = f"{path} has no data"
        raise InvalidInputError(msg) from error
    except (ValueError, TypeError, SyntaxError) as error:
        msg = f"{path} is not a text array: {error}"
        raise InvalidInputError(msg) from error


def _read_fixed(path: Path) -> "np.ndarray[Any, Any] | None":
    """Read a file as the legacy software writes it; None is any other, right or wrong."""
    import numpy as np

    with naming(path), path.open("rb") as stream:
        dtype, shape = layout_of(read_head(stream)) or (None, None)
        if dtype is None or dtype.kind != "f" or shape is None or min(shape) < 1:
            return None
        # Before memory is asked for: a value takes two characters at least.
        if math.prod(shape) > os.fstat(stream.fileno()).st_size:
            return None
        array = np.empty(shape, dtype)
        to_come, columns = array.reshape(-1), None
        for piece in pieces_of(stream):
            text = parse_fixed(piece)
            if text is None or text.values.size > to_come.size:
                return None
            columns = columns or text.values.shape[1]
            if text.values.shape[1] != columns:
                return None
            with np.errstate(over="ignore"):
                to_come[: text.values.size] = text.values.ravel()
            to_come = to_come[text.values.size :]
    return None if to_come.size else array


def _read_lines(lines: Sequence[str]) -> "np.ndarray[Any, Any]":
    import numpy as np

    data = [line for line in lines if line and not line.startswith("#") and not line.isspace()]
    if not data:
        raise _NoDataError
    dtype, shape = layout([line for line in lines if line.startswith("#")])
    with np.errstate(over="ignore"):
        return _laid_out(parse_lines(data).astype(dtype), shape)


def _laid_out(
    array: "np.ndarray[Any, Any]", shape: tuple[int, ...] | None
) -> "np.ndarray[Any, Any]":
    if shape is None:
        # One line comes back with one dimension, whatever its header says.
        return array[0] if len(array) == 1 else array
    return array.reshape(shape)


def require_reads_back(
    path: Path, array: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> None:
    """Read a file that was just written and compare every value.

    Raises
    ------
    IntegrityError
        It does not hold what was to be written.
    """
    try:
        with path.open("rb") as stream:
            differ = _changed_values(stream, array, number_format)
    except (OSError, ValueError) as error:
        msg = f"what was written to {path} cannot be read back: {error}"
        raise IntegrityError(msg) from error
    if differ:
        msg = f"{path} reads back with {differ} of {array.size} values changed"
        raise IntegrityError(msg)


def _changed_values(
    stream: IO[bytes], array: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> int:
    """Count the values that differ, piece by piece; ValueError if they cannot be compared."""
    import numpy as np

    rows = array.reshape(-1, array.shape[-1])
    shape = array.shape if array.ndim > 2 else None
    if (stated := layout_of(read_head(stream))) != (array.dtype, shape):
        msg = f"its header states {stated}, not {(array.dtype, shape)}"
        raise ValueError(msg)
    done = differ = 0
    for piece in pieces_of(stream):
        found = values_of(piece).astype(array.dtype)
        expected = as_written(rows[done : done + len(found)], number_format)
        if found.shape != expected.shape:
            msg = f"its rows {done} and following are {found.shape}, not {expected.shape}"
            raise ValueError(msg)
        # Compared as bits: -0.0 and 0.0 are different answers of printf.
        differ += int(np.count_nonzero(found.view(np.int32) != expected.view(np.int32)))
        done += len(found)
    if done != len(rows):
        msg = f"it has {done} rows, not {len(rows)}"
        raise ValueError(msg)
    return differ
