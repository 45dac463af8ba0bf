"""Every sentence over a chart is true of the frame that is drawn, also of frames as they are rarely seen."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from quire.config import Column, Schema
from quire.model.metrics import Outcomes
from quire.report import (
    drift,
    evaluation,
    explore,
    feedback,
    ingest,
    monitoring,
    over_time,
    predictions,
    quality,
    relations,
    residuals,
    training,
)

from . import claims

SEEDS = range(12)
SCHEMA = Schema(
    task="regression",
    frequency="1h",
    columns={
        "at": Column(type="datetime", role="timestamp"),
        "x": Column(type="number"),
        "y": Column(type="number", role="target"),
    },
)
BINARY = Schema(
    task="binary",
    positive="yes",
    columns={"x": Column(type="number"), "y": Column(type="category", role="target")},
)
FINDINGS = SimpleNamespace(schema=SCHEMA, goal_name="y", focus="yes")
OF_CLASSES = SimpleNamespace(schema=BINARY, goal_name="share of y = yes", focus="yes")


def numbers(seed, count, *, ties=False, negative=True, missing=0.0, constant=False):
    """Numbers as they may be in a frame."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=count) * 10.0 ** rng.integers(-3, 4)
    values = np.full(count, values[0]) if constant else np.round(values, 0) if ties else values
    values = values if negative else np.abs(values)
    return np.where(rng.random(count) < missing, np.nan, values)


