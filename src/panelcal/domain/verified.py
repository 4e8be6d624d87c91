"""What a look at deployed files found."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panelcal.domain.text import count_of


class FileState(StrEnum):
    """How a deployed file stands."""

    OK = "ok"
    """It holds known constants, and those that the store resolves for its runs."""
    SHADOWED = "shadowed"
    """It holds known constants, and no registered run reads it: the finder picks other files."""
    STALE = "stale"
    """A registered run reads it, and the store resolves other constants for that run."""
    MISSING = "missing"
    """It was deployed and is gone, or registered runs read no file at all."""
    MISPLACED = "misplaced"
    """It holds known constants, where neither psana nor the deploy job looks."""
    UNKNOWN = "unknown"
    """It holds values that no constant set has."""
    AMBIGUOUS = "ambiguous"
    """Another file is for the same runs: the order of the directory decides."""
    HAND_EDITED = "hand-edited"
    """It holds other values than were deployed, or than its own comments say."""
    UNREADABLE = "unreadable"
    """It is no text array that psana can use for this detector."""
    CRASHES = "crashes the finder"
    """The legacy finder fails for every run on a directory that holds such a name."""


_DAMAGE = {FileState.HAND_EDITED, FileState.UNREADABLE, FileState.CRASHES}
_FINE = {FileState.OK, FileState.SHADOWED}


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """One file of a calib tree, or the place where one is missing.

    Parameters
    ----------
    path : str
        Where it is.
    experiment, source, kind : str
        Whose constants.
    state : FileState
        How it stands.
    holds : tuple of str
        For each panel the constant set with its values, ``M068@1``; several
        joined by ``|`` where they are alike; ``?`` where there is none. Empty if
        the file cannot be read.
    runs : tuple of int
        The registered runs that read it; of a missing file, those that read none.
    notes : tuple of str
        What is to be known about it.
    """

    path: str
    experiment: str
    source: str
    kind: str
    state: FileState
    holds: tuple[str, ...]
    runs: tuple[int, ...]
    notes: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return the file as ``--json`` prints it."""
        return {
            "path": self.path,
            "experiment": self.experiment,
            "source": self.source,
            "kind": self.kind,
            "state": str(self.state),
            "holds": list(self.holds),
            "runs": list(self.runs),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Every file below a root.

    Parameters
    ----------
    root : str
        The calib root.
    files : tuple of VerifiedFile
        By experiment, source, kind and name.
    """

    root: str
    files: tuple[VerifiedFile, ...]

    @property
    def counts(self) -> Counter[FileState]:
        """How many files have each state."""
        return Counter(file.state for file in self.files)

    @property
    def exit_code(self) -> int:
        """0 if all is well; 5 if files are damaged or crash the finder; else 4."""
        found = set(self.counts)
        if found & _DAMAGE:
            return 5
        return 4 if found - _FINE else 0

    @property
    def summary(self) -> str:
        """All counts in one line."""
        told = [f"{self.counts[state]} {state}" for state in FileState if self.counts[state]]
        return f"{count_of(len(self.files), 'file')}: {', '.join(told) or 'nothing deployed'}"

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "root": self.root,
            "counts": {str(state): self.counts[state] for state in FileState},
            "exit_code": self.exit_code,
            "files": [file.document() for file in self.files],
        }
