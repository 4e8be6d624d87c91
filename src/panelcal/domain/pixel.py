"""Pixels of a panel, as they are typed: ``3,5`` is row 3, column 5."""

import re
from dataclasses import dataclass
from typing import Self

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

_TYPED = re.compile(r"(?P<row>[0-9]{1,9}),(?P<column>[0-9]{1,9})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pixel:
    """Where a pixel is on its panel.

    Parameters
    ----------
    row, column : int
        From 0, as the axes of a payload.
    """

    row: int
    column: int

    def __str__(self) -> str:
        return f"{self.row},{self.column}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``ROW,COL``.

        Raises
        ------
        InvalidInputError
            The text is something else.
        """
        found = _TYPED.match(text)
        if found is None:
            msg = f"{excerpt(text)} is not a pixel"
            raise InvalidInputError(msg, "ROW,COL, both counted from 0, such as 3,5")
        return cls(int(found["row"]), int(found["column"]))

    def require_on_panel(self, rows: int, columns: int) -> None:
        """Refuse a pixel that panels of a size do not have.

        Raises
        ------
        InvalidInputError
            It lies outside; the message has the size.
        """
        if not (0 <= self.row < rows and 0 <= self.column < columns):
            msg = f"there is no pixel {self}: panels have {rows} rows of {columns} columns"
            raise InvalidInputError(msg, f"from 0,0 to {rows - 1},{columns - 1}")
