"""The gate: deliveries are judged before they are recorded, and the verdict is kept."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import Result

from builders import GainsTree, create_small_store, rows
from conftest import RunsProgram
from panelcal.domain.digest import digest_of
from panelcal.domain.findings import Severity
from panelcal.errors import ConflictError, FindingsError, IntegrityError
from panelcal.services import judge, modules
from panelcal.services.bundle_import import import_bundle
from panelcal.services.check_quality import check
from panelcal.services.fsck import fsck
from panelcal.services.judge import judge_payloads, read_background
from panelcal.services.modules import deliver, verdicts
from panelcal.storage.modules import ConstantSet, constant_sets
from panelcal.storage.store import OpenStore, open_store
from panelcal.storage.types import detector_types
from past_triggers import change_past_triggers
from servers import own_database
from synthetic import SMALL, Arrays, Panel, write_arrays

if TYPE_CHECKING:
    from sqlalchemy import URL

NothingWritten = Callable[[], AbstractContextManager[None]]

GAIN, OFFSET = "pixel_gain", "pixel_offset"
ACCEPT = ("--accept-findings", "sensor was replaced")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
WHO: dict[str, Any] = {"user": "tester", "reason": "test"}

VERDICTS = """
    SELECT module.name, revision, accepted, verdict.recorded_by,
           (SELECT count(*) FROM quality_finding WHERE verdict_id = verdict.id),
           (SELECT count(*) FROM quality_plane WHERE verdict_id = verdict.id)
    FROM quality_verdict AS verdict JOIN constant_set ON constant_set.id = constant_set_id
    JOIN module ON module.id = module_id ORDER BY verdict.id
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def empty_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A store as `panelcal init` makes it, with its rules, for panels of 32 x 64 pixels."""
    directory = tmp_path_factory.mktemp("judging") / "store"
    if request.param == "sqlite":
        create_small_store(directory, shape=SMALL, keep_rules=True)
        yield directory
        return
    server: URL = request.getfixturevalue("server")
    with own_database(server) as url:
        named = url.render_as_string(hide_password=False)
        create_small_store(directory, named, shape=SMALL, keep_rules=True)
        yield directory


@pytest.fixture
def panel() -> Panel:
    return Panel(44)


@pytest.fixture
def add(panelcal: RunsProgram, tmp_path: Path) -> Callable[..., Result]:
    """Delivers arrays for a module."""

    def deliver_arrays(module: str, arrays: Arrays, *options: str) -> Result:
        number = len(list(tmp_path.glob("delivery-*")))
        directory = write_arrays(tmp_path / f"delivery-{number}", arrays)
        return panelcal("module", "add", module, directory, *options)

    return deliver_arrays


Add = Callable[..., Result]

# --- the gate -------------------------------------------------------------------------------


def test_a_clean_delivery_and_the_next_are_recorded_with_verdicts_without_findings(
    add: Add, panelcal: RunsProgram, panel: Panel, store_dir: Path
) -> None:
    for revision in (1, 2):
        added = add("M044", panel.measured())
        assert (added.exit_code, added.stdout, added.stderr) == (0, f"M044@{revision}\n", "")
    assert rows(store_dir, VERDICTS) == [
        ("M044", 1, None, "tester", 0, 6),
        ("M044", 2, None, "tester", 0, 6),
    ]
    shown = panelcal("module", "show", "M044").stdout.splitlines()
    assert shown[-1].startswith("M044@2: 0 errors, 0 warnings, judged 20")
    assert shown[-1].endswith(" by tester")


def test_errors_stop_a_delivery_with_every_finding_and_what_to_type(
    add: Add, panel: Panel, nothing_written: NothingWritten
) -> None:
    arrays = panel.measured()
    arrays[GAIN][[0, 1]] = arrays[GAIN][[1, 0]]
    with nothing_written():
        refused = add("M044", arrays)
    assert (refused.exit_code, refused.stdout) == (4, "")
    lines = refused.stderr.splitlines()
    assert lines[0] == ("error: the delivery for M044 is not as it should be; nothing was recorded")
    assert "files of two ranges may be swapped" in refused.stderr
    assert all(line.startswith("  error: pixel_gain of gain range ") for line in lines[1:-1])
    assert lines[-1].startswith('hint: --accept-findings "')


def test_accepted_findings_are_recorded_with_their_reason(
    add: Add, panelcal: RunsProgram, panel: Panel, store_dir: Path
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    arrays = panel.measured()
    arrays[OFFSET][1] += 100
    taken = add("M044", arrays, *ACCEPT, "--json")
    assert taken.exit_code == 0
    assert "error: pixel_offset of gain range 1: median change" in taken.stderr
    document = json.loads(taken.stdout)["verdict"]
    assert document["accepted"] == "sensor was replaced"
    [finding] = document["findings"]
    assert finding["number"] == pytest.approx(100, abs=9)
    assert {key: finding[key] for key in finding if key not in {"number", "message"}} == {
        "severity": "error",
        "check": "drift",
        "kind": OFFSET,
        "gain_range": 1,
        "low": -40.0,
        "high": 40.0,
    }
    assert rows(store_dir, VERDICTS)[1] == ("M044", 2, "sensor was replaced", "tester", 1, 6)
    shown = panelcal("module", "show", "M044")
    assert "M044@2: 1 error, 0 warnings, judged" in shown.stdout
    assert "; accepted: sensor was replaced" in shown.stdout
    assert f"    error: {finding['message']}" in shown.stdout
    again = json.loads(panelcal("module", "show", "M044", "--json").stdout)
    assert again[1]["verdict"] == document


def test_the_log_tells_what_was_accepted_and_what_was_judged_later(
    add: Add, panelcal: RunsProgram, panel: Panel
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    arrays = panel.measured()
    arrays[OFFSET][1] += 100
    assert add("M044", arrays, *ACCEPT).exit_code == 0
    assert panelcal("module", "check", "M044@1", "--record").exit_code == 0
    events = json.loads(panelcal("log", "--json").stdout)
    assert [(one["what"], one["subject"], one["reason"]) for one in events] == [
        ("deliver", "M044@1", "delivered"),
        ("deliver", "M044@2", "delivered"),
        ("judge", "M044@2: 1 error, 0 warnings", "accepted: sensor was replaced"),
        ("judge", "M044@1: 0 errors, 0 warnings", ""),
    ]


@pytest.mark.sqlite_only
def test_warnings_are_told_and_recorded_and_stop_nothing(
    add: Add, panel: Panel, store_dir: Path
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    arrays = panel.measured()
    arrays[OFFSET][2] += 20
    # A reason that is not needed is not kept.
    taken = add("M044", arrays, *ACCEPT)
    assert (taken.exit_code, taken.stdout) == (0, "M044@2\n")
    assert taken.stderr.startswith("warning: pixel_offset of gain range 2: median change")
    assert rows(store_dir, VERDICTS)[1] == ("M044", 2, None, "tester", 1, 6)


@pytest.mark.sqlite_only
def test_an_empty_reason_accepts_nothing(
    add: Add, panel: Panel, nothing_written: NothingWritten
) -> None:
    with nothing_written():
        refused = add("M044", panel.measured(), "--accept-findings", " ")
    assert refused.exit_code == 2
    assert "the reason for accepting findings is empty" in refused.stderr


def test_what_a_module_delivered_itself_is_no_copy(add: Add, panel: Panel) -> None:
    first = panel.measured()
    assert add("M044", first).exit_code == 0
    repaired = {kind: array.copy() for kind, array in first.items()}
    repaired[GAIN][0, 0, 0] = 41.0
    assert add("M044", repaired).exit_code == 0


# --- disasters ------------------------------------------------------------------------------


def swapped(kind: str, one: int, other: int) -> Callable[[Arrays], None]:
    def swap(arrays: Arrays) -> None:
        arrays[kind][[one, other]] = arrays[kind][[other, one]]

    return swap


def changed(kind: str, gain_range: int, change: Callable[[Any], Any]) -> Callable[[Arrays], None]:
    def apply(arrays: Arrays) -> None:
        arrays[kind][gain_range] = change(arrays[kind][gain_range])

    return apply


def with_part(value: float) -> Callable[[Any], Any]:
    """Return what gives one of eight ASICs one value."""

    def apply(plane: Any) -> Any:
        plane[:16, :16] = value
        return plane

    return apply


def one_block_off(plane: Any) -> Any:
    plane[16:, :16] += 100
    return plane


def kinds_exchanged(arrays: Arrays) -> None:
    arrays[GAIN][0], arrays[OFFSET][0] = arrays[OFFSET][0].copy(), arrays[GAIN][0].copy()


AT_FIRST: dict[str, tuple[Callable[[Arrays], None], str, str, int]] = {
    "gain files of ranges 0 and 1 swapped": (swapped(GAIN, 0, 1), "median", GAIN, 1),
    "gain files of ranges 1 and 2 swapped": (swapped(GAIN, 1, 2), "median", GAIN, 2),
    "gain and offset exchanged": (kinds_exchanged, "median", GAIN, 0),
    "gain with the wrong sign": (
        changed(GAIN, 1, np.negative), "positive_fraction", GAIN, 1,
    ),
    "gain in eV": (changed(GAIN, 0, lambda plane: plane / 1000), "range_ratio", GAIN, 0),
    "one over gain": (changed(GAIN, 0, lambda plane: 1 / (plane + 1)), "median", GAIN, 0),
    "a dead ASIC": (changed(GAIN, 0, with_part(0)), "dead_fraction", GAIN, 0),
    "a saturated ASIC": (changed(GAIN, 2, with_part(-9)), "saturated_fraction", GAIN, 2),
    "offsets at full scale": (
        changed(OFFSET, 0, with_part(16383)), "saturated_fraction", OFFSET, 0,
    ),
    "offsets beyond full scale": (changed(OFFSET, 1, with_part(20000)), "high_tail", OFFSET, 1),
    "offsets below full scale": (changed(OFFSET, 1, with_part(-20000)), "low_tail", OFFSET, 1),
    "a constant gain": (changed(GAIN, 1, lambda plane: plane * 0 - 1.39), "constant_fraction",
                        GAIN, 1),
    "a constant offset": (changed(OFFSET, 2, lambda plane: plane * 0), "constant_fraction",
                          OFFSET, 2),
    "noise for gain": (
        changed(GAIN, 0, lambda plane: 41.5 + 40 * np.sin(np.arange(plane.size))
                .reshape(plane.shape)), "relative_sigma", GAIN, 0,
    ),
    "a file copied over another": (
        lambda arrays: arrays[OFFSET].__setitem__(2, arrays[OFFSET][1]),
        "equal_fraction", OFFSET, 2,
    ),
}  # fmt: skip
"""What a first delivery may suffer: what is done, and the check that names it."""

AT_NEXT: dict[str, tuple[Callable[[Arrays], None], str, str, int]] = {
    "gain files of ranges 0 and 1 swapped": (swapped(GAIN, 0, 1), "swapped_ranges", GAIN, 0),
    "offset files of ranges 1 and 2 swapped": (swapped(OFFSET, 1, 2), "swapped_ranges", OFFSET, 2),
    "offsets shifted": (changed(OFFSET, 0, lambda plane: plane + 60), "drift", OFFSET, 0),
    "offsets shifted down": (changed(OFFSET, 2, lambda plane: plane - 60), "drift", OFFSET, 2),
    "offsets of one ASIC shifted": (
        changed(OFFSET, 1, one_block_off), "block_drift", OFFSET, 1,
    ),
    "gain of another temperature": (
        changed(GAIN, 0, lambda plane: plane * 1.13), "relative_drift", GAIN, 0,
    ),
    "gain flipped up-down": (changed(GAIN, 0, lambda plane: plane[::-1]), "turned", GAIN, 0),
    "gain flipped left-right": (changed(GAIN, 1, lambda plane: plane[:, ::-1]), "turned", GAIN, 1),
    "offset turned": (changed(OFFSET, 2, lambda plane: plane[::-1, ::-1]), "turned", OFFSET, 2),
    "gain transposed": (
        changed(GAIN, 2, lambda plane: plane.T.reshape(plane.shape)), "turned", GAIN, 2,
    ),
}  # fmt: skip
"""What a later delivery may suffer, by which the module's previous revision tells it."""


