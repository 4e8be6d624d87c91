"""Read the files of a calib tree: the values of every segment, and what is said of them."""

from dataclasses import dataclass
from pathlib import Path

from panelcal.domain.kinds import DetectorType, Kind
from panelcal.domain.report import Progress
from panelcal.domain.text import printable
from panelcal.errors import InvalidInputError
from panelcal.exporters.foreign_text import read_foreign_text_array
from panelcal.exporters.history_file import HistoryRecord
from panelcal.exporters.provenance import Provenance, parse_provenance
from panelcal.services.attribution import Keep, Values, panel_values
from panelcal.services.calib_tree import CalibTree, SourceFiles
from panelcal.services.delivery import follow
from panelcal.services.stated import require_unedited


@dataclass(frozen=True, slots=True)
class CalibFile:
    """What a calib file holds.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What the report calls it.
    values : tuple of Values
        One a segment.
    provenance : Provenance or None
        What it says of its values, where panelcal wrote it and it fits them.
    told : str
        Who deployed it, as far as HISTORY knows.
    notices : tuple of str
        How it was understood, where that may surprise.
    """

    path: Path
    name: str
    values: tuple[Values, ...]
    provenance: Provenance | None
    told: str
    notices: tuple[str, ...]


class CalibReader:
    """Reads files one after the other; what cannot be read is refused.

    Parameters
    ----------
    tree : CalibTree
        The files; it is told of those that are refused.
    keep : callable
        Given each payload.
    progress : callable or None
        Told after each file.
    """

    def __init__(self, tree: CalibTree, keep: Keep, progress: Progress | None) -> None:
        self._tree = tree
        self._keep = keep
        self._progress = progress
        self._done = 0
        self._total = sum(
            len(files.picked) for source in tree.sources for files in source.types.values()
        )

    def read(self, source: SourceFiles) -> dict[str, dict[str, CalibFile]]:
        """Return the files of a source that can be read, by kind and name there."""
        return {kind.name: self._read(source, kind) for kind in source.detector_type.kinds}

    def _read(self, source: SourceFiles, kind: Kind) -> dict[str, CalibFile]:
        files = source.types[kind.name]
        found = {}
        for name, path in files.picked.items():
            try:
                found[name] = self._file(path, source.detector_type, kind, files.records.get(name))
            except InvalidInputError as error:
                self._tree.refuse(path, printable(error.message))
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total, path.name)
        return found

    def _file(
        self, path: Path, detector_type: DetectorType, kind: Kind, record: HistoryRecord | None
    ) -> CalibFile:
        real = follow(path, "not there any more")
        if not real.is_file():
            msg = "not a regular file"
            raise InvalidInputError(msg)
        text = read_foreign_text_array(real)
        values = panel_values(text.array, detector_type, kind, text.number_format, self._keep)
        notices = [*text.notices]
        if text.array.dtype.name != "float32":
            notices.append(f"{text.array.dtype.name}, read as float32")
        provenance = parse_provenance(text.comments)
        if provenance is not None:
            provenance, values = require_unedited(provenance, values)
            if provenance is None:
                notices.append("its comments are of another number of panels: not believed")
        name = self._tree.name_of(path)
        return CalibFile(path, name, values, provenance, _deployed(record), tuple(notices))


def _deployed(record: HistoryRecord | None) -> str:
    """Say who deployed a file, as far as HISTORY knows."""
    if record is None:
        return ""
    told = (("by", record.user), ("on", record.host), ("at", record.time))
    words = [f"{word} {value}" for word, value in told if value]
    return printable(f"deployed {' '.join(words)}") if words else ""
