"""Rows of the record edited, removed, inserted and swapped by hand."""

from dataclasses import dataclass

from corruption.scene import NOW, PAST, WHOLE, Scene

_OTHER = "'" + "ab" * 32 + "'"


@dataclass(frozen=True, slots=True)
class RowDamage:
    """Something done to rows.

    Parameters
    ----------
    name : str
        What it is.
    statements : tuple of str
        How it is done, on either engine.
    found_by : frozenset of str
        Which uses have to refuse; `WHOLE` alone is only seen by fsck.
    is_sealed : bool
        False where another rule than a seal finds it.
    """

    name: str
    statements: tuple[str, ...]
    found_by: frozenset[str]
    is_sealed: bool = True

    def do(self, scene: Scene) -> None:
        """Do it."""
        scene.tamper(*self.statements)


def _edits(
    table: str, where: str, found_by: frozenset[str], columns: dict[str, str]
) -> list[RowDamage]:
    return [
        RowDamage(
            f"{table} ({where}): {column} edited",
            (f"UPDATE {table} SET {column} = {value} WHERE {where}",),
            found_by,
        )
        for column, value in columns.items()
    ]


BOTH = frozenset({NOW, PAST})
_WHO = {
    "recorded_at_us": "recorded_at_us + 1",
    "recorded_by": "'somebody'",
    "reason": "'none'",
    "seal": _OTHER,
}
_LEDGER = {
    "panel_id": "3 - panel_id",
    "valid_from_us": "valid_from_us + 1000000",
    "constant_set_id": "4",
    **_WHO,
}
_SET = {"module_id": "9", "revision": "7", "delivered_from": "'/elsewhere'", **_WHO}
_RUN = {
    "experiment": "'xcsls3717'",
    "run": "11",
    "source": "'XcsEndstation.0:Jungfrau.1'",
    "begin_us": "begin_us - 1000000",
    "detector_id": "'171113-154920171025-3d00f7'",
    "note": "'edited'",
    "recorded_at_us": "recorded_at_us + 1",
    "recorded_by": "'somebody'",
    "seal": _OTHER,
}
_TAG = {
    "as_of_us": "as_of_us - 1000000",
    "recorded_at_us": "recorded_at_us + 1",
    "recorded_by": "'somebody'",
    "reason": "'none'",
    "seal": _OTHER,
}
_DEPLOYMENT = {
    "experiment": "'xcsls3717'",
    "run": "11",
    "source": "'XcsEndstation.0:Jungfrau.1'",
    "kind_id": "3 - kind_id",
    "path": "'/elsewhere'",
    "file_digest": _OTHER,
    "number_format": "'%.9g'",
    "token": "'0000000000000000'",
    "detector_id": "'x'",
    "at_us": "at_us + 1",
    "policy": "'legacy'",
    "deployed_at_us": "deployed_at_us + 1",
    "deployed_by": "'somebody'",
    "seal": _OTHER,
}


_VERDICT = {
    "constant_set_id": "4",
    "rules_digest": _OTHER,
    "accepted": "'somebody said so'",
    "recorded_at_us": "recorded_at_us + 1",
    "recorded_by": "'somebody'",
    "seal": _OTHER,
}


