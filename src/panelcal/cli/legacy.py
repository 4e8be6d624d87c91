"""``jungfrau_id`` and ``jungfrau_gain_constants``: the names and options people know.

They answer from the store. Two defaults of the legacy commands are repaired,
and said aloud: the time of the run selects the version, not 20150101000000, and
every failure ends with a status that is not zero.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from panelcal.cli import options
from panelcal.cli.boundary import CommandBoundary, run_program
from panelcal.cli.constants import tell_notices
from panelcal.cli.output import progress, say
from panelcal.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from panelcal.domain.runs import Run
    from panelcal.exporters.permissions import Permissions
    from panelcal.services.export import Answer, LocalFiles, Writing
    from panelcal.services.upload import UploadTarget
    from panelcal.storage.store import OpenStore

PATTERN = "Jungfrau"
LEGACY_TIME = "20150101000000"
_MODE = re.compile(r"[0-7]{1,5}\Z", re.ASCII)

StoreDir = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="PANELCAL_STORE",
        metavar="DIR",
        help=options.STORE_HELP,
        parser=options.parse_path,
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option("-d", "--dataset", metavar="DATASET", help="exp=EXPERIMENT:run=NUMBER."),
]
Source = Annotated[
    str | None,
    typer.Option(
        "-s",
        "--source",
        metavar="SOURCE",
        help=f"All or part of the source name, as Jungfrau.0; {PATTERN} if not given.",
    ),
]


def _program() -> typer.Typer:
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


id_program = _program()
constants_program = _program()


@id_program.command(cls=CommandBoundary, no_args_is_help=True)
def jungfrau_id(
    ctx: typer.Context,
    first: Annotated[str | None, typer.Argument(metavar="DATASET", help="As -d.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="SOURCE", help="As -s.")] = None,
    dataset: Dataset = None,
    source: Source = None,
    store: StoreDir = None,
) -> None:
    """Print the detector id of a run's Jungfrau."""
    named = _one(first, dataset, "-d")
    pattern = _one(second, source, "-s") or PATTERN
    if named is None:
        msg = "no dataset was named"
        raise InvalidInputError(msg, "jungfrau_id exp=xpptut15:run=430 Jungfrau.0")
    with options.open_named(ctx, store) as opened:
        _tell_found(_found(opened, named, pattern), named, pattern, typer.echo)


