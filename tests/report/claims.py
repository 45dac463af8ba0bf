"""What the sentences over the charts claim, computed again from the frame that each chart carries.

Each function takes a chart's message and frame, and asserts that the one is true of the other. They compute in their
own way: from sorted rows and plain Python numbers, not by the functions that word the sentence.
"""

import re

import numpy as np
import pandas as pd

from quire.report.labels import label_text
from quire.report.numbers import number, percent

DAY = "%-d %B %Y"


def records(frame):
    return frame.to_dict("records")


def known(values):
    return [float(one) for one in values if one is not None and one == one]


def plural(count, word):
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def named(message, name):
    return label_text(name) in message


def missing(message, frame):
    lacking = [row for row in records(frame) if row["before"] > 0 or row["after"] > 0]
    most = max(max(row["before"], row["after"]) for row in lacking)
    worst = [row for row in lacking if max(row["before"], row["after"]) == most]
    row = next(row for row in worst if named(message, row["column"]))
    for side in ("before", "after"):
        told = f"{row[f'rows_{side}']:,} values ({percent(row[side])})"
        same = row["rows_before"] == row["rows_after"]
        assert (told in message) == (row[side] > 0) or same
    assert ("were set missing" in message) == (row["before"] == 0)
    assert message.startswith(f"{len(lacking)} of {len(frame)} column") or len(lacking) == 1


def gaps(message, frame):
    assert message.startswith(
        f"{sum(frame['rows']):,} rows from {min(frame['first']):{DAY}} to {max(frame['last']):{DAY}}"
    )
    steps, present = sum(frame["steps"]), sum(frame["present"])
    if steps != steps:
        assert "no row" not in message
        assert "has a row" not in message
    elif steps == present:
        assert "has a row" in message
    else:
        assert f"{int(steps - present):,} of {int(steps):,} " in message
        assert message.endswith("no row")


def parts(message, frame):
    rows = dict(zip(frame["window"], frame["rows"], strict=True))
    total = sum(rows.values())
    assert message == f"{total:,} rows, split at random: {percent(rows['test'] / total)} to judge the model"


def grid(message, frame):
    worst = {name: max(frame.loc[name]) if frame.index.is_unique else None for name in frame.index}
    bad = [name for name, status in worst.items() if status in (1, 2)]
    if not bad:
        assert message == f"Every check holds in all {plural(len(frame), 'column')}"
        return
    assert message.startswith(f"{len(bad)} of {plural(len(frame), 'column')} break a rule")
    assert ("fail" in message) == (2 in worst.values())
    assert ("warn" in message) == (1 in worst.values())


def target(message, frame):
    values = sorted(known(frame["value"]))
    low, high = np.percentile(values, [25, 75])
    if values[0] == values[-1]:
        assert message.endswith(f"is {number(values[0])} in every row")
        return
    assert number(low) in message
    assert low == high or f"{number(low)} to {number(high)}" in message
    assert number(values[-1]) in message
    if "reaches from" in message:
        assert f"from {number(values[0])} to {number(values[-1])}" in message
    else:
        middle = np.median(values)
        assert values[-1] - middle > middle - values[0]


def classes(message, frame):
    shares = dict(zip(frame["class"], frame["share"], strict=True))
    if "most frequent" in message:
        ordered = sorted(shares.values())
        assert message.split(" with ")[1].startswith(percent(ordered[-1]))
        assert message.endswith(f"the rarest with {percent(ordered[0])}")
    else:
        assert re.match(r"[\d.<]+%", message.removeprefix("Each of ").split(" has ")[-1])
        assert any(percent(share) in message for share in shares.values()) or message.startswith("0%")


def change(message, frame):
    pairs = [(row["year_before"], row["mean"]) for row in records(frame) if row["year_before"] == row["year_before"]]
    if "year before" not in message:
        assert not re.search(r"higher|lower|rose|fell", message)
        assert len(pairs) < 4
        for end in (min(frame["mean"]), max(frame["mean"])):
            assert number(end) in message or percent(end) in message
        return
    before, now = (sum(one) / len(pairs) for one in zip(*pairs, strict=True))
    assert f"same {len(pairs)} " in message
    if "%" in message and re.search("higher|lower", message):
        assert percent(abs(now / before - 1)) in message
        assert ("higher" in message) == (now > before)
    assert number(before) in message or percent(before) in message


