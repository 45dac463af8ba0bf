"""A process that has imported the heavy libraries, and forks kernels (and the publisher) on request. Linux only.

It is started by its path and never imports `quire`, so that an edit of the project's own code is always seen. It has
one Python thread. What every kernel needs is imported at once; what the notebooks need, when stdin has told. A request
names the modules it wants; it is answered as soon as those are imported.
See `quire.flow.fork_server` for who starts it and `quire.flow.provisioner` for who asks.
"""

import argparse
import array
import atexit
import builtins
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
import sysconfig
import threading
import time
import types
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

FROZEN_PREFIXES = (
    "PYTHON", "LD_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "NUMEXPR_", "ARROW_", "MALLOC_", "LC_",
    "MPLCONFIGDIR", "MPLBACKEND", "MLFLOW_", "WHYLOGS_", "PANDAS_", "SKLEARN_",
)  # fmt: skip
FROZEN_NAMES = ("LANG", "LANGUAGE", "TZ", "VIRTUAL_ENV")
"""Variables that act when a library is imported: a request whose values differ is refused."""

READ_LATER = ("MLFLOW_TRACKING_", "MLFLOW_REGISTRY_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_")
"""Variables with a frozen prefix that are read when they are needed."""

NEVER = ("quire", "polars", "tqdm.auto", "tqdm.autonotebook", "tqdm.notebook", "matplotlib_inline.backend_inline")
"""Modules that are not preloaded: the project's own; polars starts threads; the others ask at import whether they are
in a notebook, and plots and bars would be lost."""

NATIVE_THREADS = ("jemalloc_bg_thd", "python", "OpenBLAS")
"""Native threads, by the start of their names, whose libraries take care of themselves in a fork."""

KERNEL = (
    "ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "ipykernel.debugger", "sqlite3",
    "IPython.core.completerlib", "IPython.core.pylabtools", "IPython.extensions.storemagic", "tornado.platform.asyncio",
)  # fmt: skip

Request = dict[str, Any]


