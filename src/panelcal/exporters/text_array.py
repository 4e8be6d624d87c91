"""Text arrays as the legacy software writes and reads them (spec §§6-7, 19)."""

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from panelcal.domain.text import count_of, excerpt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION as FULL_PRECISION
from panelcal.exporters.printf import VALUES_AT_ONCE, format_rows, number_format_of, parse_lines
from panelcal.exporters.printf import as_written as as_written

if TYPE_CHECKING:
    import numpy as np

_RESERVED = re.compile(r"(DTYPE|NDIM|DIM:|SHAPE|DATATYPE)")
_LINE_BREAK = re.compile(r"[\r\n]")

_KEY = re.compile(r"#[ \t]*(DTYPE|NDIM|DIM:[^ \t]*|SHAPE|DATATYPE)(?:[ \t]+(.*))?\Z")
_ENVIRONMENT = re.compile(r"#[ \t]*(HOST|WORK_DIR|FILE_NAME|DATE_TIME|UID)([ \t]{2}|[ \t]*\Z)")
_COUNT = re.compile(r"[0-9]{1,9}\Z")
_TUPLE = re.compile(r"\(\s*[0-9]{1,9}(\s*,\s*[0-9]{1,9})*\s*,?\s*\)\Z")
_TYPE = re.compile(r"((float|u?int)[0-9]{0,3}|double)\Z")
_CORRECT_IT = "correct the header by hand; the file does not tell which of the two is right"
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}\Z")
_INTEGERS_OF_DOUBLES = 2**53 - 1
_NUMBER = re.compile(
    r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|nan|inf(inity)?)\Z", re.IGNORECASE
)


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
        where = np.unravel_index(int(others.argmax()), array.shape)
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


@dataclass(frozen=True, slots=True, eq=False)
class TextArray:
    """What a text array of any origin holds.

    Parameters
    ----------
    array : ndarray
        Of the type and shape that its header states; without a type float32,
        without a shape (line, column).
    comments : tuple of str
        The free comments, without the mark.
    number_format : str
        ``%.<k>f`` where all values have the same 1 to 6 decimals and no
        exponent, otherwise ``%.9g``.
    notices : tuple of str
        What is unusual, in words.
    """

    array: "np.ndarray[Any, Any]"
    comments: tuple[str, ...]
    number_format: str
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Text:
    """The lines of a text array, by what they are.

    Parameters
    ----------
    keys : mapping
        From a key of the header to its line number and value.
    data : mapping
        From line numbers to lines.
    """

    path: Path
    keys: Mapping[str, tuple[int, str]]
    comments: tuple[str, ...]
    data: Mapping[int, str]
    notices: tuple[str, ...]

    def refuse(self, place: int | str, message: str, hint: str | None = None) -> NoReturn:
        """Refuse the file for a line, or for that of a key."""
        line = self.keys[place][0] if isinstance(place, str) else place
        msg = f"{self.path}, line {line}: {message}"
        raise InvalidInputError(msg, hint)


def read_foreign_text_array(path: Path) -> TextArray:
    """Read a text array of any origin, refusing whatever would have to be guessed.

    It takes what any of the legacy readers takes (spec §§7, 19): the header of
    LCLS1 (DTYPE, NDIM, DIM:), that of LCLS2 (SHAPE, DATATYPE), both or neither,
    with any blanks after ``#``; any line ends; blanks and tabs; exponents; if the
    shape is stated, any number of values a line. NaN and infinities are read as
    they are, and so are values beyond the type, as infinities.

    Raises
    ------
    InvalidInputError
        The file cannot be read, is no text, or has no data; a line holds
        something that is no number, or no integer of the type stated; lines
        differ in length and no shape is stated; the header contradicts itself or
        the number of values. The message says what and where.
    """
    import numpy as np

    text = _text_of(path)
    shape, dtype = _stated_shape(text), _stated_type(text)
    values = _foreign_values(text, dtype)
    if shape is None:
        shape = values.shape
        if len(shape) == 1:
            _refuse_ragged(text)
    notices = [*text.notices, *_lacking_keys(text)]
    if values.size != math.prod(shape):
        msg = f"{path} has {count_of(values.size, 'value')}, but its header says {shape}"
        raise InvalidInputError(msg, _CORRECT_IT)
    if values.shape[1:] != shape[-1:]:
        notices.append("the lines are not the rows of the array")
    with np.errstate(over="ignore"):
        array = values.astype(dtype).reshape(shape)
    finite = np.isfinite(array)
    if not finite.all():
        notices.append(f"NaN or infinite values: {np.count_nonzero(~finite)}")
    number_format = number_format_of(list(text.data.values()))
    return TextArray(array, text.comments, number_format, tuple(notices))


def _text_of(path: Path) -> _Text:
    text, notices = _decoded(path)
    keys: dict[str, tuple[int, str]] = {}
    unseen: list[str] = []
    comments: list[str] = []
    data: dict[int, str] = {}
    late = 0
    for number, line in enumerate(text.split("\n"), 1):
        if not line.startswith("#"):
            if line and not line.isspace():
                data[number] = line
            continue
        late += bool(data)
        found = _KEY.match(line)
        if not found:
            if not _ENVIRONMENT.match(line):
                comments.append(line[1:].removeprefix(" "))
            continue
        key, value = found[1], (found[2] or "").strip()
        before, stated = keys.setdefault(key, (number, value))
        if stated != value:
            twice = f"{key} is {excerpt(value)}, but {excerpt(stated)} in line {before}"
            msg = f"{path}, line {number}: {twice}"
            raise InvalidInputError(msg, _CORRECT_IT)
        if not line.startswith(f"# {key} "):
            unseen.append(key)
    if not data:
        msg = f"{path} {'has no data' if text else 'is empty'}"
        raise InvalidInputError(msg)
    if unseen:
        notices.append(f"psana does not see {', '.join(unseen)}")
    if late:
        notices.append(f"comment lines behind the first data: {late}")
    return _Text(path, keys, tuple(comments), data, tuple(notices))


