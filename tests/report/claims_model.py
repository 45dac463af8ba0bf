"""What the sentences of train and evaluate claim, computed again from the frame of each chart."""

import re

import numpy as np

from quire.report.labels import label_text
from quire.report.numbers import number, percent

from .claims_common import known, named, records


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
