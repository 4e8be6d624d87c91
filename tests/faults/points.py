"""Points: every file operation and every statement of a child, and what becomes of one of them.

Only what touches the child's place counts: a file below it by name or by descriptor, and
any statement to a database. The hooks are put around what Python itself calls, so that
nothing of the program has to know of them.
"""

import builtins
import fcntl
import functools
import io
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from faults.actions import ERRORS, NO_ROOM, Operation

_READING = {"read", "pread", "preadv", "readv", "scandir", "listdir"}
_WRITING = {"write", "pwrite", "writev", "sendfile", "copy_file_range", "posix_fallocate"}
_SYNCING = {"fsync", "fdatasync"}
_NAMING = {"mkdir", "rename", "replace", "link", "symlink", "truncate", "ftruncate"}
_OTHER = {"unlink", "remove", "rmdir", "chmod", "chown", "utime"}
_TWO_PLACES = {"rename", "replace", "link", "symlink"}
_IN_HALF = {"write", "pwrite"}
_PAGE_BYTES = 4096


@dataclass
class Points:
    """Counts what passes, and acts on the one that was chosen.

    Parameters
    ----------
    root : str
        The child's place.
    at : int
        Which point, from 1 on; 0 is none.
    action : str
        One of `faults.actions`.
    sever : callable or None
        Ends the session of a connection, as a server that goes away does.
    tell : callable
        Given what the operation is about before anything happens to it.
    """

    root: str
    at: int
    action: str
    sever: Callable[[Any], None] | None = None
    tell: Callable[[str], object] = field(default=lambda _: None)
    passed: list[Operation] = field(default_factory=list)
    is_on: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _has_struck: bool = False

    def covers(self, subject: str | None) -> bool:
        """Say whether something is below the place."""
        return self.is_on and subject is not None and subject.startswith(self.root)

    def go(
        self,
        operation: Operation,
        perform: Callable[[], Any],
        half: Callable[[], Any] | None = None,
        connection: Any = None,
    ) -> Any:
        """Count an operation and perform it, unless it is the one."""
        with self._lock:
            self.passed.append(operation)
            is_the_one = len(self.passed) == self.at
        if is_the_one:
            return self._strike(operation, perform, half, connection)
        if self._has_struck and self.action == "stays full" and operation.takes_room:
            raise _no_room(operation)
        return perform()

    def _strike(
        self,
        operation: Operation,
        perform: Callable[[], Any],
        half: Callable[[], Any] | None,
        connection: Any,
    ) -> Any:
        self._has_struck = True
        self.tell(operation.subject)
        if self.action == "kill after":
            perform()
        if self.action == "kill in half" and half is not None:
            half()
        if self.action.startswith("kill"):
            os.kill(os.getpid(), signal.SIGKILL)
            # Another thread may be the one that the signal is delivered to.
            signal.pause()
        if self.action == "stays full":
            raise _no_room(operation)
        if self.action in ERRORS:
            raise operation.error(ERRORS[self.action])
        if self.action == "sever" and self.sever is not None and connection is not None:
            self.sever(connection)
        return perform()


def _no_room(operation: Operation) -> Exception:
    return operation.error(NO_ROOM)


def _subject(name: Any, directory: Any = None) -> str | None:
    """Return the absolute path of what a call names, None if it names no file."""
    if isinstance(name, int):
        try:
            return os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115 - pathlib costs too much here
        except OSError:
            return None
    if not isinstance(name, str | bytes | os.PathLike):
        return None
    path = os.fsdecode(name)
    if isinstance(directory, int):
        return f"{_subject(directory)}/{path}"
    return os.path.abspath(path)  # noqa: PTH100 - links are not followed


def install(points: Points) -> None:
    """Put the hooks in place; `points.is_on` says from when on they count."""
    for name in _READING | _WRITING | _SYNCING | _NAMING | _OTHER:
        if hasattr(os, name):
            setattr(os, name, _around_call(points, name))
    os.open = _around_open(points)
    opened = functools.partial(_open_stream, points, io.open)
    io.open = opened
    builtins.open = opened
    _around_sqlite(points)
    if "psycopg" in sys.modules:
        _around_psycopg(points)
    if "h5py" in sys.modules:
        _around_h5py(points)


def _group(name: str) -> str:
    if name in _READING:
        return "read"
    if name in _WRITING:
        return "write"
    if name in _SYNCING:
        return "sync"
    return "name" if name in _NAMING else "change"


