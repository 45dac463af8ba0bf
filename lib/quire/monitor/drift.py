"""Drift: which columns differ from the reference by more than is large, sure and usual.

A period has drifted in a column (alert) when its PSI is above what is large (`Drift.alert`), above what independent
rows would give (noise), and above what windows of the reference show against the rest of it (usual). It is worth
watching (warn) when the effect is above `Drift.warn`, above the noise and above the level of the windows, two periods
running.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Literal

import numpy as np
import pandas as pd

from quire.config import ColumnDrift, Drift
from quire.data import Profiles
from quire.monitor import divergence, reference_bounds
from quire.monitor.relations import measure_relations
from quire.page.numbers import number, percent

Status = Literal["ok", "warn", "alert", "unknown"]
Part = Literal["values", "zeros", "missing"]

GRID = [float(share) for share in np.linspace(0.005, 0.995, 100)]
"""Shares at which quantile functions are compared."""

REFERENCES = {
    "training": "training",
    "same_season": "the same season in training",
    "previous": "the periods just before",
}
"""What a column is compared with, in words, by the name that params.yaml gives it."""

LEAST_KNOWN = 0.9
"""Share of a period's outcomes that must be known for its target to be compared."""

SMALLEST = float(np.finfo(np.float64).tiny)
"""An edge nearer to zero than this is the one just above it."""


@dataclass(frozen=True)
class Counts:
    """One thing that is compared: the histogram of a column's values, its share of zeros, or of missing values.

    windows: counts in each period of the reference, shape (windows, bins); recent: in each period that is judged.
    """

    column: str
    part: Part
    labels: tuple[str, ...]
    windows: np.ndarray
    recent: np.ndarray


def measure_drift(
    reference: Profiles, recent: Profiles, drift: Drift, history: pd.DataFrame | None = None, *, target: str = ""
) -> pd.DataFrame:
    """Return how far each period of ``recent`` is from the reference, a row per column, part and period.

    history: PSI of periods monitored before (columns ``column``, ``part``, ``psi``); what is usual is learned from it
    too. target: the column whose values become known later: it is not judged in a period in which some are open.

    Columns: ``column``; ``part`` (values, zeros, missing; level: see relations.py); ``reference``; ``period`` (number),
    ``start``, ``end``; ``n``, ``n_reference``; ``psi`` (nats); ``effect`` (PSI less its mean for independent rows);
    ``noise``; ``usual`` (NaN: not yet known); ``level`` (median + 4 MAD of the windows); ``threshold`` (above it:
    alert); ``windows`` (how many); ``ks``; ``distance`` (Wasserstein, in standard deviations of the reference; only of
    the last period); ``p_value`` (corrected by Holm within the period; information only); ``status`` (ok, warn, alert,
    unknown: no rows to compare); ``change`` (which bin gained or lost most, in words).
    """
    things = _things(reference, recent, drift, target)
    frames = [_table(thing, reference, recent, drift, len(things), history) for thing in things]
    if not frames:
        return pd.DataFrame(columns=COLUMNS)
    related = measure_relations(reference, recent, drift, compared(reference, drift))
    table = pd.concat([*frames, *([related] if len(related) else [])], ignore_index=True)
    table["p_value"] = table.groupby("period", dropna=False)["p_value"].transform(
        lambda p_values: divergence.holm(p_values.to_numpy())
    )
    return table[COLUMNS]


COLUMNS = [
    *("column", "part", "reference", "period", "start", "end", "n", "n_reference", "psi", "effect", "noise", "usual"),
    *("level", "threshold", "windows", "ks", "distance", "p_value", "status", "change"),
]


def measure_shares(reference: Profiles, recent: Profiles, drift: Drift, *, target: str = "") -> pd.DataFrame:
    """Return the share of each bin of each column, in what each recent period is compared with and in the period.

    Columns: ``column``, ``part``, ``bin`` (its place), ``label``, ``period``, ``start``, ``end``, ``compared_with`` (a
    key of `REFERENCES`), ``intervals`` (whether the bins are intervals of a number), ``reference`` and ``now`` (shares;
    NaN where there are no rows). target: as for `measure_drift`.
    """
    frames = [_share_table(thing, reference, recent, drift) for thing in _things(reference, recent, drift, target)]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=SHARES)


