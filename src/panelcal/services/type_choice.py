"""Which detector type a delivery is read as."""

from typing import TYPE_CHECKING

from panelcal.domain.kinds import DetectorType
from panelcal.storage.ledger import panels, require_same_type
from panelcal.storage.modules import types_of_modules
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable


class TypeChoice:
    """The types of what a store knows, and the one that is meant for what is new.

    Parameters
    ----------
    source : Connection
        The store's database.
    named : str or None
        The type that was asked for; None is the store's only one, or jungfrau.

    Raises
    ------
    NotFoundError
        The store has no type of that name.
    """

    def __init__(self, source: "Readable", named: str | None) -> None:
        self._types = detector_types(source)
        self._named = named
        self._new = self._types.chosen(named)
        self._of_modules = types_of_modules(source)
        self._of_panels = {panel.name: panel.detector_type for panel in panels(source)}

    def hint(self, module: str) -> str | None:
        """Return what may help where files do not fit the type of a new module."""
        is_chosen = self._named is not None or module in self._of_modules
        if is_chosen or len(self._types.known) == 1:
            return None
        others = ", ".join(name for name in self._types.names if name != self._new.name)
        return f"new modules are of {self._new.name} unless --detector-type says {others}"

    def of_module(self, module: str | None) -> DetectorType:
        """Return the type of a delivery for a module; None is one that nobody names.

        Raises
        ------
        ConflictError
            The module is of another type than was asked for.
        """
        return self._judged(f"module {module}", self._of_modules.get(module or ""))

    def of_own_files(self, panel: str) -> DetectorType:
        """Return the type of files that a panel has for itself, in a module of its name.

        Raises
        ------
        ConflictError
            The module or the panel is of another type than was asked for.
        """
        known = self._of_modules.get(panel) or self._of_panels.get(panel)
        return self._judged(f"panel {panel}", known)

    def _judged(self, what: str, known: str | None) -> DetectorType:
        if known is None:
            return self._new
        if self._named is not None:
            require_same_type(what, known, self._named)
        return self._types.named(known)
