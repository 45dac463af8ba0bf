"""What there is to see in a snapshot, in numbers: the charts of `explore` and its messages are made of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.model.features import input_names, model_input, positive_label, target_values

MOST_ROWS = 50_000
BINS = 24
RARE = 5
"""Levels with fewer rows than this are one level, and a level's mean leans on that many rows of the whole."""

LEAK = 0.95
"""A column that alone predicts this well is a suspect: in practice nothing honest does."""

SAME = 0.95
"""Two columns whose ranks correlate at least this much say the same."""


@dataclass(frozen=True)
class Suspect:
    """A column, or a group of them, that may hold the answer, and why we think so."""

    columns: tuple[str, ...]
    why: str
    used: bool
    """Whether the model is given it; those of role ``ignore`` or ``key`` it is not."""


@dataclass(frozen=True)
class Findings:
    """What `examine` found. Shares and strengths are between 0 and 1."""

    schema: Schema
    frame: pd.DataFrame = field(repr=False)
    X: pd.DataFrame = field(repr=False)
    y: np.ndarray = field(repr=False)
    rows: int
    missing: Mapping[str, float]
    strength: Mapping[str, float]
    left_out: Mapping[str, float]
    correlation: pd.DataFrame = field(repr=False)
    outliers: Mapping[str, float]
    suspects: tuple[Suspect, ...]
    all_times: pd.Series = field(repr=False)

    @property
    def every(self) -> pd.Series:
        """The timestamps of all rows, those not looked at included, in the schema's time zone."""
        assert self.schema.timestamp is not None
        return self.all_times.dt.tz_convert(self.schema.timezone)

    @property
    def sampled(self) -> bool:
        """Whether only some of the rows were looked at."""
        return len(self.frame) < self.rows

    @property
    def goal(self) -> np.ndarray:
        """What relations are drawn against, shape (rows,): the target, or 1 for the class in question and 0 else."""
        return _goals(self.y, self.schema)[:, 0]

    @property
    def goal_name(self) -> str:
        """What `goal` is called on an axis."""
        if self.schema.task == "regression":
            return self.schema.target
        return f"share of {self.schema.target} = {self.focus}"

    @property
    def focus(self) -> str:
        """The class in question: the positive one, or the most frequent."""
        return positive_label(self.schema) if self.schema.task == "binary" else _classes(self.y)[0]

    @property
    def numeric(self) -> list[str]:
        """Names of the numeric columns of `X`."""
        return [name for name in input_names(self.schema)[0] if name in self.X]

    @property
    def pairs(self) -> list[tuple[str, str, float]]:
        """Pairs of numeric columns and their rank correlation, the strongest first."""
        pairs = [(a, b, float(self.correlation.loc[a, b])) for a, b in combinations(self.correlation.columns, 2)]
        return sorted((pair for pair in pairs if np.isfinite(pair[2])), key=lambda pair: -abs(pair[2]))

    def as_json(self) -> dict[str, Any]:
        """Return what a machine may want to know, for the artifact ``exploration``."""
        return {
            "rows": self.rows,
            "rows_looked_at": len(self.frame),
            "target": self.schema.target,
            "missing": dict(self.missing),
            "strength": dict(self.strength),
            "strength_measure": measure(self.schema),
            "left_out": dict(self.left_out),
            "outliers": dict(self.outliers),
            "correlated": [
                {"a": a, "b": b, "rank_correlation": value} for a, b, value in self.pairs if abs(value) >= SAME
            ],
            "suspects": [
                {"columns": list(suspect.columns), "why": suspect.why, "used": suspect.used}
                for suspect in self.suspects
            ],
        }


