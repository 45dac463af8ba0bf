"""Tests of the training report."""

import numpy as np
import pandas as pd
import pytest

from quire import report
from quire.config import Schema, Search
from quire.io.frames import ParquetFrame
from quire.model import fit_candidate

SEARCH = Search(trials=2, folds=2, space={"C": [0.5, 1.0]})


def people(rows=400, seed=0):
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, rows)
    return pd.DataFrame(
        {
            "age": pd.array(age, dtype="Int64"),
            "kind": pd.Series(rng.choice(["a", "b"], rows), dtype="str"),
            "code": pd.Series(["x"] * rows, dtype="str"),
            "buys": pd.Series(np.where(rng.random(rows) < age / 90, "yes", "no"), dtype="str"),
        }
    )


@pytest.fixture(scope="module")
def schema():
    return Schema.model_validate_json(
        '{"task": "binary", "positive": "yes", "columns": {"age": {"type": "integer", "unit": "years"},'
        '"kind": {"type": "category"}, "code": {"type": "text", "role": "ignore", "why": "made up"},'
        '"buys": {"type": "category", "role": "target"}}}'
    )


@pytest.fixture(scope="module")
def candidate(schema):
    return fit_candidate(people(), schema, "linear", SEARCH)


def test_the_answer_names_what_was_chosen_and_how_well_it_does(candidate, schema):
    answer = report.training.answer(candidate, schema)
    assert f"roc_auc {candidate.metrics['roc_auc']:.3f}" in answer.headline
    assert "2 settings were tried" in answer.headline
    assert answer.metrics["roc_auc"] == candidate.metrics["roc_auc"]
    assert not any(name.endswith("_std") for name in answer.metrics)


def test_features_and_what_is_left_out_are_listed_with_why(candidate, schema):
    text = report.training.features_table(candidate, schema).html
    for name in ("age", "kind", "years", "made up", "what is predicted"):
        assert name in text


def test_charts_say_what_they_show(candidate, schema):
    chart = report.training.trials(candidate)
    assert f"{candidate.metrics['roc_auc']:.3f}" in chart.message
    assert "<svg" in chart.html()
    fit = report.training.out_of_fold(candidate, schema)
    assert "A row of yes is ranked above one of no" in fit.message
    assert "<svg" in fit.html()


def test_the_trials_table_shows_what_varied(candidate):
    text = str(report.training.trials_table(candidate))
    assert "C" in text.split("\n")[0].split()
    assert "solver" not in text


def test_a_model_that_learned_from_a_sample_says_so(tmp_path):
    people(1000).to_parquet(tmp_path / "train.parquet", index=False)
    stored = ParquetFrame(tmp_path / "train.parquet")
    whole, sample = stored.sample(1000), stored.sample(300)
    assert "Learned from all 1,000 training rows." in str(report.training.rows_note(whole)._repr_html_())
    told = str(report.training.rows_note(sample)._repr_html_())
    assert f"Learned from a sample of {len(sample)} of 1,000 training rows" in told
