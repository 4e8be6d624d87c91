"""Names of local files."""

import pytest

from panelcal.domain.runs import Dataset
from panelcal.exporters.file_names import fits, local_prefix, short_prefix

DATASET = Dataset("xcsls3716", 631)
SOURCE = "XcsEndstation.0:Jungfrau.0"
MODERN_PANEL = "190408-181206-50c246df50010d"


def modern_prefix(panels: int) -> str:
    return local_prefix(DATASET, SOURCE, "_".join([MODERN_PANEL] * panels))


def test_the_2018_form_is_experiment_run_source_and_detector_id() -> None:
    found = local_prefix(DATASET, SOURCE, "a-b-c_d-e-f")
    assert found == "xcsls3716-r0631_XcsEndstation.0:Jungfrau.0_a-b-c_d-e-f"


@pytest.mark.parametrize(("run", "text"), [(0, "r0000"), (16, "r0016"), (10000, "r10000")])
def test_the_run_has_at_least_four_digits(run: int, text: str) -> None:
    dataset = Dataset("mfx05516", run)
    assert local_prefix(dataset, SOURCE, "a-b-c").startswith(f"mfx05516-{text}_")
    assert short_prefix(dataset, SOURCE, "20180419000000").endswith(f"-mfx05516-{text}")


def test_the_newer_form_has_the_run_stamp_and_no_detector_id() -> None:
    found = short_prefix(DATASET, SOURCE, "20171205161400")
    assert found == "XcsEndstation.0:Jungfrau.0-20171205161400-xcsls3716-r0631"


def test_eight_modern_panels_are_too_long_a_name() -> None:
    assert len(f"{modern_prefix(8)}_pixel_gain.txt") == 289
    assert not fits(modern_prefix(8), ["pixel_gain.txt"])


def test_six_modern_panels_fit() -> None:
    assert fits(modern_prefix(6), ["pixel_gain.txt", "pixel_offset.npz"])


def test_a_name_of_255_bytes_fits_and_of_256_does_not() -> None:
    assert fits("x" * 250, ["npz", ".txt"])
    assert not fits("x" * 250, ["npz", "a.txt"])


def test_the_length_is_counted_in_bytes() -> None:
    assert not fits("\u00e9" * 126, ["npz"])
