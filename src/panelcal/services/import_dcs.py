"""Import DCS files: what readers choose, time after time, becomes assignments."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from panelcal.domain.digest import digest_of
from panelcal.domain.kinds import DetectorType
from panelcal.domain.moments import iso_utc, moment_of
from panelcal.domain.report import ImportReport, Line, Progress, Status
from panelcal.domain.text import printable
from panelcal.errors import ConflictError, IntegrityError, InvalidInputError
from panelcal.exporters.dcs_open import require_h5py
from panelcal.exporters.dcs_versions import DcsRange, DcsVersion, choose_version
from panelcal.services.attribution import Attribution
from panelcal.services.dcs_values import DcsContents, DcsValues, Key, key_of, read_dcs_contents
from panelcal.services.record_attributions import record_attributions
from panelcal.services.stated import StatedPanel, require_token, stated_panels
from panelcal.services.upload import begin_seconds
from panelcal.storage.store import OpenStore
from panelcal.storage.types import detector_types

LEGACY_BEGIN = 1_500_000_000
"""The T of every ``dcs add`` line that the legacy command prints (spec §11)."""

LAST_SECOND = 253_402_214_400
"""9999-12-31 00:00 UTC: what begins later has no stamp in some time zone."""

NOT_CHOSEN = "readers do not choose it"

Chosen = Mapping[str, DcsVersion | None]
"""The version that readers choose, by kind."""


@dataclass(slots=True)
class _Account:
    """What is learnt from one file."""

    contents: DcsContents
    detector_type: DetectorType
    zone: ZoneInfo
    attributions: list[Attribution] = field(default_factory=list)
    assigned: set[Key] = field(default_factory=set)
    problems: dict[str, str] = field(default_factory=dict)


def import_dcs(
    store: OpenStore,
    paths: Sequence[Path],
    *,
    now: datetime,
    user: str,
    dry_run: bool = False,
    skip_bad: bool = False,
    supersede: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Bring DCS files into the store: everything, or nothing.

    Each change of what readers choose for a time is an assignment of every panel
    from then on; where they find nothing any more, a withdrawal. Versions that
    they do not choose are kept as constant sets that no panel uses. Importing
    the same files again adds nothing.

    Parameters
    ----------
    paths : sequence of Path
        ``jungfrau-<detector id>.h5``; the device in the name tells the detector type.
    dry_run : bool
        Read and judge everything, change nothing.
    skip_bad : bool
        Leave out what is refused or in conflict and take the rest.
    supersede : bool
        Record what differs from the ledger as corrections.
    progress : callable or None
        Told after each file read.

    Returns
    -------
    ImportReport
        Every version of the files and what became of it, with a line for each
        panel and start that it was attributed to.

    Raises
    ------
    InvalidInputError
        h5py is not installed.
    IntegrityError
        A payload is damaged, or cannot be written or read back.
    """
    require_h5py()
    with store.database.reading() as connection:
        types = detector_types(connection)
    attributions: list[Attribution] = []
    lines: list[Line] = []
    with store.payloads.batch() as batch:
        keep = digest_of if dry_run else batch.add
        for done, path in enumerate(dict.fromkeys(paths), start=1):
            detector_type = types.of_dcs_file(path.name)
            try:
                contents = read_dcs_contents(path, detector_type, keep)
            except (InvalidInputError, IntegrityError, ConflictError) as error:
                lines.append(Line(printable(path), Status.REFUSED, "", printable(error.message)))
                continue
            account = _Account(contents, detector_type, store.zone)
            _follow_time(account)
            _keep_others(account)
            attributions += account.attributions
            lines += contents.lines
            if progress is not None:
                progress(done, len(paths), path.name)
        return record_attributions(
            store,
            batch,
            attributions,
            lines,
            now=now,
            user=user,
            dry_run=dry_run,
            skip_bad=skip_bad,
            supersede=supersede,
        )


