"""One pipeline, run in every way: the runner's time against that of the same cells as one Python script.

python benchmarks/runner.py [--rounds 3] [--ploomber .venv-ploomber] [--demo]

Five notebooks of an ordinary kind (data frames, plots, a model), the third and the fourth independent of each other.
All begin with the same imports, and have work enough that papermill's API takes about three times as long as the script
(`--rows`: with less work every tool's share grows). The ways take turns, so that a busy moment of the machine hits all
alike; medians and their ratios to the script's are printed as a table. Byte-code is compiled beforehand for all.
`quire` makes an HTML report of each notebook, hashes all artifacts and logs the run to MLflow, which is part of its
time; the others do none of it.

Ploomber and ploomber-engine want an environment of their own:
    python -m venv .venv-ploomber
    .venv-ploomber/bin/pip install ploomber ploomber-engine pandas scikit-learn seaborn ipykernel papermill
"""

import argparse
import compileall
import os
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

import nbformat
import yaml

IMPORTS = """import json
import joblib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import cross_val_score"""
WORK = {
    "load": [
        "rng = np.random.default_rng(0)\nhours = np.arange(ROWS)",
        "frame = pd.DataFrame({'hour': hours % 24, 'day': hours // 24 % 7, 'heat': rng.normal(size=hours.size)})",
        "frame['y'] = np.sin(frame.hour / 4) * 10 + frame.heat * 3 + rng.normal(size=hours.size)",
        "figure, axes = plt.subplots()\naxes.plot(frame.y[:500])",
        "frame.to_parquet(folder + '/frame.parquet')",
    ],
    "check": [
        "frame = pd.read_parquet(folder + '/frame.parquet')",
        "normal = stats.normaltest(frame.heat).pvalue",
        "assert not frame.isna().any().any()",
        "frame.describe()",
    ],
    "explore": [
        "frame = pd.read_parquet(folder + '/frame.parquet')",
        "grid = sns.pairplot(frame.sample(2000, random_state=0))",
        "figure, axes = plt.subplots()\nsns.boxplot(frame, x='hour', y='y', ax=axes)",
    ],
    "fit": [
        "frame = pd.read_parquet(folder + '/frame.parquet')",
        "X, y = frame[['hour', 'day', 'heat']], frame.y",
        "model = HistGradientBoostingRegressor(random_state=0)",
        "scores = cross_val_score(model, X, y, cv=4)",
        "joblib.dump(model.fit(X, y), folder + '/model.joblib')",
    ],
    "judge": [
        "model = joblib.load(folder + '/model.joblib')",
        "frame = pd.read_parquet(folder + '/frame.parquet')\nX, y = frame[['hour', 'day', 'heat']], frame.y",
        "importance = permutation_importance(model, X[:ROWS // 3], y[:ROWS // 3], n_repeats=5, random_state=0)",
        "json.dump(list(importance.importances_mean), open(folder + '/importance.json', 'w'))",
    ],
}
ROOT = Path(__file__).parents[1]
NEEDS = {"load": [], "check": ["load"], "explore": ["check"], "fit": ["check"], "judge": ["fit"]}


def work_on(rows):
    """Return each notebook's cells on so many rows."""
    return {name: [source.replace("ROWS", str(rows)) for source in cells] for name, cells in WORK.items()}


def cell(source, *tags):
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def plain_notebooks(folder, work):
    """Notebooks for every other tool: their files lie in ``folder``."""
    (folder / "work").mkdir(parents=True)
    for name in NEEDS:
        head = [cell(f"upstream = None\nproduct = None\nfolder = {str(folder / 'work')!r}", "parameters")]
        cells = [*head, *(cell(source) for source in (IMPORTS, *work[name]))]
        made = nbformat.v4.new_notebook(cells=cells)
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(made, folder / f"{name}.ipynb")
    lines = [f"folder = {str(folder / 'work')!r}", "import matplotlib; matplotlib.use('agg')"]
    lines += [source for name in NEEDS for source in (IMPORTS, *work[name])]
    (folder / "script.py").write_text("\n".join(lines))
    tasks = [
        {"source": f"{name}.ipynb", "name": name, "product": f"out/{name}.ipynb", "static_analysis": "disable"}
        for name in NEEDS
    ]
    (folder / "pipeline.yaml").write_text(yaml.safe_dump({"meta": {"extract_upstream": False}, "tasks": tasks}))
    return folder


def quire_project(folder, work):
    """The same cells as a project of `quire`: files go to the stage's folder, and are looked for by name."""
    (folder / "params" / "x").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    use_case = folder / "params" / "x"
    use_case.joinpath("config.yaml").write_text("source: {kind: demo}\n")
    schema = {"task": "regression", "columns": {"t": {"type": "number"}, "y": {"type": "number", "role": "target"}}}
    use_case.joinpath("schema.yaml").write_text(yaml.safe_dump(schema))
    use_case.joinpath("params.yaml").write_text("{}\n")
    stages = {name: {"notebook": name, "needs": needs} for name, needs in NEEDS.items()}
    workflow = {"stages": stages, "workflows": {"train": list(stages)}}
    (folder / "params" / "workflow.yaml").write_text(yaml.safe_dump(workflow, sort_keys=False))
    for name in NEEDS:
        setup = "from quire import artifacts, config\nsettings = config.load(params)\n"
        setup += "run = artifacts.open(settings, run_dir)\nfolder = str(run.folder)"
        cells = [cell('params = "x"\nrun_dir = ""', "parameters"), cell(setup, "setup")]
        cells = [*cells, cell(IMPORTS, "setup"), *(cell(as_artifacts(source), "chart") for source in work[name])]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "notebooks" / f"{name}.ipynb")
    return folder


