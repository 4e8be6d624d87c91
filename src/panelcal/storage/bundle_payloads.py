"""The payloads and the database of a bundle, where they can be opened: read, never written."""

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from threading import Lock
from typing import Self
from uuid import uuid4

from panelcal.errors import InvalidInputError, PanelcalError
from panelcal.storage.bundle import PAYLOADS_NAME, Bundle, FilesOfDirectory, refuse_writing
from panelcal.storage.bundle_manifest import payload_of
from panelcal.storage.payload_batch import PayloadBatch
from panelcal.storage.payload_reading import StoredPayload
from panelcal.storage.payloads import PayloadStore
from panelcal.temporary import (
    PREFIX,
    make_held,
    remove_abandoned,
    remove_held,
    temporary_directory,
)

_SCRATCH = f"{PREFIX}bundle-"
"""With which names of directories begin that a zip file is taken out into."""


class BundlePayloads(PayloadStore):
    """The payloads of a bundle: read and verified as a store's, never added to.

    Parameters
    ----------
    bundle : Bundle
        Where they are.
    scratch : Path or None
        Of a zip file: a directory that payloads are taken out into when they are
        read, removed when the store is closed.
    """

    def __init__(self, bundle: Bundle, scratch: Path | None) -> None:
        super().__init__((bundle.path if scratch is None else scratch) / PAYLOADS_NAME)
        self._bundle = bundle
        self._scratch = scratch
        self._release: Callable[[], object] | None = None
        self._handles: list[int] = []
        if scratch is not None:
            # Before there is anything to remove: nothing comes between making it and
            # knowing of it. Called at the latest when the interpreter ends.
            self._release = weakref.finalize(self, _remove_own, scratch, self._handles, os.getpid())
        self._lock = Lock()
        self._files: dict[str, list[str]] = {}
        for member in bundle.manifest.members:
            digest = payload_of(member.name)
            if digest is not None:
                self._files.setdefault(digest, []).append(member.name)

    @classmethod
    def opened(cls, bundle: Bundle) -> Self:
        """Return the payloads of a bundle; those of a zip file with a new directory for them.

        Raises
        ------
        PanelcalError
            The directory cannot be made.
        """
        if isinstance(bundle.members, FilesOfDirectory):
            return cls(bundle, None)
        parent = Path(gettempdir())
        remove_abandoned(parent, _SCRATCH)
        scratch = parent / f"{_SCRATCH}{uuid4().hex}"
        payloads = cls(bundle, scratch)
        try:
            make_held(scratch, payloads._handles)
        except OSError as error:
            msg = f"cannot make {scratch}: {error.strerror}"
            raise PanelcalError(msg, "set TMPDIR to a directory that can be written") from error
        return payloads

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def has(self, digest: str) -> bool:
        """Say whether the bundle lists a payload of that digest."""
        return digest in self._files

    def find(self, digest: str) -> StoredPayload:
        """Return a payload whose values are still to be read, as a store does."""
        if self._scratch is not None and digest in self._files:
            if not self._scratch.is_dir():
                msg = f"bundle {self._bundle.path} has been closed"
                raise InvalidInputError(msg, "load arrays before closing the store")
            with self._lock:
                if not self.path_of(digest).is_dir():
                    self._take_out(digest, self._scratch)
        return super().find(digest)

    def _take_out(self, digest: str, scratch: Path) -> None:
        target = self.path_of(digest)
        with temporary_directory(scratch, "taken-") as place:
            for name in self._files[digest]:
                path = place / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._bundle.copy(name, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                (place / PAYLOADS_NAME / digest[:2] / digest).rename(target)
            except OSError:
                # After a fork, the other process may have been first.
                if not target.is_dir():
                    raise

    def close(self) -> None:
        """Remove what was taken out of a zip file."""
        if self._release is not None:
            self._release()

    @contextmanager
    def batch(self) -> Iterator[PayloadBatch]:
        """Refuse: nothing is added to a bundle.

        Raises
        ------
        InvalidInputError
            Always.
        """
        refuse_writing(self._bundle.path)
        yield PayloadBatch(self, self.root)


@dataclass(frozen=True)
class LaidOut:
    """A bundle whose database can be opened.

    Parameters
    ----------
    database : Path
        The verified database file.
    payloads : BundlePayloads
        Its payloads.
    """

    database: Path
    payloads: BundlePayloads


def lay_out(bundle: Bundle) -> LaidOut:
    """Verify the database of a bundle; that of a zip file is taken out first.

    Raises
    ------
    IntegrityError
        The database has another digest than is listed.
    """
    name = bundle.manifest.database
    if isinstance(bundle.members, FilesOfDirectory):
        bundle.require_digest(name, bundle.digest_of(name))
        return LaidOut(bundle.path / name, BundlePayloads.opened(bundle))
    payloads = BundlePayloads.opened(bundle)
    try:
        path = payloads.root.parent / name
        bundle.copy(name, path)
    except BaseException as error:
        payloads.close()
        if isinstance(error, OSError):
            msg = f"cannot take the database out of {bundle.path}: {error}"
            raise PanelcalError(msg, "set TMPDIR to a directory with room for it") from error
        raise
    return LaidOut(path, payloads)


def _remove_own(scratch: Path, handles: list[int], process: int) -> None:
    # A forked process that ends must not take the directory from the one that made it.
    if os.getpid() == process:
        remove_held(scratch, handles)
