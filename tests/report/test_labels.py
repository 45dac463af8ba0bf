"""Labels are text: what stands in the data stands in the chart, whatever it looks like to a renderer."""

import dataclasses
import re
import warnings
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from matplotlib.text import Text

from quire import report
from quire.config import Column, Decision, Schema
from quire.model.bootstrap import Interval
from quire.model.metrics import Outcomes
from quire.report import drift, evaluation, explore, ingest, monitoring, predictions, quality, residuals, training
from quire.report.labels import decimals, label_text, percent_axis

from .test_monitoring import benchmark, champion, quiet  # noqa: F401 - fixtures

RNG = np.random.default_rng(5)
ROWS = 80
ODD = (
    "$0-$50k", "US$_per_unit_in_US$", "a_b^c", "\\frac{1}{2}", "{x}", "two\nlines", "a\ttab", "😀 emoji", "x" * 300,
    "<b>&amp;</b>", "#1f2933", "#dde2e7;", "\x07bell", "  padded  ", "%s %d", "&lt;", "$$", "$\\alpha$", "日本語",
    "'\"",
)  # fmt: skip
CUTS = (11, 16, 18, 20, 22, 24, 26, 30, 36, 40)
labels = st.one_of(st.sampled_from(ODD), st.text(min_size=1, max_size=60), st.text("$_^\\{}<>&\"'\n\t a", min_size=1))