def _decoded(path: Path) -> tuple[str, list[str]]:
    """Return the text of a file with plain line ends, and what is unusual about them."""
    try:
        content = path.read_bytes()
    except OSError as error:
        msg = f"cannot read {path}: {error}"
        raise InvalidInputError(msg) from error
    if content.startswith(b"\x93NUMPY"):
        msg = f"{path} is a binary npy array, not text"
        raise InvalidInputError(msg, "psana cannot read it either; rename it to .npy")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        msg = f"{path}, line {line}: the byte 0x{content[error.start]:02x} is no text"
        raise InvalidInputError(msg) from error
    notices = []
    for end, name in (("\r\n", "CR LF"), ("\r", "CR")):
        if end in text:
            notices.append(f"lines end with {name}")
            text = text.replace(end, "\n")
    if not text.endswith("\n"):
        notices.append("no line feed at the end")
    return text, notices


def _stated_shape(text: _Text) -> tuple[int, ...] | None:
    axes = [key for key in text.keys if key.startswith("DIM:")]
    if axes != [f"DIM:{axis}" for axis in range(len(axes))]:
        text.refuse(axes[0], f"{', '.join(axes)} do not count from DIM:0 upwards", _CORRECT_IT)
    lengths = tuple(_count(text, axis) for axis in axes)
    if "NDIM" in text.keys and _count(text, "NDIM") != len(axes):
        stated = text.keys["NDIM"][1]
        text.refuse("NDIM", f"NDIM is {stated}, but DIM lines are {len(axes)}", _CORRECT_IT)
    if "SHAPE" not in text.keys:
        return lengths or None
    stated = text.keys["SHAPE"][1]
    if not _TUPLE.match(stated):
        text.refuse("SHAPE", f"SHAPE is {excerpt(stated)}, which is no shape", "such as (3,512)")
    shape = tuple(int(length) for length in re.findall("[0-9]+", stated))
    if axes and lengths != shape:
        text.refuse("SHAPE", f"SHAPE is {shape}, but the DIM lines say {lengths}", _CORRECT_IT)
    return shape


def _count(text: _Text, key: str) -> int:
    value = text.keys[key][1]
    if not _COUNT.match(value):
        text.refuse(key, f"{key} is {excerpt(value)}, which is no count")
    return int(value)


def _stated_type(text: _Text) -> "np.dtype[Any]":
    import numpy as np

    types = [_type(text, key) for key in ("DTYPE", "DATATYPE") if key in text.keys]
    if len(set(types)) > 1:
        text.refuse("DATATYPE", f"DATATYPE is {types[1]}, but DTYPE is {types[0]}", _CORRECT_IT)
    return types[0] if types else np.dtype(np.float32)


def _type(text: _Text, key: str) -> "np.dtype[Any]":
    import numpy as np

    name, dtype = text.keys[key][1], None
    if _TYPE.match(name):
        with suppress(TypeError):
            dtype = np.dtype(name)
    if dtype is None:
        msg = f"{key} is {excerpt(name)}, which is no type of numbers"
        text.refuse(key, msg, "write numpy's name, such as float32 or uint16")
    return dtype


def _lacking_keys(text: _Text) -> list[str]:
    missing = [
        key for key in ("DTYPE", "NDIM", "DIM:0", "SHAPE", "DATATYPE") if key not in text.keys
    ]
    if not text.keys:
        return ["no header"]
    return [f"no {', '.join(missing)} in the header"] if missing else []


def _foreign_values(text: _Text, dtype: "np.dtype[Any]") -> "np.ndarray[Any, Any]":
    """Return the values as laid out, (line, column), or in one row if lines differ in length."""
    import numpy as np

    if dtype.kind == "f":
        # What is wrong with the text, if anything, is found word by word.
        with suppress(ValueError):
            return parse_lines(list(text.data.values()))
    rows = [
        [_value(text, number, word, dtype) for word in line.split()]
        for number, line in text.data.items()
    ]
    values = np.array(
        [value for row in rows for value in row], np.float64 if dtype.kind == "f" else dtype
    )
    return values.reshape(len(rows), -1) if len(set(map(len, rows))) == 1 else values


def _value(text: _Text, line: int, word: str, dtype: "np.dtype[Any]") -> float | int:
    import numpy as np

    if not _NUMBER.match(word):
        text.refuse(line, f"{excerpt(word)} is no number", "values are separated by blanks")
    if dtype.kind == "f":
        return float(word)
    if _INTEGER.match(word):
        value = int(word)
    else:
        number = float(word)
        if not number.is_integer() or abs(number) > _INTEGERS_OF_DOUBLES:
            text.refuse(line, f"{excerpt(word)} is no {dtype}")
        value = int(number)
    limits = np.iinfo(dtype)
    if not limits.min <= value <= limits.max:
        text.refuse(line, f"{excerpt(word)} is no {dtype}")
    return value


def _refuse_ragged(text: _Text) -> NoReturn:
    lengths = {number: len(line.split()) for number, line in text.data.items()}
    first = next(iter(lengths.values()))
    line, other = next(item for item in lengths.items() if item[1] != first)
    text.refuse(
        line,
        f"{count_of(other, 'value')}, but {first} in the lines before",
        "lines may differ only where the header states the shape",
    )
