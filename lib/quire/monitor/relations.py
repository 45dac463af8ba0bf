"""Relations: whether a column's level still fits that of the columns it goes with.

A sensor that reads too high can stay within what its season allows; beside the other sensors it shows. From the
moments of the training profiles each number is explained by the others (least squares). What is left of a period's mean
is compared with what is left in the windows of the reference.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quire.config import ColumnDrift, Drift
from quire.data import Profiles
from quire.monitor import divergence, reference_bounds
from quire.page.numbers import number

PART = "level"
EXPLAINED = 0.5
"""Least share of a column's variance that the others must explain for it to be judged by them."""

MOST_ALONE = 2
"""Columns that must alert together before one of them is looked for that explains the others."""

CAUSE, ALIKE = 0.99, 0.02
"""Share of what is left that the shift of one column must explain; columns that explain as much but this are alike."""

CLEARLY = 1.5
"""How many times nearer to its alert level the one of several columns must be whose own values decide."""


@dataclass(frozen=True)
class Relation:
    """How a column follows from others: its mean is ``level`` + ``weights`` @ (their means - ``others``).

    spreads, deviation: standard deviations of the others and of the column. explained: share of its variance.
    """

    column: str
    names: tuple[str, ...]
    level: float
    others: np.ndarray
    weights: np.ndarray
    spreads: np.ndarray
    deviation: float
    explained: float

    def left(self, means: np.ndarray) -> np.ndarray:
        """Return what the others do not explain of the mean of each period, in standard deviations of the column.

        means: of the column and then of ``names``, shape (periods, 1 + len(names)).
        """
        return (means[:, 0] - self.level - (means[:, 1:] - self.others) @ self.weights) / self.deviation


def fit_relations(reference: Profiles, columns: list[str]) -> list[Relation]:
    """Return the relation of each of ``columns`` that the others explain well."""
    merged = reference.moments()
    if merged is None or merged.n < 10 * len(merged.names):
        return []
    at = {name: place for place, name in enumerate(merged.names) if name in columns}
    covariance = merged.scatter / (merged.n - 1)
    relations = []
    for name, place in at.items():
        others = [other for other in at.values() if other != place and covariance[other, other] > 0]
        variance = covariance[place, place]
        if not others or variance <= 0:
            continue
        weights = np.linalg.lstsq(covariance[np.ix_(others, others)], covariance[others, place], rcond=1e-8)[0]
        explained = float(covariance[others, place] @ weights / variance)
        if explained >= EXPLAINED:
            names = tuple(merged.names[other] for other in others)
            level, mean = float(merged.mean[place]), merged.mean[others]
            spreads, deviation = np.sqrt(np.diag(covariance)[others]), float(np.sqrt(variance))
            relations.append(Relation(name, names, level, mean, weights, spreads, deviation, min(explained, 1.0)))
    return relations


@dataclass(frozen=True)
class Cause:
    """The one column whose shift, in its own unit, explains why several no longer match each other."""

    column: str
    shift: float
    follows: tuple[str, ...]


def find_cause(reference: Profiles, recent: Profiles, drift: pd.DataFrame, columns: list[str]) -> Cause | None:
    """Return the column whose shift alone explains what is left of the levels in the last period; None if none does.

    A shift of one column by ``d`` leaves ``d`` of itself unexplained, and of each column that it helps to explain
    ``-weight * d``: of two or more columns that alert, the pattern tells which one moved. Where two columns hardly
    differ, one that reads too high looks like the other that reads too low: then it is the one whose own values are
    clearly nearer to their alert level. drift: the table of `measure_drift`.
    """
    relations = fit_relations(reference, columns)
    last = drift[drift["period"] == drift["period"].max()] if len(drift) else drift
    levels = last[last["part"] == PART].set_index("column")["status"]
    alerting = [relation.column for relation in relations if levels.get(relation.column) == "alert"]
    if len(alerting) < MOST_ALONE:
        return None
    residuals = np.array([relation.left(_means(recent, relation))[-1] for relation in relations])
    usual_residuals = np.array(
        [np.sqrt(np.nanmean(relation.left(_means(reference, relation)) ** 2)) for relation in relations]
    )
    if not np.isfinite(residuals).all() or not (usual_residuals > 0).all():
        return None
    names = list(dict.fromkeys(name for relation in relations for name in (relation.column, *relation.names)))
    pattern = (
        np.array([[_left_by(relation, name) for name in names] for relation in relations]) / usual_residuals[:, None]
    )
    deviations = residuals / usual_residuals
    size = np.maximum((pattern**2).sum(axis=0), np.finfo(float).tiny)
    shifts = pattern.T @ deviations / size
    explained = 1 - ((deviations[:, None] - pattern * shifts) ** 2).sum(axis=0) / (deviations**2).sum()
    if explained.max() < CAUSE:
        return None
    alike = [names[place] for place in np.flatnonzero(explained > explained.max() - ALIKE)]
    name = alike[0] if len(alike) == 1 else _farthest(last[last["part"] == "values"], alike)
    if not name:
        return None
    return Cause(name, float(shifts[names.index(name)]), tuple(column for column in alerting if column != name))


