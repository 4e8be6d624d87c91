"""What differs between database engines."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from panelcal.errors import PanelcalError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    Transaction: TypeAlias = Callable[[Connection], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One engine's way of doing what every engine must do.

    Parameters
    ----------
    reading : callable
        Opens a transaction that sees one state and cannot write.
    writing : callable
        Opens a transaction that no other writer runs beside.
    translated : callable
        Turns an error of the driver and the database's name into one of ours.
    is_without_schema : callable
        Says whether an error means that there are no tables yet.
    """

    reading: "Transaction"
    writing: "Transaction"
    translated: Callable[[BaseException | None, str], PanelcalError]
    is_without_schema: Callable[[BaseException | None], bool]
