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


def make_run(settings, run_id=RUN, fingerprint="", **verdict):
    """Leave behind what train and evaluate leave: a candidate, its evaluation and the gate's verdict."""
    folder = settings.outputs / "runs" / run_id
    train, evaluate = (
        artifacts.open_stage(settings, str(folder / "artifacts" / name)) for name in ("train", "evaluate")
    )
    X = pd.DataFrame({"temp": np.arange(20.0)})
    candidate = tracking.open(settings).log_candidate(
        train, Ridge().fit(X, X["temp"]), params={"estimator": "linear"}, metrics={"r2": 0.9}, input_example=X.head(2),
        tags={tracking.FINGERPRINT: fingerprint or run_id},
    )  # fmt: skip
    train.save("candidate", candidate | {"params": {"estimator": "linear"}, "metrics": {"r2": 0.9}})
    evaluate.save("evaluation", {"candidate": {"test": {"r2": {"value": 0.91, "low": 0.9, "high": 0.92}}}})
    reasons = [{"rule": "floor", "holds": False, "text": "r2 0.9 misses the floor of 0.95.", "note": False}]
    evaluate.save(
        "verdict", {"passed": True, "promote": False, "promoted": False, "same": False, "reasons": reasons} | verdict
    )
    record = {"run_id": run_id, "params": settings.name, "status": "succeeded", "stages": {}}
    (folder / "run.json").write_text(json.dumps(record))
    return candidate


@pytest.fixture
def copy_to_colleague(settings, tmp_path, monkeypatch, tracking_store):
    """Copy the runs into outputs whose registry knows none of them, and go on there."""

    def copy():
        outputs = tmp_path / "colleague"
        shutil.copytree(settings.outputs / "runs", outputs / "runs")
        shutil.copy(tracking_store, outputs / "mlflow.db")
        monkeypatch.setenv("QUIRE_OUTPUTS", str(outputs))
        return outputs

    return copy


def test_a_candidate_that_is_the_same_model_as_the_champion_is_not_registered_again(settings):
    make_run(settings, fingerprint="same")
    quire("promote", "params/demo")
    make_run(settings, run_id="20260302T000000000-bbbb", fingerprint="same", same=True, passed=False, version="1")
    done = quire("promote", "params/demo", "--force")
    assert "The candidate of run 20260302T000000000-bbbb is the champion already, as version 1." in done.output


def test_the_candidate_of_a_run_that_logged_nothing_is_registered_once(settings):
    make_run(settings)
    folder = settings.outputs / "runs" / RUN / "artifacts" / "train"
    kept = json.loads((folder / "candidate.json").read_text())
    (folder / "candidate.json").write_text(json.dumps(kept | {"run_id": None, "model_uri": None}))
    assert "Version 1 of demo is champion now." in quire("promote", "params/demo").output
    assert "is the champion already, as version 1" in quire("promote", "params/demo").output


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


def test_a_candidate_that_the_registry_holds_already_is_not_promoted_again(settings):
    make_run(settings)
    quire("promote", "params/demo")
    done = quire("promote", "params/demo")
    assert done.exit_code == 4
    assert f"The candidate of run {RUN} is the champion already, as version 1." in done.output
    make_run(settings, run_id="20260302T000000000-bbbb")
    quire("promote", "params/demo")
    done = quire("promote", "params/demo", "--run", "aaaa", "--force")
    assert "is version 1 already. To make it champion: `quire promote params/demo --version 1`." in done.output


@pytest.mark.parametrize(
    "verdict", [{"promoted": True, "version": "7"}, {"same": True, "version": "7", "passed": False}]
)
def test_a_run_of_another_registry_is_not_believed_and_can_be_registered_where_its_files_are_whole(
    settings, copy_to_colleague, verdict
):
    make_run(settings, **verdict)
    copy_to_colleague()
    done = quire("promote", "params/demo", "--run", "aaaa")
    assert done.exit_code == 4
    assert "this registry has no version of it" in done.output
    assert f"`quire promote params/demo --run {RUN} --force` registers it here" in done.output
    done = quire("promote", "params/demo", "--run", "aaaa", "--force")
    assert "Version 1 of demo is champion now." in done.output


