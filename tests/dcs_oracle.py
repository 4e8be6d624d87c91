"""DCS HDF5 files as the legacy software writes and reads them, in plain words.

Written from the description of the format alone and sharing nothing with panelcal:
slow, short, and meant to be checked by reading it.
"""

from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

KNOWN = [
    *("pedestals", "pixel_status", "pixel_rms", "pixel_gain", "pixel_mask", "pixel_bkgd"),
    *("common_mode", "geometry", "pixel_offset", "status_data", "status_extra"),
]


class LegacyReaderFailedError(Exception):
    """The legacy reader ends with an exception: the whole file is unreadable."""


def legacy_get(path: Path, ctype: str, time: float) -> "np.ndarray[Any, Any] | None":
    """Return what the legacy reader takes for a time: it loads everything, then chooses."""
    ranges = legacy_load(path).get(ctype, [])
    # By begin; of the same begin the wide ones first.
    ranges.sort(key=lambda one: (one["begin"], -one["end"]))
    for one in reversed(ranges):
        if one["begin"] <= time <= one["end"]:
            versions: dict[str, tuple[int, Any]] = one["versions"]
            if not versions:
                return None
            name = sorted(versions)[-1]
            for candidate in sorted(versions):
                if one["versdef"] != 0 and versions[candidate][0] == one["versdef"]:
                    name = candidate
            return np.asarray(versions[name][1])
    return None


def legacy_load(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the ranges of each calibration type."""
    loaded: dict[str, list[dict[str, Any]]] = {}
    with h5py.File(path, "r") as file:
        for name, item in file.items():
            if isinstance(item, h5py.Group) and name != "_history":
                if name not in KNOWN:
                    raise LegacyReaderFailedError(name)
                loaded[name] = load_ctype(item)
    return loaded


def load_ctype(group: Any) -> list[dict[str, Any]]:
    """Return the ranges that have a begin of float64; the others are ignored."""
    ranges = []
    for name, item in group.items():
        if not isinstance(item, h5py.Group) or name == "_history" or "begin" not in item:
            continue
        begin = first(item["begin"])
        if isinstance(begin, np.float64):
            ranges.append(load_range(item, float(begin)))
    return ranges


def load_range(group: Any, begin: float) -> dict[str, Any]:
    """Return begin, end, default and the versions that say their number."""
    end = first(group["end"]) if "end" in group else b"end"
    if end == b"end":
        end = np.float64("inf")
    if not isinstance(end, np.float64):
        raise LegacyReaderFailedError(str(end))
    versions = {}
    for name, item in group.items():
        if isinstance(item, h5py.Group) and not str(name).startswith("_") and "version" in item:
            versions[name] = (int(first(item["version"])), item["data"][()])
    default = int(first(group["versdef"])) if "versdef" in group else 0
    return {"begin": begin, "end": float(end), "versdef": default, "versions": versions}


def first(dataset: Any) -> Any:
    """Return the first value; a scalar has none."""
    if dataset.shape == ():
        raise LegacyReaderFailedError(dataset.name)
    return dataset[0]


def legacy_add(
    path: Path,
    ctype: str,
    begin: float,
    data: "np.ndarray[Any, Any] | bytes",
    *,
    now: float = 1520000000.25,
    end: float | None = None,
    python3: bool = False,
) -> str:
    """Add a version as ``dcs add`` does, and return the path of its group.

    With `python3` the number is not stored where the file had been read back: the
    bug that leaves ``vNNNN`` without ``version``.
    """
    device, _, detector = path.stem.partition("-")
    last = "end" if end is None else str(int(np.ceil(end)))
    range_name = f"{int(begin)}-{last}"
    with h5py.File(path, "a") as file:
        for name, text in (("dettype", device), ("detid", detector), ("detname", path.stem)):
            put(file, name, text.encode())
        put(file, "tscfile", np.float64(begin))
        if ctype not in file:
            put(file, f"_history/{now:.6f}", f"add ctype {ctype}: ".encode())
        put(file, f"{ctype}/ctype", ctype.encode())
        top = f"{ctype}/{range_name}"
        if top not in file:
            text = f"add range {range_name}: exp=unknown:run=0"
            put(file, f"{ctype}/_history/{now:.6f}", text.encode())
        put(file, f"{top}/begin", np.float64(begin))
        put(file, f"{top}/end", b"end" if end is None else np.float64(end))
        put(file, f"{top}/range", range_name.encode())
        put(file, f"{top}/versdef", np.int64(0))
        put(file, f"{top}/_parameters/experiment", b"unknown")
        put(file, f"{top}/_parameters/run", b"0")
        number = 1 + len([name for name in file[top] if name.startswith("v0")])
        put(file, f"{top}/_history/{now + number:.6f}", f"add version {number}: x".encode())
        if not (python3 and number > 1):
            put(file, f"{top}/v{number:04d}/version", np.int64(number))
        put(file, f"{top}/v{number:04d}/tsprod", np.float64(now))
        if isinstance(data, bytes):
            put(file, f"{top}/v{number:04d}/data", data)
        else:
            file[f"{top}/v{number:04d}"].create_dataset("data", data=data)
    return f"{top}/v{number:04d}"


def put(file: Any, name: str, value: Any) -> None:
    """Store one value in a dataset of shape (1,), unless there is one."""
    if name not in file:
        file.create_dataset(name, data=np.array([value]))


def everything(path: Path) -> dict[str, Any]:
    """Return every object of a file as something that can be compared."""
    found: dict[str, Any] = {}
    with h5py.File(path, "r") as file:

        def look(name: str, item: Any) -> None:
            attributes = {key: (value.dtype, value.tolist()) for key, value in item.attrs.items()}
            value = None
            if isinstance(item, h5py.Dataset):
                content = np.asarray(item[()])
                # Objects, such as texts of variable length, are told; all else is bits.
                bits = repr(content.tolist()) if content.dtype.hasobject else content.tobytes()
                value = (str(item.dtype), item.shape, item.chunks, bits)
            found[name] = (type(item).__name__, value, attributes)

        file.visititems(look)
    return found
