"""Who may read what Quire writes: its user alone, unless QUIRE_UMASK says otherwise.

Runs, reports and databases hold rows of the data, often of people. So commands write files as 0600 and folders as 0700,
and outputs/ is closed to others even where an older version, or git, made it open. A team that shares a folder sets
QUIRE_UMASK for everybody: 027 lets the group read, 007 lets it write too (with ``chmod g+s outputs``, so that new files
belong to the group of the folder).
"""

import os
import re
import stat
from pathlib import Path

from quire.errors import ConfigError

VARIABLE = "QUIRE_UMASK"
OWNER_ONLY = 0o077


def umask() -> int:
    """Return the permissions that new files lack: ``QUIRE_UMASK``, octal, else those of everybody but the owner.

    Raises ConfigError if it is no umask, or would lock out the owner.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return OWNER_ONLY
    if not re.fullmatch(r"0?0?[0-7]{2}", text):
        raise ConfigError(
            f"{VARIABLE} is {text!r}; expected an octal number that leaves the owner everything: 077 (nobody else), "
            "027 (the group may read) or 007 (the group may write)."
        )
    return int(text, 8)


def restrict() -> int:
    """Have this process, and those that it starts, write by `umask`; returns what held before."""
    return os.umask(umask())


def close(outputs: Path) -> None:
    """Take from the folder ``outputs``, if it is there and this user's own, the permissions that `umask` names.

    A folder in which everybody may make files (the sticky bit: /tmp) is not Quire's own.
    """
    try:
        status = outputs.stat()
    except OSError:
        return
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.getuid() or mode & stat.S_ISVTX or not mode & umask():
        return
    try:
        outputs.chmod(mode & ~umask())
    except OSError:  # on a disk that is mounted for reading alone nothing new is told to anybody
        return