def refused_by(store: OpenStore, module: str, arrays: Arrays, scratch: Path) -> set[Any]:
    """Return the checks, kinds and gain ranges of the errors that a delivery is refused for."""
    directory = write_arrays(scratch / "disaster", arrays)
    before = rows(store.directory, "SELECT count(*) FROM constant_set")
    with pytest.raises(FindingsError) as caught:
        deliver(store, module, directory, now=NOW + timedelta(days=1), **WHO)
    assert rows(store.directory, "SELECT count(*) FROM constant_set") == before
    errors = [one for one in caught.value.findings if one.severity is Severity.ERROR]
    assert all(one.text in str(caught.value) for one in errors)
    return {one.where for one in errors}


@pytest.mark.sqlite_only
@pytest.mark.parametrize("disaster", AT_FIRST)
def test_a_disaster_is_named_at_a_first_delivery(
    store: OpenStore, panel: Panel, tmp_path: Path, disaster: str
) -> None:
    act, *named = AT_FIRST[disaster]
    arrays = panel.measured()
    act(arrays)
    assert tuple(named) in refused_by(store, "M044", arrays, tmp_path)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("disaster", AT_NEXT)
def test_a_disaster_is_named_by_the_previous_revision(
    store: OpenStore, panel: Panel, tmp_path: Path, disaster: str
) -> None:
    deliver(store, "M044", write_arrays(tmp_path / "a", panel.measured()), now=NOW, **WHO)
    act, *named = AT_NEXT[disaster]
    arrays = panel.measured()
    act(arrays)
    assert tuple(named) in refused_by(store, "M044", arrays, tmp_path)


