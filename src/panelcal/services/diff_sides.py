"""What the two sides of a diff are: constant sets, panel by panel, before any array is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.ids import MAX_PANELS, parse_detector_id
from panelcal.domain.moments import iso_utc, parse_moment, typed_form
from panelcal.domain.resolution import Resolution, ResolvedPanel
from panelcal.domain.runs import Run, is_dataset, parse_dataset
from panelcal.domain.sides import Pair, PanelSide, Side, numbered, paired
from panelcal.domain.tags import parse_tag_name
from panelcal.domain.text import excerpt
from panelcal.domain.validity import Assignment, in_force
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.resolve import resolve_run
from panelcal.services.runs import find_run
from panelcal.services.sealed import SealedRows
from panelcal.storage.ledger import history, panels
from panelcal.storage.modules import find_constant_set
from panelcal.storage.resolver import Unresolved, assigned_at
from panelcal.storage.store import OpenStore
from panelcal.storage.tags import find_tag, tags
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from panelcal.storage.reader import Snapshot

_OF_WHICH_DETECTOR = "is it a time? panelcal diff --detector DETECTOR A B"


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be compared, as it was typed.

    Parameters
    ----------
    before, after : str
        Two modules, ``M068@1`` or ``M068`` for its latest revision; two datasets; with
        `detector` two times; with `by_tag` the names of two tags.
    detector : str or None
        A detector id or a dataset.
    source : str or None
        Which source of the runs; only with datasets.
    by_tag : bool
        `before` and `after` are tags. Without a detector every registered panel is
        looked at, and those that use different constant sets are compared.
    at : str or None
        With tags: the time that is asked about; None is the begin of the run, or now.
    as_of : datetime or None
        Transaction time of both sides; None is now. Tags bring their own.
    """

    before: str
    after: str
    detector: str | None = None
    source: str | None = None
    by_tag: bool = False
    at: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides of a diff.

    Parameters
    ----------
    before, after : Side
        What they are.
    pairs : tuple of Pair
        Panel by panel.
    types : DetectorTypes
        Say which kinds there are, their units and shapes.
    notices : tuple of str
        What the reader should know about how the question was understood.
    """

    before: Side
    after: Side
    pairs: tuple[Pair, ...]
    types: DetectorTypes
    notices: tuple[str, ...] = ()


def sides_of(store: OpenStore, question: Question, *, now: datetime) -> Sides:
    """Return what is to be compared; every row that it comes from is judged by its seal.

    Both sides are of one state of the database.

    Raises
    ------
    InvalidInputError
        The two are of different sorts or of different panels, a name or a time is
        malformed, or an option does not go with them.
    NotFoundError
        A module, a tag or a run is not there.
    IntegrityError
        A row is not as it was recorded.
    """
    _require_fitting(question)
    with store.database.reader.snapshot() as snapshot:
        asking = _Asking(snapshot, store.zone, now, question)
        before, after = asking.side(question.before), asking.side(question.after)
        types = detector_types(snapshot)
    notices = tuple(dict.fromkeys(asking.notices))
    if not question.by_tag and question.detector is None and not is_dataset(question.before):
        return Sides(before, after, numbered(before.panels, after.panels), types, notices)
    pairs = paired(before, after)
    if question.by_tag and question.detector is None:
        changed = [pair for pair in pairs if pair.is_change]
        pairs = numbered((one.before for one in changed), (one.after for one in changed))
    return Sides(before, after, pairs, types, notices)


def _require_fitting(question: Question) -> None:
    """Refuse options that mean nothing together."""
    typed = question.before, question.after
    if question.at is not None and not question.by_tag:
        msg = "--at says at which time two tags are compared, and no tags are"
        raise InvalidInputError(msg, "leave it out; with --detector, A and B are the times")
    if question.as_of is not None and question.by_tag:
        msg = "--as-of names a transaction time, and so does each tag"
        raise InvalidInputError(msg, "leave it out")
    datasets = [is_dataset(one) for one in typed]
    is_of_runs = question.detector is None and not question.by_tag
    if question.source is not None and not (
        any(datasets) if is_of_runs else is_dataset(question.detector or "")
    ):
        msg = f"a source ({excerpt(question.source)}) goes with a dataset"
        raise InvalidInputError(msg)
    if is_of_runs and datasets[0] is not datasets[1]:
        msg = f"{excerpt(typed[0])} and {excerpt(typed[1])} are of different sorts"
        raise InvalidInputError(msg, "two modules, two datasets, or with --detector two times")


class _Asking:
    """A question about one state of the database.

    Attributes
    ----------
    notices : list of str
        How the question was understood.
    """

    def __init__(
        self, snapshot: "Snapshot", zone: "ZoneInfo", now: datetime, question: Question
    ) -> None:
        self._snapshot = snapshot
        self._zone = zone
        self._now = now.replace(microsecond=0)
        self._question = question
        self._rows = SealedRows(snapshot)
        self.notices: list[str] = []

    def side(self, text: str) -> Side:
        """Return what a word stands for."""
        if self._question.by_tag:
            return self._of_tag(text)
        if self._question.detector is not None:
            return self._of_time(self._question.detector, text)
        if is_dataset(text):
            return self._of_run(text)
        return self._of_module(text)

    def _of_module(self, text: str) -> Side:
        module, revision = parse_module_reference(text)
        as_of = self._question.as_of
        try:
            one = find_constant_set(self._snapshot, module, revision, as_of)
        except NotFoundError as error:
            raise NotFoundError(error.message, self._meant(text) or error.hint) from error
        self._rows.require_sets([one])
        if revision is None:
            self.notices.append(f"{module} means its latest revision, {module}@{one.revision}")
        held = PanelSide(
            None,
            module,
            one.revision,
            None,
            one.recorded_at,
            one.digests,
            detector_type=one.detector_type,
        )
        return Side(text, None, as_of, (held,))

    def _meant(self, text: str) -> str | None:
        """Say which option is missing, where a word is no module but something else."""
        if _is_moment(text, self._zone):
            return _OF_WHICH_DETECTOR
        if any(tag.name == text for tag in tags(self._snapshot)):
            return "it is a tag: panelcal diff --tags A B"
        try:
            parse_detector_id(text)
        except InvalidInputError:
            return None
        return "of a detector two times are compared: panelcal diff --detector DETECTOR A B"

    def _of_run(self, text: str) -> Side:
        if _is_moment(text, self._zone):
            msg = f"{excerpt(text)} is a time, and of which detector was not said"
            raise InvalidInputError(msg, _OF_WHICH_DETECTOR)
        return self._of_target(text, text, None, self._question.as_of)

    def _of_time(self, detector: str, text: str) -> Side:
        try:
            at = self._typed(text)
        except InvalidInputError as error:
            hint = f"{error.hint or 'type another time'}; names of tags go with --tags"
            raise InvalidInputError(error.message, hint) from error
        return self._of_target(text, detector, at, self._question.as_of)

    def _of_tag(self, text: str) -> Side:
        tag = find_tag(self._snapshot, parse_tag_name(text))
        detector, typed = self._question.detector, self._question.at
        at = None if typed is None else self._typed(typed)
        if detector is not None and (at is not None or is_dataset(detector)):
            return self._of_target(text, detector, at, tag.as_of)
        if at is None:
            at = self._now
            told = f"{typed_form(at, self._zone)}, {iso_utc(at)}"
            self.notices.append(f"no time was given: compared at {told}")
        if detector is not None:
            return self._of_target(text, detector, at, tag.as_of)
        names = [panel.name for panel in panels(self._snapshot)]
        starts = range(0, len(names), MAX_PANELS)
        parts = (self._at(names[one : one + MAX_PANELS], at, tag.as_of, None) for one in starts)
        return Side(text, at, tag.as_of, tuple(chain.from_iterable(parts)))

    def _typed(self, text: str) -> datetime:
        typed = parse_moment(text, self._zone)
        if typed.notice:
            self.notices.append(typed.notice)
        return typed.utc.replace(microsecond=0)

    def _of_target(
        self, text: str, target: str, at: datetime | None, as_of: datetime | None
    ) -> Side:
        """Return what a detector id, or the panels of a run, use at a time or the run's begin."""
        run = None
        if is_dataset(target):
            run = find_run(self._snapshot, parse_dataset(target), self._question.source, as_of)
            at = at or _begin_of(run, is_of_tags=self._question.by_tag)
            if run.detector_id is None:
                # It declares modules; or the resolver says what is missing.
                answer = resolve_run(self._snapshot, self._zone, run, at, "strict", as_of)
                self._rows.require(answer)
                return Side(text, at, as_of, tuple(map(_resolved, answer.panels)))
            target = run.detector_id
        detector = parse_detector_id(target)
        if detector.prefix:
            detector.require_type(detector_types(self._snapshot).names)
        at = at or self._now
        return Side(
            text, at, as_of, tuple(self._at(list(map(str, detector.panels)), at, as_of, run))
        )

    def _at(
        self, names: Sequence[str], at: datetime, as_of: datetime | None, run: Run | None
    ) -> list[PanelSide]:
        """Resolve panels one by one: other than the answer for a detector, this one has gaps."""
        answers = assigned_at(self._snapshot, names, at, as_of)
        found = tuple(one for one in answers if isinstance(one, ResolvedPanel))
        detector = "_".join(names)
        self._rows.require(
            Resolution(detector, at, None, "strict", as_of, found, self._zone, run=run)
        )
        missing = {one.panel for one in answers if isinstance(one, Unresolved)}
        self._rows.require_chains(missing)
        told = history(self._snapshot, missing, as_of)
        return [
            _resolved(one)
            if isinstance(one, ResolvedPanel)
            else _without(one.panel, in_force(told.get(one.panel, ())), at, self._zone)
            for one in answers
        ]


def _begin_of(run: Run, *, is_of_tags: bool) -> datetime:
    if run.begin is None:
        msg = f"{run.dataset} {run.source} is registered without a begin time"
        form = "--at T" if is_of_tags else "panelcal diff --detector DATASET A B, with two times"
        raise InvalidInputError(msg, f"say when: {form}")
    return run.begin.replace(microsecond=0)


def _is_moment(text: str, zone: "ZoneInfo") -> bool:
    try:
        parse_moment(text, zone)
    except InvalidInputError:
        return False
    return True


def _resolved(one: ResolvedPanel) -> PanelSide:
    return PanelSide(
        one.panel,
        one.module,
        one.revision,
        one.valid_from,
        one.recorded_at,
        one.digests,
        detector_type=one.detector_type,
    )


def _without(
    panel: str, current: Sequence[Assignment], at: datetime, zone: "ZoneInfo"
) -> PanelSide:
    """Say why a panel has no constants, from its rows in force."""
    held = [row for row in current if row.holds_at(at)]
    if held:
        why = f"{held[-1].uses} from {held[-1].starts(zone)}"
    elif current:
        why = f"not before {current[0].starts(zone)}"
    else:
        why = "never assigned"
    return PanelSide(panel, None, None, None, None, {}, why)
