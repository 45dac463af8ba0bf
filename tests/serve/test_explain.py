"""What moved a prediction: each feature in turn set to its normal value."""

from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

from quire.config import Schema
from quire.serve.explain import effects, normal_row, variants
from quire.serve.loaded_model import LoadedModel, Prediction
from quire.serve.request_schema import RequestSchema


def make(task="regression", reference=True, pipeline=None):
    columns = {
        "size": {"type": "number", "nullable": True},
        "colour": {"type": "category", "categories": ("red", "blue")},
        "at": {"type": "datetime"},
        "y": {"type": "number" if task == "regression" else "category", "role": "target"},
    }
    schema = Schema.model_validate(
        {"task": task, "columns": columns, **({"positive": "yes"} if task == "binary" else {})}
    )
    values = {"size": 2.0, "colour": "red", "at": "2026-01-01T00:00:00+00:00"}
    version = SimpleNamespace(version="1", name="demo", metrics={})
    known = {"values": values} if reference else {}
    return LoadedModel(version, schema, pipeline, RequestSchema(schema), known, 0, datetime.now(UTC))


ROW = (5.0, "blue", datetime(2026, 6, 1, tzinfo=UTC))


def test_each_feature_in_turn_is_set_to_its_median_or_mode():
    made = make()
    normal = normal_row(made)
    assert normal == (2.0, "red", datetime(2026, 1, 1, tzinfo=UTC))
    assert variants(made, ROW) == [
        ROW,
        (2.0, *ROW[1:]),
        (5.0, "red", ROW[2]),
        (5.0, "blue", normal[2]),
    ]


def test_the_effect_is_the_prediction_minus_the_one_without_it_the_largest_first():
    found = effects(make(), ROW, [Prediction(10.0), Prediction(9.0), Prediction(14.0), Prediction(10.0)])
    assert [(one.feature, one.effect) for one in found] == [("colour", -4.0), ("size", 1.0)]
    assert (found[1].value, found[1].normal) == (5.0, 2.0)


def test_times_are_told_as_text():
    found = effects(make(), ROW, [Prediction(1.0), Prediction(1.0), Prediction(1.0), Prediction(0.0)])
    assert (found[0].value, found[0].normal) == ("2026-06-01T00:00:00+00:00", "2026-01-01T00:00:00+00:00")


def test_of_two_classes_the_probability_of_the_positive_one_is_compared():
    outcomes = [Prediction("yes", 0.75), Prediction("no", 0.25), Prediction("yes", 0.75), Prediction("yes", 0.875)]
    assert [(one.feature, one.effect) for one in effects(make("binary"), ROW, outcomes)] == [
        ("size", 0.5),
        ("at", -0.125),
    ]


def test_of_several_classes_the_probability_of_the_predicted_one_is_compared():
    shares = [{"a": 0.5, "b": 0.25, "c": 0.25}, {"a": 0.25, "b": 0.75, "c": 0.0}]
    outcomes = [
        Prediction(max(one, key=one.get), max(one.values()), one) for one in (shares[0], shares[1], *shares[:1] * 2)
    ]
    assert [(one.feature, one.effect) for one in effects(make("multiclass"), ROW, outcomes)] == [("size", 0.25)]


def test_a_model_without_a_reference_is_not_explained():
    made = make(reference=False)
    assert variants(made, ROW) == []
    assert effects(made, ROW, []) == []


def test_effects_of_a_straight_line_are_its_slopes_times_the_distances(snapshot):
    """A linear model shows each feature's own part, and the parts of a sum add up to the whole difference."""
    settings, _ = snapshot
    schema, weights = settings.schema, np.arange(1, len(settings.schema.features) + 1)
    numbers = [name for name in schema.features if schema.columns[name].type in ("number", "integer")]
    contract = RequestSchema(schema)
    values = {
        name: 0.5 if name in numbers else (schema.columns[name].labels or ("false",))[0] for name in schema.features
    }
    version = SimpleNamespace(version="1", name="demo", metrics={})
    made = LoadedModel(version, schema, None, contract, {"values": values}, 0, datetime.now(UTC))
    row = tuple(1.0 if name in numbers else values[name] for name in schema.features)

    def line(one):
        return Prediction(
            float(sum(w * v for w, v, n in zip(weights, one, schema.features, strict=True) if n in numbers))
        )

    found = effects(made, row, [line(one) for one in variants(made, row)])
    total = line(row).prediction - line(normal_row(made)).prediction
    assert sum(one.effect for one in found) == pytest.approx(total)
    assert found[0].feature == numbers[-1]
