"""Sealed answers: handed out only if the rows they come from are as they were recorded.

The resolver asks the database one question and believes it. Before arrays are loaded or
files are written, the answer is judged here without the resolver: the ledger rows of its
panels are read with their seals, and the plain rule (`panelcal.domain.validity`) has to
choose the same ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.moments import from_microseconds, moment_of, to_microseconds
from panelcal.domain.resolution import Resolution, ResolvedPanel
from panelcal.domain.runs import Run
from panelcal.domain.seal import RESTORE
from panelcal.domain.validity import Assignment, in_force, select_legacy
from panelcal.errors import IntegrityError
from panelcal.storage.modules import ConstantSet
from panelcal.storage.runs import EditedRun, edited_runs
from panelcal.storage.sealed_ledger import (
    LedgerRow,
    broken_links,
    latest_starts,
    ledger_of,
    require_rows,
)
from panelcal.storage.seals import SealedSet, sealed_sets

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

MOST_ROWS = 4096
"""Ledger rows that are read for one answer. Of panels that have more, only the rows of the
answer are looked at, each with the seal before it; their whole chains are left to fsck."""


@dataclass(slots=True)
class SealedRows:
    """What was read and verified already, in one state of the database.

    Parameters
    ----------
    source : Connection or Snapshot
        The database; one state of it.
    of_many_runs : bool
        Answers of many runs are to be judged: the rows of all runs are read at once.
    """

    source: "Readable"
    of_many_runs: bool = False
    _chains: dict[str, list[LedgerRow] | None] = field(default_factory=dict)
    _sets: dict[int, SealedSet] = field(default_factory=dict)
    _current: dict[str, list[Assignment]] = field(default_factory=dict)
    _edited: list[EditedRun] | None = None

    def require(self, resolution: Resolution, settled: datetime | None = None) -> None:
        """Refuse an answer that does not follow from rows as they were recorded.

        Parameters
        ----------
        settled : datetime or None
            Where the database may have changed since the answer was given: rows
            recorded later than this may not have been seen. None means that the
            answer is of this very state.

        Raises
        ------
        IntegrityError
            A row was edited, removed or inserted by hand, and the message names
            it; or other rows are in force than the answer says.
        """
        if resolution.run is not None:
            self._require_run(resolution.run)
        named = [panel for panel in resolution.panels if panel.panel is not None]
        self._read_chains({str(panel.panel) for panel in named})
        self._require_named([(one.constant_set_id, one) for one in resolution.panels])
        large = [panel for panel in named if self._chains[str(panel.panel)] is None]
        ids = {panel.assignment_id for panel in large if panel.assignment_id is not None}
        rows = require_rows(self.source, ids) if ids else {}
        for panel in named:
            chain = self._chains[str(panel.panel)]
            if chain is None:
                candidates: Iterable[LedgerRow | None] = [rows.get(panel.assignment_id or 0)]
            else:
                candidates = self._candidates(str(panel.panel), chain, resolution, settled)
            if not any(row is not None and _is_answer(row, panel) for row in candidates):
                msg = (
                    f"the ledger does not say that panel {panel.panel} uses "
                    f"{panel.module}@{panel.revision}: its rows, as recorded, say otherwise"
                )
                raise IntegrityError(msg, RESTORE)

    def require_chains(self, panels: Iterable[str]) -> None:
        """Refuse panels of which a ledger row is not as it was recorded.

        Raises
        ------
        IntegrityError
            As `require`.
        """
        self._read_chains(set(panels))

    def require_sets(self, sets: Iterable[ConstantSet]) -> None:
        """Refuse constant sets of which a row is not as it was recorded.

        Raises
        ------
        IntegrityError
            As `require`.
        """
        self._require_named([(one.id, one) for one in sets])

    def _require_run(self, run: Run) -> None:
        """Refuse a run of which a row was edited so that it no longer says which run it is of.

        Were it a correction, the row before it would hold again.
        """
        if not self.of_many_runs:
            edited = edited_runs(self.source, run.dataset)
        elif self._edited is None:
            edited = self._edited = edited_runs(self.source)
        else:
            edited = self._edited
        for one in edited:
            if one.was_of(run.dataset, run.source):
                raise one.broken.refusal()

    def _read_chains(self, panels: set[str]) -> None:
        new = panels - self._chains.keys()
        if not new:
            return
        rows = ledger_of(self.source, new, MOST_ROWS)
        if rows is None:
            self._chains |= dict.fromkeys(new)
            return
        chains: dict[str, list[LedgerRow]] = {panel: [] for panel in new}
        for row in rows:
            chains[str(row.panel)].append(row)
        reaches = latest_starts(self.source, new)
        for panel, chain in chains.items():
            for broken in broken_links(chain):
                raise broken.refusal()
            if _reach(chain) != reaches.get(panel, set()):
                msg = f"latest_start of panel {panel} is not what its ledger says"
                raise IntegrityError(msg, RESTORE)
        self._chains |= chains

    def _candidates(
        self,
        panel: str,
        chain: Sequence[LedgerRow],
        resolution: Resolution,
        settled: datetime | None,
    ) -> Iterator[LedgerRow | None]:
        """Give what the rule chooses: among all rows, and among those that were surely seen."""
        if resolution.as_of is not None:
            until = to_microseconds(resolution.as_of)
            past = [row for row in chain if row.recorded_at_us <= until]
            yield _chosen(past, _in_force(past), resolution)
            return
        if panel not in self._current:
            # A job asks about the same panels for run after run.
            self._current[panel] = _in_force(chain)
        yield _chosen(chain, self._current[panel], resolution)
        if settled is None:
            return
        surely, known = to_microseconds(settled), list(chain)
        while known and known.pop().recorded_at_us > surely:
            yield _chosen(known, _in_force(known), resolution)

    def _require_named(self, named: Sequence[tuple[int, ConstantSet | ResolvedPanel]]) -> None:
        """Refuse constant sets, by row number, that are not what is said of them."""
        self._sets |= sealed_sets(self.source, {set_id for set_id, *_ in named} - self._sets.keys())
        for set_id, one in named:
            found = self._sets.get(set_id)
            if found is not None and found.broken is not None:
                raise found.broken.refusal()
            said = (one.module, one.revision, one.detector_type, dict(one.digests))
            if found is None or said != (
                found.module,
                found.revision,
                found.detector_type,
                found.digests,
            ):
                msg = (
                    f"constant set {one.module}@{one.revision}, row {set_id} "
                    f"of constant_set, is not what the answer says of it"
                )
                raise IntegrityError(msg, RESTORE)


def _reach(chain: Iterable[LedgerRow]) -> set[tuple[int, int]]:
    """Return what `latest_start` has to say of a panel."""
    found: set[tuple[int, int]] = set()
    latest: int | None = None
    for row in chain:
        if latest is None or row.valid_from_us > latest:
            latest = row.valid_from_us
            found.add((row.valid_from_us, row.recorded_at_us))
    return found


def _chosen(
    rows: Sequence[LedgerRow], current: Sequence[Assignment], resolution: Resolution
) -> LedgerRow | None:
    """Apply the rule of the policy to the rows of a panel, and to those in force of them."""
    if resolution.policy == "legacy":
        chosen = select_legacy(current, resolution.asked, resolution.zone)
    else:
        at = resolution.at
        chosen = next((row for row in reversed(current) if at and row.holds_at(at)), None)
    return None if chosen is None else next(row for row in rows if row.id == chosen.id)


def _in_force(rows: Iterable[LedgerRow]) -> list[Assignment]:
    return in_force(map(_assignment, rows))


def _assignment(row: LedgerRow) -> Assignment:
    return Assignment(
        id=row.id,
        panel=str(row.panel),
        valid_from=from_microseconds(row.valid_from_us),
        module=row.module,
        revision=row.revision,
        recorded_at=moment_of(row.recorded_at_us),
        recorded_by=row.recorded_by,
        reason=row.reason,
    )


def _is_answer(row: LedgerRow, panel: ResolvedPanel) -> bool:
    return (
        row.id,
        row.panel,
        row.constant_set_id,
        row.valid_from_us,
        row.recorded_at_us,
    ) == (
        panel.assignment_id,
        panel.panel,
        panel.constant_set_id,
        to_microseconds(panel.valid_from),
        to_microseconds(panel.recorded_at),
    )