@constants_program.command(cls=CommandBoundary, no_args_is_help=True)
def jungfrau_gain_constants(
    ctx: typer.Context,
    first: Annotated[str | None, typer.Argument(metavar="DATASET", help="As -d.")] = None,
    second: Annotated[str | None, typer.Argument(metavar="SOURCE", help="As -s.")] = None,
    third: Annotated[str | None, typer.Argument(metavar="TSTAMP", help="As -t.")] = None,
    dataset: Dataset = None,
    source: Source = None,
    tstamp: Annotated[
        str | None,
        typer.Option(
            "-t",
            "--tstamp",
            metavar="TSTAMP",
            help="Select the version by this time, YYYYMMDDHHMMSS; by default by the begin "
            f"of the run (formerly {LEGACY_TIME}).",
        ),
    ] = None,
    deploy: Annotated[
        bool, typer.Option("-D", "--deploy", help="Deploy the constants in the calib directory.")
    ] = False,
    upload: Annotated[
        bool,
        typer.Option("-U", "--upload", help="Print the dcs commands that upload the constants."),
    ] = False,
    calib_dir: Annotated[
        Path | None,
        typer.Option(
            "-c",
            "--calib",
            metavar="CALIBDIR",
            help="The calib directory; by default that of the experiment.",
            parser=options.parse_path,
        ),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(
            "-R",
            "--repository",
            metavar="DIR",
            help="Directory of the DCS files that -U names; by default that of psana. "
            "The constants are always those of the store.",
            parser=options.parse_path,
        ),
    ] = None,
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"],
        typer.Option(
            "-L",
            "--loglevel",
            case_sensitive=False,
            help="From WARNING on, what -U prints is all there is on standard output.",
        ),
    ] = "INFO",
    deprecated: Annotated[
        bool, typer.Option("-P", help="Without meaning, accepted as before.")
    ] = False,
    dirmode: Annotated[
        str, typer.Option("--dirmode", metavar="OCTAL", help="Of new directories.")
    ] = "02775",
    filemode: Annotated[
        str, typer.Option("--filemode", metavar="OCTAL", help="Of new files.")
    ] = "0664",
    group: Annotated[
        str | None,
        typer.Option(
            "--group",
            metavar="NAME",
            help="Of new files and directories; by default ps-users, where it exists.",
        ),
    ] = None,
    policy: Annotated[
        Literal["strict", "legacy"],
        typer.Option(
            "--policy",
            help="legacy: as the former command, the first version for times before it, and "
            "says so. strict: refuses those.",
        ),
    ] = "legacy",
    store: StoreDir = None,
) -> None:
    """Write a run's gain constants to files here; deploy them, or say how to upload them."""
    from panelcal.exporters.dcs_commands import dcs_add_commands
    from panelcal.services.export import Writing, answer_for

    named = _one(first, dataset, "-d")
    pattern = _one(second, source, "-s") or PATTERN
    at = _one(third, tstamp, "-t")
    if named is None:
        msg = "no dataset was named"
        raise InvalidInputError(msg, "jungfrau_gain_constants -d exp=xcsls3716:run=631")
    if deprecated:
        say("-P has no meaning any more and is passed over")
    if calib_dir is not None and not deploy:
        say("-c says where -D deploys; without -D it is passed over")
    if repository is not None and not upload:
        say("-R says which DCS files -U names; the constants are those of the store")
    permissions = _permissions(filemode, dirmode, group)
    writing = Writing("legacy", options.environment(), options.now(), permissions)
    is_quiet = log_level in {"WARNING", "ERROR", "CRITICAL"}
    tell = _pass_over if is_quiet else typer.echo
    with options.open_named(ctx, store) as opened:
        run = _found(opened, named, pattern)
        _tell_found(run, named, pattern, tell)
        _require_time(run, at)
        answer = answer_for(opened, named, run.source, at=at, policy=policy)
        if at is None and not is_quiet:
            _say_what_selected(answer)
        tell_notices(answer.resolution)
        _tell_panels(answer, tell)
        # What can be refused is refused before anything is written.
        target = _upload_target(opened, answer, repository) if upload else None
        deploy_to = _calib_dir(run, calib_dir) if deploy else None
        files = _save(opened, answer, writing, tell)
        commands = []
        if target is not None:
            see = f"jungfrau_gain_constants -d {run.dataset} -U"
            commands = dcs_add_commands(
                target.path, files.texts, target.begin, run.dataset, run.source, see
            )
        if deploy_to is not None:
            _deploy(opened, answer, deploy_to, writing, tell)
    for command in commands:
        typer.echo(command)


def _pass_over(_: str) -> None:
    """Tell nothing."""


def _one(positional: str | None, option: str | None, name: str) -> str | None:
    """Return what was given as an argument or as an option."""
    if positional is not None and option is not None and positional != option:
        msg = f"{name} says {option!a}, the argument in its place {positional!a}"
        raise InvalidInputError(msg, "give one of them")
    return option if positional is None else positional


def _permissions(filemode: str, dirmode: str, group: str | None) -> "Permissions":
    from panelcal.domain.text import excerpt
    from panelcal.exporters.permissions import LEGACY, Permissions

    for name, text in (("--filemode", filemode), ("--dirmode", dirmode)):
        if not _MODE.match(text) or int(text, 8) > 0o7777:
            msg = f"{name} {excerpt(text)} is not a mode"
            raise InvalidInputError(msg, "octal digits, such as 0664")
    if group is not None:
        _require_group(group)
    return Permissions(int(filemode, 8), int(dirmode, 8), group or LEGACY.group)


def _require_group(name: str) -> None:
    """Refuse a group that was named and does not exist; the usual one may be missing."""
    import grp

    from panelcal.domain.text import excerpt

    try:
        grp.getgrnam(name)
    except (KeyError, ValueError) as error:
        msg = f"there is no group {excerpt(name)}"
        raise InvalidInputError(msg, "the command groups lists yours") from error