KINDS = {
    "plain": {},
    "ties": {"ties": True},
    "some missing": {"missing": 0.3},
    "all missing": {"missing": 1.0},
    "positive": {"negative": False},
    "constant": {"constant": True},
    "zero": {"constant": True, "ties": True},
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_count = pytest.mark.parametrize("count", [1, 2, 7])


def segments_frame(seed, count, kind):
    """Segments as monitoring measures them; the one that lost most first."""
    change = pd.Series(numbers(seed, count, **KINDS[kind]) / 100)
    frame = pd.DataFrame({"column": "where", "segment": [f"s{n}" for n in range(count)], "change": change})
    frame["status"] = np.where((change > 0.2) & (np.arange(count) % 2 == 0), "warn", "ok")
    return frame.sort_values("change", ascending=False, na_position="last", ignore_index=True)


@each_kind
@each_count
def test_segments(kind, count):
    for seed in SEEDS:
        frame = segments_frame(seed, count, kind)
        claims.segments(monitoring.segments_message(frame), frame)
        improved = frame.assign(change=-frame["change"].abs() - 0.01, status="ok")
        claims.segments(monitoring.segments_message(improved), improved)


def test_where_all_segments_improved_the_one_that_improved_least_is_named():
    frame = pd.DataFrame({"column": "a", "segment": ["DSL", "Two year"], "change": [-0.04, -0.45], "status": "ok"})
    for rows in (frame, frame.iloc[::-1]):
        message = monitoring.segments_message(rows)
        assert message.endswith("in all 2 segments, least so where a = DSL (by 4.0%)")


@each_kind
@each_count
def test_evaluated_segments(kind, count):
    for seed in SEEDS:
        loss = numbers(seed, count, **KINDS[kind])
        frame = segments_frame(seed, count, kind).assign(rows=5, metric="mae", loss=loss, loss_low=loss - 0.1)
        frame = frame.assign(loss_high=loss + 0.1, candidate=numbers(seed + 1, count, **KINDS[kind]))
        for compared in (True, False):
            claims.evaluated_segments(evaluation.segments_message(frame, compared), frame)


@each_count
def test_importance(count):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame({"feature": [f"f{n}" for n in range(count)], "std": rng.random(count)})
        frame["importance"] = np.sort(rng.normal(size=count) * 3)[::-1]
        claims.importance(evaluation.importance_message(frame), frame)


@each_kind
@each_count
def test_over_time(kind, count):
    for seed in SEEDS:
        values = numbers(seed, count, **KINDS[kind])
        if np.isnan(values).all():
            continue
        at = pd.date_range("2025-01-06", periods=count, freq="7D", tz="UTC")
        predicted = np.nan_to_num(values) + numbers(seed + 100, count)
        frame = pd.DataFrame({"end": at, "actual": np.nan_to_num(values), "predicted": predicted, "expected": 0.0})
        frame["bias"] = frame["actual"] - frame["predicted"]
        frame["share"] = frame["bias"] / frame["predicted"].abs().where(frame["predicted"] != 0)
        frame["status"] = np.array(["ok", "warn", "alert", "unknown"])[np.arange(count) % 4]
        claims.signed(monitoring.signed_message(frame, SCHEMA), frame)
        claims.signed(monitoring.actual_message(frame, SCHEMA), frame)


def changed(values, freq="7D"):
    at = pd.date_range("2023-01-02", periods=len(values), freq=freq)
    frame = pd.DataFrame({"at": at, "mean": values})
    return frame.assign(year_before=frame["mean"].shift(52))


@each_kind
@pytest.mark.parametrize("weeks", [1, 30, 54, 60, 120])
def test_change(kind, weeks):
    for seed in SEEDS:
        frame = changed(numbers(seed, weeks, **KINDS[kind] | {"missing": 0.0}))
        claims.change(over_time.change_message(frame, FINDINGS, "week"), frame)
        shares = frame.assign(mean=frame["mean"].abs() % 1, year_before=frame["year_before"].abs() % 1)
        claims.change(over_time.change_message(shares, OF_CLASSES, "week"), shares)


def test_seasons_alone_are_no_fall():
    season = 100 + 50 * np.sin(np.arange(100) * 2 * np.pi / 52)
    message = over_time.change_message(changed(season), FINDINGS, "week")
    assert "is as it was in the same 48 weeks a year before" in message
    message = over_time.change_message(changed(season * np.where(np.arange(100) < 52, 1, 1.15)), FINDINGS, "week")
    assert "15% higher than in the same 48 weeks a year before" in message


@each_kind
def test_rhythm(kind):
    for seed in SEEDS:
        values = numbers(seed, 7 * 24, **KINDS[kind] | ({"missing": 0.2} if kind == "all missing" else {}))
        frame = pd.DataFrame(values.reshape(7, 24))
        claims.rhythm(over_time.rhythm_message(frame, FINDINGS), frame)


@each_kind
@each_count
def test_explored_columns(kind, count):
    for seed in SEEDS:
        values = numbers(seed, max(count, 2), **KINDS[kind] | {"missing": 0.0})
        names = [f"f{n}" for n in range(len(values))]
        target = pd.DataFrame({"value": values})
        claims.target(explore.target_message(target, "y"), target)
        strengths = pd.DataFrame({"feature": names, "strength": np.sort(np.clip(np.abs(values) % 1.2, 0, 1))[::-1]})
        for schema in (SCHEMA, BINARY):
            claims.strength(relations.strength_message(strengths, schema), strengths)
        far = pd.DataFrame({"feature": names, "share": np.clip(values, 0, 1)})
        claims.outliers(explore.outliers_message(far), far)
        pairs = pd.DataFrame({"a": names, "b": names[::-1], "correlation": np.clip(values / 3, -1, 1)})
        claims.correlations(relations.correlations_message(pairs), pairs)
        shapes = pd.DataFrame({"feature": names, "numeric": True, "skew": values, "commonest": np.abs(values) % 1.0})
        claims.shapes(explore.shapes_message(shapes), shapes)


@each_kind
def test_relations(kind):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        means = numbers(seed, 12, **KINDS[kind])
        frame = pd.DataFrame({"feature": np.repeat(["a", "b", "c"], 4), "value": np.arange(12.0), "mean": means})
        frame["rows"] = rng.integers(1, 60, 12)
        claims.relations(relations.relations_message(frame, FINDINGS), frame)


@pytest.mark.parametrize("names", [["yes"], ["yes", "no"], ["a", "b", "c"], ["a", "b"] * 1])
def test_classes(names):
    for seed in SEEDS:
        shares = np.random.default_rng(seed).dirichlet(np.ones(len(names)))
        frame = pd.DataFrame({"class": names, "share": np.sort(shares)[::-1]})
        several = SimpleNamespace(schema=SimpleNamespace(task="multiclass", target="y"), focus=names[0])
        claims.classes(explore.classes_message(frame, several), frame)
        even = frame.assign(share=1 / len(names))
        assert f"{len(names)} classes has" in explore.classes_message(even, several)


@each_count
def test_missing_values(count):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        shares = {name: np.where(rng.random(count) < 0.4, 0.0, rng.random(count) ** 8) for name in ("before", "after")}
        frame = pd.DataFrame({"column": [f"c{n}" for n in range(count)], **shares})
        made = ingest.missing_frame(
            SimpleNamespace(manifest={"missing": frame.to_dict("records"), "read": {"all": 17_000}, "rows": 16_000})
        )
        if made[["before", "after"]].to_numpy().any():
            claims.missing(ingest.missing_message(made), made)


def test_values_that_ingest_set_missing_are_told_as_such_and_never_as_none():
    rows = [{"column": "hum", "before": 0.0, "after": 22 / 17_000}, {"column": "temp", "before": 0.0, "after": 0.0}]
    frame = ingest.missing_frame(SimpleNamespace(manifest={"missing": rows, "read": {"all": 17_000}, "rows": 17_000}))
    assert ingest.missing_message(frame) == "hum: 22 values (0.13%) were set missing"


@pytest.mark.parametrize("absent", [0, 1, 163])
@pytest.mark.parametrize(("frequency", "words"), [("1h", "hour"), ("7d", "steps of 7 days"), ("1d", "day")])
def test_gaps_are_counted_in_the_words_of_the_frequency(absent, frequency, words):
    at = pd.Timestamp("2025-01-01", tz="UTC")
    frame = pd.DataFrame({"window": ["train"], "rows": [9], "first": [at], "last": [at], "steps": [500]})
    frame["present"] = 500 - absent
    schema = SCHEMA.model_copy(update={"frequency": frequency})
    message = ingest.rows_message(frame, schema)
    claims.gaps(message, frame)
    assert absent == 0 or words in message
    assert "period" not in message


def test_rows_whose_label_is_not_known_yet_are_no_gap():
    times = {name: pd.Series(pd.date_range(start, periods=24, freq="h", tz="UTC")) for name, start in
             (("train", "2025-01-01"), ("test", "2025-01-02"), ("current", "2025-01-09"))}  # fmt: skip
    windows = {
        name: {"start": at.iloc[0].isoformat(), "end": (at.iloc[-1] + pd.Timedelta("1h")).isoformat(), "rows": 24}
        for name, at in times.items()
    }
    made = SimpleNamespace(
        frames={n: pd.DataFrame({"at": at}) for n, at in times.items()}, manifest={"windows": windows}
    )
    assert ingest.rows_message(ingest.gaps_frame(made, SCHEMA), SCHEMA).endswith("every hour has a row")


def drift_frame(seed, count, kind):
    rng = np.random.default_rng(seed)
    psi = np.abs(numbers(seed, count, **KINDS[kind]))
    frame = pd.DataFrame({"column": [f"c{n}" for n in range(count)], "part": "values", "period": 3, "psi": psi})
    frame["threshold"] = rng.random(count) + 0.01
    alert, watched = frame["psi"] > frame["threshold"], rng.random(count) < 0.3
    frame["status"] = np.select([frame["psi"].isna(), alert, watched], ["unknown", "alert", "warn"], "ok")
    return frame


@each_kind
@each_count
def test_drift_overview(kind, count):
    for seed in SEEDS:
        frame = drift.shown(drift_frame(seed, count, kind))
        claims.overview(drift.overview_message(frame), frame)


@each_kind
@each_count
def test_drift_history(kind, count):
    for seed in SEEDS:
        weeks = [
            drift_frame(seed + week, count, kind).assign(end=pd.Timestamp("2025-01-06", tz="UTC")) for week in range(5)
        ]
        frame = pd.concat([one.assign(end=one["end"] + pd.Timedelta(weeks=n)) for n, one in enumerate(weeks)])
        frame = frame.assign(start=frame["end"] - pd.Timedelta(weeks=1), left_out=0)
        claims.history(drift.history_message(frame), frame)
        single = frame[frame["column"] == "c0"]
        claims.history(drift.history_message(single), single)


def test_drift_details_change_as_the_bars_do():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        shares = [
            pd.DataFrame({"column": name, "label": [f"b{n}" for n in range(bins)], "share": 2 - 0.5 * place})
            .assign(now=rng.dirichlet(np.ones(bins)), reference=rng.dirichlet(np.ones(bins)))
            for place, (name, bins) in enumerate((("c0", 1), ("c1", 2), ("c2", 10))[seed % 3 :])
        ]  # fmt: skip
        frame = pd.concat(shares, ignore_index=True)
        for chosen in (True, False):
            claims.details(drift.details_message(frame, chosen=chosen), frame)


@each_kind
def test_spread(kind):
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        edges = np.sort(numbers(seed, 11, **KINDS[kind] | {"missing": 0.0}))
        frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "label": ""})
        frame = frame.assign(now=rng.dirichlet(np.ones(10)), test=rng.dirichlet(np.ones(10)) * (seed % 4 > 0))
        claims.spread(monitoring.spread_message(frame, "prediction"), frame)
        named = frame.assign(low=np.nan, high=np.nan, label=[f"k{n}" for n in range(10)])
        claims.spread(monitoring.spread_message(named, "prediction"), named)


