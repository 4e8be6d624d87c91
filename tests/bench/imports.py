"""Import of a gains tree against reading and hashing the same bytes."""

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench import material
from bench.rounds import Contender, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace
from panelcal.services.import_gains_tree import import_gains_tree
from panelcal.storage.payload_batch import MAX_IN_FLIGHT, WRITERS
from panelcal.storage.payload_files import (
    aligned_empty,
    fill,
    opened,
    passing_blocks,
    write_durably,
)
from panelcal.storage.store import open_store

TOPIC = "import"
TARGET = Target("<=", 1.5)

PAGE = 4096


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
            *(
                Contender(
                    name,
                    work,
                    set_up=copy.mkdir,
                    tear_down=lambda: shutil.rmtree(copy),
                )
                for name, work in {
                    "copy": partial(_copy_all, files, copy),
                    "synced": partial(_store_all, files, copy, read_back=False),
                    "verified": partial(_store_all, files, copy, read_back=True),
                }.items()
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
            "of a copy": times.ratio("import", "copy").value,
            "durable writing alone": times.ratio("synced", "read and hash").value,
            "and read back": times.ratio("verified", "read and hash").value,
        },
    )


def _read_and_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _copy_all(files: Sequence[Path], folder: Path) -> None:
    for number, path in enumerate(files):
        content = path.read_bytes()
        (folder / str(number)).write_bytes(content)
        hashlib.sha256(content).hexdigest()


def _store_all(files: Sequence[Path], folder: Path, *, read_back: bool) -> None:
    """Do what no import that keeps its word can do without, and nothing else.

    The three files of a kind are one payload; as many threads write as an import has.
    """
    with ThreadPoolExecutor(WRITERS) as writers:
        waiting: list[Future[None]] = []
        for first in range(0, len(files), 3):
            content = _in_pages(files[first : first + 3])
            hashlib.sha256(content).hexdigest()
            if len(waiting) >= MAX_IN_FLIGHT:
                waiting.pop(0).result()
            target = folder / str(first)
            waiting.append(writers.submit(_store, target, content, read_back=read_back))
        for work in waiting:
            work.result()


def _in_pages(files: Sequence[Path]) -> memoryview:
    """Return what is in files, padded with whole pages, in memory a disk can take it from."""
    size = sum(path.stat().st_size for path in files)
    pages = aligned_empty((-(-size // PAGE) * PAGE // 4,)).data.cast("B")
    offset = 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while read := file.readinto(pages[offset:]):
                offset += read
    return pages


def _store(path: Path, content: memoryview, *, read_back: bool) -> None:
    write_durably({path: content})
    if read_back:
        with opened(path) as (handle, size):
            fill(handle, passing_blocks(size))
