"""A store with a history worth taking along, and every answer that a store gives."""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from builders import write_delivery
from panelcal.domain.runs import parse_dataset
from panelcal.errors import NotFoundError
from panelcal.services.assign import assign, withdraw
from panelcal.services.history import log
from panelcal.services.modules import deliver
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run
from panelcal.services.tags import create_tag
from panelcal.storage.store import OpenStore

FB, F7, B0 = (f"171113-154920171025-3d00{serial}" for serial in ("fb", "f7", "b0"))
PAIR = f"{FB}_{F7}"
TARGETS = (
    FB,
    F7,
    B0,
    PAIR,
    "exp=xcsls3716:run=1",
    "exp=xcsls3716:run=2",
    "exp=xcsls3716:run=3",
    "exp=xcsls3716:run=4",
)
SOURCE = "XcsEndstation.0:Jungfrau.0"
BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
MARCH, JUNE, AUTUMN = (datetime(2018, month, 6, 8, tzinfo=UTC) for month in (3, 6, 10))
MOMENTS = (MARCH - timedelta(days=9), MARCH, JUNE, AUTUMN, datetime(2020, 1, 1, tzinfo=UTC))


class Teller:
    """Records things in a store, a second apart."""

    def __init__(self, store: OpenStore, scratch: Path, begun: datetime = BEGUN) -> None:
        self.store, self.scratch, self.now = store, scratch, begun

    def _tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def deliver(self, module: str, seed: int) -> None:
        files = write_delivery(self.scratch / f"{module}-{seed}", seed)
        deliver(self.store, module, files, now=self._tick(), user="ann", reason=f"delivery {seed}")

    def assign(self, panel: str, reference: str, start: datetime | None) -> None:
        assign(self.store, panel, reference, start, now=self._tick(), user="bob", reason="swapped")

    def withdraw(self, panel: str, start: datetime) -> None:
        withdraw(self.store, panel, start, now=self._tick(), user="bob", reason="broken")

    def run(self, number: int, *, supersede: bool = False, **fields: str) -> None:
        dataset = parse_dataset(f"exp=xcsls3716:run={number}")
        typed = RunFields(
            dataset.experiment, str(number), SOURCE, begin="2018-07-01T00:00:00Z", **fields
        )
        add_run(self.store, typed, now=self._tick(), user="cle", supersede=supersede)

    def tag(self, name: str) -> None:
        create_tag(self.store, name, now=self._tick(), user="dan", reason=f"for {name}")


def tell(store: OpenStore, scratch: Path) -> Teller:
    """Fill a store: three panels, redeliveries, corrections, a withdrawal, runs, two tags."""
    teller = Teller(store, scratch)
    for seed, module in enumerate(("M044", "M068", "M088")):
        teller.deliver(module, seed)
    teller.assign(FB, "M044", MARCH)
    teller.assign(F7, "M068", None)
    teller.run(1, detector_id=FB)
    teller.run(2, detector_id=PAIR)
    teller.run(3, modules="M088")
    teller.tag("first")
    teller.deliver("M044", 10)
    teller.deliver("M044", 11)
    teller.assign(FB, "M044@3", MARCH)
    teller.assign(B0, "M044@2", None)
    teller.withdraw(F7, AUTUMN)
    teller.tag("second")
    teller.assign(FB, "M068", JUNE)
    teller.run(1, detector_id=PAIR, supersede=True)
    teller.run(4, detector_id=B0)
    return teller


def moments_of_record(store: OpenStore) -> list[datetime]:
    """Return every transaction time of a store, in order."""
    return sorted({event.recorded_at for event in log(store)})


def answers(
    store: OpenStore, as_of: datetime | None, targets: tuple[str, ...] = TARGETS
) -> dict[tuple[str, datetime, str], str]:
    """Return the token of every question, or that there is no answer."""
    return {
        (target, at, policy): _token(store, target, at, policy == "legacy", as_of)
        for target in targets
        for at in MOMENTS
        for policy in ("strict", "legacy")
    }


def _token(
    store: OpenStore, target: str, at: datetime, is_legacy: bool, as_of: datetime | None
) -> str:
    policy = "legacy" if is_legacy else "strict"
    try:
        return resolve(store, target, at, policy=policy, as_of=as_of, now=BEGUN).token  # type: ignore[arg-type]
    except NotFoundError:
        return "none"


def list_anew(bundle: Path) -> None:
    """Let a bundle's list agree with its database, as one who forges both would."""
    content = (bundle / "panelcal.db").read_bytes()
    listed = json.loads((bundle / "bundle.json").read_text())
    for member in listed["members"]:
        if member["name"] == "panelcal.db":
            member |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "bundle.json").write_text(json.dumps(listed))