def texts(chart):
    """The texts of a chart's SVG, as a browser would read them."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = chart.picture()
    if not picture.startswith("<svg"):  # an image of very many points: what it was drawn from
        shown = chart.figure.findobj(Text)
        assert not any(text.get_parse_math() for text in shown)
        return [text.get_text() for text in shown]
    return [
        "".join(one.itertext()).strip() for one in ElementTree.fromstring(picture).iter() if one.tag.endswith("text")
    ]


def assert_reads(chart, *names):
    """Every name stands in the chart: whole, or cut with an ellipsis where it is too long for its place."""
    read = [" ".join(text.split()) for text in texts(chart)]
    for name in names:
        cuts = {" ".join(label_text(name, most).split()) for most in CUTS}
        assert any(cut in text for cut in cuts for text in read), (name, read)


def schema_of(task, name, other):
    """A schema whose feature is called ``name``; classes have ``other`` among them."""
    return Schema(
        task=task,
        positive=other if task == "binary" else None,
        columns={
            name: Column(type="number", nullable=True),
            f"{name}2": Column(type="category", nullable=True),
            f"{name}3": Column(type="number", nullable=True),
            "goal": Column(type="number" if task == "regression" else "category", role="target"),
        },
    )


def findings_of(task, name, other):
    """What explore finds in rows whose columns and categories have odd names."""
    values = RNG.normal(size=ROWS)
    classes = [other, "plain"] if task == "binary" else [other, "plain", "third"]
    goal = values if task == "regression" else pd.Series(RNG.choice(classes, ROWS), dtype="str")
    frame = pd.DataFrame(
        {
            name: np.where(np.arange(ROWS) % 9, values, np.nan),
            f"{name}2": pd.Series(RNG.choice([other, "plain"], ROWS), dtype="str"),
            f"{name}3": values + RNG.normal(size=ROWS),
            "goal": goal,
        }
    )
    return report.examine(frame, schema_of(task, name, other))


slow = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


@slow
@given(labels, labels)
@example("$a_b_c$", "US$_per_unit_in_US$")
@example("x" * 300, "two\nlines\tand a tab")
def test_explore_reads_as_the_data_does(name, other):
    found = findings_of("regression", name, other)
    for chart in (explore.strength(found), explore.outliers(found), explore.correlations(found)):
        assert_reads(chart, name)
    assert_reads(explore.missingness(found), name)
    assert_reads(explore.distributions(found), name, other)
    assert_reads(explore.relations(found), name, other)
    if label_text(other) not in ("plain", "third"):
        assert_reads(explore.target(findings_of("multiclass", name, other)), other)


@slow
@given(labels)
@example("$0-$50k")
@example("\U0001f600" * 40)
def test_ingest_and_validate_read_as_the_data_does(name):
    missing = [{"column": name, "before": 0.1, "after": 0.2}, {"column": "plain", "before": 0.0, "after": 0.0}]
    manifest = {"missing": missing, "read": {"all": 100}, "rows": 100}
    assert_reads(ingest.missing_values(SimpleNamespace(manifest=manifest)), name)
    checks = [
        SimpleNamespace(
            column=one, status="pass", passed=True, expectation="column_values_to_be_of_type", origin="schema"
        )
        for one in (name, "plain")
    ]
    schema = Schema(
        task="regression",
        columns={
            name: Column(type="number"),
            "plain": Column(type="number"),
            "goal": Column(type="number", role="target"),
        },
    )
    assert_reads(quality.quality_grid(SimpleNamespace(checks=checks), schema), name)


def outcomes_of(task, classes):
    truth = np.arange(ROWS) % len(classes)
    prediction = np.where(np.arange(ROWS) % 5, truth, (truth + 1) % len(classes))
    probability = np.full((ROWS, len(classes)), 0.2 / (len(classes) - 1))
    probability[np.arange(ROWS), prediction] = 0.8
    return Outcomes(task, truth, prediction, probability, tuple(classes))


def evaluation_of(task, name, other):
    """An evaluation whose features, segments and classes have odd names."""
    score = SimpleNamespace(
        name="candidate", test={"log_loss": Interval(0.4, 0.3, 0.5)}, outcomes=outcomes_of(task, ("plain", other))
    )
    segments = pd.DataFrame({"column": [name], "segment": [other], "rows": [9], "metric": ["mae"], "candidate": [1.0]})
    return SimpleNamespace(
        task=task,
        metric="log_loss",
        importance_metric="log_loss",
        segments=segments,
        champion=None,
        same=False,
        importance=pd.DataFrame({"feature": [name], "importance": [1.0], "std": [0.1]}),
        candidate=score,
        threshold=0.5,
    )


@slow
@given(labels, labels)
@example("$a_b_c$", "US$_per_unit_in_US$")
@example("{", "\\")
def test_train_and_evaluate_read_as_the_data_does(name, other):
    for task in ("binary", "multiclass"):
        found = evaluation_of(task, name, other)
        assert_reads(evaluation.segments(found), name, other)
        assert_reads(evaluation.importance(found), name)
        assert_reads(residuals._calibration(found), *((other,) if task == "binary" else ()))
    assert_reads(residuals._confusion(outcomes_of("multiclass", ("plain", "third", other))), other)
    assert_reads(residuals._by_threshold(evaluation_of("binary", name, other), Decision()), other)
    assert_reads(training._classes_chart(outcomes_of("binary", ("plain", other))), other)
    numbers = Outcomes("regression", RNG.normal(size=ROWS), RNG.normal(size=ROWS), None, ())
    columns = {"x": Column(type="number"), name: Column(type="number", role="target", unit=other)}
    if name != "x":
        schema = Schema(task="regression", columns=columns)
        for chart in (training._numbers_chart(numbers, schema), residuals._by_size(numbers, schema)):
            assert any(label_text(name, 12)[:-1] in text for text in texts(chart))


@slow
@given(labels)
@example("US$_per_unit_in_US$")
@example("y" * 300)
def test_predict_reads_as_the_data_does(name):
    classes = ["plain", name]
    target = pd.Series(RNG.choice(classes, ROWS), dtype="str")
    history = pd.DataFrame({"goal": target})
    rows = pd.DataFrame({"prediction": target.iloc[::-1].to_numpy(), "probability": RNG.random(ROWS)})
    schemas = {task: schema_of(task, "feature", name) for task in ("binary", "multiclass")}
    assert_reads(predictions.predictions_distribution(rows, history, schemas["multiclass"]), name)
    assert_reads(predictions.predictions_distribution(rows, history, schemas["binary"]), name)


@slow
@given(labels, labels)
@example("$a_b_c$", "US$_per_unit_in_US$")
@example("x" * 300, "two\nlines")
def test_monitor_reads_as_the_data_does(quiet, name, other):  # noqa: F811
    renamed = {
        field: getattr(quiet, field).assign(column=lambda one: one["column"].replace("n1", name))
        for field in ("drift", "shares")
    }
    renamed["shares"]["label"] = other
    segments = quiet.figures.segments.assign(column=name, segment=other)
    spread = pd.DataFrame({"low": np.nan, "high": np.nan, "label": [other, "p"], "now": [0.4, 0.6], "test": [0.5, 0.5]})
    seen = dataclasses.replace(
        quiet, **renamed, spread=spread, figures=dataclasses.replace(quiet.figures, segments=segments)
    )
    assert_reads(drift.drift_overview(seen), name)
    assert_reads(drift.drift_history(seen, column=name), name)
    assert_reads(drift.drift_details(seen, column=name), name, other)
    assert_reads(monitoring.segments_chart(seen), name, other)
    assert_reads(monitoring.predictions_spread(seen, schema_of("multiclass", "feature", "other")), other)


@given(st.text(), st.integers(1, 60))
@settings(max_examples=300)
def test_a_label_is_one_line_that_fits_and_begins_as_the_name_does(name, most):
    text = label_text(name, most)
    assert len(text) <= most
    assert not re.search(r"[\n\t\r\x00-\x08]", text)
    assert text == label_text(text, most)
    text.encode("utf-8")


def test_a_chart_of_ones_own_is_text_too():
    figure, axes = report.figure()
    axes.set_title("$a_b_c$ costs US$1\x01")
    axes.set_xticks([0, 1], ["$0-$50k", "a\tb"])
    read = texts(report.Chart("x", figure))
    assert {"$a_b_c$ costs US$1\ufffd", "$0-$50k", "a b"} <= set(read)


@pytest.mark.parametrize(
    ("ticks", "shown"),
    [
        ([0, 0.025, 0.05, 0.075], ["0.0%", "2.5%", "5.0%", "7.5%"]),
        ([0, 0.05, 0.1], ["0%", "5%", "10%"]),
        ([0, 0.00025, 0.0005], ["0.000%", "0.025%", "0.050%"]),
        ([-0.025, 0, 0.025], ["−2.5%", "0.0%", "+2.5%"]),
    ],
)
def test_ticks_of_a_share_are_neither_rounded_nor_repeated(ticks, shown):
    _, axes = report.figure()
    axes.set_xlim(ticks[0], ticks[-1])
    axes.xaxis.set_ticks(ticks)
    percent_axis(axes.xaxis, signed=min(ticks) < 0)
    assert [axes.xaxis.get_major_formatter()(tick, None) for tick in ticks] == shown


@given(st.floats(-2, 2), st.floats(1e-4, 1), st.integers(2, 12))
@settings(max_examples=200)
def test_ticks_that_differ_are_written_differently(low, width, steps):
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(steps).tick_values(low, low + width)
    places = decimals(ticks)
    assert len({f"{tick:.{places}%}" for tick in ticks}) == len(ticks)
