from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from quire import data
from quire.config import Column, ColumnDrift, Drift, Schema
from quire.monitor.drift import bin_edges, interval_names, measure_drift, measure_shares, status_of
from quire.page.numbers import percent

SCHEMA = Schema(
    task="regression",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        "size": Column(type="number"),
        "rain": Column(type="number"),
        "colour": Column(type="category"),
        "year": Column(type="integer"),
        "y": Column(type="number", role="target"),
    },
)
RULES = Drift(ignore=("year",))
START = datetime(2024, 1, 1, tzinfo=UTC)
WEEKS = 40
ROWS = 700


def frame(weeks, first=0, seed=0, **changed):
    """Weeks of independent rows, 100 a day; ``changed`` replaces columns from the second half on."""
    rng = np.random.default_rng([seed, first])
    rows = weeks * ROWS
    made = pd.DataFrame(
        {
            "at": pd.Timestamp(START) + pd.to_timedelta((first * ROWS + np.arange(rows)) * 864, unit="s"),
            "size": rng.normal(10, 2, rows),
            "rain": np.where(rng.random(rows) < 0.3, 0.0, rng.exponential(3, rows)),
            "colour": pd.Series(rng.choice(["red", "green", "blue"], rows, p=[0.5, 0.3, 0.2]), dtype="str"),
            "year": 2024 + first // 52,
            "y": rng.normal(0, 1, rows),
        }
    )
    return made.assign(**{name: change(made, rng) for name, change in changed.items()})


@pytest.fixture(scope="module")
def reference():
    return data.profile_periods(frame(WEEKS), SCHEMA)


def judged(reference, recent, rules=RULES, history=None):
    table = measure_drift(reference, data.profile_periods(recent, SCHEMA), rules, history)
    return table.set_index(["column", "part", "period"]).sort_index()


def test_weeks_like_the_reference_are_ok(reference):
    table = judged(reference, frame(4, first=WEEKS))
    assert set(table["status"]) == {"ok"}


def test_a_shift_of_half_a_deviation_alerts_in_its_first_week(reference):
    table = judged(reference, frame(2, first=WEEKS, size=lambda rows, _: rows["size"] + 1.0))
    assert table.loc[("size", "values"), "status"].tolist() == ["alert", "alert"]
    assert set(table.drop(("size", "values"))["status"]) == {"ok"}


def test_more_zeros_are_found_by_their_own_share(reference):
    def dry(rows, rng):
        return np.where(rng.random(len(rows)) < 0.15, 0.0, rows["rain"])

    table = judged(reference, frame(3, first=WEEKS, rain=dry))
    assert table.loc[("rain", "zeros"), "status"].tolist() == ["ok", "warn", "warn"]


def test_a_category_that_takes_over_alerts_and_is_named(reference):
    table = judged(reference, frame(1, first=WEEKS, colour=lambda rows, _: pd.Series("red", rows.index, dtype="str")))
    row = table.loc[("colour", "values", 0)]
    assert row["status"] == "alert"
    assert row["change"] == "red is 100% of the rows, before 50%"


def test_a_new_category_counts_as_other(reference):
    table = judged(reference, frame(1, first=WEEKS, colour=lambda rows, _: pd.Series("pink", rows.index, dtype="str")))
    assert "other is 100%" in table.loc[("colour", "values", 0), "change"]


def test_missing_values_alert_by_their_share(reference):
    def lost(rows, rng):
        return rows["size"].where(rng.random(len(rows)) > 0.3)

    table = judged(reference, frame(1, first=WEEKS, size=lost))
    assert table.loc[("size", "missing", 0), "status"] == "alert"
    assert table.loc[("size", "values", 0), "status"] == "ok"


def test_a_column_without_values_is_unknown_not_ok(reference):
    table = judged(reference, frame(1, first=WEEKS, size=lambda rows, _: np.nan))
    assert table.loc[("size", "values", 0), "status"] == "unknown"


def test_ignored_columns_and_timestamps_are_left_out(reference):
    assert {"year", "at"}.isdisjoint(judged(reference, frame(1, first=WEEKS)).index.get_level_values("column"))


def test_thresholds_can_be_set_by_column(reference):
    moved = frame(1, first=WEEKS, size=lambda rows, _: rows["size"] + 1.0)
    rules = Drift(ignore=("year",), columns={"size": ColumnDrift(alert=2.0)})
    table = judged(reference, moved, rules)
    assert table.loc[("size", "values", 0), "threshold"] == 2.0
    assert table.loc[("size", "values", 0), "status"] == "ok"


def test_seasonal_columns_alert_only_beyond_what_their_weeks_show():
    season = 3 * np.sin(np.arange(WEEKS * ROWS) / ROWS * 2 * np.pi / 20)
    past = data.profile_periods(frame(WEEKS, size=lambda rows, _: rows["size"] + season), SCHEMA)
    same = frame(8, first=WEEKS, size=lambda rows, _: rows["size"] + season[: len(rows)])
    table = judged(past, same)
    assert (table.loc[("size", "values"), "psi"] > table.loc[("size", "values"), "noise"]).any()
    assert "alert" not in set(table.loc[("size", "values"), "status"])


def test_with_few_windows_usual_is_stated_as_unknown():
    past = data.profile_periods(frame(6), SCHEMA)
    row = judged(past, frame(1, first=6)).loc[("size", "values", 0)]
    assert np.isnan(row["usual"])
    assert row["threshold"] == pytest.approx(max(0.10, row["noise"]))


