"""Use cases run whole in this process: the cells of the notebooks themselves, without a kernel for each stage."""

import ast
import contextlib
import json
import os
import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from quire import config
from quire.io import permissions
from quire.io.artifacts import Stopped

ROOT = Path(__file__).parents[1]
SEARCH = {"trials": 2, "folds": 2, "space": {"max_iter": [40]}}
OVERRIDES = {"search": SEARCH, "gate": {"max_segment_loss": None}, "resamples": 40}
"""Few trees and draws, and no floor: what is tested is what is said of a model, not how good it is."""


TOKEN = "of-the-tests"
"""What proves to a notebook that this process executes its stage."""


@dataclass
class Shown:
    """What the cells of one stage showed, in order, and the names that they set."""

    stage: str
    values: list = field(default_factory=list)
    names: dict = field(default_factory=dict)


@dataclass
class Executed:
    """One run: its folder, and what each of its stages showed."""

    folder: Path
    stages: dict


@dataclass(frozen=True)
class UseCase:
    """A use case in a folder of its own. displays: whether what cells show is also drawn, as a notebook does."""

    name: str
    root: Path
    dates: tuple = ("", "", "")
    overrides: dict = field(default_factory=dict)
    displays: bool = False

    def run(self, workflow, run_id, *, as_of="", fails_in="", **overrides):
        """Execute the stages of a workflow in order; the run's record says how it ended.

        fails_in: a stage in which an error ends the run.
        """
        with self.environment():
            settings = config.load(self.name)
            executed = Executed(settings.outputs / "runs" / run_id, {})
            executed.folder.mkdir(parents=True)
            record = {"params": self.name, "run_id": run_id, "workflow": workflow, "as_of": as_of or ""}
            record |= {"proof": permissions.proof(TOKEN), "stages": {}, "status": "running"}
            self._record(executed, record)
            ended = set()
            for name, stage in settings.workflow.selected(workflow).items():
                if name == fails_in:
                    self._record(executed, record | {"status": "failed"})
                    return executed
                if ended & set(stage.needs):
                    record["stages"][name] = {"status": "skipped"}
                    ended.add(name)
                    continue
                for part, values in _parts(stage):
                    record["stages"][name + part] = {"status": "running"}
                    self._record(executed, record)
                    sets = settings.params.get(name, {}) | OVERRIDES | self.overrides | overrides | values
                    try:
                        executed.stages[name + part] = execute(
                            self.root / "notebooks" / f"{stage.notebook}.ipynb",
                            {"params": self.name, "run_dir": str(executed.folder / "artifacts" / (name + part))}
                            | {"as_of": as_of}
                            | sets,
                            displays=self.displays,
                        )
                    except Stopped:
                        ended.add(name)
                    record["stages"][name + part] = {"status": "succeeded"}
            self._record(executed, record | {"status": "succeeded"})
            return executed

    def _record(self, executed, record):
        (executed.folder / "run.json").write_text(json.dumps(record), "utf-8")

    @contextlib.contextmanager
    def environment(self):
        """The environment of a project of its own, that of whoever runs the tests left out."""
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.startswith(("QUIRE_", "MLFLOW_"))]:
                patch.delenv(name)
            patch.setenv("QUIRE_ROOT", str(self.root))
            patch.setenv("QUIRE_RUN_TOKEN", TOKEN)
            patch.setenv("QUIRE_OUTPUTS", str(self.root / "outputs"))
            patch.setenv("QUIRE_DATA", str(self.root / "data"))
            yield


def _parts(stage):
    """Yield the name's end and the parameters of each part of a stage; one where it does not fan out."""
    if not stage.for_each:
        yield "", {}
    for name, values in stage.for_each.items():
        for value in values:
            yield f".{name}-{value}", {name: value}


@cache
def _cells(path):
    notebook = json.loads(path.read_text("utf-8"))
    return [
        ("".join(cell["source"]), set(cell["metadata"].get("tags", ())))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def execute(path, parameters, *, displays=False):
    """Execute the code cells of a notebook; parameters that it does not have are left out."""
    shown = Shown(path.stem)
    for source, tags in _cells(path):
        tree = ast.parse(source)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, f"{path.name}", "exec"), shown.names)
        if last is not None:
            shown.values.append(eval(compile(ast.Expression(last.value), path.name, "eval"), shown.names))
            if displays:
                _display(shown.values[-1])
        if "parameters" in tags:
            shown.names.update({name: value for name, value in parameters.items() if name in shown.names})
    return shown


