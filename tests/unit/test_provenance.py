"""What panelcal writes into text arrays about their values, and reads back."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.exporters.provenance import (
    Header,
    PanelProvenance,
    Provenance,
    parse_provenance,
    provenance_comments,
    read_header,
    read_provenance,
)
from panelcal.exporters.text_array import Environment, header_lines

PANEL = PanelProvenance("171113-154920171025-3d00fb", "M044", 2, "20180306000000", "ab" * 32)
FIRST = Provenance(
    version="0.1.0",
    token="52f56dc8d9aaa998",
    detector=f"{PANEL.panel}_-1-2",
    asked="20180419000000",
    policy="strict",
    panels=(PANEL, PanelProvenance("-1-2", "M0_68", 1, None, "0" * 64)),
)

words = st.from_regex(r"[A-Za-z0-9_.:+-]+", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
panels = st.builds(
    PanelProvenance,
    panel=st.one_of(st.none(), words.filter(lambda word: word != "-")),
    module=words,
    revision=st.integers(1, 999),
    start=st.one_of(st.none(), words),
    digest=digests,
)
provenances = st.builds(
    Provenance,
    version=words,
    token=st.from_regex(r"[0-9a-f]{16}", fullmatch=True),
    detector=words,
    asked=words,
    policy=words,
    panels=st.lists(panels, min_size=1, max_size=4).map(tuple),
)


def written(path: Path, comments: list[str], name: str = "/calib/631-end.data") -> Path:
    environment = Environment("tester", "host", "/work dir")
    lines = header_lines((3, 2, 4, 8), comments, environment, name, "2026-02-01T10:11:12")
    path.write_text("".join(f"{line}\n" for line in lines) + "1 2\n# FILE_NAME   /later\n")
    return path


def test_the_comments_are_those_of_the_first_release() -> None:
    assert provenance_comments(FIRST) == [
        "panelcal 0.1.0 token 52f56dc8d9aaa998",
        f"detector {FIRST.detector} at 20180419000000 policy strict",
        f"panel 0 {PANEL.panel} M044@2 from 20180306000000 payload {'ab' * 32}",
        f"panel 1 -1-2 M0_68@1 from the beginning payload {'0' * 64}",
    ]


@given(provenance=provenances)
def test_what_is_written_is_read_back(provenance: Provenance) -> None:
    assert parse_provenance(provenance_comments(provenance)) == provenance


@pytest.mark.parametrize("left_out", range(4))
def test_a_line_less_is_none_of_panelcals(left_out: int) -> None:
    comments = provenance_comments(FIRST)
    del comments[left_out]
    if left_out < 3:
        assert parse_provenance(comments) is None
    else:
        assert parse_provenance(comments) == replace(FIRST, panels=FIRST.panels[:1])


@pytest.mark.parametrize("changed", [(0, "token 5", "token X"), (2, "@2", "@0"), (3, "l 1", "l 7")])
def test_a_changed_line_is_none_of_panelcals(changed: tuple[int, str, str]) -> None:
    comments = provenance_comments(FIRST)
    index, old, new = changed
    assert old in comments[index]
    comments[index] = comments[index].replace(old, new)
    assert parse_provenance(comments) is None


def test_a_header_tells_path_and_time_whatever_follows(tmp_path: Path) -> None:
    path = written(tmp_path / "file", provenance_comments(FIRST))
    assert read_header(path) == Header(FIRST, "/calib/631-end.data", "2026-02-01T10:11:12")
    assert read_provenance(path) == FIRST


@pytest.mark.parametrize("comments", [[], ["of somebody"], ["more", *provenance_comments(FIRST)]])
def test_a_file_of_others_has_no_header_of_panelcal(tmp_path: Path, comments: list[str]) -> None:
    assert read_header(written(tmp_path / "file", comments)) is None


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00\xff\xfe\n1 2", b"1 2\n3 4\n"])
def test_no_text_array_has_no_header_of_panelcal(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert read_header(path) is None