def test_what_is_usual_is_learned_from_earlier_runs_too(reference):
    past = pd.DataFrame({"column": "size", "part": "values", "psi": [0.9, 1.1, 1.0] * 5, "status": "ok"})
    recent = frame(1, first=WEEKS)
    before = judged(reference, recent).loc[("size", "values", 0)]
    after = judged(reference, recent, history=past).loc[("size", "values", 0)]
    assert after["usual"] > before["usual"]
    assert after["windows"] == before["windows"] + 15


def test_without_a_timestamp_one_period_is_compared():
    schema = Schema(task="regression", columns={"x": Column(type="number"), "y": Column(type="number", role="target")})
    rng = np.random.default_rng(0)
    frames = [pd.DataFrame({"x": rng.normal(mean, 1, 2_000), "y": 0.0}) for mean in (0, 0, 1)]
    past, same, moved = (data.profile_periods(one, schema) for one in frames)
    for recent, status in ((same, "ok"), (moved, "alert")):
        table = measure_drift(past, recent, Drift()).set_index(["column", "part"])
        assert table.loc[("x", "values"), "status"] == status


def test_a_watch_becomes_a_warning_in_its_second_period():
    psi, watch = np.array([0.03, 0.03, 0.01, 0.03]), np.array([True, True, False, True])
    assert status_of(psi, np.full(4, 0.1), watch).tolist() == ["ok", "warn", "ok", "ok"]


def test_a_value_that_repeats_gets_a_bin_of_its_own():
    edges = bin_edges(np.array([0, 0, 0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8]), 0.0, 1.0)
    assert interval_names(edges)[:2] == ("0 or less", "0 to 0.2")
    assert np.histogram([0, 0, 0.1], [-np.inf, *edges, np.inf])[0][:2].tolist() == [2, 1]


def test_a_constant_column_notices_any_other_value():
    edges = bin_edges(np.full(9, 5.0), 5.0, 5.0)
    assert len(np.flatnonzero(np.histogram([4, 5, 6], [-np.inf, *edges, np.inf])[0])) == 3


def test_shares_of_each_period_sum_to_one(reference):
    recent = data.profile_periods(frame(2, first=WEEKS), SCHEMA)
    shares = measure_shares(reference, recent, RULES)
    sums = shares.groupby(["column", "part", "period"])[["reference", "now"]].sum()
    assert np.allclose(sums, 1.0)


def test_p_values_are_corrected_within_the_period(reference):
    table = judged(reference, frame(1, first=WEEKS))
    assert table["p_value"].dropna().between(0, 1).all()
    assert (table["p_value"].dropna() > 0.01).all()


def moved(rows, _):
    return rows["size"] + np.where(np.arange(len(rows)) % 3 == 0, 1.0, 0.2)


@pytest.mark.parametrize("mode", ["training", "same_season", "previous"])
def test_the_bars_are_what_was_compared_and_their_change_is_the_sentence(mode):
    season = 2 * np.sin(np.arange(110 * ROWS) / ROWS * 2 * np.pi / 52)
    past = data.profile_periods(frame(110, size=lambda rows, _: rows["size"] + season), SCHEMA)
    recent = data.profile_periods(frame(3, first=110, size=moved), SCHEMA)
    rules = Drift(ignore=("year",), columns={"size": ColumnDrift(reference=mode)})
    table = measure_drift(past, recent, rules).set_index(["column", "part", "period"])
    shares = measure_shares(past, recent, rules)
    for period in range(3):
        mine = shares[(shares["column"] == "size") & (shares["part"] == "values") & (shares["period"] == period)]
        assert set(mine["compared_with"]) == {mode}
        most = mine.loc[(mine["now"] - mine["reference"]).abs().idxmax()]
        told = table.loc[("size", "values", period), "change"]
        assert told == f"{most['label']} is {percent(most['now'])} of the rows, before {percent(most['reference'])}"
        ratio = np.log((mine["now"] + 1e-9) / (mine["reference"] + 1e-9))
        psi = float(((mine["now"] - mine["reference"]) * ratio).sum())
        assert psi == pytest.approx(table.loc[("size", "values", period), "psi"], rel=0.1, abs=0.01)


@pytest.mark.parametrize("known", [0.0, 0.3, 0.57, 6 / 7])
def test_a_target_that_is_not_known_yet_never_alerts(reference, known):
    def open_since(rows, _):
        late = rows["size"] + 5.0  # what is known differs, too: the first days are no sample of the week
        return late.where(np.arange(len(rows)) % ROWS < known * ROWS)

    recent = data.profile_periods(frame(2, first=WEEKS, size=open_since), SCHEMA)
    table = measure_drift(reference, recent, RULES, target="size").set_index(["column", "part"])
    assert set(table.loc[[("size", "values")], "status"]) == {"unknown"}
    assert ("size", "missing") not in table.index
    shares = measure_shares(reference, recent, RULES, target="size")
    assert shares.loc[(shares["column"] == "size") & (shares["part"] == "values"), "now"].isna().all()
    whole = data.profile_periods(frame(2, first=WEEKS, size=lambda rows, _: rows["size"] + 5.0), SCHEMA)
    judged_now = measure_drift(reference, whole, RULES, target="size").set_index(["column", "part"])
    assert set(judged_now.loc[[("size", "values")], "status"]) == {"alert"}


@pytest.mark.parametrize(
    ("edges", "names"),
    [
        ([933.0, 1380.0, 16536.0], ("below 933", "933 to 1,380", "1,380 to 16,536", "16,536 or more")),
        ([0.43211, 0.43229], ("below 0.4321", "0.4321 to 0.4323", "0.4323 or more")),
        ([-2.5, 0.0, 1e-7], None),
    ],
)
def test_names_of_intervals_differ_and_have_no_exponents(edges, names):
    told = interval_names(np.array(edges))
    assert names is None or told == names
    assert len(set(told)) == len(told)
    assert not any("e+" in name for name in told)
