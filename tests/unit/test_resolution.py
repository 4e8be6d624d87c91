"""The token of an answer: equal for the same question and payloads, on any machine."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from panelcal.domain.moments import time_zone
from panelcal.domain.resolution import Resolution, ResolvedPanel

DETECTOR = "171113-154920171025-3d00b0_171113-154920171025-3d00f7"
GAIN, OFFSET = "a" * 64, "b" * 64


def panel(index: int, **changes: Any) -> ResolvedPanel:
    facts: dict[str, Any] = {
        "index": index,
        "panel": DETECTOR.split("_")[index],
        "module": "M044",
        "revision": 1,
        "valid_from": datetime(2018, 3, 6, 8, tzinfo=UTC),
        "recorded_at": datetime(2026, 1, 1, tzinfo=UTC),
        "digests": {"pixel_gain": GAIN, "pixel_offset": OFFSET},
        "assignment_id": index,
        "constant_set_id": 1,
        "detector_type": "jungfrau",
    }
    return ResolvedPanel(**(facts | changes))


ANSWER = Resolution(
    detector=DETECTOR,
    at=datetime(2018, 4, 19, 7, tzinfo=UTC),
    asked="20180419000000",
    policy="strict",
    as_of=None,
    panels=(panel(0), panel(1)),
    zone=time_zone("America/Los_Angeles"),
)


def test_the_token_is_the_documented_hash_of_question_and_digests() -> None:
    # Written out, not built by the code under test: keys sorted, no blanks.
    one = f'{{"pixel_gain":"{GAIN}","pixel_offset":"{OFFSET}"}}'
    text = (
        f'{{"at":"2018-04-19T07:00:00Z","detector":"{DETECTOR}",'
        f'"panels":[{one},{one}],"policy":"strict"}}'
    )
    assert ANSWER.token == hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


def test_without_a_moment_the_token_hashes_what_the_legacy_selector_was_given() -> None:
    one = f'{{"pixel_gain":"{GAIN}","pixel_offset":"{OFFSET}"}}'
    for asked, written in (("2018", '"2018"'), (None, "null")):
        text = (
            f'{{"at":{written},"detector":"{DETECTOR}","panels":[{one},{one}],"policy":"legacy"}}'
        )
        answer = replace(ANSWER, at=None, asked=asked, policy="legacy")
        assert answer.token == hashlib.sha256(text.encode("ascii")).hexdigest()[:16]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"detector": "_".join(reversed(DETECTOR.split("_")))}, id="detector"),
        pytest.param({"at": datetime(2018, 4, 19, 7, 0, 1, tzinfo=UTC)}, id="a second"),
        pytest.param({"at": datetime(2018, 4, 19, 7, 0, 0, 1, tzinfo=UTC)}, id="a microsecond"),
        pytest.param({"policy": "legacy"}, id="policy"),
        pytest.param({"panels": (panel(0),)}, id="a panel less"),
        *(
            pytest.param(
                {
                    "panels": tuple(
                        panel(
                            index,
                            digests={"pixel_gain": GAIN, "pixel_offset": OFFSET}
                            | ({kind: "c" * 64} if index == changed else {}),
                        )
                        for index in range(2)
                    )
                },
                id=f"{kind} of panel {changed}",
            )
            for changed in range(2)
            for kind in ("pixel_gain", "pixel_offset")
        ),
        pytest.param(
            {"panels": (panel(0, digests={"pixel_gain": OFFSET, "pixel_offset": GAIN}), panel(1))},
            id="payloads of two kinds swapped",
        ),
    ],
)
def test_the_token_changes_with_detector_t_policy_and_any_digest(changes: dict[str, Any]) -> None:
    assert replace(ANSWER, **changes).token != ANSWER.token


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"zone": time_zone("Europe/Paris"), "asked": "20180419090000"}, id="zone"),
        pytest.param({"as_of": datetime(2026, 5, 1, tzinfo=UTC)}, id="transaction time"),
        pytest.param({"guessed": (DETECTOR,), "notices": ("said",)}, id="talk"),
        pytest.param(
            {"at": datetime(2018, 4, 19, 16, tzinfo=timezone(timedelta(hours=9)))},
            id="the offset that T was given in",
        ),
        pytest.param(
            {
                "panels": tuple(
                    panel(
                        index,
                        recorded_at=datetime(2027, 1, 1, tzinfo=UTC),
                        valid_from=None,
                        assignment_id=77,
                        constant_set_id=88,
                        module="M068",
                        revision=5,
                    )
                    for index in range(2)
                )
            },
            id="how the ledger came to say so",
        ),
        pytest.param(
            {
                "panels": tuple(
                    panel(index, digests={"pixel_offset": OFFSET, "pixel_gain": GAIN})
                    for index in range(2)
                )
            },
            id="the order of kinds",
        ),
    ],
)
def test_the_token_does_not_change_with_the_zone_or_the_record(changes: dict[str, Any]) -> None:
    assert replace(ANSWER, **changes).token == ANSWER.token


def test_the_document_shows_starts_as_stamps_of_the_zone_and_the_beginning_as_null() -> None:
    answer = replace(ANSWER, panels=(panel(0), panel(1, valid_from=None)))
    document = answer.document()
    assert [one["valid_from"] for one in document["panels"]] == ["20180306000000", None]
    assert document["at"] == "20180419000000"
    assert document["as_of"] is None
    assert document["panels"][0]["recorded_at"] == "2026-01-01T00:00:00Z"
