import numpy as np
import pandas as pd
import pytest

from quire import data
from quire.config import Column, Drift, Schema
from quire.data.moments import moments_from, moments_of
from quire.monitor.drift import measure_drift
from quire.monitor.performance_result import PerformanceResult
from quire.monitor.relations import find_cause, fit_relations, measure_relations
from quire.monitor.verdict import judge, strength, tell_cause

SCHEMA = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        "warm": Column(type="number"),
        "felt": Column(type="number"),
        "wind": Column(type="number"),
        "y": Column(type="number", role="target"),
    },
)


def frame(weeks, first=0, bias=0.0):
    rng = np.random.default_rng([first, weeks])
    hours = np.arange(weeks * 168) + first * 168
    warm = 10 + 8 * np.sin(hours / 8766 * 2 * np.pi) + rng.normal(0, 2, len(hours))
    felt = 0.9 * warm + rng.normal(0, 0.5, len(hours))
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame({"at": times, "warm": warm + bias, "felt": felt, "wind": rng.normal(size=len(hours)), "y": 0.0})


@pytest.fixture(scope="module")
def reference():
    return data.profile_periods(frame(60), SCHEMA)


def status(reference, recent):
    profiles = data.profile_periods(recent, SCHEMA)
    table = measure_relations(reference, profiles, Drift(), ["warm", "felt", "wind"])
    return table.set_index(["column", "period"])


def test_only_columns_that_others_explain_are_judged(reference):
    assert {one.column for one in fit_relations(reference, ["warm", "felt", "wind"])} == {"warm", "felt"}


def test_seasons_do_not_alert_and_a_bias_within_them_does(reference):
    assert set(status(reference, frame(6, first=70))["status"]) == {"ok"}
    found = status(reference, frame(2, first=70, bias=3.0))
    assert found.loc["warm", "status"].tolist() == ["alert", "alert"]
    assert "above what felt and the other columns predict" in found.loc[("warm", 0), "change"]


def test_a_period_without_values_is_unknown(reference):
    assert set(status(reference, frame(1, first=70).assign(felt=np.nan))["status"]) == {"unknown"}


def test_moments_merge_into_those_of_the_whole():
    rows = frame(3)[["warm", "felt", "wind"]]
    names = list(rows)
    parts = [moments_of(part, names) for part in (rows[:100], rows[100:])]
    whole, merged = moments_of(rows, names), parts[0].merge(parts[1])
    assert merged.mean == pytest.approx(whole.mean)
    assert merged.scatter == pytest.approx(whole.scatter)
    assert whole.scatter / (whole.n - 1) == pytest.approx(rows.cov().to_numpy())


def test_moments_leave_out_rows_that_lack_a_value_and_survive_json():
    rows = frame(1)[["warm", "felt"]]
    rows.loc[3, "warm"] = np.nan
    made = moments_of(rows, ["warm", "felt"])
    assert made.n == len(rows) - 1
    assert moments_from(made.record()).mean == pytest.approx(made.mean)


def test_moments_are_kept_in_the_file_of_profiles(reference, tmp_path):
    again = data.read_profiles(reference.write(tmp_path / "profiles.bin"))
    assert again.moments().scatter == pytest.approx(reference.moments().scatter)


FOUR = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        **{name: Column(type="number", unit="share of 41 °C") for name in "abcd"},
        "y": Column(type="number", role="target"),
    },
)


def four(weeks, first=0, **biases):
    """Four sensors of one weather, two of them of a second thing as well; each may read too high or too low."""
    rng = np.random.default_rng([first, weeks])
    hours = np.arange(weeks * 168) + first * 168
    season = np.sin(hours / 8766 * 2 * np.pi) + rng.normal(0, 0.3, len(hours))
    second = rng.normal(0, 1, len(hours))
    loads = {"a": (1.0, 0.2), "b": (0.9, -0.3), "c": (-0.8, 0.5), "d": (0.7, 0.9)}
    times = pd.Timestamp("2024-01-01", tz="UTC") + pd.to_timedelta(hours, unit="h")
    columns = {
        name: one * season + two * second + rng.normal(0, 0.15, len(hours)) + biases.get(name, 0.0)
        for name, (one, two) in loads.items()
    }
    return pd.DataFrame({"at": times, **columns, "y": 0.0})


@pytest.fixture(scope="module")
def sensors():
    return data.profile_periods(four(60), FOUR)


def cause_of(sensors, **biases):
    recent = data.profile_periods(four(2, 70, **biases), FOUR)
    return find_cause(sensors, recent, measure_drift(sensors, recent, Drift()), list("abcd"))


def test_of_two_columns_that_are_nearly_one_that_whose_own_values_moved_is_named_or_none():
    def doubled(frame):
        return frame.assign(b=frame["a"] * 0.9 + np.random.default_rng(1).normal(0, 0.01, len(frame)))

    past = data.profile_periods(doubled(four(60)), FOUR)
    for name, bias, named in (("a", 1.0, "a"), ("b", 1.2, "b"), ("b", -1.0, None)):
        moved = doubled(four(2, 70))
        recent = data.profile_periods(moved.assign(**{name: moved[name] + bias}), FOUR)
        found = find_cause(past, recent, measure_drift(past, recent, Drift()), list("abcd"))
        # A shift that stays within what the season allows does not tell which of the two it is.
        assert (found and found.column) == named
        assert found is None or found.shift == pytest.approx(bias, rel=0.15)


@pytest.mark.parametrize(("column", "bias"), [("a", 0.9), ("b", -0.9), ("c", 1.2), ("d", -1.1)])
def test_the_one_column_that_moved_is_found_with_its_shift_and_what_follows_from_it(sensors, column, bias):
    found = cause_of(sensors, **{column: bias})
    assert found.column == column
    assert found.shift == pytest.approx(bias, rel=0.15)
    assert column not in found.follows
    assert found.follows
    told = tell_cause(found, FOUR)
    assert told.startswith(f"{column} reads about ")
    assert f"{'higher' if bias > 0 else 'lower'} than the other columns predict" in told
    assert all(name in told for name in found.follows)


def test_where_two_columns_moved_or_none_did_no_single_one_is_blamed(sensors):
    assert cause_of(sensors) is None
    assert cause_of(sensors, a=0.9, d=-1.1) is None


def test_findings_are_in_the_order_of_cause_and_strength(sensors):
    recent = data.profile_periods(four(2, 70, a=0.9), FOUR)
    table = measure_drift(sensors, recent, Drift(), target="y")
    cause = find_cause(sensors, recent, table, list("abcd"))
    checks = pd.DataFrame(columns=["column", "what", "value", "limit", "status", "detail"])
    none = pd.DataFrame(columns=["metric", "start", "end", "value", "status"])
    concept = pd.DataFrame(columns=["end"])
    segments = pd.DataFrame(columns=["status"])
    figures = PerformanceResult("mae", {}, none, concept, pd.DataFrame(), float("nan"), segments)
    verdict = judge(table, checks, figures, FOUR, cause=cause)
    assert verdict.findings[0].what == tell_cause(cause, FOUR)
    assert verdict.headline.startswith(tell_cause(cause, FOUR))
    alerts = [one for one in verdict.findings if one.severity == "alert"]
    assert [one.follows for one in alerts[-len(cause.follows) :]] == ["a"] * len(cause.follows)
    followers = [strength(one) for one in alerts if one.follows]
    assert followers == sorted(followers, reverse=True)
    assert "nan" not in "".join(one.what + one.sure for one in verdict.findings)
