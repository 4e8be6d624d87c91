"""Panel ids and detector ids: three 64-bit integers to text and back (spec §1)."""

import re
from dataclasses import dataclass
from typing import Self

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

FIELD_NAMES = ("moduleVersion", "firmwareVersion", "serialNumber")
MAX_PANELS = 1024

_HEX = re.compile(r"[0-9a-f]+\Z", re.ASCII)
_STAMPED = re.compile(r"[^-]*-[^-]*-[^-]*-[0-9]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PanelId:
    """One panel as its configuration object names it.

    The text form is ``<moduleVersion>-<firmwareVersion>-<serialNumber>`` in
    lower-case hexadecimal without ``0x`` and without leading zeros. Zero is
    written as an empty field, because the legacy writer strips it away
    (spec §1), so an id can begin with a dash.

    Parameters
    ----------
    module_version, firmware, serial : int
        Unsigned 64-bit integers. The serial is the physical panel; a firmware
        change makes a new panel id of the same serial.

    Raises
    ------
    InvalidInputError
        A number is negative or does not fit 64 bits.
    """

    module_version: int
    firmware: int
    serial: int

    def __post_init__(self) -> None:
        for name, value in zip(FIELD_NAMES, self._numbers(), strict=True):
            if not 0 <= value < 2**64:
                msg = f"{name} {value} is not an unsigned 64-bit integer"
                raise InvalidInputError(msg)

    def _numbers(self) -> tuple[int, int, int]:
        return self.module_version, self.firmware, self.serial

    def fields(self) -> tuple[str, str, str]:
        """Return the three text fields; zero is the empty string."""
        first, second, third = (f"{value:x}" if value else "" for value in self._numbers())
        return first, second, third

    def __str__(self) -> str:
        return "-".join(self.fields())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a panel id as people and the legacy tree write it.

        A trailing ``L``, which Python 2 left on large numbers, is accepted and
        dropped.

        Raises
        ------
        InvalidInputError
            The text is not a panel id; the message says which field is wrong
            and why.
        """
        fields = text.split("-")
        if len(fields) != 3:
            raise InvalidInputError(*_wrong_field_count(text, len(fields)))
        numbers = [
            _parse_field(text, name, field) for name, field in zip(FIELD_NAMES, fields, strict=True)
        ]
        return cls(*numbers)


def _wrong_field_count(text: str, found: int) -> tuple[str, str | None]:
    message = (
        f"{excerpt(text)} is not a panel id: {found} fields separated by '-' found, "
        f"three expected (moduleVersion-firmwareVersion-serialNumber)"
    )
    if _STAMPED.match(text):
        panel, _, stamp = text.rpartition("-")
        return message, f"{excerpt(panel)} looks like the panel, {excerpt(stamp)} like a stamp"
    if found > 3 and "_" in text:
        return message, "this looks like a detector id: panel ids joined by '_'"
    return message, None


def _parse_field(text: str, name: str, field: str) -> int:
    digits = field.removesuffix("L")
    if not digits:
        return 0
    if not _HEX.match(digits):
        raise InvalidInputError(*_not_hex(text, name, field, digits))
    if digits.startswith("0"):
        msg = f"{excerpt(text)} is not a panel id: {name} {excerpt(field)} has a leading zero"
        raise InvalidInputError(msg, "zero itself is written as an empty field")
    if len(digits) > 16:
        msg = (
            f"{excerpt(text)} is not a panel id: {name} has {len(digits)} "
            f"hexadecimal digits, 64 bits are at most 16"
        )
        raise InvalidInputError(msg)
    return int(digits, 16)


def _not_hex(text: str, name: str, field: str, digits: str) -> tuple[str, str | None]:
    message = f"{excerpt(text)} is not a panel id: {name} {excerpt(field)}"
    if _HEX.match(digits.lower()):
        return (
            (
                f"{message} has upper-case letters; ids are compared letter by letter "
                f"and written in lower case"
            ),
            f"did you mean {excerpt(text.lower())}?",
        )
    if digits.startswith("0x"):
        return f"{message} begins with 0x, which ids leave out", None
    wrong = next(char for char in digits if char not in "0123456789abcdefABCDEF")
    return f"{message} holds {wrong!a}, which is no hexadecimal digit", None


def parse_detector_id(text: str) -> tuple[PanelId, ...]:
    """Read a detector id: panel ids joined by ``_``, in segment order.

    The order matters and the same panel may occur twice (spec §1).

    Raises
    ------
    InvalidInputError
        The text is empty, has an empty part, too many panels or a malformed
        panel id; the message says which part is wrong.
    """
    if not text:
        msg = "the detector id is empty"
        raise InvalidInputError(msg, "panel ids joined by '_'")
    parts = text.split("_")
    if len(parts) > MAX_PANELS:
        msg = f"{excerpt(text)} names {len(parts)} panels; at most {MAX_PANELS} are read"
        raise InvalidInputError(msg)
    panels = []
    for index, part in enumerate(parts):
        if not part:
            msg = f"{excerpt(text)} is not a detector id: panel {index} is empty"
            raise InvalidInputError(msg, "panel ids are joined by single '_'")
        try:
            panels.append(PanelId.parse(part))
        except InvalidInputError as error:
            if len(parts) == 1:
                raise
            msg = f"panel {index} of the detector id: {error.message}"
            raise InvalidInputError(msg, error.hint) from error
    return tuple(panels)


def format_detector_id(panels: tuple[PanelId, ...]) -> str:
    """Return the detector id of panels in segment order."""
    return "_".join(str(panel) for panel in panels)
