"""Collect garbage: payloads that no row names, and what interrupted writers left."""

import os
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal
from uuid import uuid4

from panelcal.domain.findings import Severity
from panelcal.domain.garbage import Garbage, GcReport
from panelcal.domain.report import Progress
from panelcal.domain.text import count_of
from panelcal.errors import ConflictError, IntegrityError, PanelcalError
from panelcal.services.fsck import fsck, staging_directories
from panelcal.services.fsck_database import named_payloads
from panelcal.storage.bundle import refuse_writing
from panelcal.storage.payload_files import sync_directory
from panelcal.storage.payload_tree import PayloadTree, changed_at, read_tree, size_of
from panelcal.storage.payloads import STAGING_NAME
from panelcal.storage.reader import rows_of
from panelcal.storage.store import OpenStore, is_bundle
from panelcal.temporary import is_in_use, remove_tree

SAFE_AGE = timedelta(days=1)
"""What is younger may be in the hands of a writer who is still at work."""


def collect_garbage(
    store: OpenStore,
    *,
    now: datetime,
    older_than: timedelta = SAFE_AGE,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> GcReport:
    """Remove what no row names; no answer about any time changes by it.

    A payload that any row names stays, whatever the row is and however old; rows
    are never removed. Orphans are judged and moved away in a unit of work, while
    no writer is between publishing payloads and recording them. A batch that
    relies on an orphan notices that it went when it publishes.

    Parameters
    ----------
    now : datetime
        The time, aware.
    older_than : timedelta
        Only what was not changed for so long.
    dry_run : bool
        Say what would go, and change nothing.
    progress : callable or None
        Told after each thing removed.

    Raises
    ------
    IntegrityError
        Fsck finds errors: a payload may seem an orphan because its row was lost.
    ConflictError
        There is no constant set at all, but there are payloads.
    InvalidInputError
        It is a bundle.
    PanelcalError
        Something cannot be removed.
    """
    if is_bundle(store.directory):
        refuse_writing(store.directory)
    _require_sound(store, now)
    limit = now - older_than
    unit = store.database.reading() if dry_run else store.database.writing()
    with unit as connection:
        tree = read_tree(store.payloads.root)
        _require_sets(rows_of(connection, "SELECT count(*) FROM constant_set")[0][0], tree)
        named = named_payloads(connection)
        orphans = [path for digest, path in sorted(tree.digests.items()) if digest not in named]
        old, young = _by_age("orphan", orphans, limit)
        trash = [] if dry_run else _moved_away(store.payloads.root, old)
    left_over = [*tree.left_over, *staging_directories(store.directory)]
    stale, fresh = _by_age("left-over", left_over, limit)
    if not dry_run:
        # What was moved away by us is no left-over of somebody else's.
        doomed = [*trash, *(Path(one.path) for one in stale)]
        _remove(doomed, progress)
    return GcReport(str(store.directory), dry_run, (*old, *stale), (*young, *fresh))


def _require_sound(store: OpenStore, now: datetime) -> None:
    report = fsck(store.directory, now=now)
    errors = [one for one in report.findings if one.severity is Severity.ERROR]
    if errors:
        first = errors[0]
        msg = (
            f"fsck finds {count_of(len(errors), 'error')} in {store.directory}, such as "
            f"{first.code} of {first.subject}; nothing was removed"
        )
        raise IntegrityError(msg, "panelcal fsck says what to do; a lost row makes no orphan")


def _require_sets(constant_sets: int, tree: PayloadTree) -> None:
    if tree.digests and not constant_sets:
        msg = (
            f"the database has no constant set, but there are "
            f"{count_of(len(tree.digests), 'payload')}; nothing was removed"
        )
        hint = "is it the right database? If nothing was ever recorded, deliver something first"
        raise ConflictError(msg, hint)


def _by_age(
    what: Literal["orphan", "left-over"], paths: Iterable[Path], limit: datetime
) -> tuple[list[Garbage], list[Garbage]]:
    """Return what is old enough to go, and what is not or is held by a living process."""
    old: list[Garbage] = []
    young: list[Garbage] = []
    for path in paths:
        one = Garbage(what, str(path), size_of(path))
        # Whoever holds it is at work, however long ago that was to be seen.
        goes = changed_at(path) <= limit and not is_in_use(path)
        (old if goes else young).append(one)
    return old, young


def _moved_away(root: Path, orphans: Iterable[Garbage]) -> list[Path]:
    """Take the names from payloads, so that none is ever half there under its digest.

    They become left-overs, which the next collection removes if this one is killed.
    """
    trash = []
    for one in orphans:
        path = Path(one.path)
        target = root / STAGING_NAME / f"{path.name}.{uuid4().hex}"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        trash.append(target)
    for folder in sorted({Path(one.path).parent for one in orphans}):
        sync_directory(folder)
    return trash


def _remove(doomed: Collection[Path], progress: Progress | None) -> None:
    for done, path in enumerate(doomed, 1):
        if path.is_dir() and not path.is_symlink():
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)
        if progress is not None:
            progress(done, len(doomed), path.name[:8])
    stuck = [path for path in doomed if os.path.lexists(path)]
    if stuck:
        msg = f"{count_of(len(stuck), 'left-over')} could not be removed, such as {stuck[0]}"
        raise PanelcalError(msg, "look at the permissions, and try again")
