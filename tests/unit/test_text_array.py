"""Text arrays: the bytes that are written, and what readers make of bytes."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from legacy_oracle import load_txt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters.text_array import (
    Environment,
    as_written,
    header_lines,
    read_text_array,
    require_reads_back,
    write_text_array,
)

ENVIRONMENT = Environment(user="tester", host="psana1507", work_dir="/reg/d/work")
SHAPE = (2, 2, 2, 3)
EXPECTED = """\

# HOST        psana1507
# WORK_DIR    /reg/d/work
# FILE_NAME   out/631-end.data
# DATE_TIME   2026-02-01T10:11:12
# UID         tester
# SHAPE       (2,2,2,3)
# DATATYPE    float32

# DTYPE       float32
# NDIM        4
# DIM:0       2
# DIM:1       2
# DIM:2       2
# DIM:3       3

0.0 0.2 0.5
1.0 1.2 1.5
10.0 10.2 10.5
11.0 11.2 11.5
100.0 100.2 100.5
101.0 101.2 101.5
110.0 110.2 110.5
111.0 111.2 111.5
"""
LAYOUT = "# DTYPE float32\n# NDIM 3\n# DIM:0 1\n# DIM:1 2\n# DIM:2 2\n"


def header(comments: tuple[str, ...] = (), environment: Environment = ENVIRONMENT) -> list[str]:
    return header_lines(SHAPE, comments, environment, "out/631-end.data", "2026-02-01T10:11:12")


def array_of_places() -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Values that say where they are: 100 x gain range + 10 x panel + row + column / 4."""
    gain, panel, row, column = np.indices(SHAPE)
    return np.asarray(100 * gain + 10 * panel + row + column / 4, np.float32)


def text_of(comments: tuple[str, ...] = (), number_format: str = "%.1f") -> bytes:
    stream = io.BytesIO()
    write_text_array(stream, array_of_places(), number_format, header(comments))
    return stream.getvalue()


def put(directory: Path, content: bytes) -> Path:
    path = directory / "631-end.data"
    path.write_bytes(content)
    return path


def bits(array: "np.ndarray[Any, Any]") -> tuple[Any, ...]:
    return array.dtype, array.shape, array.tobytes()


def test_a_file_without_comments_has_exactly_these_bytes() -> None:
    assert text_of() == EXPECTED.encode()


def test_comments_come_first_and_then_the_empty_line() -> None:
    assert text_of(("token 0123", "")) == b"# token 0123\n# \n" + EXPECTED.encode()


def test_the_digest_returned_is_that_of_the_bytes_written() -> None:
    stream = io.BytesIO()
    digest = write_text_array(stream, array_of_places(), "%.4f", header(("token",)))
    assert digest == hashlib.sha256(stream.getvalue()).hexdigest()


def test_more_rows_than_are_formatted_at_once_are_all_written_in_order() -> None:
    array = np.arange(1500, dtype=np.float32).reshape(3, 500, 1)
    stream = io.BytesIO()
    write_text_array(stream, array, "%.1f", [])
    assert stream.getvalue() == "".join(f"{number}.0\n" for number in range(1500)).encode()


def test_an_array_that_is_not_contiguous_is_written_in_order_and_left_alone() -> None:
    array = array_of_places().swapaxes(0, 1).copy().swapaxes(0, 1)
    stream = io.BytesIO()
    write_text_array(stream, array, "%.1f", header())
    assert stream.getvalue() == EXPECTED.encode()
    assert array.shape == SHAPE


@pytest.mark.parametrize(
    "comment",
    [
        "DTYPE my words",
        "NDIM is big",
        "DIM:0 3",
        "SHAPE (3,)",
        "DATATYPE float64",
        "NDIM",
        "token\n# NDIM 5",
        "token\r# NDIM 5",
    ],
)
def test_a_comment_that_a_reader_would_take_for_the_header_is_refused(comment: str) -> None:
    with pytest.raises(InvalidInputError):
        header(("harmless", comment))


@pytest.mark.parametrize("comment", ["the NDIM is big", "dtype", "panel 0 DIM:0", "# NDIM 5"])
def test_a_comment_that_holds_a_key_further_on_does_no_harm(tmp_path: Path, comment: str) -> None:
    assert load_txt(put(tmp_path, text_of((comment,)))).shape == SHAPE