def rhythm(message, frame):
    cells = [(value, day, hour) for day, row in frame.iterrows() for hour, value in row.items() if value == value]
    high, low = max(cells), min(cells)
    if high[0] == low[0]:
        assert message.endswith("in every hour of the week")
        return
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    peak = re.search(r"peaks on (\w+) at (\d+)h", message)
    lowest = re.search(r"lowest on (\w+) at (\d+)h", message)
    at = {(days[day], str(hour)): value for value, day, hour in cells}
    assert at[peak.groups()] == high[0]
    assert at[lowest.groups()] == low[0]


def coverage(message, frame):
    steps = frame.attrs.get("steps")
    if steps is not None and steps > frame.attrs["present"]:
        assert f"{steps - frame.attrs['present']:,} of {steps:,} " in message


def lacking(message, frame):
    most = max(frame["share"])
    assert f"{percent(most)} of rows" in message
    worst = [name for name, share in zip(frame["column"], frame["share"], strict=True) if share == most]
    assert (len(worst) == 1 and named(message, worst[0])) or message.startswith(f"{len(worst)} columns")


def shapes(message, frame):
    flat = [row["feature"] for row in records(frame) if row["commonest"] > 0.95]
    skewed = [row["feature"] for row in records(frame) if abs(row["skew"]) > 2 and row["feature"] not in flat]
    assert ("strongly skewed" in message and not message.startswith("No ")) == bool(skewed)
    assert ("nearly constant" in message and not message.startswith("No ")) == bool(flat)
    assert all(named(message, name) for name in (*skewed, *flat)) or len(skewed) > 4 or len(flat) > 4


def outliers(message, frame):
    far = {row["feature"]: row["share"] for row in records(frame) if row["share"] > 0}
    if not far:
        assert message == f"None of the {plural(len(frame), 'numeric feature')} holds a far-out value"
        return
    assert message.startswith(f"{len(far)} of {plural(len(frame), 'numeric feature')}")
    name = max(far, key=far.get)
    assert f"{label_text(name)} the most (in {percent(far[name])} of rows)" in message


def strength(message, frame):
    strengths = list(frame["strength"])
    weak = sum(one < 0.01 for one in strengths)
    if max(strengths) <= 0:
        assert message.startswith(f"None of {len(frame)} features alone")
        return
    best = frame["feature"][strengths.index(max(strengths))]
    assert message.startswith(label_text(best))
    assert percent(max(strengths)) in message or f"({max(strengths):.2f})" in message
    assert (f"{weak} of {len(frame)} features alone say nothing" in message) == (weak > 0)


def relations(message, frame):
    swings = {}
    for name, rows in frame.dropna(subset="mean").groupby("feature", sort=False):
        sure = rows[rows["rows"] >= 30]
        means = list((sure if len(sure) else rows)["mean"])
        swings[name] = (max(means) - min(means), min(means), max(means))
    if not swings or max(swings.values())[0] <= 0:
        assert message.endswith("does not change with any of the features shown")
        return
    most = max(one[0] for one in swings.values())
    _, low, high = next(one for name, one in swings.items() if one[0] == most and named(message, name))
    for form in (number, percent):
        if f"goes from {form(low)} at" in message:
            assert f" to {form(high)} at" in message
            return
    raise AssertionError(message)


def correlations(message, frame):
    size = max(abs(one) for one in frame["correlation"])
    told = re.search(r"correlate most \((.*?)\)", message)[1].replace("−", "-")
    assert f"{abs(float(told)):.2f}" == f"{size:.2f}"
    twins = sum(abs(one) >= 0.95 for one in frame["correlation"])
    assert ("no two features are redundant" in message) == (twins == 0)
    assert twins == 0 or f"; {twins} pair" in message


def trials(message, frame):
    metric = re.search(r": (\w+) [−\-\d.]+$", message)[1]
    chosen = next(row for row in records(frame) if row["chosen"])
    assert message.endswith(f"{metric} {chosen[metric]:.3f}")
    if "changes" in message:
        first = min(
            (row for row in records(frame) if row["estimator"] == chosen["estimator"]), key=lambda r: r["trial"]
        )
        gain = chosen[metric] - first[metric]
        assert f"by {'+' if gain > 0 else ''}{number(gain)} from" in message


def fit(message, frame):
    errors = sorted(abs(row["predicted"] - row["actual"]) for row in records(frame))
    assert f"within {number(float(np.median(errors)))} of" in message


