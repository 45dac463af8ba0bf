"""Names in parameters that stand for something of ours or of schema.yaml: checked without importing what they name."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from quire.config.metrics import METRICS
from quire.config.params import Estimator
from quire.config.schema import Schema
from quire.errors import near

PREDICTED = ("prediction", "probability")
"""Columns that monitoring watches beside those of the schema; of several classes each has a ``probability_<class>``."""

Keys = tuple[str, ...]
"""The keys that lead to a value inside a parameter: empty for the parameter itself."""


def wrong_names(parameter: str, value: Any, schema: Schema, code: str) -> Iterator[tuple[Keys, str]]:
    """Yield each name in a parameter's ``value`` that is unknown: where it stands, and what is wrong, in words.

    schema: that of the use case, which says the task and the columns. code: of the notebook; ``estimator`` and
    ``column`` mean ours only where it hands them to our functions.
    """
    if parameter == "estimator" and "fit_candidate(" in code:
        yield from _unknown((), value, get_args(Estimator))
    elif parameter == "column" and ("segment_rows(" in code or "join_parts(" in code):
        yield from _unknown((), value, segment_columns(schema))
    elif parameter == "drift" and isinstance(value, Mapping):
        for keys, name in _watched(value):
            if not (name.startswith("probability_") and schema.task == "multiclass"):
                yield from _unknown(keys, name, [*schema.columns, *PREDICTED])
    elif isinstance(value, Mapping):
        for keys, name in _metrics(parameter, value):
            yield from _unknown(keys, name, METRICS[schema.task], f" for a {schema.task} task")


def _watched(value: Mapping[str, Any]) -> Iterator[tuple[Keys, str]]:
    """Yield the names of columns in the parameter ``drift``, each with where it stands."""
    ignored, own = value.get("ignore"), value.get("columns")
    for number, name in enumerate(ignored if isinstance(ignored, list | tuple) else ()):
        yield ("ignore", str(number)), str(name)
    for name in own if isinstance(own, Mapping) else ():
        yield ("columns", str(name)), str(name)


def segment_columns(schema: Schema) -> list[str]:
    """Return the features by whose values rows can be told apart: all but times and texts."""
    return [name for name in schema.features if schema.columns[name].type not in ("datetime", "text")]


def _metrics(parameter: str, value: Mapping[str, Any]) -> Iterator[tuple[Keys, Any]]:
    """Yield the names of metrics in a parameter, each with where it stands; an empty one stands for the task's own."""
    single = {"search": "scoring", "gate": "metric", "performance": "metric"}.get(parameter, "")
    if value.get(single):
        yield (single,), value[single]
    for limits in ("floor", "ceiling") if parameter == "gate" else ():
        if isinstance(value.get(limits), Mapping):
            for name in value[limits]:
                yield (limits, name), name


def _unknown(keys: Keys, name: Any, known: Any, where: str = "") -> Iterator[tuple[Keys, str]]:
    if name not in known:
        yield keys, f"{name!r}; known{where}: {', '.join(known)}.{near(str(name), known)}"
