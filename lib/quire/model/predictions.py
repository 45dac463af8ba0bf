"""Predictions of a fitted pipeline: the same for a batch and for the service."""

from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.errors import DataError, ModelError, near
from quire.model.features import model_input, positive_label


def predict(pipeline: Any, frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return a row of predictions for each row of ``frame``, with its index.

    Columns: ``prediction`` (a number in the target's unit, or a class as text); for a binary task ``probability`` of
    the positive class, in [0, 1]; for a multiclass task ``probability_<class>`` for each, which sum to 1. A binary
    prediction is the positive class from the pipeline's threshold on. Raises ModelError if the model and the schema do
    not fit each other.
    """
    return predict_input(pipeline, model_input(frame, schema), schema)


def predict_input(pipeline: Any, X: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return what `predict` returns, for rows that are in the form of `model_input` already."""
    problem = misfit(pipeline, X, schema)
    if problem:
        raise ModelError(f"The model does not fit schema.yaml: {problem} Train a model for this schema: `quire run`.")
    if schema.task == "regression":
        return pd.DataFrame({"prediction": _numbers(pipeline, X)}, index=X.index)
    classes = [str(name) for name in pipeline.classes_]
    return decide(class_probabilities(pipeline, X), classes, schema, decision_threshold(pipeline), X.index)


def decide(
    probabilities: np.ndarray, classes: list[str], schema: Schema, threshold: float, index: pd.Index
) -> pd.DataFrame:
    """Return the predictions that follow from the probability of each class, in the form of `predict`.

    probabilities: shape (rows, classes). threshold: of a binary task.
    """
    if schema.task == "multiclass":
        best = pd.Series(np.array(classes, dtype=object)[probabilities.argmax(axis=1)], index=index, dtype="str")
        shares = {f"probability_{name}": probabilities[:, at] for at, name in enumerate(classes)}
        return pd.DataFrame({"prediction": best} | shares, index=index)
    positive = positive_label(schema)
    at = classes.index(positive)
    probability = probabilities[:, at]
    decided = pd.Series(np.where(probability >= threshold, positive, classes[1 - at]), index=index, dtype="str")
    return pd.DataFrame({"prediction": decided, "probability": probability}, index=index)


def misfit(pipeline: Any, X: pd.DataFrame, schema: Schema) -> str:
    """Return in words why a fitted pipeline cannot predict ``X`` for the schema; empty if it can."""
    model_features, schema_features = list(pipeline.feature_names_in_), list(X.columns)
    lacking = [name for name in model_features if name not in schema_features]
    unknown = [name for name in schema_features if name not in model_features]
    parts = [f"It needs {', '.join(lacking)}, which the schema does not give."] if lacking else []
    parts += [f"It was not trained on {', '.join(unknown)}."] if unknown else []
    if not parts and model_features != schema_features:
        parts = ["It takes the same features in another order."]
    return " ".join([*parts, *_other_classes(pipeline, schema)])


def _other_classes(pipeline: Any, schema: Schema) -> list[str]:
    classes = [str(name) for name in getattr(pipeline, "classes_", ())]
    if bool(classes) == (schema.task == "regression"):
        return [f"It is {'a classification' if classes else 'a regression'}, the task is {schema.task}."]
    if schema.task != "binary":
        return []
    positive = positive_label(schema)
    if positive in classes and len(classes) == 2:
        return []
    return [f"It tells apart {', '.join(classes)}; positive is {positive!r}.{near(positive, classes)}"]


def with_predictions(rows: pd.DataFrame, predicted: pd.DataFrame) -> pd.DataFrame:
    """Return ``rows`` with the columns of ``predicted``; raises DataError where a column has the name of one of these.

    Else the model's predictions would be taken for the column, or the column for them.
    """
    clashes = [name for name in predicted if name in rows]
    if clashes:
        raise DataError(
            f"The data has a column {clashes[0]!r}, which is what the model's own result is called. Read it under "
            f"another name in schema.yaml: {clashes[0]}_given: {{source: {clashes[0]}, ...}}."
        )
    return rows.join(predicted)


def decision_threshold(pipeline: Any) -> float:
    """Return the probability from which on a binary model predicts the positive class: its ``threshold_``, else 0.5."""
    return float(getattr(pipeline, "threshold_", 0.5))


def class_probabilities(pipeline: Any, X: pd.DataFrame) -> np.ndarray:
    """Return the probability of each class, shape (rows, classes), in the order of ``pipeline.classes_``."""
    return pipeline.predict_proba(X) if len(X) else np.empty((0, len(pipeline.classes_)))


def _numbers(pipeline: Any, X: pd.DataFrame) -> np.ndarray:
    return pipeline.predict(X) if len(X) else np.empty(0)