def ranked(message, frame):
    if "is ranked above" not in message:
        right = sum(row["actual"] == row["predicted"] for row in records(frame)) / len(frame)
        assert message == f"The predicted class is the right one in {percent(right)} of the rows"
        return
    scores = {side: frame.loc[frame["actual"] == side, "probability"].to_numpy() for side in (0, 1)}
    wins = (scores[1][:, None] > scores[0][None, :]).mean() + 0.5 * (scores[1][:, None] == scores[0][None, :]).mean()
    assert percent(float(wins)) in message


def contenders(message, frame):
    first = frame[frame["metric"] == frame["metric"].iloc[0]].set_index("contender")
    if " beats " in message and "baseline" in first.index:
        higher = frame["metric"].iloc[0] not in ("mae", "rmse", "log_loss", "brier", "median_ae", "mape")
        gain = first["value"]["candidate"] - first["value"]["baseline"]
        assert (gain > 0) == higher
    assert ("no champion" in message) == (frame["contender"].nunique() == 2)


def evaluated_segments(message, frame):
    worse = [row for row in records(frame) if row["loss_low"] > 0]
    better = [row for row in records(frame) if row["loss_high"] < 0]
    if message.startswith("The candidate"):
        assert f"better for sure in {len(better)} of {len(frame)} segments and worse in {len(worse)}" in message
        if worse:
            most = max(worse, key=lambda row: row["loss"])
            assert f"({percent(most['loss'], signed=True)})" in message
    elif message.startswith("The error is largest"):
        most = max(known(frame["candidate"]))
        row = next(row for row in records(frame) if row["candidate"] == most and named(message, row["segment"]))
        assert named(message, row["column"])
        assert message.endswith(f"({number(most)})")


def importance(message, frame):
    matters = [row for row in records(frame) if row["importance"] > max(0, 2 * row["std"])]
    if not matters:
        assert message.startswith(f"None of {len(frame)} features")
        return
    assert f"relies most on {label_text(max(matters, key=lambda row: row['importance'])['feature'])}" in message
    idle = len(frame) - len(matters)
    assert (f"{idle} of {len(frame)} features" in message) == (idle > 0)


def size(message, frame):
    rows = sum(frame["rows"])
    bias = sum((row["predicted"] - row["actual"]) * row["rows"] for row in records(frame)) / rows
    if "as high as" in message:
        assert abs(bias) < 1e-6 * max(1.0, frame["actual"].abs().max())
        return
    assert f"lie {number(abs(bias))} {'above' if bias > 0 else 'below'}" in message


def worst(message, frame):
    most = max(abs(one) for one in frame["error"])
    if most == 0:
        assert message.startswith("The mean error is zero")
        return
    row = next(row for row in records(frame) if abs(row["error"]) == most)
    assert f"{row['at']:%-d %B %Y}" in message
    assert message.endswith(f"{number(most)} {'too high' if row['error'] > 0 else 'too low'}")


def distribution_of_errors(message, frame):
    low, middle, high = np.percentile(frame["error"], [5, 50, 95])
    assert f"between {number(low)} and {number(high)}; the median error is {number(middle)}" in message


def calibration(message, frame):
    rows = records(frame)
    off = sum(abs(row["predicted"] - row["observed"]) * row["rows"] for row in rows) / sum(row["rows"] for row in rows)
    outside = sum(not row["low"] <= row["predicted"] <= row["high"] for row in rows)
    assert percent(off) in message
    assert f"in {outside} of {len(rows)} bins" in message if outside else "no bin beyond chance" in message


def threshold(message, frame):
    limit = float(re.search(r"From ([\d.]+)", message)[1])
    flagged = [row for row in records(frame) if row["probability"] >= limit - 0.005]
    if " are found" in message:
        # The limit is written with two decimals: the shares are known within what lies between.
        positives = sum(frame["positive"])
        least = sum(row["positive"] for row in records(frame) if row["probability"] >= limit + 0.005) / positives
        most = sum(row["positive"] for row in flagged) / positives
        told = float(re.search(r"([\d.]+)% of all", message)[1]) / 100
        assert least - 0.006 <= told <= most + 0.006


def confusion(message, frame):
    shares = [
        (frame.iloc[row, column] / max(frame.iloc[row].sum(), 1), row, column)
        for row in range(len(frame))
        for column in range(len(frame))
        if row != column
    ]
    most = max(shares, default=(0, 0, 0))[0]
    if most == 0:
        assert message == "No row is taken for another class"
        return
    assert f"({percent(most)} of its rows)" in message
    assert any(
        f"{label_text(frame.index[row])} is taken for {label_text(frame.index[column])}" in message
        for share, row, column in shares
        if share == most
    )