def _display(value):
    """Make what a notebook shows of a value."""
    repr(value)
    for name in ("_repr_mimebundle_", "_repr_html_"):
        if hasattr(value, name):
            getattr(value, name)()


def make_use_case(root, name, data, store):
    """Return the use case ``name`` in the folder ``root``, or skip the test where its data is not there.

    data: the folder of the data sets that are not part of the project.
    """
    for folder in ("notebooks", "params"):
        shutil.copytree(ROOT / folder, root / folder)
    (root / "data").mkdir()
    (root / "outputs").mkdir()
    shutil.copy(store, root / "outputs" / "mlflow.db")
    return MAKERS[name](UseCase(name, root), data)


def _demo(case, _):
    path = case.root / "params" / case.name / "config.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["source"]["hours"] = 24 * 7 * 65
    path.write_text(yaml.safe_dump(document), "utf-8")
    end = pd.Timestamp("2023-06-01") + pd.Timedelta(weeks=65)
    return replace(case, dates=tuple((end - pd.Timedelta(weeks=weeks)).date().isoformat() for weeks in (2, 1, 0)))


def _bikes(case, data):
    frame = pd.read_csv(_file(data, "bike_sharing_hour.csv"))
    at = pd.to_datetime(frame["dteday"], format="%m/%d/%Y")
    frame[(at >= "2011-06-01") & (at < "2012-12-01")].to_csv(case.root / "data" / "bike_sharing_hour.csv", index=False)
    search = SEARCH | {"space": {"max_iter": [200]}}  # fewer trees do not beat the baseline
    return replace(case, dates=("2012-11-17", "2012-11-24", "2012-12-01"), overrides={"search": search})


def _churn(case, data):
    frame = pd.read_csv(_file(data, "telco_churn.csv"), dtype=str, keep_default_na=False)
    frame.head(3000).to_csv(case.root / "data" / "telco_churn.csv", index=False)
    return replace(case, dates=("2026-01-05", "2026-01-12", "2026-01-19"))


def _people(case, _):
    """A table without timestamps and dates: a run's time is when it started."""
    rng = np.random.default_rng(3)
    age = rng.integers(18, 90, 1500)
    frame = pd.DataFrame({"id": np.arange(1500) + 10_000, "age": age, "where": rng.choice(["US$1_a", "b", "c"], 1500)})
    frame["buys"] = np.where(rng.random(1500) < age / 110, "yes", "no")
    frame.to_csv(case.root / "data" / "people.csv", index=False)
    folder = case.root / "params" / "people"
    folder.mkdir()
    source = {"kind": "csv", "path": str(case.root / "data" / "people.csv")}
    schema = {
        "task": "binary",
        "positive": "yes",
        "segments": ["where"],
        "columns": {
            "id": {"type": "integer", "role": "key"},
            "age": {"type": "integer"},
            "where": {"type": "category"},
            "buys": {"type": "category", "role": "target"},
        },
    }
    for name, document in {"config": {"title": "People", "source": source}, "schema": schema, "params": {}}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    return case


def _file(data, name):
    path = Path(data) / name
    if not path.is_file():
        pytest.skip(f"{name} is not here: download it and point QUIRE_DATA to its folder, see README.")
    return path


MAKERS = {"demo": _demo, "segments": _demo, "bikes": _bikes, "churn": _churn, "people": _people}


class UseCases:
    """Use cases that were trained, and then monitored again, twice by ``score``; each made once."""

    def __init__(self, folder, store):
        self.folder, self.store, self.made = folder, store, {}
        self.data = os.environ.get("QUIRE_DATA") or ROOT / "data"

    def runs(self, name):
        """Return the use case, and its runs: trained; scored a week later; failed; scored again a week after that."""
        if name not in self.made:
            case = make_use_case(self.folder / name, name, self.data, self.store)
            first, second, third = case.dates
            self.made[name] = (
                case,
                [
                    case.run("train", "20260105T000000-aaaa", as_of=first),
                    case.run("score", "20260112T000000-bbbb", as_of=second, performance={"loss": 0.3}),
                    case.run("score", "20260119T000000-cccc", as_of=third, fails_in="predict"),
                    case.run("score", "20260119T010000-dddd", as_of=third),
                ],
            )
        return self.made[name]
