"""What ``assign``, ``withdraw`` and ``panel adopt`` have in common with their proposals."""

from typing import TYPE_CHECKING, Annotated

import typer

from panelcal.cli.output import say
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    from datetime import datetime

    from panelcal.services.planning import Planner
    from panelcal.storage.store import OpenStore

Module = Annotated[
    str,
    typer.Argument(metavar="MODULE[@REV]", help="M044 (its latest revision) or M044@1."),
]
Start = Annotated[
    str | None,
    typer.Option("--from", metavar="T", help="First moment it holds for."),
]
FromBeginning = Annotated[
    bool, typer.Option("--from-beginning", help="It holds for all earlier times.")
]
StartOfGap = Annotated[
    str, typer.Option("--from", metavar="T", help="First moment without constants.")
]
FromSerial = Annotated[
    bool,
    typer.Option("--from-serial", help="Take over from another id of the same serial."),
]
Like = Annotated[
    str | None,
    typer.Option("--like", metavar="PANEL", help="Whose, where several ids differ."),
]
Preview = Annotated[
    bool,
    typer.Option("--preview", help="Show whose answers would change, and by how much; no more."),
]
ConfirmAffects = Annotated[
    int | None,
    typer.Option(
        "--confirm-affects",
        metavar="N",
        min=0,
        help="How many answers already deployed are meant to change.",
    ),
]


def start_of(opened: "OpenStore", start: str | None) -> "datetime | None":
    """Return the start that was typed, None for the beginning, and say how it was understood."""
    return None if start is None else moment_of(opened, start)


def require_one_start(start: str | None, *, from_beginning: bool) -> None:
    """Refuse an assignment that does not say from when, or says it twice."""
    if (start is None) is not from_beginning:
        msg = "say from when: either --from T or --from-beginning"
        raise InvalidInputError(msg)


def moment_of(opened: "OpenStore", start: str) -> "datetime":
    """Return a start that was typed, and say how it was understood."""
    from panelcal.domain.moments import parse_moment

    typed = parse_moment(start, opened.zone)
    if typed.notice:
        say(typed.notice)
    return typed.utc


def require_source_of_adoption(*, from_serial: bool) -> None:
    """Refuse an adoption that does not say from what."""
    if not from_serial:
        msg = "say what to adopt from"
        raise InvalidInputError(msg, "--from-serial: from another panel id of the same serial")


def require_one_intent(*, preview: bool, confirm_affects: int | None, yes: bool = False) -> None:
    """Refuse a preview that says what only the change itself can mean."""
    if preview and (confirm_affects is not None or yes):
        other = "--yes" if yes else "--confirm-affects"
        msg = f"--preview writes nothing, and {other} is about what is written"
        raise InvalidInputError(msg, "leave out one of them")


def show_preview(opened: "OpenStore", planner: "Planner", *, as_json: bool) -> None:
    """Print what a change would do."""
    from panelcal.cli.impacts import show_impact
    from panelcal.services.impact import preview

    plan, impact = preview(opened, planner)
    show_impact(plan, impact, opened.zone, as_json=as_json)
    say("nothing was written")
