"""Whose answers a planned change of the ledger would alter: registered runs, deployed files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.ids import parse_detector_id
from panelcal.domain.impact import Effect, LedgerChange, Question, Timeline
from panelcal.domain.planned import PlannedRow
from panelcal.domain.runs import Dataset
from panelcal.domain.validity import Assignment, Policy
from panelcal.errors import InvalidInputError
from panelcal.services.runs import require_as_recorded
from panelcal.services.sealed import SealedRows
from panelcal.storage.deployments import deployed_answers, require_sealed
from panelcal.storage.ledger import history
from panelcal.storage.modules import constant_sets
from panelcal.storage.runs import edited_runs
from panelcal.storage.runs import runs as stored_runs
from panelcal.storage.seals import sealed_sets

Digests = Mapping[str, str]
"""Digest of the payload of each kind of a constant set."""


@dataclass(frozen=True, slots=True)
class Affected:
    """An answer that would be another one.

    Parameters
    ----------
    dataset, source : Dataset, str
        The run that it is given for.
    at : datetime or None
        T, UTC; None where legacy policy was asked with no time of the calendar.
    policy : Policy
        How it is answered.
    effect : Effect
        What changes.
    paths : tuple of str
        The calib files that hold the answer; none for a run as it is registered.
    """

    dataset: Dataset
    source: str
    at: datetime | None
    policy: Policy
    effect: Effect
    paths: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.dataset} {self.source}"


class Detectors:
    """Detector ids that hold one of some panels, each taken apart once."""

    def __init__(self, panels: set[str]) -> None:
        self._wanted = panels
        self.panels: dict[str, tuple[str, ...]] = {}

    def naming(self, detectors: Iterable[str]) -> list[str]:
        """Return those of the detector ids that hold one of the panels."""
        found = []
        for detector in detectors:
            if detector not in self.panels:
                self.panels[detector] = _panels_of(detector)
            if self._wanted & set(self.panels[detector]):
                found.append(detector)
        return found


def _panels_of(detector: str) -> tuple[str, ...]:
    """Return the panels of a detector id; none of a source whose modules are declared."""
    try:
        return tuple(map(str, parse_detector_id(detector).panels))
    except InvalidInputError:
        return ()


def ledger_change(
    connection: Connection,
    zone: ZoneInfo,
    rows: Sequence[PlannedRow],
    detectors: Iterable[Sequence[str]],
) -> tuple[LedgerChange, dict[str, Digests]]:
    """Return the ledger of all panels concerned before and after, as it was recorded."""
    changed = {row.panel for row in rows}
    sealed = SealedRows(connection)
    names = set(changed)
    for group in (*detectors, sorted(changed)):
        sealed.require_chains(group)
        names |= set(group)
    known = history(connection, names)
    before = {name: Timeline(known.get(name, ())) for name in names}
    after = {name: Timeline([*known.get(name, ()), *_as_recorded(rows, name)]) for name in changed}
    used = {row.uses for one in (*before.values(), *after.values()) for row in one.rows}
    sets = {f"{one.module}@{one.revision}": one.id for one in constant_sets(connection)}
    digests: dict[str, Digests] = {}
    found = sealed_sets(connection, {sets[name] for name in used if name in sets})
    for one in found.values():
        if one.broken is not None:
            raise one.broken.refusal()
        digests[f"{one.module}@{one.revision}"] = one.digests
    return LedgerChange(before, after, digests, zone), digests


def _as_recorded(rows: Sequence[PlannedRow], panel: str) -> list[Assignment]:
    """Return planned rows as rows of the ledger that are later than all there are."""
    last = datetime.max.replace(tzinfo=UTC)
    return [
        Assignment(number, panel, row.valid_from, row.module, row.revision, last, "", "")
        for number, row in enumerate(rows)
        if row.panel == panel
    ]


def affected_runs(connection: Connection, change: LedgerChange, held: Detectors) -> list[Affected]:
    """Return the registered runs, as they stand, whose answer at their begin changes."""
    for edited in edited_runs(connection):
        raise edited.broken.refusal()
    known = [run for run in stored_runs(connection) if run.begin and run.detector_id]
    named = set(held.naming({str(run.detector_id) for run in known}))
    found = []
    require_as_recorded(known)
    for run in known:
        if run.detector_id not in named or run.begin is None:
            continue
        # No validity starts inside a second, and the resolver drops fractions.
        at = run.begin.replace(microsecond=0)
        effect = change.effect(Question(held.panels[run.detector_id], at, "strict"))
        if effect is not None:
            found.append(Affected(run.dataset, run.source, at, "strict", effect))
    return found


def affected_deployments(
    connection: Connection, change: LedgerChange, held: Detectors, detectors: Sequence[str]
) -> list[Affected]:
    """Return the answers in files on record that change, one for each question of a run."""
    found: dict[tuple[object, ...], Affected] = {}
    for one in deployed_answers(connection, detectors):
        policy: Policy = "legacy" if one.policy == "legacy" else "strict"
        key = (one.dataset, one.source, one.detector_id, one.at, policy)
        if key in found:
            found[key] = replace(found[key], paths=(*found[key].paths, one.path))
            continue
        effect = change.effect(Question(held.panels[one.detector_id], one.at, policy))
        if effect is not None:
            affected = Affected(one.dataset, one.source, one.at, policy, effect, (one.path,))
            found[key] = affected
    for experiment in sorted({one.dataset.experiment for one in found.values()}):
        require_sealed(connection, experiment)
    return list(found.values())
