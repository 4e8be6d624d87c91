"""Bundles: part of a store in one file that answers as the store did, and is only read."""

import gc
import io
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import panelcal as api
from builders import write_delivery
from bundle_material import (
    AUTUMN,
    B0,
    BEGUN,
    F7,
    FB,
    JUNE,
    MARCH,
    PAIR,
    SOURCE,
    answers,
    list_anew,
    moments_of_record,
)
from panelcal.domain.runs import parse_dataset
from panelcal.errors import (
    ConflictError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    PanelcalError,
    SchemaError,
)
from panelcal.services.assign import assign, list_panels, withdraw
from panelcal.services.bundle_create import create_bundle
from panelcal.services.bundle_verify import verify_bundle
from panelcal.services.history import log
from panelcal.services.modules import deliver, list_constant_sets
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, add_run, list_runs
from panelcal.services.tags import create_tag, list_tags
from panelcal.storage.bundle_manifest import read_manifest
from panelcal.storage.database import Database
from panelcal.storage.reader import rows_of
from panelcal.storage.store import OpenStore, open_database, open_store
from panelcal.storage.tags import find_tag

NOW = BEGUN + timedelta(days=30)
FORMS = ("bundle.zip", "bundle")

Change = Callable[[Path], None]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where bundles are taken out: a directory that has to be empty in the end."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setattr("panelcal.storage.bundle_payloads.gettempdir", lambda: str(directory))
    return directory


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "bundle.zip"


@pytest.fixture(params=FORMS)
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A zip file and a directory."""
    return tmp_path / str(request.param)


@pytest.fixture(scope="session")
def kept_bundles(told_template: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of the second tag in both forms, not to be changed."""
    home = tmp_path_factory.mktemp("bundles")
    with open_store(told_template) as store:
        for form in FORMS:
            create_bundle(store, home / form, tag="second", now=NOW)
    return {form: home / form for form in FORMS}


@pytest.fixture
def directory(kept_bundles: dict[str, Path], tmp_path: Path) -> Path:
    return shutil.copytree(kept_bundles["bundle"], tmp_path / "own")


@pytest.fixture
def file(kept_bundles: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copy(kept_bundles["bundle.zip"], tmp_path / "own.zip"))


def bytes_of(path: Path) -> dict[str, bytes]:
    if path.is_file():
        return {path.name: path.read_bytes()}
    return {
        str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()
    }


# --- what is in it --------------------------------------------------------------------


def test_a_bundle_of_a_tag_answers_every_question_as_the_store_does_as_of_the_tag(
    told: OpenStore, either: Path, temporary: Path
) -> None:
    tag = find_tag(told.database.reader, "second")
    create_bundle(told, either, tag="second", now=NOW)
    with open_store(either) as bundle:
        assert answers(bundle, None) == answers(told, tag.as_of)
        for moment in moments_of_record(bundle)[2::4]:
            assert answers(bundle, moment) == answers(told, moment)
        assert [one.name for one in list_tags(bundle)] == ["first", "second"]
        assert {one.dataset.run for one in list_runs(bundle)} == {1, 2, 3}
    assert list(temporary.iterdir()) == []


def test_what_a_killed_reader_took_out_of_a_zip_file_goes_when_the_next_one_opens(
    file: Path, temporary: Path
) -> None:
    with open_store(file):
        (living,) = temporary.iterdir()
        abandoned = living.with_name(f"{living.name[:-32]}{'0' * 32}")
        shutil.copytree(living, abandoned)
        with open_store(file):
            assert living.is_dir()
            assert not abandoned.exists()
    assert list(temporary.iterdir()) == []


def test_what_was_recorded_after_the_tag_is_not_in_its_bundle(
    told: OpenStore, target: Path
) -> None:
    tag = find_tag(told.database.reader, "first")
    create_bundle(told, target, tag="first", now=NOW)
    with open_store(target) as bundle:
        assert max(moments_of_record(bundle)) <= tag.recorded_at
        assert [one.revision for one in list_constant_sets(bundle, "M044")] == [1]
        assert {panel.name for panel, _ in list_panels(bundle)} == {FB, F7}
        assert [one.name for one in list_tags(bundle)] == ["first"]


