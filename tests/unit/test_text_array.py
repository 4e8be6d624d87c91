"""Text arrays: the bytes that are written, and what readers make of bytes."""

import errno
import hashlib
import io
import re
import tracemalloc
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from legacy_oracle import load_txt
from panelcal.errors import IntegrityError, InvalidInputError
from panelcal.exporters import text_array, text_pieces
from panelcal.exporters.foreign_text import TextArray, read_foreign_text_array
from panelcal.exporters.printf import as_written, format_rows
from panelcal.exporters.text_array import (
    Environment,
    copy_rows,
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
    array = np.arange(210_000, dtype=np.float32).reshape(3, 70_000, 1)
    stream = io.BytesIO()
    write_text_array(stream, array, "%.1f", [])
    assert stream.getvalue() == "".join(f"{number}.0\n" for number in range(210_000)).encode()


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
def test_values_that_are_not_finite_are_refused_with_their_number_and_the_first_place(
    value: float,
) -> None:
    array = array_of_places()
    array[1, 0, 1, 2] = array[1, 1, 0, 0] = value
    stream = io.BytesIO()
    said = rf"\(1, 0, 1, 2\) is {value}, the first of 2 "
    with pytest.raises(InvalidInputError, match=said):
        write_text_array(stream, array, "%.4f", header())
    assert stream.getvalue() == b""


def test_nothing_is_written_in_a_format_that_is_refused() -> None:
    stream = io.BytesIO()
    with pytest.raises(InvalidInputError, match="no format"):
        write_text_array(stream, array_of_places(), "%.4e", header())
    assert stream.getvalue() == b""


def test_a_line_of_more_values_than_are_formatted_at_once_is_written_whole() -> None:
    array = np.ones((2, 70_000), np.float32)
    stream = io.BytesIO()
    write_text_array(stream, array, "%.1f", [])
    assert stream.getvalue() == (b"1.0 " * 69_999 + b"1.0\n") * 2


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


READABLE |= {
    f"{name}, with decimals": re.sub("^1 2", "1.5 2.5", text, flags=re.M).replace(
        "3 4", "-3.5 41.5"
    )
    for name, text in READABLE.items()
}
READABLE |= {
    "decimals that change": LAYOUT + "1.5 2.5\n3.25 4.25\n",
    "decimals of float64": LAYOUT.replace("float32", "float64") + "0.1 0.2\n0.3 -0.4\n",
    "decimals of float16": LAYOUT.replace("float32", "float16") + "0.1 0.2\n0.3 -99999.4\n",
    "decimals beyond float16": LAYOUT.replace("float32", "float16") + "0.1 0.2\n0.3 -0.4\n",
    "a header in two parts": LAYOUT[: LAYOUT.index("# DIM:2")] + "1.5 2.5\n# DIM:2 2\n3.5 4.5\n",
    "a length to be found": LAYOUT.replace("DIM:1 2", "DIM:1 -1") + "1.5 2.5\n3.5 4.5\n",
    "a carriage return in a comment": LAYOUT + "# one\r1.5 2.5\n3.5 4.5\n",
    "a key behind a carriage return": LAYOUT + "# one\r# DTYPE float64\n1.1 2.2\n3.3 4.4\n",
    "one axis more behind data": LAYOUT + "1.5 2.5\n3.5 4.5\n" * 2 + "# NDIM 4\n# DIM:3 2\n",
}


@pytest.fixture(params=[None, 7], ids=["one piece", "pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in one piece, or line by line."""
    if request.param is not None:
        monkeypatch.setattr(text_pieces, "PIECE_BYTES", request.param)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("text", READABLE.values(), ids=READABLE.keys())
def test_the_reader_reads_what_psana_reads(tmp_path: Path, text: str) -> None:
    path = put(tmp_path, text.encode())
    assert bits(read_text_array(path)) == bits(load_txt(path))


def test_a_file_of_many_pieces_is_read_alike_by_panelcal_and_by_psana(tmp_path: Path) -> None:
    array = np.linspace(-9, 99, 300_000, dtype=np.float32).reshape(3, 100, 1000)
    path = tmp_path / "631-end.data"
    with path.open("wb") as stream:
        head = header_lines(array.shape, [], ENVIRONMENT, str(path), "t")
        write_text_array(stream, array, "%.4f", head)
    assert path.stat().st_size > 3 * text_pieces.PIECE_BYTES
    assert bits(read_text_array(path)) == bits(load_txt(path))
    require_reads_back(path, array, "%.4f")


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


UNREADABLE |= {
    f"{name}, with decimals": re.sub("^1 2", "1.5 2.5", text, flags=re.M).replace("3 4", "3.5 4.5")
    for name, text in UNREADABLE.items()
}
UNREADABLE |= {
    "more than is stated": LAYOUT + "1.5 2.5\n3.5 4.5\n5.5 6.5\n",
    "less than is stated": LAYOUT + "1.5 2.5\n",
    "lines of other lengths": LAYOUT + "1.500000\n2.500000 3.500000 4.500000\n",
    "an array beyond all memory": LAYOUT.replace("DIM:0 1", "DIM:0 999999999999") + "1.5 2.5\n",
}


@pytest.mark.usefixtures("pieces")
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


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b"111.2500 ", b"111.2501 "),
        (b"111.5000\n", b"111.5000\n\n"),
        (b"111.5000\n", b"111.5000\n121.0000 121.2500 121.5000\n"),
        (b"111.5000\n", b"111.5000\n# DTYPE float64\n"),
        (b"111.5000\n", b"111.5"),
        (b"111.0000 111.2500 111.5000\n", b""),
        (b"100.0000 ", b"\n100.0000 "),
        (b"# UID", b"# DTYPE \xff\n# UID"),
        (b"\n0.0000 ", b"\n-0.0000 "),
        (b"101.5000\n", b"101.5000 101.5000\n"),
        (b"\n110.0000 110.2500 110.5000\n", b"\n"),
        (b"# DIM:0       2\n# DIM:1       2\n", b"# DIM:0       4\n# DIM:1       1\n"),
        (b"# DTYPE       float32", b"# DTYPE       float64"),
        (b"# NDIM        4", b"# NDIM        3"),
        (b"\n10.0000", b"\n1O.0000"),
    ],
    ids=[
        "digit",
        "surplus line feed",
        "surplus row",
        "late header",
        "no end",
        "lost last row",
        "row in two",
        "header of no text",
        "sign of zero",
        "surplus",
        "lost row",
        "shape",
        "type",
        "NDIM",
        "letter",
    ],
)
def test_reading_back_notices_one_change(tmp_path: Path, good: bytes, bad: bytes) -> None:
    content = text_of(number_format="%.4f")
    require_reads_back(put(tmp_path, content), array_of_places(), "%.4f")
    assert content.count(good) == 1
    with pytest.raises(IntegrityError):
        require_reads_back(put(tmp_path, content.replace(good, bad)), array_of_places(), "%.4f")


