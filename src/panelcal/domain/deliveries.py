"""What may be delivered: module names, and what makes an array acceptable."""

import re
from typing import TYPE_CHECKING, Any

from panelcal.domain.text import count_of, excerpt, shortened
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

_MODULE_NAME = re.compile(r"[A-Za-z0-9-][A-Za-z0-9._-]{0,63}\Z", re.ASCII)
_REFERENCE = re.compile(r"(?P<module>[^@]*)(@(?P<revision>.*))?\Z", re.DOTALL)


def parse_module_name(text: str) -> str:
    """Return a module name such as ``M044``.

    Raises
    ------
    InvalidInputError
        Not 1 to 64 letters, digits, dots, dashes and underscores.
    """
    if not _MODULE_NAME.match(text):
        msg = f"{excerpt(text)} is not a module name"
        raise InvalidInputError(msg, "letters, digits, dots, dashes and underscores, such as M044")
    return text


def parse_module_reference(text: str) -> tuple[str, int | None]:
    """Read ``M044`` or ``M044@2``: a module and, where given, a revision.

    Raises
    ------
    InvalidInputError
        The name is malformed or the revision is not a positive integer.
    """
    found = _REFERENCE.match(text)
    name, revision = (found["module"], found["revision"]) if found else (text, None)
    parse_module_name(name)
    if revision is None:
        return name, None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", revision, re.ASCII):
        msg = f"{excerpt(text)}: the revision after @ is a positive integer"
        raise InvalidInputError(msg, f"for example {name}@1")
    return name, int(revision)


def as_float32(
    array: "np.ndarray[Any, Any]", *, cast: bool
) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Return delivered values as float32, refusing what would change them unasked.

    Parameters
    ----------
    array : ndarray
        Values of any floating dtype, in the kind's unit.
    cast : bool
        Round to float32 even where that loses bits.

    Raises
    ------
    InvalidInputError
        Not a floating dtype; NaN or infinite values (no legacy reader on the
        C++ side takes them, spec §7); or float64 values that float32 cannot
        hold exactly while `cast` is not set.
    """
    import numpy as np

    require_floating(array.dtype)
    require_finite(array)
    with np.errstate(over="ignore", under="ignore"):
        narrow = array.astype(np.float32)
    if array.dtype.itemsize <= narrow.itemsize:
        # Nothing was rounded, only copied or widened.
        return narrow
    require_finite(narrow, " after the cast to float32")
    if not cast:
        lost = int(np.count_nonzero(narrow.astype(array.dtype) != array))
        if lost:
            msg = (
                f"dtype {array.dtype}: {count_of(lost, 'value')} of {array.size} "
                f"would change in float32 (--cast rounds them)"
            )
            raise InvalidInputError(msg)
    return narrow


def require_floating(dtype: "np.dtype[Any]") -> None:
    """Refuse a dtype that is no floating type, such as pickled objects.

    Raises
    ------
    InvalidInputError
        It is none.
    """
    if dtype.kind != "f":
        msg = f"dtype {shortened(str(dtype))} is not a floating type"
        raise InvalidInputError(msg, "float32 expected")


def require_finite(array: "np.ndarray[Any, Any]", when: str = "") -> None:
    """Refuse NaN and infinite values.

    Parameters
    ----------
    array : ndarray of a floating type
        Delivered values, in the kind's unit.
    when : str
        Added to the count of them.

    Raises
    ------
    InvalidInputError
        There are such values; the first is named by its place.
    """
    import numpy as np

    finite = np.isfinite(array)
    if finite.all():
        return
    first = tuple(int(axis[0]) for axis in np.nonzero(~finite))
    count = int(array.size - np.count_nonzero(finite))
    msg = f"{count_of(count, 'value')} NaN or infinite{when}, the first at {first}"
    raise InvalidInputError(msg)
