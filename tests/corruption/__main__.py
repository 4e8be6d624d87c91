"""Damage a throw-away store at random, time and again: ``python -m corruption``."""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from builders import create_small_store
from corruption.payloads import PAYLOADS, PayloadDamage, sampled
from corruption.rows import ROWS, RowDamage
from corruption.scene import NOW, PAST, WHOLE, Scene, damaged
from corruption.trial import Expected, Outcome, prepared, tried
from servers import own_database, postgresql_server

COLUMNS = ("tried", "found", "harmless", "by fsck", "lost")


def main() -> int:
    """Try damages, print the counts, and return 1 if wrong values got out anywhere."""
    parser = argparse.ArgumentParser(prog="scripts/corruptions", description=__doc__)
    parser.add_argument("-n", type=int, default=200, help="how many on each engine (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts there")
    asked = parser.parse_args()
    counts: dict[str, Counter[str]] = {}
    lost: list[str] = []
    with ExitStack() as stack:
        for engine, (scene, expected) in _scenes(stack):
            chance = random.Random(asked.seed)
            for _ in range(asked.n):
                table, name, verdict = _try(scene, expected, chance)
                found = counts.setdefault(f"{engine}: {table}", Counter())
                found["tried"] += 1
                found[verdict] += 1
                if verdict == "lost":
                    lost.append(f"{engine}: {name}")
    _show(counts, lost)
    if asked.json is not None:
        rows = [{"what": what, **_row(found)} for what, found in sorted(counts.items())]
        document = {"n": asked.n, "seed": asked.seed, "counts": rows, "lost": lost}
        asked.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 1 if lost else 0


def _scenes(stack: ExitStack) -> Iterator[tuple[str, tuple[Scene, Expected]]]:
    directory = Path(stack.enter_context(TemporaryDirectory()))
    yield "sqlite", stack.enter_context(_scene(directory / "sqlite", None))
    server = stack.enter_context(postgresql_server())
    if server is None:
        sys.stderr.write("no PostgreSQL server: only SQLite is tried\n")
        return
    url = stack.enter_context(own_database(server)).render_as_string(hide_password=False)
    yield "postgresql", stack.enter_context(_scene(directory / "postgresql", url))


@contextmanager
def _scene(directory: Path, url: str | None) -> Iterator[tuple[Scene, Expected]]:
    create_small_store(directory, url)
    with prepared(directory) as found:
        yield found


def _try(scene: Scene, expected: Expected, chance: random.Random) -> tuple[str, str, str]:
    """Do one damage; return what it was of, its name, and what became of it."""
    is_row = chance.random() < 0.5
    damage: RowDamage | PayloadDamage
    with damaged(scene):
        if is_row:
            damage = row = chance.choice(ROWS)
            row.do(scene)
            outcome = tried(scene, expected, {"load", "export"})
            return "rows", damage.name, _row_verdict(row, outcome)
        damage = chance.choice((chance.choice(PAYLOADS), sampled(chance)))
        damage.do(scene, is_old=chance.random() < 0.5)
        outcome = tried(scene, expected, {"load", "export"}, look_at_seals=False)
        return "payloads", damage.name, _payload_verdict(damage, outcome)


def _row_verdict(damage: RowDamage, outcome: Outcome) -> str:
    if outcome.written or (outcome.changed and damage.found_by != {WHOLE}):
        return "lost"
    states = {state for state, _ in outcome.found}
    if states & {NOW, PAST}:
        return "found"
    return "by fsck" if outcome.broken else "lost"


def _payload_verdict(damage: PayloadDamage, outcome: Outcome) -> str:
    if outcome.changed or outcome.written:
        return "lost"
    if outcome.found:
        return "found"
    return "harmless" if damage.may_be_harmless else "lost"


def _row(found: Counter[str]) -> dict[str, int]:
    return {name: found[name] for name in COLUMNS}


def _show(counts: dict[str, Counter[str]], lost: list[str]) -> None:
    lines = [f"{'what':24}" + "".join(f"{name:>10}" for name in COLUMNS)]
    lines += [
        f"{what:24}" + "".join(f"{found[name]:>10}" for name in COLUMNS)
        for what, found in sorted(counts.items())
    ]
    lines += [f"LOST {one}" for one in lost]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
