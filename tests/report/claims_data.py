"""What the sentences of ingest, validate and explore claim, computed again from the frame of each chart."""

import re

import numpy as np

from quire.report.labels import label_text
from quire.report.numbers import number, percent

from .claims_common import known, named, plural, records

DAY = "%-d %B %Y"


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