def _share_table(thing: Counts, reference: Profiles, recent: Profiles, drift: Drift) -> pd.DataFrame:
    periods, bins = thing.recent.shape
    before = reference_counts(thing, _starts(reference), _starts(recent), drift)
    ends = [profile.end for profile in recent]
    return pd.DataFrame(
        {
            "column": thing.column,
            "part": thing.part,
            "bin": np.tile(np.arange(bins), periods),
            "label": np.tile(np.array(thing.labels, dtype=object), periods),
            "period": np.repeat(np.arange(periods), bins),
            "start": np.repeat(np.array(_starts(recent), dtype=object), bins),
            "end": np.repeat(np.array(ends, dtype=object), bins),
            "compared_with": mode_of(thing.column, drift),
            "intervals": thing.part == "values" and reference.merged_column(thing.column).has_distribution,
            "reference": _shares_of(before).ravel(),
            "now": _shares_of(thing.recent).ravel(),
        }
    )


def _shares_of(counts: np.ndarray) -> np.ndarray:
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)


def _things(reference: Profiles, recent: Profiles, drift: Drift, target: str) -> list[Counts]:
    """Return everything that is compared; of the target only its values, and only in periods that know them."""
    return [
        _known(thing, recent) if column == target else thing
        for column in compared(reference, drift)
        for thing in counted(reference, recent, column, drift)
        if column != target or thing.part != "missing"
    ]


def _known(thing: Counts, recent: Profiles) -> Counts:
    """Return the counts of the target without those of periods in which more than a few outcomes are still open.

    The outcomes that are known first are no sample of the period: the first days of a week have other values.
    """
    columns = [profile.columns.get(thing.column) for profile in recent]
    whole = [column is not None and column.n >= LEAST_KNOWN * column.rows for column in columns]
    return replace(thing, recent=np.where(np.array(whole)[:, None], thing.recent, 0.0))


def reference_counts(
    thing: Counts, windows_at: list[datetime | None], recent_at: list[datetime | None], drift: Drift
) -> np.ndarray:
    """Return the counts of what each recent period is compared with, shape (periods, bins)."""
    mode = mode_of(thing.column, drift)
    options = {"season_days": drift.season_days, "previous": drift.previous}
    mask: np.ndarray = reference_bounds.reference_mask(mode, recent_at, windows_at, **options)  # type: ignore[arg-type]
    return mask @ thing.windows


def compared(reference: Profiles, drift: Drift) -> list[str]:
    """Return the columns of the reference that are judged: neither ignored nor dates."""
    ignored = {*drift.ignore, *(name for name, own in drift.columns.items() if own.ignore)}
    return [name for name in reference.columns if name not in ignored and reference.kind(name) != "datetime"]


def counted(reference: Profiles, recent: Profiles, column: str, drift: Drift) -> Iterator[Counts]:
    """Yield what is compared of a column: its values, its share of missing ones, and of zeros where there are many."""
    merged = reference.merged_column(column)
    if merged.has_distribution:
        edges = bin_edges(merged.quantiles(np.arange(1, drift.bins) / drift.bins), merged.minimum, merged.maximum)
        names = interval_names(edges)
        yield Counts(column, "values", names, reference.histograms(column, edges), recent.histograms(column, edges))
        if merged.n and drift.zero_share <= merged.zeros / merged.n <= 1 - drift.zero_share:
            yield Counts(
                column, "zeros", ("not zero", "zero"), zero_counts(reference, column), zero_counts(recent, column)
            )
    else:
        top = tuple(list(merged.counts)[: drift.categories])
        names = (*top, "other")
        yield Counts(column, "values", names, reference.frequencies(column, top), recent.frequencies(column, top))
    yield Counts(
        column, "missing", ("present", "missing"), missing_counts(reference, column), missing_counts(recent, column)
    )


def bin_edges(quantiles: np.ndarray, minimum: float, maximum: float) -> np.ndarray:
    """Return the inner edges of the bins: the quantiles, each once, and a bin of its own for a value that repeats.

    A value that takes up several quantiles, such as zero, stands between itself and the next larger number.
    """
    cut_points = quantiles[~np.isnan(quantiles)]
    values, times = np.unique(cut_points, return_counts=True)
    alone = np.nextafter(values[times > 1], np.inf)
    edges = np.unique(np.concatenate([values, alone]))
    return edges[edges > minimum] if minimum < maximum else edges


