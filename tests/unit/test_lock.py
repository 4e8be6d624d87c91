"""The lock of a directory that panelcal writes into."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from panelcal.errors import ConflictError, InvalidInputError
from panelcal.exporters.lock import LOCK_NAME, locked

HOLDER = """
import sys, time
from pathlib import Path
from panelcal.exporters.lock import locked
with locked(Path(sys.argv[1]), "a job"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_is_held_once_and_free_again(tmp_path: Path) -> None:
    with locked(tmp_path, "a job"):
        with pytest.raises(ConflictError, match="a job is already at work in") as refused:
            with locked(tmp_path, "a job"):
                pass
        assert refused.value.hint is not None
        assert LOCK_NAME in refused.value.hint
    with locked(tmp_path, "a job"):
        assert (tmp_path / LOCK_NAME).stat().st_mode & 0o777 == 0o664


def test_a_lock_that_cannot_be_opened_is_invalid_input(tmp_path: Path) -> None:
    (tmp_path / LOCK_NAME).mkdir()
    with pytest.raises(InvalidInputError, match=r"\.panelcal\.lock cannot be locked"):
        with locked(tmp_path, "a job"):
            pass


def test_a_killed_holder_locks_nobody_out(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ConflictError), locked(tmp_path, "a job", seconds=0.2):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with locked(tmp_path, "a job"):
        assert (tmp_path / LOCK_NAME).is_file()
