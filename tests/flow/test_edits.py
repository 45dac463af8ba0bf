"""A package that is edited: the stages whose code can reach the edit run again, and no others."""

import json
import shutil
from pathlib import Path

import pytest

import quire


@pytest.fixture
def package(project, monkeypatch):
    """A copy of the package for the project's processes to import; returns its folder."""
    folder = project.root / "lib" / "quire"
    shutil.copytree(Path(quire.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    return folder


def run(project, *options):
    done = project.process("run", "params/x", "--no-publish", "--quiet", *options)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors
    return {name: stage["status"] for name, stage in project.latest()["stages"].items()}


def append(path, text):
    path.write_text(path.read_text() + text)


@pytest.mark.slow
def test_an_edited_module_reruns_the_stages_that_reach_it_and_no_others(project, package):
    project.stage("a", 'from quire.page import lines\nrun.save("file", lines.__file__)')
    project.stage("b", "from quire.page import dates", needs=["a"])
    project.stage("c", "from quire.config import units", needs=["a"])
    assert set(run(project).values()) == {"succeeded"}
    told = (newest(project) / "artifacts" / "a" / "file.json").read_text()
    assert json.loads(told) == str(package / "page" / "lines.py")

    append(package / "page" / "dates.py", "\n# A remark.\n")
    assert set(run(project).values()) == {"reused"}

    append(package / "page" / "dates.py", "\nEDITED = True\n")
    assert run(project) == {"a": "reused", "b": "succeeded", "c": "reused"}
    why = json.loads((newest(project) / "run.json").read_text())["stages"]["b"]["why"]
    assert why == "changed: quire.page.dates"


def newest(project):
    return sorted((project.outputs / "runs").iterdir())[-1]
