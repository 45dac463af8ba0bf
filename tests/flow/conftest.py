"""Small projects made of small notebooks, executed in real kernels."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import pytest
import yaml

from quire.flow.context import Request
from quire.flow.run import run

SETUP = """
from quire import artifacts, config
settings = config.load(params)
run = artifacts.open(settings, run_dir)
"""


@dataclass
class Project:
    """A project in a folder; `x` is its use case."""

    root: Path
    stages: dict = field(default_factory=dict)

    @property
    def outputs(self):
        return self.root / "outputs"

    def stage(self, name, *cells, parameters="", needs=(), **options):
        """Write a notebook and its place in the workflow; a cell is code, or ("markdown", text)."""
        self.notebook(name, *cells, parameters=parameters)
        self.stages[name] = {"notebook": name, "needs": list(needs), **options}
        return self.write()

    def notebook(self, name, *cells, parameters=""):
        head = [
            ("markdown", f"# {name}"),
            ("parameters", f'params = "x"\nrun_dir = ""\n{parameters}'),
            ("setup", SETUP),
        ]
        made = nbformat.v4.new_notebook()
        for cell in [*head, *cells]:
            tag, text = cell if isinstance(cell, tuple) else ("work", cell)
            text = textwrap.dedent(text).strip()
            if tag == "markdown":
                made.cells.append(nbformat.v4.new_markdown_cell(text))
            else:
                made.cells.append(nbformat.v4.new_code_cell(text, metadata={"tags": [tag]}))
        (self.root / "notebooks").mkdir(exist_ok=True)
        nbformat.write(made, self.root / "notebooks" / f"{name}.ipynb")

    def write(self, **workflows):
        workflow = {"stages": self.stages, "workflows": {"train": list(self.stages), **workflows}}
        (self.root / "params" / "workflow.yaml").write_text(yaml.safe_dump(workflow, sort_keys=False))
        return self

    def params(self, **sections):
        (self.root / "params" / "x" / "params.yaml").write_text(yaml.safe_dump(sections))
        return self

    def run(self, *, now=None, listen=None, **request):
        asked = Request(params="x", **{"publish": False, **request})
        return run(asked, root=self.root, now=now or datetime.now(UTC), listen=listen)

    def statuses(self, result):
        return {name: stage["status"] for name, stage in result.record["stages"].items()}

    def artifact(self, result, stage, name):
        return json.loads((result.folder / "artifacts" / stage / f"{name}.json").read_text())

    def process(self, *arguments, **options):
        """Start ``quire`` in a process of its own."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("QUIRE_")} | {
            "QUIRE_ROOT": str(self.root)
        }
        return subprocess.Popen(
            [sys.executable, "-m", "quire", *arguments],
            cwd=self.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def latest(self):
        folders = sorted((self.outputs / "runs").glob("*/run.json"))
        return json.loads(folders[-1].read_text())

    def kernels(self):
        """Process ids of the kernels that belong to this project, and of the process that warm ones are forked from."""
        mark = f"QUIRE_ROOT={self.root}".encode()
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes()
                is_kernel = b"ipykernel" in command or b"forkserver.py" in command
                if is_kernel and mark in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


def make_project(root):
    (root / "params" / "x").mkdir(parents=True)
    (root / "params" / "x" / "config.yaml").write_text("source: {kind: demo}\n")
    schema = {"task": "regression", "columns": {"t": {"type": "number"}, "y": {"type": "number", "role": "target"}}}
    (root / "params" / "x" / "schema.yaml").write_text(yaml.safe_dump(schema))
    return Project(root).params()


@pytest.fixture(scope="module", autouse=True)
def _no_settings_from_outside():
    """Of the module, so that it acts before the projects that a module's tests share."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("QUIRE_ROOT", "QUIRE_OUTPUTS", "QUIRE_ALIAS", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path / "project")


@pytest.fixture(scope="module")
def shared_project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("shared") / "project")


def wait_until(condition, *, seconds=60):
    """Return what ``condition`` returns as soon as it is true; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{condition} did not come true within {seconds} s")


@pytest.fixture
def until():
    return wait_until


@pytest.fixture
def kill():
    return lambda process: os.kill(process.pid, signal.SIGKILL)