@each_kind
@each_count
def test_predictions(kind, count):
    for seed in SEEDS:
        values = numbers(seed, count, **KINDS[kind] | {"missing": 0.0})
        both = pd.DataFrame(
            {"of": ["predictions"] * count + ["training target"] * count, "value": [*values, *values * 2]}
        )
        claims.predicted_distribution(predictions.distribution_message(both), both)
        band = numbers(seed + 1, count, **KINDS[kind])
        frame = pd.DataFrame({"at": range(count), "value": values, "low": band, "high": band + 1})
        frame.attrs["step"] = ("1h", "1D")[seed % 2]
        claims.course(predictions.course_message(frame), frame)
        share = np.abs(values) % 1
        rows = pd.DataFrame({"probability": share, "positive": share > 0.5})
        claims.probability(predictions.probability_message(rows, "Yes", 0.27), rows)
        made = pd.DataFrame({"class": [f"k{n}" for n in range(count)], "now": share, "training": share[::-1]})
        claims.predicted_classes(predictions.classes_message(made), made)


def test_the_level_of_a_binary_task_tells_what_is_predicted_from_what_is_probable():
    history = pd.DataFrame({"y": ["yes"] * 27 + ["no"] * 73})
    rows = pd.DataFrame({"prediction": ["yes"] * 31 + ["no"] * 69, "probability": 0.261})
    level = predictions.level_of(rows, history, BINARY)
    told = predictions.level_message(level, BINARY)
    assert told == "31% of them as y = yes; the mean probability is 26%, against 27% of the rows in training"


