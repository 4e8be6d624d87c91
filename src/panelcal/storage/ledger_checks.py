"""What always holds among the rows of the record, asked of the database in SQL."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from panelcal.domain.findings import Code, Finding
from panelcal.domain.kinds import PAYLOAD_DTYPE
from panelcal.domain.moments import BEGINNING_US, iso_utc, moment_of, to_microseconds
from panelcal.errors import IntegrityError
from panelcal.storage.reader import rows_of
from panelcal.storage.recording import CLOCK_SKEW
from panelcal.storage.row_checks import RESTORE

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

_RECORDED = {
    "constant_set": "recorded_at_us",
    "assignment": "recorded_at_us",
    "run": "recorded_at_us",
    "deployment": "deployed_at_us",
    "quality_verdict": "recorded_at_us",
    "approval_mode": "recorded_at_us",
    "proposal": "recorded_at_us",
    "decision": "recorded_at_us",
}
"""Tables of which nothing is recorded ahead of time, and their transaction times."""

_KEYS = {"tag": "name", "decision": "proposal_id"}
"""What rows of tables without a row number are called by."""

_ORDERED = (
    ("assignment", "recorded_at_us", ""),
    ("run", "recorded_at_us", "PARTITION BY experiment, run, source"),
    ("deployment", "deployed_at_us", "PARTITION BY path"),
    ("quality_verdict", "recorded_at_us", ""),
)
"""Tables, their transaction times, and the rows among which these grow with the row number.

