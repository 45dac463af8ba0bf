"""Targets that a fold, a draw or the test rows may miss: the whole way from the search to the gate's verdict."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.config import Gate, Search
from quire.errors import DataError, ModelError, QuireError
from quire.model import complete_card, evaluate, fit_candidate, join_parts, judge, save_part, segment_rows

ROWS = 240
SEARCH = Search(trials=1, folds=4)


def table(make, target, *, timed, task, classes=("no", "yes")):
    """A frame with one feature and ``target``, a row a day where it is timed, and its schema."""
    rows = len(target)
    rng = np.random.default_rng(1)
    number = np.asarray([classes.index(name) for name in target] if task != "regression" else target, dtype=float)
    frame = pd.DataFrame(
        {"x": number + rng.normal(size=rows), "half": np.tile(["a", "a", "b", "b"], rows)[:rows], "y": target}
    )
    columns = {"x": {"type": "number"}, "half": {"type": "category", "categories": ["a", "b"]}}
    if timed:
        frame["at"] = pd.date_range("2025-01-01", periods=rows, freq="D", tz="UTC").as_unit("us")
        columns["at"] = {"type": "datetime", "role": "timestamp"}
    kind = {"type": "number"} if task == "regression" else {"type": "category", "categories": list(classes)}
    columns["y"] = {**kind, "role": "target"}
    positive = {"positive": classes[-1]} if task == "binary" else {}
    return frame, make.schema({"task": task, "columns": columns, **positive})


def labels(*places, rows=ROWS, usual="no", other="yes"):
    """A binary target that is ``other`` at ``places``."""
    target = np.full(rows, usual, dtype=object)
    for place in places:
        target[place] = other
    return target


def three(rare):
    """A target of three classes, of which c stands at ``rare``."""
    target = np.tile(np.array(["a", "b"], dtype=object), ROWS // 2)
    target[rare] = "c"
    return target


def numbers(*places):
    """A target that is 1 at ``places``, else 0."""
    target = np.zeros(ROWS)
    for place in places:
        target[place] = 1.0
    return target


ABC = ("a", "b", "c")
LEARNABLE = {
    "events in one week": (labels(slice(60, 67)), True, "binary", ("no", "yes")),
    "events in two days": (labels(50, 51), True, "binary", ("no", "yes")),
    "events that begin late": (labels(slice(200, 230, 3)), True, "binary", ("no", "yes")),
    "events that end early": (labels(slice(0, 100, 4)), True, "binary", ("no", "yes")),
    "another state from a day on": (labels(slice(200, ROWS)), True, "binary", ("no", "yes")),
    "nearly all positive": (labels(10, 120, 230, usual="yes", other="no"), True, "binary", ("no", "yes")),
    "three events at random": (labels(5, 77, 140), False, "binary", ("no", "yes")),
    "a class that begins late": (three(slice(200, ROWS)), True, "multiclass", ABC),
    "a class of the last days": (three(slice(237, ROWS)), True, "multiclass", ABC),
    "a class of one day": (three(slice(100, 101)), True, "multiclass", ABC),
    "a class of one row at random": (three(slice(100, 101)), False, "multiclass", ABC),
    "a class of three rows at random": (three(slice(100, 103)), False, "multiclass", ABC),
    "a number that changes early": (numbers(slice(10, 40)), True, "regression", ()),
    "a number that changes late": (numbers(slice(220, 238)), True, "regression", ()),
    "a number that rarely changes": (numbers(3, 90, 200), False, "regression", ()),
}


@pytest.mark.parametrize("estimator", ["linear", "hist_gradient_boosting"])
@pytest.mark.parametrize("case", LEARNABLE)
def test_a_rare_target_is_learned_and_recorded_without_nan(make, case, estimator):
    target, timed, task, classes = LEARNABLE[case]
    frame, schema = table(make, target, timed=timed, task=task, classes=classes)
    space = {"max_iter": [10]} if estimator != "linear" else {}
    found = fit_candidate(frame, schema, estimator, Search(trials=1, folds=4, space=space))
    record = json.loads(json.dumps(found.record(), allow_nan=False, default=str))
    assert np.isfinite(record["metrics"][found.scoring])
    assert found.out_of_fold.notna().all().all()
    if task != "regression":
        shares = [name for name in found.out_of_fold if name.startswith("probability_")]
        assert shares in ([], [f"probability_{name}" for name in sorted(set(target))])
    if shares_of(found).size:
        np.testing.assert_allclose(shares_of(found).sum(axis=1), 1)


def shares_of(candidate):
    return candidate.out_of_fold.filter(regex="^probability_").to_numpy(float)


IMPOSSIBLE = {
    "one event in time": (labels(100), True, "binary", ("no", "yes"), ModelError, "'yes' of y has 1 row in train"),
    "one event at random": (labels(100), False, "binary", ("no", "yes"), DataError, "'yes' of y has 1 row in train"),
    "one change in time": (numbers(100), True, "regression", (), ModelError, "y is 0 in all but 1 of 240 rows"),
    "one change at random": (numbers(100), False, "regression", (), ModelError, "y is 0 in all but 1 of 240 rows"),
    "a class for each row": (
        np.array([f"c{n}" for n in range(9)], object),
        False,
        "multiclass",
        None,
        DataError,
        "key",
    ),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_no_folds_can_judge_is_said_before_anything_is_fitted(make, case, monkeypatch):
    target, timed, task, classes, error, message = IMPOSSIBLE[case]
    frame, schema = table(make, target, timed=timed, task=task, classes=classes or tuple(sorted(set(target))))
    monkeypatch.setattr("quire.model.search.GridSearchCV.fit", lambda *_: pytest.fail("something was fitted"))
    with pytest.raises(error, match=message):
        fit_candidate(frame, schema, "linear", SEARCH)


def test_a_metric_that_a_fold_does_not_define_is_left_out_and_named(make):
    frame, schema = table(make, numbers(slice(0, 100, 7)), timed=True, task="regression")
    found = fit_candidate(frame, schema, "linear", Search(trials=1, folds=4, scoring="mae"))
    assert any("r2 is left out, since the target is 0 in all" in text for text in found.remarks)
    assert "r2" not in found.metrics
    assert np.isfinite(found.metrics["mae"])
    assert found.trials["mae"].notna().all()


def test_a_class_that_a_fold_has_not_learned_is_named(make):
    frame, schema = table(make, three(slice(230, ROWS)), timed=True, task="multiclass", classes=ABC)
    found = fit_candidate(frame, schema, "linear", SEARCH)
    assert any("has not learned the class 'c'" in text for text in found.remarks)


def test_fewer_folds_than_asked_for_are_said(make):
    frame, schema = table(make, labels(5, 77, 140), timed=False, task="binary")
    found = fit_candidate(frame, schema, "linear", Search(trials=1, folds=4))
    assert found.remarks == ("The search judges on 3 folds instead of 4: more would not all hold the classes of y.",)


def test_usual_targets_give_no_remark(make, customer_parts, customer_schema):
    assert fit_candidate(customer_parts[0], customer_schema, "linear", SEARCH).remarks == ()


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_whatever_the_target_the_way_ends_in_a_verdict_or_a_sentence(make, data):
    task = data.draw(st.sampled_from(["binary", "multiclass", "regression"]))
    timed = data.draw(st.booleans())
    rare = data.draw(st.lists(st.integers(0, 119), max_size=12))
    classes = ("no", "yes") if task == "binary" else ABC
    target = numbers()[:120] if task == "regression" else np.full(120, classes[0], dtype=object)
    for place in rare:
        target[place] = 2.0 if task == "regression" else data.draw(st.sampled_from(classes))
    frame, schema = table(make, target, timed=timed, task=task, classes=classes)
    train, test = frame.iloc[:80].reset_index(drop=True), frame.iloc[80:].reset_index(drop=True)
    try:
        found = fit_candidate(train, schema, "linear", Search(trials=1, folds=3))
    except QuireError:  # a sentence; anything else fails the test
        return
    json.dumps(found.record(), allow_nan=False, default=str)
    evaluation = evaluate(found.pipeline, None, train, test, schema, resamples=50)
    verdict = judge(evaluation, Gate())
    json.dumps([evaluation.record(), verdict.record(promoted=False)], allow_nan=False)
    assert "nan" not in complete_card("", evaluation, verdict)
    assert "nan" not in verdict.headline


def test_segments_whose_folds_lack_a_class_are_joined(make, tmp_path):
    target = three(slice(202, ROWS, 4))  # c stands in segment b alone, and begins late
    frame, schema = table(make, target, timed=True, task="multiclass", classes=ABC)
    for value in ("a", "b"):
        save_part(
            tmp_path / value, value, fit_candidate(segment_rows(frame, schema, "half", value), schema, "linear", SEARCH)
        )
    found = join_parts({value: tmp_path / value for value in ("a", "b")}, frame, schema, "half")
    json.dumps(found.record(), allow_nan=False, default=str)
    assert found.out_of_fold.notna().all().all()
