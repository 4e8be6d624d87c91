"""Module names, references, and what makes delivered values acceptable."""

from typing import Any

import numpy as np
import pytest

from panelcal.domain.deliveries import as_float32, parse_module_name, parse_module_reference
from panelcal.errors import InvalidInputError


@pytest.mark.parametrize("name", ["M044", "m", "0", "171113-1549-3d00fb", "--", "a.b_c", "M" * 64])
def test_module_names_are_letters_digits_dots_dashes_underscores(name: str) -> None:
    assert parse_module_name(name) == name
    assert parse_module_reference(name) == (name, None)


@pytest.mark.parametrize(
    "name",
    ["", " M044", "M044 ", "M044\n", "M/044", "..", ".M", "_M", "M@1", "M" * 65, "Ｍ044", "٣"],
)
def test_other_module_names_are_refused_with_the_rule(name: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a module name") as error:
        parse_module_name(name)
    assert "such as M044" in (error.value.hint or "")


def test_refused_name_is_quoted_in_one_short_line() -> None:
    with pytest.raises(InvalidInputError) as error:
        parse_module_name("\n\x1b" * 100_000)
    assert error.value.message.isprintable()
    assert len(error.value.message) < 600


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("M044@1", ("M044", 1)), ("M044@20", ("M044", 20)), ("M@999999999", ("M", 999_999_999))],
)
def test_reference_names_a_module_and_a_revision(reference: str, expected: tuple[str, int]) -> None:
    assert parse_module_reference(reference) == expected


@pytest.mark.parametrize(
    "revision", ["", "0", "01", "-1", "+1", "1.0", " 1", "1 ", "1\n", "one", "٣", "1@2", "1" * 10]
)
def test_revision_that_is_no_positive_integer_is_refused(revision: str) -> None:
    with pytest.raises(InvalidInputError, match="positive integer") as error:
        parse_module_reference(f"M044@{revision}")
    assert "M044@1" in (error.value.hint or "")


@pytest.mark.parametrize("reference", ["@1", "@", "M 44@1", "", "\n@1"])
def test_reference_without_a_module_is_refused(reference: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a module name"):
        parse_module_reference(reference)


# --- values


@pytest.mark.parametrize("cast", [True, False])
@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8", "longdouble"])
def test_values_that_float32_holds_are_taken_exactly(dtype: str, cast: bool) -> None:
    values = np.array([0.0, -0.0, 1.5, -2.25, 1024.0], dtype)
    found = as_float32(values, cast=cast)
    assert found.dtype == np.dtype(np.float32)
    assert found.dtype.isnative
    assert found.tobytes() == np.array([0.0, -0.0, 1.5, -2.25, 1024.0], np.float32).tobytes()


@pytest.mark.parametrize("value", [0.1, 1 + 2**-30, 2**24 + 1.0, 1e-60, 1e-46])
def test_values_that_would_change_are_counted_and_refused(value: float) -> None:
    with pytest.raises(InvalidInputError) as error:
        as_float32(np.array([[1.0, value], [value, 2.0]]), cast=False)
    assert error.value.message == (
        "dtype float64: 2 values of 4 would change in float32 (--cast rounds them)"
    )


@pytest.mark.parametrize("value", [0.1, 1 + 2**-30, 2**24 + 1.0, 1e-60])
def test_cast_rounds_to_the_nearest(value: float) -> None:
    assert as_float32(np.array([value]), cast=True)[0] == np.float32(value)


@pytest.mark.parametrize("cast", [True, False])
@pytest.mark.parametrize("value", [1e39, -1e39, 3.5e38, 1.7e308])
def test_values_beyond_float32_are_refused_even_with_cast(value: float, cast: bool) -> None:
    with pytest.raises(InvalidInputError, match=r"after the cast to float32, the first at \(1,\)"):
        as_float32(np.array([1.0, value]), cast=cast)


@pytest.mark.parametrize("cast", [True, False])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_with_their_count_and_place(
    value: float, dtype: str, cast: bool
) -> None:
    values = np.zeros((3, 4), dtype)
    values[1, 2] = values[2, 3] = value
    with pytest.raises(InvalidInputError, match=r"^2 values NaN or infinite, the first at \(1, 2"):
        as_float32(values, cast=cast)


@pytest.mark.parametrize("cast", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        np.ones(2, np.int8),
        np.ones(2, np.uint64),
        np.ones(2, bool),
        np.ones(2, np.complex128),
        np.ones(2, object),
        np.array(["1"]),
        np.array([b"1"]),
        np.zeros(2, "M8[s]"),
        np.zeros(2, "m8[s]"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "V4"),
    ],
    ids=lambda values: str(values.dtype),
)
def test_other_types_are_refused(values: "np.ndarray[Any, Any]", cast: bool) -> None:
    with pytest.raises(InvalidInputError, match="is not a floating type"):
        as_float32(values, cast=cast)


def test_given_array_is_left_as_it_was() -> None:
    values = np.linspace(0, 1, 5)
    before = values.tobytes()
    as_float32(values, cast=True)[:] = 7
    assert values.tobytes() == before
