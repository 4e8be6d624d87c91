"""What may become of an operation: the process is killed, or the system refuses it."""

import errno
import os
import sqlite3
from dataclasses import dataclass
from typing import Any

ERRORS = {
    "ENOSPC": errno.ENOSPC,
    "EDQUOT": errno.EDQUOT,
    "EACCES": errno.EACCES,
    "EIO": errno.EIO,
}
NO_ROOM = errno.ENOSPC

_SQLITE = {
    errno.ENOSPC: "database or disk is full",
    errno.EIO: "disk I/O error",
}

_FAILURES = {
    "read": ("EACCES", "EIO"),
    "write": ("ENOSPC", "EDQUOT", "EIO", "stays full"),
    "sync": ("EIO", "ENOSPC", "stays full"),
    "name": ("ENOSPC", "EACCES", "EDQUOT", "stays full"),
    "change": ("EACCES",),
    "sql": (),
    "hdf5": (),
}
"""How each kind of operation is seen to fail."""

_READING = ("SELECT", "PRAGMA", "ROLLBACK", "WITH")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation.

    Parameters
    ----------
    call : str
        Its name.
    group : {'read', 'write', 'sync', 'name', 'change', 'sql', 'hdf5'}
        What it does: ``name`` makes or moves a name, ``change`` the rest.
    subject : str
        The path, or the statement.
    named : path or None
        What an error of it names; one of a descriptor names nothing.
    """

    call: str
    group: str
    subject: str
    named: Any

    @property
    def takes_room(self) -> bool:
        """Whether a full disk refuses it; files are cut shorter here, never longer."""
        return self.group in {"write", "name"} and "truncate" not in self.call

    @property
    def failures(self) -> tuple[str, ...]:
        """The actions by which it may be seen to fail."""
        if self.call == "read":
            return ("EIO",)
        if self.call == "sqlite":
            is_writing = not self.subject.lstrip().startswith(_READING)
            return ("ENOSPC", "EIO") if is_writing else ()
        if self.call == "psycopg":
            return ("sever",)
        return _FAILURES[self.group]

    @property
    def kills(self) -> tuple[str, ...]:
        """The actions by which a process may end at it."""
        if self.group == "read":
            return ("kill",)
        if self.group == "write":
            return ("kill", "kill in half")
        return ("kill", "kill after")

    def error(self, number: int) -> Exception:
        """Return what Python raises where the operation fails so."""
        if self.group == "sql":
            return sqlite3.OperationalError(_SQLITE[number])
        said = os.strerror(number)
        return OSError(number, said) if self.named is None else OSError(number, said, self.named)
