"""Tree -> store -> calib tree and DCS files -> fresh store: every answer comes back."""

import csv
import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panelcal as api
from builders import GainsTree, write_delivery
from conftest import RunsProgram
from panelcal.domain.resolution import Resolution
from panelcal.errors import NoValidConstantsError
from panelcal.services.resolve import resolve
from panelcal.storage.store import open_store
from servers import copied_store

B0, F7 = "170505-149520170815-3d00b0", "170505-149520170815-3d00f7"
OLD_PAIR = f"{B0}_{F7}"
NEW_PAIR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"
SINGLE = "171113-154920171025-3d00fb"
DETECTORS = (OLD_PAIR, NEW_PAIR, SINGLE)

XCS, MFX_0 = "XcsEndstation.0:Jungfrau.0", "MfxEndstation.0:Jungfrau.0"
MFX_1 = "MfxEndstation.0:Jungfrau.1"

RUNS = [
    ("xcsls3716", 631, XCS, "20171205161400", OLD_PAIR),
    ("xcsls3716", 640, XCS, "20180110000000", OLD_PAIR),
    ("xcsls3716", 650, XCS, "20180121000000", OLD_PAIR),
    ("mfx05516", 16, MFX_0, "20180419000000", NEW_PAIR),
    ("mfx11116", 697, MFX_1, "20180419000000", SINGLE),
    ("mfx11116", 700, MFX_1, "20180602000000", SINGLE),
    ("mfx11116", 701, MFX_0, "20180602000000", NEW_PAIR),
]
"""Experiment, run, source, begin, detector: a run of each detector after each of its changes."""

HALF_A_DIGIT = {"pixel_gain": 0.5e-4, "pixel_offset": 0.05}
"""Half a unit of the last digit of %.4f (ADU/keV) and %.1f (ADU)."""

Fresh = Callable[[], Path]


@pytest.fixture
def fresh(empty_store: Path, tmp_path: Path) -> Iterator[Fresh]:
    """Make empty stores of the same kind."""
    with ExitStack() as stack:

        def make() -> Path:
            place = tmp_path / f"fresh-{len(list(tmp_path.glob('fresh-*')))}"
            return stack.enter_context(copied_store(empty_store, place))

        yield make


@pytest.fixture
def runs_csv(tmp_path: Path) -> Path:
    path = tmp_path / "runs.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["experiment", "run", "source", "begin", "detector_id", "modules"])
        writer.writerows([*run, ""] for run in RUNS)
    return path


