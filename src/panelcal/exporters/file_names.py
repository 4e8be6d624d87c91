"""Names of exported files (design §5, spec §5)."""

from collections.abc import Sequence

from panelcal.domain.runs import Dataset

NAME_MAX_BYTES = 255


def local_prefix(dataset: Dataset, source: str, detector: str) -> str:
    """Return the 2018 form: ``<exp>-r<run>_<source>_<detector id>``."""
    return f"{dataset.experiment}-r{dataset.run:04d}_{source}_{detector}"


def short_prefix(dataset: Dataset, source: str, run_stamp: str) -> str:
    """Return the newer form, without the detector id."""
    return f"{source}-{run_stamp}-{dataset.experiment}-r{dataset.run:04d}"


def fits(prefix: str, endings: Sequence[str]) -> bool:
    """Say whether every name of a set is short enough for a file system."""
    return all(len(f"{prefix}_{end}".encode()) <= NAME_MAX_BYTES for end in endings)
