"""A trial: a job in a fresh place, one point of it disturbed, and everything judged afterwards."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from faults.actions import Operation
from faults.forks import Ended, Forks
from faults.jobs import ALREADY_SO, JOBS, Job
from faults.outcome import Files, Rows, files_of, left_over, rows_of
from faults.places import Place, Prepared

_DECIDING = {"rename", "replace", "link", "sendfile"}
Strike = tuple[int, str]
"""The number of a point, and what happens there."""

FOUND_ERRORS = 5
_TYPED = {1, 2, 3, 4, 5, 6}

_KEPT_ASIDE = "store/payloads/damaged/"
"""What repair replaced: also a payload that the disk refused to read just then."""


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a job does when nothing happens to it.

    Parameters
    ----------
    rows : list of Rows
        Before the first command, and after each.
    before, after : Files
        What is there before and after.
    left_over : set of str
        Temporary files that were there before.
    trace : list of Operation
        The points that it comes by.
    """

    rows: list[Rows | None]
    before: Files
    after: Files
    left_over: set[str]
    trace: list[Operation]


@dataclass(slots=True)
class Verdict:
    """What is to be said of a trial.

    Parameters
    ----------
    was_reached : bool
        Whether the job came to its point.
    lost, half, unsound, unfinished : list of str
        Acknowledged changes that are gone; unacknowledged ones of which a part is
        there; what fsck finds; why doing it again does not lead where it should.
    untold : list of str
        What is wrong with how an error was told.
    orphans : int
        Temporary files, and payloads without rows, that were left.
    """

    was_reached: bool = False
    lost: list[str] = field(default_factory=list)
    half: list[str] = field(default_factory=list)
    unsound: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    orphans: int = 0

    @property
    def faults(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.half, *self.unsound, *self.unfinished, *self.untold]


