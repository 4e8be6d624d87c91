"""Results in a document, between marks that say which command wrote them."""

import re
from collections.abc import Iterable
from pathlib import Path

_RESULTS = re.compile(r"(<!-- results: [^>]* -->\n).*?(<!-- end of results -->)", re.DOTALL)


def put_between_marks(path: Path, lines: Iterable[str]) -> None:
    """Put lines between the marks of a document.

    Raises
    ------
    ValueError
        The document does not have them once.
    """
    old = path.read_text(encoding="utf-8")
    text = "".join(f"{line}\n" for line in lines)
    new, count = _RESULTS.subn(lambda found: f"{found[1]}{text}{found[2]}", old)
    if count != 1:
        msg = f"{path} has {count} places for results, not one"
        raise ValueError(msg)
    path.write_text(new, encoding="utf-8")
