"""Blocks of a document: code, and consoles with what they print."""

import re
from collections.abc import Iterator


def blocks(document: str, language: str) -> list[str]:
    """Return the blocks of one language, without their fences."""
    return re.findall(rf"```{language}\n(.*?)```", document, re.DOTALL)


def steps(block: str) -> Iterator[tuple[str, list[str]]]:
    """Split a console block into commands and what they print."""
    for step in block.removeprefix("$ ").split("\n$ "):
        command, _, printed = step.partition("\n")
        yield command, printed.splitlines()


def matches(printed: list[str], expected: list[str]) -> bool:
    """Compare line by line; ``...`` stands for any text, alone for any lines."""
    pattern = "\n".join(expected)
    parts = [re.escape(part) for part in pattern.split("...")]
    return re.fullmatch(".*".join(parts), "\n".join(printed), re.DOTALL) is not None
