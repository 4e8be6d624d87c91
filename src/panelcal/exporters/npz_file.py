"""Arrays in numpy's npz files, read back without a second array in memory."""

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

from panelcal.errors import IntegrityError
from panelcal.named_errors import naming

if TYPE_CHECKING:
    import numpy as np

_READ_BYTES = 2**20


def write_npz(
    path: Path, name: str, array: "np.ndarray[Any, np.dtype[np.float32]]", token: str
) -> None:
    """Write an array and its token to an npz file, and compare what is in it.

    Parameters
    ----------
    name : str
        Of the array in the file; the token is there as ``token``.
    array : ndarray of float32
        C-contiguous.

    Raises
    ------
    IntegrityError
        The file reads back differently.
    """
    import numpy as np

    with naming(path):
        np.savez(path, allow_pickle=False, **{name: array, "token": np.array(token)})
    msg = f"what was written to {path} reads back differently"
    try:
        with naming(path), ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
            is_same = _holds(member, array)
    except (BadZipFile, KeyError, ValueError) as error:
        raise IntegrityError(msg) from error
    if not is_same:
        raise IntegrityError(msg)


def _holds(member: IO[bytes], array: "np.ndarray[Any, np.dtype[np.float32]]") -> bool:
    import numpy as np

    np.lib.format.read_magic(member)
    stated = np.lib.format.read_array_header_1_0(member)
    if stated != (array.shape, False, array.dtype):
        return False
    rest = array.reshape(-1).view(np.uint8)
    while piece := member.read(_READ_BYTES):
        if not np.array_equal(np.frombuffer(piece, np.uint8), rest[: len(piece)]):
            return False
        rest = rest[len(piece) :]
    return not rest.size
