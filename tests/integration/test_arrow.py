"""Answers as Arrow tables: the same facts as the documents, typed, with times that know UTC."""

import builtins
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from curator import Curator
from panelcal.api import Store
from panelcal.api import open_store as open_for_python
from panelcal.domain.moments import iso_utc
from panelcal.errors import InvalidInputError
from panelcal.storage.store import OpenStore

pytestmark = pytest.mark.sqlite_only

A, B = "171113-154920171025-3d00b0", "171113-154920171025-3d00f7"
MOMENT = pa.timestamp("us", tz="UTC")


@pytest.fixture
def opened(store: OpenStore, store_dir: Path, tmp_path: Path) -> Any:
    """A store with a dated panel, one since the beginning, and a withdrawal."""
    curator = Curator(store, tmp_path / "scratch")
    curator.deliver("M001", "M002")
    curator.assign(A, "M001@1")
    curator.assign(B, "M002@1", "20180101000000")
    curator.assign(B, "M001@1", "20180101000000")
    curator.withdraw(B, "20200101000000")
    curator.run(1, "20180301000000", f"{A}_{B}")
    curator.run(2, "20180301000000", modules="M002")
    with open_for_python(store_dir) as found:
        yield found


def test_an_answer_has_a_row_for_each_panel_and_says_what_was_asked(opened: Store) -> None:
    answer = opened.resolve("exp=xcsls3716:run=1")
    table = answer.to_arrow()
    kinds = [(kind, pa.string()) for kind in ("pixel_gain", "pixel_offset")]
    assert dict(zip(table.schema.names, table.schema.types, strict=True)) == {
        "index": pa.int32(),
        "panel": pa.string(),
        "module": pa.string(),
        "revision": pa.int32(),
        "valid_from": MOMENT,
        "recorded_at": MOMENT,
        "guessed": pa.bool_(),
        "digests": pa.struct(kinds),
    }
    assert table.to_pylist() == [
        {
            "index": panel.index,
            "panel": panel.panel,
            "module": panel.module,
            "revision": panel.revision,
            "valid_from": panel.valid_from,
            "recorded_at": panel.recorded_at,
            "guessed": False,
            "digests": dict(panel.digests),
        }
        for panel in answer.panels
    ]
    assert table["valid_from"].to_pylist() == [None, datetime(2018, 1, 1, 8, tzinfo=UTC)]
    assert answer.at is not None
    assert {name.decode(): value.decode() for name, value in table.schema.metadata.items()} == {
        "detector": f"{A}_{B}",
        "at": iso_utc(answer.at),
        "policy": "strict",
        "token": answer.token,
    }


def test_panels_that_legacy_policy_guesses_are_marked(opened: Store) -> None:
    table = opened.resolve(f"{A}_{B}", "20170101000000", policy="legacy").to_arrow()
    assert table["guessed"].to_pylist() == [False, True]
    assert table.schema.metadata[b"policy"] == b"legacy"


def test_a_declared_module_has_neither_panel_nor_start(opened: Store) -> None:
    table = opened.resolve("exp=xcsls3716:run=2").to_arrow()
    assert table.select(["panel", "module", "valid_from"]).to_pylist() == [
        {"panel": None, "module": "M002", "valid_from": None}
    ]


def test_history_has_a_row_for_each_of_the_ledger_with_its_end(opened: Store) -> None:
    told = opened.history(B)
    table = told.to_arrow()
    start, end = datetime(2018, 1, 1, 8, tzinfo=UTC), datetime(2020, 1, 1, 8, tzinfo=UTC)
    assert table["valid_from"].type == MOMENT
    assert table.drop_columns(["recorded_at", "superseded_at"]).to_pylist() == [
        {
            "panel": B,
            "module": module,
            "revision": revision,
            "valid_from": valid_from,
            "valid_until": valid_until,
            "recorded_by": "curator",
            "reason": "test",
        }
        for module, revision, valid_from, valid_until in (
            ("M002", 1, start, end),
            ("M001", 1, start, end),
            (None, None, end, None),
        )
    ]
    recorded = table["recorded_at"].to_pylist()
    assert table["superseded_at"].to_pylist() == [recorded[1], None, None]


def test_pandas_reads_a_table_with_the_beginning_as_no_time(opened: Store) -> None:
    pandas = pytest.importorskip("pandas")
    frame = opened.resolve("exp=xcsls3716:run=1").to_arrow().flatten().to_pandas()
    assert list(frame["module"]) == ["M001", "M001"]
    assert frame["valid_from"].isna().tolist() == [True, False]
    assert frame["valid_from"][1] == pandas.Timestamp("2018-01-01T08:00:00Z")
    assert frame["digests.pixel_gain"].str.len().tolist() == [64, 64]


def test_without_pyarrow_the_extra_is_named(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    answer, told, covered = opened.resolve(f"{A}_{B}", "20190101000000"), opened.history(A), opened
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.split(".")[0] == "pyarrow":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "pyarrow")
    monkeypatch.setattr(builtins, "__import__", without)
    for asked in (answer.to_arrow, told.to_arrow, covered.coverage().to_arrow):
        with pytest.raises(InvalidInputError, match="pyarrow is not installed") as caught:
            asked()
        assert caught.value.hint == "pip install 'panelcal[arrow]'"
