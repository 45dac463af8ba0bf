"""Tests of intervals by the bootstrap."""

import numpy as np
import pandas as pd
import pytest

from quire.model.bootstrap import gains, interval, metric_draws, resampling
from quire.model.metrics import Outcomes, measure


def test_single_rows_are_drawn_where_there_is_no_time():
    how = resampling(None, 50, resamples=30, seed=1)
    weights = np.concatenate(list(how.weights()))
    assert weights.shape == (30, 50)
    assert (weights.sum(axis=1) == 50).all()


@pytest.mark.parametrize(("days", "unit"), [(200, "week"), (56, "day"), (3, "hour")])
def test_blocks_are_the_longest_of_which_there_are_enough(days, unit):
    times = pd.Series(pd.date_range("2026-01-01", periods=days * 24, freq="h", tz="UTC"))
    how = resampling(times, len(times), resamples=5, seed=0)
    assert how.unit == unit
    for weights in how.weights():
        for block in np.unique(how.blocks):
            assert (weights[:, how.blocks == block] == weights[:, how.blocks == block][:, :1]).all()


def test_few_times_are_cut_into_twenty_blocks():
    times = pd.Series(pd.date_range("2026-01-01", periods=100, freq="min", tz="UTC"))
    assert resampling(times, 100, resamples=5, seed=0).blocks.max() == 19


def test_the_draws_are_the_same_each_time_and_differ_by_seed():
    first, again, other = (
        np.concatenate(list(resampling(None, 40, resamples=9, seed=seed).weights())) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_the_interval_covers_the_mean_in_about_nineteen_of_twenty_samples():
    rng, covered = np.random.default_rng(0), 0
    for seed in range(200):
        truth = rng.normal(0, 1, 120)
        found = Outcomes("regression", truth, np.zeros(120))
        draws = metric_draws(found, resampling(None, 120, resamples=200, seed=seed), ("mae",))["mae"]
        ends = interval(measure(found)["mae"], draws)
        covered += ends.low <= np.sqrt(2 / np.pi) <= ends.high
    assert 0.88 <= covered / 200 <= 0.99


def test_a_gain_above_zero_is_better_whatever_the_metric():
    truth = np.arange(60.0)
    near, far = (Outcomes("regression", truth, truth + error) for error in (np.sin(truth), 5 * np.sin(truth)))
    how = resampling(None, 60, resamples=100, seed=0)
    found = gains(measure(near), metric_draws(near, how), measure(far), metric_draws(far, how))
    assert all(gain.low > 0 for gain in found.values())


def test_what_cannot_be_computed_has_no_interval():
    assert np.isnan(interval(float("nan"), np.array([np.nan])).low)
    assert interval(1.0, np.array([np.nan])).as_json() == {"value": 1.0, "low": None, "high": None}
