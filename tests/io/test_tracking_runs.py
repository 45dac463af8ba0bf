"""What is logged of candidates and of runs of a workflow, on real SQLite stores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests.io.conftest import fitted, log, run_of

from quire import artifacts
from quire.errors import ModelError, ServiceError
from quire.io import tracking

ROOT = Path(__file__).parents[2]


def test_a_candidate_is_logged_with_all_that_belongs_to_it(registry, tmp_path):
    (tmp_path / "profiles.bin").write_bytes(b"profiles")
    from matplotlib.figure import Figure

    trials = pd.DataFrame({"param_alpha": [0.1, 1.0], "r2": [0.4, 0.5], "seconds": [0.1, 0.2]})
    candidate = log(
        registry,
        trials=trials,
        dataset={"fingerprint": "ab" * 32, "source": {"where": "A file"}, "windows": {"train": {"rows": 3}}},
        figures={"learning": Figure()},
        files={"profiles.bin": tmp_path / "profiles.bin"},
        metrics={"r2": 0.5, "mae": float("nan")},
        tags={"team": "bikes"},
    )
    client = registry.client
    run = client.get_run(candidate["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"estimator": "linear", "alpha": "1.0"}
    assert run.data.metrics == {"r2": 0.5}
    assert run.data.tags["team"] == "bikes"
    assert run.data.tags["quire.fingerprint"] == "ab" * 32
    dataset = run.inputs.dataset_inputs[0].dataset
    assert dataset.digest == "ab" * 16
    assert json.loads(dataset.source) == {"tags": {"source": "A file"}}
    assert json.loads(dataset.profile) == {"windows": {"train": {"rows": 3}}}
    assert [one.path for one in client.list_artifacts(candidate["run_id"], "figures")] == ["figures/learning.png"]
    nested = client.search_runs([run.info.experiment_id], f"tags.mlflow.parentRunId = '{candidate['run_id']}'")
    assert sorted(one.data.params["alpha"] for one in nested) == ["0.1", "1.0"]
    assert sorted(one.data.metrics["r2"] for one in nested) == [0.4, 0.5]
    files = {path.name for path in registry.files(candidate).iterdir()}
    assert files == {"profiles.bin", "schema.json", "model_card.md"}
    model = client.get_logged_model(candidate["model_uri"].removeprefix("models:/"))
    assert {one.key: one.value for one in model.metrics} == {"r2": 0.5}


def test_the_model_is_also_an_artifact_of_the_stage(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    pipeline, X = fitted()
    for place in (run.path("model"), candidate, candidate["model_uri"]):
        np.testing.assert_array_equal(registry.load(place).predict(X), pipeline.predict(X))


def test_by_hand_a_candidate_is_saved_but_not_logged_and_cannot_be_promoted(settings):
    registry = tracking.open(settings)
    run = artifacts.open(registry.settings)
    assert log(registry, run=run) == {"run_id": None, "model_uri": None}
    assert (run.folder / "model" / "MLmodel").is_file()
    assert not (registry.settings.outputs / "mlflow.db").exists()
    with pytest.raises(ModelError, match="By hand no alias moves"):
        registry.promote({"run_id": None, "model_uri": None}, reason="", run=run)


def test_a_candidate_that_the_store_does_not_know_is_logged_anew_from_the_run(registry, monkeypatch):
    run = run_of(registry.settings)
    candidate = log(registry, run=run) | {"params": {"estimator": "linear"}, "metrics": {"r2": 0.5}}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{registry.settings.outputs / 'other.db'}")
    other = tracking.open(registry.settings)
    version = other.promote(candidate, reason="better", run=run)
    pipeline, X = fitted()
    np.testing.assert_array_equal(other.load(version).predict(X), pipeline.predict(X))
    assert version.metrics == {"r2": 0.5}
    assert version.run_id != candidate["run_id"]
    assert (other.files(version) / "model_card.md").is_file()


def test_a_candidate_whose_files_are_gone_is_logged_anew(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    shutil.rmtree(registry.settings.outputs / "mlartifacts")
    version = registry.promote(candidate, reason="better", run=run)
    assert registry.load(version) is not None


def test_a_candidate_that_nobody_has_is_refused(registry):
    log(registry)
    with pytest.raises(ModelError, match="does not know the candidate m-gone"):
        registry.promote({"run_id": "gone", "model_uri": "models:/m-gone"}, reason="")


def test_a_candidate_whose_logging_fails_is_a_failed_run(registry):
    with pytest.raises(ServiceError, match="a%b"):
        log(registry, params={"a%b": 1})
    found = registry.client.search_runs([registry.client.get_experiment_by_name("demo").experiment_id])
    assert [one.info.status for one in found] == ["FAILED"]


def workflow_record(run_id, status="succeeded"):
    stages = {"train": {"status": "succeeded", "seconds": 1.5}, "evaluate": {"status": "succeeded", "seconds": 0.5}}
    return {
        "run_id": run_id,
        "params": "demo",
        "workflow": "train",
        "as_of": "2026-03-01",
        "status": status,
        "stages": stages,
    }


def test_a_workflow_run_is_the_parent_of_what_its_stages_logged(registry):
    run = run_of(registry.settings)
    candidate = log(registry, run=run)
    folder = run.folder.parents[1]
    (folder / "reports").mkdir()
    (folder / "reports" / "train.html").write_text("<p>report")
    (folder / "index.html").write_text("<p>index")
    run.save("_answer", {"status": "good", "headline": "", "facts": [], "metrics": {"r2": 0.5}})
    parent = registry.log_run(workflow_record(run.run_id), folder)
    client = registry.client
    assert client.get_run(candidate["run_id"]).data.tags["mlflow.parentRunId"] == parent
    logged = client.get_run(parent)
    assert logged.info.status == "FINISHED"
    assert logged.data.metrics == {"train.seconds": 1.5, "evaluate.seconds": 0.5, "train.r2": 0.5}
    assert [one.path for one in client.list_artifacts(parent, "reports")] == ["reports/train.html"]
    assert "index.html" in [one.path for one in client.list_artifacts(parent)]


def test_logging_a_run_again_brings_the_same_parent_up_to_date(registry):
    run = run_of(registry.settings)
    run.folder.mkdir(parents=True)
    first = registry.log_run(workflow_record(run.run_id, "failed"), run.folder.parents[1])
    assert registry.client.get_run(first).info.status == "FAILED"
    assert registry.log_run(workflow_record(run.run_id), run.folder.parents[1]) == first
    assert registry.client.get_run(first).info.status == "FINISHED"
