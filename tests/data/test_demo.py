import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quire.config import DemoSource, Fault, moment
from quire.data import demo
from quire.errors import ConfigError


def source(**settings):
    return DemoSource(kind="demo", start="2023-01-01", **{"hours": 3000, "seed": 3, **settings})


@pytest.fixture(scope="module")
def quiet():
    return demo.simulate(source())


def faulty(**fault):
    return demo.simulate(source(faults=(Fault(at="2023-04-01", until="2023-04-08", **fault),)))


def during(frame):
    return (frame["timestamp"] >= moment("2023-04-01")) & (frame["timestamp"] < moment("2023-04-08"))


@given(st.integers(1, 20_000), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_a_shorter_source_is_the_beginning_of_a_longer_one(hours, seed):
    shorter, longer = (demo.simulate(source(hours=count, seed=seed)) for count in (hours, hours + 9000))
    pd.testing.assert_frame_equal(shorter, longer.head(hours))


def test_rows_are_hourly_and_complete(quiet):
    assert tuple(quiet.columns) == demo.COLUMNS
    assert (quiet["timestamp"].diff().dropna() == pd.Timedelta("1h")).all()
    assert not quiet.isna().any().any()
    assert (quiet["casual"] + quiet["registered"] == quiet["cnt"]).all()


def test_columns_are_on_the_scales_of_the_uci_data(quiet):
    for name in ("temp", "atemp", "hum", "windspeed"):
        assert quiet[name].between(0, 1).all()
    assert set(quiet["weathersit"]) <= {1, 2, 3, 4}
    assert quiet.loc[quiet["timestamp"] == pd.Timestamp("2023-01-01", tz="UTC"), "weekday"].tolist() == [0]
    assert quiet.groupby("holiday")["workingday"].max()[1] == 0


def test_weather_is_autocorrelated_and_demand_follows_it():
    year = demo.simulate(source(hours=8760))
    assert year["temp"].autocorr(1) > 0.95
    assert year["hum"].autocorr(24) > 0.3
    assert year["temp"].corr(year["cnt"]) > 0.3
    july, january = (year.loc[year["mnth"] == month, "temp"].mean() for month in (7, 1))
    assert july > january + 0.3


def test_another_seed_gives_another_year():
    assert not demo.simulate(source(seed=4))["cnt"].equals(demo.simulate(source(seed=5))["cnt"])


@pytest.mark.parametrize(
    ("fault", "column", "check"),
    [
        ({"kind": "sensor_bias", "size": 0.2}, "temp", lambda now, was: np.allclose(now - was, 0.2)),
        ({"kind": "unit_change", "column": "hum", "size": 100.0}, "hum", lambda now, was: np.allclose(now, was * 100)),
        ({"kind": "missing_block", "column": "windspeed"}, "windspeed", lambda now, was: now.isna().all()),
        ({"kind": "new_category", "size": 0.5}, "weathersit", lambda now, was: 0.3 < (now == 9).mean() < 0.7),
        ({"kind": "demand_shift", "size": 0.5}, "cnt", lambda now, was: abs(now.sum() / was.sum() - 0.5) < 0.01),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_fault_changes_its_column_from_its_date_until_its_end_and_nothing_else(quiet, fault, column, check):
    frame = faulty(**fault)
    within = during(frame)
    assert check(frame.loc[within, column], quiet.loc[within, column])
    changed = ["casual", "registered", "cnt"] if fault["kind"] == "demand_shift" else [column]
    same = frame.drop(columns=changed)
    pd.testing.assert_frame_equal(same, quiet.drop(columns=changed))
    assert (frame.loc[~within, column] == quiet.loc[~within, column]).all()


def test_a_missing_block_without_a_column_takes_the_rows_out(quiet):
    frame = faulty(kind="missing_block")
    assert len(frame) == len(quiet) - 7 * 24
    assert not during(frame).any()


def test_a_fault_of_an_unknown_column_is_refused():
    with pytest.raises(ConfigError, match=r"'tmep'.*Did you mean 'temp'"):
        faulty(kind="sensor_bias", column="tmep")
