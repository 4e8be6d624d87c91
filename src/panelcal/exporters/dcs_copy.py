"""The copy of a DCS HDF5 file that is added to, and then takes the file's place.

Whatever is killed at any moment leaves the old file or the new one. Writers of
a directory run one after the other.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from panelcal.errors import ConflictError, IntegrityError
from panelcal.exporters.dcs_open import opened, require_h5py
from panelcal.exporters.permissions import Permissions, copy_permissions
from panelcal.named_errors import naming
from panelcal.temporary import PREFIX, temporary_file

LIBRARIES = ("earliest", "v110")
"""The format's versions to write: Python 2.7 reads with HDF5 1.10."""

_SUFFIX = ".h5"
_MEGABYTE = 2**20


@contextmanager
def replacing(target: Path, room: int, permissions: Permissions) -> Iterator[Path]:
    """Give a copy of a file to add to; it takes the file's place at a clean end.

    The caller holds the directory's lock.

    Parameters
    ----------
    target : Path
        The file; where there is none, the copy is an HDF5 file without content.
    room : int
        Bytes that are going to be added. They are reserved first, because HDF5
        ends the process where it meets a full disk.
    permissions : Permissions
        Of a new file; one that exists keeps its mode and group.

    Raises
    ------
    IntegrityError
        What was in the file is not in the copy any more, bit by bit.
    ConflictError
        Another program changed the file meanwhile.
    """
    _remove_leftovers(target.parent)
    with temporary_file(target.parent, PREFIX, _SUFFIX) as copy:
        state = _state_of(target)
        before = _begin(target, copy)
        _reserve(copy, room)
        yield copy
        _require_kept(before, copy)
        if state is None:
            permissions.apply_to_file(copy)
        else:
            copy_permissions(target, copy)
        _sync(copy)
        if _state_of(target) != state:
            msg = f"{target} was changed by another program meanwhile"
            raise ConflictError(msg, "try again; nothing was added")
        copy.replace(target)
        _sync(target.parent)


def _remove_leftovers(directory: Path) -> None:
    """Remove the copies of killed writers: with the lock held there is no other."""
    for leftover in directory.glob(f"{PREFIX}*{_SUFFIX}"):
        with suppress(PermissionError):
            leftover.unlink(missing_ok=True)


def _state_of(path: Path) -> tuple[int, int, int] | None:
    if not path.exists():
        return None
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _begin(target: Path, copy: Path) -> dict[str, str]:
    """Make the copy, and return the digests of what is in the original."""
    if not target.exists():
        with naming(copy):
            copy.write_bytes(_empty_file())
        return {}
    with opened(target) as root:
        before = contents(root)
    with naming(copy):
        shutil.copyfile(target, copy)
    return before


def _empty_file() -> bytes:
    """Return an HDF5 file without content; made in memory, where no disk is full."""
    h5py = require_h5py()
    with h5py.File("empty", "w", driver="core", backing_store=False, libver=LIBRARIES) as root:
        root.flush()
        image: bytes = root.id.get_file_image()
    return image


def _reserve(path: Path, room: int) -> None:
    """Lengthen a file with zeros; HDF5 cuts off what it does not need."""
    with naming(path), path.open("ab") as stream:
        for _ in range(0, room, _MEGABYTE):
            stream.write(bytes(_MEGABYTE))
        stream.flush()
        os.fsync(stream.fileno())


def _require_kept(before: dict[str, str], copy: Path) -> None:
    with opened(copy) as root:
        after = contents(root)
    changed = sorted(name for name, digest in before.items() if after.get(name) != digest)
    if changed:
        msg = f"adding would have changed {changed[0]}, and {len(changed) - 1} more"
        raise IntegrityError(msg, "nothing was changed; this is a fault of panelcal or HDF5")


def contents(root: Any) -> dict[str, str]:
    """Return a digest of every object of an HDF5 file: type, shape, values, attributes."""
    found = {"/": _digest(root)}
    root.visititems(lambda name, item: found.update({name: _digest(item)}))
    return found


def _digest(item: Any) -> str:
    digest = sha256(type(item).__name__.encode())
    if isinstance(item, require_h5py().Dataset):
        digest.update(item.id.get_type().encode() + repr(item.shape).encode())
        digest.update(_bytes(item[()]))
    for name in item.attrs:
        attribute = item.attrs.get_id(name)
        digest.update(repr((name, attribute.shape)).encode() + attribute.get_type().encode())
        digest.update(_bytes(item.attrs[name]))
    return digest.hexdigest()


def _bytes(value: Any) -> bytes:
    import numpy as np

    array = np.asarray(value)
    # Values of variable length are Python objects, and their bytes are addresses.
    return repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(handle)
    finally:
        os.close(handle)
