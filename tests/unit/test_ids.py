"""The codec of panel ids and detector ids of LCLS1 (spec §1) and LCLS2 (spec §15)."""

import pytest

from panelcal.domain.ids import MAX_NAME, PanelId, SegmentId, parse_detector_id, parse_panel
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
        pytest.param("jungfrau_" + "a" * MEGABYTE, id="a long segment"),
        pytest.param("j" * MEGABYTE + "_1", id="a long detector type"),
        pytest.param("jungfrau_" + "a_" * (MEGABYTE // 2), id="many segments"),
    ],
)
def test_a_megabyte_long_id_is_refused_in_a_short_message(text: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(text)
    assert len(caught.value.message) < 1000
    assert len(caught.value.hint or "") < 1000


def test_a_detector_id_is_read_in_segment_order() -> None:
    assert [str(panel) for panel in parse_detector_id(f"{PANEL}_{OTHER}").panels] == [PANEL, OTHER]
    assert [str(panel) for panel in parse_detector_id(f"{OTHER}_{PANEL}").panels] == [OTHER, PANEL]


def test_the_same_panel_may_occur_twice() -> None:
    text = f"{PANEL}_{OTHER}_{PANEL}"
    assert str(parse_detector_id(text)) == text


def test_a_detector_id_is_written_without_the_L_it_was_typed_with() -> None:  # noqa: N802
    assert str(parse_detector_id(f"{PANEL}L_{OTHER}")) == f"{PANEL}_{OTHER}"


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
    assert len(parse_detector_id("_".join([PANEL] * 1024)).panels) == 1024
    with pytest.raises(InvalidInputError, match="names 1025 panels; at most 1024 are read"):
        parse_detector_id("_".join([PANEL] * 1025))


# --- LCLS2 ------------------------------------------------------------------------------

EMULATED = "00" + "0123456789-" * 6 + "00000042"
REAL = "8000000020000-1549-3d00fb"
ZEROES = "8000000020000-0-3d00fb"


def test_an_id_of_lcls2_is_the_detector_type_and_segments_in_order() -> None:
    named = parse_detector_id(f"jungfrau_{ZEROES}_{EMULATED}_{REAL}")
    assert named.prefix == "jungfrau"
    assert named.panels == (
        SegmentId("jungfrau", ZEROES),
        SegmentId("jungfrau", EMULATED),
        PanelId(0x8000000020000, 0x1549, 0x3D00FB),
    )
    assert str(named) == f"jungfrau_{ZEROES}_{EMULATED}_{REAL}"


def test_an_emulated_segment_of_76_characters_is_taken() -> None:
    assert len(EMULATED) == 76
    assert str(parse_detector_id(f"jungfrau_{EMULATED}")) == f"jungfrau_{EMULATED}"


def test_a_segment_that_is_a_well_formed_panel_id_is_that_panel() -> None:
    assert parse_detector_id(f"jungfrau_{PANEL}").panels == parse_detector_id(PANEL).panels
    assert parse_panel(f"jungfrau_{PANEL}", ["jungfrau"]) == PanelId.parse(PANEL)
    assert str(parse_detector_id(f"jungfrau_{PANEL}")) == f"jungfrau_{PANEL}"


def test_a_zero_written_as_a_digit_makes_a_segment_and_not_the_panel_of_lcls1() -> None:
    assert parse_panel("jungfrau_171113-0-3d00fb", ["jungfrau"]) != PanelId.parse("171113--3d00fb")


def test_a_segment_is_printed_as_an_id_of_its_own() -> None:
    [segment] = parse_detector_id(f"jungfrau_{EMULATED}").panels
    assert str(segment) == f"jungfrau_{EMULATED}"
    assert parse_panel(str(segment), ["jungfrau"]) == segment


def test_the_serial_of_a_segment_is_its_whole_id_and_never_a_number() -> None:
    assert SegmentId("jungfrau", "3d00fb").fields() == ("", "", "jungfrau_3d00fb")


def test_the_same_segment_may_occur_twice() -> None:
    assert len(parse_detector_id(f"jungfrau_{ZEROES}_{ZEROES}").panels) == 2


def test_upper_and_lower_case_of_a_segment_are_told_apart() -> None:
    assert SegmentId("jungfrau", "8-0-AB") != SegmentId("jungfrau", "8-0-ab")
    assert str(parse_detector_id("jungfrau_8-0-AB")) == "jungfrau_8-0-AB"


@pytest.mark.parametrize(
    ("text", "index", "says"),
    [
        ("jungfrau_8-0-1_a b", 1, "'a b' is not a segment id: it holds ' '"),
        ("jungfrau_8-0-1_a/b", 1, "it holds '/'"),
        ("jungfrau_a:b_8-0-1", 0, "it holds ':'"),
        ("jungfrau_run=1", 0, "it holds '='"),
        ("jungfrau_8-0-1\n", 0, "it holds '\\n'"),
        ("jungfrau_8-0-1_\x7f", 1, "it holds '\\x7f'"),
        ("jungfrau_8-0-1_é", 1, "it holds '\\xe9'"),
        (f"jungfrau_8-0-1_{'a' * 201}", 1, "(201 characters) is not a segment id: at most 200"),
    ],
)
def test_a_malformed_segment_is_refused_with_its_place_and_the_reason(
    text: str, index: int, says: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_detector_id(text)
    assert caught.value.message.startswith(f"segment {index} of the detector id: ")
    assert says in caught.value.message


@pytest.mark.parametrize("char", sorted(set(map(chr, range(0x21, 0x7F))) - set("_/:=")))
def test_every_other_printable_character_is_taken(char: str) -> None:
    assert str(parse_detector_id(f"jungfrau_{char}")) == f"jungfrau_{char}"


def test_the_longest_id_of_a_panel_is_as_long_as_the_columns_are_made_for() -> None:
    longest = f"{'j' * 64}_{'a' * 200}"
    assert len(str(parse_panel(longest, ["j" * 64]))) == MAX_NAME
    with pytest.raises(InvalidInputError):
        parse_panel(f"j{longest}", ["j" * 65])


@pytest.mark.parametrize("text", ["jungfrau_", "jungfrau_8-0-1_", "jungfrau__8-0-1"])
def test_an_empty_segment_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="is empty") as caught:
        parse_detector_id(text)
    assert caught.value.hint == "segment ids are joined by single '_'"


@pytest.mark.parametrize("text", ["jungfrau_000003", "jungfrau_123456"])
def test_a_short_name_of_the_calibration_database_is_refused_with_what_is_meant(text: str) -> None:
    with pytest.raises(InvalidInputError, match="short name of the LCLS2") as caught:
        parse_detector_id(text)
    assert "long name" in str(caught.value.hint)
    assert "_uniqueid" in str(caught.value.hint)


@pytest.mark.parametrize("text", ["jungfrau_00003", "jungfrau_0000003", "jungfrau_000003_000004"])
def test_what_only_resembles_a_short_name_is_an_id(text: str) -> None:
    assert str(parse_detector_id(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        f"1{PANEL}-jungfrau_x",
        f"Jungfrau_{PANEL}",
        f"_{PANEL}",
        f"171113-154920171025-3d00fg_{PANEL}",
        f"{PANEL}_jungfrau_{PANEL}",
        "jung-frau_8-0-1",
        "jungfrau",
        "é_8-0-1",
    ],
)
def test_nothing_without_the_detector_type_in_front_is_an_id_of_lcls2(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"is not a (panel|detector) id"):
        parse_detector_id(text)


def test_an_id_of_another_detector_type_is_refused_with_both_named() -> None:
    for text in ("epix10ka_8-0-1", f"epix10ka_{PANEL}"):
        with pytest.raises(InvalidInputError, match=r"'epix10ka'.*'jungfrau'"):
            parse_panel(text, ["jungfrau"])
        with pytest.raises(InvalidInputError, match=r"'epix10ka'.*'jungfrau'"):
            parse_detector_id(text).require_type(["jungfrau"])


def test_an_id_of_lcls1_names_no_type_and_fits_every_store() -> None:
    parse_detector_id(f"{PANEL}_{OTHER}").require_type(["epix10ka"])


def test_several_segments_are_not_one_panel() -> None:
    with pytest.raises(InvalidInputError, match="names 2 panels, one is expected") as caught:
        parse_panel(f"jungfrau_{ZEROES}_{REAL}", ["jungfrau"])
    assert f"jungfrau_{ZEROES}" in str(caught.value.hint)


def test_a_mistyped_panel_id_is_refused_as_one() -> None:
    with pytest.raises(InvalidInputError, match="5 fields separated by '-' found"):
        parse_panel(f"{PANEL}_{OTHER}", ["jungfrau"])


def test_more_than_1024_segments_are_refused_with_their_number() -> None:
    assert len(parse_detector_id("_".join(["jungfrau", *["1-0-2"] * 1024])).panels) == 1024
    with pytest.raises(InvalidInputError, match="names 1025 panels; at most 1024 are read"):
        parse_detector_id("_".join(["jungfrau", *["1-0-2"] * 1025]))


@pytest.mark.parametrize("detector_type", ["", "Jungfrau", "jung frau", "jung_frau", "1j"])
def test_a_segment_of_no_detector_type_cannot_be_made(detector_type: str) -> None:
    with pytest.raises(InvalidInputError, match="is not the name of a detector type"):
        SegmentId(detector_type, "8-0-1")


def test_an_empty_segment_cannot_be_made() -> None:
    with pytest.raises(InvalidInputError, match="the segment id is empty"):
        SegmentId("jungfrau", "")