The first release did not see to more than that."""

_OUT_OF_ORDER = """
SELECT id, at, before FROM (
SELECT id, {column} AS at, max({column}) OVER (
{among} ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before FROM {table}) AS row
WHERE at < before ORDER BY id
"""

_IN_FUTURE = "SELECT {key}, {column} FROM {table} WHERE {column} > :latest ORDER BY {key}"

_FRACTIONS = """
SELECT id, valid_from_us FROM assignment
WHERE valid_from_us > :beginning AND valid_from_us / 1000000 * 1000000 <> valid_from_us ORDER BY id
"""

_TWICE = """
SELECT min(id), max(id), count(*) FROM assignment
GROUP BY panel_id, valid_from_us, recorded_at_us HAVING count(*) > 1 ORDER BY 1
"""

_LATEST_STARTS = """
SELECT panel_id, valid_from_us, recorded_at_us FROM (
SELECT panel_id, valid_from_us, recorded_at_us, max(valid_from_us) OVER (
PARTITION BY panel_id ORDER BY recorded_at_us, id
ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS latest FROM assignment) AS row
WHERE latest IS NULL OR valid_from_us > latest
"""

_KEPT_STARTS = "SELECT panel_id, valid_from_us, recorded_at_us FROM latest_start"

_DIFFERENT_STARTS = """
SELECT panel.name, different.panel_id, different.is_kept FROM (
SELECT panel_id, 0 AS is_kept FROM ({said} EXCEPT {kept}) AS lost UNION
SELECT panel_id, 1 FROM ({kept} EXCEPT {said}) AS added) AS different
LEFT JOIN panel ON panel.id = different.panel_id ORDER BY 2, 3
"""

_REVISIONS = """
SELECT module.name, count(constant_set.id), max(constant_set.revision),
count(DISTINCT constant_set.revision)
FROM module LEFT JOIN constant_set ON constant_set.module_id = module.id
GROUP BY module.id, module.name
HAVING count(constant_set.id) = 0 OR min(constant_set.revision) <> 1
OR max(constant_set.revision) <> count(constant_set.id)
OR count(DISTINCT constant_set.revision) <> count(constant_set.id) ORDER BY 1
"""

_REVISION_ORDER = """
SELECT module.name, later.revision FROM constant_set AS later
JOIN constant_set AS earlier ON earlier.module_id = later.module_id
AND earlier.revision = later.revision - 1
JOIN module ON module.id = later.module_id
WHERE earlier.recorded_at_us > later.recorded_at_us ORDER BY 1, 2
"""

_LACKING = """
SELECT module.name, constant_set.revision, kind.name FROM constant_set
JOIN module ON module.id = constant_set.module_id
JOIN kind ON kind.detector_type_id = module.detector_type_id
WHERE NOT EXISTS (SELECT 1 FROM constant_set_payload AS held
WHERE held.constant_set_id = constant_set.id AND held.kind_id = kind.id) ORDER BY 1, 2, 3
"""

_OF_OTHER_TYPE = """
SELECT module.name, constant_set.revision, kind.name FROM constant_set_payload AS held
JOIN constant_set ON constant_set.id = held.constant_set_id
JOIN module ON module.id = constant_set.module_id
JOIN kind ON kind.id = held.kind_id
WHERE kind.detector_type_id <> module.detector_type_id ORDER BY 1, 2, 3
"""

_MIXED = """
SELECT assignment.id, panel.name, own.name, module.name, other.name FROM assignment
JOIN panel ON panel.id = assignment.panel_id
JOIN constant_set ON constant_set.id = assignment.constant_set_id
JOIN module ON module.id = constant_set.module_id
JOIN detector_type AS own ON own.id = panel.detector_type_id
JOIN detector_type AS other ON other.id = module.detector_type_id
WHERE own.id <> other.id ORDER BY 1
"""

_MIXED_FILES = """
SELECT DISTINCT deployment.id, own.name, module.name, other.name FROM deployment
JOIN kind ON kind.id = deployment.kind_id
JOIN deployment_panel AS part ON part.deployment_id = deployment.id
JOIN constant_set ON constant_set.id = part.constant_set_id
JOIN module ON module.id = constant_set.module_id
JOIN detector_type AS own ON own.id = kind.detector_type_id
JOIN detector_type AS other ON other.id = module.detector_type_id
WHERE own.id <> other.id ORDER BY 1, 3
"""

_PAYLOAD_ROWS = """
SELECT DISTINCT payload.digest, payload.dtype, payload.shape, payload.byte_count,
made.gain_ranges, made.panel_rows, made.panel_columns FROM payload
JOIN constant_set_payload AS held ON held.digest = payload.digest
JOIN kind ON kind.id = held.kind_id
JOIN detector_type AS made ON made.id = kind.detector_type_id
WHERE payload.dtype <> :dtype
OR payload.byte_count <> 4 * made.gain_ranges * made.panel_rows * made.panel_columns
OR payload.shape <> CAST(made.gain_ranges AS VARCHAR(20)) || ',' ||
CAST(made.panel_rows AS VARCHAR(20)) || ',' || CAST(made.panel_columns AS VARCHAR(20))
ORDER BY payload.digest
"""

_UNUSED = """
SELECT digest FROM payload WHERE NOT EXISTS (SELECT 1 FROM constant_set_payload AS held
WHERE held.digest = payload.digest) ORDER BY digest
"""

_LATE_TAGS = "SELECT name FROM tag WHERE as_of_us > recorded_at_us ORDER BY name"


def ledger_findings(source: "Readable", now: datetime) -> Iterator[Finding]:
    """Find what cannot be in a record that only panelcal wrote.

    Parameters
    ----------
    now : datetime
        The time, aware: nothing was recorded after it.
    """
    yield from _times(source, now)
    yield from _starts(source)
    yield from _constant_sets(source)
    yield from _payload_rows(source)
    yield from _mixed_types(source)
    for (name,) in rows_of(source, _LATE_TAGS):
        message = "it stands for a time after it was made"
        yield Finding(Code.TAG_WRONG, f"tag {name}", message, RESTORE)


def _times(source: "Readable", now: datetime) -> Iterator[Finding]:
    for table, column, among in _ORDERED:
        query = _OUT_OF_ORDER.format(table=table, column=column, among=among)
        for row, at, before in rows_of(source, query):
            message = f"recorded {_shown(at)}, after a row that was recorded {_shown(before)}"
            yield Finding(Code.TIME_ORDER, f"{table} {row}", message, RESTORE)
    latest = to_microseconds(now + CLOCK_SKEW)
    for table, column in (*_RECORDED.items(), ("tag", "recorded_at_us")):
        query = _IN_FUTURE.format(table=table, column=column, key=_KEYS.get(table, "id"))
        for row, at in rows_of(source, query, {"latest": latest}):
            message = f"recorded {_shown(at)}, which is still to come"
            hint = "set the clock right; nothing can be recorded before that time"
            yield Finding(Code.TIME_IN_FUTURE, f"{table} {row}", message, hint)


def _starts(source: "Readable") -> Iterator[Finding]:
    for row, start in rows_of(source, _FRACTIONS, {"beginning": BEGINNING_US}):
        message = f"it starts at {_shown(start)}, which is no whole second"
        yield Finding(Code.START_FRACTION, f"assignment {row}", message, RESTORE)
    for first, last, number in rows_of(source, _TWICE):
        message = f"{number} rows, up to {last}, have one panel, start and transaction time"
        yield Finding(Code.ASSIGNMENT_TWICE, f"assignment {first}", message, RESTORE)
    query = _DIFFERENT_STARTS.format(said=_LATEST_STARTS, kept=_KEPT_STARTS)
    for name, panel_id, is_kept in rows_of(source, query):
        what = "has a start that the ledger does not say" if is_kept else "lacks a start"
        message = f"latest_start of panel {name or panel_id} {what}: --as-of could answer wrongly"
        yield Finding(Code.LATEST_START_WRONG, f"panel {name or panel_id}", message, RESTORE)


def _constant_sets(source: "Readable") -> Iterator[Finding]:
    for module, number, last, distinct in rows_of(source, _REVISIONS):
        if not number:
            message = "it has no constant set"
        elif distinct != number:
            message = f"{number} constant sets share {distinct} revisions"
        else:
            message = f"{number} constant sets, of which the last is revision {last}"
        yield Finding(Code.REVISION_GAP, f"module {module}", message, RESTORE)
    for module, revision in rows_of(source, _REVISION_ORDER):
        message = f"recorded before revision {revision - 1}"
        yield Finding(Code.TIME_ORDER, f"constant set {module}@{revision}", message, RESTORE)
    for module, revision, kind in rows_of(source, _LACKING):
        message = f"it has no {kind}"
        subject = f"constant set {module}@{revision}"
        yield Finding(Code.CONSTANT_SET_INCOMPLETE, subject, message, RESTORE)
    for module, revision, kind in rows_of(source, _OF_OTHER_TYPE):
        message = f"its {kind} is a kind of another detector type"
        subject = f"constant set {module}@{revision}"
        yield Finding(Code.CONSTANT_SET_INCOMPLETE, subject, message, RESTORE)


def _mixed_types(source: "Readable") -> Iterator[Finding]:
    for row, panel, its_type, module, other in rows_of(source, _MIXED):
        message = f"panel {panel} of {its_type} uses {module} of {other}"
        yield Finding(Code.TYPE_MIXED, f"assignment {row}", message, RESTORE)
    for row, its_type, module, other in rows_of(source, _MIXED_FILES):
        message = f"its kind is one of {its_type}, it has {module} of {other}"
        yield Finding(Code.TYPE_MIXED, f"deployment {row}", message, RESTORE)


def _payload_rows(source: "Readable") -> Iterator[Finding]:
    for digest, dtype, shape, size, *sides in rows_of(
        source, _PAYLOAD_ROWS, {"dtype": PAYLOAD_DTYPE}
    ):
        wanted = ",".join(map(str, sides))
        message = f"the row says {dtype} {shape} in {size} bytes, not {PAYLOAD_DTYPE} {wanted}"
        yield Finding(Code.PAYLOAD_ROW_WRONG, f"payload {digest}", message, RESTORE)
    for (digest,) in rows_of(source, _UNUSED):
        message = "no constant set has it; it is part of the record and is kept"
        hint = "if a constant set lacks a kind, restore the database from a backup"
        yield Finding(Code.PAYLOAD_ROW_UNUSED, f"payload {digest}", message, hint)


def _shown(count: int) -> str:
    try:
        return iso_utc(moment_of(count))
    except IntegrityError:
        return f"{count} us after 1970"
