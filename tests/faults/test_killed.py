"""A job that is killed at any point loses nothing acknowledged, and leaves nothing half done.

A selection of points, always the same; ``scripts/kill`` takes them all.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.forks import Forks
from faults.jobs import JOBS
from faults.places import Prepared
from faults.trials import Trials, failures_of, kills_of, some_of

KILLS, FAILURES = 5, 2
ON_A_SERVER = 1


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, scratch: Path, forks: Forks) -> Iterator[Prepared]:
    """What the jobs run in."""
    is_on_server = request.param == "postgresql"
    server = request.getfixturevalue("server") if is_on_server else None
    found = Prepared(scratch / request.param, server, forks)
    yield found
    found.close()


def trials_of(name: str, prepared: Prepared, forks: Forks, scratch: Path) -> Trials:
    if JOBS[name].sqlite_only and prepared.server is not None:
        pytest.skip("an engine has no say in it")
    return Trials(name, prepared, forks, scratch / "copy")


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_job_loses_nothing_leaves_nothing_half_and_is_completed_by_the_next(
    name: str, prepared: Prepared, forks: Forks, scratch: Path
) -> None:
    trials = trials_of(name, prepared, forks, scratch)
    trace = trials.undisturbed.trace
    count = KILLS if prepared.server is None else ON_A_SERVER
    reached = 0
    for at, action in some_of(kills_of(trace), trace, count):
        verdict = trials.disturb(at, action)
        assert verdict.faults == [], (at, action, trace[at - 1])
        reached += verdict.was_reached
    assert reached


@pytest.mark.parametrize("name", JOBS)
def test_a_job_that_the_system_fails_says_what_and_where_and_changes_nothing(
    name: str, prepared: Prepared, forks: Forks, scratch: Path
) -> None:
    trials = trials_of(name, prepared, forks, scratch)
    trace = trials.undisturbed.trace
    count = FAILURES if prepared.server is None else ON_A_SERVER
    for at, action in some_of(failures_of(trace), trace, count):
        verdict = trials.disturb(at, action)
        assert verdict.faults == [], (at, action, trace[at - 1])
