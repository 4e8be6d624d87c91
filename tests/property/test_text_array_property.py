"""Text arrays: every value is what C printf writes, and comes back as that."""

import ctypes
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from legacy_oracle import load_txt
from panelcal.exporters.text_array import (
    Environment,
    as_written,
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
@given(values=arrays)
@example(values=edges)
def test_every_value_is_what_c_printf_writes(number_format: str, values: Values) -> None:
    stream = io.BytesIO()
    write_text_array(stream, values.reshape(1, -1), number_format, [])
    expected = " ".join(c_printf(number_format, float(value)) for value in values) + "\n"
    assert stream.getvalue().decode() == expected


@pytest.mark.parametrize("number_format", FORMATS)
@given(values=arrays)
@example(values=edges)
def test_as_written_is_the_printed_number_read_again_bit_by_bit(
    number_format: str, values: Values
) -> None:
    printed = [float(c_printf(number_format, float(value))) for value in values]
    assert as_written(values, number_format).tobytes() == of_values(printed).tobytes()


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
@given(values=arrays)
def test_writing_leaves_the_array_as_it_was(number_format: str, values: Values) -> None:
    array = values.reshape(-1, 1)
    before = array.tobytes()
    write_text_array(io.BytesIO(), array, number_format, [])
    assert (array.tobytes(), array.shape) == (before, (values.size, 1))
