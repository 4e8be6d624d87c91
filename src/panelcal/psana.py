"""From psana's objects to ids and run rows: what ``id_jungfrau`` gave, and what it needs.

psana itself is not needed: its objects are taken as they are, by the methods
that they have (spec §§1, 10). Only `run_fields_of` asks it for the key of an
event's time.

Examples
--------
In a psana session, with a store that knows the panels::

    import psana
    from panelcal.psana import id_jungfrau

    env = psana.DataSource("exp=xcsls3716:run=631").env()
    id_jungfrau(env, "Jungfrau.0")  # '170505-149520170815-3d00b0_170505-...'
    id_jungfrau(env, "Jungfrau.0", iseg=1)  # '170505-149520170815-3d00f7'

To register the run::

    with panelcal.open_store("store") as store:
        data_source = psana.DataSource("exp=xcsls3716:run=631")
        store.add_run(run_fields_of(data_source, "exp=xcsls3716:run=631", "Jungfrau.0"))
"""

import importlib
import operator
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from panelcal.domain.ids import FIELD_NAMES, DetectorId, PanelId
from panelcal.domain.moments import aware_utc, iso_utc
from panelcal.domain.runs import match_sources, parse_dataset, parse_source
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError, NotFoundError
from panelcal.services.runs import RunFields

FIRST_VERSION_WITH_NUMBERS = 3
"""ConfigV1 and ConfigV2 have no numbers, and so no panel ids (spec §1)."""

_CONFIGURATION = re.compile(r"Jungfrau[._]?ConfigV(?P<version>[0-9]+)\Z", re.ASCII)
_SOURCE = re.compile(r"Source\((?P<quote>[\"'])(?P<inner>.*)(?P=quote)\)\Z", re.DOTALL)
_DET_INFO = re.compile(r"DetInfo\((?P<inner>.*)\)\Z", re.DOTALL)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def panel_id(module_config: Any) -> PanelId:
    """Return the id of one panel of a configuration object.

    Parameters
    ----------
    module_config : psana.Jungfrau.ModuleConfigV1
        What ``config.moduleConfig(i)`` gives: it has ``moduleVersion()``,
        ``firmwareVersion()`` and ``serialNumber()``, 64-bit integers.

    Raises
    ------
    InvalidInputError
        A number is no integer or does not fit 64 bits.

    Examples
    --------
    ::

        config = env.configStore().get(psana.Jungfrau.ConfigV3, source)
        str(panel_id(config.moduleConfig(0)))  # '171113-154920171025-3d00fb'
    """
    numbers = [
        _integer(getattr(module_config, name)(), f"{name}() of the configuration object")
        for name in FIELD_NAMES
    ]
    return PanelId(*numbers)


def detector_id(config: Any, source: Any, segment: int | None = None) -> str:
    """Return the id of a detector, or of one of its panels.

    Parameters
    ----------
    config : psana.Jungfrau.ConfigV1, ... ConfigV4
        The configuration object; ``Version``, ``numberOfModules()`` and
        ``moduleConfig(i)`` are used.
    source : str, psana.Source or psana.DetInfo
        Its source, for ConfigV1 and V2.
    segment : int or None
        Panel index from 0; None is the whole detector.

    Returns
    -------
    str
        A panel id or the detector id. ConfigV1 and V2 have no numbers; for them
        it is the source name with ``-`` for ``:`` (spec §1).

    Raises
    ------
    NotFoundError
        There is no such segment.
    InvalidInputError
        The configuration object has no modules, or numbers of no panel.

    Examples
    --------
    ::

        config = env.configStore().get(psana.Jungfrau.ConfigV3, source)
        detector_id(config, source)  # '171113-154920171025-3d00fb' for one panel
    """
    if not _has_numbers(config):
        return _source_text(source).replace(":", "-")
    panels = _panels(config)
    if segment is None:
        return str(DetectorId("", panels))
    if not 0 <= segment < len(panels):
        msg = f"{_source_text(source)} has no segment {segment}"
        raise NotFoundError(msg, f"its segments are 0 to {len(panels) - 1}")
    return str(panels[segment])


