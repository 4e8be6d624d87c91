"""A curator: tells a store of deliveries, assignments and runs, by panelcal's own services."""

from datetime import UTC, datetime
from pathlib import Path

from builders import Clock, write_delivery
from panelcal.domain.moments import parse_moment
from panelcal.exporters.text_array import Environment
from panelcal.services import assign as assigning
from panelcal.services import planning
from panelcal.services.deploy import deploy
from panelcal.services.export import Writing, answer_for
from panelcal.services.impact import preview
from panelcal.services.modules import deliver
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.store import OpenStore

EXPERIMENT = "xcsls3716"
SOURCE = "XcsEndstation.0:Jungfrau.0"


class Curator:
    """Records what a test tells, each at a later transaction time."""

    def __init__(self, store: OpenStore, scratch: Path) -> None:
        self.store = store
        self.scratch = scratch
        self.clock = Clock(datetime(2026, 2, 1, tzinfo=UTC))
        self._delivered = 0

    def deliver(self, *modules: str, seed: int | None = None) -> None:
        """Deliver the next revision of each module; of other contents, unless a seed is given."""
        for module in modules:
            self._delivered += 1
            files = write_delivery(
                self.scratch / f"delivery-{self._delivered}",
                self._delivered if seed is None else seed,
            )
            deliver(self.store, module, files, now=self.clock(), user="curator", reason="test")

    def assign(self, panel: str, uses: str, start: str | None = None) -> None:
        """Let a panel use a constant set from a time, or from the beginning."""
        at = None if start is None else parse_moment(start, self.store.zone).utc
        affects = self._affected_by(planning.assigning(panel, uses, at, "test"))
        assigning.assign(
            self.store,
            panel,
            uses,
            at,
            now=self.clock(),
            user="curator",
            reason="test",
            confirm_affects=affects,
        )

    def withdraw(self, panel: str, start: str) -> None:
        """Leave a panel without constants from a time."""
        at = parse_moment(start, self.store.zone).utc
        affects = self._affected_by(planning.withdrawing(panel, at, "test"))
        assigning.withdraw(
            self.store,
            panel,
            at,
            now=self.clock(),
            user="curator",
            reason="test",
            confirm_affects=affects,
        )

    def _affected_by(self, planner: planning.Planner) -> int:
        """Return how many deployed answers a change alters."""
        _, impact = preview(self.store, planner)
        return impact.affects

    def run(
        self,
        number: int,
        begin: str = "",
        detector: str = "",
        *,
        modules: str = "",
        experiment: str = EXPERIMENT,
        source: str = SOURCE,
    ) -> None:
        """Register a source of a run, or correct it."""
        fields = RunFields(experiment, str(number), source, begin, detector, modules)
        add_run(self.store, fields, now=self.clock(), user="curator", supersede=True)

    def deploy(self, number: int, place: str = "calib") -> None:
        """Deploy the constants of a run."""
        answer = answer_for(self.store, f"exp={EXPERIMENT}:run={number}", None)
        writing = Writing("legacy", Environment("curator", "here", "/"), self.clock())
        deploy(self.store, answer, self.scratch / place, writing=writing)