def _found(opened: "OpenStore", dataset: str, pattern: str) -> "Run":
    from panelcal.domain.runs import parse_dataset
    from panelcal.services.runs import find_run

    with opened.database.reading() as connection:
        return find_run(connection, parse_dataset(dataset), pattern)


def _tell_found(run: "Run", dataset: str, pattern: str, tell: Callable[[str], None]) -> None:
    """Tell the three lines of the page: what was looked for, what was found, its id."""
    from panelcal.domain.ids import parse_detector_id

    tell(f'Finding Jungfrau Id in dataset "{dataset}" using name pattern {pattern}')
    count = len(run.modules)
    if run.detector_id is not None:
        count = len(parse_detector_id(run.detector_id).panels)
    panels = f", number of panels: {count}" if count else ""
    tell(f"Found source: {run.source.replace(':', '-')}{panels}")
    tell(f"Jungfrau id: {run.legacy_id}")


def _require_time(run: "Run", at: str | None) -> None:
    if at is None and run.begin is None:
        said = f" ({run.note})" if run.note else ""
        msg = f"{run.dataset} {run.source} is registered without a begin time{said}"
        raise InvalidInputError(msg, "say which time selects the version: -t YYYYMMDDHHMMSS")


def _say_what_selected(answer: "Answer") -> None:
    say(
        f"the begin of the run, {answer.resolution.asked}, selects the version; "
        f"the former command took {LEGACY_TIME} unless -t said otherwise"
    )


def _tell_panels(answer: "Answer", tell: Callable[[str], None]) -> None:
    from panelcal.domain.moments import start_in_words

    for panel in answer.resolution.panels:
        uses = f"{panel.module}@{panel.revision}"
        if panel.panel is None:
            tell(f"Panel {panel.index}: {uses}, declared by the run")
        else:
            start = start_in_words(panel.valid_from, answer.resolution.zone)
            tell(f"Panel {panel.index} {panel.panel}: {uses} from {start}")


def _upload_target(
    opened: "OpenStore", answer: "Answer", repository: Path | None
) -> "UploadTarget":
    from panelcal.services.upload import psana_directory, target_in

    directory = repository or psana_directory(opened, answer, options.data_root())
    return target_in(opened, answer, directory)


def _calib_dir(run: "Run", calib_dir: Path | None) -> Path:
    """Return where to deploy; only what was named may be made from nothing."""
    from panelcal.exporters.calib_dir import calib_dir_of

    if calib_dir is not None:
        return calib_dir
    usual = calib_dir_of(options.data_root(), run.dataset.experiment)
    if not usual.parent.is_dir():
        msg = f"there is no directory {usual.parent}, in which calib would be"
        raise NotFoundError(msg, "name the calib directory with -c, or set SIT_PSDM_DATA")
    return usual


def _save(
    opened: "OpenStore", answer: "Answer", writing: "Writing", tell: Callable[[str], None]
) -> "LocalFiles":
    from panelcal.services.export import export_files

    with progress("writing") as advance:
        files = export_files(
            opened,
            answer,
            Path(),
            formats=("txt", "npz"),
            writing=writing,
            permissions=writing.permissions,
            progress=advance,
        )
    if files.notice:
        say(files.notice)
    for path in files.paths:
        tell(f"Saved {path}")
    return files


def _deploy(
    opened: "OpenStore",
    answer: "Answer",
    calib_dir: Path,
    writing: "Writing",
    tell: Callable[[str], None],
) -> None:
    from panelcal.services.deploy import deploy

    with progress("deploying") as advance:
        deployed = deploy(opened, answer, calib_dir, writing=writing, progress=advance)
    for one in deployed:
        kept = f", the former file kept as {one.kept.name}" if one.kept else ""
        state = "Deployed" if one.is_new else "Deployed before"
        tell(f"{state} {one.path}{kept}")


def run_jungfrau_id() -> None:
    """Run ``jungfrau_id`` and exit with its code."""
    _run(id_program)


def run_jungfrau_gain_constants() -> None:
    """Run ``jungfrau_gain_constants`` and exit with its code."""
    _run(constants_program)


def _run(program: typer.Typer) -> None:
    # All that these commands are asked for may be what they print.
    if sys.stdout is None:
        say("error: standard output is closed")
        sys.exit(1)
    run_program(program)
