"""Import the legacy tree of links: modules become constant sets, links assignments."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.deliveries import parse_module_name
from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import start_in_words
from panelcal.domain.report import ImportReport, Line, Progress, Status
from panelcal.domain.text import printable
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import IntegrityError, InvalidInputError, NotFoundError
from panelcal.services.delivery import read_delivery
from panelcal.services.gains_tree import Entry, GainsTree, scan_gains_tree
from panelcal.storage.ledger import (
    add_assignment,
    history,
    register_panel,
)
from panelcal.storage.modules import ConstantSet, add_constant_set, constant_sets
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_type as read_detector_type

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, slots=True)
class Delivered:
    """A directory of the tree whose files were read.

    Parameters
    ----------
    path : Path
        The directory.
    module : str
        Name of the module it is a delivery for.
    digests : dict of str to str
        Digest of the payload of each kind.
    extra : tuple of str
        Files that are no part of a constant set.
    """

    path: Path
    module: str
    digests: dict[str, str]
    extra: tuple[str, ...]

    @property
    def left_out(self) -> str:
        """What the report says of files that are no part of a constant set."""
        return f"left out: {', '.join(map(printable, self.extra))}" if self.extra else ""

    @property
    def contents(self) -> "Contents":
        """What decides whether two deliveries are the same constant set."""
        return _contents(self.module, self.digests)


Contents = tuple[str, tuple[tuple[str, str], ...]]


def _contents(module: str, digests: Mapping[str, str]) -> Contents:
    return module, tuple(sorted(digests.items()))


@dataclass
class _Plan:
    """What is to be recorded, and the report on it."""

    known: dict[Contents, ConstantSet]
    new_sets: dict[Contents, Delivered] = field(default_factory=dict)
    new_assignments: list[tuple[Entry, Delivered]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def add_set(self, delivered: Delivered) -> bool:
        """Plan a constant set unless it is known or planned; say whether it is new."""
        contents = delivered.contents
        if contents in self.known or contents in self.new_sets:
            return False
        self.new_sets[contents] = delivered
        return True


def import_gains_tree(
    store: OpenStore,
    tree: Path,
    *,
    now: datetime,
    user: str,
    dry_run: bool = False,
    skip_bad: bool = False,
    cast: bool = False,
    supersede: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring a legacy gains tree into the store: everything, or nothing.

    Importing the same tree again adds nothing. Where a directory holds what an
    earlier revision of its module holds, that revision is meant.

    Parameters
    ----------
    tree : Path
        The directory of ``M0##`` directories and ``<panel id>[-<stamp>]`` links.
    dry_run : bool
        Read and judge everything, change nothing.
    skip_bad : bool
        Leave out what is refused or in conflict and take the rest.
    cast : bool
        Round delivered values to float32 where that loses bits.
    supersede : bool
        Record entries that differ from the ledger as corrections.
    progress : callable or None
        Told after each directory read.

    Returns
    -------
    ImportReport
        Every name of the tree and what became of it. What it says of refusals
        is raised by `ImportReport.raise_if_refused`, so that a caller can show
        it first.

    Raises
    ------
    NotFoundError
        There is no such directory, or nothing of a gains tree is in it.
    IntegrityError
        A payload cannot be written or read back.
    """
    with store.database.reading() as connection:
        detector_type = read_detector_type(connection)
    scanned = scan_gains_tree(tree, store.zone)
    if not scanned.entries and not scanned.modules:
        msg = f"{printable(tree)} holds neither modules nor names like panel ids"
        raise NotFoundError(msg, "name the directory that holds M044, M068, ...")
    with store.payloads.batch() as batch:
        keep = digest_of if dry_run else batch.add
        deliveries, refusals = _read_all(scanned, detector_type, cast, keep, progress)
        unit = store.database.reading() if dry_run else store.database.writing()
        with unit as connection:
            plan = _plan(connection, store.zone, scanned, deliveries, refusals, supersede)
            report = ImportReport(tuple(plan.lines), dry_run=dry_run, skip_bad=skip_bad)
            if report.is_to_be_written:
                at = recording_time(connection, now)
                # Also where no row is new: a payload that was lost is back then.
                batch.publish()
                _record(connection, detector_type, plan, at, user)
    return report


def _read_all(
    tree: GainsTree,
    detector_type: DetectorType,
    cast: bool,
    keep: "Callable[[np.ndarray[Any, Any]], str]",
    progress: Progress | None,
) -> tuple[dict[Path, Delivered], dict[Path, str]]:
    """Read every directory of constants; modules first, entries' own files after."""
    own = sorted({entry.directory for entry in tree.entries if entry.directory and entry.own_files})
    paths = [*tree.modules, *own]
    deliveries: dict[Path, Delivered] = {}
    refusals: dict[Path, str] = {}
    for done, path in enumerate(paths, start=1):
        try:
            _require_own_name(path, tree.modules)
            delivery = read_delivery(path, detector_type, cast=cast, inside=tree.root)
            digests = {name: keep(array) for name, array in delivery.payloads.items()}
            module = (
                parse_module_name(path.name)
                if path in tree.modules
                else _module_of_own_files(path, digests, deliveries)
            )
            deliveries[path] = Delivered(path, module, digests, delivery.extra)
        except InvalidInputError as error:
            refusals[path] = error.message
        if progress is not None:
            progress(done, len(paths), path.name)
    return deliveries, refusals