def rounded(arrays: Arrays) -> Arrays:
    return {kind: np.round(array, 4) for kind, array in arrays.items()}


@pytest.mark.parametrize("rework", [dict, rounded], ids=["as they are", "with four decimals"])
def test_constants_of_another_module_are_named(
    store: OpenStore, tmp_path: Path, rework: Callable[[Arrays], Arrays]
) -> None:
    others = {f"M{seed:03}": Panel(seed).measured() for seed in range(5)}
    for module, arrays in others.items():
        deliver(store, module, write_arrays(tmp_path / module, arrays), now=NOW, **WHO)
    found = refused_by(store, "M044", rework(others["M003"]), tmp_path)
    assert found == {
        ("module_correlation", kind, gain_range)
        for kind in (GAIN, OFFSET)
        for gain_range in (0, 1, 2)
    }


@pytest.mark.sqlite_only
def test_a_panel_that_another_module_has_is_named_when_it_was_measured_again(
    store: OpenStore, panel: Panel, tmp_path: Path
) -> None:
    deliver(store, "M068", write_arrays(tmp_path / "a", panel.measured()), now=NOW, **WHO)
    checks = {check for check, *_ in refused_by(store, "M044", panel.measured(), tmp_path)}
    assert checks == {"module_correlation"}


@pytest.mark.sqlite_only
def test_the_constants_of_another_panel_are_named_by_the_modules_own(
    store: OpenStore, panel: Panel, tmp_path: Path
) -> None:
    deliver(store, "M044", write_arrays(tmp_path / "a", panel.measured()), now=NOW, **WHO)
    found = refused_by(store, "M044", Panel(45).measured(), tmp_path)
    assert ("pattern_correlation", GAIN, 0) in found


