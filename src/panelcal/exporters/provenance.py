"""Provenance: what files of panelcal say about where their values come from.

In a text array these are comments, in a DCS file attributes of a version.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"[0-9a-f]{16}\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_FIRST = re.compile(r"panelcal (?P<version>\S+) token (?P<token>[0-9a-f]{16})\Z", re.ASCII)
_SECOND = re.compile(r"detector (?P<detector>\S+) at (?P<at>\S+) policy (?P<policy>\S+)\Z")
_PANEL = re.compile(
    r"panel (?P<index>[0-9]+) (?P<panel>\S+) (?P<module>[^\s@]+)@(?P<revision>[1-9][0-9]*) "
    r"from (?P<valid_from>.+) payload (?P<digest>[0-9a-f]{64})\Z",
    re.ASCII,
)
BEGINNING = "the beginning"
_ATTRIBUTES = ("version", "token", "detector", "at", "policy", "panels")
_OF_PANEL = {"panel", "module", "revision", "valid_from", "digest"}


@dataclass(frozen=True, slots=True)
class PanelProvenance:
    """What a file says about the values of one panel.

    Parameters
    ----------
    panel : str or None
        Panel id; None for a declared module.
    module, revision : str, int
        The constant set.
    valid_from : str or None
        Since when, as it can be typed; None is *the beginning*.
    digest : str
        Digest of the payload, before its values were rounded to text.
    """

    panel: str | None
    module: str
    revision: int
    valid_from: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a file says about its values.

    Parameters
    ----------
    version, token : str
        Of panelcal, and of the answer.
    detector : str
        Detector id.
    asked : str
        T as it was asked.
    policy : str
        Under which it was answered.
    panels : tuple of PanelProvenance
        In segment order.
    """

    version: str
    token: str
    detector: str
    asked: str
    policy: str
    panels: tuple[PanelProvenance, ...]


def provenance_comments(provenance: Provenance) -> list[str]:
    """Return the comments of a text array that say where its values come from."""
    return [
        f"panelcal {provenance.version} token {provenance.token}",
        f"detector {provenance.detector} at {provenance.asked} policy {provenance.policy}",
        *(
            f"panel {index} {panel.panel or '-'} {panel.module}@{panel.revision} "
            f"from {panel.valid_from or BEGINNING} payload {panel.digest}"
            for index, panel in enumerate(provenance.panels)
        ),
    ]


def parse_provenance(comments: Sequence[str]) -> Provenance | None:
    """Read the comments of a file; None unless they are just those that panelcal writes."""
    if len(comments) < 3:
        return None
    first, second = _FIRST.match(comments[0]), _SECOND.match(comments[1])
    found = [_PANEL.match(line) for line in comments[2:]]
    if first is None or second is None:
        return None
    panels = []
    for index, line in enumerate(found):
        if line is None or int(line["index"]) != index:
            return None
        panels.append(
            PanelProvenance(
                panel=None if line["panel"] == "-" else line["panel"],
                module=line["module"],
                revision=int(line["revision"]),
                valid_from=None if line["valid_from"] == BEGINNING else line["valid_from"],
                digest=line["digest"],
            )
        )
    return Provenance(
        first["version"],
        first["token"],
        second["detector"],
        second["at"],
        second["policy"],
        tuple(panels),
    )


def to_attributes(provenance: Provenance) -> dict[str, str]:
    """Return the attributes of a DCS version that say where its values come from.

    Returns
    -------
    dict of str to str
        ``version``, ``token``, ``detector``, ``at``, ``policy``; ``panels`` is a
        JSON list of ``panel``, ``module``, ``revision``, ``valid_from``, ``digest``.
    """
    panels = [
        {
            "panel": panel.panel,
            "module": panel.module,
            "revision": panel.revision,
            "valid_from": panel.valid_from,
            "digest": panel.digest,
        }
        for panel in provenance.panels
    ]
    return {
        "version": provenance.version,
        "token": provenance.token,
        "detector": provenance.detector,
        "at": provenance.asked,
        "policy": provenance.policy,
        "panels": json.dumps(panels),
    }


def from_attributes(attributes: Mapping[str, str]) -> Provenance | None:
    """Read the attributes of a DCS version; None unless they are just those that panelcal writes.

    Parameters
    ----------
    attributes : mapping of str to str
        Without the prefix that their names have in the file.
    """
    if set(attributes) != set(_ATTRIBUTES) or not all(attributes.values()):
        return None
    try:
        listed = json.loads(attributes["panels"])
    except (ValueError, RecursionError):
        return None
    if not _TOKEN.match(attributes["token"]) or not isinstance(listed, list) or not listed:
        return None
    if not all(map(_is_panel, listed)):
        return None
    return Provenance(
        version=attributes["version"],
        token=attributes["token"],
        detector=attributes["detector"],
        asked=attributes["at"],
        policy=attributes["policy"],
        panels=tuple(PanelProvenance(**panel) for panel in listed),
    )


def _is_panel(said: Any) -> bool:
    """Say whether a value of the JSON list has what panelcal says of a panel."""
    if not isinstance(said, dict) or set(said) != _OF_PANEL:
        return False
    texts = [said["module"], said["digest"]]
    texts += [said[key] for key in ("panel", "valid_from") if said[key] is not None]
    if not all(isinstance(text, str) and text for text in texts):
        return False
    # A bool is an int to Python, and no revision.
    is_revision = type(said["revision"]) is int and said["revision"] > 0
    return is_revision and _DIGEST.match(said["digest"]) is not None
