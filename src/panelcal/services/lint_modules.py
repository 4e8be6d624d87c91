"""Checks of modules: what was delivered and never used, or used and not as it should be."""

from collections.abc import Iterator
from itertools import groupby

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.lint import Told
from panelcal.domain.text import count_of
from panelcal.services.lint_material import Material
from panelcal.storage.modules import ConstantSet
from panelcal.storage.quality import last_verdicts


def revision_unused(material: Material) -> Iterator[Told]:
    """Tell revisions that nothing uses, later than the latest one of their module in use."""
    for module, sets, used in _modules(material):
        newer = [one for one in sets if used and one.revision > max(used)]
        if newer:
            latest = newer[-1]
            yield Told(
                f"{module}@{latest.revision}",
                f"delivered {material.at(latest.recorded_at)} by {latest.recorded_by}, and used "
                f"by nothing; {module}@{max(used)} is the latest one in use",
                f"panelcal history {module}",
            )


def module_unassigned(material: Material) -> Iterator[Told]:
    """Tell modules of which nothing uses any revision."""
    for module, sets, used in _modules(material):
        if not used:
            yield Told(
                module,
                f"{count_of(len(sets), 'revision')} delivered, the latest "
                f"{material.at(sets[-1].recorded_at)} by {sets[-1].recorded_by}, and used by "
                f"nothing",
                f"panelcal assign --from T --reason R -- PANEL {module}",
            )


def verdict_errors(material: Material) -> Iterator[Told]:
    """Tell constant sets that are used although rules find errors that nobody accepted."""
    judged = last_verdicts(material.source, [one.id for one in material.record.sets])
    for module, sets, used in _modules(material):
        for one in sets:
            known = judged.get(one.id)
            if one.revision in used and known is not None and known.verdict.is_open:
                name = f"{module}@{one.revision}"
                yield Told(
                    name,
                    f"is used, and {count_of(len(known.verdict.errors), 'error')} of its verdict "
                    f"was never accepted, such as {known.verdict.errors[0].text}",
                    f"panelcal module check {name}",
                )


def verdict_missing(material: Material) -> Iterator[Told]:
    """Tell constant sets that are used and were never judged."""
    judged = last_verdicts(material.source, [one.id for one in material.record.sets])
    for module, sets, used in _modules(material):
        missing = [one for one in sets if one.revision in used and one.id not in judged]
        if missing:
            yield Told(
                f"{module}@{missing[-1].revision}",
                f"is used and was never judged; {count_of(len(missing), 'such revision')}",
                "panelcal module check --all --record",
            )


def _modules(material: Material) -> Iterator[tuple[str, list[ConstantSet], set[int]]]:
    """Give each module with its revisions, and those that were ever assigned or declared."""
    used: dict[str, set[int]] = {}
    for rows in material.record.ledger.rows.values():
        for row in rows:
            if row.module is not None and row.revision is not None:
                used.setdefault(row.module, set()).add(row.revision)
    for run in material.record.runs:
        for reference in run.modules:
            name, revision = parse_module_reference(reference)
            used.setdefault(name, set()).add(revision or 1)
    for module, group in groupby(material.record.sets, lambda one: one.module):
        yield module, list(group), used.get(module, set())
