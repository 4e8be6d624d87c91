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

KILLS, FAILURES = 2, 1
ON_A_SERVER = 1, 1
MUCH_LIKE_OTHERS = {
    *("init in a directory", "withdraw", "propose", "run add", "curation", "export deploy new"),
    *("bundle create in a directory", "bundle create over another"),
}
WHERE_A_SERVER_MATTERS = {
    *("init", "import gains-tree", "module add", "assign", "deploy"),
    *("bundle import", "backup", "restore", "db upgrade"),
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, scratch: Path, forks: Forks) -> Iterator[Prepared]:
    """What the jobs run in."""
    is_on_server = request.param == "postgresql"
    server = request.getfixturevalue("server") if is_on_server else None
    found = Prepared(scratch / request.param, server, forks)
    yield found
    found.close()


def trials_of(name: str, prepared: Prepared, forks: Forks, scratch: Path) -> Trials:
    if name not in WHERE_A_SERVER_MATTERS and prepared.server is not None:
        pytest.skip("scripts/kill runs it on a server")
    return Trials(name, prepared, forks, scratch / "copy")


@pytest.mark.parametrize("name", [name for name in JOBS if name not in MUCH_LIKE_OTHERS])
def test_a_job_that_is_killed_or_failed_loses_nothing_leaves_nothing_half_and_is_completed(
    name: str, prepared: Prepared, forks: Forks, scratch: Path
) -> None:
    trials = trials_of(name, prepared, forks, scratch)
    trace = trials.undisturbed.trace
    kills, failures = (KILLS, FAILURES) if prepared.server is None else ON_A_SERVER
    killed = some_of(kills_of(trace), trace, kills)
    failed = some_of(failures_of(trace), trace, failures)
    reached = 0
    for at, action in [*killed, *failed]:
        verdict = trials.disturb(at, action)
        assert verdict.faults == [], (at, action, trace[at - 1])
        reached += verdict.was_reached
    assert reached


@pytest.mark.parametrize("name", ["init", "restore"])
def test_a_store_on_a_server_is_completed_whichever_commit_its_making_was_killed_at(
    name: str, prepared: Prepared, forks: Forks, scratch: Path
) -> None:
    if prepared.server is None:
        pytest.skip("an SQLite file comes with its directory")
    trials = trials_of(name, prepared, forks, scratch)
    trace = trials.undisturbed.trace
    commits = [one for one in kills_of(trace) if trace[one[0] - 1].subject == "COMMIT"]
    assert commits
    for at, action in commits:
        verdict = trials.disturb(at, action)
        assert verdict.was_reached
        assert verdict.faults == [], (at, action)
