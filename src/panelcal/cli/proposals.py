"""How proposals and the approval mode are shown: tables, or JSON."""

from typing import TYPE_CHECKING, Any

from panelcal.cli.output import show_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from zoneinfo import ZoneInfo

    from panelcal.domain.proposals import ApprovalMode, Proposal


def mode_in_words(mode: "ApprovalMode | None") -> str:
    """Return in a line whether approval is required."""
    from panelcal.domain.moments import iso_utc
    from panelcal.domain.text import as_line

    if mode is None:
        return "approval is not required"
    is_so = "required" if mode.is_required else "not required"
    since = f"since {iso_utc(mode.recorded_at)} by {mode.recorded_by}: {mode.reason}"
    return as_line(f"approval is {is_so} {since}")


def mode_document(mode: "ApprovalMode | None") -> dict[str, Any]:
    """Return the approval mode as ``--json`` prints it."""
    from panelcal.domain.moments import iso_utc

    if mode is None:
        return {"required": False, "recorded_at": None, "recorded_by": None, "reason": None}
    return {
        "required": mode.is_required,
        "recorded_at": iso_utc(mode.recorded_at),
        "recorded_by": mode.recorded_by,
        "reason": mode.reason,
    }


def proposal_document(one: "Proposal", zone: "ZoneInfo") -> dict[str, Any]:
    """Return a proposal as ``--json`` prints it."""
    from panelcal.cli.impacts import plan_document
    from panelcal.domain.moments import iso_utc

    decision = one.decision
    return {
        "proposal": one.number,
        **plan_document(one.plan, zone),
        "recorded_at": iso_utc(one.recorded_at),
        "recorded_by": one.recorded_by,
        "state": one.state,
        "decision": None
        if decision is None
        else {
            "verdict": decision.verdict,
            "recorded_at": iso_utc(decision.recorded_at),
            "recorded_by": decision.recorded_by,
            "reason": decision.reason,
        },
    }


def show_proposals(found: "Sequence[Proposal]", zone: "ZoneInfo") -> None:
    """Print proposals as a table."""
    show_table(
        ("proposal", "state", "change", "recorded", "by", "reason"),
        (
            (
                one.number,
                _state_in_words(one),
                f"{one.plan.verb}: {one.plan.in_words(zone)}",
                f"{one.recorded_at:%Y-%m-%dT%H:%M:%SZ}",
                one.recorded_by,
                one.plan.reason,
            )
            for one in found
        ),
    )


def _state_in_words(one: "Proposal") -> str:
    if one.decision is None:
        return "open"
    return f"{one.decision.verdict} by {one.decision.recorded_by}: {one.decision.reason}"
