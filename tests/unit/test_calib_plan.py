"""Plans: the cases that people meet."""

import re

import pytest

from panelcal.errors import IntegrityError
from panelcal.exporters import calib_dir, calib_plan
from panelcal.exporters.calib_dir import RunRange, choose_file, parse_file_name
from panelcal.exporters.calib_plan import Finder, Plan, Step, Wanted, own_name, plan_files


def plan(
    wanted: dict[int, str | None], present: dict[str, str], fixed: dict[str, str] | None = None
) -> Plan:
    """Plan with contents of a letter; ``AB`` is a file that holds A and, alike, B."""
    held = {name: frozenset(content) for name, content in present.items()}
    return plan_files([Wanted(*item) for item in wanted.items()], held, fixed or {})


def written(found: Plan) -> dict[str, str | None]:
    assert not found.blocked
    return {step.name: step.copy_of for step in found.steps}


def test_the_first_run_of_an_answer_gets_a_file_and_the_others_read_it() -> None:
    found = plan({631: "A", 632: "A", 700: "B", 701: "B"}, {})
    assert written(found) == {"631-end.data": None, "700-end.data": None}
    assert found.reads == {
        631: "631-end.data",
        632: "631-end.data",
        700: "700-end.data",
        701: "700-end.data",
    }


def test_steps_are_in_the_order_of_runs_whatever_the_order_of_the_wishes() -> None:
    found = plan({9: "B", 5: "A", 7: "C"}, {})
    assert [step.run for step in found.steps] == [5, 7, 9]


def test_what_is_read_already_is_not_written() -> None:
    present = {"0-end.data": "A", "700-end.data": "B", "HISTORY": "", "0-end.data-2026": ""}
    assert written(plan({631: "A", 700: "B"}, present)) == {}


def test_a_file_serves_every_content_that_it_holds() -> None:
    assert written(plan({631: "A", 632: "B", 633: "A"}, {"0-end.data": "AB"})) == {}


def test_what_is_alike_in_one_file_is_alike_in_the_next() -> None:
    found = plan({600: "C", 631: "A", 632: "B", 633: None}, {"0-end.data": "AB"})
    assert written(found) == {"600-end.data": None, "631-end.data": None}


def test_runs_above_9999_may_share_a_file_of_contents_that_are_alike() -> None:
    assert written(plan({5: "C", 9999: "A", 10000: "B"}, {"0-end.data": "AB"})) == {
        "5-end.data": None,
        "9999-end.data": None,
    }


def test_a_stale_file_is_replaced_under_its_name() -> None:
    assert written(plan({631: "A"}, {"631-end.data": "o"})) == {"631-end.data": None}


def test_a_run_without_constants_gets_a_copy_of_what_a_new_file_takes_from_it() -> None:
    found = plan({631: "A", 632: None, 633: "A"}, {"0-end.data": "o"})
    assert found.steps == [
        Step(631, "631-end.data", None),
        Step(632, "632-end.data", "0-end.data"),
        Step(633, "633-end.data", None),
    ]


def test_a_run_that_read_nothing_gets_no_copy() -> None:
    found = plan({631: "A", 632: None}, {})
    assert written(found) == {"631-end.data": None}
    assert found.reads[632] == "631-end.data"


def test_a_run_that_reads_a_bounded_file_needs_no_copy() -> None:
    found = plan({600: "A", 631: None}, {"0-end.data": "o", "620-640.data": "o"})
    assert written(found) == {"600-end.data": None}
    assert found.reads[631] == "620-640.data"


def test_a_run_after_a_bounded_file_gets_its_own() -> None:
    found = plan({640: "o", 641: "A"}, {"620-640.data": "o"})
    assert written(found) == {"641-end.data": None}


@pytest.mark.parametrize("run", [0, 9999])
def test_the_first_and_the_last_number_get_files(run: int) -> None:
    assert written(plan({run: "A"}, {})) == {f"{run}-end.data": None}


