"""Great Expectations' only door: rules become a suite, run in an ephemeral context, without analytics or progress bars.

Measured: importing it takes 4.6 CPU s, of which 1.5 go to two packages that are not needed here and are left out.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd

from quire.data.rules import Rule
from quire.errors import ConfigError, near

EXAMPLES = 5

_NOT_NEEDED = ("rfc3987_syntax", "boto3")
"""Optional packages whose import is slow: the grammar of international addresses (for jsonschema), and AWS's client."""


@dataclass(frozen=True)
class RuleResult:
    """What Great Expectations found: whether the rule holds, the share of rows that break it, and some values.

    of: the rows that ``share`` refers to; those without a value do not count where the rule is about values.
    """

    success: bool
    share: float | None = None
    rows: int = 0
    of: int = 0
    observed: Any = None
    values: tuple[Any, ...] = ()


def run_suite(frame: pd.DataFrame, rules: Sequence[Rule]) -> list[RuleResult]:
    """Return the outcome of each rule on ``frame``; raises ConfigError for a rule that cannot be computed."""
    batch = _context().data_sources.pandas_default.read_dataframe(frame)
    form = {"result_format": "BASIC", "partial_unexpected_count": EXAMPLES}
    outcomes: dict[int, RuleResult] = {}
    for numbers in _rounds(rules):
        suite = _great_expectations().ExpectationSuite("quire")
        for number in numbers:
            suite.add_expectation_configuration(_configuration(rules[number], number))
        for result in batch.validate(suite, result_format=form).results:
            number = result.expectation_config.meta["rule"]
            outcomes[number] = _outcome(rules[number], result)
    return [outcomes[number] for number in range(len(rules))]


def _rounds(rules: Sequence[Rule]) -> list[list[int]]:
    """Return the rules' numbers in suites: one suite holds one expectation of a type for each column, the last."""
    rounds: list[list[int]] = []
    counts: Counter[tuple[str, str | None]] = Counter()
    for number, rule in enumerate(rules):
        place = (rule.type, rule.column)
        if counts[place] == len(rounds):
            rounds.append([])
        rounds[counts[place]].append(number)
        counts[place] += 1
    return rounds


def is_about_rows(kind: str) -> bool:
    """Return whether an expectation of this type judges each row, so that ``mostly`` has a meaning."""
    return "mostly" in _implementation(kind).__fields__


def _outcome(rule: Rule, one: Any) -> RuleResult:
    error = _raised(one.exception_info)
    if error:
        raise ConfigError(f"schema.yaml: {describe(rule)} cannot be computed on {rule.part}: {error}")
    result = one.result
    share = result.get("unexpected_percent")
    return RuleResult(
        success=bool(one.success),
        share=None if share is None else float(share) / 100,
        rows=int(result.get("unexpected_count") or 0),
        of=int(result.get("element_count") or 0) - int(result.get("missing_count") or 0),
        observed=result.get("observed_value"),
        values=tuple(result.get("partial_unexpected_list") or ())[:EXAMPLES],
    )


def _raised(info: Mapping[str, Any]) -> str:
    """Return the first exception's message of a result, or an empty text."""
    if "raised_exception" in info:
        return str(info["exception_message"]) if info["raised_exception"] else ""
    return next((str(part.get("exception_message")) for part in info.values() if part.get("raised_exception")), "")


def describe(rule: Rule) -> str:
    """Return the column and the type of a rule, for messages."""
    return f"{rule.column}: {rule.type}" if rule.column else rule.type


def _configuration(rule: Rule, number: int) -> Any:
    """Return the rule as Great Expectations has it; raises ConfigError if its arguments do not fit its type."""
    _great_expectations()
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    kwargs = {**({"column": rule.column} if rule.column else {}), **rule.kwargs}
    arguments = set(_implementation(rule.type).__fields__) - _INTERNAL
    for name in kwargs:
        if name not in arguments:
            raise ConfigError(
                f"schema.yaml: {describe(rule)} takes no argument {name!r}; it takes: {', '.join(sorted(arguments))}."
                + near(name, arguments)
            )
    configuration = ExpectationConfiguration(type=rule.type, kwargs=kwargs, meta={"rule": number})
    try:
        configuration.to_domain_obj()
    except (ValueError, TypeError) as error:
        raise ConfigError(f"schema.yaml: {describe(rule)}: {_readable(error)}") from None
    return configuration


_INTERNAL = frozenset(
    {"id", "meta", "notes", "result_format", "description", "catch_exceptions", "rendered_content", "severity"}
    | {"windows", "batch_id", "condition_parser"}
)


def _readable(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    messages = [
        f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}".removeprefix("__root__: ") for detail in errors()
    ]
    return "; ".join(dict.fromkeys(messages)) + "."


def _implementation(kind: str) -> Any:
    _great_expectations()
    from great_expectations.exceptions import ExpectationNotFoundError
    from great_expectations.expectations import registry

    try:
        return registry.get_expectation_impl(kind)
    except ExpectationNotFoundError:
        kinds = registry.list_registered_expectation_implementations()
        raise ConfigError(f"schema.yaml: Great Expectations has no expectation {kind!r}.{near(kind, kinds)}") from None


@cache
def _great_expectations() -> Any:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    with _absent(*_NOT_NEEDED):
        import great_expectations
    return great_expectations


@cache
def _context() -> Any:
    gx = _great_expectations()
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return context


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Make optional packages that are not imported yet look as if they were not installed, for a while."""
    modules = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(modules))  # type: ignore[arg-type]  # None: an import raises ImportError
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]
