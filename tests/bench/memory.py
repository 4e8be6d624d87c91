"""Memory: the most that an export ever holds, against the array of one kind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from bench import material
from bench.rows import Row, Target
from bench.workplace import Workplace

TOPIC = "memory"
TARGET = Target("<=", 1.5)
AGAINST = "the array of one kind"

STATUS = Path("/proc/self/status")
"""Knows the peak of the program itself; what `wait` tells may be that of its parent."""

_CHILD = f"""
import sys
from pathlib import Path
from panelcal.cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    if end.code:
        raise
for line in Path({str(STATUS)!r}).read_text().splitlines():
    if line.startswith("VmHWM:"):
        print(line.split()[1])
"""

_KIB = 1024


def measured(workplace: Workplace) -> Iterator[Row]:
    """Measure the export of the largest detector in a process of its own."""
    scale = workplace.scale
    panels = scale.panels[-1]
    what = f"peak of a text export, {panels} panels, the program included"
    if not STATUS.exists():
        yield Row(TOPIC, what, AGAINST, TARGET, None, note="this system has no /proc")
        return
    size = 3 * panels * scale.rows * scale.columns * 4
    rounds = min(scale.rounds, 3)
    store, small = workplace.store(panels), workplace.store(panels, rows=2, columns=4)
    peaks = [_peak(workplace, store) / size for _ in range(rounds)]
    without = median(_peak(workplace, small) / size for _ in range(rounds))
    yield Row(
        TOPIC,
        what,
        AGAINST,
        TARGET,
        median(peaks),
        median(peaks),
        min(peaks),
        max(peaks),
        rounds,
        {"the program without data": without, "the data alone": median(peaks) - without},
    )


def _peak(workplace: Workplace, store: Path) -> float:
    """Return the most bytes that an export of a store had in memory."""
    output = workplace.place / "exported"
    command = [sys.executable, "-c", _CHILD, "--store", str(store), "export"]
    dataset = f"exp={material.EXPERIMENT}:run=1"
    done = subprocess.run(
        [*command, dataset, "-o", str(output), "--format", "txt"],
        check=True,
        capture_output=True,
        text=True,
    )
    for path in output.iterdir():
        path.unlink()
    return float(done.stdout.splitlines()[-1]) * _KIB
