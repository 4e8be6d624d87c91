"""Colours that are told apart in grey and by colour-blind eyes."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.colors import LinearSegmentedColormap

SEQUENTIAL = "cividis"
"""Of maps: perceptually uniform, its lightness grows from end to end."""

LANES = ("#00436b", "#f0e442", "#d55e00", "#56b4e9")
"""Of constant sets in a timeline: hues of the palette of Okabe and Ito, the blue darkened,
so that any two differ in luminance by a ratio of 1.5 at least."""

INK = "#222222"
RING = "#d40000"

_DIVERGING = ("#081d58", "#3f6fb5", "#9a9a9a", "#eeb24a", "#fff7d1")


def diverging() -> "LinearSegmentedColormap":
    """Return the colours of changes: blue where less, orange where more, grey between.

    The usual diverging maps are dark, or light, at both ends: printed in grey they do
    not say which way. Here the lightness grows from end to end; the hue says the rest.
    """
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("panelcal_change", _DIVERGING)


def luminance(colour: str | tuple[float, ...]) -> float:
    """Return the relative luminance of a colour, 0 for black and 1 for white (WCAG 2)."""
    from matplotlib.colors import to_rgb

    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(colour)  # type: ignore[arg-type]
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str | tuple[float, ...], other: str | tuple[float, ...]) -> float:
    """Return the ratio of two luminances, from 1 (equal) to 21 (black on white; WCAG 2)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """Return the colour of a text that is read on another colour."""
    return max(("#ffffff", "#000000"), key=lambda ink: contrast(ink, colour))


def lane_colours(lanes: Iterable[Sequence[str]]) -> dict[str, str]:
    """Give each label a colour that its neighbours in time do not have.

    Parameters
    ----------
    lanes : iterable of sequence of str
        The labels of each panel's intervals with constants, in the order of time.

    Returns
    -------
    dict of str to str
        Colour by label, the same in all lanes. A label that has more different
        neighbours than there are colours gets the one that the fewest of them have.
    """
    chains = [list(lane) for lane in lanes]
    neighbours: dict[str, list[str]] = {}
    for chain in chains:
        for label in chain:
            neighbours.setdefault(label, [])
        for former, latter in pairwise(chain):
            if former != latter:
                neighbours[former].append(latter)
                neighbours[latter].append(former)
    chosen: dict[str, str] = {}
    for label, near in neighbours.items():
        taken = [chosen[one] for one in near if one in chosen]
        everywhere = list(chosen.values())
        chosen[label] = min(
            LANES,
            key=lambda colour: (taken.count(colour), everywhere.count(colour)),
        )
    return chosen
