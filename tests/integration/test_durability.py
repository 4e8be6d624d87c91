"""What a row says is on the disk before the row is: files, then names, then rows."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders import GainsTree, rows
from conftest import RunsProgram
from panelcal.storage.modules import add_constant_sets

pytestmark = pytest.mark.sqlite_only


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """What was synced, moved and recorded, in order."""
    done: list[tuple[str, Path]] = []
    sync, rename = os.fsync, os.rename

    def fsync(handle: int) -> None:
        sync(handle)
        done.append(("synced", Path(f"/proc/self/fd/{handle}").readlink()))

    def move(source: Any, target: Any, **options: Any) -> None:
        rename(source, target, **options)
        done.append(("moved", Path(target)))

    def recorded(add: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            done.append(("recorded", Path()))
            return add(*arguments, **options)

        return call

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", move)
    place = "panelcal.services.import_gains_tree.add_constant_sets"
    monkeypatch.setattr(place, recorded(add_constant_sets))
    return done


def test_files_are_synced_before_they_are_named_and_names_before_rows(
    panelcal: RunsProgram, page_tree: GainsTree, store_dir: Path, steps: list[tuple[str, Path]]
) -> None:
    assert panelcal("import", "gains-tree", page_tree.path).exit_code == 0
    row = steps.index(("recorded", Path()))
    digests = [digest for (digest,) in rows(store_dir, "SELECT digest FROM payload")]
    assert len(digests) == 6
    for digest in digests:
        named = store_dir / "payloads" / digest[:2] / digest
        moved = steps.index(("moved", named))
        synced = [path for step, path in steps[:moved] if step == "synced"]
        staged = next(path for path in synced if path.name == digest)
        below = {path.relative_to(staged) for path in synced if path.is_relative_to(staged)}
        everything = {path.relative_to(named) for path in named.rglob("*")} | {Path()}
        assert below == everything
        named_at = {path for step, path in steps[moved:row] if step == "synced"}
        assert {named.parent, named.parent.parent} <= named_at
