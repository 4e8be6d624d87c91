"""Payloads that appear together: written beside the caller's work, durably, or not at all."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders import TREE_SHAPE, GainsTree, fingerprint, rows
from conftest import RunsProgram
from panelcal.errors import IntegrityError
from panelcal.services import import_gains_tree as importing
from panelcal.services.delivery import read_delivery
from panelcal.services.gains_tree_plan import plan_gains_tree
from panelcal.storage import payload_batch
from panelcal.storage.payload_batch import MAX_IN_FLIGHT
from panelcal.storage.payload_files import aligned_empty, write_durably
from panelcal.storage.payload_layout import Layout
from panelcal.storage.payloads import STAGING_NAME, PayloadStore

Array = np.ndarray[Any, np.dtype[np.float32]]


@pytest.fixture
def payload_store(tmp_path: Path) -> PayloadStore:
    """An empty directory of payloads."""
    root = tmp_path / "payloads"
    root.mkdir()
    return PayloadStore(root)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What writers wait for before they write."""
    opened = threading.Event()
    write = payload_batch._write

    def wait(path: Path, digest: str, array: Array) -> Layout:
        assert opened.wait(60)
        return write(path, digest, array)

    monkeypatch.setattr(payload_batch, "_write", wait)
    return opened


def some(seed: int) -> Array:
    return np.random.default_rng(seed).normal(10, 1, TREE_SHAPE).astype(np.float32)


def staged(store: PayloadStore) -> list[Path]:
    return list((store.root / STAGING_NAME).glob("*"))


def written(store: PayloadStore) -> list[Path]:
    return list((store.root / STAGING_NAME).glob("*/*"))


def published(store: PayloadStore) -> list[str]:
    return sorted(path.name for path in store.root.glob("??/*"))


def writers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("payloads")]


def fail(error: BaseException) -> Any:
    """Return a function that only raises."""

    def failing(*_: object) -> None:
        raise error

    return failing


# --- beside the caller's work


def test_submitted_payload_is_written_while_the_caller_goes_on(
    payload_store: PayloadStore, gate: threading.Event
) -> None:
    with payload_store.batch() as batch:
        digest = batch.submit(some(1))
        assert batch.pending == {digest}
        assert written(payload_store) == []
        gate.set()
        batch.publish()
    assert payload_store.audit(digest).tobytes() == some(1).tobytes()
    assert staged(payload_store) == []
    assert writers() == []


def test_only_a_few_payloads_are_in_flight_at_once(
    payload_store: PayloadStore, gate: threading.Event
) -> None:
    with payload_store.batch() as batch:
        for seed in range(MAX_IN_FLIGHT):
            batch.submit(some(seed))
        gate.set()
        for seed in range(MAX_IN_FLIGHT, 4 * MAX_IN_FLIGHT):
            batch.submit(some(seed))
            assert len(batch._in_flight) <= MAX_IN_FLIGHT
        batch.publish()
    assert len(published(payload_store)) == 4 * MAX_IN_FLIGHT


def test_payload_submitted_twice_is_written_once(
    payload_store: PayloadStore, gate: threading.Event
) -> None:
    with payload_store.batch() as batch:
        assert batch.submit(some(1)) == batch.submit(some(1))
        assert len(batch._in_flight) == 1
        gate.set()
        batch.publish()
    assert len(published(payload_store)) == 1


def test_other_dtypes_are_refused(payload_store: PayloadStore) -> None:
    with payload_store.batch() as batch, pytest.raises(TypeError, match="not float64"):
        batch.add(some(1).astype(np.float64))


def test_what_has_been_taken_out_of_pending_is_not_published(payload_store: PayloadStore) -> None:
    with payload_store.batch() as batch:
        first, second = batch.submit(some(1)), batch.submit(some(2))
        batch.pending.discard(first)
        batch.publish()
    assert published(payload_store) == [second]
    assert staged(payload_store) == []


# --- memory


def test_memory_is_lent_again_only_after_what_it_held_is_written(
    payload_store: PayloadStore, gate: threading.Event
) -> None:
    with payload_store.batch() as batch:
        first = batch.memory(TREE_SHAPE)
        first[...] = some(1)
        digest = batch.submit(first)
        second = batch.memory(TREE_SHAPE)
        assert not np.shares_memory(first, second)
        gate.set()
        batch.settle()
        assert batch.memory(TREE_SHAPE) is first
        assert not np.shares_memory(batch.memory(TREE_SHAPE), first)
        batch.publish()
    assert payload_store.audit(digest).tobytes() == some(1).tobytes()


