"""What of an HDF5 file is kept in other files: links, raw data, virtual datasets.

HDF5 opens whatever such a link names, a pipe or a device included, and waits for it.
Links are therefore looked at before anything behind them is.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from panelcal.domain.text import excerpt, printable
from panelcal.errors import InvalidInputError

_DAMAGE = (KeyError, OSError, RuntimeError)
"""What h5py raises where an object cannot be opened; the reader says so, by its name."""
_HINT = "DCS files hold their own arrays; a link may name an HDF5 file beside them"


def require_own_content(h5py: Any, path: Path, root: Any) -> None:
    """Refuse a file that leads HDF5 out of its directory, or keeps values elsewhere.

    Parameters
    ----------
    h5py : module
        The library, which is installed only where it is wanted.
    path : Path
        The file.
    root : h5py.Group
        Its root.

    Raises
    ------
    InvalidInputError
        An external link names anything but a regular file in or below the file's
        directory, or the values of a dataset are in another file; also where such
        a link leads to.
    """
    _look(h5py, path, root, {path.resolve()})


def _look(h5py: Any, path: Path, root: Any, seen: set[Path]) -> None:
    for place, file in _links_of(h5py, path, root):
        for other in _require_beside(path, place, file):
            if other not in seen:
                seen.add(other)
                with h5py.File(other, "r") as linked:
                    _look(h5py, other, linked, seen)


def _links_of(h5py: Any, path: Path, root: Any) -> Iterator[tuple[str, str]]:
    """Give the external links of a file; what cannot be opened, nobody is led out by."""
    groups, known = [("", root.id)], set()
    while groups:
        place, group = groups.pop()
        for name in group:
            below = f"{place}/{_text(name)}"
            with suppress(*_DAMAGE):
                kind = group.links.get_info(name).type
                if kind == h5py.h5l.TYPE_EXTERNAL:
                    yield below, _text(group.links.get_val(name)[0])
                if kind != h5py.h5l.TYPE_HARD:
                    continue
                address = h5py.h5o.get_info(group, name).addr
                if address in known:
                    continue
                known.add(address)
                item = h5py.h5o.open(group, name)
                if isinstance(item, h5py.h5g.GroupID):
                    groups.append((below, item))
                elif isinstance(item, h5py.h5d.DatasetID):
                    _require_own_values(h5py, path, below, item)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _require_own_values(h5py: Any, path: Path, place: str, dataset: Any) -> None:
    creation = dataset.get_create_plist()
    is_virtual = creation.get_layout() == h5py.h5d.VIRTUAL
    if is_virtual or creation.get_external_count():
        msg = f"{path}: the values of {printable(place)} are in another file"
        raise InvalidInputError(msg, _HINT)


def _require_beside(path: Path, place: str, file: str) -> list[Path]:
    """Return the HDF5 files that a link can mean: HDF5 looks in several places."""
    home = path.parent.resolve()
    found = []
    for other in {home / file, home / Path(file).name, Path.cwd() / file}:
        real = other.resolve()
        if not real.exists():
            continue
        if not real.is_file() or not real.is_relative_to(home):
            msg = (
                f"{path}: {printable(place)} is a link to {excerpt(file)}, which is no file "
                f"of its directory"
            )
            raise InvalidInputError(msg, _HINT)
        found.append(real)
    return [real for real in found if _is_hdf5(real)]


def _is_hdf5(path: Path) -> bool:
    # Others make the link one that leads nowhere.
    with path.open("rb") as stream:
        return stream.read(8) == b"\x89HDF\r\n\x1a\n"
