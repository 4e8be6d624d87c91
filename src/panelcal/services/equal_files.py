"""Deployed files by the values they hold: where those are wanted again, they are copied."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from panelcal.named_errors import naming
from panelcal.storage.deployments import DeployedContent

Content = tuple[str, tuple[str, ...], str]
"""What decides about the rows of a file: kind, payload of each panel, number format."""

_State = tuple[Path, int, int, int]
"""Path, inode, size and time of a file: another one if it is written again."""


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with naming(path), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class FileDigests:
    """Digests of files, worked out again only when a file has changed."""

    def __init__(self) -> None:
        self._known: dict[_State, str] = {}

    def of(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes; raises OSError where it cannot be read."""
        state = _state(path, path.stat())
        if state not in self._known:
            self._known[state] = digest_of_file(path)
        return self._known[state]

    def learn(self, path: Path, found: os.stat_result, digest: str) -> None:
        """Take over the digest of a file, for as long as it is what was found then."""
        self._known[_state(path, found)] = digest


def _state(path: Path, found: os.stat_result) -> _State:
    return path, found.st_ino, found.st_size, found.st_mtime_ns


class EqualFiles:
    """Files that were read back when they were written, and are as they were then.

    Parameters
    ----------
    digests : FileDigests
        Of files as they are now.
    """

    def __init__(self, digests: FileDigests) -> None:
        self._digests = digests
        self._known: dict[Content, list[tuple[Path, str]]] = {}

    def look(self, recorded: Mapping[str, DeployedContent]) -> None:
        """Learn which files are on record, by the digest of their bytes."""
        self._known = {}
        for digest, one in recorded.items():
            self.add((one.kind, one.digests, one.number_format), Path(one.path), digest)

    def add(self, content: Content, path: Path, digest: str) -> None:
        """Learn of a file that was recorded with these values and bytes."""
        self._known.setdefault(content, []).append((path, digest))

    def add_written(self, content: Content, path: Path, found: os.stat_result, digest: str) -> None:
        """Learn of a file that was read back, found so, and then put in place."""
        self._digests.learn(path, found, digest)
        self.add(content, path, digest)

    def holding(self, content: Content) -> Path | None:
        """Return a file with these values whose bytes are those on record, if there is one."""
        # The last one first: it is the likeliest to be there still.
        for path, digest in reversed(self._known.get(content, [])):
            # Where this user cannot read one, there may be another.
            with suppress(OSError):
                if path.is_file() and self._digests.of(path) == digest:
                    return path
        return None