def test_memory_of_another_shape_is_not_lent(payload_store: PayloadStore) -> None:
    with payload_store.batch() as batch:
        batch.submit(batch.memory(TREE_SHAPE))
        batch.settle()
        assert batch.memory((3, 8, 4)).shape == (3, 8, 4)


def test_array_that_was_added_stays_the_callers(payload_store: PayloadStore) -> None:
    array = some(1)
    with payload_store.batch() as batch:
        batch.add(array)
        batch.add(array)
        assert not np.shares_memory(batch.memory(TREE_SHAPE), array)


# --- durability


def test_everything_is_synced_once_before_it_has_its_name_and_the_names_after(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[object] = []
    sync, rename = os.fsync, Path.rename

    def synced(handle: int) -> None:
        steps.append(os.fstat(handle).st_ino)
        sync(handle)

    def renamed(source: Path, target: Path) -> Path:
        steps.append(target.name)
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "rename", renamed)
    with payload_store.batch() as batch:
        digests = [batch.submit(some(seed)) for seed in range(3)]
        batch.publish()
    for digest in digests:
        path = payload_store.path_of(digest)
        own = [entry.stat().st_ino for entry in (path, *path.rglob("*"))]
        assert len(own) == 6
        for inode in own:
            assert steps.count(inode) == 1
            assert steps.index(inode) < steps.index(digest)
        assert path.parent.stat().st_ino in steps[steps.index(digest) :]
    assert steps[-1] == payload_store.root.stat().st_ino


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, int]]:
    """What is written: whether past the page cache, and how many bytes."""
    written: list[tuple[bool, int]] = []
    write = os.write

    def wrote(handle: int, content: memoryview) -> int:
        size = write(handle, content)
        written.append((bool(fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_DIRECT), size))
        return size

    monkeypatch.setattr(os, "write", wrote)
    return written


