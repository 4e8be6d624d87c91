"""Make ``store-0001``: a store as the first release left it, schema 0001.

Run once, by hand, from the checkout: ``python tests/data/make_store_0001.py``.
What it made is kept with the tests and never made again: it stands for the
stores that people have. The rows are the page's tree in miniature, two runs and
one correction, at fixed times; the tokens are computed from the answers written
down here, past the resolver.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from sqlalchemy import Connection, text

from panelcal.domain.moments import iso_utc, parse_stamp, to_microseconds
from panelcal.domain.resolution import token_of
from panelcal.storage import migrate
from panelcal.storage.database import Database
from panelcal.storage.payloads import PayloadStore

ZONE = ZoneInfo("America/Los_Angeles")
SHAPE = (3, 4, 8)
MODULES = ("M044", "M068", "M088")
KINDS = {"pixel_gain": 40.0, "pixel_offset": 2000.0}

OLD_B0, OLD_F7 = "170505-149520170815-3d00b0", "170505-149520170815-3d00f7"
NEW_B0, NEW_F7 = "171113-154920171025-3d00b0", "171113-154920171025-3d00f7"
NEW_FB = "171113-154920171025-3d00fb"

LEDGER = (
    (OLD_B0, "20171025000000", "M068", "2026-01-02T00:00:00Z"),
    (OLD_F7, "20171025000000", "M088", "2026-01-02T00:00:00Z"),
    (NEW_B0, None, "M068", "2026-01-02T00:00:00Z"),
    (NEW_F7, None, "M088", "2026-01-02T00:00:00Z"),
    (NEW_FB, "20180306000000", "M088", "2026-01-02T00:00:00Z"),
    # The one correction: it was M044 all along.
    (NEW_FB, "20180306000000", "M044", "2026-01-05T00:00:00Z"),
)
RUNS = (
    ("xcsls3716", 631, "XcsEndstation.0:Jungfrau.0", "20171205161400", (OLD_B0, OLD_F7)),
    ("mfxlp6515", 12, "MfxEndstation.0:Jungfrau.0", "20180419000000", (NEW_B0, NEW_F7, NEW_FB)),
)
QUESTIONS = (
    ((OLD_B0,), "20171025000000", ("M068",)),
    ((OLD_B0, OLD_F7), "20171205161400", ("M068", "M088")),
    ((NEW_B0, NEW_F7), "20100101000000", ("M068", "M088")),
    ((NEW_FB,), "20180306000000", ("M044",)),
    ((NEW_B0, NEW_F7, NEW_FB), "20180419000000", ("M068", "M088", "M044")),
)


def microseconds(iso: str) -> int:
    """Return what the database holds for an ISO time."""
    return to_microseconds(datetime.fromisoformat(iso).astimezone(UTC))


def stamp(typed: str | None) -> int:
    """Return what the database holds for a stamp, or for the beginning."""
    return to_microseconds(None if typed is None else parse_stamp(typed, ZONE).utc)


def array_of(module: str, kind: str) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Return fixed values: eighths, which float32 holds exactly."""
    steps = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) / 8
    return (steps + KINDS[kind] + 100 * MODULES.index(module)).astype(np.float32)


def fill(connection: Connection, digests: dict[str, dict[str, str]]) -> None:
    """Add the rows, as the first release did."""

    def run(statement: str, **values: object) -> None:
        connection.execute(text(statement), values)

    delivered = microseconds("2026-01-01T12:00:00Z")
    run("UPDATE detector_type SET panel_rows = 4, panel_columns = 8")
    run("INSERT INTO store VALUES (1, :zone, :at)", zone=ZONE.key, at=delivered)
    for number, (module, kinds) in enumerate(digests.items(), 1):
        run("INSERT INTO module VALUES (:n, 1, :module)", n=number, module=module)
        run(
            "INSERT INTO constant_set VALUES (:n, :n, 1, :path, :at, 'first', 'delivery')",
            n=number,
            path=f"jungfrau/{module}",
            at=delivered,
        )
        for kind, digest in kinds.items():
            run("INSERT INTO payload VALUES (:d, 'float32', '3,4,8', 384)", d=digest)
            run(
                "INSERT INTO constant_set_payload SELECT :n, id, :d FROM kind WHERE name = :kind",
                n=number,
                d=digest,
                kind=kind,
            )
    for panel in dict.fromkeys(row[0] for row in LEDGER):
        version, firmware, serial = panel.split("-")
        run(
            "INSERT INTO panel (detector_type_id, name, module_version, firmware, serial) "
            "VALUES (1, :panel, :version, :firmware, :serial)",
            panel=panel,
            version=version,
            firmware=firmware,
            serial=serial,
        )
    for panel, start, module, recorded in LEDGER:
        run(
            "INSERT INTO assignment "
            "(panel_id, valid_from_us, constant_set_id, recorded_at_us, recorded_by, reason) "
            "SELECT id, :start, :n, :at, 'first', 'page' FROM panel WHERE name = :panel",
            start=stamp(start),
            n=MODULES.index(module) + 1,
            at=microseconds(recorded),
            panel=panel,
        )
    for experiment, number, source, begin, panels in RUNS:
        run(
            "INSERT INTO run (experiment, run, source, begin_us, detector_id, modules, note, "
            "recorded_at_us, recorded_by) "
            "VALUES (:experiment, :run, :source, :begin, :detector, '', '', :at, 'first')",
            experiment=experiment,
            run=number,
            source=source,
            begin=stamp(begin),
            detector="_".join(panels),
            at=microseconds("2026-01-03T00:00:00Z") + number,
        )


def tokens(digests: dict[str, dict[str, str]]) -> list[dict[str, str | None]]:
    """Return the questions with the tokens of their answers."""
    found: list[dict[str, str | None]] = []
    for panels, typed, modules in QUESTIONS:
        at = iso_utc(parse_stamp(typed, ZONE).utc)
        token = token_of("_".join(panels), at, "strict", [digests[one] for one in modules])
        found.append({"target": "_".join(panels), "at": typed, "token": token})
    for experiment, run, _, begin, panels in RUNS:
        same = next(one for one in QUESTIONS if one[:2] == (panels, begin))
        token = str(found[QUESTIONS.index(same)]["token"])
        found.append({"target": f"exp={experiment}:run={run}", "at": None, "token": token})
    return found


def main() -> None:
    """Make the store beside this file."""
    directory = Path(__file__).parent / "store-0001"
    (directory / "payloads").mkdir(parents=True)
    payloads = PayloadStore(directory / "payloads")
    with payloads.batch() as batch:
        digests = {
            module: {kind: batch.add(array_of(module, kind)) for kind in KINDS}
            for module in MODULES
        }
        batch.publish()
    path = directory / "panelcal.db"
    path.touch()
    with Database(path) as database:
        migrate.upgrade(database, "0001")
        with database.writing() as connection:
            fill(connection, digests)
    document = json.dumps(tokens(digests), indent=2) + "\n"
    (directory / "tokens.json").write_text(document, encoding="utf-8")


if __name__ == "__main__":
    main()
