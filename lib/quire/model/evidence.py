"""Whether there is enough to judge by: test rows of every class, and data that keeps its own rules."""

from collections.abc import Mapping
from typing import Any

from quire.config import Gate
from quire.data import Check
from quire.model.evaluation import Evaluation
from quire.model.verdict import Reason

MOST_NAMED = 3


def enough_rows(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    """Return a reason for each number of test rows that is too small, or one that says that there are enough."""
    reasons = []
    if evaluation.rows < gate.min_test_rows:
        reasons.append(_too_few(evaluation.rows, "test rows", "min_test_rows", gate.min_test_rows))
    if evaluation.task == "binary":
        kinds = zip(("negative", "positive"), evaluation.class_rows.items(), strict=True)
        reasons += [
            _too_few(rows, f"{kind} rows", "min_positives", gate.min_positives, of=f" of {name!r}")
            for kind, (name, rows) in kinds
            if rows < gate.min_positives
        ]
    reasons += _rare_classes(evaluation, gate) if evaluation.task == "multiclass" else []
    return reasons or [Reason("rows", True, f"There are enough rows to judge by: {_counts(evaluation)}.")]


def _rare_classes(evaluation: Evaluation, gate: Gate) -> list[Reason]:
    few = {name: rows for name, rows in evaluation.class_rows.items() if rows < gate.min_class_rows}
    if not few:
        return []
    if len(few) == 1:
        name, rows = next(iter(few.items()))
        subject = f"rows of class {name!r}"
        return [_too_few(rows, subject, "min_class_rows", gate.min_class_rows, of=" of it", merge=True)]
    listing = ", ".join(f"{rows} of {name!r}" for name, rows in list(few.items())[:MOST_NAMED])
    more = f" and {len(few) - MOST_NAMED} more classes" if len(few) > MOST_NAMED else ""
    text = f"Classes have too few rows in test ({listing}{more}): nothing can be said of them"
    requirement = f"at least {gate.min_class_rows} are asked (gate.min_class_rows)"
    return [Reason("rows", False, f"{text}; {requirement}. {_REMEDY}, or merge rare classes.")]


def rules_kept(quality: Mapping[str, Any] | None, gate: Gate) -> list[Reason]:
    """Return a reason for each rule of the data that too many rows of train and test break, or one that none does.

    quality: the artifact as validation saved it. Only rules about rows that are there count, not gaps between them.
    """
    if quality is None:
        return [
            Reason("data", True, "No validation was part of this run: the data's rules were not checked.", note=True)
        ]
    checks = [
        Check(**{name: value for name, value in record.items() if name != "passed"}) for record in quality["checks"]
    ]
    breaches = [
        check
        for check in checks
        if check.part in HISTORY and check.expectation not in NOT_ABOUT_ROWS and not check.passed and check.share
    ]
    excesses = sorted((check for check in breaches if _excess(check) > gate.max_rule_breaks), key=_share, reverse=True)
    if not excesses:
        worst = f", at most by {max(map(_share, breaches)):.2%} of the rows" if breaches else ""
        text = (
            f"{len(breaches)} rules of the data are broken in train and test{worst}; {gate.max_rule_breaks:.0%} may be."
        )
        return [Reason("data", True, text)]
    return [
        Reason(
            "data",
            False,
            f"The data breaks its own rules, {check.sentence}: more than {gate.max_rule_breaks:.0%} of the rows of "
            "train and test (gate.max_rule_breaks), so that what is learned and measured on them cannot be relied on. "
            "Mend the source, or the rule in schema.yaml.",
        )
        for check in excesses
    ]


HISTORY = ("history", "train", "test")
"""The parts of the data that a model learns from and is judged on, as validation calls them."""

NOT_ABOUT_ROWS = ("rows_in_every_period",)
"""Checks whose share is not one of rows that are there."""

_REMEDY = "Lengthen ingest.test or raise ingest.test_share in params.yaml"


def _share(check: Check) -> float:
    return check.share or 0.0


def _excess(check: Check) -> float:
    """Return the share of the rows that break a rule beyond those which its own ``mostly`` allows."""
    return _share(check) - (1 - float(check.kwargs.get("mostly", 1)))


def _too_few(rows: int, what: str, setting: str, least: int, *, of: str = "", merge: bool = False) -> Reason:
    noun = what.replace("rows", "row", 1) if rows == 1 else what
    place = "" if "test" in what else " in test"
    text = f"{rows:,} {noun}{place}: nothing can be said{of}; at least {least} are asked (gate.{setting})"
    return Reason("rows", False, f"{text}. {_REMEDY}{', or merge rare classes' if merge else ''}.")


def _counts(evaluation: Evaluation) -> str:
    if not evaluation.class_rows:
        return f"{evaluation.rows:,} test rows"
    fewest = min(evaluation.class_rows, key=evaluation.class_rows.__getitem__)
    return f"{evaluation.rows:,} test rows, of class {fewest} {evaluation.class_rows[fewest]:,}"
