"""Bundles written: under a temporary name, read back as a whole, and put in place."""

import errno
import fcntl
import hashlib
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import uuid4

from panelcal.errors import ConflictError, InvalidInputError
from panelcal.named_errors import naming
from panelcal.storage.bundle import BLOCK_BYTES, PAYLOADS_NAME
from panelcal.storage.bundle_manifest import MANIFEST_NAME, Manifest, Member, is_member_name
from panelcal.storage.payload_files import opened, sync_directory
from panelcal.storage.payloads import PayloadStore
from panelcal.temporary import PREFIX, remove_abandoned, remove_tree, temporary_directory

ZIP_SUFFIX = ".zip"

_FIXED_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that a zip file can tell: equal content is to be equal bytes."""

_REGULAR_FILE = 0o100644 << 16


class BundleWriter(ABC):
    """Adds files to a bundle that is being made, and keeps the list of them."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def add(self, name: str, path: Path) -> None:
        """Add a file as a member.

        Raises
        ------
        InvalidInputError
            It is something else than a file.
        """
        hasher = hashlib.sha256()

        def passing(handle: int) -> Iterator[bytes]:
            while block := os.read(handle, BLOCK_BYTES):
                hasher.update(block)
                yield block

        with opened(path) as (handle, size):
            written = self.write(name, size, passing(handle))
        self.members.append(Member(name, written, hasher.hexdigest()))

    def add_payload(self, payloads: PayloadStore, digest: str) -> None:
        """Add the files of a payload; what else lies in its directory is left out.

        Raises
        ------
        IntegrityError
            It is missing, or its description is damaged.
        """
        payloads.find(digest)
        root = payloads.path_of(digest)
        for path in sorted(root.rglob("*")):
            name = "/".join((PAYLOADS_NAME, digest[:2], digest, *path.relative_to(root).parts))
            if path.is_file() and not path.is_symlink() and is_member_name(name):
                self.add(name, path)

    @abstractmethod
    def write(self, name: str, size: int, blocks: Iterable[bytes]) -> int:
        """Write a file; return how many bytes it got."""

    def finish(self, manifest: Manifest) -> None:
        """Add the list of members, the last of the files."""
        text = manifest.text().encode()
        self.write(MANIFEST_NAME, len(text), [text])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End it, and wait until the disk has it."""


class DirectoryWriter(BundleWriter):
    """Makes a bundle that is a directory."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        root.mkdir(exist_ok=True)

    def write(self, name: str, size: int, blocks: Iterable[bytes]) -> int:  # noqa: ARG002
        """Write a file; return how many bytes it got."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with naming(path), path.open("xb") as stream:
            written = sum(map(stream.write, blocks))
            stream.flush()
            os.fsync(stream.fileno())
        return written

    def close(self) -> None:
        """Wait until the disk has the names, too."""
        for folder, _, _ in os.walk(self._root):
            sync_directory(Path(folder))


class ZipWriter(BundleWriter):
    """Makes a bundle that is one zip file of uncompressed members with a fixed time."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._stream = path.open("xb")
        self._archive = zipfile.ZipFile(self._stream, "w", zipfile.ZIP_STORED)

    def write(self, name: str, size: int, blocks: Iterable[bytes]) -> int:
        """Write a file; return how many bytes it got."""
        info = zipfile.ZipInfo(name, _FIXED_TIME)
        info.external_attr = _REGULAR_FILE
        # Whatever made it: the same bytes on every system.
        info.create_system = 3
        info.file_size = size
        with naming(self._path), self._archive.open(info, "w") as member:
            return sum(map(member.write, blocks))

    def close(self) -> None:
        """Write the zip file's own list, and wait until the disk has it."""
        with naming(self._path), self._stream:
            self._archive.close()
            self._stream.flush()
            os.fsync(self._stream.fileno())


def sync_file(path: Path) -> None:
    """Wait until the disk has the bytes of a file."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with naming(path):
            os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def only_update(backup: Path) -> Iterator[None]:
    """Let one process at a time change a bundle that is a directory.

    Raises
    ------
    ConflictError
        Another process is at it.
    """
    handle = os.open(backup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            msg = f"{backup} is being updated by another process; nothing was changed"
            raise ConflictError(msg, "try again when that has ended") from error
        except OSError as error:
            # Not every file system has locks; a backup there is still better than none.
            if error.errno not in (errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.ENOSYS):
                raise
        yield
    finally:
        os.close(handle)


def writer_for(place: Path) -> BundleWriter:
    """Return what makes a zip file, or a directory, as the name of it says."""
    return ZipWriter(place) if place.suffix == ZIP_SUFFIX else DirectoryWriter(place)


@contextmanager
def appearing(target: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a name to make a bundle under, and put it in place when it is complete.

    After an error nothing is left of it, and what was there before is there still.

    Parameters
    ----------
    overwrite : bool
        A bundle that is there already is replaced.

    Raises
    ------
    ConflictError
        Something is there already and was not to be replaced, or is no bundle.
    InvalidInputError
        A file cannot be there.
    """
    # Also where one was put in place already, and its maker killed before it tidied up.
    remove_abandoned(target.parent, PREFIX)
    require_free(target, overwrite=overwrite)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"cannot make {target.parent}: {error.strerror}"
        raise InvalidInputError(msg, "name a place in a directory that can be written") from error
    with temporary_directory(target.parent, PREFIX) as scratch:
        # Under its own name: what it is made as goes by how that ends.
        making = scratch / target.name
        yield making
        _put_in_place(making, target, overwrite=overwrite)
        sync_directory(target.parent)


def require_free(target: Path, *, overwrite: bool) -> None:
    """Refuse to put a bundle where something is that was not to be replaced.

    Raises
    ------
    ConflictError
        Something is there.
    """
    if not target.exists() and not target.is_symlink():
        return
    if not overwrite:
        msg = f"{target} exists"
        raise ConflictError(msg, "name another place; what is there is kept")
    is_zip = target.suffix == ZIP_SUFFIX and target.is_file() and _begins_as_zip(target)
    if not is_zip and not (target / MANIFEST_NAME).is_file():
        msg = f"{target} exists and is no bundle: it is not replaced"
        raise ConflictError(msg, "name another place")


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(2) == b"PK"


def _put_in_place(making: Path, target: Path, *, overwrite: bool) -> None:
    # What has come there meanwhile is not replaced either.
    require_free(target, overwrite=overwrite)
    if not target.is_dir():
        making.rename(target)
        return
    # Beside it, and not where things go by themselves: whoever is killed now leaves it there.
    former = target.with_name(f"{target.name}.former-{uuid4().hex}")
    target.rename(former)
    try:
        making.rename(target)
    except BaseException:
        former.rename(target)
        raise
    remove_tree(former)
