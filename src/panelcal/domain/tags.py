"""Tags: frozen names for transaction times."""

import re
from dataclasses import dataclass, field
from datetime import datetime

from panelcal.domain.seal import BrokenSeal
from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tag:
    """A name for what the ledger said at a transaction time. It never moves.

    Parameters
    ----------
    name : str
        Never used again for anything else.
    as_of : datetime
        The transaction time, UTC.
    recorded_at, recorded_by, reason : datetime, str, str
        When, by whom and why it was made.
    broken : BrokenSeal or None
        Its row is not as it was recorded.
    """

    name: str
    as_of: datetime
    recorded_at: datetime
    recorded_by: str
    reason: str
    broken: BrokenSeal | None = field(default=None, compare=False, repr=False)


def parse_tag_name(text: str) -> str:
    """Return a tag's name.

    Raises
    ------
    InvalidInputError
        Not a letter followed by up to 63 letters, digits, dots, dashes and
        underscores. A name cannot be read as a time.
    """
    if not _NAME.match(text):
        msg = f"{excerpt(text)} is not a tag name"
        raise InvalidInputError(
            msg, "a letter, then letters, digits, dots, dashes and underscores, such as run18-v1"
        )
    return text
