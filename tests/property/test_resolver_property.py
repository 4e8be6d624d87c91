"""The resolver on random ledgers, against oracles that are obviously right."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders import write_delivery
from panelcal.domain.moments import stamp_of
from panelcal.domain.resolution import ResolvedPanel
from panelcal.errors import ConflictError, InvalidInputError, NoValidConstantsError
from panelcal.services.assign import assign, withdraw
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PANELS = ("171113-154920171025-3d00b0", "-154920171025-3d00f7", "171113--3d00fb")
SETS = ("M044@1", "M044@2", "M068@1")
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
# Few enough that rows meet at the same start and at neighbouring seconds.
STARTS = (
    None,
    datetime(1, 1, 3, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    datetime(2018, 3, 6, 8, tzinfo=UTC),
    datetime(2018, 3, 6, 8, tzinfo=UTC) + SECOND,
    datetime(2019, 1, 1, 8, tzinfo=UTC),
    datetime(2200, 1, 1, tzinfo=UTC),
)


@dataclass(frozen=True)
class Change:
    """What somebody records: from `start` on, `panel` uses `uses`, or nothing."""

    panel: str
    start: datetime | None
    uses: str | None


def changes() -> st.SearchStrategy[Change]:
    panels = st.sampled_from(PANELS)
    assigned = st.builds(Change, panels, st.sampled_from(STARTS), st.sampled_from(SETS))
    withdrawn = st.builds(Change, panels, st.sampled_from(STARTS[1:]), st.none())
    return st.one_of(assigned, assigned, withdrawn)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with the constant sets that the ledgers of this module use."""
    directory = tmp_path_factory.mktemp("ledgers") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M044", "M068")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                deliver(store, module, files, now=NOW, user="tester", reason="test")
        yield directory


@contextmanager
def copy_of(template: Path) -> Iterator[OpenStore]:
    """Give an example a store of its own (a fixture would be shared by all examples)."""
    with TemporaryDirectory() as directory:
        with (
            copied_store(template, Path(directory) / "store") as copied,
            open_store(copied) as store,
        ):
            yield store


def record(store: OpenStore, change: Change, now: datetime = NOW) -> bool:
    """Record a change; say whether it said anything new."""
    try:
        if change.uses is not None:
            assign(store, change.panel, change.uses, change.start, now=now, user="t", reason="test")
        elif change.start is not None:
            withdraw(store, change.panel, change.start, now=now, user="t", reason="test")
    except ConflictError:
        return False
    return True


def painted(ledger: list[Change], panel: str, moment: datetime) -> Change | None:
    """Paint a line of time and look at one point of it.

    Each row paints from its start to the end of time. Earlier starts are painted
    first, and of the same start the one recorded first; what is seen is what was
    painted last.
    """
    rows = [row for row in ledger if row.panel == panel]
    begun = datetime.min.replace(tzinfo=UTC)
    seen = None
    for row in sorted(rows, key=lambda row: row.start or begun):  # stable: recording order
        if row.start is None or row.start <= moment:
            seen = row
    return seen


