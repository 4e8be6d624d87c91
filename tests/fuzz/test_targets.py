"""The fuzz targets in the ordinary suite: seeds, what broke a reader once, random bytes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
WORDS = {
    "ids": ["171113-154920171025-3d00fb", "_", "-", "jungfrau_", "exp=", ":run=", "0x", "L", "@"],
    "moments": ["\x00", "2018", "0306", "000000", "-", ":", "T", "Z", "+08:00", "W", "."],
    "text_arrays": [
        "# DTYPE float32\n",
        "# NDIM 3\n",
        "# DIM:0 2\n",
        "# SHAPE (2,2)\n",
        "1.5 ",
        "\n",
        "-0.0 ",
        "\r",
        "nan ",
        "#",
    ],
    "numbers": ["1.50 ", "-0.25\n", "12345678.90 ", "\n", " ", ".", "-"],
    "history": ["file:1-end.data ", "cmt:panelcal-token=", "user:%0A", "copy_of:", " "],
    "npy": ["\x93NUMPY", "\x01\x00", "v\x00", "{'descr': '<f4', ", "'shape': (4, 8), }", "\n"],
}


def pieces(name: str) -> st.SearchStrategy[bytes]:
    words = st.sampled_from([word.encode("latin-1") for word in WORDS.get(name, ["\x00"])])
    return st.lists(st.one_of(words, st.binary(max_size=9)), max_size=12).map(b"".join)


def seeds() -> list[tuple[str, str]]:
    return [(path.parent.name, path.name) for path in sorted(CORPUS.glob("*/*"))]


def test_every_target_has_seeds_and_every_seed_a_target() -> None:
    assert {name for name, _ in seeds()} == set(TARGETS)


@pytest.mark.parametrize(("name", "seed"), seeds())
def test_a_seed_is_answered_or_refused(name: str, seed: str) -> None:
    TARGETS[name]((CORPUS / name / seed).read_bytes())


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_anything_is_answered_or_refused_as_documented(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(pieces(name)))


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None, max_examples=25, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_seed_with_some_bytes_changed_is_answered_or_refused(
    name: str, data: st.DataObject
) -> None:
    seed = data.draw(st.sampled_from(sorted((CORPUS / name).iterdir())))
    content = bytearray(seed.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    TARGETS[name](bytes(content[:cut]))