def _follow_time(account: _Account) -> None:
    """Go through the seconds at which readers may choose something else."""
    file = account.contents.file
    kinds = [kind.name for kind in account.detector_type.kinds]
    last: dict[str, DcsValues] = {}
    for second in _turns(account, kinds):
        chosen = {
            kind: choose_version(file.versions, kind, float(second), empty_ranges=file.empty_ranges)
            for kind in kinds
        }
        found = {
            kind: account.contents.values[key_of(version)]
            for kind, version in chosen.items()
            if version is not None and key_of(version) in account.contents.values
        }
        if len(found) < len(kinds):
            ends = _note_lacking(account, chosen, found)
            if last:
                account.attributions += _withdrawals(account, last, second, ends)
            last = {}
        elif found != last:
            account.attributions += _assignments(account, found, second)
            account.assigned |= {key_of(one.version) for one in found.values()}
            last = found


def _turns(account: _Account, kinds: Sequence[str]) -> list[int]:
    """Return the seconds at which a range of these kinds begins or has ended."""
    file = account.contents.file
    turns: set[int] = set()
    ranges: list[DcsRange | DcsVersion] = [*file.versions, *file.empty_ranges]
    for span in ranges:
        if span.ctype not in kinds:
            continue
        if not span.begin <= LAST_SECOND:
            if isinstance(span, DcsVersion):
                name = account.contents.name_of(span)
                account.problems[name] = "it begins later than stamps can say"
            continue
        turns.add(_first_second(span.begin))
        if span.end is not None and span.end < LAST_SECOND:
            turns.add(max(0, math.floor(span.end) + 1))
    return sorted(turns)


def _first_second(begin: float) -> int:
    """Return the first whole second of a range; there is none before 0, the beginning."""
    return max(0, math.ceil(begin))


def _moment(second: int) -> datetime | None:
    return moment_of(second * 1_000_000) if second else None


def _note_lacking(account: _Account, chosen: Chosen, found: Mapping[str, DcsValues]) -> str:
    """Say why what readers choose for a time is no whole answer."""
    for kind, version in chosen.items():
        if kind not in found:
            told = f"no {kind} is read with it"
            if version is not None:
                told = f"{account.contents.name_of(version)}, which is read with it, is refused"
            account.problems |= {one.name: told for one in found.values()}
    if not found:
        return "then readers find nothing"
    return f"then readers find {', '.join(found)} alone"


def _assignments(
    account: _Account, found: Mapping[str, DcsValues], second: int
) -> Iterator[Attribution]:
    begins = {_first_second(one.version.begin) for one in found.values()}
    stated, notices = _stated(account, found)
    if second == LEGACY_BEGIN and second in begins:
        told = iso_utc(moment_of(LEGACY_BEGIN * 1_000_000))
        notices.append(f"{told} is what the legacy command says for every upload")
    if not all(one.version.begin.is_integer() for one in found.values()):
        notices.append("its begin is no whole second; taken as the next")
    learnt = "what readers choose from then on"
    if second not in begins:
        learnt = "what readers choose again, another range having ended"
    for segment in range(len(account.contents.detector.panels)):
        said = stated[segment] if stated else None
        start = _moment(second)
        own_start = said is not None and second in begins and said.valid_from != start
        if said is not None and own_start:
            yield _attribution(
                account, found, segment, said.valid_from, learnt, said=said, notices=notices
            )
        yield _attribution(
            account,
            found,
            segment,
            start,
            learnt,
            said=said,
            notices=notices,
            # The panel has had these values for longer, unless other ranges say otherwise.
            is_repeat=own_start,
        )


def _stated(
    account: _Account, found: Mapping[str, DcsValues]
) -> tuple[tuple[StatedPanel, ...], list[str]]:
    """Take what versions say of themselves, where they agree with each other and the range."""
    provenances = {kind: one.provenance for kind, one in found.items() if one.provenance}
    if not provenances:
        return (), []
    try:
        if len(provenances) < len(found):
            msg = "the other kind was not exported with it"
            raise InvalidInputError(msg)
        panels = stated_panels(provenances, account.detector_type, account.zone)
        require_token(provenances, account.zone)
        if tuple(one.panel for one in panels) != account.contents.detector.panels:
            msg = "it is of another detector"
            raise InvalidInputError(msg)
        begin = begin_seconds(one.valid_from for one in panels)
        if {begin} != {_first_second(one.version.begin) for one in found.values()}:
            msg = "its range begins at another time"
            raise InvalidInputError(msg)
    except InvalidInputError as error:
        return (), [f"what it says of itself is not believed: {error.message}"]
    return panels, []


