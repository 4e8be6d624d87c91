"""Transaction time: when a unit of work says that it wrote."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from panelcal.domain.moments import iso_utc, moment_of
from panelcal.errors import ConflictError
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

CLOCK_SKEW = timedelta(minutes=5)
"""How far the clocks of hosts that write to one store may differ, and how long a
write may take from reading its clock to recording. The database's own trigger
allows as much ahead of its clock."""


_LATEST = """
SELECT (SELECT max(recorded_at_us) FROM assignment),
       (SELECT max(recorded_at_us) FROM constant_set),
       (SELECT max(recorded_at_us) FROM run),
       (SELECT max(recorded_at_us) FROM tag),
       (SELECT max(deployed_at_us) FROM deployment),
       (SELECT max(recorded_at_us) FROM quality_verdict),
       (SELECT max(recorded_at_us) FROM approval_mode),
       (SELECT max(recorded_at_us) FROM proposal),
       (SELECT max(recorded_at_us) FROM decision)
"""


def latest_record(source: "Readable") -> datetime | None:
    """Return the transaction time of the last change; None in an empty store."""
    found = rows_of(source, _LATEST)[0]
    latest = max((time for time in found if time is not None), default=None)
    return None if latest is None else moment_of(latest)


def recording_time(source: "Readable", now: datetime) -> datetime:
    """Return the transaction time for a unit of work that writes now.

    It increases strictly within a store, so that the order in which changes
    were acknowledged is the order in which they are recorded. Where the clock
    has not passed the last record, because another host's is ahead by a moment,
    it is one microsecond after that record.

    Raises
    ------
    ConflictError
        The clock is behind the last record by more than hosts may differ: it
        runs backwards, or the record was made by one that runs ahead.
    """
    latest = latest_record(source)
    if latest is None or now > latest:
        return now
    if latest - now > CLOCK_SKEW:
        msg = f"the clock says {iso_utc(now)}, but the store's last record is of {iso_utc(latest)}"
        raise ConflictError(msg, "set the clock right, and try again; nothing was changed")
    return latest + timedelta(microseconds=1)
