"""``verify-deploy``: read a calib tree back and say what its files hold."""

from typing import TYPE_CHECKING

import typer

from panelcal.cli import options
from panelcal.cli.output import progress, show_json, show_table

if TYPE_CHECKING:
    from panelcal.domain.verified import VerifiedFile, VerifyReport


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("verify-deploy")(verify_deploy)


def verify_deploy(
    ctx: typer.Context,
    calib_root: options.CalibRoot,
    experiment: options.Experiment = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Say of every deployed file what it holds, and which are not as they should be.

    Changes nothing. Exits with 0 if all is well, with 5 if files are not what
    was written, cannot be read or make the legacy finder crash, with 4 if files
    are stale, missing, unknown or ambiguous. Shadowed files are no failure.
    """
    from panelcal.services import verify_deploy as service

    with options.open_named(ctx, store) as opened, progress("verifying") as advance:
        report = service.verify_deploy(
            opened, calib_root.absolute(), experiment=experiment, progress=advance
        )
    if json:
        show_json(report.document())
    else:
        _show(report)
    raise typer.Exit(report.exit_code)


def _show(report: "VerifyReport") -> None:
    rows = [_row(file, report.root) for file in report.files]
    if rows:
        show_table(("state", "file", "holds", "runs", "notes"), rows)
    typer.echo(report.summary)


def _row(file: "VerifiedFile", root: str) -> tuple[str, str, str, str, str]:
    shown = file.path.removeprefix(f"{root}/")
    runs = ",".join(map(str, file.runs[:6])) + (",..." if len(file.runs) > 6 else "")
    return str(file.state), shown, " ".join(file.holds) or "-", runs or "-", "; ".join(file.notes)
