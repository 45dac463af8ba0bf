"""What the target follows, which features say the same, and which give the answer away."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.report.charts import Chart
from quire.report.findings import LEAK, SAME, Findings, measure
from quire.report.labels import label_text, name_columns, name_rows, percent_axis
from quire.report.numbers import number, percent
from quire.report.panels import PANELS, few_ticks, panels, short, tilt, value, wrapped
from quire.report.tables import Table, note, table
from quire.report.theme import ACCENT, BAD, NEUTRAL, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_BARS = 25
MOST_CELLS = 30
FEW_ROWS = 30
"""A bin or category with fewer rows than this is drawn, but is not named as the lowest or the highest."""


def strength(found: Findings) -> Chart | Table:
    """Return how well each feature alone predicts the target, and where it would be suspect."""
    frame = pd.DataFrame({"feature": list(found.strength), "strength": list(found.strength.values())})
    if frame.empty:
        return note("There is no feature to measure.")
    top_features = frame.head(MOST_BARS)
    colours = [BAD if score >= LEAK else ACCENT if score >= 0.05 else NEUTRAL for score in top_features["strength"]]
    fig, ax = figure(height=1 + 0.3 * len(top_features))
    bars = ax.barh(range(len(top_features)), top_features["strength"], color=colours, height=0.6)
    ax.bar_label(bars, labels=[f"{score:.2f}" for score in top_features["strength"]], padding=4, fontsize=9)
    name_rows(ax, top_features["feature"])
    ax.axvline(LEAK, color=BAD, linewidth=1.2)
    ax.annotate("suspect", (LEAK, 1.0), xycoords=("data", "axes fraction"), ha="center", va="bottom", color=BAD)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.08)
    ax.set_xticks(np.linspace(0, 1, 6))
    ax.set_xlabel(f"{measure(found.schema)}, one feature alone")
    help_text = (
        "Measured on rows that were not used to fit, so 0 is what chance gives and 1 is perfect. "
        "A feature that says nothing alone may still matter together with others."
    )
    help_text += f" The {MOST_BARS} strongest are shown." if len(frame) > MOST_BARS else ""
    return Chart(strength_message(frame, found.schema), fig, help_text, frame)


def strength_message(frame: pd.DataFrame, schema: Schema) -> str:
    """Return the sentence over the strengths, the strongest first: the best two, and how many say nothing."""
    best = frame.iloc[0]
    name = label_text(best["feature"])
    if best["strength"] <= 0:
        return f"None of {len(frame)} features alone predicts {schema.target}"
    if schema.task == "regression":
        text = f"{name} alone explains {percent(best['strength'])} of the variance of {schema.target}"
    else:
        text = f"{name} alone predicts {schema.target} best ({best['strength']:.2f})"
    if len(frame) > 1:
        second = frame.iloc[1]
        size = percent(second["strength"]) if schema.task == "regression" else f"{second['strength']:.2f}"
        text += f", {label_text(second['feature'])} {size}"
    weak = int((frame["strength"] < 0.01).sum())
    return f"{text}; {weak} of {len(frame)} features alone say nothing" if weak else text


def relations(found: Findings) -> Chart | Table:
    """Return the target against each of the six strongest features."""
    names = list(found.strength)[: 2 * PANELS]
    if not names:
        return note("There is no feature to show.")
    fig, axes = panels(len(names), height=2.2, sharey=True)
    frames = []
    for name, ax in zip(names, axes, strict=True):
        frames.append(_relation(found.X[name], found.goal, ax).assign(feature=name))
        ax.set_title(label_text(name, 26), fontsize=9.5)
    for ax in axes[::PANELS]:
        ax.set_ylabel(wrapped(found.goal_name), fontsize=9)
        if found.schema.task != "regression":
            percent_axis(ax.yaxis)
    frame = pd.concat(frames, ignore_index=True)
    band = (
        "where the middle 80% of the rows lie" if found.schema.task == "regression" else "the 95% interval of the share"
    )
    help_text = f"Line or dot: the mean in each bin or category; band or bar: {band}."
    return Chart(relations_message(frame, found), fig, help_text, frame)


def relations_message(frame: pd.DataFrame, found: Findings) -> str:
    """Return the sentence over the relations: over which feature the mean goal changes most, from where to where.

    frame: ``feature``, ``value`` (a bin's median, or a category), ``mean``, ``rows``. Where bins of enough rows exist,
    those of few rows do not count.
    """
    regression = found.schema.task == "regression"
    form, name = number if regression else percent, f"{'mean ' if regression else ''}{found.goal_name}"
    frame = frame[frame["mean"].notna()]
    sure = frame["rows"] >= FEW_ROWS
    sure |= ~sure.groupby(frame["feature"]).transform("any")
    grouped = frame[sure].groupby("feature", sort=False)["mean"]
    swings = grouped.max() - grouped.min()
    if swings.empty or not swings.max() > 0:
        return f"The {name} does not change with any of the features shown"
    top_feature = swings.idxmax()
    means = frame[sure & (frame["feature"] == top_feature)]
    low, high = means.loc[means["mean"].idxmin()], means.loc[means["mean"].idxmax()]
    feature = label_text(top_feature)
    return (
        f"The {name} goes from {form(float(low['mean']))} at {feature} = {value(low['value'])} "
        f"to {form(float(high['mean']))} at {feature} = {value(high['value'])}"
    )


def _relation(values: pd.Series, goal: np.ndarray, ax: "Axes") -> pd.DataFrame:
    """Draw the mean goal over a feature; return ``value``, ``mean``, ``low``, ``high``, ``rows`` of each bin."""
    numeric = values.dtype.kind == "f"
    grouped = pd.Series(goal, index=values.index).groupby(_steps(values), observed=True)
    frame = pd.DataFrame({"mean": grouped.mean(), "rows": grouped.size()})
    if set(np.unique(goal)) <= {0.0, 1.0}:
        # Normal approximation of a share's interval; Wald (1943).
        half = 1.96 * np.sqrt(frame["mean"] * (1 - frame["mean"]) / frame["rows"])
        frame["low"], frame["high"] = frame["mean"] - half, frame["mean"] + half
    else:
        frame["low"], frame["high"] = grouped.quantile(0.1), grouped.quantile(0.9)
    if numeric:
        frame.index = values.groupby(_steps(values), observed=True).median().to_numpy()
        ax.fill_between(frame.index, frame["low"], frame["high"], color=ACCENT, alpha=0.16, linewidth=0)
        ax.plot(frame.index, frame["mean"], color=ACCENT, marker="o", markersize=3)
        ax.xaxis.set_major_locator(few_ticks())
    else:
        labels, at = [short(name) for name in frame.index], range(len(frame))
        ax.vlines(at, frame["low"], frame["high"], color=NEUTRAL, linewidth=2)
        ax.plot(at, frame["mean"], "o", color=ACCENT, markersize=5)
        name_columns(ax, labels)
        ax.margins(x=0.15)
        ax.grid(axis="x", visible=False)
        tilt(ax, labels)
    ax.tick_params(labelsize=8)
    return frame.rename_axis("value").reset_index().astype({"value": object})


def _steps(values: pd.Series) -> pd.Series:
    """Return each row's bin, of about the same number of rows, or its category where there are few."""
    if values.dtype.kind == "f":
        return pd.qcut(values, 12, duplicates="drop") if values.nunique() > 24 else values
    return values.where(values.isin(values.value_counts().index[:8]))


def correlations(found: Findings) -> Chart | Table:
    """Return the rank correlations of the numeric features, those that belong together side by side."""
    if not found.pairs:
        return note("There are fewer than two numeric features that vary, so there is no correlation to show.")
    most = found.correlation.abs().where(~np.eye(len(found.correlation), dtype=bool)).max().nlargest(MOST_CELLS).index
    frame = _clustered(found.correlation.loc[most, most])
    size = len(frame)
    fig, ax = figure(height=min(9.0, 1.4 + 0.36 * size))
    mesh = ax.pcolormesh(frame.to_numpy(), cmap=_diverging(), vmin=-1, vmax=1)
    names = [label_text(name, 24) for name in frame.columns]
    ax.set_xticks(np.arange(size) + 0.5, names, rotation=35, ha="right")
    ax.set_yticks(np.arange(size) + 0.5, names)
    ax.invert_yaxis()
    ax.grid(visible=False)
    if size <= 14:
        for row, column in np.ndindex(size, size):
            coefficient = round(frame.iat[row, column], 1) + 0.0
            shade = "white" if abs(coefficient) > 0.6 else "#22303c"
            text = f"{coefficient:.1f}".replace("-", "−")  # as the colour, which is not finer either
            ax.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=shade)
    fig.colorbar(mesh, ax=ax, label="rank correlation", pad=0.01)
    help_text = "Spearman's rank correlation: 1 rise together, −1 one falls as the other rises, 0 unrelated."
    if size < len(found.correlation):
        help_text += f" The {size} features that correlate most with another are shown."
    pairs = pd.DataFrame(found.pairs, columns=["a", "b", "correlation"])
    return Chart(correlations_message(pairs), fig, help_text, pairs)


