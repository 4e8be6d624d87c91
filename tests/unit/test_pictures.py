"""What is drawn: colours that read in grey, limits that bear wild pixels, marks in their place."""

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from panelcal.domain.difference import differences
from panelcal.domain.moments import time_zone
from panelcal.domain.runs import Dataset
from panelcal.domain.timeline import Lane, Mark, Timeline, intervals_of
from panelcal.domain.validity import Assignment
from panelcal.errors import ConflictError, InvalidInputError
from panelcal.pictures.colours import (
    LANES,
    SEQUENTIAL,
    contrast,
    diverging,
    ink_on,
    lane_colours,
    luminance,
)
from panelcal.pictures.constants import set_picture, used_by
from panelcal.pictures.difference import difference_picture
from panelcal.pictures.page import settings, write_picture
from panelcal.pictures.pixel import PixelRevision, pixel_picture
from panelcal.pictures.spread import spread_of
from panelcal.pictures.timeline import timeline_picture

Array = np.ndarray[Any, np.dtype[np.float32]]

ZONE = time_zone("America/Los_Angeles")
NOW = datetime(2022, 1, 1, tzinfo=UTC)
START = datetime(2018, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
UNITS = {"pixel_gain": "ADU/keV", "pixel_offset": "ADU"}
DIGESTS = {"pixel_gain": "a" * 64, "pixel_offset": "b" * 64}
NEIGHBOURS = 1.5
"""The least ratio of luminances of two intervals that touch."""


@pytest.fixture(autouse=True)
def drawing() -> Iterator[None]:
    with settings():
        yield


def noise(shape: tuple[int, ...] = (3, 32, 64), seed: int = 0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {kind: random.normal(10, 1, shape).astype(np.float32) for kind in UNITS}


def texts(figure: Figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(mpl.text.Text) if found.get_text()]


def axes_of(figure: Figure, start: str) -> Any:
    """Return the axes whose title begins so; the first of them."""
    return next(one for one in figure.findobj(mpl.axes.Axes) if title_of(one).startswith(start))


def title_of(axes: Any) -> str:
    return str(axes.get_title(loc="left") or axes.get_title())


def histogram_of(figure: Figure, number: int) -> Any:
    found = [one for one in figure.findobj(mpl.axes.Axes) if one.get_ylabel() == "pixels"]
    return found[number]


# --- colours --------------------------------------------------------------------------


def test_luminance_is_that_of_the_standard() -> None:
    assert luminance("#000000") == 0
    assert luminance("#ffffff") == pytest.approx(1)
    assert luminance("#808080") == pytest.approx(0.2159, abs=1e-4)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


def test_any_two_lane_colours_differ_in_grey() -> None:
    for one, other in combinations(LANES, 2):
        assert contrast(one, other) >= NEIGHBOURS


def test_texts_on_lane_colours_can_be_read() -> None:
    assert all(contrast(ink_on(colour), colour) >= 4.5 for colour in LANES)


@pytest.mark.parametrize("name", [SEQUENTIAL, "changes"])
def test_the_lightness_of_a_map_only_grows(name: str) -> None:
    colours = diverging() if name == "changes" else mpl.colormaps[name]
    found = [luminance(colours(step)) for step in range(256)]
    assert all(former < latter for former, latter in pairwise(found))
    assert found[-1] > 10 * found[0]


def test_no_change_is_grey() -> None:
    red, green, blue, _ = diverging()(0.5)
    assert max(red, green, blue) - min(red, green, blue) < 0.03


def dichromat(colour: Any) -> tuple[float, float]:
    """Return what is left to eyes without red cones: luminance, and blue against yellow."""
    red, green, blue = to_rgb(colour)
    return luminance((red, green, blue)), blue - (red + green) / 2


def test_less_and_more_differ_in_blue_against_yellow_which_colour_blind_eyes_see() -> None:
    for part in (0.1, 0.25):
        less, more = dichromat(diverging()(part)), dichromat(diverging()(1 - part))
        assert less[1] > 0.1
        assert more[1] < -0.1


@given(st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_sets_that_follow_each_other_differ_in_grey(order: list[int]) -> None:
    # A panel's module is delivered again and again; now and then it goes back to a revision.
    lane = [f"M1@{number}" for number in order]
    colours = lane_colours([lane])
    assert set(colours) == set(lane)
    near: dict[str, set[str]] = {label: set() for label in lane}
    for former, latter in pairwise(lane):
        if former != latter:
            near[former].add(latter)
            near[latter].add(former)
    for former, latter in pairwise(lane):
        few = max(len(near[former]), len(near[latter])) < len(LANES)
        if former != latter and few:
            assert contrast(colours[former], colours[latter]) >= NEIGHBOURS


def test_a_set_has_one_colour_in_all_lanes() -> None:
    colours = lane_colours([["M1@1", "M1@2"], ["M2@1", "M1@2", "M1@1"]])
    assert len(colours) == 3
    assert contrast(colours["M2@1"], colours["M1@2"]) >= NEIGHBOURS


# --- spread ---------------------------------------------------------------------------


def test_wild_pixels_neither_take_the_colours_nor_go_uncounted() -> None:
    plane = noise((512, 1024))["pixel_gain"]
    plane[5, 6], plane[7, 8], plane[9, 10] = 1e30, -3e38, 2e6
    spread = spread_of(plane)
    assert (spread.below, spread.above) == (1, 2)
    assert spread.low == pytest.approx(10 - 2.326, abs=0.02)
    assert spread.high == pytest.approx(10 + 2.326, abs=0.02)
    assert np.argwhere(spread.is_outlier(plane)).tolist() == [[5, 6], [7, 8], [9, 10]]


def test_one_wild_pixel_in_thirty_leaves_the_colours_to_the_others() -> None:
    plane = noise((100, 100))["pixel_gain"]
    plane[:3] = 1e6
    spread = spread_of(plane)
    assert 7 < spread.low < spread.high < 13
    assert spread.above == 300


def test_colours_of_a_constant_plane_have_a_width() -> None:
    for value in (0.0, 3.0, -1.39):
        spread = spread_of(np.full((4, 8), value, np.float32))
        assert spread.low < value < spread.high or value == pytest.approx(spread.median)
        assert spread.low < spread.high
        assert spread.outliers == 0


def test_where_most_pixels_are_equal_the_colours_are_for_those_that_are_not() -> None:
    plane = np.full((100, 100), 3, np.float32)
    plane[0] = 4
    spread = spread_of(plane)
    assert (spread.low, spread.high, spread.above) == (3, 4, 100)


# --- maps and histograms --------------------------------------------------------------


def test_a_set_names_itself_its_panel_its_payloads_and_its_units() -> None:
    figure = set_picture("M068@1", noise(), UNITS, DIGESTS, ["171113-154920171025-3d00b0"])
    found = texts(figure)
    assert "M068@1, used by 171113-154920171025-3d00b0" in found
    assert "pixel_gain [ADU/keV], sha256 aaaaaaaaaaaa" in found
    assert "pixel_offset [ADU], sha256 bbbbbbbbbbbb" in found
    # A bar beside each of three maps, and a label below the lowest histogram.
    assert [found.count(unit) for unit in UNITS.values()] == [4, 4]
    assert [text[:7] for text in found if text.startswith("range")] == [
        "range 0", "range 1", "range 2",
    ] * 2  # fmt: skip


def test_a_map_holds_every_pixel_row_0_at_the_top() -> None:
    payloads = noise()
    axes = axes_of(set_picture("M1@1", payloads, UNITS, DIGESTS), "range 1")
    [image] = axes.images
    spread = spread_of(payloads["pixel_gain"][1])
    expected = np.clip(payloads["pixel_gain"][1], spread.low, spread.high)
    assert np.allclose(image.get_array(), expected)
    assert (axes.get_ylim()[0], axes.get_ylim()[1]) == (31.5, -0.5)
    assert axes.get_aspect() == 1.0


def test_outliers_are_counted_ringed_and_told_beside_the_histogram() -> None:
    payloads = noise()
    payloads["pixel_gain"][0, 3, 40] = 500
    figure = set_picture("M1@1", payloads, UNITS, DIGESTS)
    axes = axes_of(figure, "range 0")
    assert title_of(axes) == "range 0: median 9.969, 1 outlier"
    [rings] = axes.collections
    assert rings.get_offsets().tolist() == [[40, 3]]
    assert "1 above ▸" in texts(figure)
    assert histogram_of(figure, 0).get_xlim()[1] < 20


def test_many_outliers_are_counted_and_not_ringed() -> None:
    payloads = noise()
    payloads["pixel_gain"][0, :2] = 500
    axes = axes_of(set_picture("M1@1", payloads, UNITS, DIGESTS), "range 0")
    # 128 of 2048: the quantile 95 % itself is among them, and nothing is an outlier of such.
    assert "outlier" in title_of(axes)
    payloads = noise((3, 128, 64))
    payloads["pixel_gain"][0, :2] = 500
    axes = axes_of(set_picture("M1@1", payloads, UNITS, DIGESTS), "range 0")
    assert title_of(axes).endswith("128 outliers")
    assert not axes.collections


def test_a_histogram_has_every_pixel_but_the_outliers() -> None:
    payloads = noise()
    payloads["pixel_gain"][0, 3, 40] = 500
    axes = histogram_of(set_picture("M1@1", payloads, UNITS, DIGESTS), 0)
    [steps] = [patch for patch in axes.patches if hasattr(patch, "get_data")]
    assert float(np.sum(steps.get_data().values)) == 32 * 64 - 1
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("panels", "said"),
    [
        ([], "not assigned to a panel"),
        (["p"], "used by p"),
        (["p", "q"], "used by p and 1 other"),
        (["p", "q", "r"], "used by p and 2 others"),
    ],
)
def test_who_uses_a_set_is_said_in_words(panels: list[str], said: str) -> None:
    assert used_by(panels) == said


# --- differences ----------------------------------------------------------------------


def changed(
    before: Mapping[str, Array], after: Mapping[str, Array], units: Mapping[str, str] = UNITS
) -> Figure:
    found = differences(before, after, units)
    return difference_picture("M1@1", "M1@2", before, after, found)


def test_the_colours_of_a_change_are_symmetric_around_its_median() -> None:
    before, after = noise(), noise(seed=1)
    after["pixel_gain"][0] += 4
    [image] = axes_of(changed(before, after), "range 0").images
    low, high = image.get_clim()
    median = differences(before, after, UNITS)[0].median
    assert median == pytest.approx(4, abs=0.1)
    assert (low + high) / 2 == pytest.approx(median)
    assert image.get_cmap().name == "panelcal_change"


def test_a_change_is_after_minus_before() -> None:
    before = noise()
    after = {kind: array.copy() for kind, array in before.items()}
    after["pixel_gain"][2, 4, 5] += 3
    figure = changed(before, after)
    axes = axes_of(figure, "range 2")
    assert title_of(axes) == "range 2: median +0, sigma 0, 1 beyond 5 sigma"
    [rings] = axes.collections
    assert rings.get_offsets().tolist() == [[5, 4]]
    assert float(axes.images[0].get_array()[4, 5]) == pytest.approx(3)
    assert title_of(axes_of(figure, "range 0")) == "range 0: no pixel changed"
    assert "M1@2 minus M1@1" in texts(figure)


def test_the_lines_of_n_sigma_are_inside_the_histogram() -> None:
    before, after = noise(), noise(seed=1)
    axes = histogram_of(changed(before, after), 0)
    one = differences(before, after, UNITS)[0]
    reach = one.n_sigma * one.sigma
    places = sorted(line.get_xdata()[0] for line in axes.lines)
    assert places == pytest.approx([one.median - reach, one.median, one.median + reach])
    low, high = axes.get_xlim()
    assert low < places[0] < places[-1] < high


# --- timelines ------------------------------------------------------------------------


def lane(*said: tuple[datetime | None, str | None], marks: tuple[Mark, ...] = ()) -> Lane:
    rows = []
    for number, (start, uses) in enumerate(said, 1):
        module, _, revision = (uses or "").partition("@")
        held = module or None
        number_of = int(revision) if uses else None
        rows.append(Assignment(number, "p", start, held, number_of, NOW, "ann", "r"))
    return Lane("171113-154920171025-3d00b0", intervals_of(rows), marks)


def mark(at: datetime, run: int, *, is_current: bool = True) -> Mark:
    return Mark(Dataset("xcsls3716", run), "X.0:J.0", at, "M1@1", "t", NOW, is_current)


def timeline(*lanes: Lane, as_of: datetime | None = None) -> Figure:
    return timeline_picture(Timeline("d", ZONE, as_of, lanes), NOW)


def days(moment: datetime) -> float:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) / DAY


def marks_of(figure: Figure) -> list[Any]:
    return list(figure.axes[0].collections)


def patches(figure: Figure) -> list[Any]:
    return list(figure.axes[0].patches)


def test_an_interval_is_drawn_from_its_start_to_the_next() -> None:
    later = START + 400 * DAY
    gap, one, two = patches(timeline(lane((START, "M1@1"), (later, "M1@2"))))
    assert [patch.get_label() for patch in (gap, one, two)] == ["no constants", "M1@1", "M1@2"]
    places = sorted({x for x, _ in one.get_xy()})
    assert places == pytest.approx([days(START), days(later)])
    assert max(x for x, _ in gap.get_xy()) == pytest.approx(days(START))


def test_only_the_beginning_and_the_open_end_are_arrows() -> None:
    figure = timeline(lane((None, "M1@1"), (START, "M1@2"), (START + 400 * DAY, "M1@3")))
    # A rectangle has four corners, and closes with the first of them; an arrow has one more.
    assert [len(patch.get_xy()) for patch in patches(figure)] == [6, 5, 6]
    first, _, last = patches(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < min(x for x, _ in first.get_xy())
    assert max(x for x, _ in last.get_xy()) < high


def test_a_withdrawal_is_hatched_a_gap_is_empty_and_both_are_named() -> None:
    figure = timeline(lane((START, None), (START + 700 * DAY, "M1@1")))
    gap, withdrawn, used = patches(figure)
    assert (gap.get_hatch(), withdrawn.get_hatch(), used.get_hatch()) == (None, "////", None)
    assert gap.get_linestyle() == ":"
    assert luminance(gap.get_facecolor()) == pytest.approx(1)
    assert luminance(used.get_facecolor()) < 0.9
    assert {"withdrawn", "none", "M1@1", "never assigned"} <= set(texts(figure))


def test_what_touches_differs_in_grey() -> None:
    starts = [START + number * 100 * DAY for number in range(14)]
    figure = timeline(lane(*((start, f"M1@{n}") for n, start in enumerate(starts, 1))))
    for former, latter in pairwise(patches(figure)[1:]):
        assert contrast(former.get_facecolor(), latter.get_facecolor()) >= NEIGHBOURS


def test_the_time_axis_names_the_zone() -> None:
    assert "time in America/Los_Angeles" in texts(timeline(lane((None, "M1@1"))))


def test_intervals_without_a_label_are_counted() -> None:
    figure = timeline(lane((None, "M1@1"), (START, "M1@2"), (START + DAY, "M1@3")))
    assert "M1@2" not in texts(figure)
    assert any("1 interval is too short for a label" in text for text in texts(figure))


def test_deployments_are_full_or_hollow_and_named_by_run() -> None:
    marks = (mark(START, 7), mark(START + 300 * DAY, 8, is_current=False))
    figure = timeline(lane((None, "M1@1"), marks=marks))
    full, hollow = marks_of(figure)
    assert full.get_offsets().tolist() == [[pytest.approx(days(START)), pytest.approx(0.34)]]
    assert np.allclose(full.get_facecolor()[0][:3], 0)
    assert np.allclose(hollow.get_facecolor()[0][:3], 1)
    assert {"xcsls3716 run 7", "xcsls3716 run 8"} <= set(texts(figure))


def test_deployments_close_together_share_a_label() -> None:
    marks = tuple(mark(START + n * DAY, 10 + n) for n in range(3))
    figure = timeline(lane((None, "M1@1"), marks=marks))
    assert "xcsls3716, 3 runs 10–12" in texts(figure)


def test_a_past_question_is_named_and_marked() -> None:
    figure = timeline(lane((None, "M1@1")), as_of=START)
    found = texts(figure)
    assert "Constants of 1 panel over time as of 2018-01-01T00:00:00Z" in found
    assert "transaction time asked about" in found


@pytest.mark.parametrize("year", [1, 9999])
def test_the_ends_of_the_calendar_are_drawn(year: int, tmp_path: Path) -> None:
    start = datetime(year, 6, 1, tzinfo=UTC)
    write_picture(tmp_path / "t.png", lambda: timeline(lane((start, "M1@1"))))


def test_a_hundred_panels_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "t.png"
    lanes = [lane((None, f"M{number}@1")) for number in range(100)]
    write_picture(path, lambda: timeline(*lanes), dots_per_inch=40)
    with Image.open(path) as picture:
        assert picture.height > 100 * 6


# --- pixels ---------------------------------------------------------------------------


def revision(label: str, start: datetime | None, value: float | None) -> PixelRevision:
    values = None if value is None else dict.fromkeys(UNITS, (value, 1.0, 2.0))
    return PixelRevision(label, start, values)


def test_a_pixel_shows_a_value_for_each_revision_and_breaks_where_withdrawn() -> None:
    told = [
        revision("M1@1", None, 41.5),
        revision("withdrawn", START, None),
        revision("M1@2", START + DAY, 40.5),
    ]
    figure = pixel_picture("p", 3, 4, told, UNITS, ZONE)
    axes = axes_of(figure, "pixel_gain, range 0")
    [line] = axes.lines
    assert line.get_ydata()[[0, 2]].tolist() == [41.5, 40.5]
    assert np.isnan(line.get_ydata()[1])
    [band] = axes.patches
    assert band.get_hatch() == "////"
    assert {"ADU", "ADU/keV", "row 3, column 4 of panel p", "withdrawn"} <= set(texts(figure))
    assert "M1@1\nthe beginning" in texts(figure)
    assert "M1@2\n20180101160000" in texts(figure)


# --- files ----------------------------------------------------------------------------


def pictures() -> dict[str, Callable[[], Figure]]:
    before, after = ({"pixel_gain": noise((1, 32, 64), seed)["pixel_gain"]} for seed in (0, 1))
    told = [revision("M$1@1", None, 41.5), revision("M$1@2", START, 40.5)]
    return {
        "set": lambda: set_picture("M$1@1", before, {"pixel_gain": "ADU/keV"}, DIGESTS),
        "diff": lambda: changed(before, after, {"pixel_gain": "ADU/keV"}),
        "timeline": lambda: timeline(lane((START, "M$1@1"), marks=(mark(START, 1),))),
        "pixel": lambda: pixel_picture("p", 3, 4, told, UNITS, ZONE),
    }


SAID = {
    "set": "range 0: median",
    "diff": "M1@2 minus M1@1",
    "timeline": "M$1@1",
    "pixel": "row 3, column 4 of panel p",
}


@pytest.mark.parametrize("name", SAID)
def test_a_png_is_a_picture_and_the_same_every_time(name: str, tmp_path: Path) -> None:
    for number in (1, 2):
        write_picture(tmp_path / f"{number}.png", pictures()[name], dots_per_inch=60)
    assert (tmp_path / "1.png").read_bytes() == (tmp_path / "2.png").read_bytes()
    with Image.open(tmp_path / "1.png") as picture:
        picture.load()
        assert picture.info["Software"] == "panelcal"
        assert min(picture.size) > 100
        grey = np.asarray(picture.convert("L"))
    assert int(np.min(grey)) < 60
    assert int(np.max(grey)) == 255
    assert np.mean(grey < 250) > 0.02


@pytest.mark.parametrize("name", SAID)
def test_an_svg_holds_its_texts_and_is_the_same_every_time(name: str, tmp_path: Path) -> None:
    for number in (1, 2):
        write_picture(tmp_path / f"{number}.svg", pictures()[name], dots_per_inch=60)
    content = (tmp_path / "1.svg").read_bytes()
    assert content == (tmp_path / "2.svg").read_bytes()
    root = ET.fromstring(content)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    found = [text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert any(SAID[name] in text for text in found)
    assert b"dc:date" not in content
    assert mpl.__version__.encode() not in content


def test_the_pictures_of_the_documents_are_there_and_small() -> None:
    docs = Path(__file__).parents[2] / "docs"
    shown = re.findall(r"!\[[^]]+\]\(([^)]+)\)", (docs / "pictures.md").read_text("utf-8"))
    assert {Path(name).stem for name in shown} == set(SAID)
    for name in shown:
        assert (docs / name).stat().st_size < 150_000
        with Image.open(docs / name) as picture:
            picture.verify()


def test_settings_of_the_user_neither_change_a_picture_nor_are_changed(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.svg", pictures()["pixel"])
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "text.usetex": True}):
        write_picture(tmp_path / "b.svg", pictures()["pixel"])
        assert mpl.rcParams["font.size"] == 30
        assert mpl.rcParams["axes.facecolor"] == "black"
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nothing_asks_for_a_display() -> None:
    assert "matplotlib.pyplot" not in sys.modules


def test_a_picture_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("precious")
    with pytest.raises(ConflictError, match=r"a\.png exists"):
        write_picture(path, pictures()["pixel"])
    assert path.read_text() == "precious"
    write_picture(path, pictures()["pixel"], overwrite=True)
    with Image.open(path) as picture:
        picture.verify()


def test_a_picture_that_appeared_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.png"

    def draw() -> Figure:
        path.write_text("precious")
        return pictures()["pixel"]()

    with pytest.raises(ConflictError):
        write_picture(path, draw)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]


def test_after_an_error_nothing_is_left(tmp_path: Path) -> None:
    def draw() -> Figure:
        raise RuntimeError("torn paper")  # noqa: EM101

    with pytest.raises(RuntimeError, match="torn paper"):
        write_picture(tmp_path / "a.png", draw)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "a.jpg", "a.PNG", "a.svgz", ".png"])
def test_a_name_of_another_form_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"neither in \.png nor in \.svg"):
        write_picture(tmp_path / name, pictures()["pixel"])


def test_a_directory_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="there is no directory"):
        write_picture(tmp_path / "new" / "a.png", pictures()["pixel"])
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_command_to_type_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(InvalidInputError, match="need matplotlib") as caught:
        write_picture(tmp_path / "a.png", Figure)
    assert caught.value.hint == "pip install 'panelcal[plot]'"