def id_jungfrau(env: Any, source: Any, iseg: int | None = None) -> str:
    """Return the id of a jungfrau of the data that is being read.

    Parameters
    ----------
    env : psana.Env
        ``data_source.env()``.
    source : str, psana.Source or psana.DetInfo
        All or part of ``MfxEndstation.0:Jungfrau.0``, upper and lower case told
        apart; only if that matches nothing, a DAQ alias, ``jungfrau1M`` (spec §10).
    iseg : int or None
        Panel index from 0; None is the whole detector.

    Returns
    -------
    str
        As `detector_id`; where a source has several configuration objects, that
        of the newest version.

    Raises
    ------
    NotFoundError
        No jungfrau matches, or it has no such segment.
    InvalidInputError
        Several match, and none by its full name. Legacy takes whichever comes
        first.

    Examples
    --------
    ::

        env = psana.DataSource("exp=xpptut15:run=430").env()
        id_jungfrau(env, "MfxEndstation.0:Jungfrau.0", iseg=0)
    """
    found = _configured(env, source)
    return detector_id(found.config, found.source, iseg)


def run_fields(
    dataset: str,
    source: Any,
    config: Any,
    begin: datetime | tuple[int, int],
    modules: Sequence[str] = (),
) -> RunFields:
    """Return a run row as it can be registered, from a configuration object.

    Parameters
    ----------
    dataset : str
        ``exp=xcsls3716:run=631``.
    source : str, psana.Source or psana.DetInfo
        The full source name, ``XcsEndstation.0:Jungfrau.0``.
    config : psana.Jungfrau.ConfigV1, ... ConfigV4
        Its configuration object.
    begin : datetime or (int, int)
        When the run began: an aware datetime, or seconds and nanoseconds since
        1970 UTC as ``psana.EventId.time()`` gives them. Fractions of a second
        are dropped, as of any run's begin.
    modules : sequence of str
        ``M088``, ``M068@2``: the modules in segment order, where ConfigV1 or V2
        has no numbers. They may be left out.

    Raises
    ------
    InvalidInputError
        The dataset, the source or the begin is malformed, or there are modules
        beside panel ids.
    """
    named = parse_dataset(dataset)
    has_numbers = _has_numbers(config)
    if has_numbers and modules:
        msg = f"{dataset}: modules are declared, but the configuration object names its panels"
        raise InvalidInputError(msg, "leave the modules out; the ledger says what a panel uses")
    return RunFields(
        experiment=named.experiment,
        run=str(named.run),
        source=parse_source(_source_text(source)),
        begin=iso_utc(_moment(begin).replace(microsecond=0)),
        detector_id=detector_id(config, source) if has_numbers else "",
        modules=" ".join(modules),
    )


def run_fields_of(data_source: Any, dataset: str, source: Any) -> RunFields:
    """Return a run row as it can be registered, from the data themselves.

    The run begins with its first event. Needs psana, for ``psana.EventId``.

    Parameters
    ----------
    data_source : psana.DataSource
        Opened on the dataset; one event of it is read.
    dataset : str
        ``exp=xcsls3716:run=631``.
    source : str, psana.Source or psana.DetInfo
        As `id_jungfrau`.

    Raises
    ------
    NotFoundError
        No jungfrau matches.
    InvalidInputError
        There is no psana or no event, several detectors match, or the dataset
        is malformed.

    Examples
    --------
    ::

        data_source = psana.DataSource("exp=xcsls3716:run=631")
        run_fields_of(data_source, "exp=xcsls3716:run=631", "Jungfrau.0")
    """
    found = _configured(data_source.env(), source)
    return run_fields(dataset, found.source, found.config, _first_time(data_source, dataset))


@dataclass(frozen=True, slots=True)
class _Configured:
    """A source with a configuration object of the data that is being read."""

    source: str
    config: Any


@dataclass(frozen=True, slots=True)
class _Key:
    """What an event key of a jungfrau's configuration says."""

    source: str
    alias: str
    version: int
    key: Any


