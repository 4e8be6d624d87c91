"""``export``: local files of a run's constants, or files that psana reads."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from panelcal.cli import options
from panelcal.cli.constants import tell_notices
from panelcal.cli.output import progress, say, show_json
from panelcal.errors import InvalidInputError

if TYPE_CHECKING:
    from panelcal.exporters.dcs_writing import AddedVersion
    from panelcal.services.deployed import Deployed
    from panelcal.services.export import Answer, LocalFiles, Writing
    from panelcal.storage.store import OpenStore


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
            help="Directory of local files; here, unless they only go elsewhere.",
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
    precision: options.Precision = "legacy",
    upload: Annotated[
        bool,
        typer.Option(
            "-U",
            "--upload-commands",
            help="Print the dcs commands that add the local text files to the detector's DCS "
            "file, and nothing else on standard output.",
        ),
    ] = False,
    dcs: Annotated[
        Path | None,
        typer.Option(
            "--dcs",
            metavar="FILE.h5",
            help="Add the constants to this DCS file, jungfrau-<detector id>.h5; of a directory, "
            "to the file of that name in it.",
            parser=options.parse_path,
        ),
    ] = None,
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
    from panelcal.exporters.dcs_commands import dcs_add_commands
    from panelcal.services import export as service
    from panelcal.services import upload as uploading
    from panelcal.services.deploy import deploy as deploy_run

    if deploy is not (calib_dir is not None):
        msg = "--deploy and --calib-dir DIR go together"
        raise InvalidInputError(msg)
    if upload and form == "npz":
        msg = "the dcs commands name text files, and --format npz writes none"
        raise InvalidInputError(msg, "leave out --format")
    writing = service.Writing(precision, options.environment(), options.now())
    tell = _teller(as_json=json, is_aside=upload)
    with options.open_named(ctx, store) as opened:
        answer = service.answer_for(
            opened,
            dataset,
            source,
            at=at,
            policy=policy,
            as_of=options.as_of_moment(opened, as_of, tag),
        )
        tell_notices(answer.resolution)
        document: dict[str, Any] = {
            "dataset": str(answer.run.dataset),
            "source": answer.run.source,
            "token": answer.resolution.token,
            "files": [],
            "deployed": [],
            "dcs": [],
            "upload_commands": [],
        }
        # What can be refused is refused before anything is written.
        dcs_file = uploading.target_named(opened, answer, dcs) if dcs is not None else None
        named_file = None
        if upload:
            directory = uploading.psana_directory(opened, answer, options.data_root())
            named_file = uploading.target_in(opened, answer, directory)
        if output is not None or upload or not (deploy or dcs):
            files = _write_local(opened, answer, output or Path(), form, writing)
            document["files"] = _tell_files(files.paths, tell)
            if named_file is not None:
                see = f"panelcal export {answer.run.dataset} --upload-commands"
                document["upload_commands"] = dcs_add_commands(
                    named_file.path,
                    files.texts,
                    named_file.begin,
                    answer.run.dataset,
                    answer.run.source,
                    see,
                )
        if calib_dir is not None:
            with progress("deploying") as advance:
                deployed = deploy_run(opened, answer, calib_dir, writing=writing, progress=advance)
            document["deployed"] = _tell_deployed(deployed, tell)
        if dcs_file is not None:
            if dcs_file.notice:
                say(dcs_file.notice)
            added = uploading.upload(opened, answer, dcs_file, writing)
            document["dcs"] = _tell_added(dcs_file.path, added, tell)
    if json:
        show_json(document)
        return
    for command in document["upload_commands"]:
        typer.echo(command)
    say(f"token {answer.resolution.token}")


def _write_local(
    opened: "OpenStore", answer: "Answer", directory: Path, form: str, writing: "Writing"
) -> "LocalFiles":
    from panelcal.services.export import export_files

    formats = ("txt", "npz") if form == "both" else (form,)
    with progress("writing") as advance:
        files = export_files(
            opened, answer, directory, formats=formats, writing=writing, progress=advance
        )
    if files.notice:
        say(files.notice)
    return files


def _teller(*, as_json: bool, is_aside: bool) -> Callable[[str], None]:
    """Return what tells of a file: on standard output, or aside of what is wanted there."""
    if as_json:
        return lambda _: None
    return say if is_aside else typer.echo


def _tell_files(paths: Sequence[Path], tell: Callable[[str], None]) -> list[str]:
    """Tell which local files there are, and return it as ``--json`` prints it."""
    for path in paths:
        tell(str(path))
    return [str(path) for path in paths]


def _tell_deployed(
    deployed: "Sequence[Deployed]", tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Tell what was deployed, and return it as ``--json`` prints it."""
    for one in deployed:
        kept = f", the former file kept as {one.kept.name}" if one.kept else ""
        tell(f"{one.path}  {_state(is_new=one.is_new)}{kept}")
    return [
        {
            "kind": one.kind,
            "path": str(one.path),
            "sha256": one.file_digest,
            "written": one.is_new,
            "kept": None if one.kept is None else str(one.kept),
        }
        for one in deployed
    ]


def _tell_added(
    path: Path, added: "Sequence[AddedVersion]", tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Tell what a DCS file holds now, and return it as ``--json`` prints it."""
    for one in added:
        state = _state(is_new=one.status == "added")
        tell(f"{path} /{one.ctype}/{one.range_name}/{one.name}  {state}")
    return [
        {
            "path": str(path),
            "kind": one.ctype,
            "range": one.range_name,
            "version": one.name,
            "written": one.status == "added",
        }
        for one in added
    ]


def _state(*, is_new: bool) -> str:
    return "written, read back" if is_new else "unchanged"
