"""The charts of the explore notebook: their messages are true of the data."""

import warnings

import numpy as np
import pandas as pd
import pytest

from quire import report
from quire.config import Column, Schema

RNG = np.random.default_rng(1)
CHARTS = (
    "target", "missingness", "distributions", "outliers", "strength", "relations", "correlations", "change", "rhythm",
)  # fmt: skip


def text(values):
    return pd.Series(values, dtype="str")


def hourly(hours=24 * 7 * 20):
    at = pd.date_range("2025-01-06", periods=hours, freq="h", tz="UTC").as_unit("us")
    temp = RNG.normal(size=hours)
    cnt = 100 + 50 * (at.hour == 17) + 10 * temp + np.linspace(0, 100, hours)
    return pd.DataFrame(
        {"at": at, "temp": temp, "twin": temp * 2, "kind": text(RNG.choice(list("abc"), hours)), "cnt": cnt}
    )


HOURLY = Schema(
    task="regression",
    frequency="1h",
    columns={
        "at": Column(type="datetime", role="timestamp", calendar=("hour",)),
        "temp": Column(type="number", nullable=True),
        "twin": Column(type="number"),
        "kind": Column(type="category"),
        "cnt": Column(type="number", role="target", unit="rides"),
    },
)


def table(rows=600, classes=("no", "yes")):
    size = RNG.normal(size=rows)
    code = (size > 0.5).astype(int) if len(classes) == 2 else np.digitize(size, [-0.5, 0.5])
    flip = RNG.random(rows) < 0.2
    code = np.where(flip, RNG.integers(0, len(classes), rows), code)
    return pd.DataFrame({"size": size, "kind": text(RNG.choice(list("ab"), rows)), "y": text(np.array(classes)[code])})


def classes(task):
    return Schema(
        task=task,
        positive="yes" if task == "binary" else None,
        columns={
            "size": Column(type="number", nullable=True),
            "kind": Column(type="category", nullable=True),
            "y": Column(type="category", role="target"),
        },
    )


