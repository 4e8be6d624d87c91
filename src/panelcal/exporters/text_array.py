"""Text arrays as the legacy software writes and reads them (spec §§6-7)."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError

if TYPE_CHECKING:
    import numpy as np

FULL_PRECISION = "%.9g"
"""Nine significant digits bring every float32 back bit by bit."""

_FIXED = re.compile(r"%\.([0-9])f\Z")
_RESERVED = re.compile(r"(DTYPE|NDIM|DIM:|SHAPE|DATATYPE)")
_LINE_BREAK = re.compile(r"[\r\n]")
_ROWS_AT_ONCE = 512


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
        printf format of one value; the bytes are those of C printf for the
        double of the same value.
    header : sequence of str
        Lines from `header_lines`.

    Returns
    -------
    str
        SHA-256 of the bytes written.

    Raises
    ------
    InvalidInputError
        NaN or infinite values, which the C++ reader cannot take (spec §7); the
        message says where the first one is.
    """
    import numpy as np

    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(int(axis[0]) for axis in np.nonzero(~finite))
        msg = f"the value at {where} is {array[where]}; text readers take finite values only"
        raise InvalidInputError(msg)
    digest = hashlib.sha256()
    rows = array.reshape(-1, array.shape[-1])
    row_format = " ".join([number_format] * rows.shape[1]) + "\n"
    for chunk in _chunks(header, row_format, rows):
        stream.write(chunk)
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(header: Sequence[str], row_format: str, rows: "np.ndarray[Any, Any]") -> "Any":
    yield "".join(f"{line}\n" for line in header).encode("utf-8", "backslashreplace")
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        lines = rows[start : start + _ROWS_AT_ONCE].tolist()
        yield "".join([row_format % tuple(line) for line in lines]).encode("ascii")


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
    import numpy as np

    try:
        # Not splitlines(): a form feed or a Unicode separator ends no line here.
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"cannot read {path}: {error}"
        raise InvalidInputError(msg) from error
    data = [line for line in lines if line and not line.startswith("#") and not line.isspace()]
    if not data:
        msg = f"{path} has no data"
        raise InvalidInputError(msg)
    header = [line for line in lines if line.startswith("#")]
    try:
        dtype, shape = _layout(header)
        values = np.loadtxt(data, dtype=np.float64, comments=None, ndmin=2)
        with np.errstate(over="ignore"):
            array = values.astype(dtype)
        if shape is None:
            # One line comes back with one dimension, whatever its header says.
            return array[0] if len(array) == 1 else array
        return array.reshape(shape)
    except (ValueError, TypeError) as error:
        msg = f"{path} is not a text array: {error}"
        raise InvalidInputError(msg) from error


def _layout(header: Sequence[str]) -> "tuple[np.dtype[Any], tuple[int, ...] | None]":
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


def as_written(
    array: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return what a reader gets back from an array written in a printf format.

    A float32 times a small power of ten is exact in double precision, so that
    rounding it half to even is what printf does.

    Raises
    ------
    InvalidInputError
        The format is neither ``%.<digit>f`` nor ``%.9g``.
    """
    import numpy as np

    if number_format == FULL_PRECISION:
        return array
    fixed = _FIXED.match(number_format)
    if not fixed:
        msg = f"{excerpt(number_format)} is no format of text exports"
        raise InvalidInputError(msg, f"%.4f, %.1f or {FULL_PRECISION}")
    scale = 10.0 ** int(fixed[1])
    return (np.rint(array.astype(np.float64) * scale) / scale).astype(np.float32)


def require_reads_back(
    path: Path, array: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> None:
    """Read a file that was just written and compare every value.

    Raises
    ------
    IntegrityError
        It does not hold what was to be written.
    """
    import numpy as np

    try:
        found = read_text_array(path)
    except InvalidInputError as error:
        msg = f"what was written cannot be read back: {error}"
        raise IntegrityError(msg) from error
    expected = as_written(array, number_format)
    if found.shape != expected.shape or found.dtype != expected.dtype:
        msg = f"{path} reads back as {found.dtype} {found.shape}, not {expected.shape}"
        raise IntegrityError(msg)
    # Compared as bits: -0.0 and 0.0 are different answers of printf.
    differ = np.count_nonzero(found.view(np.int32) != expected.view(np.int32))
    if differ:
        msg = f"{path} reads back with {differ} of {found.size} values changed"
        raise IntegrityError(msg)
