"""Make the pictures of the documents: ``scripts/pictures``."""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from panelcal.domain.difference import differences
from panelcal.domain.pixel import Pixel
from panelcal.pictures.constants import set_picture
from panelcal.pictures.difference import difference_picture
from panelcal.pictures.page import write_picture
from panelcal.pictures.pixel import pixel_picture
from panelcal.pictures.timeline import timeline_picture
from panelcal.services.pictured import load_set, revisions_of
from panelcal.services.pixel_history import pixel_history
from panelcal.services.timeline import panels_using, timeline_of
from panelcal.storage.store import OpenStore, open_store
from pictures.material import DETECTOR, NOW, PANELS, PIXEL, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matplotlib.figure import Figure

COLOURS = 224
"""Of a PNG in the documents, so that it stays small."""


def main() -> int:
    """Make each picture, in a directory."""
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=__doc__)
    parser.add_argument("directory", type=Path)
    target = parser.parse_args().directory
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="panelcal-pictures-") as place:
        tell(Path(place))
        with open_store(Path(place) / "store") as store:
            for name, dots, draw in drawn(store):
                path = target / f"{name}.png"
                write_picture(path, draw, overwrite=True, dots_per_inch=dots)
                _with_few_colours(path)
                sys.stdout.write(f"{path} {path.stat().st_size} bytes\n")
    return 0


def _with_few_colours(path: Path) -> None:
    # The method that keeps the red of the rings, of which there are few pixels.
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(
            COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
        )
    small.save(path, optimize=True)


def drawn(store: OpenStore) -> "Iterator[tuple[str, int, Callable[[], Figure]]]":
    """Give each picture: its name, dots per inch, and what draws it."""
    one, later = load_set(store, "M068@2"), load_set(store, "M068@3")
    panels = panels_using(store, "M068", 2)
    digests = one.constant_set.digests
    yield "set", 78, lambda: set_picture(one.name, one.payloads, one.units, digests, panels)
    found = differences(one.payloads, later.payloads, one.units)
    yield (
        "diff",
        78,
        lambda: difference_picture(one.name, later.name, one.payloads, later.payloads, found),
    )
    timeline = timeline_of(store, DETECTOR)
    yield "timeline", 100, lambda: timeline_picture(timeline, NOW)
    revisions = revisions_of(pixel_history(store, PANELS[0], Pixel(*PIXEL)))
    yield (
        "pixel",
        90,
        lambda: pixel_picture(PANELS[0], *PIXEL, revisions, one.units, store.zone),
    )


if __name__ == "__main__":
    sys.exit(main())