def drawn(name, found):
    """The chart or note, drawn with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shown = getattr(report.explore, name)(found)
        if isinstance(shown, report.Chart):
            assert "<svg" in shown.html() or "<img" in shown.html()
            return shown.message
    return shown.text


@pytest.fixture(scope="module")
def hours():
    return report.examine(hourly(), HOURLY)


@pytest.mark.parametrize("name", CHARTS)
@pytest.mark.parametrize(
    ("frame", "schema"),
    [
        (hourly(), HOURLY),
        (hourly(30), HOURLY),
        (table(), classes("binary")),
        (table(classes=("a", "b", "c")), classes("multiclass")),
        (table(40).assign(size=np.nan), classes("binary")),
        (table(40).assign(kind=text([None] * 40)), classes("binary")),
        (table(40).assign(size=1.0), classes("binary")),
    ],
    ids=["hourly", "one day", "binary", "multiclass", "all numbers missing", "all texts missing", "constant"],
)
def test_every_chart_is_drawn_of_any_data(name, frame, schema):
    assert drawn(name, report.examine(frame, schema))


def test_the_target_is_told_by_its_middle_half(hours):
    low, high = np.quantile(hours.y, [0.25, 0.75])
    assert drawn("target", hours).startswith(f"Half of the rows have a cnt of {low:.0f} to {high:.0f}")


def test_a_binary_target_is_told_by_its_positive_class():
    frame = table().assign(y=text(["yes"] * 150 + ["no"] * 450))
    assert drawn("target", report.examine(frame, classes("binary"))) == "25% of rows are y = yes"


def test_growth_and_decline_are_told_by_the_same_weeks_of_the_year_before():
    years = hourly(24 * 7 * 80)
    season = 100 + 80 * np.sin(np.arange(len(years)) * 2 * np.pi / (24 * 364))
    for trend, words in ((1e-3, "higher than"), (-1e-3, "lower than"), (0.0, "as it was")):
        frame = years.assign(cnt=season * (1 + trend * np.arange(len(years)) / 24))
        told = drawn("change", report.examine(frame, HOURLY))
        assert f"{words} in the same 28 weeks a year before" in told, told


def test_of_less_than_a_year_no_direction_is_claimed(hours):
    told = drawn("change", hours)
    assert told.startswith("The mean cnt of a week lies between")
    assert "cannot be told apart" in report.explore.change(hours).how_to_read


def test_the_peak_of_the_week_is_found():
    frame = hourly().assign(cnt=lambda one: 10.0 * (one["at"].dt.day_of_week == 2) + one["at"].dt.hour)
    told = drawn("rhythm", report.examine(frame, HOURLY))
    assert told == "The mean cnt peaks on Wed at 23h (33) and is lowest on Mon at 0h (0)"


def test_the_column_that_lacks_most_is_named_with_its_share():
    frame = hourly()
    frame.loc[: len(frame) // 4 - 1, "temp"] = np.nan
    assert drawn("missingness", report.examine(frame, HOURLY)).startswith("temp lacks the most values, in 25% of rows")


def test_rows_that_are_absent_are_counted(hours):
    assert drawn("missingness", hours).endswith("every hour has a row")
    frame = hourly().drop(index=range(100, 148))
    assert drawn("missingness", report.examine(frame, HOURLY)).endswith("48 of 3,360 hours have no row")


def test_twins_are_named(hours):
    assert drawn("correlations", hours).startswith(
        "temp and twin correlate most (1.00); 1 pair of features is redundant"
    )


def test_the_strongest_feature_is_named_first(hours):
    assert drawn("strength", hours).startswith(f"{next(iter(hours.strength))} alone explains ")


def test_far_out_values_are_counted_by_column():
    frame = hourly()
    frame.loc[:33, "temp"] = 1000.0
    assert "1 of 3 numeric features holds far-out values, temp the most (in 1.0% of rows)" in drawn(
        "outliers", report.examine(frame, HOURLY)
    )


def test_a_leak_turns_the_answer_to_a_warning_and_names_the_column():
    frame = hourly().assign(twin=lambda frame: frame["cnt"])
    found = report.examine(frame, HOURLY)
    told = report.explore.answer(found)
    assert told.status == "warn"
    assert told.headline.startswith("Twin alone predicts cnt almost perfectly")
    assert "twin alone predicts" in report.explore.leakage(found).text


def test_without_a_leak_the_answer_says_what_the_target_follows(hours):
    told = report.explore.answer(hours)
    assert told.status == "good"
    assert told.headline.startswith(f"cnt depends most on {next(iter(hours.strength))}, and no column")


def test_columns_left_out_are_listed_with_their_reason():
    columns = dict(HOURLY.columns) | {"late": Column(type="number", role="ignore", why="known the day after")}
    found = report.examine(hourly(), HOURLY.model_copy(update={"columns": columns}))
    assert "known the day after" in report.explore.leakage(found).text


def test_a_sample_is_owned_up_to(hours):
    assert "All 3,360 rows" in report.explore.sample_note(hours).text
    sampled = report.examine(hourly(), HOURLY, most_rows=500)
    assert "A random sample of 500 of 3,360 rows" in report.explore.sample_note(sampled).text


def test_a_wide_table_is_drawn_with_the_columns_that_matter():
    names = [f"x{number}" for number in range(60)]
    frame = pd.DataFrame(RNG.normal(size=(300, 60)), columns=names).assign(y=lambda one: one["x7"] * 3)
    frame["x8"] = frame["x7"] + RNG.normal(size=300) * 0.3
    columns = {name: Column(type="number") for name in names} | {"y": Column(type="number", role="target")}
    found = report.examine(frame, Schema(task="regression", columns=columns))
    assert "x7 and x8 correlate most" in drawn("correlations", found)
    assert (
        "The 30 features that correlate most with another are shown." in report.explore.correlations(found).how_to_read
    )
    assert "The 12 that matter most to y are shown." in report.explore.distributions(found).how_to_read
    assert drawn("strength", found).startswith("x7 alone explains")
