"""Folders for sockets: private to the user, their paths short, and gone when their owner is, however it ended.

The owner holds a lock on a file in its folder. The operating system frees it when the process dies, so that the next
run can tell what was left behind from what is in use, also where several containers share a folder for temporary files.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

PREFIX = "quire-"
OWNER = "owner"
"""The file that is locked."""

_SHORT_PATH = 80
"""A socket's path may have 107 characters; its folder must leave room for the name."""


class SocketDir:
    """A new folder that only this user can enter."""

    def __init__(self, kind: str = "") -> None:
        """kind: what its name says after ``quire-``."""
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX + kind, dir=_base()))
        temp_path = self.path / f".{OWNER}"
        self._lock = os.open(temp_path, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.replace(temp_path, self.path / OWNER)  # it appears locked, so that nobody takes it for one left behind

    def remove(self) -> None:
        """Remove the folder and all in it; it may be gone already."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def remove_left_behind() -> list[Path]:
    """Remove this user's folders whose owner is dead, and return which."""
    folders = []
    for owner in _base().glob(f"{PREFIX}*/{OWNER}"):
        with suppress(OSError):  # in use, another user's, or just going
            lock = os.open(owner, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(owner.parent)
                folders.append(owner.parent)
            finally:
                os.close(lock)
    return folders


def _base() -> Path:
    base = tempfile.gettempdir()
    return Path(base if len(base) < _SHORT_PATH else "/tmp")
