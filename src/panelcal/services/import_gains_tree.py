"""Import the legacy tree of links: modules become constant sets, links assignments."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from panelcal.domain.deliveries import parse_module_name
from panelcal.domain.digest import digest_of
from panelcal.domain.ids import PanelId
from panelcal.domain.kinds import DetectorType
from panelcal.domain.report import ImportReport, Progress
from panelcal.domain.text import printable
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.services.delivery import read_delivery
from panelcal.services.gains_tree import GainsTree, scan_gains_tree
from panelcal.services.gains_tree_plan import (
    Contents,
    Delivered,
    GainsTreePlan,
    plan_gains_tree,
)
from panelcal.services.type_choice import TypeChoice
from panelcal.storage.approvals import require_no_approval
from panelcal.storage.ledger import (
    PROPOSE,
    NewAssignment,
    Panel,
    add_assignments,
    register_panels,
)
from panelcal.storage.modules import NewConstantSet, add_constant_sets
from panelcal.storage.payload_batch import PayloadBatch
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    import numpy as np


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
    detector_type: str | None = None,
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
    detector_type : str or None
        Name of the type that new modules are to be of; None is the store's only
        one, or jungfrau. Modules that have deliveries keep their types.
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
        There is no such directory, nothing of a gains tree is in it, or no such
        detector type.
    IntegrityError
        A payload cannot be written or read back.
    """
    with store.database.reading() as connection:
        choice = TypeChoice(connection, detector_type)
    scanned = scan_gains_tree(tree, store.zone)
    if not scanned.entries and not scanned.modules:
        msg = f"{printable(tree)} holds neither modules nor names like panel ids"
        raise NotFoundError(msg, "name the directory that holds M044, M068, ...")
    with store.payloads.batch() as batch:
        keep = digest_of if dry_run else batch.submit
        deliveries, refusals = _read_all(scanned, choice, batch, keep, cast, progress)
        # While the store is locked nothing is waited for but the rows.
        batch.settle()
        unit = store.database.reading() if dry_run else store.database.writing()
        with unit as connection:
            plan = plan_gains_tree(connection, store.zone, scanned, deliveries, refusals, supersede)
            report = ImportReport(tuple(plan.lines), dry_run=dry_run, skip_bad=skip_bad)
            if report.is_to_be_written:
                if plan.new_assignments:
                    require_no_approval(connection, PROPOSE)
                at = recording_time(connection, now)
                # Also where no row is new: a payload that was lost is back then.
                batch.publish()
                _record(connection, plan, at, user)
    return report


def _read_all(
    tree: GainsTree,
    choice: TypeChoice,
    batch: PayloadBatch,
    keep: "Callable[[np.ndarray[Any, Any]], str]",
    cast: bool,
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
            its_type = (
                choice.of_module(path.name)
                if path in tree.modules
                else choice.of_own_files(_panel_of(path))
            )
            delivery = read_delivery(
                path, its_type, cast=cast, inside=tree.root, memory=batch.memory
            )
            digests = {name: keep(array) for name, array in delivery.payloads.items()}
            module = (
                parse_module_name(path.name)
                if path in tree.modules
                else _module_of_own_files(path, digests, deliveries)
            )
            deliveries[path] = Delivered(path, module, its_type, digests, delivery.extra)
        except (InvalidInputError, ConflictError) as error:
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
    return equal[0] if equal else parse_module_name(_panel_of(path))


def _panel_of(path: Path) -> str:
    """Return the panel of an entry ``<panel id>[-<stamp>]``."""
    return "-".join(path.name.split("-")[:3])


def _record(connection: Connection, plan: GainsTreePlan, at: datetime, user: str) -> None:
    sets = dict(plan.known)
    new: dict[DetectorType, dict[Contents, Delivered]] = defaultdict(dict)
    for contents, one in plan.new_sets.items():
        new[one.detector_type][contents] = one
    for detector_type, of_type in new.items():
        added = add_constant_sets(
            connection,
            detector_type,
            [
                NewConstantSet(
                    one.module,
                    one.digests,
                    printable(one.path),
                    f"imported from the gains tree {printable(one.path.parent)}",
                )
                for one in of_type.values()
            ],
            now=at,
            user=user,
        )
        sets |= dict(zip(of_type, added, strict=True))
    ids: dict[DetectorType, list[PanelId]] = defaultdict(list)
    for row in plan.new_assignments:
        ids[row.delivered.detector_type].append(row.panel)
    registered: dict[str, Panel] = {}
    for detector_type, named in ids.items():
        registered |= register_panels(connection, detector_type, named)
    add_assignments(
        connection,
        [
            NewAssignment(
                registered[str(one.panel)],
                one.valid_from,
                sets[one.delivered.contents].id,
                f"imported from the gains tree entry {printable(one.entry)}",
            )
            for one in plan.new_assignments
        ],
        now=at,
        user=user,
    )
