"""A visitor: the installed program, run in child processes as a user would."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


def program_environment() -> dict[str, str]:
    """Return an environment with this interpreter's programs first on PATH."""
    programs = str(Path(sys.executable).parent)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PANELCAL")}
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "LOGNAME": "visitor"}


@dataclass(frozen=True)
class Demo:
    """A finished demo: where it ran, and what it printed."""

    place: Path
    output: str

    @property
    def directory(self) -> Path:
        """What ``panelcal demo`` was given, as in the README."""
        return self.place / ".demo"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user of the demo's store."""
        return program_environment() | {"PANELCAL_STORE": str(self.directory / "store")}

    def ask(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run the program on the demo's store."""
        return subprocess.run(
            ["panelcal", *arguments],
            cwd=self.place,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )


def run_demo(place: Path) -> Demo:
    """Run ``panelcal demo .demo`` in a directory."""
    done = subprocess.run(
        ["panelcal", "demo", ".demo"],
        cwd=place,
        env=program_environment(),
        check=True,
        capture_output=True,
        text=True,
    )
    return Demo(place, done.stdout)