MOMENTS = sorted(
    {
        start + step
        for start in STARTS
        if start is not None
        for step in (timedelta(0), -SECOND, -MICROSECOND, MICROSECOND, SECOND)
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(changes(), max_size=14), st.permutations(PANELS), st.integers(1, 3))
def test_the_strict_answer_is_what_a_painted_line_of_time_shows(
    template: Path, recorded: list[Change], panels: list[str], count: int
) -> None:
    detector = panels[:count] + panels[:1]  # the first panel twice
    with copy_of(template) as store:
        ledger: list[Change] = []
        registered: set[str] = set()
        for change in recorded:
            if change.uses is None and change.panel not in registered:
                continue  # only registered panels can be withdrawn
            registered.add(change.panel)
            if record(store, change):
                ledger.append(change)
        for moment in MOMENTS:
            expected = [painted(ledger, panel, moment) for panel in detector]
            missing = tuple(
                panel
                for panel, row in zip(detector, expected, strict=True)
                if row is None or row.uses is None
            )
            if missing:
                with pytest.raises(NoValidConstantsError) as caught:
                    resolve(store, "_".join(detector), moment, now=NOW)
                assert caught.value.missing == missing
                continue
            answer = resolve(store, "_".join(detector), moment, now=NOW)
            assert [seen(panel) for panel in answer.panels] == [
                (index, row.panel, row.uses, row.start)
                for index, row in enumerate(expected)
                if row is not None
            ]


def seen(panel: ResolvedPanel) -> tuple[int, str | None, str, datetime | None]:
    return panel.index, panel.panel, f"{panel.module}@{panel.revision}", panel.valid_from


@settings(max_examples=25, deadline=None)
@given(st.lists(changes(), max_size=8), changes())
def test_recording_just_what_is_in_force_is_refused_and_changes_nothing(
    template: Path, recorded: list[Change], again: Change
) -> None:
    with copy_of(template) as store:
        record(store, Change(again.panel, None, "M068@1"))
        for change in recorded:
            if change.panel == again.panel:
                record(store, change)
        record(store, again)
        assert not record(store, again)


# --- the legacy selector, spec §3 -------------------------------------------------


def legacy_selector(entries: list[str], panel: str, asked: str | None) -> str | None:
    """Select as the legacy code does: by the names in a directory (spec §3)."""
    candidates: list[tuple[int, str]] = []
    for name in entries:
        fields = name.split("-")
        if len(fields) == 3 and name == panel:
            candidates.append((-(10**99), name))
        if len(fields) == 4 and "-".join(fields[:-1]) == panel:
            candidates.append((int(fields[-1]), name))
    candidates.sort(key=lambda pair: pair[0])
    if not candidates:
        return None
    if len(candidates) == 1:
        return candidates[0][1]
    if asked is None:
        return candidates[-1][1]
    wanted = int(asked)
    for before, (stamp, _) in pairwise(candidates):
        if stamp > wanted:
            return before[1]
    return candidates[-1][1]


LEGACY_STAMPS = (
    "20150101000000",
    "20171025000000",
    "20180306000000",
    "20180306000001",
    "20181104013000",  # twice on the facility's clock
    "20200229235959",
)
LEGACY_TIMES = [
    None,
    *LEGACY_STAMPS,
    *(f"{int(stamp) - 1:014d}" for stamp in LEGACY_STAMPS),
    "2018",
    "0",
    "-1",
    "2018030600000000",
    " 20180306000000 ",
    "2018_0306_000000",
    "20180230000000",
    "garbage",
    "",
]
TREES = st.lists(
    st.tuples(st.sampled_from(PANELS), st.sampled_from((None, *LEGACY_STAMPS))),
    unique=True,
    max_size=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(TREES, st.permutations(PANELS), st.sampled_from(SETS))
def test_legacy_policy_answers_as_the_selector_of_names_does(
    template: Path, tree: list[tuple[str, str | None]], panels: list[str], uses: str
) -> None:
    entries = [panel if stamp is None else f"{panel}-{stamp}" for panel, stamp in tree]
    with copy_of(template) as store:
        for panel, stamp in tree:
            record(store, Change(panel, moment_of(stamp, store.zone), uses))
        for asked in LEGACY_TIMES:
            try:
                expected = [legacy_selector(entries, panel, asked) for panel in panels]
            except ValueError:
                with pytest.raises(InvalidInputError, match="is no integer time stamp"):
                    resolve(store, "_".join(panels), asked, policy="legacy", now=NOW)
                continue
            missing = tuple(
                panel for panel, name in zip(panels, expected, strict=True) if name is None
            )
            if missing:
                with pytest.raises(NoValidConstantsError) as caught:
                    resolve(store, "_".join(panels), asked, policy="legacy", now=NOW)
                assert caught.value.missing == missing
                continue
            answer = resolve(store, "_".join(panels), asked, policy="legacy", now=NOW)
            assert [entry_of(panel, store.zone) for panel in answer.panels] == expected


def moment_of(stamp: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the moment of a stamp; fold=0 is the first occurrence."""
    if stamp is None:
        return None
    return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=zone).astimezone(UTC)


def entry_of(panel: ResolvedPanel, zone: ZoneInfo) -> str:
    """Return the name of the directory entry that an answer stands for."""
    if panel.valid_from is None:
        return str(panel.panel)
    return f"{panel.panel}-{stamp_of(panel.valid_from, zone)}"
