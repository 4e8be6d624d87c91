"""Pages: a figure as a PNG or SVG file, the same bytes for the same content.

Figures are drawn without pyplot, so that no display is looked for, and under settings
of our own: what the user set for other work neither changes a picture nor is changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from panelcal.errors import ConflictError, InvalidInputError
from panelcal.named_errors import naming
from panelcal.temporary import PREFIX, temporary_directory

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.typing import RcStyleType

Draws = Callable[[], "Figure"]
"""Makes a figure."""

DOTS_PER_INCH = 150

_METADATA: dict[str, dict[str, str | None]] = {
    # Neither the time nor the version of a library is in the file.
    ".png": {"Software": "panelcal"},
    ".svg": {"Creator": "panelcal", "Date": None},
}

_STYLE: "RcStyleType" = {
    "axes.formatter.useoffset": False,
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "hatch.linewidth": 0.8,
    "savefig.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "panelcal",
    # A dollar sign in a name is no formula.
    "text.parse_math": False,
}


def require_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a picture that could not be made, before anything is read for it.

    Parameters
    ----------
    overwrite : bool
        A file that is there is to be replaced.

    Raises
    ------
    InvalidInputError
        The name ends neither in .png nor in .svg, its directory does not exist,
        it is a directory, or matplotlib is not installed.
    ConflictError
        Something is there and was not to be replaced.
    """
    if path.suffix not in _METADATA:
        msg = f"{path} ends neither in .png nor in .svg"
        raise InvalidInputError(msg, "the end of the name says which picture is made")
    if not path.parent.is_dir():
        msg = f"there is no directory {path.parent}"
        raise InvalidInputError(msg, f"mkdir -p {path.parent}")
    if path.is_dir():
        msg = f"{path} is a directory"
        raise InvalidInputError(msg)
    _require_free(path, overwrite=overwrite)
    try:
        import matplotlib.figure  # noqa: F401 - whether it can be
    except ImportError as error:
        msg = "pictures need matplotlib"
        raise InvalidInputError(msg, "pip install 'panelcal[plot]'") from error


def write_picture(
    path: Path,
    draw: Draws,
    *,
    overwrite: bool = False,
    dots_per_inch: int = DOTS_PER_INCH,
) -> None:
    """Draw a figure and write it to a file, which appears complete or not at all.

    Parameters
    ----------
    path : Path
        Ends in ``.png`` or ``.svg``.
    draw : callable
        Makes the figure; called under the settings of all pictures.
    overwrite : bool
        Replace a file that is there.
    dots_per_inch : int
        Of a PNG, and of the maps inside an SVG.

    Raises
    ------
    InvalidInputError, ConflictError
        As `require_target`.
    """
    require_target(path, overwrite=overwrite)
    with settings(), naming(path), temporary_directory(path.parent, PREFIX) as scratch:
        making = scratch / f"picture{path.suffix}"
        draw().savefig(making, dpi=dots_per_inch, metadata=_METADATA[path.suffix])
        # What has come there meanwhile is not replaced either.
        _require_free(path, overwrite=overwrite)
        making.replace(path)


@contextmanager
def settings() -> Iterator[None]:
    """Let figures be drawn with matplotlib's defaults and our own, whatever the user has set."""
    from matplotlib import style

    with style.context(_STYLE, after_reset=True):
        yield


def _require_free(path: Path, *, overwrite: bool) -> None:
    if not overwrite and (path.exists() or path.is_symlink()):
        msg = f"{path} exists"
        raise ConflictError(msg, "--overwrite, or another name")
