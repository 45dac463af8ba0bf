"""Which model is used, and since when, as a person asks for it at the terminal."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import Ridge

from quire import artifacts, config
from quire.cli.main import main
from quire.io import tracking

ROOT = Path(__file__).parents[2]
RUN = "20260301T000000000-aaaa"


@pytest.fixture
def settings(tmp_path, monkeypatch, tracking_store):
    (tmp_path / "outputs").mkdir()
    shutil.copy(tracking_store, tmp_path / "outputs" / "mlflow.db")
    for name in ("MLFLOW_TRACKING_URI", "QUIRE_ALIAS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUIRE_OUTPUTS", str(tmp_path / "outputs"))
    monkeypatch.setenv("QUIRE_ROOT", str(ROOT))
    return config.load("demo", root=ROOT)


def quire(*arguments):
    return CliRunner().invoke(main, arguments)


def make_run(settings, run_id=RUN, **verdict):
    """Leave behind what train and evaluate leave: a candidate, its evaluation and the gate's verdict."""
    folder = settings.outputs / "runs" / run_id
    train, evaluate = (artifacts.open(settings, str(folder / "artifacts" / name)) for name in ("train", "evaluate"))
    X = pd.DataFrame({"temp": np.arange(20.0)})
    candidate = tracking.open(settings).log_candidate(
        train, Ridge().fit(X, X["temp"]), params={"estimator": "linear"}, metrics={"r2": 0.9}, input_example=X.head(2)
    )
    train.save("candidate", candidate | {"params": {"estimator": "linear"}, "metrics": {"r2": 0.9}})
    evaluate.save("evaluation", {"candidate": {"test": {"r2": {"value": 0.91, "low": 0.9, "high": 0.92}}}})
    reasons = [{"rule": "floor", "holds": False, "text": "r2 0.9 misses the floor of 0.95.", "note": False}]
    evaluate.save(
        "verdict", {"passed": True, "promote": False, "promoted": False, "same": False, "reasons": reasons} | verdict
    )
    record = {"run_id": run_id, "params": settings.name, "status": "succeeded", "stages": {}}
    (folder / "run.json").write_text(json.dumps(record))
    return candidate


def test_with_no_champion_it_says_how_to_get_one(settings):
    done = quire("champion", "params/demo")
    assert done.exit_code == 0
    assert "has no champion yet" in done.output
    assert "quire run params/demo" in done.output


def test_a_candidate_that_waits_is_approved_with_what_the_evaluation_found(settings):
    make_run(settings)
    done = quire("promote", "params/demo", "--reason", "looks right")
    assert done.exit_code == 0, done.output
    assert "Version 1 of demo is champion now." in done.output
    shown = quire("champion", "params/demo").output
    assert "demo version 1" in shown
    assert "looks right" in shown
    assert re.search(r"r2 +0.91 +0.9\n", shown)
    assert RUN in shown


def test_a_candidate_that_the_gate_refused_needs_force(settings):
    make_run(settings, passed=False)
    done = quire("promote", "params/demo")
    assert done.exit_code == 4
    assert "misses the floor of 0.95" in done.output
    assert "--force" in done.output
    assert quire("promote", "params/demo", "--force").exit_code == 0


def test_a_candidate_that_was_promoted_already_is_not_promoted_again(settings):
    make_run(settings, promoted=True, version="7")
    done = quire("promote", "params/demo")
    assert done.exit_code == 4
    assert "was promoted by the gate, as version 7" in done.output


def test_without_a_run_it_says_which_command_makes_one(settings):
    done = quire("promote", "params/demo")
    assert done.exit_code == 4
    assert "No run of demo with a candidate" in done.output


def test_a_run_that_is_not_there_is_named(settings):
    assert "No run 2020 in" in quire("promote", "params/demo", "--run", "2020").output


def test_rollback_goes_to_the_version_before_and_promote_takes_any_version(settings):
    for number in (1, 2):
        make_run(settings, run_id=f"2026030{number}T000000000-aaaa")
        assert quire("promote", "params/demo").exit_code == 0
    done = quire("rollback", "params/demo", "--reason", "bad week")
    assert "Version 1 of demo is champion now; before it: version 2." in done.output
    assert "Version 2 of demo is champion now" in quire("promote", "params/demo", "--version", "2").output
    assert "was champion already; nothing changed" in quire("promote", "params/demo", "--version", "2").output
    shown = quire("champion", "params/demo").output
    assert "version 1    rollback  bad week" in shown
    assert "Other versions: 1." in shown


def test_rollback_with_nothing_before_is_an_error(settings):
    make_run(settings)
    quire("promote", "params/demo")
    done = quire("rollback", "params/demo")
    assert done.exit_code == 4
    assert "no earlier champion" in done.output


def test_machines_get_json(settings):
    make_run(settings)
    assert json.loads(quire("champion", "params/demo", "--json").output) == {
        "model": "demo",
        "champion": None,
        "history": [],
    }
    quire("promote", "params/demo", "--reason", "good")
    told = json.loads(quire("champion", "params/demo", "--json").output)
    assert told["champion"]["version"] == "1"
    assert told["champion"]["metrics"] == {"r2": 0.9, "test_r2": 0.91}
    assert [event["reason"] for event in told["history"]] == ["good"]
