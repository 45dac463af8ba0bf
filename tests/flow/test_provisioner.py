"""Kernels forked from a warm process behave as kernels that were started anew."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from jupyter_client.provisioning import KernelProvisionerFactory

from quire.flow.context import NO_TELEMETRY
from quire.flow.failure import TimedOut
from quire.flow.fork_server import ForkServer, is_possible, use_provisioner
from quire.flow.forked_process import ForkedProcess, Refused, fork
from quire.flow.kernels import Execution, Kernel
from quire.flow.provisioner_name import SOCKET

pytestmark = pytest.mark.skipif(not is_possible(), reason="kernels are forked on Linux with pidfds only")

WANTS = ["numpy", "pandas", "matplotlib:pyplot", "tqdm.auto", "tqdm"]
ROOT = Path(__file__).parents[2]


def environment():
    return {**os.environ, **NO_TELEMETRY, "PYTHONPATH": str(ROOT / "lib")}


@pytest.fixture(scope="module", autouse=True)
def _provisioner():
    factory = KernelProvisionerFactory.instance()
    before = factory.default_provisioner_name
    assert use_provisioner(), "the entry point quire-warm is not installed: pip install -e ."
    yield
    factory.default_provisioner_name = before


@pytest.fixture(scope="module")
def warm():
    server = ForkServer(environment()).start().preload({"s": WANTS})
    yield server
    server.close()


class Notebook:
    """A kernel and its blocking client."""

    def __init__(self, variables, **options):
        extra = options.pop("env", {})
        self.manager, self.client = start_new_kernel(env={**environment(), **extra, **variables}, **options)

    @property
    def is_forked(self):
        return isinstance(self.manager.provisioner.process, ForkedProcess)

    def value(self, expression, setup=""):
        expressions = {"value": f"__import__('json').dumps({expression})"}
        reply = self.client.execute(textwrap.dedent(setup), user_expressions=expressions, reply=True, timeout=60)
        self.wait_until("status", {"execution_state": "idle"}, reply["parent_header"]["msg_id"])
        found = reply["content"]["user_expressions"]["value"]
        assert found["status"] == "ok", found
        return json.loads(found["data"]["text/plain"].strip("'").encode().decode("unicode_escape"))

    def wait_until(self, kind, content, asked):
        """Wait for what the kernel says of a cell. Its reply comes before it is idle: until then signals still hit."""
        while True:
            message = self.client.get_iopub_msg(timeout=30)
            is_ours = message["parent_header"].get("msg_id") == asked
            if is_ours and message["msg_type"] == kind and content.items() <= message["content"].items():
                return

    def close(self):
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel()


@pytest.fixture
def kernel(warm):
    made = []

    def start(**options):
        made.append(Notebook(warm.variables("s"), **options))
        assert made[-1].is_forked
        return made[-1]

    yield start
    for one in made:
        one.close()


def alive(pid):
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


CELLS = [
    "import matplotlib.pyplot as plt, numpy as np, pandas as pd",
    "pd.DataFrame({f'column_{i}': np.arange(100.0) for i in range(30)})",
    "figure, axes = plt.subplots()\naxes.plot([1, 2, 4], label='a')\naxes.legend();",
    "print(pd.get_option('display.max_columns'), plt.get_backend())\n{'a': 1}",
    "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'))",
    "import warnings\nwarnings.warn('careful')",
    "from tqdm.auto import tqdm\ntqdm.__module__",
]


def outputs(folder, variables):
    """Return the outputs of every cell, execution counts and addresses of temporary files aside."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    folder.mkdir()
    nbformat.write(notebook, folder / "in.ipynb")
    kernel = Kernel(folder, {**environment(), **variables}).start()
    try:
        kernel.execute(Execution(folder / "in.ipynb", folder / "out.ipynb", {}))
        assert isinstance(kernel._manager.provisioner.process, ForkedProcess) == bool(variables)
    finally:
        kernel.close()
    cells = json.loads((folder / "out.ipynb").read_text())["cells"]
    text = json.dumps([cell["outputs"] for cell in cells])
    return json.loads(__import__("re").sub(r"/tmp/ipykernel_\d+/\d+", "/tmp/cell", text))


def test_outputs_equal_those_of_a_cold_kernel_to_the_byte(warm, tmp_path):
    cold, forked = outputs(tmp_path / "cold", {}), outputs(tmp_path / "warm", warm.variables("s"))
    assert forked == cold
    assert "image/png" in json.dumps(cold[2])


def test_what_is_wanted_is_imported_and_the_project_is_not(kernel):
    loaded = kernel().value("sorted(__import__('sys').modules)")
    assert {"numpy", "pandas", "matplotlib.pyplot", "tqdm"} <= set(loaded)
    for name in ("quire", "tqdm.auto", "matplotlib_inline.backend_inline", "polars", "forkserver", "graph"):
        assert name not in loaded


