"""Hold what the workers were told against the rows at the end, by the plainest rule."""

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders import rows
from soak.scene import Entry

_ASSIGNMENTS = """
SELECT panel.name, valid_from_us, module.name, revision, assignment.recorded_at_us,
       assignment.reason
FROM assignment JOIN panel ON panel.id = panel_id
LEFT JOIN constant_set ON constant_set.id = constant_set_id
LEFT JOIN module ON module.id = module_id ORDER BY assignment.id
"""

_SETS = """
SELECT module.name, revision, kind.name, digest, constant_set.recorded_at_us,
       constant_set.reason, delivered_from
FROM constant_set JOIN module ON module.id = module_id
JOIN constant_set_payload ON constant_set_id = constant_set.id JOIN kind ON kind.id = kind_id
"""

Used = tuple[str, int, int]
"""What a panel uses, since when, recorded when."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the ledger at the end."""

    start: int
    uses: str | None
    recorded: int


@dataclass(slots=True)
class Ledger:
    """All rows at the end."""

    panels: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    times: list[int] = field(default_factory=list)

    def at(self, panel: str, at: int, as_of: int) -> Used | None:
        """Of the rows known by a time, not later than T: the latest start, recorded last."""
        known = [row for row in self.panels[panel] if row.recorded <= as_of and row.start <= at]
        if not known:
            return None
        chosen = max(known, key=lambda row: (row.start, row.recorded))
        return None if chosen.uses is None else (chosen.uses, chosen.start, chosen.recorded)

    def answer(self, panels: Sequence[str], at: int, as_of: int) -> list[Used] | None:
        """Return what a detector uses; None if any panel has no constants."""
        found = [self.at(panel, at, as_of) for panel in panels]
        return None if None in found else [one for one in found if one is not None]


