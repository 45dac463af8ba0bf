"""What there is to see in a snapshot, in numbers."""

import json

import numpy as np
import pandas as pd
import pytest

from quire import report
from quire.config import Column, Schema
from quire.report.findings import far_out, predictive_strength

RNG = np.random.default_rng(0)
ROWS = 2000


def schema(task="regression", **columns):
    target = {"regression": Column(type="number", role="target")}.get(task, Column(type="category", role="target"))
    return Schema(task=task, columns={"y": target, **columns}, positive="yes" if task == "binary" else None)


def number(**options):
    return Column(type="number", **options)


def text(values):
    return pd.Series(values, dtype="str")


def strengths(frame, told):
    return report.examine(frame, told).strength


def test_what_the_target_follows_is_strong_and_noise_is_not():
    x = RNG.normal(size=ROWS)
    frame = pd.DataFrame({"y": np.sin(x) + RNG.normal(size=ROWS) * 0.1, "x": x, "noise": RNG.normal(size=ROWS)})
    found = strengths(frame, schema(x=number(), noise=number()))
    assert found["x"] > 0.9
    assert found["noise"] < 0.02
    assert list(found) == ["x", "noise"]


def test_an_identifier_says_nothing():
    frame = pd.DataFrame({"y": RNG.normal(size=ROWS), "name": text([f"row {n}" for n in range(ROWS)])})
    assert strengths(frame, schema(name=Column(type="category")))["name"] < 0.01


@pytest.mark.parametrize(("task", "classes"), [("binary", ["no", "yes"]), ("multiclass", ["a", "b", "c"])])
def test_classes_are_measured_by_the_gini_coefficient(task, classes):
    codes = RNG.integers(0, len(classes), ROWS)
    frame = pd.DataFrame(
        {"y": text(np.array(classes)[codes]), "same": codes.astype(float), "noise": RNG.normal(size=ROWS)}
    )
    found = report.examine(frame, schema(task, same=number(), noise=number()))
    assert found.strength["same"] > 0.99
    assert found.strength["noise"] < 0.1
    assert [one.columns for one in found.suspects] == [("same",)]


def test_missing_values_are_a_level_of_their_own():
    gone = RNG.random(ROWS) < 0.5
    frame = pd.DataFrame({"y": gone * 10 + RNG.normal(size=ROWS), "x": np.where(gone, np.nan, RNG.normal(size=ROWS))})
    found = report.examine(frame, schema(x=number(nullable=True)))
    assert found.strength["x"] > 0.9
    assert found.missing["x"] == pytest.approx(gone.mean())


def test_two_columns_that_add_up_to_the_target_are_suspects_also_where_each_is_weak():
    a, b = RNG.normal(size=ROWS), RNG.normal(size=ROWS)
    frame = pd.DataFrame({"y": a + b, "a": a, "b": b, "x": RNG.normal(size=ROWS)})
    [suspect] = report.examine(frame, schema(a=number(), b=number(), x=number())).suspects
    assert suspect.columns == ("a", "b")
    assert suspect.used
    assert suspect.why == "a + b is y"


def test_a_suspect_that_is_left_out_is_known_as_such():
    a = RNG.normal(size=ROWS)
    frame = pd.DataFrame({"y": a, "copy": a, "x": RNG.normal(size=ROWS)})
    found = report.examine(frame, schema(copy=number(role="ignore", why="known too late"), x=number()))
    assert [(one.columns, one.used) for one in found.suspects] == [(("copy",), False)]
    assert "copy" not in found.strength


def test_an_empty_cell_that_means_one_class_is_a_suspect():
    yes = RNG.random(ROWS) < 0.3
    frame = pd.DataFrame(
        {"y": text(np.where(yes, "yes", "no")), "closed": np.where(yes, np.nan, RNG.normal(size=ROWS))}
    )
    told = [one.why for one in report.examine(frame, schema("binary", closed=number(nullable=True))).suspects]
    assert any("whether closed is empty" in why for why in told)


def test_of_many_rows_a_sample_is_looked_at_the_same_each_time():
    frame = pd.DataFrame({"y": RNG.normal(size=ROWS), "x": RNG.normal(size=ROWS)})
    one, two = (report.examine(frame, schema(x=number()), most_rows=100) for _ in range(2))
    assert one.sampled
    assert (len(one.frame), one.rows) == (100, ROWS)
    assert one.frame.index.equals(two.frame.index)
    assert one.frame.index.is_monotonic_increasing


def test_far_out_values_are_beyond_three_interquartile_ranges():
    values = pd.Series([*np.linspace(0, 1, 99), 10.0])
    assert far_out(values) == pytest.approx(0.01)
    assert far_out(pd.Series([1.0] * 80 + [5.0] * 20)) == 0


def test_strength_stays_between_nothing_and_all():
    goals = RNG.normal(size=(50, 1))
    for values in (pd.Series([1.0] * 50), pd.Series([np.nan] * 50), pd.Series(RNG.normal(size=50))):
        assert 0 <= predictive_strength(values, goals, schema(x=number()), seed=0) <= 1


def test_the_findings_go_into_json():
    frame = pd.DataFrame({"y": RNG.normal(size=200), "x": RNG.normal(size=200), "z": RNG.normal(size=200)})
    frame["z"] = frame["x"] * 2
    told = json.loads(json.dumps(report.examine(frame, schema(x=number(), z=number())).as_json(), allow_nan=False))
    assert told["correlated"] == [{"a": "x", "b": "z", "rank_correlation": 1.0}]
    assert told["rows"] == 200
