"""HISTORY: who deployed which file into a directory of the calib layout (spec §8).

Three producers write one line a deployment, each in its own order and with
single or double blanks; all are ``key:value`` words.
"""

import errno
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from panelcal.errors import InvalidInputError
from panelcal.exporters.permissions import LEGACY, Permissions
from panelcal.exporters.text_array import Environment
from panelcal.named_errors import naming

FILE_NAME = "HISTORY"
_MOST_BYTES = 2**26
"""Three hundred thousand records: the file is read as a whole."""
ANSWER_COMMENT = "panelcal-token"
KEPT_COMMENT = "panelcal-kept-for-run"

_KEY = re.compile(r"(?<!\S)(file|copy_of|ctype|exp|run|app|user|host|cptime|zone|cwd|cmt|comment):")


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One line of a HISTORY file; what it does not say is empty.

    Parameters
    ----------
    file : str
        Name of the deployed file, ``631-end.data``.
    copy_of : str
        What was copied.
    user, host : str
        Who and where.
    time : str
        Local time ``YYYY-mm-ddTHH:MM:SS`` as written.
    comment : str
        Free words.
    experiment, run : str
        As some producers write them.
    token : str
        Token of the answer, where panelcal wrote the line.
    """

    file: str
    copy_of: str
    user: str
    host: str
    time: str
    comment: str
    experiment: str
    run: str
    token: str


def parse_record(line: str) -> HistoryRecord | None:
    """Read a line of any of the three dialects; None if it names no file."""
    words = _words(line)
    if not words.get("file"):
        return None
    comment = words.get("cmt") or words.get("comment", "")
    own, _, told = comment.partition("=")
    if own in {ANSWER_COMMENT, KEPT_COMMENT}:
        words = {key: unquote(value, errors="surrogateescape") for key, value in words.items()}
    return HistoryRecord(
        file=words["file"],
        copy_of=words.get("copy_of", ""),
        user=words.get("user", ""),
        host=words.get("host", ""),
        time=words.get("cptime", ""),
        comment=comment,
        experiment=words.get("exp", ""),
        run=words.get("run", ""),
        token=told if own == ANSWER_COMMENT else "",
    )


def _words(line: str) -> dict[str, str]:
    # Of a key that comes again the first counts: the other is part of a comment.
    starts: dict[str, re.Match[str]] = {}
    for found in _KEY.finditer(line):
        starts.setdefault(found[1], found)
    ordered = list(starts.values())
    ends = [*(found.start() for found in ordered[1:]), len(line)]
    return {
        found[1]: line[found.end() : end].strip() for found, end in zip(ordered, ends, strict=False)
    }


def read_history(type_dir: Path) -> dict[str, HistoryRecord]:
    """Return the last record of each file of a directory, by name; without HISTORY, none.

    Raises
    ------
    InvalidInputError
        The file cannot be read, is no regular file, or is larger than any HISTORY.
    """
    path = type_dir / FILE_NAME
    try:
        # A pipe would keep whoever opens it waiting.
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            msg = f"{path} cannot be read: it is no regular file"
            raise InvalidInputError(msg)
        if found.st_size > _MOST_BYTES:
            msg = f"{path} has {found.st_size} bytes; at most {_MOST_BYTES} are read"
            raise InvalidInputError(msg, "move it aside; a new one is begun then")
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise InvalidInputError(msg) from error
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    records = [record for record in map(parse_record, lines) if record is not None]
    return {record.file: record for record in records}


def history_record(
    target: Path,
    copy_of: str,
    ctype: str,
    environment: Environment,
    local_time: str,
    comment: str,
) -> str:
    """Return the line that HISTORY gets for a file that panelcal deployed.

    It is the record of the legacy deployment. Fields are separated by single
    blanks, so that blanks, quotes, other characters with a meaning to a shell
    and the percent sign are percent-encoded inside them.

    Parameters
    ----------
    copy_of : str
        Where the constants come from: the store, or another file.
    comment : str
        ``panelcal-token=...`` for an answer.
    """
    fields = {
        "copy_of": copy_of,
        "ctype": ctype,
        "user": environment.user,
        "host": environment.host,
        "cptime": local_time,
        "cwd": environment.work_dir,
        "cmt": comment,
    }
    told = " ".join(f"{key}:{_one_word(value)}" for key, value in fields.items())
    return f"file:{target.name:<14} {told}\n"


def _one_word(text: str) -> str:
    return quote(text, safe="/:.,_-+=@~()", errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class Appended:
    """A record that was appended to a HISTORY file.

    Parameters
    ----------
    path : Path
        The file.
    line : bytes
        What was appended.
    is_first : bool
        Whether there was no such file before.
    """

    path: Path
    line: bytes
    is_first: bool

    def take_back(self) -> None:
        """Remove the record if nobody has appended another one since.

        Raises
        ------
        OSError
            The file cannot be written.
        """
        handle = os.open(self.path, os.O_RDWR)
        try:
            start = os.fstat(handle).st_size - len(self.line)
            if start < 0 or os.pread(handle, len(self.line), start) != self.line:
                return
            os.ftruncate(handle, start)
        finally:
            os.close(handle)
        if self.is_first and start == 0:
            self.path.unlink(missing_ok=True)


def append_history(type_dir: Path, record: str, permissions: Permissions = LEGACY) -> Appended:
    """Append a record to the directory's HISTORY in one write, or leave it as it was.

    Raises
    ------
    OSError
        It cannot be written, or the disk is full.
    """
    path = type_dir / FILE_NAME
    line = record.encode("utf-8")
    is_first = not path.exists()
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, permissions.file_mode)
    written = b""
    try:
        found = os.fstat(handle)
        if found.st_size == 0 and found.st_uid == os.geteuid():
            # Before the first record: a process killed here is completed by the next.
            permissions.apply_to_file(path)
        elif found.st_size > 0 and os.pread(handle, 1, found.st_size - 1) != b"\n":
            line = b"\n" + line
        with naming(path):
            written = line[: os.write(handle, line)]
            if written != line:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(handle)
    except BaseException:
        Appended(path, written, is_first).take_back()
        raise
    finally:
        os.close(handle)
    return Appended(path, line, is_first)
