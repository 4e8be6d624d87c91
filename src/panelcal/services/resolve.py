"""Resolve: constants for a detector id, or for a run, at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, get_args
from zoneinfo import ZoneInfo

from panelcal.domain.deliveries import parse_module_reference
from panelcal.domain.ids import parse_detector_id
from panelcal.domain.moments import (
    aware_utc,
    in_calendar,
    iso_utc,
    parse_moment,
    parse_stamp,
    stamp_of,
    typed_form,
)
from panelcal.domain.resolution import Resolution, ResolvedPanel, require_one_type
from panelcal.domain.runs import Run, is_dataset, parse_dataset
from panelcal.domain.text import count_of, excerpt, plain
from panelcal.domain.validity import (
    Assignment,
    Policy,
    in_force,
    is_guess,
    legacy_time,
    nearest,
    select_legacy,
)
from panelcal.errors import InvalidInputError, NotFoundError, NoValidConstantsError
from panelcal.services.runs import find_run
from panelcal.services.sealed import SealedRows
from panelcal.storage.ledger import history
from panelcal.storage.modules import find_constant_set
from panelcal.storage.resolver import Unresolved, assigned_at, holding
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

POLICIES = get_args(Policy)


_LONGEST_TIME = 100
"""Characters of a time under legacy policy, which takes any text for one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """T as the caller gave it.

    Parameters
    ----------
    at : datetime or None
        The moment, UTC; None where legacy policy is asked without one.
    text : str or None
        The 14-digit stamp, or what the legacy selector is given.
    notices : tuple of str
        How it was understood.
    """

    at: datetime | None
    text: str | None
    notices: tuple[str, ...] = ()


def resolve(
    store: OpenStore,
    target: str,
    at: str | datetime | None = None,
    *,
    source: str | None = None,
    policy: Policy = "strict",
    as_of: datetime | None = None,
    now: datetime,
    sealed: bool = False,
) -> Resolution:
    """Return which constants hold for a detector at a time.

    Parameters
    ----------
    store : OpenStore
        Where to look.
    target : str
        A detector id, or a dataset ``exp=xcsls3716:run=631``.
    at : str, datetime or None
        T: a stamp or ISO 8601 with an offset, or an aware datetime. Without it
        a run is resolved at its begin time; a detector id at `now` under strict
        policy, and to the latest version under legacy policy.
    source : str or None
        Which source of the run, as people type it; only with a dataset.
    policy : {'strict', 'legacy'}
        ``legacy`` answers as the legacy selector does (spec §3) and names in
        ``guessed`` the panels for which T is outside the validity.
    as_of : datetime or None
        Transaction time; None is now.
    now : datetime
        The time, aware.
    sealed : bool
        Judge the answer by the seals of the rows that it comes from.

    Raises
    ------
    InvalidInputError
        The target, the time or the source is malformed or ambiguous, or the
        run has no begin time.
    IntegrityError
        The run's row is not as it was recorded; or, where seals are looked at,
        another row that the answer comes from.
    NotFoundError
        The run is not registered.
    NoValidConstantsError
        At least one panel has no valid constants; all of them are listed.
    """
    if policy not in POLICIES:
        msg = f"there is no policy {excerpt(policy)}"
        raise InvalidInputError(msg, f"one of {', '.join(POLICIES)}")
    reader = store.database.reader
    if is_dataset(target):
        with reader.snapshot() as snapshot:
            run = find_run(snapshot, parse_dataset(target), source, as_of)
            answer = resolve_run(snapshot, store.zone, run, at, policy, as_of)
            if sealed:
                SealedRows(snapshot).require(answer)
            return answer
    if source is not None:
        msg = f"a source ({excerpt(source)}) goes with a dataset, not with a detector id"
        raise InvalidInputError(msg)
    asked = _asked(at, policy, store.zone) or _without_time(policy, store.zone, now)
    if policy == "strict" and not sealed:
        # One statement, which is a state of the database by itself.
        return _resolve_detector(reader, target, asked, policy, as_of, store.zone)
    with reader.snapshot() as snapshot:
        answer = _resolve_detector(snapshot, target, asked, policy, as_of, store.zone)
        if sealed:
            SealedRows(snapshot).require(answer)
        return answer


