"""Children of one process that has loaded everything: each runs the program once, in its place.

A line of standard input is a request, a line of standard output its answer: loading
numpy, SQLAlchemy and zarr costs a second, a fork costs milliseconds.
"""

import contextlib
import gc
import importlib
import io
import json
import os
import resource
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from faults import points as hooks
from faults.actions import Operation

_LOADED = (
    "alembic.command",
    "alembic.autogenerate",
    "encodings.utf_8_sig",
    "h5py",
    "numpy",
    "psycopg",
    "sqlalchemy.dialects.postgresql.psycopg",
    "zarr",
    "panelcal.api",
    "panelcal.cli",
)


def serve() -> None:
    """Answer requests until standard input ends."""
    load()
    _warm_up()
    # Children leave these objects alone, and so their memory is shared.
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _be_child(request)
        _answer(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _answer(code: int) -> None:
    sys.stdout.write(f"{code}\n")
    sys.stdout.flush()


def load() -> None:
    """Load what any command needs, so that no child does it under its hooks."""
    for name in _LOADED:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    services = Path(importlib.import_module("panelcal.services").__path__[0])
    for package in ("services", "storage", "exporters", "cli"):
        for module in sorted((services.parent / package).glob("*.py")):
            importlib.import_module(f"panelcal.{package}.{module.stem}")


def _warm_up() -> None:
    """Let what is made at first use be made: tables' mappers, compiled statements, commands."""
    silence = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as directory,
        contextlib.redirect_stdout(silence),
        contextlib.redirect_stderr(silence),
    ):
        store = ["--store", f"{directory}/store"]
        _main(["init", f"{directory}/store"])
        _main([*store, "assign", "1-2-3", "M001", "--from", "20180101000000", "--reason", "r"])
        _main([*store, "tag", "create", "t", "--reason", "r"])


def _be_child(request: dict[str, Any]) -> None:
    """Run the commands of a request, and end as the last of them does."""
    notes = Path(request["notes"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = os.open(notes / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        os.dup2(stream, number)
    # For commands that wait: they must not wait for ever.
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = 1
    try:
        code = _run(request, notes)
    except BaseException:  # noqa: BLE001 - a child tells everything, and ends
        traceback.print_exc()
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def _run(request: dict[str, Any], notes: Path) -> int:
    sever = hooks.severing(request["sever"]) if request.get("sever") else None
    struck = (notes / "struck").open("wb", buffering=0)
    points = hooks.Points(
        request["root"],
        request["at"],
        request["action"],
        sever,
        lambda subject: struck.write(os.fsencode(subject)),
    )
    trace = (notes / "trace").open("w") if request["action"] == "count" else None
    acknowledged = os.open(notes / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    if request.get("file_bytes") is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_bytes"],) * 2)
    if request.get("user") is not None:
        os.setgroups([])
        os.setgid(request["user"])
        os.setuid(request["user"])
    write = os.write
    hooks.install(points)
    code = 0
    for arguments in request["commands"]:
        points.is_on = True
        code = _main(arguments)
        points.is_on = False
        if code:
            break
        # Whoever reads this was told that the change is there.
        write(acknowledged, f"{json.dumps(arguments)}\n".encode())
    if trace is not None:
        _tell(points.passed, trace)
    return code


def _main(arguments: list[str]) -> int:
    """Run the program's own entry point, and return the exit code of its process."""
    from panelcal.cli import main

    sys.argv = ["panelcal", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - what escapes the program is judged by the parent
        traceback.print_exc()
        return 1
    return 0


def _tell(passed: list[Operation], trace: Any) -> None:
    for one in passed:
        named = None if one.named is None else os.fspath(one.named)
        trace.write(json.dumps([one.call, one.group, one.subject, str(named)]) + "\n")
    trace.flush()


if __name__ == "__main__":
    serve()
