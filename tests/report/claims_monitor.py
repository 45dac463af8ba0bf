"""What the sentences of predict and monitor claim, computed again from the frame of each chart."""

import re

import numpy as np

from quire.report.labels import label_text
from quire.report.numbers import number, percent

from .claims_common import known, named, plural, records

DAY = "%-d %B %Y"


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
    value = re.search(rf"{metric} is (\S+?)(?:, | |$)", message)[1]
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
