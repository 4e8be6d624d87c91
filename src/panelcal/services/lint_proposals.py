"""Checks of proposals: what waits for a second person."""

from collections.abc import Iterator

from panelcal.domain.lint import Told
from panelcal.services.lint_material import Material
from panelcal.storage.approvals import proposals


def waiting(material: Material) -> Iterator[Told]:
    """Tell proposals that nobody has decided on."""
    for one in proposals(material.source):
        if one.as_recorded().decision is None:
            yield Told(
                f"proposal {one.number}",
                f"to {one.plan.verb} {one.plan.in_words(material.zone)}, proposed "
                f"{material.at(one.recorded_at)} by {one.recorded_by}, is not decided",
                f"panelcal proposal show {one.number}; then approve or reject it",
            )
