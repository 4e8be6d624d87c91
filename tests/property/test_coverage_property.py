"""Coverage answers every run as the resolver does, on random ledgers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders import write_delivery
from panelcal.domain.moments import iso_utc
from panelcal.domain.resolution import Resolution
from panelcal.domain.run_answers import Answered, RunAnswer
from panelcal.domain.runs import Run
from panelcal.domain.validity import Policy
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError, NoValidConstantsError
from panelcal.services.assign import assign, withdraw
from panelcal.services.coverage import read_record
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve_run
from panelcal.services.runs import RunFields, add_run
from panelcal.storage.reader import Snapshot
from panelcal.storage.store import OpenStore, open_store
from servers import copied_store

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PANELS = ("171113-154920171025-3d00b0", "-154920171025-3d00f7", "171113--3d00fb")
SETS = ("M044@1", "M044@2", "M068@1")
STARTS = (
    None,
    datetime(1, 1, 3, tzinfo=UTC),
    datetime(2018, 3, 6, 8, tzinfo=UTC),
    datetime(2018, 3, 6, 8, 0, 1, tzinfo=UTC),
    # 01:30 twice on the facility's clock, by which the legacy rule compares.
    datetime(2018, 11, 4, 8, 30, tzinfo=UTC),
    datetime(2018, 11, 4, 9, 30, tzinfo=UTC),
    datetime(2200, 1, 1, tzinfo=UTC),
)
BEGINS = sorted(
    start + timedelta(seconds=step) for start in STARTS if start is not None for step in (-1, 0, 1)
)
RUNS = [
    *product((PANELS[0], "_".join(PANELS), f"{PANELS[2]}_{PANELS[0]}_{PANELS[2]}"), ("",), BEGINS),
    (f"jungfrau_{PANELS[0]}_x!y", "", BEGINS[3]),
    (f"epix10ka_{PANELS[0]}", "", BEGINS[-1]),
    ("", "M044 M068@1", BEGINS[0]),
    ("", "M044@2 M068@2", BEGINS[5]),
    ("", "M099", BEGINS[5]),
    ("", "", BEGINS[5]),
    (PANELS[0], "", None),
    ("", "", None),
]
"""Detector id, modules and begin."""

CHANGES = st.tuples(
    st.sampled_from(PANELS), st.sampled_from(STARTS), st.sampled_from((*SETS, *SETS, None))
)


@pytest.fixture(scope="module")
def template(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store with constant sets and all runs, whose ledger is empty."""
    directory = tmp_path_factory.mktemp("coverage") / "store"
    with copied_store(empty_store, directory):
        with open_store(directory) as store:
            for seed, module in enumerate(("M044", "M044", "M068")):
                files = write_delivery(directory.parent / f"{module}-{seed}", seed)
                deliver(store, module, files, now=NOW, user="t", reason="test")
            for number, (detector, modules, begin) in enumerate(RUNS):
                typed = "" if begin is None else iso_utc(begin)
                fields = RunFields("xcs00118", str(number), "A.0:J.0", typed, detector, modules)
                add_run(store, fields, now=NOW, user="t", supersede=False)
        yield directory


@contextmanager
def copy_of(template: Path) -> Iterator[OpenStore]:
    with (
        TemporaryDirectory() as directory,
        copied_store(template, Path(directory) / "store") as copied,
        open_store(copied) as store,
    ):
        yield store


def record(store: OpenStore, panel: str, start: datetime | None, uses: str | None) -> None:
    try:
        if uses is not None:
            assign(store, panel, uses, start, now=NOW, user="t", reason="test")
        elif start is not None:
            withdraw(store, panel, start, now=NOW, user="t", reason="test")
    except (ConflictError, NotFoundError):
        return  # it is so already, or there is nothing to withdraw


def resolved(
    snapshot: Snapshot, store: OpenStore, run: Run, policy: Policy
) -> Resolution | tuple[str, ...]:
    """Return what the resolver answers, or the panels that it names as missing."""
    try:
        return resolve_run(snapshot, store.zone, run, None, policy, None)
    except NoValidConstantsError as error:
        return error.missing
    except (InvalidInputError, NotFoundError):
        return ()


def require_equal(one: RunAnswer, expected: Resolution) -> None:
    assert [
        (use.index, use.panel, use.module, use.revision, use.valid_from, use.assignment_id)
        for use in one.uses
    ] == [
        (
            panel.index,
            panel.panel,
            panel.module,
            panel.revision,
            panel.valid_from,
            panel.assignment_id,
        )
        for panel in expected.panels
    ]
    guesses = {use.panel for use in one.uses if use.guessed}
    assert guesses == set(expected.guessed)


@settings(max_examples=16, deadline=None)
@given(st.lists(CHANGES, max_size=12))
def test_every_run_is_answered_as_the_resolver_answers_it(
    template: Path, changes: list[tuple[str, datetime | None, str | None]]
) -> None:
    with copy_of(template) as store:
        for change in changes:
            record(store, *change)
        with store.database.reader.snapshot() as snapshot:
            found = read_record(snapshot, store.zone)
            assert len(found.answers) == len(RUNS)
            for one in found.answers:
                strict = resolved(snapshot, store, one.run, "strict")
                legacy = resolved(snapshot, store, one.run, "legacy")
                if one.run.begin is None:
                    assert one.answered is Answered.NO_BEGIN
                    assert (strict, legacy) == ((), ())
                elif isinstance(strict, Resolution):
                    assert one.answered is Answered.STRICT
                    require_equal(one, strict)
                elif isinstance(legacy, Resolution):
                    assert one.answered is Answered.GUESS
                    require_equal(one, legacy)
                else:
                    assert one.answered is Answered.NONE
                    if strict:
                        assert one.missing == tuple(dict.fromkeys(strict))
