"""The ``dcs add`` commands that an operator pastes to upload constants (spec §11)."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from panelcal.domain.runs import Dataset
from panelcal.domain.text import plain


def dcs_add_commands(
    h5_file: Path,
    text_files: Mapping[str, Path],
    begin: int,
    dataset: Dataset,
    source: str,
    see: str,
) -> list[str]:
    """Return one command a kind, each one line, quoted as a shell needs it.

    Parameters
    ----------
    h5_file : Path
        ``.../jungfrau-<detector id>.h5``.
    text_files : mapping of str to Path
        The text array of each kind, in the order of the commands.
    begin : int
        Start of the constants' validity in seconds since 1970 UTC; 0 is the
        beginning.
    dataset, source : Dataset, str
        The run that they were made for.
    see : str
        The command that printed this, for the comment in the file.

    Raises
    ------
    InvalidInputError
        A path holds what cannot be pasted: a line break, another control
        character, bytes that are no UTF-8.
    """
    return [
        shlex.join(
            [
                *("dcs", "add", _argument(h5_file), "-t", kind, "-f", _argument(path)),
                *("-T", str(begin), "-m", f"See command: {see}"),
                *("-e", dataset.experiment, "-r", str(dataset.run), "-d", source),
            ]
        )
        for kind, path in text_files.items()
    ]


def _argument(path: Path) -> str:
    """Return a path that ``dcs`` does not take for an option."""
    text = plain(str(path), "path of the dcs command")
    return f"./{text}" if text.startswith("-") else text
