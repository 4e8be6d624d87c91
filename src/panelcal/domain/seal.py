"""Seals: a digest over everything that a row of the record says.

A seal is the SHA-256 of a canonical text: a JSON list of the table's name and the
row's values, with the names of what it refers to instead of row numbers. It tells a
row that was edited from one that was recorded. It is no signature: whoever can
compute seals can seal a forgery.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from panelcal.domain.text import as_line, excerpt
from panelcal.errors import IntegrityError

RESTORE = "panelcal fsck names every such row; restore the database from a backup"
"""What to do about a row that is not as it was recorded."""

RUN_COLUMNS = (
    "experiment",
    "run",
    "source",
    "begin_us",
    "detector_id",
    "modules",
    "note",
    "recorded_at_us",
    "recorded_by",
)
"""What a run's seal is over, in this order."""

TAG_COLUMNS = ("name", "as_of_us", "recorded_at_us", "recorded_by", "reason")
"""What a tag's seal is over, in this order."""


@dataclass(frozen=True, slots=True)
class BrokenSeal:
    """A row that is not as it was recorded, or whose predecessor in its chain is not.

    Parameters
    ----------
    table, id : str
        Where it is; a tag's id is its name.
    says : str
        What it says now.
    """

    table: str
    id: str
    says: str

    def refusal(self) -> IntegrityError:
        """Return the error for whoever was about to use what the row says."""
        msg = (
            f"row {as_line(self.id)} of {self.table} is not as it was recorded: it says {self.says}"
        )
        return IntegrityError(msg, RESTORE)


def said(values: Mapping[str, object]) -> str:
    """Return what a row says, in one line."""
    return ", ".join(f"{name} {excerpt(str(value))}" for name, value in values.items())


def seal_of(table: str, *values: object) -> str:
    """Return the seal of a row: 64 hexadecimal digits.

    Parameters
    ----------
    table : str
        Its table.
    *values : str, int, None, list or dict
        What it says, in a fixed order. Anything else, such as the bytes that a
        damaged row of SQLite may hold, has a seal that no sound row has.
    """
    text = json.dumps(
        [table, *values], ensure_ascii=True, separators=(",", ":"), default=_unsealable
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _unsealable(value: object) -> object:
    return {"unsealable": repr(value)}


def constant_set_seal(
    *,
    detector_type: str | None,
    module: str | None,
    revision: int,
    digests: Mapping[str, str],
    delivered_from: str,
    recorded_at_us: int,
    recorded_by: str,
    reason: str,
) -> str:
    """Return the seal of a constant set, with the digest of each of its kinds."""
    return seal_of(
        "constant_set",
        detector_type,
        module,
        revision,
        [[kind, digests[kind]] for kind in sorted(digests, key=str)],
        delivered_from,
        recorded_at_us,
        recorded_by,
        reason,
    )


def assignment_seal(
    previous: str,
    *,
    panel: str | None,
    fields: tuple[str | None, str | None, str | None],
    valid_from_us: int,
    constant_set: str | None,
    recorded_at_us: int,
    recorded_by: str,
    reason: str,
) -> str:
    """Return the seal of a row of the ledger, which binds the row before it.

    Parameters
    ----------
    previous : str
        Seal of the same panel's row before it; empty for its first one.
    panel : str or None
        Its name.
    fields : tuple of str
        Module version, firmware and serial, as the panel's row has them.
    constant_set : str or None
        Seal of the constant set; None for a withdrawal.
    """
    return seal_of(
        "assignment",
        previous,
        panel,
        *fields,
        valid_from_us,
        constant_set,
        recorded_at_us,
        recorded_by,
        reason,
    )


def deployment_seal(facts: Iterable[object], panels: Iterable[tuple[int, str | None, str]]) -> str:
    """Return the seal of a deployed file.

    Parameters
    ----------
    facts : iterable
        Experiment, run, source, kind, path, digest of the file, number format, token,
        detector id, time asked for, policy, time and user of the deployment.
    panels : iterable of (int, str or None, str)
        Segment, panel id and seal of the constant set of each panel, by segment.
    """
    return seal_of("deployment", *facts, [list(panel) for panel in panels])


def store_seal(time_zone: str, created_at_us: int) -> str:
    """Return the seal of a store's settings."""
    return seal_of("store", time_zone, created_at_us)


def run_seal(values: Iterable[object]) -> str:
    """Return the seal of a run's row: the values of `RUN_COLUMNS`."""
    return seal_of("run", *values)


def tag_seal(values: Iterable[object]) -> str:
    """Return the seal of a tag's row: the values of `TAG_COLUMNS`."""
    return seal_of("tag", *values)


def approval_mode_seal(
    previous: str, required: int, recorded_at_us: int, recorded_by: str, reason: str
) -> str:
    """Return the seal of a row that switches approval on or off.

    Parameters
    ----------
    previous : str
        Seal of the row before it, which it binds; empty for the first.
    required : int
        1 is on, 0 is off.
    """
    return seal_of("approval_mode", previous, required, recorded_at_us, recorded_by, reason)


def proposal_seal(facts: Iterable[object], rows: Iterable[tuple[int, str, int, str | None]]) -> str:
    """Return the seal of a proposal.

    Parameters
    ----------
    facts : iterable
        Its verb, time, user and reason.
    rows : iterable of (int, str, int, str or None)
        Position, panel id, start and seal of the constant set of each row that it
        would add to the ledger, by position; None is a withdrawal.
    """
    return seal_of("proposal", *facts, [list(row) for row in rows])


def decision_seal(proposal: str | None, facts: Iterable[object]) -> str:
    """Return the seal of a decision, which binds what was decided about.

    Parameters
    ----------
    proposal : str or None
        Seal of the proposal.
    facts : iterable
        Verdict, time, user and reason.
    """
    return seal_of("decision", proposal, *facts)


def broken_run(row_id: int, values: Sequence[Any], seal: str) -> BrokenSeal | None:
    """Return the account of a run's row that is not as recorded, None if it is."""
    if seal == run_seal(values):
        return None
    return BrokenSeal("run", str(row_id), said(dict(zip(RUN_COLUMNS, values, strict=True))))


def broken_tag(values: Sequence[Any], seal: str) -> BrokenSeal | None:
    """Return the account of a tag's row that is not as recorded, None if it is."""
    if seal == tag_seal(values):
        return None
    return BrokenSeal("tag", str(values[0]), said(dict(zip(TAG_COLUMNS, values, strict=True))))
