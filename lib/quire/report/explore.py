"""Charts of the explore notebook: each takes `Findings` and says in its message what it shows.

Here: each column by itself. `relations` and `over_time` hold the others; a notebook finds all of them here.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.data.histogram import histogram_edges
from quire.report.answers import Answer
from quire.report.answers import answer as make_answer
from quire.report.charts import Chart
from quire.report.findings import Findings, measure, strongest_of
from quire.report.labels import label_text, name_columns, name_rows, percent_axis
from quire.report.numbers import number, percent
from quire.report.over_time import change as change
from quire.report.over_time import coverage, periods, times
from quire.report.over_time import rhythm as rhythm
from quire.report.panels import SHOWN, few_ticks, listed, panels, short, tilt, tints, value
from quire.report.relations import correlations as correlations
from quire.report.relations import leakage as leakage
from quire.report.relations import relations as relations
from quire.report.relations import strength as strength
from quire.report.tables import Table, note
from quire.report.theme import ACCENT, BAD, MUTED, NEUTRAL, WARN, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRONG_SKEW = 2.0
NEARLY_ALL = 0.95
"""Share of the commonest value, an empty one included, from which on a feature is nearly constant."""

MOST_GAPS = 25


def answer(found: Findings) -> Answer:
    """Return what to take away: what predicts the target, how complete the data is, and whether a column is suspect."""
    suspects = [suspect for suspect in found.suspects if suspect.used]
    strongest = strongest_of(found)
    depends = (
        f"{found.schema.target} depends most on {strongest}"
        if strongest
        else f"No feature alone predicts {found.schema.target}"
    )
    if suspects:
        headline = f"{suspects[0].why[0].upper()}{suspects[0].why[1:]}: check that it is known before the fact."
    else:
        headline = f"{depends}, and no column that the model is given looks like a leak."
    worst = max(found.missing, key=lambda name: found.missing[name])
    share = float(np.mean(list(found.missing.values())))
    facts = [
        ("Rows", found.rows, f"{len(found.frame):,} looked at" if found.sampled else ""),
        ("Features", found.X.shape[1], f"{len(found.numeric)} numeric"),
        (
            "Strongest alone",
            strongest or "none",
            f"{measure(found.schema)}: {found.strength[strongest]:.2f}" if strongest else "",
        ),
        (
            "Missing values",
            percent(share),
            f"most in {worst}: {percent(found.missing[worst])}" if found.missing[worst] else "",
        ),
        ("Suspects", len(suspects), "; ".join(suspect.columns[0] for suspect in suspects)),
    ]
    metrics = {"rows": found.rows, "missing": share, "suspects": len(suspects)}
    return make_answer("warn" if suspects else "good", headline, facts, metrics)


def sample_note(found: Findings) -> Table:
    """Return how many rows were looked at, and why not all."""
    if not found.sampled:
        return note(f"All {len(found.frame):,} rows of the training window were looked at.")
    message = f"A random sample of {len(found.frame):,} of {found.rows:,} rows was looked at"
    return note(f"{message}; shares of missing values are of all.")


def target(found: Findings) -> Chart:
    """Return the distribution of the target."""
    if found.schema.task == "regression":
        return _numeric_target(found)
    shares = pd.Series(found.y).value_counts(normalize=True)
    frame = pd.DataFrame({"class": [str(name) for name in shares.index], "share": shares.to_numpy()})
    fig, ax = figure(height=1.2 + 0.42 * len(frame))
    colours = [ACCENT if name == found.focus else NEUTRAL for name in frame["class"]]
    bars = ax.barh(range(len(frame)), frame["share"], color=colours, height=0.6)
    ax.bar_label(bars, labels=[percent(share) for share in frame["share"]], padding=4, fontsize=9)
    name_rows(ax, frame["class"])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1.1)
    ax.set_xticks(np.linspace(0, 1, 6))
    percent_axis(ax.xaxis)
    ax.set_xlabel("share of rows")
    help_text = "A model that always says the most frequent class is right in the share of the longest bar."
    return Chart(classes_message(frame, found), fig, help_text, frame)


def classes_message(frame: pd.DataFrame, found: Findings) -> str:
    """Return the sentence over the classes: the positive one's share, or the most frequent and the rarest."""
    shares = frame.set_index("class")["share"]
    share = percent(float(shares.get(found.focus, 0.0)))
    if found.schema.task == "binary":
        return f"{share} of rows are {found.schema.target} = {found.focus}"
    if shares.nunique() == 1:
        return f"Each of {len(shares)} classes has {share} of rows"
    text = f"{label_text(found.focus)} is the most frequent of {len(shares)} classes with {share} of rows"
    return f"{text}, {label_text(shares.index[-1])} the rarest with {percent(shares.iloc[-1])}"


