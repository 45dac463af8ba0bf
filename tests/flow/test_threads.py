"""A kernel computes on as many cores as its stage has for itself."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client.provisioning import KernelProvisionerFactory

from quire.flow.context import NO_TELEMETRY
from quire.flow.fork_server import is_possible, use_provisioner, warm_kernels
from quire.flow.kernels import Execution, Kernel
from quire.flow.threads import THREADS

ENVIRONMENT = {**os.environ, **NO_TELEMETRY, "PYTHONPATH": str(Path(__file__).parents[2] / "lib"), THREADS: "1"}
CELLS = [
    "import json, os, subprocess, sys",
    "import numpy, pyarrow, threadpoolctl",
    "pools = [pool['num_threads'] for pool in threadpoolctl.threadpool_info()]\n"
    "child = subprocess.check_output([sys.executable, '-c', 'import os; print(os.environ[\"OMP_NUM_THREADS\"])'])\n"
    "print(json.dumps([max(pools), pyarrow.cpu_count(), int(child)]))",
    "print(json.dumps(sorted(name for name in dir() if not name.startswith('_'))))",
]


@pytest.fixture(params=["cold", "warm"])
def variables(request):
    if request.param == "cold":
        yield {}
        return
    if not is_possible():
        pytest.skip("kernels are forked on Linux with pidfds only")
    factory = KernelProvisionerFactory.instance()
    before = factory.default_provisioner_name
    assert use_provisioner()
    with warm_kernels(["numpy", "pyarrow"], ENVIRONMENT) as found:
        yield found
    factory.default_provisioner_name = before


@pytest.mark.parametrize("count", [0, 1, 2])
def test_cells_compute_in_as_many_threads_as_are_given_and_see_nothing_of_it(tmp_path, variables, count):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(notebook, tmp_path / "in.ipynb")
    kernel = Kernel(tmp_path, {**ENVIRONMENT, **variables}).start()
    try:
        kernel.execute(Execution(tmp_path / "in.ipynb", tmp_path / "out.ipynb", {}, threads=count))
    finally:
        kernel.close()
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    found, names = (json.loads(cell.outputs[0].text) for cell in cells[-2:])
    assert found == [min(max(1, count), os.cpu_count()), max(1, count), max(1, count)]
    plain = {"json", "os", "subprocess", "sys", "numpy", "pyarrow", "threadpoolctl", "pools", "child"}
    assert set(names) - {"In", "Out", "exit", "quit", "get_ipython", "open"} == plain
    assert [cell.execution_count for cell in cells] == [1, 2, 3, 4]


def test_a_run_says_on_how_many_cores_each_notebook_computed(project, monkeypatch):
    monkeypatch.delenv(THREADS, raising=False)
    project.stage("a", f"import os\nrun.save('seen', {{'threads': os.environ['{THREADS}']}})")
    result = project.run()
    assert result.record["stages"]["a"]["threads"] == os.cpu_count()
    assert project.artifact(result, "a", "seen") == {"threads": str(os.cpu_count())}
