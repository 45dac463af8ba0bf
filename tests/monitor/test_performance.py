import numpy as np
import pandas as pd
import pytest

from quire.config import Column, Performance, Schema
from quire.monitor.concept import judge_concept, signed_errors
from quire.monitor.estimate import expected_metric, fit_estimator
from quire.monitor.monitoring_input import sample
from quire.monitor.performance import (
    Interval,
    days_of,
    judge_performance,
    measured,
    outcomes_of,
    period_performance,
    prediction_bound,
    segment_performance,
)

NUMBER = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        "x": Column(type="number"),
        "site": Column(type="category"),
        "y": Column(type="number", role="target", description="demand"),
    },
    segments=("site",),
)
CLASS = Schema(
    task="binary",
    positive="yes",
    columns={"x": Column(type="number"), "y": Column(type="category", role="target", categories=("no", "yes"))},
)
RULES = Performance()


def scored(weeks, *, first=0, bias=0.0, noise=1.0, seed=0):
    """Hourly rows predicted by a model that is right on average; errors grow with ``x``."""
    rng = np.random.default_rng([seed, first])
    hours = weeks * 168
    x = rng.uniform(0, 2, hours)
    return pd.DataFrame(
        {
            "at": pd.date_range("2024-01-01", periods=hours, freq="h", tz="UTC") + pd.Timedelta(weeks=first),
            "x": x,
            "site": pd.Series(rng.choice(["north", "south"], hours), dtype="str"),
            "prediction": 10 + 5 * x,
            "actual": 10 + 5 * x + bias + noise * (0.5 + x) * rng.normal(size=hours),
        }
    )


def judged(recent):
    rng = np.random.default_rng(0)
    test = scored(8)
    expected = measured(test, NUMBER, ("mae", "r2", "rmse"), rng, RULES.confidence)
    windows, now = (period_performance(rows, NUMBER, RULES, period="7d", end=None, rng=rng) for rows in (test, recent))
    table = judge_performance(now, windows, expected, RULES)
    return table[table["metric"] == "mae"]


def test_a_model_as_good_as_on_its_test_window_is_ok():
    assert judged(scored(6, first=8))["status"].tolist() == ["ok"] * 6


def test_an_error_half_as_large_again_alerts():
    assert judged(scored(2, first=8, noise=1.5))["status"].tolist() == ["alert", "alert"]


def test_a_smaller_error_does_not_alert():
    assert set(judged(scored(2, first=8, noise=0.5))["status"]) == {"ok"}


def test_periods_without_labels_are_unknown():
    recent = scored(2, first=8)
    recent.loc[recent.index >= 168, "actual"] = np.nan
    table = judged(recent)
    assert table["status"].tolist() == ["ok", "unknown"]
    assert table["labelled"].tolist() == [168, 0]


def test_the_interval_covers_the_true_error_about_as_often_as_it_says():
    truth = np.mean([np.abs(rows["actual"] - rows["prediction"]).mean() for rows in (scored(200, seed=9),)])
    inside = []
    for seed in range(60):
        found = measured(scored(8, seed=seed + 20), NUMBER, ("mae",), np.random.default_rng(seed), 0.9)["mae"]
        inside.append(found.low <= truth <= found.high)
    assert np.mean(inside) > 0.75


def test_one_more_period_is_below_the_bound_as_often_as_it_says():
    rng = np.random.default_rng(3)
    below = [rng.normal() < prediction_bound(rng.normal(size=8), confidence=0.95, least=4) for _ in range(4_000)]
    assert np.mean(below) == pytest.approx(0.95, abs=0.012)


def test_signed_errors_tell_growth_from_noise():
    test = signed_errors(scored(8), NUMBER, RULES, period="7d", end=None)
    for bias, status in ((0.0, "ok"), (6.0, "alert"), (-6.0, "alert")):
        now = signed_errors(scored(1, first=8, bias=bias), NUMBER, RULES, period="7d", end=None)
        assert judge_concept(now, test, RULES)["status"].tolist() == [status]


def test_a_model_that_always_leaned_does_not_alert_for_it():
    test = signed_errors(scored(8, bias=4.0), NUMBER, RULES, period="7d", end=None)
    now = signed_errors(scored(3, first=8, bias=4.0), NUMBER, RULES, period="7d", end=None)
    assert set(judge_concept(now, test, RULES)["status"]) == {"ok"}


def test_the_weakest_segment_comes_first():
    recent = scored(2, first=8)
    worse = recent["site"] == "south"
    recent.loc[worse, "actual"] += 4 * np.sign(recent.loc[worse, "actual"] - recent.loc[worse, "prediction"])
    table = segment_performance(scored(8), recent, NUMBER, RULES, np.random.default_rng(0))
    assert table["segment"].tolist() == ["south", "north"]
    assert table["status"].tolist() == ["warn", "ok"]


def test_a_segment_with_too_few_rows_is_left_out():
    table = segment_performance(scored(8), scored(1).head(20), NUMBER, RULES, np.random.default_rng(0))
    assert table.empty