@pytest.mark.sqlite_only
def test_a_copy_of_constants_that_were_never_judged_is_named_by_its_digest(
    panelcal: RunsProgram, tree: GainsTree, add: Add, panel: Panel, store_dir: Path
) -> None:
    arrays = panel.measured()
    write_arrays(tree.path / "M068", arrays)
    tree.link("171113-154920171025-3d00b0", "M068")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    # An import takes what was in use, and judges nothing.
    assert rows(store_dir, VERDICTS) == []
    refused = add("M044", arrays)
    assert refused.exit_code == 4
    assert "as if it were that of M068@1, another module" in refused.stderr


@pytest.mark.sqlite_only
@pytest.mark.parametrize("copied", [0, 9])
def test_a_copy_is_named_however_many_modules_have_like_numbers(
    store: OpenStore, panel: Panel, tmp_path: Path, copied: int
) -> None:
    first = panel.measured()
    delivered = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(first[GAIN][0].size)
        # The same values at other places: medians and sigmas are equal, patterns are not.
        arrays = {
            kind: array.reshape(len(array), -1)[:, order].reshape(array.shape)
            for kind, array in first.items()
        }
        delivered.append(arrays)
        deliver(store, f"N{seed:03}", write_arrays(tmp_path / str(seed), arrays), now=NOW, **WHO)
    found = refused_by(store, "M044", delivered[copied], tmp_path)
    assert ("module_correlation", GAIN, 0) in found


@pytest.mark.sqlite_only
def test_gains_of_the_wrong_sign_are_not_taken_for_turned_ones(
    store: OpenStore, panel: Panel, tmp_path: Path
) -> None:
    deliver(store, "M044", write_arrays(tmp_path / "first", panel.measured()), now=NOW, **WHO)
    arrays = panel.measured()
    arrays[GAIN] *= np.float32(-1)
    found = refused_by(store, "M044", arrays, tmp_path)
    assert ("positive_fraction", GAIN, 0) in found
    assert "turned" not in {check for check, _, _ in found}


