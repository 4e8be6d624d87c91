"""The whole ledger against a list of rows: every (T, A) answer, and none that ever changes."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from builders import write_delivery
from panelcal.config import read_settings
from panelcal.errors import ConflictError, NoValidConstantsError
from panelcal.services.assign import assign, withdraw
from panelcal.services.history import log
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.services.tags import create_tag, transaction_time
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

PANELS = ("171113-154920171025-3d00b0", "-154920171025-3d00f7")
MODULES = ("M044", "M068")
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
BEGINNING = datetime.min.replace(tzinfo=UTC)
BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
# Few, and two of them neighbours, so that rows meet and bar each other.
STARTS = (
    BEGINNING,
    datetime(2018, 3, 6, 8, tzinfo=UTC),
    datetime(2018, 3, 6, 8, 0, 1, tzinfo=UTC),
    datetime(2019, 1, 1, 8, tzinfo=UTC),
)
BEFORE_EVERYTHING = datetime(1, 1, 3, tzinfo=UTC)
FAR_FUTURE = datetime(9000, 1, 1, tzinfo=UTC)
TIMES = {BEFORE_EVERYTHING, FAR_FUTURE} | {t for s in STARTS[1:] for t in (s, s - SECOND)}

panels = st.sampled_from(PANELS)
modules = st.sampled_from(MODULES)
starts = st.sampled_from(STARTS)
any_number = st.integers(0, 10_000)
delays = st.sampled_from((MICROSECOND, SECOND, timedelta(days=1)))


@dataclass(frozen=True)
class Row:
    """A row of the model: since when, known since when, which set; None is a withdrawal."""

    panel: str
    start: datetime
    uses: str | None
    recorded_at: datetime


Told = tuple[str, datetime, datetime, str] | None
"""What an answer says: set, start, recorded, token; None is "no valid constants"."""


class LedgerMachine(RuleBasedStateMachine):
    """Does to a store and to a list of rows the same, and asks both everything."""

    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.scratch = Path(self._open.enter_context(TemporaryDirectory()))
        copied = self._open.enter_context(copied_store(self.template, self.scratch / "store"))
        self.store: OpenStore = self._open.enter_context(open_store(copied))
        self.now = BEGUN
        self.rows: list[Row] = []
        self.revisions = dict.fromkeys(MODULES, 0)
        self.tags: dict[str, datetime] = {}
        self.moments: list[datetime] = []
        """Every transaction time so far."""
        self.told: dict[tuple[str, datetime, datetime], Told] = {}

    def teardown(self) -> None:
        try:
            self.ask_everything()
        finally:
            self._open.close()

    # --- what happens -----------------------------------------------------------------

    @initialize()
    def first_deliveries(self) -> None:
        for module in MODULES:
            self.redeliver(module, SECOND)

    @rule(module=modules, delay=delays)
    def redeliver(self, module: str, delay: timedelta) -> None:
        self.now += delay
        files = write_delivery(self.scratch / "delivery", seed=len(self.moments))
        made, _ = deliver(self.store, module, files, now=self.now, user="t", reason="better")
        self.revisions[module] += 1
        assert made.revision == self.revisions[module]
        self.was_recorded(made.recorded_at)

    @rule(panel=panels, start=starts, module=modules, number=any_number, delay=delays)
    def assign(
        self, panel: str, start: datetime, module: str, number: int, delay: timedelta
    ) -> None:
        self.record(panel, start, f"{module}@{1 + number % self.revisions[module]}", delay)

    @precondition(lambda self: self.rows)
    @rule(number=any_number, module=modules, delay=delays)
    def correct(self, number: int, module: str, delay: timedelta) -> None:
        row = self.rows[number % len(self.rows)]
        self.record(row.panel, row.start, f"{module}@{self.revisions[module]}", delay)

    @precondition(lambda self: any(row.start > BEGINNING for row in self.rows))
    @rule(number=any_number, which=any_number, module=modules, delay=delays)
    def backfill(self, number: int, which: int, module: str, delay: timedelta) -> None:
        later = [row for row in self.rows if row.start > BEGINNING]
        row = later[number % len(later)]
        earlier = [start for start in STARTS if start < row.start]
        self.record(row.panel, earlier[which % len(earlier)], f"{module}@1", delay)

    @precondition(lambda self: self.rows)
    @rule(number=any_number, start=st.sampled_from(STARTS[1:]), delay=delays)
    def withdraw(self, number: int, start: datetime, delay: timedelta) -> None:
        self.record(self.rows[number % len(self.rows)].panel, start, None, delay)

    @precondition(lambda self: self.rows)
    @rule(number=any_number, delay=delays)
    def repeat(self, number: int, delay: timedelta) -> None:
        row = self.rows[number % len(self.rows)]
        latest = self.starting_at(row.panel, row.start)
        assert latest is not None
        self.record(latest.panel, latest.start, latest.uses, delay)

    @rule(delay=delays)
    def tag(self, delay: timedelta) -> None:
        self.make_tag(None, delay)

    @precondition(lambda self: self.moments)
    @rule(number=any_number, delay=delays)
    def tag_the_past(self, number: int, delay: timedelta) -> None:
        self.make_tag(self.moments[number % len(self.moments)] - MICROSECOND, delay)

    def make_tag(self, as_of: datetime | None, delay: timedelta) -> None:
        self.now += delay
        name = f"tag{len(self.tags)}"
        made = create_tag(
            self.store, name, as_of=as_of, now=self.now, user="t", reason="for a paper"
        )
        assert made.as_of == (self.now if as_of is None else as_of)
        self.tags[name] = made.as_of
        self.was_recorded(made.recorded_at)

    def record(self, panel: str, start: datetime, uses: str | None, delay: timedelta) -> None:
        """Record a change with both, or see that the store refuses what it says already."""
        self.now += delay
        before = self.starting_at(panel, start)
        if before is not None and before.uses == uses:
            said = log(self.store)
            with pytest.raises(ConflictError, match="already so"):
                self.write(panel, start, uses)
            assert log(self.store) == said
            return
        self.write(panel, start, uses)
        self.rows.append(Row(panel, start, uses, self.now))
        self.was_recorded(self.now)

    def write(self, panel: str, start: datetime, uses: str | None) -> None:
        if uses is None:
            withdraw(self.store, panel, start, now=self.now, user="t", reason="test")
            return
        valid_from = None if start == BEGINNING else start
        assign(self.store, panel, uses, valid_from, now=self.now, user="t", reason="test")

    def was_recorded(self, moment: datetime) -> None:
        assert moment == self.now
        self.moments.append(moment)

    # --- what is asked ----------------------------------------------------------------

    @invariant()
    def what_the_ledger_says_now_is_what_the_model_says(self) -> None:
        self.ask(None)

    def ask_everything(self) -> None:
        """Ask again for every answer, and for those of a microsecond before."""
        for name, as_of in self.tags.items():
            pinned = transaction_time(self.store, None, name, now=self.now)
            assert pinned is not None
            assert pinned.utc == as_of
        every = {*self.moments, *(one - MICROSECOND for one in self.moments), *self.tags.values()}
        for moment in sorted(every):
            self.ask(moment)
        self.ask(None)

    def ask(self, as_of: datetime | None) -> None:
        known_by = as_of or max(self.moments, default=BEGUN)
        for panel in PANELS:
            for at in TIMES:
                told = self.answer(panel, at, as_of)
                row = self.model(panel, at, known_by)
                if row is None or row.uses is None:
                    assert told is None
                else:
                    assert told is not None
                    assert told[:3] == (row.uses, row.start, row.recorded_at)
                # What it said when that was the present is what it says of the past.
                assert self.told.setdefault((panel, at, known_by), told) == told

    def answer(self, panel: str, at: datetime, as_of: datetime | None) -> Told:
        try:
            answer = resolve(self.store, panel, at, as_of=as_of, now=self.now)
        except NoValidConstantsError:
            return None
        (one,) = answer.panels
        uses = f"{one.module}@{one.revision}"
        return uses, one.valid_from or BEGINNING, one.recorded_at, answer.token

    def model(self, panel: str, at: datetime, as_of: datetime) -> Row | None:
        """Look at every row that was known by then and has started; keep the best."""
        best = None
        for row in self.rows:
            if row.panel != panel or row.recorded_at > as_of or row.start > at:
                continue
            if best is None or row.start >= best.start:  # rows are in the order of recording
                best = row
        return best

    def starting_at(self, panel: str, start: datetime) -> Row | None:
        """Return the row in force of a panel and start: the one recorded last."""
        same = [row for row in self.rows if (row.panel, row.start) == (panel, start)]
        return same[-1] if same else None


def test_every_answer_is_the_models_and_none_of_the_past_ever_changes(empty_store: Path) -> None:
    class OfThisEngine(LedgerMachine):
        template = empty_store

    on_server = read_settings(empty_store).database_url is not None

    run_state_machine_as_test(
        OfThisEngine,
        settings=settings(
            max_examples=8 if on_server else 16,  # a question takes a server three times as long
            stateful_step_count=20,
            deadline=None,
            # Every example has a database of its own and asks it hundreds of questions.
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
