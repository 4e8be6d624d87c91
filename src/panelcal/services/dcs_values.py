"""Read DCS files for an import: the values of every version, and what is said of them."""

from dataclasses import dataclass, field
from pathlib import Path

from panelcal.domain.ids import DetectorId, parse_detector_id
from panelcal.domain.kinds import DetectorType
from panelcal.domain.report import Line, Status
from panelcal.domain.text import count_of, printable
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.dcs_file import DcsFile, load_version, read_dcs_file
from panelcal.exporters.dcs_versions import DcsVersion
from panelcal.exporters.printf import FULL_PRECISION
from panelcal.exporters.provenance import Provenance, from_attributes
from panelcal.services.attribution import Keep, Values, count_of_panels, panel_values
from panelcal.services.stated import require_unedited

Key = tuple[str, str, str]
"""Calibration type, range and version: the groups of a file."""


@dataclass(frozen=True, slots=True)
class DcsValues:
    """What a version of a DCS file holds.

    Parameters
    ----------
    version : DcsVersion
        The version.
    name : str
        What the report calls it.
    values : tuple of Values
        One a segment.
    provenance : Provenance or None
        What it says of its values, where panelcal wrote it.
    notices : tuple of str
        How it was understood, where that may surprise.
    """

    version: DcsVersion
    name: str
    values: tuple[Values, ...]
    provenance: Provenance | None
    notices: tuple[str, ...]


@dataclass(slots=True)
class DcsContents:
    """What a DCS file holds, array by array.

    Parameters
    ----------
    file : DcsFile
        Its ranges and versions.
    detector : DetectorId
        Its panels.
    values : dict
        What every version of a kind holds, where it can be taken.
    lines : list of Line
        What cannot be taken, and what is passed over.
    """

    file: DcsFile
    detector: DetectorId
    values: dict[Key, DcsValues] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def name_of(self, version: DcsVersion) -> str:
        """Return what the report calls a version."""
        return printable(f"{self.file.path}:{'/'.join(key_of(version))}")


def key_of(version: DcsVersion) -> Key:
    """Return the groups of a version."""
    return version.ctype, version.range_name, version.name


def read_dcs_contents(path: Path, detector_type: DetectorType, keep: Keep) -> DcsContents:
    """Read a DCS file, one array after the other.

    Raises
    ------
    InvalidInputError
        It cannot be read, or is of another detector type.
    IntegrityError
        It is damaged.
    ConflictError
        Another program has it open for writing.
    """
    file = read_dcs_file(path)
    detector = parse_detector_id(file.detector)
    detector.require_type([detector_type.name])
    contents = DcsContents(file, detector)
    for notice in file.notices:
        said = notice.removeprefix(f"{path}: ")
        status = Status.REFUSED if said in file.faults else Status.IGNORED
        contents.lines.append(Line(printable(path), status, "", printable(said)))
    kinds = {kind.name: kind for kind in detector_type.kinds}
    for version in file.versions:
        name = contents.name_of(version)
        if version.ctype not in kinds:
            reason = f"{version.ctype} is no kind of constant that is kept here"
            contents.lines.append(Line(name, Status.IGNORED, "", reason))
            continue
        try:
            contents.values[key_of(version)] = _read(contents, version, detector_type, keep)
        except (InvalidInputError, IntegrityError) as error:
            contents.lines.append(Line(name, Status.REFUSED, "", printable(error.message)))
    return contents


def _read(
    contents: DcsContents, version: DcsVersion, detector_type: DetectorType, keep: Keep
) -> DcsValues:
    # Before memory is taken for what the file declares.
    panels, held = len(contents.detector.panels), count_of_panels(version.shape, detector_type)
    if held != panels:
        msg = f"the detector has {count_of(panels, 'panel')}, it is of {count_of(held, 'panel')}"
        raise InvalidInputError(msg)
    array = load_version(contents.file, version)
    kind = detector_type.kind(version.ctype)
    values = panel_values(array, detector_type, kind, FULL_PRECISION, keep)
    notices = []
    if version.dtype != "float32":
        notices.append(f"{version.dtype}, taken as float32")
    provenance = from_attributes(version.provenance)
    if version.provenance and provenance is None:
        notices.append("what it says of itself cannot be read")
    if provenance is not None:
        provenance, values = require_unedited(provenance, values)
    return DcsValues(version, contents.name_of(version), values, provenance, tuple(notices))