def test_a_file_that_is_gone_does_not_read_back(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match=r"none\.data"):
        require_reads_back(tmp_path / "none.data", array_of_places(), "%.4f")


@pytest.mark.usefixtures("pieces")
def test_reading_back_at_full_precision_notices_the_last_bit(tmp_path: Path) -> None:
    changed = array_of_places()
    changed[1, 1, 1, 2] = np.nextafter(changed[1, 1, 1, 2], np.float32(0))
    with pytest.raises(IntegrityError, match="1 of 24"):
        require_reads_back(put(tmp_path, text_of(number_format="%.9g")), changed, "%.9g")


@pytest.mark.parametrize("number_format", ["%.4f", "%.9g"])
def test_writing_and_reading_back_need_less_memory_than_a_second_array(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number_format: str
) -> None:
    array = np.linspace(-9, 99, 120_000, dtype=np.float32).reshape(3, 400, 100)
    monkeypatch.setattr(text_pieces, "PIECE_BYTES", 2**11)
    monkeypatch.setattr(text_array, "VALUES_AT_ONCE", 2**8)
    path = tmp_path / "631-end.data"
    head = header_lines(array.shape, [], ENVIRONMENT, str(path), "t")
    format_rows(array[0, :1], number_format)  # makes its tables, once for all
    tracemalloc.start()
    try:
        with path.open("wb") as stream:
            write_text_array(stream, array, number_format, head)
        require_reads_back(path, array, number_format)
        assert tracemalloc.get_traced_memory()[1] < array.nbytes / 2
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("number_format", ["%.4f", "%.9g"])
def test_rows_behind_another_header_are_what_writing_them_would_make(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number_format: str
) -> None:
    monkeypatch.setattr(text_array, "_COPIED_BYTES", 10)
    source = put(tmp_path, text_of(("token 0123",), number_format))
    stream = io.BytesIO()
    with source.open("rb") as rows:
        digest = copy_rows(rows, stream, header(("another token", "")))
    assert stream.getvalue() == text_of(("another token", ""), number_format)
    assert digest == hashlib.sha256(stream.getvalue()).hexdigest()


