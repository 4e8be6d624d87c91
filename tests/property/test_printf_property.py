"""Numbers as text: C's own printf and Python's float() are right, for every bit pattern."""

import ctypes
import platform
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from panelcal.exporters.printf import as_written, format_rows
from panelcal.exporters.strtod import number_format_of, parse_fixed, parse_lines

Values = np.ndarray[Any, np.dtype[np.float32]]
FORMATS = [*(f"%.{decimals}f" for decimals in range(1, 7)), "%.9g"]
COLUMNS = 50
SMALL_EXPONENTS, ALL_EXPONENTS = (90, 160), (0, 255)

number_formats = st.sampled_from(FORMATS)


def random_rows(seed: int, count: int, exponents: tuple[int, int]) -> Values:
    """Random signs, exponents (biased, as IEEE 754 stores them) and fractions."""
    random = np.random.default_rng(seed)
    bits = random.integers(*exponents, count).astype(np.uint32) << np.uint32(23)
    bits |= random.integers(0, 2**23, count).astype(np.uint32)
    bits |= random.integers(0, 2, count).astype(np.uint32) << np.uint32(31)
    return bits.view(np.float32).reshape(-1, COLUMNS)


def of_whole_steps(seed: int, count: int) -> Values:
    """Multiples of 2**-10 below 1024: among them are all ties of up to 6 decimals."""
    random = np.random.default_rng(seed)
    steps = random.integers(-(2**20), 2**20, count)
    return (steps / 2**10).astype(np.float32).reshape(-1, COLUMNS)


def by_python(rows: Values, number_format: str) -> bytes:
    lines = [" ".join(number_format % value for value in row) for row in rows.tolist()]
    return "".join(f"{line}\n" for line in lines).encode()


def by_c(rows: Values, number_format: str) -> bytes:
    libc = ctypes.CDLL(None)
    buffer = ctypes.create_string_buffer(400)

    def printed(value: float) -> str:
        libc.snprintf(buffer, len(buffer), number_format.encode(), ctypes.c_double(value))
        return buffer.value.decode()

    return "".join(" ".join(map(printed, row)) + "\n" for row in rows.tolist()).encode()


@pytest.mark.parametrize("number_format", FORMATS)
def test_200_000_random_bit_patterns_are_written_as_python_writes_them(
    number_format: str,
) -> None:
    parts = [
        random_rows(1, 100_000, SMALL_EXPONENTS),
        random_rows(2, 50_000, ALL_EXPONENTS),
        of_whole_steps(3, 50_000),
    ]
    for rows in parts:
        # By size, so that large values are not the reason why small ones are never
        # written the fast way.
        ordered = np.sort(np.abs(rows), axis=None).reshape(rows.shape)
        signed = np.copysign(ordered, rows)
        for start in range(0, len(signed), 100):
            piece = signed[start : start + 100]
            assert format_rows(piece, number_format) == by_python(piece, number_format)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="the bytes are promised to be those of glibc"
)
@pytest.mark.parametrize("number_format", FORMATS)
def test_random_bit_patterns_are_written_as_c_writes_them(number_format: str) -> None:
    parts = [
        random_rows(4, 2_000, (90, 136)),
        random_rows(5, 2_000, ALL_EXPONENTS),
        of_whole_steps(6, 2_000),
    ]
    for rows in parts:
        assert format_rows(rows, number_format) == by_c(rows, number_format)


any_finite_rows = arrays_of.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    elements=st.one_of(
        st.floats(-60_000, 60_000, width=16),
        st.floats(width=32, allow_nan=False, allow_infinity=False),
    ),
)


@settings(deadline=None)
@given(rows=any_finite_rows, number_format=number_formats)
def test_rows_of_any_finite_values_are_written_as_python_writes_them(
    rows: Values, number_format: str
) -> None:
    assert format_rows(rows, number_format) == by_python(rows, number_format)


@settings(deadline=None)
@given(rows=any_finite_rows, number_format=number_formats)
def test_what_is_written_is_read_again_bit_by_bit(rows: Values, number_format: str) -> None:
    lines = format_rows(rows, number_format).decode().splitlines()
    values = parse_lines(lines)
    assert (
        values.tobytes()
        == np.array([[float(word) for word in line.split()] for line in lines]).tobytes()
    )
    assert values.astype(np.float32).tobytes() == as_written(rows, number_format).tobytes()


@settings(deadline=None)
@given(rows=any_finite_rows, decimals=st.integers(1, 6))
def test_the_format_of_a_text_is_that_which_wrote_it(rows: Values, decimals: int) -> None:
    lines = format_rows(rows, f"%.{decimals}f").decode().splitlines()
    assert number_format_of(lines) == f"%.{decimals}f"


words = st.one_of(
    st.from_regex(r"-?[0-9]{1,9}\.[0-9]{2}", fullmatch=True),
    st.from_regex(r"[-+]?[0-9]{1,17}\.?[0-9]{0,5}(e[-+]?[0-9]{1,2})?", fullmatch=True),
    st.text("0123456789.-+e:/", min_size=1, max_size=6),
)
separators = st.sampled_from([" ", " ", " ", "  ", "\t"])
lines_of_words = st.lists(
    st.lists(words, min_size=1, max_size=3).flatmap(
        lambda found: separators.map(lambda separator: separator.join(found))
    ),
    min_size=1,
    max_size=3,
)


def read_by_python(lines: list[str]) -> list[list[float]] | None:
    try:
        rows = [[float(word) for word in line.split()] for line in lines]
    except ValueError:
        return None
    return rows if len({len(row) for row in rows}) == 1 else None


@settings(deadline=None)
@given(lines=lines_of_words)
def test_lines_are_read_as_python_reads_them_or_refused_where_it_refuses(
    lines: list[str],
) -> None:
    expected = read_by_python(lines)
    if expected is None:
        with pytest.raises(ValueError, match=r"."):
            parse_lines(lines)
    else:
        assert parse_lines(lines).tobytes() == np.array(expected).tobytes()


@settings(deadline=None)
@given(
    numbers=st.lists(st.integers(-(10**17), 10**17), min_size=1, max_size=8),
    decimals=st.integers(1, 17),
)
def test_fixed_numbers_of_any_length_are_rounded_once(numbers: list[int], decimals: int) -> None:
    texts = []
    for number in numbers:
        digits = str(abs(number)).rjust(decimals + 1, "0")
        texts.append("-" * (number < 0) + f"{digits[:-decimals]}.{digits[-decimals:]}")
    assert parse_lines([" ".join(texts)]).tobytes() == np.array([list(map(float, texts))]).tobytes()


@settings(deadline=None)
@given(text=st.text("0059.- \n", min_size=1, max_size=40).map(lambda text: f"{text}\n".encode()))
def test_text_is_read_exactly_or_left_to_others(text: bytes) -> None:
    found = parse_fixed(text)
    if found is not None:
        lines = text.decode().split("\n")[:-1]
        assert found.values.tobytes() == np.array(read_by_python(lines)).tobytes()
