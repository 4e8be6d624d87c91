"""Plans for random directories, held against the finder's rule and against every other plan."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from legacy_oracle import DirectoryOrderError, range_of
from panelcal.errors import IntegrityError
from panelcal.exporters.calib_plan import Plan, Wanted, plan_files

Content = frozenset[str]
Directory = Mapping[str, Content]
"""Names, and what each file holds; what is held together is alike."""

# Few numbers, so that ranges overlap, touch and coincide; two contents and a third.
runs = st.sampled_from([0, 3, 5, 6, 7, 9, 9998, 9999, 10000, 12000])
contents = st.sampled_from(["A", "B", "C"])
filled = st.sampled_from([frozenset("A"), frozenset("B"), frozenset("C"), frozenset("AB")])
begins = st.sampled_from(["0", "3", "03", "4", "5", "005", "6", "8", "9999"])
ends = st.sampled_from(["end", "end", "end", "5", "6", "07", "9", "9998", "9999"])
names = st.builds("{}-{}.data".format, begins, ends)
wishes = st.dictionaries(runs, st.one_of(st.none(), contents), max_size=7).map(
    lambda found: [Wanted(run, content) for run, content in found.items()]
)
directories = st.dictionaries(names, filled, max_size=5)
reasons = st.just("is a directory")


def chosen(held: Directory, run: int) -> str | None:
    """Return the name that the finder picks, by its rule."""
    asked = min(run, 9999)
    ranges = [(name, range_of(name)) for name in held]
    fits = [(-both[0], both[1], name) for name, both in ranges if both and both[0] <= asked]
    fits = sorted(one for one in fits if asked <= one[1])
    if len(fits) > 1 and fits[0][:2] == fits[1][:2]:
        raise DirectoryOrderError
    return fits[0][2] if fits else None


def content(held: Directory, run: int) -> Content | None:
    name = chosen(held, run)
    return None if name is None else held[name]


def is_plain(held: Directory, wanted: Sequence[Wanted]) -> bool:
    """Tell whether the directory's order matters to nobody."""
    try:
        for want in wanted:
            chosen(held, want.run)
    except DirectoryOrderError:
        return False
    return True


def settled(
    wanted: Sequence[Wanted], present: Directory, fixed: Mapping[str, str]
) -> tuple[list[Wanted], Plan, set[int]]:
    """Plan until nothing is blocked, as a job does."""
    given_up: set[int] = set()
    while True:
        now = [Wanted(one.run, None if one.run in given_up else one.content) for one in wanted]
        plan = plan_files(now, present, fixed)
        wishing = {one.run for one in now if one.content is not None}
        if not plan.blocked.keys() & wishing:
            return now, plan, given_up
        given_up |= plan.blocked.keys() & wishing


def alike(content: Content, present: Directory) -> Content:
    """Return a content with what is like it: A and B, if a file holds both."""
    return (
        content | frozenset("AB")
        if content & {"A", "B"} and any(held >= {"A", "B"} for held in present.values())
        else content
    )


def carried_out(
    plan: Plan, wanted: Sequence[Wanted], present: Directory
) -> list[dict[str, Content]]:
    """Return the directory after each step, the last run's first."""
    wish = {one.run: one.content for one in wanted}
    states = [dict(present)]
    for step in reversed(plan.steps):
        held = dict(states[-1])
        own = wish[step.run]
        told = held[step.copy_of] if step.copy_of else frozenset(own or ())
        assert told
        held[step.name] = alike(told, present)
        states.append(held)
    return states


def target(want: Wanted, present: Directory) -> Content | None:
    """Return what a run is to read one of: its own, or what it read before."""
    return content(present, want.run) if want.content is None else frozenset(want.content)


