"""Checks of registered runs: which have no constants, or cannot have any."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from panelcal.domain.lint import Told
from panelcal.domain.run_answers import Answered, RunAnswer
from panelcal.domain.runs import run_ranges
from panelcal.domain.text import count_of, shortened
from panelcal.services.lint_material import Material


def without_constants(material: Material) -> Iterator[Told]:
    """Tell runs of which some panel, or declared module, has no constants."""
    found = [one for one in material.record.answers if one.answered is Answered.NONE and one.uses]
    for subject, group in _together(found):
        missing = group[0].missing
        what = "declared module" if group[0].run.modules else "panel"
        yield Told(
            subject,
            f"no constants for {_runs(group)}: {count_of(len(missing), what)} without, "
            f"{shortened(', '.join(missing))}",
            f"panelcal resolve {group[0].run.dataset} -s {group[0].run.source}",
        )


def guessed(material: Material) -> Iterator[Told]:
    """Tell runs that have constants under legacy policy alone."""
    found = [one for one in material.record.answers if one.answered is Answered.GUESS]
    for subject, group in _together(found):
        panels = dict.fromkeys(str(use.panel) for use in group[0].uses if use.guessed)
        yield Told(
            subject,
            f"only legacy policy answers for {_runs(group)}: it guesses "
            f"{shortened(', '.join(panels)) or 'by the stamp of an hour that occurred twice'}",
            "panelcal assign from a time before these runs, if the constants hold for them",
        )


def without_begin(material: Material) -> Iterator[Told]:
    """Tell runs that nobody has given a begin."""
    found = [one for one in material.record.answers if one.answered is Answered.NO_BEGIN]
    for subject, group in _together(found):
        yield Told(
            subject,
            f"registered without a begin: {_runs(group)}",
            "panelcal run add --begin T --supersede",
        )


def without_panels(material: Material) -> Iterator[Told]:
    """Tell runs that name neither panels nor modules."""
    found = [
        one
        for one in material.record.answers
        if one.run.detector_id is None and not one.run.modules
    ]
    for subject, group in _together(found):
        yield Told(
            subject,
            f"registered with neither a detector id nor modules: {_runs(group)}",
            "panelcal run add --detector-id ID --supersede, or --modules",
        )


def _together(found: Sequence[RunAnswer]) -> Iterator[tuple[str, list[RunAnswer]]]:
    """Give runs of one experiment and source together that lack the same.

    A line for each of a thousand runs would tell nothing more.
    """

    def common(one: RunAnswer) -> tuple[str, str, str, tuple[str, ...], tuple[str, ...]]:
        run = one.run
        guesses = tuple(str(use.panel) for use in one.uses if use.guessed)
        return run.dataset.experiment, run.source, run.legacy_id, one.missing, guesses

    ordered = sorted(found, key=lambda one: (common(one), one.run.dataset.run))
    for (experiment, source, *_), group in groupby(ordered, common):
        yield f"{experiment} {source}", list(group)


def _runs(group: Sequence[RunAnswer]) -> str:
    numbers = [one.run.dataset.run for one in group]
    return f"{count_of(len(group), 'run')} ({shortened(run_ranges(numbers), 100)})"
