"""What of a bundle a store lacks: record by record, the rest of what it has the beginning of."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias
from zoneinfo import ZoneInfo

from panelcal.domain.continuation import Joined, join, window_of
from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import iso_utc
from panelcal.domain.quality import Rule
from panelcal.domain.report import Line, Status
from panelcal.domain.runs import Dataset, Run
from panelcal.domain.tags import Tag
from panelcal.domain.text import count_of
from panelcal.domain.validity import Assignment
from panelcal.errors import ConflictError
from panelcal.services.detector_types import new_types
from panelcal.services.runs import difference, facts
from panelcal.storage.ledger import history, panels
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.quality import RecordedVerdict, rules, verdicts_of
from panelcal.storage.runs import run_records
from panelcal.storage.tags import tags as stored_tags
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

    Entry: TypeAlias = ConstantSet | Assignment | Run


@dataclass(frozen=True)
class Records:
    """The record of a store or of a bundle, thing by thing, in the order of recording.

    Parameters
    ----------
    types : DetectorTypes
        All that it has.
    modules : mapping of str to sequence of ConstantSet
        Revisions by module.
    panels : mapping of str to sequence of Assignment
        Rows of the ledger by panel id.
    of_panels : mapping of str to str
        Name of the detector type by panel id.
    runs : mapping of (Dataset, str) to sequence of Run
        Rows by run and source.
    tags : mapping of str to Tag
        By name.
    verdicts : mapping of (str, int) to sequence of RecordedVerdict
        What was said of each constant set, by module and revision.
    rules : mapping of str to sequence of Rule
        Rules of quality by the name of their detector type.
    """

    types: DetectorTypes
    modules: Mapping[str, Sequence[ConstantSet]]
    panels: Mapping[str, Sequence[Assignment]]
    of_panels: Mapping[str, str]
    runs: Mapping[tuple[Dataset, str], Sequence[Run]]
    tags: Mapping[str, Tag]
    verdicts: Mapping[tuple[str, int], Sequence[RecordedVerdict]]
    rules: Mapping[str, Sequence[Rule]]


@dataclass
class BundlePlan:
    """What is to be recorded, with the transaction time of each thing.

    Parameters
    ----------
    lines : list of Line
        What becomes of each new detector type, module, panel, run and tag of the bundle.
    types : list of DetectorType
        Those of the bundle that the store has not.
    sets, assignments, runs, tags : list
        What is to be recorded, as it was recorded in the bundle.
    times : dict of datetime to datetime
        Transaction time here by that in the bundle, for what is to be recorded.
    as_of : dict of str to datetime
        What each new tag is to stand for.
    """

    lines: list[Line] = field(default_factory=list)
    types: list[DetectorType] = field(default_factory=list)
    sets: list[ConstantSet] = field(default_factory=list)
    assignments: list[Assignment] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    times: dict[datetime, datetime] = field(default_factory=dict)
    as_of: dict[str, datetime] = field(default_factory=dict)

    def require_no_conflict(self) -> None:
        """Refuse unless everything continues what the store has.

        Raises
        ------
        ConflictError
            Something does not; it is named, with the first difference.
        """
        found = [line for line in self.lines if line.status is Status.CONFLICT]
        if found:
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            msg = f"{found[0].name}: {found[0].reason}{more}; nothing was written"
            hint = "one of both histories is not the other's; import into a store of its own"
            if found[0].name.startswith("tag "):
                hint = "--no-tags leaves the bundle's tags out"
            raise ConflictError(msg, hint)


def read_records(source: "Readable") -> Records:
    """Read the whole record of a store, or of a bundle."""
    modules: dict[str, list[ConstantSet]] = defaultdict(list)
    names = {}
    for one in constant_sets(source):
        modules[one.module].append(one)
        names[one.id] = one.module, one.revision
    verdicts: dict[tuple[str, int], list[RecordedVerdict]] = defaultdict(list)
    for verdict in verdicts_of(source, names):
        verdicts[names[verdict.constant_set_id]].append(verdict)
    runs: dict[tuple[Dataset, str], list[Run]] = defaultdict(list)
    for run in run_records(source):
        runs[run.dataset, run.source].append(run)
    types = detector_types(source)
    return Records(
        types,
        modules,
        history(source),
        {panel.name: panel.detector_type for panel in panels(source)},
        runs,
        {tag.name: tag for tag in stored_tags(source)},
        verdicts,
        {one.name: rules(source, one.id) for one in types},
    )


def plan_import(
    here: Records, there: Records, zone: ZoneInfo, at: datetime, *, with_tags: bool
) -> BundlePlan:
    """Compare a bundle with a store.

    Parameters
    ----------
    here, there : Records
        The store's record; the bundle's.
    zone : ZoneInfo
        Of the stamps in messages.
    at : datetime
        The first transaction time that can be used; each further one is a
        microsecond later.
    with_tags : bool
        Bring the tags, too.

    Raises
    ------
    ConflictError
        The bundle means another detector type by a name that the store has.
    InvalidInputError
        It brings one that panelcal could not work with.
    """
    plan = BundlePlan(types=new_types(here.types, there.types))
    plan.lines += [Line(f"type {one.name}", Status.TAKEN, one.told, "") for one in plan.types]
    joined: list[tuple[Joined[Any], Sequence[Any], Sequence[Any]]] = []

    def look(
        name: str,
        mine: Sequence["Entry"],
        theirs: Sequence["Entry"],
        says: Callable[[Any], object],
        told: Callable[[Any], str],
    ) -> Sequence[Any]:
        found = join(mine, theirs, says)
        plan.lines.append(_line(name, found, mine, theirs, told))
        joined.append((found, mine, theirs))
        return found.new

    for name in sorted(there.modules):
        mine, theirs = here.modules.get(name, ()), there.modules[name]
        plan.sets += look(f"module {name}", mine, theirs, _of_set, _set_told)
    for name in sorted(there.panels):
        mine_, theirs_ = here.panels.get(name, ()), there.panels[name]
        its_type = here.of_panels.get(name, there.of_panels[name])
        if its_type != there.of_panels[name]:
            told = (
                f"of detector type {its_type} in the store, {there.of_panels[name]} in the bundle"
            )
            plan.lines.append(Line(f"panel {name}", Status.CONFLICT, "", told))
            continue
        plan.assignments += look(
            f"panel {name}", mine_, theirs_, _of_row, lambda row: _row_told(row, zone)
        )
    for key in sorted(there.runs):
        _plan_run(plan, joined, key, here.runs.get(key, ()), there.runs[key], zone)
    tags = list(there.tags.values()) if with_tags else []
    new_tags = [tag for tag in tags if tag.name not in here.tags]
    entries: list[Any] = [*plan.sets, *plan.assignments, *plan.runs, *new_tags]
    for place, moment in enumerate(sorted({entry.recorded_at for entry in entries})):
        plan.times[moment] = at + timedelta(microseconds=place)
    if all(line.status is not Status.CONFLICT for line in plan.lines):
        times = _times(joined, plan.times)
        for tag in tags:
            _plan_tag(plan, here.tags.get(tag.name), tag, times)
    return plan


def _of_set(one: ConstantSet) -> object:
    return one.revision, one.detector_type, sorted(one.digests.items())


def _set_told(one: ConstantSet) -> str:
    held = ", ".join(f"{kind} {digest[:12]}" for kind, digest in sorted(one.digests.items()))
    return f"{one.module}@{one.revision} with {held}, of {one.detector_type}"


def _of_row(row: Assignment) -> object:
    # Constant sets of one name were compared by their digests.
    return row.valid_from, row.uses


def _row_told(row: Assignment, zone: ZoneInfo) -> str:
    return f"{row.uses} from {row.starts(zone)}"


def _line(
    name: str,
    found: Joined[Any],
    mine: Sequence[Any],
    theirs: Sequence[Any],
    told: Callable[[Any], str],
) -> Line:
    if found.differs_at is not None:
        place = found.differs_at
        reason = (
            f"its record {place + 1} is {told(mine[place])} in the store, "
            f"{told(theirs[place])} in the bundle"
        )
        return Line(name, Status.CONFLICT, "", reason)
    if not found.new:
        more = f", and {len(found.beyond)} later" if found.beyond else ""
        content = f"all {count_of(len(theirs), 'record')} are there{more}"
        return Line(name, Status.ALREADY, content, "")
    after = f" after the {found.shared} that are there" if found.shared else ""
    return Line(name, Status.TAKEN, f"{count_of(len(found.new), 'record')}{after}", "")


def _plan_run(
    plan: BundlePlan,
    joined: list[tuple[Joined[Any], Sequence[Any], Sequence[Any]]],
    key: tuple[Dataset, str],
    mine: Sequence[Run],
    theirs: Sequence[Run],
    zone: ZoneInfo,
) -> None:
    """Of a run the latest row holds: where both say the same, how they came there is past."""
    found = join(mine, theirs, facts)
    name = f"run {key[0]} {key[1]}"
    if found.differs_at is None:
        plan.lines.append(_line(name, found, mine, theirs, str))
        plan.runs += found.new
        joined.append((found, mine, theirs))
    elif facts(mine[-1]) == facts(theirs[-1]):
        plan.lines.append(Line(name, Status.ALREADY, "registered just so", ""))
        joined.append((Joined(1, (), ()), mine[-1:], theirs[-1:]))
    else:
        reason = f"registered otherwise: {difference(mine[-1], theirs[-1], zone)}"
        plan.lines.append(Line(name, Status.CONFLICT, "", reason))


def _times(
    joined: Sequence[tuple[Joined[Any], Sequence[Any], Sequence[Any]]],
    new: Mapping[datetime, datetime],
) -> list[tuple[datetime | None, datetime]]:
    """Return when each entry was recorded there, and when it was, or will be, here."""
    times: list[tuple[datetime | None, datetime]] = []
    for found, mine, theirs in joined:
        shared = zip(theirs[: found.shared], mine[: found.shared], strict=True)
        times += [(other.recorded_at, one.recorded_at) for other, one in shared]
        times += [(other.recorded_at, new[other.recorded_at]) for other in found.new]
        times += [(None, one.recorded_at) for one in found.beyond]
    return times


def _plan_tag(
    plan: BundlePlan,
    known: Tag | None,
    tag: Tag,
    times: Sequence[tuple[datetime | None, datetime]],
) -> None:
    window = window_of(tag.as_of, times)
    name = f"tag {tag.name}"
    if known is not None and window.has(known.as_of):
        plan.lines.append(Line(name, Status.ALREADY, "it pins the same here", ""))
    elif known is not None:
        reason = f"it stands for {iso_utc(known.as_of)} here, when other rows were recorded"
        plan.lines.append(Line(name, Status.CONFLICT, "", reason))
    elif window.is_empty:
        reason = "at no time did this store have just what it pins: other rows came first"
        plan.lines.append(Line(name, Status.CONFLICT, "", reason))
    else:
        as_of = window.first
        if as_of is None:
            before = plan.times[tag.recorded_at] if window.end is None else window.end
            as_of = before - timedelta(microseconds=1)
        plan.as_of[tag.name] = as_of
        plan.tags.append(tag)
        plan.lines.append(Line(name, Status.TAKEN, f"as of {iso_utc(as_of)}", ""))
