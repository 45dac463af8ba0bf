"""The evaluation's report where the test rows do not define a metric: it is made, and shows no nan."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text
from sklearn.dummy import DummyClassifier, DummyRegressor

from quire import report
from quire.config import Decision, Gate, Schema
from quire.model import evaluate, judge, model_input

ROWS = 60


def schema_of(task):
    kind = {"type": "number"} if task == "regression" else {"type": "category", "categories": ["a", "b", "c"]}
    kind = {"type": "category", "categories": ["a", "b"]} if task == "binary" else kind
    columns = {"x": {"type": "number"}, "y": {**kind, "role": "target"}}
    return Schema.model_validate(
        {"task": task, "columns": columns, **({"positive": "b"} if task == "binary" else {})}, strict=False
    )


TESTS = {
    "no positive": ("binary", ["a"] * ROWS),
    "one positive": ("binary", ["a"] * (ROWS - 1) + ["b"]),
    "all positive": ("binary", ["b"] * ROWS),
    "one class": ("multiclass", ["a"] * ROWS),
    "a class is absent": ("multiclass", ["a", "b"] * (ROWS // 2)),
    "one value": ("regression", [2.0] * ROWS),
}


def text_of(part):
    """Everything that a part of a report shows: as HTML, or the message and the picture's labels of a chart."""
    if not hasattr(part, "figure"):
        return part._repr_html_()
    part.figure.canvas.draw()
    labels = [text.get_text() for text in part.figure.findobj(Text)]
    return " ".join([part.message, *labels])


@pytest.mark.parametrize("case", TESTS)
def test_every_part_of_the_report_is_made(case):
    task, target = TESTS[case]
    schema = schema_of(task)
    rng = np.random.default_rng(0)
    known = (
        rng.normal(size=ROWS)
        if task == "regression"
        else np.tile(["a", "b", "b" if task == "binary" else "c"], ROWS // 3)
    )
    train, test = (pd.DataFrame({"x": rng.normal(size=ROWS), "y": y}) for y in (known, target))
    make = DummyRegressor if task == "regression" else DummyClassifier
    model = make().fit(model_input(train, schema), train["y"].to_numpy())
    found = evaluate(model, model, train, test, schema, version="1", resamples=40)
    verdict = judge(found, Gate())
    outcome = verdict.record(promoted=False, version="1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts = [
            report.evaluation.answer(found, verdict, outcome),
            report.evaluation.reasons_table(verdict),
            report.evaluation.contenders(found),
            report.evaluation.metrics_table(found),
            report.evaluation.segments(found, 0.1),
            report.residuals.errors(found, schema, Decision()),
            report.residuals.honesty(found, schema),
            report.evaluation.importance(found),
        ]
        shown = " ".join(text_of(part) for part in parts)
    assert not re.search(r"\bnan\b", shown)
