"""The wheel: what is installed works away from the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.acceptance

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel's own files are, unpacked by pip."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(place)]
    subprocess.run([*pip, *build, str(CHECKOUT)], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    target = ["install", "--no-deps", "--target", str(place / "site"), str(wheel)]
    subprocess.run([*pip, *target], check=True, capture_output=True)
    return place / "site"


def run(installed: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run Python on the installed files, in a directory that is no checkout."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env=os.environ | {"PYTHONPATH": str(installed)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_the_installed_files_are_the_ones_in_use(installed: Path) -> None:
    found = run(installed, "-c", "import panelcal; print(panelcal.__file__)")
    assert Path(found.stdout.strip()).is_relative_to(installed)
    scripts = "from panelcal.storage import migrate; print(migrate._scripts())"
    assert Path(run(installed, "-c", scripts).stdout.strip()).is_relative_to(installed)


def test_the_wheel_makes_and_upgrades_databases(installed: Path) -> None:
    panelcal = ["-m", "panelcal"]
    assert run(installed, *panelcal, "init", "made").returncode == 0
    store = ["--store", "made"]
    down = run(installed, *panelcal, *store, "db", "downgrade", "base", "--yes")
    assert down.returncode == 0, down.stderr
    up = run(installed, *panelcal, *store, "db", "upgrade")
    assert up.returncode == 0, up.stderr
    assert run(installed, *panelcal, *store, "db", "check").returncode == 0


def test_the_wheel_carries_the_page(installed: Path) -> None:
    assert (installed / "panelcal" / "data" / "page_runs.csv").is_file()
    assert (installed / "panelcal" / "_alembic" / "versions").is_dir()
