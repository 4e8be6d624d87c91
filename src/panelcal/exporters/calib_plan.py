"""Which files a calibration type's directory needs, so that every run reads the right one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from panelcal.exporters.calib_dir import LAST_RUN, choose_file, file_name, parse_file_name


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a registered run is to read.

    Parameters
    ----------
    run : int
        Its number.
    content : str or None
        A name for the content; None where nobody knows: the run keeps what it
        reads now.
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
    reads : dict of int to str or None
        The file that each run reads when all steps are done.
    blocked : dict of int to str
        Runs that cannot be given what they want, and why. As long as there are
        any the plan is not to be carried out: plan again, and let them want None.
    """

    steps: list[Step] = field(default_factory=list)
    reads: dict[int, str | None] = field(default_factory=dict)
    blocked: dict[int, str] = field(default_factory=dict)


_NOTHING: Mapping[str, str] = MappingProxyType({})


def plan_files(
    wanted: Sequence[Wanted],
    present: Mapping[str, str],
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
    present : mapping of str to str
        The names that are there, and what each holds; of a file that no run
        reads this may be anything.
    fixed : mapping of str to str
        Names that can neither be copied nor replaced, and why: "is a directory".

    Raises
    ------
    IntegrityError
        The names that are there make the finder crash, or its answer random.
    """
    plan = Plan(blocked=_torn(wanted, present))
    held = dict(present)
    for want in sorted(wanted, key=lambda one: one.run):
        before, now = choose_file(present, want.run), choose_file(held, want.run)
        content, copy_of = want.content, None
        if content is None and before is not None:
            content, copy_of = present[before], before
        is_served = content is None or (now is not None and held[now] == content)
        if is_served or want.run in plan.blocked:
            continue
        name = own_name(want.run)
        if copy_of is not None and copy_of in fixed:
            # Whatever is in its way was put there for the last run that has constants.
            cause = next(step.run for step in reversed(plan.steps) if step.copy_of is None)
            said = f"run {want.run} would no longer read {copy_of}, which {fixed[copy_of]}"
            plan.blocked.setdefault(cause, said)
            continue
        obstacle = _obstacle(name, want.run, held, fixed)
        if obstacle:
            plan.blocked[want.run] = obstacle
            continue
        held[name] = str(content)
        plan.steps.append(Step(want.run, name, copy_of))
    plan.reads = {want.run: choose_file(held, want.run) for want in wanted}
    return plan


def own_name(run: int) -> str:
    """Return the file that a run gets; from 9999 on the finder looks all runs up as 9999."""
    return file_name(min(run, LAST_RUN))


def _torn(wanted: Sequence[Wanted], present: Mapping[str, str]) -> dict[int, str]:
    """Return the runs from the last number on, if what they are to read is not the same."""
    last = [want for want in wanted if want.run >= LAST_RUN]
    if len(last) < 2:
        return {}
    before = choose_file(present, LAST_RUN)
    kept = None if before is None else present[before]
    contents = {want.content or kept for want in last} - {None}
    if len(contents) < 2:
        return {}
    numbers = ", ".join(str(want.run) for want in last)
    said = f"runs {numbers} all read {own_name(LAST_RUN)}, and not all are to read the same"
    return {want.run: said for want in last if want.content is not None}


def _obstacle(name: str, run: int, held: Mapping[str, str], fixed: Mapping[str, str]) -> str:
    """Say what keeps a file of that name from being read for a run; empty if nothing does."""
    if name in fixed:
        return f"{name} {fixed[name]}"
    same = [one for one in held if one != name and parse_file_name(one) == parse_file_name(name)]
    if same:
        return f"{same[0]} is for the same runs as {name}: remove or rename it"
    chosen = choose_file({*held, name}, run)
    if chosen != name:
        return f"{chosen} would be read, not {name}: remove or rename it"
    return ""