def _withdrawals(
    account: _Account, last: Mapping[str, DcsValues], second: int, ends: str
) -> Iterator[Attribution]:
    for panel in account.contents.detector.panels:
        yield Attribution(
            names=tuple(one.name for one in last.values()),
            where=_where(account),
            detector_type=account.detector_type,
            panel=panel,
            valid_from=_moment(second),
            values={},
            learnt=f"its range has ended, {ends}: a withdrawal",
        )


def _attribution(
    account: _Account,
    found: Mapping[str, DcsValues],
    segment: int,
    start: datetime | None,
    learnt: str,
    *,
    said: StatedPanel | None,
    notices: Sequence[str],
    is_assigned: bool = True,
    is_repeat: bool = False,
) -> Attribution:
    own = dict.fromkeys(notice for one in found.values() for notice in one.notices)
    return Attribution(
        names=tuple(one.name for one in found.values()),
        where=_where(account),
        detector_type=account.detector_type,
        panel=account.contents.detector.panels[segment],
        valid_from=start,
        values={kind: one.values[segment] for kind, one in found.items()},
        learnt=learnt,
        told=_produced(found),
        stated=None if said is None else said.stated,
        is_assigned=is_assigned,
        is_repeat=is_repeat,
        notices=(*notices, *own),
    )


def _where(account: _Account) -> str:
    return printable(account.contents.file.path.absolute().parent)


def _produced(found: Mapping[str, DcsValues]) -> str:
    """Say when the versions were added."""
    times = [one.version.produced for one in found.values()]
    known = [time for time in times if time is not None and 0 <= time < LAST_SECOND]
    if not known:
        return ""
    return f"added to the file at {iso_utc(moment_of(int(max(known)) * 1_000_000))}"


def _keep_others(account: _Account) -> None:
    """Keep versions that readers do not choose, and say why others are left out."""
    contents = account.contents
    kinds = [kind.name for kind in account.detector_type.kinds]
    told = set(account.assigned)
    for place in dict.fromkeys(key[1:] for key in contents.values):
        found = {
            kind: contents.values[kind, *place]
            for kind in kinds
            if (kind, *place) in contents.values
        }
        keys = {key_of(one.version) for one in found.values()}
        is_bad = any(one.name in account.problems for one in found.values())
        if len(found) == len(kinds) and not is_bad and not keys <= account.assigned:
            account.attributions += _unassigned(account, found)
            told |= keys
    for key, one in contents.values.items():
        if one.name in account.problems:
            reason = account.problems[one.name]
            contents.lines.append(Line(one.name, Status.REFUSED, "", reason))
        elif key not in told:
            seen = "recovered: legacy readers never saw it" if one.version.recovered else NOT_CHOSEN
            reason = f"{seen}; there is no other kind of its range and version"
            contents.lines.append(Line(one.name, Status.IGNORED, "", reason))


def _unassigned(account: _Account, found: Mapping[str, DcsValues]) -> Iterator[Attribution]:
    stated, doubts = _stated(account, found)
    recovered = any(one.version.recovered for one in found.values())
    seen = "recovered: legacy readers never saw it" if recovered else NOT_CHOSEN
    notices = [f"{seen}; assign it with panelcal assign", *doubts]
    begin = min(one.version.begin for one in found.values())
    for segment in range(len(account.contents.detector.panels)):
        yield _attribution(
            account,
            found,
            segment,
            _moment(_first_second(begin)),
            "",
            said=stated[segment] if stated else None,
            notices=notices,
            is_assigned=False,
        )
