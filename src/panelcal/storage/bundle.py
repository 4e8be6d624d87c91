"""A bundle: a small store that is only read, in one zip file or in a directory.

It has a store's database and payloads in a store's own layout, and ``bundle.json``
with the size and SHA-256 of every member. The names and sizes of all members and the
digest of the database are looked at when it is opened, payloads when they are read.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.named_errors import naming
from panelcal.storage.bundle_manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Manifest,
    read_manifest,
)
from panelcal.storage.bundle_zip import GET_AGAIN, Extent, extents_of
from panelcal.storage.payload_files import opened

BLOCK_BYTES = 2**20

PAYLOADS_NAME = "payloads"


class Members(Protocol):
    """The files of a bundle, wherever they are."""

    def size(self, name: str) -> int | None:
        """Return the bytes of a member; None if it is missing or no plain file."""

    def blocks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a member, block by block."""


@dataclass(frozen=True)
class FilesOfDirectory:
    """Members that are files of a directory."""

    root: Path

    def size(self, name: str) -> int | None:
        """Return the bytes of a member; None if it is missing, a link, or no file."""
        try:
            found = (self.root / name).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def blocks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a member, block by block."""
        with opened(self.root / name) as (handle, size):
            yield from _blocks(handle, Extent(0, size))


class PiecesOfFile:
    """Members that are pieces of a zip file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with opened(path) as (handle, _):
            self.extents: Mapping[str, Extent] = extents_of(handle, path)

    def size(self, name: str) -> int | None:
        """Return the bytes of a member; None if there is none of that name."""
        extent = self.extents.get(name)
        return None if extent is None else extent.size

    def blocks(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a member, block by block."""
        with opened(self.path) as (handle, _):
            yield from _blocks(handle, self.extents[name])


def _blocks(handle: int, extent: Extent) -> Iterator[bytes]:
    place, end = extent.offset, extent.offset + extent.size
    while place < end:
        block = os.pread(handle, min(BLOCK_BYTES, end - place), place)
        if not block:
            # Somebody shortens it while it is read: the digest tells.
            return
        place += len(block)
        yield block


@dataclass(frozen=True)
class Bundle:
    """A bundle of which the list of members has been judged, and nothing else read.

    Parameters
    ----------
    path : Path
        The zip file or the directory.
    manifest : Manifest
        What it says of itself.
    members : Members
        Its files.
    """

    path: Path
    manifest: Manifest
    members: Members

    def digest_of(self, name: str) -> str:
        """Return the SHA-256 of a member's bytes."""
        hasher = hashlib.sha256()
        for block in self.members.blocks(name):
            hasher.update(block)
        return hasher.hexdigest()

    def copy(self, name: str, target: Path, *, durably: bool = False) -> None:
        """Copy a member to a new file, and refuse it unless it is what is listed.

        Parameters
        ----------
        durably : bool
            Wait until the disk has it.

        Raises
        ------
        IntegrityError
            Its digest is another one.
        """
        hasher = hashlib.sha256()
        with naming(target), target.open("xb") as stream:
            for block in self.members.blocks(name):
                hasher.update(block)
                stream.write(block)
            if durably:
                stream.flush()
                os.fsync(stream.fileno())
        self.require_digest(name, hasher.hexdigest())

    def require_digest(self, name: str, found: str) -> None:
        """Refuse a member whose bytes have another SHA-256 than is listed.

        Raises
        ------
        IntegrityError
            They have.
        """
        listed = {member.name: member.sha256 for member in self.manifest.members}
        if listed[name] != found:
            msg = f"{name} of bundle {self.path} has SHA-256 {found}, {listed[name]} listed"
            raise IntegrityError(msg, GET_AGAIN)


def read_bundle(path: Path) -> Bundle:
    """Read what a bundle lists, and compare the names and sizes of its members.

    Raises
    ------
    InvalidInputError
        It is no bundle.
    IntegrityError
        It is damaged or hostile.
    SchemaError
        A newer panelcal made it.
    """
    try:
        members: FilesOfDirectory | PiecesOfFile = (
            PiecesOfFile(path) if path.is_file() else FilesOfDirectory(path)
        )
        length = members.size(MANIFEST_NAME)
        if length is None or length > MAX_MANIFEST_BYTES:
            msg = f"{path} is no bundle: it has no {MANIFEST_NAME} that can be read"
            raise InvalidInputError(msg, "panelcal bundle create makes bundles")
        manifest = read_manifest(b"".join(members.blocks(MANIFEST_NAME)), str(path))
    except OSError as error:
        msg = f"cannot read {path}: {error.strerror or error}"
        raise InvalidInputError(msg, "name a bundle, or the directory of a store") from error
    if isinstance(members, PiecesOfFile):
        listed = {member.name for member in manifest.members}
        unlisted = sorted(set(members.extents) - listed - {MANIFEST_NAME})
        if unlisted:
            msg = f"bundle {path} has {unlisted[0]}, which its {MANIFEST_NAME} does not list"
            raise IntegrityError(msg, GET_AGAIN)
    for member in manifest.members:
        found = members.size(member.name)
        if found != member.size:
            said = "is missing" if found is None else f"has {found} bytes, {member.size} listed"
            msg = f"{member.name} of bundle {path} {said}"
            raise IntegrityError(msg, GET_AGAIN)
    return Bundle(path, manifest, members)


def refuse_writing(path: Path) -> NoReturn:
    """Refuse to change a bundle.

    Raises
    ------
    InvalidInputError
        Always; the message names the bundle.
    """
    msg = f"{path} is a bundle, which is only read; nothing was changed"
    raise InvalidInputError(msg, f"panelcal --store DIR bundle import {path}, and work there")