def examine(frame: pd.DataFrame, schema: Schema, *, most_rows: int = MOST_ROWS, seed: int = 0) -> Findings:
    """Return what there is to see in a snapshot frame that has the target.

    most_rows: of more rows a random sample is looked at, the same one for the same seed.
    """
    labelled_rows = frame[frame[schema.target].notna()]
    sample = (
        labelled_rows.sample(most_rows, random_state=seed).sort_index()
        if len(labelled_rows) > most_rows
        else labelled_rows
    )
    X, y = model_input(sample, schema), target_values(sample, schema)
    goals = _goals(y, schema)
    strength = {name: predictive_strength(X[name], goals, schema, seed=seed) for name in X}
    others = _left_out(sample, schema)
    left_out = {name: predictive_strength(others[name], goals, schema, seed=seed) for name in others}
    columns = [name for name in schema.columns if name in frame.columns]
    numeric = [name for name in input_names(schema)[0] if name in X]
    return Findings(
        schema=schema,
        frame=sample,
        X=X,
        y=y,
        rows=len(frame),
        missing={name: float(frame[name].isna().mean()) for name in columns},
        strength=_sorted(strength),
        left_out=_sorted(left_out),
        # Spearman's: of the ranks, which are taken once; pandas' own takes them anew for every pair.
        correlation=X[numeric].loc[:, X[numeric].nunique() > 1].rank().corr(),
        outliers=_sorted({name: far_out(X[name]) for name in numeric}),
        suspects=tuple(_suspects(strength, left_out, X, others, goals, schema)),
        all_times=frame[schema.timestamp] if schema.timestamp else pd.Series(dtype="datetime64[us, UTC]"),
    )


def strongest_of(found: Findings) -> str:
    """Return the feature that alone predicts the target best; empty where none predicts it at all."""
    name = next(iter(found.strength), "")
    return name if name and found.strength[name] > 0 else ""


def measure(schema: Schema) -> str:
    """Return what `predictive_strength` measures for the task, in words."""
    return "share of variance explained" if schema.task == "regression" else "Gini coefficient, 2·AUC − 1"


def predictive_strength(values: pd.Series, goals: np.ndarray, schema: Schema, *, seed: int) -> float:
    """Return how well one column alone predicts rows that it was not fitted on, between 0 and 1.

    values: shape (rows,); goals: shape (rows, classes or 1). The column is cut into bins or levels, their mean goal is
    taken on one half of the rows and tried on the other, both ways round, so that an identifier scores 0.
    Regression: R²; classification: Gini coefficient, averaged over the classes by their share.
    """
    codes = _codes(values)
    half = np.random.default_rng(seed).permutation(len(codes)) % 2 == 0
    predicted = np.empty_like(goals)
    for train, test in ((half, ~half), (~half, half)):
        predicted[test] = _level_means(codes[train], goals[train], codes.max() + 1)[codes[test]]
    if schema.task == "regression":
        return max(0.0, _r2(goals[:, 0], predicted[:, 0]))
    shares = goals.mean(axis=0)
    scores = [_gini(goals[:, k], predicted[:, k]) for k in range(goals.shape[1])]
    return max(0.0, float(np.average(scores, weights=shares))) if shares.sum() else 0.0


def far_out(values: pd.Series) -> float:
    """Return the share of values more than three interquartile ranges outside the quartiles.

    Source: Tukey (1977), Exploratory Data Analysis. 0 where half of the values are one value: the range is empty.
    """
    low, high = values.quantile([0.25, 0.75])
    spread = high - low
    if not spread > 0:
        return 0.0
    return float(((values < low - 3 * spread) | (values > high + 3 * spread)).mean())


def _goals(y: np.ndarray, schema: Schema) -> np.ndarray:
    """Return what is predicted as numbers, shape (rows, k): the target, the positive class, or a column per class."""
    if schema.task == "regression":
        return y.astype(float)[:, None]
    classes = [positive_label(schema)] if schema.task == "binary" else _classes(y)
    return np.stack([(y == class_label).astype(float) for class_label in classes], axis=1)


def _classes(y: np.ndarray) -> list[str]:
    """Return the classes, the most frequent first."""
    return [str(name) for name in pd.Series(y).value_counts().index]


def _codes(values: pd.Series) -> np.ndarray:
    """Return each row's bin or level, 0 for missing; few distinct numbers are levels, many are cut at quantiles."""
    if values.dtype.kind == "f" and values.nunique() > 2 * BINS:
        edges = np.unique(values.quantile(np.linspace(0, 1, BINS + 1)))
        return np.where(values.isna(), 0, np.searchsorted(edges[1:-1], values.to_numpy(), side="right") + 1)
    counts = values.map(values.value_counts())
    return pd.factorize(values.where(counts >= RARE))[0] + 1