def frozen(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that must be as they were when the libraries were imported."""
    return {
        name: value
        for name, value in environment.items()
        if (name.startswith(FROZEN_PREFIXES) or name in FROZEN_NAMES) and not name.startswith(READ_LATER)
    }


def stamp() -> int:
    """Return what changes when a library is installed or removed."""
    return os.stat(sysconfig.get_paths()["purelib"]).st_mtime_ns


def send(connection: socket.socket, message: Request, descriptors: Sequence[int] = ()) -> None:
    """Send a message, and open files along with it."""
    data = json.dumps(message).encode()
    files = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    connection.sendmsg([struct.pack("!I", len(data))], files)
    connection.sendall(data)


def receive(connection: socket.socket) -> tuple[Request | None, list[int]]:
    """Return a message and the open files that came with it; no message if the other end is closed."""
    buffer, descriptors = b"", array.array("i")
    while len(buffer) < 4 or len(buffer) < 4 + struct.unpack("!I", buffer[:4])[0]:
        data, extra, _, _ = connection.recvmsg(1 << 16, socket.CMSG_SPACE(4 * 4))
        for level, kind, content in extra:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) // 4 * 4])
        if not data:
            close(descriptors)
            return None, []
        buffer += data
    return json.loads(buffer[4:]), list(descriptors)


def close(descriptors: Sequence[int]) -> None:
    """Close open files."""
    for descriptor in descriptors:
        os.close(descriptor)


def native_threads() -> list[str]:
    """Return the names of this process's threads but the first."""
    names = []
    for task in os.listdir("/proc/self/task"):
        if task != str(os.getpid()):
            with open(f"/proc/self/task/{task}/comm") as file:
                names.append(file.read().strip())
    return names


class Preloader:
    """Imports modules one at a time, as a kernel would."""

    def __init__(self) -> None:
        """What every kernel needs is to do."""
        self.todo = [*KERNEL]
        self.done: set[str] = set()
        self.failed: dict[str, str] = {}

    def want(self, names: Sequence[str]) -> None:
        """Add modules in the order in which they are wanted; ``a.b:c`` also imports ``a.b.c`` if it is a module."""
        self.todo += [name for name in dict.fromkeys(names) if not (_is_never(name) or name in self.done)]

    def has(self, names: Sequence[str]) -> bool:
        """Whether all ``names`` that will ever be imported are."""
        return not {*KERNEL, *names} & {*self.todo}

    def step(self) -> None:
        """Import the next module."""
        name = self.todo.pop(0)
        module, _, attribute = name.partition(":")
        # pandas asks at import whether it is in a kernel, and sets how wide tables are shown.
        builtins.get_ipython = lambda: types.SimpleNamespace(kernel=True, config={"IPKernelApp": {}})  # type: ignore[attr-defined]
        try:
            imported = importlib.import_module(module)
            if attribute and not hasattr(imported, attribute) and importlib.util.find_spec(f"{module}.{attribute}"):
                importlib.import_module(f"{module}.{attribute}")
        except Exception as error:  # what is not installed must not cost what is
            self.failed[name] = f"{type(error).__name__}: {error}"
        finally:
            del builtins.get_ipython  # type: ignore[attr-defined]
        self.done.add(name)


def _is_never(name: str) -> bool:
    module = name.partition(":")[0]
    return any(module == never or module.startswith(f"{never}.") for never in NEVER) or name.replace(":", ".") in NEVER


class Server:
    """Waits for requests, forks, reaps, and ends what nobody owns any more."""

    def __init__(
        self, listener: socket.socket, owner: int, preloader: Preloader, environment: Mapping[str, str], since: int
    ) -> None:
        """owner: pidfd of the process that this one serves and dies with. since: `stamp` before the first import."""
        self.listener, self.owner, self.preloader = listener, owner, preloader
        self.environment, self.stamp = frozen(environment), since
        self.waiting: list[tuple[socket.socket, Request, list[int]]] = []
        self.children: dict[int, tuple[int, socket.socket]] = {}
        self.connections: dict[int, int] = {}
        self.poller = select.poll()
        self.poller.register(listener, select.POLLIN)
        self.poller.register(owner, select.POLLIN)
        self.draining = False

    def serve(self) -> Request | None:
        """Return None when all is over; in a forked child, return its request."""
        while not (self.draining and not self.children):
            request = self._fork_those_ready()
            if request is not None:
                return request
            is_busy = bool(self.preloader.todo) and not self.draining
            if is_busy:
                self.preloader.step()
            for descriptor, _ in self.poller.poll(0 if is_busy else None):
                self._handle(descriptor)
        return None

    def _handle(self, descriptor: int) -> None:
        if descriptor == self.owner:
            self.poller.unregister(self.owner)
            self.poller.unregister(self.listener)
            self.draining = True
        elif descriptor == self.listener.fileno():
            self._accept()
        elif descriptor in self.children:
            self._reap(descriptor)
        elif descriptor in self.connections:
            self._end_orphan(descriptor)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.settimeout(5)
        try:
            request, descriptors = receive(connection)
            if request is None:
                connection.close()
                return
            refusal = self._refusal(connection, request)
            if refusal:
                close(descriptors)
                send(connection, {"refused": refusal})
                connection.close()
            else:
                self.waiting.append((connection, request, descriptors))
        except OSError:
            connection.close()

    def _refusal(self, connection: socket.socket, request: Request) -> str:
        _, user, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        variables = frozen(request["environment"])
        different = {*variables.items()} ^ {*self.environment.items()}
        if user != os.getuid():
            return "another user asks"
        if different:
            return f"the environment differs: {', '.join(sorted({name for name, _ in different}))}"
        if os.path.realpath(request["executable"]) != os.path.realpath(sys.executable):
            return f"another interpreter: {request['executable']}"
        if request["prefix"] != sys.prefix:
            return f"another environment: {request['prefix']}"
        if request["stamp"] != self.stamp:
            return "libraries were installed or removed since the start"
        return ""

    def _fork_those_ready(self) -> Request | None:
        for item in [item for item in self.waiting if self.preloader.has(item[1]["wants"])]:
            self.waiting.remove(item)
            request = self._fork(*item)
            if request is not None:
                return request
        return None

    def _fork(self, connection: socket.socket, request: Request, descriptors: list[int]) -> Request | None:
        """Return the request in the child, None in this process."""
        process, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        strange = [name for name in native_threads() if not name.startswith(NATIVE_THREADS)]
        refusal = f"unknown native threads: {', '.join(strange)}" if strange else ""
        if threading.active_count() != 1:
            refusal = f"Python threads: {', '.join(thread.name for thread in threading.enumerate()[1:])}"
        try:
            client = os.pidfd_open(process)
        except OSError:
            refusal, client = "whoever asked is gone", -1
        if refusal:
            close([*descriptors, *([client] if client >= 0 else [])])
            self._answer(connection, {"refused": refusal})
            connection.close()
            return None
        gc.freeze()
        if (child := os.fork()) == 0:
            self._close_in_child(connection)
            return {**request, "descriptors": descriptors, "client": client}
        close([*descriptors, client])
        descriptor = os.pidfd_open(child)
        self.children[descriptor] = (child, connection)
        self.connections[connection.fileno()] = descriptor
        self.poller.register(descriptor, select.POLLIN)
        self.poller.register(connection, select.POLLIN | select.POLLHUP)
        if not self._answer(connection, {"pid": child}, [descriptor]):
            _kill_group(child)
        return None

    def _close_in_child(self, connection: socket.socket) -> None:
        for other, _, descriptors in self.waiting:
            other.close()
            close(descriptors)
        for descriptor, (_, other) in self.children.items():
            os.close(descriptor)
            other.close()
        connection.close()
        self.listener.close()
        os.close(self.owner)

    def _answer(self, connection: socket.socket, message: Request, descriptors: Sequence[int] = ()) -> bool:
        try:
            send(connection, message, descriptors)
        except OSError:
            return False
        return True

    def _reap(self, descriptor: int) -> None:
        """Tell the client how its process ended."""
        child, connection = self.children.pop(descriptor)
        _, status = os.waitpid(child, 0)
        self.poller.unregister(descriptor)
        os.close(descriptor)
        if self.connections.pop(connection.fileno(), None) is not None:
            self.poller.unregister(connection)
        self._answer(connection, {"ended": os.waitstatus_to_exitcode(status)})
        connection.close()

    def _end_orphan(self, connection: int) -> None:
        """The client closed its end, or died: end its process and all that it started."""
        descriptor = self.connections.pop(connection)
        self.poller.unregister(connection)
        if descriptor in self.children:
            _kill_group(self.children[descriptor][0])


def _kill_group(child: int) -> None:
    for kill in (os.killpg, os.kill):  # a child that is just starting has no group of its own yet
        try:
            kill(child, signal.SIGKILL)
        except OSError:
            continue


def become(request: Request) -> None:
    """Turn a forked child into what was asked for: a kernel, or a module that is run."""
    os.setsid()
    stay_nice()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not request["kernel"]:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout.flush()
    sys.stderr.flush()
    for target, descriptor in enumerate(request["descriptors"]):
        os.dup2(descriptor, target)
    close([descriptor for descriptor in request["descriptors"] if descriptor > 2])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.umask(request["umask"])
    os.chdir(request["folder"])
    _write("/proc/self/oom_score_adj", str(request["oom_score_adj"]))
    _write("/proc/self/comm", "python")
    for name in NEVER:
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    gc.enable()
    atexit.register(gc.freeze)  # or the interpreter takes all modules apart before it ends
    threading.Thread(target=_die_with, args=(request["client"],), name="owner-watch", daemon=True).start()
    if request["kernel"]:
        _run_kernel(request["arguments"])
    else:
        sys.argv = request["arguments"]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


def _die_with(client: int) -> None:
    poller = select.poll()
    poller.register(client, select.POLLIN)
    poller.poll()
    os._exit(1)


def _run_kernel(arguments: list[str]) -> None:
    from ipykernel import kernelapp

    sys.argv = [kernelapp.__file__.replace("kernelapp.py", "../ipykernel_launcher.py"), *arguments]
    # parent_handle=1 turns off ipykernel's own watch, which would take the fork server for the kernel's owner.
    kernelapp.launch_new_instance([*arguments, "--IPKernelApp.parent_handle=1"])


def stay_nice() -> None:
    """Give way as a session as this process does: Linux first weighs sessions against one another, each nice by itself.

    To be called by the first process of a session; see "The autogroup feature" in sched(7).
    """
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if nice:
        _write("/proc/self/autogroup", str(nice))


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError:
        pass  # a courtesy to the operating system; some containers do not allow it


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen(32)
    return listener


def _leave(path: str) -> NoReturn:
    """End; remove the socket and its folder, in which the owner that died left nothing but its mark."""
    folder = os.path.dirname(path)
    for remove, target in ((os.unlink, path), (os.unlink, os.path.join(folder, "owner")), (os.rmdir, folder)):
        with contextlib.suppress(OSError):  # gone already, or something lies there that is not ours
            remove(target)
    os._exit(0)


def main() -> None:
    """Serve until the owner is gone; a forked child leaves as what it was asked to be.

    On stdin the owner says, as JSON, which modules to import and which variables the environment gets before that.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--owner", type=int, required=True)
    options = parser.parse_args()
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        del sys.path[0]
    stay_nice()
    try:
        owner = os.pidfd_open(options.owner)
    except ProcessLookupError:
        _leave(options.socket)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _write("/proc/self/oom_score_adj", "300")  # lose this process before a kernel
    gc.disable()
    listener, environment, since = _listen(options.socket), dict(os.environ), stamp()
    # As the kernel sets them before it imports matplotlib and its debugger.
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    preloader = Preloader()
    while preloader.todo:
        preloader.step()
    try:
        instructions = json.load(sys.stdin)
    except ValueError:  # whoever started this needs no kernel after all, or is gone
        _leave(options.socket)
    os.environ.update(instructions["environment"])
    preloader.want(instructions["wants"])
    server = Server(listener, owner, preloader, {**environment, **instructions["environment"]}, since)
    request = server.serve()
    if request is None:
        _leave(options.socket)
    become(request)


if __name__ == "__main__":
    main()
