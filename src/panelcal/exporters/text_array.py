"""Text arrays as the legacy software writes and reads them (spec §§6-7, 19)."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.printf import VALUES_AT_ONCE, as_written, format_rows, parse_lines

if TYPE_CHECKING:
    import numpy as np

_RESERVED = re.compile(r"(DTYPE|NDIM|DIM:|SHAPE|DATATYPE)")
_LINE_BREAK = re.compile(r"[\r\n]")


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

    others = ~np.isfinite(array)
    if others.any():
        where = np.unravel_index(int(np.argmax(others)), array.shape)
        place = tuple(int(index) for index in where)
        msg = (
            f"the value at {place} is {array[place]}, the first of "
            f"{np.count_nonzero(others)} that are not finite"
        )
        raise InvalidInputError(msg, "text readers take finite values only")
    digest = hashlib.sha256()
    for chunk in _chunks(header, array.reshape(-1, array.shape[-1]), number_format):
        stream.write(chunk)
        digest.update(chunk)
    return digest.hexdigest()


def _chunks(
    header: Sequence[str], rows: "np.ndarray[Any, np.dtype[np.float32]]", number_format: str
) -> Iterator[bytes]:
    at_once = max(1, VALUES_AT_ONCE // rows.shape[1])
    # Before the header, so that nothing is written in a format that is refused.
    first = format_rows(rows[:at_once], number_format)
    yield "".join(f"{line}\n" for line in header).encode("utf-8", "backslashreplace")
    yield first
    for start in range(at_once, len(rows), at_once):
        yield format_rows(rows[start : start + at_once], number_format)


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
        values = parse_lines(data)
        with np.errstate(over="ignore"):
            array = values.astype(dtype)
        if shape is None:
            # One line comes back with one dimension, whatever its header says.
            return array[0] if len(array) == 1 else array
        return array.reshape(shape)
    except (ValueError, TypeError, SyntaxError) as error:
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
