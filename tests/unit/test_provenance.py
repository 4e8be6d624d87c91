"""What panelcal writes into text arrays and DCS files about their values, and reads back."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from panelcal.exporters.provenance import (
    PanelProvenance,
    Provenance,
    from_attributes,
    parse_provenance,
    provenance_comments,
    to_attributes,
)
from panelcal.exporters.text_array import Environment, header_lines
from panelcal.exporters.text_header import Header, read_header, read_provenance

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
    valid_from=st.one_of(st.none(), words),
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


def test_the_attributes_are_those_of_the_first_release() -> None:
    attributes = to_attributes(FIRST)
    panels = attributes.pop("panels")
    assert attributes == {
        "version": "0.1.0",
        "token": "52f56dc8d9aaa998",
        "detector": FIRST.detector,
        "at": "20180419000000",
        "policy": "strict",
    }
    assert panels == (
        f'[{{"panel": "{PANEL.panel}", "module": "M044", "revision": 2, '
        f'"valid_from": "20180306000000", "digest": "{"ab" * 32}"}}, '
        f'{{"panel": "-1-2", "module": "M0_68", "revision": 1, '
        f'"valid_from": null, "digest": "{"0" * 64}"}}]'
    )


texts = st.text(min_size=1, max_size=20)


@given(
    provenance=provenances,
    asked=texts,
    panel=st.builds(
        PanelProvenance,
        panel=st.none() | texts,
        module=texts,
        revision=st.integers(min_value=1),
        valid_from=st.none() | texts,
        digest=digests,
    ),
)
def test_attributes_are_read_back_whatever_was_asked(
    provenance: Provenance, asked: str, panel: PanelProvenance
) -> None:
    written = replace(provenance, asked=asked, panels=(*provenance.panels, panel))
    attributes = to_attributes(written)
    assert from_attributes(attributes) == written
    assert all(text.isascii() for text in (attributes["panels"], attributes["token"]))


def of_panel(**changed: Any) -> Callable[[dict[str, str]], dict[str, str]]:
    """Change what the attributes say of the second panel."""

    def change(attributes: dict[str, str]) -> dict[str, str]:
        panels = json.loads(attributes["panels"])
        panels[1] |= changed
        return attributes | {"panels": json.dumps(panels)}

    return change


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda said: {key: said[key] for key in said if key != name}


ODD: dict[str, Callable[[dict[str, str]], dict[str, str]]] = {
    "none": lambda _: {},
    "one more": lambda said: said | {"mood": "good"},
    **{f"no {name}": without(name) for name in to_attributes(FIRST)},
    "an empty text": lambda said: said | {"detector": ""},
    "a short token": lambda said: said | {"token": "52f56dc8d9aaa99"},
    "a token of other digits": lambda said: said | {"token": "52F56DC8D9AAA998"},
    "no JSON": lambda said: said | {"panels": "["},
    "JSON without an end": lambda said: said | {"panels": "[" * 50_000},
    "a number too long": lambda said: said | {"panels": "9" * 5_000},
    "no list": lambda said: said | {"panels": "{}"},
    "no panel": lambda said: said | {"panels": "[]"},
    "no object": lambda said: said | {"panels": "[1]"},
    "half a panel": lambda said: said | {"panels": '[{"panel": null}]'},
    "more of a panel": of_panel(mood="good"),
    "a panel that is a number": of_panel(panel=5),
    "an empty panel": of_panel(panel=""),
    "no module": of_panel(module=None),
    "a start that is a number": of_panel(valid_from=20180306000000),
    "an empty start": of_panel(valid_from=""),
    "revision 0": of_panel(revision=0),
    "a revision that is true": of_panel(revision=True),
    "a revision that is text": of_panel(revision="1"),
    "half a revision": of_panel(revision=1.5),
    "a short digest": of_panel(digest="0" * 63),
    "a digest and a line": of_panel(digest="0" * 64 + "\n"),
}


@pytest.mark.parametrize("what", ODD)
def test_attributes_of_which_one_does_not_fit_are_none_of_panelcals(what: str) -> None:
    assert from_attributes(ODD[what](to_attributes(FIRST))) is None
