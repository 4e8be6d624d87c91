"""Drive the targets by atheris, each in a process of its own: `scripts/fuzz`."""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
NAMES = sorted(path.name for path in CORPUS.iterdir())
MEMORY_MB, SECONDS_AN_INPUT, MARGIN_S = 2048, 10, 60
_RUNS = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
_COVERAGE = re.compile(r"\bcov: (\d+)")


def main() -> int:
    """Run the targets that are named, or all, and say how each ended."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there, too")
    asked = parser.parse_args()
    unknown = sorted(set(asked.targets) - set(NAMES))
    if unknown or asked.seconds < 1:
        parser.error(f"the targets are {', '.join(NAMES)}, and --seconds is at least 1")
    if find_spec("atheris") is None:
        print("error: atheris is not installed: nothing was fuzzed", file=sys.stderr)  # noqa: T201
        return 2
    outcomes = [fuzz(name, asked.seconds) for name in asked.targets or NAMES]
    if asked.json:
        asked.json.write_text(json.dumps(outcomes, indent=2) + "\n")
    failed = sum(not one["passed"] for one in outcomes)
    print(f"{len(outcomes) - failed} passed, {failed} failed")  # noqa: T201
    return 1 if failed else 0


def fuzz(name: str, seconds: int) -> dict[str, object]:
    """Fuzz one target for so long; an input that broke it stays beside the report."""
    with tempfile.TemporaryDirectory() as grown, tempfile.TemporaryDirectory() as scratch:
        crashes = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        command = [
            *(sys.executable, "-m", "fuzz.one", name, grown, str(CORPUS / name)),
            *(f"-max_total_time={seconds}", f"-timeout={SECONDS_AN_INPUT}"),
            *(f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={crashes}/"),
            *("-print_final_stats=1", "-max_len=65536"),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False,
                env={**os.environ, "TMPDIR": scratch},
                timeout=seconds + SECONDS_AN_INPUT + MARGIN_S,
            )  # fmt: skip
            said, code = done.stdout + done.stderr, done.returncode
        except subprocess.TimeoutExpired:
            said, code = "it did not come to an end", -1
    runs, coverage = _RUNS.search(said), _COVERAGE.findall(said)
    inputs = sorted(map(str, crashes.iterdir()))
    # A fuzzer that ran nothing has shown nothing.
    passed = code == 0 and runs is not None and int(runs[1]) > 0
    if not inputs:
        crashes.rmdir()
    outcome: dict[str, object] = {
        "target": name,
        "passed": passed,
        "runs": int(runs[1]) if runs else 0,
        "coverage": int(coverage[-1]) if coverage else 0,
        "seconds": seconds,
        "inputs": inputs,
    }
    print(f"{name:<12} {'ok' if passed else 'FAILED':<7} {outcome['runs']} runs, "  # noqa: T201
          f"coverage {outcome['coverage']}", *inputs, flush=True)  # fmt: skip
    if not passed:
        print(said[-5000:], file=sys.stderr)  # noqa: T201
    return outcome


if __name__ == "__main__":
    sys.exit(main())
