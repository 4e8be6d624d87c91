"""Lint: look at the whole record of a store for what a curator would want to know."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from panelcal.domain.coverage import cover, first_runs
from panelcal.domain.lint import LintFinding, LintReport, Told
from panelcal.domain.runs import nearest_names
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError
from panelcal.services import (
    lint_deployed,
    lint_modules,
    lint_panels,
    lint_proposals,
    lint_runs,
)
from panelcal.services.coverage import EPOCH_MONTHS, OLD_MONTHS, Coverage, read_record
from panelcal.services.lint_material import Material
from panelcal.storage.ledger import panels
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class Check:
    """A kind of finding, and what finds it.

    Parameters
    ----------
    code : str
        The word for it, as in ``docs/lint.md``; its meaning never changes.
    find : callable
        Given the material, gives what it finds.
    on_request : bool
        Only with ``--all``: it is often as it should be.
    """

    code: str
    find: Callable[[Material], Iterator[Told]]
    on_request: bool = False


CHECKS = (
    Check("run-without-constants", lint_runs.without_constants),
    Check("run-guessed", lint_runs.guessed),
    Check("run-without-begin", lint_runs.without_begin),
    Check("run-without-panels", lint_runs.without_panels),
    Check("panel-unassigned", lint_panels.unassigned),
    Check("twin-unassigned", lint_panels.twin_unassigned),
    Check("twins-differ", lint_panels.twins_differ),
    Check("constants-old", lint_panels.constants_old),
    Check("epochs-mixed", lint_panels.epochs_mixed),
    Check("revision-unused", lint_modules.revision_unused),
    Check("verdict-errors", lint_modules.verdict_errors),
    Check("deployed-outdated", lint_deployed.outdated),
    Check("proposal-waiting", lint_proposals.waiting),
    Check("module-unassigned", lint_modules.module_unassigned, on_request=True),
    Check("verdict-missing", lint_modules.verdict_missing, on_request=True),
)
"""Every check, in the order of the report."""


def lint(
    store: OpenStore,
    *,
    ignored: Collection[str] = (),
    everything: bool = False,
    old_months: int = OLD_MONTHS,
    epoch_months: int = EPOCH_MONTHS,
) -> LintReport:
    """Find what a curator would want to know, in one state of the database.

    Parameters
    ----------
    ignored : collection of str
        Codes that are not looked for.
    everything : bool
        Look also for what is often as it should be.
    old_months, epoch_months : int
        As `panelcal.services.coverage.Coverage`.

    Raises
    ------
    InvalidInputError
        There is no such code.
    IntegrityError
        The row of a run, a verdict or a proposal is not as it was recorded.
    """
    known = [check.code for check in CHECKS]
    for code in ignored:
        if code not in known:
            msg = f"lint has no code {excerpt(code)}"
            near = nearest_names(code, known)
            hint = f"did you mean {', '.join(near)}?" if near else f"one of {', '.join(known)}"
            raise InvalidInputError(msg, hint)
    checks = [
        check
        for check in CHECKS
        if check.code not in ignored and (everything or not check.on_request)
    ]
    with store.database.reader.snapshot() as snapshot:
        record = read_record(snapshot, store.zone)
        first = first_runs(record.runs)
        detectors = cover(record.answers, first, epoch_months=epoch_months, zone=store.zone)
        material = Material(
            source=snapshot,
            zone=store.zone,
            record=record,
            panels=panels(snapshot),
            coverage=Coverage(tuple(detectors), store.zone, old_months, epoch_months),
        )
        findings = [
            LintFinding(check.code, told) for check in checks for told in check.find(material)
        ]
    return LintReport(str(store.directory), tuple(check.code for check in checks), tuple(findings))