def test_rows_of_a_bundle_are_the_rows_of_the_store_with_their_times_and_reasons(
    told: OpenStore, target: Path
) -> None:
    create_bundle(told, target, tag="second", now=NOW)
    with open_store(target) as bundle:
        there = log(told)
        assert log(bundle) == [event for event in there if event in log(bundle)]
        assert len(log(bundle)) == 15


def test_a_bundle_of_a_detector_has_the_full_history_of_its_panels_alone(
    told: OpenStore, target: Path
) -> None:
    create_bundle(told, target, detectors=[FB], now=NOW)
    with open_store(target) as bundle:
        assert {panel.name for panel, _ in list_panels(bundle)} == {FB}
        for moment in [None, *moments_of_record(told)[2::4]]:
            assert answers(bundle, moment, (FB,)) == answers(told, moment, (FB,))
        assert list_tags(bundle) == []


@pytest.mark.sqlite_only
def test_a_bundle_has_all_earlier_revisions_of_what_it_uses_so_that_they_keep_their_numbers(
    told: OpenStore, target: Path
) -> None:
    create_bundle(told, target, detectors=[B0], now=NOW)
    with open_store(target) as bundle:
        sets = [(one.module, one.revision) for one in list_constant_sets(bundle)]
    assert sets == [("M044", 1), ("M044", 2)]


@pytest.mark.sqlite_only
def test_a_run_whose_latest_row_names_other_panels_is_left_out_of_a_detectors_bundle(
    told: OpenStore, target: Path
) -> None:
    create_bundle(told, target, detectors=[FB], now=NOW)
    with open_store(target) as bundle:
        # Run 1 was registered with this panel alone, and then corrected.
        assert list_runs(bundle) == []


def test_a_dataset_stands_for_its_panels_and_for_the_modules_it_declares(
    told: OpenStore, target: Path
) -> None:
    asked = ["exp=xcsls3716:run=2", "exp=xcsls3716:run=3"]
    create_bundle(told, target, detectors=asked, now=NOW)
    with open_store(target) as bundle:
        assert {one.dataset.run for one in list_runs(bundle)} == {1, 2, 3}
        assert answers(bundle, None, tuple(asked)) == answers(told, None, tuple(asked))
        assert {panel.name for panel, _ in list_panels(bundle)} == {FB, F7}


def test_a_tag_and_a_detector_mean_what_is_of_both(told: OpenStore, target: Path) -> None:
    tag = find_tag(told.database.reader, "second")
    create_bundle(told, target, tag="second", detectors=[PAIR], now=NOW)
    with open_store(target) as bundle:
        asked = (FB, F7, PAIR, "exp=xcsls3716:run=1", "exp=xcsls3716:run=2")
        assert answers(bundle, None, asked) == answers(told, tag.as_of, asked)
        assert {panel.name for panel, _ in list_panels(bundle)} == {FB, F7}
        assert [one.name for one in list_tags(bundle)] == ["first", "second"]


@pytest.mark.sqlite_only
def test_arrays_from_a_bundle_are_those_of_the_store(told: OpenStore, target: Path) -> None:
    create_bundle(told, target, detectors=[PAIR], now=NOW)
    with api.open_store(target) as bundle, api.open_store(told.directory) as store:
        there = store.resolve(PAIR, JUNE).arrays()
        for kind, values in bundle.resolve(PAIR, JUNE).arrays().items():
            np.testing.assert_array_equal(values, there[kind])


@pytest.mark.sqlite_only
def test_the_same_content_at_the_same_time_is_the_same_bytes(told: OpenStore, either: Path) -> None:
    create_bundle(told, either, tag="second", now=NOW)
    first = bytes_of(either)
    create_bundle(told, either, tag="second", now=NOW, overwrite=True)
    assert bytes_of(either) == first
    # The time it was made is all that differs later.
    later = create_bundle(told, either, tag="second", now=NOW + timedelta(hours=1), overwrite=True)
    if either.is_dir():
        name = "bundle.json"
        made = read_manifest(first.pop(name), name)
        assert replace(later, made_at=made.made_at) == made
        assert {key: data for key, data in bytes_of(either).items() if key != name} == first


