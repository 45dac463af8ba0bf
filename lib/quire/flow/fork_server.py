"""The fork server's owner: starts it, says what it is to import, ends it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from quire.flow import forkserver
from quire.flow.forked_process import ForkedProcess, Refused, fork
from quire.flow.provisioner_name import GROUP, NAME, SOCKET, WANTS
from quire.flow.socket_dir import SocketDir

_SERVER = Path(forkserver.__file__)
_START_WITHIN_S = 10


class ForkServer:
    """A fork server: started, then told what to import. Nothing here imports the rest of the runner."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """environment: that of the kernels, as far as it is known before the start; this process's if left out."""
        self._environment = dict(os.environ if environment is None else environment)
        self._wants: Mapping[str, Sequence[str]] = {}
        self._folder = SocketDir("warm-")
        self.socket = self._folder.path / "s"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "ForkServer":
        """Start the server and return at once; it imports what every kernel needs."""
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), "--socket", str(self.socket), "--owner", str(os.getpid())],
            stdin=subprocess.PIPE,
            env=self._environment,
            text=True,
            start_new_session=True,  # Ctrl-C at the terminal is for the runner
        )
        return self

    def preload(self, wants: Mapping[str, Sequence[str]], environment: Mapping[str, str] | None = None) -> "ForkServer":
        """Have it import more while it waits for requests; to be called once, before the first.

        wants: by stage, in the order in which they run, the modules that its notebook imports. environment: what the
        kernels' has besides; none that acts when a process starts, such as PYTHONPATH.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        self._wants = wants
        self._environment.update(environment or {})
        names = [name for names in wants.values() for name in names]
        with suppress(BrokenPipeError), self._process.stdin as stdin:  # where it is gone, kernels start as usual
            json.dump({"wants": names, "environment": dict(environment or {})}, stdin)
        return self

    def variables(self, stage: str) -> dict[str, str]:
        """Return what a kernel's environment needs so that the provisioner asks this server, once it listens."""
        end = time.monotonic() + _START_WITHIN_S
        while not self.socket.exists() and time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                return {}
            time.sleep(0.01)
        return {SOCKET: str(self.socket), WANTS: " ".join(self._wants.get(stage, ()))}

    def fork(self, stage: str, arguments: Sequence[str], folder: Path, descriptors: Sequence[int]) -> ForkedProcess:
        """Return a process that runs the module arguments[0], forked when what ``stage`` wants is imported.

        Raises Refused or OSError.
        """
        variables = self.variables(stage)
        if not variables:
            raise Refused("the fork server did not start")
        return fork(
            str(self.socket),
            arguments=arguments,
            kernel=False,
            wants=variables[WANTS].split(),
            executable=sys.executable,
            environment=self._environment,
            folder=str(folder),
            descriptors=descriptors,
        )

    @property
    def is_told(self) -> bool:
        """Whether it has been told what to import."""
        return self._process is not None and self._process.stdin is not None and self._process.stdin.closed

    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the server; kernels that still run are not touched."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._folder.remove()


class ForkServerPool:
    """Keeps a fork server: for several runs, one after another, or from before its run can be prepared.

    Use as a context manager.
    """

    def __init__(self) -> None:
        """Nothing starts yet."""
        self._server: ForkServer | None = None

    def server(self, environment: Mapping[str, str] | None = None) -> ForkServer:
        """Return a server that is up, started now, with ``environment``, if there is none."""
        if self._server is None or not self._server.is_up():
            self.close()
            self._server = ForkServer(environment).start()
        return self._server

    def close(self) -> None:
        """End the server, if there is one."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> "ForkServerPool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def warm_kernels(wants: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Keep a process that has imported ``wants`` and yield the variables by which Jupyter has its kernels forked there.

    For what starts kernels but is no run, such as Voila. Nothing where kernels cannot be forked: they start as usual.
    """
    if not is_possible() or not _is_installed():
        yield {}
        return
    with closing(ForkServer(environment).start().preload({"any": wants})) as server:
        yield {"JUPYTER_DEFAULT_PROVISIONER_NAME": NAME, **server.variables("any")}


def use_provisioner() -> bool:
    """Let kernels of this process be started by our provisioner; False if it is not installed as an entry point.

    Jupyter denies that a kernelspec exists if its provisioner is missing, so the entry point is resolved first.
    """
    if not _is_installed():
        return False
    from jupyter_client.provisioning import KernelProvisionerFactory

    KernelProvisionerFactory.instance().default_provisioner_name = NAME
    return True


def is_possible() -> bool:
    """Whether this machine can fork kernels: Linux with pidfds."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")


def _is_installed() -> bool:
    from importlib import metadata  # takes a tenth of the time that the runner needs to start

    return bool(metadata.entry_points(group=GROUP, name=NAME))
