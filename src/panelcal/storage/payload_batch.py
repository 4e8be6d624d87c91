"""A batch of payloads: written under temporary names, published together or not at all."""

import json
import os
from collections import deque
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import PAYLOAD_DTYPE
from panelcal.errors import ConflictError, IntegrityError
from panelcal.storage.payload_checksums import block_checksums_of, checksum_of
from panelcal.storage.payload_files import aligned_empty, sync_directory, write_durably
from panelcal.storage.payload_layout import DESCRIPTION_NAME, Layout, chunk_path, description
from panelcal.storage.payload_reading import StoredPayload
from panelcal.temporary import make_held, remove_held, remove_tree

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    import numpy as np

    from panelcal.storage.payloads import PayloadStore

WRITERS = 3
"""Threads that write; most of their time they wait for the disk."""

MAX_IN_FLIGHT = 5
"""Payloads handed over and not yet written: what a batch holds in memory at most."""

ASIDE_NAME = "damaged"
"""Where a damaged payload is put when another takes its place."""


Payload: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"


@dataclass(frozen=True, slots=True)
class _Submitted:
    """An array that is being written, or compared with what is stored."""

    digest: str
    work: "Future[None]"
    spare: "list[Payload]"


class PayloadBatch:
    """Payloads written under temporary names, waiting to be published.

    Attributes
    ----------
    pending : set of str
        Digests of what was added and was not stored before.
    moved_aside : dict of str to Path
        Where damaged payloads are that were replaced, by digest.
    """

    def __init__(self, store: "PayloadStore", staging: Path) -> None:
        self._store = store
        self._staging = staging
        self._in_flight: deque[_Submitted] = deque()
        self._spare: list[Payload] = []
        self._writers: ThreadPoolExecutor | None = None
        self._handles: list[int] = []
        self._relied: set[str] = set()
        self._replacing: set[str] = set()
        self.pending: set[str] = set()
        self.moved_aside: dict[str, Path] = {}

    def add(self, array: "np.ndarray[Any, Any]") -> str:
        """Write an array under a temporary name, unless it is already stored.

        Parameters
        ----------
        array : ndarray of float32
            As delivered: for jungfrau (gain range, row, column), in the kind's unit.

        Returns
        -------
        str
            Its digest.

        Raises
        ------
        IntegrityError
            What was written reads back differently, or the payload that is
            already stored under this digest is damaged.
        OSError
            It cannot be written.
        TypeError
            It is of another dtype.
        """
        digest = self._start(array, is_given_up=False)
        self.settle()
        return digest

    def submit(self, array: "np.ndarray[Any, Any]") -> str:
        """Do what `add` does, but return while the array is still being written.

        Parameters
        ----------
        array : ndarray of float32
            Given up by the caller: neither written to nor read from any more.

        Returns
        -------
        str
            Its digest.

        Raises
        ------
        IntegrityError, OSError
            What went wrong with a payload submitted before; it is not pending then.
        TypeError
            It is of another dtype.
        """
        return self._start(array, is_given_up=True)

    def replace(self, array: "np.ndarray[Any, Any]") -> str:
        """Do what `add` does, but to take the place of a damaged payload.

        When the batch is published, what is stored under the digest is moved aside.

        Returns
        -------
        str
            Its digest.

        Raises
        ------
        IntegrityError, OSError, TypeError
            As `add`.
        """
        digest = self._start(array, is_given_up=False, is_stored=False)
        self.settle()
        self._replacing.add(digest)
        return digest

    def memory(self, shape: tuple[int, ...]) -> "Payload":
        """Return an array to be filled and submitted.

        Where one of that shape has been written by now, it is that one: memory
        that is new to the process takes the system as long as reading into it.
        """
        for spare in self._spare:
            if spare.shape == shape:
                self._spare = [other for other in self._spare if other is not spare]
                return spare
        return aligned_empty(shape)

    def settle(self) -> None:
        """Wait until everything submitted is written, verified and on the disk.

        Raises
        ------
        IntegrityError, OSError
            What went wrong with a payload; it is not pending then.
        """
        while self._in_flight:
            self._settle_oldest()

    def _start(
        self, array: "np.ndarray[Any, Any]", *, is_given_up: bool, is_stored: bool | None = None
    ) -> str:
        if array.dtype.name != PAYLOAD_DTYPE:
            msg = f"payloads are {PAYLOAD_DTYPE}, not {array.dtype}"
            raise TypeError(msg)
        little = array.astype("<f4", order="C", copy=False)
        digest = digest_of(little)
        spare = [little] if is_given_up else []
        if digest in self.pending:
            self._spare += spare
            return digest
        while len(self._in_flight) >= MAX_IN_FLIGHT:
            self._settle_oldest()
        writers = self._started_writers()
        if self._store.has(digest) if is_stored is None else is_stored:
            self._relied.add(digest)
            # A new row is going to rely on it; a checksum says only that it is as
            # it was written. The array that was hashed just now is the better witness.
            work = writers.submit(self._store.find(digest).require, little)
        else:
            work = writers.submit(_write_and_check, self._staging / digest, digest, little)
            self.pending.add(digest)
        self._in_flight.append(_Submitted(digest, work, spare))
        return digest

    def _started_writers(self) -> "ThreadPoolExecutor":
        from concurrent.futures import ThreadPoolExecutor

        if self._writers is None:
            self._staging.parent.mkdir(exist_ok=True)
            # So that whoever collects garbage sees that a living process is at work.
            make_held(self._staging, self._handles, mode=0o777)
            self._writers = ThreadPoolExecutor(WRITERS, thread_name_prefix="payloads")
        return self._writers

    def _settle_oldest(self) -> None:
        oldest = self._in_flight.popleft()
        try:
            oldest.work.result()
        except BaseException:
            self.pending.discard(oldest.digest)
            raise
        self._spare += oldest.spare

    def publish(self) -> None:
        """Move every payload of the batch to its name, durably.

        Raises
        ------
        IntegrityError, OSError
            As `settle`; or a payload cannot be moved, or the one that another
            process has stored meanwhile is damaged.
        ConflictError
            A payload that was stored when it was added has been removed since.
        """
        self.settle()
        for digest in sorted(self._relied):
            # It had no row yet, and somebody collected garbage. No writer runs beside
            # this one now: what is here stays.
            if not self._store.has(digest):
                msg = f"payload {digest} was removed meanwhile, as one that no row named"
                raise ConflictError(msg, "try again; nothing was recorded")
        folders = set()
        for digest in sorted(self.pending):
            target = self._store.path_of(digest)
            target.parent.mkdir(exist_ok=True)
            folders.add(target.parent)
            if digest in self._replacing:
                self._move_aside(digest, target)
            try:
                (self._staging / digest).rename(target)
            except OSError:
                # Another process was first: same digest, same bytes. Verified
                # by reading it; anything else that went wrong is raised.
                if not self._store.has(digest):
                    raise
                self._store.audit(digest)
        for folder in sorted(folders):
            sync_directory(folder)
        sync_directory(self._store.root)
        self.pending.clear()

    def _move_aside(self, digest: str, target: Path) -> None:
        """Make room for a payload: what has its name gets another one."""
        if not os.path.lexists(target):
            return
        folder = self._store.root / ASIDE_NAME
        folder.mkdir(exist_ok=True)
        names = (folder / f"{digest}.{number}" for number in count(1))
        aside = next(path for path in names if not os.path.lexists(path))
        target.rename(aside)
        sync_directory(folder)
        self.moved_aside[digest] = aside

    def discard(self) -> None:
        """Remove what was not published, after what is being written right now."""
        try:
            if self._writers is not None:
                self._writers.shutdown(cancel_futures=True)
        finally:
            remove_held(self._staging, self._handles)


def _write_and_check(path: Path, digest: str, array: "Payload") -> None:
    """Write a payload, wait until the disk has it, and read it back; or leave nothing."""
    try:
        layout = _write(path, digest, array)
        try:
            stored = StoredPayload(path, digest)
            stored.require_layout(layout)
            stored.check()
        except IntegrityError as error:
            msg = f"what was written to {path} reads back differently: {error}"
            raise IntegrityError(msg, "check the disk; nothing was recorded") from error
    except BaseException:
        remove_tree(path)
        raise


def _write(path: Path, digest: str, array: "Payload") -> Layout:
    """Write a payload and return what its description says."""
    chunk = chunk_path(path, array.shape)
    chunk.parent.mkdir(parents=True)
    checksum, blocks = checksum_of(array), block_checksums_of(array, digest)
    described = description(array.shape, digest, checksum, blocks)
    contents: dict[Path, memoryview | bytes] = {
        path / DESCRIPTION_NAME: json.dumps(described, indent=2).encode("ascii"),
        chunk: array.data,
    }
    write_durably(contents)
    folder = chunk.parent
    while folder != path.parent:
        sync_directory(folder)
        folder = folder.parent
    return Layout(array.shape, checksum, blocks)
