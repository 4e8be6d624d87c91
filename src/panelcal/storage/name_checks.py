"""Whether what rows say can be read again: ids, names, digests, modules of runs."""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from panelcal.domain.deliveries import parse_module_name, parse_module_reference
from panelcal.domain.findings import Code, Finding, Severity
from panelcal.domain.ids import parse_detector_id, parse_panel
from panelcal.domain.quality_names import CHECKS
from panelcal.domain.runs import parse_experiment, parse_source
from panelcal.domain.tags import parse_tag_name
from panelcal.domain.text import excerpt
from panelcal.domain.type_file import require_sound_type
from panelcal.errors import InvalidInputError
from panelcal.storage.reader import rows_of
from panelcal.storage.row_checks import RESTORE
from panelcal.storage.types import detector_types

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_Judged = TypeVar("_Judged")

_DIGEST = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)
_TOKEN = re.compile(r"[0-9a-f]{16}\Z", re.ASCII)

_RULES = """
SELECT rule.id, rule.check_name, rule.severity, rule.low, rule.high, rule.gain_range,
detector_type.gain_ranges
FROM quality_rule AS rule JOIN detector_type ON detector_type.id = rule.detector_type_id
ORDER BY rule.id
"""

_PANELS = """
SELECT panel.name, panel.module_version, panel.firmware, panel.serial, detector_type.name
FROM panel JOIN detector_type ON detector_type.id = panel.detector_type_id ORDER BY panel.id
"""

_RUNS = "SELECT id, experiment, run, source, detector_id, modules FROM run ORDER BY id"

_DEPLOYMENTS = """
SELECT deployment.id, file_digest, token, deployment.experiment, deployment.source,
count(part.segment), min(part.segment), max(part.segment)
FROM deployment LEFT JOIN deployment_panel AS part ON part.deployment_id = deployment.id
GROUP BY deployment.id, file_digest, token, deployment.experiment, deployment.source
ORDER BY deployment.id
"""


def is_digest(text: str) -> bool:
    """Say whether a text is a SHA-256 as payloads are named by: 64 lower-case hex digits."""
    return _DIGEST.match(text) is not None


def name_findings(source: "Readable") -> Iterator[Finding]:
    """Find names that panelcal itself would refuse, and fields that do not agree with them."""
    yield from _types(source)
    yield from _rules(source)
    yield from _panels(source)
    yield from _modules(source)
    yield from _runs(source)
    yield from _deployments(source)
    for (digest,) in rows_of(source, "SELECT digest FROM payload ORDER BY digest"):
        if not is_digest(digest):
            message = f"{excerpt(digest)} is no SHA-256 in lower-case hexadecimal"
            yield Finding(Code.DIGEST_MALFORMED, f"payload {excerpt(digest)}", message, RESTORE)
    for (name,) in rows_of(source, "SELECT name FROM tag ORDER BY name"):
        for message in _refusals(parse_tag_name, name):
            yield Finding(Code.TAG_WRONG, f"tag {excerpt(name)}", message, RESTORE)


def _types(source: "Readable") -> Iterator[Finding]:
    found = detector_types(source)
    if not found.known:
        yield Finding(Code.TYPE_WRONG, "detector_type", "there is no detector type", RESTORE)
    for one in found:
        for message in _refusals(require_sound_type, one):
            subject = f"detector type {excerpt(one.name)}"
            yield Finding(Code.TYPE_WRONG, subject, message, RESTORE)
    for what, values in (
        ("device", [one.device for one in found]),
        ("calib_group", [one.calib_group for one in found]),
    ):
        for value in sorted({value for value in values if values.count(value) > 1}):
            message = f"two types have it: there is no telling which one {excerpt(value)} means"
            yield Finding(Code.TYPE_WRONG, f"{what} {excerpt(value)}", message, RESTORE)


def _rules(source: "Readable") -> Iterator[Finding]:
    for row, check, severity, low, high, gain_range, gain_ranges in rows_of(source, _RULES):
        told = []
        if check not in CHECKS:
            told.append(f"there is no check {excerpt(str(check))}")
        if severity not in set(Severity):
            told.append(f"there is no severity {excerpt(str(severity))}")
        if gain_range is not None and not 0 <= gain_range < gain_ranges:
            told.append(f"there is no gain range {gain_range}")
        if low is not None and high is not None and low > high:
            told.append(f"no number is between {low} and {high}")
        for message in told:
            yield Finding(Code.RULE_WRONG, f"quality_rule {row}", message, RESTORE)


def _panels(source: "Readable") -> Iterator[Finding]:
    for name, *fields, detector_type in rows_of(source, _PANELS):
        subject = f"panel {excerpt(name)}"
        try:
            panel = parse_panel(name, detector_type)
        except InvalidInputError as error:
            yield Finding(Code.PANEL_WRONG, subject, error.message, RESTORE)
            continue
        if str(panel) != name:
            message = f"it is written {excerpt(str(panel))}"
            yield Finding(Code.PANEL_WRONG, subject, message, RESTORE)
        if list(panel.fields()) != fields:
            message = f"its fields are {fields}, its name says {list(panel.fields())}"
            yield Finding(Code.PANEL_WRONG, subject, message, RESTORE)


def _modules(source: "Readable") -> Iterator[Finding]:
    for (name,) in rows_of(source, "SELECT name FROM module ORDER BY id"):
        for message in _refusals(parse_module_name, name):
            yield Finding(Code.MODULE_WRONG, f"module {excerpt(name)}", message, RESTORE)


def _runs(source: "Readable") -> Iterator[Finding]:
    for row, experiment, number, name, detector_id, modules in rows_of(source, _RUNS):
        told = [*_refusals(parse_experiment, experiment), *_refusals(parse_source, name)]
        if number < 0:
            told.append(f"{number} is not a run number")
        if detector_id is not None:
            told += _refusals(parse_detector_id, detector_id)
            if modules:
                told.append("it has a detector id and declares modules")
        for module in modules.split():
            told += _refusals(parse_module_reference, module)
        for message in told:
            yield Finding(Code.RUN_WRONG, f"run {row}", message, RESTORE)


def _deployments(source: "Readable") -> Iterator[Finding]:
    for row, digest, token, experiment, name, panels, first, last in rows_of(source, _DEPLOYMENTS):
        told = [*_refusals(parse_experiment, experiment), *_refusals(parse_source, name)]
        if not is_digest(digest):
            told.append(f"its file_digest {excerpt(digest)} is no SHA-256")
        if not _TOKEN.match(token):
            told.append(f"its token {excerpt(token)} is none")
        if not panels:
            told.append("it has no panels")
        elif (first, last) != (0, panels - 1):
            told.append(f"it has {panels} panels, numbered {first} to {last}")
        for message in told:
            yield Finding(Code.DEPLOYMENT_WRONG, f"deployment {row}", message, RESTORE)


def _refusals(judge: Callable[[_Judged], object], what: _Judged) -> list[str]:
    """Return what a text or a type is refused with, if it is."""
    try:
        judge(what)
    except InvalidInputError as error:
        return [error.message]
    return []
