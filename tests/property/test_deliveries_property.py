"""What holds for every delivery, name and tree, not only for those thought of."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from panelcal.domain.deliveries import as_float32, parse_module_name, parse_module_reference
from panelcal.domain.digest import digest_of
from panelcal.errors import InvalidInputError
from panelcal.services.gains_tree import scan_gains_tree
from panelcal.storage.payloads import PayloadStore

ZONE = ZoneInfo("America/Los_Angeles")

SHAPES = npst.array_shapes(min_dims=1, max_dims=3, max_side=4)
FLOATING = npst.floating_dtypes(endianness="?").flatmap(lambda dtype: npst.arrays(dtype, SHAPES))
ANYTHING = st.one_of(npst.scalar_dtypes(), npst.array_dtypes()).flatmap(
    lambda dtype: npst.arrays(dtype, SHAPES)
)
FLOAT32 = npst.arrays(npst.floating_dtypes(endianness="?", sizes=32), SHAPES)

# A name on disk is bytes without '/' and NUL; text stands for most, bytes for the rest.
NAMES = st.one_of(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    ),
    st.binary(min_size=1, max_size=60)
    .filter(lambda name: not set(name) & {0, ord("/")})
    .map(os.fsdecode),
    st.from_regex(r"[0-9a-fL]{0,3}-[0-9a-f]{0,3}-[0-9a-f]{0,3}(-[0-9_ ]{0,15})?", fullmatch=True),
    st.from_regex(r"M[0-9A-Za-z]{0,3}", fullmatch=True),
).filter(lambda name: name not in {"", ".", ".."} and len(os.fsencode(name)) <= 255)


@given(FLOATING)
def test_no_value_changes_without_cast(values: "np.ndarray[Any, Any]") -> None:
    try:
        narrow = as_float32(values, cast=False)
    except InvalidInputError:
        exact = np.isfinite(values) & (np.abs(values) <= np.finfo(np.float32).max)
        with np.errstate(over="ignore", under="ignore"):
            exact &= values.astype(np.float32).astype(values.dtype) == values
        assert not exact.all(), "refused, although float32 holds every value"
        return
    assert narrow.dtype == np.dtype(np.float32)
    assert np.isfinite(narrow).all()
    assert (narrow.astype(values.dtype) == values).all()
    assert (np.signbit(narrow) == np.signbit(values)).all()


@given(FLOATING)
def test_cast_gives_finite_float32_or_refuses(values: "np.ndarray[Any, Any]") -> None:
    try:
        narrow = as_float32(values, cast=True)
    except InvalidInputError:
        with np.errstate(over="ignore", under="ignore"):
            assert not np.isfinite(values.astype(np.float32)).all()
        return
    assert np.isfinite(narrow).all()


def refusal(call: Callable[[], object]) -> str | None:
    """Call; return the message if the input is refused."""
    try:
        call()
    except InvalidInputError as error:
        return error.message
    return None


@given(ANYTHING, st.booleans())
def test_any_dtype_is_taken_or_refused_as_invalid_input(
    values: "np.ndarray[Any, Any]", cast: bool
) -> None:
    message = refusal(lambda: as_float32(values, cast=cast))
    assert message is None or message.isprintable()
    assert message is not None or values.dtype.kind == "f"


@given(st.text())
def test_module_name_is_itself_or_invalid_input(text: str) -> None:
    message = refusal(lambda: parse_module_name(text))
    assert message is None or message.isprintable()
    assert message is not None or parse_module_name(text) == text


@given(st.one_of(st.text(), st.from_regex(r"M[0-9]{1,3}@.*", fullmatch=True)))
def test_module_reference_is_a_name_and_a_revision_or_invalid_input(text: str) -> None:
    message = refusal(lambda: parse_module_reference(text))
    if message is not None:
        assert message.isprintable()
        return
    module, revision = parse_module_reference(text)
    assert text == (module if revision is None else f"{module}@{revision}")
    assert revision is None or revision > 0


@given(FLOAT32)
def test_digest_depends_on_bits_and_shape_only(values: "np.ndarray[Any, Any]") -> None:
    digest = digest_of(values)
    assert digest_of(values.astype(values.dtype.newbyteorder("S"))) == digest
    assert digest_of(np.asfortranarray(values)) == digest
    assert digest_of(values[np.newaxis]) != digest


@given(npst.arrays(np.dtype("<f4"), SHAPES))
@settings(max_examples=25, deadline=None)
def test_every_float32_array_survives_the_payload_store(values: "np.ndarray[Any, Any]") -> None:
    with tempfile.TemporaryDirectory() as root:
        store = PayloadStore(Path(root))
        with store.batch() as batch:
            digest = batch.add(values)
            batch.publish()
        assert store.get(digest).tobytes() == values.tobytes()


@given(st.dictionaries(NAMES, st.sampled_from(["file", "directory", "link", "loop"]), max_size=6))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_name_of_a_tree_is_accounted_for_exactly_once(made: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as root:
        for name, how in made.items():
            path = Path(root, name)
            if how == "file":
                path.write_bytes(b"")
            elif how == "directory":
                path.mkdir()
            else:
                path.symlink_to("nowhere" if how == "link" else name)
        scanned = scan_gains_tree(Path(root), ZONE)
        named = [entry.name for entry in scanned.entries]
        named += [path.name for path in scanned.modules]
        named += [name for name, _ in scanned.ignored]
        own = {entry.name for entry in scanned.entries if entry.own_files}
    assert sorted(named) == sorted(made)
    assert own <= {name for name, how in made.items() if how == "directory"}
