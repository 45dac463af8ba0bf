"""Monitoring of classifiers, on rows without a timestamp: two classes and three."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier

from quire import config, monitor, report

CLASSES = {"binary": ["no", "yes"], "multiclass": ["high", "low", "middle"]}


def write_case(root, task):
    """A use case of 3,000 rows whose class follows from ``x``, with noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=3_000)
    at = np.clip(np.digitize(x + 0.4 * rng.normal(size=3_000), [-0.5, 0.5][: len(CLASSES[task]) - 1]), 0, 2)
    rows = pd.DataFrame({"id": range(3_000), "x": x, "site": rng.choice(["a", "b"], 3_000)})
    rows.assign(y=np.array(CLASSES[task])[at]).to_csv(root / "rows.csv", index=False)
    folder = root / "params" / "case"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"title: Case\nsource: {{kind: csv, path: '{root}/rows.csv'}}\n")
    (folder / "params.yaml").write_text("{}\n")
    positive = 'positive: "yes"\n' if task == "binary" else ""
    names = ", ".join(f'"{name}"' for name in CLASSES[task])
    (folder / "schema.yaml").write_text(
        f"task: {task}\n{positive}columns:\n"
        "  id: {type: integer, role: key}\n"
        "  x: {type: number}\n"
        "  site: {type: category, categories: [a, b]}\n"
        f"  y: {{type: category, role: target, categories: [{names}]}}\n"
        "segments: [site]\n"
    )


@pytest.fixture(scope="module", params=list(CLASSES))
def seen(request, tmp_path_factory, runs):
    root = runs.make_project(tmp_path_factory.mktemp(request.param))
    write_case(root, request.param)
    settings = config.load("case", root=root, environment={})
    estimator = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    run = runs.make_run(settings, "20260101T000000-aaaa", "", estimator=estimator)
    return monitor.monitor_run(run, **runs.rules_of(settings)), settings.schema


def test_rows_like_those_of_training_are_nothing_unusual(seen):
    found, _ = seen
    assert found.verdict.status == "good", found.verdict.headline


def test_the_log_loss_is_measured_and_estimated_beside_each_other(seen):
    found, _ = seen
    assert found.figures.metric == "log_loss"
    realised, estimated = found.figures.main["value"].iloc[-1], found.figures.estimated["estimated"].iloc[-1]
    assert 0 < realised < 1
    assert estimated == pytest.approx(realised, rel=0.35)


def test_every_part_of_the_page_is_there_and_says_what_cannot_be(seen):
    found, schema = seen
    for name in ("drift_overview", "drift_details", "segments_chart"):
        assert "<svg" in getattr(report, name)(found).html()
    assert "<svg" in report.predictions_spread(found, schema).html()
    assert "Without a timestamp" in str(report.drift_history(found))
    assert "log_loss" in str(report.performance_over_time(found))
    assert "no course over time" in str(report.predicted_and_actual(found, schema))
    signed = str(report.signed_errors(found, schema))
    assert ("several classes" in signed) == (schema.task == "multiclass")


def test_the_spread_is_of_probabilities_or_of_classes(seen):
    found, schema = seen
    chart = report.predictions_spread(found, schema)
    assert ("probability" if schema.task == "binary" else "is predicted for") in chart.message
