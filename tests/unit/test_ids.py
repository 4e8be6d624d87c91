"""The codec of panel ids and detector ids (spec §1)."""

import pytest

from panelcal.domain.ids import PanelId, format_detector_id, parse_detector_id
from panelcal.errors import InvalidInputError

MODULE_VERSION, FIRMWARE, SERIAL = 1511699, 23403815178277, 3997947
PANEL = "171113-154920171025-3d00fb"
OTHER = "171113-154920171025-3d00f7"

CODEC = [
    ((MODULE_VERSION, FIRMWARE, SERIAL), PANEL),
    ((MODULE_VERSION, 0, SERIAL), "171113--3d00fb"),
    ((0, FIRMWARE, SERIAL), "-154920171025-3d00fb"),
    ((MODULE_VERSION, FIRMWARE, 0), "171113-154920171025-"),
    ((0, 0, 0), "--"),
    ((0x10, 0xA0, 1), "10-a0-1"),
    ((2**64 - 1, 2**63, 1), "ffffffffffffffff-8000000000000000-1"),
]


@pytest.mark.parametrize(("numbers", "text"), CODEC)
def test_numbers_are_written_as_bare_lower_case_hex_and_zero_as_nothing(
    numbers: tuple[int, int, int], text: str
) -> None:
    assert str(PanelId(*numbers)) == text


@pytest.mark.parametrize(("numbers", "text"), CODEC)
def test_an_id_is_read_back_as_its_numbers(numbers: tuple[int, int, int], text: str) -> None:
    assert PanelId.parse(text) == PanelId(*numbers)


def test_the_fields_are_module_version_firmware_and_serial_in_this_order() -> None:
    panel = PanelId.parse(PANEL)
    assert (panel.module_version, panel.firmware, panel.serial) == (
        MODULE_VERSION,
        FIRMWARE,
        SERIAL,
    )
    assert panel.fields() == ("171113", "154920171025", "3d00fb")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("8000000000000000L-1-2", "8000000000000000-1-2"),
        ("171113-154920171025L-3d00fbL", PANEL),
        ("171113L--3d00fb", "171113--3d00fb"),
    ],
)
def test_a_trailing_L_of_python_2_is_dropped(text: str, written: str) -> None:  # noqa: N802
    assert str(PanelId.parse(text)) == written


def test_a_python_2_long_zero_is_a_lone_L_and_means_zero() -> None:  # noqa: N802
    # hex(0L) is '0x0L'; without its leading 0s and xs (spec §1) only the L is left.
    assert str(PanelId.parse("171113-L-3d00fb")) == "171113--3d00fb"


def refusal(text: str) -> InvalidInputError:
    with pytest.raises(InvalidInputError) as caught:
        PanelId.parse(text)
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "1 fields separated by '-' found, three expected"),
        ("171113-154920171025", "2 fields separated by '-' found, three expected"),
        ("1-2-3-4", "4 fields separated by '-' found, three expected"),
        ("171113-0-3d00fb", "firmwareVersion '0' has a leading zero"),
        ("0171113-1549-3d00fb", "moduleVersion '0171113' has a leading zero"),
        ("0x171113-1549-3d00fb", "moduleVersion '0x171113' begins with 0x, which ids leave out"),
        ("171113-1549-3d00fg", "serialNumber '3d00fg' holds 'g', which is no hexadecimal digit"),
        ("171113-15 49-3d00fb", "firmwareVersion '15 49' holds ' ', which is no hexadecimal"),
        ("171113-1549-3d00fb\n", "holds '\\n', which is no hexadecimal digit"),
        ("171113-1549-３d00fb", "holds '\\uff13', which is no hexadecimal digit"),
        ("171113-1549-3d00fbLL", "holds 'L', which is no hexadecimal digit"),
        (
            "171113-1549-10000000000000000",
            "serialNumber has 17 hexadecimal digits, 64 bits are at most 16",
        ),
    ],
)
def test_a_malformed_panel_id_is_refused_with_the_field_and_the_reason(
    text: str, says: str
) -> None:
    error = refusal(text)
    assert says in error.message
    assert "is not a panel id" in error.message


def test_zero_written_as_a_digit_is_refused_with_how_to_write_it() -> None:
    assert refusal("171113-0-3d00fb").hint == "zero itself is written as an empty field"


def test_upper_case_is_refused_with_the_lower_case_id() -> None:
    error = refusal("171113-154920171025-3D00FB")
    assert "serialNumber '3D00FB' has upper-case letters" in error.message
    assert error.hint == f"did you mean '{PANEL}'?"


