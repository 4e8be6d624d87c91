"""A zip file of stored members: read where they lie, and never believed.

`zipfile` reads the list of members. Everything else it offers is not used: members
are uncompressed, so that a member is a piece of the file, and no byte is taken from
it before the whole list has been judged.
"""

import os
import stat
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.storage.bundle_manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, is_member_name

MAX_MEMBERS = 2**22
MAX_LIST_BYTES = 2**29
"""The list of members is read as a whole; no bundle has a longer one."""

GET_AGAIN = "get the bundle again; nothing was taken from it"

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1
_IS_IN_64 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a member's bytes are in the file."""

    offset: int
    size: int


def extents_of(handle: int, path: Path) -> dict[str, Extent]:
    """Return where every member of a bundle's zip file is.

    Parameters
    ----------
    handle : int
        Descriptor of the open file.
    path : Path
        For messages.

    Raises
    ------
    InvalidInputError
        It is no zip file, or none of a bundle.
    IntegrityError
        It is cut short, or holds what no bundle holds: compressed, encrypted or
        overlapping members, links, directories, names that lead elsewhere, or a
        name twice.
    """
    size = os.fstat(handle).st_size
    if os.pread(handle, 4, 0) not in (b"PK\x03\x04", b"PK\x05\x06"):
        msg = f"{path} is not a zip file"
        raise InvalidInputError(msg, "name a bundle, or the directory of a store")
    _require_short_list(handle, size, path)
    try:
        with (
            os.fdopen(os.dup(handle), "rb") as stream,
            zipfile.ZipFile(stream) as archive,
        ):
            listed = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    if len(listed) > MAX_MEMBERS:
        raise _damaged(path, f"it has {len(listed)} members")
    found: dict[str, Extent] = {}
    for info in listed:
        _require_plain(info, path)
        if info.filename in found:
            raise _damaged(path, f"{info.filename} is in it twice")
        found[info.filename] = _extent(handle, info, size, path)
    if MANIFEST_NAME not in found:
        msg = f"{path} is a zip file, but no bundle: it has no {MANIFEST_NAME}"
        raise InvalidInputError(msg, "panelcal bundle create makes bundles")
    _require_apart(found, size, path)
    return found


def _damaged(path: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{path} is damaged, or was made to do harm: {what}", GET_AGAIN)


def _require_short_list(handle: int, size: int, path: Path) -> None:
    """Look at the end of the file, before `zipfile` reads as much as is said there."""
    end = os.pread(handle, _END.size, max(0, size - _END.size))
    if len(end) < _END.size or not end.startswith(b"PK\x05\x06"):
        raise _damaged(path, "it is cut short, or something was appended")
    length = _END.unpack(end)[5]
    if length == _IS_IN_64:
        place = size - _END.size - _LOCATOR.size
        locator = os.pread(handle, _LOCATOR.size, place) if place > 0 else b""
        if not locator.startswith(b"PK\x06\x07"):
            raise _damaged(path, "its end is incomplete")
        offset = _LOCATOR.unpack(locator)[2]
        end_64 = os.pread(handle, _END_64.size, offset) if offset < size else b""
        if len(end_64) < _END_64.size or not end_64.startswith(b"PK\x06\x06"):
            raise _damaged(path, "its end is incomplete")
        length = _END_64.unpack(end_64)[8]
    if length > min(size, MAX_LIST_BYTES):
        raise _damaged(path, f"it declares a list of members of {length} bytes")


def _require_plain(info: zipfile.ZipInfo, path: Path) -> None:
    name = excerpt(info.orig_filename)
    if info.orig_filename != MANIFEST_NAME and not is_member_name(info.orig_filename):
        raise _damaged(path, f"{name} does not belong in a bundle")
    if info.filename != info.orig_filename:
        raise _damaged(path, f"{name} is read as {excerpt(info.filename)}")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise _damaged(path, f"{name} is a link, or something else than a file")
    if info.flag_bits & _ENCRYPTED:
        raise _damaged(path, f"{name} is encrypted")
    if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
        raise _damaged(path, f"{name} is compressed; members of bundles are not")
    if info.filename == MANIFEST_NAME and info.file_size > MAX_MANIFEST_BYTES:
        raise _damaged(path, f"{name} has {info.file_size} bytes")


def _extent(handle: int, info: zipfile.ZipInfo, size: int, path: Path) -> Extent:
    is_inside = 0 <= info.header_offset < size
    header = os.pread(handle, _LOCAL.size, info.header_offset) if is_inside else b""
    if len(header) < _LOCAL.size or not header.startswith(b"PK\x03\x04"):
        raise _damaged(path, f"{info.filename} is not where it should be")
    *_, name_length, extra_length = _LOCAL.unpack(header)
    start = info.header_offset + _LOCAL.size
    if os.pread(handle, name_length, start) != info.filename.encode("ascii"):
        raise _damaged(path, f"{info.filename} has another name where it is stored")
    return Extent(start + name_length + extra_length, info.file_size)


def _require_apart(found: dict[str, Extent], size: int, path: Path) -> None:
    """Members that share bytes could declare together more than the file has."""
    reached = 0
    for name, extent in sorted(found.items(), key=lambda item: item[1].offset):
        if extent.offset < reached or extent.offset + extent.size > size:
            raise _damaged(path, f"{name} overlaps another member, or the file's end")
        reached = extent.offset + extent.size