@pytest.mark.sqlite_only
def test_a_module_far_from_all_others_is_named(store: OpenStore, tmp_path: Path) -> None:
    for seed in range(5):
        arrays = Panel(seed).measured()
        arrays[GAIN][0] *= np.float32(0.85)
        # As the ratio of ranges would be: the whole campaign is like this.
        arrays[GAIN][1:] *= np.float32(0.85)
        deliver(store, f"M{seed:03}", write_arrays(tmp_path / str(seed), arrays), now=NOW, **WHO)
    arrays = Panel(44).measured()
    arrays[GAIN] *= np.float32(1.1)
    found = refused_by(store, "M044", arrays, tmp_path)
    assert ("relative_population_shift", GAIN, 0) in found


@pytest.mark.sqlite_only
def test_a_transposed_file_is_refused_as_one(
    panelcal: RunsProgram, panel: Panel, tmp_path: Path, nothing_written: NothingWritten
) -> None:
    directory = write_arrays(tmp_path / "d", panel.measured())
    np.save(directory / "g1_gain.npy", np.load(directory / "g1_gain.npy").T)
    with nothing_written():
        refused = panelcal("module", "add", "M044", directory)
    assert refused.exit_code == 2
    assert "g1_gain.npy: shape (64, 32), (32, 64) expected: it is transposed" in refused.stderr


def as_recorded(number: int, module: str, revision: int, arrays: Arrays) -> ConstantSet:
    digests = {kind: digest_of(array) for kind, array in arrays.items()}
    return ConstantSet(
        number, module, revision, digests, "", NOW, "tester", "test", detector_type="jungfrau"
    )


