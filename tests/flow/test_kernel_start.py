"""What a kernel of a run starts with: this interpreter, nothing of the user's own, modules beside the notebook."""

import json
import sys
from datetime import UTC, datetime

import pytest

from quire import config
from quire.errors import ConfigError
from quire.flow.context import Request
from quire.flow.run import prepare

pytestmark = pytest.mark.slow

SETS = {
    "item": "import os\nos.environ['MPLBACKEND'] = 'agg'\nos.environ['MPLCONFIGDIR'] = os.path.abspath('mpl')",
    "update": "import os\nos.environ.update(MPLBACKEND='agg', MPLCONFIGDIR=os.path.abspath('mpl'))",
    "env": "%env MPLBACKEND=agg\nimport os\nos.environ.setdefault('MPLCONFIGDIR', os.path.abspath('mpl'))",
    "module": "import acme",
    "loop": "import os\nfor k, v in {'MPLBACKEND': 'agg', 'MPLCONFIGDIR': os.path.abspath('mpl')}.items():\n"
    "    os.environ[k] = v",
}
SEEN = "import matplotlib\nrun.save('{name}', [matplotlib.get_backend(), matplotlib.get_configdir()])"


@pytest.fixture(scope="module")
def surroundings(shared_project, tmp_path_factory):
    """A run among a kernelspec, start-up files and settings of the user's own."""
    project = shared_project
    folder = tmp_path_factory.mktemp("user")
    spec = folder / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps({"argv": ["/nowhere/python", "-m", "x"], "display_name": "P", "language": "python"})
    )
    startup = folder / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("STARTED = 'by IPython'\n")
    (startup.parent / "ipython_config.py").write_text(
        "c.InteractiveShellApp.exec_lines = [\"STARTED = 'by settings'\"]\n"
    )
    (folder / "start.py").write_text("STARTED = 'by PYTHONSTARTUP'\n")

    (project.root / "lib" / "acme").mkdir(parents=True)
    (project.root / "lib" / "acme" / "__init__.py").write_text(
        "import os\nos.environ['MPLBACKEND'] = 'agg'\nos.environ['MPLCONFIGDIR'] = os.path.abspath('mpl')\n"
    )
    for name, code in SETS.items():
        path = "import sys\nsys.path.insert(0, 'lib')\n" if name == "module" else ""
        project.stage(name, path + code, SEEN.format(name=name))
    project.stage("plain", "import matplotlib, sys\nrun.save('plain', [sys.executable, 'STARTED' in globals()])")
    project.stage("beside", "import helpers_here\nrun.save('beside', helpers_here.X)")
    (project.root / "notebooks" / "helpers_here.py").write_text("X = 5\n")
    project.stage("odd", "run.save('odd', [x[1], y == {'a', 'b'}])", parameters="x = {1: 'a'}\ny = {'a', 'b'}")
    path = project.root / "notebooks" / "odd.ipynb"
    content = json.loads(path.read_text())
    content["cells"][-1]["metadata"] = {"tags": None}
    content["cells"][-2]["metadata"]["tags"] = "setup"
    content["cells"][0]["metadata"] = None
    path.write_text(json.dumps(content))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("PYTHONSTARTUP", str(folder / "start.py"))
        yield project, project.run(jobs=2), project.run(jobs=2, fresh=True, cold=True)


def test_all_stages_succeed_warm_and_cold(surroundings):
    project, *results = surroundings
    for result in results:
        assert set(project.statuses(result).values()) == {"succeeded"}, result.failures


@pytest.mark.parametrize("name", SETS)
def test_variables_that_a_cell_sets_act_the_same_in_a_warm_run_and_say_so(surroundings, name):
    project, warm, cold = surroundings
    seen = project.artifact(warm, name, name)
    assert seen == project.artifact(cold, name, name) == ["agg", str(project.root / "mpl")]
    stage = warm.record["stages"][name]
    assert stage["cold"].startswith("starts cold, since its code sets ")
    assert stage["why"].endswith(stage["cold"])


def test_the_kernel_is_of_this_interpreter_and_nothing_of_the_user_is_executed(surroundings):
    project, *results = surroundings
    for result in results:
        assert project.artifact(result, "plain", "plain") == [sys.executable, False]
    assert "cold" not in results[0].record["stages"]["plain"]


def test_a_module_beside_the_notebook_is_found(surroundings):
    project, warm, cold = surroundings
    assert project.artifact(warm, "beside", "beside") == project.artifact(cold, "beside", "beside") == 5


def test_defaults_that_papermill_would_change_stay_as_they_are_and_odd_metadata_do_not_matter(surroundings):
    project, warm, _ = surroundings
    assert project.artifact(warm, "odd", "odd") == ["a", True]
    assert "x" not in warm.record["parameters"]["odd"]


@pytest.mark.parametrize(
    "code",
    [
        "open('table.csv')",
        "import pandas as pd\npd.read_csv('table.csv')",
        "from pathlib import Path\nPath('deep/table.csv').read_text()",
        "NAME = './table.csv'\nopen(NAME)",
        "open('../notebooks/table.csv')",
    ],
)
def test_a_path_that_only_JupyterLab_would_find_is_refused_before_the_first_kernel(project, code):
    project.stage("a", code)
    for name in ("table.csv", "deep/table.csv"):
        path = project.root / "notebooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    with pytest.raises(
        ConfigError, match=r"a\.ipynb: '.*table\.csv' lies beside the notebook.*Write settings\.root / 'notebooks/"
    ):
        project.run()
    assert not (project.outputs / "runs").exists()


@pytest.mark.parametrize(
    "code",
    [
        "run.save('a', 1)\nrun.load('table.csv') if False else None",
        "(settings.root / 'notebooks' / 'table.csv').read_text()",
        "print(f'table.csv')\nopen('data.csv')",
        "NAME = 'table.csv'\n(settings.root / 'notebooks' / NAME).read_text()",
        "import os\nos.chdir('notebooks')\nopen('table.csv')",
    ],
)
def test_a_path_that_a_run_finds_is_not_refused(project, code):
    project.stage("a", code)
    (project.root / "notebooks" / "table.csv").write_text("x")
    (project.root / "data.csv").write_text("x")
    prepare(config.load("x", root=project.root), Request("x"), datetime.now(UTC), print)
