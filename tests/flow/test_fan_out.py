"""The example of a fan-out: a model for each segment, joined into one that is evaluated, predicts and is monitored."""

import json
import re

import pytest
from tests.conftest import make_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("segments"))
    folder = project.root / "params" / "segments"
    for name, pattern, text in (
        ("config", r"hours: \d+", "hours: 4000"),
        ("params", r"search: .*", "search: {trials: 1, folds: 2, space: {max_iter: [40]}}"),
        ("params", r"floor: .*", "floor: {r2: 0.1}}"),
    ):
        path = folder / f"{name}.yaml"
        changed, count = re.subn(pattern, text, path.read_text("utf-8"))
        assert count == 1
        path.write_text(changed, "utf-8")
    project.quire("run", "params/segments")
    return project


def saved(project, stage, name):
    return json.loads((project.runs[0] / "artifacts" / stage / f"{name}.json").read_text("utf-8"))


def test_each_segment_is_trained_by_a_stage_of_its_own_and_the_joined_model_is_promoted(project):
    stages = json.loads((project.runs[0] / "run.json").read_text("utf-8"))["stages"]
    parts = ["train_segment.segment-true", "train_segment.segment-false"]
    assert stages["train"]["needs"] == parts
    assert {stage["status"] for stage in stages.values()} == {"succeeded"}
    rows = [
        json.loads((project.runs[0] / "artifacts" / part / "part" / "part.json").read_text())["rows"] for part in parts
    ]
    assert saved(project, "train", "candidate")["rows"]["used"] == sum(rows)
    assert saved(project, "evaluate", "verdict")["promoted"]


def test_evaluate_and_monitor_tell_of_each_segment(project):
    import pandas as pd

    artifacts = project.runs[0] / "artifacts"
    segments = pd.read_parquet(artifacts / "evaluate" / "segments.parquet")
    assert set(segments.loc[segments["column"] == "workingday", "segment"]) == {"true", "false"}
    assert saved(project, "monitor", "_answer")["metrics"]
    predictions = pd.read_parquet(artifacts / "predict" / "predictions.parquet")
    assert len(predictions) == 7 * 24


def test_a_segment_more_leaves_the_others_and_one_that_is_not_in_the_data_is_told(project):
    path = project.root / "params" / "segments" / "workflow.yaml"
    path.write_text(path.read_text("utf-8").replace('["true", "false"]', '["true", "false", "maybe"]'), "utf-8")
    done = project.quire("run", "params/segments", "--stages", "train", check=False)
    assert done.returncode == 3
    assert "for_each has workingday 'maybe', of which train has no row; it has: false, true" in done.stderr
    assert re.search(r"train_segment.segment-false +reused", done.stderr)
