"""The fast path gives what the pipeline gives, for every estimator and every row that a request may hold."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies

from quire import model
from quire.config import Schema
from quire.serve import loaded_model
from quire.serve.fastpath import compile_pipeline, differs
from quire.serve.request_schema import RequestSchema

NAMES = ("linear", "random_forest", "hist_gradient_boosting")


def make(pipeline, schema, reference=None):
    version = SimpleNamespace(version="1", name="demo", metrics={})
    return loaded_model.LoadedModel(
        version, schema, pipeline, RequestSchema(schema), reference or {}, 0, datetime.now(UTC)
    )


def any_row(schema):
    """Rows of the model's features: any value, missing ones and unknown categories included."""
    texts = strategies.one_of(strategies.none(), strategies.text(max_size=5))
    numbers = strategies.one_of(strategies.none(), strategies.floats(-1e6, 1e6))
    times = strategies.one_of(
        strategies.none(),
        strategies.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=strategies.just(UTC)),
    )
    kinds = {"number": numbers, "integer": numbers, "datetime": times}
    columns = [schema.columns[name] for name in schema.features]
    known = [
        strategies.one_of(texts, strategies.sampled_from(column.labels or ("true", "false"))) for column in columns
    ]
    pairs = zip(columns, known, strict=True)
    return strategies.tuples(*(kinds.get(column.type, labels) for column, labels in pairs))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
def test_the_fast_path_gives_what_the_pipeline_gives(name, pipelines, snapshot, data):
    schema = snapshot[0].schema
    rows = data.draw(strategies.lists(any_row(schema), min_size=1, max_size=4))
    slow = make(pipelines[name], schema).slow(rows)
    assert not differs(compile_pipeline(pipelines[name], schema)(rows), slow)


@pytest.mark.parametrize("rows", [1, 64, 65, 300])
@pytest.mark.parametrize("name", NAMES)
def test_it_does_so_for_few_and_for_many_rows(name, pipelines, snapshot, rows):
    config, ingested = snapshot
    contract = RequestSchema(config.schema)
    example = model.describe_reference(ingested.train, config.schema)["values"]
    given = [contract.read(example | {"hr": hour % 24, "temp": hour / 300}).row for hour in range(rows)]
    slow = make(pipelines[name], config.schema).slow(given)
    assert not differs(compile_pipeline(pipelines[name], config.schema)(given), slow)


def test_classes_and_categories_of_many_kinds_are_the_same_too():
    schema = Schema.model_validate(
        {
            "task": "multiclass",
            "columns": {
                "colour": {"type": "category", "nullable": True},
                "sold": {"type": "boolean", "nullable": True},
                "at": {"type": "datetime", "calendar": ("hour", "is_weekend")},
                "size": {"type": "number", "nullable": True},
                "kind": {"type": "category", "role": "target"},
            },
        }
    )
    rng = np.random.default_rng(0)
    import pandas as pd

    rows = 400
    frame = pd.DataFrame(
        {
            "colour": rng.choice(["red", "green", "blue"], rows),
            "sold": pd.array(rng.choice([True, False], rows), dtype="boolean"),
            "at": pd.date_range("2026-01-01", periods=rows, freq="h", tz="UTC"),
            "size": rng.normal(size=rows),
            "kind": rng.choice(["a", "b", "c"], rows),
        }
    )
    frame.loc[::7, ["size"]] = np.nan
    frame.loc[::11, "colour"] = None
    from quire.config import Search

    for name in NAMES:
        pipeline = model.fit_candidate(frame, schema, name, Search(trials=1, folds=2)).pipeline
        one = make(pipeline, schema, model.describe_reference(frame, schema))
        loaded_model._prove(one)
        assert one.slow_because == ""
        outcome = one.score([("red", "true", datetime(2026, 1, 1, tzinfo=UTC), None)])[0]
        assert outcome.prediction == max(outcome.probabilities, key=outcome.probabilities.get)
        assert sum(outcome.probabilities.values()) == pytest.approx(1)


def test_a_pipeline_that_it_does_not_know_is_served_the_slow_way(pipelines, snapshot):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    pipeline = make_pipeline(FunctionTransformer(), *[step for _, step in pipelines["linear"].steps])
    one = make(pipeline, snapshot[0].schema)
    loaded_model._prove(one)
    assert one.fast is None
    assert "not a ColumnTransformer followed by an estimator" in one.slow_because


def test_a_fast_path_that_differs_is_not_taken(pipelines, snapshot, monkeypatch):
    monkeypatch.setattr(loaded_model, "compile_pipeline", lambda pipeline, schema: lambda rows: np.zeros(len(rows)))
    one = make(pipelines["linear"], snapshot[0].schema)
    loaded_model._prove(one)
    assert one.fast is None
    assert "does not give what the pipeline gives" in one.slow_because
