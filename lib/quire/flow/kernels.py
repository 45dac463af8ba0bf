"""Notebooks executed in Jupyter kernels, one kernel for each.

Kernels talk over IPC sockets in a short private folder each, so that parallel runs never race for a TCP port. A kernel
can be started before its notebook is due and shut down after its notebook has been handed on.
"""

import asyncio
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty
from typing import Any

import zmq
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError

from quire.flow import notebook_client
from quire.flow.failure import LESS, KernelDied, OutOfMemory, TimedOut
from quire.flow.notebook_client import CellProgress
from quire.flow.outputs import ERROR_LIMIT
from quire.flow.socket_dir import SocketDir
from quire.flow.threads import THREADS, USE
from quire.io.artifacts import STOP, Stopped, read_stop
from quire.page.numbers import shortened

_START_TIMEOUT_S = 60

_FIND_MODULES = "import sys; sys.path.insert(sys.path.index('') if '' in sys.path else 0, {folder!r}); del sys"


@dataclass(frozen=True)
class Execution:
    """What it takes to execute a notebook."""

    notebook: Path
    output: Path
    parameters: Mapping[str, Any]
    artifacts: Path | None = None
    """The folder that the notebook saves to, where `run.stop` leaves its reason."""

    cell_timeout_s: float | None = None
    on_cell: Callable[[int, int], None] | None = None
    threads: int = 0
    """How many cores to compute on; 0: as many as the kernel's environment says."""


