"""Importing a record against a plain model: sequences, sets of moments, and nothing else."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from panelcal.domain.continuation import join, window_of
from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType
from panelcal.domain.report import Status
from panelcal.domain.validity import Assignment
from panelcal.services.bundle_plan import Records, plan_import

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
LATER = BEGUN + timedelta(days=30)
PANELS = ("1-2-3", "1-2-4")
JUNGFRAU = DetectorType(1, "jungfrau", 3, 4, 8, "Jungfrau", "Jungfrau::CalibV1", ())

moments = st.integers(0, 6).map(lambda second: BEGUN + timedelta(seconds=second))
# What each row says is one of three things, so that histories meet, continue and diverge.
histories = st.fixed_dictionaries(
    {panel: st.lists(st.integers(1, 3), max_size=5) for panel in PANELS}
)


def record(histories: dict[str, list[int]], begun: datetime) -> Records:
    """Return the record of a store: every row recorded at a time of its own."""
    number, panels = 0, {}
    for panel, revisions in histories.items():
        rows = []
        for revision in revisions:
            number += 1
            at = begun + timedelta(seconds=number)
            rows.append(Assignment(number, panel, None, "M044", revision, at, "ann", "why"))
        if rows:
            panels[panel] = rows
    types = DetectorTypes((JUNGFRAU,))
    return Records(types, {}, panels, dict.fromkeys(PANELS, "jungfrau"), {}, {}, {}, {})


def said(record: Records) -> dict[str, list[int | None]]:
    return {panel: [row.revision for row in rows] for panel, rows in record.panels.items()}


@given(histories, histories)
def test_an_import_gives_the_longer_of_two_histories_or_a_conflict_where_they_part(
    here: dict[str, list[int]], there: dict[str, list[int]]
) -> None:
    mine, theirs = record(here, BEGUN), record(there, BEGUN + timedelta(days=1))
    plan = plan_import(mine, theirs, ZoneInfo("UTC"), LATER, with_tags=True)
    parted = [
        panel
        for panel in PANELS
        if here[panel][: len(there[panel])] != there[panel][: len(here[panel])]
    ]
    conflicts = [line.name for line in plan.lines if line.status is Status.CONFLICT]
    assert conflicts == [f"panel {panel}" for panel in parted]
    if parted:
        return
    after = {panel: list(here[panel]) for panel in PANELS}
    for row in plan.assignments:
        assert row.revision is not None
        after[row.panel].append(row.revision)
    assert after == {panel: max(here[panel], there[panel], key=len) for panel in PANELS}
    again = plan_import(
        record(after, BEGUN), theirs, ZoneInfo("UTC"), LATER + timedelta(days=1), with_tags=True
    )
    assert again.times == {}
    assert {line.status for line in again.lines} <= {Status.ALREADY}


@given(histories)
def test_rows_are_recorded_in_the_order_they_were_recorded_there(
    there: dict[str, list[int]],
) -> None:
    theirs = record(there, BEGUN)
    plan = plan_import(record({}, BEGUN), theirs, ZoneInfo("UTC"), LATER, with_tags=True)
    times = sorted(plan.times.items())
    assert [here for _, here in times] == sorted(plan.times.values())
    assert len(set(plan.times.values())) == len(times)
    assert all(here >= LATER for _, here in times)
    assert said(theirs) == {panel: list(rows) for panel, rows in there.items() if rows}


@given(st.lists(st.tuples(st.none() | moments, moments), max_size=6), moments, moments)
def test_a_tag_can_stand_for_just_the_times_at_which_what_it_saw_was_recorded(
    times: list[tuple[datetime | None, datetime]], as_of: datetime, moment: datetime
) -> None:
    saw = [there is not None and there <= as_of for there, _ in times]
    has = [here <= moment for _, here in times]
    window = window_of(as_of, times)
    assert window.has(moment) == (saw == has)
    if window.is_empty:
        assert not window.has(moment)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_joining_shares_the_common_beginning_and_nothing_else(
    here: list[int], there: list[int]
) -> None:
    found = join(here, there, lambda one: one)
    assert here[: found.shared] == there[: found.shared]
    if found.differs_at is None:
        assert [*here[: found.shared], *found.new] == there
        assert [*there[: found.shared], *found.beyond] == here
    else:
        assert here[found.differs_at] != there[found.differs_at]
