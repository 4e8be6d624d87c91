"""What is imported when: help and mistakes must answer at once."""

import subprocess
import sys

import pytest

HEAVY = {"matplotlib", "sqlalchemy", "zarr", "alembic", "numpy", "rich"}


def modules_after(*arguments: str) -> set[str]:
    """Return what a fresh interpreter has imported after running the program."""
    code = (
        "import sys\n"
        "from panelcal.cli import app\n"
        f"try: app({list(arguments)!r})\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["resolve", "--help"],
        ["import", "gains-tree", "--help"],
        ["diff", "--help"],
        ["history", "--pixel"],
        ["plot", "set", "--help"],
        ["frob"],
    ],
    ids=" ".join,
)
def test_help_and_mistakes_import_nothing_heavy(arguments: list[str]) -> None:
    assert not modules_after(*arguments) & HEAVY


def test_the_package_itself_imports_nothing_heavy() -> None:
    code = "import sys, panelcal; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(done.stdout.split()) & HEAVY


def test_the_package_offers_the_names_a_user_needs() -> None:
    import panelcal

    assert panelcal.open_store.__name__ == "open_store"
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = panelcal.nonsense
