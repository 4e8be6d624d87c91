"""What can be removed from a store, or was: everything that no row names."""

from dataclasses import dataclass
from typing import Any, Literal

from panelcal.domain.text import count_of


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing that no row names.

    Parameters
    ----------
    what : {'orphan', 'left-over'}
        A payload without a row; or what an interrupted writer left.
    path : str
        Where it is.
    size : int
        Bytes of its files.
    """

    what: Literal["orphan", "left-over"]
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class GcReport:
    """What a collection of garbage removed, or would remove.

    Parameters
    ----------
    store : str
        Where it is.
    dry_run : bool
        Nothing was to be removed.
    garbage : tuple of Garbage
        What went, or would go.
    young : tuple of Garbage
        What stays because a writer may be at work on it still.
    """

    store: str
    dry_run: bool
    garbage: tuple[Garbage, ...]
    young: tuple[Garbage, ...]

    @property
    def summary(self) -> str:
        """All counts in one line."""
        orphans = sum(one.what == "orphan" for one in self.garbage)
        others = len(self.garbage) - orphans
        size = sum(one.size for one in self.garbage)
        verb = "would be removed" if self.dry_run else "removed"
        told = (
            f"{count_of(orphans, 'orphan')} and {count_of(others, 'left-over')} {verb}, "
            f"{count_of(size, 'byte')}"
        )
        if self.young:
            told += f"; {len(self.young)} too young to be judged"
        return told

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "store": self.store,
            "dry_run": self.dry_run,
            "bytes": sum(one.size for one in self.garbage),
            "removed": [_document(one) for one in self.garbage],
            "too_young": [_document(one) for one in self.young],
        }


def _document(one: Garbage) -> dict[str, Any]:
    return {"what": one.what, "path": one.path, "bytes": one.size}
