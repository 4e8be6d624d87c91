"""Which files a calibration type's directory needs, so that every run reads the right one."""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from panelcal.exporters.calib_dir import LAST_RUN, choose_file, file_name, parse_file_name


class Finder:
    """The legacy finder's choices among names, each of which is parsed once (spec §8).

    Parameters
    ----------
    names : iterable of str
        Everything in a directory.

    Raises
    ------
    IntegrityError
        A name makes the finder crash.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # By begin and, where that is the same, the wider first: the finder's order backwards.
        self._ranges: list[tuple[int, int]] = []
        self._names: dict[tuple[int, int], set[str]] = {}
        for name in sorted(names):
            self.add(name)

    def add(self, name: str) -> None:
        """Let there be a file of that name."""
        runs = parse_file_name(name)
        if runs is None:
            return
        key = runs.begin, -runs.end
        if key not in self._names:
            insort(self._ranges, key)
        self._names.setdefault(key, set()).add(name)

    def choose(self, run: int) -> str | None:
        """Return the file that is picked for a run, None if there is none.

        Raises
        ------
        IntegrityError
            Two names mean the same runs, so that the directory's order would decide.
        """
        asked = min(run, LAST_RUN)
        for place in reversed(range(bisect_right(self._ranges, (asked, 0)))):
            runs = self._ranges[place]
            if asked <= -runs[1]:
                return choose_file(self._names[runs], run)
        return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a registered run is to read.

    Parameters
    ----------
    run : int
        Its number.
    content : str or None
        A name for the content; None where nobody knows: the run keeps what it
        reads now, if it reads a file.
    """

    run: int
    content: str | None


@dataclass(frozen=True, slots=True)
class Step:
    """A file to be written.

    Parameters
    ----------
    run : int
        The run that it is written for; its validity begins there.
    name : str
        ``<run>-end.data``.
    copy_of : str or None
        The file that is copied, so that the run keeps what it reads now; None
        where the run is to read its own constants.
    """

    run: int
    name: str
    copy_of: str | None


@dataclass(slots=True)
class Plan:
    """The fewest files that leave every run with what it is to read.

    Attributes
    ----------
    steps : list of Step
        By ascending run. Carried out in *descending* order none of them changes,
        even for a moment, what another registered run reads.
    read_before, reads : dict of int to str or None
        The file that each run reads now, and when all steps are done.
    blocked : dict of int to str
        Runs that cannot be given what they want, and why. As long as there are
        any the plan is not to be carried out: plan again, and let them want None.
    """

    steps: list[Step] = field(default_factory=list)
    read_before: dict[int, str | None] = field(default_factory=dict)
    reads: dict[int, str | None] = field(default_factory=dict)
    blocked: dict[int, str] = field(default_factory=dict)


_NOTHING: Mapping[str, str] = MappingProxyType({})


def plan_files(
    wanted: Sequence[Wanted],
    present: Mapping[str, frozenset[str]],
    fixed: Mapping[str, str] = _NOTHING,
) -> Plan:
    """Plan the files of one directory, in the order of runs (design §5).

    A file ``<run>-end.data`` is read by its run and all later ones up to the
    next begin, so that the first run that reads something else needs a file of
    its own, and so does every later run that the new file would take over.

    Parameters
    ----------
    wanted : sequence of Wanted
        Every registered run, each once.
    present : mapping of str to frozenset of str
        The names that are there, and what each holds. Contents that a file holds
        together are alike: a file that is written with one holds the other. A
        file that a run reads holds one at least; of others this may be empty.
    fixed : mapping of str to str
        Names that can neither be copied nor replaced, and why: "is a directory".

    Raises
    ------
    IntegrityError
        The names that are there make the finder crash, or its answer random.
    """
    finder = Finder(present)
    before = {want.run: finder.choose(want.run) for want in wanted}
    plan = Plan(read_before=before, blocked=_torn(wanted, before, present))
    held = dict(present)
    for want in sorted(wanted, key=lambda one: one.run):
        copy_of = before[want.run] if want.content is None else None
        content = _to_read(want, before, present)
        now = finder.choose(want.run)
        is_served = now is not None and not content.isdisjoint(held[now])
        if not content or is_served or want.run in plan.blocked:
            continue
        if copy_of is not None and copy_of in fixed:
            # Whatever is in its way was put there for the last run that has constants.
            cause = next(step.run for step in reversed(plan.steps) if step.copy_of is None)
            said = f"run {want.run} would no longer read {copy_of}, which {fixed[copy_of]}"
            plan.blocked.setdefault(cause, said)
            continue
        name = own_name(want.run)
        obstacle = _obstacle(name, now, want.run, fixed)
        if obstacle:
            plan.blocked[want.run] = obstacle
            continue
        held[name] = _alike(content, present)
        finder.add(name)
        plan.steps.append(Step(want.run, name, copy_of))
    plan.reads = {want.run: finder.choose(want.run) for want in wanted}
    return plan


def _to_read(
    want: Wanted, before: Mapping[int, str | None], present: Mapping[str, frozenset[str]]
) -> frozenset[str]:
    """Return the contents that do for a run; none if it has nothing to keep."""
    if want.content is not None:
        return frozenset({want.content})
    name = before[want.run]
    return frozenset() if name is None else present[name]


def own_name(run: int) -> str:
    """Return the file that a run gets; from 9999 on the finder looks all runs up as 9999."""
    return file_name(min(run, LAST_RUN))


def _alike(content: frozenset[str], present: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return contents, and those that a file holds together with one of them."""
    return content.union(*(held for held in present.values() if held & content))


def _torn(
    wanted: Sequence[Wanted],
    before: Mapping[int, str | None],
    present: Mapping[str, frozenset[str]],
) -> dict[int, str]:
    """Return the runs from the last number on, if what they are to read is not the same."""
    last = [want for want in wanted if want.run >= LAST_RUN]
    contents = [content for want in last if (content := _to_read(want, before, present))]
    if all(content & _alike(contents[0], present) for content in contents):
        return {}
    numbers = ", ".join(str(want.run) for want in last)
    said = f"runs {numbers} all read {own_name(LAST_RUN)}, and not all are to read the same"
    return {want.run: said for want in last if want.content is not None}


def _obstacle(name: str, now: str | None, run: int, fixed: Mapping[str, str]) -> str:
    """Say what keeps a file of that name from being read for a run; empty if nothing does."""
    if name in fixed:
        return f"{name} {fixed[name]}"
    if now is None or now == name:
        return ""
    if parse_file_name(now) == parse_file_name(name):
        return f"{now} is for the same runs as {name}: remove or rename it"
    if choose_file((now, name), run) != name:
        return f"{now} would be read, not {name}: remove or rename it"
    return ""
