"""The demo from the command line to a registered model, predictions, a monitoring result and a report of each step.

Then the same notebooks by hand: they run top to bottom on the latest run, from any folder, and touch nothing shared.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys

import pytest

STAGES = ["ingest", "validate", "explore", "train", "evaluate", "predict", "monitor"]


def record(project):
    return json.loads((project.runs[-1] / "run.json").read_text("utf-8"))


def artifact(project, stage, name):
    return json.loads((project.runs[-1] / "artifacts" / stage / f"{name}.json").read_text("utf-8"))


def test_every_stage_succeeded_and_left_a_notebook_and_a_report(demo):
    run = json.loads((demo.runs[0] / "run.json").read_text("utf-8"))
    assert run["status"] == "succeeded"
    assert list(run["stages"]) == STAGES
    for name, stage in run["stages"].items():
        assert stage["status"] == "succeeded", name
        assert (demo.runs[0] / stage["notebook"]).is_file()
        report = (demo.runs[0] / stage["report"]).read_text("utf-8")
        assert "settings = config.load" not in report
    assert (demo.runs[0] / "index.html").is_file()


def test_the_model_is_good_and_better_than_last_week(demo):
    evaluation = artifact(demo, "evaluate", "evaluation")
    candidate, baseline = evaluation["candidate"]["test"]["r2"], evaluation["baseline"]["test"]["r2"]
    assert candidate["value"] > 0.8
    assert candidate["low"] < candidate["value"] < candidate["high"]
    assert candidate["low"] > baseline["value"]


def test_the_model_is_registered_as_champion(demo):
    assert artifact(demo, "evaluate", "verdict")["promoted"] is True
    assert "version 1" in demo.quire("champion", "params/demo").stdout


def test_predictions_are_in_the_database_once(demo):
    with sqlite3.connect(demo.outputs / "quire.db") as database:
        rows, keys = database.execute("select count(*), count(distinct row_key) from prediction").fetchone()
    assert rows == keys == 7 * 24


def test_the_second_run_reuses_everything_and_a_changed_parameter_reruns_what_follows(demo):
    demo.quire("run", "params/demo")
    assert {stage["status"] for stage in record(demo)["stages"].values()} == {"reused"}

    demo.quire("run", "params/demo", "-p", "predict.chunk_rows=50")
    stages = record(demo)["stages"]
    assert [stages[name]["status"] for name in STAGES[:5]] == ["reused"] * 5
    assert stages["predict"]["status"] == "succeeded"
    assert "chunk_rows" in stages["predict"]["why"]


def test_scoring_takes_the_champion_and_trains_nothing(demo):
    demo.quire("run", "params/demo", "--workflow", "score")
    assert list(record(demo)["stages"]) == ["ingest", "validate", "predict", "monitor"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["-p", "train.estimater='linear'"], 2, ["estimater", "estimator"]),
        (["-p", "train.seed=many"], 2, ["train.seed", "int"]),
        (["-p", "trian.seed=1"], 2, ["trian", "train"]),
        (["--workflow", "tarin"], 2, ["tarin", "train"]),
        (["--as-of", "yesterday"], 2, ["yesterday", "2012-12-01"]),
    ],
)
def test_a_mistake_ends_the_run_before_anything_starts(demo, arguments, code, words):
    before = demo.runs
    done = demo.quire("run", "params/demo", *arguments, check=False)
    assert done.returncode == code
    assert all(word in done.stderr for word in words), done.stderr
    assert "Traceback" not in done.stderr
    assert demo.runs == before


def fingerprints(project):
    shared = [
        *project.outputs.glob("*.db"),
        *(path for path in (project.outputs / "runs").rglob("*") if path.is_file()),
    ]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in shared}


def test_every_notebook_runs_by_hand_and_touches_nothing_shared(demo):
    before = fingerprints(demo)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbmake",
            "--nbmake-timeout=180",
            "-q",
            "-p",
            "no:cacheprovider",
            "notebooks",
        ],
        cwd=demo.root,
        env={name: value for name, value in demo.environment.items() if name != "QUIRE_ROOT"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert "7 passed" in done.stdout, done.stdout + done.stderr
    assert fingerprints(demo) == before
    assert list((demo.outputs / "scratch" / "demo").iterdir())


def test_with_no_run_yet_it_says_which_command_to_run_first(demo, tmp_path):
    code = "from quire import artifacts, config; artifacts.open(config.load('churn')).load('train')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=demo.root / "notebooks",
        env=demo.environment | {"QUIRE_OUTPUTS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "`quire run params/churn` first" in done.stderr
