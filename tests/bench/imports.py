"""Import of a gains tree against reading and hashing the same bytes."""

import hashlib
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench import material
from bench.rounds import Contender, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.storage.store import open_store

TOPIC = "import"
TARGET = Target("<=", 1.5)


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure a tree of many modules, each round into a new store."""
    scale = workplace.scale
    place = workplace.directory("import")
    tree, empty, store = place / "jungfrau", place / "empty", place / "store"
    material.make_tree(tree, scale.modules, (scale.rows, scale.columns))
    material.make_empty_store(empty, (scale.rows, scale.columns))
    files = sorted(tree.glob("M*/*.npy"))
    copy = place / "copy"

    def import_tree() -> None:
        with open_store(store) as opened:
            report = import_gains_tree(opened, tree, now=datetime.now(UTC), user="bench")
            report.raise_if_refused()

    times = measure(
        [
            Contender(
                "import",
                import_tree,
                set_up=lambda: shutil.copytree(empty, store),
                tear_down=lambda: shutil.rmtree(store),
            ),
            Contender("read and hash", lambda: [_read_and_hash(path) for path in files]),
            Contender(
                "copy",
                lambda: [_copy(path, copy / str(number)) for number, path in enumerate(files)],
                set_up=copy.mkdir,
                tear_down=lambda: shutil.rmtree(copy),
            ),
        ],
        scale.rounds,
        # A round moves gigabytes; what it would warm up is warm after the first import.
        warm_up=False,
    )
    yield compared(
        times,
        "import",
        "read and hash",
        topic=TOPIC,
        what=f"import a gains tree with {scale.modules} modules",
        against="reading + SHA-256 of the same bytes",
        target=TARGET,
        figures={
            "of reading, hashing and writing them": times.ratio("import", "copy").value,
        },
    )


def _read_and_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _copy(path: Path, target: Path) -> str:
    content = path.read_bytes()
    target.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
