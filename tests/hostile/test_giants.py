"""Files of any size, read by a process that may have little memory: words, and an end in time."""

import os
import resource
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from builders import FILES, write_delivery
from hostile_texts import is_plain
from panelcal.services.import_runs import COLUMNS

pytestmark = pytest.mark.sqlite_only

MOST_BYTES = 1_500_000_000
MOST_SECONDS = 120
KIND = Path("XCS/xcsls3716/calib/Jungfrau::CalibV1/XcsEndstation.0:Jungfrau.0/pixel_gain")

Words = tuple[str | Path, ...]


def with_little_memory(store: Path, *arguments: str | Path) -> tuple[int, str]:
    """Run the program in a process that may take 1.5 GB; return its exit code and words."""
    done = subprocess.run(
        [sys.executable, "-m", "panelcal", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=MOST_SECONDS,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES)),
        env={**os.environ, "PANELCAL_STORE": str(store), "OPENBLAS_NUM_THREADS": "1"},
    )
    return done.returncode, done.stdout + done.stderr


def hole(path: Path, size: int, begin: bytes = b"") -> Path:
    """Make a file of a size that takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(begin)
    os.truncate(path, size)
    return path


def npy_of_a_terabyte(home: Path) -> Words:
    delivery = write_delivery(home / "M044")
    with (delivery / FILES[0]).open("wb") as stream:
        shape = (10**6, 10**6)
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.truncate(2**42)
    return ("module", "add", "M044", delivery)


def npz_bomb(home: Path) -> Words:
    delivery = write_delivery(home / "M044")
    with zipfile.ZipFile(delivery / FILES[0], "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gain.npy", bytes(10**7))
    return ("module", "add", "M044", delivery)


def bundle_bomb(home: Path) -> Words:
    with zipfile.ZipFile(home / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bundle.json", bytes(10**7))
    return ("bundle", "verify", home / "b.zip")


def bundle_list_of_a_terabyte(home: Path) -> Words:
    return ("bundle", "verify", hole(home / "b" / "bundle.json", 2**40).parent)


def cell_of_100_mb(home: Path) -> Words:
    path = home / "runs.csv"
    path.write_bytes(f"{','.join(COLUMNS)}\n".encode() + b"x" * 10**8 + b",1,,,,\n")
    return ("import", "runs", path)


def text_array_of_a_terabyte(home: Path) -> Words:
    hole(home / KIND / "1-end.data", 2**40, b"1 2 3\n")
    return ("import", "calib-tree", home)


def history_of_a_terabyte(home: Path) -> Words:
    (home / KIND).mkdir(parents=True)
    (home / KIND / "1-end.data").write_text("1 2 3\n")
    hole(home / KIND / "HISTORY", 2**40, b"file:1-end.data  user:me\n")
    return ("import", "calib-tree", home)


def text_array_beyond_the_memory(home: Path) -> Words:
    hole(home / KIND / "1-end.data", 3 * 2**30, b"1 2 3\n")
    return ("import", "calib-tree", home)


@pytest.mark.parametrize(
    ("make", "exit_code", "said"),
    [
        (npy_of_a_terabyte, 2, "shape (1000000, 1000000), (4, 8) expected"),
        (npz_bomb, 2, "an archive of arrays, not one array"),
        (bundle_bomb, 5, "is compressed; members of bundles are not"),
        (bundle_list_of_a_terabyte, 2, "no bundle.json that can be read"),
        (cell_of_100_mb, 2, "bytes"),
        (text_array_of_a_terabyte, 2, "no text array has more than"),
        (history_of_a_terabyte, 2, "HISTORY has 1099511627776 bytes"),
        (text_array_beyond_the_memory, 1, "this takes more memory than there is"),
    ],
)
def test_a_giant_is_told_in_words_by_a_process_of_little_memory(
    store_dir: Path, tmp_path: Path, make: Callable[[Path], Words], exit_code: int, said: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    words = make(home)
    found, output = with_little_memory(store_dir, *words)
    for path in home.rglob("*.csv"):
        path.unlink()
    assert (found, said in output) == (exit_code, True), output[-2000:]
    assert "Traceback" not in output
    assert is_plain(output)
    assert len(output) < 3000