def test_a_run_of_another_registry_that_is_not_whole_is_refused_with_what_is_damaged(settings, copy_to_colleague):
    make_run(settings, promoted=True, version="7")
    folder = copy_to_colleague() / "runs" / RUN
    record = json.loads((folder / "run.json").read_text())
    record["stages"] = {
        "train": {"status": "succeeded", "artifacts": [{"name": "candidate.json", "sha256": "0", "bytes": 1}]}
    }
    (folder / "run.json").write_text(json.dumps(record))
    done = quire("promote", "params/demo", "--force")
    assert done.exit_code == 4
    assert "not as they were when the run ended (train/candidate.json)" in done.output
    shutil.rmtree(folder / "artifacts" / "train" / "model")
    assert "(model, train/candidate.json)" in quire("promote", "params/demo", "--force").output


def test_history_says_who_moved_the_alias_and_by_which_command(settings, monkeypatch):
    monkeypatch.setenv("QUIRE_USER", "ann")
    for run_id in ("20260301T000000000-aaaa", "20260302T000000000-bbbb"):
        make_run(settings, run_id=run_id)
        assert quire("promote", "params/demo", "--run", run_id[-4:]).exit_code == 0
    monkeypatch.setenv("QUIRE_USER", "bob")
    quire("rollback", "params/demo", "--reason", "bad week")
    shown = quire("champion", "params/demo").output
    assert "bob (`quire rollback params/demo`)" in shown
    assert "ann (`quire promote params/demo --run 20260302T000000000-bbbb`)" in shown
    content = json.loads(quire("champion", "params/demo", "--json").output)
    assert [event["by"] for event in content["history"]] == ["ann", "ann", "bob"]
    assert content["history"][-1]["command"] == "quire rollback params/demo"
    assert content["champion"]["tags"]["quire.moved_by"] == "bob"
    quire("promote", "params/demo", "--version", "2")
    last = json.loads(quire("champion", "params/demo", "--json").output)["history"][-1]
    assert (last["by"], last["command"]) == ("bob", "quire promote params/demo --version 2")


def test_the_candidate_of_an_experiment_is_promoted_by_its_name_alone(settings):
    make_run(settings)
    make_run(settings, run_id="20260302T000000000-bbbb", promote=True, held_back="--try")
    path = settings.outputs / "runs" / "20260302T000000000-bbbb" / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"try": "fewer trees"}))
    quire("promote", "params/demo")
    assert RUN in quire("champion", "params/demo").output
    assert "Version 2 of demo is champion now" in quire("promote", "params/demo", "--run", "bbbb").output


@pytest.mark.parametrize(
    ("run_id", "words"),
    [
        ("2020", "No run of params/demo matches '2020'"),
        ("aaab", "Did you mean 'aaaa'"),
        ("2026", "2 runs match '2026'"),
        ("cccc", "is one of params/churn, not of params/demo"),
        ("bbbb", "holds no candidate that was judged"),
    ],
)
def test_a_run_that_is_not_meant_or_holds_no_candidate_is_named(settings, run_id, words):
    make_run(settings)
    for name, params in (("20260302T000000000-bbbb", "demo"), ("20260303T000000000-cccc", "churn")):
        folder = settings.outputs / "runs" / name
        (folder / "artifacts").mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"params": params, "workflow": "score", "status": "succeeded"}))
    done = quire("promote", "params/demo", "--run", run_id)
    assert done.exit_code == 4
    assert words in done.output


def test_without_a_run_it_says_which_command_makes_one(settings):
    done = quire("promote", "params/demo")
    assert done.exit_code == 4
    assert "No run of demo with a candidate" in done.output


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
