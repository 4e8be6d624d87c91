"""Checks of modules: what was delivered and never used."""

from collections.abc import Iterator
from itertools import groupby

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.lint import Told
from panelcal.domain.text import count_of
from panelcal.services.lint_material import Material
from panelcal.storage.modules import ConstantSet


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