def test_an_id_with_a_stamp_is_refused_with_both_told_apart() -> None:
    error = refusal(f"{PANEL}-20180306000000")
    assert "4 fields separated by '-' found" in error.message
    assert error.hint == f"'{PANEL}' looks like the panel, '20180306000000' like a stamp"


def test_a_detector_id_is_no_panel_id_and_the_hint_says_what_it_is() -> None:
    error = refusal(f"{PANEL}_{OTHER}")
    assert "5 fields separated by '-' found" in error.message
    assert error.hint == "this looks like a detector id: panel ids joined by '_'"


@pytest.mark.parametrize(
    ("numbers", "says"),
    [
        ((-1, 2, 3), "moduleVersion -1 is not an unsigned 64-bit integer"),
        ((1, 2**64, 3), "firmwareVersion 18446744073709551616 is not an unsigned 64-bit integer"),
        ((1, 2, -3), "serialNumber -3 is not an unsigned 64-bit integer"),
    ],
)
def test_a_number_beyond_64_bits_is_refused(numbers: tuple[int, int, int], says: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        PanelId(*numbers)
    assert caught.value.message == says


MEGABYTE = 2**20


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a" * MEGABYTE, id="one field"),
        pytest.param("-" * MEGABYTE, id="only separators"),
        pytest.param(f"1-2-{'a' * MEGABYTE}", id="a long field"),
        pytest.param(f"1-2-{'A' * MEGABYTE}", id="a long upper-case field"),
        pytest.param(f"1-2-{'g' * MEGABYTE}", id="a long field of no hex digits"),
        pytest.param(f"1-2-{'0' * MEGABYTE}", id="a long field with leading zeros"),
        pytest.param(f"1-2-3-{'4' * MEGABYTE}", id="a long stamp"),
        pytest.param("1-2-3_" * (MEGABYTE // 6), id="many panels"),
        pytest.param("1-2-3_" + "é" * MEGABYTE, id="a long second panel"),
    ],
)
def test_a_megabyte_long_id_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(text)
    assert len(caught.value.message) < 1000
    assert len(caught.value.hint or "") < 1000


def test_a_detector_id_is_read_in_segment_order() -> None:
    assert [str(panel) for panel in parse_detector_id(f"{PANEL}_{OTHER}")] == [PANEL, OTHER]
    assert [str(panel) for panel in parse_detector_id(f"{OTHER}_{PANEL}")] == [OTHER, PANEL]


def test_the_same_panel_may_occur_twice() -> None:
    text = f"{PANEL}_{OTHER}_{PANEL}"
    assert format_detector_id(parse_detector_id(text)) == text


def test_a_detector_id_is_written_without_the_L_it_was_typed_with() -> None:  # noqa: N802
    panels = parse_detector_id(f"{PANEL}L_{OTHER}")
    assert format_detector_id(panels) == f"{PANEL}_{OTHER}"


def test_an_empty_detector_id_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="the detector id is empty"):
        parse_detector_id("")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (f"_{PANEL}", 0),
        (f"{PANEL}_", 1),
        (f"{PANEL}__{OTHER}", 1),
        ("_", 0),
    ],
)
def test_an_empty_part_of_a_detector_id_is_refused_with_its_position(text: str, index: int) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(text)
    assert f"is not a detector id: panel {index} is empty" in caught.value.message
    assert caught.value.hint == "panel ids are joined by single '_'"


def test_a_malformed_part_of_a_detector_id_is_refused_with_its_position() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(f"{PANEL}_{OTHER.upper()}_{PANEL}")
    assert caught.value.message.startswith("panel 1 of the detector id: ")
    assert "has upper-case letters" in caught.value.message
    assert caught.value.hint == f"did you mean '{OTHER}'?"


@pytest.mark.parametrize("separator", [",", " ", ":", "-", "__", "+"])
def test_panels_joined_by_anything_but_one_underscore_are_refused(separator: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(f"{PANEL}{separator}{OTHER}")
    said = "panel 1 is empty" if separator == "__" else "fields separated by '-' found"
    assert said in caught.value.message


def test_more_than_1024_panels_are_refused_with_their_number() -> None:
    assert len(parse_detector_id("_".join([PANEL] * 1024))) == 1024
    with pytest.raises(InvalidInputError, match="names 1025 panels; at most 1024 are read"):
        parse_detector_id("_".join([PANEL] * 1025))