@pytest.mark.parametrize(
    ("said", "other"),
    [
        (b"# DIM:0       2\n# DIM:1       2\n", b"# DIM:0       4\n# DIM:1       1\n"),
        (b"# DTYPE       float32", b"# DTYPE       float64"),
        (b"# NDIM        4", b"# NDIM        3"),
        (b"# UID", b"# \xff\n# UID"),
    ],
    ids=["shape", "type", "NDIM", "no text"],
)
def test_rows_of_another_layout_are_not_copied(tmp_path: Path, said: bytes, other: bytes) -> None:
    source, stream = put(tmp_path, text_of().replace(said, other)), io.BytesIO()
    with source.open("rb") as rows, pytest.raises(InvalidInputError, match=r"631-end\.data"):
        copy_rows(rows, stream, header())
    assert stream.getvalue() == b""


class Stale(io.BytesIO):
    """A file that cannot be read any more, as over a network."""

    name = "631-end.data"

    def read(self, *_: object) -> bytes:
        raise OSError(errno.ESTALE, "Stale file handle")


def test_rows_that_cannot_be_read_any_more_are_told_from_a_full_disk(tmp_path: Path) -> None:
    source = Stale(text_of())
    with pytest.raises(InvalidInputError, match=r"cannot read 631-end\.data"):
        copy_rows(source, io.BytesIO(), header())
    with put(tmp_path, text_of()).open("rb") as rows, Path("/dev/full").open("wb") as full:
        with pytest.raises(OSError, match="No space left"):
            copy_rows(rows, full, header())
            full.flush()
        with suppress(OSError):
            full.close()


HEADER = "\n# SHAPE       (1,2,2)\n# DATATYPE    float32\n\n" + LAYOUT
"""Both dialects, as the legacy writer leaves them."""
DATA = "1.5 2.5\n3.5 -4.5\n"
LCLS2 = "# SHAPE (1,2,2)\n# DATATYPE float32\n"


def foreign(directory: Path, text: str) -> TextArray:
    return read_foreign_text_array(put(directory, text.encode()))


def test_what_panelcal_writes_is_a_text_array_without_notices(tmp_path: Path) -> None:
    found = foreign(tmp_path, text_of(("token 0123", "", "# twice"), "%.2f").decode())
    assert bits(found.array) == bits(array_of_places())
    assert found.comments == ("token 0123", "", "# twice")
    assert found.number_format == "%.2f"
    assert found.notices == ()