def _configured(env: Any, source: Any) -> _Configured:
    """Return the source that is meant and its newest configuration object."""
    store = env.configStore()
    keys = list(_jungfrau_keys(store.keys()))
    name = _chosen(_source_text(source), keys)
    of_source = [key for key in keys if key.source == name]
    for key in sorted(of_source, key=lambda key: key.version, reverse=True):
        config = store.get(key.key.type(), key.key.src())
        if config is not None:
            return _Configured(name, config)
    msg = f"{name} is among the configuration keys, but its configuration object is not there"
    raise NotFoundError(msg)


def _jungfrau_keys(keys: Iterable[Any]) -> Iterable[_Key]:
    """Pick ``psana.Jungfrau.ConfigV<n>``; what psana cannot convert has no type."""
    for key in keys:
        kind = key.type()
        named = "" if kind is None else f"{kind.__module__}.{kind.__qualname__}"
        found = _CONFIGURATION.search(named)
        if found:
            yield _Key(_source_text(key.src()), key.alias() or "", int(found["version"]), key)


def _chosen(wanted: str, keys: Sequence[_Key]) -> str:
    """Return the one source that is meant: by its name, only then by its alias (spec §10)."""
    found = match_sources(wanted, [key.source for key in keys])
    if not found:
        found = sorted({key.source for key in keys if key.alias == wanted})
    if len(found) == 1:
        return found[0]
    if not found:
        msg = f"no jungfrau of these data matches {excerpt(wanted)}"
        known = ", ".join(sorted({f"{key.source} {key.alias}".strip() for key in keys}))
        raise NotFoundError(msg, f"they have: {known}" if known else "they have none")
    msg = f"{excerpt(wanted)} matches {len(found)} detectors: {', '.join(found)}"
    raise InvalidInputError(msg, "give the full name of one")


def _first_time(data_source: Any, dataset: str) -> tuple[int, int]:
    """Return when the first event was taken: seconds and nanoseconds since 1970 UTC."""
    try:
        event_id_type = importlib.import_module("psana").EventId
    except ImportError as error:
        msg = "psana is not installed here, and events tell their time only to it"
        raise InvalidInputError(msg, "give run_fields the begin of the run") from error
    for event in data_source.events():
        event_id = event.get(event_id_type)
        if event_id is not None:
            seconds, nanoseconds = event_id.time()
            return seconds, nanoseconds
    msg = f"{dataset} has no event with a time"
    raise InvalidInputError(msg, "give run_fields the begin of the run")


def _has_numbers(config: Any) -> bool:
    return hasattr(config, "moduleConfig") and config.Version >= FIRST_VERSION_WITH_NUMBERS


def _panels(config: Any) -> tuple[PanelId, ...]:
    panels = tuple(panel_id(config.moduleConfig(i)) for i in range(config.numberOfModules()))
    if not panels:
        msg = "the configuration object has no modules"
        raise InvalidInputError(msg)
    return panels


def _source_text(source: Any) -> str:
    """Return the source name in what psana prints: ``Source("DetInfo(...)")``."""
    text = str(source)
    for wrapping in (_SOURCE, _DET_INFO):
        wrapped = wrapping.match(text)
        text = wrapped["inner"] if wrapped else text
    return text


def _moment(begin: datetime | tuple[int, int]) -> datetime:
    """Return the begin of a run in UTC."""
    if isinstance(begin, datetime):
        return aware_utc(begin)
    seconds, nanoseconds = (_integer(part, "the time of an event") for part in begin)
    if not 0 <= nanoseconds < 10**9:
        msg = f"the time of an event has {nanoseconds} nanoseconds beside its seconds"
        raise InvalidInputError(msg, "(seconds, nanoseconds) as psana.EventId.time() gives them")
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        msg = f"{seconds} s since 1970 lie outside the years 1 to 9999"
        raise InvalidInputError(msg) from error


def _integer(value: Any, what: str) -> int:
    """Return an integer, whatever class it came in."""
    try:
        return operator.index(value)
    except TypeError as error:
        msg = f"{what} is {excerpt(str(value))}, not an integer"
        raise InvalidInputError(msg) from error