@pytest.mark.sqlite_only
def test_200_clean_deliveries_have_no_error_and_hardly_a_warning(
    store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: dict[str, Arrays] = {}
    # Written and read again the arrays are the same; that is tested elsewhere, and takes long.
    monkeypatch.setattr(
        judge,
        "read_arrays",
        lambda *from_sets: {
            f"{one.module}@{one.revision}": kept[one.module] for one in from_sets[2]
        },
    )
    reader = store.database.reader
    background = read_background(reader, detector_types(reader).named("jungfrau"))
    found = []
    for seed in range(100):
        module, panel = f"M{seed:03}", Panel(1000 + seed)
        for revision in (1, 2):
            arrays = panel.measured()
            verdict = judge_payloads(reader, store.payloads, background, arrays, module)
            found.append(verdict)
            kept[module] = arrays
            made = as_recorded(2 * seed + revision, module, revision, arrays)
            planes = {**background.planes, made.id: verdict.planes}
            background = replace(background, sets=[*background.sets, made], planes=planes)
    assert len(found) == 200
    assert {len(one.planes) for one in found} == {6}
    assert [one.text for verdict in found for one in verdict.errors] == []
    assert sum(len(one.findings) for one in found) <= 10


@pytest.mark.sqlite_only
def test_many_modules_are_delivered_one_after_the_other(store: OpenStore, tmp_path: Path) -> None:
    for seed in range(8):
        panel = Panel(seed)
        for number in range(2):
            at = NOW + timedelta(seconds=2 * seed + number)
            directory = write_arrays(tmp_path / "clean", panel.measured())
            made, _ = deliver(store, f"M{seed:03}", directory, now=at, **WHO)
            assert made.revision == number + 1
    with store.database.reading() as connection:
        found = verdicts(store, constant_sets(connection))
    assert [len(one.verdict.findings) for one in found.values()] == [0] * 16


@pytest.mark.sqlite_only
def test_a_copy_that_was_recorded_meanwhile_is_named(
    store: OpenStore, panel: Panel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = write_arrays(tmp_path / "d", panel.measured())
    first = True

    def judged_while_another_delivers(*arguments: Any) -> Any:
        nonlocal first
        verdict = judge_payloads(*arguments)
        if first:
            first = False
            deliver(store, "M068", directory, now=NOW, **WHO)
        return verdict

    monkeypatch.setattr(modules, "judge_payloads", judged_while_another_delivers)
    with pytest.raises(FindingsError, match="as if it were that of M068@1"):
        deliver(store, "M044", directory, now=NOW, **WHO)
    assert rows(store.directory, "SELECT name FROM module") == [("M068",)]


@pytest.mark.sqlite_only
def test_a_module_is_no_part_of_its_own_population(store: OpenStore, tmp_path: Path) -> None:
    # So that every number is a finding.
    change_past_triggers(
        store.directory,
        "UPDATE quality_rule SET low = 1e6, high = 1e7 WHERE check_name = 'population_shift'",
    )
    found = []
    for step, seed in enumerate((0, 1, 2, 0, 3, 0)):
        directory = write_arrays(tmp_path / str(step), Panel(seed).measured())
        if seed == 0:
            # Another pixel every time: the same files would be no new revision.
            plane = np.load(directory / "g0_gain.npy")
            plane[0, step] += 1
            np.save(directory / "g0_gain.npy", plane)
        at = NOW + timedelta(seconds=step)
        made, _ = deliver(store, f"M{seed:03}", directory, now=at, **WHO)
        [verdict] = verdicts(store, [made]).values()
        checks = {one.check for one in verdict.verdict.findings}
        found.append("population_shift" in checks)
    assert found == [False, False, False, False, True, True]


@pytest.mark.sqlite_only
def test_a_recorded_verdict_is_a_record_that_the_next_has_to_follow(
    store: OpenStore, panel: Panel, tmp_path: Path
) -> None:
    directory = write_arrays(tmp_path / "a", panel.measured())
    deliver(store, "M044", directory, now=NOW, **WHO)
    later = NOW + timedelta(hours=1)
    check(store, "M044", now=later, user="tester", record=True)
    other = write_arrays(tmp_path / "b", Panel(2).measured())
    with pytest.raises(ConflictError, match="the clock says"):
        deliver(store, "M068", other, now=NOW + timedelta(minutes=30), **WHO)


# --- rules are data -------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_a_rule_that_is_changed_changes_what_is_found(
    add: Add, panelcal: RunsProgram, panel: Panel, store_dir: Path
) -> None:
    arrays = panel.measured()
    assert add("M044", arrays).exit_code == 0
    digests = rows(store_dir, "SELECT rules_digest FROM quality_verdict")
    change_past_triggers(
        store_dir,
        "UPDATE quality_rule SET high = 0.00001 "
        "WHERE check_name = 'relative_sigma' AND severity = 'error'",
    )
    checked = panelcal("module", "check", "M044")
    assert checked.exit_code == 1
    assert "relative_sigma  pixel_gain of gain range 0: spread over the pixels" in checked.stdout
    assert panelcal("module", "check", "M044", "--record").exit_code == 1
    assert len({*digests, *rows(store_dir, "SELECT rules_digest FROM quality_verdict")}) == 2


@pytest.mark.sqlite_only
def test_rules_of_another_detector_type_are_not_applied(
    add: Add, panel: Panel, store_dir: Path
) -> None:
    change_past_triggers(
        store_dir,
        "INSERT INTO detector_type VALUES (2, 'epix', 7, 2, 2, 'Epix', 'Epix::CalibV1')",
        "INSERT INTO quality_rule (detector_type_id, check_name, severity, high) "
        "VALUES (2, 'finite_fraction', 'error', 0.5)",
    )
    assert add("M044", panel.measured()).exit_code == 0


@pytest.mark.sqlite_only
def test_a_rule_that_can_find_nothing_stops_deliveries(
    add: Add, panel: Panel, store_dir: Path
) -> None:
    change_past_triggers(
        store_dir, "UPDATE quality_rule SET check_name = 'colour' WHERE check_name = 'median'"
    )
    refused = add("M044", panel.measured())
    assert refused.exit_code == 5
    assert "'colour'" in refused.stderr


# --- what was recorded ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE quality_verdict SET accepted = NULL",
        "UPDATE quality_finding SET severity = 'warning'",
        "UPDATE quality_finding SET value = 0",
        "DELETE FROM quality_finding",
        "UPDATE quality_plane SET median = 41.5 WHERE gain_range = 1",
        "UPDATE quality_verdict SET constant_set_id = 2",
    ],
)
def test_a_verdict_that_was_edited_is_found_and_not_used(
    store: OpenStore, panel: Panel, tmp_path: Path, tampering: str
) -> None:
    arrays = panel.measured()
    arrays[GAIN][0] *= -1
    directory = write_arrays(tmp_path / "a", arrays)
    deliver(store, "M044", directory, now=NOW, accept="inverted", **WHO)
    other = write_arrays(tmp_path / "b", Panel(2).measured())
    deliver(store, "M068", other, now=NOW + timedelta(hours=1), **WHO)
    assert fsck(store.directory, now=NOW + timedelta(days=1)).findings == ()
    change_past_triggers(store.directory, f"{tampering}")
    found = fsck(store.directory, now=NOW + timedelta(days=1)).findings
    assert {str(one.code) for one in found} == {"seal-broken"}
    with store.database.reading() as connection:
        sets = constant_sets(connection)
    with pytest.raises(IntegrityError, match="quality_verdict is not as it was recorded"):
        verdicts(store, sets)
    third = write_arrays(tmp_path / "c", Panel(3).measured())
    with pytest.raises(IntegrityError, match="quality_verdict is not as it was recorded"):
        deliver(store, "M088", third, now=NOW + timedelta(hours=2), **WHO)


