"""Bundles and backups as a user has them: one file, no store, the same token and arrays."""

import json
import os
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bundle_material import PAIR
from panelcal.storage.store import OpenStore
from visitor import program_environment

pytestmark = [pytest.mark.acceptance, pytest.mark.sqlite_only]

RUN = "exp=xcsls3716:run=2"


def ran(place: Path, store: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the installed program on a store that its environment names."""
    return subprocess.run(
        ["panelcal", *arguments],
        cwd=place,
        env=program_environment() | {"PANELCAL_STORE": str(store)},
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_bundle_in_the_environment_answers_offline_with_the_same_token_and_arrays(
    told: OpenStore, tmp_path: Path
) -> None:
    made = ran(tmp_path, told.directory, "bundle", "create", "bundle.zip", "--detector", PAIR)
    assert (made.returncode, made.stdout) == (0, "")
    answered = {}
    for name, store in (("store", told.directory), ("bundle", tmp_path / "bundle.zip")):
        resolved = ran(tmp_path, store, "resolve", RUN, "--json")
        assert resolved.returncode == 0, resolved.stderr
        answered[name] = json.loads(resolved.stdout)
        assert ran(tmp_path, store, "get", RUN, "-o", f"{name}.npz").returncode == 0
    assert answered["bundle"] == answered["store"]
    with np.load(tmp_path / "store.npz") as there, np.load(tmp_path / "bundle.npz") as here:
        assert sorted(there) == sorted(here)
        for kind in there:
            np.testing.assert_array_equal(there[kind], here[kind])
    refused = ran(tmp_path, tmp_path / "bundle.zip", "tag", "create", "mine", "--reason", "none")
    assert refused.returncode == 2
    assert "bundle.zip is a bundle" in refused.stderr


def test_a_bundle_is_verified_by_hand_as_its_page_says(told: OpenStore, tmp_path: Path) -> None:
    ran(tmp_path, told.directory, "bundle", "create", "bundle.zip", "--tag", "first")
    page = Path(__file__).parents[2] / "docs" / "bundles.md"
    _, _, rest = page.read_text(encoding="utf-8").partition("unzip -q run18.zip -d run18")
    by_hand = rest.partition("```")[0].removeprefix(" && cd run18").strip()
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        archive.extractall(tmp_path / "taken")
    env = program_environment()

    def checked() -> int:
        return subprocess.run(
            ["sh", "-c", by_hand], cwd=tmp_path / "taken", env=env, check=False, capture_output=True
        ).returncode

    assert checked() == 0
    with (tmp_path / "taken" / "panelcal.db").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\7")
    assert checked() == 1
    verified = ran(tmp_path, told.directory, "bundle", "verify", "taken")
    assert verified.returncode == 5
    assert "panelcal.db" in verified.stdout


def test_a_store_is_backed_up_and_restored_by_the_program(told: OpenStore, tmp_path: Path) -> None:
    for arguments in (
        ("backup", "kept"),
        ("backup", "kept", "--update"),
        ("bundle", "verify", "kept"),
        ("restore", "kept", "again"),
    ):
        done = ran(tmp_path, told.directory, *arguments)
        assert done.returncode == 0, done.stderr
    assert ran(tmp_path, told.directory, "restore", "kept", "again").returncode == 4
    told_log = ran(tmp_path, told.directory, "log").stdout
    assert ran(tmp_path, tmp_path / "again", "log").stdout == told_log
