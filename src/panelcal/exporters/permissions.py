"""Modes and group of what is written into directories that many people share."""

import errno
import grp
import os
from dataclasses import dataclass
from pathlib import Path

from panelcal.temporary import PREFIX, temporary_directory


@dataclass(frozen=True, slots=True)
class Permissions:
    """How new files and directories are made; those that exist keep what they have.

    The defaults are those of the legacy commands (spec §§4, 8).

    Parameters
    ----------
    file_mode, directory_mode : int
        Whatever the umask.
    group : str
        Given where it exists and the user may.
    """

    file_mode: int = 0o664
    directory_mode: int = 0o2775
    group: str = "ps-users"

    def apply_to_file(self, path: Path) -> None:
        """Give a new file its group and mode."""
        give_to_group(path, self._group_id())
        path.chmod(self.file_mode)

    def apply_to_directory(self, path: Path) -> None:
        """Give a new directory its group and mode."""
        give_to_group(path, self._group_id())
        # After the group: changing that clears the setgid bit.
        path.chmod(self.directory_mode)

    def make_directories(self, path: Path) -> None:
        """Make a directory and what is missing above it."""
        for directory in missing_directories(path):
            with temporary_directory(directory.parent, PREFIX) as staged:
                self.make_directory(directory, staged)

    def make_directory(self, directory: Path, staged: Path) -> None:
        """Make a directory that has its group and mode from the moment it appears.

        Parameters
        ----------
        staged : Path
            A temporary directory on the same file system.
        """
        temporary = staged / "directory"
        temporary.mkdir()
        self.apply_to_directory(temporary)
        try:
            temporary.rename(directory)
        except OSError as error:
            # Somebody else made it, and put something into it, a moment ago.
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY} or not directory.is_dir():
                raise
            temporary.rmdir()

    def _group_id(self) -> int | None:
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            return None


LEGACY = Permissions()
"""What the legacy commands use unless told otherwise."""


def missing_directories(path: Path) -> list[Path]:
    """Return the directories to be made for a path, from the top down."""
    return [place for place in (*reversed(path.parents), path) if not place.exists()]


def give_to_group(path: Path, group_id: int | None) -> None:
    """Give a file to a group, if there is one and the user may do so."""
    may = os.geteuid() == 0 or group_id in os.getgroups()
    if group_id is not None and may:
        os.chown(path, -1, group_id)


def copy_permissions(present: Path, path: Path) -> None:
    """Give a file that is to replace another the mode and group of that one."""
    found = present.stat()
    give_to_group(path, found.st_gid)
    path.chmod(found.st_mode & 0o7777)
