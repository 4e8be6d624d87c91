"""The bench: rounds are fair, every row of the table is there, and what is said is so."""

import gc
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import main
from bench.report import markdown
from bench.rounds import Contender, Measured, measure
from bench.rows import Row, Target, compared, worst
from marks import put_between_marks

TESTS = Path(__file__).parents[1]


class FakeClock:
    """A clock that only work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def takes(self, *seconds: float) -> Callable[[], None]:
        """Return work that takes so long, the next time so long, and so on from the start."""
        done = 0

        def work() -> None:
            nonlocal done
            self.now += seconds[done % len(seconds)]
            done += 1

        return work


def test_every_contender_runs_once_a_round_in_changing_orders() -> None:
    ran: list[str] = []
    contenders = [Contender(name, lambda name=name: ran.append(name)) for name in "abcd"]  # type: ignore[misc]
    measure(contenders, 7, warm_up=False)
    rounds = ["".join(ran[start : start + 4]) for start in range(0, 28, 4)]
    assert len(ran) == 28
    assert all(sorted(one) == list("abcd") for one in rounds)
    assert len(set(rounds)) > 1


def test_a_seed_gives_the_same_orders_again() -> None:
    def orders(seed: int) -> list[str]:
        ran: list[str] = []
        contenders = [Contender(name, lambda name=name: ran.append(name)) for name in "abcd"]  # type: ignore[misc]
        measure(contenders, 7, seed=seed)
        return ran

    assert orders(1) == orders(1)
    assert orders(1) != orders(2)


def test_set_up_and_tear_down_are_outside_the_clock() -> None:
    clock = FakeClock()
    one = Contender("one", clock.takes(2), set_up=clock.takes(100), tear_down=clock.takes(100))
    assert measure([one], 3, clock=clock).seconds["one"] == (2, 2, 2)


def test_the_round_that_warms_up_does_not_count() -> None:
    clock = FakeClock()
    times = measure([Contender("one", clock.takes(50, 1, 2, 3))], 3, clock=clock)
    assert times.seconds["one"] == (1, 2, 3)


def test_times_are_those_of_one_call() -> None:
    clock = FakeClock()
    times = measure([Contender("bunch", clock.takes(10), calls=5)], 2, clock=clock)
    assert times.median("bunch") == 2


def test_the_ratio_is_that_of_the_medians_and_the_rounds_are_told_beside() -> None:
    times = Measured({"work": (2.0, 9.0, 4.0), "reference": (1.0, 3.0, 1.0)})
    ratio = times.ratio("work", "reference")
    assert (ratio.value, ratio.paired, ratio.lowest, ratio.highest) == (4.0, 3.0, 2.0, 4.0)


def test_no_garbage_is_collected_while_the_clock_runs() -> None:
    seen: list[bool] = []
    measure([Contender("one", lambda: seen.append(gc.isenabled()))], 2)
    assert seen == [False, False, False]
    assert gc.isenabled()


def test_work_that_fails_is_torn_down_and_leaves_the_collector_on() -> None:
    torn: list[str] = []

    def fails() -> None:
        msg = "broken"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="broken"):
        measure([Contender("one", fails, tear_down=lambda: torn.append("down"))], 1)
    assert torn == ["down"]
    assert gc.isenabled()


def test_contenders_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        measure([Contender("one", int), Contender("one", int)], 1)


@pytest.mark.parametrize(
    ("target", "below", "at", "above"),
    [
        (Target("<=", 3), True, True, False),
        (Target("<", 3), True, False, False),
        (Target(">=", 3), False, True, True),
    ],
    ids=str,
)
def test_a_target_says_which_ratios_meet_it(
    target: Target, below: bool, at: bool, above: bool
) -> None:
    assert [target.is_met(ratio) for ratio in (2.9, 3, 3.1)] == [below, at, above]


def row(target: Target | None, work: float, reference: float) -> Row:
    times = Measured({"work": (work,), "reference": (reference,)})
    return compared(times, "work", "reference", topic="t", what="w", against="a", target=target)


def test_at_least_is_a_speed_and_at_most_is_a_time() -> None:
    assert row(Target(">=", 7), 2, 10).ratio == 5
    assert row(Target("<=", 7), 2, 10).ratio == 0.2


def test_of_several_rows_the_one_furthest_from_its_target_is_shown() -> None:
    slow = worst({"x": row(Target("<=", 3), 6, 2), "y": row(Target("<=", 3), 2, 2)}, "both")
    fast = worst({"x": row(Target(">=", 3), 1, 6), "y": row(Target(">=", 3), 1, 2)}, "both")
    assert (slow.ratio, fast.ratio) == (3, 2)
    assert dict(slow.figures) == {"x": 3, "y": 1}


def test_results_replace_those_between_the_marks_of_a_document(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("before\n<!-- results: here -->\nold\n<!-- end of results -->\nafter\n")
    for _ in range(2):
        put_between_marks(document, markdown([row(Target("<=", 3), 6, 2)], {"cores": "2"}))
    lines = document.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- results: here -->"]
    assert lines[-2:] == ["<!-- end of results -->", "after"]
    assert "old" not in lines
    assert sum(line.startswith("| t: w | a | <= 3 | 3.00 |") for line in lines) == 1


def test_a_document_without_marks_is_left_alone(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("nothing\n")
    with pytest.raises(ValueError, match="0 places"):
        put_between_marks(document, [])
    assert document.read_text() == "nothing\n"


def bench(*arguments: str | Path, **environment: str) -> "subprocess.Popen[str]":
    """Start the bench in a child process."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(TESTS)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    """What a quick run of everything writes as JSON, and prints."""
    place = tmp_path_factory.mktemp("bench")
    with bench("--quick", "--json", place / "found.json", TMPDIR=str(place)) as running:
        printed, complaints = running.communicate()
    assert running.returncode == 0, complaints
    assert [path.name for path in place.iterdir()] == ["found.json"]
    return json.loads((place / "found.json").read_text()), printed


def table() -> set[tuple[str, str]]:
    """Return the table of what is promised: work, and the ratio to be reached."""
    modes = ("now", "as-of, T before A", "as-of, T after A")
    questions = [f"{mode}, {panels}" for mode in modes for panels in ("1 panel", "32 panels")]
    rows = {(f"resolve: {question}", "<= 3") for question in questions}
    rows |= {(f"resolve: {question}, growth", "<= 2") for question in questions}
    rows |= {(f"resolve on PostgreSQL: {question}", "<= 3") for question in questions}
    for panels in ("1 panel", "32 panels"):
        rows.add((f"resolve: the same question again, {panels}", ">= 5"))
    for told, reach in (
        ("verified, into an array", "<= 3"),
        ("verified, a new array", "<= 3"),
        ("reading alone", "<= 2"),
    ):
        rows.add((f"arrays: assemble 32 panels x 2 kinds, {told}", reach))
    rows.add(("arrays: open, resolve and load 1 panel", "< 1"))
    for form, reach in (("gain %.4f", ">= 7"), ("offset %.1f", ">= 14")):
        for panels in ("1 panel", "8 panels", "32 panels"):
            rows.add((f"text: export {form}, {panels}", reach))
            rows.add((f"text: export {form}, {panels}", "<= 3"))
        rows.add((f"text: read a deployed {form.split()[0]} file, 1 panel", ">= 10"))
    rows.add(("import: import a gains tree with 3 modules", "<= 1.5"))
    for told in (
        "8 answers, one after the other: 16 files",
        "the same answer: 2 files",
        "8 answers, taking turns: 32 files",
    ):
        rows.add((f"deploy: deploy 16 runs, {told}", "<= 1.2"))
    rows.add(("memory: peak of a text export, 32 panels, the program included", "<= 1.5"))
    rows.add(("start-up: panelcal --help", "<= 5"))
    for asked in ("DETECTOR", "DATASET"):
        rows.add((f"start-up: panelcal resolve {asked}", "<= 1.25"))
    return rows


def test_a_quick_run_measures_every_row_of_the_table(quick: tuple[dict[str, Any], str]) -> None:
    found = {(f"{one['topic']}: {one['what']}", one["target"]): one for one in quick[0]["rows"]}
    assert table() - set(found) == set()
    assert len(found) == len(quick[0]["rows"])
    for key, one in found.items():
        if one["ratio"] is None:
            assert "no PostgreSQL server" in one["note"], key
            assert not os.environ.get("CI"), key
        else:
            assert math.isfinite(one["ratio"]), key
            assert one["ratio"] > 0, key
            assert one["lowest"] <= one["paired"] <= one["highest"], key
            assert one["rounds"] >= 1, key


def test_the_table_and_the_json_agree(quick: tuple[dict[str, Any], str]) -> None:
    content, printed = quick
    lines = [re.split(r"\s{2,}", line.strip()) for line in printed.splitlines()]
    shown = {(cells[0], cells[2]): cells for cells in lines if len(cells) > 5}
    for one in content["rows"]:
        cells = shown[f"{one['topic']}: {one['what']}", one["target"]]
        assert cells[1] == one["against"]
        if one["ratio"] is None:
            assert cells[3] == "-"
            continue
        assert float(cells[3]) == pytest.approx(one["ratio"], rel=0.01, abs=0.005)
        assert cells[5:7] == [str(one["rounds"]), "yes" if one["met"] else "no"]


def test_it_is_said_what_was_measured_on_but_not_where(
    quick: tuple[dict[str, Any], str],
) -> None:
    content, printed = quick
    assert {"processor", "cores", "Python", "numpy", "SQLite", "PostgreSQL"} <= set(
        content["machine"]
    )
    for told in (json.dumps(content), printed):
        assert os.uname().nodename not in told
        assert str(TESTS) not in told


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["--full"], ["--rounds", "0"], ["--rounds", "many"], ["--fast"]],
    ids=" ".join,
)
def test_arguments_that_make_no_sense_end_with_usage(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["import", "--quick", "--json", str(tmp_path / "found.json"), *arguments])
    assert end.value.code == 2
    printed, complaints = capsys.readouterr()
    assert printed == ""
    assert complaints.startswith("usage: scripts/bench")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "kill"])
def test_a_bench_that_is_stopped_leaves_no_files_behind(
    tmp_path: Path, sent: signal.Signals
) -> None:
    arguments = ("import", "--quick", "--rounds", "100000", "--json", tmp_path / "found.json")
    with bench(*arguments, TMPDIR=str(tmp_path)) as running:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*/import/store")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(tmp_path.iterdir()) != []
        running.send_signal(sent)
        _, complaints = running.communicate()
    assert running.returncode == 130
    assert "interrupted" in complaints
    assert list(tmp_path.iterdir()) == []


def test_what_fails_to_run_fails_the_bench(tmp_path: Path) -> None:
    (tmp_path / "found.json").mkdir()
    arguments = ("import", "--quick", "--rounds", "1", "--json", tmp_path / "found.json")
    with bench(*arguments) as running:
        _, complaints = running.communicate()
    assert running.returncode == 1
    assert "found.json" in complaints