def _farthest(values: pd.DataFrame, names: list[str]) -> str:
    """Return which of the columns is clearly nearest to the alert level of its values; empty where none is."""
    shares = (values["psi"] / values["threshold"]).set_axis(values["column"]).reindex(names).fillna(0.0)
    first, second = shares.nlargest(2)
    return str(shares.idxmax()) if first > CLEARLY * second else ""


def _left_by(relation: Relation, name: str) -> float:
    """Return what a shift of the column ``name`` by 1 leaves unexplained of the relation, in its deviations."""
    weights = dict(zip(relation.names, -relation.weights, strict=True)) | {relation.column: 1.0}
    return weights.get(name, 0.0) / relation.deviation


def measure_relations(reference: Profiles, recent: Profiles, drift: Drift, columns: list[str]) -> pd.DataFrame:
    """Return how far each period's level is from what the other columns predict, as `measure_drift` does.

    ``psi`` is the square of the difference in standard deviations of the column: that is the PSI of a normal
    distribution that moved by as much, so the same limits hold. ``part`` is ``level``.
    """
    frames = []
    relations = fit_relations(reference, columns)
    for relation in relations:
        windows, now = (relation.left(_means(profiles, relation)) for profiles in (reference, recent))
        baseline_psi = np.where(_whole(reference), windows**2, np.nan)
        n, n_reference = _rows(recent), _rows(reference).sum()
        spare = 1 - relation.explained
        noise = spare * divergence.noise(n_reference, n, 2, tests=len(relations), false_alarms=drift.false_alarms)
        bound = reference_bounds.tolerance_bound(
            baseline_psi,
            tests=len(relations),
            false_alarms=drift.unusual,
            confidence=drift.confidence,
            least=drift.min_windows,
        )
        own = drift.columns.get(relation.column, ColumnDrift())
        threshold = np.fmax(np.fmax(own.alert or drift.alert, noise), bound)
        psi = now**2
        frames.append(
            pd.DataFrame(
                {
                    "column": relation.column,
                    "part": PART,
                    "reference": "training",
                    "period": range(len(recent)),
                    "start": [profile.start for profile in recent],
                    "end": [profile.end for profile in recent],
                    "n": n,
                    "n_reference": n_reference,
                    "psi": psi,
                    "effect": psi - spare * divergence.expected(n_reference, n, 2),
                    "noise": noise,
                    "usual": bound,
                    "level": reference_bounds.usual_level(baseline_psi, least=drift.min_windows),
                    "threshold": threshold,
                    "windows": int(np.count_nonzero(~np.isnan(baseline_psi))),
                    "ks": np.nan,
                    "distance": np.abs(now),
                    "p_value": np.nan,
                    "status": np.select([np.isnan(psi), psi > threshold], ["unknown", "alert"], "ok"),
                    "change": [_tell(relation, far) for far in now],
                }
            )
        )
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def _tell(relation: Relation, far: float) -> str:
    if np.isnan(far):
        return ""
    nearest = relation.names[int(np.argmax(np.abs(relation.weights) * relation.spreads))]
    side = "above" if far > 0 else "below"
    others = f"{nearest} and the other columns predict" if len(relation.names) > 1 else f"{nearest} predicts"
    return f"on average {number(abs(far) * relation.deviation)} {side} what {others}"


def _means(profiles: Profiles, relation: Relation) -> np.ndarray:
    columns = (relation.column, *relation.names)
    rows = []
    for profile in profiles:
        moments = profile.moments
        at = {name: place for place, name in enumerate(moments.names)} if moments is not None and moments.n else {}
        rows.append([moments.mean[at[name]] if moments is not None and name in at else np.nan for name in columns])
    return np.array(rows, dtype=float).reshape(-1, len(columns))


def _rows(profiles: Profiles) -> np.ndarray:
    return np.array([profile.moments.n if profile.moments else 0 for profile in profiles], dtype=float)


def _whole(profiles: Profiles) -> np.ndarray:
    rows = _rows(profiles)
    return rows >= np.median(rows) / 2