@pytest.mark.sqlite_only
def test_a_bundle_can_be_made_from_a_bundle(told: OpenStore, tmp_path: Path) -> None:
    create_bundle(told, tmp_path / "all.zip", tag="second", now=NOW)
    with open_store(tmp_path / "all.zip") as bundle:
        create_bundle(bundle, tmp_path / "part", detectors=[FB], now=NOW)
        with open_store(tmp_path / "part") as part:
            assert answers(part, None, (FB,)) == answers(bundle, None, (FB,))


# --- making it ------------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_what_is_there_is_not_overwritten_unless_asked(told: OpenStore, either: Path) -> None:
    create_bundle(told, either, tag="first", now=NOW)
    before = bytes_of(either)
    with pytest.raises(ConflictError, match="exists"):
        create_bundle(told, either, tag="second", now=NOW)
    assert bytes_of(either) == before
    create_bundle(told, either, tag="second", now=NOW, overwrite=True)
    with open_store(either) as bundle:
        assert len(list_tags(bundle)) == 2
    assert [path.name for path in either.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.sqlite_only
def test_what_is_no_bundle_is_never_overwritten(told: OpenStore, either: Path) -> None:
    if either.suffix:
        either.write_text("mine")
    else:
        either.mkdir()
        (either / "thesis").write_text("mine")
    with pytest.raises(ConflictError, match="no bundle"):
        create_bundle(told, either, tag="first", now=NOW, overwrite=True)
    assert list(bytes_of(either).values()) == [b"mine"]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({}, InvalidInputError, "neither was named"),
        ({"tag": "third"}, NotFoundError, "there is no tag third"),
        ({"detectors": ["171113-154920171025-3d00ff"]}, NotFoundError, "no assignments of"),
        ({"tag": "first", "detectors": [B0]}, NotFoundError, "as of tag first"),
        ({"detectors": ["exp=xcsls3716:run=9"]}, NotFoundError, "not registered"),
        ({"detectors": ["frob"]}, InvalidInputError, "not a panel id"),
    ],
    ids=str,
)
def test_what_cannot_be_selected_is_said_and_nothing_is_left(
    told: OpenStore, target: Path, asked: dict[str, Any], error: type[PanelcalError], said: str
) -> None:
    before = sorted(target.parent.iterdir())
    with pytest.raises(error, match=said):
        create_bundle(told, target, now=NOW, **asked)
    assert sorted(target.parent.iterdir()) == before


@pytest.mark.sqlite_only
def test_a_damaged_payload_is_found_before_the_bundle_appears(
    told: OpenStore, target: Path
) -> None:
    digest = list_constant_sets(told, "M044")[0].digests["pixel_gain"]
    chunk = told.payloads.path_of(digest) / "c" / "0" / "0" / "0"
    chunk.write_bytes(b"\1" + chunk.read_bytes()[1:])
    before = sorted(target.parent.iterdir())
    with pytest.raises(IntegrityError, match=digest):
        create_bundle(told, target, tag="first", now=NOW)
    assert sorted(target.parent.iterdir()) == before


# --- it is only read ------------------------------------------------------------------


@pytest.mark.sqlite_only
def test_everything_that_writes_is_refused_and_names_the_bundle(
    kept_bundles: dict[str, Path], tmp_path: Path
) -> None:
    files = write_delivery(tmp_path / "new", seed=99)
    said: dict[str, Any] = {"now": NOW, "user": "ann", "reason": "none"}
    dataset = parse_dataset("exp=xcsls3716:run=77")
    fields = RunFields(dataset.experiment, "77", SOURCE, detector_id=FB)
    for path in kept_bundles.values():
        before = bytes_of(path)
        with open_store(path) as bundle:
            for write in (
                lambda: deliver(bundle, "M099", files, **said),
                lambda: assign(bundle, FB, "M088", AUTUMN, **said),
                lambda: withdraw(bundle, FB, AUTUMN, **said),
                lambda: add_run(bundle, fields, now=NOW, user="ann", supersede=False),
                lambda: create_tag(bundle, "third", **said),
            ):
                with pytest.raises(InvalidInputError, match=r"bundle.*only read"):
                    write()
        with pytest.raises(InvalidInputError, match="never migrated"):
            open_database(path)
        assert bytes_of(path) == before