def resolve_run(
    source: "Readable",
    zone: ZoneInfo,
    run: Run,
    at: str | datetime | None,
    policy: Policy,
    as_of: datetime | None,
) -> Resolution:
    """Return which constants hold for one registered source of a run.

    Raises
    ------
    InvalidInputError
        No time was given and the run has no begin time.
    NotFoundError
        The run has neither a detector id nor declared modules.
    NoValidConstantsError
        As `resolve`.
    """
    asked = _asked(at if at is not None else run.begin, policy, zone)
    if asked is None:
        said = f" ({run.note})" if run.note else ""
        msg = f"{run.dataset} {run.source} is registered without a begin time{said}"
        raise InvalidInputError(msg, "say when with --at")
    if run.detector_id is not None:
        return _resolve_detector(source, run.detector_id, asked, policy, as_of, zone, run)
    if not run.modules:
        said = f" ({run.note})" if run.note else ""
        msg = f"{run.dataset} {run.source} has no detector id and declares no modules{said}"
        raise NotFoundError(msg, "panelcal run add --supersede can add what is known")
    panels = _declared(source, run.modules, as_of)
    require_one_type(panels)
    return Resolution(
        detector=run.legacy_id,
        at=asked.at,
        asked=asked.text,
        policy=policy,
        as_of=as_of,
        panels=tuple(panels),
        zone=zone,
        notices=asked.notices,
        run=run,
    )


def _declared(
    source: "Readable", modules: Sequence[str], as_of: datetime | None
) -> list[ResolvedPanel]:
    panels = []
    for index, reference in enumerate(modules):
        name, revision = parse_module_reference(reference)
        found = find_constant_set(source, name, revision or 1, as_of)
        panels.append(
            ResolvedPanel(
                index=index,
                panel=None,
                module=name,
                revision=found.revision,
                valid_from=None,
                recorded_at=found.recorded_at,
                digests=found.digests,
                assignment_id=None,
                constant_set_id=found.id,
                detector_type=found.detector_type,
            )
        )
    return panels


def _asked(at: str | datetime | None, policy: Policy, zone: ZoneInfo) -> Asked | None:
    """Read T. Fractions of a second are dropped: no validity starts inside one."""
    if at is None:
        return None
    if isinstance(at, datetime):
        utc = in_calendar(aware_utc(at), zone, at).replace(microsecond=0)
        return Asked(utc, _as_asked(utc, policy, zone))
    if policy == "strict":
        typed = parse_moment(at, zone)
        utc = typed.utc.replace(microsecond=0)
        notices = () if typed.notice is None else (typed.notice,)
        # Fourteen digits that could be read are how this moment is typed.
        return Asked(utc, at if len(at) == 14 and at.isdigit() else typed_form(utc, zone), notices)
    if len(at) > _LONGEST_TIME:
        msg = f"{excerpt(at)} is not a time"
        raise InvalidInputError(msg, "14 digits YYYYMMDDHHMMSS")
    # It is printed, and written into files and HISTORY, as it was typed.
    text = legacy_time(plain(at, "time"), zone)
    try:
        typed = parse_stamp(text, zone)
    except InvalidInputError:
        return Asked(None, text)
    # ISO 8601 says which of two occurrences is meant; a stamp does not.
    if text != at:
        return Asked(parse_moment(at, zone).utc, text)
    return Asked(typed.utc, text, () if typed.notice is None else (typed.notice,))


def _as_asked(utc: datetime, policy: Policy, zone: ZoneInfo) -> str:
    """Return T in text; the legacy selector knows nothing but stamps."""
    return stamp_of(utc, zone) if policy == "legacy" else typed_form(utc, zone)


def _without_time(policy: Policy, zone: ZoneInfo, now: datetime) -> Asked:
    if policy == "legacy":
        return Asked(None, None)
    utc = now.replace(microsecond=0)
    notice = f"no time was given: resolved at {typed_form(utc, zone)}, {iso_utc(utc)}"
    return Asked(utc, typed_form(utc, zone), (notice,))