def _require_own_name(path: Path, modules: Sequence[Path]) -> None:
    """Refuse directories of one name in several places: either may be the module."""
    others = [other for other in modules if other.name == path.name and other != path]
    if path in modules and others:
        msg = f"there is another directory of that name: {printable(others[0])}"
        raise InvalidInputError(msg)


def _module_of_own_files(
    path: Path, digests: dict[str, str], deliveries: dict[Path, Delivered]
) -> str:
    """Name the module of an entry that is itself the directory of files.

    It is the module of the tree with the same contents, or, where there is
    none, one named after the panel.
    """
    equal = sorted({known.module for known in deliveries.values() if known.digests == digests})
    if len(equal) > 1:
        msg = f"holds its own files, the same as in {', '.join(equal)}: which one is meant?"
        raise InvalidInputError(msg)
    return equal[0] if equal else parse_module_name("-".join(path.name.split("-")[:3]))


def _plan(
    connection: Connection,
    zone: ZoneInfo,
    tree: GainsTree,
    deliveries: dict[Path, Delivered],
    refusals: dict[Path, str],
    supersede: bool,
) -> _Plan:
    plan = _Plan(_known_sets(connection))
    for path in tree.modules:
        plan.lines.append(_plan_module(plan, path, deliveries, refusals))
    rows = history(connection, {str(entry.panel) for entry in tree.entries if entry.panel})
    for entry in tree.entries:
        starting = {row.valid_from: row for row in in_force(rows.get(str(entry.panel), ()))}
        present = starting.get(entry.valid_from)
        status, content, reason = _plan_entry(
            plan, entry, deliveries, refusals, present, supersede, zone
        )
        plan.lines.append(Line(printable(entry.name), status, content, reason))
    plan.lines += [
        Line(printable(name), Status.IGNORED, "", reason) for name, reason in tree.ignored
    ]
    return plan


def _known_sets(connection: Connection) -> dict[Contents, ConstantSet]:
    """Return by contents the first revision of each module that holds them."""
    known: dict[Contents, ConstantSet] = {}
    for constant_set in constant_sets(connection):
        known.setdefault(_contents(constant_set.module, constant_set.digests), constant_set)
    return known


def _plan_module(
    plan: _Plan,
    path: Path,
    deliveries: dict[Path, Delivered],
    refusals: dict[Path, str],
) -> Line:
    name = printable(path.name)
    if path in refusals:
        return Line(name, Status.REFUSED, "", refusals[path])
    delivered = deliveries[path]
    if plan.add_set(delivered):
        return Line(name, Status.TAKEN, f"constant set of {delivered.module}", delivered.left_out)
    present = plan.known[delivered.contents]
    return Line(name, Status.ALREADY, f"{present.module}@{present.revision}", delivered.left_out)


def _plan_entry(
    plan: _Plan,
    entry: Entry,
    deliveries: dict[Path, Delivered],
    refusals: dict[Path, str],
    present: Assignment | None,
    supersede: bool,
    zone: ZoneInfo,
) -> tuple[Status, str, str]:
    if entry.refusal is not None or entry.directory is None:
        return Status.REFUSED, "", entry.refusal or "leads nowhere"
    if entry.directory in refusals:
        reason = refusals[entry.directory]
        if not entry.own_files:
            reason = f"{printable(entry.directory.name)} is refused"
        return Status.REFUSED, "", reason
    delivered = deliveries[entry.directory]
    start = start_in_words(entry.valid_from, zone)
    content = f"{entry.panel} uses {delivered.module} from {start}"
    notices = [entry.notice, delivered.left_out if entry.own_files else ""]
    same = plan.known.get(delivered.contents)
    if present is not None:
        if same is not None and (present.module, present.revision) == (
            same.module,
            same.revision,
        ):
            return Status.ALREADY, content, "; ".join(filter(None, notices))
        said = f"the ledger says {present.uses}"
        if present.module == delivered.module:
            said += f", whose contents differ from {printable(entry.directory.name)} here"
        if not supersede:
            return Status.CONFLICT, content, said
        notices.append(f"corrects the ledger: {said}")
    plan.add_set(delivered)
    plan.new_assignments.append((entry, delivered))
    return Status.TAKEN, content, "; ".join(filter(None, notices))


def _record(
    connection: Connection,
    detector_type: DetectorType,
    plan: _Plan,
    at: datetime,
    user: str,
) -> None:
    sets = dict(plan.known)
    for contents, delivered in plan.new_sets.items():
        sets[contents] = add_constant_set(
            connection,
            detector_type,
            delivered.module,
            delivered.digests,
            delivered_from=printable(delivered.path),
            now=at,
            user=user,
            reason=f"imported from the gains tree {printable(delivered.path.parent)}",
        )
    for entry, delivered in plan.new_assignments:
        if entry.panel is None:
            msg = f"the entry {entry.name} was planned without a panel"
            raise IntegrityError(msg)
        add_assignment(
            connection,
            register_panel(connection, detector_type, entry.panel),
            entry.valid_from,
            sets[delivered.contents].id,
            now=at,
            user=user,
            reason=f"imported from the gains tree entry {printable(entry.name)}",
        )