@pytest.mark.sqlite_only
def test_a_journal_beside_a_bundles_database_is_not_looked_at(directory: Path) -> None:
    before = bytes_of(directory)
    (directory / "panelcal.db-journal").write_bytes(os.urandom(2000))
    with open_store(directory) as bundle:
        assert len(list_tags(bundle)) == 2
    (directory / "panelcal.db-journal").unlink()
    assert bytes_of(directory) == before


@pytest.mark.sqlite_only
def test_what_a_zip_file_was_taken_out_to_is_removed_also_if_nobody_closes_it(
    file: Path, temporary: Path
) -> None:
    opened = open_store(file)
    assert resolve(opened, FB, MARCH, now=NOW).token
    [scratch] = temporary.iterdir()
    assert scratch.stat().st_mode & 0o777 == 0o700
    opened.database.close()
    del opened
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.sqlite_only
def test_an_answer_whose_bundle_was_closed_says_so(file: Path) -> None:
    with api.open_store(file) as bundle:
        answer = bundle.resolve(FB, MARCH)
    with pytest.raises(InvalidInputError, match="has been closed"):
        answer.arrays()


# --- what is wrong with it ------------------------------------------------------------


def _flip(path: Path, place: int = -1) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def _flip_in_zip(path: Path, name: str) -> None:
    with zipfile.ZipFile(path) as archive:
        values = archive.read(name)
    changed = values[:-1] + bytes([values[-1] ^ 1])
    path.write_bytes(path.read_bytes().replace(values, changed))


@pytest.mark.sqlite_only
def test_a_database_that_was_changed_is_refused_at_opening(
    directory: Path, file: Path, temporary: Path
) -> None:
    _flip(directory / "panelcal.db")
    _flip_in_zip(file, "panelcal.db")
    for path in (directory, file):
        with pytest.raises(IntegrityError, match=r"panelcal\.db.*SHA-256"):
            open_store(path)
        [fault] = verify_bundle(path, now=NOW).faults
        assert "panelcal.db" in fault
    assert list(temporary.iterdir()) == []


@pytest.mark.sqlite_only
def test_a_payload_that_was_changed_is_refused_when_it_is_read_and_found_by_verify(
    directory: Path, file: Path
) -> None:
    with open_store(directory) as bundle:
        digest = list_constant_sets(bundle, "M044")[0].digests["pixel_gain"]
    name = f"payloads/{digest[:2]}/{digest}/c/0/0/0"
    _flip(directory / name)
    _flip_in_zip(file, name)
    for path in (directory, file):
        with open_store(path) as bundle:
            assert resolve(bundle, FB, MARCH, now=NOW, as_of=BEGUN + timedelta(seconds=4)).token
            with pytest.raises(IntegrityError, match=digest):
                bundle.payloads.get(digest)
        faults = verify_bundle(path, now=NOW).faults
        assert len(faults) == 2
        assert name in faults[0]
        assert digest in faults[1]


@pytest.mark.sqlite_only
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: (path / "panelcal.db").unlink(), "is missing"),
        (lambda path: (path / "panelcal.db").write_bytes(b"short"), "has 5 bytes"),
        (lambda path: (path / "bundle.json").write_text("{"), "no JSON"),
        (lambda path: (path / "bundle.json").write_text("[" * 100_000), "no JSON"),
        (lambda path: _edit(path, members=[]), "one database"),
        (lambda path: _edit(path, database="panelcal-0123456789abcdef.db"), "one database"),
        (lambda path: _edit(path, made_at=7), "where text belongs"),
        (lambda path: _edit(path, holds="nothing"), "is none of"),
        (lambda path: _edit(path, selection=None), "damaged"),
        (lambda path: _rename_member(path, "../panelcal.db"), "does not belong"),
        (lambda path: _rename_member(path, "/etc/passwd"), "does not belong"),
        (lambda path: _link(path), "is missing"),
    ],
    ids=range(12),
)
def test_a_damaged_directory_is_refused(directory: Path, damage: Change, said: str) -> None:
    damage(directory)
    with pytest.raises(IntegrityError, match=said):
        open_store(directory)