def test_an_edit_of_the_projects_own_code_is_seen(kernel, tmp_path):
    (tmp_path / "own.py").write_text("value = 1")
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'lib'}"}
    server = ForkServer({**environment(), **path}).start().preload({"s": WANTS})
    try:
        first = Notebook(server.variables("s"), env=path)
        assert first.value("__import__('own').value") == 1
        (tmp_path / "own.py").write_text("value = 22")
        second = Notebook(server.variables("s"), env=path)
        assert second.value("__import__('own').value") == 22
        assert second.is_forked
        first.close()
        second.close()
    finally:
        server.close()


def test_random_numbers_differ_between_kernels(kernel):
    draw = "[__import__('random').random(), __import__('numpy').random.rand(), __import__('uuid').uuid4().hex]"
    one, other = kernel().value(draw), kernel().value(draw)
    assert not set(one) & set(other)


def test_folder_environment_group_and_arguments_are_right(kernel, tmp_path):
    one = kernel(cwd=str(tmp_path), env={"MARK": "here"})
    assert one.value("__import__('os').getcwd()") == str(tmp_path)
    assert one.value("__import__('os').environ['MARK']") == "here"
    assert one.value("[n for n in __import__('os').environ if n.startswith('QUIRE_WARM')]") == []
    pid = one.value("__import__('os').getpid()")
    assert pid == one.manager.provisioner.pid
    assert one.value("__import__('os').getpgrp()") == pid
    assert "ipykernel_launcher" in one.value("__import__('sys').argv[0]")
    assert one.value("__name__") == "__main__"
    assert one.value("__import__('gc').isenabled()") is True
    cold = Notebook({}, cwd=str(tmp_path))
    assert one.value("__import__('sys').path") == cold.value("__import__('sys').path")
    cold.close()


