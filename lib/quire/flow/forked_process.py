"""The client of the fork server: a process that is not our child, used like one."""

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from quire.flow.forkserver import receive, send, stamp

_ANSWER_WITHIN_S = 60
"""The server answers when what is wanted is imported."""


class Refused(Exception):
    """The fork server would not, or could not, fork; the reason is its text."""


class ForkedProcess:
    """What `subprocess.Popen` offers, as far as Jupyter and the runner use it, for a forked process."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int, descriptor: int, connection: socket.socket) -> None:
        """descriptor: its pidfd; connection: where the server says how it ended, and which keeps it alive."""
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor, self._connection = descriptor, connection

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the process runs."""
        if self.returncode is None and self._has_ended(0):
            self._collect()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit code; raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not self._has_ended(timeout):
                raise subprocess.TimeoutExpired("forked process", timeout or 0)
            self._collect()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            try:
                signal.pidfd_send_signal(self._descriptor, number)
            except ProcessLookupError:
                return

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, timeout: float | None) -> bool:
        poller = select.poll()
        poller.register(self._descriptor, select.POLLIN)
        return bool(poller.poll(None if timeout is None else int(timeout * 1000)))

    def _collect(self) -> None:
        """Ask the server, whose child it was; if the server is gone, so is the exit code."""
        try:
            self._connection.settimeout(2)
            message, _ = receive(self._connection)
            self.returncode = message["ended"] if message else 1
        except OSError:
            self.returncode = 1
        self._connection.close()
        os.close(self._descriptor)


def fork(
    path: str,
    *,
    arguments: Sequence[str],
    kernel: bool,
    wants: Sequence[str],
    executable: str,
    environment: Mapping[str, str],
    folder: str,
    descriptors: Sequence[int],
) -> ForkedProcess:
    """Return a process that the server at the socket ``path`` forked: a kernel, or the module that arguments[0] names.

    wants: modules that are to be imported first. descriptors: open files for input, output and errors.
    Raises Refused or OSError.
    """
    umask = os.umask(0)
    os.umask(umask)
    with open("/proc/self/oom_score_adj", encoding="ascii") as file:
        oom_score_adj = int(file.read())
    request = {
        "arguments": list(arguments), "kernel": kernel, "wants": list(wants), "executable": executable,
        "environment": dict(environment), "folder": folder, "prefix": sys.prefix, "stamp": stamp(), "umask": umask,
        "oom_score_adj": oom_score_adj,
    }  # fmt: skip
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_ANSWER_WITHIN_S)
    try:
        connection.connect(path)
        send(connection, request, descriptors)
        answer, fds = receive(connection)
        if answer is None:
            raise Refused("the fork server is gone")
        if "refused" in answer:
            raise Refused(answer["refused"])
    except BaseException:
        connection.close()
        raise
    return ForkedProcess(answer["pid"], fds[0], connection)