@pytest.mark.parametrize("end_of_line", ["\n", "\r"])
def test_no_fact_of_the_environment_makes_a_line_of_its_own(end_of_line: str) -> None:
    strange = Environment("tester", "psana1507", f"/reg/d{end_of_line}# NDIM 5")
    try:
        lines = header(environment=strange)
    except InvalidInputError:
        return
    assert not [line for line in lines if end_of_line in line]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_place(value: float) -> None:
    array = array_of_places()
    array[1, 0, 1, 2] = array[1, 1, 0, 0] = value
    stream = io.BytesIO()
    with pytest.raises(InvalidInputError, match=r"\(1, 0, 1, 2\)"):
        write_text_array(stream, array, "%.4f", header())
    assert stream.getvalue() == b""


@pytest.mark.parametrize("number_format", ["%d", "%.6e", "%.4f ", "%8.1f", "%.10f", ""])
def test_what_an_unknown_number_format_writes_is_not_guessed(number_format: str) -> None:
    with pytest.raises(InvalidInputError):
        as_written(array_of_places(), number_format)


@pytest.mark.parametrize("number_format", ["%.4f", "%.1f", "%.9g"])
def test_what_is_written_is_read_alike_by_panelcal_and_by_psana(
    tmp_path: Path, number_format: str
) -> None:
    path = put(tmp_path, text_of(("token 0123",), number_format))
    assert bits(read_text_array(path)) == bits(load_txt(path))
    assert bits(load_txt(path)) == bits(as_written(array_of_places(), number_format))


READABLE = {
    "as is": LAYOUT + "1 2\n3 4\n",
    "CRLF": (LAYOUT + "1 2\n3 4\n").replace("\n", "\r\n"),
    "CR": (LAYOUT + "1 2\n3 4\n").replace("\n", "\r"),
    "tabs": LAYOUT + "1\t2\n3\t4\n",
    "leading and trailing blanks": LAYOUT + "  1   2 \n\t3 4\t\n",
    "lines of blanks": LAYOUT + "  \n1 2\n\t\n3 4\n \n",
    "no final newline": LAYOUT + "1 2\n3 4",
    "exponents": LAYOUT + "1e0 +2.5E-3\n-3.25e+10 4.e-45\n",
    "comments after data": LAYOUT + "1 2\n# half\n#\n3 4\n# the end\n",
    "header after data": "1 2\n3 4\n" + LAYOUT,
    "all values on one line": LAYOUT + "1 2 3 4\n",
    "one value a line": LAYOUT + "1\n2\n3\n4\n",
    "no DTYPE": LAYOUT.replace("# DTYPE float32\n", "") + "1 2\n3 4\n",
    "DTYPE float": LAYOUT.replace("float32", "float") + "0.1 2\n3 4\n",
    "DTYPE uint16": LAYOUT.replace("float32", "uint16") + "1 2\n3 65535\n",
    "keys without blank": LAYOUT.replace("# ", "#") + "1 2\n3 4\n",
    "keys after two blanks": LAYOUT.replace("# ", "#  ") + "1 2\n3 4\n",
    "keys after a tab": LAYOUT.replace("# ", "#\t") + "1 2\n3 4\n",
    "padded values": LAYOUT.replace(" 3\n", "          3  \n") + "1 2\n3 4\n",
    "DIM lines in another order": "# NDIM 3\n# DIM:2 2\n# DIM:0 1\n# DIM:1 3\n1 2 3\n4 5 6\n",
    "DIM without NDIM": "# DIM:0 4\n1 2\n3 4\n",
    "NDIM without DIM": "# NDIM 4\n1 2\n3 4\n",
    "two dimensions": "# NDIM 2\n# DIM:0 4\n# DIM:1 1\n1 2\n3 4\n",
    "one line of two dimensions": "# NDIM 2\n# DIM:0 1\n# DIM:1 4\n1 2 3 4\n",
    "one line without header": "1 2 3 4\n",
    "one column": "1\n2\n3\n",
    "SHAPE and DATATYPE": "# SHAPE (9,9)\n# DATATYPE int8\n" + LAYOUT + "1 2\n3 4\n",
    "NaN and infinities": LAYOUT + "nan inf\n-inf -0.0\n",
    "beyond float32": LAYOUT + "1e40 -1e40\n1e-60 4\n",
    "rounded twice": LAYOUT + "1.00000005960464477540 0.1\n16777217 3.4028235e38\n",
    "form feed in a comment": "# page\f1\n" + LAYOUT + "1 2\n3 4\n",
    "next line in a comment": "# page\u00851\n" + LAYOUT + "1 2\n3 4\n",
    "line separator in a comment": "# page\u20281\n" + LAYOUT + "1 2\n3 4\n",
}


