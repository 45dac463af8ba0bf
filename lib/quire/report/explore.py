"""Charts of the explore notebook: each takes `Findings` and says in its message what it shows.

Here: each column by itself. `relations` and `over_time` hold the others; a notebook finds all of them here.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from quire.report.answers import Answer
from quire.report.answers import answer as make_answer
from quire.report.charts import Chart
from quire.report.findings import Findings, measure
from quire.report.over_time import change as change
from quire.report.over_time import coverage, periods, times
from quire.report.over_time import rhythm as rhythm
from quire.report.panels import SHOWN, few_ticks, listed, panels, percent, short, tilt, tints, value
from quire.report.relations import correlations as correlations
from quire.report.relations import leakage as leakage
from quire.report.relations import relations as relations
from quire.report.relations import strength as strength
from quire.report.tables import Table, note
from quire.report.theme import ACCENT, BAD, MUTED, NEUTRAL, WARN, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STRONG_SKEW = 2.0
MOST_GAPS = 25


def answer(found: Findings) -> Answer:
    """Return what to take away: what the target follows, how complete the data is, and whether a column is suspect."""
    suspects = [one for one in found.suspects if one.used]
    strongest = next(iter(found.strength), None)
    follows = (
        f"{found.schema.target} follows {strongest} most" if strongest else f"{found.schema.target} follows nothing"
    )
    if suspects:
        headline = f"{suspects[0].why[0].upper()}{suspects[0].why[1:]}: check that it is known before the fact."
    else:
        headline = f"{follows}, and no column that the model is given looks like a leak."
    worst = max(found.missing, key=lambda name: found.missing[name])
    share = float(np.mean(list(found.missing.values())))
    facts = [
        ("Rows", found.rows, f"{len(found.frame):,} looked at" if found.sampled else ""),
        ("Features", found.X.shape[1], f"{len(found.numeric)} numeric"),
        (
            "Strongest alone",
            strongest or "–",
            f"{measure(found.schema)}: {found.strength[strongest]:.2f}" if strongest else "",
        ),
        (
            "Missing values",
            percent(share),
            f"most in {worst}: {percent(found.missing[worst])}" if found.missing[worst] else "",
        ),
        ("Suspects", len(suspects), "; ".join(one.columns[0] for one in suspects)),
    ]
    metrics = {"rows": found.rows, "missing": share, "suspects": len(suspects)}
    return make_answer("warn" if suspects else "good", headline, facts, metrics)


def sample_note(found: Findings) -> Table:
    """Return how many rows were looked at, and why not all."""
    if not found.sampled:
        return note(f"All {len(found.frame):,} rows of the training window were looked at.")
    told = f"A random sample of {len(found.frame):,} of {found.rows:,} rows was looked at"
    return note(f"{told}; shares of missing values are of all.")


def target(found: Findings) -> Chart:
    """Return the distribution of the target."""
    if found.schema.task == "regression":
        return _numeric_target(found)
    shares = pd.Series(found.y).value_counts(normalize=True)
    fig, ax = figure(height=1.2 + 0.42 * len(shares))
    colours = [ACCENT if name == found.focus else NEUTRAL for name in shares.index]
    ax.barh([str(name) for name in shares.index], shares, color=colours, height=0.6)
    ax.bar_label(ax.containers[0], labels=[percent(share) for share in shares], padding=4, fontsize=9)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of rows")
    share = percent(float(shares.get(found.focus, 0.0)))
    if found.schema.task == "binary":
        text = f"{share} of rows are {found.schema.target} = {found.focus}"
    else:
        text = f"{found.focus} is the most frequent of {len(shares)} classes with {share} of rows"
        text += f", {shares.index[-1]} the rarest with {percent(shares.iloc[-1])}"
    how = "A model that always says the most frequent class is right in the share of the longest bar."
    return Chart(text, fig, how)


def _numeric_target(found: Findings) -> Chart:
    values, schema = pd.Series(found.y), found.schema
    low, middle, high = (float(one) for one in values.quantile([0.25, 0.5, 0.75]))
    unit = schema.columns[schema.target].unit
    fig, ax = figure(height=3)
    ax.hist(values, bins=60, color=ACCENT, alpha=0.85)
    ax.axvline(middle, color=MUTED, linewidth=1.2)
    ax.annotate(f" median {value(middle)}", (middle, 0.98), xycoords=("data", "axes fraction"), va="top", fontsize=9)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel(f"{schema.target}{f' ({unit})' if unit else ''}")
    ax.set_ylabel("rows")
    text = f"Half of all {schema.target} lie between {value(low)} and {value(high)}"
    if values.skew() > 1:
        text += f", with a long tail up to {value(float(values.max()))}"
    else:
        text += f"; they reach from {value(float(values.min()))} to {value(float(values.max()))}"
    how = "Height: rows in each of 60 equal steps. A long tail makes squared errors depend on few rows."
    return Chart(text, fig, how)


def missingness(found: Findings) -> Chart | Table:
    """Return the share of missing values per column, over time where there is a timestamp."""
    gaps = {name: share for name, share in found.missing.items() if share > 0}
    gaps = dict(sorted(gaps.items(), key=lambda item: -item[1])[:MOST_GAPS])
    message = _missing_message(found, gaps)
    if found.schema.timestamp:
        return _missing_over_time(found, gaps, message) if gaps else coverage(found, message)
    if not gaps:
        return note(f"{message}.")
    fig, ax = figure(height=0.9 + 0.3 * len(gaps))
    ax.barh(list(gaps), list(gaps.values()), color=WARN, height=0.6)
    ax.bar_label(ax.containers[0], labels=[percent(share) for share in gaps.values()], padding=4, fontsize=9)
    ax.invert_yaxis()
    ax.grid(axis="y", visible=False)
    ax.set_xlim(0, max(gaps.values()) * 1.12)
    ax.xaxis.set_major_formatter(lambda share, _: percent(share))
    ax.set_xlabel("share of rows that are empty")
    return Chart(message, fig, "The longer the bar, the more rows lack the column's value.")


def _missing_message(found: Findings, gaps: dict[str, float]) -> str:
    if not gaps:
        return f"No value is missing in any of the {len(found.missing)} columns"
    worst, share = next(iter(gaps.items()))
    complete = sum(not one for one in found.missing.values())
    tail = f"; {complete} of {len(found.missing)} columns are complete" if complete else ""
    return f"{worst} lacks the most values, in {percent(share)} of rows{tail}"


def _missing_over_time(found: Findings, gaps: dict[str, float], message: str) -> Chart:
    at = times(found)
    assert at is not None
    table = found.frame[list(gaps)].isna().groupby(periods(at)).mean().T
    fig, ax = figure(height=1.1 + 0.32 * len(gaps))
    edges = [start.start_time for start in table.columns] + [table.columns[-1].end_time]
    mesh = ax.pcolormesh(edges, np.arange(len(gaps) + 1), table, cmap=tints(WARN), vmin=0, vmax=1)
    ax.set_yticks(np.arange(len(gaps)) + 0.5, [f"{name}  {percent(share)}" for name, share in gaps.items()])
    ax.invert_yaxis()
    ax.grid(visible=False)
    fig.colorbar(mesh, ax=ax, format=lambda share, _: f"{share:.0%}", label="missing", pad=0.01)
    how = "A dark block is a stretch of time in which the column was not delivered."
    return Chart(message, fig, how)


def distributions(found: Findings) -> Chart:
    """Return small multiples of the features that matter most."""
    names = list(found.strength)[:SHOWN]
    fig, axes = panels(len(names), height=1.75)
    for name, ax in zip(names, axes, strict=True):
        _distribution(found.X[name], ax)
        ax.set_title(name, fontsize=9.5)
    skewed = [name for name in found.numeric if abs(found.X[name].skew()) > STRONG_SKEW]
    flat = [name for name in found.X if found.X[name].value_counts(normalize=True).iloc[:1].sum() > 0.95]
    parts = [f"{listed(skewed)} {_is(skewed)} strongly skewed"] if skewed else ["No numeric feature is strongly skewed"]
    parts += [f"{listed(flat)} {_is(flat)} nearly constant"] if flat else []
    shown = f" The {SHOWN} that matter most to {found.schema.target} are shown." if found.X.shape[1] > SHOWN else ""
    return Chart("; ".join(parts), fig, f"Height: rows. Categories are ordered by how often they occur.{shown}")


def _distribution(values: pd.Series, ax: "Axes") -> None:
    if values.dtype.kind == "f":
        ax.hist(values.dropna(), bins=_edges(values.dropna()), color=ACCENT, alpha=0.85)
        ax.xaxis.set_major_locator(few_ticks())
    else:
        counts = values.fillna("missing").value_counts().iloc[:8]
        labels = [short(name) for name in counts.index]
        ax.bar(range(len(counts)), counts, color=ACCENT, alpha=0.85, width=0.7)
        ax.set_xticks(range(len(counts)), labels)
        tilt(ax, labels)
    ax.grid(axis="x", visible=False)
    ax.tick_params(labelsize=8)
    ax.yaxis.set_major_locator(few_ticks())
    ax.yaxis.set_major_formatter(lambda rows, _: f"{rows / 1000:g}k" if rows >= 1000 else f"{rows:g}")


def _edges(values: pd.Series) -> Any:
    """Return edges of bins; for whole numbers they hold the same count of them each, so that no bin is favoured."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    if not (values == values.round()).all():
        return 40
    width = max(1, int(np.ceil((high - low + 1) / 40)))
    return np.arange(low - 0.5, high + width + 0.5, width)


