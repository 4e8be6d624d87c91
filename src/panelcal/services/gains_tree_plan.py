"""What importing a gains tree would record, and the report on it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.ids import PanelId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import start_in_words
from panelcal.domain.report import Line, Status
from panelcal.domain.text import printable
from panelcal.domain.validity import Assignment, in_force
from panelcal.services.gains_tree import Entry, GainsTree
from panelcal.storage.ledger import history, panels
from panelcal.storage.modules import ConstantSet, constant_sets


@dataclass(frozen=True, slots=True)
class Delivered:
    """A directory of the tree whose files were read.

    Parameters
    ----------
    path : Path
        The directory.
    module : str
        Name of the module it is a delivery for.
    detector_type : DetectorType
        Of that module.
    digests : dict of str to str
        Digest of the payload of each kind.
    extra : tuple of str
        Files that are no part of a constant set.
    """

    path: Path
    module: str
    detector_type: DetectorType
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
"""Module, and by kind the digests of a constant set's payloads."""


def _contents(module: str, digests: Mapping[str, str]) -> Contents:
    return module, tuple(sorted(digests.items()))


@dataclass(frozen=True, slots=True)
class EntryAssignment:
    """A row of the ledger that an entry stands for.

    Parameters
    ----------
    panel : PanelId
        The panel.
    valid_from : datetime or None
        First moment, UTC; None is *the beginning*.
    delivered : Delivered
        What it uses.
    entry : str
        Name of the entry.
    """

    panel: PanelId
    valid_from: datetime | None
    delivered: Delivered
    entry: str


@dataclass
class GainsTreePlan:
    """What is to be recorded, and the report on it.

    Parameters
    ----------
    known : dict of Contents to ConstantSet
        By contents the first revision of each module that is recorded.
    of_panels : dict of str to str
        Name of the detector type of each panel, registered or planned.
    new_sets : dict of Contents to Delivered
        Constant sets to be recorded.
    new_assignments : list of EntryAssignment
        Rows of the ledger to be added.
    lines : list of Line
        The report: a line for every name of the tree.
    """

    known: dict[Contents, ConstantSet]
    of_panels: dict[str, str]
    new_sets: dict[Contents, Delivered] = field(default_factory=dict)
    new_assignments: list[EntryAssignment] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def add_set(self, delivered: Delivered) -> bool:
        """Plan a constant set unless it is known or planned; say whether it is new."""
        contents = delivered.contents
        if contents in self.known or contents in self.new_sets:
            return False
        self.new_sets[contents] = delivered
        return True


def plan_gains_tree(
    connection: Connection,
    zone: ZoneInfo,
    tree: GainsTree,
    deliveries: dict[Path, Delivered],
    refusals: dict[Path, str],
    supersede: bool,
) -> GainsTreePlan:
    """Judge a tree that has been read against what is recorded now.

    Parameters
    ----------
    zone : ZoneInfo
        In which stamps are told.
    deliveries : dict of Path to Delivered
        What was read, by directory.
    refusals : dict of Path to str
        Directories that are refused, and why.
    supersede : bool
        Plan entries that differ from the ledger as corrections.
    """
    of_panels = {panel.name: panel.detector_type for panel in panels(connection)}
    plan = GainsTreePlan(_known_sets(connection), of_panels)
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
    plan: GainsTreePlan,
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
    plan: GainsTreePlan,
    entry: Entry,
    deliveries: dict[Path, Delivered],
    refusals: dict[Path, str],
    present: Assignment | None,
    supersede: bool,
    zone: ZoneInfo,
) -> tuple[Status, str, str]:
    if entry.refusal is not None or entry.directory is None or entry.panel is None:
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
    of = delivered.detector_type.name
    its_type = plan.of_panels.setdefault(str(entry.panel), of)
    if its_type != of:
        reason = f"the panel is of detector type {its_type}, {delivered.module} is of {of}"
        return Status.REFUSED, content, reason
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
    plan.new_assignments.append(
        EntryAssignment(entry.panel, entry.valid_from, delivered, entry.name)
    )
    return Status.TAKEN, content, "; ".join(filter(None, notices))
