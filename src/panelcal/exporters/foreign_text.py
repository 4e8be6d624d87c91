"""Text arrays from anywhere: what an import reads, and what is unusual about it (spec §§6-7, 19).

Unlike psana's reader this one guesses nothing: where a header contradicts itself
or its data, the file is refused.
"""

import io
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from panelcal.domain.text import count_of, excerpt
from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.exporters.strtod import (
    FixedText,
    format_of,
    number_format_of,
    parse_fixed,
    parse_lines,
)
from panelcal.exporters.text_pieces import pieces_of, read_head

if TYPE_CHECKING:
    import numpy as np

_KEY = re.compile(r"#[ \t]*(DTYPE|NDIM|DIM:[^ \t]*|SHAPE|DATATYPE)(?:[ \t]+(.*))?\Z")
_ENVIRONMENT = re.compile(r"#[ \t]*(HOST|WORK_DIR|FILE_NAME|DATE_TIME|UID)([ \t]{2}|[ \t]*\Z)")
_COUNT = re.compile(r"[0-9]{1,9}\Z")
_TUPLE = re.compile(r"\(\s*[0-9]{1,9}(\s*,\s*[0-9]{1,9})*\s*,?\s*\)\Z")
_TYPE = re.compile(r"((float|u?int)[0-9]{0,3}|double)\Z")
_CORRECT_IT = "correct the header by hand; the file does not tell which of the two is right"
_INTEGER = re.compile(r"[-+]?[0-9]{1,20}\Z")
_MOST_BYTES = 2**32
"""Several times what 32 panels take with all digits: the file is read as a whole."""
_INTEGERS_OF_DOUBLES = 2**53 - 1
_NUMBER = re.compile(
    r"[-+]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|nan|inf(inity)?)\Z", re.IGNORECASE
)


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


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """The head of a file, and its values, which all have one count of decimals in a piece."""

    head: bytes
    values: "np.ndarray[Any, np.dtype[np.float64]]"
    number_format: str


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

    content = _content(path)
    fixed = _fixed(content)
    text = _text_of(path, content) if fixed is None else _text_of(path, fixed.head, is_head=True)
    shape, dtype = _stated_shape(text), _stated_type(text)
    if fixed is not None and dtype.kind != "f":
        # Integers beyond those of a double are read digit by digit, and judged by their line.
        fixed, text = None, _text_of(path, content)
    values = _foreign_values(text, dtype) if fixed is None else fixed.values
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
    if fixed is None:
        number_format = number_format_of(list(text.data.values()))
    else:
        number_format = fixed.number_format
    return TextArray(array, text.comments, number_format, tuple(notices))


def _fixed(content: bytes) -> _Fixed | None:
    """Return what a file holds if its rows are such as panelcal writes, None for any other."""
    import numpy as np

    stream = io.BytesIO(content)
    head = read_head(stream)
    parts: list[FixedText] = []
    for piece in pieces_of(stream):
        part = parse_fixed(piece)
        if part is None or part.values.shape[1:] != (parts or [part])[0].values.shape[1:]:
            return None
        parts.append(part)
    # A carriage return ends a line as well: that there are data behind it is seen elsewhere.
    if not parts or b"\r" in head:
        return None
    decimals = {part.decimals for part in parts}
    number_format = format_of(decimals.pop()) if len(decimals) == 1 else FULL_PRECISION
    return _Fixed(head, np.concatenate([part.values for part in parts]), number_format)


def _text_of(path: Path, content: bytes, *, is_head: bool = False) -> _Text:
    """Return the lines of a file, or of its head alone, behind which there are data."""
    text, notices = _decoded(path, content)
    if is_head:
        notices.clear()
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
    if not data and not is_head:
        msg = f"{path} {'has no data' if text else 'is empty'}"
        raise InvalidInputError(msg)
    if unseen:
        notices.append(f"psana does not see {', '.join(unseen)}")
    if late:
        notices.append(f"comment lines behind the first data: {late}")
    return _Text(path, keys, tuple(comments), data, tuple(notices))


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            msg = f"{path} has {size} bytes; no text array has more than {_MOST_BYTES}"
            raise InvalidInputError(msg)
        content = path.read_bytes()
    except OSError as error:
        msg = f"cannot read {path}: {error}"
        raise InvalidInputError(msg) from error
    if content.startswith(b"\x93NUMPY"):
        msg = f"{path} is a binary npy array, not text"
        raise InvalidInputError(msg, "psana cannot read it either; rename it to .npy")
    return content


def _decoded(path: Path, content: bytes) -> tuple[str, list[str]]:
    """Return the text of a file with plain line ends, and what is unusual about them."""
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