def _numeric_target(found: Findings) -> Chart:
    schema = found.schema
    frame = pd.DataFrame({"value": found.y.astype(float)})
    middle = float(frame["value"].median())
    unit = schema.columns[schema.target].unit
    fig, ax = figure(height=3)
    ax.hist(frame["value"], bins=histogram_edges(frame["value"].to_numpy(), 60), color=ACCENT, alpha=0.85)
    ax.axvline(middle, color=MUTED, linewidth=1.2)
    ax.annotate(f" median {value(middle)}", (middle, 0.98), xycoords=("data", "axes fraction"), va="top", fontsize=9)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel(label_text(f"{schema.target}{f' ({unit})' if unit else ''}", 60))
    ax.set_ylabel("rows")
    help_text = "Height: rows in each of 60 equal steps. A long tail makes squared errors depend on few rows."
    return Chart(target_message(frame, schema.target), fig, help_text, frame)


def target_message(frame: pd.DataFrame, name: str) -> str:
    """Return the sentence over a numeric target: its middle half, and how far it reaches."""
    values = frame["value"]
    low, high = (float(quantile) for quantile in values.quantile([0.25, 0.75]))
    least, most = value(float(values.min())), value(float(values.max()))
    if least == most:
        return f"The {name} is {least} in every row"
    text = f"Half of the rows have a {name} of {value(low)} to {value(high)}"
    if low == high:
        text = f"At least half of the rows have a {name} of {value(low)}"
    if values.skew() > 1:
        return f"{text}, with a long tail up to {most}"
    return f"{text}; it reaches from {least} to {most}"


def missingness(found: Findings) -> Chart | Table:
    """Return the share of missing values per column, over time where there is a timestamp."""
    gaps = {name: share for name, share in found.missing.items() if share > 0}
    gaps = dict(sorted(gaps.items(), key=lambda item: -item[1])[:MOST_GAPS])
    message = _missing_message(found, gaps)
    if found.schema.timestamp:
        return _missing_over_time(found, gaps, message) if gaps else coverage(found, message)
    if not gaps:
        return note(f"{message}.")
    frame = pd.DataFrame({"column": list(gaps), "share": list(gaps.values())})
    fig, ax = figure(height=0.9 + 0.3 * len(gaps))
    bars = ax.barh(range(len(frame)), frame["share"], color=WARN, height=0.6)
    ax.bar_label(bars, labels=[percent(share) for share in frame["share"]], padding=4, fontsize=9)
    name_rows(ax, frame["column"])
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, frame["share"].max() * 1.12)
    percent_axis(ax.xaxis)
    ax.set_xlabel("share of rows that are empty")
    return Chart(message, fig, "The longer the bar, the more rows lack the column's value.", frame)


def _missing_message(found: Findings, gaps: dict[str, float]) -> str:
    columns = f"{len(found.missing)} column{'s' if len(found.missing) != 1 else ''}"
    if not gaps:
        return f"No value is missing in any of the {columns}"
    worst, share = next(iter(gaps.items()))
    complete = sum(not gap for gap in found.missing.values())
    tail = f"; {complete} of {columns} {'are' if complete != 1 else 'is'} complete" if complete else ""
    ties = sum(gap == share for gap in gaps.values())
    if ties > 1:
        return f"{ties} columns lack the most values, each in {percent(share)} of rows{tail}"
    return f"{label_text(worst)} lacks the most values, in {percent(share)} of rows{tail}"


def _missing_over_time(found: Findings, gaps: dict[str, float], message: str) -> Chart:
    at = times(found)
    assert at is not None
    table = found.frame[list(gaps)].isna().groupby(periods(at)).mean().T
    fig, ax = figure(height=1.1 + 0.32 * len(gaps))
    edges = [start.start_time for start in table.columns] + [table.columns[-1].end_time]
    mesh = ax.pcolormesh(edges, np.arange(len(gaps) + 1), table, cmap=tints(WARN), vmin=0, vmax=1)
    names = [f"{label_text(name, 30)}  {percent(share)}" for name, share in gaps.items()]
    ax.set_yticks(np.arange(len(gaps)) + 0.5, names)
    ax.invert_yaxis()
    ax.grid(visible=False)
    bar = fig.colorbar(mesh, ax=ax, label="missing", pad=0.01)
    percent_axis(bar.ax.yaxis)
    help_text = "A dark block is a stretch of time in which the column was not delivered."
    frame = pd.DataFrame({"column": list(gaps), "share": list(gaps.values())})
    return Chart(message, fig, help_text, frame)


def distributions(found: Findings) -> Chart | Table:
    """Return small multiples of the features that matter most."""
    names = list(found.strength)[:SHOWN]
    if not names:
        return note("There is no feature to show.")
    fig, axes = panels(len(names), height=1.75)
    for name, ax in zip(names, axes, strict=True):
        _distribution(found.X[name], ax)
        ax.set_title(label_text(name, 26), fontsize=9.5)
    frame = pd.DataFrame([_shape(name, found) for name in names])
    limit_note = (
        f" The {SHOWN} that matter most to {found.schema.target} are shown." if found.X.shape[1] > SHOWN else ""
    )
    help_text = f"Height: rows. Categories are ordered by how often they occur.{limit_note}"
    return Chart(shapes_message(frame), fig, help_text, frame)


