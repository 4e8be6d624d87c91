"""Pixels as they are typed."""

import pytest

from panelcal.domain.pixel import Pixel
from panelcal.errors import InvalidInputError


@pytest.mark.parametrize(
    ("typed", "row", "column"), [("0,0", 0, 0), ("3,5", 3, 5), ("007,1023", 7, 1023)]
)
def test_a_pixel_is_typed_as_its_row_and_its_column(typed: str, row: int, column: int) -> None:
    assert Pixel.parse(typed) == Pixel(row, column)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "3",
        "3,",
        ",5",
        "3,5,6",
        "3 5",
        "-1,5",
        "3,-5",
        "3.0,5",
        "\u0663,5",
        "3,5\n",
        "9" * 10 + ",1",
    ],
)
def test_anything_else_is_refused_with_the_form(typed: str) -> None:
    with pytest.raises(InvalidInputError, match="is not a pixel") as error:
        Pixel.parse(typed)
    assert "ROW,COL" in (error.value.hint or "")


def test_a_pixel_prints_as_it_is_typed() -> None:
    assert str(Pixel(3, 5)) == "3,5"


@pytest.mark.parametrize(("row", "column"), [(0, 0), (3, 7)])
def test_corners_are_on_the_panel(row: int, column: int) -> None:
    Pixel(row, column).require_on_panel(4, 8)


@pytest.mark.parametrize(("row", "column"), [(4, 0), (0, 8), (-1, 0), (0, -1)])
def test_what_is_outside_is_refused_with_the_size_and_the_corners(row: int, column: int) -> None:
    with pytest.raises(InvalidInputError, match="4 rows of 8 columns") as error:
        Pixel(row, column).require_on_panel(4, 8)
    assert error.value.hint == "from 0,0 to 3,7"