@pytest.fixture
def done(panelcal: RunsProgram) -> Callable[..., str]:
    """Run the program, which has to succeed."""

    def run(*arguments: str | Path) -> str:
        result = panelcal(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def store_a(
    done: Callable[..., str], store_dir: Path, page_tree: GainsTree, runs_csv: Path, tmp_path: Path
) -> Path:
    """The page's tree, re-deliveries that replace some of it, and runs."""
    done("import", "gains-tree", page_tree.path)
    for seed, module in ((11, "M068"), (12, "M044")):
        files = write_delivery(tmp_path / f"again-{module}", seed)
        done("module", "add", module, files, "--reason", "second campaign")
    for panel, uses, start in (
        (B0, "M068@2", "20180110000000"),
        (F7, "M044@1", "20180120120000"),
        (SINGLE, "M044@2", "20180601000000"),
    ):
        done("assign", panel, uses, "--from", start, "--reason", "second campaign")
    done("import", "runs", runs_csv)
    return store_dir


def deployed(done: Callable[..., str], root: Path, *options: str) -> Path:
    """Deploy every run and see that verify-deploy agrees."""
    root.mkdir()
    done("deploy", "--all", "--calib-root", root, *options)
    report = json.loads(done("verify-deploy", "--calib-root", root, "--json"))
    assert {file["state"] for file in report["files"]} == {"ok"}
    return root


def resolved(store: Path, target: str, source: str | None = None, at: Any = None) -> Resolution:
    with open_store(store) as opened:
        return resolve(opened, target, at, source=source, now=datetime(2026, 2, 1, tzinfo=UTC))


def arrays(store: Path, dataset: str, source: str) -> dict[str, "np.ndarray[Any, Any]"]:
    with api.open_store(store) as opened:
        return dict(opened.resolve(dataset, source=source).arrays())


def answer(store: Path, detector: str, at: datetime) -> tuple[Any, ...] | None:
    """Return modules, digests and token; None where there are no valid constants."""
    try:
        found = resolved(store, detector, at=at)
    except NoValidConstantsError:
        return None
    panels = [(panel.module, dict(panel.digests)) for panel in found.panels]
    return panels, found.token


def times() -> list[datetime]:
    """Return random moments before, between and after all changes, and those next to them."""
    draw = random.Random(20171025)
    first, last = datetime(2017, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)
    seconds = int((last - first).total_seconds())
    moments = [first + timedelta(seconds=draw.randrange(seconds)) for _ in range(40)]
    changes = [  # 2017-10-25, 2018-01-10, 2018-01-20, 2018-03-06 and 2018-06-01 in California
        datetime(2017, 10, 25, 7, tzinfo=UTC),
        datetime(2018, 1, 10, 8, tzinfo=UTC),
        datetime(2018, 1, 20, 20, tzinfo=UTC),
        datetime(2018, 3, 6, 8, tzinfo=UTC),
        datetime(2018, 6, 1, 7, tzinfo=UTC),
    ]
    around = [change + timedelta(seconds=step) for change in changes for step in (-1, 0, 1)]
    return [*moments, *around, datetime(1999, 1, 1, tzinfo=UTC)]


def require_same_answers(there: Path, back: Path) -> None:
    """Compare two stores at every registered run and at many moments."""
    for experiment, run, source, _, _ in RUNS:
        dataset = f"exp={experiment}:run={run}"
        one, other = resolved(there, dataset, source), resolved(back, dataset, source)
        assert other.token == one.token
        assert [panel.digests for panel in other.panels] == [panel.digests for panel in one.panels]
    require_same_at_all_times(there, back)


def require_same_at_all_times(there: Path, back: Path) -> None:
    seen = set()
    for detector in DETECTORS:
        for at in times():
            expected = answer(there, detector, at)
            assert answer(back, detector, at) == expected, (detector, at)
            seen.add((detector, None if expected is None else expected[1]))
    assert {detector for detector, token in seen if token is None} == {OLD_PAIR, SINGLE}


def test_a_calib_tree_of_full_precision_brings_every_answer_back(
    done: Callable[..., str], store_a: Path, runs_csv: Path, tmp_path: Path, fresh: Fresh
) -> None:
    root = deployed(done, tmp_path / "full", "--precision", "full")
    store_b = fresh()
    done("--store", store_b, "import", "runs", runs_csv)
    done("--store", store_b, "import", "calib-tree", root)
    require_same_answers(store_a, store_b)
    verified = json.loads(done("--store", store_b, "verify-deploy", "--calib-root", root, "--json"))
    assert {file["state"] for file in verified["files"]} == {"ok"}


def test_a_calib_tree_of_legacy_precision_keeps_names_and_values_to_the_last_digit(
    done: Callable[..., str], store_a: Path, runs_csv: Path, tmp_path: Path, fresh: Fresh
) -> None:
    root = deployed(done, tmp_path / "legacy")
    store_b = fresh()
    done("--store", store_b, "import", "runs", runs_csv)
    done("--store", store_b, "import", "calib-tree", root)
    for experiment, run, source, _, _ in RUNS:
        dataset = f"exp={experiment}:run={run}"
        there, back = resolved(store_a, dataset, source), resolved(store_b, dataset, source)
        assert [one.module for one in back.panels] == [one.module for one in there.panels]
        assert [one.valid_from for one in back.panels] == [one.valid_from for one in there.panels]
        exact = arrays(store_a, dataset, source)
        for kind, array in arrays(store_b, dataset, source).items():
            assert array.dtype == np.float32
            # What is nearest in print is then rounded to float32: at most half of its step.
            step = np.spacing(np.abs(exact[kind]).astype(np.float32)).astype(float)
            error = np.abs(array.astype(float) - exact[kind].astype(float))
            assert np.all(error <= HALF_A_DIGIT[kind] + step)
            assert error.max() > HALF_A_DIGIT[kind] / 10, "nothing was rounded"
    verified = json.loads(done("--store", store_b, "verify-deploy", "--calib-root", root, "--json"))
    assert {file["state"] for file in verified["files"]} == {"ok"}


def test_what_came_back_from_print_is_the_same_tree_when_deployed_again(
    done: Callable[..., str], store_a: Path, runs_csv: Path, tmp_path: Path, fresh: Fresh
) -> None:
    assert store_a.is_dir()
    root = deployed(done, tmp_path / "legacy")
    store_b = fresh()
    done("--store", store_b, "import", "runs", runs_csv)
    done("--store", store_b, "import", "calib-tree", root)
    job = json.loads(
        done("--store", store_b, "deploy", "--all", "--calib-root", root, "--dry-run", "--json")
    )
    assert job["files_written"] == 0
    again = json.loads(done("--store", store_b, "import", "calib-tree", root, "--json"))
    assert {entry["status"] for entry in again["entries"]} <= {"already", "ignored"}


def test_a_legacy_tree_over_what_is_known_is_recognized_and_adds_no_constants(
    done: Callable[..., str], store_a: Path, tmp_path: Path
) -> None:
    root = deployed(done, tmp_path / "legacy")
    before = done("module", "list", "--json")
    tokens = [resolved(store_a, f"exp={run[0]}:run={run[1]}", run[2]).token for run in RUNS]
    done("import", "calib-tree", root)
    assert done("module", "list", "--json") == before
    assert tokens == [resolved(store_a, f"exp={run[0]}:run={run[1]}", run[2]).token for run in RUNS]


def dcs_files(done: Callable[..., str], directory: Path, runs: list[tuple[Any, ...]]) -> list[Path]:
    """Add the constants of runs to the DCS files of their detectors."""
    directory.mkdir()
    for experiment, run, source, *_ in runs:
        done("export", f"exp={experiment}:run={run}", "-s", source, "--dcs", directory)
    return sorted(directory.glob("jungfrau-*.h5"))


def test_dcs_files_bring_every_answer_back(
    done: Callable[..., str], store_a: Path, runs_csv: Path, tmp_path: Path, fresh: Fresh
) -> None:
    files = dcs_files(done, tmp_path / "dcs", list(RUNS))
    assert len(files) == len(DETECTORS)
    store_c = fresh()
    done("--store", store_c, "import", "runs", runs_csv)
    done("--store", store_c, "import", "dcs", *files)
    require_same_answers(store_a, store_c)


def test_dcs_files_written_and_read_in_any_order_say_the_same(
    done: Callable[..., str], store_a: Path, tmp_path: Path, fresh: Fresh
) -> None:
    files = dcs_files(done, tmp_path / "dcs", list(reversed(RUNS)))
    store_c = fresh()
    done("--store", store_c, "import", "dcs", *reversed(files))
    require_same_at_all_times(store_a, store_c)


def test_calib_tree_and_dcs_files_of_one_store_agree(
    done: Callable[..., str], store_a: Path, runs_csv: Path, tmp_path: Path, fresh: Fresh
) -> None:
    root = deployed(done, tmp_path / "full", "--precision", "full")
    files = dcs_files(done, tmp_path / "dcs", list(RUNS))
    store_d = fresh()
    done("--store", store_d, "import", "runs", runs_csv)
    done("--store", store_d, "import", "dcs", *files)
    modules = done("--store", store_d, "module", "list", "--json")
    done("--store", store_d, "import", "calib-tree", root)
    assert done("--store", store_d, "module", "list", "--json") == modules
    require_same_answers(store_a, store_d)
