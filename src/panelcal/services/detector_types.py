"""Detector types: add one from a file, list and show them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.detector_types import DetectorTypes
from panelcal.domain.kinds import DetectorType
from panelcal.domain.quality import Rule
from panelcal.domain.text import count_of, printable
from panelcal.domain.type_file import DescribedType, parse_type_file, require_sound_type
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.exporters.printf import require_number_format
from panelcal.storage.ledger import panels
from panelcal.storage.modules import types_of_modules
from panelcal.storage.quality import add_rules, rules
from panelcal.storage.store import OpenStore
from panelcal.storage.types import add_detector_type, detector_types

MOST_BYTES = 1_000_000
"""Of a file that describes a type; one has a few hundred."""


@dataclass(frozen=True, slots=True)
class Added:
    """What became of a file that describes a detector type.

    Parameters
    ----------
    described : DescribedType
        What the file says, the type with its row number.
    is_new : bool
        False where the store had just this type already.
    """

    described: DescribedType
    is_new: bool


@dataclass(frozen=True, slots=True)
class TypeUse:
    """A detector type, and how much of the store is of it.

    Parameters
    ----------
    detector_type : DetectorType
        The type.
    modules, panels : int
        How many are of it.
    rules : tuple of Rule
        What its deliveries are judged by.
    """

    detector_type: DetectorType
    modules: int
    panels: int
    rules: tuple[Rule, ...]


def add_type(store: OpenStore, path: Path) -> Added:
    """Add the detector type that a file describes, for good.

    Types are only added: what was recorded of a type means what its row says.

    Raises
    ------
    NotFoundError
        There is no such file.
    InvalidInputError
        It is malformed, or describes what panelcal could not work with.
    ConflictError
        The store has another type of this name, or one with this device or this
        group of the calib layout.
    """
    described = parse_type_file(_text_of(path))
    with store.database.writing() as connection:
        types = detector_types(connection)
        new = new_types(types, DetectorTypes((described.detector_type,)))
        if new:
            held = add_detector_type(connection, described.detector_type)
            add_rules(connection, held, described.rules)
        else:
            held = types.named(described.detector_type.name)
            known = rules(connection, held.id)
            if known:
                _require_same_rules(held.name, known, described.rules)
            elif described.rules:
                add_rules(connection, held, described.rules)
    return Added(DescribedType(held, described.rules), bool(new))


def new_types(here: DetectorTypes, there: DetectorTypes) -> list[DetectorType]:
    """Return the types that a store lacks, after judging whether it can take them.

    Parameters
    ----------
    here, there : DetectorTypes
        Those of the store; those that it is to have.

    Raises
    ------
    ConflictError
        A name means another type here, or a new type has the device or the group of
        another one.
    InvalidInputError
        A new type is one that panelcal could not work with.
    """
    new: list[DetectorType] = []
    for one in there:
        known = next((other for other in here if other.name == one.name), None)
        if known is not None and known.facts == one.facts:
            continue
        if known is not None:
            msg = (
                f"{one.name} was to be {one.told}, and is {known.told} in the store; "
                f"nothing was written"
            )
            raise ConflictError(msg, "types never change; give a new one a name of its own")
        require_sound_type(one)
        for kind in one.kinds:
            require_number_format(kind.text_format)
        for other in (*here, *new):
            _require_apart(one, other)
        new.append(one)
    return new


def _require_same_rules(name: str, here: Sequence[Rule], there: Sequence[Rule]) -> None:
    if set(here) != set(there):
        msg = (
            f"{name} has {count_of(len(here), 'rule')} of quality in the store, "
            f"{count_of(len(set(there) - set(here)), 'of the file is', 'of the file are')} "
            f"not among them; nothing was written"
        )
        raise ConflictError(msg, f"panelcal type show {name} lists its rules; they do not change")


def _require_apart(new: DetectorType, known: DetectorType) -> None:
    # DCS files have the device in lower case, and some file systems know no cases.
    for what, mine, theirs in (
        ("device", new.device, known.device),
        ("calib_group", new.calib_group, known.calib_group),
    ):
        if mine.lower() == theirs.lower():
            msg = (
                f"the {what} {mine} of {new.name} is that of detector type {known.name}; "
                f"nothing was written"
            )
            raise ConflictError(msg, f"panelcal type show {known.name}")


def _text_of(path: Path) -> str:
    if not path.exists():
        msg = f"there is no file {printable(path)}"
        raise NotFoundError(msg, "name a TOML file; docs/detector-types.md has an example")
    # A pipe would keep whoever opens it waiting.
    if not path.is_file():
        msg = f"{printable(path)} is no regular file"
        raise InvalidInputError(msg)
    try:
        if path.stat().st_size > MOST_BYTES:
            msg = f"{printable(path)} has more than {MOST_BYTES} bytes: it describes no type"
            raise InvalidInputError(msg)
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        msg = f"{printable(path)} is no UTF-8: {error.reason} at byte {error.start}"
        raise InvalidInputError(msg) from error
    except OSError as error:
        msg = f"{printable(path)} cannot be read: {error.strerror}"
        raise InvalidInputError(msg) from error


def list_types(store: OpenStore) -> list[TypeUse]:
    """Return the detector types of a store, in the order they were added."""
    with store.database.reading() as connection:
        modules = list(types_of_modules(connection).values())
        registered = [panel.detector_type for panel in panels(connection)]
        return [
            TypeUse(
                one,
                modules.count(one.name),
                registered.count(one.name),
                rules(connection, one.id),
            )
            for one in detector_types(connection)
        ]


def show_type(store: OpenStore, name: str) -> TypeUse:
    """Return one detector type.

    Raises
    ------
    NotFoundError
        The store has no such type.
    """
    with store.database.reading() as connection:
        wanted = detector_types(connection).named(name)
    return next(use for use in list_types(store) if use.detector_type.id == wanted.id)
