"""Read the legacy tree of links: which entries say what, and which are malformed.

Facts of the layout are in spec §§2-3. Nothing here touches the store.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from panelcal.domain.ids import PanelId
from panelcal.domain.moments import parse_stamp
from panelcal.domain.text import excerpt, printable
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.delivery import follow

_MODULE_DIRECTORY = re.compile(r"M[0-9A-Za-z]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """A version entry: ``<panel id>[-<stamp>]``, a link or a directory.

    A link named like a module that leads nowhere is one too, refused.

    Parameters
    ----------
    name : str
        As in the directory.
    panel : PanelId or None
        The panel, None if the name is malformed.
    valid_from : datetime or None
        The start of validity, UTC; None without a stamp: the beginning.
    directory : Path or None
        The directory of files it leads to, None if it leads nowhere.
    own_files : bool
        The entry is itself the directory of files, not a link to a module.
    refusal : str or None
        Why it cannot be taken.
    notice : str
        How it was understood, where that may surprise.
    """

    name: str
    panel: PanelId | None = None
    valid_from: datetime | None = None
    directory: Path | None = None
    own_files: bool = False
    refusal: str | None = None
    notice: str = ""


@dataclass(frozen=True, slots=True)
class GainsTree:
    """What the directory holds.

    Parameters
    ----------
    root : Path
        The directory, without links.
    entries : tuple of Entry
        Version entries, by name.
    modules : tuple of Path
        Directories with the files of a module, by name.
    ignored : tuple of (str, str)
        Other names and why they are no part of the tree's contents.
    """

    root: Path
    entries: tuple[Entry, ...]
    modules: tuple[Path, ...]
    ignored: tuple[tuple[str, str], ...]


def scan_gains_tree(tree: Path, zone: ZoneInfo) -> GainsTree:
    """Read names and links of a gains tree; no file of constants is opened.

    A name is a version entry if it has three or four fields separated by ``-``,
    which is what the legacy selector goes by (spec §3).

    Raises
    ------
    NotFoundError
        There is no such directory.
    """
    if not tree.is_dir():
        msg = f"{printable(tree)} is not a directory"
        raise NotFoundError(msg, "name the directory that holds M044, M068, ...")
    root = tree.resolve()
    entries: list[Entry] = []
    modules: set[Path] = set()
    ignored: list[tuple[str, str]] = []
    for path in sorted(root.iterdir()):
        if path.name.count("-") in (2, 3):
            entries.append(_entry(path, root, zone))
        elif _MODULE_DIRECTORY.match(path.name) and path.is_symlink():
            try:
                follow(path, "not there any more")
            except InvalidInputError as error:
                entries.append(Entry(path.name, refusal=error.message))
            else:
                ignored.append((path.name, f"another name for {printable(path.readlink())}"))
        elif _MODULE_DIRECTORY.match(path.name) and path.is_dir():
            modules.add(path)
        else:
            ignored.append((path.name, "neither a module nor named like a panel id"))
    modules |= {entry.directory for entry in entries if entry.directory and not entry.own_files}
    named = {path.name for path in modules if path.parent == root}
    ignored = [(name, reason) for name, reason in ignored if name not in named]
    return GainsTree(
        root,
        tuple(_refuse_equal_starts(entries)),
        tuple(sorted(modules)),
        tuple(ignored),
    )


def _entry(path: Path, root: Path, zone: ZoneInfo) -> Entry:
    fields = path.name.split("-")
    try:
        panel = PanelId.parse("-".join(fields[:3]))
        valid_from, notice = None, ""
        if len(fields) == 4:
            typed = parse_stamp(fields[3], zone)
            valid_from, notice = typed.utc, typed.notice or ""
    except InvalidInputError as error:
        return Entry(path.name, refusal=error.message)
    entry = Entry(path.name, panel, valid_from, notice=notice)
    try:
        real = follow(path, "not there any more")
    except InvalidInputError as error:
        return replace(entry, refusal=error.message)
    if not real.is_dir():
        return replace(entry, refusal="leads to a file; a directory of constants expected")
    if real == root or not real.is_relative_to(root):
        return replace(entry, refusal=f"leads out of the tree, to {printable(real)}")
    own = real.name.count("-") in (2, 3)
    return replace(entry, directory=real, own_files=own)


def _refuse_equal_starts(entries: Iterable[Entry]) -> list[Entry]:
    """Refuse entries among which only the directory's order would decide (spec §3)."""
    groups: defaultdict[object, list[str]] = defaultdict(list)
    listed = list(entries)
    for entry in listed:
        groups[_start(entry)].append(entry.name)
    checked = []
    for entry in listed:
        others = [name for name in groups[_start(entry)] if name != entry.name]
        if others:
            shown = ", ".join(excerpt(name) for name in others)
            reason = f"the same panel and start as {shown}, written differently"
            if entry.refusal is not None:
                reason = f"{entry.refusal}; {reason}"
            checked.append(replace(entry, refusal=reason))
        else:
            checked.append(entry)
    return checked


def _start(entry: Entry) -> object:
    """Return panel and start as the legacy selector compares them, if it can."""
    fields = entry.name.split("-")
    if len(fields) < 3:
        return entry.name
    panel = "-".join(field.removesuffix("L") for field in fields[:3])
    if len(fields) == 3:
        return panel, None
    try:
        return panel, int(fields[3])
    except ValueError:
        return entry.name
