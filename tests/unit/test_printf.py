"""Numbers as text: what C printf writes, at the edges where a fast way could err."""

from typing import Any

import numpy as np
import pytest

from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import as_written, format_rows

Values = np.ndarray[Any, np.dtype[np.float32]]
FIXED = [f"%.{decimals}f" for decimals in range(1, 7)]
LARGEST, SMALLEST = 3.4028234663852886e38, 1.401298464324817e-45


def of(*values: float) -> Values:
    return np.array([values], np.float32)


def by_python(rows: Values, number_format: str) -> bytes:
    """One value after the other, as Python's % writes it."""
    lines = [" ".join(number_format % value for value in row) for row in rows.tolist()]
    return "".join(f"{line}\n" for line in lines).encode()


@pytest.mark.parametrize(
    ("number_format", "value", "text"),
    [
        ("%.4f", 41.5, "41.5000"),
        ("%.4f", 0.0, "0.0000"),
        ("%.4f", -0.0, "-0.0000"),
        ("%.4f", -0.00001, "-0.0000"),
        ("%.4f", SMALLEST, "0.0000"),
        ("%.4f", -SMALLEST, "-0.0000"),
        ("%.4f", LARGEST, "340282346638528859811704183484516925440.0000"),
        ("%.4f", 0.00005, "0.0000"),  # as float32 a little less than the tie
        ("%.4f", 0.00015, "0.0002"),  # a little more
        ("%.4f", 0.03125, "0.0312"),
        ("%.4f", 0.09375, "0.0938"),
        ("%.4f", 99999.9921875, "99999.9922"),
        ("%.1f", 0.25, "0.2"),
        ("%.1f", 0.75, "0.8"),
        ("%.1f", -0.25, "-0.2"),
        ("%.1f", 0.05, "0.1"),  # as float32 a little more than the tie
        ("%.1f", -0.05, "-0.1"),
        ("%.1f", 0.95, "0.9"),
        ("%.1f", 9.95, "9.9"),
        ("%.1f", 9.96, "10.0"),
        ("%.1f", 16777216.0, "16777216.0"),
        ("%.2f", 0.125, "0.12"),
        ("%.2f", 0.375, "0.38"),
        ("%.3f", 0.0625, "0.062"),
        ("%.6f", 0.0000005, "0.000000"),
        ("%.6f", 0.00048828125, "0.000488"),
        ("%.9g", 0.1, "0.100000001"),
        ("%.9g", 300.0, "300"),
        ("%.9g", -0.0, "-0"),
        ("%.9g", SMALLEST, "1.40129846e-45"),
        ("%.9g", LARGEST, "3.40282347e+38"),
        ("%.9g", 1e9, "1e+09"),
    ],
)
def test_a_value_is_written_as_printf_writes_it(
    number_format: str, value: float, text: str
) -> None:
    assert format_rows(of(value), number_format) == f"{text}\n".encode()


@pytest.mark.parametrize("number_format", FIXED)
def test_values_are_exact_on_both_sides_of_every_power_of_ten(number_format: str) -> None:
    powers = (np.float64(10) ** np.arange(-8, 13)).astype(np.float32)
    down, up = np.nextafter(powers, np.float32(0)), np.nextafter(powers, np.float32(np.inf))
    for row in np.stack([down, powers, up, -down, -powers, -up], axis=1):
        rows = row.reshape(1, -1)
        assert format_rows(rows, number_format) == by_python(rows, number_format)


@pytest.mark.parametrize("number_format", FIXED)
@pytest.mark.parametrize("limit", [1e9, 2.0**31, 2.0**32, 2.0**53, 2.0**64])
def test_values_are_exact_where_integers_of_some_width_end(
    number_format: str, limit: float
) -> None:
    edge = np.float32(limit / 10 ** int(number_format[2]))
    near = [edge]
    for _ in range(3):
        near = [np.nextafter(near[0], np.float32(0)), *near]
        near = [*near, np.nextafter(near[-1], np.float32(np.inf))]
    for value in near:
        rows = of(float(value), -float(value), 1.5)
        assert format_rows(rows, number_format) == by_python(rows, number_format)


