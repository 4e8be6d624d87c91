"""``export``: local files of a run's constants, or files that psana reads."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from panelcal.cli import options
from panelcal.cli.constants import tell_notices
from panelcal.cli.output import progress, say, show_json
from panelcal.errors import InvalidInputError


def register(app: typer.Typer) -> None:
    """Add the commands to the program."""
    app.command()(export)


def export(
    ctx: typer.Context,
    dataset: options.Dataset,
    source: options.Source = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="DIR",
            help="Directory of local files; here, unless only deployed.",
            parser=options.parse_path,
        ),
    ] = None,
    form: Annotated[
        Literal["txt", "npz", "both"],
        typer.Option("--format", help="Of local files."),
    ] = "both",
    calib_dir: Annotated[
        Path | None,
        typer.Option(
            "--calib-dir",
            metavar="DIR",
            help="The calib directory itself, for --deploy.",
            parser=options.parse_path,
        ),
    ] = None,
    deploy: Annotated[
        bool,
        typer.Option("--deploy", help="Write <run>-end.data files into the calib directory."),
    ] = False,
    precision: Annotated[
        Literal["legacy", "full"],
        typer.Option(
            "--precision",
            help="legacy: %.4f and %.1f as today. full: %.9g, every bit of float32.",
        ),
    ] = "legacy",
    at: options.At = None,
    policy: options.Policy = "strict",
    as_of: options.AsOf = None,
    tag: options.TagOption = None,
    store: options.StoreDir = None,
    json: options.Json = False,
) -> None:
    """Write a run's constants to files, or deploy them.

    Local files are named <exp>-r<run>_<source>_<detector id>_<kind>; deployed
    ones <run>-end.data in the layout that psana reads. Every file is read back
    before it gets its name.
    """
    from panelcal.services import deploy as deploying
    from panelcal.services import export as service

    if deploy is not (calib_dir is not None):
        msg = "--deploy and --calib-dir DIR go together"
        raise InvalidInputError(msg)
    writing = service.Writing(precision, options.environment(), options.now())
    formats = ("txt", "npz") if form == "both" else (form,)
    paths: list[Path] = []
    deployed: list[deploying.Deployed] = []
    with options.open_named(ctx, store) as opened, progress("writing") as advance:
        answer = service.answer_for(
            opened,
            dataset,
            source,
            at=at,
            policy=policy,
            as_of=options.as_of_moment(opened, as_of, tag),
        )
        tell_notices(answer.resolution)
        if output is not None or not deploy:
            paths, notice = service.export_files(
                opened,
                answer,
                output or Path(),
                formats=formats,
                writing=writing,
                progress=advance,
            )
            if notice:
                say(notice)
        if calib_dir is not None:
            deployed = deploying.deploy(
                opened, answer, calib_dir, writing=writing, progress=advance
            )
    if json:
        show_json(
            {
                "dataset": str(answer.run.dataset),
                "source": answer.run.source,
                "token": answer.resolution.token,
                "files": [str(path) for path in paths],
                "deployed": [
                    {
                        "kind": one.kind,
                        "path": str(one.path),
                        "sha256": one.file_digest,
                        "written": one.is_new,
                        "kept": None if one.kept is None else str(one.kept),
                    }
                    for one in deployed
                ],
            }
        )
        return
    for path in paths:
        typer.echo(str(path))
    for one in deployed:
        state = "written, read back" if one.is_new else "unchanged"
        kept = f", the former file kept as {one.kept.name}" if one.kept else ""
        typer.echo(f"{one.path}  {state}{kept}")
    say(f"token {answer.resolution.token}")
