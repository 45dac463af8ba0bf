"""The data-quality report: the verdict, what failed with examples, and a picture of all checks."""

from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.data.quality import Check, QualityReport
from quire.report.answers import Answer, Status, answer
from quire.report.charts import Chart
from quire.report.labels import name_columns, name_rows
from quire.report.numbers import number, percent
from quire.report.panels import listed
from quire.report.tables import Table, note, table
from quire.report.theme import BAD, GOOD, GRID, INK, WARN, figure

STATUSES: dict[str, Status] = {"pass": "good", "warn": "warn", "fail": "bad"}
KINDS = {
    "type": ("of_type", "readable", "in_type_list"),
    "present": ("null", "missing", "has_a", "in_every_period", "to_exist"),
    "range": ("between", "in_range"),
    "categories": ("in_set", "category", "unique_value_count"),
    "key": ("unique", "key_not"),
    "own": (),
}
"""Columns of the picture, and parts of the names of the checks in each; the expectations of schema.yaml are ``own``."""


def quality_answer(quality: QualityReport) -> Answer:
    """Return the verdict, and how many checks passed, warned and failed."""
    failures, warnings, passes = (quality.having(status) for status in ("fail", "warn", "pass"))
    facts = [
        (
            "checks",
            len(quality.checks),
            f"on {sum(quality.rows.get(name, 0) for name in ('train', 'test', 'current')):,} rows",
        ),
        ("passed", len(passes)),
        ("warnings", len(warnings), _columns(warnings)),
        ("failed", len(failures), _columns(failures)),
    ]
    return answer(
        STATUSES[quality.verdict],
        _headline(quality),
        facts=facts,
        metrics={"checks_failed": len(failures), "checks_warned": len(warnings)},
    )


def quality_table(quality: QualityReport) -> Table:
    """Return the checks that warn or fail, the worst first, with examples and the keys of their rows."""
    rows = [_row(check) for check in quality.checks if not check.passed]
    if not rows:
        return note(f"All {len(quality.checks)} checks hold in every part of the data.")
    frame = pd.DataFrame(rows)
    return table(frame.assign(share=frame["share"].map(percent)), limit=100)


def quality_grid(quality: QualityReport, schema: Schema) -> Chart:
    """Return which kinds of checks passed, warned or failed by column."""
    names = [name for name in schema.columns if any(check.column == name for check in quality.checks)]
    others = {check.column or "table" for check in quality.checks} - set(names)
    names += sorted(others)
    kinds = [kind for kind in KINDS if any(_kind(check) == kind for check in quality.checks)]
    worst = np.full((len(names), len(kinds)), -1)
    count = np.zeros_like(worst)
    for check in quality.checks:
        place = names.index(check.column or "table"), kinds.index(_kind(check))
        worst[place] = max(worst[place], list(STATUSES).index(check.status))
        count[place] += 1
    fig, axes = figure(height=1.0 + 0.27 * len(names))
    for (row, column), status in np.ndenumerate(worst):
        if status < 0:
            axes.plot(column, row, marker="_", color=GRID, markersize=7)
            continue
        axes.scatter(
            column, row, color=(GOOD, WARN, BAD)[status], marker=("o", "D", "X")[status], s=(55, 60, 90)[status]
        )
        axes.annotate(
            f"{count[row, column]}",
            (column, row),
            (9, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    name_columns(axes, kinds)
    axes.xaxis.tick_top()
    name_rows(axes, names)
    axes.set(xlim=(-0.5, len(kinds) - 0.5), ylim=(len(names) - 0.4, -0.6))
    axes.grid(visible=False)
    help_text = (
        "A green disc: all checks of the kind hold. An amber diamond: one warns. A red cross: one fails, and the run "
        "stops. A dash: nothing to check. The number is how many checks there are, over all parts of the data; own are "
        "those written in schema.yaml."
    )
    frame = pd.DataFrame(worst, index=names, columns=kinds)
    return Chart(grid_message(frame), fig, help_text, frame)


def _headline(quality: QualityReport) -> str:
    failed, warned = quality.having("fail"), quality.having("warn")
    if failed:
        return f"The data failed {_checks(failed)}, so the run stops here: {failed[0].sentence}."
    if warned:
        verb = "warns" if len(warned) == 1 else "warn"
        return f"The data can be used; {_checks(warned)} {verb}: {warned[0].sentence}."
    return f"The data is as the schema says: all {len(quality.checks)} checks hold."


def _checks(checks: tuple[Check, ...]) -> str:
    return "one check" if len(checks) == 1 else f"{len(checks)} checks"


def _columns(checks: tuple[Check, ...]) -> str:
    names = list(dict.fromkeys(check.column or "table" for check in checks))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _row(check: Check) -> dict[str, Any]:
    return {
        "status": check.status,
        "column": check.column or "table",
        "what should hold": check.rule + (f" ({check.why})" if check.origin == "expectations" and check.why else ""),
        "where": check.part,
        "rows": check.rows or None,
        "share": check.share,
        "example": _example(check),
    }


def _example(check: Check) -> str:
    """Return what was found, or the first value that breaks the rule and the key of its row."""
    if check.observed is not None:
        return f"found {check.observed}"
    if not check.examples:
        return ""
    value, *key = check.examples[0].values()
    text = "nothing" if value is None else number(value)
    # A key is a name, also where it is a number: no thousands apart.
    return (
        f"{text} at {', '.join(str(part) if isinstance(part, int) else number(_time(part)) for part in key)}"
        if key
        else text
    )


def _time(value: Any) -> Any:
    """Return the time that a text of a key says, else the value."""
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value


def _kind(check: Check) -> str:
    if check.origin == "expectations":
        return "own"
    return next((kind for kind, parts in KINDS.items() if any(part in check.expectation for part in parts)), "own")


def grid_message(frame: pd.DataFrame) -> str:
    """Return the sentence over the grid of checks: which columns fail, and which only warn.

    frame: the worst status by column (rows) and kind of check, −1 for none, then the places of `STATUSES`.
    """
    worst = frame.max(axis=1)
    failed, warned = (list(frame.index[worst == place]) for place in (2, 1))
    columns = f"{len(frame)} column{'s' if len(frame) != 1 else ''}"
    if not failed and not warned:
        return f"Every check holds in all {columns}"
    parts = [f"{listed(failed)} {'fail' if len(failed) > 1 else 'fails'}"] if failed else []
    parts += [f"{listed(warned)} {'warn' if len(warned) > 1 else 'warns'}"] if warned else []
    return f"{len(failed) + len(warned)} of {columns} break a rule: {'; '.join(parts)}"