@pytest.mark.parametrize("number_format", [*FIXED, "%.9g"])
def test_numbers_of_all_lengths_share_a_line(number_format: str) -> None:
    rows = np.array([[0.5, -123.25, 7], [-0.0, 99.99, -1e-9]], np.float32)
    assert format_rows(rows, number_format) == by_python(rows, number_format)


@pytest.mark.parametrize("number_format", [*FIXED, "%.9g"])
@pytest.mark.parametrize("large", [1e12, -LARGEST])
def test_one_very_large_value_leaves_its_neighbours_as_they_were(
    number_format: str, large: float
) -> None:
    rows = np.array([[1.5, -0.0], [large, 2.25], [3.125, -41.5]], np.float32)
    assert format_rows(rows, number_format) == by_python(rows, number_format)


@pytest.mark.parametrize("number_format", ["%.4f", "%.9g"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 3)])
def test_blanks_separate_and_a_line_feed_ends(number_format: str, shape: tuple[int, int]) -> None:
    rows = np.full(shape, -2.5, np.float32)
    lines = format_rows(rows, number_format).decode().split("\n")
    assert [len(line.split(" ")) for line in lines] == [shape[1]] * shape[0] + [1]
    assert lines[-1] == ""


@pytest.mark.parametrize("decimals", range(1, 5))
def test_every_number_of_eight_characters_is_written_exactly(decimals: int) -> None:
    numbers = np.arange(-(10**5) - 20, 10**6 + 20, 1 if decimals == 4 else 7)
    rows = (numbers[: numbers.size // 20 * 20] / 10**decimals).astype(np.float32).reshape(-1, 20)
    for start in range(0, len(rows), 2_000):
        piece = rows[start : start + 2_000]
        assert format_rows(piece, f"%.{decimals}f") == by_python(piece, f"%.{decimals}f")


@pytest.mark.parametrize("decimals", range(1, 5))
@pytest.mark.parametrize("sign", [1, -1])
def test_rows_of_numbers_of_one_length_are_written_exactly(decimals: int, sign: int) -> None:
    for digits in range(1, 9 - decimals):
        value = sign * float("123456789"[:digits])
        for columns in (1, 3):
            rows = np.full((2, columns), value, np.float32)
            assert format_rows(rows, f"%.{decimals}f") == by_python(rows, f"%.{decimals}f")


@pytest.mark.parametrize("decimals", range(1, 5))
def test_the_longest_that_fit_into_eight_characters_have_neighbours_that_do_not(
    decimals: int,
) -> None:
    for limit in (10 ** (6 - decimals), -(10 ** (5 - decimals))):
        edge = np.float32(limit)
        inside = np.nextafter(edge, np.float32(0))
        for rows in (of(float(inside), 0.5), of(float(edge), 0.5), of(limit - limit / 20, 0.0)):
            assert format_rows(rows, f"%.{decimals}f") == by_python(rows, f"%.{decimals}f")


def test_rows_of_any_memory_order_are_written_and_left_alone() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    rows.setflags(write=False)
    assert format_rows(rows.T, "%.1f") == by_python(rows.T, "%.1f")
    assert format_rows(rows[::-1, ::2], "%.1f") == by_python(rows[::-1, ::2], "%.1f")
    swapped = rows.astype(rows.dtype.newbyteorder())
    assert format_rows(swapped, "%.1f") == by_python(rows, "%.1f")


@pytest.mark.parametrize(
    "number_format",
    [
        "",
        "%d",
        "%.0f",
        "%.7f",
        "%.10f",
        "%.4f ",
        " %.4f",
        "%8.1f",
        "%+.4f",
        "%.4e",
        "%.8g",
        "%.4f\n",
    ],
)
def test_a_format_that_is_not_known_exactly_is_refused(number_format: str) -> None:
    with pytest.raises(InvalidInputError, match="no format"):
        format_rows(of(1), number_format)
    with pytest.raises(InvalidInputError, match="no format"):
        as_written(of(1), number_format)
