"""Checks of deployments: whether the store still answers what was deployed.

Rows are compared; `panelcal.services.verify_deploy` looks at the files.
"""

from collections.abc import Iterator
from itertools import groupby

from panelcal.domain.lint import Told
from panelcal.domain.run_answers import Use, is_whole
from panelcal.domain.runs import Dataset, Run
from panelcal.domain.text import count_of
from panelcal.services.lint_material import Material, told_uses
from panelcal.storage.deployed_answers import DeployedAnswer, last_deployed


def outdated(material: Material) -> Iterator[Told]:
    """Tell runs with a deployed answer that the store no longer gives.

    The question is asked again as it was asked; at the run's begin, if the run was
    corrected since.
    """
    runs = {(run.dataset, run.source): run for run in material.record.runs}
    found = []
    for one in last_deployed(material.source):
        now = _now(material, one, runs.get((one.dataset, one.source)))
        if now is not None:
            found.append((one, now))
    found.sort(key=lambda pair: (_place(pair), pair[0].kind, pair[0].path))
    for (dataset, source, uses, now), group in groupby(found, _place):
        files = [one for one, _ in group]
        kinds = ", ".join(dict.fromkeys(one.kind for one in files))
        yield Told(
            f"{dataset} {source}",
            f"{count_of(len(files), 'file')} ({kinds}) deployed with {', '.join(uses)}; "
            f"now the store answers {now}",
            f"panelcal deploy --experiment {dataset.experiment} --calib-root ROOT",
        )


def _place(pair: tuple[DeployedAnswer, str]) -> tuple[Dataset, str, tuple[str, ...], str]:
    one, now = pair
    return one.dataset, one.source, one.uses, now


def _now(material: Material, one: DeployedAnswer, run: Run | None) -> str | None:
    """Say what the store answers where that is something else than was deployed."""
    if run is None:
        return "nothing: the run is not registered"
    if run.legacy_id != one.detector:
        return f"for {run.legacy_id}"
    at = run.begin if run.recorded_at > one.deployed_at else one.at
    if at is None and one.at is None:
        # A legacy question without a moment of the calendar; T itself is not on record.
        return None
    if at is None:
        return "nothing: the run has no begin"
    uses = material.record.asking.under("legacy" if one.policy == "legacy" else "strict", run, at)
    if is_whole(uses) and _digests(material, uses, one.kind) == one.digests:
        return None
    return told_uses(uses) or "nothing: the run names no panels"


def _digests(material: Material, uses: tuple[Use, ...], kind: str) -> tuple[str, ...]:
    return tuple(
        material.record.digests[use.module, use.revision][kind]
        for use in uses
        if use.module is not None and use.revision is not None
    )
