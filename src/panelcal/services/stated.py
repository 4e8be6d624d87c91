"""What exported files say of themselves, and how far an import believes it.

A file's own word is better than what can be learnt from runs: it has the start
of each panel's assignment and the name of its module. It is taken only where it
is whole, fits the file, and agrees in the files of all kinds.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from panelcal.domain.ids import PanelId, SegmentId, parse_detector_id
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import iso_utc, parse_moment
from panelcal.domain.resolution import token_of
from panelcal.errors import InvalidInputError
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.exporters.provenance import PanelProvenance, Provenance
from panelcal.services.attribution import Stated, Values


@dataclass(frozen=True, slots=True)
class StatedPanel:
    """What the files of an answer say of one panel.

    Parameters
    ----------
    panel : PanelId, SegmentId or None
        The panel; None for a declared module.
    valid_from : datetime or None
        Start of its assignment, UTC; None is *the beginning*.
    stated : Stated
        Its constant set.
    """

    panel: PanelId | SegmentId | None
    valid_from: datetime | None
    stated: Stated


def require_unedited(
    provenance: Provenance, values: tuple[Values, ...]
) -> tuple[Provenance | None, tuple[Values, ...]]:
    """Compare the digests that a file states with those of its values.

    Returns
    -------
    provenance : Provenance or None
        None where it is of another number of panels, and so of another array.
    values : tuple of Values
        Known to be exact, whatever the number format, where all digests agree.

    Raises
    ------
    InvalidInputError
        Values of full precision are not those that the file states.
    """
    if len(provenance.panels) != len(values):
        return None, values
    pairs = list(zip(provenance.panels, values, strict=True))
    differing = [str(n) for n, (said, one) in enumerate(pairs) if said.digest != one.digest]
    if not differing:
        return provenance, tuple(replace(one, number_format=FULL_PRECISION) for one in values)
    if all(one.number_format == FULL_PRECISION for one in values):
        msg = (
            f"edited: the values of segment {', '.join(differing)} are not those of the "
            f"payload that the file names"
        )
        raise InvalidInputError(msg)
    return provenance, values


def stated_panels(
    provenances: Mapping[str, Provenance], detector_type: DetectorType, zone: ZoneInfo
) -> tuple[StatedPanel, ...]:
    """Return what the files of all kinds say of each panel.

    Parameters
    ----------
    provenances : mapping of str to Provenance
        By kind.
    zone : ZoneInfo
        The store's, in which stamps are read.

    Raises
    ------
    InvalidInputError
        They are not files of one answer, or cannot be read.
    """
    answers = {
        (one.token, one.detector, tuple(map(_without_digest, one.panels)))
        for one in provenances.values()
    }
    if len(answers) != 1:
        msg = "the files of the kinds were not exported together"
        raise InvalidInputError(msg)
    first = next(iter(provenances.values()))
    panels: Sequence[PanelId | SegmentId | None]
    if all(said.panel is None for said in first.panels):
        panels = [None] * len(first.panels)
    else:
        detector = parse_detector_id(first.detector)
        detector.require_type([detector_type.name])
        panels = detector.panels
        if [str(panel) for panel in panels] != [said.panel for said in first.panels]:
            msg = "the panels are not those of the detector id"
            raise InvalidInputError(msg)
    return tuple(
        StatedPanel(
            panel,
            None if said.valid_from is None else parse_moment(said.valid_from, zone).utc,
            Stated(
                said.module,
                said.revision,
                {kind: one.panels[index].digest for kind, one in provenances.items()},
            ),
        )
        for index, (panel, said) in enumerate(zip(panels, first.panels, strict=True))
    )


def _without_digest(said: PanelProvenance) -> PanelProvenance:
    return replace(said, digest="")


def require_token(provenances: Mapping[str, Provenance], zone: ZoneInfo) -> None:
    """Refuse files whose token is not that of the answer that they state.

    A comment that was changed shows, and so does a store of another time zone,
    where stamps mean other moments.

    Raises
    ------
    InvalidInputError
        The token is another.
    """
    first = next(iter(provenances.values()))
    digests = [
        {kind: one.panels[index].digest for kind, one in sorted(provenances.items())}
        for index in range(len(first.panels))
    ]
    asked: list[str | None] = [None if first.asked == "None" else first.asked]
    # Legacy policy takes any T, and the token then has it as it was typed.
    with suppress(InvalidInputError):
        asked.append(iso_utc(parse_moment(first.asked, zone).utc.replace(microsecond=0)))
    tokens = [token_of(first.detector, one, first.policy, digests) for one in asked]
    if first.token not in tokens:
        msg = "the token is not that of what the files say, in this store's time zone"
        raise InvalidInputError(msg)
