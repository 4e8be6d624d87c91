"""Rules for text that people type: how it is quoted back, and what it may hold."""

import unicodedata

from panelcal.errors import InvalidInputError

_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories of what breaks a line, hides, turns text round, or is no text."""


def excerpt(text: str, limit: int = 80) -> str:
    """Quote what was typed for a message: escaped, and short however long it was."""
    if len(text) <= limit:
        return ascii(text)
    return f"{text[:limit]!a}... ({len(text)} characters)"


def shortened(text: str, limit: int = 200) -> str:
    """Return words for a message as they are, or where they begin if they are very long."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


def escaped(text: str) -> str:
    """Return words of several lines so that a terminal shows them, whatever they hold.

    Unlike `printable` it leaves line feeds and backslashes.
    """
    return "".join(
        ascii(char)[1:-1] if char != "\n" and _is_unprintable(char) else char for char in text
    )


def as_line(text: object) -> str:
    """Return words as one line of a terminal, whatever they hold; backslashes stay."""
    return escaped(str(text)).replace("\n", "\\n")


def printable(text: object) -> str:
    """Return a name from a file system as it can be printed and stored anywhere.

    What would break or hide the line, bytes that are no UTF-8 included, and the
    backslash are escaped.
    """
    return "".join(
        ascii(char)[1:-1] if char == "\\" or _is_unprintable(char) else char for char in str(text)
    )


def _is_unprintable(char: str) -> bool:
    return unicodedata.category(char) in _UNPRINTABLE


def one_line(text: str, what: str) -> str:
    """Return free text for the record, stripped; refuse what would break a line.

    Parameters
    ----------
    text : str
        A reason, a note or a name as typed.
    what : str
        What the text is, for the message.

    Raises
    ------
    InvalidInputError
        The text is empty, longer than 1000 characters, or holds control or
        text-direction characters.
    """
    stripped = text.strip()
    if not stripped:
        msg = f"the {what} is empty"
        raise InvalidInputError(msg)
    if len(stripped) > 1000:
        msg = f"the {what} has {len(stripped)} characters; at most 1000 are kept"
        raise InvalidInputError(msg)
    return plain(stripped, what)


def plain(text: str, what: str) -> str:
    """Return text that can be stored and printed as it is.

    Raises
    ------
    InvalidInputError
        It holds control or text-direction characters, or bytes that are no UTF-8.
    """
    for char in text:
        if _is_unprintable(char):
            msg = f"the {what} holds the control character {char!a}"
            raise InvalidInputError(msg, "write it on one line of plain text")
    return text


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """Return ``"1 panel"`` or ``"3 panels"``."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
