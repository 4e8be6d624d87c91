"""The two sides of a diff: what each panel uses, and which panel goes with which."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from panelcal.domain.text import count_of, excerpt
from panelcal.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class PanelSide:
    """What one panel uses on one side, or why nothing.

    Parameters
    ----------
    panel : str or None
        Panel id; None for a module that was named or that the run declares.
    module, revision : str or None, int or None
        The constant set; both None where there is none.
    valid_from : datetime or None
        Since when the panel uses it; None is *the beginning*, and without a panel nothing.
    recorded_at : datetime or None
        When the store learned it.
    digests : mapping of str to str
        Digest of the payload of each kind; empty where there is no constant set.
    missing : str or None
        Why there is none: ``never assigned``, ``withdrawn from 20200101000000``.
    detector_type : str or None
        Name of the constant set's detector type; None where there is no constant set.
    """

    panel: str | None
    module: str | None
    revision: int | None
    valid_from: datetime | None
    recorded_at: datetime | None
    digests: Mapping[str, str]
    missing: str | None = None
    detector_type: str | None = None

    @property
    def uses(self) -> str:
        """``M068@1``, or why there is none."""
        return f"{self.module}@{self.revision}" if self.missing is None else self.missing


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a diff.

    Parameters
    ----------
    asked : str
        What was typed for it.
    at : datetime or None
        The time it is about; None where modules are compared.
    as_of : datetime or None
        Transaction time; None is now.
    panels : tuple of PanelSide
        In segment order; of a module, one.
    """

    asked: str
    at: datetime | None
    as_of: datetime | None
    panels: tuple[PanelSide, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same panel on both sides.

    Parameters
    ----------
    index : int
        Its place among the pairs, from 0; of a detector, the segment before.
    before, after : PanelSide
        What it uses.
    """

    index: int
    before: PanelSide
    after: PanelSide

    @property
    def is_complete(self) -> bool:
        """Whether both sides have constants, so that they can be compared."""
        return self.before.missing is None and self.after.missing is None

    @property
    def is_change(self) -> bool:
        """Whether the sides use different constant sets, or only one of them any."""
        if self.before.missing is not None and self.after.missing is not None:
            return False
        return self.before.uses != self.after.uses


def numbered(before: Iterable[PanelSide], after: Iterable[PanelSide]) -> tuple[Pair, ...]:
    """Return pairs of what is at the same place."""
    both = zip(before, after, strict=True)
    return tuple(Pair(index, *pair) for index, pair in enumerate(both))


def paired(before: Side, after: Side) -> tuple[Pair, ...]:
    """Return the panels of both sides in pairs, in the order of the first.

    A panel goes with itself, wherever it is in its detector; a module that a run
    declares, with the same module.

    Raises
    ------
    InvalidInputError
        They are not the same panels.
    """
    _require_same_panels(before, after)
    partners = {_key(one): one for one in after.panels}
    return numbered(before.panels, [partners[_key(one)] for one in before.panels])


def _key(side: PanelSide) -> str:
    """Return what has to be equal on both sides: the panel, or the module that is declared."""
    return side.panel or str(side.module)


def _require_same_panels(before: Side, after: Side) -> None:
    first, second = (Counter(map(_key, side.panels)) for side in (before, after))
    if first == second:
        return
    told = [
        f"only {excerpt(side.asked)} has {', '.join(_few(alone))}"
        for side, alone in ((before, first - second), (after, second - first))
        if alone
    ]
    msg = f"the two are of different panels: {'; '.join(told)}"
    raise InvalidInputError(msg, "constants of any two modules compare: panelcal diff M068 M044")


def _few(names: Counter[str], most: int = 3) -> Iterator[str]:
    yield from sorted(names)[:most]
    if len(names) > most:
        yield f"and {count_of(len(names) - most, 'more', 'more')}"
