"""What reads the exported files downstream, in plain words.

Written from the description of the formats alone and sharing nothing with panelcal:
slow, short, and meant to be checked by reading it.
"""

from pathlib import Path
from typing import Any

import numpy as np

LAST_RUN = 9999
DEVICES = {"Jungfrau", "Epix10ka"}


class DirectoryOrderError(Exception):
    """Two files have the same range: which one is read is up to the directory."""


def load_txt(path: Path) -> "np.ndarray[Any, Any]":
    """Read a text array as psana does."""
    dtype = np.dtype("float32")
    ndim: int | None = None
    dims: list[int] = []
    lines: list[list[float]] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            if not line.strip():
                continue
            if line[0] != "#":
                lines.append([float(token) for token in line.split()])
                continue
            fields = line.split(" ", 2)
            if len(fields) != 3 or fields[0] != "#":
                continue
            _, key, value = fields
            if key == "DTYPE":
                dtype = np.dtype(value.strip())
            elif key == "NDIM":
                ndim = int(value)
            elif key.startswith("DIM:"):
                dims.append(int(value))
    if not lines:
        msg = "header without data"
        raise ValueError(msg)
    if len({len(line) for line in lines}) != 1:
        msg = "ragged lines"
        raise ValueError(msg)
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.array(lines[0] if len(lines) == 1 else lines, dtype=dtype)
    if ndim is None or not dims:
        return array
    if ndim != len(dims):
        msg = "NDIM is not the number of DIM lines"
        raise OSError(msg)
    return array.reshape(dims) if ndim > 2 else array


def find_calib_file(calib_dir: Path, source: str, ctype: str, run: int) -> str | None:
    """Return the path of the file that psana reads for a run.

    None without a calib directory, an empty text if no file serves the run. A name
    that makes the real finder fail raises TypeError, as there.
    """
    if not calib_dir.exists():
        return None
    device = source.rpartition(":")[2].partition(".")[0]
    group = f"{device}::CalibV1" if device in DEVICES else "UNDEFINED"
    directory = calib_dir / group / source / ctype
    if not directory.exists():
        return ""
    run = min(run, LAST_RUN)
    ranges = [(name, range_of(name)) for name in (path.name for path in directory.iterdir())]
    fits = [
        (-both[0], both[1], name) for name, both in ranges if both and both[0] <= run <= both[1]
    ]
    if not fits:
        return ""
    best = min(fits)
    if len([one for one in fits if one[:2] == best[:2]]) > 1:
        raise DirectoryOrderError(str(directory))
    return str(directory / best[2])


def range_of(name: str) -> tuple[int, int] | None:
    """Return the first and last run of a file name, or None if it is passed over."""
    if not name.endswith(".data"):
        return None
    fields = name[: -len(".data")].split("-")
    if len(fields) != 2 or not is_number(fields[0]):
        return None
    if fields[1] != "end" and not is_number(fields[1]):
        msg = f"%d format: {name}"
        raise TypeError(msg)
    begin = int(fields[0])
    end = LAST_RUN if fields[1] == "end" else int(fields[1])
    if begin > LAST_RUN or end > LAST_RUN:
        msg = f"%d format: {name}"
        raise TypeError(msg)
    return (begin, end) if begin <= end else None


def is_number(text: str) -> bool:
    """Tell whether a text is decimal digits and nothing else."""
    return text != "" and all(character in "0123456789" for character in text)


def parse_history(line: str) -> dict[str, str]:
    """Return the fields of a HISTORY record: split on blanks, then at the first colon."""
    record: dict[str, str] = {}
    for word in line.split():
        key, colon, value = word.partition(":")
        if colon:
            record[key] = value
    return record
