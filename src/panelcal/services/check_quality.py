"""Check: judge recorded constant sets, or a directory that is still to be delivered."""

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from panelcal.domain.deliveries import parse_module_name, parse_module_reference
from panelcal.domain.findings import Severity
from panelcal.domain.quality import Plane, Verdict
from panelcal.domain.quality_checks import plane_numbers
from panelcal.domain.report import Progress
from panelcal.domain.text import count_of, printable
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.delivery import read_delivery
from panelcal.services.judge import Background, judge_payloads, read_arrays, read_background
from panelcal.services.type_choice import TypeChoice
from panelcal.storage.modules import (
    ConstantSet,
    constant_sets,
    find_constant_set,
    types_of_modules,
)
from panelcal.storage.quality import add_verdict, last_verdicts
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types


@dataclass(frozen=True)
class Judged:
    """A verdict, and what it is about.

    Parameters
    ----------
    name : str
        ``M044@2``, or the path of a directory.
    constant_set : ConstantSet or None
        What was judged, if it is recorded.
    verdict : Verdict
        What the rules of now say.
    """

    name: str
    constant_set: ConstantSet | None
    verdict: Verdict

    def document(self) -> dict[str, Any]:
        """Return the verdict as ``--json`` prints it."""
        one = self.constant_set
        return {
            "name": self.name,
            "module": None if one is None else one.module,
            "revision": None if one is None else one.revision,
            "rules_digest": self.verdict.rules_digest,
            "accepted": self.verdict.accepted,
            "findings": [finding.document() for finding in self.verdict.findings],
        }


