"""Explain: why each panel of an answer got what it got."""

from dataclasses import dataclass

from panelcal.domain.resolution import Resolution, ResolvedPanel
from panelcal.domain.validity import Verdict, explain
from panelcal.storage.ledger import history
from panelcal.storage.store import OpenStore


@dataclass(frozen=True, slots=True)
class PanelAccount:
    """Why a panel of an answer got what it got.

    Parameters
    ----------
    panel : ResolvedPanel
        The answer.
    verdicts : tuple of Verdict
        Every candidate by ascending start; empty for a declared module.
    age_s : float or None
        Seconds from the start of the validity to T; None where either is open.
    """

    panel: ResolvedPanel
    verdicts: tuple[Verdict, ...]
    age_s: float | None


def explain_resolution(store: OpenStore, resolution: Resolution) -> list[PanelAccount]:
    """Return for each panel of an answer what was chosen, what was rejected and why."""
    names = [panel.panel for panel in resolution.panels if panel.panel is not None]
    with store.database.reading() as connection:
        rows = history(connection, names, resolution.as_of)
    accounts = []
    for panel in resolution.panels:
        verdicts: list[Verdict] = []
        if panel.panel is not None and panel.assignment_id is not None:
            guessed = panel.panel in resolution.guessed
            verdicts = explain(
                rows[panel.panel], panel.assignment_id, resolution.at, guessed=guessed
            )
        age = None
        if resolution.at is not None and panel.valid_from is not None:
            age = (resolution.at - panel.valid_from).total_seconds()
        accounts.append(PanelAccount(panel, tuple(verdicts), age))
    return accounts