def _edit(path: Path, **fields: object) -> None:
    listed = json.loads((path / "bundle.json").read_text())
    (path / "bundle.json").write_text(json.dumps(listed | fields))


def _rename_member(path: Path, name: str) -> None:
    listed = json.loads((path / "bundle.json").read_text())
    listed["members"][0]["name"] = name
    (path / "bundle.json").write_text(json.dumps(listed))


def _link(path: Path) -> None:
    (path / "panelcal.db").rename(path / "elsewhere")
    (path / "panelcal.db").symlink_to(path / "elsewhere")


@pytest.mark.sqlite_only
def test_another_format_and_another_schema_are_refused_with_words(directory: Path) -> None:
    before = (directory / "bundle.json").read_text()
    _edit(directory, version=2)
    with pytest.raises(SchemaError, match="bundle format"):
        open_store(directory)
    _edit(directory, format="a zoo")
    with pytest.raises(InvalidInputError, match="no panelcal bundle"):
        open_store(directory)
    (directory / "bundle.json").write_text(before)
    for revision, said in (("0001", "older"), ("9999", "newer")):
        _set_schema(directory, revision)
        with pytest.raises(SchemaError, match=said) as caught:
            open_store(directory)
        assert "panelcal 0" in str(caught.value.hint)
        with pytest.raises(SchemaError, match=said):
            verify_bundle(directory, now=NOW)


def _set_schema(directory: Path, revision: str) -> None:
    with Database(directory / "panelcal.db") as database, database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{revision}'")
    list_anew(directory)


@pytest.mark.sqlite_only
def test_verify_finds_a_row_that_was_edited_and_a_payload_that_no_list_has(
    directory: Path,
) -> None:
    with Database(directory / "panelcal.db") as database, database.writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER assignment_refuses_update")
        connection.exec_driver_sql("UPDATE assignment SET reason = 'forged' WHERE id = 1")
    list_anew(directory)
    faults = verify_bundle(directory, now=NOW).faults
    assert any("forged" in fault for fault in faults)
    assert any("assignment_refuses_update" in fault for fault in faults)
    listed = json.loads((directory / "bundle.json").read_text())
    digest = listed["members"][-1]["name"].split("/")[2]
    _edit(directory, members=[one for one in listed["members"] if digest not in one["name"]])
    assert any(digest in fault for fault in verify_bundle(directory, now=NOW).faults)


@pytest.mark.sqlite_only
def test_what_is_no_bundle_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("this is no zip file at all, but it is long enough")
    with pytest.raises(NotFoundError, match="no bundle"):
        verify_bundle(tmp_path / "nowhere.zip", now=NOW)
    with pytest.raises(NotFoundError, match="no bundle"):
        verify_bundle(tmp_path / "empty", now=NOW)
    with pytest.raises(InvalidInputError, match="not a zip file"):
        open_store(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("panelcal.db", b"")
    with pytest.raises(InvalidInputError, match="no bundle: it has no bundle"):
        open_store(tmp_path / "other.zip")


# --- hostile zip files ----------------------------------------------------------------


def _compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def _append(path: Path, name: str, mode: int = 0o100644, data: bytes = b"x") -> None:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, data)


def _poke(path: Path, signature: bytes, offset: int, form: str, value: int, nth: int = 0) -> None:
    """Overwrite a field of the nth header with a signature."""
    content = bytearray(path.read_bytes())
    place = -1
    for _ in range(nth + 1):
        place = content.index(signature, place + 1)
    struct.pack_into(form, content, place + offset, value)
    path.write_bytes(content)


CENTRAL, LOCAL, END = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06"