def _around_call(points: Points, name: str) -> Callable[..., Any]:
    real = getattr(os, name)
    group = _group(name)

    @functools.wraps(real)
    def call(*arguments: Any, **options: Any) -> Any:
        if not points.is_on or not arguments:
            return real(*arguments, **options)
        places = [_subject(arguments[0], options.get("dir_fd", options.get("src_dir_fd")))]
        if name in _TWO_PLACES:
            places.append(_subject(arguments[1], options.get("dst_dir_fd")))
        subject = next((place for place in reversed(places) if points.covers(place)), None)
        if subject is None:
            return real(*arguments, **options)
        named = None if isinstance(arguments[0], int) else arguments[0]
        operation = Operation(name, group, subject, named)
        half = None
        if name in _IN_HALF and not _is_one_step(*arguments[:2]):
            handle, content, *rest = arguments
            half = functools.partial(real, handle, content[: len(content) // 2], *rest)
        return points.go(operation, functools.partial(real, *arguments, **options), half)

    return call


def _is_one_step(handle: int, content: Any) -> bool:
    """Say whether the kernel takes a write whole or not at all: a short one that appends."""
    is_appending = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_APPEND
    return bool(is_appending) and len(content) <= _PAGE_BYTES


def _around_open(points: Points) -> Callable[..., Any]:
    real = os.open

    @functools.wraps(real)
    def call(path: Any, flags: int, *arguments: Any, **options: Any) -> Any:
        perform = functools.partial(real, path, flags, *arguments, **options)
        subject = _subject(path, options.get("dir_fd")) if points.is_on else None
        if subject is None or not points.covers(subject):
            return perform()
        makes = flags & (os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_RDWR)
        group = "name" if makes else "read"
        return points.go(Operation("open", group, subject, path), perform)

    return call


class _CountedFile(io.FileIO):
    """A file whose reads and writes count when they reach the system."""

    points: Points
    subject: str

    def _operation(self, name: str, group: str) -> Operation:
        # As of the system: an error of a descriptor names no file.
        return Operation(name, group, self.subject, None)

    def write(self, content: Any) -> int:
        real = super().write
        view = memoryview(content).cast("B")
        half = functools.partial(real, view[: len(view) // 2])
        operation = self._operation("write", "write")
        written: int = self.points.go(operation, functools.partial(real, content), half)
        return written

    def readinto(self, buffer: Any) -> int:
        perform = functools.partial(super().readinto, buffer)
        read: int = self.points.go(self._operation("read", "read"), perform)
        return read

    def readall(self) -> bytes:
        content: bytes = self.points.go(self._operation("read", "read"), super().readall)
        return content

    def read(self, size: int | None = -1) -> Any:
        perform = functools.partial(super().read, -1 if size is None else size)
        return self.points.go(self._operation("read", "read"), perform)


def _open_stream(
    points: Points,
    real: Callable[..., Any],
    file: Any,
    mode: str = "r",
    buffering: int = -1,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
    closefd: bool = True,
    opener: Any = None,
) -> Any:
    subject = _subject(file) if points.is_on else None
    if subject is None or not points.covers(subject):
        return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
    writes = bool(set(mode) & set("wax+"))
    raw_mode = mode.replace("b", "").replace("t", "")

    def perform() -> Any:
        raw = _CountedFile(file, raw_mode, closefd, opener)
        raw.points, raw.subject = points, subject
        if buffering == 0:
            return raw
        kind: Any = io.BufferedRandom if "+" in mode else io.BufferedReader
        if writes and "+" not in mode:
            kind = io.BufferedWriter
        stream = kind(raw, buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE)
        if "b" in mode:
            return stream
        text = io.TextIOWrapper(stream, encoding, errors, newline, buffering == 1)
        text.mode = mode  # type: ignore[misc]
        return text

    if isinstance(file, int):
        # Opening it was counted where its descriptor came from.
        return perform()
    return points.go(Operation("open", "name" if writes else "read", subject, file), perform)


def _around_sqlite(points: Points) -> None:
    def statement(connection: Any, text: str, perform: Callable[[], Any]) -> Any:
        if not points.is_on:
            return perform()
        return points.go(Operation("sqlite", "sql", text, None), perform, connection=connection)

    class CountedCursor(sqlite3.Cursor):
        def execute(self, sql: str, *arguments: Any) -> Any:
            perform = functools.partial(super().execute, sql, *arguments)
            return statement(self.connection, sql, perform)

        def executemany(self, sql: str, *arguments: Any) -> Any:
            perform = functools.partial(super().executemany, sql, *arguments)
            return statement(self.connection, sql, perform)

    class CountedConnection(sqlite3.Connection):
        def cursor(self, factory: Any = CountedCursor) -> Any:
            return super().cursor(factory)

        def commit(self) -> None:
            statement(self, "COMMIT", super().commit)

        def rollback(self) -> None:
            statement(self, "ROLLBACK", super().rollback)

    sqlite3.connect = functools.partial(sqlite3.connect, factory=CountedConnection)  # type: ignore[assignment]


def _around_psycopg(points: Points) -> None:
    import psycopg

    def wrap(
        owner: Any, name: str, text_of: Callable[..., str], of_self: Callable[..., Any]
    ) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def call(self: Any, *arguments: Any, **options: Any) -> Any:
            perform = functools.partial(real, self, *arguments, **options)
            if not points.is_on:
                return perform()
            operation = Operation("psycopg", "sql", text_of(*arguments), None)
            return points.go(operation, perform, connection=of_self(self))

        setattr(owner, name, call)

    for name in ("execute", "executemany"):
        wrap(psycopg.Cursor, name, lambda query, *_: str(query), lambda self: self.connection)
    for name in ("commit", "rollback"):
        wrap(psycopg.Connection, name, lambda *_, name=name: name.upper(), lambda self: self)


def _around_h5py(points: Points) -> None:
    """Count the steps of HDF5, which writes without Python."""
    import h5py  # type: ignore[import-untyped]

    for owner, name in (
        (h5py.File, "__init__"),
        (h5py.File, "close"),
        (h5py.Group, "create_dataset"),
        (h5py.Group, "create_group"),
    ):
        real = getattr(owner, name)

        def call(
            self: Any, *arguments: Any, real: Any = real, name: str = name, **options: Any
        ) -> Any:
            perform = functools.partial(real, self, *arguments, **options)
            if not points.is_on:
                return perform()
            return points.go(Operation(f"h5py {name}", "hdf5", points.root, None), perform)

        setattr(owner, name, call)


def severing(url: str) -> Callable[[Any], None]:
    """Return what ends the session of a connection from outside."""
    import psycopg

    real = psycopg.Cursor.execute

    def sever(connection: Any) -> None:
        with psycopg.connect(url, autocommit=True) as other, other.cursor() as cursor:
            pid = connection.info.backend_pid
            real(cursor, "SELECT pg_terminate_backend(%s, 5000)", (pid,))

    return sever