def interval_names(edges: np.ndarray) -> tuple[str, ...]:
    """Return a name for each bin, such as ``0.2 to 0.4``, or ``0`` where it holds one value."""
    if not len(edges):
        return ("all",)
    # The edge just above a value closes the bin of that value alone.
    closes = [bool(before == np.nextafter(edge, -np.inf)) for before, edge in pairwise([np.nan, *edges])]
    texts = _edge_texts(edges)
    shut = _is_shut(edges[0])
    names = [f"{_edge_texts([float(np.nextafter(edges[0], -np.inf))])[0]} or less" if shut else f"below {texts[0]}"]
    names += [
        low if close else f"{low} to {high}" for (low, high), close in zip(pairwise(texts), closes[1:], strict=True)
    ]
    last = f"above {texts[-1]}" if closes[-1] or (shut and len(edges) == 1) else f"{texts[-1]} or more"
    return (*names, last)


def _edge_texts(edges: Sequence[float] | np.ndarray) -> list[str]:
    """Return the edges with three digits, or as many more as keep them apart; the two ends of one value are alike."""
    values = [0.0 if abs(edge) <= SMALLEST else float(edge) for edge in edges]
    n_distinct = len({f"{value:.12g}" for value in values})
    for digits in range(3, 12):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == n_distinct:
            break
    return [
        text if "e" not in text else number(value, digits=digits) for text, value in zip(texts, values, strict=True)
    ]


def _is_shut(edge: float) -> bool:
    """Whether an edge stands just above a plain number, so that the bin on its left ends with that number."""
    return 0 < edge < SMALLEST or len(repr(float(np.nextafter(edge, -np.inf)))) < len(repr(float(edge))) - 6


def zero_counts(profiles: Profiles, column: str) -> np.ndarray:
    """Return how many values are not zero and zero in each period, shape (periods, 2)."""
    pairs = [
        (stats.n - stats.zeros, stats.zeros) if (stats := profile.columns.get(column)) else (0, 0)
        for profile in profiles
    ]
    return np.array(pairs, dtype=float).reshape(-1, 2)


def missing_counts(profiles: Profiles, column: str) -> np.ndarray:
    """Return how many values are there and missing in each period, shape (periods, 2); infinite ones are missing."""
    pairs = [
        (stats.n, stats.rows - stats.n) if (stats := profile.columns.get(column)) else (0, 0) for profile in profiles
    ]
    return np.array(pairs, dtype=float).reshape(-1, 2)


def _table(
    thing: Counts, reference: Profiles, recent: Profiles, drift: Drift, tests: int, history: pd.DataFrame | None
) -> pd.DataFrame:
    figures = judge_counts(thing, _starts(reference), _starts(recent), drift, tests=tests, past=_past(history, thing))
    return pd.DataFrame(
        {
            "column": thing.column,
            "part": thing.part,
            "reference": mode_of(thing.column, drift),
            "period": range(len(recent)),
            "start": [profile.start for profile in recent],
            "end": [profile.end for profile in recent],
            "distance": _distances(thing, reference, recent),
            "change": [
                describe_change(before, now, thing.labels)
                for before, now in zip(figures.pop("counts"), thing.recent, strict=True)
            ],
            **figures,
        }
    )


def mode_of(column: str, drift: Drift) -> str:
    """Return what a column is compared with."""
    own = drift.columns.get(column)
    return (own.reference if own else None) or drift.reference