def test_runs_above_9999_read_and_get_the_file_of_9999() -> None:
    assert own_name(10000) == "9999-end.data"
    found = plan({9998: "B", 10000: "A", 12000: "A"}, {})
    assert [step.name for step in found.steps] == ["9998-end.data", "9999-end.data"]
    assert found.reads[12000] == "9999-end.data"


def test_runs_above_9999_that_are_to_read_different_constants_are_all_blocked() -> None:
    found = plan({5: "A", 9999: "A", 10000: "B", 10001: None}, {})
    assert sorted(found.blocked) == [9999, 10000]
    assert "9999, 10000, 10001 all read 9999-end.data" in found.blocked[9999]


def test_a_run_above_9999_keeps_what_it_reads_and_blocks_the_others_there() -> None:
    found = plan({9999: "A", 10000: None}, {"0-end.data": "o"})
    assert sorted(found.blocked) == [9999]


@pytest.mark.parametrize("shadowing", ["631-640.data", "631-9998.data", "0631-0631.data"])
def test_a_file_that_would_be_read_instead_blocks_the_run_and_is_told(shadowing: str) -> None:
    found = plan({631: "A", 650: "A"}, {shadowing: "o"})
    assert sorted(found.blocked) == [631]
    assert shadowing in found.blocked[631]


@pytest.mark.parametrize("twin", ["0631-end.data", "631-9999.data", "00631-09999.data"])
def test_the_same_range_written_differently_blocks_the_run_and_is_told(twin: str) -> None:
    assert twin in plan({631: "A"}, {twin: "o"}).blocked[631]
    assert written(plan({631: "A", 632: "A"}, {twin: "A"})) == {}


def test_a_name_that_is_no_file_blocks_the_run_that_needs_it() -> None:
    present = {"631-end.data": "?", "700-end.data": "B"}
    found = plan({631: "A", 632: "A", 700: "B"}, present, {"631-end.data": "is a directory"})
    assert found.blocked == {631: "631-end.data is a directory"}
    assert [step.name for step in found.steps] == ["632-end.data"]


def test_what_cannot_be_copied_blocks_the_run_that_would_take_it_over() -> None:
    wanted = {600: "A", 610: "B", 620: None, 700: "C"}
    found = plan(wanted, {"0-end.data": "?"}, {"0-end.data": "cannot be read"})
    assert found.blocked == {610: "run 620 would no longer read 0-end.data, which cannot be read"}


@pytest.mark.parametrize("killer", ["10000-end.data", "5-10000.data", "7-.data", "5-End.data"])
def test_a_name_that_crashes_the_finder_refuses_the_directory(killer: str) -> None:
    with pytest.raises(IntegrityError, match=re.escape(killer)):
        plan({631: "A"}, {killer: "", "0-end.data": "A"})


def test_a_choice_that_is_left_to_the_directory_is_refused() -> None:
    with pytest.raises(IntegrityError, match="for the same runs"):
        plan({631: "A"}, {"0-end.data": "A", "00-end.data": "A"})


def test_the_plan_says_what_was_read_before() -> None:
    found = plan({631: "A", 632: None, 700: "B"}, {"700-end.data": "B"})
    assert found.read_before == {631: None, 632: None, 700: "700-end.data"}


@pytest.mark.parametrize("run", [0, 4, 5, 6, 7, 8, 9999, 12000])
def test_the_finder_parsed_once_chooses_as_the_finder_does(run: int) -> None:
    names = ["5-end.data", "5-7.data", "006-6.data", "0-3.data", "8-2.data", "HISTORY", "9-x.dat"]
    assert Finder(names).choose(run) == choose_file(names, run)


def test_each_name_is_parsed_a_few_times_however_many_runs_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parsed: list[str] = []

    def counted(name: str) -> RunRange | None:
        parsed.append(name)
        return parse_file_name(name)

    for module in (calib_dir, calib_plan):
        monkeypatch.setattr(module, "parse_file_name", counted)
    count = 300
    found = plan(
        {run: "AB"[run % 2] for run in range(count)},
        {f"{run}-end.data": "o" for run in range(count)},
    )
    assert len(found.steps) == count
    assert len(parsed) < 10 * count