HOSTILE: dict[str, tuple[Change, str]] = {
    "traversal": (lambda path: _append(path, "../outside"), "does not belong"),
    "traversal below payloads": (
        lambda path: _append(path, f"payloads/aa/{'a' * 64}/../../../../outside"),
        "does not belong",
    ),
    "absolute": (lambda path: _append(path, "/tmp/outside"), "does not belong"),
    "backslash": (lambda path: _append(path, "..\\outside"), "does not belong"),
    "directory": (lambda path: _append(path, "payloads/", 0o40755, b""), "does not belong"),
    "link": (
        lambda path: _append(path, f"payloads/aa/{'a' * 64}/c/0", 0o120777, b"/etc/passwd"),
        "is a link",
    ),
    "unlisted": (lambda path: _append(path, f"payloads/aa/{'a' * 64}/c/0"), "does not list"),
    "twice": (lambda path: _twice(path), "twice"),
    "compressed": (_compressed, "is compressed"),
    "encrypted": (lambda path: _poke(path, CENTRAL, 8, "<H", 1), "is encrypted"),
    "declares too much": (lambda path: _inflate(path), "overlaps"),
    "overlapping": (lambda path: _overlap(path), "another name where it is stored"),
    "nested": (lambda path: _nest(path), "overlaps another member"),
    "local name": (lambda path: _poke(path, LOCAL, 30, "<B", 120), "another name"),
    "offset outside": (lambda path: _poke(path, CENTRAL, 42, "<L", 2**31), "not where"),
    "long list": (lambda path: _poke(path, END, 12, "<L", 2**31), "declares a list"),
    "zip64 end lost": (lambda path: _poke(path, END, 12, "<L", 2**32 - 1), "incomplete"),
    "cut short": (lambda path: os.truncate(path, path.stat().st_size - 40), "cut short"),
    "cut to its beginning": (lambda path: os.truncate(path, 10), "cut short"),
    "appended": (lambda path: _extend(path), "appended"),
}


def _twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        _append(path, "panelcal.db")


def _nest(path: Path) -> None:
    """Let a member's bytes be another member, whole with its header."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(f"payloads/aa/{'a' * 64}/c/1", b"x" * 99)
    local, _, rest = inner.getvalue().partition(CENTRAL)
    _append(path, f"payloads/aa/{'a' * 64}/c/0", data=local)
    content = path.read_bytes()
    entry = bytearray(CENTRAL + rest.partition(END)[0])
    struct.pack_into("<L", entry, 42, content.rindex(local))
    before, _, after = content.rpartition(END)
    tail = bytearray(END + after)
    [count, length] = struct.unpack_from("<HL", tail, 10)
    struct.pack_into("<HHL", tail, 8, count + 1, count + 1, length + len(entry))
    path.write_bytes(before + entry + tail)


def _extend(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _inflate(path: Path) -> None:
    """Let the first entry of the list declare two gigabytes."""
    for offset in (20, 24):
        _poke(path, CENTRAL, offset, "<L", 2**31)


def _overlap(path: Path) -> None:
    """Let a second entry of the list point to the bytes of the first."""
    content = path.read_bytes()
    first = content.index(CENTRAL)
    [offset] = struct.unpack_from("<L", content, first + 42)
    _poke(path, CENTRAL, 42, "<L", offset, nth=1)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_zip_file_is_refused_before_anything_is_written(
    file: Path, temporary: Path, case: str
) -> None:
    change, said = HOSTILE[case]
    change(file)
    with pytest.raises(IntegrityError, match=said):
        open_store(file)
    assert list(temporary.iterdir()) == []


@pytest.mark.sqlite_only
def test_a_zip_file_too_large_for_32_bits_is_read(
    told: OpenStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 3)
    create_bundle(told, tmp_path / "large.zip", tag="second", now=NOW)
    assert b"PK\x06\x06" in (tmp_path / "large.zip").read_bytes()
    assert verify_bundle(tmp_path / "large.zip", now=NOW).faults == ()


@pytest.mark.sqlite_only
def test_a_bundle_has_one_database_and_its_payloads_and_nothing_else(
    kept_bundles: dict[str, Path],
) -> None:
    with zipfile.ZipFile(kept_bundles["bundle.zip"]) as archive:
        names = set(archive.namelist())
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert names == set(bytes_of(kept_bundles["bundle"]))
    with open_store(kept_bundles["bundle"]) as bundle:
        digests = {row[0] for row in rows_of(bundle.database.reader, "SELECT digest FROM payload")}
    assert {name.split("/")[2] for name in names if name.startswith("payloads/")} == digests
