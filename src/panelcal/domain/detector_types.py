"""The detector types of a store, and which of them is meant."""

from collections.abc import Iterator
from dataclasses import dataclass

from panelcal.domain.kinds import DetectorType
from panelcal.domain.text import excerpt
from panelcal.errors import NotFoundError

FIRST_TYPE = "jungfrau"
"""The type that every store is made with, meant where there are several and none is named."""


@dataclass(frozen=True, slots=True)
class DetectorTypes:
    """All detector types of a store: one method for each way of asking for one of them.

    A module and a panel have a type of their own, which their rows say
    (`ConstantSet.detector_type`, `Panel.detector_type`).

    Parameters
    ----------
    known : tuple of DetectorType
        In the order they were added.
    """

    known: tuple[DetectorType, ...]

    def __iter__(self) -> Iterator[DetectorType]:
        return iter(self.known)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(one.name for one in self.known)

    @property
    def devices(self) -> str:
        """Their devices in words, as messages have them: ``Jungfrau or Epix10ka``."""
        return " or ".join(one.device for one in self.known)

    def named(self, name: str) -> DetectorType:
        """Return the type of that name.

        Raises
        ------
        NotFoundError
            The store has no such type.
        """
        for one in self.known:
            if one.name == name:
                return one
        known = ", ".join(self.names) or "none"
        msg = f"there is no detector type {excerpt(name)} in this store; there is {known}"
        raise NotFoundError(msg, "panelcal type add FILE.toml")

    def chosen(self, name: str | None) -> DetectorType:
        """Return the type that new modules get: the named one.

        Where none is named it is the store's only one, or jungfrau.

        Raises
        ------
        NotFoundError
            The store has no such type.
        """
        if name is None and len(self.known) == 1:
            return self.known[0]
        return self.named(FIRST_TYPE if name is None else name)

    def of_source(self, source: str) -> DetectorType | None:
        """Return the type whose device a source of a run names, None if it is of no known one.

        Parameters
        ----------
        source : str
            ``XcsEndstation.0:Jungfrau.0``: the device is ``Jungfrau``.
        """
        return next((one for one in self.known if f":{one.device}." in source), None)

    def of_dcs_file(self, file_name: str) -> DetectorType:
        """Return the type of a DCS file, which is named ``<device>-<detector id>.h5`` (spec §9).

        A file of another name is one of the type that new modules get.

        Raises
        ------
        NotFoundError
            The store has no type that could be meant.
        """
        device = file_name.partition("-")[0]
        found = (one for one in self.known if one.device.lower() == device)
        return next(found, None) or self.chosen(None)
