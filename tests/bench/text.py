"""Text arrays: written and read against what the legacy software does, and against the disk."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bench import material
from bench.material import Array
from bench.resolve import named
from bench.rounds import Contender, Measured, measure
from bench.rows import Row, Target, compared
from bench.workplace import Workplace
from legacy_oracle import load_txt
from panelcal.exporters.text_array import header_lines, read_text_array, write_text_array

TOPIC = "text"
FASTER = {"gain": Target(">=", 7), "offset": Target(">=", 14)}
STRETCH = Target("<=", 3)
READ = Target(">=", 10)
SAVETXT, SAME_BYTES = "numpy.savetxt", "writing the same bytes"


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure both kinds in detectors of every size."""
    for panels in workplace.scale.panels:
        for stem in material.FORMATS:
            yield from _written(workplace, panels, stem)
    for stem in material.FORMATS:
        yield _read_back(workplace, stem)


def _written(workplace: Workplace, panels: int, stem: str) -> Iterator[Row]:
    scale = workplace.scale
    array = material.constants(stem, panels, (scale.rows, scale.columns))
    path = workplace.place / "written.data"
    write(path, array, stem)
    content = path.read_bytes()
    path.unlink()
    write_it = partial(write, path, array, stem)
    what = f"export {stem} {material.FORMATS[stem]}, {named(panels)}"
    ours = _to_a_new_file("export", write_it, path)
    savetxt = _to_a_new_file("savetxt", partial(_savetxt, path, array, stem), path)
    same = _to_a_new_file("write", partial(path.write_bytes, content), path)
    is_slow = panels == scale.panels[-1]
    if not is_slow:
        times = measure([ours, savetxt, same], scale.rounds)
        yield _against_savetxt(times, stem, what)
    else:
        times = measure([ours, same], scale.rounds)
        if scale.slow_rounds:
            slow = measure([ours, savetxt], scale.slow_rounds, warm_up=False)
            yield _against_savetxt(slow, stem, what)
        else:
            note = "only with --full: savetxt takes minutes"
            yield Row(TOPIC, what, SAVETXT, FASTER[stem], None, note=note)
    yield compared(
        times, "export", "write", topic=TOPIC, what=what, against=SAME_BYTES, target=STRETCH
    )


def _against_savetxt(times: Measured, stem: str, what: str) -> Row:
    return compared(
        times,
        "export",
        "savetxt",
        topic=TOPIC,
        what=what,
        against=SAVETXT,
        target=FASTER[stem],
    )


def _to_a_new_file(name: str, run: Callable[[], object], path: Path) -> Contender:
    # Removed at once: what the system has not written to the disk yet, it need not.
    return Contender(name, run, tear_down=path.unlink)


def write(path: Path, array: Array, stem: str) -> None:
    """Write constants as panelcal exports them."""
    with path.open("wb") as stream:
        write_text_array(stream, array, material.FORMATS[stem], header(path, array))


def header(path: Path, array: Array) -> list[str]:
    """Return the lines before the values."""
    return header_lines(array.shape, (), material.ENVIRONMENT, str(path), "2026-01-01T00:00:00")


def _savetxt(path: Path, array: Array, stem: str) -> None:
    """Write as the legacy library does: a header, then numpy, the last axis as columns."""
    with path.open("wb") as stream:
        stream.write("".join(f"{line}\n" for line in header(path, array)).encode())
        np.savetxt(stream, array.reshape(-1, array.shape[-1]), fmt=material.FORMATS[stem])


def _read_back(workplace: Workplace, stem: str) -> Row:
    scale = workplace.scale
    path = workplace.place / f"read-{stem}.data"
    write(path, material.constants(stem, 1, (scale.rows, scale.columns)), stem)
    times = measure(
        [
            Contender("read", partial(read_text_array, path)),
            Contender("load_txt", partial(load_txt, path)),
        ],
        scale.rounds,
    )
    return compared(
        times,
        "read",
        "load_txt",
        topic=TOPIC,
        what=f"read a deployed {stem} file, 1 panel",
        against="legacy load_txt: float() of every token",
        target=READ,
    )
