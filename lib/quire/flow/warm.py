"""The fork server's owner: starts it, says what it is to import, ends it."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import metadata
from pathlib import Path

from quire.flow import forkserver
from quire.flow.context import Context
from quire.flow.forked import Forked, Refused, fork
from quire.flow.key import notebook_facts
from quire.flow.private import PrivateFolder
from quire.flow.provisioner_name import GROUP, NAME, SOCKET, WANTS
from quire.flow.reach import facts_of

_SERVER = Path(forkserver.__file__)
_START_WITHIN_S = 10


class Warm:
    """A running fork server; use as a context manager."""

    def __init__(self, wants: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
        """wants: by stage, in the order in which they run, the modules that its notebook imports.

        environment: that of the kernels.
        """
        self._wants = wants
        self._environment = dict(environment)
        self._folder = PrivateFolder("warm-")
        self.socket = self._folder.path / "s"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "Warm":
        """Start the server and return at once; it imports while it waits for requests."""
        self._process = subprocess.Popen(
            [sys.executable, str(_SERVER), "--socket", str(self.socket), "--owner", str(os.getpid())],
            stdin=subprocess.PIPE,
            env=self._environment,
            text=True,
            start_new_session=True,  # Ctrl-C at the terminal is for the runner
        )
        assert self._process.stdin is not None
        json.dump([name for names in self._wants.values() for name in names], self._process.stdin)
        self._process.stdin.close()
        return self

    def variables(self, stage: str) -> dict[str, str]:
        """Return what a kernel's environment needs so that the provisioner asks this server, once it listens."""
        end = time.monotonic() + _START_WITHIN_S
        while not self.socket.exists() and time.monotonic() < end:
            if self._process is None or self._process.poll() is not None:
                return {}
            time.sleep(0.01)
        return {SOCKET: str(self.socket), WANTS: " ".join(self._wants.get(stage, ()))}

    def fork(self, stage: str, arguments: Sequence[str], folder: Path, descriptors: Sequence[int]) -> Forked:
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

    def is_up(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def close(self) -> None:
        """End the server; kernels that still run are not touched."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._folder.remove()


PUBLISH = "publish"
"""What the publisher is called among the stages."""


class Keeper:
    """Keeps the fork server of the first run for those that follow, which find imported what it has imported.

    Use as a context manager.
    """

    def __init__(self) -> None:
        """Nothing starts yet."""
        self.server: Warm | None = None

    def __enter__(self) -> "Keeper":
        return self

    def __exit__(self, *_: object) -> None:
        if self.server is not None:
            self.server.close()


class Warmth:
    """The fork server of a run, started when the first kernel is needed; without one, kernels start as usual."""

    def __init__(self, context: Context) -> None:
        """Nothing starts yet."""
        self._context = context
        self._lock = threading.Lock()
        self._tried = False
        self.server: Warm | None = None

    def variables(self, stage: str) -> dict[str, str]:
        """Return what the environment of a stage's kernel needs to be forked; nothing if it cannot be."""
        server = self.started()
        return server.variables(stage) if server else {}

    def started(self) -> Warm | None:
        """Return the server, started now if it was not; None if kernels are not to be forked, or cannot be."""
        with self._lock:
            if not self._tried:
                self._tried = True
                if not self._context.request.cold and not self._context.drivers.kernel and is_possible():
                    self.server = self._start()
                    if not use_provisioner():  # asked while the server imports: it takes a while
                        self.server.close()
                        self.server = None
            return self.server

    def close(self) -> None:
        """End the server, but for one that is kept for other runs."""
        if self.server is not None and not self._context.drivers.keeper:
            self.server.close()

    def _start(self) -> Warm:
        keeper = self._context.drivers.keeper
        if keeper is None:
            return self._new()
        if keeper.server is None or not keeper.server.is_up():
            keeper.server = self._new()
        return keeper.server

    def _new(self) -> Warm:
        context = self._context
        stages = context.record.stages
        wants = {
            name: context.library.imports(notebook_facts(task.notebook))
            for name, task in context.graph.items()
            if stages[name]["status"] in ("waiting", "running")
        }
        if context.request.publish:
            wants[PUBLISH] = context.library.imports([facts_of("from quire.io import tracking_store")])
        return Warm(wants, {**os.environ, **context.environment}).start()


@contextmanager
def warm_kernels(wants: Sequence[str], environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Keep a process that has imported ``wants`` and yield the variables by which Jupyter has its kernels forked there.

    For what starts kernels but is no run, such as Voila. Nothing where kernels cannot be forked: they start as usual.
    """
    if not is_possible() or not metadata.entry_points(group=GROUP, name=NAME):
        yield {}
        return
    with closing(Warm({"any": wants}, environment).start()) as server:
        yield {"JUPYTER_DEFAULT_PROVISIONER_NAME": NAME, **server.variables("any")}


def use_provisioner() -> bool:
    """Let kernels of this process be started by our provisioner; False if it is not installed as an entry point.

    Jupyter denies that a kernelspec exists if its provisioner is missing, so the entry point is resolved first.
    """
    found = metadata.entry_points(group=GROUP, name=NAME)
    if not found:
        return False
    from jupyter_client.provisioning import KernelProvisionerFactory

    KernelProvisionerFactory.instance().default_provisioner_name = NAME
    return True


def is_possible() -> bool:
    """Whether this machine can fork kernels: Linux with pidfds."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open")