@dataclass(frozen=True)
class CheckReport:
    """What the rules say of everything that was looked at.

    Parameters
    ----------
    judged : tuple of Judged
        By module and revision.
    recorded : bool
        The verdicts were recorded.
    unknown : tuple of str
        Modules whose latest constant set was never judged: they are no part of the
        population, and copies of them are found by their digests alone.
    """

    judged: tuple[Judged, ...]
    recorded: bool
    unknown: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if there are errors that nobody accepted, 0 if not."""
        return 1 if any(one.verdict.is_open for one in self.judged) else 0

    @property
    def summary(self) -> str:
        """All counts in one line."""
        findings = [one for judged in self.judged for one in judged.verdict.findings]
        errors = sum(one.severity == Severity.ERROR for one in findings)
        kept = "; recorded" if self.recorded else ""
        return (
            f"{count_of(len(self.judged), 'delivery', 'deliveries')} judged: "
            f"{count_of(errors, 'error')}, {count_of(len(findings) - errors, 'warning')}{kept}"
        )

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "recorded": self.recorded,
            "exit_code": self.exit_code,
            "unknown": list(self.unknown),
            "judged": [one.document() for one in self.judged],
        }


def check(
    store: OpenStore,
    target: str | None,
    *,
    now: datetime,
    user: str,
    everything: bool = False,
    module: str | None = None,
    record: bool = False,
    cast: bool = False,
    detector_type: str | None = None,
    progress: Progress | None = None,
) -> CheckReport:
    """Judge constant sets by the rules of now.

    Errors that were accepted stay so, as long as there are no others.

    Parameters
    ----------
    target : str or None
        ``M044``, its latest revision, ``M044@1``, or a directory as for
        `panelcal.services.modules.deliver`. A text without a slash that names a
        module of the store is that module.
    everything : bool
        Instead of a target: every revision of every module. Numbers of sets that were
        never judged are computed, so that all are compared with all modules.
    module : str or None
        Of a directory: the module that it is a delivery for.
    record : bool
        Record the verdicts. Not of a directory.
    cast : bool
        Of a directory: round to float32 where that loses bits.
    detector_type : str or None
        Of a directory: its type, as for `panelcal.services.modules.deliver`.
    progress : callable or None
        Told after each constant set.

    Raises
    ------
    InvalidInputError
        The request contradicts itself; or a file of the directory is unacceptable.
    NotFoundError
        There is no such module, revision or directory.
    IntegrityError
        A constant set or a payload is not as it was recorded.
    """
    if (target is None) != everything:
        msg = "name one module or directory, or everything, and not both"
        raise InvalidInputError(msg, "panelcal module check M044, or panelcal module check --all")
    with store.database.reading() as connection:
        directory = None if target is None else _directory(target, types_of_modules(connection))
        choice = TypeChoice(connection, detector_type)
        types = detector_types(connection) if directory is None else [choice.of_module(module)]
        backgrounds = {one.name: read_background(connection, one) for one in types}
        sets = constant_sets(connection)
    if directory is not None:
        [background] = backgrounds.values()
        if record:
            msg = f"{printable(directory)} is a directory: there is nothing recorded to judge"
            raise InvalidInputError(msg, "panelcal module add records it with its verdict")
        judged = [_of_directory(store, background, directory, module, cast=cast)]
        return CheckReport(tuple(judged), recorded=False, unknown=_unknown(background, module))
    if module is not None or cast or detector_type is not None:
        msg = (
            "--for, --cast and --detector-type are about a directory that is still to be delivered"
        )
        raise InvalidInputError(msg)
    if target is None:
        backgrounds = {name: _completed(store, one, progress) for name, one in backgrounds.items()}
    else:
        sets = [find_constant_set(store.database.reader, *parse_module_reference(target))]
    judged = []
    for done, one in enumerate(sets, start=1):
        judged.append(_of_set(store, backgrounds[one.detector_type], one))
        if progress is not None:
            progress(done, len(sets), one.module)
    if record:
        _record(store, judged, now, user)
    own = None if target is None else sets[0].module
    others = [_unknown(backgrounds[name], own) for name in {one.detector_type for one in sets}]
    return CheckReport(tuple(judged), record, tuple(sorted(chain.from_iterable(others))))


def _directory(target: str, modules: Collection[str]) -> Path | None:
    """Return the directory that is meant, None where a module is."""
    if os.sep in target or target in {os.curdir, os.pardir}:
        path = Path(target)
        if not path.is_dir():
            msg = f"{printable(path)} is not a directory"
            raise NotFoundError(msg)
        return path
    if target.partition("@")[0] in modules:
        return None
    return Path(target) if Path(target).is_dir() else None


def _of_directory(
    store: OpenStore, background: Background, directory: Path, module: str | None, *, cast: bool
) -> Judged:
    if module is not None:
        parse_module_name(module)
    delivery = read_delivery(directory, background.detector_type, cast=cast)
    verdict = judge_payloads(
        store.database.reader, store.payloads, background, delivery.payloads, module
    )
    return Judged(printable(directory), None, verdict)


def _of_set(store: OpenStore, background: Background, one: ConstantSet) -> Judged:
    reader = store.database.reader
    [(name, arrays)] = read_arrays(reader, store.payloads, [one]).items()
    verdict = judge_payloads(reader, store.payloads, background, arrays, one.module, one.revision)
    before = last_verdicts(reader, {one.id}).get(one.id)
    accepted = verdict.still_accepted(None if before is None else before.verdict)
    return Judged(name, one, replace(verdict, accepted=accepted))


def _completed(store: OpenStore, background: Background, progress: Progress | None) -> Background:
    """Return the background with the numbers of every module's latest constant set."""
    missing = [one for one in background.latest.values() if one.id not in background.planes]
    planes: dict[int, Sequence[Plane]] = dict(background.planes)
    for done, one in enumerate(missing, start=1):
        [arrays] = read_arrays(store.database.reader, store.payloads, [one]).values()
        planes[one.id] = plane_numbers(arrays)
        if progress is not None:
            progress(done, len(missing), f"{one.module}, its numbers")
    return replace(background, planes=planes)


def _unknown(background: Background, module: str | None) -> tuple[str, ...]:
    return tuple(
        name
        for name, one in background.latest.items()
        if name != module and one.id not in background.planes
    )


def _record(store: OpenStore, judged: Sequence[Judged], now: datetime, user: str) -> None:
    with store.database.writing() as connection:
        at = recording_time(connection, now)
        for one in judged:
            if one.constant_set is not None:
                add_verdict(connection, one.constant_set.id, one.verdict, now=at, user=user)
