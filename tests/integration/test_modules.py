"""`panelcal module add|list|show`: deliveries become revisions."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest

from builders import FILES, TREE_SHAPE, delivered, rows, write_delivery
from conftest import RunsProgram
from panelcal.domain.digest import digest_of
from panelcal.storage.store import OpenStore

NothingWritten = Callable[[], AbstractContextManager[None]]

SETS = """
    SELECT module.name, revision, recorded_by, reason FROM constant_set
    JOIN module ON module.id = module_id ORDER BY module.name, revision
"""


@pytest.fixture
def delivery(tmp_path: Path) -> Path:
    """A directory of six good files."""
    return write_delivery(tmp_path / "delivery", seed=1)


def test_first_delivery_is_revision_1_and_the_next_is_2(
    panelcal: RunsProgram, delivery: Path, tmp_path: Path, store_dir: Path
) -> None:
    first = panelcal("module", "add", "M044", delivery)
    second = panelcal(
        "module", "add", "M044", write_delivery(tmp_path / "b", seed=2), "--reason", "recalibrated"
    )
    assert (first.exit_code, first.stdout, first.stderr) == (0, "M044@1\n", "")
    assert (second.exit_code, second.stdout, second.stderr) == (0, "M044@2\n", "")
    assert rows(store_dir, SETS) == [
        ("M044", 1, "tester", "delivered"),
        ("M044", 2, "tester", "recalibrated"),
    ]


def test_delivery_is_stored_bit_by_bit(
    panelcal: RunsProgram, delivery: Path, store: OpenStore
) -> None:
    document = json.loads(panelcal("module", "add", "M044", delivery, "--json").stdout)
    for kind, stem in (("pixel_gain", "gain"), ("pixel_offset", "offset")):
        expected = delivered(delivery, stem)
        assert document["digests"][kind] == digest_of(expected)
        assert store.payloads.get(document["digests"][kind]).tobytes() == expected.tobytes()


def test_payload_row_describes_the_payload(
    panelcal: RunsProgram, delivery: Path, store_dir: Path
) -> None:
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    described = rows(store_dir, "SELECT dtype, byte_count FROM payload")
    assert described == [("float32", 4 * 3 * 4 * 8)] * 2


def test_delivery_changes_no_answer(panelcal: RunsProgram, delivery: Path, store_dir: Path) -> None:
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    assert rows(store_dir, "SELECT count(*) FROM assignment") == [(0,)]


def test_same_contents_are_a_conflict(
    panelcal: RunsProgram, delivery: Path, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    other = write_delivery(tmp_path / "b", seed=2)
    assert panelcal("module", "add", "M044", other).exit_code == 0
    with nothing_written():
        again = panelcal("module", "add", "M044", delivery)
    assert again.exit_code == 4
    assert "M044@1 has just these contents already" in again.stderr
    assert "panelcal module show M044" in again.stderr
    assert again.stdout == ""


def test_same_contents_may_be_delivered_for_another_module(
    panelcal: RunsProgram, delivery: Path, store_dir: Path
) -> None:
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    assert panelcal("module", "add", "M068", delivery).stdout == "M068@1\n"
    assert rows(store_dir, "SELECT count(*) FROM payload") == [(2,)]


@pytest.mark.parametrize(
    "name", ["", "M044@1", "M 044", "../M044", "M044/1", ".M044", "_M044", "M\n044", "M" * 65, "Mé"]
)
def test_bad_name_is_refused(
    panelcal: RunsProgram, delivery: Path, nothing_written: NothingWritten, name: str
) -> None:
    with nothing_written():
        result = panelcal("module", "add", name, delivery)
    assert result.exit_code == 2
    assert "is not a module name" in result.stderr
    assert "letters, digits, dots, dashes and underscores" in result.stderr
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "bell\x07", "x" * 1001])
def test_bad_reason_is_refused(
    panelcal: RunsProgram, delivery: Path, nothing_written: NothingWritten, reason: str
) -> None:
    with nothing_written():
        result = panelcal("module", "add", "M044", delivery, "--reason", reason)
    assert result.exit_code == 2
    assert "the reason" in result.stderr


@pytest.mark.parametrize("what", ["nowhere", "delivery/g0_gain.npy"])
def test_missing_directory_is_not_found(
    panelcal: RunsProgram, delivery: Path, nothing_written: NothingWritten, what: str
) -> None:
    path = delivery.parent / what
    with nothing_written():
        result = panelcal("module", "add", "M044", path)
    assert result.exit_code == 3
    assert f"{path} is not a directory" in result.stderr


def test_all_missing_files_are_listed_in_one_message(
    panelcal: RunsProgram, delivery: Path, nothing_written: NothingWritten
) -> None:
    for file in FILES[1:]:
        (delivery / file).unlink()
    with nothing_written():
        result = panelcal("module", "add", "M044", delivery)
    assert result.exit_code == 2
    (message,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    assert all(f"{file}: missing" in message for file in FILES[1:])
    assert FILES[0] not in message


def test_directory_without_any_of_the_files_is_refused(
    panelcal: RunsProgram, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    (tmp_path / "empty").mkdir()
    with nothing_written():
        result = panelcal("module", "add", "M044", tmp_path / "empty")
    assert result.exit_code == 2
    assert all(file in result.stderr for file in FILES)


def test_bad_values_are_refused(
    panelcal: RunsProgram, delivery: Path, nothing_written: NothingWritten
) -> None:
    np.save(delivery / "g1_gain.npy", np.full(TREE_SHAPE[1:], np.nan, np.float32))
    with nothing_written():
        result = panelcal("module", "add", "M044", delivery)
    assert result.exit_code == 2
    assert "g1_gain.npy: 32 values NaN or infinite" in result.stderr


def test_extra_files_are_left_out_and_named_on_stderr(
    panelcal: RunsProgram, delivery: Path
) -> None:
    (delivery / "g3_gain.npy").write_bytes(b"")
    (delivery / "two\nlines").write_bytes(b"")
    result = panelcal("module", "add", "M044", delivery)
    assert (result.exit_code, result.stdout) == (0, "M044@1\n")
    assert result.stderr == "left out: g3_gain.npy, two\\nlines\n"


def test_float64_that_float32_cannot_hold_needs_cast(
    panelcal: RunsProgram, delivery: Path, store: OpenStore, nothing_written: NothingWritten
) -> None:
    values = np.full(TREE_SHAPE[1:], 0.1)
    np.save(delivery / "g1_gain.npy", values)
    with nothing_written():
        refused = panelcal("module", "add", "M044", delivery)
    assert refused.exit_code == 2
    assert "g1_gain.npy: dtype float64: 32 values of 32 would change" in refused.stderr
    assert "--cast" in refused.stderr
    taken = panelcal("module", "add", "M044", delivery, "--cast", "--json")
    assert taken.exit_code == 0
    gain = store.payloads.get(json.loads(taken.stdout)["digests"]["pixel_gain"])
    assert gain[1].tobytes() == values.astype(np.float32).tobytes()


def test_links_may_lead_anywhere_in_a_delivery_that_somebody_names(
    panelcal: RunsProgram, delivery: Path, tmp_path: Path
) -> None:
    links = tmp_path / "links"
    links.mkdir()
    for file in FILES:
        (links / file).symlink_to(delivery / file)
    assert panelcal("module", "add", "M044", links).stdout == "M044@1\n"


def test_document_of_a_revision_has_a_stable_shape(panelcal: RunsProgram, delivery: Path) -> None:
    added = json.loads(panelcal("module", "add", "M044", delivery, "--json").stdout)
    assert sorted(added) == [
        "delivered_from",
        "detector_type",
        "digests",
        "module",
        "reason",
        "recorded_at",
        "recorded_by",
        "revision",
        "verdict",
    ]
    assert (added["module"], added["revision"]) == ("M044", 1)
    assert added["delivered_from"] == str(delivery.resolve())
    assert added["recorded_by"] == "tester"
    assert added["recorded_at"].endswith("Z")
    assert json.loads(panelcal("module", "show", "M044", "--json").stdout) == [added]
    del added["verdict"]
    assert json.loads(panelcal("module", "list", "--json").stdout) == [added]


def test_list_shows_every_revision_and_show_those_of_one_module(
    panelcal: RunsProgram, tmp_path: Path
) -> None:
    for seed, module in enumerate(("M068", "M044", "M044")):
        path = write_delivery(tmp_path / str(seed), seed=seed)
        assert panelcal("module", "add", module, path).exit_code == 0
    listed = panelcal("module", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed] == ["set", "M044@1", "M044@2", "M068@1"]
    shown = panelcal("module", "show", "M044").stdout.splitlines()
    sets, verdicts = ["M044@1", "M044@2"], ["M044@1:", "M044@2:"]
    assert [line.split()[0] for line in shown] == ["set", *sets, *verdicts]


def test_revisions_count_on_beyond_9_in_order(panelcal: RunsProgram, tmp_path: Path) -> None:
    for seed in range(11):
        path = write_delivery(tmp_path / str(seed), seed=seed)
        assert panelcal("module", "add", "M044", path).stdout == f"M044@{seed + 1}\n"
    listed = json.loads(panelcal("module", "list", "--json").stdout)
    assert [one["revision"] for one in listed] == list(range(1, 12))


def test_list_of_an_empty_store_is_empty(panelcal: RunsProgram) -> None:
    assert json.loads(panelcal("module", "list", "--json").stdout) == []
    assert panelcal("module", "list").exit_code == 0


def test_unknown_module_is_not_found_and_near_misses_are_named(
    panelcal: RunsProgram, delivery: Path
) -> None:
    assert panelcal("module", "add", "M044", delivery).exit_code == 0
    near = panelcal("module", "show", "M045")
    assert near.exit_code == 3
    assert "there is no module 'M045'" in near.stderr
    assert "did you mean M044?" in near.stderr
    far = panelcal("module", "show", "xyz")
    assert far.exit_code == 3
    assert "panelcal module list" in far.stderr
