"""Documents that show commands are run; every command is documented and has help."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from consoles import blocks, matches, steps
from panelcal.cli import app
from visitor import Demo

pytestmark = pytest.mark.acceptance

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_the_consoles_of_the_readme_show_what_happens(demo: Demo) -> None:
    run = 0
    for block in blocks(README, "console"):
        for command, expected in steps(block):
            if command.startswith((". ", "export ")):
                continue
            done = subprocess.run(
                ["sh", "-c", f"{command} 2>&1"],
                cwd=demo.place,
                env=demo.environment,
                check=False,
                capture_output=True,
                text=True,
            )
            assert matches(done.stdout.splitlines(), expected), f"{command}\n{done.stdout}"
            run += 1
    assert run >= 8


def test_the_python_of_the_readme_runs(demo: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(demo.place)
    found = blocks(README, "python")
    assert found
    for block in found:
        exec(compile(block, "README.md", "exec"), {})


def commands() -> Iterator[tuple[str, object]]:
    """Yield every command with its path."""
    top = typer.main.get_command(app)
    for name, command in top.commands.items():  # type: ignore[attr-defined]
        nested = getattr(command, "commands", None)
        if nested is None:
            yield name, command
        else:
            yield from ((f"{name} {inner}", nested[inner]) for inner in nested)


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_every_command_is_documented(path: str) -> None:
    assert f"`panelcal {path}" in (CHECKOUT / "docs" / "cli.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [command for _, command in commands()])
def test_every_command_and_option_has_help(command: object) -> None:
    assert command.help  # type: ignore[attr-defined]
    for parameter in command.params:  # type: ignore[attr-defined]
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name


def test_every_document_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert links
    assert [link for link in links if not (CHECKOUT / link).exists()] == []