def _all() -> list[RowDamage]:
    whole = frozenset({WHOLE})
    found: list[RowDamage] = []
    for row in (8, 7, 4, 1):
        # Moved off the end of one chain and onto another: seen where it is now.
        found += _edits("assignment", f"id = {row}", BOTH, _LEDGER)
    found += _edits(
        "assignment", "id = 5", BOTH, {"constant_set_id": "1", "valid_from_us": "1530000000000000"}
    )
    found += [
        RowDamage(
            "assignment (id = 5): a withdrawal refers to no constant set",
            ("UPDATE assignment SET constant_set_id = 99 WHERE id = 5",),
            BOTH,
        ),
        RowDamage(
            "assignment (id = 7): a start that is no time",
            ("UPDATE assignment SET valid_from_us = -9000000000000000000 WHERE id = 7",),
            BOTH,
        ),
    ]
    found += _edits("constant_set", "id = 1", BOTH, _SET)
    found += _edits("constant_set", "id = 2", frozenset({NOW}), {"revision": "9", "reason": "'x'"})
    found += _edits("constant_set", "id = 4", whole, {"reason": "'x'", "delivered_from": "'x'"})
    found += _edits("constant_set", "id = 4", BOTH, {"seal": _OTHER})
    # Of a run with two sources, which one is meant is asked before anything is given.
    used = {name: value for name, value in _RUN.items() if name != "source"}
    found += _edits("run", "id = 2", BOTH, used)
    found.append(
        RowDamage(
            "run (id = 2): experiment and run edited",
            ("UPDATE run SET experiment = 'xcsls3717', run = 11 WHERE id = 2",),
            frozenset({WHOLE}),
        )
    )
    found += _edits("run", "id = 1", whole, {"note": "'edited'", "seal": _OTHER})
    found += _edits("tag", "name = 't1'", frozenset({PAST}), _TAG)
    found += _edits("tag", "name = 't1'", whole, {"name": "'t2'"})
    found += _edits("deployment", "id = 1", whole, _DEPLOYMENT)
    found += _edits(
        "deployment_panel",
        "deployment_id = 1 AND segment = 0",
        whole,
        {"segment": "5", "panel": "'x'", "constant_set_id": "4", "deployment_id": "9"},
    )
    found += _edits("quality_verdict", "id = 1", whole, _VERDICT)
    found += _edits(
        "quality_plane",
        "verdict_id = 1 AND kind = 'pixel_gain' AND gain_range = 1",
        whole,
        {"median": "median + 1", "sigma": "0", "gain_range": "7", "kind": "'x'", "verdict_id": "9"},
    )
    found += _edits("approval_mode", "id = 1", whole, {"required": "0", **_WHO})
    found += _edits("proposal", "id = 1", whole, {"verb": "'withdraw'", **_WHO})
    found += _edits(
        "proposal_assignment",
        "proposal_id = 1",
        whole,
        {"panel": "'x'", "valid_from_us": "1", "constant_set_id": "4", "position": "1"},
    )
    found += _edits("decision", "proposal_id = 1", whole, {"verdict": "'approved'", **_WHO})
    found += _edits("panel", "id = 1", BOTH, {"module_version": "'1'", "firmware": "'2'"})
    found += _edits("panel", "id = 1", BOTH, {"serial": "'3'"})
    found += _edits("module", "id = 1", BOTH, {"name": "'M009'"})
    found += _edits("detector_type", "id = 1", whole, {"name": "'other'"})
    return found + _further()


