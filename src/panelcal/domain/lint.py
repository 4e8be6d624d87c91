"""What lint tells of the record of a whole store: each finding in a word and in words."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from panelcal.domain.text import as_line


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that a check found.

    Parameters
    ----------
    subject : str
        What it is about: a run, a panel id, a constant set.
    message : str
        What was found.
    hint : str
        What to do about it.
    """

    subject: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class LintFinding:
    """One thing to be looked at, with the word for its kind.

    Parameters
    ----------
    code : str
        A word of the interface: its meaning never changes.
    told : Told
        What was found.
    """

    code: str
    told: Told

    @property
    def line(self) -> str:
        """The finding in one line."""
        return as_line(f"{self.code}: {self.told.subject}: {self.told.message}; {self.told.hint}")

    def document(self) -> dict[str, Any]:
        """Return the finding as ``--json`` prints it."""
        return {
            "code": self.code,
            "subject": self.told.subject,
            "message": self.told.message,
            "hint": self.told.hint,
        }


@dataclass(frozen=True, slots=True)
class LintReport:
    """Everything that lint found in a store.

    Parameters
    ----------
    store : str
        Where it is.
    checked : tuple of str
        Codes that were looked for.
    findings : tuple of LintFinding
        By code, in the order of the checks.
    """

    store: str
    checked: tuple[str, ...]
    findings: tuple[LintFinding, ...]

    @property
    def exit_code(self) -> int:
        """1 if anything was found, 0 if not."""
        return 1 if self.findings else 0

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        counts = Counter(finding.code for finding in self.findings)
        return {
            "store": self.store,
            "counts": {code: counts[code] for code in self.checked},
            "exit_code": self.exit_code,
            "findings": [finding.document() for finding in self.findings],
        }
