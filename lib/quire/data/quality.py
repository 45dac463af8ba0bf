"""Data quality: what the snapshot is checked for, what was found, and the verdict."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pandas as pd

from quire.config import Schema, duration
from quire.data import rules
from quire.data.rules import Rule, key_severity
from quire.errors import ValidationFailed
from quire.io.artifacts import Run
from quire.io.frames import ParquetFrame
from quire.page.numbers import percent

Status = Literal["pass", "warn", "fail"]
WORDS = {
    "expect_column_values_to_not_be_null": "no missing values",
    "expect_column_proportion_of_non_null_values_to_be_between": "some values are there",
    "expect_column_values_to_be_of_type": "of its type",
    "expect_column_values_to_be_unique": "no value twice",
    "expect_compound_columns_to_be_unique": "no key twice",
    "expect_column_unique_value_count_to_be_between": "more than one value",
    "readable_as_the_type": "readable as its type",
    "has_a_timestamp": "every row has a time",
    "key_not_repeated": "no key twice in the source",
    "known_category": "only known categories in the source",
    "in_range": "in its range in the source",
    "not_missing": "no missing values in the source",
    "has_a_label": "every row has a label",
    "rows_in_every_period": "rows in every period",
}
"""What the checks that a schema implies say."""

MOST_NAME_BYTES = 120
"""Of a column's name in the names of files, which file systems keep below 256 bytes."""