@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE.keys())
def test_the_reader_reads_what_psana_reads(tmp_path: Path, text: str) -> None:
    path = put(tmp_path, text.encode())
    assert bits(read_text_array(path)) == bits(load_txt(path))


UNREADABLE = {
    "NDIM mismatch": LAYOUT.replace("NDIM 3", "NDIM 4") + "1 2\n3 4\n",
    "product mismatch": LAYOUT + "1 2\n3 4\n5 6\n",
    "ragged lines": LAYOUT + "1 2 3\n4\n",
    "header without data": LAYOUT,
    "nothing": "",
    "only blanks": " \n\n\t\n",
    "commas": LAYOUT + "1,2\n3,4\n",
    "a word": LAYOUT + "1 2\n3 four\n",
    "comment behind data": LAYOUT + "1 2 # first\n3 4\n",
    "blank before a comment": " # comment\n" + LAYOUT + "1 2\n3 4\n",
    "C++ type": LAYOUT.replace("float32", "uint16_t") + "1 2\n3 4\n",
    "DTYPE in a sentence": "# DTYPE my words\n" + LAYOUT + "1 2\n3 4\n",
    "NDIM in a sentence": "# NDIM is big\n" + LAYOUT + "1 2\n3 4\n",
    "DIM without number": "# DIM:0 \n# NDIM 1\n1 2\n3 4\n",
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_the_reader_refuses_what_psana_refuses(tmp_path: Path, text: str) -> None:
    path = put(tmp_path, text.encode())
    with pytest.raises((ValueError, TypeError, OSError)):
        load_txt(path)
    with pytest.raises(InvalidInputError, match=path.name):
        read_text_array(path)


def test_a_binary_array_named_data_is_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, array_of_places())
    with pytest.raises(InvalidInputError):
        read_text_array(put(tmp_path, stream.getvalue()))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"none\.data"):
        read_text_array(tmp_path / "none.data")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"111.2500 ", b"111.2501 "),
        (b"\n0.0000 ", b"\n-0.0000 "),
        (b"101.5000\n", b"101.5000 101.5000\n"),
        (b"\n110.0000 110.2500 110.5000\n", b"\n"),
        (b"# DIM:0       2\n# DIM:1       2\n", b"# DIM:0       4\n# DIM:1       1\n"),
        (b"# DTYPE       float32", b"# DTYPE       float64"),
        (b"# NDIM        4", b"# NDIM        3"),
        (b"\n10.0000", b"\n1O.0000"),
    ],
    ids=["digit", "sign of zero", "surplus", "lost row", "shape", "type", "NDIM", "letter"],
)
def test_reading_back_notices_one_change(tmp_path: Path, good: bytes, bad: bytes) -> None:
    content = text_of(number_format="%.4f")
    require_reads_back(put(tmp_path, content), array_of_places(), "%.4f")
    assert content.count(good) == 1
    with pytest.raises(IntegrityError):
        require_reads_back(put(tmp_path, content.replace(good, bad)), array_of_places(), "%.4f")


def test_reading_back_at_full_precision_notices_the_last_bit(tmp_path: Path) -> None:
    changed = array_of_places()
    changed[1, 1, 1, 2] = np.nextafter(changed[1, 1, 1, 2], np.float32(0))
    with pytest.raises(IntegrityError, match="1 of 24"):
        require_reads_back(put(tmp_path, text_of(number_format="%.9g")), changed, "%.9g")