def test_the_estimate_follows_the_inputs_without_labels():
    estimator = fit_estimator(scored(8), NUMBER, RULES, metric="mae", period="7d", rng=np.random.default_rng(0))
    for low, high in ((0.0, 0.5), (1.5, 2.0)):
        rows = scored(8, first=8)
        rows = rows[rows["x"].between(low, high)]
        truth = np.abs(rows["actual"] - rows["prediction"]).mean()
        value, least, most = estimator.estimate(rows.assign(actual=np.nan), 0.99)
        assert value == pytest.approx(truth, rel=0.25)
        assert least < value < most


@pytest.mark.parametrize(("column", "weeks"), [("x", (0, 8)), ("x", (1, 8)), ("site", (0, 7))])
def test_a_column_without_values_in_some_periods_is_no_hindrance_to_the_estimate(column, weeks):
    test = scored(8)
    week = (test["at"] - test["at"].min()).dt.days // 7
    test.loc[(week >= weeks[0]) & (week < weeks[1]), column] = np.nan
    estimator = fit_estimator(test, NUMBER, RULES, metric="mae", period="7d", rng=np.random.default_rng(0))
    assert np.isfinite(estimator.estimate(scored(2, first=8).assign(**{column: np.nan}), 0.99)).all()


def classified(rows, *, seed, shift=0.0, wrong=0.0):
    """A classifier with the true probability, made too confident by ``wrong``."""
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1.5, rows)
    truth = 1 / (1 + np.exp(-x))
    probability = 1 / (1 + np.exp(-x * (1 + wrong)))
    happened = np.where(rng.random(rows) < truth, "yes", "no")
    made = pd.DataFrame({"x": x, "probability": probability, "actual": pd.Series(happened, dtype="str")})
    return made.assign(prediction=np.where(probability >= 0.5, "yes", "no"))


@pytest.mark.parametrize("metric", ["log_loss", "roc_auc", "accuracy", "brier"])
def test_the_confidence_based_estimate_is_near_what_happens_after_a_shift_of_the_inputs(metric):
    test, now = classified(6_000, seed=1), classified(6_000, seed=2, shift=1.0)
    estimator = fit_estimator(test, CLASS, RULES, metric=metric, period="7d", rng=np.random.default_rng(0))
    realised = measured(now, CLASS, (metric,), np.random.default_rng(0), 0.99)[metric].value
    assert estimator.estimate(now, 0.99)[0] == pytest.approx(realised, abs=0.02)


def test_probabilities_that_are_too_sure_are_calibrated_before_they_estimate():
    test, now = classified(6_000, seed=1, wrong=1.0), classified(6_000, seed=2, wrong=1.0)
    estimator = fit_estimator(test, CLASS, RULES, metric="brier", period="7d", rng=np.random.default_rng(0))
    realised = measured(now, CLASS, ("brier",), np.random.default_rng(0), 0.99)["brier"].value
    plain = expected_metric(outcomes_of(now, CLASS), outcomes_of(now, CLASS).probability, "brier")
    assert abs(estimator.estimate(now, 0.99)[0] - realised) < abs(plain - realised) / 2


def test_a_metric_of_which_more_is_better_is_judged_by_what_lacks_to_one():
    windows = pd.DataFrame({"metric": "r2", "value": [0.90, 0.91, 0.89, 0.90]})
    recent = pd.DataFrame({"metric": "r2", "value": [0.5], "low": [0.45], "high": [0.55]})
    found = judge_performance(recent, windows, {"r2": Interval(0.9, 0.88, 0.92)}, RULES).iloc[0]
    assert found["status"] == "alert"
    assert found["change"] == pytest.approx(4.0)


def test_days_are_numbered_whatever_the_unit_of_the_times():
    times = pd.to_datetime(["2024-01-01 23:59", "2024-01-02 00:00", "2024-01-02 12:00"], utc=True)
    for unit in ("s", "us", "ns"):
        assert days_of(pd.DataFrame({"at": times.as_unit(unit)}), NUMBER).tolist() == [0, 1, 1]
    assert days_of(pd.DataFrame({"x": [1.0]}), CLASS) is None


def test_a_sample_of_many_rows_keeps_their_order_and_of_few_takes_all():
    rows = pd.DataFrame({"x": np.arange(1_000)})
    taken = sample(rows, 100, np.random.default_rng(0))["x"]
    assert len(taken) == 100
    assert taken.is_monotonic_increasing
    assert sample(rows, 1_000, np.random.default_rng(0)) is rows


def test_an_interval_from_a_sample_is_as_narrow_as_all_rows_make_it():
    few = measured(scored(20, seed=5), NUMBER, ("mae",), np.random.default_rng(0), 0.9)["mae"]
    many = measured(scored(180, seed=5), NUMBER, ("mae",), np.random.default_rng(0), 0.9)["mae"]
    assert (many.high - many.low) / (few.high - few.low) == pytest.approx(1 / 3, rel=0.35)