FOREIGN = {
    "as written": (HEADER + DATA, ()),
    "CRLF": ((HEADER + DATA).replace("\n", "\r\n"), ("lines end with CR LF",)),
    "CR": ((HEADER + DATA).replace("\n", "\r"), ("lines end with CR",)),
    "no final newline": (HEADER + DATA[:-1], ("no line feed at the end",)),
    "tabs and leading blanks": (HEADER + "  1.5\t2.5\n\t3.5   -4.5 \n", ()),
    "lines of blanks": (HEADER + " \n1.5 2.5\n\t\n3.5 -4.5\n\n", ()),
    "exponents": (HEADER + "15e-1 +.25E1\n0.35e+01 -45.e-1\n", ()),
    "all values on one line": (
        HEADER + "1.5 2.5 3.5 -4.5\n",
        ("the lines are not the rows of the array",),
    ),
    "ragged lines with a shape": (
        HEADER + "1.5 2.5 3.5\n-4.5\n",
        ("the lines are not the rows of the array",),
    ),
    "only LCLS1": (LAYOUT + DATA, ("no SHAPE, DATATYPE in the header",)),
    "only LCLS2": (LCLS2 + DATA, ("no DTYPE, NDIM, DIM:0 in the header",)),
    "no type": (
        "# NDIM 3\n# DIM:0 1\n# DIM:1 2\n# DIM:2 2\n" + DATA,
        ("no DTYPE, SHAPE, DATATYPE in the header",),
    ),
    "no NDIM": (HEADER.replace("# NDIM 3\n", "") + DATA, ("no NDIM in the header",)),
    "no blank after the mark": (
        HEADER.replace("# DIM:0", "#DIM:0") + DATA,
        ("psana does not see DIM:0",),
    ),
    "two blanks and tabs after the mark": (
        HEADER.replace("# NDIM", "#  NDIM").replace("# DTYPE ", "#\tDTYPE\t\t") + DATA,
        ("psana does not see DTYPE, NDIM",),
    ),
    "a shape with blanks": (HEADER.replace("(1,2,2)", "( 1, 2 ,2, )") + DATA, ()),
    "the header twice": (HEADER + HEADER + DATA, ()),
    "the header behind the data": (DATA + HEADER, ("comment lines behind the first data: 7",)),
}


FOREIGN |= {
    "a carriage return in a comment": (
        HEADER + "# one\r1.5 2.5\n3.5 -4.5\n",
        ("lines end with CR",),
    ),
    "a comment between data": (
        HEADER + "1.5 2.5\n# half\n3.5 -4.5\n",
        ("comment lines behind the first data: 1",),
    ),
    "other decimals": (HEADER + "1.5 2.5\n3.50 -4.50\n", ()),
    "one value a line": (
        HEADER + "1.5\n2.5\n3.5\n-4.5\n",
        ("the lines are not the rows of the array",),
    ),
}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("text", "notices"), FOREIGN.values(), ids=FOREIGN.keys())
def test_an_unusual_file_is_read_and_what_is_unusual_is_said(
    tmp_path: Path, text: str, notices: tuple[str, ...]
) -> None:
    found = foreign(tmp_path, text)
    expected = np.array([[[1.5, 2.5], [3.5, -4.5]]], np.float32)
    assert bits(found.array) == bits(expected)
    assert found.notices == notices


def test_a_file_without_header_is_laid_out_as_its_lines(tmp_path: Path) -> None:
    found = foreign(tmp_path, DATA)
    assert bits(found.array) == bits(np.array([[1.5, 2.5], [3.5, -4.5]], np.float32))
    assert found.notices == ("no header",)
    assert foreign(tmp_path, "1.5 2.5\n").array.shape == (1, 2)


def test_one_dimension_as_the_legacy_writer_leaves_it(tmp_path: Path) -> None:
    head = "\n# SHAPE       (3,)\n# DATATYPE    float32\n\n"
    head += "# DTYPE       float32\n# NDIM        1\n# DIM:0       3\n\n"
    found = foreign(tmp_path, head + " 1.0 2.0 3.0 ")
    assert bits(found.array) == bits(np.array([1, 2, 3], np.float32))
    assert found.notices == ("no line feed at the end",)


def test_two_dimensions_have_the_shape_that_is_stated(tmp_path: Path) -> None:
    found = foreign(tmp_path, "# SHAPE (4,1)\n" + DATA)
    assert found.array.shape == (4, 1)
    assert "the lines are not the rows of the array" in found.notices


