"""The digest of an array: what it depends on, and what it does not."""

import hashlib
import struct
from typing import Any

import numpy as np
import pytest

from panelcal.domain.digest import digest_of

VALUES = np.arange(24, dtype="<f4").reshape(2, 3, 4) / 7


def by_definition(name: str, shape: tuple[int, ...], little_endian: bytes) -> str:
    """Compute the digest from its documented definition alone."""
    head = name + "\n" + ",".join(str(length) for length in shape) + "\n"
    return hashlib.sha256(head.encode() + little_endian).hexdigest()


def test_digest_is_that_of_its_documented_definition() -> None:
    packed = b"".join(struct.pack("<f", value) for value in VALUES.ravel().tolist())
    assert digest_of(VALUES) == by_definition("float32", (2, 3, 4), packed)


def test_digest_of_known_values_never_changes() -> None:
    head = b"float32\n1,2\n"
    expected = hashlib.sha256(head + b"\x00\x00\x80\x3f\x00\x00\x00\x40").hexdigest()
    assert digest_of(np.array([[1, 2]], np.float32)) == expected


@pytest.mark.parametrize(
    "same",
    [
        VALUES.astype(">f4"),
        np.asfortranarray(VALUES),
        np.asfortranarray(VALUES.astype(">f4")),
        np.repeat(VALUES, 2, axis=2)[:, :, ::2],
        np.ascontiguousarray(VALUES[::-1])[::-1],
        VALUES.transpose(2, 1, 0).copy().transpose(2, 1, 0),
        np.frombuffer(VALUES.tobytes(), "<f4").reshape(VALUES.shape),
    ],
    ids=["big-endian", "Fortran", "both", "strided", "reversed", "transposed", "read-only"],
)
def test_byte_order_and_memory_layout_do_not_matter(same: "np.ndarray[Any, Any]") -> None:
    assert digest_of(same) == digest_of(VALUES)


@pytest.mark.parametrize(
    "other",
    [
        VALUES.reshape(3, 2, 4),
        VALUES.reshape(24),
        VALUES.reshape(1, 2, 3, 4),
        VALUES.astype(np.float64),
        VALUES.view(np.int32),
        VALUES.view(np.uint32),
        VALUES[::-1],
        -VALUES,
    ],
    ids=["shape", "flat", "one more axis", "dtype", "int", "unsigned", "order", "sign"],
)
def test_shape_dtype_and_values_matter(other: "np.ndarray[Any, Any]") -> None:
    assert digest_of(other) != digest_of(VALUES)


def test_sign_of_zero_matters() -> None:
    zero = np.zeros(4, np.float32)
    assert digest_of(zero) != digest_of(-zero)


def test_bits_of_a_nan_matter() -> None:
    first, second = (np.array([bits], "<u4").view("<f4") for bits in (0x7FC00000, 0x7FC00001))
    assert digest_of(first) != digest_of(second)


def test_one_bit_matters() -> None:
    flipped = VALUES.copy()
    flipped.view(np.uint32)[1, 2, 3] ^= 1
    assert digest_of(flipped) != digest_of(VALUES)


def test_array_is_left_as_it_was() -> None:
    values = np.asfortranarray(VALUES.astype(">f4"))
    before = (values.dtype, values.strides, values.tobytes())
    digest_of(values)
    assert (values.dtype, values.strides, values.tobytes()) == before


@pytest.mark.parametrize("shape", [(0,), (2, 0, 4)])
def test_empty_arrays_have_a_digest(shape: tuple[int, ...]) -> None:
    assert digest_of(np.zeros(shape, np.float32)) == by_definition("float32", shape, b"")


def test_digest_is_64_hexadecimal_digits() -> None:
    digest = digest_of(VALUES)
    assert len(digest) == 64
    assert set(digest) <= set("0123456789abcdef")