def _level_means(codes: np.ndarray, goals: np.ndarray, levels: int) -> np.ndarray:
    """Return the mean goal of each level, shape (levels, k), leaning on the overall mean where rows are few."""
    counts = np.bincount(codes, minlength=levels)[:, None]
    sums = np.stack([np.bincount(codes, weights=goals[:, k], minlength=levels) for k in range(goals.shape[1])], axis=1)
    return (sums + RARE * goals.mean(axis=0)) / (counts + RARE)


def _r2(actual: np.ndarray, predicted: np.ndarray) -> float:
    total = ((actual - actual.mean()) ** 2).sum()
    return float(1 - ((actual - predicted) ** 2).sum() / total) if total > 0 else 0.0


def _gini(actual: np.ndarray, score: np.ndarray) -> float:
    """Return 2·AUC − 1, from the ranks. Source: Mann and Whitney (1947)."""
    n_positives = actual.sum()
    n_negatives = len(actual) - n_positives
    if not n_positives or not n_negatives:
        return 0.0
    ranks = pd.Series(score).rank().to_numpy()
    return float(2 * (ranks[actual == 1].sum() - n_positives * (n_positives + 1) / 2) / (n_positives * n_negatives) - 1)


def _left_out(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the columns that the model is not given, target and timestamps aside, as numbers or objects."""
    names = [
        name
        for name, column in schema.columns.items()
        if column.role in ("ignore", "key") and column.type != "datetime" and name in frame.columns
    ]
    return pd.DataFrame(
        {
            name: frame[name].astype("float64")
            if schema.columns[name].type in ("number", "integer")
            else frame[name].astype(object)
            for name in names
        },
        index=frame.index,
    )


def _suspects(
    strength: Mapping[str, float],
    left_out: Mapping[str, float],
    X: pd.DataFrame,
    others: pd.DataFrame,
    goals: np.ndarray,
    schema: Schema,
) -> list[Suspect]:
    suspects = []
    for scores, is_used in ((strength, True), (left_out, False)):
        for name, value in scores.items():
            if value >= LEAK:
                reason = f"{name} alone predicts {schema.target} almost perfectly ({measure(schema)}: {value:.2f})"
                suspects.append(Suspect((name,), reason, is_used))
    for table, is_used in ((X.select_dtypes("float"), True), (others.select_dtypes("float"), False)):
        suspects += _sums(table, goals, schema, is_used)
    for name in X:
        reason = _empty_gives_away(X[name], goals, schema)
        if reason:
            suspects.append(Suspect((name,), reason, True))
    return suspects


def _sums(table: pd.DataFrame, goals: np.ndarray, schema: Schema, used: bool) -> list[Suspect]:
    """Return the pairs of columns that add up to the target."""
    whole = table.notna().all(axis=1).to_numpy()
    if schema.task != "regression" or whole.sum() < RARE:
        return []
    values, goal = table.to_numpy()[whole], goals[whole, 0]
    # A few rows rule out nearly all pairs; only what is left is compared in full.
    few, aim = values[:RARE], goal[:RARE, None, None]
    likely = np.isclose(few[:, :, None] + few[:, None, :], aim, rtol=1e-6, atol=1e-9).all(axis=0)
    return [
        Suspect(
            (table.columns[a], table.columns[b]), f"{table.columns[a]} + {table.columns[b]} is {schema.target}", used
        )
        for a, b in np.argwhere(np.triu(likely, k=1))
        if np.allclose(values[:, a] + values[:, b], goal, rtol=1e-6, atol=1e-9)
    ]


def _empty_gives_away(values: pd.Series, goals: np.ndarray, schema: Schema) -> str:
    """Return why an empty cell gives the target away, or nothing: it does where it nearly always means one class."""
    empty = values.isna().to_numpy()
    if schema.task == "regression" or not 50 <= empty.sum() <= len(empty) - 50:
        return ""
    strength = abs(_gini(goals[:, 0], empty.astype(float)))
    if strength < LEAK:
        return ""
    return (
        f"whether {values.name} is empty predicts {schema.target} almost perfectly ({measure(schema)}: {strength:.2f})"
    )


def _sorted(values: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(values.items(), key=lambda item: -item[1]))