def _shape(name: str, found: Findings) -> dict[str, Any]:
    values, numeric = found.X[name], name in found.numeric
    commonest = values.value_counts(normalize=True, dropna=False)
    return {
        "feature": name,
        "numeric": numeric,
        "skew": float(values.skew()) if numeric else np.nan,
        "commonest": float(commonest.iloc[0]) if len(commonest) else np.nan,
    }


def shapes_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the distributions that are shown: which are skewed, and which nearly constant."""
    flat = frame.loc[frame["commonest"] > NEARLY_ALL, "feature"].tolist()
    skewed = frame.loc[(frame["skew"].abs() > STRONG_SKEW) & ~frame["feature"].isin(flat), "feature"].tolist()
    parts = [f"{listed(skewed)} {_is(skewed)} strongly skewed"] if skewed else []
    parts += [f"{listed(flat)} {_is(flat)} nearly constant"] if flat else []
    if not parts:
        return (
            "No feature is strongly skewed or nearly constant"
            if frame["numeric"].any()
            else "No feature is nearly constant"
        )
    return "; ".join(parts)


def _distribution(values: pd.Series, ax: "Axes") -> None:
    if values.dtype.kind == "f":
        ax.hist(values.dropna(), bins=_edges(values.dropna()), color=ACCENT, alpha=0.85)
        ax.xaxis.set_major_locator(few_ticks())
    else:
        counts = values.fillna("missing").value_counts().iloc[:8]
        labels = [short(name) for name in counts.index]
        ax.bar(range(len(counts)), counts, color=ACCENT, alpha=0.85, width=0.7)
        name_columns(ax, labels)
        tilt(ax, labels)
    ax.grid(axis="x", visible=False)
    ax.tick_params(labelsize=8)
    ax.yaxis.set_major_locator(few_ticks())
    ax.yaxis.set_major_formatter(lambda rows, _: number(float(rows)))


def _edges(values: pd.Series) -> Any:
    """Return edges of bins; for whole numbers they hold the same count of them each, so that no bin is favoured."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if not (values == values.round()).all():
        return histogram_edges(values.to_numpy(), 40)
    width = max(1, int(np.ceil((high - low + 1) / 40)))
    return np.arange(low - 0.5, high + width + 0.5, width)


def outliers(found: Findings) -> Chart | Table:
    """Return where the far-out values of the numeric features lie."""
    if not found.numeric:
        return note("There is no numeric feature, so there are no outliers to show.")
    names = list(found.outliers)[:SHOWN]
    frame = pd.DataFrame({"feature": list(found.outliers), "share": list(found.outliers.values())})
    fig, ax = figure(height=1 + 0.36 * len(names))
    for row, name in enumerate(names):
        _spread(found.X[name].dropna(), row, ax)
    name_rows(ax, names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.axvspan(-3.5, 3.5, color=NEUTRAL, alpha=0.1, linewidth=0)
    ax.set_xlabel("interquartile ranges from the median")
    help_text = (
        "Bar: the middle half; line: the 1st to the 99th percentile; dots: beyond it. "
        "Far out: three interquartile ranges outside the middle half, about where the grey field ends."
    )
    help_text += f" The {len(names)} with the most are shown." if len(names) < len(frame) else ""
    return Chart(outliers_message(frame), fig, help_text, frame)


def outliers_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the outliers: how many features hold any, and which the most."""
    far = frame[frame["share"] > 0]
    features = f"{len(frame)} numeric feature{'s' if len(frame) != 1 else ''}"
    if far.empty:
        return f"None of the {features} holds a far-out value"
    most = far.loc[far["share"].idxmax()]
    verb = "holds" if len(far) == 1 else "hold"
    most_text = f"{label_text(most['feature'])} the most (in {percent(most['share'])} of rows)"
    return f"{len(far)} of {features} {verb} far-out values, {most_text}"


def _spread(values: pd.Series, row: int, ax: "Axes") -> None:
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    if values.empty:
        return
    spread = values.std()
    scale = (high - low) or (spread if spread == spread else 0.0) or 1.0
    scaled = (values - middle) / scale
    first, last = scaled.quantile([0.01, 0.99])
    beyond = scaled[(scaled < first) | (scaled > last)]
    dots = beyond.clip(-12, 12).round(1).drop_duplicates()
    ax.plot([first, last], [row, row], color=ACCENT, linewidth=1.2)
    ax.plot(
        [(low - middle) / scale, (high - middle) / scale], [row, row], color=ACCENT, linewidth=7, solid_capstyle="butt"
    )
    ax.plot(dots, np.full(len(dots), row), ".", color=BAD, markersize=3, alpha=0.7)


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
