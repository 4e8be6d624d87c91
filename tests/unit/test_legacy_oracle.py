"""The oracle of the other tests, held against what the description of the formats states."""

from pathlib import Path

import numpy as np
import pytest

from legacy_oracle import DirectoryOrderError, find_calib_file, load_txt, parse_history

SOURCE = "XcsEndstation.0:Jungfrau.0"
HEADER = "# DTYPE float32\n# NDIM 3\n# DIM:0 1\n# DIM:1 2\n# DIM:2 2\n"


def calib_with(directory: Path, *names: str) -> Path:
    calib = directory / "calib"
    folder = calib / "Jungfrau::CalibV1" / SOURCE / "pedestals"
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch()
    return calib


def found_name(calib: Path, run: int, source: str = SOURCE) -> str:
    found = find_calib_file(calib, source, "pedestals", run)
    assert found is not None
    return Path(found).name if found else ""


def written(directory: Path, text: str) -> Path:
    path = directory / "array.data"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (645, "640-645.data"),
        (646, "640-650.data"),
        (651, "640-end.data"),
        (639, "600-700.data"),
        (599, "0-end.data"),
        (660, "660-9999.data"),
        (123456, "660-9999.data"),
    ],
)
def test_the_latest_begin_wins_and_then_the_narrowest_range(
    tmp_path: Path, run: int, name: str
) -> None:
    names = ["0-end", "600-700", "640-end", "640-650", "640-645", "660-9999"]
    calib = calib_with(tmp_path, *(f"{stem}.data" for stem in names))
    assert found_name(calib, run) == name


@pytest.mark.parametrize(
    "killer",
    ["10000-end.data", "5-10000.data", "7-.data", "5-End.data", "5-end.data.data"],
)
@pytest.mark.parametrize("run", [0, 7, 9999])
def test_a_killer_name_raises_type_error_for_every_run(
    tmp_path: Path, killer: str, run: int
) -> None:
    calib = calib_with(tmp_path, "0-end.data", killer)
    with pytest.raises(TypeError):
        find_calib_file(calib, SOURCE, "pedestals", run)


@pytest.mark.parametrize(
    "ignored",
    ["abc-end.data", "9.data", "5-6-7.data", "9-5.data", "HISTORY", "7-end.data-x", "7-end.txt"],
)
def test_a_name_that_is_no_range_is_ignored(tmp_path: Path, ignored: str) -> None:
    assert found_name(calib_with(tmp_path, "0-end.data", ignored), 7) == "0-end.data"


def test_leading_zeros_are_allowed(tmp_path: Path) -> None:
    assert found_name(calib_with(tmp_path, "0-end.data", "0631-end.data"), 631) == "0631-end.data"


@pytest.mark.parametrize("twin", ["0631-end.data", "631-9999.data"])
def test_identical_ranges_have_no_answer(tmp_path: Path, twin: str) -> None:
    with pytest.raises(DirectoryOrderError):
        find_calib_file(calib_with(tmp_path, "631-end.data", twin), SOURCE, "pedestals", 700)


def test_a_source_without_location_is_in_no_known_group(tmp_path: Path) -> None:
    assert found_name(calib_with(tmp_path, "0-end.data"), 1, "Jungfrau.0") == ""


def test_det_info_around_the_source_is_not_stripped(tmp_path: Path) -> None:
    assert found_name(calib_with(tmp_path, "0-end.data"), 1, f"DetInfo({SOURCE})") == ""


def test_a_missing_calib_directory_is_none_and_a_missing_type_is_empty(tmp_path: Path) -> None:
    assert find_calib_file(tmp_path / "calib", SOURCE, "pedestals", 1) is None
    assert find_calib_file(calib_with(tmp_path), SOURCE, "pixel_gain", 1) == ""


def test_a_run_before_every_range_has_no_file(tmp_path: Path) -> None:
    assert found_name(calib_with(tmp_path, "631-end.data"), 630) == ""


@pytest.mark.parametrize(
    "text",
    [
        HEADER + "1 2\n3 4\n",
        (HEADER + "1 2\n3 4\n").replace("\n", "\r\n"),
        HEADER + "1\t2\n 3   4",
        HEADER + "1e0 20E-1 3 4\n",
        HEADER + "1 2\n\n3 4\n# the end\n",
        "1 2\n3 4\n" + HEADER,
    ],
)
def test_the_reader_accepts_what_the_description_lists(tmp_path: Path, text: str) -> None:
    array = load_txt(written(tmp_path, text))
    assert array.dtype == np.float32
    assert array.tolist() == [[[1, 2], [3, 4]]]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("# NDIM is big\n1 2\n", ValueError),
        ("# DTYPE my words\n1 2\n", TypeError),
        ("# DTYPE uint16_t\n1 2\n", TypeError),
        ("# NDIM 4\n# DIM:0 1\n1 2\n", OSError),
        (HEADER + "1 2\n3 4\n5 6\n", ValueError),
        ("1,2\n3,4\n", ValueError),
        ("1 2\n3\n", ValueError),
        (HEADER, ValueError),
        ("1 2 # two\n", ValueError),
    ],
)
def test_the_reader_rejects_what_the_description_lists(
    tmp_path: Path, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        load_txt(written(tmp_path, text))


@pytest.mark.parametrize("mark", ["#", "#  ", "#\t"])
def test_a_key_without_exactly_one_blank_is_ignored(tmp_path: Path, mark: str) -> None:
    text = (HEADER + "1 2\n3 4\n").replace("# ", mark)
    assert load_txt(written(tmp_path, text)).shape == (2, 2)


def test_the_index_of_a_dim_line_is_ignored(tmp_path: Path) -> None:
    text = "# NDIM 3\n# DIM:2 3\n# DIM:0 1\n# DIM:1 2\n1 2 3 4 5 6\n"
    assert load_txt(written(tmp_path, text)).shape == (3, 1, 2)


def test_float_means_float64(tmp_path: Path) -> None:
    assert load_txt(written(tmp_path, "# DTYPE float\n1 2\n")).dtype == np.float64


def test_the_shape_of_two_dimensions_is_not_applied(tmp_path: Path) -> None:
    text = "# NDIM 2\n# DIM:0 1\n# DIM:1 4\n1 2 3 4\n"
    assert load_txt(written(tmp_path, text)).shape == (4,)


def test_a_binary_file_is_not_readable(tmp_path: Path) -> None:
    path = tmp_path / "1-end.data"
    with path.open("wb") as stream:
        np.save(stream, np.ones((1, 2), np.float32))
    with pytest.raises(UnicodeDecodeError):
        load_txt(path)


def test_history_is_split_on_blanks_and_then_at_the_first_colon() -> None:
    line = "file:0-end.data     copy_of:/a/b  cptime:2018-03-06T12:13:14  comment:two words\n"
    assert parse_history(line) == {
        "file": "0-end.data",
        "copy_of": "/a/b",
        "cptime": "2018-03-06T12:13:14",
        "comment": "two",
    }
