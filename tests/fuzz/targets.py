"""What is fuzzed: one plain function a reader, which raises documented errors only.

Each takes bytes of anybody's. An `InvalidInputError` or `IntegrityError` is an answer;
whatever else comes out of a reader is a fault of it, and so is an answer that an
oracle contradicts.
"""

import atexit
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import PanelId, parse_detector_id
from panelcal.domain.moments import parse_moment, typed_form
from panelcal.domain.runs import parse_dataset, parse_source
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.dcs_file import load_version, read_dcs_file
from panelcal.exporters.foreign_text import read_foreign_text_array
from panelcal.exporters.history_file import parse_record
from panelcal.exporters.printf import format_rows
from panelcal.exporters.strtod import parse_fixed
from panelcal.exporters.text_array import read_text_array
from panelcal.exporters.text_header import read_header
from panelcal.services.delivery import _read_plane
from panelcal.storage.bundle import read_bundle

Target = Callable[[bytes], None]

REFUSED = (InvalidInputError, IntegrityError)
ZONES = [ZoneInfo(name) for name in ("America/Los_Angeles", "Australia/Lord_Howe", "Pacific/Apia")]
LONGEST_MESSAGE = 2000


@cache
def _place() -> Path:
    """Return a directory of this process, gone with it or with the driver's."""
    place = Path(tempfile.mkdtemp(prefix="panelcal-fuzz-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def _file(name: str, content: bytes) -> Path:
    path = _place() / f"{os.getpid()}-{name}"
    path.write_bytes(content)
    return path


def require_short(error: InvalidInputError) -> None:
    """Fail unless what is said fits a terminal, whatever was fed."""
    assert len(str(error)) < LONGEST_MESSAGE


def ids(data: bytes) -> None:
    """Ids, datasets, sources and references: what is read is written as it can be read again."""
    text = data.decode("utf-8", "surrogateescape")
    with suppress(InvalidInputError):
        panel = PanelId.parse(text)
        assert PanelId.parse(str(panel)) == panel
    with suppress(InvalidInputError):
        detector = parse_detector_id(text)
        assert parse_detector_id(str(detector)) == detector
    with suppress(InvalidInputError):
        dataset = parse_dataset(text)
        assert parse_dataset(str(dataset)) == dataset
    with suppress(InvalidInputError):
        assert parse_source(parse_source(text)) == parse_source(text)
    with suppress(InvalidInputError):
        parse_module_reference(text)


def moments(data: bytes) -> None:
    """Moments: what is read is a second of the calendar, and typed again means the same."""
    text = data[1:].decode("utf-8", "surrogateescape")
    zone = ZONES[data[0] % len(ZONES)] if data else ZONES[0]
    try:
        utc = parse_moment(text, zone).utc
    except InvalidInputError as error:
        require_short(error)
        return
    assert utc.tzinfo is UTC
    whole = utc.replace(microsecond=0)
    assert parse_moment(typed_form(whole, zone), zone).utc == whole


def text_arrays(data: bytes) -> None:
    """Text arrays: both readers take them or refuse; where both take one, values agree."""
    path = _file("array.data", data)
    read_header(path)
    foreign = own = None
    with suppress(InvalidInputError):
        foreign = read_foreign_text_array(path).array
    with suppress(InvalidInputError):
        own = read_text_array(path)
    if foreign is not None and own is not None and foreign.dtype == own.dtype:
        assert np.array_equal(foreign.ravel(), own.ravel(), equal_nan=foreign.dtype.kind == "f")


def numbers(data: bytes) -> None:
    """Numbers read by tables are those that `float` reads, bit by bit."""
    found = parse_fixed(data)
    if found is not None:
        expected = [float(word) for word in data.split()]
        assert found.values.ravel().tobytes() == np.array(expected, np.float64).tobytes()


def printf(data: bytes) -> None:
    """Values are written as C printf writes them, and full precision brings them back."""
    values = np.frombuffer(data[1 : 1 + (len(data) - 1) // 4 * 4], np.float32)
    if not values.size or not np.isfinite(values).all():
        return
    form = ["%.1f", "%.2f", "%.3f", "%.4f", "%.5f", "%.6f", "%.9g"][data[0] % 7]
    written = format_rows(values[None, :], form)
    # Python's formatting of a double is that of C, digit by digit.
    assert written.decode() == " ".join(form % value for value in values.tolist()) + "\n"
    if form == "%.9g":
        back = np.array([float(word) for word in written.split()], np.float32)
        assert back.tobytes() == values.tobytes()


def history(data: bytes) -> None:
    """A line of HISTORY names a file, or is none."""
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        record = parse_record(line)
        assert record is None or record.file


def npy(data: bytes) -> None:
    """A file of a delivery fills its plane with finite values, or is refused in a short line."""
    path = _file("g0_gain.npy", data)
    plane = np.empty((4, 8), np.float32)
    try:
        _read_plane(path, plane, cast=bool(len(data) % 2), inside=_place())
    except InvalidInputError as error:
        require_short(error)
        return
    assert np.isfinite(plane).all()


def dcs(data: bytes) -> None:
    """A DCS file and its arrays, which are small, are read or refused."""
    path = _file("jungfrau-1-2-3.h5", data)
    with suppress(*REFUSED):
        for version in read_dcs_file(path).versions:
            if np.prod(version.shape, dtype=float) < 2**16:
                with suppress(*REFUSED):
                    load_version(path, version)


def bundle(data: bytes) -> None:
    """A bundle opens, or is refused before a byte of it is believed."""
    path = _file("b.zip", data)
    with suppress(*REFUSED):
        read_bundle(path)


TARGETS: dict[str, Target] = {
    one.__name__: one
    for one in (ids, moments, text_arrays, numbers, printf, history, npy, dcs, bundle)
}


def npy_file(header: bytes, content: bytes = bytes(128)) -> bytes:
    """Return a .npy file with a header written by hand."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + content
