"""Meaning: the constant set that has the values of an attribution, or a new one."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from panelcal.domain.deliveries import parse_module_name
from panelcal.errors import InvalidInputError
from panelcal.services.attribution import Attribution, Contents, Stated
from panelcal.services.recognize import Recognizer
from panelcal.storage.modules import ConstantSet, constant_sets, types_of_modules

Meaning = int | Contents
"""A constant set: the row of a recorded one, or what a new one is to hold."""

WITHDRAWN: Contents = ()
"""What an assignment to nothing means."""


@dataclass(slots=True)
class NewSet:
    """A constant set that is to be recorded, if anything that is taken needs it.

    Parameters
    ----------
    module : str
        Its next revision.
    origin : Attribution
        The one whose values they are.
    obstacle : str
        Why the module's name may be wrong for these values; empty if nothing
        speaks against it.
    is_needed : bool
        Something that is taken uses it.
    """

    module: str
    origin: Attribution
    obstacle: str
    is_needed: bool = False

    @property
    def stated_revision(self) -> int:
        """Which revision of its module it was where it came from; 0 if nobody says."""
        return self.origin.stated.revision if self.origin.stated else 0


@dataclass(frozen=True, slots=True)
class Meant:
    """An attribution and what it means.

    Parameters
    ----------
    attribution : Attribution
        Who had values, and since when.
    same : frozenset
        Everything that has these values; for a withdrawal also None, no
        assignment at all.
    meaning : int or Contents
        The one of them that is meant.
    notice : str
        How it was chosen, where others are alike.
    """

    attribution: Attribution
    same: frozenset[Meaning | None]
    meaning: Meaning
    notice: str = ""


def holders(recognizer: Recognizer, attribution: Attribution) -> frozenset[int]:
    """Return the recorded constant sets that have the values of every kind.

    Raises
    ------
    IntegrityError
        A payload that rounded values are to be compared with is damaged.
    """
    by_kind = [
        recognizer.holders_of(attribution.detector_type.name, kind, one.digest, one.number_format)
        for kind, one in attribution.values.items()
    ]
    return frozenset.intersection(*by_kind) if by_kind else frozenset()


class Meanings:
    """The constant sets of a store, and those that attributions add to them.

    Parameters
    ----------
    connection : Connection
        The store's database.
    recognizer : Recognizer
        It has looked at the same state of the store.
    """

    def __init__(self, connection: Connection, recognizer: Recognizer) -> None:
        self.known: dict[int, ConstantSet] = {one.id: one for one in constant_sets(connection)}
        self.new_sets: dict[Contents, NewSet] = {}
        self._types = types_of_modules(connection)
        self._recognizer = recognizer

    def called(self, meaning: Meaning) -> str:
        """Return ``M068@1``, or the module alone of a set that is to be recorded."""
        if isinstance(meaning, int):
            return f"{self.known[meaning].module}@{self.known[meaning].revision}"
        return "no constants" if meaning == WITHDRAWN else f"{self.new_sets[meaning].module}, new,"

    def find(self, attribution: Attribution, used: Sequence[Meaning | None]) -> Meant:
        """Find the constant set that an attribution means; plan one where there is none.

        Parameters
        ----------
        used : sequence of int, Contents or None
            What the ledger says of the panel, what is nearest to the point first.

        Raises
        ------
        InvalidInputError
            The file says where its values come from, and they are others; or a
            module cannot be named after the panel, or is of another detector type.
        """
        if not attribution.values:
            return Meant(attribution, frozenset({WITHDRAWN, None}), WITHDRAWN)
        found = holders(self._recognizer, attribution)
        if attribution.stated is not None:
            found = self._as_stated(found, attribution.stated, attribution.detector_type.name)
        if not found:
            contents = self._planned(attribution)
            return Meant(attribution, frozenset({contents}), contents)
        chosen = next((one for one in used if isinstance(one, int) and one in found), None)
        oldest = min(found, key=lambda one: (self.known[one].recorded_at, one))
        notice = ""
        if len(found) > 1:
            alike = ", ".join(self.called(one) for one in sorted(found))
            why = "the oldest" if chosen is None else "the one that the panel uses"
            notice = f"{alike} have these values: {why} is meant"
        return Meant(attribution, frozenset(found), chosen or oldest, notice)

    def _as_stated(
        self, found: frozenset[int], stated: Stated, detector_type: str
    ) -> frozenset[int]:
        """Narrow sets that are alike as written to the one that the file was made from."""
        exact = {
            one.id
            for one in self.known.values()
            if (one.detector_type, one.digests) == (detector_type, stated.digests)
        }
        if exact and not exact & found:
            msg = f"edited: it says that its values are those of {stated}, and they are not"
            raise InvalidInputError(msg)
        return frozenset(exact & found) or found

    def _planned(self, attribution: Attribution) -> Contents:
        """Return the planned set of these values, after planning it where there is none."""
        for contents, planned in self.new_sets.items():
            if self._is_same(attribution, planned.origin):
                return contents
        stated = attribution.stated
        module = parse_module_name(stated.module if stated else str(attribution.panel))
        its_type = self._types.get(module, attribution.detector_type.name)
        if its_type != attribution.detector_type.name:
            msg = f"there is a module {module}, of detector type {its_type}"
            raise InvalidInputError(msg)
        if attribution.contents in self.new_sets:
            of = self.new_sets[attribution.contents].origin
            msg = f"{of.names[0]} says of the same values that they are {of.detector_type.name}'s"
            raise InvalidInputError(msg)
        obstacle = self._obstacle(stated) if stated else ""
        self.new_sets[attribution.contents] = NewSet(module, attribution, obstacle)
        return attribution.contents

    def _is_same(self, one: Attribution, planned: Attribution) -> bool:
        """Say whether values are those of a planned set, as they are or in legacy format."""
        values, finer = one.values, planned.values
        return one.detector_type == planned.detector_type and all(
            values[kind.name].digest == finer[kind.name].digest
            or (values[kind.name].number_format, values[kind.name].digest)
            == (kind.text_format, finer[kind.name].rounded)
            for kind in one.detector_type.kinds
        )

    def _obstacle(self, stated: Stated) -> str:
        """Say what speaks against recording values under the name that their file gives."""
        for planned in self.new_sets.values():
            if planned.origin.stated and str(planned.origin.stated) == str(stated):
                return f"{planned.origin.names[0]} says otherwise what {stated} is"
        known = [one.revision for one in self.known.values() if one.module == stated.module]
        if known and stated.revision <= max(known):
            return (
                f"its values are said to be those of {stated}; {stated.module} has none like them"
            )
        return ""
