"""What deployed files were made to hold: the last answer put in each place."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from panelcal.domain.moments import moment_of
from panelcal.domain.runs import Dataset
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable

# A file that was replaced is read no longer.
_LAST = """
SELECT row.id, row.experiment, row.run, row.source, kind.name, row.path, row.detector_id,
       row.at_us, row.policy, row.deployed_at_us, part.segment, module.name, used.revision,
       held.digest
FROM deployment AS row
JOIN kind ON kind.id = row.kind_id
JOIN deployment_panel AS part ON part.deployment_id = row.id
JOIN constant_set AS used ON used.id = part.constant_set_id
JOIN module ON module.id = used.module_id
JOIN constant_set_payload AS held
  ON held.constant_set_id = used.id AND held.kind_id = row.kind_id
WHERE row.id = (SELECT max(later.id) FROM deployment AS later WHERE later.path = row.path)
ORDER BY row.id, part.segment
"""


@dataclass(frozen=True, slots=True)
class DeployedAnswer:
    """The answer that a calib file was last made to hold.

    Parameters
    ----------
    dataset, source : Dataset, str
        The run it was written for.
    kind, path : str
        Kind of constant; the file.
    detector : str
        Detector id, or what stands for it where the run declares modules.
    at : datetime or None
        T of the answer, UTC; None where legacy policy was asked without a moment.
    policy : str
        ``strict`` or ``legacy``.
    deployed_at : datetime
        When it was put there.
    uses : tuple of str
        The constant set of each panel, ``M068@1``, in segment order.
    digests : tuple of str
        Digest of the payload of each panel.
    """

    dataset: Dataset
    source: str
    kind: str
    path: str
    detector: str
    at: datetime | None
    policy: str
    deployed_at: datetime
    uses: tuple[str, ...]
    digests: tuple[str, ...]


def last_deployed(source: "Readable") -> Iterator[DeployedAnswer]:
    """Give the last answer deployed to each path, in the order of recording."""
    for _, group in groupby(rows_of(source, _LAST), itemgetter(0)):
        held = list(group)
        _, experiment, run, name, kind, path, detector, at_us, policy, deployed_at_us = held[0][:10]
        yield DeployedAnswer(
            dataset=Dataset(experiment, run),
            source=name,
            kind=kind,
            path=path,
            detector=detector,
            at=None if at_us is None else moment_of(at_us),
            policy=policy,
            deployed_at=moment_of(deployed_at_us),
            uses=tuple(f"{row[11]}@{row[12]}" for row in held),
            digests=tuple(row[13] for row in held),
        )
