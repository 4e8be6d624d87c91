"""The parent's side of `faults.children`: run the program in a child, and let it meet its end."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import panelcal
from faults.actions import Operation

_SOURCES = Path(panelcal.__file__).parents[1]
_TESTS = Path(__file__).parents[1]
_PATIENCE_SECONDS = 150
KILLED = -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended.

    Parameters
    ----------
    code : int
        Its exit code, negative that of a signal.
    said, complained : str
        Standard output and standard error.
    acknowledged : list of list of str
        The commands that ended with 0.
    struck : str
        What the operation was about that something happened to; empty if nothing did.
    """

    code: int
    said: str
    complained: str
    acknowledged: list[list[str]]
    struck: str = ""

    @property
    def was_killed(self) -> bool:
        """Whether it came to its point."""
        return self.code == KILLED


class Forks(contextlib.AbstractContextManager["Forks"]):
    """Runs the program in forks of a process that has loaded it.

    Parameters
    ----------
    notes : Path
        Where children write what they say.
    """

    def __init__(self, notes: Path) -> None:
        self.notes = notes
        notes.mkdir(parents=True, exist_ok=True)
        self._log = (notes / "server").open("w")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PANELCAL")}
        self._server = subprocess.Popen(
            [sys.executable, "-m", "faults.children"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=notes,
            env={**kept, "LOGNAME": "tester", "PYTHONPATH": f"{_SOURCES}{os.pathsep}{_TESTS}"},
            text=True,
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.kill()
        self._server.communicate()
        self._log.close()

    def run(self, *arguments: str | Path, root: Path = Path("/")) -> Ended:
        """Run the program once, undisturbed."""
        return self([[str(one) for one in arguments]], root)

    def __call__(
        self,
        commands: Sequence[Sequence[str]],
        root: Path,
        at: int = 0,
        action: str = "none",
        **more: Any,
    ) -> Ended:
        """Run commands one after the other in one child, until one fails.

        Parameters
        ----------
        root : Path
            Only operations below it count.
        at : int
            The point at which something happens.
        action : str
            What happens.
        more
            Further words of the request: ``user``, ``sever``, ``file_bytes``.
        """
        self.begin(commands, root, at, action, **more)
        return self.end()

    def begin(
        self, commands: Sequence[Sequence[str]], root: Path, at: int, action: str, **more: Any
    ) -> None:
        """Start a child; `end` waits for it."""
        request = {
            "commands": [list(one) for one in commands],
            "root": str(root),
            "at": at,
            "action": action,
            "notes": str(self.notes),
            **more,
        }
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()

    def end(self) -> Ended:
        """Wait until the child has ended, and return how."""
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], _PATIENCE_SECONDS)
        line = self._server.stdout.readline() if ready else ""
        if not line:
            self._server.kill()
            msg = f"the child hangs: {self._text('stderr')}\n{self._text('server')}"
            raise AssertionError(msg)
        told = self._text("acknowledged").splitlines()
        return Ended(
            int(line),
            self._text("stdout"),
            self._text("stderr"),
            [json.loads(one) for one in told],
            self._text("struck"),
        )

    def trace(self, commands: Sequence[Sequence[str]], root: Path) -> list[Operation]:
        """Run commands undisturbed, and return every point that they came by."""
        ended = self(commands, root, action="count")
        assert "Traceback" not in ended.complained, ended.complained
        points = []
        for line in self._text("trace").splitlines():
            call, group, subject, named = json.loads(line)
            points.append(Operation(call, group, subject, named))
        return points

    def _text(self, name: str) -> str:
        path = self.notes / name
        return path.read_text(errors="replace") if path.exists() else ""
