"""A short soak: many at work on one store, some of them killed, and every answer right."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from soak.course import soak, soaking_store

if TYPE_CHECKING:
    from sqlalchemy import URL


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_many_at_work_and_some_killed_leave_every_answer_right(
    engine: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: URL | None = None
    if engine == "postgresql":
        server = request.getfixturevalue("server")
    with soaking_store(tmp_path, server) as store:
        outcome = soak(store, tmp_path, engine, seconds=10, kill_every=0.7, seed=1)
    assert outcome.faults == []
    assert sum(outcome.counts[name] for name in outcome.counts if name.startswith("kills")) > 3