@dataclass(slots=True)
class Verdict:
    """What the judge counted.

    Parameters
    ----------
    counts : Counter
        Of what was done, by name.
    faults : list of str
        Everything that is not as promised.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def judge(store: Path, entries: Sequence[Entry]) -> Verdict:
    """Compare journals with a store."""
    verdict = Verdict()
    for entry in entries:
        state = "killed" if entry.ended is None else "refused" if entry.refused else "done"
        verdict.counts[f"{entry.do} {state}"] += 1
    ledger = Ledger()
    by_reason: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for panel, start, module, revision, recorded, reason in rows(store, _ASSIGNMENTS):
        uses = None if module is None else f"{module}@{revision}"
        ledger.panels[panel].append(Row(start, uses, recorded))
        ledger.times.append(recorded)
        by_reason[reason].append((panel, start, uses, recorded))
    if ledger.times != sorted(ledger.times):
        verdict.faults.append("transaction times are not in the order of recording")
    verdict.faults += _changes(entries, by_reason)
    verdict.faults += _deliveries(store, entries)
    verdict.faults += _trees(store, entries, ledger)
    verdict.faults += _names(store, entries)
    verdict.faults += _jobs(entries)
    verdict.faults += _answers(entries, ledger, verdict.counts)
    return verdict


def _changes(
    entries: Sequence[Entry], by_reason: dict[str, list[tuple[Any, ...]]]
) -> Iterator[str]:
    """Every acknowledged assignment is there once; nothing is there that nobody began."""
    begun = {entry.id: entry for entry in entries if entry.do == "assign"}
    for reason, found in by_reason.items():
        is_own = reason == "prepared" or reason.startswith("imported")
        if reason not in begun and not is_own:
            yield f"nobody assigned {found}"
    for entry in begun.values():
        found = by_reason.get(entry.id, [])
        asked = entry.asked["panel"], entry.asked["start"], entry.asked["uses"]
        if len(found) > 1 or any(row[:3] != asked for row in found):
            yield f"{entry}: {found}"
        elif entry.refused and found:
            yield f"refused and done all the same: {entry}"
        elif entry.is_acknowledged and [row[3] for row in found] != [entry.answer]:
            yield f"acknowledged and lost: {entry}"


def _deliveries(store: Path, entries: Sequence[Entry]) -> Iterator[str]:
    sets: dict[str, dict[str, Any]] = {}
    for module, revision, kind, digest, recorded, reason, _ in rows(store, _SETS):
        one = sets.setdefault(reason, {"told": (module, revision, recorded), "digests": {}})
        one["digests"][kind] = digest
    for entry in entries:
        if entry.do != "deliver":
            continue
        found = sets.get(entry.id)
        if entry.is_acknowledged:
            revision, digests, recorded = entry.answer
            told = entry.asked["module"], revision, recorded
            if found is None or found != {"told": told, "digests": digests}:
                yield f"acknowledged delivery: {entry}: {found}"
        elif found is not None and (entry.refused or len(found["digests"]) != 2):
            yield f"half a delivery, or a refused one: {entry}: {found}"


def _trees(store: Path, entries: Sequence[Entry], ledger: Ledger) -> Iterator[str]:
    """A tree is there with everything, or not at all."""
    sets: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for module, _, _, _, recorded, _, where in rows(store, _SETS):
        sets[str(Path(where).parent)].add((module, recorded))
    for entry in entries:
        if entry.do != "tree":
            continue
        found = sets.get(entry.asked["path"], set())
        times = {recorded for _, recorded in found}
        entries_of = sum(row.recorded in times for panel in ledger.panels.values() for row in panel)
        state = len(found), len(times), entries_of
        if state not in {(0, 0, 0), (2, 1, 3)} or (entry.is_acknowledged and not found):
            yield f"half a tree: {entry}: {state}"


def _names(store: Path, entries: Sequence[Entry]) -> Iterator[str]:
    """Tags and runs that were acknowledged are there, as they were acknowledged."""
    tags = dict(rows(store, "SELECT name, as_of_us FROM tag"))
    runs = dict(rows(store, "SELECT run, detector_id FROM run"))
    for entry in entries:
        if not entry.is_acknowledged:
            continue
        if entry.do == "tag" and tags.get(entry.asked["name"]) != entry.answer:
            yield f"tag lost: {entry}"
        if entry.do == "run" and runs.get(entry.asked["run"]) != entry.asked["detector"]:
            yield f"run lost: {entry}"


def _jobs(entries: Sequence[Entry]) -> Iterator[str]:
    """Jobs and questions have no reason to be refused; fsck finds no error."""
    for entry in entries:
        if entry.do == "fsck" and entry.answer:
            yield f"fsck found {entry.answer}"
        if entry.refused and entry.do in {"read", "deploy", "backup", "fsck"}:
            yield f"refused: {entry}"


def _answers(entries: Sequence[Entry], ledger: Ledger, counts: Counter[str]) -> Iterator[str]:
    changes = sorted(
        (entry.ended, entry.answer)
        for entry in entries
        if entry.do == "assign" and entry.is_acknowledged and entry.ended is not None
    )
    known_at = [ended for ended, _ in changes]
    known_until: list[int] = []
    for _, recorded in changes:
        known_until.append(max(recorded, known_until[-1] if known_until else 0))
    begun = sorted(
        (entry.answer, entry.began)
        for entry in entries
        if entry.do == "assign" and entry.is_acknowledged
    )
    tags = {entry.asked["name"]: entry.answer for entry in entries if entry.do == "tag"}
    for entry in entries:
        if entry.do == "backup" and entry.is_acknowledged:
            latest, asked = entry.answer
            for panel, at, found in asked:
                counts["answers of backups compared"] += 1
                if _told(found) != ledger.answer([panel], at, latest):
                    yield f"a backup answers {panel} at {at}: {found}"
        if entry.do != "read" or not entry.is_acknowledged:
            continue
        panels, at = entry.asked["panels"], entry.asked["at"]
        if entry.asked["tag"] is not None:
            if tags.get(entry.asked["tag"]) is None:
                # Whoever made it was killed before it could be told of when it is.
                counts["answers of untold tags"] += 1
                continue
            times = [tags[entry.asked["tag"]]]
        else:
            known = bisect_right(known_at, entry.began)
            first = known_until[known - 1] if known else 0
            later = [recorded for recorded, began in begun if began > (entry.ended or 0)]
            last = min(later, default=ledger.times[-1] + 1)
            times = _times(ledger, first, last)
        counts["answers compared"] += 1
        if all(_told(entry.answer) != ledger.answer(panels, at, time) for time in times):
            yield f"a wrong answer: {entry}"


def _times(ledger: Ledger, first: int, last: int) -> list[int]:
    """Return the states that a question may have seen: known before it, and begun by its end."""
    low = bisect_right(ledger.times, first)
    high = bisect_left(ledger.times, last)
    return [first if low == 0 else ledger.times[low - 1], *ledger.times[low:high]]


def _told(answer: Any) -> list[Used] | None:
    return None if answer is None else [(one[0], one[1], one[2]) for one in answer]
