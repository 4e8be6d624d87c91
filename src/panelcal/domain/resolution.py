"""The answer to "constants for a detector at time T", and its token."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from panelcal.domain.moments import iso_utc, stamp_of
from panelcal.domain.runs import Run
from panelcal.domain.validity import Policy
from panelcal.errors import InvalidInputError

TOKEN_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ResolvedPanel:
    """One panel's part of an answer.

    Parameters
    ----------
    index : int
        Segment of the detector, from 0.
    panel : str or None
        Panel id; None where the run declares modules instead (ConfigV1/V2).
    module, revision : str, int
        The constant set in force.
    valid_from : datetime or None
        Since when; None is *the beginning*.
    recorded_at : datetime
        When the ledger learned it.
    digests : mapping of str to str
        Digest of the payload of each kind.
    assignment_id : int or None
        Row of the ledger; None for a declared module.
    constant_set_id : int
        Row of the constant set.
    detector_type : str
        Name of the detector type that the constant set is of.
    """

    index: int
    panel: str | None
    module: str
    revision: int
    valid_from: datetime | None
    recorded_at: datetime
    digests: Mapping[str, str]
    assignment_id: int | None
    constant_set_id: int
    detector_type: str


@dataclass(frozen=True)
class Resolution:
    """Constants for a detector at a time: which, not yet the arrays.

    Parameters
    ----------
    detector : str
        Detector id, or ``<source with - for :>`` where modules are declared.
    at : datetime or None
        T, UTC. None where legacy policy was asked without a moment.
    asked : str or None
        T as a 14-digit stamp, or what the legacy selector was given.
    policy : {'strict', 'legacy'}
        How T before the first assignment is answered.
    as_of : datetime or None
        Transaction time asked about; None is what the ledger says now.
    panels : tuple of ResolvedPanel
        In segment order.
    zone : ZoneInfo
        The store's time zone, in which stamps are written.
    guessed : tuple of str
        Panels that legacy policy answered outside their validity.
    notices : tuple of str
        What the reader should know about how the request was understood.
    run : Run or None
        The registered run that was asked about; None where it was a detector id.
    """

    detector: str
    at: datetime | None
    asked: str | None
    policy: Policy
    as_of: datetime | None
    panels: tuple[ResolvedPanel, ...]
    zone: ZoneInfo
    guessed: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    run: Run | None = field(default=None, repr=False, compare=False)

    @property
    def detector_type(self) -> str:
        """Name of the detector type of the constants; that of every panel is the same."""
        return self.panels[0].detector_type

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds of constants, in the order in which their type has them."""
        return tuple(self.panels[0].digests)

    @property
    def token(self) -> str:
        """Short hash of the question and its answer (design §2).

        Equal for the same detector id, T, policy and payloads, on any machine.
        """
        asked = iso_utc(self.at) if self.at else self.asked
        digests = [dict(sorted(panel.digests.items())) for panel in self.panels]
        return token_of(self.detector, asked, self.policy, digests)

    def document(self) -> dict[str, Any]:
        """Return the answer as ``resolve --json`` prints it (design §4)."""
        return {
            "detector": self.detector,
            "at": self.asked,
            "policy": self.policy,
            "as_of": iso_utc(self.as_of) if self.as_of else None,
            "token": self.token,
            "panels": [self._panel_document(panel) for panel in self.panels],
        }

    def _panel_document(self, panel: ResolvedPanel) -> dict[str, Any]:
        start = panel.valid_from
        return {
            "index": panel.index,
            "panel": panel.panel,
            "module": panel.module,
            "revision": panel.revision,
            "valid_from": None if start is None else stamp_of(start, self.zone),
            "recorded_at": iso_utc(panel.recorded_at),
            "digests": dict(sorted(panel.digests.items())),
        }


def require_one_type(panels: Sequence[ResolvedPanel], named: str = "") -> None:
    """Refuse panels of several detector types: no array can hold their constants.

    Parameters
    ----------
    named : str
        The type that the detector id begins with; empty where it begins with none.

    Raises
    ------
    InvalidInputError
        They are of several types, or of another than the id says.
    """
    types: dict[str, ResolvedPanel] = {}
    for panel in panels:
        # A constant set that has lost its module has no type: damage, which seals tell.
        if panel.module is not None:
            types.setdefault(panel.detector_type, panel)
    if len(types) > 1:
        told = ", ".join(
            f"panel {one.index} {one.panel or one.module} of {name}" for name, one in types.items()
        )
        msg = f"the panels are of several detector types: {told}"
        raise InvalidInputError(msg, "a detector has panels of one type; ask for each alone")
    if named and types and named not in types:
        msg = f"the detector id names the detector type {named!r}, its panels are of {min(types)!r}"
        raise InvalidInputError(msg, "panelcal panel list --json says of which type each panel is")


def token_of(
    detector: str,
    asked: str | None,
    policy: str,
    digests: Sequence[Mapping[str, str]],
) -> str:
    """Return the token: the first 16 hexadecimal digits of a SHA-256.

    Hashed is the JSON text, keys sorted and without blanks, of the detector id,
    T (ISO 8601 in UTC), the policy, and per panel the digest of each kind.
    """
    question = {
        "detector": detector,
        "at": asked,
        "policy": policy,
        "panels": [dict(panel) for panel in digests],
    }
    text = json.dumps(question, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:TOKEN_DIGITS]
