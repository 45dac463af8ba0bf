"""By hand a notebook has the values that its stage has in a run; what a person changed in the cell wins."""

import json
import subprocess

import pytest
import yaml

from quire import config
from quire.errors import ConfigError
from quire.io import artifacts
from quire.io.notebook_values import cell_values

CELL = """params = "x"
run_dir = ""
as_of = ""
seed = 0  # of the search
share = 0.5
names: list = []
search: dict = {"trials": 3}
mode = None
on = True
"""
RUN = "20260101T000000000-aaaa"


def notebook(cell=CELL):
    cells = [{"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": cell.splitlines(keepends=True)}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


class Clone:
    def __init__(self, root):
        self.root = root
        for name in ("params/x", "notebooks"):
            (root / name).mkdir(parents=True)
        (root / "params/x/config.yaml").write_text("source: {kind: demo}\n")
        (root / "params/x/schema.yaml").write_text(
            "task: regression\ncolumns: {t: {type: number}, y: {type: number, role: target}}\n"
        )
        stages = {"fit": {"notebook": "40_fit"}, "part": {"notebook": "41_part", "for_each": {"seed": [7, 8]}}}
        workflow = {"stages": stages, "workflows": {"train": ["fit", "part"]}}
        (root / "params/workflow.yaml").write_text(yaml.safe_dump(workflow))
        self.file = root / "notebooks/40_fit.ipynb"
        self.file.write_text(notebook())
        (root / "notebooks/41_part.ipynb").write_text(notebook())
        self.params()

    def params(self, **values):
        (self.root / "params/x/params.yaml").write_text(yaml.safe_dump({"fit": values} if values else {}))

    def run(self, cell=CELL, **values):
        """Leave behind what a run of the notebook does."""
        folder = self.root / "outputs/runs" / RUN
        (folder / "notebooks").mkdir(parents=True)
        (folder / "notebooks/fit.ipynb").write_text(notebook(cell))
        (folder / "artifacts/fit").mkdir(parents=True)
        (folder / "artifacts/fit/x.json").write_text("1")
        default = {
            name: value
            for name, value in cell_values(notebook(cell)).items()
            if name not in ("params", "run_dir", "as_of")
        }
        record = {
            "params": "x", "status": "succeeded", "stages": {"fit": {"status": "succeeded"}},
            "parameters": {"fit": default | values},
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))

    def by_hand(self, name="40_fit", **changed):
        """Return the values of the notebook's variables after its setup cell, and what is said."""
        variables = cell_values(notebook()) | changed
        run = artifacts.open(config.load("x", root=self.root))
        variables.update(run.parameters(name, variables))
        return variables, str(run).splitlines()[1:]


@pytest.fixture
def clone(tmp_path, monkeypatch):
    for name in ("QUIRE_OUTPUTS", "QUIRE_RUN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Clone(tmp_path / "clone")


def test_params_yaml_gives_what_the_cell_leaves_at_its_default_and_types_are_kept(clone):
    given = {"seed": 3, "share": 1, "names": ["a"], "search": {"trials": 5, "space": {"depth": [2, None]}}, "on": False}
    clone.params(**given)
    clone.run(**given)
    variables, notes = clone.by_hand()
    assert {name: variables[name] for name in given} == given
    assert {name: type(variables[name]) for name in given} == {name: type(value) for name, value in given.items()}
    assert variables["mode"] is None
    assert notes == [
        "From params.yaml, fit: seed, share, names, search, on.", f"All parameters are those of run {RUN}.",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 9), ("search", {"trials": 4}), ("on", 1), ("mode", "fast"), ("share", 0)]
)
def test_what_a_person_changed_in_the_cell_wins_and_is_named(clone, name, value):
    clone.params(**{"seed": 3, name: 3 if name == "seed" else cell_values(notebook())[name]})
    clone.run(seed=3)
    variables, notes = clone.by_hand(**{name: value})
    assert variables[name] == value
    assert type(variables[name]) is type(value)
    assert f"{name} = {value!r} (the run: " in notes[-1]
    assert notes[-1].startswith(f"Not as in run {RUN}: ")


def test_what_was_given_on_the_command_line_of_the_run_is_named_as_different(clone):
    clone.params(seed=3)
    clone.run(seed=11)
    variables, notes = clone.by_hand()
    assert variables["seed"] == 3
    assert notes == ["From params.yaml, fit: seed.", f"Not as in run {RUN}: seed = 3 (the run: 11)."]


def test_the_executed_notebook_opened_by_hand_keeps_the_values_of_its_run(clone):
    clone.params(seed=3)
    clone.run(seed=11)
    variables, notes = clone.by_hand(seed=11)  # papermill's cell sets it
    assert variables["seed"] == 11
    assert notes == [f"All parameters are those of run {RUN}."]


def test_with_no_run_yet_the_last_commit_says_what_the_default_was(clone):
    clone.params(seed=3, share=0.25)
    git = ["git", "-C", str(clone.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    clone.file.write_text(notebook(CELL.replace("seed = 0", "seed = 5")))  # as JupyterLab saves it
    variables, notes = clone.by_hand(seed=5)
    assert (variables["seed"], variables["share"]) == (5, 0.25)
    assert notes == ["From params.yaml, fit: share.", "Not as in params.yaml: seed = 5 (params.yaml: 3)."]


def test_a_default_that_was_edited_and_then_run_is_no_change_by_hand(clone):
    clone.params(seed=3)
    clone.run(cell=CELL.replace("share = 0.5", "share = 0.75"), seed=3)
    clone.file.write_text(notebook(CELL.replace("share = 0.5", "share = 0.75")))
    assert clone.by_hand(share=0.75)[1] == ["From params.yaml, fit: seed.", f"All parameters are those of run {RUN}."]


def test_a_stage_that_fans_out_has_the_values_of_its_first_part(clone):
    assert clone.by_hand("41_part")[0]["seed"] == 7


def test_a_notebook_of_no_stage_keeps_its_defaults(clone):
    clone.params(seed=3)
    variables, notes = clone.by_hand("99_other")
    assert (variables["seed"], notes) == (0, [])


def test_a_name_that_the_notebook_does_not_have_is_refused_with_the_near_one(clone):
    clone.params(sead=3)
    with pytest.raises(ConfigError, match=r"fit.sead is no parameter of this notebook.*Did you mean 'seed'"):
        clone.by_hand()


def test_the_settings_are_not_changed_through_a_notebooks_variable(clone):
    clone.params(search={"trials": 5})
    settings = config.load("x", root=clone.root)
    variables = cell_values(notebook())
    variables.update(artifacts.open(settings).parameters("40_fit", variables))
    variables["search"]["trials"] = 1
    assert settings.params["fit"]["search"] == {"trials": 5}
