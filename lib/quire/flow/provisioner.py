"""Jupyter's way to a warm kernel: a provisioner that asks the fork server, else starts an ordinary kernel.

Entry point ``quire-warm`` of ``jupyter_client.kernel_provisioners``. Where no fork server is named in the environment,
it is LocalProvisioner.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from quire.flow.forked_process import ForkedProcess, Refused, fork
from quire.flow.provisioner_name import SOCKET, WANTS

log = logging.getLogger("quire.warm")

_LAUNCHER = ["-m", "ipykernel_launcher"]

_said: set[str] = set()


class WarmProvisioner(LocalProvisioner):
    """LocalProvisioner whose process may be a fork of a warm one."""

    async def launch_kernel(self, cmd: list[str], **options: Any) -> Any:
        """Start a kernel by ``cmd``: forked where that is possible, else, said once in the log, as usual."""
        environment = dict(options.get("env") or os.environ)
        path, wants = environment.pop(SOCKET, ""), environment.pop(WANTS, "")
        options["env"] = environment
        if not path or sys.platform != "linux":
            return await super().launch_kernel(cmd, **options)
        try:
            process = await asyncio.to_thread(_fork, path, cmd, wants.split(), self._scrub_kwargs(options))
        except (Refused, OSError, ValueError) as error:
            _say_once(str(error))
            return await super().launch_kernel(cmd, **options)
        self.process = process
        self.pid = self.pgid = process.pid
        self.cwd = options.get("cwd", Path.cwd())
        return self.connection_info


def _fork(path: str, cmd: list[str], wants: list[str], options: dict[str, Any]) -> ForkedProcess:
    if cmd[1:3] != _LAUNCHER:
        raise Refused(f"the kernel is not started by `python {' '.join(_LAUNCHER)}`")
    if options.get("stdin") is not None or options.get("independent"):
        raise Refused("the kernel wants an input of its own, or to outlive its owner")
    environment = {**options["env"], "JPY_PARENT_PID": str(os.getpid())}
    open_fds: list[int] = []
    try:
        descriptors = _outputs(options, open_fds)
        return fork(
            path,
            arguments=cmd[3:],
            kernel=True,
            wants=wants,
            executable=shutil.which(cmd[0], path=environment.get("PATH")) or cmd[0],
            environment=environment,
            folder=str(options.get("cwd") or os.getcwd()),
            descriptors=descriptors,
        )
    finally:
        for descriptor in open_fds:
            os.close(descriptor)


def _outputs(options: dict[str, Any], opened: list[int]) -> list[int]:
    """Return the open files for input, output and errors, as `subprocess` reads its arguments."""
    opened.append(os.open(os.devnull, os.O_RDWR))
    descriptors = [opened[0]]
    for name, default in (("stdout", 1), ("stderr", 2)):
        value = options.get(name)
        if value is None:
            descriptors.append(default)
        elif value == subprocess.DEVNULL:
            descriptors.append(opened[0])
        elif value == subprocess.STDOUT:
            descriptors.append(descriptors[1])
        elif isinstance(value, int) and value >= 0:
            descriptors.append(value)
        elif hasattr(value, "fileno"):
            descriptors.append(value.fileno())
        else:
            raise Refused(f"{name} is to be a pipe")
    return descriptors


def _say_once(reason: str) -> None:
    if reason not in _said:
        _said.add(reason)
        log.warning("No warm kernel (%s): an ordinary one starts.", reason)
