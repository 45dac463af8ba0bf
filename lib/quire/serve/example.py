"""A loaded model against the input example that was kept with it: the same for a batch and for the service."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from quire.config import Schema
from quire.errors import ModelError
from quire.io import model_files
from quire.model.features import input_names
from quire.model.predictions import class_probabilities, misfit


def check_example(pipeline: Any, folder: Path, schema: Schema, *, name: str) -> None:
    """Raise ModelError unless the model gives for its input example what it gave when it was logged.

    folder: that of the model, with the example. schema: the one whose features the model takes. name: of the version,
    in messages.
    """
    X = _read_example(pipeline, folder, schema)
    mismatch = misfit(pipeline, X, schema)
    if mismatch:
        raise ModelError(f"{name} does not fit schema.yaml: {mismatch}")
    classify = hasattr(pipeline, "classes_")
    try:
        output = class_probabilities(pipeline, X) if classify else pipeline.predict(X)
    except Exception as error:
        raise ModelError(f"{name} fails on its own input example: {error}") from error
    shares_add_up = not classify or np.allclose(output.sum(axis=1), 1)
    if len(output) != len(X) or not np.isfinite(output).all() or not shares_add_up:
        raise ModelError(f"{name} disagrees with its own input example: it gives {np.asarray(output).tolist()[:3]}.")
    expected = model_files.read_example_output(folder)
    if expected is not None and not _is_close(output, np.asarray(expected)):
        raise ModelError(
            f"{name} disagrees with its own input example: it gives {np.asarray(output).tolist()[:3]}, and gave "
            f"{expected[:3]} when it was logged. Its files or the libraries are not the same any more: train again."
        )


def _is_close(found: np.ndarray, expected: np.ndarray) -> bool:
    """Whether outputs are the same but for what another processor or library rounds otherwise."""
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-6, atol=1e-9)


def _read_example(pipeline: Any, folder: Path, schema: Schema) -> pd.DataFrame:
    """Return the input example of a model folder, or one row of missing values where it has none."""
    path = folder / "input_example.json"
    names = list(pipeline.feature_names_in_)
    numbers = set(input_names(schema)[0])
    if path.is_file():
        split = json.loads(path.read_text("utf-8"))
        X = pd.DataFrame(split["data"], columns=split["columns"])
    else:
        X = pd.DataFrame([[None] * len(names)], columns=names)
    kinds = {name: "float64" if name in numbers else object for name in X.columns}
    X = X.astype(kinds)
    return X.where(X.notna(), np.nan)