def outliers(found: Findings) -> Chart | Table:
    """Return where the far-out values of the numeric features lie."""
    if not found.numeric:
        return note("There is no numeric feature, so there are no outliers to show.")
    far = {name: share for name, share in found.outliers.items() if share > 0}
    names = list(found.outliers)[:SHOWN]
    fig, ax = figure(height=1 + 0.36 * len(names))
    for row, name in enumerate(names):
        _spread(found.X[name].dropna(), row, ax)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.axvspan(-3.5, 3.5, color=NEUTRAL, alpha=0.1, linewidth=0)
    ax.set_xlabel("interquartile ranges from the median")
    if far:
        name, share = next(iter(far.items()))
        text = f"{len(far)} of {len(found.numeric)} numeric features hold{'s' if len(far) == 1 else ''} far-out values"
        text += f", {name} the most (in {percent(share)} of rows)"
    else:
        text = f"None of the {len(found.numeric)} numeric features holds a far-out value"
    how = (
        "Bar: the middle half; line: the 1st to the 99th percentile; dots: beyond it. "
        "Far out: three interquartile ranges outside the middle half, about where the grey field ends."
    )
    return Chart(text, fig, how)


def _spread(values: pd.Series, row: int, ax: "Axes") -> None:
    low, middle, high = values.quantile([0.25, 0.5, 0.75])
    scale = (high - low) or values.std() or 1.0
    scaled = (values - middle) / scale
    first, last = scaled.quantile([0.01, 0.99])
    beyond = scaled[(scaled < first) | (scaled > last)]
    shown = beyond.clip(-12, 12).round(1).drop_duplicates()
    ax.plot([first, last], [row, row], color=ACCENT, linewidth=1.2)
    ax.plot(
        [(low - middle) / scale, (high - middle) / scale], [row, row], color=ACCENT, linewidth=7, solid_capstyle="butt"
    )
    ax.plot(shown, np.full(len(shown), row), ".", color=BAD, markersize=3, alpha=0.7)


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