def test_usual_is_of_the_same_season_and_is_not_told_where_training_has_none():
    at = pd.Series(pd.date_range("2023-01-01", periods=24 * 500, freq="h", tz="UTC"))
    season = 100 + 80 * np.cos((at.dt.day_of_year - 200) / 365.25 * 2 * np.pi)
    history = pd.DataFrame({"at": at, "y": season})
    now = pd.Series(pd.date_range("2024-07-20", periods=168, freq="h", tz="UTC"))
    rows = pd.DataFrame({"at": now, "prediction": 180.0})
    frame = predictions.course_frame(rows, history, SCHEMA)
    assert frame["low"].min() > 160
    assert predictions.course_message(frame).endswith("below it in 0%")
    winter = history[history["at"].dt.month.isin([11, 12, 1, 2])]
    alone = predictions.course_frame(rows, winter, SCHEMA)
    assert predictions.course_message(alone) == "The mean prediction of an hour lies between 180 and 180"
    chart = predictions.predictions_over_time(rows, winter, SCHEMA)
    assert "season" not in chart.message + chart.how_to_read


@each_kind
@pytest.mark.parametrize("count", [1, 2, 30])
def test_errors(kind, count):
    for seed in SEEDS:
        truth = numbers(seed, count, **KINDS[kind] | {"missing": 0.0})
        prediction = truth + (seed % 3) * numbers(seed + 50, count, ties=True)
        found = Outcomes("regression", truth, prediction, None, ())
        frame = residuals.size_frame(found)
        claims.size(residuals.size_message(frame), frame)
        at = pd.Series(pd.date_range("2025-01-01", periods=count, freq="6h", tz="UTC"))
        daily = residuals.errors_frame(found, at)
        claims.worst(residuals.worst_message(daily), daily)
        errors = pd.DataFrame({"error": prediction - truth})
        claims.distribution_of_errors(residuals.distribution_message(errors), errors)
        both = pd.DataFrame({"predicted": prediction, "actual": truth})
        claims.fit(training.fit_message(both, {"r2": float("nan")}), both)


