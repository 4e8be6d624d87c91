"""The tutorial runs as it is written, and its calibration is what the specification says."""

import os
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consoles import blocks, matches, steps
from visitor import Demo

pytestmark = pytest.mark.acceptance

CHECKOUT = Path(__file__).parents[2]
TUTORIAL = (CHECKOUT / "docs" / "tutorial.md").read_text(encoding="utf-8")
EXAMPLE = CHECKOUT / "docs" / "examples" / "calibrate.py"


def test_the_consoles_of_the_tutorial_show_what_happens(demo: Demo) -> None:
    (demo.place / "calibrate.py").write_bytes(EXAMPLE.read_bytes())
    run = 0
    for command, expected in (
        step for block in blocks(TUTORIAL, "console") for step in steps(block)
    ):
        if command == "panelcal demo .demo":
            continue  # that is how this demo was made
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=demo.place,
            env=demo.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert matches(done.stdout.splitlines(), expected), f"{command}\n{done.stdout}"
        run += 1
    assert run == 2
    assert (demo.place / "tutorial.png").read_bytes().startswith(b"\x89PNG")


def test_the_python_of_the_tutorial_runs_or_is_part_of_the_example(
    demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo.place)
    example = EXAMPLE.read_text(encoding="utf-8")
    executed = 0
    for block in blocks(TUTORIAL, "python"):
        if block.startswith("import "):
            exec(compile(block, "tutorial.md", "exec"), {})
            executed += 1
        else:
            assert block in example
    assert executed == 2


def test_every_document_that_the_tutorial_links_exists() -> None:
    links = re.findall(r"\]\(([^)]+)\)", TUTORIAL)
    assert links
    assert [link for link in links if not (CHECKOUT / "docs" / link).exists()] == []


# --- the calibration, against spec §9 written out for one pixel ---------------------------


def energy_of(raw: int, pedestal: list[float], gain: list[float], offset: list[float]) -> float:
    """Return the energy of one pixel, keV; 1/0 counts as 0."""
    number = {0b00: 0, 0b01: 1, 0b11: 2}.get(raw // 2**14)
    if number is None:
        return float("nan")
    if gain[number] == 0:
        return 0.0
    return (raw % 2**14 - (pedestal[number] + offset[number])) / gain[number]


def test_the_example_calibrates_each_pixel_as_the_specification_says() -> None:
    example: dict[str, Any] = runpy.run_path(os.fspath(EXAMPLE))
    random = np.random.default_rng(9)
    shape = (3, 2, 4, 8)
    raw = random.integers(0, 2**16, shape[1:]).astype(np.uint16)
    raw.ravel()[:8] = [0, 0x3FFF, 0x4000, 0x7FFF, 0x8000, 0xBFFF, 0xC000, 0xFFFF]
    pedestals = random.uniform(0, 16384, shape).astype(np.float32)
    offset = random.uniform(-400, 400, shape).astype(np.float32)
    typical = np.reshape([41.5, -1.39, -0.11], (3, 1, 1, 1))
    gain = (typical * random.uniform(0.9, 1.1, shape)).astype(np.float32)
    gain[:, 1, 2, :] = 0
    before = raw.copy()
    energy = example["calibrate"](raw, pedestals, gain, offset)
    assert energy.dtype == np.float32
    assert np.array_equal(raw, before)
    seen = set()
    for place in np.ndindex(raw.shape):
        of_pixel = [
            list(map(float, array[(slice(None), *place)])) for array in (pedestals, gain, offset)
        ]
        expected = energy_of(int(raw[place]), *of_pixel)
        assert energy[place] == pytest.approx(expected, rel=1e-4, abs=0.05, nan_ok=True)
        seen.add(int(raw[place]) >> 14)
    assert seen == {0, 1, 2, 3}
    assert np.count_nonzero(np.isnan(energy)) == np.count_nonzero(raw >> 14 == 2) > 0


def test_the_example_names_every_range_of_the_frame_it_makes() -> None:
    example: dict[str, Any] = runpy.run_path(os.fspath(EXAMPLE))
    constants = [np.full((3, 1, 1, 4), 0, np.float32) for _ in range(3)]
    pedestals, gain, offset = constants
    gain[:] = np.reshape([41.5, -1.39, -0.11], (3, 1, 1, 1))
    pedestals[:] = np.reshape([2800, 14500, 13500], (3, 1, 1, 1))
    offset[:] = np.reshape([0, 300, 50], (3, 1, 1, 1))
    energy = np.array([[[8.05, 199.0, 805.0, 8000.0]]])
    raw = example["simulate"](energy, pedestals, gain, offset)
    assert raw.tolist() == [
        [[2800 + 334, 2800 + 8258, 0x4000 + 14800 - 1119, 0xC000 + 13550 - 880]]
    ]