def test_what_a_process_writes_to_its_output_arrives(warm):
    code = f"""
    import os, sys
    from quire.flow.fork_server import use_provisioner
    from jupyter_client.manager import start_new_kernel
    use_provisioner()
    manager, client = start_new_kernel(env={{**os.environ, **{warm.variables("s")!r}}})
    assert type(manager.provisioner.process).__name__ == "ForkedProcess"
    client.execute("import os; os.write(1, b'to stdout'); os.write(2, b'to stderr')", reply=True, timeout=30)
    manager.shutdown_kernel()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "to stdout" in done.stdout
    assert "to stderr" in done.stderr


@pytest.mark.parametrize(("end", "code"), [("os._exit(7)", 7), ("os.kill(os.getpid(), 11)", -11)])
def test_the_exit_code_arrives(kernel, end, code):
    one = kernel()
    one.client.execute(f"import os; {end}")
    assert one.manager.provisioner.process.wait(20) == code


def test_interrupt_restart_and_shutdown_work(kernel, capfd):
    one = kernel()
    asked = one.client.execute("import time\nprint('asleep', flush=True)\ntime.sleep(60)")
    one.wait_until("stream", {"text": "asleep\n"}, asked)
    one.manager.interrupt_kernel()
    reply = one.client.get_shell_msg(timeout=20)
    assert reply["parent_header"]["msg_id"] == asked
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    one.wait_until("status", {"execution_state": "idle"}, asked)
    before = one.value("__import__('os').getpid()")
    one.manager.restart_kernel()
    one.client.wait_for_ready(timeout=30)
    after = one.value("__import__('os').getpid()")
    assert after != before
    one.manager.shutdown_kernel()
    assert not alive(after)
    assert "KeyboardInterrupt" not in capfd.readouterr().err


def test_a_kernel_dies_with_its_client(warm, until):
    code = f"""
    import os, time
    from quire.flow.fork_server import use_provisioner
    from jupyter_client.manager import start_new_kernel
    use_provisioner()
    manager, client = start_new_kernel(env={{**os.environ, **{warm.variables("s")!r}}})
    print(manager.provisioner.pid, flush=True)
    client.execute("import time\\nwhile True: time.sleep(1)")
    time.sleep(60)
    """
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    pid = int(client.stdout.readline())
    assert alive(pid)
    os.kill(client.pid, signal.SIGKILL)
    client.wait()
    until(lambda: not alive(pid), seconds=10)


def test_the_server_dies_with_its_owner_and_takes_its_socket_along(until):
    code = """
    import os, time
    from quire.flow.fork_server import ForkServer
    server = ForkServer().start().preload({"s": ["json"]})
    print(server._process.pid, server.variables("s") and server.socket, flush=True)
    time.sleep(60)
    """
    owner = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment(), stdout=subprocess.PIPE, text=True
    )
    pid, path = owner.stdout.readline().split()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    until(lambda: not alive(int(pid)), seconds=10)
    assert not Path(path).parent.exists()


def test_a_killed_server_does_not_lose_a_running_notebook_and_the_next_kernel_is_cold(caplog):
    server = ForkServer(environment()).start().preload({"s": WANTS})
    one = Notebook(server.variables("s"))
    assert one.is_forked
    variables = server.variables("s")
    os.kill(server._process.pid, signal.SIGKILL)
    server._process.wait()
    assert one.value("6 * 7") == 42
    other = Notebook(variables)
    assert not other.is_forked
    assert "an ordinary one starts" in caplog.text
    one.close()
    other.close()
    server.close()


def test_the_socket_is_private(warm):
    warm.variables("s")
    assert warm.socket.stat().st_mode & 0o077 == 0
    assert warm.socket.parent.stat().st_mode & 0o077 == 0


def test_another_environment_is_refused_and_an_ordinary_kernel_starts(warm, caplog):
    one = Notebook(warm.variables("s"), env={"OMP_NUM_THREADS": "3"})
    assert not one.is_forked
    assert one.value("__import__('os').environ['OMP_NUM_THREADS']") == "3"
    assert "the environment differs: OMP_NUM_THREADS" in caplog.text
    one.close()


THREADED = {
    "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()": "Python threads",
    # The threads of a socket bear the process's name until they have begun.
    "import time, zmq\nsocket = zmq.Context.instance().socket(zmq.PUB)\ntime.sleep(0.3)": "native threads: ZMQbg",
}


@pytest.mark.parametrize(("code", "words"), THREADED.items(), ids=["of Python", "of zmq"])
def test_a_module_that_starts_a_thread_is_refused(tmp_path, caplog, code, words):
    (tmp_path / "threaded.py").write_text(code)
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT / 'lib'}"}
    server = ForkServer({**environment(), **path}).start().preload({"s": ["threaded"]})
    one = Notebook(server.variables("s"), env=path)
    assert not one.is_forked
    assert words in caplog.text
    one.close()
    server.close()


def test_another_interpreter_is_refused(warm):
    variables = warm.variables("s")
    asked = {"arguments": [], "kernel": True, "wants": [], "environment": environment(), "folder": "/"}
    with pytest.raises(Refused, match="another interpreter: /usr/bin/true"):
        fork(variables[SOCKET], **asked, executable="/usr/bin/true", descriptors=[0, 1, 2])


@pytest.mark.parametrize("is_warm", [False, True], ids=["cold", "warm"])
def test_a_cell_that_takes_too_long_is_timed_out_and_its_kernel_ends(warm, tmp_path, is_warm):
    cells = ["x = 1", "import time\ntime.sleep(60)"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    kernel = Kernel(tmp_path, {**environment(), **(warm.variables("s") if is_warm else {})}).start()
    process = kernel._manager.provisioner.process
    assert isinstance(process, ForkedProcess) == is_warm
    with pytest.raises(TimedOut, match="longer than 1 s") as error:
        kernel.execute(Execution(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {}, cell_timeout_s=1))
    assert error.value.cell == 2
    kernel.close()
    assert not alive(process.pid)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not weigh sessions")
def test_a_kernel_gives_way_as_its_server_does_also_among_sessions(tmp_path):
    """The session of a forked kernel is new, and would be weighed as if it were not nice."""
    script = """
        import os
        from pathlib import Path
        from quire.flow.kernels import Kernel
        from quire.flow.fork_server import ForkServer, use_provisioner

        os.nice(5)
        use_provisioner()
        server = ForkServer().start().preload({"s": ["json"]})
        kernel = Kernel(Path.cwd(), {**os.environ, **server.variables("s")}).start()
        process = kernel._manager.provisioner.process
        print(type(process).__name__, Path(f"/proc/{process.pid}/autogroup").read_text(), end="")
        print(Path(f"/proc/{server._process.pid}/autogroup").read_text(), end="")
        kernel.close()
        server.close()
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    kernel, server = done.stdout.splitlines()
    assert kernel.startswith("ForkedProcess /autogroup-"), done.stderr
    assert kernel.endswith("nice 5")
    assert server.endswith("nice 5")


def test_nothing_stays_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = ForkServer(environment()).start().preload({"s": WANTS})
    kernel = Kernel(tmp_path, {**environment(), **server.variables("s")}).start()
    pid = kernel._manager.provisioner.pid
    kernel.close()
    server.close()
    assert list(tmp_path.iterdir()) == []
    assert not alive(pid)
    assert server._process.returncode is not None


@pytest.mark.slow
def test_all_that_the_notebooks_of_this_project_import_can_be_forked(tmp_path, caplog):
    """An upgrade that brings a thread at import fails here, loudly, instead of making every run cold."""
    from quire import config
    from quire.flow.graph import build
    from quire.flow.notebook import notebook_facts
    from quire.flow.source_graph import SourceGraph, package_root

    library = SourceGraph(package_root())
    graph = build(config.load("demo", root=ROOT), "train")
    wants = {name: library.imports(notebook_facts(task.notebook)) for name, task in graph.items()}
    assert {"pandas", "mlflow"} <= {
        name.partition(":")[0].partition(".")[0] for names in wants.values() for name in names
    }
    server = ForkServer(environment()).start().preload(wants)
    kernel = Notebook(server.variables("monitor"))
    assert kernel.is_forked, caplog.text
    kernel.close()
    server.close()