def test_classes_that_are_confused():
    for seed in SEEDS:
        size = 1 + seed % 4
        counts = np.random.default_rng(seed).integers(0, 9, (size, size)) * (seed % 3 > 0) + 5 * np.eye(size)
        frame = pd.DataFrame(counts, index=[f"k{n}" for n in range(size)], columns=[f"k{n}" for n in range(size)])
        claims.confusion(residuals.confusion_message(frame), frame)


def test_probabilities_and_thresholds():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        count = (1, 5, 200)[seed % 3]
        frame = pd.DataFrame({"probability": rng.random(count).round(3), "positive": rng.random(count) < 0.4})
        claims.threshold(residuals.threshold_message(frame, 0.5 if seed % 4 else 0.99, "Yes"), frame)
        curve = pd.DataFrame({"predicted": rng.random(count), "observed": rng.random(count), "rows": 3})
        curve = curve.assign(low=curve["observed"] - 0.2, high=curve["observed"] + 0.2)
        claims.calibration(residuals.calibration_message(curve), curve)
        rows = pd.DataFrame(
            {"actual": rng.integers(0, 3, count), "predicted": rng.integers(0, 3, count), "probability": 0.5}
        )
        claims.ranked(training.classes_message(rows, ("a", "b", "c"), {}), rows)


def test_trials():
    for seed in SEEDS:
        count = 1 + seed % 5
        scores = numbers(seed, count, ties=seed % 2 == 0)
        frame = pd.DataFrame({"trial": range(count), "estimator": "linear", "r2": scores, "chosen": False})
        frame.loc[seed % count, "chosen"] = True
        claims.trials(training.trials_message(frame, "r2"), frame)


def test_checks():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        frame = pd.DataFrame(rng.integers(-1, 1 + seed % 3, (1 + seed, 3)), index=[f"c{n}" for n in range(1 + seed)])
        claims.grid(quality.grid_message(frame), frame)


def test_the_service():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        count = 1 + seed % 4
        days = pd.DataFrame({"day": pd.date_range("2025-01-01", periods=count, freq="D", tz="UTC")})
        days = days.assign(requests=rng.integers(0, 3, count), p95_ms=numbers(seed, count, missing=0.5, negative=False))
        days = days.assign(
            refused=rng.integers(0, 2, count) * (seed % 2), failed=rng.integers(0, 2, count) * (seed % 2)
        )
        claims.service(feedback.service_message(days), days)
