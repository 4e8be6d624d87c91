"""Which panel of one side of a diff goes with which of the other."""

from datetime import UTC, datetime

import pytest

from panelcal.domain.sides import Pair, PanelSide, Side, paired
from panelcal.errors import InvalidInputError

AT = datetime(2018, 1, 1, tzinfo=UTC)


def uses(panel: str | None, module: str = "M044") -> PanelSide:
    return PanelSide(panel, module, 1, None, AT, {"pixel_gain": module})


def without(panel: str) -> PanelSide:
    return PanelSide(panel, None, None, None, None, {}, "never assigned")


def side(asked: str, *panels: PanelSide) -> Side:
    return Side(asked, AT, None, panels)


def names(pairs: tuple[Pair, ...]) -> list[tuple[str | None, str | None]]:
    return [(pair.before.panel, pair.after.panel) for pair in pairs]


def test_a_panel_goes_with_itself_wherever_it_is_in_the_other_detector() -> None:
    pairs = paired(side("A", uses("p"), uses("q")), side("B", uses("q"), uses("p")))
    assert names(pairs) == [("p", "p"), ("q", "q")]
    assert [pair.index for pair in pairs] == [0, 1]


def test_a_declared_module_goes_with_the_same_module() -> None:
    one, other = uses(None, "M088"), uses(None, "M068")
    pairs = paired(side("A", one, other), side("B", other, one))
    assert [(pair.before.module, pair.after.module) for pair in pairs] == [
        ("M088", "M088"),
        ("M068", "M068"),
    ]


def test_a_panel_that_is_twice_in_both_is_paired_twice() -> None:
    pairs = paired(side("A", uses("p"), uses("p")), side("B", uses("p"), uses("p")))
    assert names(pairs) == [("p", "p")] * 2


def test_other_panels_are_refused_and_named_by_the_side_that_has_them() -> None:
    with pytest.raises(InvalidInputError) as error:
        paired(side("A", uses("p"), uses("q")), side("B", uses("q"), uses("r")))
    assert "only 'A' has p; only 'B' has r" in error.value.message


def test_a_panel_too_many_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="only 'B' has p"):
        paired(side("A", uses("p")), side("B", uses("p"), uses("p")))


def test_of_many_other_panels_a_few_are_named() -> None:
    many = [uses(f"p{number}") for number in range(9)]
    with pytest.raises(InvalidInputError, match="only 'A' has p0, p1, p2, and 6 more"):
        paired(side("A", *many), side("B"))


def test_a_side_says_what_it_uses_or_why_nothing() -> None:
    assert uses("p").uses == "M044@1"
    assert without("p").uses == "never assigned"


@pytest.mark.parametrize(
    ("before", "after", "is_complete", "is_change"),
    [
        (uses("p"), uses("p"), True, False),
        (uses("p"), uses("p", "M068"), True, True),
        (uses("p"), without("p"), False, True),
        (without("p"), uses("p"), False, True),
        (without("p"), PanelSide("p", None, None, None, None, {}, "withdrawn"), False, False),
    ],
)
def test_only_constants_on_both_sides_compare_and_none_at_all_is_no_change(
    before: PanelSide, after: PanelSide, is_complete: bool, is_change: bool
) -> None:
    pair = Pair(0, before, after)
    assert (pair.is_complete, pair.is_change) == (is_complete, is_change)