@settings(deadline=None, max_examples=400)
@given(wanted=wishes, present=directories, fixed=st.dictionaries(names, reasons, max_size=1))
def test_after_the_steps_every_run_reads_what_it_is_to_read(
    wanted: list[Wanted], present: dict[str, Content], fixed: dict[str, str]
) -> None:
    assume(is_plain(present, wanted))
    fixed = {name: why for name, why in fixed.items() if name in present}
    present |= {name: frozenset({f"unreadable {name}"}) for name in fixed}
    now, plan, _ = settled(wanted, present, fixed)
    after = carried_out(plan, now, present)[-1]
    for want in now:
        assert plan.reads[want.run] == chosen(after, want.run)
        expected = target(want, present)
        if expected is not None:
            assert expected & (content(after, want.run) or frozenset())
    for step in plan.steps:
        assert step.name not in fixed
        assert step.copy_of not in fixed


@settings(deadline=None, max_examples=400)
@given(wanted=wishes, present=directories)
def test_at_every_moment_a_run_reads_what_it_read_or_what_it_is_to_read(
    wanted: list[Wanted], present: dict[str, Content]
) -> None:
    assume(is_plain(present, wanted))
    now, plan, _ = settled(wanted, present, {})
    states = carried_out(plan, now, present)
    for held in states:
        for want in now:
            expected = {content(present, want.run), content(states[-1], want.run)}
            assert content(held, want.run) in expected


@settings(deadline=None, max_examples=400)
@given(wanted=wishes, present=directories, stop=st.integers(0, 7))
def test_a_plan_after_a_plan_of_which_any_part_was_done_does_the_rest(
    wanted: list[Wanted], present: dict[str, Content], stop: int
) -> None:
    assume(is_plain(present, wanted))
    now, plan, _ = settled(wanted, present, {})
    states = carried_out(plan, now, present)
    done = min(stop, len(plan.steps))
    again = plan_files(now, states[done])
    left = plan.steps[: len(plan.steps) - done]
    assert [step.name for step in again.steps] == [step.name for step in left]
    assert carried_out(again, now, states[done])[-1] == states[-1]


@settings(deadline=None, max_examples=250)
@given(wanted=wishes, present=directories)
def test_no_fewer_files_would_do(wanted: list[Wanted], present: dict[str, Content]) -> None:
    assume(is_plain(present, wanted))
    now, plan, _ = settled(wanted, present, {})
    expected = {want.run: target(want, present) for want in now}
    told = sorted({alike(one, present) for one in expected.values() if one is not None}, key=sorted)
    # Any number may begin a file, not only that of a registered run.
    places = sorted({min(run, 9999) for want in now for run in (want.run, want.run - 1)} - {-1})
    for count in range(len(plan.steps)):
        for begins_at in combinations(places, count):
            for held in fillings(begins_at, told):
                after = present | held
                assert not is_plain(after, now) or any(
                    wish is not None and not wish & (content(after, run) or frozenset())
                    for run, wish in expected.items()
                )


def fillings(begins_at: Sequence[int], told: Sequence[Content]) -> list[dict[str, Content]]:
    """Return every way to fill files that begin there."""
    found: list[dict[str, Content]] = [{}]
    for begin in begins_at:
        found = [held | {f"{begin}-end.data": one} for held in found for one in told]
    return found


@settings(deadline=None, max_examples=300)
@given(wanted=wishes, present=directories)
def test_a_run_is_blocked_only_if_no_file_of_its_own_would_be_read_by_it_alone(
    wanted: list[Wanted], present: dict[str, Content]
) -> None:
    assume(is_plain(present, wanted))
    last = [target(want, present) for want in wanted if want.run >= 9999]
    is_torn = len({alike(one, present) for one in last if one is not None}) > 1
    _, _, given_up = settled(wanted, present, {})
    for run in given_up:
        own = f"{min(run, 9999)}-end.data"
        with_own = {**present, own: frozenset({"own"})}
        assert (run >= 9999 and is_torn) or not (
            is_plain(with_own, [Wanted(run, None)])
            and chosen(with_own, run) == own
            and not any(range_of(name) == range_of(own) for name in present if name != own)
        )


@settings(deadline=None, max_examples=200)
@given(wanted=wishes.filter(bool), present=directories)
def test_names_that_leave_the_choice_to_the_directory_are_refused(
    wanted: list[Wanted], present: dict[str, Content]
) -> None:
    if is_plain(present, wanted):
        settled(wanted, present, {})
    else:
        with pytest.raises(IntegrityError):
            plan_files(wanted, present)
