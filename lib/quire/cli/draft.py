"""The texts of a new params folder: YAML with remarks for the person who edits it."""

import json
import re
from collections.abc import Mapping
from typing import Any

from quire.data.draft import ColumnGuess, Draft

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./()-]*( [A-Za-z0-9_./()-]+)*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""What YAML reads as something else than a text; the last six in version 1.1, as editors and other tools have it."""

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What YAML takes for the end of a line, or does not take at all."""

CONFIG = """\
# Where the data is, and where results go. ${{NAME}} and ${{NAME:-default}} are taken from the environment:
# secrets belong there, never in this file.
title: {title}
source:
{source}

# The logical time of a run: rows from then on are not seen. Without it, the end of the source.
# as_of: 2026-01-31

# On AWS the instances' environment says where runs are kept and who is told; without it both stay on this machine.
archive: {{url: "${{QUIRE_ARCHIVE:-}}", keep_days: 365}}
alerts:
  channels: ${{QUIRE_ALERTS:-log}}  # of log, sns, cloudwatch, webhook
  sns_topic: ${{QUIRE_ALERTS_TOPIC:-}}
  webhook: ${{QUIRE_WEBHOOK:-}}
  namespace: ${{QUIRE_NAMESPACE:-Quire}}
"""

SCHEMA = """\
# What the data is. `quire init` guessed this from {rows:,} rows: read it, and mend what is wrong.
#   type: number, integer, category, boolean (categories: [false, true]), datetime, text
#   role: feature (the default), target, key, timestamp, ignore (with why)
#   on_unparsable: missing | drop | fail      on_missing: keep | fill (with fill: VALUE) | drop
#   on_out_of_range: keep | clip | missing | drop      on_unknown: keep | missing | drop
#   nullable: true allows missing values; missing: values that stand for none; key: true, part of a row's key as well
#   thousands, affixes: what is taken off numbers such as "$1,200": {{"$": 1, k: 1000}} says what each multiplies with
#   severity: warn marks a rule that was guessed: it never stops a run. Take it away where the rule is yours.
task: {task}
{extra}
columns:
{columns}

# Columns whose values the model is judged by separately, such as [region].
segments: []

# Expectations of Great Expectations, beyond what the columns imply: here, or below a column. For example:
# expectations:
#   - type: expect_column_pair_values_a_to_be_greater_than_b
#     kwargs: {{column_A: end, column_B: start}}
#     mostly: 0.99
#     severity: warn
"""

PARAMS = """\
# How each notebook works: a section per stage of workflow.yaml, whose keys are the names in its `parameters` cell.
{ingest}
train:
  estimator: hist_gradient_boosting  # or: linear, random_forest
"""


def config_text(name: str, source: Mapping[str, Any]) -> str:
    """Return config.yaml for ``source``, the settings below the key of that name."""
    lines = [f"  {key}: {block(value)}" for key, value in source.items()]
    return CONFIG.format(title=scalar(name.replace("_", " ").replace("-", " ").capitalize()), source="\n".join(lines))


def schema_text(draft: Draft, rows: int) -> str:
    """Return schema.yaml as guessed; what a person must confirm is in the remarks."""
    extra = []
    if draft.positive is not None:
        extra.append(f"positive: {scalar(draft.positive)}  # confirm: the value of the target that is predicted")
    if draft.column("timestamp"):
        extra.append("timezone: UTC  # of times without a zone, such as Europe/London")
        extra.append("label_delay: 0d  # how long after its timestamp a row's target is known")
    if draft.frequency:
        extra.append(f"frequency: {draft.frequency}  # one row each; gaps are reported")
    if draft.column("key") or draft.column("timestamp"):
        extra.append(
            f"on_duplicate: {draft.on_duplicate or 'last'}  # of rows with the same key: last, first, keep, fail"
        )
    lines = [_column_line(guess) for guess in draft.columns]
    return SCHEMA.format(
        rows=rows, task=draft.task, extra="\n".join([*extra, ""]) if extra else "", columns="\n".join(lines)
    )


def params_text(draft: Draft) -> str:
    """Return params.yaml, with windows that suit the span of the data."""
    if draft.column("timestamp") is None:
        ingest = "ingest:\n  test_share: 0.2  # of the rows, to judge models on\n  current_share: 0.1  # to predict"
    else:
        ingest = (
            f"ingest:\n  current: {draft.current}  # the last window, whose rows are predicted\n"
            f"  test: {draft.test}  # the window before it, to judge models on"
        )
    return PARAMS.format(ingest=ingest)


def _column_line(guess: ColumnGuess) -> str:
    settings = ", ".join(f"{key}: {flow(value)}" for key, value in guess.settings.items())
    remarks = f"  # {_on_one_line('; '.join(guess.remarks))}" if guess.remarks else ""
    return f"  {scalar(guess.name)}: {{{settings}}}{remarks}"


def _on_one_line(text: str) -> str:
    """Return the text as a comment can hold it: what ends a line, or YAML does not print, is a space."""
    return _UNPRINTABLE.sub(" ", text.replace("\t", " "))


def flow(value: Any) -> str:
    """Return a value inside braces or brackets."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(str(name))}: {scalar(item)}' for name, item in value.items())}}}"
    return scalar(value)


def block(value: Any) -> str:
    """Return a value after a key; text of several lines as a block."""
    if isinstance(value, str) and "\n" in value:
        return "|\n" + "\n".join(f"    {line}" for line in value.strip("\n").splitlines())
    return flow(value)


def scalar(value: Any) -> str:
    """Return one value; text is quoted where it would read as something else."""
    if isinstance(value, bool) or value is None or not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    quoted = json.dumps(value, ensure_ascii=False)
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
