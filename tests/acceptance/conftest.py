"""One demo for all acceptance tests: it moves real megabytes."""

import pytest

from visitor import Demo, run_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The demo, run by the installed program in a directory of its own."""
    return run_demo(tmp_path_factory.mktemp("visitor"))
