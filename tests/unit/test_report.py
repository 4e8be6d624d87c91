"""The report of an import: counts, outcome, and the error it amounts to."""

import pytest

from panelcal.domain.report import ImportReport, Line, Status
from panelcal.errors import ConflictError, InvalidInputError


def report(*statuses: Status, dry_run: bool = False, skip_bad: bool = False) -> ImportReport:
    lines = tuple(Line(f"n{i}", status, "c", "r") for i, status in enumerate(statuses))
    return ImportReport(lines, dry_run=dry_run, skip_bad=skip_bad)


GOOD = (Status.TAKEN, Status.ALREADY, Status.IGNORED)


@pytest.mark.parametrize("bad", [Status.REFUSED, Status.CONFLICT])
def test_one_bad_line_keeps_everything_out(bad: Status) -> None:
    assert report(*GOOD).is_to_be_written
    assert not report(*GOOD, bad).is_to_be_written


@pytest.mark.parametrize("bad", [Status.REFUSED, Status.CONFLICT])
def test_skip_bad_lets_the_rest_in(bad: Status) -> None:
    assert report(*GOOD, bad, skip_bad=True).is_to_be_written


@pytest.mark.parametrize("statuses", [(), GOOD, (*GOOD, Status.REFUSED)])
@pytest.mark.parametrize("skip_bad", [True, False])
def test_dry_run_is_never_written(statuses: tuple[Status, ...], skip_bad: bool) -> None:
    assert not report(*statuses, dry_run=True, skip_bad=skip_bad).is_to_be_written


def test_refusals_are_invalid_input() -> None:
    with pytest.raises(InvalidInputError, match=r"^1 entry refused; nothing was written$"):
        report(*GOOD, Status.REFUSED).raise_if_refused()
    with pytest.raises(InvalidInputError, match=r"^2 entries refused") as error:
        report(Status.REFUSED, Status.REFUSED).raise_if_refused()
    assert "--skip-bad" in (error.value.hint or "")


def test_conflicts_are_a_conflict_and_name_both_ways_out() -> None:
    with pytest.raises(ConflictError, match="about 1 entry; nothing was written") as error:
        report(*GOOD, Status.CONFLICT).raise_if_refused()
    assert "--supersede" in (error.value.hint or "")
    assert "--skip-bad" in (error.value.hint or "")


def test_refusals_weigh_more_than_conflicts() -> None:
    with pytest.raises(InvalidInputError):
        report(Status.CONFLICT, Status.REFUSED).raise_if_refused()


@pytest.mark.parametrize("dry_run", [True, False])
def test_dry_run_raises_what_the_real_run_would(dry_run: bool) -> None:
    with pytest.raises(InvalidInputError):
        report(Status.REFUSED, dry_run=dry_run).raise_if_refused()


def test_nothing_is_raised_where_bad_lines_were_to_be_skipped_or_there_are_none() -> None:
    report(*GOOD).raise_if_refused()
    report(Status.REFUSED, Status.CONFLICT, skip_bad=True).raise_if_refused()


@pytest.mark.parametrize(
    ("made", "summary"),
    [
        (report(), "nothing found; nothing to add"),
        (report(*GOOD), "1 taken, 1 already, 1 ignored; written"),
        (report(Status.ALREADY), "1 already; nothing to add"),
        (report(*GOOD, dry_run=True), "1 taken, 1 already, 1 ignored; nothing was written"),
        (report(Status.TAKEN, Status.REFUSED), "1 taken, 1 refused; nothing was written"),
        (report(Status.TAKEN, Status.REFUSED, skip_bad=True), "1 taken, 1 refused; written"),
    ],
)
def test_summary_is_all_counts_in_one_line(made: ImportReport, summary: str) -> None:
    assert made.summary == summary


def test_document_counts_every_status_and_lists_every_line() -> None:
    assert report(Status.TAKEN, Status.REFUSED).document() == {
        "written": False,
        "dry_run": False,
        "counts": {"taken": 1, "already": 0, "ignored": 0, "refused": 1, "conflict": 0},
        "entries": [
            {"name": "n0", "status": "taken", "content": "c", "reason": "r"},
            {"name": "n1", "status": "refused", "content": "c", "reason": "r"},
        ],
    }