def judge_counts(
    thing: Counts,
    windows_at: list[datetime | None],
    recent_at: list[datetime | None],
    drift: Drift,
    *,
    tests: int,
    past: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Return the figures and the status of each recent period, each of shape (periods,), by the names of `COLUMNS`.

    windows_at, recent_at: where the periods start. tests: how many things are judged at once, for the correction.
    past: PSI of periods that were monitored before. ``counts`` are those of the reference, shape (periods, bins).
    """
    own = drift.columns.get(thing.column, ColumnDrift())
    counts, rest = (reference_counts(thing, windows_at, at, drift) for at in (recent_at, windows_at))
    n_reference, n, bins = counts.sum(axis=1), thing.recent.sum(axis=1), thing.windows.shape[1]
    psi = divergence.psi(counts, thing.recent)
    baseline_psi = np.concatenate([window_psi(rest, thing.windows, windows_at), [] if past is None else past])
    noise = divergence.noise(n_reference, n, bins, tests=tests, false_alarms=drift.false_alarms)
    bound = reference_bounds.tolerance_bound(
        baseline_psi, tests=tests, false_alarms=drift.unusual, confidence=drift.confidence, least=drift.min_windows
    )
    level = reference_bounds.usual_level(baseline_psi, least=drift.min_windows)
    effect = psi - divergence.expected(n_reference, n, bins)
    # fmax passes over NaN: what is not yet known sets no bound.
    threshold = np.fmax(np.fmax(own.alert or drift.alert, noise), bound)
    watch = (effect > (own.warn or drift.warn)) & (psi > np.fmax(noise, level))
    return {
        "n": n,
        "n_reference": n_reference,
        "psi": psi,
        "effect": effect,
        "noise": noise,
        "usual": np.full(len(psi), bound),
        "level": np.full(len(psi), level),
        "threshold": threshold,
        "windows": np.full(len(psi), np.count_nonzero(~np.isnan(baseline_psi))),
        "ks": divergence.ks(counts, thing.recent),
        "p_value": divergence.p_value(psi, n_reference, n, bins),
        "status": status_of(psi, threshold, watch),
        "counts": counts,
    }


def window_psi(rest: np.ndarray, windows: np.ndarray, at: list[datetime | None]) -> np.ndarray:
    """Return the PSI of each window of the reference against its rest, shape (windows,).

    NaN for a window that is cut (fewer than half the rows of the middle one), and where there is no time to order them.
    """
    if len(at) < 2 or at[0] is None:
        return np.full(len(at), np.nan)
    rows = windows.sum(axis=1)
    whole = rows >= np.median(rows) / 2
    return np.where(whole, divergence.psi(rest, windows), np.nan)


def _distances(thing: Counts, reference: Profiles, recent: Profiles) -> np.ndarray:
    """Return how far the quantiles of the last period are from the reference's, in its standard deviations."""
    far = np.full(len(recent), np.nan)
    now = recent.periods[-1].columns.get(thing.column)
    before = reference.merged_column(thing.column)
    if thing.part == "values" and now is not None and now.has_distribution and now.n and before.deviation > 0:
        far[-1] = divergence.wasserstein(before.quantiles(GRID), now.quantiles(GRID)) / before.deviation
    return far


SHARES = [
    *("column", "part", "bin", "label", "period", "start", "end", "compared_with", "intervals", "reference", "now"),
]


def describe_change(before: np.ndarray, now: np.ndarray, labels: tuple[str, ...]) -> str:
    """Return in words which bin's share changed most (of several the last); empty where there are no rows.

    before, now: counts, shape (bins,); labels: a name for each bin.
    """
    if not before.sum() or not now.sum():
        return ""
    p, q = before / before.sum(), now / now.sum()
    most = len(p) - 1 - int(np.argmax(np.round(np.abs(q - p), 9)[::-1]))
    return f"{labels[most]} is {percent(q[most])} of the rows, before {percent(p[most])}"


def status_of(psi: np.ndarray, threshold: np.ndarray, watch: np.ndarray) -> np.ndarray:
    """Return the status of each period in order of time: a watch becomes a warning when the period before is watched.

    psi, threshold: shape (periods,); watch: whether the period alone is worth watching.
    """
    alert = psi > threshold
    noticed = watch | alert
    twice = noticed & np.concatenate([[False], noticed[:-1]])
    return np.select([np.isnan(psi), alert, twice], ["unknown", "alert", "warn"], "ok")


def _starts(profiles: Profiles) -> list[datetime | None]:
    return [profile.start for profile in profiles]


def _past(history: pd.DataFrame | None, thing: Counts) -> np.ndarray:
    if history is None or history.empty:
        return np.array([])
    mask = (history["column"] == thing.column) & (history["part"] == thing.part)
    return history.loc[mask, "psi"].to_numpy(dtype=float)