def _further() -> list[RowDamage]:
    return [
        RowDamage(
            "panel names swapped",
            (
                "UPDATE panel SET name = 'x' WHERE id = 1",
                "UPDATE panel SET name = '170505-149520170815-3d00b0' WHERE id = 2",
                "UPDATE panel SET name = '171113-154920171025-3d00f7' WHERE id = 1",
            ),
            BOTH,
        ),
        RowDamage(
            "module names swapped",
            (
                "UPDATE module SET name = 'x' WHERE id = 1",
                "UPDATE module SET name = 'M001' WHERE id = 2",
                "UPDATE module SET name = 'M002' WHERE id = 1",
            ),
            BOTH,
        ),
        RowDamage(
            "kind names swapped",
            (
                "UPDATE kind SET name = 'x' WHERE id = 1",
                "UPDATE kind SET name = 'pixel_gain' WHERE id = 2",
                "UPDATE kind SET name = 'pixel_offset' WHERE id = 1",
            ),
            BOTH,
        ),
        RowDamage(
            "digests of two kinds of a constant set swapped",
            (
                (
                    "UPDATE constant_set_payload SET digest = (SELECT other.digest FROM "
                    "constant_set_payload AS other WHERE other.constant_set_id = 4 "
                    "AND other.kind_id = 1) WHERE constant_set_id = 1 AND kind_id = 2"
                ),
            ),
            BOTH,
        ),
        RowDamage(
            "kinds of a constant set exchanged",
            (
                (
                    "UPDATE constant_set_payload SET kind_id = 9 WHERE constant_set_id = 1 "
                    "AND kind_id = 1"
                ),
                (
                    "UPDATE constant_set_payload SET kind_id = 1 WHERE constant_set_id = 1 "
                    "AND kind_id = 2"
                ),
                (
                    "UPDATE constant_set_payload SET kind_id = 2 WHERE constant_set_id = 1 "
                    "AND kind_id = 9"
                ),
            ),
            BOTH,
        ),
        RowDamage(
            "a kind of a constant set removed",
            ("DELETE FROM constant_set_payload WHERE constant_set_id = 1 AND kind_id = 2",),
            BOTH,
        ),
        RowDamage(
            "a row removed from the middle of a chain",
            ("DELETE FROM assignment WHERE id = 4",),
            BOTH,
        ),
        RowDamage(
            "the first row of a chain removed",
            ("DELETE FROM assignment WHERE id = 1",),
            BOTH,
        ),
        RowDamage(
            "a row inserted by hand",
            (
                (
                    "INSERT INTO assignment (id, panel_id, valid_from_us, constant_set_id, "
                    "recorded_at_us, recorded_by, reason) SELECT 50, 1, 1526000000000000, 4, "
                    "max(recorded_at_us), 'somebody', 'none' FROM assignment"
                ),
            ),
            BOTH,
        ),
        RowDamage(
            "a row inserted with the seal of another",
            (
                (
                    "INSERT INTO assignment (id, panel_id, valid_from_us, constant_set_id, "
                    "recorded_at_us, recorded_by, reason, seal) SELECT 50, panel_id, "
                    "1526000000000000, constant_set_id, recorded_at_us, recorded_by, reason, seal "
                    "FROM assignment WHERE id = 8"
                ),
            ),
            BOTH,
        ),
        RowDamage(
            "the last row of a chain, with the latest start, removed",
            ("DELETE FROM assignment WHERE id = 6", "DELETE FROM assignment WHERE id = 7"),
            BOTH,
            is_sealed=False,
        ),
        RowDamage(
            "a run inserted by hand",
            (
                (
                    "INSERT INTO run (id, experiment, run, source, begin_us, detector_id, modules, "
                    "note, recorded_at_us, recorded_by) SELECT 50, experiment, run, source, "
                    "begin_us - 31536000000000, detector_id, modules, note, recorded_at_us + 1, "
                    "recorded_by FROM run WHERE id = 2"
                ),
            ),
            BOTH,
        ),
        RowDamage(
            "a latest start lowered",
            (
                (
                    "UPDATE latest_start SET valid_from_us = 1400000000000000 "
                    "WHERE panel_id = 1 AND valid_from_us > 1550000000000000"
                ),
            ),
            BOTH,
            is_sealed=False,
        ),
        RowDamage(
            "a latest start removed",
            ("DELETE FROM latest_start WHERE panel_id = 2 AND valid_from_us > 0",),
            BOTH,
            is_sealed=False,
        ),
        RowDamage(
            "the settings: time zone edited",
            ("UPDATE store SET time_zone = 'UTC'",),
            BOTH,
        ),
        RowDamage(
            "the settings: time of making edited",
            ("UPDATE store SET created_at_us = created_at_us + 1",),
            BOTH,
        ),
        RowDamage("the settings: seal edited", (f"UPDATE store SET seal = {_OTHER}",), BOTH),
    ]


ROWS = _all()
"""Every damage to rows that is tried."""

UNSEEN = (
    RowDamage(
        "the last row of a chain removed that had no latest start",
        ("DELETE FROM assignment WHERE id = 8",),
        frozenset(),
        is_sealed=False,
    ),
    RowDamage(
        "the correction of a run removed", ("DELETE FROM run WHERE id = 2",), frozenset(), False
    ),
)
"""What leaves rows that are all as they were recorded: only a backup can tell."""
