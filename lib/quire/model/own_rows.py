"""The rows that a model of an earlier schema is fed: the same rows, with the features that it was trained on."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from quire.config import Schema, Settings
from quire.data import SchemaAdapter
from quire.errors import DataError
from quire.model.features import model_input, positive_label, target_values
from quire.model.metrics import Outcomes, compare
from quire.model.predictions import misfit, predict

STORED_SCHEMA = "schema.json"
"""The schema that a model was trained with, among its files in the registry."""


@dataclass(frozen=True)
class OwnRows:
    """Rows with a model's own features, and the schema that says what they are; or the problem why there are none."""

    frame: pd.DataFrame
    schema: Schema
    problem: str = ""

    def why_not(self, model: Any) -> str:
        """Return in words why ``model`` cannot be judged on these rows; empty if it can."""
        problem = self.problem or misfit(model, model_input(self.frame, self.schema), self.schema)
        return f"The champion cannot be judged: {problem}" if problem else ""

    def outcomes(self, model: Any, rows: pd.DataFrame, schema: Schema) -> Outcomes:
        """Return what ``model`` predicts for these rows beside what happened, which ``rows`` of ``schema`` hold."""
        return compare(target_values(rows, schema), predict(model, self.frame, self.schema), schema)


def stored_schema(files: Path, default: Schema) -> Schema:
    """Return the schema that lies among a model's files; ``default`` where none does, or one of another Quire."""
    path = files / STORED_SCHEMA
    if not path.is_file():
        return default
    try:
        return Schema.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError:
        return default


def own_rows(files: Path, rows: pd.DataFrame, settings: Settings, as_of: datetime | None = None) -> OwnRows:
    """Return snapshot rows as the model whose files are in ``files`` takes them.

    What its schema reads otherwise than schema.yaml does, or reads beyond it, is read from the source again.
    """
    schema = stored_schema(files, settings.schema)
    problem = other_question(schema, settings.schema)
    if problem:
        return OwnRows(rows, schema, problem)
    try:
        return OwnRows(SchemaAdapter(settings, schema, as_of).rows(rows), schema)
    except DataError as error:
        return OwnRows(rows, schema, str(error))


def other_question(own: Schema, schema: Schema) -> str:
    """Return in words what else ``own`` predicts than ``schema`` does; empty if it is the same."""
    if own.task != schema.task:
        return f"Its task is {own.task}; schema.yaml says {schema.task}."
    own_target, target = (side.columns[side.target].source or side.target for side in (own, schema))
    if own_target != target:
        return f"Its target is {own_target}; schema.yaml says {target}."
    if schema.task == "binary" and positive_label(own) != positive_label(schema):
        return f"It predicts {own.positive!r}; schema.yaml says positive: {schema.positive!r}."
    return ""
