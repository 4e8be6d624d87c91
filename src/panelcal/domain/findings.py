"""What a look at a whole store found: each finding in a word, in words, and what to do."""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from panelcal.domain.text import count_of


class Severity(StrEnum):
    """Whether something is broken, or only to be known."""

    ERROR = "error"
    WARNING = "warning"


class Code(StrEnum):
    """The kinds of findings. Words of the interface: added to, never changed."""

    DATABASE_MISSING = "database-missing"
    DATABASE_UNREACHABLE = "database-unreachable"
    DATABASE_FOREIGN = "database-foreign"
    DATABASE_DAMAGED = "database-damaged"
    SETTINGS_UNREADABLE = "settings-unreadable"
    SETTINGS_LOST = "settings-lost"
    SETTINGS_WRONG = "settings-wrong"
    SCHEMA_MISSING = "schema-missing"
    SCHEMA_VERSION_DAMAGED = "schema-version-damaged"
    SCHEMA_OLDER = "schema-older"
    SCHEMA_NEWER = "schema-newer"
    SCHEMA_OBJECT_MISSING = "schema-object-missing"
    SCHEMA_OBJECT_DIFFERS = "schema-object-differs"
    SCHEMA_OBJECT_EXTRA = "schema-object-extra"
    TRIGGER_DISABLED = "trigger-disabled"
    TRIGGER_UNKNOWN = "trigger-unknown"
    ROWS_UNREADABLE = "rows-unreadable"
    VALUE_TYPE = "value-type"
    REFERENCE_BROKEN = "reference-broken"
    TIME_RANGE = "time-range"
    TIME_ORDER = "time-order"
    TIME_IN_FUTURE = "time-in-future"
    START_FRACTION = "start-fraction"
    ASSIGNMENT_TWICE = "assignment-twice"
    LATEST_START_WRONG = "latest-start-wrong"
    REVISION_GAP = "revision-gap"
    CONSTANT_SET_INCOMPLETE = "constant-set-incomplete"
    PAYLOAD_ROW_WRONG = "payload-row-wrong"
    PAYLOAD_ROW_UNUSED = "payload-row-unused"
    DIGEST_MALFORMED = "digest-malformed"
    TYPE_WRONG = "type-wrong"
    TYPE_MIXED = "type-mixed"
    RULE_WRONG = "rule-wrong"
    PANEL_WRONG = "panel-wrong"
    MODULE_WRONG = "module-wrong"
    RUN_WRONG = "run-wrong"
    TAG_WRONG = "tag-wrong"
    DEPLOYMENT_WRONG = "deployment-wrong"
    PROPOSAL_WRONG = "proposal-wrong"
    DECISION_WRONG = "decision-wrong"
    APPROVAL_MISSING = "approval-missing"
    SEAL_BROKEN = "seal-broken"
    PAYLOADS_UNREADABLE = "payloads-unreadable"
    PAYLOAD_MISSING = "payload-missing"
    PAYLOAD_DAMAGED = "payload-damaged"
    PAYLOAD_UNREADABLE = "payload-unreadable"
    PAYLOAD_ORPHAN = "payload-orphan"
    LEFT_OVER = "left-over"
    FOREIGN_FILE = "foreign-file"
    MOVED_ASIDE = "moved-aside"

    @property
    def severity(self) -> Severity:
        """A warning leaves every answer as it was; everything else is an error."""
        return Severity.WARNING if self in _WARNINGS else Severity.ERROR


_WARNINGS = {
    Code.SCHEMA_OBJECT_EXTRA,
    Code.PAYLOAD_ROW_UNUSED,
    Code.PAYLOAD_ORPHAN,
    Code.LEFT_OVER,
    Code.FOREIGN_FILE,
    Code.MOVED_ASIDE,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be.

    Parameters
    ----------
    code : Code
        A stable word for its kind; the severity comes with it.
    subject : str
        What it is about: a file, a row as ``assignment 7``, a digest.
    message : str
        What was found.
    hint : str
        What to do about it.
    """

    code: Code
    subject: str
    message: str
    hint: str

    @property
    def severity(self) -> Severity:
        """That of its code."""
        return self.code.severity

    def document(self) -> dict[str, Any]:
        """Return the finding as ``--json`` prints it."""
        return {
            "severity": str(self.severity),
            "code": str(self.code),
            "subject": self.subject,
            "message": self.message,
            "hint": self.hint,
        }


@dataclass(frozen=True, slots=True)
class Repaired:
    """A payload that was fetched from elsewhere.

    Parameters
    ----------
    digest : str
        Its digest, verified.
    moved_aside : str or None
        Where the damaged one is now; None where it was missing.
    """

    digest: str
    moved_aside: str | None


@dataclass(frozen=True, slots=True)
class FsckReport:
    """Everything that a look at a store found.

    Parameters
    ----------
    store : str
        Where it is.
    findings : tuple of Finding
        Errors first, then by code, in the order they were met.
    verified_data : bool
        Every payload's digest was computed.
    payloads : int
        How many were looked at: those that rows name, or all if no row can be read.
    repaired : tuple of Repaired
        What was mended before.
    """

    store: str
    findings: tuple[Finding, ...]
    verified_data: bool
    payloads: int
    repaired: tuple[Repaired, ...] = ()

    @property
    def counts(self) -> Counter[Severity]:
        """How many findings have each severity."""
        return Counter(finding.severity for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """5 if there are errors, 0 if not."""
        return 5 if self.counts[Severity.ERROR] else 0

    @property
    def summary(self) -> str:
        """All counts in one line."""
        counts = self.counts
        told = [
            count_of(counts[Severity.ERROR], "error"),
            count_of(counts[Severity.WARNING], "warning"),
        ]
        looked = "read in full" if self.verified_data else "looked at, contents not read"
        if self.repaired:
            told.append(f"{count_of(len(self.repaired), 'payload')} repaired")
        return f"{', '.join(told)}; {count_of(self.payloads, 'payload')} {looked}"

    def document(self) -> dict[str, Any]:
        """Return the report as ``--json`` prints it."""
        return {
            "store": self.store,
            "verified_data": self.verified_data,
            "payloads": self.payloads,
            "counts": {str(severity): self.counts[severity] for severity in Severity},
            "exit_code": self.exit_code,
            "repaired": [
                {"digest": one.digest, "moved_aside": one.moved_aside} for one in self.repaired
            ],
            "findings": [finding.document() for finding in self.findings],
        }


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings as they are reported: errors first, those of a code together."""
    places = list(Code)
    return tuple(
        sorted(findings, key=lambda one: (one.severity != Severity.ERROR, places.index(one.code)))
    )