def test_facts_of_the_environment_are_no_comments(tmp_path: Path) -> None:
    text = "# token 0123\n#   indented\n#bare\n# HOST of the shifters\n"
    text += "# HOST        psana1507\n#  DATE_TIME\t\t2026\n# UID\n# NDIMS 7\n"
    found = foreign(tmp_path, text + HEADER + DATA)
    assert found.comments == (
        "token 0123",
        "  indented",
        "bare",
        "HOST of the shifters",
        "NDIMS 7",
    )


def test_nan_and_infinities_are_read_as_they_are_and_counted(tmp_path: Path) -> None:
    found = foreign(tmp_path, HEADER + "nan -inf\n1e40 -0.0\n")
    expected = np.array([[[np.nan, -np.inf], [np.inf, -0.0]]], np.float32)
    assert bits(found.array) == bits(expected)
    assert found.notices == ("NaN or infinite values: 3",)
    assert found.number_format == "%.9g"


@pytest.mark.parametrize(
    ("dtype", "text", "values"),
    [
        ("uint16", "0 65535", [0, 65535]),
        ("int16", " -32768\t+7", [-32768, 7]),
        ("uint64", "18446744073709551615 9007199254740993", [2**64 - 1, 2**53 + 1]),
        ("int32", "3.0 -4e1", [3, -40]),
        ("int32", "3.0 -4.0", [3, -4]),
        ("float64", "0.1 0.2", [0.1, 0.2]),
        ("float64", "0.1 1e-300", [0.1, 1e-300]),
        ("double", "0.1 1e300", [0.1, 1e300]),
        ("float", "0.1 1e300", [0.1, 1e300]),
    ],
)
def test_values_are_of_the_type_stated_exactly(
    tmp_path: Path, dtype: str, text: str, values: list[float]
) -> None:
    found = foreign(tmp_path, f"# DTYPE {dtype}\n# NDIM 1\n# DIM:0 2\n{text}\n")
    assert bits(found.array) == bits(np.array(values, np.dtype(dtype)))


