"""Text as numbers: what float() makes of it, at the edges where a fast way could err."""

from typing import Any

import numpy as np
import pytest

from panelcal.exporters.printf import VALUES_AT_ONCE
from panelcal.exporters.strtod import number_format_of, parse_fixed, parse_lines

FIXED = {
    "one width": b"41.5000 42.2500\n-1.3900 10.0001\n",
    "other widths": b"1.5 -12.5\n-0.0 1234567.8\n",
    "eight characters": b"123456.7 765432.1\n",
    "nine characters": b"1234567.8 8765432.1\n-123456.7 1234567.8\n",
    "the point between both words": b"1.2345678 -1.8765432\n",
    "the point at a border": b"123.1234567 -.7654321\n",
    "fifteen digits": b"123456789012345.0"[1:] + b" -1.5\n",
    "fifteen decimals": b".123456789012345 -.543210987654321\n",
    "fourteen decimals": b"1.12345678901234 -0.54321098765432\n",
    "one column": b"1.5\n-22.5\n333.5\n",
}


def by_python(text: bytes) -> "np.ndarray[Any, np.dtype[np.float64]] | None":
    """Return the numbers of lines of one length, None if they are not that."""
    try:
        rows = [[float(word) for word in line.split()] for line in text.decode().split("\n")[:-1]]
    except ValueError:
        return None
    return np.array(rows) if text.endswith(b"\n") and len(set(map(len, rows))) == 1 else None


@pytest.mark.parametrize("text", FIXED.values(), ids=FIXED.keys())
def test_text_of_one_count_of_decimals_is_read_at_once_and_exactly(text: bytes) -> None:
    found, expected = parse_fixed(text), by_python(text)
    assert found is not None
    assert expected is not None
    assert found.values.tobytes() == expected.tobytes()
    assert found.values.shape == expected.shape
    assert found.decimals == len(text.split()[0].partition(b".")[2])


@pytest.mark.parametrize("text", FIXED.values(), ids=FIXED.keys())
def test_text_with_any_byte_in_any_place_is_read_exactly_or_not_at_all(text: bytes) -> None:
    for place in range(len(text)):
        for byte in range(256):
            spoilt = text[:place] + bytes([byte]) + text[place + 1 :]
            found = parse_fixed(spoilt)
            if found is not None:
                expected = by_python(spoilt)
                assert expected is not None, spoilt
                assert found.values.tobytes() == expected.tobytes(), spoilt
                assert found.values.shape == expected.shape, spoilt


@pytest.mark.parametrize("text", FIXED.values(), ids=FIXED.keys())
def test_text_that_lacks_or_repeats_a_byte_is_read_exactly_or_not_at_all(text: bytes) -> None:
    for place in range(len(text)):
        byte = text[place : place + 1]
        for spoilt in (text[:place] + text[place + 1 :], text[:place] + byte + text[place:]):
            found = parse_fixed(spoilt)
            if found is not None:
                expected = by_python(spoilt)
                assert expected is not None, spoilt
                assert found.values.tobytes() == expected.tobytes(), spoilt


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"1.5",
        b"1.5 2.5",
        b"# 1.5\n",
        b"1.5 2.5\n# 3.5\n",
        b"1.5 2.5\n\n3.5 4.5\n",
        b"1.5 2.5\n3.5\n",
        b"1.5\n2.5 3.5\n",
        b"1.5 2.5\r\n",
        b"1.5\t2.5\n",
        b"1.5 2.5 \n",
        b"1.5 2.25\n",
        b"1.5 3\n",
        b"1 2\n",
        b"1.5 +2.5\n",
        b"1.5 2e.5\n",
        b"1.5 nan\n",
        b"1234567890123456.5 1.5\n",
        b"1.5 " + b"7" * 2**16 + b"1.5\n",
        b"7" * 2**16 + b"1.5\n",
    ],
)
def test_any_other_text_is_left_to_others(text: bytes) -> None:
    assert parse_fixed(text) is None


