import numpy as np
import pandas as pd
import pytest

from quire import data
from quire.config import Column, Drift, Schema
from quire.data.moments import moments_from, moments_of
from quire.monitor.relations import fit_relations, measure_relations

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