def correlations_message(pairs: pd.DataFrame) -> str:
    """Return the sentence over the correlations: the strongest pair, and how many pairs are redundant."""
    most = pairs.loc[pairs["correlation"].abs().idxmax()]
    size = f"{most['correlation']:.2f}".replace("-", "−")
    text = f"{label_text(most['a'])} and {label_text(most['b'])} correlate most ({size})"
    twins = int((pairs["correlation"].abs() >= SAME).sum())
    if not twins:
        return f"{text}, and no two features are redundant"
    return f"{text}; {twins} pair{'s' if twins > 1 else ''} of features {'are' if twins > 1 else 'is'} redundant"


def _clustered(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the correlations with columns that belong together side by side (average linkage on 1 − |r|)."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    distance = 1 - frame.fillna(0).abs().to_numpy(copy=True)
    np.fill_diagonal(distance, 0)
    order = leaves_list(linkage(squareform((distance + distance.T) / 2, checks=False), "average"))
    return frame.iloc[order, order].fillna(0)


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("diverging", ["#b35806", "#f1a340", "#f7f7f7", "#67a9cf", "#01579b"])


def leakage(found: Findings) -> Table:
    """Return what was looked for that could give the answer away, and what was found."""
    name, most = next(iter(found.strength.items()), ("no feature", 0.0))
    rows = [
        {"status": "bad" if entry.used else "good", "column": " + ".join(entry.columns), "found": entry.why}
        | {"the model": "is given it" if entry.used else "is not given it"}
        for entry in found.suspects
    ]
    if not any(entry.used for entry in found.suspects):
        reason = f"none is suspect: the strongest, {name}, reaches {most:.2f}; from {LEAK} on it would be"
        rows.append({"status": "good", "column": "features", "found": reason, "the model": "is given them"})
    suspect_columns = {column for entry in found.suspects for column in entry.columns}
    for column, entry in found.schema.columns.items():
        if entry.role == "ignore" and column not in suspect_columns:
            reason = entry.why or "left out by schema.yaml, which does not say why"
            rows.append({"status": "neutral", "column": column, "found": reason, "the model": "is not given it"})
    remark = (
        "Looked for: a column that alone predicts nearly perfectly, two that add up to the target, an empty cell that "
        "means one class. Such a column is often written down after the fact. Give it role: ignore in schema.yaml, "
        "with the reason, unless it is known at the time of prediction."
    )
    return table(pd.DataFrame(rows), note=remark)
