"""Opening HDF5 files with h5py, which is installed only where it is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from panelcal.domain.text import printable
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError, PanelcalError
from panelcal.exporters.dcs_links import require_own_content

_RESTORE = "restore it from a backup"


def require_h5py() -> Any:
    """Return the module h5py, which is an optional dependency.

    Raises
    ------
    InvalidInputError
        It is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        msg = "DCS files need h5py"
        raise InvalidInputError(msg, "pip install 'panelcal[dcs]'") from error
    return h5py


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Give the root group of a DCS file that is only read.

    Raises
    ------
    InvalidInputError
        There is no such file, it is no HDF5 file, what it holds is in files
        elsewhere, or h5py is not installed.
    IntegrityError
        It is damaged, wherever in the file that shows.
    ConflictError
        Another program has it open for writing.
    """
    h5py = require_h5py()
    if not path.is_file():
        msg = f"{path} is not a file" if path.exists() else f"{path} does not exist"
        raise InvalidInputError(msg)
    try:
        with h5py.File(path, "r") as root:
            require_own_content(h5py, path, root)
            yield root
    except PanelcalError:
        raise
    except BlockingIOError as error:
        msg = f"{path} is open for writing in another program"
        raise ConflictError(msg, "try again when it has finished") from error
    except PermissionError as error:
        msg = f"cannot read {path}: permission denied"
        raise InvalidInputError(msg) from error
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        # What h5py raises on a damaged file depends on which byte is wrong.
        if not h5py.is_hdf5(path):
            msg = f"{path} is not an HDF5 file"
            raise InvalidInputError(msg) from error
        msg = f"{path} is damaged: {printable(error)}"
        raise IntegrityError(msg, _RESTORE) from error
