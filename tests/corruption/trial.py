"""One damage tried: who found it, and whether wrong values got out."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from corruption.scene import NOW, PAST, TAG, USES, Arrays, Scene, fill
from panelcal.errors import IntegrityError, PanelcalError
from panelcal.storage.seals import broken_seals
from panelcal.storage.store import open_database, open_store


@dataclass(slots=True)
class Outcome:
    """What became of the uses of a damaged store.

    Parameters
    ----------
    found : set of (str, str)
        Uses that refused because of damage: which state they asked about, and how.
    refused : set of (str, str)
        Uses that found nothing to give, such as a name that is gone.
    changed : set of (str, str)
        Uses that gave other values than before.
    written : set of (str, str)
        Uses that refused and left a file behind all the same.
    broken : tuple of str
        Tables of which `broken_seals` gives rows.
    """

    found: set[tuple[str, str]] = field(default_factory=set)
    refused: set[tuple[str, str]] = field(default_factory=set)
    changed: set[tuple[str, str]] = field(default_factory=set)
    written: set[tuple[str, str]] = field(default_factory=set)
    broken: tuple[str, ...] = ()


Expected = dict[tuple[str, str], Arrays]

STATES = {NOW: None, PAST: TAG}


@contextmanager
def prepared(directory: Path) -> Iterator[tuple[Scene, Expected]]:
    """Fill an empty store and give it with what every use of it gives."""
    with TemporaryDirectory() as scratch:
        with open_store(directory) as store:
            fill(store, Path(scratch))
        scene = Scene(directory)
        scene.keep()
        expected: Expected = {}
        for state, tag in STATES.items():
            for name, use in USES.items():
                out = Path(scratch) / f"{state}-{name}"
                out.mkdir()
                expected[state, name] = use(directory, out, tag)
        scene.restore()
        yield scene, expected


def tried(
    scene: Scene, expected: Expected, uses: Collection[str], *, look_at_seals: bool = True
) -> Outcome:
    """Use a damaged store in every way that is named."""
    outcome = Outcome()
    for (state, name), values in expected.items():
        if name not in uses:
            continue
        with TemporaryDirectory() as scratch:
            out = Path(scratch)
            try:
                given = USES[name](scene.directory, out, STATES[state])
            except IntegrityError:
                outcome.found.add((state, name))
            except PanelcalError:
                outcome.refused.add((state, name))
            else:
                if not _same(given, values):
                    outcome.changed.add((state, name))
                continue
            if any(path.is_file() for path in out.rglob("*")):
                outcome.written.add((state, name))
    if look_at_seals:
        with open_database(scene.directory) as database, database.reader.snapshot() as snapshot:
            outcome.broken = tuple(sorted({one.table for one in broken_seals(snapshot)}))
    return outcome


def _same(given: Arrays, expected: Arrays) -> bool:
    return given.keys() == expected.keys() and all(
        np.array_equal(given[name], expected[name]) for name in given
    )