REFUSED = {
    "nothing": ("", r"is empty"),
    "only blanks": (" \n\n", "no data"),
    "header without data": (HEADER, "no data"),
    "a comma": (HEADER + "1.5,2.5\n", r"line 10: '1\.5,2\.5' is no number"),
    "a word": (HEADER + "1.5 2.5\n3.5 four\n", "line 11: 'four' is no number"),
    "an underscore": (HEADER + "1.5 2.5\n3.5 1_0\n", "line 11: '1_0' is no number"),
    "other digits": (HEADER + "1.5 2.5\n3.5 ٣\n", "line 11: .* is no number"),
    "hexadecimal": (HEADER + "1.5 2.5\n3.5 0x10\n", "line 11: '0x10' is no number"),
    "a comment behind data": (HEADER + "1.5 2.5 # one\n3.5 4.5\n", "line 10: '#' is no number"),
    "ragged lines": (DATA + "1.5\n\n" + DATA, "line 3: 1 value, but 2 in the lines before"),
    "too few values": (HEADER + "1.5 2.5\n", r"2 values, .* \(1, 2, 2\)"),
    "too many values": (HEADER + DATA + "1 2\n", r"6 values, .* \(1, 2, 2\)"),
    "too few values in ragged lines": (HEADER + "1 2\n3\n", r"3 values, .* \(1, 2, 2\)"),
    "two shapes": (
        HEADER.replace("(1,2,2)", "(2,2,1)") + DATA,
        r"line 2: SHAPE is \(2, 2, 1\), .* \(1, 2, 2\)",
    ),
    "two types": (
        HEADER.replace("DATATYPE    float32", "DATATYPE float64") + DATA,
        "line 3: DATATYPE is float64, but DTYPE is float32",
    ),
    "NDIM and DIM": (HEADER.replace("NDIM 3", "NDIM 4") + DATA, "line 6: NDIM is 4, .* 3"),
    "NDIM without DIM": ("# NDIM 2\n" + DATA, "line 1: NDIM is 2, .* 0"),
    "DIM from 1": (
        "# NDIM 2\n# DIM:1 2\n# DIM:2 2\n" + DATA,
        "line 2: DIM:1, DIM:2 do not count from DIM:0",
    ),
    "DIM in another order": (
        "# NDIM 2\n# DIM:1 2\n# DIM:0 2\n" + DATA,
        "line 2: DIM:1, DIM:0 do not count",
    ),
    "DIM of a word": ("# NDIM 1\n# DIM:x 4\n" + DATA, "line 2: DIM:x do"),
    "a key twice": (HEADER + "# DIM:1 3\n" + DATA, "line 10: DIM:1 is '3', but '2' in line 8"),
    "a negative length": ("# NDIM 1\n# DIM:0 -1\n" + DATA, "line 2: DIM:0 is '-1'"),
    "DIM without number": ("# NDIM 1\n# DIM:0\n" + DATA, "line 2: DIM:0 is ''"),
    "NDIM in a sentence": ("# NDIM is big\n" + DATA, "line 1: NDIM is 'is big'"),
    "DTYPE in a sentence": ("# DTYPE my words\n" + DATA, "line 1: DTYPE is 'my words'"),
    "SHAPE in a sentence": ("# SHAPE of it\n" + DATA, "line 1: SHAPE is 'of it'"),
    "no shape": ("# SHAPE ()\n" + DATA, r"line 1: SHAPE is '\(\)'"),
    "an expression": ("# SHAPE (2,1+1)\n" + DATA, "line 1: SHAPE is"),
    "C++ type": ("# DTYPE uint16_t\n" + DATA, "line 1: DTYPE is 'uint16_t'"),
    "no such type": ("# DATATYPE float33\n" + DATA, "line 1: DATATYPE is 'float33'"),
    "objects": ("# DTYPE object\n" + DATA, "line 1: DTYPE is 'object'"),
    "decimals of an integer": ("# DTYPE int16\n1.0\n2.0\n3.5\n", "line 4: '3.5' is no int16"),
    "ragged lines in pieces": (
        "1.500000\n2.500000 3.500000\n",
        "line 2: 2 values, but 1 in the lines before",
    ),
    "a fraction of an integer": ("# DTYPE int16\n1 2\n3 4.5\n", "line 3: '4.5' is no int16"),
    "NaN of an integer": ("# DTYPE int16\n1 nan\n", "line 2: 'nan' is no int16"),
    "beyond an integer": ("# DTYPE uint16\n1 65536\n", "line 2: '65536' is no uint16"),
    "below an integer": ("# DTYPE uint16\n1 -1\n", "line 2: '-1' is no uint16"),
    "not exact": ("# DTYPE uint64\n1e17 1\n", "line 2: '1e17' is no uint64"),
}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(("text", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_would_have_to_be_guessed_is_refused_with_its_place(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=rf"631-end\.data.*{said}"):
        foreign(tmp_path, text)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path: Path) -> None:
    path = put(tmp_path, b"# token\n1.5 2.5\n3.5 \xff\n")
    with pytest.raises(InvalidInputError, match="line 3: the byte 0xff is no text"):
        read_foreign_text_array(path)


def test_a_foreign_binary_array_is_named_as_such(tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", array_of_places())
    with pytest.raises(InvalidInputError, match="binary npy"):
        read_foreign_text_array(tmp_path / "array.npy")


@pytest.mark.parametrize("name", ["none.data", "."])
def test_a_foreign_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInputError, match="cannot read"):
        read_foreign_text_array(tmp_path / name)


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize(
    ("data", "number_format"),
    [
        ("41.5\n-1.3\n", "%.1f"),
        ("41.500000\n-1.3000\n", "%.9g"),
        ("41.5000\n-1.300000\n", "%.9g"),
        ("0.1234567\n7.7654321\n", "%.9g"),
        ("41.5000 -1.3900\n", "%.4f"),
        ("0.0 300.1\n", "%.1f"),
        ("0.1 0.25\n", "%.9g"),
        ("1 2\n", "%.9g"),
        ("1.5e0 2.5e0\n", "%.9g"),
    ],
)
def test_the_number_format_is_that_of_the_data(
    tmp_path: Path, data: str, number_format: str
) -> None:
    assert foreign(tmp_path, "# page 1.25 of 2\n" + data).number_format == number_format