def as_artifacts(source):
    source = source.replace("pd.read_parquet(folder + '/frame.parquet')", "run.load('frame')")
    return source.replace("joblib.load(folder + '/model.joblib')", "joblib.load(run.path('model.joblib'))")


PAPERMILL_API = """
import papermill
for name in {names!r}:
    papermill.execute_notebook(f"{{name}}.ipynb", f"out/{{name}}.ipynb", progress_bar=False)
"""
ENGINE = """
from ploomber_engine import execute_notebook
for name in {names!r}:
    execute_notebook(f"{{name}}.ipynb", f"out/{{name}}.ipynb")
"""


def demo_project(folder):
    """This project's demo, all seven notebooks of it."""
    for name in ("notebooks", "params"):
        shutil.copytree(ROOT / name, folder / name)
    return folder


def demo_ways(folder):
    """What is timed of the demo: name -> (command, folder)."""
    run = [sys.executable, "-m", "quire", "run", "params/demo", "--fresh", "--quiet"]
    return {"demo, warm": (run, folder), "demo, --cold": ([*run, "--cold"], folder)}


def ways(plain, project, ploomber):
    """What is timed: name -> (command, folder)."""
    names, python = list(NEEDS), sys.executable
    papermill = " && ".join(f"papermill --no-progress-bar {name}.ipynb out/{name}.ipynb" for name in names)
    nbconvert = "jupyter nbconvert --to notebook --execute --output-dir out " + " ".join(f"{n}.ipynb" for n in names)
    quire = [python, "-m", "quire", "run", "params/x", "--quiet"]
    found = {
        "one script": ([python, "script.py"], plain),
        "one script, OMP_NUM_THREADS=1": (["env", "OMP_NUM_THREADS=1", python, "script.py"], plain),
        "papermill, API": ([python, "-c", PAPERMILL_API.format(names=names)], plain),
        "papermill, command line": (["bash", "-c", papermill], plain),
        "nbconvert --execute": (["bash", "-c", nbconvert], plain),
        "quire, warm": ([*quire, "--fresh"], project),
        "quire, --cold": ([*quire, "--fresh", "--cold"], project),
        "quire, nothing changed": (quire, project),
    }
    if ploomber:
        other = str(ploomber / "bin")
        found["ploomber"] = ([f"{other}/ploomber", "build", "--force"], plain)
        found["ploomber, nothing changed"] = ([f"{other}/ploomber", "build"], plain)
        found["ploomber-engine"] = ([f"{other}/python", "-c", ENGINE.format(names=names)], plain)
    return found


def measure(command, folder):
    """Return the wall time of a command in seconds."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("QUIRE_")}
    environment |= {"QUIRE_ROOT": str(folder), "PYTHONWARNINGS": "ignore"}
    if not command[0].startswith(sys.prefix) and command[0] not in ("bash", "env"):
        environment["PATH"] = f"{Path(command[0]).parent}:{environment['PATH']}"
    started = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{command} ended {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=130_000, help="how heavy the work is")
    parser.add_argument("--ploomber", type=Path, help="an environment that has ploomber and ploomber-engine")
    parser.add_argument("--demo", action="store_true", help="time the demo warm and --cold instead")
    parser.add_argument("--only", default="", help="part of the names of the ways to time, comma-separated")
    options = parser.parse_args()
    compileall.compile_dir(sysconfig.get_paths()["purelib"], quiet=2, workers=0)
    if options.ploomber:
        packages = next(options.ploomber.resolve().glob("lib/python*/site-packages"))
        compileall.compile_dir(packages, quiet=2, workers=0)
    with tempfile.TemporaryDirectory() as scratch:
        work = work_on(options.rows)
        plain, project = plain_notebooks(Path(scratch) / "plain", work), quire_project(Path(scratch) / "quire", work)
        (plain / "out").mkdir()
        todo = ways(plain, project, options.ploomber.resolve() if options.ploomber else None)
        if options.demo:
            todo = demo_ways(demo_project(Path(scratch) / "demo"))
        wanted = ("one script", *filter(None, options.only.split(",")))
        if options.only:
            todo = {name: way for name, way in todo.items() if any(part in name for part in wanted)}
        for command, folder in todo.values():  # once each, not timed: caches, stores, what is learned
            measure(command, folder)
        times = {name: [] for name in todo}
        for _ in range(options.rounds):
            for name, (command, folder) in todo.items():
                times[name].append(measure(command, folder))
                print(f"{name}: {times[name][-1]:.1f} s", file=sys.stderr, flush=True)
        shutil.rmtree(plain / "out")
    first = next(iter(times))
    base = statistics.median(times[first])
    print(f"Median of {options.rounds}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print(f"| way | seconds | times {first} |\n|---|---:|---:|")
    for name, seconds in times.items():
        print(f"| {name} | {statistics.median(seconds):.1f} | {statistics.median(seconds) / base:.2f} |")


if __name__ == "__main__":
    main()
