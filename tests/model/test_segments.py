"""Tests of segments."""

import numpy as np
import pandas as pd
import pytest

from quire.model.bootstrap import resampling
from quire.model.metrics import Outcomes
from quire.model.segments import compare_segments, segment_labels


def test_every_row_is_in_one_segment_of_each_column(make, hourly_schema):
    frame = make.hourly(4)
    frame.loc[::9, "temperature"] = np.nan
    frame.loc[::7, "weather"] = None
    labels = segment_labels(frame, hourly_schema, ("temperature", "weather", "workday", "at"))
    for values in labels.values():
        assert values.notna().all()
        assert len(values) == len(frame)
    assert set(labels["weather"]) == {"dry", "wet", "missing"}
    assert set(labels["workday"]) == {"true", "false"}
    sizes = labels["temperature"].value_counts()
    assert len(sizes) == 5
    assert sizes.drop("missing").max() - sizes.drop("missing").min() <= 2
    assert set(labels["at"]) == {"2026-01-05", "2026-01-12", "2026-01-19", "2026-01-26"}


def test_rare_categories_are_put_together(make, customer_schema):
    frame = make.customers(400)
    plans = pd.Series([f"p{min(at % 40, 25)}" for at in range(400)], dtype="str")
    labels = segment_labels(frame.assign(plan=plans), customer_schema, ("plan",))["plan"]
    assert labels.nunique() == 13
    assert "other" in set(labels)


def test_the_loss_is_relative_and_paired():
    truth = np.random.default_rng(0).normal(0, 1, 400)
    half = pd.Series(["left"] * 200 + ["right"] * 200)
    error = np.where(half == "left", 1.0, 2.0)
    champion, candidate = (Outcomes("regression", truth, truth + error * by) for by in (1.0, 1.2))
    found = compare_segments(candidate, champion, {"side": half}, resampling(None, 400, resamples=50, seed=0))
    assert found["loss"].tolist() == pytest.approx([0.2, 0.2])
    assert found["loss_low"].tolist() == pytest.approx([0.2, 0.2])
    assert found["candidate"].tolist() == pytest.approx([1.2, 2.4])
    alone = compare_segments(candidate, None, {"side": half}, resampling(None, 400, resamples=50, seed=0))
    assert alone["loss"].isna().all()
