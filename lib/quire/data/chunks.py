"""Frames that are larger than memory, checked and profiled a chunk at a time."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from quire.config import Schema, duration
from quire.data import expectations, profile
from quire.data.expectations import EXAMPLES, RuleResult
from quire.data.periods import end_of_day
from quire.data.profile import Profiles
from quire.data.rules import Rule
from quire.io.frames import ParquetFrame

UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
"""Expectations that no chunk can answer by itself."""

SAMPLE_ROWS = 500_000
"""Rows on which expectations are computed that are neither about single rows nor about uniqueness."""

BUCKET_ROWS = 2_000_000
"""About how many keys are compared at a time."""


@dataclass(frozen=True)
class Judged:
    """What was found for one rule, and a few rows that break it."""

    outcome: RuleResult
    rows: pd.DataFrame


def run_suite(parts: Sequence[ParquetFrame], rules: Sequence[Rule], schema: Schema) -> list[Judged]:
    """Return what holds of ``parts`` together: row rules on every chunk, uniqueness by a pass of its own.

    Any other expectation is computed on a sample of `SAMPLE_ROWS` rows, the same ones every time.
    """
    results: dict[int, Judged] = {}
    about_rows = {
        n: rule for n, rule in enumerate(rules) if rule.type not in UNIQUE and expectations.is_about_rows(rule.type)
    }
    whole = {n: rule for n, rule in enumerate(rules) if rule.type not in UNIQUE and n not in about_rows}
    for chunk in (chunk for part in parts for chunk in part.chunks()) if about_rows else ():
        outcomes = expectations.run_suite(chunk, list(about_rows.values()))
        for (number, rule), outcome in zip(about_rows.items(), outcomes, strict=True):
            results[number] = _added(results.get(number), outcome, chunk, rule, schema)
    if whole:
        sample = _sample(parts, schema)
        outcomes = expectations.run_suite(sample, list(whole.values()))
        for (number, rule), outcome in zip(whole.items(), outcomes, strict=True):
            results[number] = _added(None, outcome, sample, rule, schema)
    for number, rule in enumerate(rules):
        if rule.type in UNIQUE:
            results[number] = _unique(parts, list(rule.kwargs.get("column_list", [rule.column])), schema)
    return [_settled(results[number], rule) for number, rule in enumerate(rules)]


def count_periods(part: ParquetFrame, timestamp: str, step: pd.Timedelta) -> int:
    """Return how many periods of length ``step`` have a row."""
    periods: set[int] = set()
    for chunk in part.chunks([timestamp]):
        periods.update(chunk[timestamp].dt.floor(step).astype("int64").unique().tolist())
    return len(periods)


def profile_stored(
    stored: ParquetFrame, schema: Schema, period: str = "7d", *, end: datetime | None = None
) -> Profiles:
    """Return what `quire.data.profile_periods` returns for all rows, from the profiles of chunks merged."""
    if schema.timestamp and end is None:
        last = max(chunk[schema.timestamp].max() for chunk in stored.chunks([schema.timestamp]))
        end = end_of_day(last.to_pydatetime(), duration(period))
    return profile.merge_all(profile.profile_periods(chunk, schema, period, end=end) for chunk in stored.chunks())


def profile_training(stored: ParquetFrame, predicted: pd.DataFrame, schema: Schema, period: str = "7d") -> Profiles:
    """Return the profiles of the training rows with their predictions.

    predicted: the rows that the model was trained on, with ``prediction``. Where they are a sample of ``stored``, the
    columns of the schema are profiled on all rows, and the predictions on the sample.
    """
    if len(predicted) == stored.rows:
        return profile.profile_periods(predicted, schema, period)
    whole = profile_stored(stored, schema, period)
    extra_columns = [name for name in predicted.columns if name not in schema.columns]
    times = [schema.timestamp] if schema.timestamp else []
    end = whole.periods[-1].end if whole.periods else None
    sampled = profile.profile_periods(predicted[[*times, *extra_columns]], schema, period, end=end)
    more = {
        (period_profile.start, period_profile.end): {name: period_profile.columns[name] for name in extra_columns}
        for period_profile in sampled
    }
    return replace(
        whole,
        periods=tuple(
            replace(
                period_profile,
                columns={**period_profile.columns, **more.get((period_profile.start, period_profile.end), {})},
            )
            for period_profile in whole.periods
        ),
    )


def _sample(parts: Sequence[ParquetFrame], schema: Schema) -> pd.DataFrame:
    total = max(sum(part.rows for part in parts), 1)
    return pd.concat(
        [part.sample(max(1, SAMPLE_ROWS * part.rows // total), schema.key) for part in parts], ignore_index=True
    )


def _added(before: Judged | None, outcome: RuleResult, chunk: pd.DataFrame, rule: Rule, schema: Schema) -> Judged:
    """Return what is known after one more chunk; of the first that breaks the rule some rows are kept."""
    rows = before.rows if before else chunk.iloc[:0]
    if not outcome.success or outcome.rows:
        rows = rows if len(rows) else _broken(outcome, chunk, rule, schema)
    if before is None:
        return Judged(outcome, rows)
    old = before.outcome
    values = old.values or outcome.values
    return Judged(
        RuleResult(
            success=old.success and outcome.success,
            share=outcome.share if old.share is None else old.share,
            rows=old.rows + outcome.rows,
            of=old.of + outcome.of,
            observed=old.observed if old.observed is not None else outcome.observed,
            values=values,
        ),
        rows,
    )


def _broken(outcome: RuleResult, chunk: pd.DataFrame, rule: Rule, schema: Schema) -> pd.DataFrame:
    """Return the few rows in which the values are that broke the rule."""
    if not rule.column or not outcome.values:
        return chunk.iloc[:0]
    column = chunk[rule.column]
    hit = column.isin([value for value in outcome.values if not pd.isna(value)])
    if any(pd.isna(value) for value in outcome.values):
        hit |= column.isna()
    return chunk[hit].head(10 * EXAMPLES)


def _settled(judged: Judged, rule: Rule) -> Judged:
    """Return the outcome with share and success of all chunks together."""
    outcome = judged.outcome
    if outcome.share is None or not outcome.of:
        return judged
    share = outcome.rows / outcome.of
    allowed = 1 - float(rule.kwargs.get("mostly", 1.0))
    return replace(judged, outcome=replace(outcome, share=share, success=share <= allowed + 1e-12))


def _unique(parts: Sequence[ParquetFrame], names: list[str], schema: Schema) -> Judged:
    """Return whether keys repeat: their hashes are sorted into files, and those of a file compared."""
    total = sum(part.rows for part in parts)
    repeated = 0
    hashes: list[np.ndarray] = []
    with tempfile.TemporaryDirectory(dir=parts[0].path.parent, prefix=".keys-") as folder:
        for keys in _buckets(parts, names, Path(folder), -(-total // BUCKET_ROWS)):
            values, counts = np.unique(keys, return_counts=True)
            repeated += int(counts[counts > 1].sum())
            hashes.append(values[counts > 1][:EXAMPLES])
    some = np.concatenate(hashes) if hashes else np.empty(0, "uint64")
    rows = _with_hashes(parts, names, some[:EXAMPLES], schema) if repeated else pd.DataFrame(columns=names)
    examples = tuple(rows[names[0]].head(EXAMPLES)) if len(names) == 1 else ()
    return Judged(RuleResult(not repeated, repeated / max(total, 1), repeated, total, None, examples), rows)


def _hashes(chunk: pd.DataFrame, names: list[str]) -> np.ndarray:
    """Return 64 bits of each row's key: by chance two of 50 million differing keys are equal once in 15,000 runs."""
    return pd.util.hash_pandas_object(chunk[names], index=False).to_numpy()


def _buckets(parts: Sequence[ParquetFrame], names: list[str], folder: Path, many: int) -> Iterator[np.ndarray]:
    """Yield the hashes of all keys, those that are equal in one array."""
    with ExitStack() as stack:
        files = [stack.enter_context((folder / str(number)).open("wb")) for number in range(many)]
        for part in parts:
            for chunk in part.chunks(names):
                hashes = np.sort(_hashes(chunk, names))
                edges = np.searchsorted(hashes, [int(n * 2**64 / many) for n in range(1, many)])
                for file, some in zip(files, np.split(hashes, edges), strict=True):
                    file.write(some.tobytes())
    for number in range(many):
        yield np.fromfile(folder / str(number), "uint64")


def _with_hashes(parts: Sequence[ParquetFrame], names: list[str], wanted: np.ndarray, schema: Schema) -> pd.DataFrame:
    columns = list(dict.fromkeys([*names, *schema.key]))
    matches = [
        chunk[np.isin(_hashes(chunk, names), wanted)]
        for part in parts
        for chunk in part.chunks([name for name in columns if name in part.columns])
    ]
    return pd.concat(matches, ignore_index=True).sort_values(names, ignore_index=True)
