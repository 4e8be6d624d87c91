"""Ids and run rows from objects shaped as psana's: no psana is installed here."""

import getpass
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from panelcal.api import open_store
from panelcal.domain.ids import PanelId
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.psana import (
    detector_id,
    id_jungfrau,
    panel_id,
    run_fields,
)
from panelcal.services.resolve import resolve
from panelcal.services.runs import RunFields, show_run
from panelcal.storage.store import OpenStore

FB_NUMBERS = (1511699, 23403815178277, 3997947)
F7_NUMBERS = (1511699, 23403815178277, 3997943)
FB, F7 = "171113-154920171025-3d00fb", "171113-154920171025-3d00f7"
XCS, XCS_1 = "XcsEndstation.0:Jungfrau.0", "XcsEndstation.0:Jungfrau.1"
DATASET = "exp=xcsls3716:run=631"
DEC_5_2017 = (1_512_519_240, 207_250_226)  # 2017-12-06T00:14:00.207250226Z
NOW = datetime(2026, 2, 20, tzinfo=UTC)


class Long(int):
    """An integer as Python 2 had it."""

    def __repr__(self) -> str:
        return f"{int(self)}L"


class ModuleConfig:
    """``psana.Jungfrau.ModuleConfigV1``."""

    def __init__(self, numbers: Sequence[Any]) -> None:
        self._numbers = numbers

    def moduleVersion(self) -> Any:  # noqa: N802
        return self._numbers[0]

    def firmwareVersion(self) -> Any:  # noqa: N802
        return self._numbers[1]

    def serialNumber(self) -> Any:  # noqa: N802
        return self._numbers[2]


class OldConfig:
    """``psana.Jungfrau.ConfigV1`` and ``ConfigV2``: no numbers."""

    Version = 2

    def numberOfModules(self) -> int:  # noqa: N802
        return 2


class Config:
    """``psana.Jungfrau.ConfigV3`` and later."""

    def __init__(self, *panels: Sequence[Any], version: int = 3) -> None:
        self.Version = version
        self._panels = panels

    def numberOfModules(self) -> int:  # noqa: N802
        return len(self._panels)

    def moduleConfig(self, i: int) -> ModuleConfig:  # noqa: N802
        return ModuleConfig(self._panels[i])


