"""Arrays: assembled from the store against memcpy, loaded against legacy files."""

import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from bench import material
from bench.material import Array
from bench.rounds import Contender, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace
from panelcal import api
from panelcal.domain.resolution import Resolution
from panelcal.services.assemble import assemble
from panelcal.services.resolve import resolve
from panelcal.storage.store import OpenStore, open_store

TOPIC = "arrays"
Source = TypeVar("Source")
VERIFIED = Target("<=", 3)
READ = Target("<=", 2)
FASTER = Target("<", 1)


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure the largest detector, and one panel from opening the store on."""
    yield from _assembled(workplace)
    yield from _loaded(workplace)


def _assembled(workplace: Workplace) -> Iterator[Row]:
    panels = workplace.scale.panels[-1]
    with ExitStack() as stack:
        store = stack.enter_context(open_store(workplace.store(panels)))
        answer = resolve(
            store, material.detector_id(panels), material.later(0), now=material.later(0)
        )
        source = {kind: assemble(store.payloads, answer, kind) for kind in material.KINDS}
        target = {kind: _on_a_page(array.shape) for kind, array in source.items()}
        files = {kind: _chunks(store, answer, kind) for kind in source}
        contenders = [
            Contender("memcpy", partial(_each, np.copyto, target, source)),
            Contender("copy", lambda: {kind: array.copy() for kind, array in source.items()}),
            Contender("read", partial(_each, _read, target, files)),
            Contender("assemble into", partial(_assemble_into, store, answer, target)),
            Contender(
                "assemble",
                lambda: {kind: assemble(store.payloads, answer, kind) for kind in source},
            ),
        ]
        times = measure(contenders, workplace.scale.rounds)
    what = f"assemble {panels} panels x {len(source)} kinds"
    for name, other, told, against, limit in (
        ("assemble into", "memcpy", "verified, into an array", "memcpy into it", VERIFIED),
        ("assemble", "copy", "verified, a new array", "a copy of the array", VERIFIED),
        ("read", "memcpy", "reading alone", "memcpy", READ),
    ):
        yield compared(
            times,
            name,
            other,
            topic=TOPIC,
            what=f"{what}, {told}",
            against=against,
            target=limit,
        )


def _each(
    call: Callable[[Array, Source], object],
    target: Mapping[str, Array],
    source: Mapping[str, Source],
) -> None:
    for kind, array in target.items():
        call(array, source[kind])


def _assemble_into(store: OpenStore, answer: Resolution, target: dict[str, Array]) -> None:
    for kind, array in target.items():
        assemble(store.payloads, answer, kind, out=array)


def _on_a_page(shape: tuple[int, ...]) -> Array:
    """Return an array that begins on a page, with all its pages there already."""
    count = int(np.prod(shape))
    array = np.frombuffer(mmap.mmap(-1, count * 4), dtype=np.float32, count=count).reshape(shape)
    array.fill(1)
    return array


def _chunks(store: OpenStore, answer: Resolution, kind: str) -> list[Path]:
    """Return the files that hold the values of a kind, one a panel."""
    found = []
    for panel in answer.panels:
        [path] = (
            path
            for path in (store.payloads.path_of(panel.digests[kind]) / "c").rglob("*")
            if path.is_file()
        )
        found.append(path)
    return found


def _read(target: Array, files: list[Path]) -> None:
    for panel, path in enumerate(files):
        handle = os.open(path, os.O_RDONLY)
        try:
            if os.preadv(handle, list(target[:, panel]), 0) != target[:, panel].nbytes:
                msg = f"{path} is not as long as a panel"
                raise RuntimeError(msg)
        finally:
            os.close(handle)


def _loaded(workplace: Workplace) -> Iterator[Row]:
    scale = workplace.scale
    directory = workplace.store(1)
    delivery = workplace.place / "M000"
    material.make_delivery(delivery, (scale.rows, scale.columns), seed=0)
    at = material.stamp(material.later(0))

    def from_store() -> object:
        with api.open_store(directory) as store:
            return store.resolve(material.detector_id(1), at).arrays()

    def from_files() -> object:
        return {
            kind: np.stack([np.load(delivery / f"g{gain}_{stem}.npy") for gain in range(3)])
            for kind, stem in material.KINDS.items()
        }

    times = measure([Contender("store", from_store), Contender("files", from_files)], scale.rounds)
    yield compared(
        times,
        "store",
        "files",
        topic=TOPIC,
        what="open, resolve and load 1 panel",
        against="np.load of the six legacy files, stacked",
        target=FASTER,
    )
