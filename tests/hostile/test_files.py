"""Files that nobody means well with: refused before memory is taken, never waited for."""

import io
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py  # type: ignore[import-untyped]
import numpy as np
import pytest

from builders import FILES, TREE_SHAPE, write_delivery
from conftest import RunsProgram
from hostile_texts import is_plain
from panelcal.config import read_settings
from panelcal.errors import InvalidInputError
from panelcal.exporters.dcs_file import read_dcs_file
from panelcal.services.import_runs import COLUMNS
from panelcal.storage.database import parse_database_url

pytestmark = pytest.mark.sqlite_only

PANEL = "171113-154920171025-3d00fb"
H5 = f"jungfrau-{PANEL}.h5"
FEW_BYTES = 64 * 2**20
HEADER = ",".join(COLUMNS)


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fail if what is run takes more than a few megabytes at any time."""
    tracemalloc.start()
    yield
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < FEW_BYTES


def npy(header: str, version: int = 1, size: int | None = None) -> bytes:
    """Return a .npy file with a header written by hand, and what it says of its length."""
    text = header.encode("latin1") + b"\n"
    form = "<H" if version == 1 else "<I"
    length = struct.pack(form, len(text) if size is None else size)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text + bytes(4 * 4 * 8)


def shaped(shape: str, descr: str = "'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


BAD_NPY = {
    "header of 4 GB": npy("{", 2, 2**32 - 1),
    "header beyond the file": npy(shaped("(4, 8)"), 1, 60_000),
    "version 3": npy(shaped("(4, 8)"), 3),
    "version 0": npy(shaped("(4, 8)"), 0),
    "product beyond 64 bits": npy(shaped("(4294967296, 4294967296)")),
    "negative": npy(shaped("(-4, -8)")),
    "negative and unknown": npy(shaped("(-1, 8)")),
    "integer of 24000 bits": npy(shaped(f"(0x{'f' * 6000}, 8)")),
    "four thousand axes": npy(shaped(f"({'1,' * 4000})")),
    "structured": npy(shaped("(4, 8)", "[('\\x1b[2J', '<f4')]")),
    "a thousand fields": npy(shaped("(4, 8)", str([(f"f{n}", "<f4") for n in range(500)]))),
    "objects": npy(shaped("(4, 8)", "'|O'")),
    "evaluated": npy("__import__('os').system('touch pwned')"),
    "deep": npy("(" * 5000),
    "cut short": npy(shaped("(4, 8)"))[:-1],
    "archive": b"PK\x03\x04" + bytes(100),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BAD_NPY)
@pytest.mark.usefixtures("little_memory")
def test_a_bad_npy_is_refused_in_a_short_line(
    panelcal: RunsProgram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    delivery = write_delivery(tmp_path / "M044")
    (delivery / FILES[0]).write_bytes(BAD_NPY[kind])
    if kind == "header of 4 GB":
        # All of it is there, as a hole.
        os.truncate(delivery / FILES[0], 2**32 + 2**20)
    done = panelcal("module", "add", "M044", delivery)
    assert done.exit_code == 2, done.output
    assert f"{FILES[0]}: " in done.stderr
    assert is_plain(done.output)
    assert len(done.output) < 2000
    assert not Path("pwned").exists()
    assert panelcal("module", "show", "M044").exit_code == 3


@pytest.mark.parametrize("kind", ["plain", "big endian", "columns", "version 2", "float64", "more"])
def test_every_good_layout_of_npy_is_the_same_delivery(
    panelcal: RunsProgram, tmp_path: Path, kind: str
) -> None:
    delivery, other = write_delivery(tmp_path / "a"), write_delivery(tmp_path / "b")
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    values = np.load(other / FILES[0])
    changed = {"big endian": values.astype(">f4"), "columns": np.asfortranarray(values),
               "float64": values.astype(np.float64)}.get(kind, values)  # fmt: skip
    content = io.BytesIO()
    np.lib.format.write_array(content, changed, version=(2, 0) if kind == "version 2" else (1, 0))
    # What follows the values is not looked at, as numpy does not.
    (other / FILES[0]).write_bytes(content.getvalue() + (b"more" if kind == "more" else b""))
    again = panelcal("module", "add", "M044", other)
    assert again.exit_code == 4, again.output
    assert "has just these contents already" in again.stderr


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def zeros_for_ever(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_terabyte(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def a_directory(path: Path) -> None:
    path.mkdir()


ODD = [a_pipe, zeros_for_ever, a_terabyte, a_directory]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.usefixtures("little_memory")
def test_an_odd_file_of_runs_is_refused_unread(
    panelcal: RunsProgram, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "runs.csv")
    done = panelcal("import", "runs", tmp_path / "runs.csv")
    assert done.exit_code == 2, done.output


@pytest.mark.parametrize("make", ODD)
@pytest.mark.usefixtures("little_memory")
def test_odd_settings_are_refused_unread(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "panelcal.toml")
    with pytest.raises(InvalidInputError, match=r"panelcal\.toml"):
        read_settings(tmp_path)


@pytest.mark.parametrize("make", [a_pipe, zeros_for_ever, a_terabyte, a_directory])
@pytest.mark.usefixtures("little_memory")
def test_an_odd_file_of_a_delivery_is_refused_unread(
    panelcal: RunsProgram, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    delivery = write_delivery(tmp_path / "M044")
    (delivery / FILES[0]).unlink()
    make(delivery / FILES[0])
    assert panelcal("module", "add", "M044", delivery).exit_code == 2


SETTINGS = {
    "deep": b"x = " + b"[" * 30_000,
    "integer without end": b"x = " + b"9" * 5000,
    "NUL": b"\0",
    "no UTF-8": b'[database]\nurl = "\xff"',
    "lists for words": b"[database]\nurl = []",
    "unknown words": b'[database]\nurl = "postgresql://h/d"\n"\\u001b[2J" = 1',
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_hostile_settings_are_refused_in_a_short_line(tmp_path: Path, kind: str) -> None:
    (tmp_path / "panelcal.toml").write_bytes(SETTINGS[kind])
    with pytest.raises(InvalidInputError) as refused:
        read_settings(tmp_path)
    assert len(str(refused.value)) < 1000
    assert is_plain(str(refused.value))


@pytest.mark.parametrize("part", ["a\0b", "a\nb", "a\udcff"])
def test_a_database_url_that_the_servers_library_would_cut_short_is_refused(part: str) -> None:
    for url in (f"postgresql://h/{part}", f"postgresql://u:{part}@h/d",
                f"postgresql://h/d?options={part}"):  # fmt: skip
        with pytest.raises(InvalidInputError, match="database URL"):
            parse_database_url(url)


RUN = "xcsls3716,631,XcsEndstation.0:Jungfrau.0,20180419000000,,"
BAD_CSV = {
    "cell of 10 MB": f"{HEADER}\n{'x' * 10**7},1,,,,\n".encode(),
    "hundred thousand columns": f"{HEADER}{',x' * 10**5}\n".encode(),
    "hundred thousand values": f"{HEADER}\n{RUN}{',1' * 10**5}\n".encode(),
    "NUL": f"{HEADER}\nxcs\0ls3716,631,XcsEndstation.0:Jungfrau.0,,,\n".encode(),
    "unterminated quote": f'{HEADER}\n"{RUN}\n'.encode(),
    "UTF-16": f"{HEADER}\n{RUN}\n".encode("utf-16"),
    "Latin-1": f"{HEADER}\n\xe9{RUN}\n".encode("latin-1"),
    "line in a cell": f'{HEADER}\n"xcs\nls3716",631,XcsEndstation.0:Jungfrau.0,,,\n'.encode(),
    "formula": f"{HEADER}\n=1+1,631,XcsEndstation.0:Jungfrau.0,,,\n".encode(),
    "escape": f"{HEADER}\n\x1b[2J,631,XcsEndstation.0:Jungfrau.0,,,\n".encode(),
    "no header": f"{RUN}\n".encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BAD_CSV)
def test_a_bad_file_of_runs_is_refused_in_short_lines(
    panelcal: RunsProgram, tmp_path: Path, kind: str
) -> None:
    (tmp_path / "runs.csv").write_bytes(BAD_CSV[kind])
    done = panelcal("import", "runs", tmp_path / "runs.csv")
    assert done.exit_code == 2, done.output
    assert is_plain(done.output)
    assert len(done.output) < 2000
    assert panelcal("run", "list", "--json").stdout.strip() == "[]"


@pytest.mark.parametrize("note", ["=cmd|'/c calc'!A0", "@SUM(1)", "+1", "-1"])
def test_a_formula_in_a_note_is_kept_as_text(
    panelcal: RunsProgram, tmp_path: Path, note: str
) -> None:
    (tmp_path / "runs.csv").write_text(f"\ufeff{HEADER},note\r\n{RUN},{note}\r\n", newline="")
    assert panelcal("import", "runs", tmp_path / "runs.csv").exit_code == 0
    assert f'"note": "{note}"' in panelcal("run", "list", "--json").stdout


def h5(path: Path, add: "Callable[[h5py.Group], None]") -> Path:
    """Make a DCS file with one version, whose data are made by a function."""
    with h5py.File(path, "w") as root:
        root["detid"] = np.array([PANEL.encode()])
        span = root.create_group("pixel_gain/0-end")
        span["begin"], span["end"] = np.array([0.0]), np.array([b"end"])
        version = span.create_group("v0001")
        version["version"] = np.array([1])
        add(version)
    return path


def linked(target: str) -> "Callable[[h5py.Group], None]":
    def add(version: h5py.Group) -> None:
        version["data"] = h5py.ExternalLink(target, "/x")

    return add


def through_a_soft_link(version: h5py.Group) -> None:
    version["aside"] = h5py.ExternalLink("pipe", "/")
    version["data"] = h5py.SoftLink("/pixel_gain/0-end/v0001/aside/x")


def through_another_file(version: h5py.Group) -> None:
    here = Path(version.file.filename).parent
    with h5py.File(here / "other.h5", "w") as other:
        other["x"] = h5py.ExternalLink("pipe", "/x")
    version["data"] = h5py.ExternalLink("other.h5", "/x")


def kept_outside(version: h5py.Group) -> None:
    pipe = str(Path(version.file.filename).parent / "pipe")
    storage = [(pipe, 0, h5py.h5f.UNLIMITED)]
    version.create_dataset("data", (3, 1, 4, 8), dtype="f4", external=storage)


def put_together(version: h5py.Group) -> None:
    pipe = str(Path(version.file.filename).parent / "pipe")
    layout = h5py.VirtualLayout((3, 1, 4, 8), "f4")
    layout[:] = h5py.VirtualSource(pipe, "x", (3, 1, 4, 8))
    version.create_virtual_dataset("data", layout)


@pytest.mark.parametrize(
    "add",
    [
        linked("pipe"), linked("/dev/zero"), linked("/etc/passwd"), linked("../secret"),
        through_a_soft_link, through_another_file, kept_outside, put_together,
    ],
    ids=["pipe", "zeros", "absolute", "up", "soft", "chain", "outside", "virtual"],
)  # fmt: skip
def test_a_dcs_file_that_leads_elsewhere_is_refused_and_nothing_is_waited_for(
    tmp_path: Path, add: "Callable[[h5py.Group], None]"
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_text("a secret")
    os.mkfifo(home / "pipe")
    with pytest.raises(InvalidInputError, match=r"no file of its directory|in another file"):
        read_dcs_file(h5(home / H5, add))


def test_a_dcs_file_of_a_giant_array_is_refused_by_what_it_declares(
    panelcal: RunsProgram, tmp_path: Path
) -> None:
    def add(version: h5py.Group) -> None:
        ranges, rows, columns = TREE_SHAPE
        shape = (ranges, 10**9, rows, columns)
        chunks = (1, 1000, rows, columns)
        version.create_dataset("data", shape, dtype="f4", chunks=chunks, compression="gzip")

    done = panelcal("import", "dcs", h5(tmp_path / H5, add))
    assert done.exit_code == 2, done.output
    assert "the detector has 1 panel, it is of 1000000000 panels" in done.stdout


def test_a_record_of_a_gigabyte_in_a_dcs_file_is_a_fault(tmp_path: Path) -> None:
    def add(version: h5py.Group) -> None:
        version["data"] = np.ones((3, 1, 4, 8), np.float32)
        version.create_dataset("tsprod", (1,), dtype="S1000000000", chunks=(1,))

    [fault] = read_dcs_file(h5(tmp_path / H5, add)).faults
    assert fault.endswith("tsprod takes 1000000000 bytes, which no record of readers does")


@pytest.mark.parametrize("member", ["../../up.npy", "/abs.npy", "a.npy"])
def test_an_archive_is_never_unpacked(panelcal: RunsProgram, tmp_path: Path, member: str) -> None:
    delivery = write_delivery(tmp_path / "in" / "M044")
    with zipfile.ZipFile(delivery / FILES[0], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, bytes(10**7))
    before = sorted(tmp_path.rglob("*.npy"))
    done = panelcal("module", "add", "M044", delivery)
    assert done.exit_code == 2
    assert "an archive of arrays, not one array" in done.stderr
    assert sorted(tmp_path.rglob("*.npy")) == before