class Trials:
    """Trials of one job.

    Parameters
    ----------
    scratch : Path
        Where copies of the place are made; all are of one name.
    """

    def __init__(self, name: str, prepared: Prepared, forks: Forks, scratch: Path) -> None:
        self.name = name
        self.job: Job = JOBS[name]
        self._prepared = prepared
        self._forks = forks
        self._scratch = scratch
        self.undisturbed = self._undisturbed()

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Give a fresh place."""
        with self._prepared.copied(self.job.preparation, self._scratch) as place:
            yield place

    def _undisturbed(self) -> Undisturbed:
        with self.place() as place:
            rows, before = [rows_of(place)], files_of(place)
            left = set(left_over(place))
            for command in self.job.commands(place):
                ended = self._forks([command], place.directory)
                assert ended.code == self.job.code, ended.complained
                rows.append(rows_of(place))
            after = files_of(place)
            assert not left_over(place)
            assert self._unsound(place) == []
        with self.place() as place:
            trace = self._forks.trace(self.job.commands(place), place.directory)
        return Undisturbed(rows, before, after, left, trace)

    def disturb(self, at: int, action: str) -> Verdict:
        """Disturb the job at a point, and judge what is left, and that it can be done again."""
        with self.place() as place:
            more = {"sever": place.database_url} if action == "sever" else {}
            commands = self.job.commands(place)
            ended = self._forks(commands, place.directory, at, action, **more)
            return self.judge(place, ended)

    def judge(self, place: Place, ended: Ended) -> Verdict:
        """Say what became of a place whose job ended in some way."""
        verdict = Verdict(was_reached=ended.was_killed or bool(ended.struck))
        if not ended.was_killed:
            verdict.untold = list(self._told(place, ended))
        verdict.orphans = len(left_over(place))
        # On a server a directory that names its database comes before the settings in it.
        is_begun = self.undisturbed.rows[0] is None and not (rows_of(place) or {}).get("store")
        is_judged_later = self.job.is_of_damaged or is_begun
        verdict.unsound = [] if is_judged_later else self._unsound(place)
        # A run that could not be served is passed over, and the others get other files then.
        is_planned_anew = bool(self.job.code) and not ended.was_killed
        if not is_planned_anew:
            self._compare_rows(place, ended, verdict)
            verdict.half += self._half_files(place)
        # What a collection moved away and cannot remove is a left-over, as it was an orphan.
        is_collecting = self.job.preparation == "orphans"
        if not ended.was_killed and ended.code != self.job.code and not is_collecting:
            new = set(left_over(place)) - self.undisturbed.left_over
            verdict.half += [f"left over: {name}" for name in sorted(new)]
        verdict.unfinished = self._done_again(place)
        verdict.unsound += self._unsound(place) if is_judged_later else []
        if is_planned_anew and not verdict.unfinished:
            verdict.unfinished = self._differs_if_done_again(place)
        elif not verdict.unfinished:
            verdict.unfinished = self._differences_from_undisturbed(place)
        return verdict

    def _told(self, place: Place, ended: Ended) -> Iterator[str]:
        said = ended.complained
        if "Traceback" in said:
            yield f"a traceback: {said}"
        elif ended.code not in _TYPED | {self.job.code}:
            yield f"exit code {ended.code}: {said}"
        elif ended.code != self.job.code:
            report = ended.said + said
            if not any(word in report for word in ("error: ", "blocked", "damaged")):
                yield f"nothing is said: {report}"
            names = (str(place.directory), Path(ended.struck[-255:]).name, "postgresql")
            if not any(name in report for name in names):
                yield f"no file is named: {report}"

    def _compare_rows(self, place: Place, ended: Ended, verdict: Verdict) -> None:
        found, states = rows_of(place), self.undisturbed.rows
        if states[0] is None and found is not None and not found.get("store"):
            # What has no settings yet is no store yet: the next call completes it.
            found = None
        done = len(ended.acknowledged)
        if self.job.code:
            # A job that reports: what it did run by run is all in the last state.
            verdict.half += _beyond(found, states[-1])
            verdict.lost += _beyond(states[0], found)
            return
        # Whole, and not acknowledged: the end came between the commit and the word of it.
        if found in states[done : done + 2]:
            return
        lost = _beyond(states[done], found)
        verdict.lost += lost
        if not lost:
            verdict.half += _beyond(found, states[done])

    def _half_files(self, place: Place) -> list[str]:
        """Return files that hold neither what they held nor what they are to hold."""
        wrong = []
        for name, versions in files_of(place).items():
            known = self.undisturbed.before.get(name, []) + self.undisturbed.after.get(name, [])
            if name.endswith("HISTORY"):
                lines = {line for _, text in known for line in text.split(b"\n")}
                found = {line for _, text in versions for line in text.split(b"\n")}
                wrong += [f"{name}: {line!r}" for line in found - lines]
            elif not name.startswith(_KEPT_ASIDE):
                wrong += [f"{name}: {one}" for one in versions if one not in known]
        return wrong

    def _unsound(self, place: Place) -> list[str]:
        """Return what is wrong with the store itself."""
        if not place.store.is_dir():
            return []
        ended = self._forks([place.command("fsck", "--verify-data", "--json")], place.directory)
        if ended.code == 0:
            return []
        findings = json.loads(ended.said)["findings"] if ended.code == FOUND_ERRORS else []
        wrong = {one["code"] for one in findings if one["severity"] == "error"}
        # A migration that did not come to its end leaves the store as it was.
        if wrong == {"schema-older"}:
            return []
        return [f"fsck: {ended.code} {ended.said} {ended.complained}"]

    def _done_again(self, place: Place) -> list[str]:
        for command in self.job.commands(place):
            ended = self._forks([command], place.directory)
            is_so = ended.code == ALREADY_SO and any(
                word in ended.complained for word in ("already", " exists")
            )
            if ended.code != self.job.code and (self.job.is_repeatable or not is_so):
                return [f"again: {ended.code} {ended.complained}"]
        is_to_be_tidied = left_over(place) or files_of(place) != self.undisturbed.after
        if is_to_be_tidied and place.store.is_dir():
            ended = self._forks([place.command("gc", "--older-than", "0")], place.directory)
            if ended.code:
                return [f"gc: {ended.code} {ended.complained}"]
        return [f"stays for ever: {name}" for name in left_over(place)]

    def _differences_from_undisturbed(self, place: Place) -> list[str]:
        return [
            *_differences(rows_of(place), self.undisturbed.rows[-1]),
            *_differences(files_of(place), self.undisturbed.after),
        ]

    def _differs_if_done_again(self, place: Place) -> list[str]:
        """Return what still changes: a job that serves every run finds nothing to do."""
        before = rows_of(place), files_of(place)
        for command in self.job.commands(place):
            self._forks([command], place.directory)
        return [*_differences(rows_of(place), before[0]), *_differences(files_of(place), before[1])]


def _beyond(some: Rows | None, others: Rows | None) -> list[str]:
    """Return the rows that one state has and another has not."""
    if some is None:
        return []
    if others is None:
        return ["a store"]
    missing = []
    for table, rows in some.items():
        rest = Counter(rows) - Counter(others.get(table, []))
        missing += [f"{table}: {row}" for row in rest]
    return missing


def _differences(found: object, expected: object) -> list[str]:
    if found == expected:
        return []
    if isinstance(found, dict) and isinstance(expected, dict):
        names = sorted(set(found) | set(expected))
        pairs = [(name, found.get(name), expected.get(name)) for name in names]
        return [f"{n}: {_short(a)} is not {_short(b)}" for n, a, b in pairs if a != b]
    return [f"{_short(found)} is not {_short(expected)}"]


def _short(value: object) -> str:
    said = json.dumps(value, default=repr)
    return said if len(said) < 400 else f"{said[:400]}..."


def kills_of(trace: Sequence[Operation]) -> list[Strike]:
    """Return every way to kill a job at one of its points."""
    return [(at, kill) for at, one in enumerate(trace, 1) for kill in one.kills]


def failures_of(trace: Sequence[Operation]) -> list[Strike]:
    """Return every way in which the system may fail a job at one of its points."""
    return [(at, action) for at, one in enumerate(trace, 1) for action in one.failures]


def some_of(strikes: Sequence[Strike], trace: Sequence[Operation], count: int) -> list[Strike]:
    """Return strikes at the points that matter most, and a few of the others: always the same."""
    chance = random.Random(7)
    commits = [one for one in strikes if _is_commit(trace[one[0] - 1]) and "after" in one[1]]
    chosen = commits[-min(2, count) :]
    first = [one for one in strikes if _matters(trace[one[0] - 1]) and one not in chosen]
    chosen += chance.sample(first, max(0, min(len(first), count - 1 - len(chosen))))
    others = [one for one in strikes if one not in chosen and one not in first]
    return sorted([*chosen, *chance.sample(others, min(len(others), count - len(chosen)))])


def _is_commit(operation: Operation) -> bool:
    return operation.subject == "COMMIT"


def _matters(operation: Operation) -> bool:
    return operation.call in _DECIDING or operation.subject.endswith("/HISTORY")
