"""What lies in a directory of payloads: payloads by digest, left-overs, and what is neither."""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from panelcal.storage.name_checks import is_digest
from panelcal.storage.payload_batch import ASIDE_NAME
from panelcal.storage.payloads import STAGING_NAME

_FOLDER = re.compile(r"[0-9a-f]{2}\Z", re.ASCII)
_ASIDE = re.compile(r"[0-9a-f]{64}\.[0-9]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class PayloadTree:
    """The names in a directory of payloads; nothing is read but directories.

    Parameters
    ----------
    digests : dict of str to Path
        Directories named by a digest, in the folder of its first two digits.
    left_over : list of Path
        What is under the name of payloads that are being written.
    aside : list of Path
        Damaged payloads that others were put in place of.
    foreign : list of Path
        Whatever else there is.
    unreadable : list of (Path, str)
        Directories that cannot be listed, and why.
    """

    digests: dict[str, Path] = field(default_factory=dict)
    left_over: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)


def read_tree(root: Path) -> PayloadTree:
    """Look at the names in a directory of payloads; one that is not there is unreadable."""
    tree = PayloadTree()
    for path in _listed(root, tree):
        # What a link leads to is somebody else's, and no rubbish of ours.
        if path.name == STAGING_NAME and not path.is_symlink():
            tree.left_over.extend(_listed(path, tree))
        elif path.name == ASIDE_NAME:
            for kept in _listed(path, tree):
                (tree.aside if _ASIDE.match(kept.name) else tree.foreign).append(kept)
        elif _FOLDER.match(path.name):
            _read_folder(path, tree)
        else:
            tree.foreign.append(path)
    return tree


def _read_folder(folder: Path, tree: PayloadTree) -> None:
    for path in _listed(folder, tree):
        if is_digest(path.name) and path.name.startswith(folder.name):
            tree.digests[path.name] = path
        else:
            tree.foreign.append(path)


def _listed(directory: Path, tree: PayloadTree) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        tree.unreadable.append((directory, error.strerror or str(error)))
        return []


def size_of(path: Path) -> int:
    """Return the bytes of the regular files below a path, as far as they can be looked at."""
    return sum(found.st_size for found in _below(path) if not stat.S_ISDIR(found.st_mode))


def changed_at(path: Path) -> datetime:
    """Return when a path, or anything below it, was last changed; in UTC."""
    latest = max((found.st_mtime for found in _below(path)), default=0.0)
    return datetime.fromtimestamp(latest, UTC)


def _below(path: Path) -> Iterator[os.stat_result]:
    """Give the state of a path and of everything below it; links are not followed."""
    paths = [path]
    if path.is_dir() and not path.is_symlink():
        # This walk passes over directories that their writer removes meanwhile; rglob does not.
        for folder, folders, files in os.walk(path):
            paths += [Path(folder) / name for name in (*folders, *files)]
    for one in paths:
        try:
            yield one.lstat()
        except FileNotFoundError:
            # Its writer has removed it meanwhile.
            continue
