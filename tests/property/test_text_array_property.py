"""Text arrays: every value is what C printf writes, and comes back as that."""

import ctypes
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from legacy_oracle import load_txt
from panelcal.errors import InvalidInputError
from panelcal.exporters.foreign_text import TextArray, read_foreign_text_array
from panelcal.exporters.printf import as_written
from panelcal.exporters.text_array import (
    Environment,
    header_lines,
    read_text_array,
    write_text_array,
)

Values = np.ndarray[Any, np.dtype[np.float32]]
FORMATS = ["%.4f", "%.1f", "%.9g"]
LIBC = ctypes.CDLL(None)


def c_printf(number_format: str, value: float) -> str:
    buffer = ctypes.create_string_buffer(400)
    LIBC.snprintf(buffer, 400, number_format.encode(), ctypes.c_double(value))
    return buffer.value.decode()


def of_bits(patterns: list[int]) -> Values:
    return np.array(patterns, np.uint32).view(np.float32)


def of_values(values: list[float]) -> Values:
    return np.array(values, np.float32)


any_bits = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40).map(of_bits)
ties = st.lists(
    st.tuples(st.integers(-(2**23), 2**23), st.sampled_from([4.0, 32.0])), min_size=1, max_size=40
).map(lambda pairs: of_values([count / parts for count, parts in pairs]))
plausible = st.lists(
    st.floats(-500, 500, width=32, allow_subnormal=True), min_size=1, max_size=40
).map(of_values)
arrays = (
    st.one_of(any_bits, ties, plausible)
    .map(lambda found: found[np.isfinite(found)])
    .filter(lambda found: found.size > 0)
)
edges = of_values(
    [0.0, -0.0, -0.00001, 0.05, 0.15, 0.25, -0.25, 0.03125, 0.09375, 1e-45, -1e-45, 3.4028235e38]
)


@pytest.mark.parametrize("number_format", FORMATS)
@settings(deadline=None)
@given(values=arrays)
@example(values=edges)
def test_every_value_is_what_c_printf_writes(number_format: str, values: Values) -> None:
    stream = io.BytesIO()
    write_text_array(stream, values.reshape(1, -1), number_format, [])
    expected = " ".join(c_printf(number_format, float(value)) for value in values) + "\n"
    assert stream.getvalue().decode() == expected


@pytest.mark.parametrize("number_format", FORMATS)
@settings(deadline=None)
@given(values=arrays)
@example(values=edges)
def test_as_written_is_the_printed_number_read_again_bit_by_bit(
    number_format: str, values: Values
) -> None:
    printed = [float(c_printf(number_format, float(value))) for value in values]
    assert as_written(values, number_format).tobytes() == of_values(printed).tobytes()


@settings(deadline=None)
@given(values=arrays)
@example(values=edges)
def test_full_precision_brings_every_bit_back_through_both_readers(values: Values) -> None:
    array = values.reshape(1, 1, -1)
    header = header_lines(array.shape, [], Environment("u", "h", "/"), "f", "t")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "1-end.data")
        with path.open("wb") as stream:
            write_text_array(stream, array, "%.9g", header)
        assert load_txt(path).tobytes() == values.tobytes()
        assert read_text_array(path).tobytes() == values.tobytes()


@pytest.mark.parametrize("number_format", FORMATS)
@settings(deadline=None)
@given(values=arrays)
def test_writing_leaves_the_array_as_it_was(number_format: str, values: Values) -> None:
    array = values.reshape(-1, 1)
    before = array.tobytes()
    write_text_array(io.BytesIO(), array, number_format, [])
    assert (array.tobytes(), array.shape) == (before, (values.size, 1))


