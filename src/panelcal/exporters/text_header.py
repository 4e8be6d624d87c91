"""What a text file that panelcal wrote says about itself, read without its values."""

from dataclasses import dataclass
from pathlib import Path

from panelcal.exporters.provenance import Provenance, parse_provenance


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