@pytest.mark.parametrize("offset", [0, 16], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("values", [1024, 1023], ids=["whole pages", "a part of a page"])
def test_bytes_are_the_same_whether_or_not_they_go_past_the_page_cache(
    tmp_path: Path, direct: list[tuple[bool, int]], offset: int, values: int
) -> None:
    memory = aligned_empty((values + offset // 4,))[offset // 4 :]
    memory[...] = np.random.default_rng(1).normal(10, 1, values)
    write_durably({tmp_path / "chunk": memory.data})
    assert (tmp_path / "chunk").read_bytes() == memory.tobytes()
    assert [size for _, size in direct] == [4 * values]
    if offset or values % 1024:
        assert not any(is_direct for is_direct, _ in direct)


def test_file_system_that_has_no_way_past_the_cache_gets_the_same_bytes(
    tmp_path: Path, direct: list[tuple[bool, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    control = fcntl.fcntl

    def refuse(handle: int, command: int, flags: int = 0) -> int:
        if command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "Invalid argument")
        return control(handle, command, flags)

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    memory = aligned_empty((1024,))
    memory[...] = 1
    write_durably({tmp_path / "chunk": memory.data})
    assert (tmp_path / "chunk").read_bytes() == memory.tobytes()
    assert direct == [(False, 4096)]


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:1000]))
    memory = aligned_empty((4096,))
    memory[...] = np.arange(4096)
    write_durably({tmp_path / "chunk": memory.data})
    assert (tmp_path / "chunk").read_bytes() == memory.tobytes()


def test_invalid_argument_that_has_nothing_to_do_with_memory_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", fail(OSError(errno.EINVAL, "Invalid argument")))
    for content in (b"text", aligned_empty((1024,)).data):
        with pytest.raises(OSError, match="Invalid argument"):
            write_durably({tmp_path / str(len(content)): content})


# --- failure


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("step", ["write_durably", "sync_directory"])
def test_what_fails_beside_is_raised_as_it_is_and_leaves_nothing(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch, code: int, step: str
) -> None:
    monkeypatch.setattr(payload_batch, step, fail(OSError(code, os.strerror(code))))
    with pytest.raises(OSError, match=os.strerror(code)) as error, payload_store.batch() as batch:
        for seed in range(2 * MAX_IN_FLIGHT):
            batch.submit(some(seed))
    assert error.value.errno == code
    assert staged(payload_store) == []
    assert published(payload_store) == []


def test_failure_of_the_last_payload_is_raised_before_anything_is_published(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with payload_store.batch() as batch:
        batch.add(some(1))
        monkeypatch.setattr(payload_batch, "_write", fail(OSError(errno.ENOSPC, "full")))
        batch.submit(some(2))
        with pytest.raises(OSError, match="full"):
            batch.publish()
        assert published(payload_store) == []


def test_payload_that_failed_is_not_published_by_a_caller_that_goes_on(
    payload_store: PayloadStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = payload_batch._write

    def garble(path: Path, digest: str, array: Array) -> Layout:
        layout = write(path, digest, array)
        (path / "c" / "0" / "0" / "0").write_bytes(bytes(array.nbytes))
        return layout

    with payload_store.batch() as batch:
        with monkeypatch.context() as patch:
            patch.setattr(payload_batch, "_write", garble)
            with pytest.raises(IntegrityError, match="reads back differently"):
                batch.add(some(1))
        other = batch.add(some(2))
        assert batch.pending == {other}
        again = batch.add(some(1))
        batch.publish()
    assert published(payload_store) == sorted([other, again])
    assert payload_store.audit(again).tobytes() == some(1).tobytes()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_interrupt_waits_for_what_is_being_written_and_leaves_nothing(
    payload_store: PayloadStore, gate: threading.Event, stop: type[BaseException]
) -> None:
    with pytest.raises(stop), payload_store.batch() as batch:
        for seed in range(MAX_IN_FLIGHT):
            batch.submit(some(seed))
        gate.set()
        raise stop
    assert staged(payload_store) == []
    assert published(payload_store) == []
    assert writers() == []


# --- importing


def test_full_disk_while_a_tree_is_imported_leaves_nothing(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(payload_batch, "write_durably", fail(error))
    before = fingerprint(store_dir)
    result = panelcal("import", "gains-tree", page_tree.path)
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert fingerprint(store_dir) == before


def test_interrupt_while_a_tree_is_read_leaves_nothing(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "M088":
            raise KeyboardInterrupt
        return read_delivery(path, *arguments, **options)

    monkeypatch.setattr(importing, read_delivery.__name__, interrupted)
    before = fingerprint(store_dir)
    assert panelcal("import", "gains-tree", page_tree.path).exit_code != 0
    assert fingerprint(store_dir) == before
    assert writers() == []


def test_everything_is_written_before_the_database_is_locked(
    panelcal: RunsProgram,
    page_tree: GainsTree,
    store_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[int] = []

    def planned(*arguments: Any) -> Any:
        written.append(len(list((store_dir / "payloads" / STAGING_NAME).glob("*/*/c/0/0/0"))))
        assert writers()
        return plan_gains_tree(*arguments)

    monkeypatch.setattr(importing, plan_gains_tree.__name__, planned)
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    assert written == [6]


def test_imported_tree_is_stored_bit_by_bit(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    # More modules than payloads in flight: memory is used several times.
    for seed in range(2 * MAX_IN_FLIGHT):
        tree.module(f"M{seed:03d}", seed)
        tree.link(f"171113-154920171025-3d{seed:04x}", f"M{seed:03d}")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    store = PayloadStore(store_dir / "payloads")
    stored = rows(
        store_dir,
        "SELECT module.name, file_stem, digest FROM constant_set_payload "
        "JOIN kind ON kind.id = kind_id "
        "JOIN constant_set ON constant_set.id = constant_set_id "
        "JOIN module ON module.id = module_id",
    )
    assert len(stored) == 4 * MAX_IN_FLIGHT
    for module, stem, digest in stored:
        delivered = [np.load(tree.path / module / f"g{gain}_{stem}.npy") for gain in range(3)]
        assert store.audit(digest).tobytes() == np.stack(delivered).tobytes()


COUNTING = """
import json, sys
opened = []
store, tree = sys.argv[1:]
sys.addaudithook(
    lambda event, what: opened.append(str(what[0])) if event == "open" else None
)
from panelcal.cli import app
try: app(["--store", store, "import", "gains-tree", tree])
except SystemExit as stop: assert not stop.code
files = [path for path in opened if path.endswith(".npy")]
sys.stderr.write(json.dumps({"files": sorted(files), "zarr": "zarr" in sys.modules}))
"""


def test_import_opens_each_file_once_and_imports_no_zarr(
    store_dir: Path, page_tree: GainsTree
) -> None:
    command = [sys.executable, "-c", COUNTING, str(store_dir), str(page_tree.path)]
    for _ in ("first", "again"):
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        told = json.loads(done.stderr)
        assert told["files"] == sorted(map(str, page_tree.path.glob("M*/*.npy")))
        assert not told["zarr"]