def predicted_distribution(message, frame):
    for name in set(frame["of"]):
        assert number(float(np.median(frame.loc[frame["of"] == name, "value"]))) in message


def course(message, frame):
    rows = [row for row in records(frame) if row["low"] == row["low"] and row["value"] == row["value"]]
    if "lies between" in message:
        assert len(rows) < len(frame) / 2
        for end in (min(known(frame["value"])), max(known(frame["value"]))):
            assert number(end) in message
        return
    above = sum(row["value"] > row["high"] for row in rows) / len(rows)
    below = sum(row["value"] < row["low"] for row in rows) / len(rows)
    assert f"had in {percent(above)} of" in message
    assert message.endswith(f"below it in {percent(below)}")


def probability(message, frame):
    said, mean = sum(frame["positive"]) / len(frame), sum(frame["probability"]) / len(frame)
    assert message.startswith(f"{percent(said)} of the rows are predicted")
    assert f"mean probability is {percent(mean)}" in message


def predicted_classes(message, frame):
    changes = {row["class"]: abs(row["now"] - row["training"]) for row in records(frame)}
    if message.startswith("Each of"):
        assert max(changes.values()) == 0
        return
    row = next(row for row in records(frame) if message.startswith(label_text(row["class"])))
    assert changes[row["class"]] == max(changes.values())
    assert percent(row["now"]) in message
    assert percent(row["training"]) in message


def overview(message, frame):
    from quire.report.drift import name_of

    rows = list(frame.itertuples())
    compared = {row.column for row in rows if row.status != "unknown"}
    if not compared:
        assert message == "No column has rows to compare"
        return
    assert message.startswith(f"{plural(len(compared), 'column')} compared: ")
    bad = {status: [name_of(row) for row in rows if row.status == status] for status in ("alert", "warn")}
    assert ("beyond the alert level" in message) == bool(bad["alert"])
    assert ("above the usual level" in message) == bool(bad["warn"])
    if not any(bad.values()):
        shares = known(frame["share"])
        assert f"at {percent(max(shares))}" in message
    for names in bad.values():
        assert all(name in message for name in names[:4])


def history(message, frame):
    from quire.report.drift import name_of

    rows = list(frame.itertuples())
    bad = [row for row in rows if row.status == "alert"]
    periods = len({row.end for row in rows})
    last = max(row.end for row in rows)
    if not bad:
        assert f"in {plural(periods, 'period')} up to {last:{DAY}}" in message
        assert "No column alerted" in message or "did not alert" in message
        return
    assert f"alerted in {len({row.end for row in bad})} of {plural(periods, 'period')}" in message
    assert f"from {min(row.start for row in bad):{DAY}}" in message
    assert ("none in the last one" in message) == all(row.end != last for row in bad)
    assert all(name_of(row) in message for row in bad) or len({name_of(row) for row in bad}) > 4


def details(message, frame):
    first = [row for row in records(frame) if row["column"] == frame["column"].iloc[0]]
    changes = [round(abs(row["now"] - row["reference"]), 9) for row in first]
    told = [
        f"{label_text(row['label'])} is {percent(row['now'])} of the rows, before {percent(row['reference'])}"
        for row, size in zip(first, changes, strict=True)
        if size == max(changes)
    ]
    assert any(message.endswith(one) for one in told), (message, told)
    assert message.startswith(label_text(first[0]["column"]))
    if "nearest to its alert level" in message:
        assert first[0]["share"] == max(frame["share"]) <= 1


def spread(message, frame):
    if "is predicted for" in message:
        changes = {row["label"]: abs(row["now"] - row["test"]) for row in records(frame)}
        row = next(row for row in records(frame) if message.startswith(label_text(row["label"])))
        assert changes[row["label"]] == max(changes.values())
        assert f"for {percent(row['now'])} of the rows, on the test window for {percent(row['test'])}" in message
        return
    rows = records(frame)
    means = [
        sum((row["low"] + row["high"]) / 2 * row[side] for row in rows) / sum(row[side] for row in rows)
        if sum(row[side] for row in rows)
        else float("nan")
        for side in ("now", "test")
    ]
    assert f"is about {number(means[0])}, on the test window about {number(means[1])}" in message


