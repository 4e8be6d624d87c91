"""The quality of a delivery: numbers, rules that bound them, findings, and the verdict.

A check is code with a name: it computes a number of a kind and gain range
(`panelcal.domain.quality_checks`). A rule is data of the detector type: it bounds the
numbers of a check. Where a number is out of bounds there is a finding.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panelcal.domain.findings import Severity
from panelcal.domain.quality_names import CHECKS
from panelcal.domain.seal import seal_of
from panelcal.domain.text import count_of

Where = tuple[str, str, int]
"""Check, kind and gain range: what of a delivery a finding is about."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """A number that a check computed.

    Parameters
    ----------
    check, kind, gain_range : str, str, int
        Of what it is.
    number : float
        Finite; its unit is the check's.
    against : str
        What the plane was compared with, as words after the number; may be empty.
    detail : str
        What it would mean if the number is out of bounds; may be empty.
    """

    check: str
    kind: str
    gain_range: int
    number: float
    against: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Bounds for the numbers of a check; a row of the database.

    Parameters
    ----------
    check : str
        One of `CHECKS`.
    kind, gain_range : str or None, int or None
        Only numbers of this kind, of this gain range; None is all.
    severity : Severity
        What a number out of bounds is.
    low, high : float or None
        The bounds, inclusive; None is no bound.
    """

    check: str
    kind: str | None
    gain_range: int | None
    severity: Severity
    low: float | None
    high: float | None

    def applies_to(self, one: Measurement) -> bool:
        """Say whether a number is one that this rule bounds."""
        return (
            self.check == one.check
            and self.kind in {None, one.kind}
            and self.gain_range in {None, one.gain_range}
        )

    def allows(self, number: float) -> bool:
        """Say whether a number is within the bounds."""
        return (self.low is None or number >= self.low) and (
            self.high is None or number <= self.high
        )

    def expectation(self, unit: str) -> str:
        """Return the bounds in words; `unit` is that of the kind."""
        check = CHECKS[self.check]
        low, high = (
            None if bound is None else check.written(bound, unit) for bound in (self.low, self.high)
        )
        if low is None or high is None:
            return f"at least {low}" if high is None else f"at most {high}"
        return f"{low} to {high}"


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """A number that is out of a rule's bounds.

    Parameters
    ----------
    check, kind, gain_range : str, str, int
        Of what it is.
    severity : Severity
        The rule's.
    number : float
        What was found, in the check's unit.
    low, high : float or None
        What was expected.
    text : str
        All of it in words.
    """

    check: str
    kind: str
    gain_range: int
    severity: Severity
    number: float
    low: float | None
    high: float | None
    text: str

    @property
    def where(self) -> Where:
        """What of the delivery it is about."""
        return self.check, self.kind, self.gain_range

    def document(self) -> dict[str, Any]:
        """Return the finding as ``--json`` prints it."""
        return {
            "severity": str(self.severity),
            "check": self.check,
            "kind": self.kind,
            "gain_range": self.gain_range,
            "number": self.number,
            "low": self.low,
            "high": self.high,
            "message": self.text,
        }


