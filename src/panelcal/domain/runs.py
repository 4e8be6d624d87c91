"""Runs: datasets, sources, and how people name them."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from panelcal.domain.seal import BrokenSeal
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError, NotFoundError

_DATASET = re.compile(
    # How psana is to read the events says nothing of which run it is.
    r"(exp=)?(?P<experiment>[^:=]*):run=(?P<run>[^:]*)(:(smd|idx))?\Z",
    re.DOTALL,
)
_EXPERIMENT = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,31}\Z", re.ASCII)
_RUN = re.compile(r"[0-9]{1,9}\Z", re.ASCII)
_SOURCE = re.compile(
    r"(?P<place>[A-Za-z][A-Za-z0-9_]*\.[0-9]+)[:-](?P<device>[A-Za-z][A-Za-z0-9_]*\.[0-9]+)\Z",
    re.ASCII,
)
MAX_SOURCE = 128
_DET_INFO = re.compile(r"DetInfo\((?P<source>.*)\)\Z", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Dataset:
    """An experiment and a run: ``exp=xcsls3716:run=631``."""

    experiment: str
    run: int

    def __str__(self) -> str:
        return f"exp={self.experiment}:run={self.run}"

    @property
    def instrument(self) -> str:
        """The experiment's first three letters, upper case (design §5)."""
        return instrument_of(self.experiment)


@dataclass(frozen=True, slots=True)
class Run:
    """One source of one run, as registered.

    Parameters
    ----------
    dataset : Dataset
        Experiment and run number.
    source : str
        Full source name, ``XcsEndstation.0:Jungfrau.0``.
    begin : datetime or None
        When the run began, UTC; None where nobody has said.
    detector_id : str or None
        Panel ids in segment order (ConfigV3 and later).
    modules : tuple of str
        Declared modules, ``M088`` or ``M088@2``, where the configuration object
        has no numbers (ConfigV1 and V2). A module without a revision means its
        first delivery, so that a re-delivery changes no answer.
    note : str
        Where the row's facts come from.
    recorded_at : datetime
        When the row was recorded, UTC.
    recorded_by : str
        Who recorded it.
    broken : BrokenSeal or None
        Its row is not as it was recorded.
    """

    dataset: Dataset
    source: str
    begin: datetime | None
    detector_id: str | None
    modules: tuple[str, ...]
    note: str
    recorded_at: datetime
    recorded_by: str
    broken: BrokenSeal | None = field(default=None, compare=False, repr=False)

    @property
    def legacy_id(self) -> str:
        """What ``id_jungfrau`` gives: the detector id, or the source with ``-`` for ``:``."""
        return self.detector_id or self.source.replace(":", "-")


def instrument_of(experiment: str) -> str:
    """Return the instrument of an experiment: ``XCS`` of ``xcsls3716``."""
    return experiment[:3].upper()


def parse_experiment(text: str) -> str:
    """Return an experiment name.

    Raises
    ------
    InvalidInputError
        Not a letter followed by 2 to 31 letters, digits or underscores.
    """
    if not _EXPERIMENT.match(text):
        msg = f"{excerpt(text)} is not an experiment name"
        raise InvalidInputError(msg, "letters and digits, such as xcsls3716")
    return text


def parse_run_number(text: str) -> int:
    """Return a run number.

    Raises
    ------
    InvalidInputError
        Not 1 to 9 digits.
    """
    if not _RUN.match(text):
        msg = f"{excerpt(text)} is not a run number"
        raise InvalidInputError(msg, "one run, such as 631")
    return int(text)


def is_dataset(text: str) -> bool:
    """Say whether an argument is meant as a dataset and not as a detector id."""
    return "=" in text or ":" in text


def parse_dataset(text: str) -> Dataset:
    """Read ``exp=xcsls3716:run=631``; the page also writes it without ``exp=``.

    psana's ``:smd`` or ``:idx`` at the end is dropped.

    Raises
    ------
    InvalidInputError
        The text is not of that form.
    """
    found = _DATASET.match(text)
    if not found:
        msg = f"{excerpt(text)} is not a dataset"
        raise InvalidInputError(msg, "exp=EXPERIMENT:run=NUMBER, one run")
    return Dataset(parse_experiment(found["experiment"]), parse_run_number(found["run"]))


def parse_source(text: str) -> str:
    """Return the full source name ``<place>.<n>:<device>.<m>``.

    ``DetInfo(...)`` around it is dropped and the dash that replaces the colon
    in ids is read as a colon.

    Raises
    ------
    InvalidInputError
        The text is not a full source name.
    """
    inner = _DET_INFO.match(text)
    found = _SOURCE.match(inner["source"] if inner else text)
    if not found or len(text) > MAX_SOURCE:
        msg = f"{excerpt(text)} is not a full source name"
        raise InvalidInputError(msg, "PLACE.N:DEVICE.M, such as XcsEndstation.0:Jungfrau.0")
    return f"{found['place']}:{found['device']}"


def match_sources(pattern: str, sources: Iterable[str]) -> list[str]:
    """Return the sources that a typed pattern means.

    The full name wins; then a whole side of the colon; then, as legacy, any
    substring, case-sensitive (spec §10), that does not end inside a number.
    """
    known = sorted(set(sources))
    inner = _DET_INFO.match(pattern)
    wanted = inner["source"] if inner else pattern
    dashed = _SOURCE.match(wanted)
    full = f"{dashed['place']}:{dashed['device']}" if dashed else wanted
    if full in known:
        return [full]
    whole = [source for source in known if wanted in source.split(":")]
    if len(wanted) > MAX_SOURCE:
        return []
    # A number is not part of a longer one: Jungfrau.1 is never Jungfrau.10.
    partly = re.compile(re.escape(wanted) + ("(?![0-9])" if wanted[-1:].isdigit() else ""))
    return whole or [source for source in known if partly.search(source)]


def choose_source(pattern: str | None, sources: Sequence[str], dataset: Dataset) -> str:
    """Return the one source of a run that a pattern means.

    Raises
    ------
    NotFoundError
        No source matches.
    InvalidInputError
        Several match; the message lists them.
    """
    found = match_sources(pattern or "", sources)
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"{dataset} has no source that matches {excerpt(pattern or '')}"
        raise NotFoundError(msg, f"it has: {', '.join(sorted(sources))}")
    matches = ", ".join(found)
    if pattern:
        msg = f"{excerpt(pattern)} matches {len(found)} sources of {dataset}: {matches}"
    else:
        msg = f"{dataset} has {len(found)} sources: {matches}"
    raise InvalidInputError(msg, "name one with -s")


def nearest_names(wanted: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that look like the wanted one."""
    return difflib.get_close_matches(wanted, sorted(set(known)), n=3, cutoff=0.6)


def nearest_runs(wanted: int, known: Iterable[int]) -> list[int]:
    """Return up to three registered run numbers next to the wanted one, ascending."""
    return sorted(sorted(set(known), key=lambda run: abs(run - wanted))[:3])


def run_ranges(numbers: Iterable[int]) -> str:
    """Return run numbers as people write them: ``12-14, 40``."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][-1] == number - 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, one)) for one in ranges)