def test_verdicts_travel_in_bundles_and_are_recorded_with_their_sets(
    add: Add, panelcal: RunsProgram, panel: Panel, tmp_path: Path, store_dir: Path
) -> None:
    arrays = panel.measured()
    arrays[OFFSET][0, :8] = 16383
    assert add("M044", arrays, *ACCEPT).exit_code == 0
    assert panelcal("tag", "create", "t", "--reason", "r").exit_code == 0
    # Later than the tag: not in the bundle.
    panelcal("module", "check", "M044", "--record")
    assert add("M068", Panel(2).measured()).exit_code == 0
    assert panelcal("bundle", "create", tmp_path / "b.zip", "--tag", "t").exit_code == 0
    told = rows(store_dir, VERDICTS)[0]
    kept = rows(store_dir, "SELECT text, value, low, high FROM quality_finding WHERE verdict_id=1")
    create_small_store(tmp_path / "other", shape=SMALL, keep_rules=True)
    with open_store(tmp_path / "other") as other:
        import_bundle(other, tmp_path / "b.zip", now=NOW + timedelta(days=365), user="eve")
        assert fsck(other.directory, now=NOW + timedelta(days=366)).findings == ()
    [(module, revision, accepted, by, findings, planes)] = rows(tmp_path / "other", VERDICTS)
    assert (module, revision, by, findings, planes) == ("M044", 1, "eve", *told[4:])
    assert accepted.startswith(f"{told[2]} (bundle: recorded ")
    found = "SELECT text, value, low, high FROM quality_finding"
    assert rows(tmp_path / "other", found) == kept


