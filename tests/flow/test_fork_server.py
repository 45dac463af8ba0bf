import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from quire.flow.context import Drivers, Request
from quire.flow.fork_server import ForkServer, ForkServerPool, is_possible
from quire.flow.run import run

pytestmark = pytest.mark.skipif(not is_possible(), reason="kernels are forked on Linux only")


def test_a_server_that_is_told_nothing_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    server = ForkServer().start()
    assert len(list(tmp_path.iterdir())) == 1
    server.close()
    assert list(tmp_path.iterdir()) == []
    assert server._process.returncode is not None


def test_a_server_that_is_told_nothing_ends_with_its_owner(until):
    code = """
    import time
    from quire.flow.fork_server import ForkServer
    server = ForkServer().start()
    print(server._process.pid, server.socket.parent, flush=True)
    time.sleep(60)
    """
    owner = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True)
    pid, folder = owner.stdout.readline().split()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    until(lambda: not Path(f"/proc/{pid}").exists() and not Path(folder).exists(), seconds=30)


def test_a_server_that_was_up_before_its_run_was_prepared_forks_the_runs_kernels(project):
    project.stage("a", "import os\nrun.save('made', [os.getppid(), os.environ['QUIRE_ROOT']])")
    with ForkServerPool() as fork_servers:
        pid = fork_servers.server()._process.pid
        result = run(Request(params="x", publish=False), root=project.root, drivers=Drivers(fork_servers=fork_servers))
        assert project.artifact(result, "a", "made") == [pid, str(project.root)]


def test_a_fresh_run_that_is_refused_leaves_no_process_and_no_folder(project, tmp_path):
    project.stage("a", "run.save('made', seed)", parameters="seed: int = 1")
    folder = tmp_path / "temporary"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        done = project.process("run", "params/x", "--fresh", "-p", "a.sed=2")
    assert "seed" in done.communicate()[1]
    assert done.returncode == 2
    assert list(folder.iterdir()) == []
    assert project.kernels() == []