class DetInfo:
    """``psana.DetInfo``, of which only the text is used."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __str__(self) -> str:
        return f"DetInfo({self.name})"


class Source(DetInfo):
    """``psana.Source``."""

    def __str__(self) -> str:
        return f'Source("{super().__str__()}")'


def psana_class(name: str, of: str = "Jungfrau") -> type:
    return type(name, (), {"__module__": f"psana.{of}"})


class Key:
    """``psana.EventKey``."""

    def __init__(self, kind: type | None, source: str, alias: str = "") -> None:
        self.kind, self.source, self._alias = kind, DetInfo(source), alias

    def type(self) -> "type | None":
        return self.kind

    def src(self) -> DetInfo:
        return self.source

    def alias(self) -> str:
        return self._alias


class Env:
    """``psana.Env`` and its configuration store: objects by key."""

    def __init__(self, *found: tuple[Key, Any]) -> None:
        self.found = found

    def configStore(self) -> "Env":  # noqa: N802
        return self

    def keys(self) -> list[Key]:
        return [key for key, _ in self.found]

    def get(self, kind: type, source: DetInfo) -> Any:
        objects = [one for key, one in self.found if key.kind is kind and key.source is source]
        assert len(objects) == 1
        return objects[0]


def jungfrau(source: str, *panels: Sequence[Any], alias: str = "") -> tuple[Key, Any]:
    """Return the key and the configuration object of a detector."""
    return Key(psana_class("ConfigV3"), source, alias), Config(*panels)


ONE_OF_EACH = Env(
    (Key(None, "EpicsArch.0:NoDevice.0"), None),
    (Key(psana_class("ConfigV1", of="Epix"), XCS), object()),
    jungfrau(XCS, FB_NUMBERS, F7_NUMBERS, alias="jungfrau1M"),
    jungfrau(XCS_1, F7_NUMBERS, alias="jungfrau512k"),
)


# --- one panel and one configuration object


def test_the_three_numbers_of_the_page_make_its_panel_id() -> None:
    assert panel_id(ModuleConfig(FB_NUMBERS)) == PanelId.parse(FB)


def test_a_python_2_long_is_a_number_like_any_other() -> None:
    made = panel_id(ModuleConfig([Long(number) for number in (2**63, 0, 1)]))
    assert str(made) == "8000000000000000--1"
    assert type(made.module_version) is int


@pytest.mark.parametrize("number", [3.0, "3997947", None])
def test_what_is_no_integer_is_refused_with_its_method(number: object) -> None:
    with pytest.raises(InvalidInputError, match=r"serialNumber\(\) .* not an integer"):
        panel_id(ModuleConfig((1, 2, number)))


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="firmwareVersion -1 is not an unsigned"):
        panel_id(ModuleConfig((1, -1, 2)))


def test_a_detector_id_is_the_panel_ids_in_segment_order() -> None:
    assert detector_id(Config(FB_NUMBERS, F7_NUMBERS), XCS) == f"{FB}_{F7}"
    assert detector_id(Config(F7_NUMBERS, FB_NUMBERS), XCS) == f"{F7}_{FB}"


def test_a_segment_is_one_panel() -> None:
    config = Config(FB_NUMBERS, F7_NUMBERS, version=4)
    assert [detector_id(config, XCS, segment) for segment in (0, 1)] == [FB, F7]


@pytest.mark.parametrize("segment", [-1, 2])
def test_a_segment_that_is_not_there_is_refused_with_those_that_are(segment: int) -> None:
    with pytest.raises(NotFoundError, match=f"no segment {segment}") as caught:
        detector_id(Config(FB_NUMBERS, F7_NUMBERS), XCS, segment)
    assert caught.value.hint == "its segments are 0 to 1"


@pytest.mark.parametrize("source", [XCS, f"DetInfo({XCS})", DetInfo(XCS), Source(XCS)])
@pytest.mark.parametrize("segment", [None, 1])
def test_a_config_without_numbers_gives_the_source_with_a_dash(
    source: object, segment: int | None
) -> None:
    assert detector_id(OldConfig(), source, segment) == "XcsEndstation.0-Jungfrau.0"


def test_the_numbers_of_a_version_before_3_are_not_asked_for() -> None:
    assert detector_id(Config(FB_NUMBERS, version=2), XCS) == "XcsEndstation.0-Jungfrau.0"


def test_a_newer_config_without_module_configs_gives_the_source() -> None:
    assert detector_id(SimpleNamespace(Version=3), XCS) == "XcsEndstation.0-Jungfrau.0"


def test_a_config_without_modules_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has no modules"):
        detector_id(Config(), XCS)


# --- id_jungfrau


@pytest.mark.parametrize(
    "source",
    [XCS, f"DetInfo({XCS})", DetInfo(XCS), Source(XCS), "Jungfrau.0", "frau.0", "jungfrau1M"],
    ids=str,
)
def test_a_detector_is_found_by_its_name_a_part_of_it_or_its_alias(source: object) -> None:
    assert id_jungfrau(ONE_OF_EACH, source) == f"{FB}_{F7}"
    assert id_jungfrau(ONE_OF_EACH, source, iseg=1) == F7


def test_a_part_that_matches_several_detectors_is_refused_with_all_of_them() -> None:
    with pytest.raises(InvalidInputError, match=f"'Jung' matches 2 detectors: {XCS}, {XCS_1}"):
        id_jungfrau(ONE_OF_EACH, "Jung")


def test_a_full_name_is_meant_even_if_it_is_a_part_of_another() -> None:
    env = Env(jungfrau(f"{XCS}1", F7_NUMBERS), jungfrau(XCS, FB_NUMBERS))
    assert id_jungfrau(env, XCS) == FB


def test_letters_of_the_other_case_do_not_match() -> None:
    with pytest.raises(NotFoundError, match="matches 'JUNGFRAU'") as caught:
        id_jungfrau(ONE_OF_EACH, "JUNGFRAU")
    assert caught.value.hint == f"they have: {XCS} jungfrau1M, {XCS_1} jungfrau512k"


def test_an_alias_is_only_looked_at_when_no_name_matches() -> None:
    env = Env(
        jungfrau(XCS, FB_NUMBERS, alias="Jungfrau.1"),
        jungfrau(XCS_1, F7_NUMBERS, alias="other"),
    )
    assert id_jungfrau(env, "Jungfrau.1") == F7


def test_an_alias_is_no_part_of_one() -> None:
    with pytest.raises(NotFoundError):
        id_jungfrau(ONE_OF_EACH, "jungfrau1")


def test_an_alias_of_two_detectors_is_refused() -> None:
    env = Env(jungfrau(XCS, FB_NUMBERS, alias="jf"), jungfrau(XCS_1, F7_NUMBERS, alias="jf"))
    with pytest.raises(InvalidInputError, match="'jf' matches 2 detectors"):
        id_jungfrau(env, "jf")


def test_data_without_a_jungfrau_say_so() -> None:
    with pytest.raises(NotFoundError, match="no jungfrau") as caught:
        id_jungfrau(Env((Key(psana_class("ConfigV1", of="Epix"), XCS), object())), XCS)
    assert caught.value.hint == "they have none"


@pytest.mark.parametrize("newest_first", [True, False])
def test_the_newest_version_of_a_configuration_wins(newest_first: bool) -> None:
    found = [
        (Key(psana_class("ConfigV2"), XCS), OldConfig()),
        (Key(psana_class("ConfigV3"), XCS), Config(FB_NUMBERS)),
        (Key(psana_class("ConfigV10"), XCS), Config(F7_NUMBERS, version=10)),
    ]
    assert id_jungfrau(Env(*(found[::-1] if newest_first else found)), "Jung") == F7


def test_a_key_whose_object_is_not_there_gives_way_to_the_next() -> None:
    env = Env(
        (Key(psana_class("ConfigV4"), XCS), None),
        (Key(psana_class("ConfigV3"), XCS), Config(FB_NUMBERS)),
    )
    assert id_jungfrau(env, XCS) == FB
    with pytest.raises(NotFoundError, match="its configuration object is not there"):
        id_jungfrau(Env((Key(psana_class("ConfigV4"), XCS), None)), XCS)


def test_an_old_configuration_gives_the_full_source_of_the_part_that_was_typed() -> None:
    env = Env((Key(psana_class("ConfigV2"), XCS), OldConfig()))
    assert id_jungfrau(env, "Jung") == "XcsEndstation.0-Jungfrau.0"


# --- run rows


def test_a_run_row_has_what_the_objects_say() -> None:
    config = Config(FB_NUMBERS, F7_NUMBERS)
    assert run_fields(DATASET, DetInfo(XCS), config, DEC_5_2017) == RunFields(
        "xcsls3716", "631", XCS, "2017-12-06T00:14:00Z", f"{FB}_{F7}"
    )


def test_a_begin_may_be_an_aware_datetime() -> None:
    begin = datetime.fromisoformat("2017-12-05T16:14:00.9-08:00")
    assert run_fields(DATASET, XCS, Config(FB_NUMBERS), begin).begin == "2017-12-06T00:14:00Z"


def test_a_naive_begin_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has no time zone"):
        run_fields(DATASET, XCS, Config(FB_NUMBERS), datetime(2017, 12, 6))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("begin", "says"),
    [
        ((1_512_519_240, 10**9), "1000000000 nanoseconds"),
        ((1_512_519_240, -1), "-1 nanoseconds"),
        ((10**18, 0), "outside the years 1 to 9999"),
        ((1.5, 0), "'1.5', not an integer"),
    ],
)
def test_a_begin_that_is_no_time_of_an_event_is_refused(begin: Any, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        run_fields(DATASET, XCS, Config(FB_NUMBERS), begin)


@pytest.mark.parametrize("modules", [(), ("M088", "M068@2")])
def test_a_run_without_numbers_declares_its_modules_or_none(modules: tuple[str, ...]) -> None:
    fields = run_fields(DATASET, XCS, OldConfig(), DEC_5_2017, modules)
    assert (fields.detector_id, fields.modules) == ("", " ".join(modules))


def test_modules_beside_panel_ids_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="modules are declared, but"):
        run_fields(DATASET, XCS, Config(FB_NUMBERS), DEC_5_2017, ["M088"])


def test_part_of_a_source_is_no_name_for_a_run_row() -> None:
    with pytest.raises(InvalidInputError, match="is not a full source name"):
        run_fields(DATASET, "Jungfrau.0", Config(FB_NUMBERS), DEC_5_2017)


def test_a_run_is_registered_from_its_objects(store_dir: Path, store: OpenStore) -> None:
    fields = run_fields(DATASET, Source(XCS), Config(FB_NUMBERS, F7_NUMBERS), DEC_5_2017)
    with open_store(store_dir) as opened:
        run = opened.add_run(fields)
        assert opened.detector_id(DATASET, segment=1) == F7
        with pytest.raises(ConflictError, match="just so already"):
            opened.add_run(fields)
    assert [run] == show_run(store, run.dataset)
    assert run.begin == datetime(2017, 12, 6, 0, 14, tzinfo=UTC)
    assert (run.detector_id, run.recorded_by) == (f"{FB}_{F7}", getpass.getuser())
    with pytest.raises(NotFoundError, match=f"2 of 2 panels(.|\n)*{FB}: never assigned"):
        resolve(store, DATASET, now=NOW)


def test_a_run_registered_otherwise_is_corrected_only_when_told_to(
    store_dir: Path, store: OpenStore
) -> None:
    without = run_fields(DATASET, XCS, OldConfig(), DEC_5_2017)
    declared = run_fields(DATASET, XCS, OldConfig(), DEC_5_2017, ["M088"])
    with open_store(store_dir) as opened:
        opened.add_run(without)
        with pytest.raises(ConflictError, match="registered otherwise"):
            opened.add_run(declared)
        run = opened.add_run(declared, supersede=True)
    assert show_run(store, run.dataset) == [run]
    assert run.modules == ("M088",)
