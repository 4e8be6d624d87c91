"""Impact: whose answer a planned change of the ledger would alter, and by how much."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from panelcal.domain.difference import PlaneDifference, differences
from panelcal.domain.impact import Span, set_pairs
from panelcal.domain.planned import Plan, PlannedRow
from panelcal.domain.text import count_of
from panelcal.errors import ConflictError
from panelcal.services.affected import (
    Affected,
    Detectors,
    Digests,
    affected_deployments,
    affected_runs,
    ledger_change,
)
from panelcal.services.planning import Planner
from panelcal.storage.deployments import deployed_detectors
from panelcal.storage.modules import types_of_modules
from panelcal.storage.reader import rows_of
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

_RUN_DETECTORS = "SELECT DISTINCT detector_id FROM run WHERE detector_id IS NOT NULL"

_NAMED_IN_REFUSALS = 3
"""How many answers a refusal names."""


@dataclass(frozen=True, slots=True)
class SetDifference:
    """By how much the constants of one set differ from those of another.

    Parameters
    ----------
    before, after : str
        The sets, ``M068@1``.
    planes : tuple of PlaneDifference
        Every kind and gain range, in the kind's unit.
    """

    before: str
    after: str
    planes: tuple[PlaneDifference, ...]


@dataclass(frozen=True, slots=True)
class Impact:
    """What a planned change does.

    Parameters
    ----------
    spans : tuple of Span
        When which panel would use something else.
    runs : tuple of Affected
        Registered runs, asked at their begin under strict policy.
    deployed : tuple of Affected
        Answers in files on record, asked as they were when they were deployed: of
        several deployments to one path, the last.
    differences : tuple of SetDifference
        One for each pair of sets that these changes are between; empty until
        `compared`.
    digests : mapping of str to mapping
        By constant set, ``M068@1``, the digest of the payload of each kind: of all
        sets that the panels concerned ever use, as they were recorded.
    """

    spans: tuple[Span, ...]
    runs: tuple[Affected, ...]
    deployed: tuple[Affected, ...]
    differences: tuple[SetDifference, ...] = ()
    digests: Mapping[str, Digests] = field(default_factory=dict, repr=False)

    @property
    def affects(self) -> int:
        """How many deployed answers change: sources of runs, however many files hold them."""
        return len({(one.dataset, one.source) for one in self.deployed})


def preview(store: OpenStore, planner: Planner) -> tuple[Plan, Impact]:
    """Plan a change and say what it would do; nothing is written.

    Raises
    ------
    PanelcalError
        What the change itself would be refused with.
    IntegrityError
        A row or a payload that the account rests on is not as it was recorded.
    """
    with store.database.reading() as connection:
        plan = planner(connection, store.zone)
        found = impact_of(connection, store.zone, plan.rows)
    return plan, compared(store, found)


def require_confirmed(
    connection: Connection,
    zone: ZoneInfo,
    rows: Sequence[PlannedRow],
    confirmed: int | None,
    shown_by: str = "--preview",
) -> None:
    """Refuse a change of answers already deployed unless their number was said.

    In the unit of work that records the change, so that a file that was deployed
    meanwhile counts.

    Parameters
    ----------
    confirmed : int or None
        The number that was said.
    shown_by : str
        What to type to see the whole account.

    Raises
    ------
    ConflictError
        It is another one, or none was said and there are some.
    """
    found = impact_of(connection, zone, rows, with_runs=False)
    number = found.affects
    if confirmed == number or (confirmed is None and number == 0):
        return
    told = "no answer already deployed would change"
    hint = "leave out --confirm-affects"
    if number:
        names = list(dict.fromkeys(map(str, found.deployed)))
        more = number - _NAMED_IN_REFUSALS
        some = ", ".join(names[:_NAMED_IN_REFUSALS]) + (f", and {more} more" if more > 0 else "")
        told = f"{count_of(number, 'answer')} already deployed would change: {some}"
        hint = f"{shown_by} shows by how much; --confirm-affects {number} says that it is meant"
    msg = told if confirmed is None else f"{told}; --confirm-affects says {confirmed}"
    raise ConflictError(msg, hint)


def impact_of(
    connection: Connection,
    zone: ZoneInfo,
    rows: Sequence[PlannedRow],
    *,
    with_runs: bool = True,
) -> Impact:
    """Return what planned rows would change, in one state of the database.

    Parameters
    ----------
    rows : sequence of PlannedRow
        In the order in which they would be recorded.
    with_runs : bool
        Look at registered runs too; otherwise only at what was deployed.

    Raises
    ------
    IntegrityError
        A row that the account rests on is not as it was recorded.
    """
    changed = {row.panel for row in rows}
    held = Detectors(changed)
    deployed = held.naming(deployed_detectors(connection))
    detectors = [*deployed]
    if with_runs:
        detectors += held.naming(one for (one,) in rows_of(connection, _RUN_DETECTORS))
    elif not deployed:
        return Impact((), (), ())
    change, digests = ledger_change(connection, zone, rows, [held.panels[one] for one in detectors])
    return Impact(
        spans=tuple(change.spans()),
        runs=tuple(affected_runs(connection, change, held)) if with_runs else (),
        deployed=tuple(affected_deployments(connection, change, held, deployed)),
        digests=digests,
    )


def compared(store: OpenStore, impact: Impact) -> Impact:
    """Return an impact with the differences of the constants that it is about.

    Payloads are read and verified; outside of any unit of work, for that takes a while.

    Raises
    ------
    IntegrityError
        A payload is missing or damaged.
    """
    panels = [panel for one in (*impact.runs, *impact.deployed) for panel in one.effect.panels]
    pairs = set_pairs([*impact.spans, *panels])
    if not pairs:
        return impact
    with store.database.reading() as connection:
        types, of_modules = detector_types(connection), types_of_modules(connection)
    found = []
    for before, after in pairs:
        its_type = types.named(of_modules[before.partition("@")[0]])
        units = {kind.name: kind.unit for kind in its_type.kinds}
        old, new = (
            {kind: store.payloads.get(impact.digests[name][kind]) for kind in units}
            for name in (before, after)
        )
        found.append(SetDifference(before, after, differences(old, new, units)))
    return replace(impact, differences=tuple(found))