def performance(message, frame):
    metric = frame["metric"].iloc[0]
    assert metric in message
    if message.startswith("No outcome is known yet"):
        return
    value = number(float(re.search(rf"{metric} is (\S+?)[, ]", message)[1].replace(",", "").replace("−", "-")))
    rows = [row for row in records(frame) if row["value"] == row["value"] and number(float(row["value"])) == value]
    assert rows, message
    words = {"alert": "worse than is usual", "warn": "worse for two periods"}
    assert any(words.get(row["status"], "") in message for row in rows)
    assert any(f"on the test window it was {number(float(row['expected']))}" in message for row in rows)


def signed(message, frame):
    row = records(frame)[-1]
    assert f"{row['end']:{DAY}}" in message
    share = row["share"]
    if share != share or share == 0:
        assert "-predicts" not in message
        return
    assert f"{percent(abs(share))} {'above' if share > 0 else 'below'} the prediction" in message
    if "-predicts" in message:
        assert ("under-predicts" in message) == (row["actual"] > row["predicted"])
        words = {"alert": "more than is usual", "warn": "for two periods more", "ok": "as is usual"}
        assert words.get(row["status"], "") in message


def segments(message, frame):
    rows = [row for row in records(frame) if row["change"] == row["change"]]
    if not rows:
        assert message.startswith("None of the segments had enough rows")
        return
    top = max(row["change"] for row in rows)
    clear = [row["change"] for row in rows if row["status"] == "warn"]
    if clear:
        assert message.endswith(f"is clearly worse: its error is {percent(max(clear))} larger than on the test window")
        return
    assert "clearly worse: " not in message
    if len(rows) == 1:
        assert (" smaller than" in message, " larger than" in message) == (top < 0, top > 0)
    elif top < 0:
        assert f"smaller than on the test window in all {len(rows)} segments" in message
        assert f"(by {percent(-top)})" in message
        assert any(named(message, row["segment"]) for row in rows if row["change"] == top)
    elif top == 0:
        assert f"none of {len(rows)} segments" in message
    else:
        assert f"an error {percent(top)} larger" in message
        assert any(named(message, row["segment"]) for row in rows if row["change"] == top)


def service(message, frame):
    last = max(records(frame), key=lambda row: row["day"])
    assert f"On {last['day']:{DAY}}, the last day, {plural(int(last['requests']), 'prediction')}" in message
    refused, failed = int(sum(frame["refused"])), int(sum(frame["failed"]))
    assert ("no request was refused or failed" in message) == (refused + failed == 0)
    assert refused + failed == 0 or f"{failed:,} failed in {plural(len(frame), 'day')}" in message


BY_COLUMNS = (
    ({"before", "after"}, missing),
    ({"window", "steps"}, gaps),
    ({"window", "rows"}, parts),
    ({"year_before"}, change),
    ({"commonest"}, shapes),
    ({"feature", "strength"}, strength),
    ({"feature", "value", "mean"}, relations),
    ({"feature", "share"}, outliers),
    ({"feature", "importance"}, importance),
    ({"a", "b", "correlation"}, correlations),
    ({"chosen", "trial"}, trials),
    ({"contender"}, contenders),
    ({"loss_low"}, evaluated_segments),
    ({"observed"}, calibration),
    ({"at", "error"}, worst),
    ({"at", "low", "high", "value"}, course),
    ({"at", "rows"}, coverage),
    ({"left_out"}, history),
    ({"bin", "reference"}, details),
    ({"psi", "share"}, overview),
    ({"now", "test"}, spread),
    ({"now", "training"}, predicted_classes),
    ({"bias", "share"}, signed),
    ({"segment", "change"}, segments),
    ({"metric", "labelled"}, performance),
    ({"requests"}, service),
    ({"predicted", "actual", "rows"}, size),
    ({"predicted", "actual", "probability"}, ranked),
    ({"predicted", "actual"}, fit),
    ({"of", "value"}, predicted_distribution),
    ({"probability", "positive"}, None),
    ({"class", "share"}, classes),
    ({"column", "share"}, lacking),
    ({"error"}, distribution_of_errors),
    ({"value"}, target),
)


def check(message, frame):
    """Assert that ``message`` is true of ``frame``; returns the name of the claim that was checked."""
    columns = set(map(str, frame.columns))
    claim = next((claim for wanted, claim in BY_COLUMNS if wanted <= columns), "none")
    if claim == "none":
        claim = rhythm if "week" in message else grid if "check" in message or "rule" in message else confusion
    if claim is None:
        claim = threshold if message.startswith("From") else probability
    claim(message, frame)
    return claim.__name__


def is_frame(value):
    return isinstance(value, pd.DataFrame)
