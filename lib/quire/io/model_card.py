"""The model card: what a model is, what it learned from, how well it does, and what it is not for.

Source of the headings: Mitchell et al. (2019), Model Cards for Model Reporting.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from quire.config import Settings


def model_card(
    settings: Settings,
    params: Mapping[str, Any],
    metrics: Mapping[str, float],
    dataset: Mapping[str, Any],
    features: Iterable[str],
) -> str:
    """Return the card as Markdown. metrics: those of cross-validation; dataset: what ingest's manifest says."""
    schema = settings.schema
    target = schema.columns[schema.target]
    unit = f", in {target.unit}" if target.unit else ""
    lines = [
        f"# {settings.config.title or settings.name}",
        settings.config.description,
        "## Use",
        f"Predicts `{schema.target}` ({schema.task}{unit}). {target.description}".strip(),
        "Meant for data that looks like the training data below; monitoring says when it no longer does.",
        "## Model",
        *(f"- {name}: `{value}`" for name, value in params.items()),
        "## Features",
        ", ".join(f"`{name}`" for name in features),
        _left_out(schema),
        "## Training data",
        *_training_data(dataset),
        "## Metrics (cross-validation on the training data)",
        *(f"- {name}: {value:.4g}" for name, value in metrics.items() if value == value),
    ]
    return "\n".join(_spaced([line for line in lines if line])).strip() + "\n"


def _left_out(schema: Any) -> str:
    ignored = {name: column.why for name, column in schema.columns.items() if column.role == "ignore"}
    if not ignored:
        return ""
    return (
        "Left out: "
        + "; ".join(f"`{name}`{f' ({reason})' if reason else ''}" for name, reason in ignored.items())
        + "."
    )


def _training_data(dataset: Mapping[str, Any]) -> list[str]:
    window = dataset.get("windows", {}).get("train", {})
    lines = [f"- {key}: {window[key]}" for key in ("rows", "start", "end") if window.get(key) is not None]
    lines += [f"- source: {dataset['source']['where']}"] if "source" in dataset else []
    return lines + ([f"- fingerprint: `{dataset['fingerprint']}`"] if "fingerprint" in dataset else [])


def _spaced(lines: list[str]) -> list[str]:
    """Return ``lines`` with an empty one before and after each heading."""
    return [part for line in lines for part in (["", line, ""] if line.startswith("#") else [line])]