def _resolve_detector(
    source: "Readable",
    detector: str,
    asked: Asked,
    policy: Policy,
    as_of: datetime | None,
    zone: ZoneInfo,
    run: Run | None = None,
) -> Resolution:
    asked_for = parse_detector_id(detector)
    if asked_for.prefix:
        asked_for.require_type(detector_types(source).names)
    names = list(map(str, asked_for.panels))
    guessed: tuple[str, ...] = ()
    if policy == "legacy":
        answers, guessed = _legacy(source, names, asked, as_of, zone)
    elif asked.at is not None:
        answers = assigned_at(source, names, asked.at, as_of)
    else:
        msg = "strict policy needs a moment to resolve at"
        raise InvalidInputError(msg)
    panels = [answer for answer in answers if isinstance(answer, ResolvedPanel)]
    if len(panels) < len(answers):
        missing = [answer for answer in answers if isinstance(answer, Unresolved)]
        raise _no_valid_constants(source, names, missing, asked, policy, as_of, zone)
    require_one_type(panels, asked_for.prefix)
    return Resolution(
        detector=str(asked_for),
        at=asked.at,
        asked=asked.text,
        policy=policy,
        as_of=as_of,
        panels=tuple(panels),
        zone=zone,
        guessed=guessed,
        notices=asked.notices,
        run=run,
    )


def _legacy(
    source: "Readable",
    names: Sequence[str],
    asked: Asked,
    as_of: datetime | None,
    zone: ZoneInfo,
) -> tuple[list[ResolvedPanel | Unresolved], tuple[str, ...]]:
    """Answer as the legacy selector does, and name the panels it had to guess."""
    rows = history(source, names, as_of)
    chosen: dict[int, Assignment] = {}
    answers: list[ResolvedPanel | Unresolved] = []
    for index, name in enumerate(names):
        selected = select_legacy(in_force(rows.get(name, ())), asked.text, zone)
        if selected is None:
            answers.append(Unresolved(index, name))
        else:
            chosen[index] = selected
    answers += holding(source, chosen)
    guessed = {row.panel for row in chosen.values() if is_guess(row, asked.text, zone)}
    return sorted(answers, key=lambda answer: answer.index), tuple(sorted(guessed))


def _no_valid_constants(
    source: "Readable",
    names: Sequence[str],
    missing: Sequence[Unresolved],
    asked: Asked,
    policy: Policy,
    as_of: datetime | None,
    zone: ZoneInfo,
) -> NoValidConstantsError:
    rows = history(source, [answer.panel for answer in missing], as_of)
    current = {name: in_force(found) for name, found in rows.items()}
    when = f"at {asked.text}" if asked.text else "at any time"
    lines = [
        (
            f"no valid constants for {len(missing)} of {count_of(len(names), 'panel')} "
            f"{when} ({policy} policy):"
        )
    ]
    for answer in missing:
        told = _account(current.get(answer.panel, []), asked, zone)
        lines.append(f"  panel {answer.index} {answer.panel}: {told}")
    hint = f"panelcal assign --from T --reason R -- {missing[0].panel} MODULE"
    if policy == "strict":
        legacy = [
            select_legacy(current.get(answer.panel, []), asked.text, zone) for answer in missing
        ]
        if all(row is not None and row.module is not None for row in legacy):
            hint = "--policy legacy would answer with the first assignment of each panel"
    return NoValidConstantsError("\n".join(lines), hint, [answer.panel for answer in missing])


def _account(current: Sequence[Assignment], asked: Asked, zone: ZoneInfo) -> str:
    """Say what there is of a panel without an answer."""
    if not current:
        return "never assigned"
    if asked.at is None:
        # Only legacy policy goes without a moment, and it found a withdrawal.
        withdrawal = select_legacy(current, asked.text, zone) or current[-1]
        return f"withdrawn from {withdrawal.starts(zone)}"
    before, after = nearest(current, asked.at, zone)
    return f"nearest before: {before}; nearest after: {after}"