LINES = {
    "as written": ["1.2500 -0.0000", "10.5000 -200.1234"],
    "one decimal": ["0.1", "0.3"],
    "a minus on the first number": ["-1.5 2.5"],
    "minus zero": ["-0.0000 0.0000"],
    "15 digits": ["123456789012345.0 0.1", "9007199254740.993 0.1"],
    "16 digits": ["9007199254740993.0 0.1"],
    "16 decimals": ["0.1234567890123456"],
    "many leading zeros": ["000000000000000000000001.5 2.5"],
    "other decimals on each line": ["1.25 2.50", "1.250 2.500"],
    "integers": ["1 2", "3 4"],
    "no digit before the point": [".5 -.5"],
    "no digit behind the point": ["1. 2."],
    "plus": ["+1.5 2.5"],
    "exponents": ["1.5e3 2.5e3"],
    "tabs": ["1.5\t2.5"],
    "two blanks": ["1.5  2.5"],
    "blanks around": [" 1.5 2.5 ", " 3.5 4.5 "],
    "NaN and infinities": ["nan inf", "-inf -0.0"],
    "carriage return": ["1.5 2.5\r", "3.5 4.5\r"],
}


@pytest.mark.parametrize("lines", LINES.values(), ids=LINES.keys())
def test_lines_are_read_as_python_reads_their_numbers(lines: list[str]) -> None:
    expected = [[float(word) for word in line.split()] for line in lines]
    values = parse_lines(lines)
    assert values.shape == np.shape(expected)
    assert values.tobytes() == np.array(expected).tobytes()


@pytest.mark.parametrize(
    "lines",
    [
        ["1.5 2.5", "3.5"],
        ["1.5", "2.5 3.5"],
        ["1.5 2.5", "3.5 "],
        ["1.5 2.5", "3.5", "4.5 5.5 6.5"],
        ["1.5,2.5"],
        ["1.5 2.5x"],
        ["1.5 x.5"],
        ["1.5 --2.5"],
        ["1.5 2.-5"],
        ["1.5 1.5.5"],
        ["1.5 -.-5"],
        ["1.5 2:5.5"],
        ["1.5 2/5.5"],
        ["1.5 2.٣"],
        ["1.5 2_0.5"],
    ],
)
def test_lines_that_differ_or_hold_no_number_are_refused(lines: list[str]) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_lines(lines)


def test_more_lines_than_are_converted_at_once_keep_their_order() -> None:
    columns = 5
    count = 2 * VALUES_AT_ONCE // columns + 3
    numbers = np.arange(count * columns, dtype=np.float64).reshape(count, columns)
    lines = [" ".join(f"{number}.0" for number in row) for row in numbers.astype(int).tolist()]
    assert parse_lines(lines).tobytes() == numbers.tobytes()
    spoilt = [*lines[:-1], lines[-1].replace(".0", ".00")]
    assert parse_lines(spoilt).tobytes() == numbers.tobytes()


@pytest.mark.parametrize(
    ("lines", "number_format"),
    [
        (["1.5 -2.5", "+0.1"], "%.1f"),
        (["1.5000\t 2.5000 "], "%.4f"),
        (["  .123456"], "%.6f"),
        (["1.1234567"], "%.9g"),
        (["1 2"], "%.9g"),
        (["1. 2."], "%.9g"),
        (["1.5 2"], "%.9g"),
        (["1.5 2.25"], "%.9g"),
        (["1.5 2.5", "3.25 4.5"], "%.9g"),
        (["1.5 2.5e0"], "%.9g"),
        (["1.5e0 2.5"], "%.9g"),
        (["1.5 nan"], "%.9g"),
        (["nan 1.5"], "%.9g"),
        (["1.5", "2.5 3.5"], "%.1f"),
    ],
)
def test_the_format_found_is_that_of_every_number(lines: list[str], number_format: str) -> None:
    assert number_format_of(lines) == number_format