@pytest.mark.parametrize("number_format", [*FORMATS, "%.6f"])
@settings(deadline=None)
@given(values=arrays)
@example(values=edges)
def test_whatever_panelcal_writes_is_recognized_with_its_format(
    number_format: str, values: Values
) -> None:
    array = values.reshape(1, -1, 1)
    header = header_lines(array.shape, ["token"], Environment("u", "h", "/"), "f", "t")
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "1-end.data")
        with path.open("wb") as stream:
            write_text_array(stream, array, number_format, header)
        found = read_foreign_text_array(path)
        assert found.array.tobytes() == load_txt(path).tobytes()
    assert (found.array.shape, found.comments, found.notices) == (array.shape, ("token",), ())
    # Nine significant digits may be, all of them, of one count of decimals.
    assert found.number_format == number_format or number_format == "%.9g"


parts = st.sampled_from(
    [
        *(
            "#",
            "# ",
            "#\t",
            "# DTYPE ",
            "# NDIM ",
            "# DIM:0 ",
            "# DIM:1 ",
            "# SHAPE ",
            "# DATATYPE ",
        ),
        *(
            "float32",
            "uint16",
            "float",
            "2",
            "4",
            "(2,2)",
            "(4,)",
            "token",
            "\ufeff",
            "\x00",
            "\x1c",
        ),
        *("1.5", "-2.50", "3", "1e5", "1e40", "nan", "65536", ".", "-", "1_0", "0x1", ",", "٣"),
        *(" ", " ", "\t", "\n", "\n", "\n", "\r\n", "\r"),
    ]
)
contents = st.one_of(
    st.lists(parts, max_size=40).map("".join).map(str.encode), st.binary(max_size=60)
)


def reading(content: bytes) -> TextArray | InvalidInputError:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "1-end.data")
        path.write_bytes(content)
        try:
            return read_foreign_text_array(path)
        except InvalidInputError as error:
            return error


@settings(deadline=None)
@given(content=contents)
def test_any_bytes_are_read_or_refused_in_words(content: bytes) -> None:
    found = reading(content)
    if isinstance(found, InvalidInputError):
        assert "1-end.data" in found.message
    else:
        assert found.array.size > 0


words = st.one_of(
    st.floats(width=32).map(repr),
    st.from_regex(r"-?[0-9]{1,3}\.[0-9]{2}", fullmatch=True),
    st.sampled_from(["1", "+.5", "2.", "1e-3", "1E40", "Infinity", "1,5", "--1", "1#", "one"]),
)
gaps = st.sampled_from([" ", " ", "\n", "\t", "  ", "\n\n", " \r\n"])


@settings(deadline=None)
@given(
    pieces=st.lists(st.tuples(words, gaps), min_size=1, max_size=6),
    dtype=st.sampled_from(["float32", "float64", "float"]),
)
def test_what_psana_reads_is_read_alike(pieces: list[tuple[str, str]], dtype: str) -> None:
    header = f"# DTYPE {dtype}\n# NDIM 3\n# DIM:0 1\n# DIM:1 1\n# DIM:2 {len(pieces)}\n"
    content = (header + "".join(map("".join, pieces))).encode()
    found = reading(content)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "1-end.data")
        path.write_bytes(content)
        try:
            expected = load_txt(path)
        except ValueError as error:
            ragged = "ragged" in str(error)
            assert isinstance(found, TextArray if ragged else InvalidInputError)
            return
    assert isinstance(found, TextArray)
    assert found.array.dtype == expected.dtype
    assert found.array.tobytes() == expected.tobytes()


lines_of_data = st.lists(
    st.lists(st.floats(width=32).map(repr), min_size=2, max_size=2).map(" ".join),
    min_size=1,
    max_size=4,
)


@settings(deadline=None)
@given(lines=lines_of_data, end=st.sampled_from(["\n", "\r\n", "\r"]), final=st.booleans())
def test_the_ends_of_lines_change_no_value(lines: list[str], end: str, final: bool) -> None:
    content = end.join([*lines, ""] if final else lines).encode()
    found = reading(content)
    assert isinstance(found, TextArray)
    expected = np.array([[float(word) for word in line.split()] for line in lines], np.float32)
    assert np.array_equal(found.array, expected, equal_nan=True)
