"""The Python interface: open a store, ask it for constants.

Examples
--------
::

    with panelcal.open_store("store") as store:
        answer = store.resolve("exp=xcsls3716:run=631", "20180419000000")
        gain = answer.arrays()["pixel_gain"]  # ADU/keV, (3, 2, 512, 1024)
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from panelcal.domain.resolution import Resolution
from panelcal.domain.runs import Run, is_dataset
from panelcal.domain.validity import Policy
from panelcal.services import resolve as resolving
from panelcal.services import runs
from panelcal.services.assemble import assemble
from panelcal.services.remember import Memory
from panelcal.services.sealed import SealedRows
from panelcal.services.tags import transaction_time
from panelcal.storage.recording import CLOCK_SKEW
from panelcal.storage.store import OpenStore
from panelcal.storage.store import open_store as open_directory
from panelcal.who import current_user

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from panelcal.services.coverage import Coverage
    from panelcal.services.history import History


@dataclass(frozen=True)
class ResolvedConstants(Resolution):
    """An answer that can load its arrays."""

    store: OpenStore | None = field(default=None, repr=False, compare=False)
    asked_at: datetime | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, answer: Resolution, store: OpenStore, asked_at: datetime) -> Self:
        """Return an answer with the store that gave it, and when it was asked."""
        found = cls.__new__(cls)
        # All fields as they are; setting each of a frozen class takes longer than the rest.
        vars(found).update(vars(answer), store=store, asked_at=asked_at)
        return found

    def arrays(self) -> "dict[str, np.ndarray[Any, np.dtype[np.float32]]]":
        """Load the constants, verifying every row that they come from and every payload.

        Returns
        -------
        dict of str to ndarray of float32
            By kind; shape (gain range, panel, row, column), for jungfrau
            (3, N, 512, 1024), panels in segment order; ADU/keV for
            ``pixel_gain`` and ADU for ``pixel_offset``. All values are finite.

        Raises
        ------
        IntegrityError
            A payload is missing or damaged, or a row is not as it was recorded.
        """
        if self.store is None or self.asked_at is None:
            msg = "this answer was not given by a store"
            raise TypeError(msg)
        with self.store.database.reader.snapshot() as snapshot:
            # Rows may have been added since, and by hosts whose clocks differ.
            SealedRows(snapshot).require(self, self.asked_at - CLOCK_SKEW)
        return {kind: assemble(self.store.payloads, self, kind) for kind in self.kinds}

    def to_arrow(self) -> "pa.Table":
        """Return the answer as an Arrow table, a row per panel; see `resolution_table`.

        Raises
        ------
        InvalidInputError
            pyarrow is not installed.
        """
        from panelcal.exporters.arrow_table import resolution_table

        return resolution_table(self)


class Store(AbstractContextManager["Store"]):
    """A store opened from Python; use it in a ``with`` statement or close it.

    Parameters
    ----------
    directory : str or Path
        Made by ``panelcal init``.

    Raises
    ------
    NotFoundError
        There is no store.
    SchemaError
        Its database is older or newer than this panelcal.
    """

    def __init__(self, directory: str | Path) -> None:
        self._store = open_directory(Path(directory))
        self._memory = Memory[ResolvedConstants](self._store.database.reader)

    def resolve(
        self,
        detector: str,
        at: str | datetime | None = None,
        *,
        source: str | None = None,
        policy: Policy = "strict",
        as_of: str | datetime | None = None,
        tag: str | None = None,
    ) -> ResolvedConstants:
        """Return the constants of a detector id, or of a dataset, at a time.

        Asked the same repeatedly, it gives the same answer without asking the
        database for more than whether anything was committed since.

        Parameters
        ----------
        detector : str
            Detector id, or dataset ``exp=xcsls3716:run=631``.
        at : str, datetime or None
            A stamp or ISO 8601 with an offset, or an aware datetime. Without
            it a dataset is resolved at its run's begin, a detector id now.
        source : str or None
            Which detector of a dataset, as ``Jungfrau.0``.
        policy : {'strict', 'legacy'}
            As `panelcal.services.resolve.resolve`.

        as_of : str, datetime or None
            Transaction time: what the ledger said then.
        tag : str or None
            Name of a tag, instead.

        Raises
        ------
        InvalidInputError, NotFoundError, NoValidConstantsError
            As `panelcal.services.resolve.resolve`.
        """

        def ask() -> ResolvedConstants:
            return self._resolve(detector, at, source, policy, as_of, tag)

        # Without a time a detector is resolved now, which is another time each time.
        if at is None and not is_dataset(detector):
            return ask()
        # Equal datetimes of one zone can be two moments, told apart by their fold.
        folds = getattr(at, "fold", 0), getattr(as_of, "fold", 0)
        return self._memory.recall((detector, at, source, policy, as_of, tag, folds), ask)

    def _resolve(
        self,
        detector: str,
        at: str | datetime | None,
        source: str | None,
        policy: Policy,
        as_of: str | datetime | None,
        tag: str | None,
    ) -> ResolvedConstants:
        now = datetime.now(UTC)
        past = transaction_time(self._store, as_of, tag, now=now)
        answer = resolving.resolve(
            self._store,
            detector,
            at,
            source=source,
            policy=policy,
            as_of=None if past is None else past.utc,
            now=now,
        )
        return ResolvedConstants.of(answer, self._store, now)

    def detector_id(
        self, dataset: str, source: str | None = None, segment: int | None = None
    ) -> str:
        """Return what ``id_jungfrau(env, source, segment)`` gives for a registered run.

        Raises
        ------
        NotFoundError
            The run, its source or the segment is not registered.
        InvalidInputError
            The dataset is malformed or the source is ambiguous.
        """
        return runs.detector_id(self._store, dataset, source, segment)

    def history(self, target: str) -> "History":
        """Return the history of a panel id, a detector id or a module.

        Raises
        ------
        NotFoundError, InvalidInputError
            As `panelcal.services.history.history_of`.
        """
        from panelcal.services.history import history_of

        return history_of(self._store, target)

    def coverage(
        self,
        *,
        experiment: str | None = None,
        instrument: str | None = None,
        detector: str | None = None,
    ) -> "Coverage":
        """Return which registered runs have constants, and how old these are.

        Raises
        ------
        NotFoundError, InvalidInputError, IntegrityError
            As `panelcal.services.coverage.coverage_of`.
        """
        from panelcal.services.coverage import coverage_of

        return coverage_of(
            self._store, experiment=experiment, instrument=instrument, detector=detector
        )

    def add_run(self, fields: runs.RunFields, *, supersede: bool = False) -> Run:
        """Register one source of a run.

        Parameters
        ----------
        fields : RunFields
            `panelcal.psana.run_fields` makes them from psana's objects.
        supersede : bool
            Record what differs from the store as a correction.

        Raises
        ------
        InvalidInputError
            A field is malformed.
        ConflictError
            The run is registered already, the same or otherwise.
        """
        now, user = datetime.now(UTC), current_user()
        return runs.add_run(self._store, fields, now=now, user=user, supersede=supersede)

    def close(self) -> None:
        """Close the database."""
        self._store.close()

    def __exit__(self, *_: object) -> None:
        self.close()


def open_store(directory: str | Path) -> Store:
    """Open a store; see `Store`."""
    return Store(directory)
