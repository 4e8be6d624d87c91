"""What panelcal writes into the comments of a text array about where its values come from."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_FIRST = re.compile(r"panelcal (?P<version>\S+) token (?P<token>[0-9a-f]{16})\Z", re.ASCII)
_SECOND = re.compile(r"detector (?P<detector>\S+) at (?P<at>\S+) policy (?P<policy>\S+)\Z")
_PANEL = re.compile(
    r"panel (?P<index>[0-9]+) (?P<panel>\S+) (?P<module>[^\s@]+)@(?P<revision>[1-9][0-9]*) "
    r"from (?P<start>.+) payload (?P<digest>[0-9a-f]{64})\Z",
    re.ASCII,
)
BEGINNING = "the beginning"


@dataclass(frozen=True, slots=True)
class PanelProvenance:
    """What a file says about the values of one panel.

    Parameters
    ----------
    panel : str or None
        Panel id; None for a declared module.
    module, revision : str, int
        The constant set.
    start : str or None
        Since when, as it can be typed; None is *the beginning*.
    digest : str
        Digest of the payload, before its values were rounded to text.
    """

    panel: str | None
    module: str
    revision: int
    start: str | None
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
            f"from {panel.start or BEGINNING} payload {panel.digest}"
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
                start=None if line["start"] == BEGINNING else line["start"],
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


@dataclass(frozen=True, slots=True)
class Header:
    """What a text file that panelcal wrote says about itself.

    Parameters
    ----------
    provenance : Provenance
        Where its values come from.
    file_name : str
        The path that it was written for.
    date_time : str
        When, local time ``YYYY-mm-ddTHH:MM:SS``.
    """

    provenance: Provenance
    file_name: str
    date_time: str


def read_header(path: Path) -> Header | None:
    """Read what a text file says about itself, without reading its values.

    None unless its first lines are the comments that panelcal writes.
    """
    comments: list[str] = []
    facts: dict[str, str] = {}
    is_past_comments = False
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            if line.isspace():
                is_past_comments = True
            elif not line.startswith("# "):
                break
            elif is_past_comments:
                key, _, value = line[2:].rstrip("\n").partition(" ")
                facts.setdefault(key, value.strip())
            else:
                comments.append(line[2:].rstrip("\n"))
    provenance = parse_provenance(comments)
    if provenance is None:
        return None
    return Header(provenance, facts.get("FILE_NAME", ""), facts.get("DATE_TIME", ""))


def read_provenance(path: Path) -> Provenance | None:
    """Read where the values of a text file come from, as `read_header`."""
    header = read_header(path)
    return None if header is None else header.provenance