_RANK = {"pass": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Check:
    """One thing that was checked in one part of the snapshot.

    share: of rows that break it, 0 to 1, None where it is not about rows. examples: [{"value": ..., key columns}].
    origin: ``schema`` (implied), ``expectations`` (written in schema.yaml) or ``source`` (counted by ingest).
    """

    part: str
    column: str
    expectation: str
    kwargs: Mapping[str, Any]
    severity: Literal["warn", "fail"]
    status: Status
    share: float | None = None
    rows: int = 0
    observed: Any = None
    examples: tuple[Mapping[str, Any], ...] = ()
    origin: str = "schema"
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether it holds without exception, or with as many as ``mostly`` allows."""
        return self.status == "pass"

    @property
    def sentence(self) -> str:
        """What was checked and found, in words."""
        detail = ""
        if not self.passed and self.observed is not None:
            detail = f"; found {self.observed}"
        elif not self.passed and self.share is not None:
            detail = f"; {self.rows:,} rows ({percent(self.share)}) break it"
        return f"{self.column or 'table'}: {self.rule} ({self.part}){detail}"

    @property
    def rule(self) -> str:
        """What should hold, in words."""
        if self.expectation in WORDS:
            return WORDS[self.expectation]
        kwargs = self.kwargs
        if self.expectation == "expect_column_values_to_be_between":
            bounds = (("at least", kwargs.get("min_value")), ("at most", kwargs.get("max_value")))
            return " and ".join(f"{word} {_short(value)}" for word, value in bounds if value is not None)
        if self.expectation == "expect_column_values_to_be_in_set":
            return f"one of {', '.join(map(str, kwargs['value_set']))}"
        arguments = ", ".join(f"{name} {value}" for name, value in kwargs.items())
        return self.expectation.removeprefix("expect_").replace("_", " ") + (f" ({arguments})" if arguments else "")


@dataclass(frozen=True)
class QualityReport:
    """All checks, the worst first, and the verdict: that of the worst."""

    checks: tuple[Check, ...]
    rows: Mapping[str, int] = field(default_factory=dict)

    @property
    def verdict(self) -> Status:
        """``pass``, ``warn`` or ``fail``."""
        return max((check.status for check in self.checks), key=_RANK.__getitem__, default="pass")

    def having(self, status: Status) -> tuple[Check, ...]:
        """Return the checks of one status."""
        return tuple(check for check in self.checks if check.status == status)

    def to_json(self) -> dict[str, Any]:
        """Return the report as the artifact ``quality`` holds it."""
        return {
            "verdict": self.verdict,
            "counts": {status: len(self.having(status)) for status in ("pass", "warn", "fail")},
            "rows": dict(self.rows),
            "checks": [{**asdict(check), "passed": check.passed} for check in self.checks],
        }

    def files(self) -> dict[str, list[dict[str, Any]]]:
        """Return the checks by file name, one for each column and expectation: a check for each part of the data."""
        files: dict[str, list[dict[str, Any]]] = {}
        for check in self.checks:
            entry = {**asdict(check), "passed": check.passed}
            files.setdefault(f"{_file_name(check.column)}.{check.expectation}.json", []).append(entry)
        return dict(sorted(files.items()))

    def raise_if_failed(self) -> None:
        """Raise ValidationFailed if a check failed, naming each."""
        failed = self.having("fail")
        if failed:
            listing = "\n".join(f"- {check.sentence}. {_examples_text(check)}".rstrip() for check in failed[:20])
            more = f"\n- and {len(failed) - 20} more" if len(failed) > 20 else ""
            raise ValidationFailed(
                f"The data failed {len(failed)} of {len(self.checks)} checks:\n{listing}{more}\n"
                "Mend the source, or say in schema.yaml what is allowed; `severity: warn` on a column lets it pass."
            )


def validate(
    frames: Mapping[str, pd.DataFrame | ParquetFrame],
    schema: Schema,
    manifest: Mapping[str, Any],
    *,
    tolerance: float = 0.05,
    memory_rows: int = 2_000_000,
) -> QualityReport:
    """Return what holds of a snapshot and what does not.

    frames: train, test and current; stored ones of more than ``memory_rows`` rows are taken in chunks, and what is
    neither about rows nor about uniqueness is then computed on a sample. manifest: that of ingest, whose changes are
    judged too. tolerance: the share of rows, 0 to 1, that may break a rule of the schema and only warn; beyond it the
    column's severity counts. Raises ConfigError if an expectation of schema.yaml cannot be computed.
    """
    from quire.data import chunks, expectations

    kinds = {entry.type for entry in schema.expectations}
    kinds |= {entry.type for column in schema.columns.values() for entry in column.expectations}
    about = {kind: expectations.is_about_rows(kind) for kind in kinds}
    all_rules = rules.implied_rules(schema, tolerance=tolerance) + rules.written_rules(schema, is_about_rows=about)
    if sum(len(frame) for frame in frames.values()) <= memory_rows:
        frames = {name: frame.read() if isinstance(frame, ParquetFrame) else frame for name, frame in frames.items()}
    checks: list[Check] = []
    for part, names in rules.PARTS.items():
        part_rules = [rule for rule in all_rules if rule.part == part]
        stored_frames = [frame for name in names if isinstance(frame := frames[name], ParquetFrame)]
        if not part_rules:
            continue
        if stored_frames:
            results = chunks.run_suite(stored_frames, part_rules, schema)
            checks += [
                _judged(rule, entry.outcome, entry.rows, schema)
                for rule, entry in zip(part_rules, results, strict=True)
            ]
            continue
        frame = pd.concat([frames[name] for name in names], ignore_index=True)
        outcomes = expectations.run_suite(frame, part_rules)
        checks += [_judged(rule, outcome, frame, schema) for rule, outcome in zip(part_rules, outcomes, strict=True)]
    checks += _source_checks(schema, manifest, tolerance)
    checks += _gap_checks(frames, schema, manifest, tolerance)
    sorted_checks = sorted(checks, key=lambda check: -_RANK[check.status])
    return QualityReport(tuple(sorted_checks), {name: len(frame) for name, frame in frames.items()})


def _file_name(column: str) -> str:
    """Return a name for a column's files; where it is cut, a hash keeps two columns apart."""
    name = re.sub(r"[^\w.-]+", "_", column) or "table"
    short = name.encode()[:MOST_NAME_BYTES].decode(errors="ignore")
    return (
        name if short == name else f"{short}-{hashlib.sha256(column.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    )


def save_expectations(quality: QualityReport, run: Run) -> None:
    """Write the folder ``expectations`` of the run: a JSON file for each column and expectation."""
    with run.writing("expectations") as folder:
        folder.mkdir()
        for name, checks in quality.files().items():
            (folder / name).write_text(json.dumps(checks, indent=2) + "\n", encoding="utf-8")


def _judged(rule: Rule, outcome: Any, frame: pd.DataFrame, schema: Schema) -> Check:
    share = outcome.share
    status: Status = "pass" if outcome.success else rule.severity
    if status == "fail" and share is not None and 0 < share <= rule.tolerance:
        status = "warn"
    return Check(
        part=rule.part,
        column=rule.column or "",
        expectation=rule.type,
        kwargs=dict(rule.kwargs),
        severity=rule.severity,
        status=status,
        share=share,
        rows=outcome.rows,
        observed=_plain(outcome.observed),
        examples=tuple(_examples(rule, outcome.values, frame, schema)) if status != "pass" else (),
        origin=rule.origin,
        why=rule.why,
    )


def _examples(rule: Rule, values: Sequence[Any], frame: pd.DataFrame, schema: Schema) -> Iterator[dict[str, Any]]:
    """Yield some values that break a rule, each with the key of a row where it is."""
    key = [name for name in schema.key if name in frame.columns]
    for place, value in enumerate(values):
        example = {"value": _plain(value)}
        if rule.column and key:
            column = frame[rule.column]
            rows = frame.index[
                column.isna() if _is_missing(value) else (column == value).to_numpy(bool, na_value=False)
            ]
            earlier = sum(1 for other in values[:place] if _is_same(other, value))
            if len(rows):
                row = frame.loc[rows[min(earlier, len(rows) - 1)]]
                example.update({name: _plain(row[name]) for name in key})
        yield example


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT or NA."""
    return value is None or (pd.api.types.is_scalar(value) and bool(pd.isna(value)))


def _is_same(value: Any, other: Any) -> bool:
    """Return whether two values are equal, or both missing; NA is equal to nothing, and has no truth."""
    if _is_missing(value) or _is_missing(other):
        return _is_missing(value) and _is_missing(other)
    return bool(value == other)


SOURCE_RULES = {
    "unparsable": "readable_as_the_type",
    "no_timestamp": "has_a_timestamp",
    "duplicate": "key_not_repeated",
    "unknown": "known_category",
    "out_of_range": "in_range",
    "missing": "not_missing",
    "no_label": "has_a_label",
}
"""What ingest's changes are called as checks."""


def _source_checks(schema: Schema, manifest: Mapping[str, Any], tolerance: float) -> list[Check]:
    """Return the checks of what ingest changed, as shares of the rows read; what it kept is checked in the snapshot."""
    checks = []
    read = manifest["read"]
    for change in manifest["changes"]:
        if change["rule"] not in SOURCE_RULES or change["action"] == "kept":
            continue
        column = schema.columns.get(change["column"])
        severity = column.severity if column is not None else key_severity(schema)
        if change["rule"] == "missing" and column is not None and column.nullable:
            continue  # the schema foresees it
        current, rows = change["rows_current"], change["rows"]
        parts = {"source": (rows, read["all"])}
        if current is not None and change["rule"] not in ("no_timestamp", "no_label"):
            parts = {"history": (rows - current, read["all"] - read["current"]), "current": (current, read["current"])}
        for part, (violations, of) in parts.items():
            if violations:
                checks.append(
                    _source_check(change, severity, part, violations, violations / max(of, violations), tolerance)
                )
    return checks


def _source_check(
    change: Mapping[str, Any], severity: Literal["warn", "fail"], part: str, rows: int, share: float, tolerance: float
) -> Check:
    must_fail = "fails validation" in change["action"] or "is fail" in change["why"]
    # What schema.yaml answers on purpose is no news while it is rare; the changes of ingest tell it.
    within: Status = "pass" if change["rule"] in ("out_of_range", "unknown", "missing") else "warn"
    status: Status = "fail" if must_fail else severity if share > tolerance else within
    return Check(
        part=part,
        column=change["column"],
        expectation=SOURCE_RULES[change["rule"]],
        kwargs={},
        severity="fail" if must_fail else severity,
        status=status,
        share=share,
        rows=rows,
        examples=tuple({"value": value} for value in change["examples"]),
        origin="source",
        why=f"{change['what']}; {change['why']}",
    )


def _gap_checks(
    frames: Mapping[str, pd.DataFrame | ParquetFrame], schema: Schema, manifest: Mapping[str, Any], tolerance: float
) -> list[Check]:
    """Return, where the schema has a frequency, whether each window has rows in all its periods."""
    if not schema.timestamp or not schema.frequency:
        return []
    step = pd.Timedelta(duration(schema.frequency))
    checks = []
    for part in ("train", "test", "current"):
        extent = manifest["windows"][part]
        periods = (pd.Timestamp(extent["end"]) - pd.Timestamp(extent["start"])) / step
        observed_periods = _periods(frames[part], schema.timestamp, step)
        gap = max(0.0, 1 - observed_periods / periods) if periods else 0.0
        severity = schema.columns[schema.timestamp].severity if part == "current" else "warn"
        status: Status = "pass" if gap <= tolerance else severity if gap > 0.5 else "warn"
        checks.append(
            Check(
                part=part,
                column=schema.timestamp,
                expectation="rows_in_every_period",
                kwargs={"frequency": schema.frequency},
                severity=severity,
                status=status,
                share=gap,
                rows=max(0, round(periods - observed_periods)),
                observed=f"{observed_periods:,} of {periods:,.0f} periods",
                why=f"frequency: {schema.frequency}",
            )
        )
    return checks


def _periods(frame: pd.DataFrame | ParquetFrame, timestamp: str, step: pd.Timedelta) -> int:
    """Return how many periods of length ``step`` have a row."""
    if isinstance(frame, ParquetFrame):
        from quire.data import chunks

        return chunks.count_periods(frame, timestamp, step)
    return int(frame[timestamp].dt.floor(step).nunique())


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if _is_missing(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if hasattr(value, "item") else value


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _value_text(value: Any) -> str:
    """Return a value as a person wrote it: 25.01, not the nearest number that a computer holds."""
    return f"{value:.10g}" if isinstance(value, float) else repr(value)


def _examples_text(check: Check) -> str:
    if not check.examples:
        return ""
    texts = []
    for example in check.examples[:3]:
        key = ", ".join(f"{name} {value}" for name, value in example.items() if name != "value")
        texts.append(_value_text(example["value"]) + (f" at {key}" if key else ""))
    return "For example: " + "; ".join(texts) + "."