@dataclass(frozen=True, slots=True)
class Plane:
    """Two numbers of one kind and gain range, kept so that modules can be compared.

    Parameters
    ----------
    kind, gain_range : str, int
        Which plane of the constant set.
    median, sigma : float
        Over its pixels, in the kind's unit; sigma is 1.4826 times the median
        absolute deviation.
    """

    kind: str
    gain_range: int
    median: float
    sigma: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the rules say of a constant set.

    Parameters
    ----------
    findings : tuple of QualityFinding
        Errors first.
    planes : tuple of Plane
        Numbers of every kind and gain range.
    rules_digest : str
        SHA-256 of the rules that were applied.
    accepted : str or None
        Why its errors were accepted; None where nobody accepted any.
    """

    findings: tuple[QualityFinding, ...]
    planes: tuple[Plane, ...]
    rules_digest: str
    accepted: str | None = None

    @property
    def errors(self) -> tuple[QualityFinding, ...]:
        """The findings that stop a delivery."""
        return tuple(one for one in self.findings if one.severity == Severity.ERROR)

    @property
    def is_open(self) -> bool:
        """Whether there are errors that nobody accepted."""
        return bool(self.errors) and self.accepted is None

    @property
    def summary(self) -> str:
        """The counts of its findings."""
        errors = len(self.errors)
        warnings = len(self.findings) - errors
        return f"{count_of(errors, 'error')}, {count_of(warnings, 'warning')}"

    def still_accepted(self, before: "Verdict | None") -> str | None:
        """Return why errors were accepted before, if there are no others now."""
        if before is None or before.accepted is None or not self.errors:
            return None
        known = {one.where for one in before.errors}
        return before.accepted if {one.where for one in self.errors} <= known else None


def judge(
    measurements: Iterable[Measurement], rules: Sequence[Rule], units: Mapping[str, str]
) -> tuple[QualityFinding, ...]:
    """Apply rules to numbers.

    Parameters
    ----------
    units : mapping of str to str
        The unit of each kind.

    Returns
    -------
    tuple of QualityFinding
        Errors first, otherwise in the order of the numbers. A number has one
        finding at most: that of the severest rule which it breaks.
    """
    found = []
    for one in measurements:
        broken = [rule for rule in rules if rule.applies_to(one) and not rule.allows(one.number)]
        if broken:
            severest = min(broken, key=lambda rule: rule.severity != Severity.ERROR)
            found.append(_finding(one, severest, rules, units[one.kind]))
    return tuple(sorted(found, key=lambda finding: finding.severity != Severity.ERROR))


def _finding(one: Measurement, rule: Rule, rules: Sequence[Rule], unit: str) -> QualityFinding:
    check = CHECKS[one.check]
    detail = one.detail or _as_of_other_range(one, rules)
    told = " ".join(filter(None, (check.says, check.written(one.number, unit), one.against)))
    text = f"{one.kind} of gain range {one.gain_range}: {told}, expected {rule.expectation(unit)}"
    return QualityFinding(
        check=one.check,
        kind=one.kind,
        gain_range=one.gain_range,
        severity=rule.severity,
        number=one.number,
        low=rule.low,
        high=rule.high,
        text=f"{text}: {detail}" if detail else text,
    )


def _as_of_other_range(one: Measurement, rules: Sequence[Rule]) -> str:
    """Say of a median whether it is as another gain range's is expected to be."""
    if one.check != "median":
        return ""
    for rule in rules:
        is_other = rule.gain_range not in {None, one.gain_range}
        if is_other and (rule.check, rule.kind) == ("median", one.kind) and rule.allows(one.number):
            return f"as of gain range {rule.gain_range}; the files of two ranges may be swapped"
    return ""


def rules_digest(rules: Iterable[Rule]) -> str:
    """Return the SHA-256 of rules, whatever their order: 64 hexadecimal digits."""
    told = [
        [one.check, one.kind, one.gain_range, str(one.severity), one.low, one.high] for one in rules
    ]
    return seal_of("quality_rule", sorted(told, key=json.dumps))


def verdict_seal(
    constant_set: str | None, verdict: Verdict, recorded_at_us: int, recorded_by: str
) -> str:
    """Return the seal of a verdict, with its findings and numbers.

    Parameters
    ----------
    constant_set : str or None
        Seal of the constant set that was judged.
    """
    return seal_of(
        "quality_verdict",
        constant_set,
        verdict.rules_digest,
        verdict.accepted,
        recorded_at_us,
        recorded_by,
        [
            [
                *(one.check, one.kind, one.gain_range, str(one.severity)),
                *(one.number, one.low, one.high, one.text),
            ]
            for one in verdict.findings
        ],
        [[one.kind, one.gain_range, one.median, one.sigma] for one in verdict.planes],
    )