class Kernel:
    """One kernel process. All but `kill` is to be called from the thread that started it."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        """root: the kernel's working directory; environment: what is added to that of this process."""
        self._root = root
        self._environment = {**os.environ, **environment}
        self._folder = SocketDir()
        self._killed = False
        self._manager: Any = None
        self._client: Any = None

    def start(self) -> "Kernel":
        """Start the process and wait until it answers."""
        out_of_memory = _oom_kills()
        self._manager = AsyncKernelManager(
            kernel_name="python3",
            # No kernelspec of the user's counts: without any folder of them, Jupyter takes this very interpreter.
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            transport="ipc",
            connection_file=str(self._folder.path / "kernel.json"),
        )
        # Start-up files and settings of the user's IPython are no part of the stage's key, so they are none of the run.
        try:
            run_sync(self._manager.start_kernel)(
                extra_arguments=["--HistoryManager.hist_file=:memory:", "--IPKernelApp.exec_PYTHONSTARTUP=False"],
                cwd=str(self._root),
                env={**self._environment, "IPYTHONDIR": str(self._folder.path / "ipython")},
            )
        except (OSError, NoSuchKernel) as error:
            raise KernelDied(f"The kernel did not start: {error}. {self._command()}") from error
        if self._killed:
            self.kill()
        try:
            run_sync(self._connect)()
        except RuntimeError as error:
            raise self._death(out_of_memory, f"while it started: {error}", self._command()) from error
        self._client.allow_stdin = False
        return self

    def _command(self) -> str:
        """Return a sentence that says which command was to start the kernel, and who says so."""
        try:
            spec = self._manager.kernel_spec
        except NoSuchKernel:
            return f"Python {sys.executable} has no kernel: `make setup` installs it."
        return f"It was to start as `{shlex.join(spec.argv)}`. `make setup` installs what is missing."

    async def _connect(self) -> None:
        """Return when the kernel has answered, and what it puts out is heard; raises RuntimeError.

        Jupyter's own wait takes up to 0.3 s longer: it connects before the kernel listens, which is tried again every
        0.1 s, and at last listens for 0.2 s to what no notebook has asked for.
        """
        sockets = [Path(f"{self._manager.ip}-{port}") for port in self._manager.ports]
        end = time.monotonic() + _START_TIMEOUT_S
        while not all(socket.exists() for socket in sockets):
            await self._still_starts(end)
            await asyncio.sleep(0.005)
        self._client = self._manager.client()
        # Or what a cell puts out faster than it is read would be dropped, the word that it has ended with it.
        self._client.context.setsockopt(zmq.RCVHWM, 0)
        self._client.start_channels()
        while True:
            message_id = self._client.kernel_info()
            with suppress(Empty):
                await self._client.get_shell_msg(timeout=1)
                while True:
                    message = await self._client.get_iopub_msg(timeout=0.2)
                    is_answer = message["parent_header"].get("msg_id") == message_id
                    if is_answer and message["content"].get("execution_state") == "idle":
                        return
            await self._still_starts(end)

    async def _still_starts(self, end: float) -> None:
        if not await self._manager.is_alive():
            raise RuntimeError("it ended before it answered")
        if time.monotonic() > end:
            raise RuntimeError(f"it did not answer within {_START_TIMEOUT_S} s")

    def execute(self, execution: Execution) -> None:
        """Execute a notebook under papermill; the output is written whether it ends well or not.

        Raises what papermill raises for a failed cell, Stopped if the notebook ended early, TimedOut, and KernelDied
        or OutOfMemory if the process is gone.
        """
        out_of_memory = _oom_kills()
        progress = CellProgress(execution.on_cell)
        self._use(execution.threads)
        self._find_modules_in(execution.notebook.parent)
        is_stop = partial(_is_stop, folder=execution.artifacts)
        try:
            notebook_client.execute(
                execution.notebook,
                execution.output,
                dict(execution.parameters),
                is_stop=is_stop,
                execution_timeout=execution.cell_timeout_s,
                manager=self._manager,
                client=self._client,
                progress=progress,
            )
        except PapermillExecutionError as error:
            if is_stop(error):
                raise Stopped(error.evalue) from None
            raise
        except CellTimeoutError:
            limit = f"{execution.cell_timeout_s or 0:g} s (cell_timeout_s in workflow.yaml)"
            raise TimedOut(f"The cell took longer than {limit}.", progress.number, progress.source) from None
        except (DeadKernelError, RuntimeError) as error:
            raise self._death(out_of_memory, str(error), progress=progress) from error

    def _use(self, threads: int) -> None:
        """Have the cells that follow compute in so many threads; nothing comes back, nor is it seen in the notebook."""
        if threads and str(threads) != self._environment.get(THREADS):
            self._client.execute(USE.format(count=threads), silent=True, store_history=False)

    def _find_modules_in(self, folder: Path) -> None:
        """Have modules beside the notebook found, as JupyterLab finds them: before those of the working directory."""
        self._client.execute(_FIND_MODULES.format(folder=str(folder)), silent=True, store_history=False)

    def close(self) -> None:
        """Shut the kernel down, gracefully where it still answers, and remove its folder."""
        with suppress(Exception):
            run_sync(self._shut_down)()
        if self._client is not None:
            self._client.stop_channels()
        self._folder.remove()

    async def _shut_down(self) -> None:
        """Do what `shutdown_kernel` does, which would look only every 0.1 s whether the process has ended."""
        manager = self._manager
        if self._killed:
            await manager.shutdown_kernel(now=True)
            return
        await manager.interrupt_kernel()
        await manager.request_shutdown()
        await manager.finish_shutdown(pollinterval=0.01)
        await manager.cleanup_resources()

    def kill(self) -> None:
        """End the process and all it started, at once; may be called from any thread, also before it has started."""
        self._killed = True
        provisioner = getattr(self._manager, "provisioner", None)
        group = getattr(provisioner, "pgid", None)
        if group:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def _death(
        self, out_of_memory: int, text: str, hint: str = "", *, progress: CellProgress | None = None
    ) -> Exception:
        """Return why the kernel is gone, as far as its exit code and the operating system say; hint: what to do."""
        number, source = (progress.number, progress.source) if progress else (None, "")
        if run_sync(self._manager.is_alive)():
            return KernelDied(f"The kernel does not answer: {text}. {hint}".strip(), number, source)
        if _oom_kills() > out_of_memory:
            text = f"The operating system ended the kernel because memory ran out. {LESS}"
            return OutOfMemory(text, number, source)
        code = getattr(getattr(self._manager.provisioner, "process", None), "returncode", None)
        if code == -signal.SIGKILL and not self._killed:
            text = "The kernel was killed (SIGKILL), probably out of memory: a container or a limit ends it so. "
            return OutOfMemory(text + LESS, number, source)
        cause = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        if progress and code is not None and code >= 0:
            hint = 'Something ended it, such as os._exit(); to end a notebook early, use run.stop("why").'
        return KernelDied(f"The kernel died ({cause}). {hint}".strip(), number, source)


def _is_stop(error: PapermillExecutionError, folder: Path | None) -> bool:
    """Whether the notebook ended by `run.stop`: another exception may be called Stopped too.

    Ours shows its reason in the place of a traceback, the one that it has left in the stage's folder.
    """
    if error.ename != Stopped.__name__ or folder is None or not (folder / STOP).exists():
        return False
    return error.traceback == [shortened(f"{Stopped.__name__}: {read_stop(folder)}", ERROR_LIMIT)]


def _oom_kills() -> int:
    """Return how many processes this machine's kernel has ended for lack of memory since it started; 0 if unknown."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text("ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