def test_a_backup_has_verdicts_and_rules_as_they_are(
    add: Add, panelcal: RunsProgram, panel: Panel, tmp_path: Path, store_dir: Path
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    change_past_triggers(store_dir, "DELETE FROM quality_rule WHERE gain_range = 1")
    assert panelcal("backup", tmp_path / "backup").exit_code == 0
    assert panelcal("restore", tmp_path / "backup", tmp_path / "again").exit_code == 0
    for table in ("rule", "verdict", "finding", "plane"):
        query = f"SELECT * FROM quality_{table} ORDER BY 1, 2, 3"
        assert rows(tmp_path / "again", query) == rows(store_dir, query), table


# --- module check ---------------------------------------------------------------------------


def test_check_judges_what_is_recorded_and_records_only_on_request(
    add: Add,
    panelcal: RunsProgram,
    panel: Panel,
    store_dir: Path,
    nothing_written: NothingWritten,
) -> None:
    arrays = panel.measured()
    assert add("M044", arrays).exit_code == 0
    broken = panel.measured()
    broken[GAIN][2] *= -1
    assert add("M044", broken, *ACCEPT).exit_code == 0
    with nothing_written():
        first = panelcal("module", "check", "M044@1")
        latest = panelcal("module", "check", "M044", "--json")
        everything = panelcal("module", "check", "--all")
    assert (first.exit_code, first.stdout) == (0, "1 delivery judged: 0 errors, 0 warnings\n")
    document = json.loads(latest.stdout)
    assert (latest.exit_code, document["exit_code"], document["recorded"]) == (0, 0, False)
    [judged] = document["judged"]
    assert (judged["name"], judged["accepted"]) == ("M044@2", "sensor was replaced")
    assert {"positive_fraction", "median"} <= {one["check"] for one in judged["findings"]}
    assert everything.stdout.splitlines()[-1].startswith("2 deliveries judged: ")
    recorded = panelcal("module", "check", "--all", "--record")
    assert recorded.exit_code == 0
    assert recorded.stdout.endswith("; recorded\n")
    assert [row[:4] for row in rows(store_dir, VERDICTS)[2:]] == [
        ("M044", 1, None, "tester"),
        ("M044", 2, "sensor was replaced", "tester"),
    ]


@pytest.mark.sqlite_only
def test_what_was_imported_is_judged_by_check_and_makes_a_population(
    panelcal: RunsProgram, tree: GainsTree, store_dir: Path
) -> None:
    for seed in range(4):
        write_arrays(tree.path / f"M{seed:03}", Panel(seed).measured())
        tree.link(f"171113-154920171025-3d00b{seed}", f"M{seed:03}")
    write_arrays(tree.path / "M004", Panel(3).measured())
    tree.link("171113-154920171025-3d00b4", "M004")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    alone = panelcal("module", "check", "M000", "--json")
    assert "4 modules without recorded numbers left out of the comparison" in alone.stderr
    assert json.loads(alone.stdout)["unknown"] == ["M001", "M002", "M003", "M004"]
    done = panelcal("module", "check", "--all", "--record", "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    found = {
        one["name"]: {finding["check"] for finding in one["findings"]}
        for one in json.loads(done.stdout)["judged"]
    }
    copies = {"M003@1", "M004@1"}
    assert {name for name, checks in found.items() if "module_correlation" in checks} == copies
    assert len(rows(store_dir, VERDICTS)) == 5
    assert panelcal("module", "check", "M000").stderr == ""
    assert "M000@1: 0 errors" in panelcal("module", "show", "M000").stdout


@pytest.mark.sqlite_only
def test_imported_sets_are_shown_as_not_judged(
    panelcal: RunsProgram, tree: GainsTree, panel: Panel
) -> None:
    write_arrays(tree.path / "M044", panel.measured())
    tree.link("171113-154920171025-3d00b0", "M044")
    assert panelcal("import", "gains-tree", tree.path).exit_code == 0
    assert panelcal("module", "show", "M044").stdout.splitlines()[-1] == "M044@1: not judged"
    assert json.loads(panelcal("module", "show", "M044", "--json").stdout)[0]["verdict"] is None


@pytest.mark.sqlite_only
def test_a_directory_is_judged_as_if_it_were_delivered(
    add: Add,
    panelcal: RunsProgram,
    panel: Panel,
    tmp_path: Path,
    nothing_written: NothingWritten,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    arrays = panel.measured()
    arrays[OFFSET][0] += 60
    write_arrays(tmp_path / "M044", arrays)
    monkeypatch.chdir(tmp_path)
    with nothing_written():
        alone = panelcal("module", "check", "./M044", "--for", "M999", "--json")
        follows = panelcal("module", "check", "./M044", "--for", "M044", "--json")
        module = panelcal("module", "check", "M044")
    [judged] = json.loads(follows.stdout)["judged"]
    assert {one["check"] for one in judged["findings"]} == {"drift"}
    assert (judged["module"], judged["revision"], follows.exit_code) == (None, None, 1)
    [judged] = json.loads(alone.stdout)["judged"]
    assert {one["check"] for one in judged["findings"]} == {"module_correlation"}
    # The text names a module of the store: that is what is meant.
    assert (module.exit_code, module.stdout) == (0, "1 delivery judged: 0 errors, 0 warnings\n")


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 2, "name one module or directory"),
        (("M044", "--all"), 2, "and not both"),
        (("M045",), 3, "there is no module 'M045'"),
        (("M044@7",), 3, "M044 has no revision 7"),
        (("./nowhere",), 3, "nowhere is not a directory"),
        (("M044@x",), 2, "the revision after @"),
        (("M044", "--for", "M044"), 2, "--for, --cast and"),
        (("here", "--record"), 2, "there is nothing recorded to judge"),
        (("here", "--for", "a b"), 2, "is not a module name"),
        (("here",), 2, "none of the files"),
    ],
)
def test_a_request_that_means_nothing_is_refused(
    add: Add,
    panelcal: RunsProgram,
    panel: Panel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    refused = panelcal("module", "check", *arguments)
    assert (refused.exit_code, refused.stdout) == (code, "")
    assert said in refused.stderr


@pytest.mark.sqlite_only
def test_an_empty_store_has_nothing_to_judge(panelcal: RunsProgram) -> None:
    done = panelcal("module", "check", "--all", "--record")
    assert (done.exit_code, done.stdout) == (
        0,
        "0 deliveries judged: 0 errors, 0 warnings; recorded\n",
    )


@pytest.mark.sqlite_only
def test_a_bundle_is_checked_and_never_recorded_in(
    add: Add, panelcal: RunsProgram, panel: Panel, tmp_path: Path
) -> None:
    assert add("M044", panel.measured()).exit_code == 0
    assert panelcal("backup", tmp_path / "backup").exit_code == 0
    named = ("--store", tmp_path / "backup")
    assert panelcal("module", "check", "--all", *named).exit_code == 0
    assert panelcal("module", "show", "M044", *named).stdout.count("0 errors") == 1
    refused = panelcal("module", "check", "--all", "--record", *named)
    assert refused.exit_code not in {0, 1}
