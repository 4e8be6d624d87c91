"""Texts that nobody means well with: what the fields of every command are fed."""

import unicodedata

MEGABYTE = 10**6

TEXTS = {
    "empty": "",
    "blanks": "  \t ",
    "NUL": "a\0b",
    "newline": "line\nbroken",
    "newline at the end": "M044\n",
    "carriage return": "line\rbroken",
    "line separator": "line\u2028broken",
    "right to left": "a\u202eb",
    "zero width": "a\u200bb",
    "byte order mark": "\ufeffM044",
    "escape": "\x1b[2Jx",
    "bell": "\a",
    "combining": "e\u0301",
    "many marks": "a" + "\u0301" * 500,
    "Arabic digits": "\u0662\u0660\u0661\u0668",
    "rocket": "\U0001f680",
    "no UTF-8": "a\udcffb",
    "megabyte": "A" * MEGABYTE,
    "megabyte of digits": "1" * MEGABYTE,
    "many dashes": "a-" * 50_000,
    "many underscores": "jungfrau_" + "_" * 100_000,
    "up": "../..",
    "absolute": "/proc/nowhere/x",
    "home": "~",
    "options": "-rf",
    "end of options": "--",
    "command": "$(touch pwned)",
    "backticks": "`touch pwned`",
    "semicolon": ";touch pwned;",
    "quotes": 'it\'s a "b"',
    "backslash": "a\\nb",
    "printf": "%s%n%d",
    "format": "{0}{self.__class__}",
    "formula": "=cmd|'/c calc'!A0",
    "SQL": "'); DROP TABLE panel;--",
    "wildcards": "%_%*?[a]",
    "separators": ":::@@===,,",
    "not a number": "nan",
    "negative": "-1",
}


def is_plain(text: str) -> bool:
    """Say whether a terminal shows lines as they are: nothing steers it, hides or turns round."""
    steering = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return all(char == "\n" or unicodedata.category(char) not in steering for char in text)
